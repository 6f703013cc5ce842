//! The world: one queue, stepped by one pump.
//!
//! Packets, timers, stages of machines, sensors, gateways, faults and cheats are entries of the queue.
//! The world emits facts and knows none of their readers.

mod build;
mod execution;
mod host;
mod machine;
pub mod pump;
pub mod queue;

use std::{collections::BTreeSet, rc::Rc, sync::Arc, time::Duration};

use consortium_node::{
    contracts::application,
    crypto::Keypair,
    node::{Action, Claims, ClientPacket, Node, Packet, TimerId},
    storage::Write,
    types::{NodeId, TxId},
};

use self::{
    host::{Host, Input, Taken},
    machine::{Clock, Cores, Disk, Prices},
    queue::Queue,
};
use crate::{
    adversary::{Liar, Script},
    cast::Cast,
    ending::{Count, Ending, Usage},
    fact::{Fact, Reader, Rejection},
    net::{Net, matrix},
    rng::{Seed, draw},
    scenario::plan::{CheatKind, FaultKind, Plan, Target},
    time::{Time, nanos},
    trace::Trace,
    workload::{
        fleet::{Cheater, Fired, Fleet, Ticket},
        gateway::{Gateway, GatewayOutput},
    },
};

/// An entry of the queue.
#[derive(Debug)]
enum Event {
    /// A packet reaches a node's network card.
    Arrive {
        from: NodeId,
        bytes: u32,
        packet: Packet,
    },
    /// A machine's stateless stage has released an input.
    Released { life: u32, input: Input },
    /// A machine's serial stage is free again.
    Wake { life: u32 },
    /// A validator's timer.
    Timer { life: u32, timer: TimerId },
    /// What a step wanted takes place.
    Emit { life: u32, actions: Vec<Action> },
    /// A gateway's timer.
    GatewayTimer(u64),
    /// Something happens to a package.
    Fleet(Ticket),
    /// A fault begins.
    FaultBegins(usize),
    /// A fault heals.
    FaultEnds(usize),
    /// A cheat begins.
    CheatBegins(usize),
    /// A cheat ends.
    CheatEnds(usize),
    /// The warm-up ends: busy times count from here.
    WarmedUp,
    /// No new work; everything that can heal heals.
    Drain,
}

/// What the pump has to do for the world after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Take this node's process down, then tell [`World::stopped`].
    Kill(NodeId),
}

/// Number of codes that kinds of messages can have.
const KINDS: usize = 256;

/// Everything around the members, and the members in it.
pub struct World<'r> {
    plan: Arc<Plan>,
    cast: Arc<Cast>,
    queue: Queue<Event>,
    now: Time,
    net: Net,
    prices: Prices,
    hosts: Vec<Host>,
    gateways: Vec<Gateway>,
    fleet: Fleet,
    scripts: Vec<Rc<Script>>,
    /// For each active crash of the plan: whom it hit.
    crashed: Vec<Option<NodeId>>,
    active: Vec<bool>,
    draining: bool,
    last_heal: Time,
    readers: &'r mut dyn Reader,
    trace: Trace,
    packets: Vec<(&'static str, Count)>,
    /// Busy times at the end of the warm-up.
    warm: Vec<Usage>,
    /// Transactions that cheats slipped past their gateways, until a validator refuses them.
    slipped: BTreeSet<TxId>,
    commands: Vec<Command>,
    gateway_outputs: Vec<GatewayOutput>,
}

impl<'r> World<'r> {
    /// Builds the world of a plan. Nothing happens before [`World::boot`].
    pub fn new(plan: &Arc<Plan>, cast: &Arc<Cast>, readers: &'r mut dyn Reader) -> Self {
        let (liars, scripts) = build::validators(plan, cast);
        Self::around(plan, cast, liars, scripts, readers)
    }

    /// A world around nodes of any kind, one for each validator of the cast: for benches and tests.
    pub fn hosting(
        plan: &Arc<Plan>,
        cast: &Arc<Cast>,
        nodes: Vec<Box<dyn Node>>,
        readers: &'r mut dyn Reader,
    ) -> Self {
        let liars = nodes
            .into_iter()
            .map(|node| Liar {
                node,
                script: Script::new(),
            })
            .collect();
        let scripts = plan.cheats.iter().map(|_| Script::new()).collect();
        Self::around(plan, cast, liars, scripts, readers)
    }

    fn around(
        plan: &Arc<Plan>,
        cast: &Arc<Cast>,
        liars: Vec<Liar>,
        scripts: Vec<Rc<Script>>,
        readers: &'r mut dyn Reader,
    ) -> Self {
        let claims = liars[0].node.claims();
        let hosts = liars
            .into_iter()
            .map(|liar| {
                let id = liar.node.id();
                let clock = Clock {
                    skew_ns: skew(plan, id),
                };
                let cores = Cores::new(plan.machine.cores);
                Host::new(liar, clock, cores, Disk::new(plan.machine.fsync))
            })
            .collect();
        let gateways = (0..plan.members.len())
            .map(|m| Gateway::new(cast, m, plan, &claims, may_call))
            .collect();
        let net = Net::new(Seed(plan.seed), &plan.network, cast.nodes(), |a, b| {
            median_latency(plan, cast, a, b)
        });
        Self {
            queue: Queue::new(cast.nodes() + 1),
            now: Time::ZERO,
            net,
            prices: Prices::new(&plan.machine),
            hosts,
            gateways,
            fleet: Fleet::new(plan, cast),
            scripts,
            crashed: vec![None; plan.faults.len()],
            active: vec![false; plan.faults.len()],
            draining: false,
            last_heal: Time::ZERO,
            readers,
            trace: Trace::default(),
            packets: vec![("", Count::default()); KINDS],
            warm: Vec::new(),
            slipped: BTreeSet::new(),
            commands: Vec::new(),
            gateway_outputs: Vec::new(),
            plan: Arc::clone(plan),
            cast: Arc::clone(cast),
        }
    }

    /// The stage manager: source of events that no node causes. It has the highest number, so that at
    /// one instant nodes go first.
    fn stage(&self) -> NodeId {
        NodeId(self.cast.nodes() as u16)
    }

    /// Enters sensors, faults, cheats and phases into the queue.
    pub fn set_the_stage(&mut self) {
        let plan = Arc::clone(&self.plan);
        for (at, ticket) in self.fleet.first_events() {
            self.later(at, Event::Fleet(ticket));
        }
        for (number, fault) in plan.faults.iter().enumerate() {
            self.later(fault.at, Event::FaultBegins(number));
            if let Some(until) = fault.until {
                self.later(until, Event::FaultEnds(number));
            }
        }
        for (number, cheat) in plan.cheats.iter().enumerate() {
            self.later(cheat.at, Event::CheatBegins(number));
            if let Some(until) = cheat.until {
                self.later(until, Event::CheatEnds(number));
            }
        }
        self.later(Time::ZERO + plan.warm_up, Event::WarmedUp);
        self.later(Time::ZERO + plan.duration, Event::Drain);
    }

    fn later(&mut self, at: Time, event: Event) {
        let stage = self.stage();
        self.queue.push(at, stage, stage, event);
    }

    /// A node's process is up: it starts.
    pub fn boot(&mut self, node: NodeId) {
        self.serial(node, Input::Start);
    }

    /// A node's process is down; what was not durable is gone.
    pub fn stopped(&mut self, node: NodeId) {
        self.hosts[node.index()].stop();
    }

    /// When the next event happens; `None` when the run is over.
    pub fn next_time(&self) -> Option<Time> {
        let over = self.draining && self.gateways.iter().all(|gateway| gateway.pending() == 0);
        self.queue
            .next_time()
            .filter(|at| !over && *at <= self.plan.end())
    }

    /// Takes the next event. What the pump must do then is in [`World::commands`].
    pub fn step(&mut self) {
        let Some((at, node, event)) = self.queue.pop() else {
            return;
        };
        debug_assert!(at >= self.now, "time does not go back");
        self.now = at;
        match event {
            Event::Arrive {
                from,
                bytes,
                packet,
            } => self.arrive(node, from, bytes, packet),
            Event::Released { life, input } => {
                if self.lives(node, life) {
                    self.serial(node, input);
                }
            }
            Event::Wake { life } => {
                if self.lives(node, life) {
                    self.wake(node);
                }
            }
            Event::Timer { life, timer } => {
                if self.lives(node, life) {
                    self.serial(node, Input::Timer(timer));
                }
            }
            Event::Emit { life, actions } => {
                if self.lives(node, life) {
                    self.emit(node, actions);
                }
            }
            Event::GatewayTimer(token) => {
                let gateway = node.index() - self.hosts.len();
                let now = self.now;
                self.gateway(gateway, |gateway, out| gateway.timer(now, token, out));
            }
            Event::Fleet(ticket) => {
                let fired = self.fleet.fire(ticket, self.now);
                self.fired(fired);
            }
            Event::FaultBegins(number) => self.fault_begins(number),
            Event::FaultEnds(number) => self.fault_ends(number),
            Event::CheatBegins(number) => self.cheat_begins(number),
            Event::CheatEnds(number) => self.scripts[number].switch(false),
            Event::WarmedUp => self.warm = self.usage(),
            Event::Drain => self.drain(),
        }
    }

    /// What the pump must do now.
    pub fn take_command(&mut self) -> Option<Command> {
        self.commands.pop()
    }

    fn lives(&self, node: NodeId, life: u32) -> bool {
        let host = &self.hosts[node.index()];
        host.up && host.life == life
    }

    fn tell(&mut self, fact: &Fact) {
        self.trace.read(self.now, fact);
        self.readers.read(self.now, fact);
    }

    // --- Packets -------------------------------------------------------------------------------

    fn send(&mut self, from: NodeId, to: NodeId, packet: &Packet) {
        let (kind, slot) = packet.label();
        let bytes = packet.wire_len();
        self.trace.packet(self.now, (from, to), kind, slot, bytes);
        let (name, count) = &mut self.packets[usize::from(kind.code)];
        *name = kind.name;
        count.messages += 1;
        count.bytes += self.net.wire_bytes(bytes);
        for at in self.net.send(self.now, from, to, bytes) {
            let packet = packet.clone();
            self.queue.push(
                at,
                to,
                from,
                Event::Arrive {
                    from,
                    bytes: bytes as u32,
                    packet,
                },
            );
        }
    }

    fn arrive(&mut self, to: NodeId, from: NodeId, bytes: u32, packet: Packet) {
        if self.net.is_cut(from, to) {
            return;
        }
        let in_card = self.net.receive(self.now, to, bytes as usize);
        if !self.cast.is_validator(to) {
            self.settle_cheat(&packet);
            let gateway = to.index() - self.hosts.len();
            return self.gateway(gateway, |gateway, out| {
                gateway.packet(in_card, from, &packet, out);
            });
        }
        let host = &mut self.hosts[to.index()];
        if !host.up {
            return;
        }
        let demand = packet.demand();
        let cost = self.prices.demand(demand);
        host.usage.checks += u64::from(demand.checks);
        host.usage.cores_busy_ns += cost;
        let released = host.cores.release(in_card, cost);
        let packet = if self.plan.host.eager_wire {
            let bytes = packet.encode();
            assert_eq!(
                bytes.len(),
                packet.wire_len(),
                "{:?} misstates its length",
                packet.label()
            );
            host.liar
                .node
                .decode(&bytes)
                .expect("what was encoded can be decoded")
        } else {
            packet
        };
        let input = Input::Packet { from, packet };
        if released > self.now {
            let life = host.life;
            self.queue
                .push(released, to, to, Event::Released { life, input });
        } else {
            self.serial(to, input);
        }
    }

    // --- Validators ----------------------------------------------------------------------------

    fn serial(&mut self, node: NodeId, input: Input) {
        let taken = self.hosts[node.index()].offer(self.now, input, &self.prices);
        self.taken(node, taken);
    }

    fn wake(&mut self, node: NodeId) {
        let (taken, again) = self.hosts[node.index()].wake(self.now, &self.prices);
        if let Some(taken) = taken {
            self.taken(node, taken);
        }
        if let Some(at) = again {
            let life = self.hosts[node.index()].life;
            self.queue.push(at, node, node, Event::Wake { life });
        }
    }

    fn taken(&mut self, node: NodeId, taken: Taken) {
        let life = self.hosts[node.index()].life;
        match taken {
            Taken::Waits { wake: None } => {}
            Taken::Waits { wake: Some(at) } => {
                self.queue.push(at, node, node, Event::Wake { life });
            }
            Taken::Done { actions, .. } if actions.is_empty() => {}
            Taken::Done { at, actions } if at > self.now => {
                self.queue
                    .push(at, node, node, Event::Emit { life, actions });
            }
            Taken::Done { actions, .. } => self.emit(node, actions),
        }
        self.confess(node);
    }

    /// Lets actions take place; from the first write on, all but timers wait for the disk.
    fn emit(&mut self, node: NodeId, actions: Vec<Action>) {
        let mut late = Vec::new();
        for action in actions {
            let host = &mut self.hosts[node.index()];
            match action {
                Action::Arm { timer, after } => {
                    let life = host.life;
                    self.queue
                        .push(self.now + after, node, node, Event::Timer { life, timer });
                }
                action if host.barrier > self.now => late.push(action),
                Action::Persist(write) => {
                    if self.plan.host.eager_wire {
                        let bytes: usize = write.encode().iter().map(Vec::len).sum();
                        assert_eq!(bytes, write.wire_len(), "a record misstates its length");
                    }
                    host.usage.logged_bytes += write.wire_len() as u64;
                    let durable = host.disk.persist(self.now);
                    if matches!(write, Write::Log(_)) {
                        host.barrier = durable;
                    }
                }
                Action::Send { to, packet } => self.send(node, to, &packet),
                Action::Note(said) => self.tell(&Fact::Node { node, note: said }),
            }
        }
        if !late.is_empty() {
            let host = &self.hosts[node.index()];
            let (at, life) = (host.barrier, host.life);
            self.queue.push(
                at,
                node,
                node,
                Event::Emit {
                    life,
                    actions: late,
                },
            );
        }
    }

    /// Tells what a liar just did.
    fn confess(&mut self, node: NodeId) {
        let script = &self.hosts[node.index()].liar.script;
        if script.take_deeds() > 0
            && let Some(cheat) = self
                .scripts
                .iter()
                .position(|other| Rc::ptr_eq(other, script))
        {
            self.tell(&Fact::Cheated {
                cheat,
                node,
                tx: None,
            });
        }
    }

    // --- Gateways and sensors ------------------------------------------------------------------

    fn gateway(
        &mut self,
        gateway: usize,
        event: impl FnOnce(&mut Gateway, &mut Vec<GatewayOutput>),
    ) {
        let mut outputs = std::mem::take(&mut self.gateway_outputs);
        event(&mut self.gateways[gateway], &mut outputs);
        let node = self.cast.gateway(gateway);
        for output in outputs.drain(..) {
            match output {
                GatewayOutput::Send { to, packet } => self.send(node, to, &packet),
                GatewayOutput::Arm { token, at } => {
                    self.queue.push(at, node, node, Event::GatewayTimer(token));
                }
                GatewayOutput::Fact(fact) => {
                    self.tell(&fact);
                    if let Fact::Final { tx, .. } | Fact::Rejected { tx, .. } = fact {
                        let fired = self.fleet.finished(&tx, self.now);
                        self.fired(fired);
                    }
                }
            }
        }
        self.gateway_outputs = outputs;
    }

    fn fired(&mut self, fired: Fired) {
        for fact in fired.truths {
            self.tell(&fact);
        }
        for (at, ticket) in fired.next {
            self.later(at, Event::Fleet(ticket));
        }
        for (submission, transaction) in fired.submissions {
            let gateway = submission.gateway.index() - self.hosts.len();
            let now = self.now;
            self.gateway(gateway, |gateway, out| {
                gateway.submit(now, submission, transaction, out);
            });
        }
    }

    // --- Faults and cheats ---------------------------------------------------------------------

    fn fault_begins(&mut self, number: usize) {
        self.active[number] = true;
        let kind = self.plan.faults[number].kind.clone();
        let mut hit = None;
        match kind {
            FaultKind::Crash(target) => {
                hit = self.find(target);
                self.crashed[number] = hit;
                self.commands.extend(hit.map(Command::Kill));
            }
            FaultKind::GatewayOffline(member) => {
                let now = self.now;
                self.gateway(member, |gateway, out| gateway.link(now, false, out));
                self.each_cut(number, Net::cut);
            }
            FaultKind::Partition(_) | FaultKind::LinkCut { .. } => self.each_cut(number, Net::cut),
        }
        self.tell(&Fact::FaultBegan {
            fault: number,
            node: hit,
        });
    }

    fn fault_ends(&mut self, number: usize) {
        if !std::mem::take(&mut self.active[number]) {
            return;
        }
        match self.plan.faults[number].kind.clone() {
            // A validator that has stopped stays down.
            FaultKind::Crash(_) => return,
            FaultKind::GatewayOffline(member) => {
                self.each_cut(number, Net::mend);
                let now = self.now;
                self.gateway(member, |gateway, out| gateway.link(now, true, out));
            }
            FaultKind::Partition(_) | FaultKind::LinkCut { .. } => self.each_cut(number, Net::mend),
        }
        self.last_heal = self.now;
        self.tell(&Fact::FaultEnded { fault: number });
    }

    /// Applies `change` to every directed link that a fault cuts.
    fn each_cut(&mut self, number: usize, change: fn(&mut Net, NodeId, NodeId)) {
        let nodes = self.cast.nodes() as u16;
        for from in (0..nodes).map(NodeId) {
            for to in (0..nodes).map(NodeId).filter(|to| *to != from) {
                if cuts(&self.plan.faults[number].kind, &self.cast, from, to) {
                    change(&mut self.net, from, to);
                }
            }
        }
    }

    /// The validator that a fault is aimed at, if it is up.
    fn find(&self, target: Target) -> Option<NodeId> {
        let up = |node: &NodeId| self.hosts[node.index()].up;
        match target {
            Target::Member(member) => self.cast.validator_of(member).filter(up),
            Target::Primary => {
                let statuses = self.hosts.iter().filter(|host| host.up);
                let newest = statuses.map(|host| host.liar.node.status().engine);
                newest
                    .max_by_key(|engine| engine.view)
                    .map(|engine| engine.leader)
                    .filter(up)
            }
        }
    }

    fn cheat_begins(&mut self, number: usize) {
        let kind = self.plan.cheats[number].kind.clone();
        match kind {
            CheatKind::SilentPrimary(_)
            | CheatKind::EquivocatingPrimary(_)
            | CheatKind::Colluders(_) => self.scripts[number].switch(true),
            // The copy is rewritten when the auditor asks for it.
            CheatKind::RewritesCopy { .. } => {}
            CheatKind::ForgedReading(member) => {
                let key = Arc::clone(&self.cast.node_keys[self.cast.gateway(member).index()]);
                self.forge(number, member, &key);
            }
            CheatKind::ReplayedReading(member) => {
                let by = Cheater {
                    cheat: number,
                    gateway: self.cast.gateway(member),
                };
                if let Some((_, reading)) = self.fleet.replayed_reading(0, self.now, by) {
                    self.slip_in(number, member, reading);
                }
            }
        }
    }

    fn forge(&mut self, cheat: usize, member: usize, key: &Arc<Keypair>) {
        let by = Cheater {
            cheat,
            gateway: self.cast.gateway(member),
        };
        if let Some((submission, reading)) = self.fleet.forged_reading(0, self.now, by, key) {
            self.slipped.insert(submission.tx);
            self.tell(&Fact::Submitted(submission));
            self.slip_in(cheat, member, reading);
        }
    }

    /// A member gives its own validator a transaction, past its gateway's checks; should its validator
    /// be down, it gives it to the next.
    fn slip_in(
        &mut self,
        cheat: usize,
        member: usize,
        transaction: Arc<consortium_node::transaction::Transaction>,
    ) {
        let gateway = self.cast.gateway(member);
        let tx = Some(transaction.id());
        self.tell(&Fact::Cheated {
            cheat,
            node: gateway,
            tx,
        });
        let own = self
            .cast
            .validator_of(member)
            .filter(|node| self.hosts[node.index()].up);
        let door = own.or_else(|| self.cast.validators().find(|n| self.hosts[n.index()].up));
        if let Some(door) = door {
            self.send(
                gateway,
                door,
                &Packet::Client(ClientPacket::Submit(transaction)),
            );
        }
    }

    /// A gateway does not know what was slipped past it: the world tells when that is refused.
    fn settle_cheat(&mut self, packet: &Packet) {
        if let Packet::Client(ClientPacket::Refused { tx, reason }) = *packet
            && self.slipped.remove(&tx)
        {
            self.tell(&Fact::Rejected {
                tx,
                reason: Rejection::Door(reason),
            });
        }
    }

    fn drain(&mut self) {
        for number in 0..self.plan.faults.len() {
            self.fault_ends(number);
        }
        for script in &self.scripts {
            script.switch(false);
        }
        self.draining = true;
        let measured = self.usage();
        let warm = std::mem::take(&mut self.warm);
        self.warm = measured
            .iter()
            .zip(&warm)
            .map(|(end, start)| busy_between(start, end))
            .collect();
        self.tell(&Fact::DrainBegan);
    }

    // --- The end -------------------------------------------------------------------------------

    fn usage(&self) -> Vec<Usage> {
        let hosts = self.hosts.iter().map(|host| Usage {
            disk_busy_ns: host.disk.busy_ns,
            ..host.usage
        });
        let gateways = self.gateways.iter().map(|_| Usage::default());
        let mut usage: Vec<_> = hosts.chain(gateways).collect();
        for (node, usage) in usage.iter_mut().enumerate() {
            self.net.account(NodeId(node as u16), usage);
        }
        usage
    }

    /// Ends the run and hands over what is left.
    pub fn end(mut self) -> Ending {
        let since_heal = self.now.since(self.last_heal);
        self.tell(&Fact::Ended { since_heal });
        let usage = self
            .usage()
            .into_iter()
            .zip(&self.warm)
            .map(|(all, window)| Usage {
                cores_busy_ns: window.cores_busy_ns,
                serial_busy_ns: window.serial_busy_ns,
                uplink_busy_ns: window.uplink_busy_ns,
                downlink_busy_ns: window.downlink_busy_ns,
                disk_busy_ns: window.disk_busy_ns,
                ..all
            })
            .collect();
        Ending {
            claims: self.hosts[0].liar.node.claims(),
            alive: self.hosts.iter().map(|host| host.up).collect(),
            ledgers: self
                .hosts
                .iter()
                .map(|host| host.liar.node.ledger().clone())
                .collect(),
            usage,
            packets: self
                .packets
                .into_iter()
                .filter(|(_, count)| count.messages > 0)
                .collect(),
            ended: self.now,
            trace: self.trace.finish(),
        }
    }

    /// The instant of the last event.
    pub fn now(&self) -> Time {
        self.now
    }
}

/// Busy times between two readings of the meters.
fn busy_between(start: &Usage, end: &Usage) -> Usage {
    Usage {
        cores_busy_ns: end.cores_busy_ns - start.cores_busy_ns,
        serial_busy_ns: end.serial_busy_ns - start.serial_busy_ns,
        uplink_busy_ns: end.uplink_busy_ns - start.uplink_busy_ns,
        downlink_busy_ns: end.downlink_busy_ns - start.downlink_busy_ns,
        disk_busy_ns: end.disk_busy_ns - start.disk_busy_ns,
        ..Usage::default()
    }
}

/// The off-chain check of the gateway: may someone with these application roles call this at all?
fn may_call(template: &str, function: &str, roles: &BTreeSet<String>) -> bool {
    application::permits(template, function, roles).is_ok()
}

/// Whether a fault cuts the link from one node to another. A member's gateway stands beside its
/// validators: a partition or a cut between members hits both.
fn cuts(kind: &FaultKind, cast: &Cast, from: NodeId, to: NodeId) -> bool {
    let (a, b) = (cast.member_of(from), cast.member_of(to));
    match kind {
        FaultKind::Crash(_) => false,
        FaultKind::GatewayOffline(member) => {
            let gateway = cast.gateway(*member);
            from == gateway || to == gateway
        }
        FaultKind::LinkCut { from, to } => a == *from && b == *to,
        FaultKind::Partition(groups) => {
            let group = |member| groups.iter().position(|group| group.contains(&member));
            a != b && (group(a) != group(b) || group(a).is_none())
        }
    }
}

/// Median one-way latency between two nodes.
fn median_latency(plan: &Plan, cast: &Cast, a: NodeId, b: NodeId) -> Duration {
    let region = |node| plan.members[cast.member_of(node)].region.as_str();
    matrix::between(&plan.network, region(a), region(b))
        .expect("the loader refuses regions without a published latency")
}

/// A node's wall clock is off by a constant drawn from ± the plan's skew.
fn skew(plan: &Plan, node: NodeId) -> i64 {
    let bound = nanos(plan.clock_skew);
    let draw = draw(Seed(plan.seed).number("clock", 0), u64::from(node.0), 0);
    let stray = draw % (2 * bound + 1);
    i64::try_from(stray).expect("skews are short") - i64::try_from(bound).expect("skews are short")
}

/// What the plan's protocol claims, before anything has run.
pub fn claims(plan: &Plan, cast: &Cast) -> Claims {
    build::validators(plan, cast).0[0].node.claims()
}
