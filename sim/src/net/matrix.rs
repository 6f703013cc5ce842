//! Published round trips between cloud regions, carried with the project as data.
//!
//! The files name their sources in their first lines. A one-way latency is half a round trip; the decimal
//! text is parsed into integer nanoseconds, so that no float decides when a message arrives.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use crate::scenario::plan::{Matrix, NetworkPlan};

const AZURE: &str = include_str!("../../data/azure_rtt_ms.csv");
const AWS: &str = include_str!("../../data/aws_rtt_ms.csv");

/// One published matrix.
#[derive(Debug)]
struct Table {
    /// In the file's order.
    regions: Vec<&'static str>,
    /// One-way nanoseconds by (from, to); what was not published is absent.
    one_way: BTreeMap<(&'static str, &'static str), Duration>,
}

/// Names of a matrix's regions, in its order. A uniform matrix has none: it takes any name.
pub fn regions(matrix: Matrix) -> &'static [&'static str] {
    table(matrix).map_or(&[], |table| &table.regions)
}

/// Median (Azure) or mean (AWS) one-way latency from a region to a different one.
///
/// Where only the opposite direction was published, that is taken. `None` where neither was, where a
/// region is unknown, and within one region: matrices are about distances between regions, and
/// [`NetworkPlan::local_latency`] is about the rest. A uniform matrix answers the same for any two names.
pub fn one_way(matrix: Matrix, from: &str, to: &str) -> Option<Duration> {
    if let Matrix::Uniform(latency) = matrix {
        return Some(latency);
    }
    if from == to {
        return None;
    }
    let known = &table(matrix)?.one_way;
    known
        .get(&(from, to))
        .or_else(|| known.get(&(to, from)))
        .copied()
}

/// Latency between two different nodes in these regions: what the world asks. `None` only for a pair that
/// [`one_way`] does not know, which no loaded plan contains.
///
/// With a uniform matrix any two nodes are its latency apart, in one region or in two, so that an oracle
/// can count delays.
pub fn between(network: &NetworkPlan, from: &str, to: &str) -> Option<Duration> {
    match network.matrix {
        Matrix::Azure | Matrix::Aws if from == to => Some(network.local_latency),
        matrix => one_way(matrix, from, to),
    }
}

fn table(matrix: Matrix) -> Option<&'static Table> {
    static TABLES: [OnceLock<Table>; 2] = [OnceLock::new(), OnceLock::new()];
    match matrix {
        Matrix::Azure => Some(TABLES[0].get_or_init(|| parse(AZURE))),
        Matrix::Aws => Some(TABLES[1].get_or_init(|| parse(AWS))),
        Matrix::Uniform(_) => None,
    }
}

fn parse(csv: &'static str) -> Table {
    let mut rows = csv
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split(','));
    let header = rows.next().expect("the file has a header row");
    let regions: Vec<_> = header.skip(1).collect();
    let mut one_way = BTreeMap::new();
    for mut row in rows {
        let from = row.next().expect("a split has a first part");
        for (to, cell) in regions.iter().zip(row) {
            if !cell.is_empty() {
                let round_trip = microseconds(cell).expect("cells are decimal milliseconds");
                one_way.insert((from, *to), Duration::from_nanos(round_trip * 1000 / 2));
            }
        }
    }
    Table { regions, one_way }
}

/// Microseconds of a decimal number of milliseconds with at most three decimals.
fn microseconds(cell: &str) -> Option<u64> {
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
    let scale = 10_u64.checked_pow(3_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?)?;
    let fraction = match fraction {
        "" => 0,
        digits => digits.parse::<u64>().ok()? * scale,
    };
    Some(whole.parse::<u64>().ok()? * 1000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_way_latency_is_half_the_published_round_trip() {
        let ms = |ns: u64| Some(Duration::from_nanos(ns));
        assert_eq!(
            one_way(Matrix::Azure, "West Europe", "Italy North"),
            ms(12_000_000)
        );
        assert_eq!(
            one_way(Matrix::Azure, "West Europe", "Switzerland North"),
            ms(9_500_000)
        );
        assert_eq!(
            one_way(Matrix::Aws, "af-south-1", "ap-east-1"),
            ms(125_315_000)
        );
        assert_eq!(
            one_way(Matrix::Aws, "af-south-1", "ap-northeast-1"),
            ms(177_600_000)
        );
    }

    #[test]
    fn a_blank_falls_back_to_the_other_direction_and_then_to_nothing() {
        let azure = table(Matrix::Azure).expect("Azure has a table");
        let (from, to) = azure
            .one_way
            .keys()
            .copied()
            .find(|(from, to)| !azure.one_way.contains_key(&(*to, *from)))
            .expect("the published matrix has one-sided blanks");
        assert_eq!(
            one_way(Matrix::Azure, to, from),
            azure.one_way.get(&(from, to)).copied()
        );
        assert_eq!(
            one_way(Matrix::Azure, "Australia East", "Jio India West"),
            None
        );
        assert_eq!(one_way(Matrix::Azure, "Atlantis", "West Europe"), None);
    }

    #[test]
    fn both_files_are_complete_squares() {
        for (matrix, count) in [(Matrix::Azure, 49), (Matrix::Aws, 21)] {
            let table = table(matrix).expect("published");
            assert_eq!(table.regions.len(), count, "{matrix:?}");
            for region in &table.regions {
                assert!(
                    table.one_way.keys().any(|(from, _)| from == region),
                    "{region} has no row"
                );
            }
        }
    }

    #[test]
    fn uniform_is_the_same_everywhere() {
        let latency = Duration::from_millis(7);
        let matrix = Matrix::Uniform(latency);
        assert!(regions(matrix).is_empty());
        assert_eq!(one_way(matrix, "here", "there"), Some(latency));
        assert_eq!(one_way(matrix, "here", "here"), Some(latency));
    }
}
