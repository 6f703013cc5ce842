//! What parties sign: calls of contracts, with a number that makes each happen once.
//!
//! On the wire an order stands alone, or in an *envelope* with the endorsements of its effects. Orders
//! begin with their number, and the greatest number there is executes nowhere (see the ledger's replay
//! window): eight bytes of it announce an envelope. So an order alone has no byte to spare for the
//! question.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize, io::Read as _};

use crate::{
    codec,
    crypto::{Keypair, SIGNATURE_LEN, Signable, Signed},
    endorsement::Endorsed,
    types::{Digest, NodeId, PartyId, TxId},
};

/// A contract instance: the id of the transaction that created it.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct ContractId(pub Digest);

/// An argument of a call. Numbers are integers: what needs decimals is scaled (tenths of a degree).
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Value {
    /// A signed integer.
    Int(i64),
    /// A known party.
    Party(PartyId),
    /// A text.
    Text(String),
    /// Nobody: Solidity's address zero, where a party is expected.
    Nobody,
}

/// What a transaction asks for.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Call {
    /// Make a contract of this kind; its id will be the transaction's.
    Create {
        /// Name of the contract's template, "RefrigeratedTransportation" for one.
        template: String,
        /// The constructor's arguments, in its order.
        arguments: Vec<Value>,
    },
    /// Call a function of a contract.
    Invoke {
        /// Which contract.
        contract: ContractId,
        /// Which function, by name.
        function: String,
        /// Its arguments, in its order.
        arguments: Vec<Value>,
    },
}

/// What is signed: a call and its number.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Order {
    /// Number of this order among its signer's; each number executes at most once. Orders may
    /// arrive out of turn (a gateway that was offline), within a window: see the ledger's replay
    /// window.
    pub nonce: u64,
    /// The gateway that waits for receipts (the client c of PBFT's ⟨REQUEST, o, t, c⟩), if one does.
    pub reply_to: Option<NodeId>,
    /// What to do.
    pub call: Call,
}

impl Signable for Order {
    type Signer = PartyId;
    const DOMAIN: &'static str = "order";
}

/// Announces an envelope where the number of an order is expected.
const ENVELOPE: u64 = u64::MAX;

/// A signed order with its id and size, which are computed once; with endorsements it is an envelope.
#[derive(Clone, Debug)]
pub struct Transaction {
    signed: Signed<Order>,
    endorsed: Option<Arc<Endorsed>>,
    id: TxId,
    leaf: Digest,
    wire_len: usize,
}

impl Transaction {
    /// Signs a call that nobody waits for.
    pub fn sign(key: &Arc<Keypair>, party: PartyId, nonce: u64, call: Call) -> Arc<Self> {
        Self::sign_order(
            key,
            party,
            Order {
                nonce,
                reply_to: None,
                call,
            },
        )
    }

    /// Signs an order.
    pub fn sign_order(key: &Arc<Keypair>, party: PartyId, order: Order) -> Arc<Self> {
        Arc::new(Self::new(key.sign(party, order), None))
    }

    fn new(signed: Signed<Order>, endorsed: Option<Arc<Endorsed>>) -> Self {
        let id = codec::digest("transaction", &(signed.signer(), signed.body()));
        let body = borsh::object_length(signed.body()).expect("orders are finite");
        let mut transaction = Self {
            signed,
            endorsed,
            id,
            leaf: id,
            wire_len: body + 4 + SIGNATURE_LEN,
        };
        if transaction.is_wrapped() {
            let endorsed = transaction.endorsed.as_ref();
            transaction.wire_len += 9 + endorsed.map_or(0, |endorsed| endorsed.wire_len());
        }
        if transaction.endorsed.is_some() {
            transaction.leaf = codec::digest("envelope", &transaction);
        }
        transaction
    }

    /// The same order in an envelope with endorsements of its effects. It keeps its id.
    #[must_use]
    pub fn with_endorsements(&self, endorsed: Endorsed) -> Arc<Self> {
        Arc::new(Self::new(self.signed.clone(), Some(Arc::new(endorsed))))
    }

    /// The endorsements of its effects, if it is an envelope.
    pub fn endorsed(&self) -> Option<&Arc<Endorsed>> {
        self.endorsed.as_ref()
    }

    /// What stands for it in a block's root of transactions: the id of an order; of an envelope the
    /// digest of all its bytes, signatures too, so that whoever validates the block judges the same.
    pub fn leaf(&self) -> Digest {
        self.leaf
    }

    /// Signatures that a receiver checks: the party's and the endorsers'.
    pub fn signatures(&self) -> usize {
        1 + self
            .endorsed
            .as_ref()
            .map_or(0, |endorsed| endorsed.endorsers().len())
    }

    /// Whether its encoding is that of an envelope. An order of the number that announces one is put
    /// into an empty one.
    fn is_wrapped(&self) -> bool {
        self.endorsed.is_some() || self.nonce() == ENVELOPE
    }

    /// Digest of signer and order.
    pub fn id(&self) -> TxId {
        self.id
    }

    /// Who claims to have signed it.
    pub fn party(&self) -> PartyId {
        self.signed.signer()
    }

    /// Its number among the party's.
    pub fn nonce(&self) -> u64 {
        self.signed.body().nonce
    }

    /// Which gateway waits for receipts.
    pub fn reply_to(&self) -> Option<NodeId> {
        self.signed.body().reply_to
    }

    /// What it asks for.
    pub fn call(&self) -> &Call {
        &self.signed.body().call
    }

    /// The signed order.
    pub fn signed(&self) -> &Signed<Order> {
        &self.signed
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }

    /// The same transaction with its body changed and the old signature kept: what a member that
    /// rewrites its own copy can make. Its signature fails, because it was made for another body.
    #[must_use]
    pub fn tampered(&self, order: &Order) -> Arc<Self> {
        let mut bytes = codec::encode(order);
        let original = codec::encode(&self.signed);
        bytes.extend_from_slice(&original[original.len() - 4 - SIGNATURE_LEN..]);
        Arc::new(codec::decode(&bytes).expect("an order, a signer and a signature"))
    }
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Transaction {}

impl BorshSerialize for Transaction {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        if !self.is_wrapped() {
            return self.signed.serialize(writer);
        }
        ENVELOPE.serialize(writer)?;
        self.signed.serialize(writer)?;
        self.endorsed.serialize(writer)
    }
}

impl BorshDeserialize for Transaction {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let first = u64::deserialize_reader(reader)?;
        if first != ENVELOPE {
            let number = first.to_le_bytes();
            let mut whole = number.as_slice().chain(reader);
            return Ok(Self::new(Signed::deserialize_reader(&mut whole)?, None));
        }
        let signed = Signed::<Order>::deserialize_reader(reader)?;
        let endorsed = Option::<Arc<Endorsed>>::deserialize_reader(reader)?;
        if endorsed.is_none() && signed.body().nonce != ENVELOPE {
            let needless = "an empty envelope around an order that needs none";
            return Err(borsh::io::Error::new(
                borsh::io::ErrorKind::InvalidData,
                needless,
            ));
        }
        Ok(Self::new(signed, endorsed))
    }
}

/// What became of a transaction that was ordered.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// It did what it asked for.
    Ok,
    /// The contract said no; nothing changed but the party's replay window. Solidity's bare
    /// `revert()` gives no reason; we do.
    Reverted(String),
    /// Not executed at all: the number was used before or is too old, or the party may not write.
    /// A correct committee never orders such a transaction.
    Void(String),
    /// Ordered as an envelope and found invalid: nothing changed, not even the party's replay window,
    /// so the same order may be endorsed and ordered again.
    Invalid(Invalidity),
}

impl Outcome {
    /// Whether the order was carried out, which uses up its number.
    pub fn is_executed(&self) -> bool {
        matches!(self, Self::Ok | Self::Reverted(_))
    }
}

/// Why an envelope that was ordered has no effect (Androulaki et al. 2018, §3.4).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Debug,
    thiserror::Error,
    BorshSerialize,
    BorshDeserialize,
)]
pub enum Invalidity {
    /// It is an order without endorsements.
    #[error("it carries no endorsements")]
    Unendorsed,
    /// The party that it names did not sign it, or may not write.
    #[error("it is not signed by a party that may write")]
    Unauthorised,
    /// What was endorsed is not a call of this order that uses up its number.
    #[error("what was endorsed is not this order")]
    Mismatch,
    /// Too few endorsers signed what it says.
    #[error("{signers} endorsers signed it where {needed} are needed")]
    Policy {
        /// Endorsers that did.
        signers: u32,
        /// Endorsers that the policy asks for.
        needed: u32,
    },
    /// Something that it read has been written since (multi-version concurrency control).
    #[error("what it read at place {read} of its read set has changed")]
    ReadConflict {
        /// The first such read.
        read: u32,
    },
}

/// What a call did to a contract, for those who watch.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Transition {
    /// The contract.
    pub contract: ContractId,
    /// The function, "constructor" when it was created.
    pub function: String,
    /// Who called.
    pub caller: PartyId,
    /// Number of the state before; `None` when it was created.
    pub from: Option<u8>,
    /// Number of the state after.
    pub to: u8,
    /// Who was responsible before; `None` when it was created.
    pub custodian_before: Option<PartyId>,
    /// Who is responsible after; `None` once completed.
    pub custodian_after: Option<PartyId>,
}

/// Outcome of one transaction of a block.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Which transaction.
    pub tx: TxId,
    /// What became of it.
    pub outcome: Outcome,
    /// What it did to a contract; `None` unless the outcome is [`Outcome::Ok`], and for calls of the
    /// consortium's own contract.
    pub transition: Option<Transition>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::SignatureMode, types::ChainId};

    fn sample() -> (Arc<Keypair>, Arc<Transaction>) {
        let key = Keypair::from_seed([7; 32], ChainId(3), SignatureMode::Lazy);
        let call = Call::Create {
            template: "T".into(),
            arguments: vec![Value::Int(-1)],
        };
        let transaction = Transaction::sign(&key, PartyId(2), 5, call);
        (key, transaction)
    }

    #[test]
    fn survives_the_wire_with_the_length_that_it_says() {
        let (key, transaction) = sample();
        let bytes = codec::encode(&*transaction);
        assert_eq!(bytes.len(), transaction.wire_len());
        let back: Transaction = codec::decode(&bytes).expect("well-formed");
        assert_eq!(back.id(), transaction.id());
        assert!(back.signed().verify(ChainId(3), &key.public()));
    }

    #[test]
    fn an_order_of_the_number_that_announces_envelopes_survives_the_wire_too() {
        let key = Keypair::from_seed([7; 32], ChainId(3), SignatureMode::Lazy);
        let call = sample().1.call().clone();
        let transaction = Transaction::sign(&key, PartyId(2), u64::MAX, call);
        let bytes = codec::encode(&*transaction);
        assert_eq!(bytes.len(), transaction.wire_len());
        let back: Transaction = codec::decode(&bytes).expect("well-formed");
        assert_eq!(
            (back.id(), back.leaf()),
            (transaction.id(), transaction.id())
        );
    }

    #[test]
    fn a_tampered_body_keeps_the_old_signature_and_fails() {
        let (key, transaction) = sample();
        let mut order = transaction.signed().body().clone();
        order.nonce += 1;
        let forged = transaction.tampered(&order);
        assert_eq!(forged.nonce(), 6);
        assert_ne!(forged.id(), transaction.id());
        assert!(!forged.signed().verify(ChainId(3), &key.public()));
    }
}
