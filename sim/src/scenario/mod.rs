//! Scenarios: what was typed, what it means, and what is wrong with it.
//!
//! [`load`] goes from text to [`plan::Plan`] in three steps: the text becomes a tree that remembers where
//! everything was typed; overrides are laid over it and defaults under it; then each part of the plan is
//! read from the tree. No step stops at the first problem: [`Problems`] lists them all.

pub mod plan;

mod change;
mod excerpt;
mod overrides;
mod problem;
pub(crate) mod quantity;
mod read;
pub(crate) mod reader;
mod source;
pub(crate) mod suggest;
pub(crate) mod tree;
mod warning;

use std::time::Duration;

pub use problem::{Problem, Problems};
pub use read::cheats::INVARIANTS;
pub use source::{LONGEST_SCENARIO, Source};
pub use warning::Warning;

use self::{
    plan::Plan,
    problem::Log,
    read::{changes, cheats, compare, consensus, faults, fleet, load, network, people, schedules},
    reader::{Names, Section},
    tree::Table,
};

const DEFAULTS: &str = include_str!("../../data/defaults.toml");
const MACHINES: &str = include_str!("../../data/machines.toml");

const KEYS: [&str; 25] = [
    "seed",
    "duration",
    "warm_up",
    "drain",
    "consensus",
    "mempool",
    "sync",
    "clock_skew",
    "gateway",
    "member",
    "party",
    "network",
    "machine",
    "cold_chain",
    "fleet",
    "leg",
    "golden",
    "load",
    "change",
    "fault",
    "cheat",
    "schedule",
    "expect",
    "compare",
    "host",
];

/// A scenario that was understood.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it means.
    pub plan: Plan,
    /// All of it as one TOML text: file, overrides and defaults. It loads to the same plan.
    pub effective: String,
    /// What its author should know.
    pub warnings: Vec<Warning>,
}

/// Understands a scenario. Each of `overrides` is the `path=value` of a `--set`.
///
/// # Errors
/// Everything that is wrong with the text and the overrides. Whatever the bytes are, this neither panics
/// nor takes longer than about a second.
pub fn load(source: &Source, overrides: &[String]) -> Result<Loaded, Problems> {
    let text = source.text()?;
    let log = Log::default();
    let file = log.text(&source.path.display().to_string(), text);
    let mut tree = tree::document(&log, file, text);
    if log.count() > 0 {
        // Half a document would only give rise to more problems that are none.
        return Err(log.into_problems());
    }
    for setting in overrides {
        overrides::apply(&log, &mut tree, setting);
    }
    let profiles = built_in(&log, "machines.toml", MACHINES);
    tree::lay_under(&mut tree, &built_in(&log, "defaults.toml", DEFAULTS));
    network::lay_profile_under(&mut tree, &profiles);

    let mut plan = read_plan(&log, &tree, &profiles, source, text);
    let lies_over = |setting: &&String| !setting.trim_start().starts_with("seed=");
    plan.overrides = overrides.iter().filter(lies_over).cloned().collect();
    if log.count() > 0 {
        return Err(log.into_problems());
    }
    let effective = match Source::title(text) {
        "" => tree::to_toml(&tree),
        title => format!("# {title}\n\n{}", tree::to_toml(&tree)),
    };
    let mut warnings = warning::warnings(&plan);
    let asked = Section::root(&log, &tree, &KEYS).sections("change", &changes::KEYS);
    if plan.changes.is_empty() && !asked.is_empty() {
        let protocol = plan.consensus.protocol.name();
        warnings.push(Warning::CommitteeStays { protocol });
    }
    Ok(Loaded {
        plan,
        effective,
        warnings,
    })
}

fn built_in(log: &Log, name: &str, text: &'static str) -> Table {
    let number = log.built_in(name, text);
    tree::document(log, number, text)
}

/// Reads every part; what is wrong is in the log afterwards.
fn read_plan(log: &Log, tree: &Table, profiles: &Table, source: &Source, text: &str) -> Plan {
    let root = Section::root(log, tree, &KEYS);
    let before = log.count();
    let duration = root.duration("duration", Duration::from_millis(1));
    // Nothing is too late for a run whose length is unknown.
    let length = (log.count() == before).then_some(duration);
    let warm_up = root.duration("warm_up", Duration::ZERO);
    if length.is_some_and(|length| warm_up >= length) {
        let hint = "nothing would be measured: make it shorter than `duration`".to_owned();
        root.problem("warm_up", "the warm-up is as long as the run", Some(hint));
    }
    let member_sections = root.sections("member", &people::MEMBER);
    let party_sections = root.sections("party", &people::PARTY);
    people::refuse_duplicates(member_sections.iter().chain(&party_sections));
    let members = people::members(&root, &member_sections);
    let member_names = Names {
        singular: "member",
        plural: "members",
        list: members.iter().map(|member| member.name.as_str()).collect(),
    };
    let parties = people::parties(&party_sections, &member_names);
    let party_names = Names {
        singular: "member or party",
        plural: "members and parties",
        list: parties.iter().map(|party| party.name.as_str()).collect(),
    };
    let network = network::network(&root);
    network::check_regions(&member_sections, &members, &network);
    let fleet = fleet::fleet(&root, &party_names, &parties, length);
    let consensus = consensus::consensus(&root, &members, &member_names);
    let protocol = &*consensus.protocol;
    let changes = changes::changes(&root, &members, &member_names, protocol, length);
    let expect = cheats::expect(&root, protocol.name());
    let name = source.path.file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    Plan {
        title: match Source::title(text) {
            "" => name.clone(),
            title => title.to_owned(),
        },
        name,
        path: source.path.clone(),
        overrides: Vec::new(),
        seed: root.integer("seed", 0..=i64::MAX as u64),
        duration,
        warm_up,
        drain: root.duration("drain", Duration::ZERO),
        consensus,
        changes,
        mempool: consensus::mempool(&root),
        sync: consensus::sync(&root),
        gateway: consensus::gateway(&root, members.len()),
        load: load::load(&root, &member_names, &source.path, length),
        cold_chain: fleet::cold_chain(&root, &party_names, &parties),
        faults: faults::faults(&root, &members, &member_names, length),
        cheats: cheats::cheats(&root, &members, &member_names, &fleet, length),
        schedules: schedules::schedules(&root, &members, &member_names, length),
        expect,
        compare: compare::compare(&root),
        machine: network::machine(&root, profiles),
        clock_skew: root.duration("clock_skew", Duration::ZERO),
        host: network::host(&root),
        members,
        parties,
        network,
        fleet,
    }
}
