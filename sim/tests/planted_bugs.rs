//! Planted bugs: each is killed by its directed scenario, through the invariant that is there for it;
//! without the bug the same scenario breaks nothing. A few that no scenario can show are listed with the
//! test of their rule. What came out is `results/planted-bugs.md`.
//!
//! Needs the feature: `cargo test -p consortium-sim --features mutants --test planted_bugs`. With
//! `CONSORTIUM_RENEW=1` the table is written anew instead of compared.
#![cfg(feature = "mutants")]

mod support;

use std::{env, fmt::Write as _, fs, path::PathBuf};

use consortium_node::mutant::Mutant;
use consortium_sim::{
    exit::ExitCode,
    invariant::{Finding, Verdict, Violation},
    run::Played,
    time::Time,
};
use support::play;

/// How a bug is shown.
#[derive(Clone, Copy)]
enum Shown {
    /// In its scenario, by this invariant.
    By(&'static str),
    /// By the rule's own test, because no scenario can.
    Alone(Alone),
}

/// Why no scenario kills a bug, and the test that does.
#[derive(Clone, Copy)]
struct Alone {
    /// Where in `node/tests` it is.
    file: &'static str,
    /// Its name.
    test: &'static str,
    why: &'static str,
}

/// How each bug is shown, by the bugs' numbers.
const SHOWN: [Shown; 37] = [
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::By("certificate-validity"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::By("certificate-validity"),
    Shown::By("bounded-liveness"),
    Shown::By("view-sanity"),
    Shown::By("bounded-liveness"),
    Shown::By("watermarks"),
    Shown::By("checkpoint"),
    Shown::By("bounded-liveness"),
    Shown::By("exactly-once"),
    Shown::By("no-conflicting-votes"),
    Shown::By("state-root"),
    Shown::By("steady-leader"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::By("no-conflicting-votes"),
    Shown::By("agreement"),
    Shown::Alone(Alone {
        file: "raft/mutants.rs",
        test: "mutant_25_two_changes_of_members_make_two_majorities",
        why: "a scenario does not change the members of Raft",
    }),
    Shown::Alone(Alone {
        file: "raft/mutants.rs",
        test: "mutant_26_an_old_leader_answers_from_the_past",
        why: "a scenario does not read: all that gateways ask for goes through the log",
    }),
    Shown::By("agreement"),
    Shown::By("bounded-liveness"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::Alone(Alone {
        file: "ibft/mutants.rs",
        test: "ib9_m20_expiry_after_import",
        why: "the late ROUND-CHANGE breaks no promise here: who has decided a height prepares nothing \
              there, and who is locked stays locked",
    }),
    Shown::By("bounded-liveness"),
    Shown::By("agreement"),
    Shown::By("agreement"),
    Shown::Alone(Alone {
        file: "hotstuff/mutants.rs",
        test: "hs3_safe_node_equal_view",
        why: "it takes two certificates of one view, which only more than f liars can make, and then \
              nothing is promised",
    }),
    Shown::By("certificate-validity"),
    Shown::By("agreement"),
];

/// The bugs that have a scenario, each with the invariant that must find it.
fn bugs() -> impl Iterator<Item = (Mutant, &'static str)> {
    let all = Mutant::ALL.into_iter().zip(SHOWN);
    all.filter_map(|(mutant, shown)| match shown {
        Shown::By(killer) => Some((mutant, killer)),
        Shown::Alone(_) => None,
    })
}

/// The bugs that have none.
fn alone() -> impl Iterator<Item = (Mutant, Alone)> {
    let all = Mutant::ALL.into_iter().zip(SHOWN);
    all.filter_map(|(mutant, shown)| match shown {
        Shown::By(_) => None,
        Shown::Alone(alone) => Some((mutant, alone)),
    })
}

fn scenario(mutant: Mutant) -> String {
    format!("planted/{:02}-{mutant}.toml", mutant.number())
}

/// Plays the scenario of a bug, with the bug. A panic would fail the test: it kills nothing.
fn with(mutant: Mutant) -> Played {
    play(&scenario(mutant), &[])
}

/// Plays the scenario of a bug with the right code.
fn without(mutant: Mutant) -> Played {
    let honest = ["consensus.mutant=none", "expect.violations=[]"];
    play(&scenario(mutant), &honest)
}

/// The invariants that were broken, each with its first violation; the earliest first.
fn broken(played: &Played) -> Vec<(Time, &'static str)> {
    let first = |verdict: &Verdict| {
        let at = verdict.violations().iter().map(|v: &Violation| v.at).min();
        at.map(|at| (at, verdict.name))
    };
    let mut broken: Vec<_> = played.verdicts.list.iter().filter_map(first).collect();
    broken.sort_by_key(|(at, _)| *at);
    broken
}

#[test]
fn every_planted_bug_is_killed_by_the_invariant_that_is_there_for_it() {
    for (mutant, killer) in bugs() {
        let played = with(mutant);
        let broken = broken(&played);
        // Exactly what the scenario expects to be broken is broken.
        assert_eq!(played.exit, ExitCode::Ok, "{mutant}: {broken:?}");
        let fired = broken.iter().any(|(_, name)| *name == killer);
        assert!(fired, "{mutant} lives: {broken:?}, not {killer}");
    }
}

#[test]
fn the_right_code_keeps_every_promise_under_the_same_schedules() {
    for (mutant, killer) in bugs() {
        let played = without(mutant);
        let broken = broken(&played);
        assert_eq!(played.exit, ExitCode::Ok, "not {mutant}: {broken:?}");
        let verdict = played.verdicts.on(killer).expect("an invariant");
        let holds = matches!(verdict.finding, Finding::Holds { checked: 1.. });
        assert!(holds, "not {mutant}: {killer} {}", verdict.finding);
    }
}

#[test]
fn a_bug_without_a_scenario_has_a_test_of_its_own() {
    for (mutant, Alone { file, test, .. }) in alone() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let path = root.join("node/tests").join(file);
        let text = fs::read_to_string(&path).expect("a file of tests");
        let body = text.split_once(&format!("#[test]\nfn {test}()"));
        let (_, body) = body.unwrap_or_else(|| panic!("{mutant}: no test {test} in {file}"));
        let body = body.split_once("\n}").map_or(body, |(body, _)| body);
        let planted = format!("Mutant::{mutant:?}");
        assert!(body.contains(&planted), "{test} does not plant {mutant}");
        let scenario = root.join("scenarios").join(scenario(mutant));
        assert!(!scenario.exists(), "{mutant} has a scenario");
    }
}

#[test]
fn exhibits_of_the_museum_die_of_the_bug_that_they_are_about() {
    let exhibits = [
        (
            "museum/m04.toml",
            Mutant::BeyondWindowDropped,
            "steady-leader",
        ),
        (
            "museum/m10-restarts.toml",
            Mutant::ReplayWindowForgotten,
            "exactly-once",
        ),
    ];
    for (name, mutant, killer) in exhibits {
        let bug = format!("consensus.mutant={mutant}");
        let steady = "expect.steady_leader=true";
        let broken = broken(&play(name, &[&bug, steady]));
        assert!(
            broken.iter().any(|(_, name)| *name == killer),
            "{name}: {broken:?}"
        );
        let right = play(name, &[steady]);
        assert_eq!(right.exit, ExitCode::Ok, "{name}");
    }
}

#[test]
fn a_bug_has_a_number_too_and_other_protocols_do_not_have_it() {
    let named = with(Mutant::WatermarkOffByOne);
    let scenario = scenario(Mutant::WatermarkOffByOne);
    let numbered = play(&scenario, &["consensus.mutant=14"]);
    assert_eq!(named.ending.trace, numbered.ending.trace);
    let refusals = [
        ("38", "they are numbered from 1 to 37"),
        (
            "watermark-of-by-one",
            "did you mean \"watermark-off-by-one\"?",
        ),
    ];
    for (typed, hint) in refusals {
        let problems = refused(&scenario, &[&format!("consensus.mutant={typed}")]);
        assert!(problems.contains(hint), "{typed}: {problems}");
    }
    let problems = refused(&scenario, &["consensus.protocol=clique"]);
    assert!(problems.contains("a bug of another protocol"), "{problems}");
}

/// Why a scenario is refused with these overrides.
fn refused(name: &str, sets: &[&str]) -> String {
    use consortium_sim::{
        cli::Library,
        scenario::{self, Source},
    };
    let path = Library::usual().find(name.as_ref()).expect("it is there");
    let source = Source::read(&path).expect("it is readable");
    let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
    let problems = scenario::load(&source, &sets).expect_err("it is refused");
    problems.render(false)
}

fn seconds(at: Time) -> String {
    let millis = at.0 / 1_000_000;
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

fn table() -> String {
    let mut text = String::from(
        "# Planted bugs\n\n\
         Each bug is planted in every validator (`node/src/mutant.rs`) and played once, in its directed \
         scenario with the\nscenario's own seed. It counts as killed if the invariant that is there for it \
         fires; a panic would not count. The same\nscenario without the bug breaks nothing. Made by\n\
         `CONSORTIUM_RENEW=1 cargo test -p consortium-sim --features mutants --test planted_bugs`, checked \
         without the variable.\n\n\
         | # | bug | rule | scenario | killed by | at, s | fired first | at, s | also fired | runs |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut killed = 0;
    for (mutant, killer) in bugs() {
        let broken = broken(&with(mutant));
        let kill = broken.iter().find(|(_, name)| *name == killer);
        killed += usize::from(kill.is_some());
        let (by, at) = kill.map_or(("**lives**", String::new()), |(at, name)| {
            (name, seconds(*at))
        });
        let earliest = broken.first().map(|(at, _)| *at);
        let of_first = |(at, _): &&(Time, &'static str)| Some(*at) == earliest;
        let first = broken.iter().filter(of_first).map(|(_, name)| *name);
        // Of those that fired at one instant, the right one is named.
        let first = first
            .max_by_key(|name| *name == killer)
            .unwrap_or("nothing");
        let others = broken.iter().map(|(_, name)| *name);
        let others: Vec<_> = others
            .filter(|name| ![killer, first].contains(name))
            .collect();
        writeln!(
            text,
            "| {} | {mutant} | {} | `{}` | {by} | {at} | {first} | {} | {} | 1 |",
            mutant.number(),
            mutant.rule(),
            scenario(mutant),
            earliest.map(seconds).unwrap_or_default(),
            others.join(", "),
        )
        .expect("a string takes any text");
    }
    let scenarios = bugs().count();
    write!(
        text,
        "\n{killed} of {scenarios} killed by the expected invariant. The other {} of {} have no scenario; the \
         test of their rule\nkills them, with the bug in one node and a script for everything around it:\n\n\
         | # | bug | rule | killed by the test | in | why no scenario |\n\
         |---|---|---|---|---|---|\n",
        alone().count(),
        Mutant::ALL.len(),
    )
    .expect("a string takes any text");
    for (mutant, Alone { file, test, why }) in alone() {
        writeln!(
            text,
            "| {} | {mutant} | {} | `{test}` | `node/tests/{file}` | {why} |",
            mutant.number(),
            mutant.rule(),
        )
        .expect("a string takes any text");
    }
    text
}

#[test]
fn the_published_table_is_what_comes_out() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../results/planted-bugs.md");
    let table = table();
    if env::var_os("CONSORTIUM_RENEW").is_some() {
        fs::write(&path, &table).expect("results/ can be written to");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(published, table, "renew it with CONSORTIUM_RENEW=1");
}
