//! What is durable when, what a crash leaves, and that bytes and records tell the same.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use consortium_node::{
    block::{Block, Finality, Header, Results},
    engine::Record,
    types::{Digest, Height, NodeId, Wall},
};

use super::*;
use crate::rng::{Seed, draw};

/// A record of a protocol that numbers what it writes.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Numbered(u64, Vec<u8>);

impl Record for Numbered {
    fn wire_len(&self) -> usize {
        8 + 4 + self.1.len()
    }
}

fn record(number: u64) -> LogRecord {
    LogRecord::new(Numbered(number, vec![7; number as usize % 40]))
}

fn stored(height: u64) -> Stored {
    let header = Header {
        height: Height(height),
        parent: Digest::ZERO,
        transactions_root: Digest::ZERO,
        results: Results::default(),
        timestamp: Wall(height),
        proposer: NodeId(0),
        extra: Vec::new(),
    };
    Stored {
        block: Block::new(header, Vec::new()),
        proof: Arc::new(Finality::Trusted),
    }
}

/// A disk that needs 10 ns for a write.
fn disk(eager: bool, seed: u64) -> Disk {
    let chance = Seed(seed).stream("disk", 0);
    Disk::new(Duration::from_nanos(10), true, eager, chance)
}

/// What a disk gave back: how good it is, the records' numbers, the blocks' heights.
type Found = (Recovery, Vec<u64>, Vec<u64>);

fn read(disk: &mut Disk) -> (Found, u64) {
    let (found, bytes) = disk.read(LogRecord::decode::<Numbered>);
    let number = |record: &LogRecord| record.record::<Numbered>().expect("one of ours").0;
    let log = found.log.iter().map(number).collect();
    let heights = found.chain.iter().map(|one| one.block.header().height.0);
    ((found.disk, log, heights.collect()), bytes)
}

fn log(number: u64) -> Write {
    Write::Log(record(number))
}

#[test]
fn the_disk_commits_in_groups() {
    let mut disk = disk(false, 0);
    assert_eq!(disk.write(Time(0), log(0)), Time(10));
    assert_eq!(
        disk.write(Time(3), log(1)),
        Time(20),
        "joins the next write"
    );
    assert_eq!(disk.write(Time(7), log(2)), Time(20), "the same one");
    assert_eq!(
        disk.write(Time(12), log(3)),
        Time(30),
        "the second is under way until 20"
    );
    assert_eq!(disk.write(Time(50), log(4)), Time(60));
    assert_eq!(disk.busy_ns(), 40);
}

#[test]
fn a_free_disk_does_not_wait() {
    let mut disk = Disk::new(Duration::ZERO, true, false, Seed(0).stream("disk", 0));
    assert_eq!(disk.write(Time(4), log(0)), Time(4));
    assert_eq!(disk.write(Time(4), log(1)), Time(4));
    disk.crash(Time(4), DiskFate::Kept);
    assert_eq!(read(&mut disk).0, (Recovery::Clean, vec![0, 1], vec![]));
}

#[test]
fn a_crash_takes_what_is_not_durable_yet_and_nothing_else() {
    for (at, expected) in [(9, 0..0), (10, 0..1), (19, 0..1), (20, 0..3)] {
        let mut disk = disk(true, 0);
        for (at, number) in [(0, 0), (3, 1), (7, 2)] {
            disk.write(Time(at), log(number));
        }
        disk.crash(Time(at), DiskFate::Kept);
        let expected = (Recovery::Clean, expected.collect(), vec![]);
        assert_eq!(read(&mut disk).0, expected, "crash at {at}");
    }
}

#[test]
fn a_log_is_replaced_as_a_whole_or_not_at_all() {
    let mut seen = Vec::new();
    for seed in 0..40 {
        let mut disk = disk(true, seed);
        for number in 0..3 {
            disk.write(Time(0), log(number));
        }
        disk.write(Time(100), Write::Truncate(vec![record(8), record(9)]));
        disk.crash(Time(101), DiskFate::Torn);
        seen.push(read(&mut disk).0.1);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [vec![0, 1, 2], vec![8, 9]]);
}

/// Writes of all kinds, at drawn instants up to 400 ns.
fn scribble(disk: &mut Disk, seed: u64) {
    let (mut at, mut height) = (0, 0);
    for number in 0..40 {
        let draw = draw(seed, number, 0);
        at += draw % 17;
        let write = match draw >> 32 & 7 {
            0 => Write::Truncate(
                (0..draw >> 40 & 3)
                    .map(|n| record(100 + number + n))
                    .collect(),
            ),
            1..=3 => {
                height += 1;
                Write::Block(stored(height))
            }
            _ => log(number),
        };
        disk.write(Time(at), write);
    }
}

const FATES: [DiskFate; 5] = [
    DiskFate::Torn,
    DiskFate::Kept,
    DiskFate::Lost,
    DiskFate::RolledBack,
    DiskFate::Rotten,
];

#[test]
fn bytes_and_records_give_the_same_whatever_the_disks_fate() {
    let mut verdicts = std::collections::BTreeSet::new();
    for seed in 0..300 {
        for fate in FATES {
            let [lazy, eager] = [false, true].map(|eager| {
                let mut disk = disk(eager, seed);
                scribble(&mut disk, seed);
                let crash = Time(draw(seed, 0, 1) % 400);
                disk.crash(crash, fate);
                let first = read(&mut disk);
                // It goes on where it was mended.
                disk.write(Time(1000), log(77));
                disk.write(Time(1000), Write::Block(stored(first.0.2.len() as u64 + 1)));
                disk.crash(Time(2000), DiskFate::Kept);
                (first, read(&mut disk))
            });
            assert_eq!(lazy, eager, "seed {seed}, {fate:?}");
            let ((found, bytes), (again, _)) = lazy;
            let heights: Vec<u64> = (1..=found.2.len() as u64).collect();
            assert_eq!(found.2, heights, "no holes, seed {seed}, {fate:?}");
            assert!(bytes > 0 || found.1.is_empty() && found.2.is_empty());
            let mut expected = found.clone();
            expected.0 = Recovery::Clean;
            expected.1.push(77);
            expected.2.push(expected.2.len() as u64 + 1);
            assert_eq!(again, expected, "seed {seed}, {fate:?}");
            verdicts.insert((fate.name(), found.0));
        }
    }
    let expected = [
        ("kept", Recovery::Clean),
        ("lost", Recovery::Lost),
        ("rolled-back", Recovery::Lost),
        ("rotten", Recovery::Lost),
        ("torn", Recovery::Clean),
        ("torn", Recovery::Torn),
    ];
    assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_a_worse_fate_leaves_was_once_on_the_disk() {
    let mut older = 0;
    for seed in 0..200 {
        let found = |fate| {
            let mut disk = disk(false, seed);
            scribble(&mut disk, seed);
            disk.crash(Time(300), fate);
            read(&mut disk).0
        };
        let (_, log, chain) = found(DiskFate::Kept);
        for fate in [
            DiskFate::Torn,
            DiskFate::RolledBack,
            DiskFate::Rotten,
            DiskFate::Lost,
        ] {
            let (_, _, left) = found(fate);
            let shared = left.len().min(chain.len());
            assert_eq!(left[..shared], chain[..shared], "seed {seed}, {fate:?}");
            assert!(fate == DiskFate::Torn || left.len() <= chain.len());
        }
        let (_, back, _) = found(DiskFate::RolledBack);
        older += usize::from(back != log);
        let (_, none, nothing) = found(DiskFate::Lost);
        assert!(none.is_empty() && nothing.is_empty());
    }
    assert!(older > 150, "{older} of 200 went back to an older log");
}

#[test]
fn bit_rot_that_looks_like_a_torn_frame_is_not_played() {
    let mut disk = disk(true, 0);
    disk.write(Time(0), log(0));
    disk.write(Time(0), Write::Block(stored(1)));
    disk.crash(Time(100), DiskFate::Rotten);
    assert_eq!(read(&mut disk).0, (Recovery::Clean, vec![0], vec![1]));
}

#[test]
fn a_disk_that_nobody_will_read_keeps_nothing() {
    let mut disk = Disk::new(Duration::ZERO, false, true, Seed(0).stream("disk", 0));
    scribble(&mut disk, 1);
    disk.crash(Time(1000), DiskFate::Kept);
    assert_eq!(read(&mut disk).0, (Recovery::Clean, vec![], vec![]));
}
