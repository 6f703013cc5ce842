//! The one queue of the world, ordered by (time, node, source, k).
//!
//! `node` is whom the event happens to, `source` who caused it, `k` counts the source's events. The
//! order is total and does not depend on when an event was inserted, so it does not depend on how the
//! host happens to work. Payloads wait in a slab; only keys move.
//!
//! A calendar queue (Brown, CACM 31(10), 1988) in three parts: a heap for the day at hand, a ring of
//! unsorted days for what comes soon, and a heap for the distant future. Most events are messages some
//! milliseconds under way; each costs one append and a pass through a heap that fits into the first
//! cache, however many others are under way.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use consortium_node::types::NodeId;

use crate::time::Time;

/// A day is so many bits of nanoseconds long: 2^15 ns, about 33 microseconds.
const DAY_BITS: u32 = 15;
/// Days in the ring: 2^12, which reach 134 ms ahead. A multiple of 64.
const DAYS: u64 = 1 << 12;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    at: Time,
    /// node:16 source:16 k:32.
    order: u64,
    slot: u32,
}

impl Key {
    fn day(&self) -> u64 {
        self.at.0 >> DAY_BITS
    }

    fn node(&self) -> NodeId {
        NodeId((self.order >> 48) as u16)
    }
}

impl Ord for Key {
    /// One comparison of 128 bits, so that the processor has no branch to guess.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let wide = |key: &Self| u128::from(key.at.0) << 64 | u128::from(key.order);
        wide(self).cmp(&wide(other))
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Events to come.
#[derive(Debug)]
pub struct Queue<T> {
    /// What happens up to the end of `today`. Empty only if everything is.
    near: BinaryHeap<Reverse<Key>>,
    today: u64,
    /// The days from `today` + 1 to `today` + `DAYS` − 1, each at its number modulo `DAYS`.
    ring: Vec<Vec<Reverse<Key>>>,
    /// Which days of the ring have events, a bit each.
    busy: Vec<u64>,
    /// What happens later still.
    far: BinaryHeap<Reverse<Key>>,
    len: usize,
    slab: Vec<Option<T>>,
    free: Vec<u32>,
    /// Events caused so far, by source.
    counts: Vec<u32>,
}

impl<T> Queue<T> {
    /// An empty queue for sources 0 to `sources` − 1.
    pub fn new(sources: usize) -> Self {
        Self {
            near: BinaryHeap::new(),
            today: 0,
            ring: vec![Vec::new(); DAYS as usize],
            busy: vec![0; DAYS as usize / 64],
            far: BinaryHeap::new(),
            len: 0,
            slab: Vec::new(),
            free: Vec::new(),
            counts: vec![0; sources],
        }
    }

    /// `source` causes `event` to happen to `node` at `at`.
    #[inline]
    pub fn push(&mut self, at: Time, node: NodeId, source: NodeId, event: T) {
        let count = &mut self.counts[source.index()];
        *count = count.wrapping_add(1);
        let order = u64::from(node.0) << 48 | u64::from(source.0) << 32 | u64::from(*count);
        let slot = if let Some(slot) = self.free.pop() {
            self.slab[slot as usize] = Some(event);
            slot
        } else {
            self.slab.push(Some(event));
            (self.slab.len() - 1) as u32
        };
        self.len += 1;
        self.place(Reverse(Key { at, order, slot }));
        if self.near.is_empty() {
            self.turn_over();
        }
    }

    /// When the next event happens.
    pub fn next_time(&self) -> Option<Time> {
        self.near.peek().map(|Reverse(key)| key.at)
    }

    /// Takes the next event.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, NodeId, T)> {
        let Reverse(key) = self.near.pop()?;
        self.len -= 1;
        if self.near.is_empty() && self.len > 0 {
            self.turn_over();
        }
        let event = self.slab[key.slot as usize]
            .take()
            .expect("a key has its payload");
        self.free.push(key.slot);
        Some((key.at, key.node(), event))
    }

    /// Events that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&mut self, key: Reverse<Key>) {
        let day = key.0.day();
        if day <= self.today {
            self.near.push(key);
        } else if day - self.today < DAYS {
            let place = (day % DAYS) as usize;
            self.ring[place].push(key);
            self.busy[place / 64] |= 1 << (place % 64);
        } else {
            self.far.push(key);
        }
    }

    /// Goes on to the next day on which anything happens. There must be one.
    fn turn_over(&mut self) {
        let distant = self.far.peek().map(|Reverse(key)| key.day());
        let next = self.next_busy_day().into_iter().chain(distant).min();
        self.today = next.expect("something is to come");
        let place = (self.today % DAYS) as usize;
        self.near.extend(self.ring[place].drain(..));
        self.busy[place / 64] &= !(1 << (place % 64));
        while let Some(Reverse(key)) = self.far.peek().copied()
            && key.day() < self.today + DAYS
        {
            self.far.pop();
            self.place(Reverse(key));
        }
    }

    /// The first day of the ring that has events.
    fn next_busy_day(&self) -> Option<u64> {
        let first = self.today + 1;
        let (word, bit) = ((first % DAYS / 64) as usize, first % 64);
        let words = self.busy.len();
        // The word of the first day is looked at twice: from its bit on, and last of all up to it.
        (0..=words).find_map(|step| {
            let mask = match step {
                0 => u64::MAX << bit,
                _ if step == words => !(u64::MAX << bit),
                _ => u64::MAX,
            };
            let index = (word + step) % words;
            let days = self.busy[index] & mask;
            (days != 0).then(|| {
                let place = index as u64 * 64 + u64::from(days.trailing_zeros());
                first + (place + DAYS - first % DAYS) % DAYS
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_time_then_node_then_source_then_count_whatever_the_insertion_order() {
        let mut queue = Queue::new(3);
        queue.push(Time(5), NodeId(1), NodeId(2), "c");
        queue.push(Time(5), NodeId(1), NodeId(0), "b");
        queue.push(Time(5), NodeId(0), NodeId(2), "a");
        queue.push(Time(5), NodeId(1), NodeId(2), "d");
        queue.push(Time(4), NodeId(2), NodeId(2), "first");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(_, _, event)| event)
            .collect();
        assert_eq!(order, ["first", "a", "b", "c", "d"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn days_rings_and_the_far_future_keep_one_order() {
        let mut queue = Queue::new(4);
        let mut expected = Vec::new();
        let mut now = 0;
        for round in 0..6_000_u64 {
            let draw = crate::rng::draw(3, round, 0);
            // From this instant to some seconds ahead, on all scales.
            let ahead = (draw >> 32) >> (draw % 32);
            let (at, node, source) = (Time(now + ahead), draw % 3, draw / 3 % 4);
            let (node, source) = (NodeId(node as u16), NodeId(source as u16));
            queue.push(at, node, source, round);
            expected.push((at, node, source, round));
            if draw % 5 < 2 {
                expected.sort_unstable();
                let (at, node, _, event) = expected.remove(0);
                assert_eq!(queue.next_time(), Some(at));
                assert_eq!(queue.pop(), Some((at, node, event)));
                now = at.0;
            }
            assert_eq!(queue.len(), expected.len());
            if round == 3_000 {
                expected.sort_unstable();
                for (at, node, _, event) in expected.drain(..) {
                    assert_eq!(queue.pop(), Some((at, node, event)));
                    now = at.0;
                }
                assert!(queue.is_empty() && queue.next_time().is_none());
            }
        }
    }
}
