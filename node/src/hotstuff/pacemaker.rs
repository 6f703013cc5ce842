//! How views end without a block, and how replicas come together in one: HS9 to HS11.

use std::{sync::Arc, time::Duration};

use crate::{
    crypto::Signed,
    engine::{Effect, Outbox, Refusal, Tale},
    types::{NodeId, View},
};

use super::{
    HotStuff, Timer, Variant,
    message::{GiveUp, HotStuffMessage, News, Record, TimeoutCertificate, Word},
};

impl HotStuff {
    /// A view begins here.
    pub(super) fn enter(&mut self, view: View, out: &mut Outbox<Self>) {
        assert!(view > self.view, "views rise");
        self.view = view;
        self.offer = None;
        self.repeats = 0;
        let oldest = View(view.0 - 1);
        self.ballots.retain(|(view, _), _| *view >= oldest);
        let leader = self.leader(view);
        out.tell(Tale::Entered { view, leader });
    }

    /// Whether there is something left to do: timers run only then.
    pub(super) fn busy(&self) -> bool {
        self.pending || self.config.empty_block_period.is_some() || self.unfinished()
    }

    /// HS13: whether a payload hangs on the final chain and is not final: under the highest certificate,
    /// or in the block of this view.
    pub(super) fn unfinished(&self) -> bool {
        let here = |id| self.tree.get(id);
        let path = self.tree.path(self.high.block).unwrap_or_default();
        let offered = self.offer.iter().any(|(proposal, _)| {
            !proposal.link.block.transactions().is_empty()
                && self.tree.knows(&proposal.link.block.id())
                && proposal.link.block.id() != self.tree.root.id
        });
        offered
            || !self.tree.knows(&self.high.block)
            || path
                .iter()
                .filter_map(here)
                .any(super::tree::Entry::has_payload)
    }

    /// HS11: how long the current view may last.
    fn patience(&self) -> Duration {
        let most = self.config.timeout_max.as_nanos();
        let mut nanos = self.config.timeout.as_nanos();
        for _ in 0..self.failures.saturating_add(self.repeats) {
            if nanos >= most {
                break;
            }
            nanos = nanos * u128::from(self.config.timeout_growth_percent) / 100;
        }
        let period = self.config.empty_block_period.unwrap_or_default();
        Duration::from_nanos(nanos.min(most) as u64) + period
    }

    /// The timer of the view runs while there is something to do.
    pub(super) fn watch(&mut self, out: &mut Outbox<Self>) {
        let due = (self.busy() && self.speaks()).then_some((self.view, self.repeats));
        if due == self.armed {
            return;
        }
        if let Some((view, _)) = self
            .armed
            .filter(|(view, _)| due.is_none_or(|(now, _)| now != *view))
        {
            out.push(Effect::Disarm(Timer::View(view)));
        }
        if let Some((view, _)) = due {
            let after = self.patience();
            out.push(Effect::Arm {
                timer: Timer::View(view),
                after,
            });
        }
        self.armed = due;
    }

    /// HS9: the view's timer has expired.
    pub(super) fn on_view_timer(&mut self, out: &mut Outbox<Self>) {
        self.armed = None;
        if !self.busy() || !self.speaks() {
            return;
        }
        self.give_up(out);
    }

    /// HS9: gives up the current view. `Jolteon` tells everyone and stays until a quorum did; the others
    /// go on and tell the next leader, or tell everyone and stay if they went on before.
    pub(super) fn give_up(&mut self, out: &mut Outbox<Self>) {
        let view = self.view;
        let proven = self.is_proven();
        if self.gave_up < view {
            self.failures = self.failures.saturating_add(1);
            self.gave_up = view;
            self.voted = self.voted.max(view);
            let high = self.high.view;
            out.work.signatures += 1;
            let claim = self.key.sign(self.me, GiveUp { view, high });
            let word = self.word(claim.clone());
            out.push(Effect::Persist(Record::GaveUp(word)));
            out.tell(Tale::Suspected(self.schedule.after(view)));
            self.last_word = Some(claim);
        } else {
            self.repeats = self.repeats.saturating_add(1);
        }
        let claim = self.last_word.clone().expect("it gave up this view");
        let word = self.word(claim.clone());
        if self.config.variant == Variant::Jolteon {
            out.broadcast(HotStuffMessage::Timeout(word));
        } else if !proven {
            out.broadcast(HotStuffMessage::NewView(word));
        } else {
            let next = self.schedule.after(view);
            self.enter(next, out);
            let leader = self.leader(next);
            if leader != self.me {
                out.send(leader, HotStuffMessage::NewView(word));
            }
        }
        let me = self.position.expect("observers give up nothing");
        self.hear(me, claim, out);
    }

    /// Whether a certificate led to the current view, and not the own timer.
    fn is_proven(&self) -> bool {
        let left = self.tc.as_ref().map(|tc| self.schedule.after(tc.view));
        self.high.view.next() == self.view || left == Some(self.view)
    }

    /// A word with what this replica can prove.
    pub(super) fn word(&self, claim: Signed<GiveUp>) -> Word {
        Word {
            claim,
            high: self.high.certificate.clone(),
            tc: self.tc.clone(),
        }
    }

    /// HS9: somebody gives up a view.
    pub(super) fn on_word(&mut self, word: &Word, from: NodeId, out: &mut Outbox<Self>) {
        let claim = *word.claim.body();
        let Some(place) = self.committee.position(word.claim.signer()) else {
            return out.refuse(Refusal::WrongSender);
        };
        if !self.committee.verify(&word.claim) {
            return out.refuse(Refusal::BadSignature);
        }
        let shown = word
            .high
            .as_ref()
            .map_or(View::default(), |high| high.vote().view);
        let left = word.tc.as_ref().map(|tc| self.schedule.after(tc.view));
        // Where timeouts go to all, nobody is in a view without a certificate for it.
        let reached = self.config.variant != Variant::Jolteon
            || shown.next() >= claim.view
            || left.is_some_and(|first| first >= claim.view);
        if shown < claim.high || claim.high >= claim.view || !reached {
            return out.refuse(Refusal::Malformed);
        }
        if !self.take_news(word.high.as_ref(), word.tc.as_ref(), out) {
            return out.refuse(Refusal::BadSignature);
        }
        self.peers.heard(place, shown);
        let ended = self.tc.as_ref().is_some_and(|tc| tc.view >= claim.view);
        if (self.high.view > shown || ended) && from == word.claim.signer() {
            out.send(from, HotStuffMessage::Certificate(self.news()));
        }
        if claim.view < self.view {
            out.refuse(Refusal::Stale);
        }
        self.hear(place, word.claim.clone(), out);
    }

    /// What this replica can prove about views.
    pub(super) fn news(&self) -> News {
        News {
            high: self.high.certificate.clone(),
            tc: self.tc.clone(),
        }
    }

    /// Believes what holds. `false`: it does not.
    pub(super) fn take_news(
        &mut self,
        high: Option<&crate::quorum::Certificate>,
        tc: Option<&Arc<TimeoutCertificate>>,
        out: &mut Outbox<Self>,
    ) -> bool {
        let holds = high.is_none_or(|high| self.holds(high));
        let shown = high.map_or(View::default(), |high| high.vote().view);
        // A liar's word may name a certificate that nobody has: whoever believes that asks too much.
        let sober = tc.is_none_or(|tc| tc.high() <= shown.max(self.high.view));
        if !holds || !sober || !tc.is_none_or(|tc| self.gave_up(tc)) {
            return false;
        }
        self.learn(high, out);
        if let Some(tc) = tc {
            self.learn_tc(tc, out);
        }
        true
    }

    /// Whether a quorum gave up that view.
    pub(super) fn gave_up(&self, tc: &TimeoutCertificate) -> bool {
        tc.verify(&self.committee, self.needed())
    }

    /// HS9: takes note that a quorum gave up a view: the next begins.
    pub(super) fn learn_tc(&mut self, tc: &Arc<TimeoutCertificate>, out: &mut Outbox<Self>) {
        if self.tc.as_ref().is_none_or(|known| known.view < tc.view) {
            self.tc = Some(Arc::clone(tc));
        }
        let next = self.schedule.after(tc.view);
        if next > self.view {
            if self.gave_up < tc.view {
                self.failures = self.failures.saturating_add(1);
            }
            self.enter(next, out);
        }
    }

    /// HS9, HS10: keeps the newest word of each member; q of them for one view are a certificate, f+1 for
    /// this view or later ones are joined.
    fn hear(&mut self, place: usize, word: Signed<GiveUp>, out: &mut Outbox<Self>) {
        let view = word.body().view;
        let newer = |known: &Signed<GiveUp>| known.body().view >= view;
        if self.words[place].as_ref().is_some_and(newer) {
            return;
        }
        self.words[place] = Some(word);
        let same = self.words.iter().flatten();
        let mut same: Vec<_> = same.filter(|word| word.body().view == view).collect();
        let unknown = self.tc.as_ref().is_none_or(|tc| tc.view < view);
        if same.len() >= self.needed() && unknown {
            same.sort_by_key(|word| word.signer());
            same.truncate(self.needed());
            let words = same.into_iter().cloned().collect();
            self.learn_tc(&Arc::new(TimeoutCertificate { view, words }), out);
        }
        self.join(out);
    }

    /// HS10: joins f+1 that gave up this view or later ones.
    fn join(&mut self, out: &mut Outbox<Self>) {
        let given_up = self.words.iter().flatten().map(|word| word.body().view);
        let mut given_up: Vec<_> = given_up.collect();
        given_up.sort_unstable_by(|one, other| other.cmp(one));
        let Some(view) = given_up.get(self.committee.weak_quorum() - 1).copied() else {
            return;
        };
        if view < self.view || view <= self.gave_up || !self.speaks() {
            return;
        }
        if view > self.view {
            self.enter(view, out);
        }
        self.give_up(out);
    }

    /// HS10: `HotStuff2`: a leader whose view began without the certificate of the one before waits, so
    /// that whoever holds a higher one can say so.
    pub(super) fn wait(&mut self, out: &mut Outbox<Self>) {
        let view = self.view;
        let given_up = |tc: &Arc<TimeoutCertificate>| self.schedule.after(tc.view) == view;
        let waits = self.config.variant == Variant::HotStuff2
            && self.high.view.next() != view
            && self.tc.as_ref().is_some_and(given_up)
            && self.leader(view) == self.me
            && self.waiting < view;
        if waits {
            self.waiting = view;
            out.push(Effect::Arm {
                timer: Timer::Delta(view),
                after: self.config.delta,
            });
        }
    }
}
