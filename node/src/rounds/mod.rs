//! What protocols share that decide one height after the other in numbered rounds, each with a proposer
//! of its own: IBFT 1.0 and QBFT.
//!
//! - [`Turns`] says who proposes; [`Timeouts`] and [`Pace`] say when a proposal is due and how long a round
//!   lasts.
//! - A `Station` is where a member stands: its height and round, what it asked its host for, its timers.
//! - `Ballots` are the votes of a height, by round, with a bound for liars.
//! - `Early` keeps messages of the next heights until their time comes.
//! - `Peers` knows who is behind or ahead; [`Courtesy`] is what members tell each other about it.
//! - `Mute` is a member whose disk does not show what it signed.
//!
//! Rounds are the rounds of [`View`](crate::types::View), which begin anew at each height; heights are slots.

mod ballots;
mod courtesy;
mod early;
mod mute;
mod pace;
mod peers;
mod station;

pub use courtesy::{Ask, Courtesy, Report};
pub use pace::{Growth, Pace, Timeouts, Turns};

pub(crate) use ballots::Ballots;
pub(crate) use early::Early;
pub(crate) use station::{Anew, Station};

use crate::{
    engine::Engine,
    quorum::Phase,
    types::{Height, NodeId},
};

/// Phase of a proposal: "this block for this height in this round".
pub const PROPOSE: Phase = Phase(1);
/// Phase of a PREPARE: "I accepted that proposal".
pub const PREPARE: Phase = Phase(2);
/// Phase of a COMMIT: "a quorum prepared it". It is the seal that goes with the block.
pub const COMMIT: Phase = Phase(3);

/// A timer, with what it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// The round has lasted long enough.
    Round {
        /// Of this height.
        height: Height,
        /// The round.
        round: u64,
    },
    /// At this height an empty block will do from now on.
    Empty(Height),
    /// Others are ahead, and this member is still at that height.
    Lag(Height),
    /// Members that were silent about the last block may have missed it.
    Nudge,
    /// A mute member does not know yet how much it may have signed.
    Ask,
    /// Time to say again what was said in this round.
    Resend {
        /// Of this height.
        height: Height,
        /// The round.
        round: u64,
    },
}

/// A protocol of this kind.
pub(crate) trait Rounds: Engine<Timer = Timer, Message: From<Courtesy>> {}

impl<E: Engine<Timer = Timer, Message: From<Courtesy>>> Rounds for E {}

/// Who signed a message, and about which height it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author {
    pub(crate) node: NodeId,
    pub(crate) height: Height,
}
