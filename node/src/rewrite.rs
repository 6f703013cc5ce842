//! Small changes that a liar makes to a message of its own before it sends it.
//!
//! The idea is that of ByzzFuzz (Winter et al., *Randomized Testing of Byzantine Fault Tolerant
//! Algorithms*, OOPSLA 2023): most bugs show under a message that differs from the right one in one
//! place. What a change comes to is each message's business, see [`crate::engine::Message::rewrite`].
//! A liar signs with its own key; what others signed it can leave out, repeat or put in a wrong place,
//! and then it does not verify.

use crate::{crypto::Keypair, engine::Forks, types::NodeId};
use std::sync::Arc;

/// One small change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rewrite {
    /// The view is so many higher (or lower).
    View(i64),
    /// The sequence number is so many higher (or lower).
    Seq(i64),
    /// A digest that stands for nothing.
    Digest,
    /// What an equivocator would say, see [`crate::engine::Message::conflicting`].
    Conflicting,
    /// A null request where there was a block.
    Null,
    /// The value that an earlier message of this kind had, in the place of this one.
    Earlier,
    /// The block is left out.
    WithoutBlock,
    /// The proof of the checkpoint is left out.
    WithoutProof,
    /// What was prepared is left out.
    WithoutPrepared,
    /// One entry of what was prepared is replaced by one that proves nothing.
    MalformedPrepared,
    /// A false statement, proved by the liar's own word as many times as it takes.
    RepeatedSigner,
    /// One signature or one VIEW-CHANGE fewer than there were.
    TooFew,
    /// A false statement under genuine signatures that are about something else.
    Stitched,
    /// A request for the next view instead.
    ViewChange,
}

/// What a liar writes with: its own key, the message of this kind that it sent before, and the lies
/// that it agreed on with its accomplices.
#[derive(Debug)]
pub struct Pen<'a, M> {
    /// Its own key.
    pub key: &'a Arc<Keypair>,
    /// Itself.
    pub me: NodeId,
    /// Signers that a certificate of its committee needs.
    pub quorum: usize,
    /// A message of the same kind that it would have sent earlier, about another slot.
    pub earlier: Option<&'a M>,
    /// For each honest digest, the one that the victims are told.
    pub forks: &'a mut Forks,
}

/// A number moved by an amount; the ends of its range hold it.
#[must_use]
pub const fn moved(number: u64, by: i64) -> u64 {
    number.saturating_add_signed(by)
}
