//! No conflicting votes: an honest node has one word.

use consortium_node::node::Claims;

use super::{Court, Invariant, Scene, evidence::PROPOSAL, has_finality};

/// As scenarios write it.
pub const NAME: &str = "no-conflicting-votes";

/// No honest node signs two digests for one phase, view and slot, nor proposes two blocks for one slot of a
/// view, not even across a restart.
#[derive(Debug, Default)]
pub struct NoConflictingVotes;

impl Invariant for NoConflictingVotes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "no honest member signs two answers to one question"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        (!has_finality(claims)).then(|| {
            let protocol = claims.protocol;
            format!("an honest signer of {protocol} may seal one height on two branches")
        })
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        let Some(node) = scene.voted else { return };
        court.check();
        if let Some(clash) = scene.clash {
            let question = match clash.vote.phase {
                PROPOSAL => "proposal".to_owned(),
                phase => format!("phase {}", phase.0),
            };
            let what = format!(
                "slot {} of view {}, {question}: honest member {} signed {} after {}",
                clash.vote.slot,
                clash.vote.view,
                scene.seen.who(node),
                clash.vote.digest,
                clash.earlier
            );
            court.accused(scene.at, what, [node].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::{
        engine::{Slot, Tale},
        types::{Digest, Seq, View},
    };

    use super::*;
    use crate::invariant::stage::{Stage, node};

    const YES: Digest = Digest([1; 32]);
    const NO: Digest = Digest([2; 32]);

    #[test]
    fn two_answers_of_an_honest_node_are_a_violation() {
        let mut stage = Stage::pbft();
        stage.vote(1, 4, 9, YES);
        stage.vote(1, 4, 9, NO);
        assert_eq!(stage.violated(), [NAME]);
        let violation = stage.first_violation();
        assert!(
            violation
                .what
                .starts_with("slot 9 of view 4, phase 2: honest member \"Truck\"")
        );
        assert_eq!(violation.culprits, [node(1)].into());
    }

    #[test]
    fn r12_two_proposals_of_an_honest_leader_for_one_slot_are_a_violation() {
        let mut stage = Stage::pbft();
        let (view, seq) = (View(0), Seq(9));
        let slot = Slot { view, seq };
        for block in [YES, YES, NO] {
            stage.tale(0, Tale::Proposed { slot, block });
        }
        assert_eq!(stage.violated(), [NAME]);
        let what = stage.first_violation().what;
        let start = "slot 9 of view 0, proposal: honest member \"Farm\" signed";
        assert!(what.starts_with(start), "{what}");
    }

    #[test]
    fn repeating_oneself_and_changing_ones_mind_in_another_view_are_none() {
        let mut stage = Stage::pbft();
        stage.vote(1, 4, 9, YES);
        stage.vote(1, 4, 9, YES);
        stage.vote(1, 5, 9, NO);
        stage.vote(1, 4, 10, NO);
        stage.vote(2, 4, 9, NO);
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 5);
    }

    #[test]
    fn a_liars_votes_are_not_held_against_the_honest() {
        let mut stage = Stage::pbft();
        stage.make_liar(3);
        stage.vote(3, 0, 1, YES);
        stage.vote(3, 0, 1, NO);
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 0);
    }
}
