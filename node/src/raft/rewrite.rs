//! What a liar makes of a message. Raft does not claim to bear it.

use std::sync::Arc;

use super::{
    entry::{Body, Entry, Position},
    message::{RaftMessage, emptied},
};
use crate::{
    block::{Block, Header},
    engine::{Forks, Message as _},
    rewrite::{Pen, Rewrite, moved},
    types::{Digest, NodeId, Seq, View, Wall},
};

/// The same entries with other blocks: each a nanosecond later, on the fork of its parent.
pub(super) fn forked(message: &RaftMessage, me: NodeId, forks: &mut Forks) -> Option<RaftMessage> {
    let RaftMessage::Append {
        term,
        prev,
        entries,
        commit,
    } = message
    else {
        return None;
    };
    let mut lied = false;
    let mut fork = |entry: &Entry| {
        let block = entry.block().filter(|block| block.header().proposer == me);
        let Some(block) = block else {
            return entry.clone();
        };
        let mut header = block.header().clone();
        header.parent = *forks.get(&header.parent).unwrap_or(&header.parent);
        header.timestamp = Wall(header.timestamp.0.wrapping_add(1));
        let other = Block::new(header, block.transactions().to_vec());
        forks.insert(block.id(), other.id());
        lied = true;
        Entry {
            term: entry.term,
            body: Body::Block(other),
        }
    };
    let entries = entries.iter().map(&mut fork).collect();
    lied.then_some(RaftMessage::Append {
        term: *term,
        prev: *prev,
        entries,
        commit: *commit,
    })
}

/// A message with one small change; `None` if it makes no sense there.
pub(super) fn rewrite(
    message: &RaftMessage,
    change: Rewrite,
    pen: &mut Pen<'_, RaftMessage>,
) -> Option<RaftMessage> {
    match change {
        Rewrite::Conflicting => message.conflicting(pen.key, pen.me, pen.forks),
        Rewrite::View(by) => with_term(message, by),
        Rewrite::Seq(by) => with_index(message, by),
        Rewrite::Null => with_entries(message, |entry| entry.block().map(|_| emptied(entry.term))),
        Rewrite::Digest => with_entries(message, |entry| {
            entry.block().map(|block| twisted(entry, block))
        }),
        Rewrite::WithoutBlock => match message {
            RaftMessage::Append {
                term,
                prev,
                entries,
                commit,
            } if !entries.is_empty() => Some(RaftMessage::Append {
                term: *term,
                prev: *prev,
                entries: Vec::new(),
                commit: *commit,
            }),
            _ => None,
        },
        Rewrite::ViewChange => Some(RaftMessage::RequestVote {
            pre: false,
            term: message.term()?.next(),
            last: Position {
                term: message.term()?,
                index: Seq(u64::MAX),
            },
        }),
        _ => None,
    }
}

/// The block on a parent that does not exist.
fn twisted(entry: &Entry, block: &Arc<Block>) -> Entry {
    let header = block.header().clone();
    let parent = Digest(header.parent.0.map(|byte| !byte));
    let body = Body::Block(Block::new(
        Header { parent, ..header },
        block.transactions().to_vec(),
    ));
    Entry {
        term: entry.term,
        body,
    }
}

/// Each entry for which `change` has another one, replaced; `None` if none was.
fn with_entries(
    message: &RaftMessage,
    change: impl Fn(&Entry) -> Option<Entry>,
) -> Option<RaftMessage> {
    let mut message = message.clone();
    let RaftMessage::Append { entries, .. } = &mut message else {
        return None;
    };
    let mut changed = false;
    for entry in entries {
        if let Some(other) = change(entry) {
            *entry = other;
            changed = true;
        }
    }
    changed.then_some(message)
}

fn with_term(message: &RaftMessage, by: i64) -> Option<RaftMessage> {
    let mut message = message.clone();
    match &mut message {
        RaftMessage::RequestVote { term, .. }
        | RaftMessage::Vote { term, .. }
        | RaftMessage::Append { term, .. }
        | RaftMessage::Appended { term, .. }
        | RaftMessage::Heartbeat { term, .. }
        | RaftMessage::Heard { term, .. }
        | RaftMessage::Snapshot { term, .. }
        | RaftMessage::Rejoin { term, .. }
        | RaftMessage::Welcome { term, .. } => *term = View(moved(term.0, by)),
        RaftMessage::Read { .. } | RaftMessage::ReadIndex { .. } => return None,
    }
    Some(message)
}

fn with_index(message: &RaftMessage, by: i64) -> Option<RaftMessage> {
    let mut message = message.clone();
    let index = match &mut message {
        RaftMessage::RequestVote { last, .. } => &mut last.index,
        RaftMessage::Append { prev, .. } => &mut prev.index,
        RaftMessage::Appended { index, .. }
        | RaftMessage::Welcome { index, .. }
        | RaftMessage::ReadIndex {
            index: Some(index), ..
        } => index,
        RaftMessage::Heartbeat { commit, .. } => commit,
        RaftMessage::Snapshot { base, .. } => &mut base.at.index,
        _ => return None,
    };
    *index = Seq(moved(index.0, by));
    Some(message)
}
