//! What people and programs get to see: the one screen, JSON, histogram files, plots, progress.
//!
//! Rendering returns text; [`print()`] is the only place that prints it.

use std::io::{self, IsTerminal as _, Write as _};

mod changes;
mod colour;
pub mod compare;
pub mod hgrm;
pub mod json;
pub mod knee;
mod knee_plot;
pub mod list;
mod page;
pub mod plot;
pub mod progress;
mod schedules;
mod seeds;
pub mod survey;
pub mod table;
mod write;

pub use progress::Progress;
pub use seeds::render as render_seeds;
pub use table::render;
pub use write::{RunFiles, write_run};

/// Prints to standard output, with colours if it is a terminal and `NO_COLOR` is not set. A reader that
/// has closed the pipe has seen enough: that is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let written = if coloured {
        out.write_all(colour::paint(text).as_bytes())
    } else {
        out.write_all(text.as_bytes())
    };
    match written.and_then(|()| out.flush()) {
        Err(closed) if closed.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod snapshots;
