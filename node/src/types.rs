//! The quantities of the field, one newtype each.
//!
//! `Height` counts blocks of the ledger, `Seq` counts slots of an ordering protocol (a slot may stay
//! empty, so the two differ), `View` counts leaders, `Epoch` counts committees. Time on a member's
//! machine is [`LocalTime`]: what *its* clock says, possibly wrong. World time never enters this crate.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, BorshSerialize,
            BorshDeserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The next one. Saturates: a peer that names the greatest must not stop us.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The one before; zero stays zero.
            #[must_use]
            pub const fn prev(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// Number of a block in the ledger; genesis is 0.
    Height(u64)
);
counter!(
    /// Number of a slot that an ordering protocol decides; it may decide that nothing happens there.
    Seq(u64)
);
counter!(
    /// Number of a committee: the founders' is 0, and each change of who decides begins the next.
    Epoch(u32)
);

/// Number of a leader's reign: view (PBFT), term (Raft), round (Tendermint).
///
/// It begins with the number of the committee, so that whatever names a view (a vote, a certificate)
/// is bound to the committee that it was said in: `epoch << 32 | round`. Rounds of an epoch are
/// counted from zero. In epoch 0, all there is for most, a view is its round.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Debug,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct View(pub u64);

impl View {
    /// The first reign of an epoch.
    #[must_use]
    pub const fn first_of(epoch: Epoch) -> Self {
        Self((epoch.0 as u64) << 32)
    }

    /// Whose committee it is a reign in.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// Its number among the epoch's.
    #[must_use]
    pub const fn round(self) -> u64 {
        self.0 & 0xffff_ffff
    }

    /// The next of the same epoch. Saturates: nobody honest comes near the last one.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.round() == 0xffff_ffff {
            self
        } else {
            Self(self.0 + 1)
        }
    }
}

impl fmt::Display for View {
    /// "3" in epoch 0, "2.3" in epoch 2.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch() {
            Epoch(0) => self.round().fmt(f),
            epoch => write!(f, "{epoch}.{}", self.round()),
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, BorshSerialize,
            BorshDeserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// As an index into a table that lists all of them in order.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

name!(
    /// A machine with a network address: a validator, a gateway, a reader.
    NodeId(u16), "n"
);
name!(
    /// An organisation of the consortium. A member runs nodes.
    MemberId(u16), "m"
);
name!(
    /// A known identity that signs transactions: a device, an operator, an organisation.
    PartyId(u32), "p"
);

/// A SHA-256 digest.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize,
)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// All zeros: the parent of genesis, the root of nothing, the digest of a null request.
    pub const ZERO: Self = Self([0; 32]);

    /// The first eight bytes as a number, for running hashes and hash tables.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        u64::from_le_bytes(*self.0.first_chunk().expect("32 bytes begin with 8"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Digest of a block's header: what parents, votes and certificates name.
pub type BlockId = Digest;
/// Digest of a transaction's signer and body (not of its signature, so it is not malleable).
pub type TxId = Digest;

/// Monotonic nanoseconds since a node's clock was started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Mono(pub u64);

impl Mono {
    /// Nanoseconds from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Wall-clock nanoseconds since the Unix epoch, as a node's clock shows them.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, BorshSerialize, BorshDeserialize,
)]
pub struct Wall(pub u64);

/// What a node's own clock says now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LocalTime {
    /// Never goes back; timers count on it.
    pub mono: Mono,
    /// May be wrong; block timestamps use it.
    pub wall: Wall,
}

/// Separates one consortium from another: every signature is bound to it.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, BorshSerialize, BorshDeserialize,
)]
pub struct ChainId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_names_its_epoch_and_never_leaves_it_by_counting() {
        let view = View::first_of(Epoch(2));
        assert_eq!((view.epoch(), view.round()), (Epoch(2), 0));
        assert_eq!((view.next().epoch(), view.next().round()), (Epoch(2), 1));
        let last = View(View::first_of(Epoch(3)).0 - 1);
        assert_eq!((last.epoch(), last.next()), (Epoch(2), last));
        assert_eq!(View(u64::MAX).next(), View(u64::MAX));
        let shown = [View(3), View(view.0 + 3)].map(|view| view.to_string());
        assert_eq!(shown, ["3", "2.3"]);
    }
}
