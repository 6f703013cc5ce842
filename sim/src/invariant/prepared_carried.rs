//! Prepared carried: what may have been committed in one view is what later views vote for (I11, R19-R24).
//!
//! q COMMITs decide. Up to f of them may come from liars, so once q − f honest validators have said COMMIT
//! to one digest for a slot in a view, somebody may call it decided there. Any quorum of VIEW-CHANGEs has
//! one of those q − f among its honest senders, so every later view must propose it again. A validator that
//! lost its disk cannot show what it prepared, and no longer counts.
//!
//! What is claimed: if q − f honest validators said COMMIT to x ≠ null for slot s in view v, no honest
//! validator says PREPARE or COMMIT to anything else for s in a later view. Where they said COMMIT to null,
//! no honest validator says COMMIT to anything else there later, but a PREPARE may name a block: one that
//! is void is carried as the block that was prepared, and committed as null (deviation 9 of
//! [`consortium_node::pbft`]). It sounds at the first PREPARE, long before there are two blocks.

use std::collections::{BTreeMap, BTreeSet};

use consortium_node::{
    engine::{Recovery, Tale},
    node::Claims,
    pbft::{COMMIT, PREPARE},
    quorum::Vote,
    types::{Digest, NodeId, Seq, View},
};

use super::{Court, Invariant, Scene, unless_pbft};
use crate::{fact::Fact, scenario::plan::Plan};

/// As scenarios write it.
pub const NAME: &str = "prepared-carried";

/// Windows of slots that are remembered. Among any q senders of VIEW-CHANGE is an honest one of those that
/// took the highest stable checkpoint, so a new view begins one window below it at most; votes go
/// no further than one window above it.
const WINDOWS: u64 = 3;

/// No later view votes against what q − f honest validators committed to.
#[derive(Debug)]
pub struct PreparedCarried {
    remembered: u64,
    /// Of each slot that anybody honest said COMMIT for.
    slots: BTreeMap<Seq, Vec<Holding>>,
}

/// Honest validators that said COMMIT to one digest in one view.
#[derive(Debug)]
struct Holding {
    view: View,
    digest: Digest,
    holders: BTreeSet<NodeId>,
}

impl Holding {
    /// Whether an honest vote of a later view must be for something else, were this held by enough.
    fn forbids(&self, vote: &Vote) -> bool {
        let about_null = vote.phase == PREPARE && self.digest == Digest::ZERO;
        // What a committee decided beyond the end of its time is void, and the next one's to decide.
        let same_epoch = self.view.epoch() == vote.view.epoch();
        same_epoch && self.view < vote.view && self.digest != vote.digest && !about_null
    }
}

impl PreparedCarried {
    /// Watches a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        let window = plan.consensus.protocol.pbft().map_or(0, |pbft| pbft.window);
        Self {
            remembered: window.saturating_mul(WINDOWS),
            slots: BTreeMap::new(),
        }
    }

    fn committed(&mut self, node: NodeId, vote: &Vote) {
        let slot = self.slots.entry(vote.slot).or_default();
        let known = slot
            .iter_mut()
            .find(|held| (held.view, held.digest) == (vote.view, vote.digest));
        match known {
            Some(held) => {
                held.holders.insert(node);
            }
            None => slot.push(Holding {
                view: vote.view,
                digest: vote.digest,
                holders: [node].into(),
            }),
        }
        if self.slots.len() as u64 > self.remembered {
            self.slots.pop_first();
        }
    }

    /// A validator cannot show any more what it prepared.
    fn forget(&mut self, node: NodeId) {
        for held in self.slots.values_mut().flatten() {
            held.holders.remove(&node);
        }
    }
}

impl Invariant for PreparedCarried {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "what may be committed in one view is what later views vote for"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        unless_pbft(claims, "prepares nothing")
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        if let Fact::Restarted { node, disk, .. } = scene.fact
            && *disk == Recovery::Lost
        {
            self.forget(*node);
        }
        let Some((node, Tale::Voted(vote))) = scene.tale else {
            return;
        };
        if !matches!(vote.phase, PREPARE | COMMIT) {
            return;
        }
        court.check();
        let term = scene.seen.committees.term(vote.view.epoch());
        let Some(committee) = term.map(|term| &term.committee) else {
            return;
        };
        let enough = committee.quorum() - committee.f();
        let mut held = self.slots.get(&vote.slot).into_iter().flatten();
        if let Some(held) = held.find(|h| h.holders.len() >= enough && h.forbids(vote)) {
            let word = if vote.phase == PREPARE {
                "PREPARE"
            } else {
                "COMMIT"
            };
            let what = format!(
                "slot {}, view {}: member {} said {word} to {}, but {} honest members said COMMIT to {} \
                 in view {}",
                vote.slot,
                vote.view,
                scene.seen.who(node),
                vote.digest,
                held.holders.len(),
                held.digest,
                held.view
            );
            court.violated(scene.at, what);
        }
        if vote.phase == COMMIT {
            self.committed(node, vote);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::{agreement, stage::Stage};

    const X: Digest = Digest([1; 32]);
    const Y: Digest = Digest([2; 32]);
    const NULL: Digest = Digest::ZERO;

    /// Members 0 and 1 of four said COMMIT to it for slot 9 in view 1: two are q - f.
    fn committed(digest: Digest) -> Stage {
        let mut stage = Stage::pbft();
        for by in 0..2 {
            stage.vote_in(COMMIT, by, 1, 9, digest);
        }
        stage
    }

    #[test]
    fn i11_a_vote_against_what_may_be_committed_is_a_violation() {
        for (phase, digest) in [(PREPARE, Y), (COMMIT, Y), (PREPARE, NULL), (COMMIT, NULL)] {
            let mut stage = committed(X);
            stage.vote_in(phase, 2, 3, 9, digest);
            assert_eq!(stage.violated(), [NAME], "{phase:?} {digest}");
        }
        let mut stage = committed(X);
        stage.vote_in(PREPARE, 2, 3, 9, Y);
        let what = stage.first_violation().what;
        let expected = format!(
            "slot 9, view 3: member \"Warehouse\" said PREPARE to {Y}, but 2 honest members said COMMIT \
             to {X} in view 1"
        );
        assert_eq!(what, expected);
    }

    #[test]
    fn i11_it_sounds_before_there_are_two_blocks() {
        let mut stage = Stage::pbft();
        let genesis = Stage::genesis();
        let [left, right] = [1, 2].map(|time| Stage::block_at(&genesis, vec![], time));
        for by in 0..3 {
            stage.vote_in(COMMIT, by, 0, 1, left.id());
        }
        for by in 1..4 {
            stage.vote_in(PREPARE, by, 1, 1, right.id());
        }
        for (block, view) in [(left, 0), (right, 1)] {
            let entry = stage.certified_in(block, vec![], [1, 2, 3], view);
            stage.append(view as usize, &entry);
        }
        let verdicts = stage.close();
        let at = |name| verdicts.on(name).expect("it is listed").violations()[0].at;
        assert!(at(NAME) < at(agreement::NAME));
    }

    #[test]
    fn votes_for_it_of_the_same_or_an_earlier_view_and_for_other_slots_are_right() {
        let mut stage = committed(X);
        stage.vote_in(PREPARE, 2, 3, 9, X);
        stage.vote_in(COMMIT, 2, 3, 9, X);
        stage.vote_in(PREPARE, 3, 1, 9, Y);
        stage.vote_in(PREPARE, 3, 0, 9, Y);
        stage.vote_in(PREPARE, 3, 3, 10, Y);
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 7);
    }

    #[test]
    fn what_too_few_hold_binds_nobody() {
        let mut stage = committed(X);
        stage.make_liar(1);
        stage.vote_in(PREPARE, 2, 3, 9, Y);
        assert_eq!(stage.violated(), [""; 0], "one is honest");
    }

    #[test]
    fn r41_a_void_block_is_prepared_again_and_committed_as_null_again() {
        let mut stage = committed(NULL);
        stage.vote_in(PREPARE, 2, 3, 9, X);
        stage.vote_in(COMMIT, 2, 3, 9, NULL);
        assert_eq!(stage.violated(), [""; 0]);
        stage.vote_in(COMMIT, 3, 3, 9, X);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn r40_who_lost_its_disk_holds_nothing_and_a_restart_with_a_good_one_changes_nothing() {
        for (disk, expected) in [
            (Recovery::Clean, vec![NAME]),
            (Recovery::Torn, vec![NAME]),
            (Recovery::Lost, vec![]),
        ] {
            let mut stage = committed(X);
            stage.restart(1, disk, 0);
            stage.vote_in(PREPARE, 2, 3, 9, Y);
            assert_eq!(stage.violated(), expected, "{disk:?}");
        }
    }

    #[test]
    fn slots_far_below_are_forgotten() {
        let plan = Stage::pbft().plan().clone();
        let mut invariant = PreparedCarried::new(&plan);
        for slot in 1..=2000 {
            let (phase, view, digest) = (COMMIT, View(0), X);
            let slot = Seq(slot);
            let vote = Vote {
                phase,
                view,
                slot,
                digest,
            };
            invariant.committed(NodeId(0), &vote);
        }
        assert_eq!(invariant.slots.len(), 768);
        assert_eq!(
            invariant.slots.first_key_value().map(|(seq, _)| seq.0),
            Some(1233)
        );
    }
}
