//! What a protocol claims with these validators, and whether a region may fail.

use std::collections::BTreeMap;

use consortium_node::{
    engine::{FaultModel, ReplyRule},
    node::Claims,
};

use super::units;
use crate::{
    protocols::{Endorsers, ExecuteOrderValidatePlan, Ordering, Thresholds},
    scenario::plan::Plan,
};

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
    /// Validators that may be gone while the rest can still decide: n−q, or none when all hangs on one
    /// machine.
    pub spare: usize,
    /// Regions without which the rest cannot decide.
    pub vital_regions: Vec<String>,
    /// Members without which the rest cannot decide, with the validators that they run.
    pub vital_members: Vec<(String, usize)>,
}

impl Tolerance {
    /// The thresholds of the plan's protocol.
    pub fn of(plan: &Plan) -> Self {
        let n = plan.validators();
        let protocol = &plan.consensus.protocol;
        let Thresholds { f, q } = protocol.thresholds(n);
        if let Some(roles) = protocol.roles() {
            return Self::of_roles(plan, roles, (n, f, q));
        }
        let with_nodes = || plan.members.iter().filter(|member| member.validators > 0);
        let mut regions = BTreeMap::new();
        for member in with_nodes() {
            *regions.entry(member.region.clone()).or_default() += member.validators;
        }
        let central = protocol.hangs_on_first();
        let database = with_nodes().next().filter(|_| central);
        let spare = if central { 0 } else { n - q };
        let vital_regions = regions
            .iter()
            .filter(|(region, inside)| match database {
                Some(member) => member.region == **region,
                None => **inside > spare,
            })
            .map(|(region, _)| region.clone())
            .collect();
        let vital_members = with_nodes()
            .filter(|member| match database {
                Some(database) => database.name == member.name,
                None => member.validators > spare,
            })
            .map(|member| (member.name.clone(), member.validators))
            .collect();
        Self {
            n,
            f,
            q,
            regions,
            spare,
            vital_regions,
            vital_members,
        }
    }
}

impl Tolerance {
    /// The same where the parts are divided: whoever holds too many of the orderers, or of the endorsers,
    /// can stop everyone.
    fn of_roles(plan: &Plan, roles: &ExecuteOrderValidatePlan, nfq: (usize, usize, usize)) -> Self {
        let (n, f, q) = nfq;
        let mut before = 0;
        let mut parts = Vec::new();
        for (number, member) in plan.members.iter().enumerate() {
            let validators = member.validators;
            let orders = match roles.ordering {
                Ordering::Pbft(_) => validators,
                Ordering::Single(Some(orderer)) => usize::from(number == orderer),
                Ordering::Single(None) => usize::from(before == 0 && validators > 0),
            };
            let endorses = match &roles.endorsers {
                Endorsers::First(count) => count.saturating_sub(before).min(validators),
                Endorsers::Members(list) => usize::from(list.contains(&number)),
            };
            before += validators;
            parts.push((orders, endorses));
        }
        let orderers: usize = parts.iter().map(|(orders, _)| orders).sum();
        let endorsers: usize = parts.iter().map(|(_, endorses)| endorses).sum();
        let spare = orderers - q;
        let vital =
            |orders: usize, endorses: usize| orders > spare || endorses > endorsers - roles.policy;
        let mut regions = BTreeMap::new();
        let mut parts_of_regions: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut vital_members = Vec::new();
        for (member, (orders, endorses)) in plan.members.iter().zip(&parts) {
            if member.validators == 0 {
                continue;
            }
            *regions.entry(member.region.clone()).or_default() += member.validators;
            let inside = parts_of_regions.entry(member.region.clone()).or_default();
            *inside = (inside.0 + orders, inside.1 + endorses);
            if vital(*orders, *endorses) {
                vital_members.push((member.name.clone(), member.validators));
            }
        }
        let vital_regions = parts_of_regions
            .into_iter()
            .filter(|(_, (orders, endorses))| vital(*orders, *endorses))
            .map(|(region, _)| region)
            .collect();
        Self {
            n,
            f,
            q,
            regions,
            spare,
            vital_regions,
            vital_members,
        }
    }
}

/// What a protocol claims, in words.
pub fn claims_in_words(claims: &Claims, n: usize, f: usize) -> String {
    let finality = match claims.reply {
        ReplyRule::One => "final at one receipt".to_owned(),
        ReplyRule::WeakQuorum => format!("final at {} equal receipts (f+1)", f + 1),
        ReplyRule::Depth(k) => format!("no finality: {k} confirmations"),
        ReplyRule::Commit => "final at the commit event of one's own peer".to_owned(),
    };
    match (claims.faults, claims.reply) {
        (FaultModel::Trusted, ReplyRule::Commit) => {
            format!("bears no orderer that stops or lies, whose word it can show; {finality}")
        }
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
    match consensus.protocol.in_words() {
        none if none.is_empty() => batch,
        words => format!("{words}  {batch}"),
    }
}
