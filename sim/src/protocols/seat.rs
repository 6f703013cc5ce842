//! What it takes to make one validator, and the two kinds of machines there are.

use std::sync::Arc;

use consortium_node::{
    block::Block,
    contracts::consortium,
    crypto::Keypair,
    engine::{Engine, Relay},
    execute_order_validate::{Channel, Machine, Orderer},
    ledger::{Executor, state::State},
    membership::Committee,
    mempool::BatchLimits,
    mutant::Planted,
    node::Node,
    types::NodeId,
    validator::{Config, Identity, Validator},
};

use crate::{
    cast::Cast,
    scenario::plan::{Plan, RelayPlan},
};

/// A validator's place in a plan.
pub struct Seat<'a> {
    /// What is played.
    pub plan: &'a Plan,
    /// Who plays.
    pub cast: &'a Cast,
    /// Its number.
    pub id: NodeId,
    /// What executes its blocks.
    pub executor: Arc<dyn Executor>,
}

impl Seat<'_> {
    /// Its key.
    pub fn key(&self) -> Arc<Keypair> {
        Arc::clone(&self.cast.node_keys[self.id.index()])
    }

    /// Those who decide in the beginning.
    pub fn committee(&self) -> Arc<Committee> {
        Arc::clone(&self.cast.committee)
    }

    /// The roles, where they are divided.
    pub(super) fn channel(&self) -> &Arc<Channel> {
        let channel = self.cast.channel.as_ref();
        channel.expect("a protocol with roles has a channel")
    }

    /// The state that everyone starts with. Where the plan changes the committee it holds the founders.
    fn founding(&self) -> State {
        let mut state = State::new();
        if !self.plan.changes.is_empty() {
            let founders: Vec<_> = self.cast.committee.nodes().collect();
            let lag = self.plan.consensus.protocol.results_lag();
            consortium::found(&mut state, &self.cast.registry, &founders, lag);
        }
        state
    }

    /// The block that every chain starts with.
    pub fn genesis(&self) -> Arc<Block> {
        Block::genesis(self.founding().root())
    }

    /// A machine on which this engine orders and executes.
    pub(super) fn host<E: Engine + 'static>(self, engine: E) -> Box<dyn Node> {
        let me = Identity {
            id: self.id,
            key: self.key(),
            registry: Arc::clone(&self.cast.registry),
            committee: self.committee(),
        };
        let config = self.config(self.plan.consensus.protocol.results_lag());
        let validator = Validator::new(me, config, engine, self.founding(), self.executor.clone());
        Box::new(validator.planting(self.planted()))
    }

    /// A peer's machine, with an orderer on it if it is one of them.
    pub(super) fn machine<E: Engine + 'static>(self, engine: impl FnOnce() -> E) -> Box<dyn Node> {
        let channel = self.channel();
        let orderer = channel.orderers.contains(self.id).then(|| {
            let config = self.config(u64::MAX);
            let channel = Arc::clone(channel);
            Orderer::new(self.id, self.key(), channel, config, engine(), State::new())
        });
        let channel = Arc::clone(channel);
        let (key, state) = (self.key(), State::new());
        let machine = Machine::<E>::new(self.id, key, channel, state, self.executor, orderer);
        Box::new(machine)
    }

    fn config(&self, results_lag: u64) -> Config {
        let plan = self.plan;
        Config {
            batch: BatchLimits {
                count: plan.consensus.batch_transactions,
                bytes: plan.consensus.batch_bytes,
            },
            batch_age: plan.consensus.batch_age,
            clock_tolerance: plan.consensus.clock_tolerance,
            results_lag,
            mempool: plan.mempool.capacity,
            relay: match plan.mempool.relay {
                RelayPlan::Protocol => None,
                RelayPlan::Leader => Some(Relay::Leader),
                RelayPlan::Everyone => Some(Relay::Everyone),
            },
            relay_timeout: plan.mempool.relay_timeout,
            snapshot_above: plan.sync.snapshot_above.unwrap_or(u64::MAX),
        }
    }

    /// The bug that the plan plants in its validators.
    #[cfg(feature = "mutants")]
    pub fn planted(&self) -> Planted {
        let mutant = self.plan.consensus.mutant;
        mutant.map_or(Planted::NOTHING, Planted::one)
    }

    /// No bug: this build cannot plant any.
    #[cfg(not(feature = "mutants"))]
    pub fn planted(&self) -> Planted {
        Planted::NOTHING
    }
}
