//! Ratios that survive a noisy machine: yardstick and subject take turns, and medians are compared.

use std::time::{Duration, Instant};

/// What one run took, and for how many units of work.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// Wall time.
    pub took: Duration,
    /// Messages, transactions or whatever is counted.
    pub units: u64,
}

impl Lap {
    /// Times a run that returns its units.
    pub fn of(run: impl FnOnce() -> u64) -> Self {
        let start = Instant::now();
        let units = run();
        Self {
            took: start.elapsed(),
            units,
        }
    }

    /// Nanoseconds a unit.
    #[must_use]
    pub fn ns(&self) -> f64 {
        self.took.as_nanos() as f64 / self.units.max(1) as f64
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
        .map(|_| (Lap::of(&mut yardstick).ns(), Lap::of(&mut subject).ns()))
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
        let work = || std::hint::black_box((0..2_000_000_u64).fold(0, |a, b| a ^ b.wrapping_mul(a | 3)));
        let units = |units| move || if work() == 1 { 0 } else { units };
        let compared = compare(15, units(1000), units(500));
        assert!((1.5..2.7).contains(&compared.ratio), "{compared:?}");
    }
}
