//! Whether a run can still finish: who is honest, up and connected for good when all that heals has
//! healed.

use std::collections::BTreeSet;

use consortium_node::{engine::FaultModel, types::NodeId};

use super::Seen;
use crate::scenario::plan::{FaultKind, MemberIndex, Plan};

/// What stays broken.
#[derive(Debug)]
pub struct Recovery {
    /// Honest validators that are up, by member. Where one machine is trusted, only that one.
    strength: Vec<usize>,
    /// Validators that the protocol needs.
    needed: usize,
    /// Whether messages pass between two members in both directions.
    open: Vec<Vec<bool>>,
    /// Members whose gateways have no connection.
    offline: BTreeSet<MemberIndex>,
    /// Members of the honest endorsers that are up.
    endorsers: Vec<MemberIndex>,
    /// Endorsers that a transaction needs.
    policy: usize,
    /// Who runs each node.
    members: Vec<MemberIndex>,
}

impl Recovery {
    /// The end of a run of `plan` in which these faults never healed, these validators are up, and
    /// these have lost their disks and not voted since: they are as good as faulty (R40).
    pub fn new(
        plan: &Plan,
        seen: &Seen<'_>,
        active: &BTreeSet<usize>,
        alive: &[bool],
        forgetful: &BTreeSet<NodeId>,
    ) -> Self {
        let committee = seen.deciding();
        let n = committee.n();
        let (counted, needed) = match seen.claims.faults {
            FaultModel::Trusted => (1, 1),
            FaultModel::Crash | FaultModel::Byzantine => (n, seen.claims.quorum.of(n)),
        };
        let replies = plan.gateway.reply_quorum.unwrap_or(0).min(counted);
        let mut recovery = Self {
            strength: vec![0; plan.members.len()],
            needed: needed.max(replies),
            open: vec![vec![true; plan.members.len()]; plan.members.len()],
            offline: BTreeSet::new(),
            endorsers: Vec::new(),
            policy: 0,
            members: (0..seen.cast.nodes() as u16)
                .map(|node| seen.cast.member_of(NodeId(node)))
                .collect(),
        };
        let works = |node: &NodeId| {
            let up = alive.get(node.index()).copied().unwrap_or(true);
            up && !forgetful.contains(node) && seen.cast.is_honest(*node)
        };
        for node in committee.nodes().take(counted).filter(works) {
            recovery.strength[seen.cast.member_of(node)] += 1;
        }
        if let Some(channel) = &seen.cast.channel {
            recovery.policy = channel.policy.needed();
            let endorsers = channel.policy.endorsers().nodes().filter(works);
            recovery.endorsers = endorsers.map(|node| seen.cast.member_of(node)).collect();
        }
        for fault in active.iter().filter_map(|number| plan.faults.get(*number)) {
            recovery.suffer(&fault.kind);
        }
        recovery
    }

    fn suffer(&mut self, fault: &FaultKind) {
        match fault {
            // Whom a crash hit shows in who is up, and what is lost is sent again.
            FaultKind::Crash(_) | FaultKind::LinkLoss { .. } => {}
            FaultKind::GatewayOffline(member) => {
                self.offline.insert(*member);
            }
            // One way is enough to keep two from working together.
            FaultKind::LinkCut(link) => self.cut(link.from, link.to),
            FaultKind::Partition(groups) => {
                let group = |member| groups.iter().position(|group| group.contains(&member));
                for one in 0..self.open.len() {
                    for other in 0..one {
                        if group(one).is_none() || group(one) != group(other) {
                            self.cut(one, other);
                        }
                    }
                }
            }
        }
    }

    fn cut(&mut self, one: MemberIndex, other: MemberIndex) {
        if one != other {
            self.open[one][other] = false;
            self.open[other][one] = false;
        }
    }

    /// Why nothing that waits at this gateway can ever become final, if so.
    pub fn impossible_for(&self, gateway: NodeId) -> Option<String> {
        let all: usize = self.strength.iter().sum();
        let needed = self.needed;
        if all < needed {
            return Some(format!(
                "{all} honest validators are up for good, {needed} are needed"
            ));
        }
        let voters: BTreeSet<_> = (0..self.strength.len())
            .filter(|member| self.strength[*member] > 0)
            .collect();
        if !self.has_core(voters.clone()) {
            return Some(format!(
                "no {needed} honest validators that are up can reach each other"
            ));
        }
        let member = self.members[gateway.index()];
        if self.offline.contains(&member) {
            return Some("a gateway stays offline".to_owned());
        }
        let reached = self.endorsers.iter().filter(|one| self.open[member][**one]);
        let (reached, needed) = (reached.count(), self.policy);
        if reached < needed {
            return Some(format!(
                "{reached} honest endorsers that are up are in reach, {needed} are needed"
            ));
        }
        let reachable = voters
            .into_iter()
            .filter(|voter| self.open[member][*voter])
            .collect();
        (!self.has_core(reachable)).then(|| "a gateway cannot reach those who decide".to_owned())
    }

    /// Whether enough validators of these members can all reach each other.
    ///
    /// Takes the member with the most cuts; either it is not part of the core, or none of those that
    /// it cannot reach is.
    fn has_core(&self, mut members: BTreeSet<MemberIndex>) -> bool {
        loop {
            let strength: usize = members.iter().map(|member| self.strength[*member]).sum();
            if strength < self.needed {
                return false;
            }
            let unreachable_from = |one: MemberIndex| -> BTreeSet<MemberIndex> {
                let open = |other: &MemberIndex| self.open[one][*other];
                members
                    .iter()
                    .copied()
                    .filter(|other| !open(other))
                    .collect()
            };
            let most_cuts = members.iter().max_by_key(|m| unreachable_from(**m).len());
            let Some(most) = most_cuts.copied() else {
                return false;
            };
            let unreachable = unreachable_from(most);
            if unreachable.is_empty() || self.has_core(&members - &unreachable) {
                return true;
            }
            members.remove(&most);
        }
    }
}
