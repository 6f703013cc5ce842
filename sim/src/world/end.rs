//! The end: what was used, and what is left.

use consortium_node::types::NodeId;

use super::World;
use crate::{
    ending::{Ending, Usage},
    fact::Fact,
};

impl World<'_> {
    pub(super) fn usage(&self) -> Vec<Usage> {
        let hosts = self.hosts.iter().map(|host| Usage {
            disk_busy_ns: host.disk.busy_ns(),
            ..host.usage
        });
        let gateways = self.gateways.iter().map(|_| Usage::default());
        let mut usage: Vec<_> = hosts.chain(gateways).collect();
        for (node, usage) in usage.iter_mut().enumerate() {
            self.net.account(NodeId(node as u16), usage);
        }
        usage
    }

    /// Ends the run and hands over what is left.
    pub fn end(mut self) -> Ending {
        let since_heal = self.now.since(self.last_heal);
        self.tell(&Fact::Ended { since_heal });
        let usage = self
            .usage()
            .into_iter()
            .zip(&self.warm)
            .map(|(all, window)| Usage {
                cores_busy_ns: window.cores_busy_ns,
                serial_busy_ns: window.serial_busy_ns,
                uplink_busy_ns: window.uplink_busy_ns,
                downlink_busy_ns: window.downlink_busy_ns,
                disk_busy_ns: window.disk_busy_ns,
                ..all
            })
            .collect();
        Ending {
            claims: self.hosts[0].liar.node.claims(),
            alive: self.hosts.iter().map(|host| host.up).collect(),
            ledgers: self
                .hosts
                .iter()
                .map(|host| host.liar.node.ledger().clone())
                .collect(),
            usage,
            packets: self
                .packets
                .into_iter()
                .filter(|(_, count)| count.messages > 0)
                .collect(),
            ended: self.now,
            trace: self.trace.finish(),
        }
    }
}

/// Busy times between two readings of the meters.
pub(super) fn busy_between(start: &Usage, end: &Usage) -> Usage {
    Usage {
        cores_busy_ns: end.cores_busy_ns - start.cores_busy_ns,
        serial_busy_ns: end.serial_busy_ns - start.serial_busy_ns,
        uplink_busy_ns: end.uplink_busy_ns - start.uplink_busy_ns,
        downlink_busy_ns: end.downlink_busy_ns - start.downlink_busy_ns,
        disk_busy_ns: end.disk_busy_ns - start.disk_busy_ns,
        ..Usage::default()
    }
}
