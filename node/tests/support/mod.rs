//! A network of engines in one struct: virtual clock, uniform delay, loss, cuts, crashes, and a small
//! host for each engine that builds, judges and "executes" blocks. Pure and seeded: a run is a
//! function of what the test does.

pub(crate) mod host;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    block::{Block, Finality},
    crypto::{Keypair, SignatureMode},
    engine::{Effect, Engine, Input, Message, Outbox, Recovery, Refusal, Tale, Tip},
    membership::{Committee, Committees},
    storage::Stored,
    transaction::{Call, Transaction},
    types::{BlockId, ChainId, Digest, Height, LocalTime, Mono, NodeId, PartyId, Wall},
};

use host::Host;

/// One way, every link, unless the test says otherwise: δ.
pub(crate) const DELTA: Duration = Duration::from_millis(10);
pub(crate) const CHAIN: ChainId = ChainId(77);
/// When the virtual clocks were started.
pub(crate) const EPOCH: u64 = 1_700_000_000_000_000_000;

/// A message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent<M> {
    pub(crate) at: Mono,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Arc<M>,
    /// How many records its sender had made durable before.
    pub(crate) records: usize,
}

/// A replica with its host.
pub(crate) struct Replica<E: Engine> {
    pub(crate) engine: E,
    pub(crate) host: Host,
    pub(crate) crashed: bool,
    /// What it told, and when.
    pub(crate) tales: Vec<(Mono, Tale)>,
    pub(crate) refusals: Vec<Refusal>,
    /// All that it ever persisted.
    pub(crate) records: Vec<E::Record>,
    /// What its disk holds of that: its log, and the proofs of its chain.
    pub(crate) log: Vec<E::Record>,
    pub(crate) proofs: Vec<Arc<Finality>>,
    /// How often it asked for final blocks.
    pub(crate) behind: usize,
    /// When each block of its chain became final.
    pub(crate) finals: Vec<(Mono, BlockId)>,
    /// Armed timers with the number that makes older ones stale.
    timers: BTreeMap<E::Timer, u64>,
}

enum Event<E: Engine> {
    Deliver(Sent<E::Message>),
    Timer(NodeId, E::Timer, u64),
    /// A block that was wanted may be due.
    Due(NodeId),
}

/// Rewrites what travels: the message to deliver, or `None` to lose it.
pub(crate) type Tamper<M> = Box<dyn FnMut(&Sent<M>) -> Option<Arc<M>>>;

/// Sees each effect before it is carried out; `true`: its replica stops just before.
pub(crate) type Watch<E> = Box<dyn FnMut(NodeId, &Effect<E>) -> bool>;

/// The network.
pub(crate) struct Net<E: Engine> {
    pub(crate) now: u64,
    pub(crate) replicas: Vec<Replica<E>>,
    /// The founders.
    pub(crate) committee: Arc<Committee>,
    /// Changes of the committee, in their order.
    pub(crate) changes: Vec<Change>,
    pub(crate) keys: Vec<Arc<Keypair>>,
    pub(crate) genesis: Arc<Block>,
    pub(crate) delay: Duration,
    /// Up to so much is added to each delivery.
    pub(crate) jitter: Duration,
    /// Of a thousand messages, so many are lost.
    pub(crate) loss_permille: u64,
    /// Messages between nodes of different groups are lost.
    pub(crate) groups: Vec<u8>,
    pub(crate) tamper: Option<Tamper<E::Message>>,
    /// This replica stops after sending so many more messages.
    pub(crate) crash_after: Option<(NodeId, usize)>,
    pub(crate) trace: Vec<Sent<E::Message>>,
    pub(crate) tracing: bool,
    /// Nodes that may lie; their chains are not compared.
    pub(crate) liars: Vec<NodeId>,
    queue: BTreeMap<(u64, u64), Event<E>>,
    counter: u64,
    entropy: u64,
    party: Arc<Keypair>,
    nonces: u64,
    build: Box<Build<E>>,
    /// This replica stops before it carries out so many more effects.
    pub(crate) crash_before_effect: Option<(NodeId, usize)>,
    pub(crate) watch: Option<Watch<E>>,
    /// Whether a replica that is behind gets what the longest honest chain within its reach has.
    pub(crate) hosts_sync: bool,
    /// Whether hosts look at the proofs of their own engines.
    pub(crate) checks_proofs: bool,
}

/// A change of the committee: whoever executes the block at `at` knows that `committee` decides from
/// `from` on.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) at: Height,
    pub(crate) from: Height,
    pub(crate) committee: Arc<Committee>,
}

impl Change {
    fn input<E: Engine>(&self) -> Input<'static, E> {
        Input::Committee {
            from: self.from,
            committee: Arc::clone(&self.committee),
        }
    }
}

type Build<E> = dyn Fn(NodeId, Arc<Keypair>, Arc<Committee>, BlockId) -> E;

impl<E: Engine> Net<E> {
    /// n replicas, made by `build(me, key, committee, genesis)`, started at time zero.
    pub(crate) fn new(
        n: usize,
        build: impl Fn(NodeId, Arc<Keypair>, Arc<Committee>, BlockId) -> E + 'static,
    ) -> Self {
        Self::founded_by(n, n, build)
    }

    /// The same, of which the first few decide in the beginning.
    pub(crate) fn founded_by(
        founders: usize,
        n: usize,
        build: impl Fn(NodeId, Arc<Keypair>, Arc<Committee>, BlockId) -> E + 'static,
    ) -> Self {
        let key = |seed: u8| Keypair::from_seed([seed; 32], CHAIN, SignatureMode::Lazy);
        let keys: Vec<_> = (0..n).map(|i| key(i as u8 + 1)).collect();
        let members = keys.iter().enumerate();
        let members = members.map(|(i, key)| (NodeId(i as u16), key.public()));
        let members = members.take(founders);
        let committee = Committee::new(CHAIN, members.collect());
        let genesis = Block::genesis(Digest::ZERO);
        let party = key(200);
        let replica = |(i, key): (usize, &Arc<Keypair>)| {
            let me = NodeId(i as u16);
            let engine = build(me, Arc::clone(key), Arc::clone(&committee), genesis.id());
            Replica {
                engine,
                host: Host::new(me, &genesis, party.public()),
                crashed: false,
                tales: Vec::new(),
                refusals: Vec::new(),
                records: Vec::new(),
                log: Vec::new(),
                proofs: Vec::new(),
                behind: 0,
                finals: Vec::new(),
                timers: BTreeMap::new(),
            }
        };
        let mut net = Self {
            now: 0,
            replicas: keys.iter().enumerate().map(replica).collect(),
            committee: Arc::clone(&committee),
            changes: Vec::new(),
            keys,
            genesis: Arc::clone(&genesis),
            delay: DELTA,
            jitter: Duration::ZERO,
            loss_permille: 0,
            groups: vec![0; n],
            tamper: None,
            crash_after: None,
            trace: Vec::new(),
            tracing: true,
            liars: Vec::new(),
            queue: BTreeMap::new(),
            counter: 0,
            entropy: 1,
            party: Arc::clone(&party),
            nonces: 0,
            build: Box::new(build),
            crash_before_effect: None,
            watch: None,
            hosts_sync: false,
            checks_proofs: true,
        };
        for node in net.nodes() {
            net.input(node, Input::Start);
        }
        net
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        (0..self.replicas.len()).map(|i| NodeId(i as u16)).collect()
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.entropy = seed;
    }

    /// A number below `bound` (splitmix64).
    pub(crate) fn random(&mut self, bound: u64) -> u64 {
        self.entropy = self.entropy.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.entropy;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    pub(crate) fn replica(&self, node: u16) -> &Replica<E> {
        &self.replicas[node as usize]
    }

    pub(crate) fn crash(&mut self, node: u16) {
        self.replicas[node as usize].crashed = true;
    }

    /// Starts a stopped replica again, with what its disk holds.
    pub(crate) fn restart(&mut self, node: u16, disk: Recovery) {
        let me = NodeId(node);
        let (key, genesis) = (Arc::clone(&self.keys[me.index()]), self.genesis.id());
        let engine = (self.build)(me, key, Arc::clone(&self.committee), genesis);
        let replica = &mut self.replicas[me.index()];
        assert!(replica.crashed, "only what stopped starts again");
        replica.crashed = false;
        replica.engine = engine;
        replica.timers.clear();
        if disk == Recovery::Lost {
            replica.log.clear();
            replica.proofs.clear();
            replica.finals.clear();
            replica.host.reset(&self.genesis);
        }
        replica.host.forget_waiting();
        let log = replica.log.clone();
        let (block, results) = (replica.host.head().clone(), replica.host.results);
        let proof = replica.proofs.last().cloned();
        let recent = replica.host.chain[1..].iter().zip(&replica.proofs);
        let recent = recent.map(|(block, proof)| Stored {
            block: Arc::clone(block),
            proof: Arc::clone(proof),
        });
        let recent: Vec<_> = recent.collect();
        let proofs = replica.proofs.clone();
        let height = block.header().height;
        let from = self.committees_at(height).at(height.next()).from;
        let handed_over = (from.0 > 1).then(|| proofs[from.0 as usize - 2].clone());
        let tip = Tip {
            block: &block,
            proof: proof.as_ref(),
            results,
            recent: &recent,
            handed_over: handed_over.as_ref(),
        };
        let known = self.changes.iter().filter(|change| change.at <= height);
        for change in known.cloned().collect::<Vec<_>>() {
            self.input(me, change.input());
        }
        self.input(
            me,
            Input::Recovered {
                disk,
                records: &log,
                tip,
            },
        );
    }

    /// From `from` on these decide, which the block at `at` says.
    pub(crate) fn change(&mut self, at: u64, from: u64, nodes: &[u16]) -> Arc<Committee> {
        let key = |id: &u16| (NodeId(*id), self.keys[usize::from(*id)].public());
        let committee = Committee::new(CHAIN, nodes.iter().map(key).collect());
        self.changes.push(Change {
            at: Height(at),
            from: Height(from),
            committee: Arc::clone(&committee),
        });
        committee
    }

    fn scheduled_by(&self, at: Height) -> Vec<Change> {
        let changes = self.changes.iter().filter(|change| change.at == at);
        changes.cloned().collect()
    }

    /// Who decides from which height on, as far as the chain up to `height` says.
    pub(crate) fn committees_at(&self, height: Height) -> Committees {
        let mut committees = Committees::new(Arc::clone(&self.committee));
        for change in self.changes.iter().filter(|change| change.at <= height) {
            committees.schedule(change.from, Arc::clone(&change.committee));
        }
        committees
    }

    /// The committee that a replica's engine is at work for.
    fn committee_of(&self, node: NodeId) -> Arc<Committee> {
        let epoch = self.replicas[node.index()].engine.status().view.epoch();
        let committees = self.committees_at(Height(u64::MAX));
        let term = committees.term(epoch).expect("an epoch of the test");
        Arc::clone(&term.committee)
    }

    /// Gives a replica the final blocks that `from` has and it lacks, as the host's sync would.
    pub(crate) fn sync(&mut self, node: u16, from: u16) {
        let have = self.replica(node).host.chain.len();
        let theirs = self.replica(from);
        let blocks = theirs.host.chain[have..].iter().cloned();
        let missing: Vec<_> = blocks.zip(theirs.proofs[have - 1..].to_vec()).collect();
        let committees = self.committees_at(Height(u64::MAX));
        for (block, proof) in missing {
            let replica = &mut self.replicas[usize::from(node)];
            if replica.host.chain.len() as u64 != block.header().height.0 {
                continue;
            }
            Host::check_proof(&block, &proof, committees.at(block.header().height));
            let results = replica.host.execute(&block);
            replica.proofs.push(Arc::clone(&proof));
            let me = NodeId(node);
            for change in self.scheduled_by(block.header().height) {
                self.input(me, change.input());
            }
            self.input(
                me,
                Input::Synced {
                    block,
                    proof,
                    results,
                },
            );
        }
    }

    /// A new transaction.
    pub(crate) fn transaction(&mut self) -> Arc<Transaction> {
        self.nonces += 1;
        let call = Call::Create {
            template: "T".into(),
            arguments: Vec::new(),
        };
        Transaction::sign(&self.party, PartyId(0), self.nonces, call)
    }

    /// Gives a new transaction to every replica.
    pub(crate) fn submit(&mut self) -> Arc<Transaction> {
        let transaction = self.transaction();
        for node in self.nodes() {
            self.submit_to(node, &transaction);
        }
        transaction
    }

    pub(crate) fn submit_to(&mut self, node: NodeId, transaction: &Arc<Transaction>) {
        let now = Mono(self.now);
        let replica = &mut self.replicas[node.index()];
        if !replica.crashed {
            replica.host.submit(Arc::clone(transaction), now);
            self.settle(node);
        }
    }

    /// What waits anywhere is given to every replica (R3: clients ask again, and ask everyone).
    pub(crate) fn ask_again(&mut self) {
        let waiting = self
            .replicas
            .iter()
            .flat_map(|replica| replica.host.waiting());
        let waiting: Vec<_> = waiting.collect();
        for transaction in waiting {
            for node in self.nodes() {
                self.submit_to(node, &transaction);
            }
        }
    }

    /// Runs for so long.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time.as_nanos() as u64;
        self.run_to(end);
    }

    pub(crate) fn run_to(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            let (at, _) = *entry.key();
            if at > end {
                break;
            }
            let event = entry.remove();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    /// Runs until nothing is under way any more; panics if that takes longer than `at_most`.
    pub(crate) fn run_until_quiet(&mut self, at_most: Duration) {
        let end = self.now + at_most.as_nanos() as u64;
        while let Some(entry) = self.queue.first_entry() {
            let (at, _) = *entry.key();
            if let Event::Timer(node, timer, number) = entry.get()
                && self.replicas[node.index()].timers.get(timer) != Some(number)
            {
                entry.remove();
                continue;
            }
            assert!(
                at <= end,
                "still busy after {at_most:?}:{}",
                self.standing()
            );
            let event = entry.remove();
            self.now = at;
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event<E>) {
        self.take_up(event);
        if self.hosts_sync {
            for node in self.nodes() {
                if std::mem::take(&mut self.replicas[node.index()].behind) > 0 {
                    self.sync_from_longest(node);
                }
            }
        }
    }

    fn sync_from_longest(&mut self, node: NodeId) {
        let near = |other: &NodeId| self.groups[other.index()] == self.groups[node.index()];
        let lives = |other: &NodeId| !self.replicas[other.index()].crashed;
        let honest = |other: &NodeId| !self.liars.contains(other);
        let reached = self.nodes().into_iter().filter(near);
        let length = |other: &NodeId| self.replicas[other.index()].host.chain.len();
        let longest = reached.filter(lives).filter(honest).max_by_key(length);
        if let Some(from) = longest.filter(|from| lives(&node) && length(from) > length(&node)) {
            self.sync(node.0, from.0);
        }
    }

    fn take_up(&mut self, event: Event<E>) {
        match event {
            Event::Due(node) => self.settle(node),
            Event::Deliver(sent) => {
                if self.groups[sent.from.index()] == self.groups[sent.to.index()] {
                    self.inject(sent.from, sent.to, &sent.message);
                }
            }
            Event::Timer(node, timer, number) => {
                let timers = &mut self.replicas[node.index()].timers;
                if timers.get(&timer) == Some(&number) {
                    timers.remove(&timer);
                    self.input(node, Input::Timer(timer));
                }
            }
        }
    }

    /// Delivers a message now.
    pub(crate) fn inject(&mut self, from: NodeId, to: NodeId, message: &E::Message) {
        self.input(to, Input::Message { from, message });
    }

    /// Fires a timer now, whether or not it is armed.
    pub(crate) fn fire(&mut self, node: u16, timer: E::Timer) {
        self.input(NodeId(node), Input::Timer(timer));
    }

    fn input(&mut self, node: NodeId, input: Input<'_, E>) {
        if self.replicas[node.index()].crashed {
            return;
        }
        self.step(node, input);
        self.settle(node);
    }

    /// One step and its effects; then the answers that the engine waits for.
    fn step(&mut self, node: NodeId, input: Input<'_, E>) {
        let mut answers = std::collections::VecDeque::new();
        let mut next = Some(input);
        while let Some(input) = next {
            let mut out = Outbox::default();
            let now = LocalTime {
                mono: Mono(self.now),
                wall: Wall(EPOCH + self.now),
            };
            let replica = &mut self.replicas[node.index()];
            replica.engine.step(now, input, &mut out);
            replica.refusals.append(&mut out.refusals);
            for effect in out.effects {
                if let Some((_, left)) = self.crash_before_effect.as_mut().filter(|c| c.0 == node) {
                    if *left == 0 {
                        self.replicas[node.index()].crashed = true;
                        self.crash_before_effect = None;
                        return;
                    }
                    *left -= 1;
                }
                if self
                    .watch
                    .as_mut()
                    .is_some_and(|watch| watch(node, &effect))
                {
                    self.replicas[node.index()].crashed = true;
                    return;
                }
                answers.extend(self.carry_out(node, effect));
            }
            next = answers.pop_front();
        }
    }

    fn carry_out(&mut self, node: NodeId, effect: Effect<E>) -> Vec<Input<'static, E>> {
        let (now, replica) = (Mono(self.now), &mut self.replicas[node.index()]);
        match effect {
            Effect::Send { to, message } => self.send(node, to, &message),
            Effect::Broadcast(message) => {
                let committee = self.committee_of(node);
                for to in committee.others(node) {
                    self.send(node, to, &message);
                }
            }
            Effect::Arm { timer, after } => {
                self.counter += 1;
                replica.timers.insert(timer, self.counter);
                let at = self.now + after.as_nanos() as u64;
                let event = Event::Timer(node, timer, self.counter);
                self.queue.insert((at, self.counter), event);
            }
            Effect::Disarm(timer) => {
                replica.timers.remove(&timer);
            }
            Effect::Persist(record) => {
                replica.log.push(record.clone());
                replica.records.push(record);
            }
            Effect::Truncate(keep) => replica.log = keep,
            Effect::Behind => replica.behind += 1,
            Effect::Want(want) => {
                let due = want.not_before.0.saturating_sub(EPOCH);
                replica.host.want = Some(want);
                if due > self.now {
                    self.counter += 1;
                    self.queue.insert((due, self.counter), Event::Due(node));
                }
            }
            Effect::Unwant => replica.host.want = None,
            Effect::Validate(block) => {
                let verdict = replica.host.judge(&block, Wall(EPOCH + self.now));
                let block = block.id();
                return vec![Input::Validated { block, verdict }];
            }
            Effect::Head(_) => {}
            Effect::Final { block, proof } => return self.finalise(node, &block, proof),
            Effect::Tell(tale) => replica.tales.push((now, tale)),
        }
        Vec::new()
    }

    fn finalise(
        &mut self,
        node: NodeId,
        block: &Arc<Block>,
        proof: Arc<Finality>,
    ) -> Vec<Input<'static, E>> {
        let height = block.header().height;
        let committees = self.committees_at(height);
        if self.checks_proofs {
            Host::check_proof(block, &proof, committees.at(height));
        }
        let replica = &mut self.replicas[node.index()];
        let results = replica.host.execute(block);
        replica.proofs.push(proof);
        replica.finals.push((Mono(self.now), block.id()));
        let block = block.id();
        let changes = self.scheduled_by(height).into_iter();
        let told = changes.map(|change| change.input());
        told.chain([Input::Executed { block, results }]).collect()
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: &Arc<E::Message>) {
        if let Some((node, left)) = &mut self.crash_after
            && *node == from
        {
            if *left == 0 {
                self.replicas[from.index()].crashed = true;
            } else {
                *left -= 1;
            }
        }
        if self.replicas[from.index()].crashed {
            return;
        }
        let mut sent = Sent {
            at: Mono(self.now),
            from,
            to,
            message: Arc::clone(message),
            records: self.replicas[from.index()].records.len(),
        };
        if self.tracing {
            self.trace.push(sent.clone());
        }
        if let Some(tamper) = &mut self.tamper {
            let Some(message) = tamper(&sent) else {
                return;
            };
            sent.message = message;
        }
        let cut = self.groups[from.index()] != self.groups[to.index()];
        if cut || (self.loss_permille > 0 && self.random(1000) < self.loss_permille) {
            return;
        }
        let jitter = self.jitter.as_nanos() as u64;
        let extra = if jitter == 0 { 0 } else { self.random(jitter) };
        self.counter += 1;
        let at = self.now + self.delay.as_nanos() as u64 + extra;
        self.queue.insert((at, self.counter), Event::Deliver(sent));
    }

    /// The host's own inputs: what waits, and the block that was wanted.
    fn settle(&mut self, node: NodeId) {
        loop {
            let wall = Wall(EPOCH + self.now);
            let replica = &mut self.replicas[node.index()];
            if replica.crashed {
                return;
            }
            let (changed, oldest) = replica.host.news();
            let input = if changed {
                Input::Pending(oldest)
            } else if let Some((ticket, block)) = replica.host.payload(wall) {
                Input::Payload { ticket, block }
            } else {
                return;
            };
            self.step(node, input);
        }
    }

    /// How many messages of each kind were sent since the trace was cleared.
    pub(crate) fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for sent in &self.trace {
            *kinds.entry(sent.message.kind().name).or_default() += 1;
        }
        kinds
    }

    pub(crate) fn honest(&self) -> impl Iterator<Item = &Replica<E>> {
        let honest = |r: &&Replica<E>| !self.liars.contains(&r.host.me);
        self.replicas.iter().filter(honest)
    }

    /// Safety: honest chains are prefixes of one chain, and no transaction is in it twice.
    pub(crate) fn check_agreement(&self) {
        let longest = self.honest().max_by_key(|r| r.host.chain.len());
        let longest = longest.expect("an honest replica");
        for replica in self.honest() {
            let (short, long) = (&replica.host.chain, &longest.host.chain);
            assert_eq!(
                short[..],
                long[..short.len()],
                "chains of {} differ",
                replica.host.me
            );
        }
        longest.host.check_once_each();
    }

    /// Liveness: nothing waits at any of these, and their chains are equal.
    pub(crate) fn check_done(&self, nodes: &[u16]) {
        self.check_agreement();
        let chain = &self.replica(nodes[0]).host.chain;
        for node in nodes {
            let host = &self.replica(*node).host;
            let all = self.standing();
            assert_eq!(
                host.oldest(),
                None,
                "n{node} has something left to do:{all}"
            );
            assert_eq!(host.chain.len(), chain.len(), "n{node} is behind:{all}");
        }
    }

    /// Where everybody stands, for failed assertions.
    fn standing(&self) -> String {
        let line = |r: &Replica<E>| {
            let (me, status, chain) = (r.host.me, r.engine.status(), r.host.chain.len());
            let (crashed, last) = (r.crashed, r.tales.iter().rev().take(4).collect::<Vec<_>>());
            format!("\n{me} chain {chain} crashed {crashed} {status:?} {last:?}")
        };
        let last = self.trace.iter().rev().take(12);
        let last = last.map(|s| format!("\n{:?} {} → {} {:?}", s.at, s.from, s.to, s.message));
        self.replicas.iter().map(line).chain(last).collect()
    }

    /// Whether this replica told something of this kind.
    pub(crate) fn told(&self, node: u16, what: impl Fn(&Tale) -> bool) -> bool {
        self.replica(node).tales.iter().any(|(_, tale)| what(tale))
    }
}
