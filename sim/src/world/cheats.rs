//! Cheats begin: scripts are switched on, readings are slipped past gateways.

use std::sync::Arc;

use consortium_node::{
    crypto::Keypair,
    node::{ClientPacket, Packet},
    transaction::Transaction,
};

use super::World;
use crate::{
    fact::{Fact, Rejection},
    scenario::plan::CheatKind,
    workload::fleet::Cheater,
};

impl World<'_> {
    pub(super) fn cheat_begins(&mut self, number: usize) {
        let kind = self.plan.cheats[number].kind.clone();
        match kind {
            CheatKind::SilentPrimary(_)
            | CheatKind::EquivocatingPrimary(_)
            | CheatKind::Twins(_)
            | CheatKind::Colluders(_) => self.scripts[number].switch(true),
            // The copy is rewritten when the auditor asks for it.
            CheatKind::RewritesCopy { .. } => {}
            CheatKind::ForgedReading(member) => {
                let key = Arc::clone(&self.cast.node_keys[self.cast.gateway(member).index()]);
                self.forge(number, member, &key);
            }
            CheatKind::ReplayedReading(member) => {
                let by = Cheater {
                    cheat: number,
                    gateway: self.cast.gateway(member),
                };
                if let Some((_, reading)) = self.fleet.replayed_reading(0, self.now, by) {
                    self.slip_in(number, member, reading);
                }
            }
        }
    }

    pub(super) fn forge(&mut self, cheat: usize, member: usize, key: &Arc<Keypair>) {
        let by = Cheater {
            cheat,
            gateway: self.cast.gateway(member),
        };
        if let Some((submission, reading)) = self.fleet.forged_reading(0, self.now, by, key) {
            self.slipped.insert(submission.tx);
            self.tell(&Fact::Submitted(submission));
            self.slip_in(cheat, member, reading);
        }
    }

    /// A member gives its own validator a transaction, past its gateway's checks; should its validator
    /// be down, it gives it to the next.
    pub(super) fn slip_in(&mut self, cheat: usize, member: usize, transaction: Arc<Transaction>) {
        let gateway = self.cast.gateway(member);
        let tx = Some(transaction.id());
        self.tell(&Fact::Cheated {
            cheat,
            node: gateway,
            tx,
        });
        let own = self
            .cast
            .validator_of(member)
            .filter(|node| self.hosts[node.index()].up);
        let door = own.or_else(|| self.cast.validators().find(|n| self.hosts[n.index()].up));
        if let Some(door) = door {
            self.send(
                gateway,
                door,
                &Packet::Client(ClientPacket::Submit(transaction)),
            );
        }
    }

    /// A gateway does not know what was slipped past it: the world tells when that is refused.
    pub(super) fn settle_cheat(&mut self, packet: &Packet) {
        if let Packet::Client(ClientPacket::Refused { tx, reason }) = *packet
            && self.slipped.remove(&tx)
        {
            self.tell(&Fact::Rejected {
                tx,
                reason: Rejection::Door(reason),
            });
        }
    }
}
