//! What a scenario says to those who compare protocols on it.

use std::collections::BTreeMap;

use serde::Serialize;

/// What holds for one protocol and not for the others.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct ComparePlan {
    /// By the name of a protocol, the `path=value` of parameters that suit it best; it is shown with equal
    /// parameters and with these.
    pub tuned: BTreeMap<&'static str, Vec<String>>,
    /// By the name of a protocol, how the author expects its run to come out.
    pub expected: BTreeMap<&'static str, Standing>,
}

/// How a run came out, or is expected to; the worst comes last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// No invariant is violated and all work is finished.
    Safe,
    /// Nothing bad happens, but some work is never finished.
    Stalled,
    /// Honest members end up with different histories, or what was relied on is taken back.
    Forked,
}

impl Standing {
    /// As it is written in a scenario.
    pub const ALL: [(&str, Self); 3] = [
        ("safe", Self::Safe),
        ("stalled", Self::Stalled),
        ("forked", Self::Forked),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, standing)| *standing == self);
        found.map_or("", |(name, _)| name)
    }
}
