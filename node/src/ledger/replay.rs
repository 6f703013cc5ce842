//! The replay window: each number of a party executes at most once (R2, with pipelining).
//!
//! PBFT lets a client's timestamps only grow. Gateways that were offline deliver late and out of
//! turn, so here, as in the anti-replay service of IPsec (RFC 4303 §3.4.3), a window of the last
//! [`WINDOW`] numbers remembers which of them were executed; what lies below it is too old. The
//! windows live in the state, so they come with it through restarts and state transfer (R5, R39).
//! Admission, block validation and execution ask the same function.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{State, Store};
use crate::{codec, types::PartyId};

/// How far below its highest executed number a party may still deliver.
pub const WINDOW: u64 = 4096;

const WORDS_MAX: usize = (WINDOW / 64) as usize;

/// Which numbers of a party were executed.
///
/// One set of executed numbers has one representation: `low` is the least number that may still
/// execute, and the last word is never zero.
#[derive(Clone, PartialEq, Eq, Debug, Default, BorshSerialize)]
pub struct ReplayWindow {
    low: u64,
    /// Bit i of word j: whether `low + 64 j + i` was executed. Empty when all came in turn.
    words: Vec<u64>,
}

/// Why a number may not execute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplayFault {
    /// Below the window: executed before, or given up.
    #[error("number {nonce} is spent: the party's window begins at {low}")]
    Spent {
        /// The number.
        nonce: u64,
        /// Where the window begins.
        low: u64,
    },
    /// Within the window, and executed before.
    #[error("number {nonce} was executed before")]
    Executed {
        /// The number.
        nonce: u64,
    },
    /// The greatest number there is: the window could not begin above it.
    #[error("number {nonce} cannot be used")]
    Unusable {
        /// The number.
        nonce: u64,
    },
}

impl ReplayWindow {
    /// The window of a party, as a state holds it.
    pub fn load(state: &State, party: PartyId) -> Self {
        Self::parse(state.get(&key(party)))
    }

    /// The same from whatever execution reads.
    pub fn read(store: &mut impl Store, party: PartyId) -> Self {
        Self::parse(store.read(&key(party)))
    }

    fn parse(bytes: Option<&[u8]>) -> Self {
        bytes.map_or_else(Self::default, |bytes| {
            codec::decode(bytes).expect("the state holds what `store` wrote")
        })
    }

    /// Puts the window of a party where execution writes.
    pub fn store(&self, store: &mut impl Store, party: PartyId) {
        store.write(&key(party), &codec::encode(self));
    }

    /// The least number that may still execute.
    pub fn low(&self) -> u64 {
        self.low
    }

    /// Whether this number may execute.
    pub fn check(&self, nonce: u64) -> Result<(), ReplayFault> {
        if nonce == u64::MAX {
            return Err(ReplayFault::Unusable { nonce });
        }
        if nonce < self.low {
            return Err(ReplayFault::Spent {
                nonce,
                low: self.low,
            });
        }
        if self.is_marked(nonce - self.low) {
            return Err(ReplayFault::Executed { nonce });
        }
        Ok(())
    }

    /// Notes that this number is executed. Refuses, and changes nothing, if it may not.
    pub fn insert(&mut self, nonce: u64) -> Result<(), ReplayFault> {
        self.check(nonce)?;
        if nonce - self.low >= WINDOW {
            self.advance(nonce - self.low - (WINDOW - 1));
        }
        let offset = nonce - self.low;
        let word = (offset / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (offset % 64);
        let in_turn = self.in_turn();
        self.advance(in_turn);
        assert!(
            self.check(nonce).is_err(),
            "an executed number must not execute again"
        );
        Ok(())
    }

    fn is_marked(&self, offset: u64) -> bool {
        self.words
            .get(usize::try_from(offset / 64).unwrap_or(usize::MAX))
            .is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }

    /// Whether every marked number is one that could have executed.
    fn highest_is_usable(&self) -> bool {
        self.words.last().is_none_or(|word| {
            let bits = self.words.len() as u64 * 64 - u64::from(word.leading_zeros());
            self.low.checked_add(bits).is_some()
        })
    }

    /// How many numbers from `low` on were executed without a gap.
    fn in_turn(&self) -> u64 {
        let full = self.words.iter().take_while(|word| **word == u64::MAX);
        let full = full.count();
        let rest = self.words.get(full).map_or(0, |word| word.trailing_ones());
        full as u64 * 64 + u64::from(rest)
    }

    /// Moves `low` up by `by` and forgets what falls below it.
    fn advance(&mut self, by: u64) {
        self.low += by;
        let whole = usize::try_from(by / 64).unwrap_or(usize::MAX);
        self.words.drain(..whole.min(self.words.len()));
        let bits = by % 64;
        if bits > 0 {
            for at in 0..self.words.len() {
                let above = self.words.get(at + 1).map_or(0, |word| word << (64 - bits));
                self.words[at] = self.words[at] >> bits | above;
            }
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

impl BorshDeserialize for ReplayWindow {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let low = u64::deserialize_reader(reader)?;
        let words = Vec::<u64>::deserialize_reader(reader)?;
        let window = Self { low, words };
        let canonical = window.words.len() <= WORDS_MAX
            && window.words.last() != Some(&0)
            && window.in_turn() == 0
            && window.highest_is_usable();
        if canonical {
            Ok(window)
        } else {
            Err(borsh::io::Error::new(
                borsh::io::ErrorKind::InvalidData,
                "not the canonical form of a replay window",
            ))
        }
    }
}

/// Where a state keeps the window of a party.
pub fn key(party: PartyId) -> Vec<u8> {
    codec::encode(&("replay", party))
}
