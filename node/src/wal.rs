//! How records lie on a disk: frames with checksums.
//!
//! ```text
//!  frame = number (8 bytes, little endian) · length of the body (4) · checksum (8) · body
//! ```
//!
//! The checksum covers number, length and body. So a frame that lies where another belongs is damage,
//! like one with a wrong bit. What a crash may leave is a last frame that was never whole: it was never
//! durable either, so nobody relied on it ([`Recovery::Torn`]). Damage with a whole frame of a later
//! number behind it is no crash's doing, and then nothing is believed ([`Recovery::Lost`]).

use sha2::{Digest as _, Sha256};

use crate::engine::Recovery;

/// Bytes before a frame's body.
pub const FRAME_HEADER: usize = 8 + 4 + CHECKSUM;
const CHECKSUM: usize = 8;

/// The frame of this number with this body. Bodies are shorter than 4 GiB.
#[must_use]
pub fn frame(number: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("records are short");
    let mut bytes = Vec::with_capacity(FRAME_HEADER + body.len());
    bytes.extend(number.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(checksum(number, body));
    bytes.extend(body);
    bytes
}

fn checksum(number: u64, body: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = Sha256::new();
    hasher.update(number.to_le_bytes());
    hasher.update((body.len() as u64).to_le_bytes());
    hasher.update(body);
    let digest: [u8; 32] = hasher.finalize().into();
    std::array::from_fn(|i| digest[i])
}

/// A whole frame with an expected number at the start of `bytes`: its body, and what follows it.
fn whole(expected: impl Fn(u64) -> bool, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM>()?;
    let number = u64::from_le_bytes(*number);
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length).filter(|_| expected(number))?;
    (checksum(number, body) == *sum).then(|| (body, &rest[length..]))
}

/// Reads a file of frames numbered from `first` on: the bodies up to the first damage, and what the
/// damage means.
#[must_use]
pub fn read(first: u64, bytes: &[u8]) -> (Vec<&[u8]>, Recovery) {
    let mut bodies = Vec::new();
    let mut left = bytes;
    let mut number = first;
    while let Some((body, rest)) = whole(|found| found == number, left) {
        bodies.push(body);
        left = rest;
        number += 1;
    }
    let verdict = if left.is_empty() {
        Recovery::Clean
    } else if a_later_frame_is_whole(number, left) {
        Recovery::Lost
    } else {
        Recovery::Torn
    };
    (bodies, verdict)
}

/// Whether anything behind a damaged frame is whole. Its length may be part of the damage, so every
/// offset is tried.
fn a_later_frame_is_whole(damaged: u64, bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|offset| {
        // Each frame between them takes a header at least.
        let latest = damaged + 1 + (offset / FRAME_HEADER) as u64;
        whole(|found| damaged < found && found <= latest, &bytes[offset..]).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(first: u64, bodies: &[&[u8]]) -> Vec<u8> {
        let frames = (first..).zip(bodies).map(|(n, body)| frame(n, body));
        frames.flatten().collect()
    }

    const BODIES: [&[u8]; 4] = [
        b"accepted",
        b"",
        b"prepared",
        b"a longer record of a view change",
    ];

    #[test]
    fn what_was_written_is_read() {
        for first in [0, 7, u64::from(u32::MAX)] {
            let bytes = file(first, &BODIES);
            assert_eq!(read(first, &bytes), (BODIES.to_vec(), Recovery::Clean));
        }
        assert_eq!(read(3, b""), (vec![], Recovery::Clean));
    }

    #[test]
    fn cut_at_any_byte_it_gives_the_whole_frames_before_the_cut() {
        let bytes = file(5, &BODIES);
        let ends: Vec<usize> = (1..=BODIES.len())
            .map(|n| file(5, &BODIES[..n]).len())
            .collect();
        for cut in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let expected = if cut == 0 || ends.contains(&cut) {
                Recovery::Clean
            } else {
                Recovery::Torn
            };
            assert_eq!(
                read(5, &bytes[..cut]),
                (BODIES[..whole].to_vec(), expected),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_wrong_bit_is_never_believed_and_in_the_middle_it_is_a_loss() {
        let bytes = file(5, &BODIES);
        let last = file(5, &BODIES[..3]).len();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut rotten = bytes.clone();
                rotten[position] ^= 1 << bit;
                let (bodies, verdict) = read(5, &rotten);
                assert!(bodies.len() < BODIES.len() && BODIES.starts_with(&bodies));
                let expected = if position < last {
                    Recovery::Lost
                } else {
                    Recovery::Torn
                };
                assert_eq!(verdict, expected, "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn a_frame_in_the_wrong_place_is_damage() {
        let mut bytes = frame(5, BODIES[0]);
        bytes.extend(frame(7, BODIES[2]));
        assert_eq!(
            read(5, &bytes),
            (vec![BODIES[0]], Recovery::Lost),
            "one was never written"
        );
        assert_eq!(read(6, &bytes).0, Vec::<&[u8]>::new(), "another file's");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            first: u64,
            bytes in proptest::collection::vec(0_u8.., 0..400),
        ) {
            let first = first >> 1;
            let (bodies, _) = read(first, &bytes);
            proptest::prop_assert!(bodies.len() * FRAME_HEADER <= bytes.len());
        }
    }
}
