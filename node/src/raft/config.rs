//! What can be tuned, and what Fabric and Quorum set.

use std::time::Duration;

use super::configuration::Change;

/// When a leader makes blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Minting {
    /// A block as soon as the one before it is in the log, with at most so many of them not applied.
    /// A new leader begins once all that it took over is applied, so every block follows its parent.
    Piped {
        /// Blocks under way.
        depth: usize,
    },
    /// Quorum's rule: on the applied head or on own blocks, without a bound, from the moment of the
    /// election on; a block whose parent is not the head when its turn comes changes nothing.
    Speculative {
        /// At most one block in this time (`raftblocktime`).
        block_time: Duration,
    },
}

/// What can be tuned. All members need the same `election`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "etcd's options are switches, and each has its own rule"
)]
pub struct Config {
    /// Least time without a leader before a member asks for votes; the most is twice that.
    pub election: Duration,
    /// A leader says this often that it lives.
    pub heartbeat: Duration,
    /// Ask whether an election could be won before the term is raised (§9.6).
    pub pre_vote: bool,
    /// A leader that has not heard of a quorum for an election timeout steps down (§6.2).
    pub check_quorum: bool,
    /// Whoever heard of a leader within the least election timeout refuses votes (§4.2.3). etcd ties
    /// this to `check_quorum`; without that it can stop everything.
    pub lease: bool,
    /// When blocks are made.
    pub minting: Minting,
    /// Tell followers at once what is committed, as etcd does, not only with the next entries or
    /// heartbeat.
    pub eager_commit: bool,
    /// APPENDs under way to a follower.
    pub inflight: usize,
    /// Bytes of entries in an APPEND; one entry always fits.
    pub append_bytes: usize,
    /// Applied entries that are dropped at a time.
    pub compact_every: u64,
    /// Applied entries that are kept for slow followers.
    pub keep: u64,
    /// How members change.
    pub change: Change,
    /// Newcomers receive entries before they vote (§4.2.1).
    pub learn_first: bool,
    /// When nothing is to be done the leader says so, and all timers rest until there is. Neither the
    /// thesis nor etcd has it.
    pub rest: bool,
    /// Where the draws of election timeouts come from.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            election: Duration::from_secs(1),
            heartbeat: Duration::from_millis(100),
            pre_vote: true,
            check_quorum: true,
            lease: true,
            minting: Minting::Piped { depth: 8 },
            eager_commit: true,
            inflight: 256,
            append_bytes: 1 << 20,
            compact_every: 256,
            keep: 64,
            change: Change::Single,
            learn_first: true,
            rest: true,
            seed: 0,
        }
    }
}

impl Config {
    /// As Fabric's orderers run it: ticks of 500 ms, an election after 10 to 20 of them, PreVote and
    /// `CheckQuorum`, five blocks in flight.
    #[must_use]
    pub fn fabric() -> Self {
        Self {
            election: Duration::from_secs(5),
            heartbeat: Duration::from_millis(500),
            minting: Minting::Piped { depth: 5 },
            inflight: 5,
            keep: 4,
            ..Self::default()
        }
    }

    /// As `GoQuorum` runs it: ticks of 100 ms, an election after 10 to 20 of them, neither PreVote nor
    /// `CheckQuorum`, speculative blocks every 50 ms at most, a snapshot every 250 entries.
    #[must_use]
    pub fn quorum() -> Self {
        Self {
            pre_vote: false,
            check_quorum: false,
            lease: false,
            minting: Minting::Speculative {
                block_time: Duration::from_millis(50),
            },
            compact_every: 250,
            learn_first: false,
            ..Self::default()
        }
    }

    /// Panics if it cannot work.
    pub(super) fn check(&self) {
        assert!(!self.heartbeat.is_zero(), "heartbeats take time");
        assert!(
            self.heartbeat < self.election,
            "a leader is heard of before it is given up"
        );
        assert!(self.inflight > 0, "an APPEND may be under way");
        assert!(self.compact_every > 0, "something is dropped at a time");
        let blocks = !matches!(self.minting, Minting::Piped { depth: 0 });
        assert!(blocks, "a block may be under way");
    }
}
