//! Validators that crashed and started again: how long they were down, and how long they took to be
//! current.
//!
//! A validator is **current** when its chain is within one block of the highest that any honest
//! validator has had so far. Its **catch-up** lasts from its start to that instant, reading its disk and
//! executing what it holds included.

use std::collections::BTreeMap;

use consortium_node::{
    engine::Recovery,
    types::{Height, NodeId},
};

use super::summary::RestartRow;
use crate::{cast::Cast, time::Time};

/// Blocks that a current validator may lie behind.
const CURRENT: u64 = 1;

/// A life that a crash ended, and the next.
#[derive(Clone, Debug)]
struct Restart {
    fault: usize,
    node: NodeId,
    crashed: Time,
    /// Height of its chain when it crashed.
    had: Height,
    /// When it started again, with what kind of disk.
    again: Option<(Time, Recovery)>,
    /// Height up to which its disk held the chain, once it has taken that up.
    held: Option<Height>,
    /// When it was current.
    current: Option<Time>,
    /// Blocks that it appended until then.
    fetched: u64,
}

/// All restarts, and the heights that honest validators tell of.
#[derive(Clone, Default, Debug)]
pub(super) struct Restarts {
    list: Vec<Restart>,
    heights: BTreeMap<NodeId, Height>,
    highest: Height,
}

impl Restarts {
    /// A crash took this validator down.
    pub(super) fn crashed(&mut self, fault: usize, node: NodeId, at: Time) {
        self.list.push(Restart {
            fault,
            node,
            crashed: at,
            had: self.height(node),
            again: None,
            held: None,
            current: None,
            fetched: 0,
        });
    }

    /// It starts again.
    pub(super) fn again(&mut self, node: NodeId, at: Time, disk: Recovery) {
        if let Some(restart) = self.last_of(node) {
            restart.again = Some((at, disk));
        }
    }

    /// It has taken up what its disk held.
    pub(super) fn recovered(&mut self, node: NodeId, at: Time, height: Height) {
        self.heights.insert(node, height);
        if let Some(restart) = self.last_of(node) {
            restart.held = Some(height);
        }
        self.look(node, at);
    }

    /// A validator's chain grew to this height.
    pub(super) fn appended(&mut self, node: NodeId, at: Time, height: Height) {
        self.highest = self.highest.max(height);
        if let Some(restart) = self.last_of(node)
            && restart.held.is_some_and(|held| held < height)
            && restart.current.is_none()
        {
            restart.fetched += 1;
        }
        let known = self.heights.entry(node).or_default();
        *known = height.max(*known);
        self.look(node, at);
    }

    /// A validator took over a snapshot of this height.
    pub(super) fn adopted(&mut self, node: NodeId, at: Time, height: Height) {
        self.heights.insert(node, height);
        self.look(node, at);
    }

    /// A validator took the block of this height off its chain.
    pub(super) fn retracted(&mut self, node: NodeId, height: Height) {
        self.heights.insert(node, height.prev());
    }

    fn look(&mut self, node: NodeId, at: Time) {
        let is_current = self.height(node).0 + CURRENT >= self.highest.0;
        if let Some(restart) = self.last_of(node)
            && restart.held.is_some()
            && is_current
        {
            restart.current.get_or_insert(at);
        }
    }

    fn height(&self, node: NodeId) -> Height {
        self.heights.get(&node).copied().unwrap_or(Height(0))
    }

    fn last_of(&mut self, node: NodeId) -> Option<&mut Restart> {
        self.list
            .iter_mut()
            .rev()
            .find(|restart| restart.node == node)
    }

    /// Those whom this crash took down and who started again, in the order of the validators. Only the
    /// honest ones: what others say of their chains is not believed.
    pub(super) fn rows(&self, fault: usize, cast: &Cast) -> Vec<RestartRow> {
        let of_fault = |one: &&Restart| one.fault == fault && cast.is_honest(one.node);
        let mut list: Vec<_> = self.list.iter().filter(of_fault).collect();
        list.sort_by_key(|restart| restart.node);
        let row = |restart: &&Restart| {
            let (again, disk) = restart.again?;
            let since = |at: Time, from: Time| at.since(from).as_millis() as u64;
            Some(RestartRow {
                member: cast.name_of(restart.node).to_owned(),
                disk: match disk {
                    Recovery::Clean => "clean",
                    Recovery::Torn => "torn",
                    Recovery::Lost => "lost",
                }
                .to_owned(),
                down_ms: since(again, restart.crashed),
                catch_up_ms: restart.current.map(|at| since(at, again)),
                blocks_lost: restart
                    .held
                    .map_or(0, |held| restart.had.0.saturating_sub(held.0)),
                blocks_fetched: restart.fetched,
            })
        };
        list.iter().filter_map(row).collect()
    }
}
