//! Votes become certificates, certificates commit blocks: HS6 to HS8.

use std::sync::Arc;

use crate::{
    block::{Finality, Header},
    crypto::Signed,
    engine::{Effect, Outbox, Refusal, Tale},
    mutant::Mutant,
    quorum::{Certificate, Counted, Vote},
    types::{BlockId, NodeId, Seq, View},
};

use super::{
    HotStuff, Variant,
    message::{Link, Proposal, Stamp, VOTE, place_of},
    tree::{Entry, Judged},
};

/// Votes for views so far ahead of mine are kept.
const AHEAD: u64 = 16;

/// The highest quorum certificate.
#[derive(Clone, Debug)]
pub(super) struct High {
    pub(super) view: View,
    pub(super) block: BlockId,
    /// `None`: genesis needs none.
    pub(super) certificate: Option<Certificate>,
}

/// Blocks that the commit rule has found: the oldest becomes final.
struct Run {
    block: BlockId,
    view: View,
    /// Those that follow it.
    headers: Vec<Header>,
    certificates: Vec<Certificate>,
}

impl HotStuff {
    /// HS5: n−f members.
    pub(super) fn needed(&self) -> usize {
        crate::quorum::two_thirds(self.committee.n())
    }

    /// HS5: whether a quorum signed it, each member once.
    pub(super) fn holds(&self, certificate: &Certificate) -> bool {
        let needed = self.needed();
        let verdict = if self.planted.is(Mutant::RepeatedSignerInCertificate) {
            certificate.verify_signatures(&self.committee, needed)
        } else {
            certificate.verify(&self.committee, needed)
        };
        certificate.vote().phase == VOTE && verdict.is_ok()
    }

    /// Whether a block and its certificate fit together; not whether the certificate holds.
    pub(super) fn stamped(&self, link: &Link) -> Option<Stamp> {
        let header = link.block.header();
        let stamp = Stamp::of(header)?;
        let parent = match &link.justify {
            None => header.parent == self.genesis && header.height.0 == 1,
            Some(certificate) => {
                let vote = certificate.vote();
                vote.digest == header.parent && vote.slot.0.checked_add(1) == Some(header.height.0)
            }
        };
        let certified = link.justify.as_ref().map(|one| one.vote().view);
        let voters = Stamp::voters(&self.committee, link.justify.as_ref());
        let fits = parent
            && stamp.parent == certified.unwrap_or_default()
            && stamp.parent < stamp.view
            && stamp.voters == voters;
        fits.then_some(stamp)
    }

    /// HS6: a vote, if this replica leads the view after.
    pub(super) fn on_vote(&mut self, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let body = *vote.body();
        if body.phase != VOTE {
            return out.refuse(Refusal::Malformed);
        }
        let Some(place) = self.committee.position(vote.signer()) else {
            return out.refuse(Refusal::WrongSender);
        };
        if !self.committee.verify(vote) {
            return out.refuse(Refusal::BadSignature);
        }
        if body.view.next() < self.view {
            return out.refuse(Refusal::Stale);
        }
        if body.view.0 > self.view.0 + AHEAD {
            return out.refuse(Refusal::TooFar);
        }
        if body.view >= self.high.view {
            self.peers.heard(place, body.view);
        }
        self.count(vote, out);
    }

    /// Counts a vote; a quorum of them is a certificate.
    pub(super) fn count(&mut self, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let needed = self.needed();
        let body = *vote.body();
        let place = self.committee.position(vote.signer());
        let place = place.expect("who votes is a member");
        let mut same_view = self
            .ballots
            .range((body.view, Seq(0))..=(body.view, Seq(u64::MAX)));
        // Statements differ in their slots too: who votes for two heights votes twice.
        let elsewhere = same_view
            .any(|((_, slot), tally)| *slot != body.slot && tally.vote_of(place).is_some());
        let tally = self.ballots.entry((body.view, body.slot)).or_default();
        let counted = if elsewhere {
            Counted::Conflicting
        } else {
            tally.add(&self.committee, vote)
        };
        match counted {
            Counted::Again => out.refuse(Refusal::Stale),
            Counted::Conflicting => {
                out.tell(Tale::Equivocation {
                    by: vote.signer(),
                    slot: place_of(&body),
                });
                out.refuse(Refusal::Conflicting);
            }
            Counted::New(count) if count >= needed && body.view > self.high.view => {
                let certificate = tally.certificate(&body.digest, needed);
                let certificate = certificate.expect("the tally has a quorum for it");
                self.learn(Some(&certificate), out);
            }
            Counted::New(_) => {}
        }
    }

    /// HS7: takes note of a certificate that holds: it is the highest, or nothing new; the view after its
    /// own begins.
    pub(super) fn learn(&mut self, certificate: Option<&Certificate>, out: &mut Outbox<Self>) {
        let Some(certificate) = certificate else {
            return;
        };
        let vote = certificate.vote();
        if vote.view > self.high.view {
            self.high = High {
                view: vote.view,
                block: vote.digest,
                certificate: Some(certificate.clone()),
            };
            self.try_commit(out);
        }
        if vote.view >= self.view {
            self.enter(vote.view.next(), out);
        }
    }

    /// HS8: as many certified blocks in a row, in views that follow each other, as the variant asks for,
    /// make the first of them final with all its ancestors.
    pub(super) fn try_commit(&mut self, out: &mut Outbox<Self>) {
        let mut at = self.high.block;
        let Some(mut certificate) = self.high.certificate.clone() else {
            return;
        };
        self.lock_below(at);
        while let Some(entry) = self.tree.get(&at) {
            if entry.stamp.view <= self.committed {
                return;
            }
            if let Some(run) = self.run(at, &certificate) {
                return self.commit(&run, out);
            }
            let Some(justify) = entry.link.justify.clone() else {
                return;
            };
            certificate = justify;
            at = entry.parent();
        }
    }

    /// The run of certified blocks that ends here, if there is one.
    fn run(&self, tip: BlockId, certificate: &Certificate) -> Option<Run> {
        let links = if self.planted.is(Mutant::TwoChainCommit) {
            2
        } else {
            self.config.variant.links()
        };
        let mut headers = Vec::new();
        let mut certificates = vec![certificate.clone()];
        let mut entry = self.tree.get(&tip)?;
        while certificates.len() < links {
            let follows = entry.stamp.view == entry.stamp.parent.next();
            if !follows && !self.planted.is(Mutant::GapInChainCommits) {
                return None;
            }
            headers.push(entry.link.block.header().clone());
            certificates.push(entry.link.justify.clone()?);
            entry = self.tree.get(&entry.parent())?;
        }
        headers.reverse();
        certificates.reverse();
        Some(Run {
            block: entry.link.block.id(),
            view: entry.stamp.view,
            headers,
            certificates,
        })
    }

    /// HS8, HS13: the block and its ancestors are committed. Empty ones at the end are not called final
    /// before a payload follows, so that all are at rest at the same height.
    fn commit(&mut self, run: &Run, out: &mut Outbox<Self>) {
        if run.view <= self.committed {
            return;
        }
        let Some(path) = self.tree.path(run.block) else {
            return;
        };
        self.committed = run.view;
        self.failures = 0;
        let newest = run.certificates.last().expect("a run has links");
        let newest = newest.vote().view;
        let entries: Vec<_> = path
            .iter()
            .map(|id| self.tree.get(id).expect("on the path"))
            .cloned()
            .collect();
        let last = if self.config.empty_block_period.is_some() {
            Some(entries.len() - 1)
        } else {
            entries.iter().rposition(Entry::has_payload)
        };
        let Some(last) = last else { return };
        self.due = newest;
        for (place, entry) in entries.iter().enumerate().take(last + 1) {
            let between = entries[place + 1..].iter();
            let between = between.map(|entry| entry.link.block.header().clone());
            let proof = Finality::Descendants {
                headers: between.chain(run.headers.iter().cloned()).collect(),
                certificates: run.certificates.clone(),
            };
            let block = Arc::clone(&entry.link.block);
            self.tree.settle(block.id());
            self.schedule.settled(block.header());
            out.push(Effect::Final {
                block,
                proof: Arc::new(proof),
            });
        }
        self.settled += last as u64 + 1;
    }

    /// Adds a block whose parent is known and certified by what stands beside it. HS3: a lock follows:
    /// the grandparent, if both steps are certified.
    pub(super) fn plant(&mut self, link: &Arc<Link>, stamp: Stamp, judged: Judged) {
        let parent = link.block.header().parent;
        self.carried = self.carried.max(stamp.parent);
        self.tree.insert(Arc::clone(link), stamp, judged);
        self.lock_below(parent);
    }

    /// HS3: a certified block locks its parent.
    fn lock_below(&mut self, certified: BlockId) {
        if let Some(entry) = self.tree.get(&certified)
            && entry.stamp.parent > self.lock.0
        {
            self.lock = (entry.stamp.parent, entry.parent());
        }
    }

    /// HS3: whether a vote for this proposal, the one of the current view, cannot contradict a commit.
    pub(super) fn is_safe(&self, proposal: &Proposal, stamp: &Stamp) -> bool {
        match self.config.variant {
            Variant::ThreeChain => {
                let (view, block) = self.lock;
                let newer = stamp.parent > view
                    || (stamp.parent == view && self.planted.is(Mutant::SafeNodeEqualView));
                newer || self.extends(proposal.link.block.header().parent, block)
            }
            Variant::HotStuff2 => stamp.parent >= self.high.view,
            Variant::Jolteon => {
                let needs = proposal.tc.as_ref().map(|tc| tc.high());
                stamp.parent.next() == stamp.view || needs.is_some_and(|high| stamp.parent >= high)
            }
        }
    }

    /// Whether `ancestor` is on the way from a block down to the final chain, or below that.
    fn extends(&self, block: BlockId, ancestor: BlockId) -> bool {
        let mut at = block;
        while at != ancestor {
            match self.tree.get(&at) {
                Some(entry) => at = entry.parent(),
                None => return !self.tree.knows(&ancestor),
            }
        }
        true
    }

    /// The leader of a view, as the chain of the highest certificate says.
    pub(super) fn leader(&self, view: View) -> NodeId {
        let tip = self.high.block;
        self.schedule.leader(&self.committee, view, &self.tree, tip)
    }
}
