//! Who decides: what the chain says about it, told to the engine and kept for outsiders.

use std::sync::Arc;

use super::Validator;
use crate::{
    block::Finality,
    contracts::consortium,
    engine::{Engine, Input},
    membership::{Committee, Committees},
    node::{Actions, Note},
    types::{Height, LocalTime},
};

impl<E: Engine> Validator<E> {
    /// Who decides from which height on, as far as the chain here says.
    pub fn committees(&self) -> &Committees {
        &self.committees
    }

    /// The committee that the engine is at work for.
    pub(super) fn present(&self) -> &Arc<Committee> {
        let epoch = self.engine.status().view.epoch();
        let known = self.committees.term(epoch);
        &known.unwrap_or_else(|| self.committees.newest()).committee
    }

    /// The chain grew: if it says who decides next, the engine learns of it. That asks the state for one
    /// key, so it costs next to nothing when nothing changes. Where branches come and go no height is
    /// sure enough to change anything at.
    pub(super) fn learn_committees(&mut self, now: LocalTime, actions: &mut Actions) {
        while !self.engine.has_branches() {
            let epoch = self.committees.newest().epoch.next();
            let Some(seats) = consortium::seats(self.ledger.state(), epoch) else {
                return;
            };
            let committee = seats.committee(self.me.registry.chain);
            let committee = committee.expect("only committees are seated");
            let from = seats.from;
            let term = self.committees.schedule(from, Arc::clone(&committee));
            actions.note(Note::Scheduled(term.clone()));
            self.link_due = Some(self.ledger.height());
            self.step(now, Input::Committee { from, committee }, actions);
        }
    }

    /// A block is final: if it is the first one that carries a change of the committee, the link to the
    /// next one is made while the state that it proves is still here. A protocol whose blocks prove
    /// nothing has no links.
    pub(super) fn keep_hand_over(&mut self, height: Height) {
        let Some(scheduled) = self.link_due else {
            return;
        };
        let next = self.committees.newest();
        if height >= next.from {
            // Those who decide now cannot vouch for themselves.
            self.link_due = None;
            return;
        }
        let entry = self.ledger.entry(height).expect("on the chain");
        let certified = matches!(entry.proof.as_deref(), Some(Finality::Certificate(_)));
        // A header may carry results that are so old that their state is gone: the next one will do.
        let carried = entry.block.header().results.height >= scheduled;
        if certified && carried && self.ledger.hand_over(next.epoch).is_ok() {
            self.link_due = None;
        }
    }
}
