//! Faults begin and heal; then comes the drain.

use consortium_node::types::NodeId;

use super::{Command, World, end};
use crate::{
    cast::Cast,
    fact::Fact,
    net::Net,
    scenario::plan::{FaultKind, Target},
};

impl World<'_> {
    pub(super) fn fault_begins(&mut self, number: usize) {
        self.active[number] = true;
        let kind = self.plan.faults[number].kind.clone();
        let mut hit = None;
        match kind {
            FaultKind::Crash(target) => {
                hit = self.find(target);
                self.crashed[number] = hit;
                self.commands.extend(hit.map(Command::Kill));
            }
            FaultKind::GatewayOffline(member) => {
                let now = self.now;
                self.gateway(member, |gateway, out| gateway.link(now, false, out));
                self.each_cut(number, Net::cut);
            }
            FaultKind::Partition(_) | FaultKind::LinkCut { .. } => self.each_cut(number, Net::cut),
        }
        self.tell(&Fact::FaultBegan {
            fault: number,
            node: hit,
        });
    }

    pub(super) fn fault_ends(&mut self, number: usize) {
        if !std::mem::take(&mut self.active[number]) {
            return;
        }
        match self.plan.faults[number].kind.clone() {
            // A validator that has stopped stays down.
            FaultKind::Crash(_) => return,
            FaultKind::GatewayOffline(member) => {
                self.each_cut(number, Net::mend);
                let now = self.now;
                self.gateway(member, |gateway, out| gateway.link(now, true, out));
            }
            FaultKind::Partition(_) | FaultKind::LinkCut { .. } => self.each_cut(number, Net::mend),
        }
        self.last_heal = self.now;
        self.tell(&Fact::FaultEnded { fault: number });
    }

    /// Applies `change` to every directed link that a fault cuts.
    pub(super) fn each_cut(&mut self, number: usize, change: fn(&mut Net, NodeId, NodeId)) {
        let nodes = self.cast.nodes() as u16;
        for from in (0..nodes).map(NodeId) {
            for to in (0..nodes).map(NodeId).filter(|to| *to != from) {
                if cuts(&self.plan.faults[number].kind, &self.cast, from, to) {
                    change(&mut self.net, from, to);
                }
            }
        }
    }

    /// The validator that a fault is aimed at, if it is up.
    pub(super) fn find(&self, target: Target) -> Option<NodeId> {
        let up = |node: &NodeId| self.hosts[node.index()].up;
        match target {
            Target::Member(member) => self.cast.validator_of(member).filter(up),
            Target::Primary => {
                let statuses = self.hosts.iter().filter(|host| host.up);
                let newest = statuses.map(|host| host.liar.node.status().engine);
                newest
                    .max_by_key(|engine| engine.view)
                    .map(|engine| engine.leader)
                    .filter(up)
            }
        }
    }

    pub(super) fn drain(&mut self) {
        for number in 0..self.plan.faults.len() {
            self.fault_ends(number);
        }
        for script in &self.scripts {
            script.switch(false);
        }
        self.draining = true;
        let measured = self.usage();
        let warm = std::mem::take(&mut self.warm);
        self.warm = measured
            .iter()
            .zip(&warm)
            .map(|(end, start)| end::busy_between(start, end))
            .collect();
        self.tell(&Fact::DrainBegan);
    }
}

/// Whether a fault cuts the link from one node to another. A member's gateway stands beside its
/// validators: a partition or a cut between members hits both.
fn cuts(kind: &FaultKind, cast: &Cast, from: NodeId, to: NodeId) -> bool {
    let (a, b) = (cast.member_of(from), cast.member_of(to));
    match kind {
        FaultKind::Crash(_) => false,
        FaultKind::GatewayOffline(member) => {
            let gateway = cast.gateway(*member);
            from == gateway || to == gateway
        }
        FaultKind::LinkCut { from, to } => a == *from && b == *to,
        FaultKind::Partition(groups) => {
            let group = |member| groups.iter().position(|group| group.contains(&member));
            a != b && (group(a) != group(b) || group(a).is_none())
        }
    }
}
