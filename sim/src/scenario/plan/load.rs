//! The load that is laid on a network besides its fleet.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::MemberIndex;

/// Transactions a second, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Rate(pub u64);

impl Rate {
    /// A whole number of transactions a second.
    pub const fn per_second(transactions: u64) -> Self {
        Self(transactions * 1_000_000)
    }

    /// As a number, for reports.
    pub fn in_reports(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Rate {
    /// As a scenario has it: `200/s`, `0.5/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, millionths) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if millionths == 0 {
            return write!(f, "{whole}/s");
        }
        let digits = format!("{millionths:06}");
        write!(f, "{whole}.{}/s", digits.trim_end_matches('0'))
    }
}

/// Transactions that sensors of its own submit, besides the fleet's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LoadPlan {
    /// When they are due.
    pub pattern: Pattern,
    /// The pattern begins so long after the start of the run.
    pub start: Duration,
    /// Sensors that take turns, each with a contract of its own.
    pub sources: usize,
    /// The members whose gateways take turns.
    pub gateways: Vec<MemberIndex>,
}

/// When transactions are due, whatever becomes of those before (but for [`Pattern::Backlog`]). The k-th,
/// counted from 0, is due in the first nanosecond in which the rate has added up to k.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Evenly.
    Fixed(Rate),
    /// With exponential gaps: a Poisson process of this mean.
    Poisson(Rate),
    /// At a rate that grows or falls evenly, then stays as it is.
    Ramp {
        /// At the beginning.
        from: Rate,
        /// At the end, and from there on.
        to: Rate,
        /// How long that takes.
        over: Duration,
    },
    /// Evenly at each of these in turn, and at the last one to the end.
    Step {
        /// In turn.
        rates: Vec<Rate>,
        /// How long each is held.
        each: Duration,
    },
    /// As soon as there are fewer than so many without an answer: a closed loop.
    Backlog(usize),
    /// So many at one instant.
    Burst {
        /// How many.
        count: u64,
        /// How long until the next burst; `None`: there is no other.
        every: Option<Duration>,
    },
    /// As it was recorded: nanoseconds since the beginning, and how many; in the order of time.
    Replay(Vec<(u64, u64)>),
}
