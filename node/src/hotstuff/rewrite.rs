//! What each small change of a liar ([`Rewrite`]) comes to in each message.
//!
//! Everything here is signed with the liar's own key, whoever should have signed it; the words of others
//! are left out, repeated or misquoted, never forged.

use std::sync::Arc;

use crate::{
    block::{Block, Header},
    codec,
    crypto::{Keypair, Signed},
    engine::Message as _,
    quorum::{Certificate, Vote},
    rewrite::{self, Rewrite, moved},
    types::{Digest, NodeId, Seq, View, Wall},
};

use super::message::{GiveUp, HotStuffMessage, Link, News, Proposal, Report, Stamp, VOTE, Word};

type Pen<'a> = rewrite::Pen<'a, HotStuffMessage>;

/// A message with one small change; `None` if it makes no sense there.
pub(super) fn rewrite(
    message: &HotStuffMessage,
    change: Rewrite,
    pen: &mut Pen<'_>,
) -> Option<HotStuffMessage> {
    use HotStuffMessage as M;
    if change == Rewrite::Conflicting
        && let Some(lie) = message.conflicting(pen.key, pen.me, pen.forks)
    {
        return Some(lie);
    }
    if change == Rewrite::ViewChange {
        let view = message.slot().view;
        let high = View::default();
        return Some(M::Timeout(Word {
            claim: pen.key.sign(pen.me, GiveUp { view, high }),
            high: None,
            tc: None,
        }));
    }
    Some(match message {
        M::Proposal(said) => M::Proposal(Arc::new(proposal(said, change, pen)?)),
        M::Vote(said) => M::Vote(vote(said, change, pen)?),
        M::NewView(said) => M::NewView(word(said, change, pen)?),
        M::Timeout(said) => M::Timeout(word(said, change, pen)?),
        M::Certificate(said) => M::Certificate(News {
            high: Some(certificate(said.high.as_ref()?, change, pen)?),
            tc: said.tc.clone(),
        }),
        M::Status(said) => M::Status(status(*said.body(), change, pen)?),
        M::Fetch(_) | M::Blocks(_) => return None,
    })
}

/// A digest that stands for nothing: no block hashes to it on purpose.
fn rubbish(digest: Digest) -> Digest {
    Digest(digest.0.map(|byte| !byte))
}

fn rebuilt(block: &Block, change: impl FnOnce(&mut Header)) -> Arc<Block> {
    let mut header = block.header().clone();
    change(&mut header);
    Block::new(header, block.transactions().to_vec())
}

/// The same block a nanosecond later: another one.
pub(super) fn retimed(block: &Block) -> Arc<Block> {
    rebuilt(block, |header| {
        header.timestamp = Wall(header.timestamp.0.wrapping_add(1));
    })
}

/// A proposal of another block in the same place.
pub(super) fn proposing(
    said: &Proposal,
    block: Arc<Block>,
    key: &Arc<Keypair>,
    me: NodeId,
) -> Proposal {
    let digest = block.id();
    let slot = Seq(block.header().height.0);
    let view = Stamp::of(block.header()).map_or(said.claim.body().view, |stamp| stamp.view);
    let claim = Vote {
        view,
        slot,
        digest,
        ..*said.claim.body()
    };
    let justify = said.link.justify.clone();
    Proposal {
        claim: key.sign(me, claim),
        link: Arc::new(Link { block, justify }),
        tc: said.tc.clone(),
    }
}

fn proposal(said: &Proposal, change: Rewrite, pen: &Pen<'_>) -> Option<Proposal> {
    let block = &said.link.block;
    let mut lie = said.clone();
    let restamped = |edit: &dyn Fn(&mut Stamp)| {
        let mut stamp = Stamp::of(block.header())?;
        edit(&mut stamp);
        let extra = codec::encode(&stamp);
        let block = rebuilt(block, |header| header.extra = extra);
        Some(proposing(said, block, pen.key, pen.me))
    };
    match change {
        Rewrite::View(by) => return restamped(&|stamp| stamp.view = View(moved(stamp.view.0, by))),
        Rewrite::Seq(by) => {
            let block = rebuilt(block, |header| {
                header.height.0 = moved(header.height.0, by);
            });
            return Some(proposing(said, block, pen.key, pen.me));
        }
        Rewrite::Digest => {
            let digest = rubbish(said.claim.body().digest);
            lie.claim = pen.key.sign(
                pen.me,
                Vote {
                    digest,
                    ..*said.claim.body()
                },
            );
        }
        Rewrite::Null => {
            let block = Block::new(block.header().clone(), Vec::new());
            return Some(proposing(said, block, pen.key, pen.me));
        }
        Rewrite::WithoutProof => {
            lie.tc.take()?;
        }
        Rewrite::RepeatedSigner | Rewrite::TooFew | Rewrite::Stitched => {
            let justify = certificate(said.link.justify.as_ref()?, change, pen)?;
            lie.link = Arc::new(Link {
                block: Arc::clone(block),
                justify: Some(justify),
            });
        }
        Rewrite::Earlier => return forking(said, pen),
        _ => return None,
    }
    Some(lie)
}

/// The forking attack (museum M29): a block in the place of one that is not final yet, on the parent of
/// the liar's proposal before.
fn forking(said: &Proposal, pen: &Pen<'_>) -> Option<Proposal> {
    let Some(HotStuffMessage::Proposal(earlier)) = pen.earlier else {
        return None;
    };
    let mine = Stamp::of(said.link.block.header())?;
    let old = earlier.link.block.header();
    let stamp = Stamp {
        view: mine.view,
        ..Stamp::of(old)?
    };
    let block = rebuilt(&said.link.block, |header| {
        header.height = old.height;
        header.parent = old.parent;
        header.results = old.results;
        header.extra = codec::encode(&stamp);
    });
    let mut lie = proposing(said, block, pen.key, pen.me);
    lie.link = Arc::new(Link {
        block: Arc::clone(&lie.link.block),
        justify: earlier.link.justify.clone(),
    });
    Some(lie)
}

fn vote(said: &Signed<Vote>, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<Vote>> {
    let lie = match change {
        Rewrite::Earlier => {
            let Some(HotStuffMessage::Vote(earlier)) = pen.earlier else {
                return None;
            };
            Vote {
                digest: earlier.body().digest,
                ..*said.body()
            }
        }
        _ => voted(*said.body(), change)?,
    };
    Some(pen.key.sign(pen.me, lie))
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

fn word(said: &Word, change: Rewrite, pen: &Pen<'_>) -> Option<Word> {
    let mut lie = said.clone();
    let mut body = *said.claim.body();
    match change {
        Rewrite::View(by) => body.view = View(moved(body.view.0, by)),
        Rewrite::Seq(by) => body.high = View(moved(body.high.0, by)),
        Rewrite::WithoutPrepared => {
            lie.high.take()?;
            body.high = View::default();
        }
        Rewrite::WithoutProof => {
            lie.tc.take()?;
        }
        Rewrite::Earlier => {
            let (HotStuffMessage::NewView(earlier) | HotStuffMessage::Timeout(earlier)) =
                pen.earlier?
            else {
                return None;
            };
            lie.high.clone_from(&earlier.high);
            body.high = earlier.claim.body().high;
        }
        _ => {
            let high = certificate(said.high.as_ref()?, change, pen)?;
            body.high = high.vote().view;
            lie.high = Some(high);
        }
    }
    lie.claim = pen.key.sign(pen.me, body);
    Some(lie)
}

fn status(said: Report, change: Rewrite, pen: &Pen<'_>) -> Option<Signed<Report>> {
    let Rewrite::View(by) = change else {
        return None;
    };
    let lie = Report {
        view: View(moved(said.view.0, by)),
        high: View(moved(said.high.0, by)),
        ..said
    };
    Some(pen.key.sign(pen.me, lie))
}

fn certificate(said: &Certificate, change: Rewrite, pen: &Pen<'_>) -> Option<Certificate> {
    let vote = *said.vote();
    let signers = said.signers().len();
    Some(match change {
        Rewrite::View(_) | Rewrite::Seq(_) | Rewrite::Digest => {
            said.misquoted(voted(vote, change)?)
        }
        Rewrite::Stitched => said.misquoted(voted(vote, Rewrite::Digest)?),
        Rewrite::TooFew => said.cut_to(signers - 1),
        Rewrite::RepeatedSigner => {
            let alone = Vote {
                phase: VOTE,
                ..vote
            };
            Certificate::repeating(&pen.key.sign(pen.me, alone), signers)
        }
        _ => return None,
    })
}
