//! A node's network card: one queue out, one queue in, both store-and-forward.

use std::ops::Range;

use crate::{ending::Count, time::Time};

/// One direction of a card. A message occupies it from its first bit to its last; the next one waits.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// `None`: everything passes in no time.
    bits_per_second: Option<u64>,
    /// When the last bit of what was taken so far has passed.
    free: Time,
    /// Nanoseconds that it was occupied within the measured window.
    busy_ns: u64,
    /// What passed, at any time.
    passed: Count,
}

impl Lane {
    pub(super) fn new(bits_per_second: Option<u64>) -> Self {
        assert_ne!(bits_per_second, Some(0), "a card that never sends");
        Self {
            bits_per_second,
            free: Time::ZERO,
            busy_ns: 0,
            passed: Count::default(),
        }
    }

    /// Takes a message of so many bytes; says when its last bit has passed.
    #[inline]
    pub(super) fn pass(&mut self, now: Time, bytes: u64, measured: &Range<Time>) -> Time {
        self.passed.messages += 1;
        self.passed.bytes += bytes;
        let Some(rate) = self.bits_per_second else {
            return now;
        };
        let start = now.max(self.free);
        let end = Time(start.0 + (bytes * 8_000_000_000).div_ceil(rate));
        let from = start.max(measured.start);
        self.busy_ns += end.min(measured.end).0.saturating_sub(from.0);
        self.free = end;
        end
    }

    pub(super) fn busy_ns(&self) -> u64 {
        self.busy_ns
    }

    pub(super) fn passed(&self) -> Count {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Range<Time> = Time::ZERO..Time::NEVER;
    /// A byte takes 8 ns.
    const GIGABIT: Option<u64> = Some(1_000_000_000);

    #[test]
    fn a_message_waits_for_the_last_bit_of_the_one_before() {
        let mut lane = Lane::new(GIGABIT);
        assert_eq!(lane.pass(Time(100), 1000, &ALWAYS), Time(8_100));
        assert_eq!(lane.pass(Time(100), 500, &ALWAYS), Time(12_100));
        assert_eq!(
            lane.pass(Time(20_000), 1, &ALWAYS),
            Time(20_008),
            "it was idle"
        );
        assert_eq!(lane.busy_ns(), 12_008);
        let passed = Count {
            messages: 3,
            bytes: 1501,
        };
        assert_eq!(lane.passed(), passed);
    }

    #[test]
    fn a_part_of_a_nanosecond_is_a_nanosecond() {
        let mut lane = Lane::new(Some(3_000_000_000));
        assert_eq!(lane.pass(Time::ZERO, 1, &ALWAYS), Time(3));
    }

    #[test]
    fn an_unlimited_lane_is_never_busy() {
        let mut lane = Lane::new(None);
        assert_eq!(lane.pass(Time(5), 1 << 30, &ALWAYS), Time(5));
        assert_eq!(lane.pass(Time(5), 1 << 30, &ALWAYS), Time(5));
        assert_eq!(lane.busy_ns(), 0);
    }

    #[test]
    fn only_the_measured_window_counts_as_busy() {
        let mut lane = Lane::new(GIGABIT);
        let window = Time(4_000)..Time(10_000);
        lane.pass(Time::ZERO, 1000, &window);
        assert_eq!(lane.busy_ns(), 4_000, "8 µs, half of it before the window");
        lane.pass(Time(9_000), 1000, &window);
        assert_eq!(lane.busy_ns(), 5_000, "1 µs more before the window closes");
        lane.pass(Time(20_000), 1000, &window);
        assert_eq!(lane.busy_ns(), 5_000);
    }
}
