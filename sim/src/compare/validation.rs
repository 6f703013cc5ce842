//! How far predicted figures were off where somebody has measured: `sim/data/validation.toml`.

use std::fmt;

use serde::{Deserialize, Serialize};

const BOOK: &str = include_str!("../../data/validation.toml");

/// What is known of how right a figure is.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validation {
    /// It was held against measurements in this regime.
    Validated {
        /// The largest error found.
        error_percent: f64,
        /// Of what system.
        against: String,
        /// Where the measurements are.
        source: String,
        /// When the prediction was held against them.
        date: String,
    },
    /// It was not.
    Unvalidated {
        /// For a figure that was validated in another regime, what is different here.
        why: Option<String>,
    },
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validated {
                error_percent,
                against,
                date,
                ..
            } => write!(f, "±{error_percent} % ({against}, {date})"),
            Self::Unvalidated { why: None } => write!(f, "unvalidated"),
            Self::Unvalidated { why: Some(why) } => write!(f, "unvalidated ({why})"),
        }
    }
}

/// In which regime a figure was predicted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Regime<'a> {
    /// Name of the protocol.
    pub protocol: &'a str,
    /// Validators.
    pub validators: usize,
    /// Regions with a validator.
    pub regions: usize,
    /// How busy the busiest resource was.
    pub busiest_percent: f64,
    /// How long a batch waits for more.
    pub batch_age_ms: u64,
    /// Whether anything broke or anyone cheated.
    pub is_disturbed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    validated: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    protocol: String,
    figures: Vec<String>,
    error_percent: f64,
    against: String,
    source: String,
    date: String,
    #[expect(dead_code, reason = "for whoever reads the file")]
    reproduce: String,
    validators: usize,
    regions: usize,
    busiest_percent_at_most: f64,
    batch_age_ms_at_most: u64,
}

impl Entry {
    /// What is different, if this entry does not cover the regime.
    fn difference(&self, regime: &Regime<'_>) -> Option<String> {
        let error = self.error_percent;
        let there = |what: String| Some(format!("±{error} % was found {what}"));
        if regime.validators != self.validators {
            return there(format!("at n = {}", self.validators));
        }
        if regime.regions != self.regions {
            return there(format!("over {} regions", self.regions));
        }
        if regime.busiest_percent > self.busiest_percent_at_most {
            return there("far from any limit".to_owned());
        }
        if regime.batch_age_ms > self.batch_age_ms_at_most {
            return there("where no batch waits".to_owned());
        }
        if regime.is_disturbed {
            return there("where nothing breaks".to_owned());
        }
        None
    }
}

/// What is known of how right a figure of this name is in this regime.
pub fn of(figure: &str, regime: &Regime<'_>) -> Validation {
    let book: Book = toml::from_str(BOOK).expect("a test reads validation.toml");
    let mut why = None;
    for entry in &book.validated {
        let covers = entry.figures.iter().any(|name| name == figure);
        if entry.protocol != regime.protocol || !covers {
            continue;
        }
        match entry.difference(regime) {
            None => {
                return Validation::Validated {
                    error_percent: entry.error_percent,
                    against: entry.against.clone(),
                    source: entry.source.clone(),
                    date: entry.date.clone(),
                };
            }
            difference => why = why.or(difference),
        }
    }
    Validation::Unvalidated { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Regime<'_> = Regime {
        protocol: "pbft",
        validators: 4,
        regions: 4,
        busiest_percent: 1.0,
        batch_age_ms: 0,
        is_disturbed: false,
    };
    const LATENCY: &str = "sent_to_final_p50_ms";

    #[test]
    fn the_latency_of_pbft_is_validated_where_it_was_measured() {
        let Validation::Validated {
            error_percent,
            source,
            ..
        } = of(LATENCY, &MEASURED)
        else {
            panic!("it was measured there");
        };
        assert!((error_percent - 1.16).abs() < f64::EPSILON);
        assert!(source.contains("arXiv:2208.14745"));
    }

    #[test]
    fn any_other_regime_figure_or_protocol_is_unvalidated_and_says_why() {
        let elsewhere = [
            Regime {
                validators: 5,
                ..MEASURED
            },
            Regime {
                regions: 1,
                ..MEASURED
            },
            Regime {
                busiest_percent: 60.0,
                ..MEASURED
            },
            Regime {
                batch_age_ms: 50,
                ..MEASURED
            },
            Regime {
                is_disturbed: true,
                ..MEASURED
            },
        ];
        for regime in elsewhere {
            let text = of(LATENCY, &regime).to_string();
            assert!(text.starts_with("unvalidated (±1.16 %"), "{text}");
        }
        let unknown = [
            of("goodput_per_s", &MEASURED),
            of(
                LATENCY,
                &Regime {
                    protocol: "raft",
                    ..MEASURED
                },
            ),
        ];
        assert_eq!(unknown.map(|v| v.to_string()), ["unvalidated"; 2]);
    }
}
