//! Steady leader: who leads well is not given up (L-2).

use std::collections::BTreeSet;

use consortium_node::{
    engine::{Recovery, Tale},
    node::Claims,
    types::{NodeId, View},
};

use super::{Court, Invariant, Kind, Scene, unless_pbft};
use crate::{fact::Fact, scenario::plan::Plan};

/// As scenarios write it.
pub const NAME: &str = "steady-leader";

/// No honest validator asks for another view while the leader of its own is honest and up. It holds when
/// the network is timely, which only the scenario knows: hence it must claim it.
#[derive(Debug)]
pub struct SteadyLeader {
    claimed: bool,
    /// The view of each validator.
    views: Vec<View>,
    /// Who is down, or has lost its disk and does not sign.
    absent: BTreeSet<NodeId>,
}

impl SteadyLeader {
    /// Watches a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            claimed: plan.expect.steady_leader,
            views: vec![View(0); plan.validators()],
            absent: BTreeSet::new(),
        }
    }
}

impl Invariant for SteadyLeader {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "a leader that is honest and up is not given up"
    }

    fn kind(&self) -> Kind {
        Kind::Liveness
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        let unclaimed = || (!self.claimed).then(|| "the scenario does not expect it".to_owned());
        unless_pbft(claims, "gives up no leader").or_else(unclaimed)
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        if scene.fresh().is_some() {
            court.check();
        }
        match (scene.tale, scene.fact) {
            (Some((node, Tale::Suspected(view))), _) => {
                court.check();
                let own = std::mem::replace(&mut self.views[node.index()], *view);
                let leader = scene.seen.leader(own);
                // Who starts again repeats itself.
                let again = *view == own && own > View(0);
                if !again && scene.seen.cast.is_honest(leader) && !self.absent.contains(&leader) {
                    let (who, leader) = (scene.seen.who(node), scene.seen.who(leader));
                    let what = format!(
                        "member {who} asked for view {view}: it gave up {leader}, which leads view \
                         {own}, is honest and up"
                    );
                    court.violated(scene.at, what);
                }
            }
            (Some((node, Tale::Entered { view, .. })), _) => self.views[node.index()] = *view,
            (Some((node, Tale::Unmuted(_))), _) => {
                self.absent.remove(&node);
            }
            (None, Fact::FaultBegan { nodes, .. }) => self.absent.extend(nodes),
            (None, Fact::Restarted { node, disk, .. }) if *disk != Recovery::Lost => {
                self.absent.remove(node);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::types::Seq;

    use super::*;
    use crate::invariant::{Finding, stage::Stage, view_sanity};

    fn steady() -> Stage {
        let mut stage = Stage::pbft();
        stage.expect_steady_leader();
        stage
    }

    fn suspect(stage: &mut Stage, by: usize, view: u64) {
        stage.tale(by, Tale::Suspected(View(view)));
    }

    #[test]
    fn giving_up_an_honest_leader_that_is_up_is_a_violation_of_liveness() {
        let mut stage = steady();
        suspect(&mut stage, 2, 1);
        assert_eq!(stage.violated(), [NAME]);
        assert_eq!(
            stage.first_violation().what,
            "member \"Warehouse\" asked for view 1: it gave up \"Farm\", which leads view 0, is \
             honest and up"
        );
    }

    #[test]
    fn it_is_judged_only_where_the_scenario_claims_it() {
        let mut stage = Stage::pbft();
        suspect(&mut stage, 2, 1);
        let verdicts = stage.close();
        let finding = &verdicts.on(NAME).expect("it is listed").finding;
        assert!(matches!(finding, Finding::NotClaimed(_)), "{finding}");
    }

    #[test]
    fn giving_up_a_liar_or_one_that_is_down_is_right_and_the_next_one_counts_again() {
        let mut liar = steady();
        liar.make_liar(0);
        let mut down = steady();
        down.crash(0);
        for mut stage in [liar, down] {
            suspect(&mut stage, 2, 1);
            assert_eq!(stage.violated(), [""; 0]);
            suspect(&mut stage, 2, 2);
            assert_eq!(stage.violated(), [NAME], "\"Truck\" leads view 1");
        }
    }

    #[test]
    fn a_leader_that_came_back_counts_once_it_signs() {
        let mut stage = steady();
        stage.crash(0);
        stage.restart(0, Recovery::Lost, 0);
        stage.tale(0, Tale::Muted);
        suspect(&mut stage, 1, 1);
        assert_eq!(stage.violated(), [""; 0]);
        stage.tale(0, Tale::Unmuted(Seq(512)));
        suspect(&mut stage, 2, 1);
        assert_eq!(stage.violated(), [NAME]);

        let mut stage = steady();
        stage.crash(0);
        stage.restart(0, Recovery::Torn, 0);
        suspect(&mut stage, 1, 1);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn repeating_a_request_after_a_restart_is_no_new_one() {
        let mut stage = steady();
        stage.make_liar(0);
        suspect(&mut stage, 2, 1);
        stage.restart(2, Recovery::Clean, 0);
        suspect(&mut stage, 2, 1);
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(view_sanity::NAME), 2);
    }
}
