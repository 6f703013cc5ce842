//! Faults begin and heal; then comes the drain.

use consortium_node::types::NodeId;

use super::{World, end};
use crate::{cast::Cast, fact::Fact, net::Net, scenario::plan::FaultKind, workload::load::Load};

impl World<'_> {
    pub(super) fn fault_begins(&mut self, fault: usize) {
        self.active[fault] = true;
        let kind = self.plan.faults[fault].kind.clone();
        let mut nodes = Vec::new();
        match kind {
            FaultKind::Crash(crash) => nodes = self.crash(fault, crash),
            FaultKind::GatewayOffline(member) => {
                let now = self.now;
                self.gateway(member, |gateway, out| gateway.link(now, false, out));
                self.each_link(fault, Net::cut);
            }
            FaultKind::Partition(_) | FaultKind::LinkCut(_) => self.each_link(fault, Net::cut),
            FaultKind::LinkLoss { loss_ppm, .. } => {
                self.each_link(fault, |net, from, to| net.worsen(from, to, loss_ppm));
            }
        }
        self.tell(&Fact::FaultBegan { fault, nodes });
    }

    pub(super) fn fault_ends(&mut self, fault: usize) {
        let plan = &self.plan.faults[fault];
        let (kind, lasts) = (plan.kind.clone(), plan.until.is_none());
        // A validator that crashed for good stays down in the drain.
        let stays = matches!(kind, FaultKind::Crash(_)) && lasts;
        if stays || !std::mem::take(&mut self.active[fault]) {
            return;
        }
        match kind {
            FaultKind::Crash(crash) => return self.crash_ends(fault, crash),
            FaultKind::GatewayOffline(member) => {
                self.each_link(fault, Net::mend);
                let now = self.now;
                self.gateway(member, |gateway, out| gateway.link(now, true, out));
            }
            FaultKind::Partition(_) | FaultKind::LinkCut(_) => self.each_link(fault, Net::mend),
            FaultKind::LinkLoss { loss_ppm, .. } => {
                self.each_link(fault, |net, from, to| net.improve(from, to, loss_ppm));
            }
        }
        self.healed(fault);
    }

    /// A fault is over.
    pub(super) fn healed(&mut self, fault: usize) {
        self.last_heal = self.now;
        self.tell(&Fact::FaultEnded { fault });
    }

    /// Applies `change` to every directed link that a fault is about.
    fn each_link(&mut self, number: usize, change: impl Fn(&mut Net, NodeId, NodeId)) {
        let nodes = self.cast.nodes() as u16;
        for from in (0..nodes).map(NodeId) {
            for to in (0..nodes).map(NodeId).filter(|to| *to != from) {
                if is_about(&self.plan.faults[number].kind, &self.cast, from, to) {
                    change(&mut self.net, from, to);
                }
            }
        }
    }

    pub(super) fn drain(&mut self) {
        for number in 0..self.plan.faults.len() {
            self.fault_ends(number);
        }
        self.schedules_end();
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
        self.load(Load::drain);
    }
}

/// Whether a fault is about the link from one node to another. A member's gateway stands beside its
/// validators: what is about links between members hits both.
fn is_about(kind: &FaultKind, cast: &Cast, from: NodeId, to: NodeId) -> bool {
    let (a, b) = (cast.member_of(from), cast.member_of(to));
    match kind {
        FaultKind::Crash(_) => false,
        FaultKind::GatewayOffline(member) => {
            let gateway = cast.gateway(*member);
            from == gateway || to == gateway
        }
        FaultKind::LinkCut(link)
        | FaultKind::LinkLoss {
            link: Some(link), ..
        } => {
            let there = (link.from, link.to);
            (a, b) == there || link.both_ways && (b, a) == there
        }
        FaultKind::LinkLoss { link: None, .. } => true,
        FaultKind::Partition(groups) => {
            let group = |member| groups.iter().position(|group| group.contains(&member));
            a != b && (group(a) != group(b) || group(a).is_none())
        }
    }
}
