//! The load beside the fleet: through the whole world, and what the loader says about it.

use std::{fs, sync::Arc, time::Duration};

use consortium_sim::{
    exit::ExitCode,
    run::{self, Played},
    scenario::{
        self, Source,
        plan::{Pattern, Plan, Rate},
    },
};

mod harness;

/// Four members 10 ms apart and a package that reports once a minute.
const QUIET: &str = r#"# A load beside a quiet fleet
seed = 5
duration = "10s"
warm_up = "1s"
drain = "20s"
[network]
matrix = "uniform"
latency = "10ms"
jitter_p95 = "0s"
[fleet]
packages = 1
[[member]]
name = "A"
region = "here"
[[member]]
name = "B"
region = "here"
[[member]]
name = "C"
region = "here"
[[member]]
name = "D"
region = "here"
[cold_chain]
owner = "A"
observer = "B"
min_temperature_c = -10
max_temperature_c = 30
[[leg]]
stage = "Road"
custodian = "A"
duration = "1h"
ambient_c = 5
"#;

/// Loads the scenario with a `[load]` table of these lines.
fn load(lines: &str, overrides: &[&str]) -> Result<Arc<Plan>, String> {
    let source = Source::new("test.toml", format!("{QUIET}[load]\n{lines}\n"));
    let overrides: Vec<_> = overrides.iter().map(|o| (*o).to_owned()).collect();
    match scenario::load(&source, &overrides) {
        Ok(loaded) => Ok(Arc::new(loaded.plan)),
        Err(problems) => Err(problems.render(false)),
    }
}

fn play(lines: &str, overrides: &[&str]) -> Played {
    let plan = load(lines, overrides).unwrap_or_else(|problems| panic!("{problems}"));
    run::play(&plan, 1, Arc::default()).expect("the run reaches its end")
}

#[test]
fn a_fixed_load_is_taken_whole_and_every_reading_succeeds() {
    let played = play("kind = \"fixed\"\nrate = \"200/s\"\nsources = 8", &[]);
    let summary = &played.measured.summary;
    assert_eq!(played.exit, ExitCode::Ok, "{:?}", summary.verdicts);
    // The package's terms, those of eight sources, and 200 a second for ten seconds.
    assert_eq!((summary.submitted, summary.ok), (2009, 2009));
    // Nine seconds are measured.
    let cohort = summary.due_to_final.count;
    assert_eq!(cohort, 9 * 200);
    assert!((199.0..=201.0).contains(&summary.goodput_per_s));
}

#[test]
fn every_protocol_takes_a_load() {
    for protocol in consortium_sim::protocols::names() {
        let protocol = format!("consensus.protocol={protocol}");
        let overrides = [protocol.as_str(), "duration=\"30s\"", "drain=\"2m\""];
        let played = play(
            "kind = \"poisson\"\nrate = \"20/s\"\nstart = \"1s\"",
            &overrides,
        );
        let summary = &played.measured.summary;
        assert_eq!(
            played.exit,
            ExitCode::Ok,
            "{protocol}: {:?}",
            summary.verdicts
        );
        assert_eq!(summary.submitted, summary.ok, "{protocol}");
        assert!(summary.ok > 257 + 400, "{protocol}: {}", summary.ok);
    }
}

/// The clocks of an overloaded network tell the truth: latency counts from when a reading was due, so
/// that the wait in front of the gateway shows, and shows as what it is.
#[test]
fn latency_counts_from_when_a_reading_was_due() {
    // One at a time for each of four gateways: each takes 60 ms at least.
    let overrides = ["gateway.window=1", "consensus.batch.max_age=\"0s\""];
    let played = play(
        "kind = \"fixed\"\nrate = \"200/s\"\nsources = 8",
        &overrides,
    );
    let summary = &played.measured.summary;
    assert!(summary.goodput_per_s < 100.0, "{}", summary.goodput_per_s);
    assert!(
        summary.sent_to_final.max_us < 200_000,
        "the network is fast"
    );
    assert!(summary.due_to_sent.max_us > 4_000_000, "the queue is not");
    assert!(
        summary.due_to_final.max_us > 4_000_000,
        "and all of it counts"
    );
    let cohort = summary.due_to_final.count + summary.censored;
    assert_eq!(cohort, 9 * 200, "none is left out");
}

#[test]
fn a_backlog_goes_as_fast_as_it_is_answered() {
    let played = play("kind = \"backlog\"\noutstanding = 40\nsources = 8", &[]);
    let summary = &played.measured.summary;
    assert_eq!(played.exit, ExitCode::Ok, "{:?}", summary.verdicts);
    // Little's law: 40 under way, each as long as its latency.
    let mean_s = summary.due_to_final.p50_us as f64 / 1e6;
    let expected = 40.0 / mean_s;
    let off = (summary.goodput_per_s / expected - 1.0).abs();
    assert!(
        off < 0.15,
        "{} a second, {expected} expected",
        summary.goodput_per_s
    );
}

#[test]
fn two_runs_of_a_load_are_the_same_and_another_seed_is_another() {
    let poisson = "kind = \"poisson\"\nrate = \"100/s\"\nsources = 8";
    let trace = |seed| play(poisson, &[seed]).ending.trace;
    assert_eq!(trace("seed=5"), trace("seed=5"));
    assert_ne!(trace("seed=5"), trace("seed=6"));
}

#[test]
fn a_load_that_is_switched_off_changes_nothing() {
    let without = run::play(&harness::plan(QUIET, &[]), 1, Arc::default()).expect("it ends");
    let off = play("kind = \"none\"\nrate = \"100/s\"\nsources = 8", &[]);
    assert_eq!(without.ending.trace, off.ending.trace);
}

#[test]
fn every_controller_is_read_with_its_parameters() {
    let pattern = |lines: &str| {
        let plan = load(lines, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        plan.load.as_ref().expect("there is a load").pattern.clone()
    };
    let second = Duration::from_secs(1);
    assert_eq!(
        pattern("kind = \"fixed\"\nrate = \"0.5/s\""),
        Pattern::Fixed(Rate(500_000))
    );
    assert_eq!(
        pattern("kind = \"ramp\"\nfrom = \"0/s\"\nto = \"10/s\"\nover = \"1s\""),
        Pattern::Ramp {
            from: Rate(0),
            to: Rate::per_second(10),
            over: second
        }
    );
    assert_eq!(
        pattern("kind = \"step\"\nrates = [\"1/s\", \"0/s\"]\neach = \"1s\""),
        Pattern::Step {
            rates: vec![Rate::per_second(1), Rate(0)],
            each: second
        }
    );
    assert_eq!(
        pattern("kind = \"backlog\"\noutstanding = 3"),
        Pattern::Backlog(3)
    );
    let burst = |every| Pattern::Burst { count: 9, every };
    assert_eq!(pattern("kind = \"burst\"\ncount = 9"), burst(None));
    assert_eq!(
        pattern("kind = \"burst\"\ncount = 9\nevery = \"1s\""),
        burst(Some(second))
    );
    let plan =
        load("kind = \"fixed\"\nrate = \"1/s\"\nat = [\"C\", \"A\"]", &[]).expect("it loads");
    let read = plan.load.as_ref().expect("there is a load");
    assert_eq!((read.sources, read.gateways.as_slice()), (256, &[2, 0][..]));
}

#[test]
fn a_replay_is_found_beside_its_scenario() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("recorded.csv"), "0,3\n2.5,4\n").expect("writable");
    let text = format!("{QUIET}[load]\nkind = \"replay\"\nfile = \"recorded.csv\"\nsources = 8\n");
    let source = Source::new(directory.path().join("test.toml"), text.clone());
    let loaded = scenario::load(&source, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let rows = vec![(0, 3), (2_500_000_000, 4)];
    let read = loaded.plan.load.as_ref().expect("there is a load");
    assert_eq!(read.pattern, Pattern::Replay(rows));
    let played = run::play(&Arc::new(loaded.plan), 1, Arc::default()).expect("it ends");
    assert_eq!(played.measured.summary.ok, 1 + 8 + 7);

    fs::write(directory.path().join("recorded.csv"), "0,3\n2.5\n").expect("writable");
    let problems = scenario::load(&source, &[]).expect_err("a comma is missing");
    assert!(problems.render(false).contains("line 2 has no comma"));
    let elsewhere = Source::new("test.toml", text);
    let problems = scenario::load(&elsewhere, &[]).expect_err("there is no such file here");
    assert!(problems.render(false).contains("cannot be read"));
}

/// Lines of a `[load]` table, and the advice that they meet with.
const REFUSED: [(&str, &str); 21] = [
    ("kind = \"posson\"", "did you mean \"poisson\"?"),
    ("kind = \"fixed\"", "`load.rate` is missing"),
    (
        "kind = \"fixed\"\nrate = 200",
        "not a string such as \"200/s\"",
    ),
    ("kind = \"fixed\"\nrate = \"200\"", "a number and \"/s\""),
    (
        "kind = \"fixed\"\nrate = \"0/s\"",
        "the range is 0.000001/s to 10000000/s",
    ),
    (
        "kind = \"fixed\"\nrate = \"9000000/s\"",
        "would take too long to simulate",
    ),
    (
        "kind = \"fixed\"\nrate = \"1/s\"\ncount = 3",
        "a load of kind \"fixed\" has no count",
    ),
    (
        "kind = \"fixed\"\nrtae = \"1/s\"",
        "there is no key \"rtae\" in `load`",
    ),
    (
        "kind = \"ramp\"\nfrom = \"1/s\"\nto = \"1/s\"\nover = \"1s\"",
        "begins where it ends",
    ),
    (
        "kind = \"ramp\"\nfrom = \"1/s\"\nto = \"2/s\"\nover = \"25h\"",
        "too long",
    ),
    (
        "kind = \"step\"\nrates = []\neach = \"1s\"",
        "there are no steps",
    ),
    (
        "kind = \"step\"\nrates = [\"1\"]\neach = \"1s\"",
        "a number and \"/s\"",
    ),
    ("kind = \"backlog\"\noutstanding = 0", "out of range"),
    (
        "kind = \"burst\"\ncount = 1\nevery = \"1us\"",
        "out of range",
    ),
    ("kind = \"replay\"\nfile = \"\"", "the file has no name"),
    ("kind = \"replay\"\nfile = \"/\"", "not a regular file"),
    (
        "kind = \"fixed\"\nrate = \"1/s\"\nat = []",
        "the load comes from nowhere",
    ),
    (
        "kind = \"fixed\"\nrate = \"1/s\"\nat = [\"A\", \"A\"]",
        "named twice",
    ),
    (
        "kind = \"fixed\"\nrate = \"1/s\"\nat = [\"E\"]",
        "there is no member \"E\"",
    ),
    (
        "kind = \"fixed\"\nrate = \"1/s\"\nsources = 3",
        "one for each of them at least: 4",
    ),
    (
        "kind = \"fixed\"\nrate = \"1/s\"\nstart = \"10s\"",
        "begins after the run",
    ),
];

#[test]
fn what_makes_no_load_is_refused_with_advice() {
    for (lines, advice) in REFUSED {
        match load(lines, &[]) {
            Ok(plan) => panic!("{lines:?} loads: {:?}", plan.load),
            Err(problems) => assert!(problems.contains(advice), "{lines:?}: {problems}"),
        }
    }
}
