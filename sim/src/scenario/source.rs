//! The bytes of a scenario file.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{excerpt::Excerpt, problem::Problems};

/// Longest scenario that is read, in bytes.
pub const LONGEST_SCENARIO: usize = 2_000_000;

/// What was read, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Where it was read from; problems name it.
    pub path: PathBuf,
    /// What it says; any bytes at all.
    pub bytes: Vec<u8>,
}

impl Source {
    /// A scenario that is already in memory.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            bytes: bytes.into(),
        }
    }

    /// Reads a scenario file, never more than [`LONGEST_SCENARIO`] and one byte of it.
    ///
    /// # Errors
    /// If it cannot be read, or is not a regular file.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let refuse = |error: &io::Error| {
            Problems::whole(
                &path.display().to_string(),
                format!("cannot be read: {error}"),
                None,
            )
        };
        // Asked before it is opened: opening a pipe would wait for its writer.
        if !fs::metadata(path)
            .map_err(|error| refuse(&error))?
            .is_file()
        {
            return Err(refuse(&io::Error::other("not a regular file")));
        }
        let file = File::open(path).map_err(|error| refuse(&error))?;
        let mut bytes = Vec::new();
        file.take(LONGEST_SCENARIO as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| refuse(&error))?;
        Ok(Self::new(path, bytes))
    }

    /// Its text: UTF-8, not too long, without a byte order mark.
    pub(crate) fn text(&self) -> Result<&str, Problems> {
        let name = self.path.display().to_string();
        if self.bytes.len() > LONGEST_SCENARIO {
            let limit = format!("a scenario has at most {LONGEST_SCENARIO} bytes");
            return Err(Problems::whole(
                &name,
                "the file is too long".to_owned(),
                Some(limit),
            ));
        }
        match str::from_utf8(&self.bytes) {
            Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
            Err(error) => {
                let good = String::from_utf8_lossy(&self.bytes[..error.valid_up_to()]);
                let (line, column) = Excerpt::position(&good, good.len());
                let (line, column) = (line + 1, column + 1);
                Err(Problems::whole(
                    &format!("{name}:{line}:{column}"),
                    "this byte is not UTF-8 text".to_owned(),
                    Some("save the file as UTF-8".to_owned()),
                ))
            }
        }
    }

    /// The first comment line: what the scenario is about.
    pub(crate) fn title(text: &str) -> &str {
        text.lines()
            .find_map(|line| line.strip_prefix('#'))
            .map_or("", |title| title.trim_start_matches('#').trim())
    }
}
