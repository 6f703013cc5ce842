//! `consortium survey`: play all protocols at several sizes, near and far, and write the page.

use std::{fs, path::Path};

use consortium_sim::{
    cli::SurveyArgs,
    exit::ExitCode,
    report::{self, Progress},
    survey::{Field, Request},
};

use crate::Failure;

pub(crate) fn survey(arguments: &SurveyArgs) -> Result<ExitCode, Failure> {
    let sizes: Vec<usize> = arguments.sizes.iter().map(|n| usize::from(*n)).collect();
    let request = Request::new(&sizes, &arguments.places);
    let field = Field::load(&request).map_err(|e| Failure::bad_input(&e))?;
    if let Some(dir) = &arguments.scenarios {
        write_scenarios(dir, &request)?;
    }
    let progress = Progress::start(field.length(), arguments.quiet);
    let survey = field
        .play(&progress.clock())
        .map_err(|broken| Failure::broken(&broken))?;
    drop(progress);
    let files = report::survey::write(&arguments.out, &survey)?;
    let lines = files
        .iter()
        .map(|file| format!("wrote {}\n", file.display()));
    report::print(&lines.collect::<String>())?;
    Ok(survey.exit())
}

fn write_scenarios(dir: &Path, request: &Request) -> Result<(), Failure> {
    fs::create_dir_all(dir)?;
    for source in request.scenarios() {
        fs::write(dir.join(&source.path), &source.bytes)?;
    }
    Ok(())
}
