//! Which of two branches is better: always the heavier one; clients differ when they weigh the same.

use std::sync::Arc;

use crate::{
    codec,
    membership::Committee,
    types::{BlockId, Height, NodeId},
};

/// What is done when two branches have the same total difficulty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum TieBreak {
    /// Stay with the one that was seen first, as most clients do. Two halves of a network can each
    /// end in a branch that only the other half may extend, and then nobody seals any more although
    /// everyone is alive (go-ethereum issues 18402 and 24705; states 1 and 2 of EIP-3436).
    #[default]
    FirstSeen,
    /// The lower one; at equal heights a coin, which each node throws once for each newcomer (geth).
    ShorterThenCoin,
    /// The lower one, then the one whose signer was in turn most recently, then the lower hash: the
    /// same answer at every node (EIP-3436).
    Eip3436,
}

/// What the choice looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    pub(super) id: BlockId,
    pub(super) height: Height,
    pub(super) signer: Option<NodeId>,
    pub(super) total_difficulty: u64,
}

/// The rule with all that it depends on.
#[derive(Clone, Debug)]
pub(super) struct ForkChoice {
    pub(super) tie_break: TieBreak,
    pub(super) committee: Arc<Committee>,
    /// Seed of the coins.
    pub(super) seed: u64,
    pub(super) me: NodeId,
}

impl ForkChoice {
    /// Whether the newcomer should replace the head.
    pub(super) fn prefers(&self, newcomer: &Weight, head: &Weight) -> bool {
        if newcomer.total_difficulty != head.total_difficulty {
            return newcomer.total_difficulty > head.total_difficulty;
        }
        match self.tie_break {
            TieBreak::FirstSeen => false,
            TieBreak::ShorterThenCoin => {
                newcomer.height < head.height
                    || (newcomer.height == head.height && self.coin(&newcomer.id))
            }
            TieBreak::Eip3436 => self.rank(newcomer) < self.rank(head),
        }
    }

    /// Whether another branch of the same weight is worth a look.
    pub(super) fn looks_at_equals(&self) -> bool {
        self.tie_break != TieBreak::FirstSeen
    }

    fn coin(&self, newcomer: &BlockId) -> bool {
        let draw = codec::digest("clique coin", &(self.seed, self.me, newcomer));
        draw.prefix() & 1 == 1
    }

    /// EIP-3436: lowest height, then fewest blocks since the signer's turn, then lowest hash.
    fn rank(&self, weight: &Weight) -> (Height, u64, BlockId) {
        let n = self.committee.n() as u64;
        let position = weight
            .signer
            .and_then(|signer| self.committee.position(signer))
            .map_or(0, |position| position as u64);
        let since_turn = (weight.height.0 % n + n - position) % n;
        (weight.height, since_turn, weight.id)
    }
}
