//! What is typed on the command line, and how a scenario is found by it.

use std::{fs, path::Path, time::Duration};

use clap::Parser as _;
use consortium_sim::{
    cli::{Cli, Command, Format, Library},
    knee::Search,
    scenario::plan::Rate,
};

fn scenario(arguments: &str) -> Result<consortium_sim::cli::ScenarioArgs, String> {
    let typed = ["consortium", "scenario"]
        .into_iter()
        .chain(arguments.split_whitespace());
    match Cli::try_parse_from(typed)
        .map_err(|error| error.to_string())?
        .command
    {
        Command::Scenario(arguments) => Ok(arguments),
        Command::Compare(_) | Command::Survey(_) | Command::List(_) => {
            Err("this is another command".to_owned())
        }
    }
}

#[test]
fn a_scenario_needs_a_name_and_nothing_else() {
    let arguments = scenario("milk.toml").expect("a name is enough");
    assert_eq!(arguments.name, Path::new("milk.toml"));
    assert_eq!((arguments.seed, arguments.seeds), (None, 1));
    assert_eq!(arguments.format, Format::Table);
    assert!(arguments.overrides().is_empty() && !arguments.quiet);
}

#[test]
fn a_seed_is_the_last_override() {
    let arguments = scenario("milk --set seed=1 --seed 41 --set network.loss=0.1 --format json -q")
        .expect("all of these exist");
    assert_eq!(
        arguments.overrides(),
        ["seed=1", "network.loss=0.1", "seed=41"]
    );
    assert_eq!((arguments.format, arguments.quiet), (Format::Json, true));
}

#[test]
fn absurd_arguments_are_refused() {
    for arguments in [
        "",
        "milk --seed -1",
        "milk --seed 9223372036854775808",
        "milk --seeds 0",
        "milk --format xml",
        "milk --sede 7",
    ] {
        assert!(scenario(arguments).is_err(), "{arguments}");
    }
}

#[test]
fn a_search_for_the_knee_has_bounds_of_its_own() {
    let typed = scenario("milk --find-knee --p99 500ms --from 0.5/s --to 2000/s --seeds 20");
    let search = typed
        .and_then(|typed| typed.search())
        .expect("all of these exist");
    assert_eq!(search.p99, Duration::from_millis(500));
    assert_eq!((search.seeds, search.from), (20, Some(Rate(500_000))));
    assert_eq!(search.to, Rate::per_second(2000));
    let usual = scenario("milk --find-knee").and_then(|typed| typed.search());
    assert_eq!(usual, Ok(Search::default()));
    for arguments in [
        "milk --p99 1s",
        "milk --to 5/s",
        "milk --find-knee --p99 0s",
        "milk --find-knee --to 5",
        "milk --find-knee --from 0/s",
    ] {
        assert!(scenario(arguments).is_err(), "{arguments}");
    }
    let empty = scenario("milk --find-knee --from 10/s --to 5/s").expect("both are rates");
    assert!(empty.search().is_err());
}

#[test]
fn a_scenario_is_found_as_typed_then_in_the_library_with_or_without_extension() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = directory.path().join("scenarios");
    fs::create_dir_all(library.join("byzantine")).expect("writable");
    let typed = directory.path().join("typed.toml");
    for (path, text) in [
        (typed.clone(), "# As typed"),
        (library.join("milk.toml"), "# Milk on its way\nseed = 1"),
        (library.join("byzantine/liar.toml"), "seed = 1\n\n## A liar"),
        (library.join("notes.txt"), "# No scenario"),
    ] {
        fs::write(path, text).expect("writable");
    }
    let library_of = Library::of([directory.path().join("missing"), library.clone()]);
    let find = |name: &str| library_of.find(Path::new(name));
    assert_eq!(find(&typed.display().to_string()), Ok(typed));
    assert_eq!(find("milk"), Ok(library.join("milk.toml")));
    assert_eq!(find("milk.toml"), Ok(library.join("milk.toml")));
    assert_eq!(
        find("byzantine/liar"),
        Ok(library.join("byzantine/liar.toml"))
    );

    let listed = library_of.list();
    let rows: Vec<_> = listed
        .iter()
        .map(|l| (l.name.as_str(), l.title.as_str()))
        .collect();
    assert_eq!(
        rows,
        [("byzantine/liar", "A liar"), ("milk", "Milk on its way")]
    );

    let error = find("mlik.toml").expect_err("there is none");
    assert_eq!(error.known, ["milk", "byzantine/liar"]);
    insta::assert_snapshot!(error, @r#"
    there is no scenario "mlik.toml"; there are: milk, byzantine/liar
    "#);
    assert!(find(".").is_err(), "a directory is no scenario");
}

#[test]
fn the_scenarios_of_the_workspace_are_found_from_anywhere() {
    let library = Library::usual();
    let listed = library.list();
    assert!(
        listed
            .iter()
            .any(|l| l.name == "milk" && l.title.starts_with("Milk"))
    );
    assert!(
        listed.iter().all(|l| !l.title.is_empty()),
        "every scenario has a title"
    );
    assert!(library.find(Path::new("lying-leader")).is_ok());
}

#[test]
fn the_help_of_a_scenario_reads_well() {
    let help = Cli::try_parse_from(["consortium", "scenario", "-h"]).expect_err("help ends it");
    insta::assert_snapshot!(help, @r#"
    Plays a scenario and reports verdict, ledger, throughput and latency

    Usage: consortium scenario [OPTIONS] <NAME>

    Arguments:
      <NAME>  A file, or the name of one in scenarios/, with or without ".toml"

    Options:
          --seed <N>          Seed of the run, instead of the scenario's
          --seeds <N>         Plays this many seeds, from the first on [default: 1]
          --set <PATH=VALUE>  Overrides a key of the scenario; may be repeated
          --out <DIR>         Writes reports into this directory
          --format <FORMAT>   How to print the result [default: table] [possible values: table, json]
      -q, --quiet             Prints no progress and no warnings
          --find-knee         Instead of playing it, searches how much load the scenario's network takes
          --p99 <BOUND>       With --find-knee: what the 99th percentile, from due to final, must not
                              exceed [default: 2s]
          --from <RATE>       With --find-knee: the lowest rate, instead of 1/s (the search then begins
                              there, not at 100/s)
          --to <RATE>         With --find-knee: the highest rate [default: 200000/s]
      -h, --help              Print help (see more with '--help')
    "#);
}
