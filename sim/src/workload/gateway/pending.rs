//! A transaction that waits for an answer, and what was said about it.

use std::sync::Arc;

use consortium_node::{
    node::TxRefusal,
    transaction::{Outcome, Transaction},
    types::{BlockId, Height, NodeId},
};

use super::endorsing::Round;
use crate::time::Time;

/// What a validator says became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) block: BlockId,
    pub(super) height: Height,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) transaction: Arc<Transaction>,
    /// Attempts so far; none while it is buffered.
    pub(super) attempt: u32,
    /// When the last attempt was made.
    pub(super) sent: Time,
    /// When the next one is due.
    pub(super) due: Time,
    pub(super) waited_for_link: bool,
    /// Where it stands with its endorsers, if there are any.
    pub(super) round: Round,
    /// A validator has one say here …
    answers: Vec<(NodeId, Answer)>,
    /// … and one here.
    refusals: Vec<(NodeId, TxRefusal)>,
}

impl Pending {
    pub(super) fn new(transaction: Arc<Transaction>, now: Time, waited_for_link: bool) -> Self {
        Self {
            transaction,
            attempt: 0,
            sent: now,
            due: Time::NEVER,
            waited_for_link,
            round: Round::default(),
            answers: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Notes what `by` says became of it; how many say the same now, and how many something else.
    pub(super) fn answer(&mut self, by: NodeId, answer: &Answer) -> (usize, usize) {
        let equal = say(&mut self.answers, by, answer.clone());
        (equal, self.answers.len() - equal)
    }

    /// Whether anyone claims to have executed it.
    pub(super) fn is_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Notes why `by` refuses it; how many refuse it for that reason now.
    pub(super) fn refuse(&mut self, by: NodeId, reason: TxRefusal) -> usize {
        say(&mut self.refusals, by, reason)
    }
}

/// Replaces what `by` said; how many say the same now.
fn say<T: PartialEq>(said: &mut Vec<(NodeId, T)>, by: NodeId, what: T) -> usize {
    said.retain(|(other, _)| *other != by);
    said.push((by, what));
    let (_, what) = &said[said.len() - 1];
    said.iter().filter(|(_, other)| other == what).count()
}
