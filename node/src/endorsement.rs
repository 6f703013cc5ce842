//! Endorsements: what executing a call *would* do, signed by those who tried it.
//!
//! Execute-order-validate (Androulaki et al., EuroSys 2018, §3) executes before it orders. What an
//! endorser signs is therefore not a vote on a block but the effects of one transaction: the keys that
//! it read, in which versions, and what it would write. A transaction travels with enough equal
//! endorsements as an *envelope*, see [`crate::transaction::Transaction::with_endorsements`].

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    cosigned::Cosigned,
    crypto::{Signable, Signed},
    membership::Committee,
    transaction::{Outcome, Transition},
    types::{Height, NodeId, TxId},
};

/// Where a key was written last: the block's height and the place of the transaction in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
pub struct Version {
    /// The block.
    pub height: Height,
    /// The place of the transaction, from 0.
    pub index: u32,
}

/// A key that was read.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Read {
    /// Which.
    pub key: Vec<u8>,
    /// The version that was seen; `None`: there was no such key.
    pub version: Option<Version>,
}

/// A key that is to be written.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct KeyWrite {
    /// Which.
    pub key: Vec<u8>,
    /// With what. Nothing is ever deleted.
    pub value: Vec<u8>,
}

/// What an endorser signs: the effects of a transaction on the state that it had committed.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Endorsement {
    /// The transaction.
    pub tx: TxId,
    /// The read set, by key.
    pub reads: Vec<Read>,
    /// The write set, by key.
    pub writes: Vec<KeyWrite>,
    /// What the contract said: done, or reverted.
    pub outcome: Outcome,
    /// What it would do to a contract; `None` unless the outcome is [`Outcome::Ok`].
    pub transition: Option<Transition>,
}

impl Signable for Endorsement {
    type Signer = NodeId;
    const DOMAIN: &'static str = "endorsement";
}

/// One endorsement that several endorsers signed.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Endorsed(Cosigned<Endorsement>);

impl Endorsed {
    /// Puts signatures under one endorsement. `None` if there are none or they differ in what they say.
    pub fn collect<'a>(all: impl IntoIterator<Item = &'a Signed<Endorsement>>) -> Option<Self> {
        Cosigned::collect(all).map(Self)
    }

    /// The effects.
    pub fn endorsement(&self) -> &Endorsement {
        &self.0.body
    }

    /// Who claims to have signed them.
    pub fn endorsers(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.0.signers()
    }

    /// How many distinct members of this committee signed them. Whatever else is listed counts for
    /// nothing.
    pub fn signed_by(&self, endorsers: &Committee) -> usize {
        let genuine = self.0.checked(endorsers).filter(|(_, signed)| *signed);
        let mut signers: Vec<_> = genuine.map(|(signer, _)| signer).collect();
        signers.sort_unstable();
        signers.dedup();
        signers.len()
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        let body = borsh::object_length(self.endorsement()).expect("endorsements are finite");
        body + self.0.signatures_len()
    }
}
