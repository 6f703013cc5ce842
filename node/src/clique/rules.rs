//! Who may seal when: turns, the signer limit, the period, the wiggle.

use std::{sync::Arc, time::Duration};

use super::tree::Tree;
use crate::{
    block::Block,
    codec,
    engine::Refusal,
    membership::Committee,
    quorum::Phase,
    sealed::SealedBlock,
    types::{BlockId, Height, NodeId, Wall},
};

/// A signer's signature under a block.
pub const SEAL: Phase = Phase(1);
/// Difficulty of a block whose signer was in turn.
pub const IN_TURN: u64 = 2;
/// Difficulty of any other block.
pub const OUT_OF_TURN: u64 = 1;
/// What each possible out-of-turn signer adds to the longest wiggle (geth).
pub const WIGGLE: Duration = Duration::from_millis(500);

/// The validity rules of EIP-225, without its votes.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) committee: Arc<Committee>,
    pub(super) period: Duration,
    /// Seed of the wiggles.
    pub(super) seed: u64,
}

impl Rules {
    /// The signer whose turn it is: height mod n is its place in the committee.
    pub(super) fn in_turn(&self, height: Height) -> NodeId {
        self.committee.turn(height.0)
    }

    /// The difficulty that a block must claim.
    pub(super) fn difficulty(&self, signer: NodeId, height: Height) -> u64 {
        if self.in_turn(height) == signer {
            IN_TURN
        } else {
            OUT_OF_TURN
        }
    }

    /// What the header's `extra` must be.
    pub(super) fn extra(&self, signer: NodeId, height: Height) -> Vec<u8> {
        codec::encode(&self.difficulty(signer, height))
    }

    /// Live signers without which nothing moves: ⌊n/2⌋+1, the window of the signer limit.
    pub(super) fn window(&self) -> usize {
        self.committee.n() / 2 + 1
    }

    /// Whether `signer` may seal on top of `parent`: a signer seals at most one of any ⌊n/2⌋+1
    /// consecutive blocks.
    pub(super) fn may_seal(&self, tree: &Tree, parent: &BlockId, signer: NodeId) -> bool {
        self.committee.contains(signer) && !tree.signed_recently(parent, self.window() - 1, signer)
    }

    /// Earliest timestamp of a block that follows one of this timestamp. Even without a period it is
    /// later than the parent's.
    pub(super) fn earliest(&self, parent: Wall) -> Wall {
        let spacing = (self.period.as_nanos() as u64).max(1);
        Wall(parent.0.saturating_add(spacing))
    }

    /// How long an out-of-turn signer holds back: a draw from [0, (⌊n/2⌋+1)·500 ms) that depends on
    /// the seed, the signer and the height and on nothing else.
    pub(super) fn wiggle(&self, signer: NodeId, height: Height) -> u64 {
        let longest = WIGGLE.as_nanos() as u64 * self.window() as u64;
        codec::digest("clique wiggle", &(self.seed, signer, height)).prefix() % longest
    }

    /// What can be said of a foreign block without knowing its parent.
    pub(super) fn check_seal(&self, sealed: &SealedBlock) -> Result<(), Refusal> {
        sealed.verify(&self.committee, SEAL)?;
        let header = sealed.block().header();
        if header.extra == self.extra(header.proposer, header.height) {
            Ok(())
        } else {
            Err(Refusal::Malformed)
        }
    }

    /// What can be said once the parent is known.
    pub(super) fn check_place(&self, tree: &Tree, block: &Block) -> Result<(), Refusal> {
        let header = block.header();
        let parent = tree
            .status(&header.parent)
            .expect("asked only with the parent in the tree");
        let parent_time = tree
            .timestamp(&header.parent)
            .expect("the parent is in the tree");
        if header.height != parent.height.next() || header.timestamp < self.earliest(parent_time) {
            Err(Refusal::Malformed)
        } else if header.height < tree.lowest() {
            Err(Refusal::Stale)
        } else if !self.may_seal(tree, &header.parent, header.proposer) {
            Err(Refusal::WrongSender)
        } else if tree.siblings(&header.parent, header.proposer) >= self.committee.n() {
            // Each other signer can have built on one of an equivocator's blocks; more are spam.
            Err(Refusal::Conflicting)
        } else {
            Ok(())
        }
    }
}
