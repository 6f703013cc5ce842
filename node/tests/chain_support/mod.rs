//! A world just large enough for engines without a node around them: a virtual clock, one delay for
//! every link, cuts, a disk that takes its time, and a host that keeps a mempool and a chain.

mod host;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    block::Block,
    codec,
    crypto::{Keypair, SignatureMode},
    engine::{Engine, Input, Message, Outbox},
    membership::Committee,
    transaction::{Call, Transaction},
    types::{ChainId, Digest, LocalTime, Mono, NodeId, PartyId, Wall},
};

pub(crate) use host::Host;

/// The wall clock when a run starts.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
pub(crate) const CHAIN: ChainId = ChainId(7);

/// Something that will happen.
enum Event<E: Engine> {
    Deliver {
        from: NodeId,
        message: Arc<E::Message>,
    },
    Timer {
        timer: E::Timer,
        armed: u64,
    },
    /// The wanted block may be due.
    Assemble,
    /// A final block whose record is durable now.
    Apply(Arc<Block>),
}

/// All nodes and the network between them.
pub(crate) struct Net<E: Engine> {
    pub(crate) now_ns: u64,
    pub(crate) delay: Duration,
    pub(crate) fsync: Duration,
    pub(crate) hosts: Vec<Host<E>>,
    /// Messages sent, by kind.
    pub(crate) sent: BTreeMap<&'static str, usize>,
    /// Digest of everything that was sent, with time and place.
    pub(crate) trace: Digest,
    queue: BTreeMap<(u64, u64), (usize, Event<E>)>,
    events: u64,
    groups: Vec<usize>,
}

pub(crate) fn keys(n: usize) -> Vec<Arc<Keypair>> {
    (0..n)
        .map(|i| Keypair::from_seed([i as u8 + 1; 32], CHAIN, SignatureMode::Lazy))
        .collect()
}

pub(crate) fn committee(n: usize) -> Arc<Committee> {
    let members = keys(n)
        .iter()
        .enumerate()
        .map(|(i, key)| (NodeId(i as u16), key.public()))
        .collect();
    Committee::new(CHAIN, members)
}

/// Genesis lies at the start of the run, so that the first period begins there.
pub(crate) fn genesis() -> Arc<Block> {
    let mut header = Block::genesis(Digest::ZERO).header().clone();
    header.timestamp = Wall(EPOCH_NS);
    Block::new(header, Vec::new())
}

/// A transaction that differs from those with other numbers.
pub(crate) fn transaction(nonce: u64) -> Arc<Transaction> {
    let key = Keypair::from_seed([99; 32], CHAIN, SignatureMode::Lazy);
    let call = Call::Create {
        template: "T".into(),
        arguments: Vec::new(),
    };
    Transaction::sign(&key, PartyId(0), nonce, call)
}

impl<E: Engine> Net<E> {
    /// Starts n nodes at time zero.
    pub(crate) fn new(
        n: usize,
        delay: Duration,
        engine: impl Fn(&Arc<Committee>, NodeId, Arc<Keypair>, &Block) -> E,
    ) -> Self {
        let committee = committee(n);
        let genesis = genesis();
        let hosts = keys(n)
            .into_iter()
            .enumerate()
            .map(|(i, key)| {
                let me = NodeId(i as u16);
                Host::new(me, engine(&committee, me, key, &genesis), &genesis)
            })
            .collect();
        let mut net = Self {
            now_ns: 0,
            delay,
            fsync: Duration::ZERO,
            hosts,
            sent: BTreeMap::new(),
            trace: Digest::ZERO,
            queue: BTreeMap::new(),
            events: 0,
            groups: vec![0; n],
        };
        (0..n).for_each(|i| net.step(i, Input::Start));
        net
    }

    fn schedule(&mut self, at_ns: u64, node: usize, event: Event<E>) {
        self.events += 1;
        self.queue.insert((at_ns, self.events), (node, event));
    }

    /// Runs for so long.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now_ns + duration.as_nanos() as u64;
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= until) {
            self.now_ns = self.now_ns.max(entry.key().0);
            let (node, event) = entry.remove();
            self.happen(node, event);
        }
        self.now_ns = until;
    }

    fn happen(&mut self, node: usize, event: Event<E>) {
        let host = &mut self.hosts[node];
        if host.stopped {
            if !matches!(event, Event::Deliver { .. }) {
                host.missed.push(event);
            }
            return;
        }
        match event {
            Event::Deliver { from, message } => self.step(
                node,
                Input::Message {
                    from,
                    message: &message,
                },
            ),
            Event::Timer { timer, armed } if host.timers.get(&timer) == Some(&armed) => {
                host.timers.remove(&timer);
                self.step(node, Input::Timer(timer));
            }
            Event::Timer { .. } => {}
            Event::Assemble => self.assemble(node),
            Event::Apply(block) => self.apply(node, &block),
        }
        self.tell(node);
    }

    /// What this node's clocks say.
    fn local(&self, node: usize) -> LocalTime {
        LocalTime {
            mono: Mono(self.now_ns),
            wall: Wall((EPOCH_NS + self.now_ns).saturating_add_signed(self.hosts[node].skew_ns)),
        }
    }

    /// One input, then the answers that its effects ask for.
    pub(crate) fn step(&mut self, node: usize, input: Input<'_, E>) {
        let now = self.local(node);
        let mut out = Outbox::default();
        self.hosts[node].engine.step(now, input, &mut out);
        self.carry_out(node, out);
        self.tell(node);
    }

    /// Tells the engine what it is owed, until it is owed nothing.
    fn tell(&mut self, node: usize) {
        while let Some(input) = self.hosts[node].told_next.pop_front() {
            let now = self.local(node);
            let mut out = Outbox::default();
            self.hosts[node].engine.step(now, input, &mut out);
            self.carry_out(node, out);
        }
    }

    /// A message out of nowhere.
    pub(crate) fn inject(&mut self, to: usize, from: usize, message: &E::Message) {
        let from = NodeId(from as u16);
        self.step(to, Input::Message { from, message });
    }

    /// These nodes hear of a transaction now.
    pub(crate) fn submit(&mut self, nodes: &[usize], nonce: u64) {
        for node in nodes {
            let arrival = (Mono(self.now_ns), transaction(nonce));
            self.hosts[*node].mempool.push(arrival);
            self.tell_pending(*node);
            self.assemble(*node);
            self.tell(*node);
        }
    }

    /// From now on only nodes of the same group hear each other; unlisted ones hear nobody.
    pub(crate) fn split(&mut self, groups: &[&[usize]]) {
        let n = self.groups.len();
        self.groups = (n..2 * n).collect();
        for (number, group) in groups.iter().enumerate() {
            group.iter().for_each(|node| self.groups[*node] = number);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.groups.fill(0);
    }

    /// The node's machine stands still and hears nothing.
    pub(crate) fn stop(&mut self, node: usize) {
        self.hosts[node].stopped = true;
    }

    /// It goes on where it was; what should have woken it meanwhile wakes it now.
    pub(crate) fn resume(&mut self, node: usize) {
        self.hosts[node].stopped = false;
        for event in std::mem::take(&mut self.hosts[node].missed) {
            self.schedule(self.now_ns, node, event);
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: &Arc<E::Message>) {
        let bytes = codec::encode(&**message);
        let kind = message.kind().name;
        assert_eq!(bytes.len(), message.wire_len(), "wire length of {kind}");
        *self.sent.entry(kind).or_default() += 1;
        let event = (self.trace, self.now_ns, from as u64, to, bytes);
        self.trace = codec::digest("trace", &event);
        if self.groups[from] != self.groups[to.index()] {
            return;
        }
        let leaves = self.now_ns.max(self.hosts[from].durable_ns);
        let arrives = leaves + self.delay.as_nanos() as u64;
        let event = Event::Deliver {
            from: NodeId(from as u16),
            message: Arc::clone(message),
        };
        self.schedule(arrives, to.index(), event);
    }

    /// Messages of a kind so far.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.sent.get(kind).copied().unwrap_or(0)
    }

    /// Whether these nodes' chains end in the same block.
    pub(crate) fn agree(&self, nodes: &[usize]) -> bool {
        let head = |node: &usize| self.hosts[*node].head().id();
        nodes
            .windows(2)
            .all(|pair| head(&pair[0]) == head(&pair[1]))
    }
}
