//! What members tell each other about where they stand. None of it is a vote.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    crypto::{SIGNATURE_LEN, Signable, Signed},
    engine::Slot,
    quorum::Certificate,
    rewrite::{Pen, Rewrite, moved},
    types::{Digest, Height, NodeId, Seq, View},
};

const SEAL_LEN: usize = 2 + SIGNATURE_LEN;

/// ASK: a member that lost its disk asks where the others stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Ask {
    /// Grows with each life of the member.
    pub attempt: u64,
}

impl Signable for Ask {
    type Signer = NodeId;
    const DOMAIN: &'static str = "rounds ask";
}

/// REPORT: the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// The attempt that it answers; zero: a DECIDED about a height that was decided here as well.
    pub attempt: u64,
    /// The height that its sender is at work on.
    pub height: Height,
}

impl Signable for Report {
    type Signer = NodeId;
    const DOMAIN: &'static str = "rounds report";
}

/// What is said for the sake of those who are behind.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum Courtesy {
    /// A height is decided: the COMMITs of a quorum. Who lacks the block fetches it.
    Decided(Certificate),
    /// Where do you stand?
    Ask(Signed<Ask>),
    /// Here.
    Report(Signed<Report>),
}

impl Courtesy {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 3] = ["DECIDED", "ASK", "REPORT"];

    /// Which kind.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Decided(_) => 0,
            Self::Ask(_) => 1,
            Self::Report(_) => 2,
        }
    }

    pub(crate) fn slot(&self) -> Slot {
        match self {
            Self::Decided(certificate) => slot_of(certificate.vote().view, certificate.vote().slot),
            Self::Ask(_) => Slot::default(),
            Self::Report(report) => slot_of(View(0), Seq(report.body().height.0)),
        }
    }

    /// Bytes on the wire.
    pub(crate) fn wire_len(&self) -> usize {
        1 + match self {
            Self::Decided(certificate) => certificate.wire_len(),
            Self::Ask(_) => 8 + SEAL_LEN,
            Self::Report(_) => 16 + SEAL_LEN,
        }
    }

    pub(crate) fn signatures(&self) -> usize {
        match self {
            Self::Decided(certificate) => certificate.signers().len(),
            Self::Ask(_) | Self::Report(_) => 1,
        }
    }

    /// What a liar makes of it.
    pub(crate) fn rewrite<M>(&self, change: Rewrite, pen: &Pen<'_, M>) -> Option<Self> {
        match self {
            Self::Decided(said) => {
                let (vote, signers) = (*said.vote(), said.signers().len());
                let mut lie = vote;
                match change {
                    Rewrite::View(by) => lie.view = View(moved(vote.view.0, by)),
                    Rewrite::Seq(by) => lie.slot = Seq(moved(vote.slot.0, by)),
                    Rewrite::Digest | Rewrite::Stitched | Rewrite::RepeatedSigner => {
                        lie.digest = Digest(vote.digest.0.map(|byte| !byte));
                    }
                    Rewrite::TooFew => return Some(Self::Decided(said.cut_to(signers - 1))),
                    _ => return None,
                }
                Some(Self::Decided(if change == Rewrite::RepeatedSigner {
                    Certificate::repeating(&pen.key.sign(pen.me, lie), signers)
                } else {
                    said.misquoted(lie)
                }))
            }
            Self::Report(said) => {
                let Rewrite::Seq(by) = change else {
                    return None;
                };
                let height = Height(moved(said.body().height.0, by));
                let lie = Report {
                    height,
                    ..*said.body()
                };
                Some(Self::Report(pen.key.sign(pen.me, lie)))
            }
            Self::Ask(_) => None,
        }
    }
}

pub(crate) fn slot_of(view: View, seq: Seq) -> Slot {
    Slot { view, seq }
}
