//! One replica alone with a test that speaks for all the others, liars included.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Header},
    codec,
    crypto::Signed,
    engine::{Message, Refusal, Tale},
    hotstuff::{
        Config, GiveUp, HotStuff, HotStuffMessage, Link, PROPOSE, Proposal, Stamp,
        TimeoutCertificate, VOTE, Word,
    },
    mutant::Planted,
    quorum::{Certificate, Vote},
    types::{BlockId, Digest, Height, Mono, NodeId, Seq, View, Wall},
};

use crate::{
    Net,
    support::{self, DELTA, EPOCH},
};

/// A block with the certificate for it.
#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) id: BlockId,
    pub(crate) height: u64,
    pub(crate) view: u64,
    pub(crate) certificate: Option<Certificate>,
}

pub(crate) struct Script {
    pub(crate) net: Net,
    pub(crate) me: u16,
    seen: usize,
    /// All blocks that were made.
    #[cfg(feature = "mutants")]
    made: Vec<Arc<Link>>,
}

impl Script {
    /// Replica `me` of n.
    pub(crate) fn new(n: usize, config: Config, me: u16, planted: Planted) -> Self {
        let mut net: Net = support::Net::new(n, move |me, key, committee, genesis| {
            HotStuff::new(config, me, key, committee, genesis).planting(planted)
        });
        // What it says is heard by the test alone.
        net.tamper = Some(Box::new(|_| None));
        net.trace.clear();
        Self {
            net,
            me,
            seen: 0,
            #[cfg(feature = "mutants")]
            made: Vec::new(),
        }
    }

    pub(crate) fn genesis(&self) -> Point {
        Point {
            id: self.net.genesis.id(),
            height: 0,
            view: 0,
            certificate: None,
        }
    }

    pub(crate) fn vote(&self, by: u16, view: u64, height: u64, digest: Digest) -> Signed<Vote> {
        let vote = Vote {
            phase: VOTE,
            view: View(view),
            slot: Seq(height),
            digest,
        };
        self.net.keys[usize::from(by)].sign(NodeId(by), vote)
    }

    /// A block with a payload on this one, as the leader of a view would make it.
    pub(crate) fn link(&mut self, on: &Point, view: u64, proposer: u16) -> Arc<Link> {
        let mut voters = vec![0; self.net.committee.n().div_ceil(8)];
        for signer in on.certificate.iter().flat_map(Certificate::signers) {
            voters[signer.index() / 8] |= 1 << (signer.index() % 8);
        }
        let stamp = Stamp {
            view: View(view),
            parent: View(on.view),
            voters,
        };
        let header = Header {
            height: Height(on.height + 1),
            parent: on.id,
            transactions_root: Digest::ZERO,
            results: self.net.replica(self.me).host.results,
            timestamp: Wall(EPOCH + 1 + view),
            proposer: NodeId(proposer),
            extra: codec::encode(&stamp),
        };
        let payload = self.net.transaction();
        let link = Arc::new(Link {
            block: Block::new(header, vec![payload]),
            justify: on.certificate.clone(),
        });
        #[cfg(feature = "mutants")]
        self.made.push(Arc::clone(&link));
        link
    }

    /// A block that was made, as an answer to FETCH.
    #[cfg(feature = "mutants")]
    pub(crate) fn rival_body(&self, id: &BlockId) -> Vec<Arc<Link>> {
        let made = self.made.iter().filter(|link| link.block.id() == *id);
        made.cloned().collect()
    }

    pub(crate) fn certify(&self, link: &Link, by: &[u16]) -> Point {
        let header = link.block.header();
        let view = Stamp::of(header).expect("a stamp").view.0;
        let votes = by.iter();
        let votes = votes.map(|by| self.vote(*by, view, header.height.0, link.block.id()));
        let votes: Vec<_> = votes.collect();
        Point {
            id: link.block.id(),
            height: header.height.0,
            view,
            certificate: Certificate::collect(&votes),
        }
    }

    pub(crate) fn word(&self, by: u16, view: u64, high: u64) -> Signed<GiveUp> {
        let (view, high) = (View(view), View(high));
        self.net.keys[usize::from(by)].sign(NodeId(by), GiveUp { view, high })
    }

    /// NEW-VIEW or TIMEOUT of a member with what it knows.
    pub(crate) fn gives_up(&self, by: u16, view: u64, high: &Point) -> Word {
        Word {
            claim: self.word(by, view, high.view),
            high: high.certificate.clone(),
            tc: None,
        }
    }

    pub(crate) fn tc(&self, view: u64, highs: &[(u16, u64)]) -> Arc<TimeoutCertificate> {
        let words = highs.iter();
        let words = words.map(|(by, high)| self.word(*by, view, *high));
        Arc::new(TimeoutCertificate {
            view: View(view),
            words: words.collect(),
        })
    }

    pub(crate) fn proposal(
        &self,
        link: &Arc<Link>,
        tc: Option<Arc<TimeoutCertificate>>,
    ) -> HotStuffMessage {
        let header = link.block.header();
        let claim = Vote {
            phase: PROPOSE,
            view: Stamp::of(header).expect("a stamp").view,
            slot: Seq(header.height.0),
            digest: link.block.id(),
        };
        let by = header.proposer;
        HotStuffMessage::Proposal(Arc::new(Proposal {
            claim: self.net.keys[by.index()].sign(by, claim),
            link: Arc::clone(link),
            tc,
        }))
    }

    pub(crate) fn give(&mut self, message: &HotStuffMessage) {
        self.net.now += DELTA.as_nanos() as u64;
        let others = (0..self.net.replicas.len() as u16).find(|node| *node != self.me);
        let from = NodeId(others.expect("somebody else"));
        self.net.inject(from, NodeId(self.me), message);
    }

    /// Gives a proposal; whether the replica voted for it.
    pub(crate) fn offer(&mut self, link: &Arc<Link>, tc: Option<Arc<TimeoutCertificate>>) -> bool {
        let message = self.proposal(link, tc);
        self.give(&message);
        self.voted_for(&link.block.id())
    }

    /// A chain of certified blocks in these views, the leaders' proposals given one after another, each
    /// with the certificate of the one before; the certificate of the last is returned only.
    pub(crate) fn chain(&mut self, on: &Point, views: &[u64]) -> Point {
        let n = self.net.committee.n() as u64;
        let mut at = on.clone();
        for view in views {
            let link = self.link(&at, *view, (*view % n) as u16);
            let tc = (at.view + 1 != *view).then(|| {
                let highs = [(0, at.view), (1, at.view), (2, at.view)];
                self.tc(*view - 1, &highs)
            });
            self.offer(&link, tc);
            at = self.certify(&link, &[0, 1, 2]);
        }
        at
    }

    pub(crate) fn voted_for(&self, block: &BlockId) -> bool {
        let voted = |tale: &Tale| matches!(tale, Tale::Voted(vote) if vote.digest == *block);
        self.net.told(self.me, voted)
    }

    pub(crate) fn finals(&self) -> Vec<BlockId> {
        let finals: &Vec<(Mono, BlockId)> = &self.net.replica(self.me).finals;
        finals.iter().map(|(_, id)| *id).collect()
    }

    pub(crate) fn refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.net.replicas[usize::from(self.me)].refusals)
    }

    /// What it said since the last time, and to whom.
    pub(crate) fn said(&mut self) -> Vec<(&'static str, u16)> {
        let mine = self.net.trace[self.seen..].iter();
        let mine = mine.filter(|sent| sent.from.0 == self.me);
        let said = mine.map(|sent| (sent.message.kind().name, sent.to.0));
        let said = said.collect();
        self.seen = self.net.trace.len();
        said
    }
}
