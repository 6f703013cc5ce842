//! Where a figure could mislead: what was seen, why it matters, what to try.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{load::Utilisation, units};

/// Below this the busiest resource is far from full.
pub const FAR_FROM_FULL_PERCENT: f64 = 50.0;
/// Fewer seeds than this say little about another one.
pub const SEEDS_NEEDED: usize = 5;

/// A figure that could mislead.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// The busiest resource had a lot of slack.
    FarFromFull(Utilisation),
    /// A figure of few seeds.
    FewSeeds {
        /// How many there were.
        seeds: usize,
    },
    /// The measured window begins before the run has settled.
    WarmUpTooShort {
        /// How long it was.
        warm_up_ms: u64,
        /// Median of the first tenth of the measured cohort.
        early_p50_us: u64,
        /// Median of the rest.
        later_p50_us: u64,
    },
    /// More and more work was waiting.
    BacklogGrowing {
        /// Waiting after a quarter of the measured window.
        early: u64,
        /// Waiting at its end.
        late: u64,
    },
    /// A region without which the rest cannot decide.
    OneRegion {
        /// The region.
        region: String,
        /// Validators in it.
        validators: usize,
        /// Validators that may be gone.
        spare: usize,
    },
    /// A member without which the rest cannot decide.
    OneMember {
        /// The member.
        member: String,
        /// Validators that it runs.
        validators: usize,
        /// Validators that may be gone.
        spare: usize,
    },
    /// Some of the measured cohort never finished.
    Censored {
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FarFromFull(Utilisation {
                node,
                resource,
                busy_percent,
            }) => write!(
                f,
                "{node} was busiest ({resource} {busy_percent:.0} %): this says nothing about the \
                 limit; try more packages or a shorter interval"
            ),
            Self::FewSeeds { seeds } => write!(
                f,
                "{}: another may differ; try --seeds {SEEDS_NEEDED}",
                units::counted(*seeds as u64, "seed")
            ),
            Self::WarmUpTooShort {
                warm_up_ms,
                early_p50_us,
                later_p50_us,
            } => write!(
                f,
                "after {} of warm-up the median is still {} ms, later {} ms: the start distorts the \
                 rest; try a longer warm_up",
                units::span_ms(*warm_up_ms),
                units::us_as_ms(*early_p50_us),
                units::us_as_ms(*later_p50_us)
            ),
            Self::BacklogGrowing { early, late } => write!(
                f,
                "the backlog grew from {} to {}: latencies depend on how long the run was; try fewer \
                 packages or larger batches",
                units::thousands(*early),
                units::thousands(*late)
            ),
            Self::OneRegion {
                region,
                validators,
                spare,
            } => write!(
                f,
                "{} in {region}, and only {spare} may be gone: its loss stops everyone; try to spread \
                 them",
                units::counted(*validators as u64, "validator")
            ),
            Self::OneMember {
                member,
                validators,
                spare,
            } => write!(
                f,
                "{member} runs {}, and only {spare} may be gone: it can stop everyone; try to have others \
                 run some",
                units::counted(*validators as u64, "validator")
            ),
            Self::Censored { count } => write!(
                f,
                "{} of the measured cohort never finished: the tail is longer than it looks; try a \
                 longer drain",
                units::counted(*count, "transaction")
            ),
        }
    }
}
