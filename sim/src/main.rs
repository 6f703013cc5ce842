//! `consortium`: simulate a consortium network before you build it.

mod commands;

use std::{
    fmt::Display,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use clap::Parser as _;
use consortium_sim::{
    cli::{Cli, Command, Format, Library, ListArgs, ScenarioArgs},
    compare::Broken,
    exit::ExitCode,
    knee::{self, Probe},
    metrics,
    report::{self, Progress},
    run::{self, Played},
    scenario::{self, Loaded, Source, plan::Plan},
};

fn main() -> process::ExitCode {
    let done = match Cli::parse().command {
        Command::Scenario(arguments) => play_scenario(&arguments),
        Command::Compare(arguments) => commands::compare(&arguments),
        Command::Survey(arguments) => commands::survey(&arguments),
        Command::List(arguments) => list(&arguments),
    };
    done.unwrap_or_else(|failure| {
        complain(&failure.message);
        failure.exit
    })
    .into()
}

/// Why there is no report.
struct Failure {
    exit: ExitCode,
    message: String,
}

impl Failure {
    fn bad_input(message: &impl Display) -> Self {
        Self {
            exit: ExitCode::BadInput,
            message: message.to_string(),
        }
    }

    fn internal(message: &impl Display) -> Self {
        Self {
            exit: ExitCode::Internal,
            message: message.to_string(),
        }
    }

    fn broken(broken: &Broken) -> Self {
        Self::internal(&format!(
            "{broken}\nthis is a bug of ours: please report it with the line that reproduces it\n\
             reproduce: {} scenario {}",
            metrics::summary::RUN,
            broken.arguments
        ))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::internal(&format!("failed to write: {error}"))
    }
}

/// `consortium scenario`: load, play each seed, write and print what came out.
fn play_scenario(arguments: &ScenarioArgs) -> Result<ExitCode, Failure> {
    let path = Library::usual()
        .find(&arguments.name)
        .map_err(|e| Failure::bad_input(&e))?;
    let source = Source::read(&path).map_err(|e| Failure::bad_input(&e))?;
    let first = load(&source, arguments, None)?;
    if !arguments.quiet {
        for warning in &first.warnings {
            complain(warning);
        }
    }
    if arguments.find_knee {
        return find_knee(arguments, &first.plan);
    }
    let mut runs = Vec::new();
    for offset in 0..u64::from(arguments.seeds) {
        let loaded = load(&source, arguments, Some(first.plan.seed + offset))?;
        let played = play(&loaded, arguments)?;
        let summary = &played.measured.summary;
        report::write_run(
            &out_dir(arguments, &loaded.plan),
            &played.measured,
            &loaded.effective,
        )?;
        if arguments.seeds == 1 {
            report::print(&match arguments.format {
                Format::Table => report::render(summary),
                Format::Json => report::json::render(summary),
            })?;
        }
        runs.push(summary.clone());
    }
    if arguments.seeds > 1 {
        print_seeds(arguments, &runs)?;
    }
    Ok(worst(&runs))
}

fn load(source: &Source, arguments: &ScenarioArgs, seed: Option<u64>) -> Result<Loaded, Failure> {
    let mut overrides = arguments.overrides();
    overrides.extend(seed.map(|seed| format!("seed={seed}")));
    scenario::load(source, &overrides).map_err(|problems| Failure::bad_input(&problems))
}

fn play(loaded: &Loaded, arguments: &ScenarioArgs) -> Result<Played, Failure> {
    let plan = Arc::new(loaded.plan.clone());
    let progress = Progress::start(plan.duration, arguments.quiet);
    run::play(&plan, arguments.seeds as usize, progress.clock()).map_err(|breakdown| {
        let mut line = format!("{} --seed {}", plan.path.display(), plan.seed);
        for set in &plan.overrides {
            line.extend([" --set '", set, "'"]);
        }
        Failure::internal(&format!(
            "{breakdown}\nthis is a bug of ours: please report it with the line that reproduces it\n\
             reproduce: {} scenario {line}",
            metrics::summary::RUN
        ))
    })
}

/// `consortium scenario --find-knee`: search, write and print what was found.
fn find_knee(arguments: &ScenarioArgs, plan: &Plan) -> Result<ExitCode, Failure> {
    let search = arguments.search().map_err(|e| Failure::bad_input(&e))?;
    let told = |probe: &Probe| {
        if !arguments.quiet {
            complain(&report::knee::progress(probe));
        }
    };
    let protocol = &plan.consensus.protocol;
    let found = knee::find(plan, protocol, &search, told)
        .map_err(|breakdown| Failure::internal(&breakdown))?;
    let usual = || Path::new("results/knees").join(format!("{}-{}", plan.name, protocol.name()));
    let dir = arguments.out.clone().unwrap_or_else(usual);
    report::knee::write(&dir, &found)?;
    report::print(&match arguments.format {
        Format::Table => report::knee::render(&found),
        Format::Json => report::json::render(&found),
    })?;
    Ok(ExitCode::Ok)
}

/// Where a run's files go: the directory asked for (one below it for each of several seeds), else one of
/// its own under results/runs.
fn out_dir(arguments: &ScenarioArgs, plan: &Plan) -> PathBuf {
    let protocol = plan.consensus.protocol.name();
    let seed = format!("seed-{}", plan.seed);
    match &arguments.out {
        Some(dir) if arguments.seeds == 1 => dir.clone(),
        Some(dir) => dir.join(seed),
        None => Path::new("results/runs").join(format!("{}-{protocol}-{seed}", plan.name)),
    }
}

fn print_seeds(arguments: &ScenarioArgs, runs: &[metrics::Summary]) -> Result<(), Failure> {
    let aggregate = metrics::aggregate(runs).expect("at least one seed was played");
    report::print(&match arguments.format {
        Format::Table => report::render_seeds(&aggregate),
        Format::Json => report::json::render(&aggregate),
    })?;
    Ok(())
}

fn worst(runs: &[metrics::Summary]) -> ExitCode {
    ExitCode::worst(
        runs.iter()
            .filter_map(|run| ExitCode::from_code(run.exit_code)),
    )
}

/// `consortium list`.
fn list(arguments: &ListArgs) -> Result<ExitCode, Failure> {
    let scenarios = Library::usual().list();
    report::print(&match arguments.format {
        Format::Table => report::list::table(&scenarios),
        Format::Json => report::list::json(&scenarios),
    })?;
    Ok(ExitCode::Ok)
}

/// To standard error; if that is closed, nobody wanted to know.
fn complain(message: &impl Display) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
