//! Proofs for outsiders: whoever knows the committee's keys can check, without the chain, that a
//! transaction was ordered, what became of it, and what the state says about a key.
//!
//! Each proof is a final header, which stands by its certificate, and a Merkle path to one of the
//! header's roots. A header carries the results of an earlier height, so a proof about the state or
//! the receipts of height h uses the first final header that carries the results of h.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use ct_merkle::{InclusionProof, RootHash};
use sha2::Sha256;

use super::{Entry, Ledger, StateProof, receipt_digest};
use crate::{
    block::{self, Finality, Header},
    membership::{Committee, Registry},
    quorum::{Certificate, CertificateFault, FinalityRule, Phase},
    transaction::{Receipt, Transaction},
    types::{BlockId, Digest, Height, PartyId, TxId},
};

/// Why a ledger cannot make a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofGap {
    /// It does not hold this transaction.
    #[error("transaction {0} is not on this chain")]
    UnknownTransaction(TxId),
    /// It holds no proof that this height is final.
    #[error("height {0} is not final, or this chain does not say why")]
    NotFinal(Height),
    /// No final header carries the results of this height: not yet, or its proposer skipped them.
    #[error("no final block carries the results of height {0}")]
    NotCarried(Height),
    /// The state after this height is no longer kept.
    #[error("the state after height {0} is no longer kept")]
    NoSnapshot(Height),
}

/// Why an outsider does not believe a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofFault {
    /// The protocol gives no evidence: one machine's word, or mere depth.
    #[error("there is nothing that an outsider could check")]
    NothingToCheck,
    /// The certificate is about something else.
    #[error("the certificate is for {certified}, not for block {block}")]
    OtherBlock {
        /// What was certified.
        certified: Digest,
        /// The block in question.
        block: BlockId,
    },
    /// The certificate answers a question that does not make a block final.
    #[error("votes of phase {} do not make a block final", .0.0)]
    WrongPhase(Phase),
    /// The certificate does not hold.
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateFault),
    /// The certified blocks are not a chain that descends from the block, or too few.
    #[error("what is certified does not descend from the block in one chain")]
    NotLinked,
    /// The chain has a gap: what it certifies may not be final.
    #[error("the certified views do not follow each other")]
    NotConsecutive,
    /// The Merkle path does not lead to the header's root.
    #[error("the path does not lead to the header's root")]
    NotIncluded,
    /// The transaction is not signed by the party that it names.
    #[error("not signed by {0}, or nobody knows {0}")]
    NotSigned(PartyId),
}

/// Checks that a block is final: by the protocol's rule, a quorum of the committee signed a statement whose
/// digest is the block's id, or a chain of blocks that ends in such statements descends from it.
///
/// The phase matters: a quorum that prepared a block has not committed it.
pub fn check_finality(
    block: BlockId,
    proof: &Finality,
    committee: &Committee,
    rule: FinalityRule,
) -> Result<(), ProofFault> {
    match proof {
        Finality::Certificate(certificate) if rule.links == 1 => {
            check_certificate(block, certificate, committee, rule)
        }
        Finality::Descendants {
            headers,
            certificates,
        } => check_descendants(block, headers, certificates, committee, rule),
        Finality::Certificate(_) | Finality::Trusted | Finality::Depth(_) => {
            Err(ProofFault::NothingToCheck)
        }
    }
}

fn check_certificate(
    block: BlockId,
    certificate: &Certificate,
    committee: &Committee,
    rule: FinalityRule,
) -> Result<(), ProofFault> {
    let vote = certificate.vote();
    if vote.phase != rule.phase {
        return Err(ProofFault::WrongPhase(vote.phase));
    }
    if vote.digest != block {
        return Err(ProofFault::OtherBlock {
            certified: vote.digest,
            block,
        });
    }
    Ok(certificate.verify(committee, rule.quorum.of(committee.n()))?)
}

/// The rule of chained protocols: so many certified blocks in a row, in views that follow each other.
fn check_descendants(
    block: BlockId,
    headers: &[Header],
    certificates: &[Certificate],
    committee: &Committee,
    rule: FinalityRule,
) -> Result<(), ProofFault> {
    let mut chain = vec![block];
    for header in headers {
        if Some(&header.parent) != chain.last() {
            return Err(ProofFault::NotLinked);
        }
        chain.push(header.id());
    }
    if certificates.len() != rule.links || chain.len() < rule.links {
        return Err(ProofFault::NotLinked);
    }
    let certified = &chain[chain.len() - rule.links..];
    for (id, certificate) in certified.iter().zip(certificates) {
        check_certificate(*id, certificate, committee, rule)?;
    }
    let views = certificates.windows(2);
    let mut views = views.map(|pair| (pair[0].vote().view, pair[1].vote().view));
    if views.all(|(view, next)| next == view.next()) {
        Ok(())
    } else {
        Err(ProofFault::NotConsecutive)
    }
}

/// A header with the reason to believe that it is final.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct FinalHeader {
    /// The header.
    pub header: Header,
    /// The reason.
    pub finality: Arc<Finality>,
}

impl FinalHeader {
    fn of(entry: &Entry) -> Result<Self, ProofGap> {
        let header = entry.block.header().clone();
        let proof = entry.proof.as_ref();
        Ok(Self {
            finality: Arc::clone(proof.ok_or(ProofGap::NotFinal(header.height))?),
            header,
        })
    }

    /// The first final header that carries the results of `height`.
    fn carrying(ledger: &Ledger, height: Height) -> Result<Self, ProofGap> {
        ledger
            .entries_from(height.next())
            .take_while(|entry| entry.proof.is_some())
            .find(|entry| entry.block.header().results.height == height)
            .map_or(Err(ProofGap::NotCarried(height)), |entry| Self::of(entry))
    }

    /// Checks that it is final; see [`check_finality`].
    pub fn verify(&self, committee: &Committee, rule: FinalityRule) -> Result<&Header, ProofFault> {
        let id = self.header.id();
        check_finality(id, &self.finality, committee, rule)?;
        Ok(&self.header)
    }
}

/// RFC 6962 audit path of a leaf.
///
/// The header commits to the leaves and their order but not to their number: what is proven is that
/// the leaf is among them, not at which place.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
struct Inclusion {
    index: u32,
    leaves: u32,
    path: Vec<u8>,
}

impl Inclusion {
    fn new(leaves: impl IntoIterator<Item = Digest>, index: usize) -> Self {
        let tree = block::merkle_tree(leaves);
        Self {
            index: index as u32,
            leaves: tree.len() as u32,
            path: tree.prove_inclusion(index).as_bytes().to_vec(),
        }
    }

    fn verify(&self, root: &Digest, leaf: Digest) -> Result<(), ProofFault> {
        let root = RootHash::<Sha256>::new(root.0.into(), self.leaves.into());
        InclusionProof::try_from_bytes(self.path.clone())
            .and_then(|proof| root.verify_inclusion(&leaf.0, self.index.into(), &proof))
            .map_err(|_| ProofFault::NotIncluded)
    }
}

/// Shows that a transaction was ordered.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct TransactionProof {
    block: FinalHeader,
    transaction: Arc<Transaction>,
    inclusion: Inclusion,
}

impl TransactionProof {
    /// Makes the proof for a transaction on this chain.
    pub fn new(ledger: &Ledger, tx: &TxId) -> Result<Self, ProofGap> {
        let (entry, place) = locate(ledger, tx)?;
        let transactions = entry.block.transactions();
        Ok(Self {
            block: FinalHeader::of(entry)?,
            transaction: Arc::clone(&transactions[place]),
            inclusion: Inclusion::new(transactions.iter().map(|t| t.leaf()), place),
        })
    }

    /// What it is about; believe it after [`TransactionProof::verify`].
    pub fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }

    /// Checks that the committee ordered this transaction. Returns the header of its block.
    pub fn verify(&self, committee: &Committee, rule: FinalityRule) -> Result<&Header, ProofFault> {
        let header = self.block.verify(committee, rule)?;
        self.inclusion
            .verify(&header.transactions_root, self.transaction.leaf())?;
        Ok(header)
    }

    /// Checks that the party that it names signed it. Ids leave signatures out, so the committee's
    /// word does not cover this one.
    pub fn verify_signature(&self, registry: &Registry) -> Result<(), ProofFault> {
        if registry.verify_party(self.transaction.signed()) {
            Ok(())
        } else {
            Err(ProofFault::NotSigned(self.transaction.party()))
        }
    }
}

/// Shows what became of a transaction.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReceiptProof {
    block: FinalHeader,
    receipt: Receipt,
    inclusion: Inclusion,
}

impl ReceiptProof {
    /// Makes the proof for a transaction on this chain.
    pub fn new(ledger: &Ledger, tx: &TxId) -> Result<Self, ProofGap> {
        let (entry, place) = locate(ledger, tx)?;
        Ok(Self {
            block: FinalHeader::carrying(ledger, entry.height())?,
            receipt: entry.receipts[place].clone(),
            inclusion: Inclusion::new(entry.receipts.iter().map(receipt_digest), place),
        })
    }

    /// What it is about; believe it after [`ReceiptProof::verify`].
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Checks that this is what became of the transaction. Returns the height that it executed at.
    pub fn verify(&self, committee: &Committee, rule: FinalityRule) -> Result<Height, ProofFault> {
        let results = self.block.verify(committee, rule)?.results;
        self.inclusion
            .verify(&results.receipts_root, receipt_digest(&self.receipt))?;
        Ok(results.height)
    }
}

/// Shows what the state holds under a key, or that it holds nothing there.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct EntryProof {
    block: FinalHeader,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    path: StateProof,
}

impl EntryProof {
    /// Makes the proof for the newest height that a final header carries the results of.
    pub fn new(ledger: &Ledger, key: &[u8]) -> Result<Self, ProofGap> {
        let newest = ledger
            .entry(ledger.final_height())
            .expect("what is final is on the chain");
        Self::at(ledger, newest.block.header().results.height, key)
    }

    /// Makes the proof for the state after `height`.
    pub fn at(ledger: &Ledger, height: Height, key: &[u8]) -> Result<Self, ProofGap> {
        let block = FinalHeader::carrying(ledger, height)?;
        let state = ledger
            .state_at(height)
            .ok_or(ProofGap::NoSnapshot(height))?;
        Ok(Self {
            block,
            key: key.to_vec(),
            value: state.get(key).map(<[u8]>::to_vec),
            path: state.prove(key),
        })
    }

    /// The final header that it hangs on.
    pub fn block(&self) -> &FinalHeader {
        &self.block
    }

    /// The key that it is about.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What it claims to be there; believe it after [`EntryProof::verify`].
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// Checks that this is what the state holds. Returns the height after which it does.
    pub fn verify(&self, committee: &Committee, rule: FinalityRule) -> Result<Height, ProofFault> {
        let results = self.block.verify(committee, rule)?.results;
        if self
            .path
            .verify(&results.state_root, &self.key, self.value.as_deref())
        {
            Ok(results.height)
        } else {
            Err(ProofFault::NotIncluded)
        }
    }
}

/// The entry that holds a transaction, and its place there.
fn locate<'a>(ledger: &'a Ledger, tx: &TxId) -> Result<(&'a Entry, usize), ProofGap> {
    let unknown = ProofGap::UnknownTransaction(*tx);
    let (height, _) = ledger.receipt(tx).ok_or(unknown)?;
    let entry = ledger.entry(height).ok_or(unknown)?;
    let place = entry.receipts.iter().position(|receipt| receipt.tx == *tx);
    Ok((entry, place.ok_or(unknown)?))
}
