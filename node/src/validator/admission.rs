//! The door: which transactions enter the mempool, and to whom they are handed on.

use std::sync::Arc;

use super::{RELAY_TIMER, Validator};
use crate::{
    engine::{Engine, Relay},
    ledger::replay::ReplayWindow,
    membership::Permission,
    mempool::MempoolRefusal,
    node::{Action, Actions, ClientPacket, Note, Packet, TxRefusal},
    transaction::Transaction,
    types::{Height, LocalTime, Mono, NodeId},
};

impl<E: Engine> Validator<E> {
    /// A transaction arrived, from a gateway that waits for an answer or from a fellow validator.
    ///
    /// Executed before: the cached receipt answers again (R2). Unknown signer, wrong signature, no
    /// permission, used number: refused and counted. Otherwise it waits here, and if it is new and
    /// came from a gateway it is handed on (R4).
    pub(super) fn admit(
        &mut self,
        now: LocalTime,
        transaction: &Arc<Transaction>,
        gateway: Option<NodeId>,
        actions: &mut Actions,
    ) {
        let tx = transaction.id();
        let forgotten = self
            .forgotten
            .as_ref()
            .map_or(Height(0), |(height, _)| *height);
        let executed = self.ledger.receipt(&tx);
        if let Some((height, _)) = executed.filter(|(height, _)| *height > forgotten) {
            if gateway.is_some() && height <= self.relied {
                self.answer_again(transaction, height, actions);
            }
            return;
        }
        match self.admissible(transaction) {
            Ok(()) => {}
            Err(reason) => return refuse(transaction, gateway, reason, actions),
        }
        match self.mempool.insert(Arc::clone(transaction), now.mono) {
            Ok(()) => {
                self.look_again = true;
                actions.note(Note::Admitted(tx));
                if gateway.is_some() {
                    self.hand_on(now, transaction, actions);
                }
            }
            // Asked again: what was handed on before may have been lost.
            Err(MempoolRefusal::Duplicate) if gateway.is_some() && self.mempool.contains(&tx) => {
                self.hand_on(now, transaction, actions);
            }
            Err(MempoolRefusal::Duplicate) => {}
            Err(MempoolRefusal::Full) => refuse(transaction, gateway, TxRefusal::Full, actions),
            Err(MempoolRefusal::TooLarge) => {
                refuse(transaction, gateway, TxRefusal::TooLarge, actions);
            }
        }
    }

    fn admissible(&self, transaction: &Transaction) -> Result<(), TxRefusal> {
        let registry = &self.me.registry;
        let party = registry
            .party(transaction.party())
            .ok_or(TxRefusal::UnknownParty)?;
        if !registry.verify_party(transaction.signed()) {
            return Err(TxRefusal::BadSignature);
        }
        if party.permission == Permission::Read {
            return Err(TxRefusal::ReadOnly);
        }
        let window = ReplayWindow::load(self.windows(self.ledger.state()), party.id);
        window
            .check(transaction.nonce())
            .map_err(|_| TxRefusal::StaleNonce)
    }

    /// A transaction from a fellow validator. What is new here is passed to the leader, unless it came
    /// from there (R4): else a liar that tells everyone but the leader would have it changed.
    pub(super) fn admit_relayed(
        &mut self,
        now: LocalTime,
        from: NodeId,
        transaction: &Arc<Transaction>,
        actions: &mut Actions,
    ) {
        let tx = transaction.id();
        let known = self.mempool.contains(&tx);
        self.admit(now, transaction, None, actions);
        let new = !known && self.mempool.contains(&tx);
        let leader = self.engine.status().leader;
        let relay = self.config.relay.unwrap_or(self.engine.relay());
        if new && relay == Relay::Leader && ![from, self.me.id].contains(&leader) {
            actions.send(leader, Packet::Relay(Arc::clone(transaction)));
        }
    }

    /// To the leader, or to everyone.
    fn hand_on(&mut self, now: LocalTime, transaction: &Arc<Transaction>, actions: &mut Actions) {
        let packet = Packet::Relay(Arc::clone(transaction));
        match self.config.relay.unwrap_or(self.engine.relay()) {
            Relay::Everyone => self.to_others(&packet, actions),
            Relay::Leader => {
                let leader = self.engine.status().leader;
                if leader != self.me.id {
                    actions.send(leader, packet);
                }
                let timeout = self.config.relay_timeout;
                let due = Mono(now.mono.0.saturating_add(timeout.as_nanos() as u64));
                self.relayed.push_back((due, transaction.id()));
                if !self.relay_armed {
                    self.relay_armed = true;
                    actions.list.push(Action::Arm {
                        timer: RELAY_TIMER,
                        after: timeout,
                    });
                }
            }
        }
    }

    /// The leader had its time: what still waits goes to everyone, so that all of them wait for it
    /// (the retransmission of R3, done by the member for its gateway).
    pub(super) fn relay_to_everyone(&mut self, now: LocalTime, actions: &mut Actions) {
        while let Some((due, tx)) = self.relayed.front().copied() {
            if let Some(transaction) = self.mempool.get(&tx).cloned() {
                if due > now.mono {
                    let after = std::time::Duration::from_nanos(due.since(now.mono));
                    actions.list.push(Action::Arm {
                        timer: RELAY_TIMER,
                        after,
                    });
                    return;
                }
                self.to_others(&Packet::Relay(transaction), actions);
            }
            self.relayed.pop_front();
        }
        self.relay_armed = false;
    }
}

/// Tells the gateway and the observers why a transaction will not be ordered.
fn refuse(
    transaction: &Transaction,
    gateway: Option<NodeId>,
    reason: TxRefusal,
    actions: &mut Actions,
) {
    let tx = transaction.id();
    actions.note(Note::TxRefused { tx, reason });
    if let Some(gateway) = gateway {
        actions.send(
            gateway,
            Packet::Client(ClientPacket::Refused { tx, reason }),
        );
    }
}
