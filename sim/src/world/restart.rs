//! Validators that crash, and start again with what their disks hold.
//!
//! A crash keeps its victims down until it ends; one that another crash keeps down as well waits for
//! both. A machine that starts again is a new node: all that it knows of its earlier life is what it
//! reads from its disk, at the rate at which it hashes, and what it then executes again.

use consortium_node::types::NodeId;

use super::{Command, Event, World, machine::Cores};
use crate::{
    fact::Fact,
    scenario::plan::{CrashPlan, Target},
    time::Time,
};

impl World<'_> {
    /// Takes the validators of a crash down; returns those that were up.
    pub(super) fn crash(&mut self, fault: usize, crash: CrashPlan) -> Vec<NodeId> {
        let victims = self.victims(crash.target);
        self.crashed[fault] = victims.iter().copied().collect();
        let mut hit = victims;
        hit.retain(|node| self.hosts[node.index()].up);
        for node in &hit {
            let host = &mut self.hosts[node.index()];
            host.disk.crash(self.now, crash.disk);
            self.commands.push_back(Command::Kill(*node));
        }
        hit
    }

    /// The validators that a crash is aimed at.
    fn victims(&self, target: Target) -> Vec<NodeId> {
        match target {
            Target::All => self.cast.validators().collect(),
            Target::Member(member) => self.cast.validator_of(member).into_iter().collect(),
            Target::Primary => {
                let up = |node: &NodeId| self.hosts[node.index()].up;
                let statuses = self.hosts.iter().filter(|host| host.up);
                let newest = statuses.map(|host| host.liar.node.status().engine);
                let newest = newest.max_by_key(|engine| engine.view);
                newest
                    .map(|engine| engine.leader)
                    .filter(up)
                    .into_iter()
                    .collect()
            }
        }
    }

    /// A crash ends: its validators start again, one after another if the plan says so.
    pub(super) fn crash_ends(&mut self, fault: usize, crash: CrashPlan) {
        if self.crashed[fault].is_empty() {
            return self.healed(fault);
        }
        for (turn, node) in (0..).zip(self.crashed[fault].clone()) {
            let at = self.now + crash.stagger * turn;
            let stage = self.stage();
            self.queue.push(at, node, stage, Event::Restart { fault });
        }
    }

    /// It is a validator's turn to start again, unless another crash keeps it down.
    pub(super) fn restart(&mut self, fault: usize, node: NodeId) {
        if !self.crashed[fault].remove(&node) {
            return;
        }
        let is_kept_down = self.crashed.iter().any(|victims| victims.contains(&node));
        let may = !is_kept_down && !self.joins_later(node);
        if !self.hosts[node.index()].up && may && self.workshop.is_some() {
            self.reviving.insert(node, fault);
            self.commands.push_back(Command::Restart(node));
        }
        if self.crashed[fault].is_empty() {
            self.healed(fault);
        }
    }

    /// A validator's process is up again: it reads its disk, then takes part.
    pub(super) fn start_again(&mut self, node: NodeId, fault: usize) {
        let workshop = self
            .workshop
            .as_ref()
            .expect("who starts again was made here");
        let liar = workshop.validator(node);
        let host = &mut self.hosts[node.index()];
        let (found, bytes) = host.disk.read(|record| liar.node.decode_record(record));
        let disk = found.disk;
        let ready = Time(self.now.0 + self.prices.hash(bytes));
        host.start_again(
            self.now,
            liar,
            Cores::new(self.plan.machine.cores),
            found,
            ready,
        );
        let life = host.life;
        self.tell(&Fact::Restarted { fault, node, disk });
        self.queue.push(ready, node, node, Event::Wake { life });
    }
}
