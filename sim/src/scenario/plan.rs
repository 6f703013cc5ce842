//! A scenario that has been understood: no text to interpret, no option left open, nothing to re-check.
//!
//! Built by the loader from what was typed; everything behind it takes a [`Plan`] and trusts it.

mod compare;
mod fault;
mod load;
mod schedule;

use std::{path::PathBuf, sync::Arc, time::Duration};

use consortium_node::mutant::Mutant;
use serde::{Serialize, Serializer};

pub use super::change::{ChangeKind, ChangePlan};
pub use compare::{ComparePlan, Standing};
pub use fault::{CrashPlan, DiskFate, FaultKind, FaultPlan, Link, Target};
pub use load::{LoadPlan, Pattern, Rate};
pub use schedule::{About, Phase, REWRITES, ScheduleKind, SchedulePlan, rewrite_in_words};

use crate::{protocols::Protocol, time::Time};

/// Index into [`Plan::members`].
pub type MemberIndex = usize;
/// Index into [`Plan::parties`]. The members' own parties come first, in the members' order.
pub type PartyIndex = usize;

/// One run, completely described.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// File stem of the scenario, "milk".
    pub name: String,
    /// First comment line of the scenario: what it is about.
    pub title: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// What was laid over the file, but for the seed: the `path=value` of each `--set`.
    pub overrides: Vec<String>,
    /// Everything random follows from it.
    pub seed: u64,
    /// Sensors report, faults strike and cheats cheat from 0 to here.
    pub duration: Duration,
    /// Not measured: from 0 to here.
    pub warm_up: Duration,
    /// After `duration`, everything that can heal heals and pending work has so long to finish.
    pub drain: Duration,
    /// How members agree.
    pub consensus: Consensus,
    /// What a node keeps and how it hands it on.
    pub mempool: MempoolPlan,
    /// How a node that is behind catches up.
    pub sync: SyncPlan,
    /// How gateways submit.
    pub gateway: GatewayPlan,
    /// The organisations with nodes.
    pub members: Vec<MemberPlan>,
    /// Everyone who signs but devices: first each member's own party, then those without nodes.
    pub parties: Vec<PartyPlan>,
    /// The wires.
    pub network: NetworkPlan,
    /// The machine that every node runs on.
    pub machine: Machine,
    /// Each validator's wall clock is off by a constant, drawn from ± this.
    pub clock_skew: Duration,
    /// The terms of shipping.
    pub cold_chain: ColdChain,
    /// The sensors.
    pub fleet: FleetPlan,
    /// What is submitted besides, to see how much the network takes.
    pub load: Option<LoadPlan>,
    /// Who joins and who leaves the committee, in the order of time.
    pub changes: Vec<ChangePlan>,
    /// What breaks.
    pub faults: Vec<FaultPlan>,
    /// Who cheats.
    pub cheats: Vec<CheatPlan>,
    /// What happens to exactly which messages and records.
    pub schedules: Vec<SchedulePlan>,
    /// What the author expects to see.
    pub expect: Expect,
    /// What holds for one protocol and not for the others, when they are compared.
    pub compare: ComparePlan,
    /// How faithfully the host pays for what it models; changes no fingerprint.
    pub host: HostPlan,
}

impl Plan {
    /// When the drain ends at the latest.
    pub fn end(&self) -> Time {
        Time::ZERO + self.duration + self.drain
    }

    /// Whether a validator that crashed ever starts again, and reads its disk.
    pub fn has_restarts(&self) -> bool {
        let restarts =
            |fault: &FaultPlan| matches!(fault.kind, FaultKind::Crash(_)) && fault.until.is_some();
        self.faults.iter().any(restarts) || self.schedules_restart()
    }

    /// Number of validators, of those that join later too.
    pub fn validators(&self) -> usize {
        self.members.iter().map(|member| member.validators).sum()
    }
}

/// How members agree.
#[derive(Clone, Debug, Serialize)]
pub struct Consensus {
    /// Which protocol, with its own parameters.
    #[serde(serialize_with = "name_of")]
    pub protocol: Arc<dyn Protocol>,
    /// When a batch is cut: at so many transactions …
    pub batch_transactions: usize,
    /// … or so many bytes …
    pub batch_bytes: usize,
    /// … or when its oldest transaction has waited so long.
    pub batch_age: Duration,
    /// How far a block's timestamp may be ahead of a validator's clock (R42).
    pub clock_tolerance: Duration,
    /// A bug that every validator carries, to see that the invariants find it. Always `None` without the
    /// feature `mutants`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "by_name")]
    pub mutant: Option<Mutant>,
}

fn name_of<S: Serializer>(protocol: &Arc<dyn Protocol>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(protocol.name())
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this"
)]
fn by_name<S: Serializer>(mutant: &Option<Mutant>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mutant.map_or("none", Mutant::name))
}

/// What a node keeps of transactions not yet executed.
#[derive(Clone, Debug, Serialize)]
pub struct MempoolPlan {
    /// Transactions at most.
    pub capacity: usize,
    /// Where a validator sends what its gateway gives it.
    pub relay: RelayPlan,
    /// When `relay` is to the leader only: how long until it goes to everyone after all.
    pub relay_timeout: Duration,
}

/// How a node that is behind catches up.
#[derive(Clone, Debug, Serialize)]
pub struct SyncPlan {
    /// Final blocks that it must be behind before it takes over a snapshot; `None`: it fetches all blocks.
    pub snapshot_above: Option<u64>,
}

/// Where a validator sends what its gateway gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayPlan {
    /// As the protocol says.
    Protocol,
    /// To the leader.
    Leader,
    /// To everyone.
    Everyone,
}

/// How gateways submit.
#[derive(Clone, Debug, Serialize)]
pub struct GatewayPlan {
    /// How long to wait for an answer before the next attempt goes to every validator (R3).
    pub retry_after: Duration,
    /// Transactions that a gateway has sent and that are not answered, at most: the rest waits in the
    /// gateway, so that an outage does not end in a storm of retries.
    pub window: usize,
    /// Equal receipts from distinct members that make an answer; `None`: what the protocol says.
    pub reply_quorum: Option<usize>,
}

/// An organisation with nodes.
#[derive(Clone, Debug, Serialize)]
pub struct MemberPlan {
    /// Its name.
    pub name: String,
    /// Where its nodes stand: a region of the latency matrix.
    pub region: String,
    /// How many validators it runs.
    pub validators: usize,
}

/// Someone who signs (or reads) and is not a device.
#[derive(Clone, Debug, Serialize)]
pub struct PartyPlan {
    /// Its name.
    pub name: String,
    /// Through whose gateway its transactions go.
    pub via: MemberIndex,
    /// Whether it may submit at all.
    pub may_write: bool,
}

/// The wires between nodes.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkPlan {
    /// How messages travel between two regions.
    pub matrix: Matrix,
    /// One-way latency between two nodes of one region.
    pub local_latency: Duration,
    /// Spread of a link's one-way latency: its 95th percentile is so far above the median.
    pub jitter_p95: Duration,
    /// Lost messages in a million.
    pub loss_ppm: u32,
    /// Duplicated messages in a million (datagrams only; TCP removes them).
    pub duplicate_ppm: u32,
    /// In-order links or datagrams.
    pub transport: Transport,
    /// What a node's network card sends and receives a second; `None`: unlimited.
    pub bandwidth_bits: Option<u64>,
    /// Bytes that framing adds to a message (TCP/IP and TLS records).
    pub overhead_bytes: usize,
}

/// How far regions are apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matrix {
    /// Azure, median round trips, June 2025.
    Azure,
    /// AWS, average round trips, Cloudping.
    Aws,
    /// The same one-way latency between any two regions, for oracles.
    Uniform(Duration),
}

/// How a link treats messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP: what is sent first arrives first; a loss costs a retransmission.
    InOrder,
    /// Datagrams: may be lost, duplicated, overtaken.
    Datagram,
}

/// What work costs on a node's machine. Measured by a bench, stored as data.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Name of the profile.
    pub name: String,
    /// Cores of the parallel stage.
    pub cores: usize,
    /// Making a signature, ns.
    pub sign_ns: u64,
    /// Checking a signature, ns.
    pub check_ns: u64,
    /// Hashing a kilobyte, ns.
    pub hash_kb_ns: u64,
    /// Executing a transaction, ns.
    pub execute_ns: u64,
    /// Decoding and handling any message, ns.
    pub message_ns: u64,
    /// Making a write durable.
    pub fsync: Duration,
}

/// The terms of shipping. Temperatures in tenths of a degree Celsius, humidity in tenths of a per cent.
#[derive(Clone, Debug, Serialize)]
pub struct ColdChain {
    /// Who registers the terms and is responsible first.
    pub owner: PartyIndex,
    /// Who watches.
    pub observer: PartyIndex,
    /// Inclusive.
    pub min_temperature_dc: i64,
    /// Inclusive.
    pub max_temperature_dc: i64,
    /// Inclusive.
    pub min_humidity_dpct: i64,
    /// Inclusive.
    pub max_humidity_dpct: i64,
}

/// The packages and their journey.
#[derive(Clone, Debug, Serialize)]
pub struct FleetPlan {
    /// Packages with a sensor each, the golden one not counted.
    pub packages: usize,
    /// Journeys start at drawn instants from 0 to here.
    pub start_spread: Duration,
    /// When a sensor reports.
    pub pace: Pace,
    /// A sensor's constant error is within ± this, thousandths of a degree.
    pub accuracy_mc: i64,
    /// A sensor's constant error is within ± this, thousandths of a per cent.
    pub accuracy_mpct: i64,
    /// How slowly a package follows the air around it.
    pub thermal_time_constant: Duration,
    /// The stages of the journey, in order.
    pub legs: Vec<LegPlan>,
    /// Name of the golden package, if one travels: it starts at 0 and its readings are given.
    pub golden: Option<String>,
}

/// When a sensor reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// At this interval; each package with a phase of its own.
    Every(Duration),
    /// As soon as the reading before is final (a closed loop with one outstanding).
    ClosedLoop,
}

/// A stage of the journey.
#[derive(Clone, Debug, Serialize)]
pub struct LegPlan {
    /// Its name, "Warehouse".
    pub stage: String,
    /// Who is responsible.
    pub custodian: PartyIndex,
    /// How long it lasts.
    pub duration: Duration,
    /// Mean temperature of the air, thousandths of a degree.
    pub ambient_mc: i64,
    /// How far it strays from the mean, thousandths of a degree.
    pub ambient_spread_mc: i64,
    /// Mean humidity, thousandths of a per cent.
    pub humidity_mpct: i64,
    /// What the golden package's sensor reads: tenths of a degree, tenths of a per cent.
    pub golden: Option<(i64, i64)>,
}

/// A cheat with its time.
#[derive(Clone, Debug, Serialize)]
pub struct CheatPlan {
    /// From when.
    pub at: Time,
    /// Until when; `None`: to the end.
    pub until: Option<Time>,
    /// What.
    pub kind: CheatKind,
}

/// Who cheats, and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheatKind {
    /// Whenever it leads, this member proposes nothing.
    SilentPrimary(MemberIndex),
    /// Whenever it leads, this member tells one half of the others something else.
    EquivocatingPrimary(MemberIndex),
    /// These members follow one script: whoever of them leads equivocates, and each votes for both.
    Colluders(Vec<MemberIndex>),
    /// This member's validator runs twice with one key: half of the others talk to one, half to the other.
    Twins(MemberIndex),
    /// A member submits a reading for the golden package that is signed with a key of its own.
    ForgedReading(MemberIndex),
    /// A member submits an old reading of the golden package again.
    ReplayedReading(MemberIndex),
    /// A member changes a reading of the golden package in its own copy of the ledger: the last one
    /// with a temperature of `from_dc` becomes `to_dc` (tenths of a degree).
    RewritesCopy {
        /// Who.
        member: MemberIndex,
        /// What was recorded.
        from_dc: i64,
        /// What the copy says then.
        to_dc: i64,
    },
}

/// What the author expects to see.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Expect {
    /// Invariants that this scenario violates on purpose, by name; its absence fails the run.
    pub violations: Vec<String>,
    /// Whether no honest validator may give up a leader that is honest and up.
    pub steady_leader: bool,
}

/// Shortcuts of the host, none of which changes a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct HostPlan {
    /// Make and check real Ed25519 signatures.
    pub eager_signatures: bool,
    /// Encode and decode every message on every hop.
    pub eager_wire: bool,
    /// Let nodes share the execution of a block that all execute alike.
    pub shared_execution: bool,
}
