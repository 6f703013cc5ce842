//! Checkpoint: a stable checkpoint is one state that a quorum took (I13, R13, R14).

use std::collections::BTreeMap;

use consortium_node::{
    engine::Tale,
    node::Claims,
    pbft::CHECKPOINT,
    types::{Digest, Epoch, NodeId, Seq},
};

use super::{Court, Invariant, Scene, unless_pbft};
use crate::scenario::plan::Plan;

/// As scenarios write it.
pub const NAME: &str = "checkpoint";

/// Checkpoints that are remembered: the highest.
const REMEMBERED: usize = 1024;

/// Whenever an honest validator calls a checkpoint stable, or says CHECKPOINT, its slot is a multiple of
/// K and every other honest word about that slot names the same digest. A stable one was taken by at
/// least q honest validators, less one for each liar.
#[derive(Debug)]
pub struct Checkpoint {
    interval: u64,
    points: BTreeMap<Seq, Point>,
    /// Nothing is known any more of checkpoints up to here.
    forgotten: Seq,
}

/// What honest validators say about one slot.
#[derive(Debug)]
struct Point {
    /// The first word, and whose it was.
    first: (Digest, NodeId),
    /// Of which committee it is, once somebody has said CHECKPOINT.
    epoch: Epoch,
    /// Who said CHECKPOINT, for which digest.
    votes: BTreeMap<NodeId, Digest>,
}

impl Checkpoint {
    /// Watches a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            interval: plan
                .consensus
                .protocol
                .pbft()
                .map_or(1, |pbft| pbft.checkpoint_interval),
            points: BTreeMap::new(),
            forgotten: Seq(0),
        }
    }

    /// Takes an honest word; `None` if nothing is known of its slot any more.
    fn hear(
        &mut self,
        scene: &Scene<'_>,
        (node, seq, digest): (NodeId, Seq, Digest),
        court: &mut Court,
    ) -> Option<&mut Point> {
        court.check();
        if !seq.0.is_multiple_of(self.interval) {
            let (who, k) = (scene.seen.who(node), self.interval);
            let what = format!("slot {seq}: member {who} took a checkpoint, K is {k}");
            court.violated(scene.at, what);
        }
        if seq <= self.forgotten {
            return None;
        }
        let first = (digest, node);
        let point = self.points.entry(seq).or_insert_with(|| Point {
            first,
            epoch: Epoch::default(),
            votes: BTreeMap::new(),
        });
        let (known, other) = point.first;
        if known != digest {
            let what = format!(
                "slot {seq}, members {} and {} have different checkpoints, {known} and {digest}",
                scene.seen.who(other),
                scene.seen.who(node)
            );
            court.violated(scene.at, what);
        }
        if self.points.len() > REMEMBERED
            && let Some((seq, _)) = self.points.pop_first()
        {
            self.forgotten = seq;
        }
        self.points.get_mut(&seq)
    }
}

impl Invariant for Checkpoint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "a stable checkpoint is one state that a quorum took"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        unless_pbft(claims, "takes no checkpoints")
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        match scene.tale {
            Some((node, Tale::Voted(vote))) if vote.phase == CHECKPOINT => {
                if let Some(point) = self.hear(scene, (node, vote.slot, vote.digest), court) {
                    point.epoch = vote.view.epoch();
                    point.votes.insert(node, vote.digest);
                }
            }
            Some((node, Tale::Stable { seq, digest })) => {
                let Some(point) = self.hear(scene, (node, *seq, *digest), court) else {
                    return;
                };
                let taken = point.votes.values();
                let voters = taken.filter(|vote| *vote == digest).count();
                let needed = scene.seen.honest_quorum(point.epoch);
                if voters < needed {
                    let who = scene.seen.who(node);
                    let what = format!(
                        "slot {seq}: member {who} called {digest} stable, which {voters} honest \
                         members took; a quorum has {needed}"
                    );
                    court.violated(scene.at, what);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    const ONE: Digest = Digest([1; 32]);
    const OTHER: Digest = Digest([2; 32]);

    fn stable(stage: &mut Stage, by: usize, seq: u64, digest: Digest) {
        let seq = Seq(seq);
        stage.tale(by, Tale::Stable { seq, digest });
    }

    #[test]
    fn what_a_quorum_took_is_stable() {
        let mut stage = Stage::pbft();
        for by in 0..3 {
            stage.vote_in(CHECKPOINT, by, 0, 64, ONE);
        }
        for by in 0..4 {
            stable(&mut stage, by, 64, ONE);
        }
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 7);
    }

    #[test]
    fn r14_stable_by_too_few_is_a_violation_and_a_liar_makes_up_for_one() {
        let mut stage = Stage::pbft();
        for by in 0..2 {
            stage.vote_in(CHECKPOINT, by, 0, 64, ONE);
        }
        stable(&mut stage, 0, 64, ONE);
        assert_eq!(stage.violated(), [NAME]);
        let what = stage.first_violation().what;
        assert!(
            what.ends_with("which 2 honest members took; a quorum has 3"),
            "{what}"
        );
        stage.make_liar(3);
        assert_eq!(stage.violated(), [""; 0], "the liar may have signed it");
    }

    #[test]
    fn a_vote_that_is_repeated_counts_once() {
        let mut stage = Stage::pbft();
        for by in [0, 1, 1] {
            stage.vote_in(CHECKPOINT, by, 0, 64, ONE);
        }
        stable(&mut stage, 0, 64, ONE);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn r13_two_states_after_one_slot_are_a_violation() {
        let mut stage = Stage::pbft();
        stage.vote_in(CHECKPOINT, 0, 0, 64, ONE);
        stage.vote_in(CHECKPOINT, 1, 0, 64, OTHER);
        assert_eq!(stage.violated(), [NAME]);
        let what = stage.first_violation().what;
        let start = "slot 64, members \"Farm\" and \"Truck\" have different checkpoints";
        assert!(what.starts_with(start), "{what}");
        stage.make_liar(1);
        assert_eq!(stage.violated(), [""; 0], "what a liar took is nothing");
    }

    #[test]
    fn r13_a_checkpoint_between_two_multiples_of_k_is_a_violation() {
        let mut stage = Stage::pbft();
        for by in 0..3 {
            stage.vote_in(CHECKPOINT, by, 0, 65, ONE);
        }
        assert_eq!(stage.violated(), [NAME]);
        let what = stage.first_violation().what;
        assert_eq!(what, "slot 65: member \"Farm\" took a checkpoint, K is 64");
    }

    #[test]
    fn checkpoints_far_below_are_forgotten_and_cost_no_false_alarm() {
        let mut stage = Stage::pbft();
        for number in 1..REMEMBERED as u64 + 10 {
            for by in 0..3 {
                stage.vote_in(CHECKPOINT, by, 0, number * 64, ONE);
            }
        }
        stable(&mut stage, 3, 64, ONE);
        stable(&mut stage, 3, REMEMBERED as u64 * 64, ONE);
        assert_eq!(stage.violated(), [""; 0]);
    }
}
