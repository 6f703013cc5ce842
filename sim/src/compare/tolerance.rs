//! How many members may fail: one short run for each number of them and each way to fail.
//!
//! The runs are the scenario without its own faults and cheats, cut to some minutes. From a third of them
//! on, for good, the first k members in the order of turns crash, propose nothing when they lead, or
//! collude and equivocate. *Claimed* is what the protocol's model says, *shown* is up to where these runs
//! stayed safe, or live. One directed run each: it can refute a claim, and cannot prove one.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    claims::{Claimed, grounds, standing},
    contender::Request,
    run::Outcome,
};
use crate::{
    metrics::{
        Summary,
        summary::{VerdictKind, VerdictStatus},
    },
    scenario::{
        self, Problems, Source,
        plan::{Pace, Plan, Standing},
    },
};

/// Sensors report for so long at most.
const SPAN: Duration = Duration::from_mins(10);
/// Pending work has so long to finish, at least.
const DRAIN: Duration = Duration::from_mins(10);
/// And at most, however many timers double.
const LONGEST_DRAIN: Duration = Duration::from_hours(2);
/// A sensor reports at least so often.
const READING_EVERY: Duration = Duration::from_secs(20);
/// So many packages are enough.
const PACKAGES: usize = 12;

/// How members fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// They stop.
    Crashed,
    /// They take part, but whenever one leads it proposes nothing.
    Silent,
    /// Whoever of them leads tells two stories, and each votes for both.
    Colluding,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Crashed, Self::Silent, Self::Colluding];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::Silent => "silent",
            Self::Colluding => "colluding",
        }
    }

    /// What is laid over the scenario so that these members fail in this way from an instant on.
    fn settings(self, members: &[&str], at_ms: u128) -> Vec<String> {
        let each = |kind: &str, key: &str| {
            let one = |name: &&str| format!("{{kind=\"{kind}\",{key}={name:?},at=\"{at_ms}ms\"}}");
            members.iter().map(one).collect::<Vec<_>>().join(",")
        };
        let (faults, cheats) = match (self, members) {
            (_, []) => (String::new(), String::new()),
            (Self::Crashed, _) => (each("crash", "target"), String::new()),
            (Self::Silent, _) => (String::new(), each("silent-primary", "member")),
            (Self::Colluding, [_]) => (String::new(), each("equivocating-primary", "member")),
            (Self::Colluding, _) => (
                String::new(),
                format!("{{kind=\"colluders\",members={members:?},at=\"{at_ms}ms\"}}"),
            ),
        };
        vec![format!("fault=[{faults}]"), format!("cheat=[{cheats}]")]
    }
}

/// What one run showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Safe, and all work was finished.
    Good,
    /// Safe, but some work was not.
    Stalled,
    /// Not safe, and all work was finished.
    Forked,
    /// Neither.
    ForkedAndStalled,
    /// The cheat never did anything: it never led, or this protocol has nothing to withhold or to tell
    /// twice. No evidence of anything.
    Idle,
    /// Nobody is left whose history could be judged.
    NobodyHonest,
}

impl Cell {
    fn of(summary: &Summary, lies: bool) -> Self {
        if lies && summary.cheats.iter().all(|cheat| cheat.acted == 0) {
            return Self::Idle;
        }
        let forked = standing(summary) == Standing::Forked;
        let mut verdicts = summary.verdicts.iter();
        let late = verdicts
            .any(|row| row.kind == VerdictKind::Liveness && row.status == VerdictStatus::Violated);
        match (forked, late || summary.pending > 0) {
            (false, false) => Self::Good,
            (false, true) => Self::Stalled,
            (true, false) => Self::Forked,
            (true, true) => Self::ForkedAndStalled,
        }
    }

    /// A letter for a curve.
    pub fn letter(self) -> char {
        match self {
            Self::Good => '.',
            Self::Stalled => 's',
            Self::Forked => 'F',
            Self::ForkedAndStalled => 'B',
            Self::Idle => '-',
            Self::NobodyHonest => ' ',
        }
    }

    /// Whether it shows that histories did not part; `None`: it shows nothing.
    pub fn is_safe(self) -> Option<bool> {
        match self {
            Self::Good | Self::Stalled => Some(true),
            Self::Forked | Self::ForkedAndStalled => Some(false),
            Self::Idle | Self::NobodyHonest => None,
        }
    }

    /// Whether it shows that work went on; `None`: it shows nothing.
    pub fn is_live(self) -> Option<bool> {
        match self {
            Self::Good | Self::Forked => Some(true),
            Self::Stalled | Self::ForkedAndStalled => Some(false),
            Self::Idle | Self::NobodyHonest => None,
        }
    }
}

/// One protocol and one way to fail, for every number of members.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Curve {
    /// The protocol's name.
    pub protocol: String,
    /// How members fail.
    pub trouble: Trouble,
    /// What happened with k = 0, 1, … of them.
    pub cells: Vec<Cell>,
    /// Up to how many histories stay one, by the protocol's own account; `None`: it claims nothing.
    pub claimed_safe: Option<usize>,
    /// Up to how many work goes on.
    pub claimed_live: Option<usize>,
    /// Up to how many these runs show the first.
    pub shown_safe: Option<usize>,
    /// Up to how many they show the second.
    pub shown_live: Option<usize>,
    /// The run with the fewest failing members in which histories parted.
    pub first_fork: Option<FirstFork>,
}

/// The run of a curve with the fewest failing members in which histories parted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FirstFork {
    /// How many failed.
    pub failing: usize,
    /// The invariants that show it.
    pub grounds: Vec<String>,
    /// The line that makes it again.
    pub reproduce: String,
}

impl Curve {
    /// `runs` are what was seen with 0, 1, … failing members, and their summaries.
    fn of(job: &Job, claimed: Claimed, runs: &[(Cell, &Summary)]) -> Self {
        let (claimed_safe, claimed_live) = match job.trouble {
            Trouble::Crashed => (claimed.crashes_safe, claimed.crashes_live),
            Trouble::Silent | Trouble::Colluding => (claimed.liars_safe, claimed.liars_live),
        };
        let forked = |(cell, _): &(Cell, &Summary)| cell.is_safe() == Some(false);
        let first_fork = runs.iter().position(forked).map(|failing| FirstFork {
            failing,
            grounds: grounds(runs[failing].1),
            reproduce: runs[failing].1.reproduce(),
        });
        let mut cells: Vec<Cell> = runs.iter().map(|(cell, _)| *cell).collect();
        cells.resize(job.members + 1, Cell::NobodyHonest);
        Self {
            protocol: job.protocol.clone(),
            trouble: job.trouble,
            claimed_safe,
            claimed_live,
            shown_safe: shown(&cells, Cell::is_safe),
            shown_live: shown(&cells, Cell::is_live),
            first_fork,
            cells,
        }
    }

    /// Whether the cheat never did anything, with any number of members.
    pub fn is_idle(&self) -> bool {
        self.cells.contains(&Cell::Idle) && !self.cells[1..].iter().any(|c| c.is_safe().is_some())
    }

    /// The fewest failing members, within the claim, under which histories parted.
    pub fn broken_safety(&self) -> Option<usize> {
        broken(&self.cells, self.claimed_safe, Cell::is_safe)
    }

    /// The fewest failing members, within the claim, under which work did not go on in the time given.
    pub fn late(&self) -> Option<usize> {
        broken(&self.cells, self.claimed_live, Cell::is_live)
    }
}

/// The largest k that shows it, if no smaller one shows the opposite.
fn shown(cells: &[Cell], shows: fn(Cell) -> Option<bool>) -> Option<usize> {
    let evidence = cells.iter().enumerate();
    let evidence = evidence.filter_map(|(k, cell)| Some((k, shows(*cell)?)));
    let good = evidence.take_while(|(_, good)| *good);
    good.last().map(|(k, _)| k)
}

fn broken(
    cells: &[Cell],
    claimed: Option<usize>,
    shows: fn(Cell) -> Option<bool>,
) -> Option<usize> {
    let claimed = claimed?;
    let first = cells.iter().position(|cell| shows(*cell) == Some(false))?;
    (first <= claimed).then_some(first)
}

/// The runs of one curve.
#[derive(Clone, Debug)]
pub(super) struct Job {
    protocol: String,
    trouble: Trouble,
    /// With k = 0, 1, … failing members; the last one is missing if nobody honest would be left.
    plans: Vec<Arc<Plan>>,
    /// Members with a validator.
    members: usize,
}

impl Job {
    /// Its plans; the first is the same in all jobs of a protocol.
    pub(super) fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }
}

/// The runs of all curves of a protocol.
///
/// # Errors
/// Everything that is wrong with the shortened scenario.
pub(super) fn jobs(
    request: &Request,
    source: &Source,
    protocol: &str,
    whole: &Plan,
) -> Result<Vec<Job>, Problems> {
    let span = SPAN.min(whole.duration);
    let members = whole.members.iter().filter(|member| member.validators > 0);
    let members: Vec<&str> = members.map(|member| member.name.as_str()).collect();
    let faulty = whole.consensus.protocol.thresholds(whole.validators()).f;
    let mut shared = request.overrides_for(protocol, &[]);
    shared.extend(shortened(whole, span, faulty));
    shared.push(format!("seed={}", whole.seed));
    let load = |trouble: Trouble, failing: usize| {
        let mut overrides = shared.clone();
        overrides.extend(trouble.settings(&members[..failing], span.as_millis() / 3));
        scenario::load(source, &overrides).map(|loaded| Arc::new(loaded.plan))
    };
    let job = |trouble: Trouble| {
        let most = match trouble {
            Trouble::Crashed => members.len(),
            Trouble::Silent | Trouble::Colluding => members.len() - 1,
        };
        let plans: Result<Vec<_>, Problems> = (0..=most).map(|k| load(trouble, k)).collect();
        Ok(Job {
            protocol: protocol.to_owned(),
            trouble,
            plans: plans?,
            members: members.len(),
        })
    };
    Trouble::ALL.into_iter().map(job).collect()
}

/// The scenario without what happens in it, and short.
fn shortened(whole: &Plan, span: Duration, faulty: usize) -> Vec<String> {
    // Timers that double at each failing leader in turn: 2 s · 2^(f+1) in all.
    let doubled = Duration::from_secs(2 << (faulty + 1).min(20));
    let drain = (DRAIN + doubled).min(LONGEST_DRAIN);
    let mut settings: Vec<String> = [
        "warm_up=0s",
        "change=[]",
        "schedule=[]",
        "expect={}",
        "fleet.start_spread=0s",
    ]
    .map(str::to_owned)
    .into();
    settings.push(format!("duration={}ms", span.as_millis()));
    settings.push(format!("drain={}ms", drain.as_millis()));
    settings.push(format!(
        "fleet.packages={}",
        whole.fleet.packages.min(PACKAGES)
    ));
    if matches!(whole.fleet.pace, Pace::Every(every) if every > READING_EVERY) {
        settings.push(format!("fleet.reading_every={}s", READING_EVERY.as_secs()));
    }
    settings
}

/// The curves of jobs, whose outcomes come in the order of the jobs and of their plans.
pub(super) fn curves(jobs: &[Job], outcomes: &[Outcome]) -> Vec<Curve> {
    let mut rest = outcomes;
    let curve = |job: &Job| {
        let (own, others) = rest.split_at(job.plans.len());
        rest = others;
        let run = |(failing, outcome): (usize, &'_ Outcome)| {
            let lies = failing > 0 && job.trouble != Trouble::Crashed;
            Cell::of(&outcome.summary, lies)
        };
        let cells = own.iter().enumerate().map(run);
        let runs = cells.zip(own.iter().map(|outcome| &outcome.summary));
        Curve::of(job, own[0].claimed, &runs.collect::<Vec<_>>())
    };
    jobs.iter().map(curve).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cell::*, *};

    #[test]
    fn shown_is_up_to_where_nothing_speaks_against_it() {
        let cells = [Good, Good, Stalled, Stalled];
        assert_eq!(shown(&cells, Cell::is_safe), Some(3));
        assert_eq!(shown(&cells, Cell::is_live), Some(1));
        let cells = [Good, Idle, Good, Forked, Good];
        assert_eq!(
            shown(&cells, Cell::is_safe),
            Some(2),
            "idleness is no evidence"
        );
        assert_eq!(shown(&[Forked, Good], Cell::is_safe), None);
    }

    #[test]
    fn a_claim_is_broken_by_a_run_within_it_and_by_no_other() {
        let cells = [Good, Good, Forked];
        assert_eq!(broken(&cells, Some(1), Cell::is_safe), None);
        assert_eq!(broken(&cells, Some(2), Cell::is_safe), Some(2));
        assert_eq!(
            broken(&cells, None, Cell::is_safe),
            None,
            "nothing is claimed"
        );
    }

    #[test]
    fn members_fail_by_name_and_one_alone_does_not_collude() {
        let names = ["Farm", "A \"B\""];
        let one = Trouble::Colluding.settings(&names[..1], 5);
        assert!(one[1].contains("equivocating-primary"), "{one:?}");
        let two = Trouble::Colluding.settings(&names, 5);
        assert!(
            two[1].contains("members=[\"Farm\", \"A \\\"B\\\"\"]"),
            "{two:?}"
        );
        assert_eq!(two[0], "fault=[]");
        let none = Trouble::Crashed.settings(&[], 5);
        assert_eq!(none, ["fault=[]", "cheat=[]"]);
    }
}
