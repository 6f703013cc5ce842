//! A validator's machine in the world: the node, its stages, its disk and its clock.

use std::collections::VecDeque;

use consortium_node::{
    node::{Action, Actions, Event, Packet, TimerId},
    storage::Recovered,
    types::{Height, NodeId},
};

use super::{
    disk::Disk,
    machine::{Clock, Cores, Prices},
};
use crate::{adversary::Liar, ending::Usage, time::Time};

/// Something that the serial stage will take up.
#[derive(Debug)]
pub(super) enum Input {
    Start,
    Recovered(Recovered),
    Packet { from: NodeId, packet: Packet },
    Timer(TimerId),
}

/// A validator's machine.
pub(super) struct Host {
    pub(super) liar: Liar,
    pub(super) clock: Clock,
    pub(super) cores: Cores,
    pub(super) disk: Disk,
    pub(super) up: bool,
    /// Whether it crashes before the next event: nothing that it wants takes place.
    pub(super) is_doomed: bool,
    /// Counts its lives: what an earlier one left in the queue is void.
    pub(super) life: u32,
    /// When the serial stage is free.
    free_at: Time,
    /// What waits for the serial stage.
    waiting: VecDeque<Input>,
    /// Until when sends and notes wait for the disk.
    pub(super) barrier: Time,
    /// Groups of actions that wait for it.
    pub(super) held_back: usize,
    pub(super) usage: Usage,
    /// Height up to which the observers know its chain.
    pub(super) told: Height,
}

/// What the serial stage did with an input.
pub(super) enum Taken {
    /// It is busy; the input waits. Wake it then, if nobody has been told to yet.
    Waits { wake: Option<Time> },
    /// It is done; these actions take place at that time.
    Done { at: Time, actions: Vec<Action> },
}

impl Host {
    pub(super) fn new(liar: Liar, clock: Clock, cores: Cores, disk: Disk) -> Self {
        Self {
            liar,
            clock,
            cores,
            disk,
            up: true,
            is_doomed: false,
            life: 0,
            free_at: Time::ZERO,
            waiting: VecDeque::new(),
            barrier: Time::ZERO,
            held_back: 0,
            usage: Usage::default(),
            told: Height(0),
        }
    }

    /// Offers an input to the serial stage.
    pub(super) fn offer(&mut self, now: Time, input: Input, prices: &Prices) -> Taken {
        if self.free_at > now || !self.waiting.is_empty() {
            self.waiting.push_back(input);
            let wake = (self.waiting.len() == 1).then_some(self.free_at);
            return Taken::Waits { wake };
        }
        self.take_up(now, &input, prices)
    }

    /// The serial stage is free again: takes up what waited longest. Returns when to wake it next, if
    /// more waits.
    pub(super) fn wake(&mut self, now: Time, prices: &Prices) -> (Option<Taken>, Option<Time>) {
        let Some(input) = self.waiting.pop_front() else {
            return (None, None);
        };
        let taken = self.take_up(now, &input, prices);
        let again = (!self.waiting.is_empty()).then_some(self.free_at);
        (Some(taken), again)
    }

    fn take_up(&mut self, now: Time, input: &Input, prices: &Prices) -> Taken {
        let mut actions = Actions::default();
        let event = match input {
            Input::Start => Event::Start,
            Input::Recovered(found) => Event::Recovered(found),
            Input::Packet { from, packet } => Event::Packet {
                from: *from,
                packet,
            },
            Input::Timer(timer) => Event::Timer(*timer),
        };
        self.liar
            .node
            .handle(self.clock.read(now), event, &mut actions);
        let cost = prices.step(actions.work);
        self.free_at = Time(now.0 + cost);
        self.usage.serial_busy_ns += cost;
        self.usage.signatures += u64::from(actions.work.signatures);
        self.usage.checks += u64::from(actions.work.checks);
        Taken::Done {
            at: self.free_at,
            actions: actions.list,
        }
    }

    /// The machine stops: what was not durable is gone.
    pub(super) fn stop(&mut self) {
        self.up = false;
        self.is_doomed = false;
        self.life += 1;
        self.waiting.clear();
        self.held_back = 0;
    }

    /// The machine starts again with this node, which is busy until `ready` with reading what the disk
    /// holds. Wake it then.
    pub(super) fn start_again(
        &mut self,
        now: Time,
        liar: Liar,
        cores: Cores,
        found: Recovered,
        ready: Time,
    ) {
        self.liar = liar;
        self.cores = cores;
        self.up = true;
        self.free_at = ready;
        self.barrier = now;
        self.waiting.push_back(Input::Recovered(found));
    }
}
