//! What members say to each other, and what they write down. Nothing is signed: nobody lies.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{
    entry::{Base, Body, Entry, Position},
    rewrite,
};
use crate::{
    block::Block,
    crypto::Keypair,
    engine::{self, Forks, Kind, Message, Slot},
    rewrite::{Pen, Rewrite},
    types::{NodeId, Seq, View},
};

/// What members say to each other. Who says it is the sender's address.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum RaftMessage {
    /// Would you elect me (`pre`), or: I ask for your vote.
    RequestVote {
        /// Whether it is only a question: the term is the one that would be asked for.
        pre: bool,
        /// The term to be led.
        term: View,
        /// Where the candidate's log ends.
        last: Position,
    },
    /// The answer.
    Vote {
        /// To which question.
        pre: bool,
        /// The candidate's if granted, the voter's own otherwise.
        term: View,
        /// Whether it is given.
        granted: bool,
    },
    /// Entries that follow `prev`, or none; and how far all is committed.
    Append {
        /// The leader's term.
        term: View,
        /// The entry before the first of these.
        prev: Position,
        /// Entries.
        entries: Vec<Entry>,
        /// All up to here is committed.
        commit: Seq,
    },
    /// The answer to APPEND and SNAPSHOT.
    Appended {
        /// The follower's term.
        term: View,
        /// My log agrees with yours up to here; refused: the `prev` that I do not hold.
        index: Seq,
        /// It is refused: nothing above this place can agree.
        hint: Option<Position>,
        /// Do not count this: I forgot what I said before.
        mute: bool,
    },
    /// The leader lives.
    Heartbeat {
        /// The leader's term.
        term: View,
        /// All up to here is committed, and the receiver holds it.
        commit: Seq,
        /// The newest round of reads that asks for a quorum.
        round: u64,
        /// There is nothing to do: no more heartbeats until there is.
        rest: bool,
    },
    /// The answer to a heartbeat.
    Heard {
        /// The follower's term.
        term: View,
        /// The round that it answers.
        round: u64,
    },
    /// The entries that you need are gone: fetch the blocks up to there, then go on.
    Snapshot {
        /// The leader's term.
        term: View,
        /// What stands for the entries.
        base: Base,
    },
    /// I forgot what I said: show me an entry that was made after this (RA24).
    Rejoin {
        /// My term now.
        term: View,
        /// Names the request.
        attempt: u64,
    },
    /// It is this one.
    Welcome {
        /// The leader's term.
        term: View,
        /// The request that it answers.
        attempt: u64,
        /// The entry.
        index: Seq,
    },
    /// What may I read, so that nothing committed before is missing?
    Read {
        /// Names the question, among the asker's.
        id: u64,
    },
    /// The state once this index is applied.
    ReadIndex {
        /// Which question.
        id: u64,
        /// The index; `None`: I do not lead (any more).
        index: Option<Seq>,
    },
}

impl RaftMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 13] = [
        "REQUEST-VOTE",
        "VOTE",
        "REQUEST-PRE-VOTE",
        "PRE-VOTE",
        "APPEND",
        "APPENDED",
        "HEARTBEAT",
        "HEARD",
        "SNAPSHOT",
        "REJOIN",
        "WELCOME",
        "READ",
        "READ-INDEX",
    ];

    /// The term that it was said in; reads have none.
    pub fn term(&self) -> Option<View> {
        match self {
            Self::RequestVote { term, .. }
            | Self::Vote { term, .. }
            | Self::Append { term, .. }
            | Self::Appended { term, .. }
            | Self::Heartbeat { term, .. }
            | Self::Heard { term, .. }
            | Self::Snapshot { term, .. }
            | Self::Rejoin { term, .. }
            | Self::Welcome { term, .. } => Some(*term),
            Self::Read { .. } | Self::ReadIndex { .. } => None,
        }
    }

    /// Whether only a leader says it, to those who follow it.
    pub(super) fn is_of_leader(&self) -> bool {
        matches!(
            self,
            Self::Append { .. } | Self::Heartbeat { .. } | Self::Snapshot { .. }
        )
    }

    fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        let entries: &[Entry] = match self {
            Self::Append { entries, .. } => entries,
            _ => &[],
        };
        entries.iter().filter_map(Entry::block)
    }
}

impl Message for RaftMessage {
    fn kind(&self) -> Kind {
        let code: u8 = match self {
            Self::RequestVote { pre: false, .. } => 0,
            Self::Vote { pre: false, .. } => 1,
            Self::RequestVote { pre: true, .. } => 2,
            Self::Vote { pre: true, .. } => 3,
            Self::Append { .. } => 4,
            Self::Appended { .. } => 5,
            Self::Heartbeat { .. } => 6,
            Self::Heard { .. } => 7,
            Self::Snapshot { .. } => 8,
            Self::Rejoin { .. } => 9,
            Self::Welcome { .. } => 10,
            Self::Read { .. } => 11,
            Self::ReadIndex { .. } => 12,
        };
        Kind {
            name: Self::NAMES[usize::from(code)],
            code,
            proposal: code == 4,
        }
    }

    fn slot(&self) -> Slot {
        let seq = match self {
            Self::RequestVote { last, .. } => last.index,
            Self::Append { prev, entries, .. } if !entries.is_empty() => prev.index.next(),
            Self::Append { prev, .. } => prev.index,
            Self::Appended { index, .. } | Self::Welcome { index, .. } => *index,
            Self::Heartbeat { commit, .. } => *commit,
            Self::Snapshot { base, .. } => base.at.index,
            Self::ReadIndex { index, .. } => index.unwrap_or_default(),
            Self::Vote { .. } | Self::Heard { .. } | Self::Rejoin { .. } | Self::Read { .. } => {
                Seq(0)
            }
        };
        Slot {
            view: self.term().unwrap_or_default(),
            seq,
        }
    }

    fn wire_len(&self) -> usize {
        1 + match self {
            Self::RequestVote { .. } => 1 + 8 + Position::WIRE_LEN,
            Self::Vote { .. } => 1 + 8 + 1,
            Self::Append { entries, .. } => {
                let entries = entries.iter().map(Entry::wire_len).sum::<usize>();
                8 + Position::WIRE_LEN + 4 + entries + 8
            }
            Self::Appended { hint, .. } => 8 + 8 + 1 + hint.map_or(0, |_| Position::WIRE_LEN) + 1,
            Self::Heartbeat { .. } => 8 + 8 + 8 + 1,
            Self::Heard { .. } | Self::Rejoin { .. } => 8 + 8,
            Self::Snapshot { base, .. } => 8 + base.wire_len(),
            Self::Welcome { .. } => 8 + 8 + 8,
            Self::Read { .. } => 8,
            Self::ReadIndex { index, .. } => 8 + 1 + index.map_or(0, |_| 8),
        }
    }

    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        self.blocks().for_each(|block| visit(block));
    }

    fn signatures(&self) -> usize {
        self.blocks().map(|block| block.transactions().len()).sum()
    }

    fn hashed_bytes(&self) -> usize {
        self.blocks().map(|block| block.wire_len()).sum()
    }

    fn conflicting(&self, _key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::Append { .. } => rewrite::forked(self, me, forks),
            Self::Vote { pre, term, granted } => Some(Self::Vote {
                pre: *pre,
                term: *term,
                granted: !granted,
            }),
            _ => None,
        }
    }

    fn rewrite(&self, change: Rewrite, pen: &mut Pen<'_, Self>) -> Option<Self> {
        rewrite::rewrite(self, change, pen)
    }
}

/// What a member may not forget.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// Term and vote, in one piece.
    State {
        /// The latest term that it knows.
        term: View,
        /// For whom it voted in that term.
        voted: Option<NodeId>,
        /// It forgot what it said, and this names the request to be let in again.
        mute: Option<u64>,
    },
    /// These follow the entry before `first`; whatever stood there before is void.
    Entries {
        /// The index of the first.
        first: Seq,
        /// The entries.
        list: Vec<Entry>,
    },
    /// This stands for all entries up to its place; the log goes on from there, and what it held before
    /// is void.
    Base(Base),
}

impl Record {
    /// Names of the kinds.
    pub const NAMES: [&'static str; 3] = ["STATE", "ENTRIES", "BASE"];
}

impl engine::Record for Record {
    fn wire_len(&self) -> usize {
        1 + match self {
            Self::State { voted, mute, .. } => {
                8 + 1 + voted.map_or(0, |_| 2) + 1 + mute.map_or(0, |_| 8)
            }
            Self::Entries { list, .. } => 8 + 4 + list.iter().map(Entry::wire_len).sum::<usize>(),
            Self::Base(base) => base.wire_len(),
        }
    }

    fn label(&self) -> (&'static str, Slot) {
        let (name, view, seq) = match self {
            Self::State { term, .. } => (Self::NAMES[0], *term, Seq(0)),
            Self::Entries { first, list } => {
                let term = list.last().map_or(View(0), |entry| entry.term);
                (Self::NAMES[1], term, *first)
            }
            Self::Base(base) => (Self::NAMES[2], base.at.term, base.at.index),
        };
        (name, Slot { view, seq })
    }
}

/// An entry that holds no block, for rewriters.
pub(super) const fn emptied(term: View) -> Entry {
    Entry {
        term,
        body: Body::Nothing,
    }
}
