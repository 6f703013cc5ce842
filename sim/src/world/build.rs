//! From a plan to validators: the one place that knows which protocols there are.

use std::{
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, Mutex},
};

use consortium_node::{
    block::Block,
    central::Central,
    clique::{Clique, CliqueConfig, TieBreak},
    contracts::{ContractExecutor, consortium},
    engine::{Engine, Relay},
    execute_order_validate::{Channel, Machine, Orderer, Validation},
    ledger::{Executor, state::State},
    mempool::BatchLimits,
    mutant::Planted,
    node::Node,
    pbft::{self, Pbft},
    types::NodeId,
    validator::{Config, Identity, Validator},
};

use super::execution::{Memory, SharedExecutor};
use crate::{
    adversary::{Equivocator, Liar, Script, Silent},
    cast::Cast,
    rng::Seed,
    scenario::plan::{CheatKind, Ordering, PbftPlan, Plan, Protocol, RelayPlan},
};

/// What it takes to make the validators of a plan, the first time and whenever one starts again.
pub(super) struct Workshop {
    plan: Arc<Plan>,
    cast: Arc<Cast>,
    /// Of the cheats, by their number in the plan.
    scripts: Vec<Rc<Script>>,
    executor: Arc<dyn Executor>,
    memory: Arc<Mutex<Memory>>,
}

impl Workshop {
    pub(super) fn new(plan: &Arc<Plan>, cast: &Arc<Cast>) -> Self {
        let registry = Arc::clone(&cast.registry);
        let executor: Arc<dyn Executor> = match &cast.channel {
            None => Arc::new(ContractExecutor { registry }),
            Some(channel) => Arc::new(Validation {
                registry,
                policy: channel.policy.clone(),
            }),
        };
        Self {
            plan: Arc::clone(plan),
            cast: Arc::clone(cast),
            scripts: plan.cheats.iter().map(|_| Script::new()).collect(),
            executor,
            memory: Arc::new(Mutex::new(Memory::default())),
        }
    }

    pub(super) fn scripts(&self) -> &[Rc<Script>] {
        &self.scripts
    }

    /// A validator with an empty ledger, wrapped in the cheats of its member.
    pub(super) fn validator(&self, id: NodeId) -> Liar {
        let node = honest(&self.plan, &self.cast, id, self.executor(id));
        wrap(node, &self.plan, &self.cast, &self.scripts)
    }

    fn executor(&self, id: NodeId) -> Arc<dyn Executor> {
        let is_mutant = self.plan.consensus.mutant.is_some();
        if self.plan.host.shared_execution && self.cast.is_honest(id) && !is_mutant {
            Arc::new(SharedExecutor {
                inner: Arc::clone(&self.executor),
                memory: Arc::clone(&self.memory),
                node: u64::from(id.0),
                nodes: self.plan.validators() as u64,
            })
        } else {
            Arc::clone(&self.executor)
        }
    }
}

/// Heights by which a block may run ahead of what its proposer has executed: a primary keeps no more
/// slots than its pipeline ahead of what it has executed.
pub(super) fn results_lag(plan: &PbftPlan) -> u64 {
    plan.pipeline
}

/// The state that everyone starts with. Where the plan changes the committee it holds the founders.
fn founding(plan: &Plan, cast: &Cast) -> State {
    let mut state = State::new();
    if let (Protocol::Pbft(p), false) = (&plan.consensus.protocol, plan.changes.is_empty()) {
        let founders: Vec<_> = cast.committee.nodes().collect();
        consortium::found(&mut state, &cast.registry, &founders, results_lag(p));
    }
    state
}

/// A validator of the plan's protocol.
fn honest(plan: &Plan, cast: &Cast, id: NodeId, executor: Arc<dyn Executor>) -> Box<dyn Node> {
    let me = Identity {
        id,
        key: Arc::clone(&cast.node_keys[id.index()]),
        registry: Arc::clone(&cast.registry),
        committee: Arc::clone(&cast.committee),
    };
    let state = founding(plan, cast);
    let genesis = Block::genesis(state.root());
    let (key, committee) = (Arc::clone(&me.key), Arc::clone(&me.committee));
    match &plan.consensus.protocol {
        Protocol::Pbft(p) => {
            let engine = Pbft::new(pbft_config(p), id, key, committee, genesis.id());
            let engine = engine.planting(planted(plan));
            host(me, plan, results_lag(p), engine, state, executor)
        }
        Protocol::Clique(p) => {
            let config = CliqueConfig {
                period: p.period,
                tie_break: TieBreak::FirstSeen,
                confirmations: Some(p.confirmations),
                gossip: false,
                seed: Seed(plan.seed).number("clique wiggle", 0),
            };
            let engine = Clique::new(&config, &committee, id, key, &genesis);
            host(me, plan, 1, engine, state, executor)
        }
        Protocol::Central => {
            let engine = Central::new(committee, id, key, &genesis);
            host(me, plan, 1, engine, state, executor)
        }
        Protocol::ExecuteOrderValidate(p) => {
            let channel = cast.channel.as_ref().expect("the protocol has one");
            let orderers = Arc::clone(&channel.orderers);
            match &p.ordering {
                Ordering::Single(_) => machine(me, plan, channel, executor, || {
                    Central::new(orderers, id, key, &genesis)
                }),
                Ordering::Pbft(p) => machine(me, plan, channel, executor, || {
                    Pbft::new(pbft_config(p), id, key, orderers, genesis.id())
                }),
            }
        }
    }
}

fn pbft_config(p: &PbftPlan) -> pbft::Config {
    pbft::Config {
        checkpoint_interval: p.checkpoint_interval,
        window: p.window,
        pipeline: p.pipeline,
        request_timeout: p.request_timeout,
        request_deadline: p.request_deadline,
        view_change_timeout: p.view_change_timeout,
        status_interval: p.status_interval,
    }
}

/// A peer's machine, with an orderer on it if it is one of them.
fn machine<E: Engine + 'static>(
    me: Identity,
    plan: &Plan,
    channel: &Arc<Channel>,
    executor: Arc<dyn Executor>,
    engine: impl FnOnce() -> E,
) -> Box<dyn Node> {
    let orderer = channel.orderers.contains(me.id).then(|| {
        let (key, channel) = (Arc::clone(&me.key), Arc::clone(channel));
        let config = config(plan, u64::MAX);
        Orderer::new(me.id, key, channel, config, engine(), State::new())
    });
    let channel = Arc::clone(channel);
    let machine = Machine::<E>::new(me.id, me.key, channel, State::new(), executor, orderer);
    Box::new(machine)
}

fn host<E: Engine + 'static>(
    me: Identity,
    plan: &Plan,
    results_lag: u64,
    engine: E,
    state: State,
    executor: Arc<dyn Executor>,
) -> Box<dyn Node> {
    let config = config(plan, results_lag);
    let validator = Validator::new(me, config, engine, state, executor);
    Box::new(validator.planting(planted(plan)))
}

fn config(plan: &Plan, results_lag: u64) -> Config {
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
fn planted(plan: &Plan) -> Planted {
    plan.consensus.mutant.map_or(Planted::NOTHING, Planted::one)
}

/// No bug: this build cannot plant any.
#[cfg(not(feature = "mutants"))]
fn planted(_: &Plan) -> Planted {
    Planted::NOTHING
}

/// Wraps a validator in what its member is up to.
fn wrap(mut node: Box<dyn Node>, plan: &Plan, cast: &Cast, scripts: &[Rc<Script>]) -> Liar {
    let id = node.id();
    let member = cast.member_of(id);
    let mut followed = Script::new();
    for (cheat, script) in plan.cheats.iter().zip(scripts) {
        let coalition = match &cheat.kind {
            CheatKind::SilentPrimary(m) if *m == member => {
                followed = Rc::clone(script);
                node = Box::new(Silent {
                    inner: node,
                    script: Rc::clone(script),
                });
                continue;
            }
            CheatKind::EquivocatingPrimary(m) if *m == member => vec![*m],
            CheatKind::Colluders(members) if members.contains(&member) => members.clone(),
            _ => continue,
        };
        followed = Rc::clone(script);
        node = Box::new(Equivocator {
            inner: node,
            key: Arc::clone(&cast.node_keys[id.index()]),
            victims: victims(cast, &coalition),
            script: Rc::clone(script),
        });
    }
    Liar {
        node,
        script: followed,
    }
}

/// The second half of those outside the coalition.
fn victims(cast: &Cast, coalition: &[usize]) -> BTreeSet<NodeId> {
    let outside: Vec<_> = cast
        .validators()
        .filter(|node| !coalition.contains(&cast.member_of(*node)))
        .collect();
    outside[outside.len() / 2..].iter().copied().collect()
}
