//! Where a knee could mislead: what was seen, why it matters, what to try.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Knee, SEEDS};
use crate::metrics::{load::Utilisation, units, warning::FAR_FROM_FULL_PERCENT};

/// A knee that could mislead.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// Fewer seeds than the definition asks for.
    FewSeeds {
        /// How many there were.
        seeds: usize,
        /// In so many of them everything had to hold.
        needed: usize,
    },
    /// Even the highest rate held.
    NotSaturated {
        /// It, transactions a second.
        to_per_s: f64,
    },
    /// Not even the lowest rate held.
    NothingHolds {
        /// It, transactions a second.
        from_per_s: f64,
        /// Its 99th percentile, ms; `None`: it never ended.
        p99_ms: Option<f64>,
        /// What was allowed, ms.
        bound_ms: u64,
    },
    /// No machine was near its limit.
    FarFromFull(Utilisation),
    /// The start distorts what was measured at the knee.
    WarmUpTooShort {
        /// Median of the first tenth, ms.
        early_p50_ms: f64,
        /// Median of the rest, ms.
        later_p50_ms: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewSeeds { seeds, needed } => write!(
                f,
                "{} ({needed} must hold) where the definition asks for 18 of {SEEDS}: chance may move the \
                 knee; try --seeds {SEEDS}",
                units::counted(*seeds as u64, "seed")
            ),
            Self::NotSaturated { to_per_s } => write!(
                f,
                "even {} a second held: the knee is higher; try --to {}/s",
                units::amount(*to_per_s),
                to_per_s * 10.0
            ),
            Self::NothingHolds {
                from_per_s,
                p99_ms,
                bound_ms,
            } => write!(
                f,
                "{} a second is too much already (p99 {}, allowed are {}): try a lower --from or a higher \
                 --p99",
                units::amount(*from_per_s),
                p99_ms.map_or("never ended".to_owned(), |ms| units::span_ms(ms as u64)),
                units::span_ms(*bound_ms)
            ),
            Self::FarFromFull(Utilisation {
                node,
                resource,
                busy_percent,
            }) => write!(
                f,
                "no machine was near its limit ({node}'s {resource} {busy_percent:.0} %): larger ones \
                 would change nothing; try the parameters of batches and of the protocol"
            ),
            Self::WarmUpTooShort {
                early_p50_ms,
                later_p50_ms,
            } => write!(
                f,
                "at the knee the median is {early_p50_ms:.0} ms at first and {later_p50_ms:.0} ms later: \
                 the run had not settled; try a higher --p99, which makes runs longer"
            ),
        }
    }
}

/// Everything worth a warning.
pub(super) fn warnings(knee: &Knee) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if knee.seeds < SEEDS {
        warnings.push(Warning::FewSeeds {
            seeds: knee.seeds,
            needed: knee.seeds_needed,
        });
    }
    if let (Some(to_per_s), None) = (knee.knee_per_s, knee.failed_per_s) {
        warnings.push(Warning::NotSaturated { to_per_s });
    }
    if knee.knee_per_s.is_none()
        && let Some(lowest) = knee.probes.first()
    {
        warnings.push(Warning::NothingHolds {
            from_per_s: lowest.offered_per_s,
            p99_ms: lowest.p99_ms,
            bound_ms: knee.p99_bound_ms,
        });
    }
    if let Some(probe) = knee.at_knee() {
        if let Some(busiest) = &probe.busiest
            && busiest.busy_percent < FAR_FROM_FULL_PERCENT
            && knee.failed_per_s.is_some()
        {
            warnings.push(Warning::FarFromFull(busiest.clone()));
        }
        if let Some([early_p50_ms, later_p50_ms]) = probe.unsettled_ms {
            warnings.push(Warning::WarmUpTooShort {
                early_p50_ms,
                later_p50_ms,
            });
        }
    }
    warnings
}
