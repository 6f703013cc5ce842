//! What QBFT and IBFT 1.0 have in common: the pace of heights and rounds.

use std::time::Duration;

use consortium_node::rounds::{Growth, Pace, Timeouts, Turns};

use super::{TICK, or_never};
use crate::{metrics::units, scenario::reader::Section, time::nanos};

/// Keys of a pace.
pub(super) const KEYS: [&str; 6] = [
    "turns",
    "block_period",
    "empty_block_period",
    "timeout",
    "timeout_cap",
    "resend",
];

/// Reads a pace whose rounds grow like this.
pub(super) fn pace(section: &Section<'_>, growth: Growth) -> Pace {
    Pace {
        turns: section.choice(
            "turns",
            &[
                ("round-robin", Turns::RoundRobin),
                ("sticky", Turns::Sticky),
            ],
        ),
        block_period: section.duration("block_period", Duration::ZERO),
        empty_block_period: or_never(section, "empty_block_period"),
        timeouts: Timeouts {
            base: section.duration("timeout", TICK),
            growth,
            cap: or_never(section, "timeout_cap"),
        },
        resend: or_never(section, "resend"),
    }
}

/// A pace in short.
pub(super) fn in_words(pace: &Pace) -> String {
    let span = |duration| units::span(nanos(duration));
    let mut words = format!(
        "period {}  timeout {}",
        span(pace.block_period),
        span(pace.timeouts.base)
    );
    if let Some(cap) = pace.timeouts.cap {
        words.extend([format!(", at most {}", span(cap))]);
    }
    if let Some(period) = pace.empty_block_period {
        words.extend([format!("  empty blocks every {}", span(period))]);
    }
    if pace.turns == Turns::Sticky {
        words += "  sticky";
    }
    words
}
