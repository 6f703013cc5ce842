//! What validators say to each other, and what they must not forget.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    crypto::{Keypair, Signed},
    engine::{Forks, Kind, Message, Slot},
    quorum::{Phase, SIGNED_VOTE_LEN, Vote},
    rewrite::{Pen, Rewrite, moved},
    rounds::{Author, Courtesy},
    types::{Digest, Height, NodeId, Seq, View, Wall},
};

/// Phase of a ROUND-CHANGE: "let us go to this round". Its digest is zero: it says nothing else.
pub const ROUND_CHANGE: Phase = Phase(4);

/// PRE-PREPARE: a block for a height in a round.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct PrePrepare {
    /// Signed by the round's proposer.
    pub claim: Signed<Vote>,
    /// The block.
    pub block: Arc<Block>,
}

impl PrePrepare {
    /// Its round.
    pub(super) fn round(&self) -> u64 {
        self.claim.body().view.round()
    }

    fn wire_len(&self) -> usize {
        SIGNED_VOTE_LEN + self.block.wire_len()
    }

    fn about(&self, block: Arc<Block>, pen: (&Arc<Keypair>, NodeId)) -> Self {
        let vote = Vote {
            digest: block.id(),
            ..*self.claim.body()
        };
        Self {
            claim: pen.0.sign(pen.1, vote),
            block,
        }
    }
}

fn place_of(vote: &Signed<Vote>) -> Slot {
    Slot {
        view: vote.body().view,
        seq: vote.body().slot,
    }
}

/// A message of the protocol.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum IbftMessage {
    /// The proposer of a round proposes a block.
    PrePrepare(Arc<PrePrepare>),
    /// A validator accepted it.
    Prepare(Signed<Vote>),
    /// A validator is locked on it.
    Commit(Signed<Vote>),
    /// A validator asks for another round.
    RoundChange(Signed<Vote>),
    /// For those who are behind.
    Courtesy(Courtesy),
}

impl From<Courtesy> for IbftMessage {
    fn from(courtesy: Courtesy) -> Self {
        Self::Courtesy(courtesy)
    }
}

impl IbftMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 7] = [
        "PRE-PREPARE",
        "PREPARE",
        "COMMIT",
        "ROUND-CHANGE",
        Courtesy::NAMES[0],
        Courtesy::NAMES[1],
        Courtesy::NAMES[2],
    ];

    fn code(&self) -> u8 {
        match self {
            Self::PrePrepare(_) => 0,
            Self::Prepare(_) => 1,
            Self::Commit(_) => 2,
            Self::RoundChange(_) => 3,
            Self::Courtesy(courtesy) => 4 + courtesy.code(),
        }
    }

    /// What its sender signed; `None` for courtesies.
    pub(super) fn word(&self) -> Option<&Signed<Vote>> {
        match self {
            Self::PrePrepare(said) => Some(&said.claim),
            Self::Prepare(vote) | Self::Commit(vote) | Self::RoundChange(vote) => Some(vote),
            Self::Courtesy(_) => None,
        }
    }

    /// Who signed it and about which height.
    pub(super) fn author(&self) -> Option<Author> {
        self.word().map(|vote| Author {
            node: vote.signer(),
            height: Height(vote.body().slot.0),
        })
    }

    /// The same kind of message, with another word of the same sender.
    fn with(&self, word: Signed<Vote>) -> Option<Self> {
        Some(match self {
            Self::PrePrepare(said) => Self::PrePrepare(Arc::new(PrePrepare {
                claim: word,
                block: Arc::clone(&said.block),
            })),
            Self::Prepare(_) => Self::Prepare(word),
            Self::Commit(_) => Self::Commit(word),
            Self::RoundChange(_) => Self::RoundChange(word),
            Self::Courtesy(_) => return None,
        })
    }
}

impl Message for IbftMessage {
    fn kind(&self) -> Kind {
        Kind {
            name: Self::NAMES[usize::from(self.code())],
            code: self.code(),
            proposal: matches!(self, Self::PrePrepare(_)),
        }
    }

    fn slot(&self) -> Slot {
        match self {
            Self::Courtesy(courtesy) => courtesy.slot(),
            _ => self.word().map_or_else(Slot::default, place_of),
        }
    }

    fn wire_len(&self) -> usize {
        1 + match self {
            Self::PrePrepare(said) => said.wire_len(),
            Self::Prepare(_) | Self::Commit(_) | Self::RoundChange(_) => SIGNED_VOTE_LEN,
            Self::Courtesy(courtesy) => courtesy.wire_len(),
        }
    }

    fn signatures(&self) -> usize {
        match self {
            Self::PrePrepare(said) => 1 + said.block.transactions().len(),
            Self::Prepare(_) | Self::Commit(_) | Self::RoundChange(_) => 1,
            Self::Courtesy(courtesy) => courtesy.signatures(),
        }
    }

    fn hashed_bytes(&self) -> usize {
        match self {
            Self::PrePrepare(said) => said.block.wire_len(),
            _ => 0,
        }
    }

    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        if let Self::PrePrepare(said) = self {
            visit(&said.block);
        }
    }

    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::PrePrepare(said) => {
                let mut header = said.block.header().clone();
                header.timestamp = Wall(header.timestamp.0.wrapping_add(1));
                let lie = Block::new(header, said.block.transactions().to_vec());
                forks.insert(said.block.id(), lie.id());
                Some(Self::PrePrepare(Arc::new(said.about(lie, (key, me)))))
            }
            Self::Prepare(vote) | Self::Commit(vote) => {
                let digest = *forks.get(&vote.body().digest)?;
                let lie = Vote {
                    digest,
                    ..*vote.body()
                };
                self.with(key.sign(me, lie))
            }
            Self::RoundChange(_) | Self::Courtesy(_) => None,
        }
    }

    fn rewrite(&self, change: Rewrite, pen: &mut Pen<'_, Self>) -> Option<Self> {
        if let Self::Courtesy(courtesy) = self {
            return courtesy.rewrite(change, pen).map(Self::Courtesy);
        }
        let vote = *self.word()?.body();
        let lie = match change {
            Rewrite::Conflicting => return self.conflicting(pen.key, pen.me, pen.forks),
            Rewrite::View(by) => Vote {
                view: View(moved(vote.view.0, by)),
                ..vote
            },
            Rewrite::Seq(by) => Vote {
                slot: Seq(moved(vote.slot.0, by)),
                ..vote
            },
            Rewrite::Digest => Vote {
                digest: Digest(vote.digest.0.map(|byte| !byte)),
                ..vote
            },
            Rewrite::Earlier => Vote {
                digest: pen.earlier?.word()?.body().digest,
                ..vote
            },
            _ => return None,
        };
        self.with(pen.key.sign(pen.me, lie))
    }
}

/// What must be durable before its consequence is sent.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// A proposal that this validator made or accepted: its PREPARE, or its COMMIT, follows.
    Accepted(Arc<PrePrepare>),
    /// It sent PREPARE for the proposal.
    Prepare(Signed<Vote>),
    /// It is locked on the proposal and sent COMMIT.
    Commit(Signed<Vote>),
    /// It asked for another round.
    RoundChange(Signed<Vote>),
    /// It lost its log once and has signed nothing since.
    Mute,
}

impl Record {
    /// Names of the kinds.
    pub const NAMES: [&'static str; 5] = ["ACCEPTED", "PREPARE", "COMMIT", "ROUND-CHANGE", "MUTE"];
}

impl crate::engine::Record for Record {
    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Accepted(said) => said.wire_len(),
            Self::Prepare(_) | Self::Commit(_) | Self::RoundChange(_) => SIGNED_VOTE_LEN,
            Self::Mute => 0,
        }
    }

    fn label(&self) -> (&'static str, Slot) {
        match self {
            Self::Accepted(said) => (Self::NAMES[0], place_of(&said.claim)),
            Self::Prepare(vote) => (Self::NAMES[1], place_of(vote)),
            Self::Commit(vote) => (Self::NAMES[2], place_of(vote)),
            Self::RoundChange(vote) => (Self::NAMES[3], place_of(vote)),
            Self::Mute => (Self::NAMES[4], Slot::default()),
        }
    }
}
