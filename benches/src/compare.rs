//! Ratios that survive a noisy machine: yardstick and subject take turns, processor time is counted
//! instead of wall time, and medians are compared.

use std::{fs, time::Instant};

/// A lap is repeated until it has taken so long: the processor's clock ticks every 10 ms.
const ENOUGH_NS: u64 = 300_000_000;
/// Nanoseconds of a tick of `/proc` (USER_HZ is 100 on every Linux).
const TICK_NS: u64 = 10_000_000;

/// Time that this process has spent on processors, ended threads included; where there is no `/proc`,
/// wall time since `start`.
fn spent_ns(start: Instant) -> u64 {
    // Fields 14 and 15 are user and system time; the name before them may hold spaces, not `)`.
    let ticks = |text: String| -> Option<u64> {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(ticks)
        .map_or_else(
            || start.elapsed().as_nanos() as u64,
            |ticks| ticks * TICK_NS,
        )
}

/// Nanoseconds of processor time that a run takes a unit; the run returns its units.
#[expect(clippy::disallowed_methods, reason = "a bench measures the host")]
fn lap(mut run: impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    let before = spent_ns(start);
    let mut units = 0;
    loop {
        units += run();
        let spent = spent_ns(start) - before;
        if spent >= ENOUGH_NS {
            return spent as f64 / units.max(1) as f64;
        }
    }
}

/// Medians of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Nanoseconds a unit of the yardstick.
    pub yardstick_ns: f64,
    /// Nanoseconds a unit of the subject.
    pub subject_ns: f64,
    /// Median of the ratios of neighbouring runs.
    pub ratio: f64,
}

/// Runs yardstick and subject in turns, `laps` times each after one for warming up.
pub fn compare(
    laps: usize,
    mut yardstick: impl FnMut() -> u64,
    mut subject: impl FnMut() -> u64,
) -> Compared {
    let mut pairs: Vec<(f64, f64)> = (0..=laps)
        .map(|_| (lap(&mut yardstick), lap(&mut subject)))
        .collect();
    pairs.remove(0);
    Compared {
        yardstick_ns: median(pairs.iter().map(|pair| pair.0)),
        subject_ns: median(pairs.iter().map(|pair| pair.1)),
        ratio: median(pairs.iter().map(|pair| pair.1 / pair.0)),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_that_does_half_the_units_in_the_same_time_costs_twice_as_much() {
        let work =
            || std::hint::black_box((0..20_000_000_u64).fold(0, |a, b| a ^ b.wrapping_mul(a | 3)));
        let units = |units| move || if work() == 1 { 0 } else { units };
        let compared = compare(3, units(1000), units(500));
        assert!((1.5..2.7).contains(&compared.ratio), "{compared:?}");
    }
}
