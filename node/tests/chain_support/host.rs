//! The host of one engine: mempool, judged blocks, the chain.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use consortium_node::{
    block::{Block, Header, Results},
    engine::{BlockFault, Effect, Engine, Input, Outbox, Refusal, Tale, Want},
    transaction::Transaction,
    types::{BlockId, Digest, Height, Mono, NodeId, TxId, Wall},
};

use super::{EPOCH_NS, Event, Net};

/// One node's host, with the engine in it.
pub(crate) struct Host<E: Engine> {
    pub(crate) engine: E,
    pub(crate) mempool: Vec<(Mono, Arc<Transaction>)>,
    /// The chain from genesis to the head or the last final block.
    pub(crate) chain: Vec<Arc<Block>>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) tales: Vec<Tale>,
    /// When each height of the chain was last reached here.
    pub(crate) reached_ns: BTreeMap<u64, u64>,
    /// Most blocks that a change of head took off the chain.
    pub(crate) deepest_reorg: usize,
    pub(crate) finals: usize,
    /// Records that count.
    pub(crate) log: Vec<E::Record>,
    /// How often the engine asked for final blocks.
    pub(crate) behind: usize,
    pub(crate) skew_ns: i64,
    pub(super) stopped: bool,
    pub(super) missed: Vec<Event<E>>,
    pub(super) timers: BTreeMap<E::Timer, u64>,
    pub(super) durable_ns: u64,
    me: NodeId,
    judged: BTreeMap<BlockId, Arc<Block>>,
    want: Option<Want>,
    told: Option<Mono>,
    /// What the engine will be told next.
    pub(super) told_next: VecDeque<Input<'static, E>>,
}

impl<E: Engine> Host<E> {
    pub(crate) fn new(me: NodeId, engine: E, genesis: &Arc<Block>) -> Self {
        Self {
            engine,
            mempool: Vec::new(),
            chain: vec![Arc::clone(genesis)],
            refusals: Vec::new(),
            tales: Vec::new(),
            reached_ns: BTreeMap::new(),
            deepest_reorg: 0,
            finals: 0,
            log: Vec::new(),
            behind: 0,
            skew_ns: 0,
            stopped: false,
            missed: Vec::new(),
            timers: BTreeMap::new(),
            durable_ns: 0,
            me,
            judged: BTreeMap::from([(genesis.id(), Arc::clone(genesis))]),
            want: None,
            told: None,
            told_next: VecDeque::new(),
        }
    }

    pub(crate) fn head(&self) -> &Arc<Block> {
        self.chain.last().expect("genesis")
    }

    pub(crate) fn height(&self) -> u64 {
        self.head().header().height.0
    }

    /// Genesis first.
    fn branch(&self, tip: BlockId) -> Vec<Arc<Block>> {
        let mut branch: Vec<_> = std::iter::successors(self.judged.get(&tip), |block| {
            self.judged.get(&block.header().parent)
        })
        .cloned()
        .collect();
        branch.reverse();
        branch
    }

    fn ordered(&self, tip: BlockId) -> BTreeSet<TxId> {
        let branch = self.branch(tip);
        let blocks = branch.iter().flat_map(|block| block.transactions());
        blocks.map(|transaction| transaction.id()).collect()
    }

    fn judge(&mut self, block: &Arc<Block>) -> Result<(), BlockFault> {
        let header = block.header();
        let parent = self
            .judged
            .get(&header.parent)
            .ok_or(BlockFault::UnknownParent)?;
        if header.height != parent.header().height.next() {
            return Err(BlockFault::WrongHeight);
        }
        if !block.is_whole() {
            return Err(BlockFault::WrongTransactions);
        }
        if header.timestamp <= parent.header().timestamp {
            return Err(BlockFault::Timestamp);
        }
        let past = self.ordered(header.parent);
        if block.transactions().iter().any(|t| past.contains(&t.id())) {
            return Err(BlockFault::Duplicate);
        }
        self.judged.insert(block.id(), Arc::clone(block));
        Ok(())
    }

    fn make(&self, want: &Want, wall: Wall) -> Option<Arc<Block>> {
        let past = self.ordered(want.parent);
        let fresh = self.mempool.iter().map(|(_, transaction)| transaction);
        let fresh: Vec<_> = fresh.filter(|t| !past.contains(&t.id())).cloned().collect();
        if fresh.is_empty() && !want.empty_ok {
            return None;
        }
        let parent = &self.judged[&want.parent];
        let header = Header {
            height: parent.header().height.next(),
            parent: want.parent,
            transactions_root: Digest::ZERO,
            results: Results::default(),
            timestamp: wall.max(want.not_before),
            proposer: self.me,
            extra: want.extra.clone(),
        };
        Some(Block::new(header, fresh))
    }

    /// The chain now ends here. Says how many blocks left it.
    fn adopt(&mut self, tip: BlockId, now_ns: u64) {
        let branch = self.branch(tip);
        assert_eq!(
            branch[0].header().height,
            Height(0),
            "judged down to genesis"
        );
        let kept = branch
            .iter()
            .zip(&self.chain)
            .take_while(|(new, old)| new == old)
            .count();
        self.deepest_reorg = self.deepest_reorg.max(self.chain.len() - kept);
        for block in &branch[kept..] {
            self.reached_ns.insert(block.header().height.0, now_ns);
        }
        self.chain = branch;
    }
}

impl<E: Engine> Net<E> {
    pub(super) fn carry_out(&mut self, node: usize, out: Outbox<E>) {
        self.hosts[node].refusals.extend(out.refusals);
        for effect in out.effects {
            self.effect(node, effect);
        }
    }

    fn effect(&mut self, node: usize, effect: Effect<E>) {
        let host = &mut self.hosts[node];
        match effect {
            Effect::Send { to, message } => self.send(node, to, &message),
            Effect::Broadcast(message) => {
                let others = (0..self.hosts.len()).filter(|to| *to != node);
                others.for_each(|to| self.send(node, NodeId(to as u16), &message));
            }
            Effect::Arm { timer, after } => {
                let due = self.now_ns + after.as_nanos() as u64;
                host.timers.insert(timer, due);
                self.schedule(due, node, Event::Timer { timer, armed: due });
            }
            Effect::Disarm(timer) => {
                host.timers.remove(&timer);
            }
            Effect::Persist(record) => {
                host.log.push(record);
                let begins = host.durable_ns.max(self.now_ns);
                host.durable_ns = begins + self.fsync.as_nanos() as u64;
            }
            Effect::Truncate(records) => host.log = records,
            Effect::Behind => host.behind += 1,
            Effect::Want(want) => {
                host.want = Some(want);
                self.assemble(node);
            }
            Effect::Unwant => host.want = None,
            Effect::Validate(block) => {
                let verdict = host.judge(&block);
                let block = block.id();
                // Before any other input.
                host.told_next
                    .push_front(Input::Validated { block, verdict });
            }
            Effect::Head(tip) => {
                host.adopt(tip, self.now_ns);
                self.tell_pending(node);
            }
            Effect::Final { block, proof } => {
                let committee = super::committee(self.groups.len());
                assert!(
                    host.engine.proves(&committee, &block, &proof),
                    "a proof that holds"
                );
                host.finals += 1;
                let at = host.durable_ns.max(self.now_ns);
                self.schedule(at, node, Event::Apply(block));
            }
            Effect::Tell(tale) => host.tales.push(tale),
        }
    }

    pub(super) fn apply(&mut self, node: usize, block: &Arc<Block>) {
        let host = &mut self.hosts[node];
        assert_eq!(host.head().id(), block.header().parent, "final in order");
        host.adopt(block.id(), self.now_ns);
        host.told_next.push_back(Input::Executed {
            block: block.id(),
            results: Results::default(),
        });
        self.tell_pending(node);
    }

    /// Makes the wanted block if it is due and there is something to put into it.
    pub(super) fn assemble(&mut self, node: usize) {
        let wall = self.local(node).wall;
        let host = &mut self.hosts[node];
        let Some(want) = host.want.clone() else {
            return;
        };
        if want.not_before > wall {
            let due = want.not_before.0.saturating_add_signed(-host.skew_ns) - EPOCH_NS;
            self.schedule(due, node, Event::Assemble);
        } else if let Some(block) = host.make(&want, wall) {
            host.want = None;
            let ticket = want.ticket;
            host.told_next.push_back(Input::Payload { ticket, block });
        }
    }

    /// Tells the engine since when the oldest transaction waits, if that changed.
    pub(super) fn tell_pending(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let past = host.ordered(host.head().id());
        let waiting = host.mempool.iter().filter(|(_, t)| !past.contains(&t.id()));
        let oldest = waiting.map(|(since, _)| *since).min();
        if oldest != host.told {
            host.told = oldest;
            host.told_next.push_back(Input::Pending(oldest));
        }
    }
}
