//! Plays a plan with a stopwatch in hand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    engine::Tale,
    node::Note,
    types::{BlockId, NodeId, TxId},
};
use consortium_sim::{
    cast::Cast,
    ending::Ending,
    fact::{Fact, Reader},
    scenario::plan::Plan,
    time::Time,
    world::pump,
};

/// When what happened that latencies are made of.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    /// When each transaction came into being.
    pub(crate) submitted: BTreeMap<TxId, Time>,
    /// When its gateway had enough equal receipts.
    pub(crate) answered: BTreeMap<TxId, Time>,
    /// By whom and when each block was proposed.
    pub(crate) proposed: BTreeMap<BlockId, (NodeId, Time)>,
    /// When each block joined whose chain.
    pub(crate) appended: BTreeMap<BlockId, BTreeMap<NodeId, Time>>,
}

impl Reader for Stopwatch {
    fn read(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Submitted(submission) => {
                self.submitted.insert(submission.tx, at);
            }
            Fact::Final { tx, .. } => {
                self.answered.insert(*tx, at);
            }
            Fact::Node { node, note } => match note {
                Note::Engine(Tale::Proposed { block, .. }) => {
                    self.proposed.insert(*block, (*node, at));
                }
                Note::Appended(entry) => {
                    let block = self.appended.entry(entry.block.id()).or_default();
                    block.insert(*node, at);
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl Stopwatch {
    /// Time from submission to answer, of each transaction that has one.
    pub(crate) fn answer_times(&self) -> Vec<Duration> {
        let times = self.answered.iter();
        times.map(|(tx, at)| at.since(self.submitted[tx])).collect()
    }
}

/// Plays a plan in the whole world, without invariants and metrics.
pub(crate) fn time(plan: &Arc<Plan>) -> (Ending, Stopwatch) {
    let cast = Arc::new(Cast::new(plan));
    pump::run(plan, &cast, Stopwatch::default(), Arc::default())
        .unwrap_or_else(|breakdown| panic!("{breakdown}"))
}
