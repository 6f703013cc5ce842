//! What validators say to each other, and what they must not forget.
//!
//! Every message is signed by those whose word it is, so it may come from anyone and passing it on needs no
//! trust.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    crypto::{Keypair, SIGNATURE_LEN, Signable, Signed},
    engine::{Forks, Kind, Message, Slot},
    quorum::{Certificate, FinalityRule, Phase, QuorumRule, SIGNED_VOTE_LEN, Vote},
    rewrite::{Pen, Rewrite},
    types::{Digest, NodeId, Seq, View},
};

use super::rewrite;

/// Phase of a PREVOTE: "I could accept this block in this round"; zero is nil.
pub const PREVOTE: Phase = Phase(1);
/// Phase of a PRECOMMIT: "more than two thirds could, and I am locked on it"; zero is nil.
pub const PRECOMMIT: Phase = Phase(2);
/// A quorum of PRECOMMITs makes a block final.
pub const FINALITY: FinalityRule = FinalityRule {
    phase: PRECOMMIT,
    quorum: QuorumRule::TwoThirds,
    links: 1,
};
/// The digest that a vote for no block names.
pub const NIL: Digest = Digest::ZERO;

/// Signer and signature on the wire.
const SEAL_LEN: usize = 2 + SIGNATURE_LEN;

/// What a proposer signs: in this height and round I stand for this block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Claim {
    /// The round, with the epoch of the height.
    pub view: View,
    /// The height.
    pub height: Seq,
    /// The paper's validRound: the round in which a quorum prevoted the block; `None` is its −1.
    pub valid_round: Option<u64>,
    /// Id of the block.
    pub digest: Digest,
}

impl Claim {
    /// Height and round.
    pub(super) const fn place(&self) -> Slot {
        Slot {
            view: self.view,
            seq: self.height,
        }
    }

    const fn signed_len(&self) -> usize {
        let valid_round = if self.valid_round.is_some() { 9 } else { 1 };
        8 + 8 + valid_round + 32 + SEAL_LEN
    }
}

impl Signable for Claim {
    type Signer = NodeId;
    const DOMAIN: &'static str = "tendermint proposal";
}

/// PROPOSAL: a claim, the block that it names and, for a block that was proposed before, the polka of
/// its valid round.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// Signed by the proposer.
    pub claim: Signed<Claim>,
    /// The block.
    pub block: Arc<Block>,
    /// The PREVOTEs of the valid round.
    pub polka: Option<Arc<Certificate>>,
}

impl Proposal {
    fn wire_len(&self) -> usize {
        let polka = self.polka.as_ref().map_or(0, |polka| polka.wire_len());
        self.claim.body().signed_len() + self.block.wire_len() + 1 + polka
    }
}

/// POLKA: a quorum of PREVOTEs for one block in one round.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Polka {
    /// The PREVOTEs.
    pub certificate: Arc<Certificate>,
    /// The block, where the receiver may lack it.
    pub block: Option<Arc<Block>>,
}

impl Polka {
    fn wire_len(&self) -> usize {
        self.certificate.wire_len() + 1 + self.block.as_ref().map_or(0, |b| b.wire_len())
    }
}

/// DECIDED: a block and the PRECOMMITs that decided it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Decided {
    /// The PRECOMMITs.
    pub certificate: Certificate,
    /// The block.
    pub block: Arc<Block>,
}

/// Whom a [`Report`] asks for what is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = false)]
pub enum Asks {
    /// Everyone; what any of them could send is sent by f+1, others at the next attempt.
    Everyone,
    /// This one alone, who should report in return.
    You,
    /// Nobody: it is a return.
    Nobody,
}

/// STATUS: where a validator stands in its height, so that others can send what it lacks.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// The height that it is deciding.
    pub height: Seq,
    /// Its round.
    pub view: View,
    /// The highest round in which it holds a polka and its block.
    pub polka: Option<u64>,
    /// The block that it holds for its round.
    pub proposal: Option<Digest>,
    /// Whose PREVOTEs of its round it holds, a bit for each place in the committee.
    pub prevotes: Vec<u8>,
    /// The same for PRECOMMITs.
    pub precommits: Vec<u8>,
    /// Whom it asks.
    pub asks: Asks,
    /// Grows with each STATUS, over restarts too.
    pub attempt: u64,
    /// The attempt that this is the return for; zero if it is none.
    pub echo: u64,
}

impl Report {
    fn signed_len(&self) -> usize {
        let polka = self.polka.map_or(1, |_| 9);
        let proposal = self.proposal.map_or(1, |_| 33);
        let bits = 4 + self.prevotes.len() + 4 + self.precommits.len();
        8 + 8 + polka + proposal + bits + 1 + 8 + 8 + SEAL_LEN
    }

    pub(super) const fn place(&self) -> Slot {
        Slot {
            view: self.view,
            seq: self.height,
        }
    }
}

impl Signable for Report {
    type Signer = NodeId;
    const DOMAIN: &'static str = "tendermint status";
}

/// A message of the protocol.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum TendermintMessage {
    /// A proposer offers a block.
    Proposal(Proposal),
    /// A validator could accept a block, or none.
    Prevote(Signed<Vote>),
    /// A validator saw a polka for a block, or gave up on the round.
    Precommit(Signed<Vote>),
    /// Where a validator stands.
    Status(Arc<Signed<Report>>),
    /// A polka for one that missed it.
    Polka(Polka),
    /// A decision for one that missed it.
    Decided(Arc<Decided>),
}

pub(super) const fn place_of(vote: &Vote) -> Slot {
    Slot {
        view: vote.view,
        seq: vote.slot,
    }
}

impl TendermintMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 6] = [
        "PROPOSAL",
        "PREVOTE",
        "PRECOMMIT",
        "STATUS",
        "POLKA",
        "DECIDED",
    ];

    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Proposal(_) => 0,
            Self::Prevote(_) => 1,
            Self::Precommit(_) => 2,
            Self::Status(_) => 3,
            Self::Polka(_) => 4,
            Self::Decided(_) => 5,
        }
    }

    /// The block that it carries.
    fn block(&self) -> Option<&Arc<Block>> {
        match self {
            Self::Proposal(said) => Some(&said.block),
            Self::Polka(said) => said.block.as_ref(),
            Self::Decided(said) => Some(&said.block),
            Self::Prevote(_) | Self::Precommit(_) | Self::Status(_) => None,
        }
    }
}

impl Message for TendermintMessage {
    fn kind(&self) -> Kind {
        Kind {
            name: Self::NAMES[usize::from(self.code())],
            code: self.code(),
            proposal: matches!(self, Self::Proposal(_)),
        }
    }

    fn slot(&self) -> Slot {
        match self {
            Self::Proposal(said) => said.claim.body().place(),
            Self::Prevote(vote) | Self::Precommit(vote) => place_of(vote.body()),
            Self::Status(said) => said.body().place(),
            Self::Polka(said) => place_of(said.certificate.vote()),
            Self::Decided(said) => place_of(said.certificate.vote()),
        }
    }

    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Proposal(said) => said.wire_len(),
            Self::Prevote(_) | Self::Precommit(_) => SIGNED_VOTE_LEN,
            Self::Status(said) => said.body().signed_len(),
            Self::Polka(said) => said.wire_len(),
            Self::Decided(said) => said.certificate.wire_len() + said.block.wire_len(),
        }
    }

    fn signatures(&self) -> usize {
        let transactions = self.block().map_or(0, |block| block.transactions().len());
        let signers = |certificate: &Certificate| certificate.signers().len();
        transactions
            + match self {
                Self::Proposal(said) => 1 + said.polka.as_ref().map_or(0, |polka| signers(polka)),
                Self::Prevote(_) | Self::Precommit(_) | Self::Status(_) => 1,
                Self::Polka(said) => signers(&said.certificate),
                Self::Decided(said) => signers(&said.certificate),
            }
    }

    fn hashed_bytes(&self) -> usize {
        self.block().map_or(0, |block| block.wire_len())
    }

    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        if let Some(block) = self.block() {
            visit(block);
        }
    }

    fn rewrite(&self, change: Rewrite, pen: &mut Pen<'_, Self>) -> Option<Self> {
        rewrite::rewrite(self, change, pen)
    }

    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        rewrite::conflicting(self, key, me, forks)
    }
}

/// What must be durable before its consequence is sent.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// What this validator proposed.
    Proposed(Proposal),
    /// What it prevoted or precommitted.
    Voted(Signed<Vote>),
    /// A polka with its block: the valid value, and the locked one if a PRECOMMIT follows.
    Polka(Polka),
    /// It once lost its log and has signed nothing since.
    Mute,
}

impl Record {
    /// Names of the kinds.
    pub const NAMES: [&'static str; 4] = ["PROPOSED", "VOTED", "POLKA", "MUTE"];
}

impl crate::engine::Record for Record {
    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Proposed(said) => said.wire_len(),
            Self::Voted(_) => SIGNED_VOTE_LEN,
            Self::Polka(polka) => polka.wire_len(),
            Self::Mute => 0,
        }
    }

    fn label(&self) -> (&'static str, Slot) {
        match self {
            Self::Proposed(said) => (Self::NAMES[0], said.claim.body().place()),
            Self::Voted(vote) => (Self::NAMES[1], place_of(vote.body())),
            Self::Polka(polka) => (Self::NAMES[2], place_of(polka.certificate.vote())),
            Self::Mute => (Self::NAMES[3], Slot::default()),
        }
    }
}
