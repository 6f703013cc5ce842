//! Whom a gateway asks, and how many equal answers make one.

use consortium_node::{
    engine::{FaultModel, ReplyRule},
    membership::{Committee, Committees},
    types::NodeId,
};

/// What the protocol claims and the plan wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Whether one machine is trusted with everything.
    pub(super) trusted: bool,
    /// What the protocol bears.
    pub(super) faults: FaultModel,
    /// What makes an answer, by the protocol.
    pub(super) reply: ReplyRule,
    /// What makes an answer, by the plan.
    pub(super) wanted: Option<usize>,
}

impl Rule {
    /// Those who decide, and those who did before them: they may still owe an answer. They are asked in
    /// the order of their numbers, from `own` on.
    pub(super) fn asked(&self, committees: &Committees, own: usize) -> Vec<NodeId> {
        let newest_first = committees.terms().iter().rev().take(2);
        let mut all: Vec<_> = newest_first
            .flat_map(|term| term.committee.nodes())
            .collect();
        all.sort_unstable();
        all.dedup();
        if self.trusted {
            all.truncate(1);
        } else {
            let place = all.iter().position(|node| node.index() == own);
            let first = place.unwrap_or(own % all.len());
            all.rotate_left(first);
        }
        all
    }

    /// Equal answers of this committee that make one. A plan for several protocols may ask for more
    /// validators than this one has to ask.
    pub(super) fn needed(&self, committee: &Committee) -> usize {
        let claimed = match self.reply {
            ReplyRule::WeakQuorum => committee.weak_quorum(),
            ReplyRule::Commit if self.faults == FaultModel::Byzantine => committee.weak_quorum(),
            ReplyRule::One | ReplyRule::Depth(_) | ReplyRule::Commit => 1,
        };
        let asked = if self.trusted { 1 } else { committee.n() };
        self.wanted.unwrap_or(claimed).min(asked)
    }
}
