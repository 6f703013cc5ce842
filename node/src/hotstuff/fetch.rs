//! Certified blocks that are missing here, and members that are behind: HS15, HS16.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    block::{Block, Finality},
    crypto::Signed,
    engine::{Effect, Outbox, Refusal},
    quorum::Certificate,
    types::{BlockId, Height, NodeId, View},
};

use super::{
    HotStuff, Timer,
    message::{Fetch, HotStuffMessage, Link, News, Report, Stamp},
    tree::{Judged, Root},
};

/// Blocks of one answer.
const BATCH: usize = 32;
/// Bytes of one answer, unless a single block has more.
const BATCH_BYTES: usize = 4 << 20;
/// Whoever lacks more than so many blocks has its host fetch final ones too.
const SHALLOW: u64 = 32;
/// Questions without an answer until the host is asked.
const PATIENT: u64 = 3;
/// Blocks that wait for their ancestors, at most.
const STRAYS: usize = 4096;
/// A silent member is told after 1, 2, 4, … so many timeouts, and then every so many.
const RARELY: u32 = 32;

/// A missing block, and how often it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    pub(super) block: BlockId,
    attempts: u64,
}

/// What was fetched and hangs on nothing yet.
pub(super) type Strays = BTreeMap<BlockId, Arc<Link>>;

/// What the others have shown to know.
#[derive(Debug)]
pub(super) struct Peers {
    /// By place: the newest view of which the member is known to have heard.
    heard: Vec<View>,
    /// Timeouts between two words to those that are silent; zero: none is due.
    interval: u32,
    /// Names questions.
    pub(super) attempt: u64,
}

impl Peers {
    pub(super) fn new(n: usize) -> Self {
        Self {
            heard: vec![View::default(); n],
            interval: 0,
            attempt: 0,
        }
    }

    pub(super) fn heard(&mut self, place: usize, view: View) {
        self.heard[place] = self.heard[place].max(view);
    }
}

impl HotStuff {
    /// HS15: asks for the block of the highest certificate, or for the parent of the proposal, if it is
    /// not here.
    pub(super) fn seek(&mut self, out: &mut Outbox<Self>) {
        let offered = self.offer.iter();
        let offered = offered.map(|(proposal, _)| proposal.link.block.header().parent);
        let wanted = std::iter::once(self.high.block).chain(offered);
        let mut lowest = wanted.filter_map(|id| self.lowest_missing(id));
        let next = lowest.next();
        let Some(next) = next else {
            if self.missing.take().is_some() {
                self.strays.clear();
                out.push(Effect::Disarm(Timer::Fetch));
            }
            return;
        };
        if self
            .missing
            .as_ref()
            .is_some_and(|known| known.block == next)
        {
            return;
        }
        self.missing = Some(Missing {
            block: next,
            attempts: 0,
        });
        self.ask(out);
    }

    /// The block on the way from here down to the tree that is not here at all.
    fn lowest_missing(&self, mut at: BlockId) -> Option<BlockId> {
        while !self.tree.knows(&at) {
            match self.strays.get(&at) {
                Some(link) => at = link.block.header().parent,
                None => return Some(at),
            }
        }
        None
    }

    /// Asks the next of those who may have it: who signed the certificate first.
    fn ask(&mut self, out: &mut Outbox<Self>) {
        let Some(missing) = &mut self.missing else {
            return;
        };
        let signers = self.high.certificate.iter().flat_map(Certificate::signers);
        let others = self.committee.others(self.me);
        let mut whom: Vec<NodeId> = signers.filter(|node| *node != self.me).collect();
        whom.extend(
            others
                .filter(|node| !whom.contains(node))
                .collect::<Vec<_>>(),
        );
        if whom.is_empty() {
            return;
        }
        // Who answered knows more; else the questions go round.
        let place = (missing.attempts + self.me.index() as u64) % whom.len() as u64;
        missing.attempts += 1;
        let fetch = Fetch {
            block: missing.block,
            above: self.tree.root.height,
        };
        let height = self.high.certificate.as_ref();
        let height = height.map_or(0, |certificate| certificate.vote().slot.0);
        let deep = height > self.tree.root.height.0 + SHALLOW;
        if deep || missing.attempts > PATIENT {
            out.push(Effect::Behind);
        }
        out.work.signatures += 1;
        let fetch = self.key.sign(self.me, fetch);
        out.send(whom[place as usize], HotStuffMessage::Fetch(fetch));
        out.push(Effect::Arm {
            timer: Timer::Fetch,
            after: self.config.fetch_timeout,
        });
    }

    /// No answer came.
    pub(super) fn on_fetch_timer(&mut self, out: &mut Outbox<Self>) {
        if self.missing.is_some() {
            self.ask(out);
        }
    }

    /// HS15: hands out what is here.
    pub(super) fn on_fetch(&self, fetch: &Signed<Fetch>, out: &mut Outbox<Self>) {
        let signer = fetch.signer();
        if !self.committee.contains(signer) || signer == self.me {
            return out.refuse(Refusal::WrongSender);
        }
        if !self.committee.verify(fetch) {
            return out.refuse(Refusal::BadSignature);
        }
        let Fetch { block, above } = *fetch.body();
        let links = self.tree.branch(&block, above, BATCH, BATCH_BYTES);
        if !links.is_empty() {
            out.send(signer, HotStuffMessage::Blocks(links));
        }
    }

    /// HS15: what was asked for: the ids say that it is what a quorum certified.
    pub(super) fn on_blocks(&mut self, links: &[Arc<Link>], out: &mut Outbox<Self>) {
        for link in links {
            let id = link.block.id();
            let missing = self.missing.as_ref().map(|missing| missing.block);
            let stranger =
                missing != Some(id) || link.block.header().height <= self.tree.root.height;
            if stranger || self.strays.len() >= STRAYS {
                return out.refuse(Refusal::Stale);
            }
            if self.stamped(link).is_none() || !link.block.is_whole() {
                return out.refuse(Refusal::Malformed);
            }
            if !link.justify.as_ref().is_none_or(|one| self.holds(one)) {
                return out.refuse(Refusal::BadSignature);
            }
            self.strays.insert(id, Arc::clone(link));
            let parent = link.block.header().parent;
            if self.tree.knows(&parent) {
                self.missing = None;
                out.push(Effect::Disarm(Timer::Fetch));
                self.land(id, out);
                return;
            }
            if let Some(missing) = &mut self.missing {
                missing.block = parent;
                missing.attempts = 0;
            }
        }
        self.ask(out);
    }

    /// The fetched blocks that hang on the tree now join it.
    fn land(&mut self, first: BlockId, out: &mut Outbox<Self>) {
        let mut next = Some(first);
        while let Some(link) = next.and_then(|id| self.strays.remove(&id)) {
            let stamp = Stamp::of(link.block.header()).expect("checked when it came");
            self.plant(&link, stamp, Judged::No);
            let id = link.block.id();
            let mut strays = self.strays.iter();
            next = strays
                .find(|(_, link)| link.block.header().parent == id)
                .map(|(id, _)| *id);
        }
        self.try_commit(out);
    }

    /// HS16: the host fetched a final block.
    pub(super) fn on_synced(
        &mut self,
        block: &Arc<Block>,
        proof: &Arc<Finality>,
        out: &mut Outbox<Self>,
    ) {
        self.take_final(block, Some(proof), out);
        let strays = std::mem::take(&mut self.strays);
        let above = |link: &Arc<Link>| link.block.header().height > self.tree.root.height;
        self.strays = strays.into_iter().filter(|(_, link)| above(link)).collect();
        let root = self.tree.root.id;
        let child = self.strays.iter();
        let child = child
            .filter(|(_, link)| link.block.header().parent == root)
            .map(|(id, _)| *id)
            .next();
        if let Some(child) = child {
            self.land(child, out);
        }
    }

    /// The final chain ends here; what certifies that is learned.
    pub(super) fn take_final(
        &mut self,
        block: &Arc<Block>,
        proof: Option<&Arc<Finality>>,
        out: &mut Outbox<Self>,
    ) {
        let header = block.header();
        let Some(Finality::Descendants { certificates, .. }) = proof.map(|proof| &**proof) else {
            return;
        };
        if header.height <= self.tree.root.height {
            return;
        }
        if self
            .tree
            .get(&block.id())
            .is_some_and(|entry| entry.parent() == self.tree.root.id)
        {
            self.tree.settle(block.id());
        } else {
            self.tree.begin_at(Root {
                id: block.id(),
                height: header.height,
                timestamp: header.timestamp,
            });
        }
        self.schedule.settled(header);
        if let Some(first) = certificates.first() {
            self.committed = self.committed.max(first.vote().view);
        }
        self.failures = 0;
        self.learn(certificates.last(), out);
    }

    /// HS16: news for one who is behind; who sent it hears how far that brought me.
    pub(super) fn on_news(&mut self, news: &News, from: NodeId, out: &mut Outbox<Self>) {
        if !self.take_news(news.high.as_ref(), news.tc.as_ref(), out) {
            return out.refuse(Refusal::BadSignature);
        }
        if self.committee.contains(from) && from != self.me {
            self.report(from, 0, false, out);
        }
    }

    pub(super) fn report(&mut self, to: NodeId, attempt: u64, asks: bool, out: &mut Outbox<Self>) {
        let report = Report {
            view: self.view,
            high: self.high.view,
            attempt,
            asks,
        };
        out.work.signatures += 1;
        let report = self.key.sign(self.me, report);
        out.send(to, HotStuffMessage::Status(report));
    }

    /// HS16: where another replica stands.
    pub(super) fn on_status(&mut self, report: &Signed<Report>, out: &mut Outbox<Self>) {
        let signer = report.signer();
        let Some(place) = self
            .committee
            .position(signer)
            .filter(|_| signer != self.me)
        else {
            return out.refuse(Refusal::WrongSender);
        };
        if !self.committee.verify(report) {
            return out.refuse(Refusal::BadSignature);
        }
        let said = *report.body();
        self.peers.heard(place, said.high);
        if said.asks {
            if self.mute.is_none() {
                self.report(signer, said.attempt, false, out);
            }
            if self.high.view > said.high {
                out.send(signer, HotStuffMessage::Certificate(self.news()));
            }
        } else {
            self.estimate(place, &said, out);
        }
    }

    /// Whether this replica holds the newest certificate that there is, as the leader of the view after.
    fn keeps_the_last(&self) -> bool {
        self.high.view.next() == self.view && self.leader(self.view) == self.me && !self.busy()
    }

    /// HS16: at rest, the leader tells those whose vote did not come how it ended.
    pub(super) fn care(&mut self, out: &mut Outbox<Self>) {
        let silent = self.keeps_the_last() && self.speaks() && !self.silent().is_empty();
        if silent && self.peers.interval == 0 {
            self.peers.interval = 1;
            self.arm_care(out);
        } else if !silent && self.peers.interval != 0 {
            self.peers.interval = 0;
            out.push(Effect::Disarm(Timer::Care));
        }
    }

    fn arm_care(&self, out: &mut Outbox<Self>) {
        out.push(Effect::Arm {
            timer: Timer::Care,
            after: self.config.timeout * self.peers.interval,
        });
    }

    /// Members that may not know of the highest certificate's block.
    fn silent(&self) -> Vec<NodeId> {
        let nodes = self.committee.nodes().zip(&self.peers.heard);
        let silent = nodes.filter(|(node, heard)| *node != self.me && **heard < self.high.view);
        silent.map(|(node, _)| node).collect()
    }

    pub(super) fn on_care_timer(&mut self, out: &mut Outbox<Self>) {
        if self.peers.interval == 0 {
            return;
        }
        for node in self.silent() {
            out.send(node, HotStuffMessage::Certificate(self.news()));
        }
        self.peers.interval = (self.peers.interval * 2).min(RARELY);
        self.arm_care(out);
    }

    /// The height of the last final block.
    pub(super) fn height(&self) -> Height {
        self.tree.root.height
    }
}
