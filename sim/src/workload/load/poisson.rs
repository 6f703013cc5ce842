//! Gaps of a Poisson process.

use rand_xoshiro::rand_core::Rng as _;

use crate::rng::Stream;

/// Fractional bits of a gap.
pub(super) const GAP_BITS: u32 = 32;

/// Draws from the exponential distribution of mean 1, as 2⁻³² of it, by inversion: -ln(u) with u
/// uniform above 0 and up to 1, in steps of 2⁻⁵³.
pub(super) fn exponential(stream: &mut Stream) -> u64 {
    let steps = (1_u64 << 53) as f64;
    let uniform = ((stream.next_u64() >> 11) + 1) as f64 / steps;
    (-libm::log(uniform) * (1_u64 << GAP_BITS) as f64) as u64
}
