//! How a link's latency spreads around its median: an exponential tail, read from a table.
//!
//! A wide-area path has a floor (light and routers) and a long tail (queues), so a latency is
//! *floor + E* with E exponential of scale s. Its quantile is Q(u) = floor − s·ln(1 − u), hence
//!
//! - median = floor + s·ln 2,
//! - P95 − P50 = s·(ln 20 − ln 2) = s·ln 10, so that s = `jitter_p95` / ln 10,
//! - floor = median − s·ln 2.
//!
//! A short link with a large `jitter_p95` would get a floor of nothing or less: s is scaled down until
//! the floor is at least half the median. Such a link strays less than `jitter_p95` says.
//!
//! Floats appear only here, once, at the start, and through `libm`, whose bits are the same on every
//! machine; a draw is integer arithmetic.

use std::time::Duration;

use crate::time::nanos;

/// Bins of the table; the bits of a draw that choose one.
const BIN_BITS: u32 = 12;
/// Bits of a draw that choose a place within a bin.
const PLACE_BITS: u32 = 20;
/// Fractional bits of the table's fixed point.
const FRACTION_BITS: u32 = 24;

/// Quantiles of the unit exponential, minus its median.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// At u = i / 4096, in fixed point; the median's is zero.
    edges: Vec<i64>,
}

impl Tail {
    /// Computes the table.
    pub(super) fn new() -> Self {
        let bins = 1_u32 << BIN_BITS;
        let fixed = |x: f64| libm::round(x * f64::from(1_u32 << FRACTION_BITS)) as i64;
        let mut edges: Vec<i64> = (0..bins)
            .map(|i| {
                let above = f64::from(bins - i) / f64::from(bins);
                fixed(-libm::log(above) - libm::log(2.0))
            })
            .collect();
        // The last bin reaches to infinity. What lies beyond its lower edge has a mean of one more;
        // a uniform draw over a width of two has the same.
        edges.push(edges[edges.len() - 1] + fixed(2.0));
        Self { edges }
    }

    /// How far from the median a link of this scale (ns) strays at this draw, ns.
    #[inline]
    pub(super) fn stray(&self, scale_ns: u64, draw: u64) -> i64 {
        let bin = (draw >> (64 - BIN_BITS)) as usize;
        let place = ((draw << BIN_BITS) >> (64 - PLACE_BITS)).cast_signed();
        let (low, high) = (self.edges[bin], self.edges[bin + 1]);
        let quantile = low + (((high - low) * place) >> PLACE_BITS);
        ((i128::from(quantile) * i128::from(scale_ns)) >> FRACTION_BITS) as i64
    }
}

/// The scale s of a link, ns: see the module's algebra.
pub(super) fn scale_ns(median: Duration, jitter_p95: Duration) -> u64 {
    let wanted = nanos(jitter_p95) as f64 / libm::log(10.0);
    let most = nanos(median) as f64 / (2.0 * libm::log(2.0));
    libm::floor(wanted.min(most)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::draw;

    const MS: u64 = 1_000_000;

    /// Sorted latencies of a link, ns.
    fn sample(median: Duration, jitter: Duration) -> Vec<i64> {
        let (tail, scale) = (Tail::new(), scale_ns(median, jitter));
        let mut all: Vec<i64> = (0..200_000)
            .map(|k| nanos(median).cast_signed() + tail.stray(scale, draw(11, 5, k)))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_median_is_the_median_and_p95_is_jitter_above_it() {
        let all = sample(Duration::from_millis(80), Duration::from_millis(10));
        let at = |per_mille: usize| all[all.len() * per_mille / 1000];
        assert!((at(500) - 80_000_000).abs() < 50_000, "P50 {}", at(500));
        assert!((at(950) - 90_000_000).abs() < 150_000, "P95 {}", at(950));
        // P99 of an exponential lies s·ln 50 above its median.
        let p99 = 80_000_000 + 10_000_000 * 16_990 / 10_000;
        assert!((at(990) - p99).abs() < 400_000, "P99 {}", at(990));
    }

    #[test]
    fn a_short_link_keeps_half_its_median_as_a_floor() {
        let all = sample(Duration::from_micros(250), Duration::from_millis(10));
        assert!(all[0] >= 125_000, "{}", all[0]);
        assert!((all[all.len() / 2] - 250_000).abs() < 2_000);
    }

    #[test]
    fn the_table_has_the_known_quantiles() {
        let tail = Tail::new();
        assert_eq!(
            tail.stray(1000 * MS, 1 << 63),
            0,
            "the median strays nothing"
        );
        assert_eq!(tail.stray(0, u64::MAX), 0, "no jitter, no stray");
        let floor = tail.stray(1000 * MS, 0);
        assert!((floor + 693_147_181).abs() < 100, "−ln 2: {floor}");
        let upper_quartile = tail.stray(1000 * MS, 3 << 62);
        assert!((upper_quartile - 693_147_181).abs() < 100, "ln 4 − ln 2");
    }
}
