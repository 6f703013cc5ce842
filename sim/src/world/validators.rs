//! A validator's serial stage, and what its steps want done.

use std::{rc::Rc, sync::Arc};

use consortium_node::{
    node::{Action, Note},
    storage::Write,
    types::{Height, NodeId},
};

use super::{
    Event, World,
    host::{Input, Taken},
};
use crate::{fact::Fact, scenario::plan::Phase, time::Time};

impl World<'_> {
    pub(super) fn serial(&mut self, node: NodeId, input: Input) {
        let taken = self.hosts[node.index()].offer(self.now, input, &self.prices);
        self.taken(node, taken);
    }

    pub(super) fn wake(&mut self, node: NodeId) {
        let (taken, again) = self.hosts[node.index()].wake(self.now, &self.prices);
        if let Some(taken) = taken {
            self.taken(node, taken);
        }
        if let Some(at) = again {
            let life = self.hosts[node.index()].life;
            self.queue.push(at, node, node, Event::Wake { life });
        }
    }

    pub(super) fn taken(&mut self, node: NodeId, taken: Taken) {
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

    /// Lets actions take place. Writes go to the disk at once and in their order; what comes after one
    /// that must be durable first waits for it. Timers do not wait.
    pub(super) fn emit(&mut self, node: NodeId, actions: Vec<Action>) {
        let mut waiting: Vec<(Time, Vec<Action>)> = Vec::new();
        for action in actions {
            let host = &self.hosts[node.index()];
            if host.is_doomed {
                return;
            }
            match action {
                Action::Arm { timer, after } => {
                    let life = host.life;
                    self.queue
                        .push(self.now + after, node, node, Event::Timer { life, timer });
                }
                Action::Persist(write) => self.persist(node, write),
                // What waits already goes first, also at the very instant at which it may.
                action if host.barrier > self.now || host.held_back > 0 => {
                    let at = host.barrier.max(self.now);
                    match waiting.last_mut() {
                        Some((due, list)) if *due == at => list.push(action),
                        _ => waiting.push((at, vec![action])),
                    }
                }
                action => self.take_place(node, action),
            }
        }
        let host = &mut self.hosts[node.index()];
        host.held_back += waiting.len();
        let life = host.life;
        for (at, list) in waiting {
            self.queue.push(
                at,
                node,
                node,
                Event::Durable {
                    life,
                    actions: list,
                },
            );
        }
    }

    /// What these actions waited for is durable.
    pub(super) fn durable(&mut self, node: NodeId, actions: Vec<Action>) {
        self.hosts[node.index()].held_back -= 1;
        for action in actions {
            if self.hosts[node.index()].is_doomed {
                return;
            }
            self.take_place(node, action);
        }
    }

    fn take_place(&mut self, node: NodeId, action: Action) {
        match action {
            Action::Send { to, packet } => self.send(node, to, &packet),
            Action::Note(said) => {
                if let Note::Scheduled(term) = &said {
                    self.announce(node, term);
                }
                self.take_down(node, said);
            }
            Action::Arm { .. } | Action::Persist(_) => unreachable!("they wait for nothing"),
        }
    }

    /// Tells what a node says. What was durable when it crashed and not told yet, it does not know: the
    /// world tells that when it starts again.
    fn take_down(&mut self, node: NodeId, said: Note) {
        let recovered = match &said {
            Note::Recovered { height } => Some(*height),
            _ => None,
        };
        let host = &mut self.hosts[node.index()];
        let told = host.told;
        match &said {
            Note::Recovered { height } | Note::Adopted { height, .. } => host.told = *height,
            Note::Appended(entry) => host.told = entry.height(),
            Note::Retracted { block } => host.told = block.header().height.prev(),
            _ => {}
        }
        self.tell(&Fact::Node { node, note: said });
        for height in recovered.map_or(0..0, |height| told.0 + 1..height.0 + 1) {
            let ledger = self.hosts[node.index()].liar.node.ledger();
            let Some(entry) = ledger.entry(Height(height)) else {
                continue;
            };
            let told = Note::Appended(Arc::clone(entry));
            self.tell(&Fact::Node { node, note: told });
        }
    }

    /// Hands a write to the disk, or crashes over it.
    fn persist(&mut self, node: NodeId, write: Write) {
        let strike = self.due_for_record(node, &write);
        if let Some((schedule, Phase::BeforePersist)) = strike {
            return self.strike(schedule, node);
        }
        if self.plan.host.eager_wire {
            let bytes: usize = write.encode().iter().map(Vec::len).sum();
            assert_eq!(bytes, write.wire_len(), "a record misstates its length");
        }
        let waits = matches!(write, Write::Log(_));
        let host = &mut self.hosts[node.index()];
        host.usage.logged_bytes += write.wire_len() as u64;
        let durable = host.disk.write(self.now, write);
        if waits {
            host.barrier = durable;
        }
        let life = host.life;
        match strike {
            Some((schedule, Phase::AfterDurable)) if durable > self.now => {
                let strike = Event::Strike { life, schedule };
                self.queue.push(durable, node, node, strike);
            }
            Some((schedule, _)) => self.strike(schedule, node),
            None => {}
        }
    }

    /// Tells what a liar just did.
    pub(super) fn confess(&mut self, node: NodeId) {
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
}
