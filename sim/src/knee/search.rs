//! The search itself: doubling until a rate fails, then bisection until the knee is known to 5 %.

use crate::scenario::plan::Rate;

/// The first failing rate is above the knee by no more than so many per cent of it.
pub(super) const PRECISION_PERCENT: u64 = 5;
/// Where a search begins, if nobody says where.
const FIRST: Rate = Rate::per_second(100);
/// Where it gives up below, if nobody says where.
const LOWEST: Rate = Rate::per_second(1);

/// Between which rates the knee lies.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Bracket {
    /// The highest rate that held.
    pub(super) held: Option<Rate>,
    /// The lowest rate that failed.
    pub(super) failed: Option<Rate>,
}

/// Searches from `from` upwards, and from the usual beginning downwards too, up to `to`.
pub(super) fn search<E>(
    from: Option<Rate>,
    to: Rate,
    mut holds: impl FnMut(Rate) -> Result<bool, E>,
) -> Result<Bracket, E> {
    let lowest = from.unwrap_or(LOWEST.min(to));
    let mut rate = from.unwrap_or(FIRST.min(to));
    let mut bracket = Bracket::default();
    loop {
        if holds(rate)? {
            bracket.held = Some(rate);
        } else {
            bracket.failed = Some(rate);
        }
        rate = match bracket {
            Bracket {
                held: Some(held),
                failed: Some(failed),
            } => {
                let middle = between(held, failed);
                let is_close = failed.0 * 100 <= held.0 * (100 + PRECISION_PERCENT);
                if is_close || middle == held || middle == failed {
                    return Ok(bracket);
                }
                middle
            }
            Bracket {
                held: Some(held), ..
            } if held < to => Rate(held.0 * 2).min(to),
            Bracket {
                failed: Some(failed),
                ..
            } if failed > lowest => Rate(failed.0 / 2).max(lowest),
            _ => return Ok(bracket),
        };
    }
}

/// The geometric mean, to three digits.
fn between(low: Rate, high: Rate) -> Rate {
    let mean = (u128::from(low.0) * u128::from(high.0)).isqrt();
    let mean = u64::try_from(mean).unwrap_or(u64::MAX);
    let digits = mean.checked_ilog10().unwrap_or(0);
    let unit = 10_u64.pow(digits.saturating_sub(2));
    Rate((mean / unit * unit).clamp(low.0, high.0))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// The bracket of a network that takes so much, and how many probes it took.
    fn found(takes: Rate, from: Option<Rate>, to: Rate) -> (Bracket, Vec<Rate>) {
        let mut probed = Vec::new();
        let bracket = search(from, to, |rate| {
            probed.push(rate);
            Ok::<_, Infallible>(rate <= takes)
        });
        let Ok(bracket) = bracket;
        (bracket, probed)
    }

    #[test]
    fn the_knee_is_bracketed_to_five_per_cent_wherever_it_lies() {
        let to = Rate::per_second(1_000_000);
        for takes in [
            1_000_000,
            7_300_000,
            99_000_000,
            100_000_000,
            123_456_789,
            9_999_000_000,
        ] {
            let (bracket, probed) = found(Rate(takes), None, to);
            let (held, failed) = (
                bracket.held.expect("some hold"),
                bracket.failed.expect("some fail"),
            );
            assert!(held.0 <= takes && takes < failed.0, "{takes}: {bracket:?}");
            assert!(failed.0 * 100 <= held.0 * 105, "{takes}: {bracket:?}");
            assert!(probed.len() <= 14, "{takes}: {} probes", probed.len());
        }
    }

    #[test]
    fn a_search_stays_within_its_range() {
        let [low, high] = [200, 900].map(Rate::per_second);
        let (bracket, probed) = found(Rate::per_second(10_000), Some(low), high);
        assert_eq!((bracket.held, bracket.failed), (Some(high), None));
        assert_eq!(probed, [200, 400, 800, 900].map(Rate::per_second));
        let (bracket, probed) = found(Rate::per_second(100), Some(low), high);
        assert_eq!((bracket.held, bracket.failed), (None, Some(low)));
        assert_eq!(probed, [low]);
        let (bracket, _) = found(Rate(0), None, high);
        assert_eq!(
            bracket.failed,
            Some(Rate::per_second(1)),
            "nothing holds at all"
        );
    }

    #[test]
    fn rates_between_two_have_three_digits() {
        let [a, b] = [100, 200].map(Rate::per_second);
        assert_eq!(between(a, b), Rate::per_second(141));
    }
}
