//! View sanity: views rise for a reason, and their leader is nobody's choice (I15, R33).

use std::collections::{BTreeMap, BTreeSet};

use consortium_node::{
    engine::{Recovery, Tale},
    node::Claims,
    types::{NodeId, View},
};

use super::{Court, Invariant, Scene, unless_pbft};
use crate::{fact::Fact, scenario::plan::Plan};

/// As scenarios write it.
pub const NAME: &str = "view-sanity";

/// An honest validator's view never falls, unless it lost its disk; a restart is no excuse. The leader
/// that it names is the committee's for that view. It asks for a view further away than the next one only
/// if somebody honest asked for that one or a higher one before, and enters a view after the first only if
/// q members asked for it: as many honest ones at least, less one for each liar.
#[derive(Debug)]
pub struct ViewSanity {
    /// The view of each validator.
    views: Vec<View>,
    /// Honest validators that asked for a view.
    askers: BTreeMap<View, BTreeSet<NodeId>>,
}

impl ViewSanity {
    /// Watches a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            views: vec![View(0); plan.validators()],
            askers: BTreeMap::new(),
        }
    }

    /// What is wrong with asking for this view.
    fn asked(&mut self, node: NodeId, view: View) -> Option<String> {
        // Who has not said yet that it entered this epoch did so all the same.
        let own = self.views[node.index()].max(View::first_of(view.epoch()));
        let highest = self.askers.last_key_value().map(|(view, _)| *view);
        self.askers.entry(view).or_default().insert(node);
        let leaps = view > own.next() && highest.is_none_or(|highest| highest < view);
        leaps
            .then(|| format!("asked for view {view} in view {own}, which nobody honest did before"))
    }

    /// What is wrong with entering this view.
    fn entered(&self, scene: &Scene<'_>, view: View, leader: NodeId) -> Option<String> {
        let elected = scene.seen.leader(view);
        if leader != elected {
            let (is, named) = (scene.seen.who(elected), scene.seen.who(leader));
            return Some(format!(
                "named {named} as leader of view {view}, it is {is}"
            ));
        }
        let askers = self.askers.get(&view).map_or(0, BTreeSet::len);
        let needed = scene.seen.honest_quorum(view.epoch());
        (view > View::first_of(view.epoch()) && askers < needed).then(|| {
            format!(
                "entered view {view}, which {askers} honest members asked for; a quorum has {needed}"
            )
        })
    }
}

impl Invariant for ViewSanity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "views never fall, and no liar alone moves them"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        unless_pbft(claims, "has no views")
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        let (node, view, fault) = match (scene.tale, scene.fact) {
            (Some((node, Tale::Suspected(view))), _) => (node, *view, self.asked(node, *view)),
            (Some((node, Tale::Entered { view, leader })), _) => {
                (node, *view, self.entered(scene, *view, *leader))
            }
            // Its log starts anew.
            (Some((node, Tale::Muted)), _) => {
                self.views[node.index()] = View(0);
                return;
            }
            (None, Fact::Restarted { node, disk, .. }) if *disk == Recovery::Lost => {
                self.views[node.index()] = View(0);
                return;
            }
            _ => return,
        };
        court.check();
        let own = &mut self.views[node.index()];
        let fell = (view < *own).then(|| format!("went back from view {own} to view {view}"));
        *own = view;
        for fault in fell.into_iter().chain(fault) {
            let who = scene.seen.who(node);
            court.violated(scene.at, format!("member {who} {fault}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    fn suspect(stage: &mut Stage, by: impl IntoIterator<Item = usize>, view: u64) {
        for by in by {
            stage.tale(by, Tale::Suspected(View(view)));
        }
    }

    fn enter(stage: &mut Stage, by: usize, view: u64) {
        let leader = NodeId((view % 4) as u16);
        let view = View(view);
        stage.tale(by, Tale::Entered { view, leader });
    }

    #[test]
    fn a_view_that_a_quorum_asked_for_is_entered() {
        let mut stage = Stage::pbft();
        enter(&mut stage, 0, 0);
        suspect(&mut stage, 0..3, 1);
        suspect(&mut stage, [0, 1, 2], 2);
        for by in 0..4 {
            enter(&mut stage, by, 2);
        }
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 11);
    }

    #[test]
    fn a_view_that_too_few_asked_for_is_a_violation_and_a_liar_makes_up_for_one() {
        let mut stage = Stage::pbft();
        suspect(&mut stage, 0..2, 1);
        enter(&mut stage, 3, 1);
        assert_eq!(stage.violated(), [NAME]);
        assert_eq!(
            stage.first_violation().what,
            "member \"Store\" entered view 1, which 2 honest members asked for; a quorum has 3"
        );
        stage.make_liar(2);
        assert_eq!(stage.violated(), [""; 0]);
    }

    #[test]
    fn another_leader_than_the_committees_is_a_violation() {
        let mut stage = Stage::pbft();
        suspect(&mut stage, 0..3, 1);
        let (view, leader) = (View(1), NodeId(2));
        stage.tale(0, Tale::Entered { view, leader });
        assert_eq!(stage.violated(), [NAME]);
        let what = stage.first_violation().what;
        let end = "named \"Warehouse\" as leader of view 1, it is \"Truck\"";
        assert!(what.ends_with(end), "{what}");
    }

    #[test]
    fn r33_a_leap_that_nobody_honest_made_before_is_a_violation() {
        let mut stage = Stage::pbft();
        stage.make_liar(3);
        suspect(&mut stage, [3], 7);
        suspect(&mut stage, [0], 1);
        assert_eq!(stage.violated(), [""; 0], "the next view needs no company");
        suspect(&mut stage, [1], 7);
        assert_eq!(stage.violated(), [NAME], "a liar alone is none");
        assert_eq!(
            stage.first_violation().what,
            "member \"Truck\" asked for view 7 in view 0, which nobody honest did before"
        );
    }

    #[test]
    fn r33_joining_those_who_went_ahead_is_no_violation() {
        let mut stage = Stage::pbft();
        for view in 1..=3 {
            suspect(&mut stage, [0, 1], view);
        }
        suspect(&mut stage, [2], 2);
        assert_eq!(stage.violated(), [""; 0]);
        suspect(&mut stage, [3], 4);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn views_that_fall_are_a_violation_over_a_restart_too_unless_the_disk_is_lost() {
        for disk in [None, Some(Recovery::Clean), Some(Recovery::Torn)] {
            let mut stage = Stage::pbft();
            suspect(&mut stage, 0..4, 1);
            if let Some(disk) = disk {
                stage.restart(2, disk, 0);
            }
            enter(&mut stage, 2, 0);
            assert_eq!(stage.violated(), [NAME], "{disk:?}");
            let what = stage.first_violation().what;
            assert_eq!(what, "member \"Warehouse\" went back from view 1 to view 0");
        }
        let mut stage = Stage::pbft();
        suspect(&mut stage, 0..4, 1);
        stage.restart(2, Recovery::Lost, 0);
        stage.tale(2, Tale::Muted);
        enter(&mut stage, 2, 0);
        enter(&mut stage, 2, 1);
        assert_eq!(stage.violated(), [""; 0]);
    }
}
