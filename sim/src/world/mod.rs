//! The world: one queue, stepped by one pump.
//!
//! Packets, timers, stages of machines, sensors, gateways, faults and cheats are entries of the queue.
//! The world emits facts and knows none of their readers. What happens at an event is written beside
//! this file, one subject a file.

mod build;
mod changes;
mod cheats;
mod disk;
mod edge;
mod end;
mod execution;
mod host;
mod machine;
mod packets;
pub mod pump;
pub mod queue;
mod restart;
mod schedule;
mod trouble;
mod validators;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    contracts::application,
    engine::ReplyRule,
    node::{Action, Claims, Node, Packet, TimerId},
    types::{NodeId, TxId},
};

use self::{
    build::Workshop,
    disk::Disk,
    host::{Host, Input},
    machine::{Clock, Cores, Prices},
    queue::Queue,
    schedule::Schedules,
};
use crate::{
    adversary::{Liar, Script},
    cast::Cast,
    ending::{Count, Usage},
    fact::{Fact, Reader},
    net::{Net, matrix},
    rng::{Seed, draw},
    scenario::plan::Plan,
    time::{Time, nanos},
    trace::Trace,
    workload::{
        fleet::{Fleet, Ticket},
        gateway::{Gateway, GatewayOutput},
        load::Load,
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
    /// What waited for a write takes place.
    Durable { life: u32, actions: Vec<Action> },
    /// A gateway's timer.
    GatewayTimer(u64),
    /// Something happens to a package.
    Fleet(Ticket),
    /// The sources of the load begin.
    LoadBegins,
    /// Something of the load is due.
    Load,
    /// A fault begins.
    FaultBegins(usize),
    /// A fault heals.
    FaultEnds(usize),
    /// A validator that this crash took down starts again.
    Restart { fault: usize },
    /// What a schedule waited for is durable: the validator crashes.
    Strike { life: u32, schedule: usize },
    /// The members begin to approve a change of the committee.
    ChangeBegins(usize),
    /// They look whether it is scheduled, and approve it if it is not.
    Approve(usize),
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
    /// Start this node's process again, then tell [`World::boot`].
    Restart(NodeId),
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
    load: Option<Load>,
    scripts: Vec<Rc<Script>>,
    schedules: Schedules,
    /// Makes the validators that start again; none in a world around given nodes.
    workshop: Option<Workshop>,
    /// For each fault of the plan, then for each schedule: whom its crash keeps down.
    crashed: Vec<BTreeSet<NodeId>>,
    /// Who is starting again, and after which fault.
    reviving: BTreeMap<NodeId, usize>,
    active: Vec<bool>,
    /// For each change of the plan: whether it has begun.
    changing: Vec<bool>,
    draining: bool,
    last_heal: Time,
    readers: &'r mut dyn Reader,
    trace: Trace,
    packets: Vec<(&'static str, Count)>,
    /// Busy times at the end of the warm-up.
    warm: Vec<Usage>,
    /// Transactions that cheats slipped past their gateways, until a validator refuses them.
    slipped: BTreeSet<TxId>,
    commands: VecDeque<Command>,
    gateway_outputs: Vec<GatewayOutput>,
}

impl<'r> World<'r> {
    /// Builds the world of a plan. Nothing happens before [`World::boot`].
    pub fn new(plan: &Arc<Plan>, cast: &Arc<Cast>, readers: &'r mut dyn Reader) -> Self {
        let workshop = Workshop::new(plan, cast);
        let liars = cast.validators().map(|id| workshop.validator(id));
        let scripts = workshop.scripts().to_vec();
        let mut world = Self::around(plan, cast, liars.collect(), scripts, readers);
        world.workshop = Some(workshop);
        world
    }

    /// A world around nodes of any kind, one for each validator of the cast: for benches and tests. Who
    /// crashes in it stays down.
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
                let chance = Seed(plan.seed).stream("disk", u64::from(id.0));
                let keeps = plan.has_restarts();
                let disk = Disk::new(plan.machine.fsync, keeps, plan.host.eager_wire, chance);
                Host::new(liar, clock, cores, disk)
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
            load: Load::new(plan, cast),
            scripts,
            schedules: Schedules::new(plan, cast),
            workshop: None,
            crashed: vec![BTreeSet::new(); plan.faults.len() + plan.schedules.len()],
            reviving: BTreeMap::new(),
            active: vec![false; plan.faults.len()],
            changing: vec![false; plan.changes.len()],
            draining: false,
            last_heal: Time::ZERO,
            readers,
            trace: Trace::default(),
            packets: vec![("", Count::default()); KINDS],
            warm: Vec::new(),
            slipped: BTreeSet::new(),
            commands: VecDeque::new(),
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
        if self.load.is_some() {
            self.later(Time::ZERO, Event::LoadBegins);
        }
        for (number, fault) in plan.faults.iter().enumerate() {
            self.later(fault.at, Event::FaultBegins(number));
            if let Some(until) = fault.until {
                self.later(until, Event::FaultEnds(number));
            }
        }
        for (number, change) in plan.changes.iter().enumerate() {
            self.later(change.at, Event::ChangeBegins(number));
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

    /// A node's process is up: it starts, or starts again.
    pub fn boot(&mut self, node: NodeId) {
        match self.reviving.remove(&node) {
            Some(fault) => self.start_again(node, fault),
            // Its machine is bought later.
            None if self.joins_later(node) => self.commands.push_back(Command::Kill(node)),
            None => {
                self.hosts[node.index()].up = true;
                self.serial(node, Input::Start);
            }
        }
    }

    /// A node's process is down; what was not durable is gone.
    pub fn stopped(&mut self, node: NodeId) {
        self.hosts[node.index()].stop();
    }

    /// When the next event happens; `None` when the run is over.
    pub fn next_time(&self) -> Option<Time> {
        let over = self.draining && self.is_settled();
        self.queue
            .next_time()
            .filter(|at| !over && *at <= self.plan.end())
    }

    /// Whether all that was submitted is answered, and honest validators have come as far as each other.
    /// Where nothing is ever final they go on for ever, and nobody waits for that.
    fn is_settled(&self) -> bool {
        if self.gateways.iter().any(|gateway| gateway.pending() > 0) {
            return false;
        }
        let node = &self.hosts[0].liar.node;
        if matches!(node.claims().reply, ReplyRule::Depth(_)) {
            return true;
        }
        let live = self.hosts.iter().filter(|host| host.up);
        let honest = live.filter(|host| self.cast.is_honest(host.liar.node.id()));
        let mut heights = honest.map(|host| host.liar.node.status().height);
        heights
            .next()
            .is_none_or(|first| heights.all(|height| height == first))
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
            Event::Durable { life, actions } => {
                if self.lives(node, life) {
                    self.durable(node, actions);
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
            Event::LoadBegins => self.load(Load::begin),
            Event::Load => {
                let now = self.now;
                self.load(|load| load.fire(now));
            }
            Event::FaultBegins(number) => self.fault_begins(number),
            Event::FaultEnds(number) => self.fault_ends(number),
            Event::Restart { fault } => self.restart(fault, node),
            Event::Strike { life, schedule } => {
                if self.lives(node, life) {
                    self.strike(schedule, node);
                }
            }
            Event::ChangeBegins(number) => self.change_begins(number),
            Event::Approve(number) => self.approve(number),
            Event::CheatBegins(number) => self.cheat_begins(number),
            Event::CheatEnds(number) => self.scripts[number].switch(false),
            Event::WarmedUp => self.warm = self.usage(),
            Event::Drain => self.drain(),
        }
    }

    /// What the pump must do now.
    pub fn take_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    fn lives(&self, node: NodeId, life: u32) -> bool {
        let host = &self.hosts[node.index()];
        host.up && host.life == life
    }

    fn tell(&mut self, fact: &Fact) {
        self.trace.read(self.now, fact);
        self.readers.read(self.now, fact);
    }

    /// The instant of the last event.
    pub fn now(&self) -> Time {
        self.now
    }
}

/// The off-chain check of the gateway: may someone with these application roles call this at all?
fn may_call(template: &str, function: &str, roles: &BTreeSet<String>) -> bool {
    application::permits(template, function, roles).is_ok()
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
pub fn claims(plan: &Arc<Plan>, cast: &Arc<Cast>) -> Claims {
    Workshop::new(plan, cast).validator(NodeId(0)).node.claims()
}
