//! A member's machine: what it costs to work on it, its disk and its clock.
//!
//! Work has two stages. Decoding and signature checks need no state: any core does them, and what
//! arrived first is released first. The protocol itself is serial: a step starts when the one before has
//! ended, and its effects leave at its end.

use std::time::Duration;

use consortium_node::{
    engine::Work,
    node::Demand,
    types::{LocalTime, Mono, Wall},
};

use crate::{
    scenario::plan::Machine,
    time::{Time, nanos},
};

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

    /// Of making a packet usable.
    pub(super) fn demand(&self, demand: Demand) -> u64 {
        u64::from(demand.checks) * self.check + (demand.hashed_bytes * self.hash_kb).div_ceil(1024)
    }

    /// Of a step of the protocol.
    pub(super) fn step(&self, work: Work) -> u64 {
        self.message
            + u64::from(work.signatures) * self.sign
            + u64::from(work.checks) * self.check
            + (work.hashed_bytes * self.hash_kb).div_ceil(1024)
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

/// A disk that makes writes durable in groups: what is handed over while it works shares the next
/// write.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    fsync: Duration,
    /// End of the write under way.
    busy_until: Time,
    /// Whether another waits behind it.
    queued: bool,
    /// In all.
    pub(super) busy_ns: u64,
}

impl Disk {
    pub(super) fn new(fsync: Duration) -> Self {
        Self {
            fsync,
            busy_until: Time::ZERO,
            queued: false,
            busy_ns: 0,
        }
    }

    /// When a record handed over at `at` is durable.
    pub(super) fn persist(&mut self, at: Time) -> Time {
        if self.queued && at >= self.busy_until {
            // The queued write started when the one before it ended.
            self.busy_until = self.busy_until + self.fsync;
            self.queued = false;
        }
        if at >= self.busy_until {
            self.busy_until = at + self.fsync;
            self.busy_ns += nanos(self.fsync);
            self.busy_until
        } else {
            if !self.queued {
                self.queued = true;
                self.busy_ns += nanos(self.fsync);
            }
            self.busy_until + self.fsync
        }
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

    #[test]
    fn the_disk_commits_in_groups() {
        let mut disk = Disk::new(Duration::from_nanos(10));
        assert_eq!(disk.persist(Time(0)), Time(10));
        assert_eq!(disk.persist(Time(3)), Time(20), "joins the next write");
        assert_eq!(disk.persist(Time(7)), Time(20), "the same one");
        assert_eq!(
            disk.persist(Time(12)),
            Time(30),
            "the second is under way until 20"
        );
        assert_eq!(disk.persist(Time(50)), Time(60));
        assert_eq!(disk.busy_ns, 40);
    }

    #[test]
    fn a_free_disk_does_not_wait() {
        let mut disk = Disk::new(Duration::ZERO);
        assert_eq!(disk.persist(Time(4)), Time(4));
        assert_eq!(disk.persist(Time(4)), Time(4));
    }
}
