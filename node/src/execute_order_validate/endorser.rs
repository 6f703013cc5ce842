//! Endorsing: a peer tries a transaction on what it has committed and signs what it saw.

use std::sync::Arc;

use super::{Peer, RolePacket, rwset::Recorder};
use crate::{
    endorsement::Endorsement,
    membership::Permission,
    node::{Actions, ClientPacket, Note, Packet, TxRefusal},
    transaction::{Outcome, Transaction},
    types::NodeId,
};

impl Peer {
    /// A client proposes an order. Executed before: the receipt answers again (R2). Otherwise it is
    /// endorsed, or refused with the reason.
    pub(super) fn propose(&self, from: NodeId, transaction: &Transaction, actions: &mut Actions) {
        let tx = transaction.id();
        if let Some((height, receipt)) = self.ledger.receipt(&tx)
            && receipt.outcome.is_executed()
        {
            let entry = self.ledger.entry(height).expect("it has a receipt there");
            self.answer(entry, |other| *other == tx, |_| true, actions);
            return;
        }
        match self.endorse(transaction, actions) {
            Ok(endorsement) => {
                let signed = Arc::new(self.key.sign(self.id, endorsement));
                actions.work.signatures += 1;
                actions.send(from, Packet::Role(RolePacket::Endorsement(signed)));
            }
            Err(reason) => {
                actions.note(Note::TxRefused { tx, reason });
                let packet = ClientPacket::Refused { tx, reason };
                actions.send(from, Packet::Client(packet));
            }
        }
    }

    /// What the order would do to the committed state, which it leaves alone.
    fn endorse(
        &self,
        transaction: &Transaction,
        actions: &mut Actions,
    ) -> Result<Endorsement, TxRefusal> {
        let registry = &self.channel.registry;
        let party = registry
            .party(transaction.party())
            .ok_or(TxRefusal::UnknownParty)?;
        if !registry.verify_party(transaction.signed()) {
            return Err(TxRefusal::BadSignature);
        }
        if party.permission == Permission::Read {
            return Err(TxRefusal::ReadOnly);
        }
        if !self.channel.policy.endorsers().contains(self.id) {
            return Err(TxRefusal::Unendorsed);
        }
        let mut recorder = Recorder::new(self.ledger.state());
        let height = self.ledger.height().next();
        let receipt = self
            .contracts
            .execute_one(&mut recorder, height, transaction);
        actions.work.executed += 1;
        match receipt.outcome {
            Outcome::Ok | Outcome::Reverted(_) => {
                let (reads, writes) = recorder.finish();
                Ok(Endorsement {
                    tx: receipt.tx,
                    reads,
                    writes,
                    outcome: receipt.outcome,
                    transition: receipt.transition,
                })
            }
            // The party may write, so it is the number.
            Outcome::Void(_) | Outcome::Invalid(_) => Err(TxRefusal::StaleNonce),
        }
    }
}
