//! Round changes (QB5–QB8).

use std::sync::Arc;

use crate::{
    block::Block,
    crypto::Signed,
    engine::{Outbox, Refusal, Tale},
    quorum::Certificate,
    types::Seq,
};

use super::{
    Qbft,
    justification::check_change,
    message::{Change, Claim, QbftMessage, Record, RoundChange},
};

impl Qbft {
    /// QB5: the round has lasted long enough.
    pub(super) fn expire(&mut self, out: &mut Outbox<Self>) {
        if self.deciding.is_none() {
            // That others wait is not known of the next round.
            self.station.engaged = !self.bodies.is_empty();
            self.change_round(self.station.round.saturating_add(1), out);
            self.join(out);
            self.go_on(out);
        }
    }

    /// Goes to a later round, in which nothing is known.
    pub(super) fn enter(&mut self, round: u64, out: &mut Outbox<Self>) {
        self.station.enter(round, out);
        self.leave_round();
        self.prepares.prune(self.station.round);
        self.commits.prune(self.station.round);
    }

    fn change_round(&mut self, round: u64, out: &mut Outbox<Self>) {
        let view = self.station.view(round);
        if self.station.speaks() {
            out.tell(Tale::Suspected(view));
        }
        self.enter(round, out);
        if !self.station.speaks() {
            return;
        }
        let prepared = self.prepared.as_ref().map(|prepared| Claim {
            view: prepared.certificate.vote().view,
            digest: prepared.block.id(),
        });
        let change = Change {
            view,
            slot: Seq(self.station.height.0),
            prepared,
        };
        let prepared = self.prepared.as_ref();
        let said = Arc::new(RoundChange {
            change: self.station.sign(change, out),
            certificate: prepared.map(|prepared| prepared.certificate.clone()),
            block: prepared.map(|prepared| Arc::clone(&prepared.block)),
        });
        self.persist(Record::RoundChange(Arc::clone(&said)), out);
        self.keep_own(&said);
        self.say(QbftMessage::RoundChange(said), out);
    }

    pub(super) fn keep_own(&mut self, said: &Arc<RoundChange>) {
        let position = self.station.committee.position(self.station.me);
        let position = position.expect("a member changes rounds");
        self.changes[position] = Some(Arc::clone(said));
    }

    pub(super) fn on_round_change(&mut self, said: &Arc<RoundChange>, out: &mut Outbox<Self>) {
        let change = *said.change.body();
        let by = said.change.signer();
        let position = self.station.committee.position(by);
        let position = position.expect("membership was checked");
        if let Some(known) = &self.changes[position] {
            let known = known.change.body();
            if known.view == change.view && *known != change {
                out.refuse(Refusal::Conflicting);
                let slot = self.station.slot(change.view.round());
                out.tell(Tale::Equivocation { by, slot });
                return;
            }
            if known.view >= change.view {
                return;
            }
        }
        if change.view < self.station.view(self.station.round) {
            return out.refuse(Refusal::Stale);
        }
        if let Err(reason) = check_change(&self.station, said) {
            return out.refuse(reason);
        }
        self.changes[position] = Some(Arc::clone(said));
        self.join(out);
        self.go_on(out);
    }

    /// QB6: an honest one is among f+1.
    fn join(&mut self, out: &mut Outbox<Self>) {
        while self.station.speaks() {
            let present = self.station.round;
            let rounds = self.changes.iter().flatten();
            let rounds = rounds.map(|said| said.change.body().view.round());
            let later: Vec<_> = rounds.filter(|round| *round > present).collect();
            let weak = self.station.committee.weak_quorum();
            let Some(smallest) = later.iter().min().filter(|_| later.len() >= weak) else {
                return;
            };
            self.change_round(*smallest, out);
            self.station.engaged = true;
        }
    }

    /// The ROUND-CHANGEs for the present round.
    fn of_this_round(&self) -> impl Iterator<Item = &Arc<RoundChange>> {
        let view = self.station.view(self.station.round);
        let changes = self.changes.iter().flatten();
        changes.filter(move |said| said.change.body().view == view)
    }

    /// Whether a proposal of the present round could be justified.
    pub(super) fn has_leave(&self) -> bool {
        self.station.round == 0 || self.of_this_round().count() >= self.station.quorum()
    }

    /// The justification of a proposal of the present round.
    pub(super) fn leave(&self) -> Vec<Signed<Change>> {
        self.of_this_round()
            .map(|said| said.change.clone())
            .collect()
    }

    /// Of what the ROUND-CHANGEs for the present round claim, that of the highest round.
    pub(super) fn highest_claim(&self) -> Option<(Arc<Block>, Certificate)> {
        let claims = self.of_this_round().filter_map(|said| {
            let block = Arc::clone(said.block.as_ref()?);
            Some((block, said.certificate.clone()?))
        });
        claims.max_by_key(|(_, certificate)| certificate.vote().view)
    }
}
