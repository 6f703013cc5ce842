//! The yardstick: the least that a simulator of all-to-all rounds can do.
//!
//! One binary heap, one match, no madsim, no network model, no members: what remains is the cost of
//! ordering events. Ratios to it, measured in the same run, survive a noisy machine.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Plays `rounds` all-to-all rounds of `nodes` nodes, each message taking a drawn latency. Returns the
/// number of messages and a hash over them, so that no work can be optimised away.
#[must_use]
pub fn all_to_all(nodes: u64, rounds: u64) -> (u64, u64) {
    let mut heap = BinaryHeap::new();
    let mut heard = vec![0u64; nodes as usize];
    let mut round = vec![0u64; nodes as usize];
    let (mut hash, mut count, mut k) = (1u64, 0u64, 0u64);
    let mut broadcast = |heap: &mut BinaryHeap<Reverse<(u64, u64, u64)>>, at: u64, from: u64| {
        for to in (0..nodes).filter(|to| *to != from) {
            k += 1;
            let jitter = (k ^ from << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
            heap.push(Reverse((at + 1_000_000 + jitter, k, to)));
        }
    };
    (0..nodes).for_each(|from| broadcast(&mut heap, 0, from));
    while let Some(Reverse((at, k, to))) = heap.pop() {
        count += 1;
        hash = (hash ^ at ^ k).wrapping_mul(0x0100_0000_01B3);
        let node = to as usize;
        heard[node] += 1;
        if heard[node] >= (round[node] + 1) * (nodes - 1) && round[node] + 1 < rounds {
            round[node] += 1;
            broadcast(&mut heap, at, to);
        }
    }
    (count, hash)
}
