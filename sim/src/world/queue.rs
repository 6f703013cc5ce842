//! The one queue of the world, ordered by (time, node, source, k).
//!
//! `node` is whom the event happens to, `source` who caused it, `k` counts the source's events. The
//! order is total and does not depend on when an event was inserted, so it does not depend on how the
//! host happens to work. Payloads wait in a slab; the heap moves only keys.

use std::{cmp::Reverse, collections::BinaryHeap};

use consortium_node::types::NodeId;

use crate::time::Time;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    at: Time,
    /// node:16 source:16 k:32.
    order: u64,
    slot: u32,
}

/// Events to come.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Key>>,
    slab: Vec<Option<(NodeId, T)>>,
    free: Vec<u32>,
    /// Events caused so far, by source.
    counts: Vec<u32>,
}

impl<T> Queue<T> {
    /// An empty queue for sources 0 to `sources` − 1.
    pub fn new(sources: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            counts: vec![0; sources],
        }
    }

    /// `source` causes `event` to happen to `node` at `at`.
    pub fn push(&mut self, at: Time, node: NodeId, source: NodeId, event: T) {
        let count = &mut self.counts[source.index()];
        *count = count.wrapping_add(1);
        let order = u64::from(node.0) << 48 | u64::from(source.0) << 32 | u64::from(*count);
        let slot = if let Some(slot) = self.free.pop() {
            self.slab[slot as usize] = Some((node, event));
            slot
        } else {
            self.slab.push(Some((node, event)));
            (self.slab.len() - 1) as u32
        };
        self.heap.push(Reverse(Key { at, order, slot }));
    }

    /// When the next event happens.
    pub fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(key)| key.at)
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(Time, NodeId, T)> {
        let Reverse(key) = self.heap.pop()?;
        let (node, event) = self.slab[key.slot as usize]
            .take()
            .expect("a key has its payload");
        self.free.push(key.slot);
        Some((key.at, node, event))
    }

    /// Events that wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
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
}
