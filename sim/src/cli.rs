//! The command line: what was typed, as typed values. Finding a scenario by its name is here too;
//! nothing here prints.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    knee::Search,
    scenario::{LONGEST_SCENARIO, Source, plan::Rate, quantity},
    survey::Place,
};

/// Simulates consortium networks: which consensus protocol gives what, and what breaks it.
#[derive(Clone, PartialEq, Eq, Debug, Parser)]
#[command(name = "consortium", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum Command {
    /// Plays a scenario and reports verdict, ledger, throughput and latency.
    Scenario(ScenarioArgs),
    /// Plays a scenario under several protocols and says what each gives and what breaks it.
    Compare(CompareArgs),
    /// Plays all protocols at several sizes, near and far, and writes the page consensus.md.
    Survey(SurveyArgs),
    /// Lists the scenarios that are there.
    List(ListArgs),
}

/// Arguments of `consortium scenario`.
#[derive(Clone, PartialEq, Eq, Debug, clap::Args)]
pub struct ScenarioArgs {
    /// A file, or the name of one in scenarios/, with or without ".toml".
    pub name: PathBuf,
    /// Seed of the run, instead of the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Plays this many seeds, from the first on.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub seeds: u32,
    /// Overrides a key of the scenario; may be repeated.
    ///
    /// The path is dotted; elements of arrays go by number or name: network.loss=0.01,
    /// consensus.protocol=clique, fault.0.at=2h, member.Store.region="North Europe".
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Writes reports into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Prints no progress and no warnings.
    #[arg(long, short)]
    pub quiet: bool,
    /// Instead of playing it, searches how much load the scenario's network takes.
    ///
    /// The knee is the highest rate of Poisson arrivals at which 99 % succeed, the 99th percentile of
    /// latency is within a bound and no backlog grows, in 18 of 20 of the seeds (--seeds 20 for the whole
    /// definition). Without faults, cheats and the fleet.
    #[arg(long)]
    pub find_knee: bool,
    /// With --find-knee: what the 99th percentile, from due to final, must not exceed.
    #[arg(long, value_name = "BOUND", requires = "find_knee", value_parser = bound, default_value = "2s")]
    pub p99: Duration,
    /// With --find-knee: the lowest rate, instead of 1/s (the search then begins there, not at 100/s).
    #[arg(long, value_name = "RATE", requires = "find_knee", value_parser = rate)]
    pub from: Option<Rate>,
    /// With --find-knee: the highest rate.
    #[arg(long, value_name = "RATE", requires = "find_knee", value_parser = rate, default_value = "200000/s")]
    pub to: Rate,
}

/// A bound on latency, as durations are typed in scenarios.
fn bound(text: &str) -> Result<Duration, String> {
    let bound = quantity::duration(text)?;
    if (Duration::from_millis(1)..=Duration::from_hours(1)).contains(&bound) {
        Ok(bound)
    } else {
        Err("the range is 1ms to 1h".to_owned())
    }
}

/// A rate, as rates are typed in scenarios.
fn rate(text: &str) -> Result<Rate, String> {
    let (least, most) = (Rate(10_000), Rate::per_second(1_000_000));
    let rate = Rate(quantity::frequency(text)?);
    if (least..=most).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("the range is {least} to {most}"))
    }
}

impl ScenarioArgs {
    /// What to lay over the scenario: every `--set`, then `--seed`.
    pub fn overrides(&self) -> Vec<String> {
        let seed = self.seed.map(|seed| format!("seed={seed}"));
        self.set.iter().cloned().chain(seed).collect()
    }

    /// What to search for with `--find-knee`.
    ///
    /// # Errors
    /// If the range is empty.
    pub fn search(&self) -> Result<Search, String> {
        if self.from.is_some_and(|from| from > self.to) {
            return Err(format!("--from is above --to ({})", self.to));
        }
        Ok(Search {
            p99: self.p99,
            seeds: self.seeds as usize,
            from: self.from,
            to: self.to,
        })
    }
}

/// Arguments of `consortium compare`.
#[derive(Clone, PartialEq, Eq, Debug, clap::Args)]
pub struct CompareArgs {
    /// A file, or the name of one in scenarios/, with or without ".toml".
    pub name: PathBuf,
    /// The protocols, separated by commas; all there are if it is left out.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub consensus: Vec<String>,
    /// First seed, instead of the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Plays this many seeds, from the first on.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub seeds: u32,
    /// Finds out how many members may crash, fall silent or collude: a short run for each number of them.
    #[arg(long)]
    pub tolerance: bool,
    /// Overrides a key of the scenario for all protocols; may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Writes table, JSON and figures into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Prints no progress and no warnings of the scenario.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of `consortium survey`.
#[derive(Clone, PartialEq, Eq, Debug, clap::Args)]
pub struct SurveyArgs {
    /// Numbers of validators, separated by commas.
    #[arg(
        long,
        value_name = "NUMBERS",
        value_delimiter = ',',
        default_values_t = [4, 7, 16, 31, 64],
        value_parser = clap::value_parser!(u16).range(4..=128)
    )]
    pub sizes: Vec<u16>,
    /// How far the validators are apart, separated by commas.
    #[arg(
        long,
        value_enum,
        value_name = "PLACES",
        value_delimiter = ',',
        default_values_t = Place::ALL
    )]
    pub places: Vec<Place>,
    /// Writes consensus.md, and its figures below figures/, into this directory.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    /// Writes the scenarios that are played into this directory too, for `compare`.
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
    /// Prints no progress.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of `consortium list`.
#[derive(Clone, PartialEq, Eq, Debug, clap::Args)]
pub struct ListArgs {
    /// How to print the list.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A scenario that is there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Listed {
    /// What to type.
    pub name: String,
    /// Its first comment line.
    pub title: String,
    /// Where it is.
    pub path: PathBuf,
}

/// There is no such scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotFound {
    /// What was typed.
    pub name: String,
    /// What is there, the nearest first.
    pub known: Vec<String>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no scenario {:?}", self.name)?;
        match self.known.as_slice() {
            [] => write!(f, ", nor any other: is there a directory scenarios/ here?"),
            known => write!(f, "; there are: {}", known.join(", ")),
        }
    }
}

impl std::error::Error for NotFound {}

/// Where scenarios are looked for: below the working directory, and in the workspace that this program
/// was built from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Library {
    directories: Vec<PathBuf>,
}

impl Library {
    /// The usual places.
    pub fn usual() -> Self {
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let workspace = built_from.map(|root| root.join("scenarios"));
        Self::of([PathBuf::from("scenarios")].into_iter().chain(workspace))
    }

    /// These places, the first one first.
    pub fn of(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            directories: directories.into_iter().collect(),
        }
    }

    /// The file of a scenario: as typed, else in the library, else there with ".toml" added.
    ///
    /// # Errors
    /// If there is none; the error lists what there is.
    pub fn find(&self, name: &Path) -> Result<PathBuf, NotFound> {
        let with_extension = |path: &Path| {
            let mut path = path.as_os_str().to_owned();
            path.push(".toml");
            PathBuf::from(path)
        };
        let in_library = self.directories.iter().flat_map(|directory| {
            let path = directory.join(name);
            [path.clone(), with_extension(&path)]
        });
        let typed = [name.to_owned(), with_extension(name)];
        let mut candidates = typed.into_iter().chain(in_library);
        candidates
            .find(|path| path.is_file())
            .ok_or_else(|| self.not_found(name))
    }

    /// Every scenario, by name. A file that cannot be read is left out.
    pub fn list(&self) -> Vec<Listed> {
        // The first directory that is there; the second is a fall-back, not an addition.
        let Some(directory) = self.directories.iter().find(|path| path.is_dir()) else {
            return Vec::new();
        };
        let mut listed = Vec::new();
        // An unreadable directory has nothing to choose from.
        let _ = collect(directory, directory, &mut listed);
        listed.sort();
        listed
    }

    fn not_found(&self, name: &Path) -> NotFound {
        let typed = name.display().to_string();
        let stem = typed.trim_end_matches(".toml").to_lowercase();
        let mut known: Vec<_> = self.list().into_iter().map(|listed| listed.name).collect();
        known.sort_by(|a, b| {
            let near = |name: &str| strsim::jaro_winkler(&stem, &name.to_lowercase());
            near(b).total_cmp(&near(a))
        });
        NotFound { name: typed, known }
    }
}

fn collect(root: &Path, directory: &Path, listed: &mut Vec<Listed>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        // Not through links, which could go in circles.
        if entry.file_type()?.is_dir() {
            collect(root, &path, listed)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let Ok(relative) = path.strip_prefix(root) else {
                continue;
            };
            listed.push(Listed {
                name: relative.with_extension("").display().to_string(),
                title: title(&path),
                path,
            });
        }
    }
    Ok(())
}

fn title(path: &Path) -> String {
    match Source::read(path) {
        Ok(source) if source.bytes.len() <= LONGEST_SCENARIO => {
            Source::title(&String::from_utf8_lossy(&source.bytes)).to_owned()
        }
        _ => String::new(),
    }
}
