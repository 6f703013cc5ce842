//! One directed link: its latency, its weather, its cuts.

use crate::{rng, time::Time};

use super::jitter::Tail;

/// Length of a slot of the weather, ns. Within a slot the k-th message of a link meets the k-th draw.
const SLOT_NS: u64 = 100_000_000;
/// Attempts of a retransmitting link. The odds that all are lost are nobody's concern at sane rates.
const ATTEMPTS: u32 = 8;
/// A million, the unit of rates.
const MILLION: u64 = 1_000_000;

/// What the links of a network have in common.
#[derive(Clone, Debug)]
pub(super) struct Climate {
    /// Seeds the draws.
    pub(super) seed: u64,
    /// The spread of latencies.
    pub(super) tail: Tail,
    /// Lost messages in a million.
    pub(super) loss_ppm: u64,
    /// Duplicated messages in a million.
    pub(super) duplicate_ppm: u64,
}

/// A directed link. Fits a cache line.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Tells its draws from those of other links.
    number: u32,
    /// Faults that cut it now.
    cuts: u32,
    median_ns: u64,
    scale_ns: u64,
    /// What the first loss of a message costs on an in-order link.
    retransmission_ns: u64,
    /// The last arrival that was promised.
    last: Time,
    slot: u64,
    /// Seeds the draws of this slot.
    slot_seed: u64,
    /// Messages of this slot so far.
    k: u32,
    /// Messages that faults lose on it, in a million.
    loss_ppm: u32,
}

/// What a draw decides. Each has a stream of its own, so that one never shifts another.
#[derive(Clone, Copy)]
enum Draw {
    Latency = 0,
    Duplicate = 1,
    DuplicateLatency = 2,
    /// And upwards: the n-th attempt.
    Loss = 3,
}

impl Link {
    pub(super) fn new(number: u32, median_ns: u64, scale_ns: u64, retransmission_ns: u64) -> Self {
        Self {
            number,
            cuts: 0,
            median_ns,
            scale_ns,
            retransmission_ns,
            last: Time::ZERO,
            slot: u64::MAX,
            slot_seed: 0,
            k: 0,
            loss_ppm: 0,
        }
    }

    pub(super) fn cut(&mut self) {
        self.cuts += 1;
    }

    pub(super) fn mend(&mut self) {
        assert!(self.cuts > 0, "a link is mended that nothing cut");
        self.cuts -= 1;
    }

    pub(super) fn worsen(&mut self, loss_ppm: u32) {
        self.loss_ppm += loss_ppm;
    }

    pub(super) fn improve(&mut self, loss_ppm: u32) {
        self.loss_ppm -= loss_ppm;
    }

    /// Messages that are lost on it now, in a million.
    fn loss(&self, climate: &Climate) -> u64 {
        climate.loss_ppm + u64::from(self.loss_ppm)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cuts > 0
    }

    /// Names the next message of the link: the seed of its draws.
    #[inline]
    pub(super) fn next(&mut self, climate: &Climate, departure: Time) -> u64 {
        let slot = departure.0 / SLOT_NS;
        if slot != self.slot {
            self.slot = slot;
            self.slot_seed = rng::draw(climate.seed, u64::from(self.number), slot);
            self.k = 0;
        }
        self.k += 1;
        self.slot_seed ^ u64::from(self.k).wrapping_mul(0xA24B_AED4_963E_E407)
    }

    /// When an in-order link delivers: never before what was sent earlier, and a loss costs time.
    ///
    /// The first loss costs max(200 ms, 2·RTT), each further one of the same message twice the one
    /// before (the back-off of RFC 6298, section 5.5).
    #[inline]
    pub(super) fn in_order(&mut self, climate: &Climate, departure: Time, message: u64) -> Time {
        let mut delay = self.latency(climate, message, Draw::Latency);
        let loss = self.loss(climate);
        if loss > 0 {
            let mut wait = self.retransmission_ns;
            let mut attempt = 0;
            while attempt < ATTEMPTS && lost(loss, message, attempt) {
                delay += wait;
                wait *= 2;
                attempt += 1;
            }
        }
        self.last = self.last.max(Time(departure.0 + delay));
        self.last
    }

    /// When datagrams arrive: not at all, once, or twice.
    #[inline]
    pub(super) fn datagram(
        &self,
        climate: &Climate,
        departure: Time,
        message: u64,
    ) -> [Option<Time>; 2] {
        let loss = self.loss(climate);
        if loss > 0 && lost(loss, message, 0) {
            return [None, None];
        }
        let arrival = |draw| Time(departure.0 + self.latency(climate, message, draw));
        let twice = climate.duplicate_ppm > 0
            && happens(climate.duplicate_ppm, message, Draw::Duplicate as u64);
        [
            Some(arrival(Draw::Latency)),
            twice.then(|| arrival(Draw::DuplicateLatency)),
        ]
    }

    #[inline]
    fn latency(&self, climate: &Climate, message: u64, draw: Draw) -> u64 {
        if self.scale_ns == 0 {
            return self.median_ns;
        }
        let draw = rng::draw(message, draw as u64, 0);
        self.median_ns
            .saturating_add_signed(climate.tail.stray(self.scale_ns, draw))
    }
}

fn lost(loss_ppm: u64, message: u64, attempt: u32) -> bool {
    happens(loss_ppm, message, Draw::Loss as u64 + u64::from(attempt))
}

fn happens(ppm: u64, message: u64, draw: u64) -> bool {
    let drawn = u128::from(rng::draw(message, draw, 0)) * u128::from(MILLION);
    ((drawn >> 64) as u64) < ppm
}
