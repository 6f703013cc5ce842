//! The files of a comparison.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{plots, render};
use crate::{compare::Comparison, report::json};

/// Writes the screen, the JSON and the figures into a directory, which is made if it is missing, and
/// returns the files in order.
///
/// # Errors
/// If one of them cannot be written.
pub fn write(dir: &Path, comparison: &Comparison) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![
        ("comparison.txt", render(comparison)),
        ("comparison.json", json::render(comparison)),
        ("latency.svg", plots::latency(comparison)),
        ("latency-distribution.svg", plots::distribution(comparison)),
        ("messages.svg", plots::messages(comparison)),
    ];
    if !comparison.tolerance.is_empty() {
        files.push(("tolerance.svg", plots::tolerance(comparison)));
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
