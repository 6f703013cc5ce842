//! Whose turn it is, when a proposal is due, how long a round lasts.

use std::time::Duration;

use crate::{membership::Committee, types::NodeId};

/// Who proposes in which round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turns {
    /// Round 0 belongs to the member after the last block's proposer.
    RoundRobin,
    /// Round 0 belongs to the last block's proposer, for as long as it succeeds.
    Sticky,
}

impl Turns {
    /// The proposer of a round, when `last` proposed the block before; `None`: that was genesis. Of a
    /// proposer that has left the committee its first member takes the place.
    pub fn proposer(self, committee: &Committee, last: Option<NodeId>, round: u64) -> NodeId {
        let Some(last) = last else {
            return committee.turn(round);
        };
        let place = committee.position(last).unwrap_or(0) as u64;
        let first = match self {
            Self::RoundRobin => place + 1,
            Self::Sticky => place,
        };
        committee.turn(first.saturating_add(round))
    }
}

/// How a round's time grows with its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// base · 2^round: QBFT.
    Doubling,
    /// base, and 2^round seconds more from round 1 on: IBFT 1.0.
    PlusPowersOfTwo,
}

/// How long rounds last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Round 0.
    pub base: Duration,
    /// The others.
    pub growth: Growth,
    /// None lasts longer.
    pub cap: Option<Duration>,
}

impl Timeouts {
    /// The time of this round. Saturates at some 270 years.
    #[must_use]
    pub fn of(&self, round: u64) -> Duration {
        let power = 1_u64 << round.min(33);
        let grown = match self.growth {
            Growth::Doubling => {
                let factor = u32::try_from(power).unwrap_or(u32::MAX);
                self.base.saturating_mul(factor)
            }
            Growth::PlusPowersOfTwo if round == 0 => self.base,
            Growth::PlusPowersOfTwo => self.base.saturating_add(Duration::from_secs(power)),
        };
        grown.min(self.cap.unwrap_or(LONGEST)).min(LONGEST)
    }
}

/// What fits into nanoseconds, with room for an addition.
const LONGEST: Duration = Duration::from_secs(1 << 33);

/// What members of one network must agree on, and how patient each is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Who proposes.
    pub turns: Turns,
    /// Least time between the timestamps of a block and its parent.
    pub block_period: Duration,
    /// Time after the parent's timestamp from which on an empty block will do; `None`: never, and while
    /// nothing waits no timer runs.
    pub empty_block_period: Option<Duration>,
    /// How long rounds last.
    pub timeouts: Timeouts,
    /// Says again what was said in this round, so often; `None`, as the originals: what is lost is lost until
    /// the round changes.
    pub resend: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn timeouts(growth: Growth, cap: Option<Duration>) -> Timeouts {
        Timeouts {
            base: Duration::from_secs(10),
            growth,
            cap,
        }
    }

    #[test]
    fn qb9_the_time_of_a_round_doubles_up_to_the_cap_and_never_overflows() {
        let free = timeouts(Growth::Doubling, None);
        let seconds = [0, 1, 2, 10].map(|round| free.of(round).as_secs());
        assert_eq!(seconds, [10, 20, 40, 10_240]);
        assert_eq!(free.of(u64::MAX), LONGEST);
        let capped = timeouts(Growth::Doubling, Some(Duration::from_secs(30)));
        let seconds = [0, 1, 2, 40].map(|round| capped.of(round).as_secs());
        assert_eq!(seconds, [10, 20, 30, 30]);
    }

    #[test]
    fn ib8_a_round_lasts_two_to_its_number_seconds_more_than_the_first() {
        let growth = timeouts(Growth::PlusPowersOfTwo, None);
        let seconds = [0, 1, 2, 10].map(|round| growth.of(round).as_secs());
        assert_eq!(seconds, [10, 12, 14, 1034]);
        assert_eq!(growth.of(u64::MAX), LONGEST);
    }
}
