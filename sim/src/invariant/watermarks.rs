//! Watermarks: nobody votes for a slot that its log has no room for (I14, R6, R15, R16).

use std::collections::BTreeMap;

use consortium_node::{
    block::Finality,
    engine::Tale,
    ledger::Entry,
    node::{Claims, Note},
    pbft::{COMMIT, PREPARE},
    types::{Epoch, Height, NodeId, Seq, View},
};

use super::{Court, Invariant, Scene, unless_pbft};
use crate::{fact::Fact, scenario::plan::Plan};

/// As scenarios write it.
pub const NAME: &str = "watermarks";

/// Blocks whose slots are remembered, for those who begin with a committee late.
const REMEMBERED: usize = 4096;

/// An honest validator proposes, and says PREPARE and COMMIT, for slots in (h, h + L] only, where h is the
/// last checkpoint that it called stable and L the window; and h does not fall while it is up. Who starts
/// again says itself what is stable: until then h is 0.
#[derive(Debug)]
pub struct Watermarks {
    window: u64,
    /// h of each validator.
    low: Vec<Seq>,
    /// Slots of the newest blocks: the last one of a committee is where the next one's window begins.
    slots: BTreeMap<Height, Seq>,
}

impl Watermarks {
    /// Watches a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            window: plan
                .consensus
                .protocol
                .pbft()
                .map_or(u64::MAX, |pbft| pbft.window),
            low: vec![Seq(0); plan.validators()],
            slots: BTreeMap::new(),
        }
    }

    fn check(&self, scene: &Scene<'_>, node: NodeId, seq: Seq, court: &mut Court) {
        court.check();
        let low = self.low[node.index()];
        let high = Seq(low.0.saturating_add(self.window));
        if seq <= low || seq > high {
            let who = scene.seen.who(node);
            let what = format!(
                "slot {seq}: member {who} voted outside its watermarks, above {low} up to {high}"
            );
            court.violated(scene.at, what);
        }
    }

    /// Notes the slot of a block.
    fn decided(&mut self, entry: &Entry) {
        if let Some(Finality::Certificate(certificate)) = entry.proof.as_deref() {
            self.slots.insert(entry.height(), certificate.vote().slot);
            if self.slots.len() > REMEMBERED {
                self.slots.pop_first();
            }
        }
    }

    /// A validator says something in a view: the slots of its committee begin where those of the one
    /// before ended. Who starts again repeats its votes before it says where it stands.
    fn speaks_in(&mut self, scene: &Scene<'_>, node: NodeId, view: View) {
        if view.epoch() == Epoch(0) {
            return;
        }
        let term = scene.seen.committees.term(view.epoch());
        let last = term.and_then(|term| self.slots.get(&term.from.prev()));
        if let Some(base) = last {
            let low = &mut self.low[node.index()];
            *low = (*low).max(*base);
        }
    }
}

impl Invariant for Watermarks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "honest members vote between their watermarks only"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        unless_pbft(claims, "has no watermarks")
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        match scene.tale {
            Some((node, Tale::Voted(vote))) if matches!(vote.phase, PREPARE | COMMIT) => {
                self.speaks_in(scene, node, vote.view);
                self.check(scene, node, vote.slot, court);
            }
            Some((node, Tale::Proposed { slot, .. })) => {
                self.speaks_in(scene, node, slot.view);
                self.check(scene, node, slot.seq, court);
            }
            Some((node, Tale::Stable { seq, .. })) => {
                court.check();
                let low = &mut self.low[node.index()];
                if *seq < *low {
                    let who = scene.seen.who(node);
                    let what = format!("member {who} lowered its watermark from {low} to {seq}");
                    court.violated(scene.at, what);
                }
                *low = *seq;
            }
            Some(_) => {}
            None => {
                if let Some(append) = scene.fresh() {
                    self.decided(append.entry);
                }
                if let Fact::Node {
                    node,
                    note: Note::Recovered { .. },
                } = scene.fact
                {
                    self.low[node.index()] = Seq(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::{
        engine::{Recovery, Slot},
        types::{Digest, View},
    };

    use super::*;
    use crate::invariant::{Verdict, stage::Stage};

    const BLOCK: Digest = Digest([1; 32]);

    /// A stage on which member 1 has called slot 64 stable; the window is 256.
    fn at_64() -> Stage {
        let mut stage = Stage::pbft();
        stage.checkpoint(64, BLOCK);
        stage
    }

    fn holds(stage: &Stage) -> bool {
        !stage.close().on(NAME).is_some_and(Verdict::is_violated)
    }

    #[test]
    fn r6_votes_within_the_window_are_right_up_to_its_edges() {
        for phase in [PREPARE, COMMIT] {
            for (slot, right) in [(64, false), (65, true), (320, true), (321, false)] {
                let mut stage = at_64();
                stage.vote_in(phase, 1, 0, slot, BLOCK);
                assert_eq!(holds(&stage), right, "slot {slot}");
            }
        }
        let mut stage = at_64();
        stage.vote_in(PREPARE, 1, 0, 321, BLOCK);
        assert_eq!(
            stage.first_violation().what,
            "slot 321: member \"Truck\" voted outside its watermarks, above 64 up to 320"
        );
    }

    #[test]
    fn r15_a_primary_proposes_within_the_window() {
        for (seq, right) in [(320, true), (321, false)] {
            let mut stage = at_64();
            let (view, seq) = (View(0), Seq(seq));
            let slot = Slot { view, seq };
            stage.tale(0, Tale::Proposed { slot, block: BLOCK });
            assert_eq!(holds(&stage), right);
        }
    }

    #[test]
    fn r16_watermarks_do_not_fall_but_a_restart_begins_with_what_it_says() {
        let mut stage = at_64();
        stage.checkpoint(128, BLOCK);
        let again = Tale::Stable {
            seq: Seq(64),
            digest: BLOCK,
        };
        stage.tale(1, again.clone());
        assert_eq!(stage.violated(), [NAME]);

        let mut stage = at_64();
        stage.checkpoint(128, BLOCK);
        stage.restart(1, Recovery::Clean, 0);
        stage.tale(1, again);
        stage.vote_in(COMMIT, 1, 0, 100, BLOCK);
        assert!(holds(&stage), "the last certificate was not durable");
        stage.vote_in(COMMIT, 1, 0, 321, BLOCK);
        assert!(!holds(&stage));
    }

    #[test]
    fn the_watermarks_of_a_liar_are_its_own() {
        let mut stage = at_64();
        stage.make_liar(1);
        stage.vote_in(COMMIT, 1, 0, 1, BLOCK);
        assert!(holds(&stage));
    }
}
