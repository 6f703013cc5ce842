//! The protocols that a scenario can choose, each in a file of its own: its parameters, how they are read,
//! what it claims with n validators, and how a validator that runs it is made.
//!
//! [`ALL`] is where a protocol registers. World, network, invariants, metrics and reports know protocols
//! only through [`Protocol`] and through what nodes claim
//! ([`Claims`](consortium_node::node::Claims)).

pub mod central;
pub mod clique;
pub mod execute_order_validate;
pub mod hotstuff;
pub mod ibft;
pub mod pbft;
pub mod qbft;
pub mod raft;
mod rounds;
mod seat;
pub mod tendermint;

use std::{fmt::Debug, sync::Arc, time::Duration};

use consortium_node::node::Node;

pub use self::{
    central::CentralPlan,
    clique::CliquePlan,
    execute_order_validate::{Endorsers, ExecuteOrderValidatePlan, Ordering},
    hotstuff::HotStuffPlan,
    ibft::IbftPlan,
    pbft::PbftPlan,
    qbft::QbftPlan,
    raft::RaftPlan,
    seat::Seat,
    tendermint::TendermintPlan,
};
use crate::scenario::{
    plan::MemberPlan,
    reader::{Names, Section},
};

/// All protocols, in the order in which they are listed for people.
pub(crate) const ALL: [Entry; 9] = [
    Entry::of::<PbftPlan>(),
    Entry::of::<QbftPlan>(),
    Entry::of::<IbftPlan>(),
    Entry::of::<TendermintPlan>(),
    Entry::of::<HotStuffPlan>(),
    Entry::of::<RaftPlan>(),
    Entry::of::<CliquePlan>(),
    Entry::of::<CentralPlan>(),
    Entry::of::<ExecuteOrderValidatePlan>(),
];

/// Timers below this would only measure the timer.
const TICK: Duration = Duration::from_millis(1);
/// No figure of a protocol is larger.
const MANY: u64 = 1_000_000;

/// A protocol with its parameters, as a scenario chose it.
pub trait Protocol: Debug + Send + Sync {
    /// As it is written in a scenario.
    fn name(&self) -> &'static str;
    /// Its parameters, in short.
    fn in_words(&self) -> String;
    /// What it claims with n validators.
    fn thresholds(&self, n: usize) -> Thresholds;
    /// Blocks by which the results in a header may lag behind: what a proposer may order before it has
    /// executed what came before.
    fn results_lag(&self) -> u64 {
        1
    }
    /// How long an answer takes when all is well, beyond messages: where blocks come by the clock and must
    /// be buried, asking again earlier would only add to the load.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
    /// Whether who decides can change during a run.
    fn changes_committee(&self) -> bool {
        false
    }
    /// Whether all hangs on the first validator.
    fn hangs_on_first(&self) -> bool {
        false
    }
    /// PBFT's own parameters, for invariants that hold its rules against it.
    fn pbft(&self) -> Option<&PbftPlan> {
        None
    }
    /// Who plays which part, where the parts are divided.
    fn roles(&self) -> Option<&ExecuteOrderValidatePlan> {
        None
    }
    /// A validator that runs it.
    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node>;
}

/// What a protocol claims with so many validators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Faulty ones that are borne.
    pub f: usize,
    /// Validators that a decision needs.
    pub q: usize,
}

/// What a protocol needs to register.
trait Registered: Protocol + Sized + 'static {
    /// As it is written in a scenario.
    const NAME: &'static str;
    /// Where its parameters stand, under `consensus`; `None` if it has none.
    const SECTION: Option<&'static str>;
    /// Names of its messages.
    const MESSAGES: &'static [&'static str];
    /// Names of what it writes to its log.
    const RECORDS: &'static [&'static str];
    /// Reads and checks its parameters.
    fn read(form: &Form<'_, '_>) -> Self;
}

/// What protocols read their parameters from.
pub(crate) struct Form<'s, 'a> {
    /// `[consensus]`.
    pub(crate) consensus: &'s Section<'a>,
    /// Who runs validators.
    pub(crate) members: &'s [MemberPlan],
    /// Their names.
    pub(crate) names: &'s Names<'a>,
}

impl Form<'_, '_> {
    fn validators(&self) -> usize {
        self.members.iter().map(|member| member.validators).sum()
    }
}

/// One line of the register.
pub(crate) struct Entry {
    /// As it is written in a scenario.
    pub(crate) name: &'static str,
    /// Where its parameters stand, under `consensus`; `None` if it has none.
    pub(crate) section: Option<&'static str>,
    /// Names of its messages.
    pub(crate) messages: &'static [&'static str],
    /// Names of what it writes to its log.
    pub(crate) records: &'static [&'static str],
    /// Reads and checks its parameters.
    pub(crate) read: fn(&Form<'_, '_>) -> Arc<dyn Protocol>,
}

impl Entry {
    const fn of<P: Registered>() -> Self {
        Self {
            name: P::NAME,
            section: P::SECTION,
            messages: P::MESSAGES,
            records: P::RECORDS,
            read: |form| Arc::new(P::read(form)),
        }
    }
}

/// A span of time, or none for "never".
fn or_never(section: &Section<'_>, key: &str) -> Option<Duration> {
    (!section.says(key, "never")).then(|| section.duration(key, TICK))
}

/// A protocol's name as a key of TOML tables.
pub(crate) fn key_of(name: &str) -> String {
    name.replace('-', "_")
}

/// Names of all protocols.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|entry| entry.name)
}
