//! What replicas say to each other, and what they must not forget.
//!
//! Every message is signed by its sender or certifies itself (a certificate, or blocks whose ids were
//! asked for), so an answer may come from anyone.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::{Block, Header},
    codec,
    crypto::{Keypair, SIGNATURE_LEN, Signable, Signed},
    engine::{Forks, Kind, Message, Slot},
    membership::Committee,
    quorum::{Certificate, Phase, SIGNED_VOTE_LEN, Vote},
    rewrite::{Pen, Rewrite},
    types::{BlockId, Height, NodeId, Seq, View},
};

use super::rewrite;

/// Phase of a vote: "of the blocks of this view this one is safe". A quorum of them is a quorum
/// certificate.
pub const VOTE: Phase = Phase(1);
/// Phase of a leader's own word: "this is the block of my view".
pub const PROPOSE: Phase = Phase(2);

/// Signer and signature on the wire.
const SEAL_LEN: usize = 2 + SIGNATURE_LEN;
/// A signed [`GiveUp`] on the wire.
const SIGNED_GIVE_UP_LEN: usize = 8 + 8 + SEAL_LEN;

/// What a block carries in [`Header::extra`], so that a chain can be checked without what stood beside
/// its blocks.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Stamp {
    /// The view in which it was proposed.
    pub view: View,
    /// The view of its parent, which the certificate beside it certifies; zero for genesis.
    pub parent: View,
    /// Who signed that certificate: a bit for each place in the committee, lowest first.
    pub voters: Vec<u8>,
}

impl Stamp {
    /// The stamp of a block; `None` if it has none.
    pub fn of(header: &Header) -> Option<Self> {
        codec::decode(&header.extra).ok()
    }

    /// The bits of those who signed `certificate`; none for genesis.
    pub(super) fn voters(committee: &Committee, certificate: Option<&Certificate>) -> Vec<u8> {
        let mut bits = vec![0; committee.n().div_ceil(8)];
        let signers = certificate.into_iter().flat_map(Certificate::signers);
        for place in signers.filter_map(|signer| committee.position(signer)) {
            bits[place / 8] |= 1 << (place % 8);
        }
        bits
    }
}

/// A block with the certificate for its parent, which is not part of what its id hashes.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Link {
    /// The block.
    pub block: Arc<Block>,
    /// A quorum's votes for its parent; `None` if that is genesis.
    pub justify: Option<Certificate>,
}

fn optional(certificate: Option<&Certificate>) -> usize {
    1 + certificate.map_or(0, Certificate::wire_len)
}

fn checks(certificate: Option<&Certificate>) -> usize {
    certificate.map_or(0, |certificate| certificate.signers().len())
}

impl Link {
    fn wire_len(&self) -> usize {
        self.block.wire_len() + optional(self.justify.as_ref())
    }

    fn signatures(&self) -> usize {
        self.block.transactions().len() + checks(self.justify.as_ref())
    }
}

/// What a replica signs when it gives up a view: it votes in no view up to this one any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GiveUp {
    /// The view that it gives up.
    pub view: View,
    /// The view of the highest quorum certificate that it had seen.
    pub high: View,
}

impl Signable for GiveUp {
    type Signer = NodeId;
    const DOMAIN: &'static str = "hotstuff timeout";
}

/// The word of a quorum that a view was given up (a timeout certificate, TC).
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct TimeoutCertificate {
    /// The view.
    pub view: View,
    /// Who gave it up, in ascending order of signers.
    pub words: Vec<Signed<GiveUp>>,
}

impl TimeoutCertificate {
    /// The highest certificate that one of them had seen, by its view.
    pub fn high(&self) -> View {
        let highs = self.words.iter().map(|word| word.body().high);
        highs.max().unwrap_or_default()
    }

    /// Whether so many distinct members gave up that view.
    pub fn verify(&self, committee: &Committee, needed: usize) -> bool {
        let mut pairs = self.words.windows(2);
        self.words.len() >= needed
            && pairs.all(|pair| pair[0].signer() < pair[1].signer())
            && self
                .words
                .iter()
                .all(|word| word.body().view == self.view && committee.verify(word))
    }

    fn wire_len(&self) -> usize {
        8 + 4 + self.words.len() * SIGNED_GIVE_UP_LEN
    }
}

fn optional_tc(tc: Option<&Arc<TimeoutCertificate>>) -> usize {
    1 + tc.map_or(0, |tc| tc.wire_len())
}

fn tc_checks(tc: Option<&Arc<TimeoutCertificate>>) -> usize {
    tc.map_or(0, |tc| tc.words.len())
}

/// PROPOSAL: the block of a view.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The leader's word for the block.
    pub claim: Signed<Vote>,
    /// The block, and why its parent is certified.
    pub link: Arc<Link>,
    /// Why the view began, unless the parent is the block of the view before.
    pub tc: Option<Arc<TimeoutCertificate>>,
}

impl Proposal {
    fn wire_len(&self) -> usize {
        SIGNED_VOTE_LEN + self.link.wire_len() + optional_tc(self.tc.as_ref())
    }
}

/// TIMEOUT and NEW-VIEW: a replica gives up a view.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Word {
    /// Its word.
    pub claim: Signed<GiveUp>,
    /// The highest certificate that it has: no lower than its word says.
    pub high: Option<Certificate>,
    /// Why the view before was left without a certificate, if it was.
    pub tc: Option<Arc<TimeoutCertificate>>,
}

impl Word {
    fn wire_len(&self) -> usize {
        SIGNED_GIVE_UP_LEN + optional(self.high.as_ref()) + optional_tc(self.tc.as_ref())
    }
}

/// FETCH: please send this block and its ancestors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Fetch {
    /// The block.
    pub block: BlockId,
    /// Ancestors above this height are wanted.
    pub above: Height,
}

impl Signable for Fetch {
    type Signer = NodeId;
    const DOMAIN: &'static str = "hotstuff fetch";
}

/// STATUS: where a replica stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// Its view.
    pub view: View,
    /// The view of the highest certificate that it has.
    pub high: View,
    /// Names a question: an answer has the question's number.
    pub attempt: u64,
    /// Whether it is a question.
    pub asks: bool,
}

impl Signable for Report {
    type Signer = NodeId;
    const DOMAIN: &'static str = "hotstuff status";
}

/// CERTIFICATE: why views ended, for one who does not know.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct News {
    /// The sender's highest certificate.
    pub high: Option<Certificate>,
    /// The certificate of the last view that it knows to be given up.
    pub tc: Option<Arc<TimeoutCertificate>>,
}

/// A message of the protocol.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum HotStuffMessage {
    /// The leader's block.
    Proposal(Arc<Proposal>),
    /// A replica's vote, to the leader of the next view.
    Vote(Signed<Vote>),
    /// A replica gives up a view, to the leader of the next.
    NewView(Word),
    /// A replica gives up a view, to everyone.
    Timeout(Word),
    /// A replica lacks a certified block.
    Fetch(Signed<Fetch>),
    /// A block that was asked for and its ancestors, newest first.
    Blocks(Vec<Arc<Link>>),
    /// For one who is behind.
    Certificate(News),
    /// Where a replica stands.
    Status(Signed<Report>),
}

pub(super) fn place_of(vote: &Vote) -> Slot {
    Slot {
        view: vote.view,
        seq: vote.slot,
    }
}

/// What is about a view as a whole.
fn of_view(view: View) -> Slot {
    Slot { view, seq: Seq(0) }
}

impl HotStuffMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 8] = [
        "PROPOSAL",
        "VOTE",
        "NEW-VIEW",
        "TIMEOUT",
        "FETCH",
        "BLOCKS",
        "CERTIFICATE",
        "STATUS",
    ];

    fn code(&self) -> u8 {
        match self {
            Self::Proposal(_) => 0,
            Self::Vote(_) => 1,
            Self::NewView(_) => 2,
            Self::Timeout(_) => 3,
            Self::Fetch(_) => 4,
            Self::Blocks(_) => 5,
            Self::Certificate(_) => 6,
            Self::Status(_) => 7,
        }
    }
}

impl Message for HotStuffMessage {
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
            Self::Vote(vote) => place_of(vote.body()),
            Self::NewView(word) | Self::Timeout(word) => of_view(word.claim.body().view),
            Self::Certificate(News {
                high: Some(high), ..
            }) => place_of(high.vote()),
            Self::Status(report) => of_view(report.body().view),
            Self::Certificate(_) | Self::Fetch(_) | Self::Blocks(_) => Slot::default(),
        }
    }

    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Proposal(proposal) => proposal.wire_len(),
            Self::Vote(_) => SIGNED_VOTE_LEN,
            Self::NewView(word) | Self::Timeout(word) => word.wire_len(),
            Self::Fetch(_) => 32 + 8 + SEAL_LEN,
            Self::Blocks(links) => 4 + links.iter().map(|link| link.wire_len()).sum::<usize>(),
            Self::Certificate(news) => optional(news.high.as_ref()) + optional_tc(news.tc.as_ref()),
            Self::Status(_) => 8 + 8 + 8 + 1 + SEAL_LEN,
        }
    }

    fn signatures(&self) -> usize {
        match self {
            Self::Proposal(proposal) => {
                1 + proposal.link.signatures() + tc_checks(proposal.tc.as_ref())
            }
            Self::Vote(_) | Self::Fetch(_) | Self::Status(_) => 1,
            Self::NewView(word) | Self::Timeout(word) => {
                1 + checks(word.high.as_ref()) + tc_checks(word.tc.as_ref())
            }
            Self::Blocks(links) => links.iter().map(|link| link.signatures()).sum(),
            Self::Certificate(news) => checks(news.high.as_ref()) + tc_checks(news.tc.as_ref()),
        }
    }

    fn hashed_bytes(&self) -> usize {
        let mut bytes = 0;
        self.each_block(&mut |block| bytes += block.wire_len());
        bytes
    }

    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        match self {
            Self::Proposal(proposal) => visit(&proposal.link.block),
            Self::Blocks(links) => links.iter().for_each(|link| visit(&link.block)),
            _ => {}
        }
    }

    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::Proposal(proposal) => {
                let other = rewrite::retimed(&proposal.link.block);
                forks.insert(proposal.link.block.id(), other.id());
                Some(Self::Proposal(Arc::new(rewrite::proposing(
                    proposal, other, key, me,
                ))))
            }
            Self::Vote(vote) => {
                let digest = *forks.get(&vote.body().digest)?;
                let lie = Vote {
                    digest,
                    ..*vote.body()
                };
                Some(Self::Vote(key.sign(me, lie)))
            }
            _ => None,
        }
    }

    fn rewrite(&self, change: Rewrite, pen: &mut Pen<'_, Self>) -> Option<Self> {
        rewrite::rewrite(self, change, pen)
    }
}

/// What must be durable before its consequence is sent.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// A proposal that this replica voted for, its own among them.
    Voted(Arc<Proposal>),
    /// An ancestor of such a block that this replica did not vote for.
    Link(Arc<Link>),
    /// This replica gave up a view, with what had led to it.
    GaveUp(Word),
    /// The highest certificate, when the log is shortened.
    High(Certificate),
    /// This replica once lost its log and has signed nothing since.
    Mute,
}

impl Record {
    /// Names of the kinds.
    pub const NAMES: [&'static str; 5] = ["VOTED", "LINK", "GAVE-UP", "HIGH", "MUTE"];
}

impl crate::engine::Record for Record {
    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Voted(proposal) => proposal.wire_len(),
            Self::Link(link) => link.wire_len(),
            Self::GaveUp(word) => word.wire_len(),
            Self::High(certificate) => certificate.wire_len(),
            Self::Mute => 0,
        }
    }

    fn label(&self) -> (&'static str, Slot) {
        match self {
            Self::Voted(proposal) => (Self::NAMES[0], place_of(proposal.claim.body())),
            Self::Link(link) => {
                let header = link.block.header();
                let view = Stamp::of(header).map_or(View::default(), |stamp| stamp.view);
                let seq = Seq(header.height.0);
                (Self::NAMES[1], Slot { view, seq })
            }
            Self::GaveUp(word) => (Self::NAMES[2], of_view(word.claim.body().view)),
            Self::High(certificate) => (Self::NAMES[3], place_of(certificate.vote())),
            Self::Mute => (Self::NAMES[4], Slot::default()),
        }
    }
}
