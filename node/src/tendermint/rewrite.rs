//! What each small change of a liar ([`Rewrite`]) comes to in each message.
//!
//! Everything here is signed with the liar's own key; the words of others are left out, repeated or
//! misquoted, never forged.

use std::sync::Arc;

use crate::{
    block::{Block, Header},
    crypto::{Keypair, Signed},
    engine::Forks,
    quorum::{Certificate, Vote},
    rewrite::{self, Rewrite, moved},
    types::{Digest, NodeId, Seq, View, Wall},
};

use super::message::{Claim, Decided, NIL, Polka, Proposal, Report, TendermintMessage};

type Pen<'a> = rewrite::Pen<'a, TendermintMessage>;

/// What an equivocator tells the others: a proposal for the same block a nanosecond later, without a valid
/// round, which nobody would believe; a vote by the script of the forks, and nil becomes nothing else.
pub(super) fn conflicting(
    message: &TendermintMessage,
    key: &Arc<Keypair>,
    me: NodeId,
    forks: &mut Forks,
) -> Option<TendermintMessage> {
    use TendermintMessage as M;
    let other = |vote: &Signed<Vote>, forks: &Forks| {
        let digest = *forks.get(&vote.body().digest)?;
        let vote = Vote {
            digest,
            ..*vote.body()
        };
        Some(key.sign(me, vote))
    };
    match message {
        M::Proposal(said) => {
            let lie = retimed(&said.block);
            forks.insert(said.block.id(), lie.id());
            let claim = Claim {
                digest: lie.id(),
                valid_round: None,
                ..*said.claim.body()
            };
            Some(M::Proposal(Proposal {
                claim: key.sign(me, claim),
                block: lie,
                polka: None,
            }))
        }
        M::Prevote(vote) => other(vote, forks).map(M::Prevote),
        M::Precommit(vote) => other(vote, forks).map(M::Precommit),
        M::Status(_) | M::Polka(_) | M::Decided(_) => None,
    }
}

/// A message with one small change; `None` if it makes no sense there.
pub(super) fn rewrite(
    message: &TendermintMessage,
    change: Rewrite,
    pen: &mut Pen<'_>,
) -> Option<TendermintMessage> {
    use TendermintMessage as M;
    if change == Rewrite::Conflicting {
        return conflicting(message, pen.key, pen.me, pen.forks);
    }
    Some(match message {
        M::Proposal(said) => M::Proposal(proposal(said, change, pen)?),
        M::Prevote(said) => M::Prevote(vote(said, change, pen)?),
        M::Precommit(said) => M::Precommit(vote(said, change, pen)?),
        M::Status(said) => M::Status(Arc::new(status(said.body(), change, pen)?)),
        M::Polka(said) => M::Polka(polka(said, change, pen)?),
        M::Decided(said) => M::Decided(Arc::new(decided(said, change, pen)?)),
    })
}

/// A digest that stands for nothing: no block hashes to it on purpose.
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

fn proposal(said: &Proposal, change: Rewrite, pen: &Pen<'_>) -> Option<Proposal> {
    let (mut claim, mut lie) = (*said.claim.body(), said.clone());
    match change {
        Rewrite::View(by) => claim.view = View(moved(claim.view.0, by)),
        Rewrite::Seq(by) => claim.height = Seq(moved(claim.height.0, by)),
        Rewrite::Digest => claim.digest = rubbish(claim.digest),
        Rewrite::WithoutProof => {
            lie.polka.take()?;
        }
        Rewrite::WithoutPrepared => {
            claim.valid_round.take()?;
            lie.polka = None;
        }
        Rewrite::TooFew => lie.polka = Some(Arc::new(fewer(lie.polka.as_deref()?))),
        Rewrite::RepeatedSigner => {
            let quoted = *said.polka.as_ref()?.vote();
            let word = pen.key.sign(pen.me, quoted);
            lie.polka = Some(Arc::new(Certificate::repeating(&word, pen.quorum)));
        }
        Rewrite::Earlier => {
            let Some(TendermintMessage::Proposal(earlier)) = pen.earlier else {
                return None;
            };
            let batch = earlier.block.transactions().to_vec();
            lie.block = Block::new(said.block.header().clone(), batch);
            claim.digest = lie.block.id();
        }
        _ => return None,
    }
    lie.claim = pen.key.sign(pen.me, claim);
    Some(lie)
}

fn vote(said: &Signed<Vote>, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<Vote>> {
    let vote = match change {
        Rewrite::Earlier => {
            let (TendermintMessage::Prevote(earlier) | TendermintMessage::Precommit(earlier)) =
                pen.earlier?
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
        Rewrite::Null if vote.digest != NIL => Vote {
            digest: NIL,
            ..vote
        },
        _ => return None,
    })
}

fn status(said: &Report, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<Report>> {
    let mut lie = said.clone();
    match change {
        Rewrite::View(by) => lie.view = View(moved(said.view.0, by)),
        Rewrite::Seq(by) => lie.height = Seq(moved(said.height.0, by)),
        _ => return None,
    }
    Some(pen.key.sign(pen.me, lie))
}

fn fewer(certificate: &Certificate) -> Certificate {
    certificate.cut_to(certificate.signers().len() - 1)
}

/// A certificate that does not hold.
fn spoiled(said: &Certificate, change: Rewrite, pen: &Pen<'_>) -> Option<Certificate> {
    Some(match change {
        Rewrite::View(_) | Rewrite::Seq(_) | Rewrite::Digest => {
            said.misquoted(voted(*said.vote(), change)?)
        }
        Rewrite::Stitched => said.misquoted(voted(*said.vote(), Rewrite::Digest)?),
        Rewrite::TooFew => fewer(said),
        Rewrite::RepeatedSigner => {
            let vote = voted(*said.vote(), Rewrite::Digest)?;
            Certificate::repeating(&pen.key.sign(pen.me, vote), said.signers().len())
        }
        _ => return None,
    })
}

fn polka(said: &Polka, change: Rewrite, pen: &Pen<'_>) -> Option<Polka> {
    let mut lie = said.clone();
    if change == Rewrite::WithoutBlock {
        lie.block.take()?;
    } else {
        lie.certificate = Arc::new(spoiled(&said.certificate, change, pen)?);
    }
    Some(lie)
}

fn decided(said: &Decided, change: Rewrite, pen: &Pen<'_>) -> Option<Decided> {
    Some(Decided {
        certificate: spoiled(&said.certificate, change, pen)?,
        block: Arc::clone(&said.block),
    })
}
