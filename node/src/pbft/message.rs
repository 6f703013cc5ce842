//! What replicas say to each other, and what they must not forget.
//!
//! Every message is signed by its sender or certifies itself (a certificate, or a body whose digest
//! was asked for), so an answer may come from anyone and retransmission needs no trust.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    crypto::{Keypair, SIGNATURE_LEN, Signable, Signed},
    engine::{Forks, Kind, Message, Slot},
    quorum::{Certificate, Phase, SIGNED_VOTE_LEN, Vote},
    rewrite::{Pen, Rewrite},
    types::{Digest, Epoch, NodeId, Seq, View, Wall},
};

use super::rewrite;

/// Phase of a backup's PREPARE: "the primary assigned this digest to this slot in this view".
pub const PREPARE: Phase = Phase(1);
/// Phase of a COMMIT: "this digest is prepared here".
pub const COMMIT: Phase = Phase(2);
/// Phase of a CHECKPOINT: "this is my state after that slot". Its view is always the epoch's first.
pub const CHECKPOINT: Phase = Phase(3);

/// Signer and signature on the wire.
const SEAL_LEN: usize = 2 + SIGNATURE_LEN;
/// A signed [`Proposal`] on the wire.
const SIGNED_PROPOSAL_LEN: usize = 8 + 8 + 32 + SEAL_LEN;

/// What a primary signs: in this view, this slot holds this digest (zero: the null request).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The primary's view.
    pub view: View,
    /// The slot.
    pub seq: Seq,
    /// Id of the block, or [`Digest::ZERO`].
    pub digest: Digest,
}

impl Proposal {
    fn place(&self) -> Slot {
        Slot {
            view: self.view,
            seq: self.seq,
        }
    }
}

fn place_of(vote: &Vote) -> Slot {
    Slot {
        view: vote.view,
        seq: vote.slot,
    }
}

/// What is about a view as a whole.
fn of_view(view: View) -> Slot {
    Slot { view, seq: Seq(0) }
}

impl Signable for Proposal {
    type Signer = NodeId;
    const DOMAIN: &'static str = "pbft pre-prepare";
}

/// PRE-PREPARE: a proposal and the block that it names.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct PrePrepare {
    /// Signed by the primary.
    pub claim: Signed<Proposal>,
    /// The block; `None` for the null request.
    pub block: Option<Arc<Block>>,
}

/// Proof that a digest was prepared: the proposal, and q−1 PREPAREs of backups.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Prepared {
    /// The primary's proposal.
    pub claim: Signed<Proposal>,
    /// The backups' word; `None` only where q−1 is zero, in a committee of one.
    pub prepares: Option<Certificate>,
}

impl Prepared {
    fn wire_len(&self) -> usize {
        SIGNED_PROPOSAL_LEN + 1 + self.prepares.as_ref().map_or(0, Certificate::wire_len)
    }

    fn signatures(&self) -> usize {
        1 + self.prepares.as_ref().map_or(0, |c| c.signers().len())
    }
}

/// VIEW-CHANGE: what its sender knows that a new primary must respect (the paper's v+1, n, C, P).
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// The view that is asked for.
    pub view: View,
    /// The sender's last stable checkpoint.
    pub stable: Seq,
    /// Proof of that checkpoint; `None` at the base of the epoch.
    pub proof: Option<Certificate>,
    /// For each slot above it that was prepared at the sender, the proof of the highest view; in
    /// ascending order of slots.
    pub prepared: Vec<Arc<Prepared>>,
}

impl Signable for ViewChange {
    type Signer = NodeId;
    const DOMAIN: &'static str = "pbft view-change";
}

impl ViewChange {
    fn signed_len(&self) -> usize {
        let proof = self.proof.as_ref().map_or(0, Certificate::wire_len);
        let prepared: usize = self.prepared.iter().map(|entry| entry.wire_len()).sum();
        8 + 8 + 1 + proof + 4 + prepared + SEAL_LEN
    }

    fn signatures(&self) -> usize {
        let proof = self.proof.as_ref().map_or(0, |c| c.signers().len());
        let prepared: usize = self.prepared.iter().map(|entry| entry.signatures()).sum();
        1 + proof + prepared
    }
}

/// NEW-VIEW: the view changes that justify it and what follows from them (the paper's V and O).
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// The view that begins.
    pub view: View,
    /// At least q VIEW-CHANGEs for it, in ascending order of their senders.
    pub changes: Vec<Arc<Signed<ViewChange>>>,
    /// One proposal for each slot from the highest proved checkpoint to the highest prepared slot.
    pub proposals: Vec<Signed<Proposal>>,
}

impl NewView {
    fn signed_len(&self) -> usize {
        let changes: usize = self
            .changes
            .iter()
            .map(|change| change.body().signed_len())
            .sum();
        8 + 4 + changes + 4 + self.proposals.len() * SIGNED_PROPOSAL_LEN + SEAL_LEN
    }
}

impl Signable for NewView {
    type Signer = NodeId;
    const DOMAIN: &'static str = "pbft new-view";
}

/// Whom a [`Report`] asks for what is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = false)]
pub enum Asks {
    /// Everyone; what any replica could send is sent by f+1 of them, others at the next attempt.
    Everyone,
    /// This one alone, which seems to be behind and should report in return.
    You,
    /// This one alone, in return for its report.
    InReturn,
}

/// What a replica still lacks for an undecided slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = false)]
pub enum Lacks {
    /// Commits.
    Commits,
    /// Prepares and commits.
    Prepares,
    /// The proposal or its block, and all that follows.
    Everything,
}

/// STATUS: where a replica stands, so that others can send what it lacks.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// Its view.
    pub view: View,
    /// Whether that view is under way there.
    pub active: bool,
    /// Its last executed slot.
    pub executed: Seq,
    /// Its last stable checkpoint.
    pub stable: Seq,
    /// The highest slot that is prepared there.
    pub prepared: Seq,
    /// Whom it asks.
    pub asks: Asks,
    /// Grows with each request, over restarts too; turns the duty to answer around.
    pub attempt: u64,
    /// The attempt that this is the return for; zero if it is none.
    pub echo: u64,
    /// What it lacks for the slots that follow `executed`; for those beyond the list, everything.
    pub open: Vec<Lacks>,
}

impl Signable for Report {
    type Signer = NodeId;
    const DOMAIN: &'static str = "pbft status";
}

/// FETCH: please send the block of this digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Fetch {
    /// The block's id.
    pub digest: Digest,
}

impl Signable for Fetch {
    type Signer = NodeId;
    const DOMAIN: &'static str = "pbft fetch";
}

/// DECIDED: a slot with the certificate that decided it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Decided {
    /// q COMMITs of one view.
    pub certificate: Certificate,
    /// The block; `None` for the null request.
    pub block: Option<Arc<Block>>,
}

/// A message of the protocol.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum PbftMessage {
    /// The primary assigns a block to a slot.
    PrePrepare(PrePrepare),
    /// A backup agrees to the assignment.
    Prepare(Signed<Vote>),
    /// A replica has the assignment prepared.
    Commit(Signed<Vote>),
    /// A replica's state after a slot.
    Checkpoint(Signed<Vote>),
    /// A replica asks for another primary.
    ViewChange(Arc<Signed<ViewChange>>),
    /// A new primary begins.
    NewView(Arc<Signed<NewView>>),
    /// Where a replica stands.
    Status(Arc<Signed<Report>>),
    /// A replica lacks a block.
    Fetch(Signed<Fetch>),
    /// The block that was asked for.
    Body(Arc<Block>),
    /// A decided slot for one that missed it.
    Decided(Decided),
    /// A stable checkpoint for one that missed it.
    Stable(Certificate),
}

impl Record {
    /// The epoch that it was written in, if it names one.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        let view = match self {
            Self::Accepted(PrePrepare { claim, .. }) => claim.body().view,
            Self::Prepared(proof) => proof.claim.body().view,
            Self::Committed(vote) | Self::Checkpoint(vote) => vote.body().view,
            Self::ViewChange(message) => message.body().view,
            Self::NewView(message) => message.body().view,
            Self::Stable(certificate) => certificate.vote().view,
            Self::Body(..) | Self::Mute => return None,
        };
        Some(view.epoch())
    }
}

impl PbftMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 11] = [
        "PRE-PREPARE",
        "PREPARE",
        "COMMIT",
        "CHECKPOINT",
        "VIEW-CHANGE",
        "NEW-VIEW",
        "STATUS",
        "FETCH",
        "BODY",
        "DECIDED",
        "STABLE",
    ];

    fn code(&self) -> u8 {
        match self {
            Self::PrePrepare(_) => 0,
            Self::Prepare(_) => 1,
            Self::Commit(_) => 2,
            Self::Checkpoint(_) => 3,
            Self::ViewChange(_) => 4,
            Self::NewView(_) => 5,
            Self::Status(_) => 6,
            Self::Fetch(_) => 7,
            Self::Body(_) => 8,
            Self::Decided(_) => 9,
            Self::Stable(_) => 10,
        }
    }
}

impl Message for PbftMessage {
    fn kind(&self) -> Kind {
        Kind {
            name: Self::NAMES[usize::from(self.code())],
            code: self.code(),
            proposal: matches!(self, Self::PrePrepare(_)),
        }
    }

    fn slot(&self) -> Slot {
        match self {
            Self::PrePrepare(message) => message.claim.body().place(),
            Self::Prepare(vote) | Self::Commit(vote) | Self::Checkpoint(vote) => {
                place_of(vote.body())
            }
            Self::ViewChange(message) => of_view(message.body().view),
            Self::NewView(message) => of_view(message.body().view),
            Self::Status(message) => of_view(message.body().view),
            Self::Fetch(_) | Self::Body(_) => Slot::default(),
            Self::Decided(message) => place_of(message.certificate.vote()),
            Self::Stable(certificate) => place_of(certificate.vote()),
        }
    }

    fn wire_len(&self) -> usize {
        let optional = |block: &Option<Arc<Block>>| 1 + block.as_ref().map_or(0, |b| b.wire_len());
        1 + match self {
            Self::PrePrepare(message) => SIGNED_PROPOSAL_LEN + optional(&message.block),
            Self::Prepare(_) | Self::Commit(_) | Self::Checkpoint(_) => SIGNED_VOTE_LEN,
            Self::ViewChange(message) => message.body().signed_len(),
            Self::NewView(message) => message.body().signed_len(),
            Self::Status(message) => {
                8 + 1 + 8 + 8 + 8 + 1 + 8 + 8 + 4 + message.body().open.len() + SEAL_LEN
            }
            Self::Fetch(_) => 32 + SEAL_LEN,
            Self::Body(block) => block.wire_len(),
            Self::Decided(message) => message.certificate.wire_len() + optional(&message.block),
            Self::Stable(certificate) => certificate.wire_len(),
        }
    }

    fn signatures(&self) -> usize {
        match self {
            Self::PrePrepare(message) => {
                1 + message.block.as_ref().map_or(0, |b| b.transactions().len())
            }
            Self::Prepare(_)
            | Self::Commit(_)
            | Self::Checkpoint(_)
            | Self::Status(_)
            | Self::Fetch(_) => 1,
            Self::ViewChange(message) => message.body().signatures(),
            Self::NewView(message) => {
                let NewView {
                    changes, proposals, ..
                } = message.body();
                let changes: usize = changes.iter().map(|c| c.body().signatures()).sum();
                1 + changes + proposals.len()
            }
            Self::Body(block) => block.transactions().len(),
            Self::Decided(message) => {
                let block = message.block.as_ref();
                message.certificate.signers().len() + block.map_or(0, |b| b.transactions().len())
            }
            Self::Stable(certificate) => certificate.signers().len(),
        }
    }

    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        match self {
            Self::PrePrepare(PrePrepare { block, .. }) | Self::Decided(Decided { block, .. }) => {
                if let Some(block) = block {
                    visit(block);
                }
            }
            Self::Body(block) => visit(block),
            _ => {}
        }
    }

    fn hashed_bytes(&self) -> usize {
        match self {
            Self::PrePrepare(PrePrepare { block, .. }) | Self::Decided(Decided { block, .. }) => {
                block.as_ref().map_or(0, |b| b.wire_len())
            }
            Self::Body(block) => block.wire_len(),
            _ => 0,
        }
    }

    fn rewrite(&self, change: Rewrite, pen: &mut Pen<'_, Self>) -> Option<Self> {
        rewrite::rewrite(self, change, pen)
    }

    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::PrePrepare(PrePrepare {
                claim,
                block: Some(block),
            }) => {
                let mut header = block.header().clone();
                header.timestamp = Wall(header.timestamp.0.wrapping_add(1));
                let lie = Block::new(header, block.transactions().to_vec());
                forks.insert(block.id(), lie.id());
                let digest = lie.id();
                let claim = key.sign(
                    me,
                    Proposal {
                        digest,
                        ..*claim.body()
                    },
                );
                Some(Self::PrePrepare(PrePrepare {
                    claim,
                    block: Some(lie),
                }))
            }
            Self::Prepare(vote) => other_vote(vote, key, me, forks).map(Self::Prepare),
            Self::Commit(vote) => other_vote(vote, key, me, forks).map(Self::Commit),
            _ => None,
        }
    }
}

/// The vote for the lie that the script has for this vote's digest.
fn other_vote(
    vote: &Signed<Vote>,
    key: &Arc<Keypair>,
    me: NodeId,
    forks: &Forks,
) -> Option<Signed<Vote>> {
    let digest = *forks.get(&vote.body().digest)?;
    Some(key.sign(
        me,
        Vote {
            digest,
            ..*vote.body()
        },
    ))
}

/// What must be durable before its consequence is sent (R12).
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// An assignment that this replica made or agreed to; a backup's PREPARE follows from it.
    Accepted(PrePrepare),
    /// A prepared assignment.
    Prepared(Arc<Prepared>),
    /// This replica's COMMIT.
    Committed(Signed<Vote>),
    /// A block that this replica agreed to for this slot in an earlier view: others may ask for it.
    Body(Seq, Arc<Block>),
    /// This replica's own checkpoint vote.
    Checkpoint(Signed<Vote>),
    /// This replica left its view for this one; what it may still sign follows from it.
    ViewChange(Arc<Signed<ViewChange>>),
    /// This replica entered this view.
    NewView(Arc<Signed<NewView>>),
    /// The last stable checkpoint.
    Stable(Certificate),
    /// This replica once lost its log and has signed nothing since (R40).
    Mute,
}

impl Record {
    /// Names of the kinds.
    pub const NAMES: [&'static str; 9] = [
        "ACCEPTED",
        "PREPARED",
        "COMMITTED",
        "BODY",
        "CHECKPOINT",
        "VIEW-CHANGE",
        "NEW-VIEW",
        "STABLE",
        "MUTE",
    ];
}

impl crate::engine::Record for Record {
    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Accepted(PrePrepare { block, .. }) => {
                SIGNED_PROPOSAL_LEN + 1 + block.as_ref().map_or(0, |block| block.wire_len())
            }
            Self::Prepared(proof) => proof.wire_len(),
            Self::Committed(_) | Self::Checkpoint(_) => SIGNED_VOTE_LEN,
            Self::Body(_, block) => 8 + block.wire_len(),
            Self::ViewChange(message) => message.body().signed_len(),
            Self::NewView(message) => message.body().signed_len(),
            Self::Stable(certificate) => certificate.wire_len(),
            Self::Mute => 0,
        }
    }

    fn label(&self) -> (&'static str, Slot) {
        let at = |seq| Slot {
            view: View::default(),
            seq,
        };
        match self {
            Self::Accepted(proposal) => ("ACCEPTED", proposal.claim.body().place()),
            Self::Prepared(proof) => ("PREPARED", proof.claim.body().place()),
            Self::Committed(vote) => ("COMMITTED", place_of(vote.body())),
            Self::Body(seq, _) => ("BODY", at(*seq)),
            Self::Checkpoint(vote) => ("CHECKPOINT", place_of(vote.body())),
            Self::ViewChange(message) => ("VIEW-CHANGE", of_view(message.body().view)),
            Self::NewView(message) => ("NEW-VIEW", of_view(message.body().view)),
            Self::Stable(certificate) => ("STABLE", place_of(certificate.vote())),
            Self::Mute => ("MUTE", Slot::default()),
        }
    }
}
