//! What a package and its sensor feel.
//!
//! The air of a leg has a mean and strays slowly and deterministically around it, within the leg's
//! spread: every twenty minutes a new stray is drawn, and between two the air goes in a straight line.
//! A package follows its air with a first-order lag (Newton's law of cooling):
//! in a step of Δt it closes 1 − exp(−Δt/τ) of the gap. Steps have a fixed length, so that neither how
//! often a sensor reads, nor who else looks, changes what happens. All in fixed point; the one
//! exponential comes from `libm`, once.
//!
//! A sensor adds its constant error and shows tenths.

use std::time::Duration;

use crate::{rng, scenario::plan::ColdChain, time::nanos};

use super::journey::Journey;

/// Length of a step, ns.
pub(super) const STEP_NS: u64 = 10_000_000_000;
/// Steps from one drawn stray of the air to the next: twenty minutes.
const KNOT_STEPS: u64 = 120;
/// Fractional bits of a package's inner values.
const VALUE_BITS: u32 = 20;
/// Fractional bits of the share of a gap that a step closes.
const SHARE_BITS: u32 = 32;

/// What it is like, truly: not as a sensor shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Thousandths of a degree.
    pub temperature_mc: i64,
    /// Thousandths of a per cent.
    pub humidity_mpct: i64,
}

impl Condition {
    /// Whether the terms of shipping allow it. Bounds are inclusive.
    pub fn within(&self, terms: &ColdChain) -> bool {
        let fits = |milli: i64, min: i64, max: i64| (min * 100..=max * 100).contains(&milli);
        fits(
            self.temperature_mc,
            terms.min_temperature_dc,
            terms.max_temperature_dc,
        ) && fits(
            self.humidity_mpct,
            terms.min_humidity_dpct,
            terms.max_humidity_dpct,
        )
    }
}

/// How a package follows its air, as 2⁻³² of the gap a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inertia(i64);

impl Inertia {
    /// Of this time constant. Without one, a package is as its air.
    pub fn new(time_constant: Duration) -> Self {
        let steps = STEP_NS as f64 / nanos(time_constant) as f64;
        let share = -libm::expm1(-steps) * (1_u64 << SHARE_BITS) as f64;
        Self(libm::round(share) as i64)
    }

    fn follow(self, inside: i64, outside: i64) -> i64 {
        let gap = i128::from(outside - inside);
        inside + ((gap * i128::from(self.0)) >> SHARE_BITS) as i64
    }
}

/// A package on its way: its condition at one step, which only ever advances.
#[derive(Clone, Debug)]
pub struct Inside {
    /// Seeds the strays of its air.
    seed: u64,
    step: u64,
    temperature: i64,
    humidity: i64,
}

impl Inside {
    /// A package at its start: it has the temperature of the first leg's air.
    pub fn new(seed: u64, journey: &Journey) -> Self {
        let air = air(seed, journey, 0);
        Self {
            seed,
            step: 0,
            temperature: air.temperature_mc << VALUE_BITS,
            humidity: air.humidity_mpct << VALUE_BITS,
        }
    }

    /// The step that it has reached.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Advances to a step, if it is not there yet.
    pub fn advance(&mut self, journey: &Journey, inertia: Inertia, step: u64) {
        while self.step < step {
            self.step += 1;
            let air = air(self.seed, journey, self.step);
            self.temperature = inertia.follow(self.temperature, air.temperature_mc << VALUE_BITS);
            self.humidity = inertia.follow(self.humidity, air.humidity_mpct << VALUE_BITS);
        }
    }

    /// What it is like there.
    pub fn condition(&self) -> Condition {
        Condition {
            temperature_mc: self.temperature >> VALUE_BITS,
            humidity_mpct: self.humidity >> VALUE_BITS,
        }
    }
}

/// The air around a package at a step; after its journey, that of the last leg.
fn air(seed: u64, journey: &Journey, step: u64) -> Condition {
    let number = journey
        .leg_at(step * STEP_NS)
        .unwrap_or(journey.legs().len() - 1);
    let leg = &journey.legs()[number];
    let (knot, place) = (step / KNOT_STEPS, (step % KNOT_STEPS).cast_signed());
    let stray = |knot| {
        let drawn = rng::draw(seed, number as u64, knot);
        symmetric(drawn, leg.ambient_spread_mc)
    };
    let (from, to) = (stray(knot), stray(knot + 1));
    Condition {
        temperature_mc: leg.ambient_mc + from + (to - from) * place / KNOT_STEPS.cast_signed(),
        humidity_mpct: leg.humidity_mpct,
    }
}

/// A draw as a whole number within ± `bound`.
pub(super) fn symmetric(draw: u64, bound: i64) -> i64 {
    let width = u128::from(bound.unsigned_abs()) * 2 + 1;
    ((u128::from(draw) * width) >> 64) as i64 - bound.abs()
}

/// Thousandths as a sensor shows them: in tenths, halves upwards.
pub(super) fn tenths(milli: i64) -> i64 {
    (milli + 50).div_euclid(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{scenario::plan::LegPlan, workload::sample};

    const HOUR_STEPS: u64 = 360;

    fn legs(means_mc: &[i64], spread_mc: i64) -> Journey {
        let template = sample::plan().fleet.legs[0].clone();
        let legs: Vec<LegPlan> = means_mc
            .iter()
            .map(|&ambient_mc| LegPlan {
                ambient_mc,
                ambient_spread_mc: spread_mc,
                ..template.clone()
            })
            .collect();
        Journey::new(&legs)
    }

    #[test]
    fn after_one_time_constant_63_per_cent_of_the_gap_is_closed() {
        let journey = legs(&[4_000, 14_000], 0);
        let mut inside = Inside::new(1, &journey);
        let inertia = Inertia::new(Duration::from_mins(30));
        inside.advance(&journey, inertia, HOUR_STEPS - 1);
        assert_eq!(inside.condition().temperature_mc, 4_000);
        inside.advance(&journey, inertia, HOUR_STEPS - 1 + HOUR_STEPS / 2);
        // 4 °C + 10 °C · (1 − 1/e)
        let reached = inside.condition().temperature_mc;
        assert!((reached - 10_321).abs() <= 1, "{reached}");
    }

    #[test]
    fn a_package_without_inertia_is_as_its_air() {
        let journey = legs(&[4_000, 14_000], 0);
        let mut inside = Inside::new(1, &journey);
        inside.advance(&journey, Inertia::new(Duration::ZERO), HOUR_STEPS);
        assert_eq!(inside.condition().temperature_mc, 14_000);
    }

    #[test]
    fn the_air_strays_slowly_and_stays_within_the_spread() {
        let journey = legs(&[5_000, 5_000, 5_000], 2_000);
        let all: Vec<i64> = (0..3 * HOUR_STEPS)
            .map(|step| air(9, &journey, step).temperature_mc)
            .collect();
        assert!(all.iter().all(|mc| (3_000..=7_000).contains(mc)));
        let (min, max) = (all.iter().min(), all.iter().max());
        assert!(max > min.map(|mc| mc + 1_000).as_ref(), "it does stray");
        let jumps = all.windows(2).filter(|w| (w[1] - w[0]).abs() > 34).count();
        assert!(jumps <= 2, "only a change of leg moves it at once: {jumps}");
    }

    #[test]
    fn it_does_not_matter_how_often_one_looks() {
        let journey = legs(&[4_000, 14_000], 1_000);
        let inertia = Inertia::new(Duration::from_mins(45));
        let (mut seldom, mut often) = (Inside::new(3, &journey), Inside::new(3, &journey));
        for step in 0..=500 {
            often.advance(&journey, inertia, step);
        }
        seldom.advance(&journey, inertia, 500);
        assert_eq!(often.condition(), seldom.condition());
    }

    #[test]
    fn a_sensor_shows_tenths_and_draws_are_symmetric() {
        let shown: Vec<i64> = [1_049, 1_050, -49, -50, -51, -151].map(tenths).into();
        assert_eq!(shown, [10, 11, 0, 0, -1, -2]);
        assert_eq!((symmetric(0, 500), symmetric(u64::MAX, 500)), (-500, 500));
        assert_eq!(symmetric(1 << 63, 500), 0);
    }

    #[test]
    fn bounds_of_the_terms_are_inclusive() {
        let terms = sample::plan().cold_chain;
        let at = |temperature_mc, humidity_mpct| {
            Condition {
                temperature_mc,
                humidity_mpct,
            }
            .within(&terms)
        };
        assert!(at(10_000, 80_000) && at(0, 0));
        assert!(!at(10_001, 80_000) && !at(-1, 60_000) && !at(5_000, 80_001));
    }
}
