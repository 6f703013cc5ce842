//! What each small change of a liar ([`Rewrite`]) comes to in each message.
//!
//! Everything here is signed with the liar's own key, whoever should have signed it; the words of others
//! are left out, repeated or misquoted, never forged.

use std::sync::Arc;

use crate::{
    block::{Block, Header},
    crypto::Signed,
    engine::Message as _,
    quorum::{Certificate, Phase, Vote},
    rewrite::{self, Rewrite, moved},
    types::{Digest, Seq, View, Wall},
};

use super::message::{
    CHECKPOINT, Decided, NewView, PREPARE, PbftMessage, PrePrepare, Prepared, Proposal, Report,
    ViewChange,
};

type Pen<'a> = rewrite::Pen<'a, PbftMessage>;

/// A message with one small change; `None` if it makes no sense there.
pub(super) fn rewrite(
    message: &PbftMessage,
    change: Rewrite,
    pen: &mut Pen<'_>,
) -> Option<PbftMessage> {
    use PbftMessage as M;
    if change == Rewrite::Conflicting
        && let Some(lie) = message.conflicting(pen.key, pen.me, pen.forks)
    {
        return Some(lie);
    }
    if change == Rewrite::ViewChange {
        return Some(bare_view_change(message.slot().view.next(), pen));
    }
    Some(match message {
        M::PrePrepare(said) => M::PrePrepare(pre_prepare(said, change, pen)?),
        M::Prepare(said) => M::Prepare(vote(said, change, pen)?),
        M::Commit(said) => M::Commit(vote(said, change, pen)?),
        M::Checkpoint(said) => M::Checkpoint(vote(said, change, pen)?),
        M::ViewChange(said) => M::ViewChange(Arc::new(view_change(said.body(), change, pen)?)),
        M::NewView(said) => M::NewView(Arc::new(new_view(said.body(), change, pen)?)),
        M::Status(said) => M::Status(Arc::new(status(said.body(), change, pen)?)),
        M::Fetch(_) => return None,
        M::Body(block) => M::Body(match change {
            Rewrite::Conflicting => retimed(block),
            _ => return None,
        }),
        M::Decided(said) => M::Decided(decided(said, change, pen)?),
        M::Stable(said) => M::Stable(stable(said, change, pen)?),
    })
}

/// How many signed it.
fn size(certificate: &Certificate) -> usize {
    certificate.signers().len()
}

/// A digest that stands for nothing: no block and no state hashes to it on purpose.
fn rubbish(digest: Digest) -> Digest {
    Digest(digest.0.map(|byte| !byte))
}

/// The same block a nanosecond later: another one.
fn retimed(block: &Block) -> Arc<Block> {
    let header = block.header().clone();
    let timestamp = Wall(header.timestamp.0.wrapping_add(1));
    let header = Header {
        timestamp,
        ..header
    };
    Block::new(header, block.transactions().to_vec())
}

/// VIEW-CHANGE of one that has seen nothing.
fn bare_view_change(view: View, pen: &Pen<'_>) -> PbftMessage {
    let change = ViewChange {
        view,
        stable: Seq(0),
        proof: None,
        prepared: Vec::new(),
    };
    PbftMessage::ViewChange(Arc::new(pen.key.sign(pen.me, change)))
}

fn pre_prepare(said: &PrePrepare, change: Rewrite, pen: &Pen<'_>) -> Option<PrePrepare> {
    let claim = *said.claim.body();
    let mut block = said.block.clone();
    let claim = match change {
        Rewrite::View(_) | Rewrite::Seq(_) | Rewrite::Digest => assigned(claim, change)?,
        Rewrite::Null => {
            block.take()?;
            Proposal {
                digest: Digest::ZERO,
                ..claim
            }
        }
        Rewrite::WithoutBlock => {
            block.take()?;
            claim
        }
        Rewrite::Earlier => {
            let Some(PbftMessage::PrePrepare(earlier)) = pen.earlier else {
                return None;
            };
            let batch = earlier.block.as_ref()?.transactions().to_vec();
            let again = Block::new(block?.header().clone(), batch);
            let digest = again.id();
            block = Some(again);
            Proposal { digest, ..claim }
        }
        _ => return None,
    };
    let claim = pen.key.sign(pen.me, claim);
    Some(PrePrepare { claim, block })
}

/// An assignment with another view, slot or digest.
fn assigned(claim: Proposal, change: Rewrite) -> Option<Proposal> {
    let Proposal { view, seq, digest } = claim;
    Some(match change {
        Rewrite::View(by) => Proposal {
            view: View(moved(view.0, by)),
            ..claim
        },
        Rewrite::Seq(by) => Proposal {
            seq: Seq(moved(seq.0, by)),
            ..claim
        },
        Rewrite::Digest => Proposal {
            digest: rubbish(digest),
            ..claim
        },
        _ => return None,
    })
}

fn vote(said: &Signed<Vote>, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<Vote>> {
    let vote = match change {
        Rewrite::Earlier => {
            let (PbftMessage::Prepare(earlier)
            | PbftMessage::Commit(earlier)
            | PbftMessage::Checkpoint(earlier)) = pen.earlier?
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

/// A vote with another view, slot or digest.
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

fn view_change(said: &ViewChange, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<ViewChange>> {
    let mut lie = said.clone();
    match change {
        Rewrite::View(by) => lie.view = View(moved(said.view.0, by)),
        Rewrite::Seq(by) => lie.stable = Seq(moved(said.stable.0, by)),
        Rewrite::WithoutProof => {
            lie.proof.take()?;
        }
        Rewrite::WithoutPrepared if said.prepared.is_empty() => return None,
        Rewrite::WithoutPrepared => lie.prepared.clear(),
        Rewrite::MalformedPrepared | Rewrite::Digest => malform(&mut lie, pen),
        Rewrite::RepeatedSigner => {
            let seq = said.stable.next();
            let signers = said.proof.as_ref().map_or(pen.quorum, size);
            lie.stable = seq;
            lie.proof = Some(pen.alone(CHECKPOINT, View(0), seq, signers));
            lie.prepared
                .retain(|entry| entry.claim.body().seq > lie.stable);
        }
        Rewrite::TooFew => {
            let proof = lie.proof.take()?;
            lie.proof = Some(proof.cut_to(size(&proof) - 1));
        }
        Rewrite::Earlier => {
            let Some(PbftMessage::ViewChange(earlier)) = pen.earlier else {
                return None;
            };
            lie = ViewChange {
                view: said.view,
                ..earlier.body().clone()
            };
        }
        _ => return None,
    }
    Some(pen.key.sign(pen.me, lie))
}

/// Puts an entry that proves nothing in the place of the first, or where the first would be: the liar
/// assigns a digest of its own, and it alone says PREPARE to it.
fn malform(lie: &mut ViewChange, pen: &Pen<'_>) {
    let first = lie.prepared.first();
    let claim = match first.map(|entry| *entry.claim.body()) {
        Some(claim) => Proposal {
            digest: rubbish(claim.digest),
            ..claim
        },
        None => Proposal {
            view: View(lie.view.0.saturating_sub(1)),
            seq: lie.stable.next(),
            digest: rubbish(Digest::ZERO),
        },
    };
    let said = Vote {
        phase: PREPARE,
        view: claim.view,
        slot: claim.seq,
        digest: claim.digest,
    };
    let prepares = first.and_then(|entry| entry.prepares.as_ref());
    let signers = prepares.map_or(pen.quorum - 1, size);
    let entry = Arc::new(Prepared {
        claim: pen.key.sign(pen.me, claim),
        prepares: Some(Certificate::repeating(&pen.key.sign(pen.me, said), signers)),
    });
    if lie.prepared.is_empty() {
        lie.prepared.push(entry);
    } else {
        lie.prepared[0] = entry;
    }
}

fn new_view(said: &NewView, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<NewView>> {
    let mut lie = said.clone();
    match change {
        Rewrite::View(by) => lie.view = View(moved(said.view.0, by)),
        Rewrite::Null | Rewrite::Digest => {
            let place = said
                .proposals
                .iter()
                .position(|proposal| proposal.body().digest != Digest::ZERO)?;
            let claim = *said.proposals[place].body();
            let digest = match change {
                Rewrite::Null => Digest::ZERO,
                _ => rubbish(claim.digest),
            };
            lie.proposals[place] = pen.key.sign(pen.me, Proposal { digest, ..claim });
        }
        Rewrite::WithoutPrepared => {
            lie.proposals.pop()?;
        }
        Rewrite::TooFew => {
            lie.changes.pop()?;
        }
        Rewrite::RepeatedSigner => {
            let PbftMessage::ViewChange(bare) = bare_view_change(said.view, pen) else {
                return None;
            };
            lie.changes = vec![bare; said.changes.len()];
            lie.proposals.clear();
        }
        _ => return None,
    }
    Some(pen.key.sign(pen.me, lie))
}

fn status(said: &Report, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<Report>> {
    let mut lie = said.clone();
    match change {
        Rewrite::View(by) => lie.view = View(moved(said.view.0, by)),
        Rewrite::Seq(by) => {
            for seq in [&mut lie.executed, &mut lie.stable, &mut lie.prepared] {
                *seq = Seq(moved(seq.0, by));
            }
        }
        _ => return None,
    }
    Some(pen.key.sign(pen.me, lie))
}

fn decided(said: &Decided, change: Rewrite, pen: &Pen<'_>) -> Option<Decided> {
    let (vote, count) = (*said.certificate.vote(), size(&said.certificate));
    let mut block = said.block.clone();
    let certificate = match change {
        Rewrite::View(_) | Rewrite::Seq(_) | Rewrite::Digest => {
            said.certificate.misquoted(voted(vote, change)?)
        }
        Rewrite::TooFew => said.certificate.cut_to(count - 1),
        Rewrite::WithoutBlock => {
            block.take()?;
            said.certificate.clone()
        }
        Rewrite::Conflicting => {
            block = Some(retimed(block.as_ref()?));
            said.certificate.clone()
        }
        Rewrite::RepeatedSigner | Rewrite::Stitched => {
            let other = retimed(block.as_ref()?);
            let digest = other.id();
            block = Some(other);
            let vote = Vote { digest, ..vote };
            match (change, pen.earlier) {
                (Rewrite::RepeatedSigner, _) => {
                    Certificate::repeating(&pen.key.sign(pen.me, vote), count)
                }
                (_, Some(PbftMessage::Decided(earlier))) => earlier.certificate.misquoted(vote),
                _ => said.certificate.misquoted(vote),
            }
        }
        _ => return None,
    };
    Some(Decided { certificate, block })
}

fn stable(said: &Certificate, change: Rewrite, pen: &Pen<'_>) -> Option<Certificate> {
    let vote = *said.vote();
    Some(match change {
        Rewrite::Seq(_) | Rewrite::Digest => said.misquoted(voted(vote, change)?),
        Rewrite::Stitched => said.misquoted(voted(vote, Rewrite::Digest)?),
        Rewrite::TooFew => said.cut_to(size(said) - 1),
        Rewrite::RepeatedSigner => pen.alone(CHECKPOINT, vote.view, vote.slot, size(said)),
        _ => return None,
    })
}

impl Pen<'_> {
    /// A certificate over nothing, in which the liar's word stands for a quorum's.
    fn alone(&self, phase: Phase, view: View, slot: Seq, signers: usize) -> Certificate {
        let digest = rubbish(Digest::ZERO);
        let vote = Vote {
            phase,
            view,
            slot,
            digest,
        };
        Certificate::repeating(&self.key.sign(self.me, vote), signers)
    }
}
