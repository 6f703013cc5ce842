//! What each small change of a liar ([`Rewrite`]) comes to in each message.
//!
//! Everything here is signed with the liar's own key; the words of others are left out, repeated or
//! misquoted, never forged.

use std::sync::Arc;

use crate::{
    block::Block,
    crypto::Signed,
    engine::Message as _,
    quorum::{Certificate, Vote},
    rewrite::{self, Rewrite, moved},
    rounds::PREPARE,
    types::{Digest, Seq, View},
};

use super::message::{Change, Claim, Proposal, QbftMessage, RoundChange, retimed};

type Pen<'a> = rewrite::Pen<'a, QbftMessage>;

/// A message with one small change; `None` if it makes no sense there.
pub(super) fn rewrite(
    message: &QbftMessage,
    change: Rewrite,
    pen: &mut Pen<'_>,
) -> Option<QbftMessage> {
    use QbftMessage as M;
    if change == Rewrite::Conflicting
        && let Some(lie) = message.conflicting(pen.key, pen.me, pen.forks)
    {
        return Some(lie);
    }
    Some(match message {
        M::Proposal(said) => M::Proposal(Arc::new(proposal(said, change, pen)?)),
        M::Prepare(said) => M::Prepare(vote(said, change, pen)?),
        M::Commit(said) => M::Commit(vote(said, change, pen)?),
        M::RoundChange(said) => M::RoundChange(Arc::new(round_change(said, change, pen)?)),
        M::Courtesy(said) => M::Courtesy(said.rewrite(change, pen)?),
    })
}

/// A digest that stands for nothing.
fn rubbish(digest: Digest) -> Digest {
    Digest(digest.0.map(|byte| !byte))
}

fn proposal(said: &Proposal, change: Rewrite, pen: &Pen<'_>) -> Option<Proposal> {
    let mut lie = said.clone();
    match change {
        Rewrite::View(_) | Rewrite::Seq(_) | Rewrite::Digest => {
            lie.claim = pen.key.sign(pen.me, voted(*said.claim.body(), change)?);
        }
        Rewrite::Earlier => {
            let Some(QbftMessage::Proposal(earlier)) = pen.earlier else {
                return None;
            };
            let batch = earlier.block.transactions().to_vec();
            lie.block = Block::new(said.block.header().clone(), batch);
            let digest = lie.block.id();
            let vote = Vote {
                digest,
                ..*said.claim.body()
            };
            lie.claim = pen.key.sign(pen.me, vote);
        }
        // A block of its own in the place of what was prepared.
        Rewrite::WithoutPrepared => {
            lie.prepared.take()?;
            let mut header = retimed(&said.block).header().clone();
            header.proposer = pen.me;
            lie.block = Block::new(header, said.block.transactions().to_vec());
            let vote = Vote {
                digest: lie.block.id(),
                ..*said.claim.body()
            };
            lie.claim = pen.key.sign(pen.me, vote);
        }
        Rewrite::WithoutProof => {
            lie.prepared.take()?;
        }
        Rewrite::TooFew => {
            lie.changes.pop()?;
        }
        Rewrite::RepeatedSigner => {
            let bare = Change {
                prepared: None,
                ..*said.changes.first()?.body()
            };
            lie.changes = vec![pen.key.sign(pen.me, bare); said.changes.len()];
            lie.prepared = None;
        }
        _ => return None,
    }
    Some(lie)
}

fn vote(said: &Signed<Vote>, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<Vote>> {
    let vote = match change {
        Rewrite::Earlier => {
            let (QbftMessage::Prepare(earlier) | QbftMessage::Commit(earlier)) = pen.earlier?
            else {
                return None;
            };
            Vote {
                digest: earlier.body().digest,
                ..*said.body()
            }
        }
        _ => voted(*said.body(), change)?,
    };
    Some(pen.key.sign(pen.me, vote))
}

/// A vote with another round, height or digest.
fn voted(vote: Vote, change: Rewrite) -> Option<Vote> {
    Some(match change {
        Rewrite::View(by) => Vote {
            view: View(moved(vote.view.0, by)),
            ..vote
        },
        Rewrite::Seq(by) => Vote {
            slot: Seq(moved(vote.slot.0, by)),
            ..vote
        },
        Rewrite::Digest => Vote {
            digest: rubbish(vote.digest),
            ..vote
        },
        _ => return None,
    })
}

fn round_change(said: &RoundChange, change: Rewrite, pen: &Pen<'_>) -> Option<RoundChange> {
    let mut lie = said.clone();
    let mut body = *said.change.body();
    match change {
        Rewrite::View(by) => body.view = View(moved(body.view.0, by)),
        Rewrite::Seq(by) => body.slot = Seq(moved(body.slot.0, by)),
        Rewrite::WithoutPrepared => {
            body.prepared.take()?;
            (lie.certificate, lie.block) = (None, None);
        }
        Rewrite::WithoutProof => {
            lie.certificate.take()?;
        }
        Rewrite::WithoutBlock => {
            lie.block.take()?;
        }
        Rewrite::TooFew => {
            let certificate = lie.certificate.take()?;
            let signers = certificate.signers().len();
            lie.certificate = Some(certificate.cut_to(signers - 1));
        }
        // A block of its own, which it alone prepared, in the round before.
        Rewrite::MalformedPrepared | Rewrite::RepeatedSigner | Rewrite::Digest => {
            let block = said.block.as_ref().map(|block| retimed(block));
            let digest = block
                .as_ref()
                .map_or(rubbish(Digest::ZERO), |block| block.id());
            let view = View(body.view.0.saturating_sub(1));
            body.prepared = Some(Claim { view, digest });
            let word = Vote {
                phase: PREPARE,
                view,
                slot: body.slot,
                digest,
            };
            let word = pen.key.sign(pen.me, word);
            lie.certificate = Some(Certificate::repeating(&word, pen.quorum));
            lie.block = block;
        }
        _ => return None,
    }
    lie.change = pen.key.sign(pen.me, body);
    Some(lie)
}
