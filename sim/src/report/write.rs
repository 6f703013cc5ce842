//! The files of a run, so that nothing is lost when a terminal is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{hgrm, json, plot, table};
use crate::{metrics::Measured, time::Time};

/// The files that were written, in order.
pub type RunFiles = Vec<PathBuf>;

/// Writes everything about a run into a directory, which is made if it is missing: the screen, the
/// summary, the scenario as it took effect, the histograms (milliseconds) and the plots.
pub fn write_run(dir: &Path, measured: &Measured, scenario: &str) -> io::Result<RunFiles> {
    let summary = &measured.summary;
    let latencies = &measured.latencies;
    let end = Time(summary.duration_ms * 1_000_000);
    let title = format!(
        "{} with {}, seed {}: latency",
        summary.scenario, summary.protocol, summary.seed
    );
    let mut files = vec![
        ("report.txt", table::render(summary)),
        ("summary.json", json::render(summary)),
        ("scenario.toml", scenario.to_owned()),
        (
            "sent-to-included.hgrm",
            hgrm::render(&latencies.sent_to_included),
        ),
        ("sent-to-final.hgrm", hgrm::render(&latencies.sent_to_final)),
        ("due-to-final.hgrm", hgrm::render(&latencies.due_to_final)),
        (
            "latency.svg",
            plot::latency_over_time(&title, latencies, end),
        ),
    ];
    if latencies.link_down.percentiles().count > 0 {
        files.push(("link-down.hgrm", hgrm::render(&latencies.link_down)));
    }
    if let Some(track) = &measured.golden {
        files.push(("golden.svg", plot::golden_temperature(track, end)));
    }
    fs::create_dir_all(dir)?;
    files
        .into_iter()
        .map(|(name, text)| {
            let path = dir.join(name);
            fs::write(&path, text)?;
            Ok(path)
        })
        .collect()
}
