//! What validators say to each other, and what they must not forget.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    crypto::{Keypair, SIGNATURE_LEN, Signable, Signed},
    engine::{Forks, Kind, Message, Slot},
    quorum::{Certificate, FinalityRule, QuorumRule, SIGNED_VOTE_LEN, Vote},
    rewrite::{Pen, Rewrite},
    rounds::{Author, COMMIT, Courtesy},
    types::{Digest, Height, NodeId, Seq, View, Wall},
};

use super::rewrite;

/// A quorum of COMMITs makes a block final.
pub const FINALITY: FinalityRule = FinalityRule {
    phase: COMMIT,
    quorum: QuorumRule::CeilTwoThirds,
    links: 1,
};

/// Signer and signature on the wire.
const SEAL_LEN: usize = 2 + SIGNATURE_LEN;

/// What was prepared at its signer, and in which round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Claim {
    /// The round.
    pub view: View,
    /// The block.
    pub digest: Digest,
}

/// What a validator signs when it changes the round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Change {
    /// The round that it goes to.
    pub view: View,
    /// The height.
    pub slot: Seq,
    /// What it prepared last at this height.
    pub prepared: Option<Claim>,
}

impl Signable for Change {
    type Signer = NodeId;
    const DOMAIN: &'static str = "qbft round-change";
}

impl Change {
    /// Bytes on the wire, signed.
    fn signed_len(&self) -> usize {
        8 + 8 + 1 + self.prepared.map_or(0, |_| 8 + 32) + SEAL_LEN
    }
}

/// ROUND-CHANGE: what its sender prepared last, with the reason to believe it and the block.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct RoundChange {
    /// Signed by its sender.
    pub change: Signed<Change>,
    /// PREPAREs of a quorum, if anything is claimed.
    pub certificate: Option<Certificate>,
    /// The block that is claimed.
    pub block: Option<Arc<Block>>,
}

impl RoundChange {
    fn wire_len(&self) -> usize {
        self.change.body().signed_len()
            + optional(self.certificate.as_ref().map(Certificate::wire_len))
            + optional(self.block.as_ref().map(|block| block.wire_len()))
    }
}

/// PROPOSAL: a block for a height in a round and, from round 1 on, why it may be proposed.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// Signed by the round's proposer.
    pub claim: Signed<Vote>,
    /// The block.
    pub block: Arc<Block>,
    /// From round 1 on: ROUND-CHANGEs of a quorum for this round.
    pub changes: Vec<Signed<Change>>,
    /// If one of them claims something: the PREPAREs for what was claimed in the highest round.
    pub prepared: Option<Certificate>,
}

impl Proposal {
    /// Its round.
    pub(super) fn round(&self) -> u64 {
        self.claim.body().view.round()
    }

    fn wire_len(&self) -> usize {
        let changes: usize = self.changes.iter().map(|c| c.body().signed_len()).sum();
        SIGNED_VOTE_LEN
            + self.block.wire_len()
            + 4
            + changes
            + optional(self.prepared.as_ref().map(Certificate::wire_len))
    }
}

fn optional(len: Option<usize>) -> usize {
    1 + len.unwrap_or(0)
}

fn signers(certificate: Option<&Certificate>) -> usize {
    certificate.map_or(0, |certificate| certificate.signers().len())
}

fn place_of(vote: &Vote) -> Slot {
    Slot {
        view: vote.view,
        seq: vote.slot,
    }
}

/// A message of the protocol.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum QbftMessage {
    /// The proposer of a round proposes a block.
    Proposal(Arc<Proposal>),
    /// A validator accepted it.
    Prepare(Signed<Vote>),
    /// A quorum accepted it.
    Commit(Signed<Vote>),
    /// A validator goes to another round.
    RoundChange(Arc<RoundChange>),
    /// For those who are behind.
    Courtesy(Courtesy),
}

impl From<Courtesy> for QbftMessage {
    fn from(courtesy: Courtesy) -> Self {
        Self::Courtesy(courtesy)
    }
}

impl QbftMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 7] = [
        "PROPOSAL",
        "PREPARE",
        "COMMIT",
        "ROUND-CHANGE",
        Courtesy::NAMES[0],
        Courtesy::NAMES[1],
        Courtesy::NAMES[2],
    ];

    fn code(&self) -> u8 {
        match self {
            Self::Proposal(_) => 0,
            Self::Prepare(_) => 1,
            Self::Commit(_) => 2,
            Self::RoundChange(_) => 3,
            Self::Courtesy(courtesy) => 4 + courtesy.code(),
        }
    }

    /// Who signed it and about which height; `None` for courtesies, which are about none.
    pub(super) fn author(&self) -> Option<Author> {
        let (node, slot) = match self {
            Self::Proposal(proposal) => (proposal.claim.signer(), proposal.claim.body().slot),
            Self::Prepare(vote) | Self::Commit(vote) => (vote.signer(), vote.body().slot),
            Self::RoundChange(said) => (said.change.signer(), said.change.body().slot),
            Self::Courtesy(_) => return None,
        };
        Some(Author {
            node,
            height: Height(slot.0),
        })
    }
}

impl Message for QbftMessage {
    fn kind(&self) -> Kind {
        Kind {
            name: Self::NAMES[usize::from(self.code())],
            code: self.code(),
            proposal: matches!(self, Self::Proposal(_)),
        }
    }

    fn slot(&self) -> Slot {
        match self {
            Self::Proposal(proposal) => place_of(proposal.claim.body()),
            Self::Prepare(vote) | Self::Commit(vote) => place_of(vote.body()),
            Self::RoundChange(said) => Slot {
                view: said.change.body().view,
                seq: said.change.body().slot,
            },
            Self::Courtesy(courtesy) => courtesy.slot(),
        }
    }

    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Proposal(proposal) => proposal.wire_len(),
            Self::Prepare(_) | Self::Commit(_) => SIGNED_VOTE_LEN,
            Self::RoundChange(said) => said.wire_len(),
            Self::Courtesy(courtesy) => courtesy.wire_len(),
        }
    }

    fn signatures(&self) -> usize {
        match self {
            Self::Proposal(proposal) => {
                let transactions = proposal.block.transactions().len();
                1 + proposal.changes.len() + signers(proposal.prepared.as_ref()) + transactions
            }
            Self::Prepare(_) | Self::Commit(_) => 1,
            Self::RoundChange(said) => {
                let block = said.block.as_ref();
                let transactions = block.map_or(0, |block| block.transactions().len());
                1 + signers(said.certificate.as_ref()) + transactions
            }
            Self::Courtesy(courtesy) => courtesy.signatures(),
        }
    }

    fn hashed_bytes(&self) -> usize {
        match self {
            Self::Proposal(proposal) => proposal.block.wire_len(),
            Self::RoundChange(said) => said.block.as_ref().map_or(0, |block| block.wire_len()),
            _ => 0,
        }
    }

    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        match self {
            Self::Proposal(proposal) => visit(&proposal.block),
            Self::RoundChange(said) => said.block.iter().for_each(|block| visit(block)),
            _ => {}
        }
    }

    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::Proposal(proposal) => {
                let block = retimed(&proposal.block);
                forks.insert(proposal.block.id(), block.id());
                let vote = Vote {
                    digest: block.id(),
                    ..*proposal.claim.body()
                };
                Some(Self::Proposal(Arc::new(Proposal {
                    claim: key.sign(me, vote),
                    block,
                    ..(**proposal).clone()
                })))
            }
            Self::Prepare(vote) => other_vote(vote, key, me, forks).map(Self::Prepare),
            Self::Commit(vote) => other_vote(vote, key, me, forks).map(Self::Commit),
            _ => None,
        }
    }

    fn rewrite(&self, change: Rewrite, pen: &mut Pen<'_, Self>) -> Option<Self> {
        rewrite::rewrite(self, change, pen)
    }
}

/// The same block a nanosecond later: another one.
pub(super) fn retimed(block: &Block) -> Arc<Block> {
    let mut header = block.header().clone();
    header.timestamp = Wall(header.timestamp.0.wrapping_add(1));
    Block::new(header, block.transactions().to_vec())
}

/// The vote for the lie that the script has for this vote's digest.
fn other_vote(
    vote: &Signed<Vote>,
    key: &Arc<Keypair>,
    me: NodeId,
    forks: &Forks,
) -> Option<Signed<Vote>> {
    let digest = *forks.get(&vote.body().digest)?;
    let vote = Vote {
        digest,
        ..*vote.body()
    };
    Some(key.sign(me, vote))
}

/// What must be durable before its consequence is sent.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// A proposal that this validator made or accepted: its PREPARE follows.
    Accepted(Arc<Proposal>),
    /// PREPAREs of a quorum for what was accepted: its COMMIT follows.
    Prepared(Certificate),
    /// It went to another round.
    RoundChange(Arc<RoundChange>),
    /// It lost its log once and has signed nothing since.
    Mute,
}

impl Record {
    /// Names of the kinds.
    pub const NAMES: [&'static str; 4] = ["ACCEPTED", "PREPARED", "ROUND-CHANGE", "MUTE"];
}

impl crate::engine::Record for Record {
    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Accepted(proposal) => proposal.wire_len(),
            Self::Prepared(certificate) => certificate.wire_len(),
            Self::RoundChange(said) => said.wire_len(),
            Self::Mute => 0,
        }
    }

    fn label(&self) -> (&'static str, Slot) {
        match self {
            Self::Accepted(proposal) => (Self::NAMES[0], place_of(proposal.claim.body())),
            Self::Prepared(certificate) => (Self::NAMES[1], place_of(certificate.vote())),
            Self::RoundChange(said) => (
                Self::NAMES[2],
                Slot {
                    view: said.change.body().view,
                    seq: said.change.body().slot,
                },
            ),
            Self::Mute => (Self::NAMES[3], Slot::default()),
        }
    }
}
