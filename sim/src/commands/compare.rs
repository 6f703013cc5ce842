//! `consortium compare`: load for everyone, play everything, write and print what came out.

use std::path::{Path, PathBuf};

use consortium_sim::{
    cli::{CompareArgs, Format, Library},
    compare::{Comparison, Field, Request},
    exit::ExitCode,
    report::{self, Progress},
    scenario::Source,
};

use crate::{Failure, complain};

pub(crate) fn compare(arguments: &CompareArgs) -> Result<ExitCode, Failure> {
    let path = Library::usual()
        .find(&arguments.name)
        .map_err(|e| Failure::bad_input(&e))?;
    let source = Source::read(&path).map_err(|e| Failure::bad_input(&e))?;
    let field = Field::load(&source, &request(arguments)).map_err(|e| Failure::bad_input(&e))?;
    if !arguments.quiet {
        for warning in field.warnings() {
            complain(warning);
        }
    }
    let progress = Progress::start(field.length(), arguments.quiet);
    let comparison = field
        .play(&progress.clock())
        .map_err(|broken| Failure::broken(&broken))?;
    drop(progress);
    report::compare::write(&out_dir(arguments, &comparison), &comparison)?;
    report::print(&match arguments.format {
        Format::Table => report::compare::render(&comparison),
        Format::Json => report::json::render(&comparison),
    })?;
    Ok(ExitCode::from_code(comparison.exit_code).expect("it was made of one"))
}

fn request(arguments: &CompareArgs) -> Request {
    Request {
        protocols: arguments.consensus.clone(),
        seed: arguments.seed,
        seeds: u64::from(arguments.seeds),
        overrides: arguments.set.clone(),
        tolerance: arguments.tolerance,
    }
}

/// The directory asked for, else one of its own under results/runs.
fn out_dir(arguments: &CompareArgs, comparison: &Comparison) -> PathBuf {
    let scenario = &comparison.scenario;
    let seed = comparison.seeds.first().copied().unwrap_or_default();
    let own = || Path::new("results/runs").join(format!("compare-{scenario}-seed-{seed}"));
    arguments.out.clone().unwrap_or_else(own)
}
