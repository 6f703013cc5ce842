//! What a protocol claims with these validators, and whether a region may fail.

use std::collections::BTreeMap;

use consortium_node::{
    engine::{FaultModel, ReplyRule},
    node::Claims,
    quorum,
};

use super::units;
use crate::scenario::plan::{Plan, Protocol};

/// Thresholds of a protocol with n validators, and where they stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tolerance {
    /// Validators.
    pub n: usize,
    /// Faulty ones that are claimed to be borne.
    pub f: usize,
    /// Validators that a decision needs.
    pub q: usize,
    /// Validators in each region that has one.
    pub regions: BTreeMap<String, usize>,
    /// Regions without which the rest cannot decide.
    pub vital_regions: Vec<String>,
}

impl Tolerance {
    /// The thresholds of the plan's protocol.
    ///
    /// PBFT bears f = ⌊(n−1)/3⌋ with q = ⌈(n+f+1)/2⌉. Clique needs a majority of signers ⌊n/2⌋+1 to
    /// go on (EIP-225: each may sign one of so many consecutive blocks), whatever the rest does. A
    /// central database is one machine: the first validator's.
    pub fn of(plan: &Plan) -> Self {
        let n = plan.validators();
        let (f, q) = match plan.consensus.protocol {
            Protocol::Pbft(_) => (quorum::byzantine_faults(n), quorum::byzantine_quorum(n)),
            Protocol::Clique(_) => (n - (n / 2 + 1), n / 2 + 1),
            Protocol::Central => (0, 1),
        };
        let with_nodes = || plan.members.iter().filter(|member| member.validators > 0);
        let mut regions = BTreeMap::new();
        for member in with_nodes() {
            *regions.entry(member.region.clone()).or_default() += member.validators;
        }
        let vital_regions = match plan.consensus.protocol {
            Protocol::Central => with_nodes().take(1).map(|m| m.region.clone()).collect(),
            _ => regions
                .iter()
                .filter(|(_, inside)| n - **inside < q)
                .map(|(region, _)| region.clone())
                .collect(),
        };
        Self {
            n,
            f,
            q,
            regions,
            vital_regions,
        }
    }

    /// Validators that may be gone while the rest can still decide.
    pub fn spare(&self) -> usize {
        self.n - self.q
    }
}

/// What a protocol claims, in words.
pub fn claims_in_words(claims: &Claims, n: usize, f: usize) -> String {
    let finality = match claims.reply {
        ReplyRule::One => "final at one receipt".to_owned(),
        ReplyRule::WeakQuorum => format!("final at {} equal receipts (f+1)", f + 1),
        ReplyRule::Depth(k) => format!("no finality: {k} confirmations"),
    };
    match (claims.faults, claims.reply) {
        (FaultModel::Trusted, _) => {
            "one trusted machine: nothing an outsider could check".to_owned()
        }
        (FaultModel::Crash, _) => {
            format!("bears any {f} of {n} that crash, none that lies; {finality}")
        }
        (FaultModel::Byzantine, ReplyRule::Depth(_)) => finality,
        (FaultModel::Byzantine, _) => format!("bears any {f} of {n} that lie; {finality}"),
    }
}

/// A protocol's parameters in words.
pub fn parameters_in_words(plan: &Plan) -> String {
    let span = |duration| units::span(crate::time::nanos(duration));
    let consensus = &plan.consensus;
    let batch = format!(
        "batch {} tx / {} / {}",
        consensus.batch_transactions,
        units::bytes(consensus.batch_bytes as f64),
        span(consensus.batch_age)
    );
    match &consensus.protocol {
        Protocol::Pbft(pbft) => format!(
            "K={} L={} pipeline {}  request timeout {}  view change timeout {}  {batch}",
            pbft.checkpoint_interval,
            pbft.window,
            pbft.pipeline,
            span(pbft.request_timeout),
            span(pbft.view_change_timeout)
        ),
        Protocol::Clique(clique) => format!(
            "period {}  k={}  {batch}",
            span(clique.period),
            clique.confirmations
        ),
        Protocol::Central => batch,
    }
}
