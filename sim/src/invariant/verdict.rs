//! What invariants say: violations while the run lasts, verdicts when it is over.

use std::{collections::BTreeSet, fmt};

use consortium_node::types::NodeId;

use crate::time::Time;

/// Violations of one invariant that are kept with their sentence; the rest is counted.
pub const KEPT: usize = 8;

/// What an invariant is about. They end a run with different exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing bad happens.
    Safety,
    /// What is asked for happens in the end.
    Liveness,
}

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// When it showed.
    pub at: Time,
    /// What happened, in a sentence that names members and heights.
    pub what: String,
    /// Whose own signatures prove that they lied; empty if nobody's do.
    pub culprits: BTreeSet<NodeId>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.0 / 1_000_000;
        write!(
            f,
            "VIOLATED {} at {}.{:03} s: {}",
            self.invariant,
            millis / 1000,
            millis % 1000,
            self.what
        )
    }
}

/// Where an invariant brings what it found. Each has one of its own.
#[derive(Debug)]
pub struct Court {
    invariant: &'static str,
    checked: u64,
    count: u64,
    violations: Vec<Violation>,
    waiver: Option<String>,
}

impl Court {
    /// An empty court for the invariant of this name.
    pub fn new(invariant: &'static str) -> Self {
        Self {
            invariant,
            checked: 0,
            count: 0,
            violations: Vec::new(),
            waiver: None,
        }
    }

    /// Counts something that was checked, whatever comes out.
    pub fn check(&mut self) {
        self.checked += 1;
    }

    /// Notes that the promise was broken.
    pub fn violated(&mut self, at: Time, what: String) {
        self.accused(at, what, BTreeSet::new());
    }

    /// Notes that the promise was broken, and who is proven guilty.
    pub fn accused(&mut self, at: Time, what: String, culprits: BTreeSet<NodeId>) {
        self.count += 1;
        if self.violations.len() < KEPT {
            self.violations.push(Violation {
                invariant: self.invariant,
                at,
                what,
                culprits,
            });
        }
    }

    /// Says why the promise was not made. It does not undo violations.
    pub fn waive(&mut self, reason: String) {
        self.waiver = Some(reason);
    }

    /// Violations so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the promise was not made.
    pub fn is_waived(&self) -> bool {
        self.waiver.is_some()
    }

    pub(super) fn finding(&self) -> Finding {
        if self.count > 0 {
            Finding::Violated {
                first: self.violations.clone(),
                count: self.count,
            }
        } else if let Some(reason) = &self.waiver {
            Finding::NotClaimed(reason.clone())
        } else {
            Finding::Holds {
                checked: self.checked,
            }
        }
    }
}

/// What came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Nothing speaks against it.
    Holds {
        /// How much was checked. Zero is no evidence: there never was anything to check.
        checked: u64,
    },
    /// It was broken.
    Violated {
        /// The first few times, never none.
        first: Vec<Violation>,
        /// How often.
        count: u64,
    },
    /// The protocol does not promise it, or nobody could keep it; why.
    NotClaimed(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds { checked: 0 } => write!(f, "had nothing to check"),
            Self::Holds { checked } => write!(f, "holds ({checked} checked)"),
            Self::Violated { count, .. } => write!(f, "violated ({count} times)"),
            Self::NotClaimed(reason) => write!(f, "not claimed: {reason}"),
        }
    }
}

/// An invariant with what came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Its name.
    pub name: &'static str,
    /// What it promises, in one line for people.
    pub promise: &'static str,
    /// What it is about.
    pub kind: Kind,
    /// What came out.
    pub finding: Finding,
}

impl Verdict {
    /// Whether it was broken.
    pub fn is_violated(&self) -> bool {
        matches!(self.finding, Finding::Violated { .. })
    }

    /// The first few violations.
    pub fn violations(&self) -> &[Violation] {
        match &self.finding {
            Finding::Violated { first, .. } => first,
            Finding::Holds { .. } | Finding::NotClaimed(_) => &[],
        }
    }
}

/// How often honest nodes changed their minds, where the protocol lets them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reorganisations {
    /// Blocks that a node took off its chain; each node counts.
    pub retracted: u64,
    /// Most blocks that a node took off before it appended again.
    pub deepest: u64,
    /// Blocks that a node took off after it had told submitters to rely on them.
    pub after_relied: u64,
}

/// What came out of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdicts {
    /// One an invariant, always in the same order.
    pub list: Vec<Verdict>,
    /// Not a verdict: what a protocol without finality did.
    pub reorganisations: Reorganisations,
}

impl Verdicts {
    /// The verdict on the invariant of this name.
    pub fn on(&self, name: &str) -> Option<&Verdict> {
        self.list.iter().find(|verdict| verdict.name == name)
    }

    /// Those that were broken although the scenario does not expect it.
    pub fn unexpected<'a>(&'a self, expected: &'a [String]) -> impl Iterator<Item = &'a Verdict> {
        self.list
            .iter()
            .filter(|verdict| verdict.is_violated() && !lists(expected, verdict.name))
    }

    /// Those that were not broken although the scenario expects it.
    pub fn absent<'a>(&'a self, expected: &'a [String]) -> impl Iterator<Item = &'a Verdict> {
        self.list
            .iter()
            .filter(|verdict| !verdict.is_violated() && lists(expected, verdict.name))
    }
}

fn lists(expected: &[String], name: &str) -> bool {
    expected.iter().any(|one| one == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_court_keeps_the_first_few_violations_and_counts_the_rest() {
        let mut court = Court::new("agreement");
        for height in 0..100 {
            court.check();
            court.violated(Time(23_481_000_000), format!("height {height}"));
        }
        let Finding::Violated { first, count } = court.finding() else {
            panic!("it was violated");
        };
        assert_eq!((first.len(), count), (KEPT, 100));
        assert_eq!(
            first[0].to_string(),
            "VIOLATED agreement at 23.481 s: height 0"
        );
    }

    #[test]
    fn a_waiver_does_not_undo_a_violation_and_nothing_checked_says_so() {
        let mut court = Court::new("agreement");
        assert_eq!(court.finding().to_string(), "had nothing to check");
        court.waive("no finality".into());
        assert_eq!(court.finding(), Finding::NotClaimed("no finality".into()));
        court.violated(Time::ZERO, "a fork".into());
        assert!(matches!(
            court.finding(),
            Finding::Violated { count: 1, .. }
        ));
    }

    #[test]
    fn what_a_scenario_expects_is_told_apart_from_what_happened() {
        let verdict = |name, violated| {
            let mut court = Court::new(name);
            if violated {
                court.violated(Time::ZERO, "so".into());
            }
            Verdict {
                name,
                promise: "",
                kind: Kind::Safety,
                finding: court.finding(),
            }
        };
        let verdicts = Verdicts {
            list: vec![verdict("agreement", true), verdict("prefix", false)],
            reorganisations: Reorganisations::default(),
        };
        let names = |list: &mut dyn Iterator<Item = &Verdict>| -> Vec<&str> {
            list.map(|verdict| verdict.name).collect()
        };
        let expected = ["prefix".to_owned()];
        assert_eq!(names(&mut verdicts.unexpected(&expected)), ["agreement"]);
        assert_eq!(names(&mut verdicts.absent(&expected)), ["prefix"]);
        assert!(verdicts.on("agreement").is_some_and(Verdict::is_violated));
    }
}
