//! A validator's disk: what was written, what of it is durable when, and what a crash leaves.
//!
//! Writes become durable strictly in their order and in groups: what is handed over while the disk
//! works shares the next write. A crash takes what was not durable yet, all of it or up to a drawn write
//! whose frame is then torn; a worse one takes durable writes with it. In the lazy mode a disk keeps the
//! records themselves; with eager wires it keeps the frames of [`wal`] and reads the records back from
//! those bytes. Both give the same.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use consortium_node::{
    codec::{self, CodecError},
    engine::Recovery,
    ledger::Snapshot,
    storage::{LogRecord, Recovered, Stored, Write},
    wal::{self, FRAME_HEADER},
};
use rand_xoshiro::rand_core::Rng as _;

use crate::{
    rng::Stream,
    scenario::plan::DiskFate,
    time::{Time, nanos},
};

/// Number of the first frame of a log. In a chain, heights are numbers.
const FIRST: u64 = 0;

/// When writes become durable: in groups, one group at a time.
#[derive(Clone, Debug)]
struct Pace {
    fsync: Duration,
    /// End of the write under way.
    busy_until: Time,
    /// Whether another waits behind it.
    queued: bool,
    busy_ns: u64,
}

impl Pace {
    /// When a write handed over at `at` is durable.
    fn durable(&mut self, at: Time) -> Time {
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

/// Something in a file.
#[derive(Clone, Debug)]
struct Kept<T> {
    item: T,
    /// Its frame, with eager wires.
    frame: Vec<u8>,
    /// Length of the frame.
    len: usize,
    /// Blocks that were on the chain when it became durable.
    blocks: usize,
}

impl<T> Kept<T> {
    /// Length of its frame, and the frame.
    fn bytes(&mut self) -> (usize, &mut Vec<u8>) {
        (self.len, &mut self.frame)
    }
}

impl Kept<Arc<Snapshot>> {
    /// What reading it gives; with eager wires, from its frame.
    fn read(&self, eager: bool) -> Arc<Snapshot> {
        if !eager {
            return Arc::clone(&self.item);
        }
        let (bodies, _) = wal::read(FIRST, &self.frame);
        let body = bodies.first().expect("a frame that was whole");
        codec::decode(body).expect("its checksum is right")
    }
}

/// A log from one truncation to the next.
#[derive(Clone, Debug, Default)]
struct Log {
    records: Vec<Kept<LogRecord>>,
    /// So many of them came with the truncation, all at once.
    base: usize,
}

/// What a crash did to a file.
#[derive(Clone, Debug, Default)]
struct Damage {
    /// The bytes of a frame that was never whole.
    torn: Option<Vec<u8>>,
    /// The place of a frame that can no longer be read.
    rotten: Option<usize>,
}

/// A disk with two files, a log and a chain.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pace: Pace,
    /// Whether anyone will ever read it: otherwise nothing is kept.
    keeps: bool,
    /// Whether it keeps bytes.
    eager: bool,
    /// What is not durable yet, with when it will be.
    unsynced: VecDeque<(Time, Write)>,
    log: Log,
    /// The log before the last truncation, for backups.
    before: Log,
    /// What the chain begins with, if that is not genesis. It is written aside and takes the chain's place
    /// when it is whole.
    snapshot: Option<Kept<Arc<Snapshot>>>,
    chain: Vec<Kept<Stored>>,
    /// Of the log and of the chain.
    damage: [Damage; 2],
    /// Whether durable writes are gone.
    lost: bool,
    chance: Stream,
}

impl Disk {
    /// An empty disk. `keeps`: whether it will ever be read.
    pub(super) fn new(fsync: Duration, keeps: bool, eager: bool, chance: Stream) -> Self {
        Self {
            pace: Pace {
                fsync,
                busy_until: Time::ZERO,
                queued: false,
                busy_ns: 0,
            },
            keeps,
            eager,
            unsynced: VecDeque::new(),
            log: Log::default(),
            before: Log::default(),
            snapshot: None,
            chain: Vec::new(),
            damage: Default::default(),
            lost: false,
            chance,
        }
    }

    /// Nanoseconds that it wrote.
    pub(super) fn busy_ns(&self) -> u64 {
        self.pace.busy_ns
    }

    /// Takes a write at `at`; returns when it is durable.
    pub(super) fn write(&mut self, at: Time, write: Write) -> Time {
        let durable = self.pace.durable(at);
        if self.keeps {
            self.sync(at);
            self.unsynced.push_back((durable, write));
        }
        durable
    }

    /// Makes durable what is due.
    fn sync(&mut self, now: Time) {
        while let Some((_, write)) = self.unsynced.pop_front_if(|(at, _)| *at <= now) {
            self.make_durable(write);
        }
    }

    fn make_durable(&mut self, write: Write) {
        let (eager, blocks) = (self.eager, self.chain.len());
        match write {
            Write::Log(record) => {
                let number = FIRST + self.log.records.len() as u64;
                self.log
                    .records
                    .push(keep_record(record, number, blocks, eager));
            }
            Write::Truncate(records) => {
                let base = records.len();
                let records = (FIRST..).zip(records);
                let records = records.map(|(number, one)| keep_record(one, number, blocks, eager));
                let log = Log {
                    records: records.collect(),
                    base,
                };
                self.before = std::mem::replace(&mut self.log, log);
            }
            Write::Block(stored) => {
                let number = self.lowest() + blocks as u64;
                let encode = || codec::encode(&stored);
                let frame = framed(number, encode, eager);
                self.chain.push(Kept {
                    len: FRAME_HEADER + stored.wire_len(),
                    item: stored,
                    frame,
                    blocks,
                });
            }
            Write::Snapshot(snapshot) => {
                self.chain.clear();
                // What was logged before belongs to the beginning of this chain.
                for record in &mut self.log.records {
                    record.blocks = 0;
                }
                self.before = Log::default();
                self.snapshot = Some(Kept {
                    len: FRAME_HEADER + snapshot.wire_len(),
                    frame: framed(FIRST, || codec::encode(&snapshot), eager),
                    item: snapshot,
                    blocks: 0,
                });
            }
        }
    }

    /// Height of the first block of the chain.
    fn lowest(&self) -> u64 {
        let snapshot = self.snapshot.as_ref().map(|kept| &kept.item.block);
        snapshot.map_or(0, |block| block.header().height.0) + 1
    }

    /// The machine stops: what was not durable is gone, and worse, if that is its fate.
    pub(super) fn crash(&mut self, now: Time, fate: DiskFate) {
        self.sync(now);
        match fate {
            DiskFate::Kept => {}
            DiskFate::Torn => self.tear(),
            DiskFate::Lost => {
                (self.log, self.before) = (Log::default(), Log::default());
                self.snapshot = None;
                self.chain.clear();
                self.lost = true;
            }
            DiskFate::RolledBack => self.roll_back(),
            DiskFate::Rotten => self.rot(),
        }
        self.unsynced.clear();
        self.pace.queued = false;
        self.pace.busy_until = now;
    }

    /// Some of the writes that were under way took place, in their order; the next stopped half-way.
    fn tear(&mut self) {
        let whole = self.draw(self.unsynced.len() + 1);
        for (_, write) in self.unsynced.drain(..whole).collect::<Vec<_>>() {
            self.make_durable(write);
        }
        let Some((_, next)) = self.unsynced.pop_front() else {
            return;
        };
        let (file, number, body) = match &next {
            Write::Log(record) => (0, FIRST + self.log.records.len() as u64, record.wire_len()),
            Write::Block(stored) => {
                let number = self.lowest() + self.chain.len() as u64;
                (1, number, stored.wire_len())
            }
            // A file is replaced as a whole or not at all.
            Write::Truncate(_) | Write::Snapshot(_) => return,
        };
        let some = 1 + self.draw(FRAME_HEADER + body - 1);
        let bytes = match next.encode().first() {
            Some(body) if self.eager => wal::frame(number, body),
            _ => vec![0; some],
        };
        self.damage[file].torn = Some(bytes[..some].to_vec());
    }

    /// The operator puts back a copy of some earlier instant, at most from before the last truncation.
    fn roll_back(&mut self) {
        let instants = |log: &Log| log.base.min(log.records.len())..log.records.len();
        let (older, newer) = (instants(&self.before), instants(&self.log));
        let drawn = self.draw(older.len() + newer.len());
        let (log, at) = if drawn < older.len() {
            (std::mem::take(&mut self.before), older.start + drawn)
        } else {
            let log = std::mem::take(&mut self.log);
            (log, newer.start + drawn - older.len())
        };
        let blocks = match log.records.get(at) {
            Some(next) => next.blocks,
            // Without a log, any chain was once the newest.
            None => self.draw(self.chain.len()),
        };
        self.chain.truncate(blocks);
        self.before = Log::default();
        self.log = log;
        self.log.records.truncate(at);
        self.lost = true;
    }

    /// A frame goes bad that others follow; with no such frame there is nothing to tell it from a torn
    /// one by, and none does.
    fn rot(&mut self) {
        let (log, chain) = (self.log.records.len(), self.chain.len());
        let candidates = [log.saturating_sub(1), chain.saturating_sub(1)];
        if candidates == [0, 0] {
            return;
        }
        let drawn = self.draw(candidates[0] + candidates[1]);
        let (file, place) = match drawn.checked_sub(candidates[0]) {
            None => (0, drawn),
            Some(place) => (1, place),
        };
        let (len, frame) = match file {
            0 => self.log.records[place].bytes(),
            _ => self.chain[place].bytes(),
        };
        let bit = (self.chance.next_u64() % (8 * len as u64)) as usize;
        if let Some(byte) = frame.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        self.damage[file].rotten = Some(place);
    }

    /// A number below `choices`; 0 if there are none.
    fn draw(&mut self, choices: usize) -> usize {
        (self.chance.next_u64() % (choices.max(1) as u64)) as usize
    }

    /// Reads the disk, and mends it: what cannot be read is cut off. Also returns the bytes that were
    /// read. `decode` reads a record of the log.
    pub(super) fn read(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<LogRecord, CodecError>,
    ) -> (Recovered, u64) {
        let [log_damage, chain_damage] = std::mem::take(&mut self.damage);
        let chain_decode = |body: &[u8]| codec::decode::<Stored>(body);
        let lowest = self.lowest();
        let (log, chain) = (&mut self.log.records, &mut self.chain);
        let (log, chain) = if self.eager {
            (
                read_frames(FIRST, log, &log_damage, decode),
                read_frames(lowest, chain, &chain_damage, chain_decode),
            )
        } else {
            (recall(log, &log_damage), recall(chain, &chain_damage))
        };
        let gone = if std::mem::take(&mut self.lost) {
            Recovery::Lost
        } else {
            Recovery::Clean
        };
        let recovered = Recovered {
            disk: gone.max(log.verdict).max(chain.verdict),
            log: log.items,
            snapshot: self.snapshot.as_ref().map(|kept| kept.read(self.eager)),
            chain: chain.items,
        };
        let snapshot = self.snapshot.as_ref().map_or(0, |kept| kept.len);
        (recovered, log.bytes + chain.bytes + snapshot as u64)
    }
}

/// The frame of what `encode` gives, with eager wires.
fn framed(number: u64, encode: impl Fn() -> Vec<u8>, eager: bool) -> Vec<u8> {
    if eager {
        wal::frame(number, &encode())
    } else {
        Vec::new()
    }
}

fn keep_record(record: LogRecord, number: u64, blocks: usize, eager: bool) -> Kept<LogRecord> {
    Kept {
        len: FRAME_HEADER + record.wire_len(),
        frame: framed(number, || record.encode(), eager),
        item: record,
        blocks,
    }
}

/// What was read of a file.
struct Read<T> {
    items: Vec<T>,
    verdict: Recovery,
    bytes: u64,
}

/// Reads a file from its bytes.
fn read_frames<T: Clone>(
    first: u64,
    kept: &mut Vec<Kept<T>>,
    damage: &Damage,
    decode: impl Fn(&[u8]) -> Result<T, CodecError>,
) -> Read<T> {
    let frames = kept.iter().map(|one| one.frame.as_slice());
    let bytes = frames
        .chain(damage.torn.as_deref())
        .collect::<Vec<_>>()
        .concat();
    let (bodies, verdict) = wal::read(first, &bytes);
    let items = bodies
        .into_iter()
        .map(|body| decode(body).expect("its checksum is right"));
    let items: Vec<T> = items.collect();
    kept.truncate(items.len());
    Read {
        items,
        verdict,
        bytes: bytes.len() as u64,
    }
}

/// What reading the bytes of a file would give.
fn recall<T: Clone>(kept: &mut Vec<Kept<T>>, damage: &Damage) -> Read<T> {
    let torn = damage.torn.as_ref().map_or(0, Vec::len);
    let bytes = torn + kept.iter().map(|one| one.len).sum::<usize>();
    let verdict = match (damage.rotten, &damage.torn) {
        (Some(_), _) => Recovery::Lost,
        (None, Some(_)) => Recovery::Torn,
        (None, None) => Recovery::Clean,
    };
    kept.truncate(damage.rotten.unwrap_or(kept.len()));
    Read {
        items: kept.iter().map(|one| one.item.clone()).collect(),
        verdict,
        bytes: bytes as u64,
    }
}

#[cfg(test)]
mod tests;
