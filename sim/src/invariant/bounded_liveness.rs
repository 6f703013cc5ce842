//! Bounded liveness: whatever was asked for is answered before the drain ends.

use std::collections::{BTreeMap, BTreeSet};

use consortium_node::{
    engine::{self, Tale},
    node::Note,
    types::{NodeId, PartyId, TxId},
};

use super::{Court, Invariant, Kind, Scene, Seen, recovery::Recovery};
use crate::{ending::Ending, fact::Fact, scenario::plan::Plan, time::Time};

/// As scenarios write it.
pub const NAME: &str = "bounded-liveness";

/// When the drain is over, every transaction of an honest submitter is final or rejected, unless what
/// stays broken makes that impossible for its gateway.
#[derive(Debug)]
pub struct BoundedLiveness {
    plan: Plan,
    pending: BTreeMap<TxId, Pending>,
    /// Faults of the plan that began and have not healed.
    active: BTreeSet<usize>,
    /// Validators that started again without their disks and have not voted since.
    forgetful: BTreeSet<NodeId>,
    /// Those of them that said that they sign nothing for now: what they say about states is no vote.
    mute: BTreeSet<NodeId>,
    drained: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    party: PartyId,
    gateway: NodeId,
    due: Time,
}

impl BoundedLiveness {
    /// Watches a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            pending: BTreeMap::new(),
            active: BTreeSet::new(),
            forgetful: BTreeSet::new(),
            mute: BTreeSet::new(),
            drained: false,
        }
    }

    /// Who is as good as faulty because of its disk (R40).
    fn told(&mut self, node: NodeId, tale: &Tale) {
        match tale {
            Tale::Muted => {
                self.mute.insert(node);
                self.forgetful.insert(node);
            }
            Tale::Unmuted(_) => {
                self.mute.remove(&node);
                self.forgetful.remove(&node);
            }
            Tale::Voted(_) | Tale::Proposed { .. } if !self.mute.contains(&node) => {
                self.forgetful.remove(&node);
            }
            _ => {}
        }
    }
}

impl Invariant for BoundedLiveness {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "whatever was submitted is final or rejected when the drain ends"
    }

    fn kind(&self) -> Kind {
        Kind::Liveness
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        match scene.fact {
            Fact::Submitted(submission) if submission.cheat.is_none() => {
                court.check();
                let pending = Pending {
                    party: submission.party,
                    gateway: submission.gateway,
                    due: submission.due,
                };
                self.pending.insert(submission.tx, pending);
            }
            Fact::Final { tx, .. } | Fact::Rejected { tx, .. } => {
                self.pending.remove(tx);
            }
            Fact::FaultBegan { fault, .. } => {
                self.active.insert(*fault);
            }
            Fact::FaultEnded { fault } => {
                self.active.remove(fault);
            }
            Fact::Restarted { node, disk, .. } if *disk == engine::Recovery::Lost => {
                self.forgetful.insert(*node);
            }
            Fact::Node {
                node,
                note: Note::Engine(tale),
            } => self.told(*node, tale),
            Fact::DrainBegan => self.drained = true,
            _ => {}
        }
    }

    fn close(&mut self, at: Time, ending: &Ending, seen: &Seen<'_>, court: &mut Court) {
        if !self.drained {
            court.waive("the run ended before its drain began".to_owned());
            return;
        }
        let recovery = Recovery::new(
            &self.plan,
            seen,
            &self.active,
            &ending.alive,
            &self.forgetful,
        );
        let mut excuses: BTreeMap<NodeId, Option<String>> = BTreeMap::new();
        let mut waiver = None;
        for (tx, pending) in &self.pending {
            let excuse = excuses
                .entry(pending.gateway)
                .or_insert_with(|| recovery.impossible_for(pending.gateway));
            if let Some(excuse) = excuse {
                waiver = Some(format!("recovery impossible: {excuse}"));
                continue;
            }
            let what = format!(
                "transaction {tx} of {}, due at {} and submitted through {}, was neither final nor \
                 rejected",
                seen.party(pending.party),
                pending.due,
                seen.who(pending.gateway)
            );
            court.violated(at, what);
        }
        if let Some(reason) = waiver {
            court.waive(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::{
        pbft::CHECKPOINT,
        transaction::Outcome,
        types::{Digest, Seq},
    };

    use super::*;
    use crate::{
        fact::Rejection,
        invariant::{Finding, stage::Stage},
        scenario::plan::{FaultKind, Link, Target},
    };

    fn finding(stage: &Stage) -> Finding {
        let verdicts = stage.close();
        verdicts.on(NAME).expect("it is listed").finding.clone()
    }

    #[test]
    fn a_transaction_that_nobody_answers_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        stage.drain();
        assert_eq!(stage.violated(), [NAME]);
        let what = stage.first_violation().what;
        assert!(what.contains("of \"Farm\", due at 00:00:00."), "{what}");
        assert!(what.contains("submitted through \"Farm\""), "{what}");
    }

    #[test]
    fn one_fault_for_good_is_no_excuse_but_a_missing_quorum_is() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        stage.drain();
        stage.kill(3);
        assert_eq!(stage.violated(), [NAME], "three of four are enough");
        stage.kill(2);
        assert_eq!(
            finding(&stage),
            Finding::NotClaimed(
                "recovery impossible: 2 honest validators are up for good, 3 are needed".into()
            )
        );
    }

    #[test]
    fn who_lost_its_disk_is_no_help_until_it_votes_again() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        stage.drain();
        stage.kill(3);
        stage.restart(2, engine::Recovery::Torn, 0);
        assert_eq!(stage.violated(), [NAME], "a restart is a pause");
        stage.restart(2, engine::Recovery::Lost, 0);
        assert!(matches!(finding(&stage), Finding::NotClaimed(_)));
        stage.tale(2, Tale::Muted);
        stage.vote_in(CHECKPOINT, 2, 0, 64, Digest([1; 32]));
        assert!(matches!(finding(&stage), Finding::NotClaimed(_)), "mute");
        stage.tale(2, Tale::Unmuted(Seq(64)));
        assert_eq!(stage.violated(), [NAME], "it takes part again");
    }

    #[test]
    fn a_submitter_that_is_cut_off_for_good_excuses_the_protocol() {
        let faults = [
            FaultKind::GatewayOffline(0),
            FaultKind::Partition(vec![vec![1, 2, 3]]),
            FaultKind::Partition(vec![vec![0, 1], vec![2, 3]]),
        ];
        for fault in faults {
            let mut stage = Stage::pbft();
            let create = stage.create(0);
            stage.submit(&create);
            stage.break_for_good(fault);
            stage.drain();
            assert!(matches!(finding(&stage), Finding::NotClaimed(_)));
            stage.heal();
            assert_eq!(stage.violated(), [NAME], "it healed after all");
        }
    }

    #[test]
    fn a_fault_that_leaves_a_quorum_in_reach_is_no_excuse() {
        let faults = [
            FaultKind::GatewayOffline(1),
            FaultKind::Partition(vec![vec![0, 1, 2]]),
            FaultKind::LinkCut(Link {
                from: 0,
                to: 3,
                both_ways: true,
            }),
            FaultKind::LinkLoss {
                link: None,
                loss_ppm: 500_000,
            },
            FaultKind::Crash(Target::Member(1).into()),
        ];
        for fault in faults {
            let mut stage = Stage::pbft();
            let create = stage.create(0);
            stage.submit(&create);
            stage.break_for_good(fault.clone());
            stage.drain();
            assert_eq!(stage.violated(), [NAME], "{fault:?}");
        }
    }

    #[test]
    fn a_trusted_database_must_be_up_and_in_reach() {
        let mut stage = Stage::central();
        let create = stage.create(0);
        stage.submit(&create);
        stage.drain();
        stage.kill(1);
        stage.kill(2);
        stage.kill(3);
        assert_eq!(stage.violated(), [NAME], "replicas are not needed");
        stage.kill(0);
        assert!(matches!(finding(&stage), Finding::NotClaimed(_)));
    }

    #[test]
    fn answers_of_either_kind_will_do_and_cheats_are_owed_none() {
        let mut stage = Stage::pbft();
        let [one, two, three] = [0, 1, 2].map(|party| stage.create(party));
        for transaction in [&one, &two] {
            stage.submit(transaction);
        }
        stage.submit_cheating(&three);
        stage.commit(&one, Outcome::Reverted("no".into()), None);
        stage.acknowledge(&one, Outcome::Reverted("no".into()), 1);
        stage.reject(&two, Rejection::Role);
        stage.drain();
        assert_eq!(finding(&stage), Finding::Holds { checked: 2 });
    }

    #[test]
    fn a_run_without_a_drain_promises_nothing() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        assert!(matches!(finding(&stage), Finding::NotClaimed(_)));
    }
}
