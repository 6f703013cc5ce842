//! `consortium compare` as it is typed: what it prints, what it writes, and how it exits.

use std::{fs, path::Path};

use assert_cmd::{Command, cargo::cargo_bin_cmd};
use consortium_sim::protocols;
use serde_json::Value;
use tempfile::TempDir;

/// How a call came out.
struct Said {
    code: i32,
    out: String,
    err: String,
    directory: TempDir,
}

impl Said {
    fn file(&self, name: &str) -> String {
        let path = self.directory.path().join("o").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn comparison(&self) -> Value {
        serde_json::from_str(&self.file("comparison.json")).expect("JSON")
    }

    /// The row of a protocol in the JSON, with equal parameters or its own.
    fn row(&self, protocol: &str, tuned: bool) -> Value {
        let comparison = self.comparison();
        let rows = comparison["rows"].as_array().expect("rows");
        let mut rows = rows.iter().filter(|row| row["protocol"] == protocol);
        let own = |row: &&Value| row["tuned"].as_array().is_some_and(|sets| !sets.is_empty());
        rows.find(|row| own(row) == tuned)
            .unwrap_or_else(|| panic!("{protocol}: {}", self.out))
            .clone()
    }
}

/// Compares in an empty directory, quietly, with the files in `o`.
fn compare(arguments: &[&str]) -> Said {
    let directory = TempDir::new().expect("a temporary directory");
    let mut command: Command = cargo_bin_cmd!("consortium");
    let output = command
        .current_dir(directory.path())
        .arg("compare")
        .args(arguments)
        .args(["--quiet", "--out", "o"])
        .output()
        .expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    let said = Said {
        code: output.status.code().expect("no signal ended it"),
        out: text(output.stdout),
        err: text(output.stderr),
        directory,
    };
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said
}

/// The median of a figure.
fn median(row: &Value, name: &str) -> Option<f64> {
    let figures = row["figures"].as_array().expect("figures");
    let shown = figures
        .iter()
        .find(|shown| shown["figure"]["name"] == name)?;
    shown["figure"]["median"].as_f64()
}

#[test]
fn every_registered_protocol_gets_a_row_in_every_block_and_the_page_is_narrow() {
    let said = compare(&["hour", "--set", "fault=[]"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    for name in protocols::names() {
        let rows = said
            .out
            .lines()
            .filter(|line| line.trim_start().starts_with(name));
        assert!(rows.count() >= 3, "{name} in {}", said.out);
        assert_eq!(said.row(name, false)["standing"], "safe");
    }
    for line in said.out.lines().filter(|line| !line.contains("cargo run")) {
        assert!(line.chars().count() <= 110, "{line}");
    }
    for block in [
        "VERDICT",
        "SPEED",
        "COST",
        "WARNING",
        "ADVICE",
        "unvalidated",
    ] {
        assert!(said.out.contains(block), "{block}");
    }
    assert_eq!(said.comparison()["schema_version"], 1);
    assert_eq!(said.file("comparison.txt"), said.out);
    for figure in ["latency.svg", "latency-distribution.svg", "messages.svg"] {
        let svg = said.file(figure);
        assert!(
            svg.starts_with("<svg") && svg.contains("clique"),
            "{figure}"
        );
    }
    assert!(!Path::new(&said.directory.path().join("o/tolerance.svg")).exists());
}

#[test]
fn the_result_does_not_depend_on_which_thread_is_ready_first() {
    let arguments = [
        "hour",
        "--seeds",
        "2",
        "--format",
        "json",
        "--set",
        "duration=20m",
        "--set",
        "fault=[]",
    ];
    let [first, again] = [(); 2].map(|()| compare(&arguments));
    assert_eq!(first.code, 0, "{}", first.err);
    assert_eq!(first.out, again.out);
    for name in ["latency.svg", "comparison.txt"] {
        assert_eq!(first.file(name), again.file(name));
    }
}

#[test]
fn a_run_of_the_comparison_is_the_run_that_its_line_reproduces() {
    let said = compare(&[
        "hour",
        "--consensus",
        "clique",
        "--set",
        "duration=20m",
        "--set",
        "fault=[]",
    ]);
    let row = said.row("clique", false);
    let mut command: Command = cargo_bin_cmd!("consortium");
    let output = command
        .current_dir(said.directory.path())
        .args([
            "scenario", "hour", "--quiet", "--format", "json", "--out", "alone",
        ])
        .args([
            "--set",
            "duration=20m",
            "--set",
            "fault=[]",
            "--set",
            "consensus.protocol=clique",
        ])
        .output()
        .expect("it starts");
    let alone: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(row["seeds"][0]["trace"], alone["trace"]);
}

#[test]
fn several_seeds_give_medians_with_intervals() {
    let said = compare(&[
        "hour",
        "--consensus",
        "pbft,central",
        "--seeds",
        "3",
        "--set",
        "duration=20m",
        "--set",
        "fault=[]",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("CONFIDENCE") && said.out.contains("75.0 %"),
        "{}",
        said.out
    );
    let row = said.row("pbft", false);
    assert_eq!(row["seeds"].as_array().map(Vec::len), Some(3));
    assert_eq!(row["figures"][0]["figure"]["runs"], 3);
}

#[test]
fn tuned_parameters_have_a_row_of_their_own_and_a_validated_regime_its_error() {
    let said = compare(&[
        "hour",
        "--consensus",
        "pbft",
        "--set",
        "fault=[]",
        "--set",
        "compare.tuned.pbft=[\"consensus.batch.max_age=0s\"]",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    let [equal, tuned] = [false, true].map(|tuned| {
        let row = said.row("pbft", tuned);
        median(&row, "sent_to_final_p50_ms").expect("final readings")
    });
    assert!(tuned < equal, "{tuned} against {equal}");
    assert!(
        said.out
            .contains("rows marked tuned have their own: pbft (consensus.batch.max_age=0s)")
            || said.out.contains("pbft tuned")
    );
    assert!(said.out.contains("±1.16 %"), "{}", said.out);
    assert!(said.out.contains("BFT-SMaRt on AWS"), "{}", said.out);
}

#[test]
fn recovery_is_measured_after_the_leaders_crash_and_after_a_partition() {
    let crash = compare(&["hour", "--consensus", "pbft,central"]);
    assert_eq!(crash.code, 0, "central claims no crash: {}", crash.out);
    let outage = |protocol| median(&crash.row(protocol, false), "leader_crash_outage_ms");
    assert!(outage("pbft") > Some(0.0) && outage("pbft") < Some(60_000.0));
    assert!(outage("central") > Some(600_000.0), "nobody takes over");
    assert_eq!(crash.row("central", false)["standing"], "stalled");
    assert!(
        crash
            .out
            .contains("when the leader crashes, central stands still"),
        "{}",
        crash.out
    );

    let groups = "[[\"Milk Producer\",\"Food Processing Company\"],[\"Carrier 2\",\"Store\"]]";
    let split = format!("fault=[{{kind=\"partition\",groups={groups},at=\"20m\",for=\"5m\"}}]");
    let split = compare(&["hour", "--consensus", "pbft", "--set", &split]);
    assert_eq!(split.code, 0, "{}", split.out);
    let recovery = median(&split.row("pbft", false), "partition_recovery_ms");
    assert!(
        recovery > Some(0.0) && recovery < Some(60_000.0),
        "{recovery:?}"
    );
}

#[test]
fn a_fork_outside_the_claims_is_a_result() {
    let said = compare(&["colluders", "--consensus", "pbft"]);
    assert_eq!(
        said.code, 0,
        "two liars of four are more than it claims: {}",
        said.out
    );
    assert_eq!(said.row("pbft", false)["standing"], "forked");
    assert!(said.out.contains("outside what it claims"), "{}", said.out);
    assert!(
        said.out.contains("pbft lost its one history in 1 of 1 run"),
        "{}",
        said.out
    );
}

#[test]
fn a_verdict_that_the_author_did_not_expect_exits_with_five() {
    let short = [
        "hour",
        "--consensus",
        "pbft",
        "--set",
        "duration=20m",
        "--set",
        "fault=[]",
        "--set",
    ];
    let with = |setting| compare(&[&short[..], &[setting]].concat()).code;
    assert_eq!(with("compare.expected.pbft=safe"), 0);
    assert_eq!(with("compare.expected.pbft=forked"), 5);
}

#[test]
fn a_cheat_that_could_not_act_is_not_counted_as_stopped() {
    let said = compare(&[
        "lying-leader",
        "--consensus",
        "pbft,central",
        "--set",
        "cheat.0.member=Store",
        "--set",
        "compare.expected.central=safe",
    ]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("not tried under"), "{}", said.out);
    assert!(said.out.contains("never came to act under"), "{}", said.out);
}

#[test]
fn tolerance_is_shown_next_to_what_is_claimed() {
    let said = compare(&[
        "hour",
        "--consensus",
        "pbft,central",
        "--tolerance",
        "--set",
        "fault=[]",
    ]);
    assert_eq!(said.code, 0, "{}", said.out);
    let comparison = said.comparison();
    let curves = comparison["tolerance"].as_array().expect("curves");
    assert_eq!(curves.len(), 6);
    let curve = |protocol: &str, trouble: &str| {
        let found = curves
            .iter()
            .find(|curve| curve["protocol"] == protocol && curve["trouble"] == trouble);
        found.expect("there is one for each").clone()
    };
    let crashed = curve("pbft", "crashed");
    assert_eq!(
        crashed["cells"].as_array().map(Vec::len),
        Some(5),
        "k = 0 to 4"
    );
    for (key, most) in [
        ("claimed_live", 1),
        ("shown_live", 1),
        ("claimed_safe", 4),
        ("shown_safe", 4),
    ] {
        assert_eq!(crashed[key], most, "{key}");
    }
    let colluding = curve("pbft", "colluding");
    assert_eq!(
        (&colluding["claimed_safe"], &colluding["shown_safe"]),
        (&1.into(), &1.into())
    );
    assert_eq!(colluding["first_fork"]["failing"], 2);
    assert_eq!(curve("central", "crashed")["shown_live"], 0);
    let svg = said.file("tolerance.svg");
    assert!(svg.contains("members crashed") && svg.contains("members colluding"));
    assert!(said.out.contains("safe up to (claimed)"), "{}", said.out);
}

#[test]
fn what_makes_no_sense_is_refused_with_exit_code_two() {
    let unknown = compare(&["hour", "--consensus", "pbft,pbtf"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (2, ""));
    assert!(
        unknown.err.contains("did you mean \"pbft\""),
        "{}",
        unknown.err
    );
    for setting in [
        "compare.tuned.pbft=[\"seed=3\"]",
        "compare.tuned.pbft=[\"nothing\"]",
        "compare.tuned.pbft=[\"consensus.pbft.widow=3\"]",
        "compare.tuned.nobody=[]",
        "compare.expected.pbft=fine",
    ] {
        let said = compare(&["hour", "--set", setting]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{setting}");
    }
}
