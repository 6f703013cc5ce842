//! The program as it is typed: what it prints, what it writes, and how it exits.

use std::{fs, path::Path};

use assert_cmd::{Command, cargo::cargo_bin_cmd};
use serde_json::Value;
use tempfile::TempDir;

/// The program in an empty directory, where nothing that it writes is in the way.
struct Bench {
    directory: TempDir,
}

/// How a call came out.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command: Command = cargo_bin_cmd!("consortium");
        let output = command
            .current_dir(self.path())
            .args(arguments)
            .output()
            .expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        let said = Said {
            code: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(!said.err.contains("panicked"), "{}", said.err);
        said
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{}", said.err);
        serde_json::from_str(&said.out).expect("it prints JSON")
    }
}

/// The lines between the table's header and what follows it, as stage, temperature, humidity.
fn table(out: &str) -> Vec<(String, String, String)> {
    out.lines()
        .skip_while(|line| !line.starts_with(" stage"))
        .skip(1)
        .take_while(|line| !line.starts_with(" who knew"))
        .map(|line| {
            let degrees = line.find("°C").expect("a temperature");
            let (stage, temperature) = line[..degrees]
                .trim()
                .rsplit_once(' ')
                .expect("two columns");
            let percent = line[degrees + "°C".len()..].split('%').next();
            (
                stage.trim().to_owned(),
                temperature.to_owned(),
                percent.expect("a humidity").trim().to_owned(),
            )
        })
        .collect()
}

/// The numbers of the line that begins with this word.
fn numbers(out: &str, word: &str) -> Vec<u64> {
    let mut lines = out.lines();
    let line = lines
        .find(|line| line.starts_with(word))
        .expect("it is printed");
    line.replace(',', "")
        .split_whitespace()
        .filter_map(|token| token.parse().ok())
        .collect()
}

#[test]
fn the_milk_day_prints_the_slides_table_adds_up_and_leaves_its_files() {
    let bench = Bench::new();
    let said = bench.run(&["scenario", "milk.toml", "--out", "day"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let rows = [
        ("Origin", "8", "60"),
        ("Warehouse", "9", "64"),
        ("Carrier 2", "9", "64"),
        ("Store", "11", "66"),
    ]
    .map(|(stage, degrees, percent)| (stage.to_owned(), degrees.to_owned(), percent.to_owned()));
    assert_eq!(table(&said.out), rows);
    assert!(said.out.contains("OUT OF COMPLIANCE: 11 > 10"));
    let fates = numbers(&said.out, "SUBMITTED");
    assert_eq!(fates.len(), 6, "{fates:?}");
    assert_eq!(fates[0], fates[1..].iter().sum::<u64>());
    assert!(said.out.contains("SAFE  LIVE  18/18 invariants"));
    assert!(said.out.contains("2/2 faults survived  4/4 cheats stopped"));
    assert!(said.out.contains("\nreproduce: cargo run -- scenario "));

    let read = |name: &str| {
        fs::read_to_string(bench.path().join("day").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let summary: Value = serde_json::from_str(&read("summary.json")).expect("JSON");
    assert_eq!(summary["schema_version"], 1);
    assert_eq!(summary["submitted"], fates[0]);
    assert!(read("due-to-final.hgrm").contains("Percentile"));
    for plot in ["latency.svg", "golden.svg"] {
        assert!(read(plot).starts_with("<svg"), "{plot}");
    }
    // The effective plan is a scenario: it is understood, and says what was left out of milk.toml.
    assert!(read("scenario.toml").contains("checkpoint_interval"));
}

#[test]
fn the_effective_plan_plays_the_same_run_again() {
    let bench = Bench::new();
    let first = bench.json(&[
        "scenario",
        "hour",
        "--set",
        "fleet.packages=1",
        "--seed",
        "5",
        "--out",
        "one",
        "--format",
        "json",
    ]);
    let again = bench.json(&[
        "scenario",
        "one/scenario.toml",
        "--out",
        "two",
        "--format",
        "json",
    ]);
    assert_eq!(first["seed"], 5);
    for hash in ["trace", "outcome"] {
        assert!(first[hash].is_string());
        assert_eq!(first[hash], again[hash]);
    }
}

#[test]
fn json_is_one_document_with_the_version_of_its_format() {
    let bench = Bench::new();
    let summary = bench.json(&["scenario", "hour", "--out", "o", "--format", "json"]);
    assert_eq!(summary["schema_version"], 1);
    assert_eq!(summary["scenario"], "hour");
    assert_eq!(summary["exit_code"], 0);
    assert_eq!(summary["verdicts"].as_array().map(Vec::len), Some(19));
    let fates = ["ok", "reverted", "rejected", "lost", "pending"];
    let sum: u64 = fates.iter().filter_map(|fate| summary[fate].as_u64()).sum();
    assert_eq!(summary["submitted"], sum);
}

#[test]
fn several_seeds_print_medians_with_intervals() {
    let bench = Bench::new();
    let said = bench.run(&["scenario", "hour", "--seeds", "3", "--out", "three"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("HOUR  pbft  3 seeds  0 failed"));
    for word in ["median", "low", "high", "sent_to_final_p50_ms"] {
        assert!(said.out.contains(word), "{word}");
    }
    for seed in [11, 12, 13] {
        let file = bench.path().join(format!("three/seed-{seed}/summary.json"));
        assert!(file.is_file(), "{}", file.display());
    }
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let bench = Bench::new();
    let loud = bench.run(&["scenario", "colluders", "--out", "o"]);
    let quiet = bench.run(&["scenario", "colluders", "--out", "o", "--quiet"]);
    assert_eq!((loud.code, quiet.code), (0, 0), "the violation is expected");
    assert_eq!(quiet.err, "");
    assert_eq!(loud.out, quiet.out);
}

#[test]
fn without_a_directory_the_files_go_to_results_runs() {
    let bench = Bench::new();
    let said = bench.run(&["scenario", "hour", "--quiet"]);
    assert_eq!(said.code, 0);
    let summary = "results/runs/hour-pbft-seed-11/summary.json";
    assert!(bench.path().join(summary).is_file());
}

#[test]
fn list_shows_each_scenario_with_its_first_line() {
    let bench = Bench::new();
    let said = bench.run(&["list"]);
    assert_eq!(said.code, 0);
    for (name, title) in [
        ("milk", "Milk from the farm to the store"),
        ("lying-leader", "A lying leader"),
        ("colluders", "Colluders"),
        ("hour", "An hour of milk"),
    ] {
        let mut lines = said.out.lines();
        let line = lines.find(|line| line.starts_with(name)).expect("listed");
        assert!(line.contains(title), "{line}");
    }
    let listed = bench.json(&["list", "--format", "json"]);
    assert!(listed.as_array().is_some_and(|list| list.len() >= 4));
}

#[test]
fn a_scenario_that_is_not_there_is_answered_with_those_that_are() {
    let said = Bench::new().run(&["scenario", "mlik.toml"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("there is no scenario \"mlik.toml\""));
    for name in ["milk", "lying-leader", "colluders", "hour"] {
        assert!(said.err.contains(name), "{}", said.err);
    }
}

#[test]
fn a_misspelt_key_is_refused_with_its_place_and_the_nearest_one() {
    let said = Bench::new().run(&["scenario", "hour", "--set", "fleet.pakages=3"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("pakages") && said.err.contains("packages"));
    let said = Bench::new().run(&["scenario", "hour", "--sede", "3"]);
    assert_eq!(said.code, 2, "a bad command line");
}

#[test]
fn an_unexpected_violation_exits_with_three_and_names_the_colluders() {
    let bench = Bench::new();
    let said = bench.run(&[
        "scenario",
        "colluders",
        "--out",
        "o",
        "--quiet",
        "--set",
        "expect.violations=[]",
    ]);
    assert_eq!(said.code, 3, "{}", said.out);
    assert!(said.out.contains("VIOLATED agreement"));
    assert!(
        said.out
            .contains("evidence names Milk Producer, Food Processing Company")
    );
    assert!(said.out.contains("exit code 3"));
    assert!(said.out.contains("reproduce: cargo run -- scenario "));
}

#[test]
fn an_expected_violation_that_stays_away_exits_with_five() {
    let bench = Bench::new();
    let expect = "expect.violations=[\"agreement\"]";
    let said = bench.run(&["scenario", "lying-leader", "--out", "o", "--set", expect]);
    assert_eq!(said.code, 5, "{}", said.out);
    assert!(said.out.contains("SAFE  LIVE"), "nothing else is wrong");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the time that a refusal takes is what is tested"
)]
fn garbage_is_refused_within_a_second_with_a_diagnostic_and_exit_code_two() {
    let milk = include_str!("../../scenarios/milk.toml");
    let swapped = |from: &str, to: &str| {
        assert!(milk.contains(from), "milk.toml does not say {from:?}");
        milk.replacen(from, to, 1).into_bytes()
    };
    let keys = (0..40_000)
        .map(|k| format!("a_key_with_number_{k:05} = 1\n"))
        .collect::<Vec<_>>()
        .concat();
    assert!(keys.len() > 1_000_000);
    let binary: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("empty", Vec::new(), "`duration` is missing"),
        ("binary", binary, "garbage.toml:"),
        ("brackets", vec![b'['; 20_000], "garbage.toml"),
        (
            "no members",
            b"duration = \"1h\"\nmember = []\n".to_vec(),
            "member",
        ),
        (
            "negative duration",
            swapped("\"24h\"", "\"-24h\""),
            "duration",
        ),
        (
            "negative time",
            swapped("at = \"9h\"", "at = \"-9h\""),
            "at",
        ),
        ("unknown protocol", swapped("\"pbft\"", "\"pbtf\""), "pbft"),
        (
            "missing member",
            swapped("\"primary\"", "\"Stoer\""),
            "Store",
        ),
        (
            "a megabyte of keys",
            keys.into_bytes(),
            "a_key_with_number_00000",
        ),
    ];
    let bench = Bench::new();
    let file = bench.path().join("garbage.toml");
    for (what, bytes, expected) in cases {
        fs::write(&file, bytes).expect("writable");
        // A busy machine may take anything from a process once or twice, but not three times in a row.
        let quick = (0..3).any(|_| {
            let start = std::time::Instant::now();
            let said = bench.run(&["scenario", "garbage.toml"]);
            let elapsed = start.elapsed();
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{what}");
            assert!(said.err.contains(expected), "{what}: {}", said.err);
            elapsed.as_millis() < 1000
        });
        assert!(quick, "{what} takes more than a second to refuse");
    }
}

#[test]
fn a_cut_link_to_a_missing_member_is_refused() {
    let cut = "fault=[{kind='link-cut', from='Store', to='Nobody', at='1m'}]";
    let said = Bench::new().run(&["scenario", "hour", "--set", cut]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("there is no member \"Nobody\""),
        "{}",
        said.err
    );
}
