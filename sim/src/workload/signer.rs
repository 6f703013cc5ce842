//! Someone with a key and a counter.

use std::sync::Arc;

use consortium_node::{
    crypto::Keypair,
    transaction::{Call, Order, Transaction},
    types::{NodeId, PartyId},
};

use crate::cast::Cast;

#[derive(Debug)]
pub(super) struct Signer {
    pub(super) id: PartyId,
    key: Arc<Keypair>,
    /// The last number that it used.
    pub(super) nonce: u64,
}

impl Signer {
    pub(super) fn new(cast: &Cast, id: PartyId) -> Self {
        let key = Arc::clone(&cast.party_keys[id.index()]);
        Self { id, key, nonce: 0 }
    }

    /// Signs its next order; receipts go to `gateway`.
    pub(super) fn sign(&mut self, gateway: NodeId, call: Call) -> Arc<Transaction> {
        self.nonce += 1;
        let order = Order {
            nonce: self.nonce,
            reply_to: Some(gateway),
            call,
        };
        Transaction::sign_order(&self.key, self.id, order)
    }
}
