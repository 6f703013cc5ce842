//! Epochs: one committee follows another at a height.
//!
//! The block below the first one of the next committee is the last of an epoch. Nothing is proposed or
//! accepted on top of it, and when it is executed, at slot s, the replica begins anew with the next
//! committee: first view of the epoch, low watermark s. That all replicas of the epoch have executed s
//! is what makes them its replicas, so s needs no proof, as genesis needs none. What the old committee
//! left above s is void: it can hold nothing that follows the last block. Slots count on.

use std::sync::Arc;

use crate::{
    block::Block,
    engine::{Effect, Outbox, Refusal, Tale},
    membership::{Committee, Term},
    types::{Epoch, Height, NodeId, Seq, View},
};

use super::{
    Pbft, Timer,
    checkpoint::Checkpoints,
    early::{Early, Held},
    rules::Rules,
};

impl Pbft {
    /// The epoch of the current view.
    pub fn epoch(&self) -> Epoch {
        self.view.epoch()
    }

    /// What messages of this epoch are held against.
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            epoch: self.epoch(),
            committee: &self.committee,
            base: self.base,
            window: self.config.window,
            planted: self.planted,
        }
    }

    /// The first height of the next committee, if there is to be one.
    fn end(&self) -> Option<Height> {
        let next = self.committees.term(self.epoch().next());
        next.map(|term| term.from)
    }

    /// The host has executed the block that says who decides next.
    pub(super) fn on_committee(
        &mut self,
        from: Height,
        committee: Arc<Committee>,
        out: &mut Outbox<Self>,
    ) {
        let next = self.epoch().next();
        let term = self.committees.schedule(from, committee);
        if term.epoch == next {
            self.early_next = Some(Early::for_epoch(term.committee.n(), &self.config));
            // A block that was asked for before may be one too many, or too long in coming. The host
            // goes on with the block that says so, and then another one is asked for.
            self.unwant(out);
        }
    }

    /// Whether the host has executed the last block of this epoch.
    pub(super) fn epoch_is_over(&self) -> bool {
        self.committees.epoch_of(self.results.height.next()) > self.epoch()
    }

    /// Whether a block is for the next committee to decide.
    pub(super) fn is_of_next_epoch(&self, block: &Block) -> bool {
        self.end().is_some_and(|end| block.header().height >= end)
    }

    /// Height of the block that ends this view's chain. Known limit: of one whose body was dropped with its
    /// slot before it was executed here, the last executed height stands in. A primary that lags so may
    /// propose a block that is the next committee's: backups refuse it, and it costs a view change.
    fn tip_height(&self) -> Height {
        if self.tip == self.head {
            return self.results.height;
        }
        let block = self.log.body(&self.tip);
        block.map_or(self.results.height, |block| block.header().height)
    }

    /// Whether this view's chain ends with the last block of the epoch.
    pub(super) fn is_last_of_epoch(&self) -> bool {
        self.end()
            .is_some_and(|end| self.tip_height().next() >= end)
    }

    /// Whether the epoch ends within a window: then the primary fills it with empty blocks, so that a
    /// change takes effect soon also where there is little to do.
    pub(super) fn hurries(&self) -> bool {
        let left = |end: Height| end.0.saturating_sub(self.results.height.0);
        self.end()
            .is_some_and(|end| left(end) <= self.config.window)
    }

    /// The last block of the epoch is executed: the next committee begins. A snapshot may lie in the
    /// middle of a later epoch: then its last slot stands for the base until a checkpoint is stable.
    pub(super) fn begin_epoch(&mut self, out: &mut Outbox<Self>) {
        let next = self.committees.at(self.results.height.next()).clone();
        if self.suspicion.armed.take().is_some() {
            out.push(Effect::Disarm(Timer::Request(self.view)));
        }
        self.stop_waiting_for_new_view(out);
        self.unwant(out);
        self.sit(&next, self.executed);
        self.suspicion.begin(self.now);
        self.speak_again(out);
        out.push(Effect::Truncate(self.records()));
        out.tell(Tale::Entered {
            view: self.view,
            leader: self.committee.leader(self.view),
        });
        self.watch(out);
        self.release_early(out);
        self.rearm(out);
        self.advance(out);
    }

    /// Takes its place in a committee, or none, on top of slot `base`.
    pub(super) fn sit(&mut self, term: &Term, base: Seq) {
        let n = term.committee.n();
        let follows = term.epoch == self.epoch().next();
        self.committee = Arc::clone(&term.committee);
        self.position = self.committee.position(self.me);
        self.view = View::first_of(term.epoch);
        self.active = true;
        self.base = base;
        self.log.begin_on(base);
        self.checkpoints = Checkpoints::new(n);
        let early = self.early_next.take().filter(|_| follows);
        self.early = early.unwrap_or_else(|| Early::for_epoch(n, &self.config));
        let after = self.committees.term(term.epoch.next());
        self.early_next = after.map(|term| Early::for_epoch(term.committee.n(), &self.config));
        (self.frontier, self.tip) = (self.executed, self.head);
        (self.judging, self.deferred) = (None, None);
        (self.assigned, self.committed) = (base, base);
        self.changes = vec![None; n];
        self.new_view = None;
        self.missing.clear();
        // Who has left may not know it yet, and nobody else speaks to it.
        let before = self.committees.term(term.epoch.prev());
        let before = before.filter(|before| before.epoch < term.epoch);
        let leavers = before
            .into_iter()
            .flat_map(|before| before.committee.nodes());
        let me = self.me;
        let left = |node: &NodeId| !term.committee.contains(*node) && *node != me;
        self.peers.sit(n, leavers.filter(left));
        self.wonder_anew();
    }

    /// A proposal or a vote of another epoch: those of the next one wait for it, within their senders'
    /// shares.
    pub(super) fn hold_for_next(
        &mut self,
        view: View,
        held: impl FnOnce() -> Held,
        out: &mut Outbox<Self>,
    ) {
        let next = self.epoch().next();
        let (Some(term), Some(early)) = (self.committees.term(next), &mut self.early_next) else {
            return self.refuse_other_epoch(view, out);
        };
        if view.epoch() != next {
            return self.refuse_other_epoch(view, out);
        }
        let held = held();
        let Some(position) = term.committee.position(held.signer()) else {
            return out.refuse(Refusal::WrongSender);
        };
        if !held.is_signed(&term.committee) {
            return out.refuse(Refusal::BadSignature);
        }
        let (_, seq) = held.slot();
        let soon = seq.0 <= self.log.high().0.saturating_add(self.config.window);
        if !soon || !early.hold(position, held) {
            out.refuse(Refusal::TooFar);
        }
    }

    /// A message of another epoch that is not kept.
    pub(super) fn refuse_other_epoch(&self, view: View, out: &mut Outbox<Self>) {
        let over = view.epoch() < self.epoch();
        out.refuse(if over {
            Refusal::Stale
        } else {
            Refusal::TooFar
        });
    }
}
