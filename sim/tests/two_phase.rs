//! The two-phase test: first everything breaks at random, then everything heals, and all pending work must
//! become final with equal states everywhere.
//!
//! Each seed draws its own weather: crashes of one or all with what they leave on disks, restarts one after
//! another or together, partitions, cut and lossy links, gateways without a connection, clocks that are off,
//! one Byzantine member or one disk that is lost, and a member that joins or leaves; of these what the
//! protocol claims to bear. `CONSORTIUM_HEAL_SEEDS` says how many seeds; .ci/nightly asks for more.

mod harness;
#[path = "two_phase/weather.rs"]
mod weather;

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use consortium_node::types::NodeId;
use consortium_sim::{
    metrics::summary::VerdictStatus,
    run::{self, Played},
};

use weather::{Draws, weather};

/// Runs at once.
const THREADS: u64 = 2;
const SIZES: [usize; 5] = [4, 5, 6, 7, 10];
/// Faults begin and end within so many milliseconds; then the weather clears.
const STORM_MS: u64 = 40_000;

/// What is wrong with a run; `None` if nothing is.
fn complaint(played: &Played) -> Option<String> {
    let summary = &played.measured.summary;
    if summary.exit_code != 0 {
        let violated = summary.verdicts.iter();
        let violated = violated.filter(|verdict| verdict.status == VerdictStatus::Violated);
        let details: Vec<_> = violated.flat_map(|verdict| &verdict.detail).collect();
        return Some(format!("exit code {}: {details:?}", summary.exit_code));
    }
    if summary.lost + summary.pending > 0 {
        return Some(format!(
            "{} lost, {} pending",
            summary.lost, summary.pending
        ));
    }
    let honest = played
        .cast
        .validators()
        .filter(|node| played.cast.is_honest(*node));
    let stands: Vec<_> = honest
        .map(|node: NodeId| {
            let ledger = &played.ending.ledgers[node.index()];
            (ledger.height(), ledger.state().root())
        })
        .collect();
    if stands.iter().any(|stand| *stand != stands[0]) {
        return Some(format!("states differ: {stands:?}"));
    }
    None
}

/// A protocol in the storm: what it bears, and how to see that the storm blew.
struct Subject {
    protocol: &'static str,
    /// Draws its parameters, as tables of a scenario.
    parameters: fn(&mut Draws) -> String,
    /// Whether one member in the storm may lie.
    bears_liars: bool,
    changes_committee: bool,
    /// How long all may take to get going again after the storm.
    drain: &'static str,
    /// Messages that tell of a change of the leader.
    turmoil: &'static [&'static str],
    /// Seeds in CI.
    seeds: u64,
    /// Storms that once found something, played whatever is asked for. They stand for that as long as the
    /// draws stay as they are.
    kept: &'static [u64],
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{text} is no number")))
}

impl Subject {
    #[expect(clippy::print_stderr, reason = "a hunt says how much it hunted")]
    fn weathers_any_storm(&self) {
        let seeds = number("CONSORTIUM_HEAL_SEEDS").unwrap_or(self.seeds);
        let first = number("CONSORTIUM_HEAL_FIRST").unwrap_or(0);
        let next = AtomicU64::new(first);
        let totals = [const { AtomicU64::new(0) }; 3];
        let worker = || {
            let mut complaints = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let kept = || self.kept.get((number - first - seeds) as usize).copied();
                let drawn = (number < first + seeds).then_some(number);
                let Some(seed) = drawn.or_else(kept) else {
                    return complaints;
                };
                complaints.extend(self.complaint(seed, &totals));
            }
        };
        let complaints: Vec<String> = thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
            let done = workers.into_iter();
            done.flat_map(|worker| worker.join().expect("runs report their breakdowns"))
                .collect()
        });
        let [submitted, turmoil, faults] = totals.map(AtomicU64::into_inner);
        eprintln!(
            "{} storms over {}: {faults} faults, {turmoil} {}, {submitted} transactions; {} complaints",
            seeds + self.kept.len() as u64,
            self.protocol,
            self.turmoil.join(" and "),
            complaints.len()
        );
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
        assert!(
            faults >= seeds && turmoil >= seeds / 2,
            "the storms did not blow"
        );
    }

    /// Plays a seed and says what is wrong, if anything is.
    fn complaint(&self, seed: u64, totals: &[AtomicU64; 3]) -> Option<String> {
        let plan = harness::plan(&weather(self, seed), &[]);
        let played = match run::play(&plan, 1, Arc::default()) {
            Ok(played) => played,
            Err(breakdown) => return Some(format!("seed {seed}: {breakdown}")),
        };
        let packets = &played.ending.packets;
        let told = self.turmoil.iter().filter_map(|kind| packets.get(*kind));
        let turmoil = told.map(|count| count.messages).sum();
        let submitted = played.measured.summary.submitted;
        for (total, count) in totals
            .iter()
            .zip([submitted, turmoil, plan.faults.len() as u64])
        {
            total.fetch_add(count, Ordering::Relaxed);
        }
        complaint(&played).map(|why| {
            // So that it can be played and taken apart.
            let file = format!("two-phase-{}-{seed}.toml", self.protocol);
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
            fs::write(&file, weather(self, seed)).expect("a place for findings");
            format!("seed {seed}: {why}\n  {}", file.display())
        })
    }
}

#[test]
fn after_any_storm_pbft_makes_all_pending_work_final_and_all_states_are_equal() {
    let subject = Subject {
        protocol: "pbft",
        parameters: |draws| {
            let interval = 1 + draws.below(8);
            let window = interval * (2 + draws.below(4));
            let pipeline = 1 + draws.below(window.min(8));
            format!(
                "[consensus.pbft]\ncheckpoint_interval = {interval}\nwindow = {window}\n\
                 pipeline = {pipeline}"
            )
        },
        bears_liars: true,
        changes_committee: true,
        drain: "5m",
        turmoil: &["NEW-VIEW"],
        seeds: 500,
        // Votes retold after a restart in a later epoch, the first view of a committee, members that left
        // without knowing it, an old VIEW-CHANGE of a mute one.
        kept: &[371, 678, 2054, 3214, 6274],
    };
    subject.weathers_any_storm();
}

/// A committee of rounds, with rounds that last seconds.
fn rounds(section: &str, draws: &mut Draws) -> String {
    let (period, timeout) = (draws.below(400), 500 + draws.below(2_000));
    let turns = draws.one(&["round-robin", "sticky"]);
    format!(
        "[consensus.{section}]\nblock_period = \"{period}ms\"\ntimeout = \"{timeout}ms\"\n\
         turns = \"{turns}\""
    )
}

/// Rounds last twice as long each time: after a storm of 40 s the next one ends within about as long again.
#[test]
fn after_any_storm_qbft_makes_all_pending_work_final_and_all_states_are_equal() {
    let subject = Subject {
        protocol: "qbft",
        parameters: |draws| rounds("qbft", draws),
        bears_liars: true,
        changes_committee: true,
        drain: "15m",
        turmoil: &["ROUND-CHANGE"],
        seeds: 200,
        kept: &[],
    };
    subject.weathers_any_storm();
}

#[test]
fn after_any_storm_tendermint_makes_all_pending_work_final_and_all_states_are_equal() {
    let subject = Subject {
        protocol: "tendermint",
        parameters: |draws| {
            let timeout = 200 + draws.below(1_000);
            format!(
                "[consensus.tendermint]\ntimeout_propose = \"{}ms\"\ntimeout_prevote = \"{timeout}ms\"\n\
                 timeout_precommit = \"{timeout}ms\"\ntimeout_delta = \"{}ms\"\n\
                 timeout_commit = \"{}ms\"",
                timeout + draws.below(1_000),
                100 + draws.below(400),
                1 + draws.below(500)
            )
        },
        bears_liars: true,
        changes_committee: true,
        drain: "5m",
        turmoil: &["STATUS"],
        seeds: 200,
        kept: &[],
    };
    subject.weathers_any_storm();
}

#[test]
fn after_any_storm_hotstuff_makes_all_pending_work_final_and_all_states_are_equal() {
    let subject = Subject {
        protocol: "hotstuff",
        parameters: |draws| {
            // With rotation three in a row need four live leaders in a row: that may never be.
            let (variant, leader) = *[
                ("jolteon", "rotate"),
                ("jolteon", "sticky"),
                ("jolteon", "reputation"),
                ("hotstuff-2", "rotate"),
                ("hotstuff-2", "sticky"),
                ("three-chain", "sticky"),
                ("three-chain", "reputation"),
            ]
            .get(draws.below(7) as usize)
            .expect("there are seven");
            format!(
                "[consensus.hotstuff]\nvariant = \"{variant}\"\nleader = \"{leader}\"\n\
                 timeout = \"{}ms\"\ntimeout_max = \"16s\"\ndelta = \"{}ms\"",
                400 + draws.below(800),
                100 + draws.below(200)
            )
        },
        bears_liars: true,
        changes_committee: false,
        drain: "5m",
        turmoil: &["TIMEOUT", "NEW-VIEW"],
        seeds: 200,
        kept: &[677],
    };
    subject.weathers_any_storm();
}

#[test]
fn after_any_storm_raft_makes_all_pending_work_final_and_all_states_are_equal() {
    let subject = Subject {
        protocol: "raft",
        parameters: |draws| {
            let both = draws.below(2) == 0;
            let minting = draws.one(&["piped", "speculative"]);
            format!(
                "[consensus.raft]\nelection = \"{}ms\"\nheartbeat = \"{}ms\"\npre_vote = {both}\n\
                 check_quorum = {both}\nlease = {both}\nminting = \"{minting}\"\npipeline = {}\n\
                 compact_every = {}\nkeep = {}",
                400 + draws.below(1_000),
                50 + draws.below(100),
                1 + draws.below(8),
                1 + draws.below(64),
                draws.below(16)
            )
        },
        bears_liars: false,
        changes_committee: false,
        drain: "5m",
        turmoil: &["REQUEST-VOTE"],
        seeds: 200,
        kept: &[],
    };
    subject.weathers_any_storm();
}
