//! The two-phase test: first everything breaks at random, then everything heals, and all pending work must
//! become final with equal states everywhere.
//!
//! Each seed draws its own weather: crashes of one or all with what they leave on disks, restarts one after
//! another or together, partitions, cut and lossy links, gateways without a connection, clocks that are off,
//! one Byzantine member or one disk that is lost, and a member that joins or leaves. `CONSORTIUM_HEAL_SEEDS`
//! says how many seeds; .ci/nightly asks for more.

mod harness;

use std::{
    env,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use consortium_node::types::NodeId;
use consortium_sim::{
    metrics::summary::VerdictStatus,
    rng::{Seed, draw},
    run::{self, Played},
};

/// Runs at once.
const THREADS: u64 = 2;
const SIZES: [usize; 5] = [4, 5, 6, 7, 10];
/// Storms that once found something, played whatever is asked for: votes retold after a restart in a later
/// epoch, the first view of a committee, members that left without knowing it, an old VIEW-CHANGE of a
/// mute one. They stand for that as long as the draws below stay as they are.
const KEPT: [u64; 5] = [371, 678, 2054, 3214, 6274];
/// Faults begin and end within so many milliseconds; then the weather clears.
const STORM_MS: u64 = 40_000;

/// Draws of one seed, one after another.
struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        draw(self.seed, self.drawn, 0) % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Tables of a scenario, written one after another.
struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("memory");
    }
}

/// The scenario of a seed.
fn weather(seed: u64) -> String {
    let mut draws = Draws {
        seed: Seed(seed).number("two-phase", 0),
        drawn: 0,
    };
    let n = SIZES[(seed % 5) as usize];
    let mut text = Text(String::new());
    let skew = draws.below(20);
    let loss = draws.below(30);
    let transport = draws.one(&["in-order", "datagram"]);
    text.line(format_args!(
        "# A storm, then calm\nseed = {seed}\nduration = \"60s\"\ndrain = \"5m\"\nclock_skew = \"{skew}ms\""
    ));
    text.line(format_args!(
        "[network]\nmatrix = \"uniform\"\nlatency = \"{}ms\"\nloss = {}\ntransport = \"{transport}\"",
        5 + draws.below(60),
        loss as f64 / 1000.0,
    ));
    let interval = 1 + draws.below(8);
    let window = interval * (2 + draws.below(4));
    let pipeline = 1 + draws.below(window.min(8));
    text.line(format_args!(
        "[consensus]\nprotocol = \"pbft\"\n[consensus.pbft]\ncheckpoint_interval = {interval}\n\
         window = {window}\npipeline = {pipeline}"
    ));
    text.line(format_args!(
        "[fleet]\npackages = {}\nreading_every = \"{}ms\"",
        1 + draws.below(4),
        500 + draws.below(2_500)
    ));
    for member in 0..n {
        text.line(format_args!(
            "[[member]]\nname = \"M{member}\"\nregion = \"here\""
        ));
    }
    text.line(format_args!(
        "[cold_chain]\nowner = \"M0\"\nobserver = \"M1\"\nmin_temperature_c = 0\nmax_temperature_c = 12\n\
         [[leg]]\nstage = \"Farm\"\ncustodian = \"M0\"\nduration = \"20s\"\nambient_c = 5\n\
         [[leg]]\nstage = \"Road\"\ncustodian = \"M2\"\nduration = \"20s\"\nambient_c = 7"
    ));
    // Faults of one kind come one after another, those of different kinds as they like.
    let mut free = [1_000; 10];
    match draws.below(5) {
        0 => {}
        1 => cheat(&mut draws, "silent-primary", n, &mut text),
        // As good as one that lies, until it takes part again (R40).
        2 => {
            lost_disk(&mut draws, n as u64, &mut text);
            free[..2].fill(9_000);
        }
        _ => cheat(&mut draws, "equivocating-primary", n, &mut text),
    }
    for _ in 0..=draws.below(5) {
        fault(&mut draws, n as u64, &mut free, &mut text);
    }
    if n > 4 && draws.below(3) == 0 {
        change(&mut draws, n, &mut text);
    }
    text.0
}

/// One fault, which ends before the calm.
fn fault(draws: &mut Draws, n: u64, free: &mut [u64; 10], text: &mut Text) {
    let kind = draws.below(10) as usize;
    let at = free[kind] + draws.below(STORM_MS / 3);
    let lasts = 200 + draws.below(10_000);
    if at + lasts > STORM_MS {
        return;
    }
    // The last of several that start again one after another starts ten seconds later at most.
    free[kind & !1..=kind | 1].fill(at + lasts + 10_000);
    let (a, b) = (draws.below(n), draws.below(n - 1));
    let b = if b >= a { b + 1 } else { b };
    let when = format!("at = \"{at}ms\"\nfor = \"{lasts}ms\"");
    match kind {
        0..=1 => {
            let disk = draws.one(&["torn", "kept"]);
            let target = draws.one(&["primary", "member"]);
            let target = if target == "primary" {
                target.to_owned()
            } else {
                format!("M{a}")
            };
            text.line(format_args!(
                "[[fault]]\nkind = \"crash\"\ntarget = \"{target}\"\ndisk = \"{disk}\"\n{when}"
            ));
        }
        2..=3 => {
            let disk = draws.one(&["torn", "kept"]);
            let stagger = draws.below(1_000);
            text.line(format_args!(
                "[[fault]]\nkind = \"crash\"\ntarget = \"all\"\ndisk = \"{disk}\"\nstagger = \"{stagger}ms\"\n{when}"
            ));
        }
        4..=5 => {
            let side: Vec<u64> = (0..n).filter(|_| draws.below(2) == 0).collect();
            let group = |there: bool| {
                let members = (0..n).filter(|m| side.contains(m) == there);
                let names: Vec<_> = members.map(|m| format!("\"M{m}\"")).collect();
                format!("[{}]", names.join(", "))
            };
            let groups = [group(true), group(false)];
            let groups: Vec<_> = groups.iter().filter(|g| g.len() > 2).cloned().collect();
            if groups.len() == 2 {
                text.line(format_args!(
                    "[[fault]]\nkind = \"partition\"\ngroups = [{}]\n{when}",
                    groups.join(", ")
                ));
            }
        }
        6 => text.line(format_args!(
            "[[fault]]\nkind = \"link-cut\"\nfrom = \"M{a}\"\nto = \"M{b}\"\n{when}"
        )),
        7 => text.line(format_args!(
            "[[fault]]\nkind = \"link-loss\"\nloss = 0.{}\n{when}",
            1 + draws.below(3)
        )),
        _ => text.line(format_args!(
            "[[fault]]\nkind = \"gateway-offline\"\nmember = \"M{a}\"\n{when}"
        )),
    }
}

fn cheat(draws: &mut Draws, kind: &str, n: usize, text: &mut Text) {
    let member = draws.below(n as u64);
    text.line(format_args!(
        "[[cheat]]\nkind = \"{kind}\"\nmember = \"M{member}\"\nat = \"1s\""
    ));
}

/// The last member joins in the middle of the storm, or leaves.
fn change(draws: &mut Draws, n: usize, text: &mut Text) {
    let kind = draws.one(&["joins", "leaves"]);
    let (at, last) = (3_000 + draws.below(STORM_MS / 2), n - 1);
    text.line(format_args!(
        "[[change]]\nkind = \"{kind}\"\nmember = \"M{last}\"\nat = \"{at}ms\""
    ));
}

/// A validator loses its disk; it lies beside no other faulty one.
fn lost_disk(draws: &mut Draws, n: u64, text: &mut Text) {
    let member = draws.below(n);
    let disk = draws.one(&["lost", "rolled-back", "rotten"]);
    let at = 3_000 + draws.below(4_000);
    text.line(format_args!(
        "[[fault]]\nkind = \"crash\"\ntarget = \"M{member}\"\ndisk = \"{disk}\"\nat = \"{at}ms\"\nfor = \"1s\""
    ));
}

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

#[test]
#[expect(clippy::print_stderr, reason = "a hunt says how much it hunted")]
fn after_any_storm_all_pending_work_becomes_final_and_all_states_are_equal() {
    let seeds: u64 = env::var("CONSORTIUM_HEAL_SEEDS").map_or(500, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{text} is no number"))
    });
    let first: u64 = env::var("CONSORTIUM_HEAL_FIRST").map_or(0, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{text} is no number"))
    });
    let next = AtomicU64::new(first);
    let totals = [const { AtomicU64::new(0) }; 3];
    let worker = || {
        let mut complaints = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let kept = || KEPT.get((number - first - seeds) as usize).copied();
            let drawn = (number < first + seeds).then_some(number);
            let Some(seed) = drawn.or_else(kept) else {
                return complaints;
            };
            let plan = harness::plan(&weather(seed), &[]);
            match run::play(&plan, 1, Arc::default()) {
                Ok(played) => {
                    let summary = &played.measured.summary;
                    let news = played.ending.packets.get("NEW-VIEW");
                    let views = news.map_or(0, |count| count.messages);
                    let counts = [summary.submitted, views, plan.faults.len() as u64];
                    for (total, count) in totals.iter().zip(counts) {
                        total.fetch_add(count, Ordering::Relaxed);
                    }
                    complaints.extend(complaint(&played).map(|why| format!("seed {seed}: {why}")));
                }
                Err(breakdown) => complaints.push(format!("seed {seed}: {breakdown}")),
            }
        }
    };
    let complaints: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        let done = workers.into_iter();
        done.flat_map(|worker| worker.join().expect("runs report their breakdowns"))
            .collect()
    });
    let [submitted, views, faults] = totals.map(AtomicU64::into_inner);
    eprintln!(
        "{} storms: {faults} faults, {views} NEW-VIEWs, {submitted} transactions; {} complaints",
        seeds + KEPT.len() as u64,
        complaints.len()
    );
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(
        faults >= seeds && views >= seeds / 2,
        "the storms did not blow"
    );
}
