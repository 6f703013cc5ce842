//! Rate controllers: the instants at which transactions are due.
//!
//! All but the Poisson process are exact: the k-th transaction, counted from 0, is due in the first
//! nanosecond in which the rate has added up to k. Sums are in 128 bits, with nothing rounded on the way.

use crate::{
    rng::Stream,
    scenario::plan::{Pattern, Rate},
    time::nanos,
};

use super::poisson::{GAP_BITS, exponential};

/// Nanoseconds in a second, times millionths in one: what a [`Rate`] has to add up to for one
/// transaction, counted in nanoseconds.
const ONE: u128 = 1_000_000_000 * 1_000_000;

/// Several transactions that are due at once: nanoseconds since the pattern began, and how many.
pub(super) type Arrival = (u64, u64);

/// When transactions are due, in the order of time; an iterator that may never end.
#[derive(Debug)]
pub(super) struct Arrivals {
    pattern: Pattern,
    stream: Stream,
    /// Of the next one: its number, counted from 0 (in the present step).
    next: u64,
    /// The present step.
    step: usize,
    /// Poisson: when the last one was due, in 2⁻³² ns.
    reached: u128,
}

impl Arrivals {
    /// Those of a pattern; draws come from a stream of their own.
    pub(super) fn new(pattern: Pattern, stream: Stream) -> Self {
        Self {
            pattern,
            stream,
            next: 0,
            step: 0,
            reached: 0,
        }
    }

    fn single(&mut self, due_ns: Option<u128>) -> Option<Arrival> {
        self.next += 1;
        Some((u64::try_from(due_ns?).ok()?, 1))
    }

    fn poisson(&mut self, rate: Rate) -> Option<Arrival> {
        let gap = u128::from(exponential(&mut self.stream));
        self.reached += gap * ONE / u128::from(rate.0);
        let due = self.reached >> GAP_BITS;
        self.single(Some(due))
    }

    fn step(&mut self) -> Option<Arrival> {
        let Pattern::Step { rates, each } = &self.pattern else {
            return None;
        };
        let each = u128::from(nanos(*each));
        while let Some(rate) = rates.get(self.step) {
            let due = even(*rate, self.next);
            let is_last = self.step + 1 == rates.len();
            if let Some(due) = due.filter(|due| is_last || *due < each) {
                let due = each * self.step as u128 + due;
                return self.single(Some(due));
            }
            self.step += 1;
            self.next = 0;
        }
        None
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        match &self.pattern {
            Pattern::Fixed(rate) => {
                let due = even(*rate, self.next);
                self.single(due)
            }
            Pattern::Poisson(rate) => {
                let rate = *rate;
                self.poisson(rate)
            }
            Pattern::Ramp { from, to, over } => {
                let due = on_a_ramp(*from, *to, nanos(*over), self.next);
                self.single(due)
            }
            Pattern::Step { .. } => self.step(),
            Pattern::Backlog(outstanding) => {
                let all = (0, *outstanding as u64);
                self.next += 1;
                (self.next == 1).then_some(all)
            }
            Pattern::Burst { count, every } => {
                let number = self.next;
                self.next += 1;
                match every {
                    None => (number == 0).then_some((0, *count)),
                    Some(every) => Some((nanos(*every).checked_mul(number)?, *count)),
                }
            }
            Pattern::Replay(rows) => {
                let row = rows.get(self.next as usize).copied();
                self.next += 1;
                row
            }
        }
    }
}

/// When a steady rate has added up to `k`; never at a rate of zero.
fn even(rate: Rate, k: u64) -> Option<u128> {
    (rate.0 > 0).then(|| (u128::from(k) * ONE).div_ceil(u128::from(rate.0)))
}

/// When a rate that goes evenly from one to the other has added up to `k`. After t of D nanoseconds it
/// has added up to (2·D·from·t + (to − from)·t²) / (2·D); the least t is found by bisection.
fn on_a_ramp(from: Rate, to: Rate, over_ns: u64, k: u64) -> Option<u128> {
    let [from, to, over] = [from.0, to.0, over_ns].map(u128::from);
    // Twice what is wanted, to stay with whole numbers.
    let wanted = 2 * u128::from(k) * ONE;
    let whole = over * (from + to);
    if wanted > whole {
        let missing = wanted - whole;
        return (to > 0).then(|| over + missing.div_ceil(2 * to));
    }
    let reached = |t: u128| {
        let even = 2 * over * from * t;
        if to >= from {
            even + (to - from) * t * t
        } else {
            even - (from - to) * t * t
        }
    };
    let (mut low, mut high) = (0, over);
    while low < high {
        let middle = u128::midpoint(low, high);
        if reached(middle) >= wanted * over {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}
