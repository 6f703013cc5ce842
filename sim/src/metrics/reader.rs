//! The reader of the stream: every fact goes to those that it concerns.

use std::sync::Arc;

use consortium_node::{
    engine::Tale,
    node::Note,
    types::{NodeId, TxId},
};

use super::{
    book::{Book, Fate, Told},
    chains::Chains,
    changes::Changes,
    cheats::Cheats,
    excursions::Excursions,
    faults::Faults,
    restarts::Restarts,
    stall::Stall,
};
use crate::{
    cast::Cast,
    fact::{Fact, Reader, Rejection},
    scenario::plan::Plan,
    time::{Time, nanos},
};

/// Collects what the summary is made from. Only honest validators are believed.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) plan: Arc<Plan>,
    pub(super) cast: Arc<Cast>,
    pub(super) book: Book,
    pub(super) chains: Chains,
    pub(super) stall: Stall,
    pub(super) faults: Faults,
    pub(super) restarts: Restarts,
    pub(super) changes: Changes,
    pub(super) cheats: Cheats,
    pub(super) excursions: Excursions,
    /// How often each schedule was applied.
    pub(super) scheduled: Vec<u64>,
    /// The highest view that an honest validator entered.
    pub(super) view: u64,
    /// The longest stall, in nanoseconds, between the warm-up and the first fault or cheat.
    pub(super) usual_stall_ns: u64,
    disturbed: bool,
}

impl Metrics {
    /// Ready for the first fact of a run of this plan.
    pub fn new(plan: Arc<Plan>, cast: Arc<Cast>) -> Self {
        let validators = plan.validators();
        Self {
            book: Book::default(),
            chains: Chains::new(validators),
            stall: Stall::default(),
            faults: Faults::default(),
            restarts: Restarts::default(),
            changes: Changes::default(),
            cheats: Cheats::new(&plan),
            excursions: Excursions::new(validators),
            scheduled: vec![0; plan.schedules.len()],
            view: 0,
            usual_stall_ns: 0,
            disturbed: false,
            plan,
            cast,
        }
    }

    /// The member whose ledger the report reads: an honest validator that is up, whose owner does not
    /// rewrite its copy, with the longest chain; the last of several in turn order, which is farthest
    /// from where most journeys begin. `None` if there is none.
    pub fn correct_validator(&self, alive: &[bool]) -> Option<NodeId> {
        use crate::scenario::plan::CheatKind;
        let rewrites = |node| {
            let member = self.cast.member_of(node);
            self.plan.cheats.iter().any(|cheat| match cheat.kind {
                CheatKind::RewritesCopy {
                    member: rewriter, ..
                } => rewriter == member,
                _ => false,
            })
        };
        self.cast
            .validators()
            .filter(|node| alive.get(node.index()) == Some(&true))
            .filter(|node| self.cast.is_honest(*node) && !rewrites(*node))
            .max_by_key(|node| self.chains.height(*node))
    }

    /// Whether a cheat made it without submitting it through a gateway's book: it has no fate there.
    fn is_off_the_books(&self, tx: &TxId) -> bool {
        self.book.get(tx).is_none() && self.cheats.made(tx)
    }

    fn finished(&mut self, at: Time, tx: &TxId, outcome: &consortium_node::transaction::Outcome) {
        if self.is_off_the_books(tx) {
            return;
        }
        let told = self.book.finished(tx, at, outcome);
        self.cheats.answered(tx, told);
        if told
            != (Told::Settled {
                pending_before: true,
            })
        {
            return;
        }
        let gap = self.stall.progressed(at);
        if !self.disturbed && gap.from >= Time::ZERO + self.plan.warm_up {
            let longest = nanos(gap.since(gap.from));
            self.usual_stall_ns = self.usual_stall_ns.max(longest);
        }
        self.faults.progressed(gap, self.view);
        self.cheats.progressed(gap, self.view, &self.plan);
    }

    fn rejected(&mut self, tx: &TxId, reason: Rejection) {
        if self.is_off_the_books(tx) {
            return self.cheats.rejected(tx, reason, false);
        }
        let told = self.book.rejected(tx, reason);
        let owned = self
            .book
            .get(tx)
            .is_some_and(|record| record.cheat.is_none() && record.fate == Fate::Rejected(reason));
        let honest = owned && told != Told::Repeated;
        self.cheats.rejected(tx, reason, honest);
        if told
            == (Told::Settled {
                pending_before: true,
            })
        {
            self.stall.dropped();
        }
    }

    fn noted(&mut self, at: Time, teller: NodeId, note: &Note) {
        if !self.cast.is_validator(teller) || !self.cast.is_honest(teller) {
            return;
        }
        match note {
            Note::Engine(Tale::Entered { view, .. }) => {
                self.view = self.view.max(view.0);
                self.changes.entered(*view, at);
            }
            Note::Scheduled(term) => self.changes.scheduled(term),
            Note::Engine(Tale::Equivocation { by, .. }) => {
                self.cheats
                    .witnessed(teller, self.cast.member_of(*by), &self.plan);
            }
            Note::Appended(entry) => {
                self.changes.reached(entry.height(), at);
                self.chains.appended(teller, entry, at, &mut self.book);
                self.excursions.appended(teller, entry, at);
                self.restarts.appended(teller, at, entry.height());
            }
            Note::Retracted { block } => {
                self.chains.retracted(teller, block, &mut self.book);
                self.restarts.retracted(teller, block.header().height);
                for transaction in block.transactions() {
                    self.excursions.retracted(teller, &transaction.id());
                }
            }
            Note::Relied { height, .. } => self.chains.relied(teller, *height),
            Note::Recovered { height } => {
                self.chains.recovered(teller, *height);
                self.restarts.recovered(teller, at, *height);
            }
            Note::Adopted {
                height,
                block,
                results,
            } => {
                let root = results.state_root;
                self.chains.adopted(teller, *height, *block, root);
                self.restarts.adopted(teller, at, *height);
            }
            Note::Engine(_) | Note::Admitted(_) | Note::TxRefused { .. } | Note::Refused(_) => {}
        }
    }
}

impl Reader for Metrics {
    fn read(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Submitted(submission) => {
                self.book.submitted(submission);
                self.cheats.submitted(submission);
                self.excursions.submitted(submission);
            }
            Fact::Sent {
                tx,
                waited_for_link,
                ..
            } => {
                if !self.is_off_the_books(tx) && self.book.sent(tx, at, *waited_for_link) {
                    self.stall.sent(at);
                }
            }
            Fact::Final { tx, outcome, .. } => self.finished(at, tx, outcome),
            Fact::Rejected { tx, reason } => self.rejected(tx, *reason),
            Fact::Node { node, note } => self.noted(at, *node, note),
            Fact::FaultBegan { fault, nodes } => {
                self.disturbed = true;
                self.faults.began(*fault, nodes, at, self.view);
                for node in nodes {
                    self.restarts.crashed(*fault, *node, at);
                }
            }
            Fact::Restarted { node, disk, .. } => self.restarts.again(*node, at, *disk),
            Fact::FaultEnded { fault } => self.faults.ended(*fault, at),
            Fact::Cheated { cheat, tx, .. } => {
                self.disturbed = true;
                self.cheats.acted(*cheat, *tx, self.view);
            }
            Fact::Scheduled { schedule, .. } => {
                self.disturbed = true;
                self.scheduled[*schedule] += 1;
            }
            Fact::Truth {
                package,
                custodian,
                out_of_range,
            } => {
                if *out_of_range {
                    self.excursions.truth(*package, *custodian, at);
                }
            }
            Fact::Audited { member, findings } => self.cheats.audited(*member, findings),
            Fact::DrainBegan | Fact::Ended { .. } => {}
        }
    }
}
