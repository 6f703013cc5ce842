//! A member's machine: what it costs to work on it, and its clock.
//!
//! Work has two stages. Decoding and signature checks need no state: any core does them, and what
//! arrived first is released first. The protocol itself is serial: a step starts when the one before has
//! ended, and its effects leave at its end.

use consortium_node::{
    engine::Work,
    node::Demand,
    types::{LocalTime, Mono, Wall},
};

use crate::{scenario::plan::Machine, time::Time};

/// Start of the run on every right clock: 2026-01-01T00:00:00Z, ns.
const EPOCH: u64 = 1_767_225_600_000_000_000;

/// Prices of a machine's work.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    sign: u64,
    check: u64,
    hash_kb: u64,
    execute: u64,
    message: u64,
}

impl Prices {
    pub(super) fn new(machine: &Machine) -> Self {
        Self {
            sign: machine.sign_ns,
            check: machine.check_ns,
            hash_kb: machine.hash_kb_ns,
            execute: machine.execute_ns,
            message: machine.message_ns,
        }
    }

    /// Of hashing so many bytes.
    pub(super) fn hash(&self, bytes: u64) -> u64 {
        (bytes * self.hash_kb).div_ceil(1024)
    }

    /// Of making a packet usable.
    pub(super) fn demand(&self, demand: Demand) -> u64 {
        u64::from(demand.checks) * self.check + self.hash(demand.hashed_bytes)
    }

    /// Of a step of the protocol.
    pub(super) fn step(&self, work: Work) -> u64 {
        self.message
            + u64::from(work.signatures) * self.sign
            + u64::from(work.checks) * self.check
            + self.hash(work.hashed_bytes)
            + u64::from(work.executed) * self.execute
    }
}

/// The stateless stage: cores that take work in order of arrival and release it in that order.
#[derive(Clone, Debug)]
pub(super) struct Cores {
    free_at: Vec<Time>,
    last_release: Time,
}

impl Cores {
    pub(super) fn new(cores: usize) -> Self {
        Self {
            free_at: vec![Time::ZERO; cores.max(1)],
            last_release: Time::ZERO,
        }
    }

    /// When work that arrives at `at` and takes `cost` ns is released.
    pub(super) fn release(&mut self, at: Time, cost: u64) -> Time {
        if cost > 0 {
            let core = self.free_at.iter_mut().min().expect("at least one core");
            *core = Time((*core).max(at).0 + cost);
            self.last_release = self.last_release.max(*core);
        }
        self.last_release = self.last_release.max(at);
        self.last_release
    }
}

/// A node's own clock: right but for a constant skew of its wall time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Added to the true time, ns.
    pub(super) skew_ns: i64,
}

impl Clock {
    pub(super) fn read(self, at: Time) -> LocalTime {
        LocalTime {
            mono: Mono(at.0),
            wall: Wall((EPOCH + at.0).saturating_add_signed(self.skew_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_work_side_by_side_and_release_in_order_of_arrival() {
        let mut cores = Cores::new(2);
        assert_eq!(cores.release(Time(0), 100), Time(100));
        assert_eq!(
            cores.release(Time(0), 10),
            Time(100),
            "done at 10, but not before the first"
        );
        assert_eq!(
            cores.release(Time(5), 50),
            Time(100),
            "on the second core until 60"
        );
        assert_eq!(cores.release(Time(61), 50), Time(111));
        assert_eq!(cores.release(Time(200), 0), Time(200));
    }
}
