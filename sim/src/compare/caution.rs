//! Where a comparison could mislead although each of its figures is right.

use std::fmt;

use serde::Serialize;

use super::{claims::Finality, row::Row, tolerance::Curve};
use crate::metrics::{
    Warning, units,
    warning::{FAR_FROM_FULL_PERCENT, SEEDS_NEEDED},
};

/// What was seen, why it matters, what to try.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caution {
    /// Figures of few seeds.
    FewSeeds {
        /// How many there were.
        seeds: usize,
    },
    /// Nobody was near a limit.
    NotSaturated {
        /// The busiest resource of all of them.
        busiest_percent: f64,
    },
    /// The measured window begins before some have settled.
    WarmUpTooShort {
        /// Who.
        protocols: Vec<String>,
    },
    /// Some had more and more work waiting.
    BacklogGrowing {
        /// Who.
        protocols: Vec<String>,
    },
    /// What never finished is in no latency.
    Censored {
        /// Who, with how many transactions.
        protocols: Vec<(String, u64)>,
    },
    /// *Final* does not mean the same for all.
    DifferentFinality {
        /// Each meaning with those who use it.
        meanings: Vec<(Finality, Vec<String>)>,
    },
    /// The committee changes under some and not under others.
    DifferentCommittees {
        /// Those whose committee stays.
        protocols: Vec<String>,
    },
    /// A cheat never did anything: it was not withstood.
    CheatDidNotAct {
        /// Who did what.
        cheat: String,
        /// Under which protocols it did nothing.
        protocols: Vec<String>,
    },
    /// In a tolerance run within the claim, work was not finished in the time given.
    LateWithinClaim {
        /// The protocol.
        protocol: String,
        /// How members failed.
        trouble: &'static str,
        /// How many.
        failing: usize,
        /// How many are claimed to be borne.
        claimed: usize,
    },
}

/// How many names are listed before the rest is counted.
const LISTED: usize = 6;

fn names(protocols: &[String]) -> String {
    match protocols.len() {
        0..=LISTED => protocols.join(", "),
        more => format!(
            "{} and {} more",
            protocols[..LISTED].join(", "),
            more - LISTED
        ),
    }
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewSeeds { seeds } => write!(
                f,
                "{}: another may turn the order round; try --seeds {SEEDS_NEEDED}",
                units::counted(*seeds as u64, "seed")
            ),
            Self::NotSaturated { busiest_percent } => write!(
                f,
                "no resource was busier than {busiest_percent:.0} %: equal throughput is equal load, \
                 and says nothing about limits; try more packages or a shorter interval"
            ),
            Self::WarmUpTooShort { protocols } => write!(
                f,
                "{} had not settled when measuring began: the start distorts the rest; try a longer \
                 warm_up",
                names(protocols)
            ),
            Self::BacklogGrowing { protocols } => write!(
                f,
                "the backlog of {} only grew: these latencies depend on how long the run was; try \
                 fewer packages or larger batches",
                names(protocols)
            ),
            Self::Censored { protocols } => {
                let each =
                    |(name, count): &(String, u64)| format!("{name} {}", units::thousands(*count));
                let each: Vec<_> = protocols.iter().map(each).collect();
                write!(
                    f,
                    "transactions that never finished are in no latency: {}; their tails are longer \
                     than they look",
                    names(&each)
                )
            }
            Self::DifferentFinality { meanings } => {
                let each = |(finality, who): &(Finality, Vec<String>)| {
                    format!("{finality} ({})", names(who))
                };
                let each: Vec<_> = meanings.iter().map(each).collect();
                write!(
                    f,
                    "\"final\" is not the same promise everywhere: {}; compare latencies within a \
                     promise first",
                    each.join("; ")
                )
            }
            Self::DifferentCommittees { protocols } => write!(
                f,
                "who decides changes during the run, but not under {}: there all members decide from \
                 the beginning; for equal committees try --set 'change=[]'",
                names(protocols)
            ),
            Self::CheatDidNotAct { cheat, protocols } => write!(
                f,
                "\"{cheat}\" never came to act under {}: there it was not withstood, it was not tried",
                names(protocols)
            ),
            Self::LateWithinClaim {
                protocol,
                trouble,
                failing,
                claimed,
            } => write!(
                f,
                "{protocol} claims to go on with {claimed} {trouble} and did not finish with {failing} \
                 in the time given; timers that double may only need longer"
            ),
        }
    }
}

/// Everything worth a caution.
pub fn cautions(rows: &[Row], curves: &[Curve], unchanging: &[String]) -> Vec<Caution> {
    let seeds = rows.iter().map(|row| row.seeds.len()).min().unwrap_or(0);
    let mut cautions = Vec::new();
    if seeds < SEEDS_NEEDED {
        cautions.push(Caution::FewSeeds { seeds });
    }
    cautions.extend(not_saturated(rows));
    let who = |is: fn(&Warning) -> bool| -> Vec<String> {
        let rows = rows.iter().filter(|row| row.warnings.iter().any(is));
        rows.map(Row::label).collect()
    };
    let protocols = who(|warning| matches!(warning, Warning::WarmUpTooShort { .. }));
    if !protocols.is_empty() {
        cautions.push(Caution::WarmUpTooShort { protocols });
    }
    let protocols = who(|warning| matches!(warning, Warning::BacklogGrowing { .. }));
    if !protocols.is_empty() {
        cautions.push(Caution::BacklogGrowing { protocols });
    }
    cautions.extend(censored(rows));
    cautions.extend(different_finality(rows));
    if !unchanging.is_empty() {
        let protocols = unchanging.to_vec();
        cautions.push(Caution::DifferentCommittees { protocols });
    }
    cautions.extend(idle_cheats(rows));
    cautions.extend(curves.iter().filter_map(|curve| {
        Some(Caution::LateWithinClaim {
            protocol: curve.protocol.clone(),
            trouble: curve.trouble.name(),
            failing: curve.late()?,
            claimed: curve.claimed_live?,
        })
    }));
    cautions
}

fn not_saturated(rows: &[Row]) -> Option<Caution> {
    let busy = rows.iter().filter_map(|row| row.busiest.as_ref());
    let busiest_percent = busy.map(|busy| busy.busy_percent).fold(0.0, f64::max);
    let far = !rows.is_empty() && busiest_percent < FAR_FROM_FULL_PERCENT;
    far.then_some(Caution::NotSaturated { busiest_percent })
}

fn censored(rows: &[Row]) -> Option<Caution> {
    let count = |row: &Row| {
        row.warnings.iter().find_map(|warning| match warning {
            Warning::Censored { count } => Some((row.label(), *count)),
            _ => None,
        })
    };
    let protocols: Vec<_> = rows.iter().filter_map(count).collect();
    (!protocols.is_empty()).then_some(Caution::Censored { protocols })
}

fn different_finality(rows: &[Row]) -> Option<Caution> {
    let mut meanings: Vec<(Finality, Vec<String>)> = Vec::new();
    for row in rows {
        match meanings
            .iter_mut()
            .find(|(known, _)| *known == row.finality)
        {
            Some((_, who)) => who.push(row.label()),
            None => meanings.push((row.finality, vec![row.label()])),
        }
    }
    (meanings.len() > 1).then_some(Caution::DifferentFinality { meanings })
}

fn idle_cheats(rows: &[Row]) -> Vec<Caution> {
    let labels = rows.first().map_or(&[][..], |row| &row.cheats);
    let idle = |(place, cheat): (usize, &super::row::CheatRow)| {
        let idle = rows
            .iter()
            .filter(|row| row.cheats.get(place).is_some_and(|cheat| cheat.acted == 0));
        let protocols: Vec<_> = idle.map(Row::label).collect();
        (!protocols.is_empty()).then(|| Caution::CheatDidNotAct {
            cheat: cheat.label.clone(),
            protocols,
        })
    };
    labels.iter().enumerate().filter_map(idle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{
        sample::{cheated, colluding, crash_only, row},
        tolerance::Cell,
    };

    /// Five runs each, busy enough, of equal promises.
    fn sound() -> [Row; 2] {
        ["pbft", "qbft"].map(|name| {
            let mut row = row(name);
            row.seeds = vec![row.seeds[0].clone(); SEEDS_NEEDED];
            row
        })
    }

    #[test]
    fn a_sound_comparison_gets_no_caution() {
        assert_eq!(cautions(&sound(), &[], &[]), []);
    }

    #[test]
    fn few_seeds_and_idle_machines_are_told() {
        let mut rows = sound();
        rows[0].seeds.truncate(2);
        for row in &mut rows {
            row.busiest.as_mut().expect("a resource").busy_percent = 3.0;
        }
        let found = cautions(&rows, &[], &[]);
        let busiest_percent = 3.0;
        assert_eq!(
            found,
            [
                Caution::FewSeeds { seeds: 2 },
                Caution::NotSaturated { busiest_percent }
            ]
        );
    }

    #[test]
    fn warnings_of_single_runs_name_the_protocols_that_they_are_about() {
        let mut rows = sound();
        rows[1].warnings = vec![
            Warning::WarmUpTooShort {
                warm_up_ms: 0,
                early_p50_us: 2,
                later_p50_us: 1,
            },
            Warning::BacklogGrowing { early: 1, late: 99 },
            Warning::Censored { count: 4 },
        ];
        let who = vec!["qbft".to_owned()];
        assert_eq!(
            cautions(&rows, &[], &[]),
            [
                Caution::WarmUpTooShort {
                    protocols: who.clone()
                },
                Caution::BacklogGrowing { protocols: who },
                Caution::Censored {
                    protocols: vec![("qbft".to_owned(), 4)]
                },
            ]
        );
    }

    #[test]
    fn different_promises_committees_and_untried_cheats_are_told() {
        let mut rows = sound().map(|row| cheated(row, 5, 5));
        rows[1].cheats[0].acted = 0;
        rows[1].finality = crash_only("raft").finality;
        let found = cautions(&rows, &[], &["qbft".to_owned()]);
        let texts: Vec<String> = found.iter().map(Caution::to_string).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(
            texts[0].contains("f+1 receipts (pbft); one receipt (qbft)"),
            "{texts:?}"
        );
        assert!(texts[1].contains("not under qbft"), "{texts:?}");
        assert!(
            texts[2].contains("never came to act under qbft"),
            "{texts:?}"
        );
    }

    #[test]
    fn a_protocol_that_is_late_within_its_claim_is_told() {
        let late = colluding("pbft", Some(1), vec![Cell::Good, Cell::Stalled]);
        let beyond = colluding("raft", Some(0), vec![Cell::Good, Cell::Stalled]);
        let found = cautions(&sound(), &[late, beyond], &[]);
        assert!(matches!(
            found.as_slice(),
            [Caution::LateWithinClaim {
                failing: 1,
                claimed: 1,
                ..
            }]
        ));
    }
}
