//! From a plan to validators, honest or not.

use std::{
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, Mutex},
};

use consortium_node::{
    contracts::ContractExecutor, execute_order_validate::Validation, ledger::Executor, node::Node,
    types::NodeId,
};

use super::execution::{Memory, SharedExecutor};
use crate::{
    adversary::{Equivocator, Liar, Script, Silent, Twins},
    cast::Cast,
    protocols::Seat,
    scenario::plan::{CheatKind, MemberIndex, Plan},
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
        self.wrap(self.node(id))
    }

    fn node(&self, id: NodeId) -> Box<dyn Node> {
        let seat = Seat {
            plan: &self.plan,
            cast: &self.cast,
            id,
            executor: self.executor(id),
        };
        self.plan.consensus.protocol.validator(seat)
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

    /// Wraps a validator in what its member is up to.
    fn wrap(&self, mut node: Box<dyn Node>) -> Liar {
        let id = node.id();
        let member = self.cast.member_of(id);
        let mut followed = Script::new();
        for (cheat, script) in self.plan.cheats.iter().zip(&self.scripts) {
            let script = Rc::clone(script);
            let kept = Rc::clone(&script);
            node = match &cheat.kind {
                CheatKind::SilentPrimary(m) if *m == member => Box::new(Silent {
                    inner: node,
                    script,
                }),
                CheatKind::EquivocatingPrimary(m) if *m == member => {
                    self.equivocator(node, &[*m], script)
                }
                CheatKind::Colluders(members) if members.contains(&member) => {
                    self.equivocator(node, members, script)
                }
                CheatKind::Twins(m) if *m == member => Box::new(Twins {
                    first: node,
                    second: self.node(id),
                    victims: victims(&self.cast, &[*m]),
                    validators: self.cast.validators().collect(),
                    script,
                }),
                _ => continue,
            };
            followed = kept;
        }
        Liar {
            node,
            script: followed,
        }
    }

    fn equivocator(
        &self,
        inner: Box<dyn Node>,
        coalition: &[MemberIndex],
        script: Rc<Script>,
    ) -> Box<dyn Node> {
        Box::new(Equivocator {
            key: Arc::clone(&self.cast.node_keys[inner.id().index()]),
            victims: victims(&self.cast, coalition),
            inner,
            script,
        })
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
