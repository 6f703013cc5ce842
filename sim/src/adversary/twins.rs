//! B5: one identity, two machines.
//!
//! Both run the honest code with the same key. As long as the cheat is off the second follows in the
//! shadow of the first: it hears the same and what it says is lost. Then the victims talk to the second
//! alone, everyone else to the first, and of what gateways submit the second gets one half only, so that
//! the two soon have different blocks to propose. (The idea is that of Twins, Bano et al., OPODIS 2021: an
//! honest copy is as good a liar as most.)

use std::{collections::BTreeSet, rc::Rc};

use consortium_node::{
    codec::CodecError,
    ledger::Ledger,
    node::{Action, Actions, Claims, ClientPacket, Event, Node, NodeStatus, Packet, TimerId},
    storage::LogRecord,
    types::{LocalTime, NodeId},
};

use super::Script;

/// What the second one's timers are shifted by. Names of timers are small, or the greatest there is.
const SHIFT: u64 = 1 << 62;

/// Two nodes with one identity.
pub(crate) struct Twins {
    /// The one that its own disk, the observers and most others know.
    pub(crate) first: Box<dyn Node>,
    /// The one that victims know.
    pub(crate) second: Box<dyn Node>,
    pub(crate) victims: BTreeSet<NodeId>,
    /// All validators.
    pub(crate) validators: BTreeSet<NodeId>,
    pub(crate) script: Rc<Script>,
}

impl Twins {
    /// Whether the first and the second of them hear this.
    fn audience(&self, from: NodeId, packet: &Packet) -> (bool, bool) {
        if !self.script.is_on() {
            (true, true)
        } else if self.validators.contains(&from) {
            let to_second = self.victims.contains(&from);
            (!to_second, to_second)
        } else {
            let half = match packet {
                Packet::Client(ClientPacket::Submit(tx)) => tx.id().prefix() % 2 == 0,
                _ => true,
            };
            (true, half)
        }
    }

    fn hear_first(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        let before = actions.list.len();
        self.first.handle(now, event, actions);
        if self.script.is_on() {
            let said = actions.list.split_off(before);
            let mine = |action: &Action| match action {
                Action::Send { to, .. } => !self.victims.contains(to),
                _ => true,
            };
            actions.list.extend(said.into_iter().filter(mine));
        }
    }

    fn hear_second(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        let mut said = Actions::default();
        self.second.handle(now, event, &mut said);
        actions.add_work(said.work);
        for action in said.list {
            match action {
                Action::Arm { timer, after } => actions.list.push(Action::Arm {
                    timer: TimerId(timer.0.wrapping_add(SHIFT)),
                    after,
                }),
                Action::Send { to, packet }
                    if self.script.is_on() && self.victims.contains(&to) =>
                {
                    self.script.did_something();
                    actions.list.push(Action::Send { to, packet });
                }
                // It has no disk of its own, and nobody watches it.
                Action::Send { .. } | Action::Persist(_) | Action::Note(_) => {}
            }
        }
    }
}

impl Node for Twins {
    fn id(&self) -> NodeId {
        self.first.id()
    }

    fn claims(&self) -> Claims {
        self.first.claims()
    }

    fn handle(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        match event {
            Event::Timer(timer) if (SHIFT - 1..2 * SHIFT).contains(&timer.0) => {
                let own = TimerId(timer.0.wrapping_sub(SHIFT));
                self.hear_second(now, Event::Timer(own), actions);
            }
            Event::Timer(_) => self.hear_first(now, event, actions),
            Event::Start | Event::Recovered(_) => {
                self.hear_first(now, event.clone(), actions);
                self.hear_second(now, event, actions);
            }
            Event::Packet { from, packet } => {
                let (first, second) = self.audience(from, packet);
                if first {
                    self.hear_first(now, event.clone(), actions);
                }
                if second {
                    self.hear_second(now, event, actions);
                }
            }
        }
    }

    fn status(&self) -> NodeStatus {
        self.first.status()
    }

    fn ledger(&self) -> &Ledger {
        self.first.ledger()
    }

    fn decode(&self, bytes: &[u8]) -> Result<Packet, CodecError> {
        self.first.decode(bytes)
    }

    fn decode_record(&self, bytes: &[u8]) -> Result<LogRecord, CodecError> {
        self.first.decode_record(bytes)
    }
}
