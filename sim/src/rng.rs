//! Everything random has a name.
//!
//! One seed a run; every user of chance takes a stream of its own by name, so that a draw more in one
//! place never shifts the draws of another. Network draws are a pure function of (seed, link, time
//! slot, k-th in the slot): two protocols meet the same weather.

use consortium_node::codec;
use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::SeedableRng};

/// The generator of all streams: portable and named, so that figures stay the same for ever.
pub type Stream = Xoshiro256PlusPlus;

/// The seed of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of this name and number.
    #[must_use]
    pub fn stream(self, name: &str, index: u64) -> Stream {
        Stream::from_seed(self.bytes(name, index))
    }

    /// 32 bytes of this name and number, for keys.
    #[must_use]
    pub fn bytes(self, name: &str, index: u64) -> [u8; 32] {
        codec::digest("stream", &(self.0, name, index)).0
    }

    /// A number of this name and number, to seed cheap draws with [`draw`].
    #[must_use]
    pub fn number(self, name: &str, index: u64) -> u64 {
        codec::digest("stream", &(self.0, name, index)).prefix()
    }
}

/// A 64-bit draw that depends on nothing but its arguments (the finaliser of SplitMix64, twice).
#[must_use]
pub const fn draw(seed: u64, a: u64, b: u64) -> u64 {
    mix(mix(seed ^ a.wrapping_mul(0x9E37_79B9_7F4A_7C15)) ^ b.wrapping_mul(0xD1B5_4A32_D192_ED03))
}

const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::rand_core::Rng as _;

    use super::*;

    #[test]
    fn streams_are_the_same_for_ever() {
        let mut stream = Seed(7).stream("faults", 0);
        let first = [stream.next_u64(), stream.next_u64()];
        let mut again = Seed(7).stream("faults", 0);
        assert_eq!(first, [again.next_u64(), again.next_u64()]);
        assert_ne!(first[0], Seed(7).stream("faults", 1).next_u64());
        assert_ne!(first[0], Seed(8).stream("faults", 0).next_u64());
        assert_eq!(
            draw(1, 2, 3),
            0x71c2_ffe7_3db3_99e6,
            "the weather has changed for everyone"
        );
    }
}
