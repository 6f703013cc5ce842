//! The wires between nodes: pure arithmetic on times, no messages, no queue of events.
//!
//! Upon [`Net::send`], a message passes the sender's uplink (store-and-forward: it has left when its
//! last bit has), then the link (its median latency, a drawn stray, loss, duplication, order), and the
//! caller learns when it reaches the receiver's card. Then the caller, who keeps the queue of events,
//! calls [`Net::receive`], and the message passes the receiver's downlink behind what reached it
//! earlier. A message of b bytes between idle cards of rate r so takes b/r + latency + b/r.
//!
//! **Same weather.** Each draw is a function of (seed, link, 100 ms slot of the departure, number of the
//! message in that slot) and of nothing else. Two protocols under one seed meet the same good and bad
//! moments, and traffic on one link changes nothing on another.
//!
//! **Order.** An in-order link behaves as one TCP connection: nothing arrives before what was sent
//! earlier, a lost message comes late and holds up those behind it. Datagrams may be lost, doubled and
//! overtaken.
//!
//! **Cuts** are counted: several faults may cut one link, which is up again when all are mended. What
//! is sent into a cut is lost on either transport: a TCP connection that cannot deliver breaks, and
//! what it held is gone with it; protocols retransmit themselves. The sender does not know and spends
//! its uplink all the same. What is under way when a cut begins is the caller's business: ask
//! [`Net::is_cut`] at the arrival.

mod jitter;
mod link;
pub mod matrix;
mod nic;

use std::{ops::Range, time::Duration};

use consortium_node::types::NodeId;

use crate::{
    ending::Usage,
    rng::Seed,
    scenario::plan::{NetworkPlan, Transport},
    time::{Time, nanos},
};

use jitter::{Tail, scale_ns};
use link::{Climate, Link};
use nic::Lane;

/// A retransmission never comes earlier than this: the floor that TCP implementations put under
/// their timer (RFC 6298 allows it; Linux has 200 ms).
const RETRANSMISSION_FLOOR: Duration = Duration::from_millis(200);

/// When the copies of a sent message reach the receiver's card: none, one or two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deliveries([Option<Time>; 2]);

impl Deliveries {
    const NONE: Self = Self([None, None]);
}

impl IntoIterator for Deliveries {
    type Item = Time;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Time>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// All links and cards.
#[derive(Clone, Debug)]
pub struct Net {
    nodes: usize,
    overhead_bytes: u64,
    transport: Transport,
    climate: Climate,
    measured: Range<Time>,
    /// From node a to node b at a · nodes + b.
    links: Vec<Link>,
    /// Out and in, by node.
    cards: Vec<[Lane; 2]>,
}

impl Net {
    /// The wires between `nodes` nodes; `median` is the one-way latency from one to another.
    pub fn new(
        seed: Seed,
        plan: &NetworkPlan,
        nodes: usize,
        median: impl Fn(NodeId, NodeId) -> Duration,
    ) -> Self {
        let links = (0..nodes as u16)
            .flat_map(|from| (0..nodes as u16).map(move |to| (from, to)))
            .map(|(from, to)| {
                let there = median(NodeId(from), NodeId(to));
                let round_trip = there + median(NodeId(to), NodeId(from));
                Link::new(
                    u32::from(from) << 16 | u32::from(to),
                    nanos(there),
                    scale_ns(there, plan.jitter_p95),
                    nanos(RETRANSMISSION_FLOOR.max(round_trip * 2)),
                )
            })
            .collect();
        let lane = Lane::new(plan.bandwidth_bits);
        Self {
            nodes,
            overhead_bytes: plan.overhead_bytes as u64,
            transport: plan.transport,
            climate: Climate {
                seed: seed.number("weather", 0),
                tail: Tail::new(),
                loss_ppm: u64::from(plan.loss_ppm),
                duplicate_ppm: u64::from(plan.duplicate_ppm),
            },
            measured: Time::ZERO..Time::NEVER,
            links,
            cards: vec![[lane.clone(), lane]; nodes],
        }
    }

    /// Counts cards as busy only within this window, from now on. Messages and bytes always count.
    pub fn measure(&mut self, window: Range<Time>) {
        self.measured = window;
    }

    /// Bytes that a message of so many bytes occupies on the wire, framing included.
    pub fn wire_bytes(&self, bytes: usize) -> u64 {
        bytes as u64 + self.overhead_bytes
    }

    /// Sends a message of so many bytes (framing comes on top). Calls come in the order of time.
    #[inline]
    pub fn send(&mut self, now: Time, from: NodeId, to: NodeId, bytes: usize) -> Deliveries {
        let bytes = self.wire_bytes(bytes);
        let departure = self.cards[from.index()][0].pass(now, bytes, &self.measured);
        let link = &mut self.links[from.index() * self.nodes + to.index()];
        let message = link.next(&self.climate, departure);
        if link.is_cut() {
            return Deliveries::NONE;
        }
        Deliveries(match self.transport {
            Transport::InOrder => [Some(link.in_order(&self.climate, departure, message)), None],
            Transport::Datagram => link.datagram(&self.climate, departure, message),
        })
    }

    /// Takes a message that reached a node's card; says when the node has all of it. Calls come in the
    /// order of time.
    #[inline]
    pub fn receive(&mut self, now: Time, to: NodeId, bytes: usize) -> Time {
        let bytes = self.wire_bytes(bytes);
        self.cards[to.index()][1].pass(now, bytes, &self.measured)
    }

    /// Cuts the link from one node to another (one way), once more.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.link(from, to).cut();
    }

    /// Takes back one cut. Panics if there is none.
    pub fn mend(&mut self, from: NodeId, to: NodeId) {
        self.link(from, to).mend();
    }

    /// Lets a link lose so many more messages in a million.
    pub fn worsen(&mut self, from: NodeId, to: NodeId, loss_ppm: u32) {
        self.link(from, to).worsen(loss_ppm);
    }

    /// Takes that back.
    pub fn improve(&mut self, from: NodeId, to: NodeId, loss_ppm: u32) {
        self.link(from, to).improve(loss_ppm);
    }

    /// Whether anything cuts the link now.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.links[from.index() * self.nodes + to.index()].is_cut()
    }

    /// Adds what a node's card did.
    pub fn account(&self, node: NodeId, usage: &mut Usage) {
        let [uplink, downlink] = &self.cards[node.index()];
        usage.sent = uplink.passed();
        usage.received = downlink.passed();
        usage.uplink_busy_ns = uplink.busy_ns();
        usage.downlink_busy_ns = downlink.busy_ns();
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        &mut self.links[from.index() * self.nodes + to.index()]
    }
}

#[cfg(test)]
mod tests;
