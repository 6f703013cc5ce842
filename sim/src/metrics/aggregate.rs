//! Several seeds: medians with intervals that assume nothing about the distribution.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::summary::{Summary, VerdictStatus};

/// The runs of several seeds, together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Aggregate {
    /// [`super::summary::SCHEMA_VERSION`] of whoever wrote it.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The protocol's name.
    pub protocol: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Seeds whose run did not meet all expectations, with what the process said.
    pub failed: Vec<(u64, u8)>,
    /// How many runs violated each invariant.
    pub violations: BTreeMap<String, u64>,
    /// The main figures.
    pub figures: Vec<Figure>,
}

/// A figure over several seeds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Its name, unit last.
    pub name: String,
    /// Half of the runs had no more.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How surely the interval holds the median of all seeds; at least 95 from six runs on.
    pub confidence_percent: f64,
    /// Runs that have this figure.
    pub runs: usize,
}

/// Adds up the runs of several seeds of one scenario. A figure's interval is the narrowest pair of
/// order statistics, equally far from both ends, that holds the true median with a probability of at
/// least 95 %: the k-th smallest and the k-th largest of n hold it with 1 − 2·P(B ≤ k−1), where B is
/// binomial with n and ½ (David and Nagaraja, Order Statistics, 3rd edition, section 7.1).
/// With fewer than six runs that is the smallest and the largest, and the confidence is less.
pub fn aggregate(runs: &[Summary]) -> Option<Aggregate> {
    let first = runs.first()?;
    let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut order: Vec<&'static str> = Vec::new();
    let mut violations = BTreeMap::new();
    for run in runs {
        for (name, value) in run.figures() {
            if !order.contains(&name) {
                order.push(name);
            }
            values.entry(name).or_default().push(value);
        }
        let violated = run
            .verdicts
            .iter()
            .filter(|row| row.status == VerdictStatus::Violated);
        for row in violated {
            *violations.entry(row.name.clone()).or_default() += 1;
        }
    }
    Some(Aggregate {
        schema_version: first.schema_version,
        scenario: first.scenario.clone(),
        protocol: first.protocol.clone(),
        seeds: runs.iter().map(|run| run.seed).collect(),
        failed: runs
            .iter()
            .filter(|run| run.exit_code != 0)
            .map(|run| (run.seed, run.exit_code))
            .collect(),
        violations,
        figures: order
            .into_iter()
            .map(|name| figure(name, values.remove(name).expect("listed when it was seen")))
            .collect(),
    })
}

/// Median and interval of at least one value.
pub(crate) fn figure(name: &str, mut values: Vec<f64>) -> Figure {
    values.sort_unstable_by(f64::total_cmp);
    let runs = values.len();
    let (rank, confidence_percent) = interval_rank(runs);
    let (below, above) = (values[(runs - 1) / 2], values[runs / 2]);
    Figure {
        name: name.to_owned(),
        median: f64::midpoint(below, above),
        low: values[rank - 1],
        high: values[runs - rank],
        confidence_percent,
        runs,
    }
}

/// The largest k whose interval holds the median with at least 95 %, and with how many per cent; k = 1
/// when there is none.
fn interval_rank(runs: usize) -> (usize, f64) {
    const MISSED_AT_MOST: f64 = 0.05;
    assert!(
        (1..=1000).contains(&runs),
        "from one to a thousand runs: 2 to the power of -runs must not vanish"
    );
    let mut probability = (0..runs).fold(1.0, |p, _| p / 2.0);
    let mut below = probability;
    let mut best = (1, 2.0 * below);
    for rank in 2..=runs / 2 {
        probability *= (runs + 2 - rank) as f64 / (rank - 1) as f64;
        below += probability;
        if 2.0 * below > MISSED_AT_MOST {
            break;
        }
        best = (rank, 2.0 * below);
    }
    (best.0, 100.0 * (1.0 - best.1.min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_ranks_match_the_published_table() {
        // Order statistics that hold the median with at least 95 %: n -> k, from tables of the sign test.
        let table = [
            (1, 1),
            (5, 1),
            (6, 1),
            (8, 1),
            (9, 2),
            (10, 2),
            (20, 6),
            (50, 18),
            (100, 40),
        ];
        for (runs, rank) in table {
            let (found, confidence) = interval_rank(runs);
            assert_eq!(found, rank, "n = {runs}");
            assert_eq!(confidence >= 95.0, runs >= 6, "n = {runs}: {confidence} %");
        }
    }

    #[test]
    fn a_figure_has_its_median_and_the_ends_of_its_interval() {
        let ten = figure("x_ms", (1..=10).rev().map(f64::from).collect());
        assert_eq!((ten.median, ten.low, ten.high), (5.5, 2.0, 9.0));
        assert!((ten.confidence_percent - 97.85).abs() < 0.01);
        let three = figure("x_ms", vec![3.0, 1.0, 2.0]);
        assert_eq!((three.median, three.low, three.high), (2.0, 1.0, 3.0));
        assert!((three.confidence_percent - 75.0).abs() < 1e-9);
    }
}
