//! Rows for tests: what a harmless run of a protocol looks like.

use super::{
    claims::{Claimed, Finality},
    row::{CheatRow, Row, SeedRow, Shown, name},
    tolerance::{Cell, Curve, FirstFork, Trouble},
    validation::Validation,
};
use crate::{
    metrics::{
        aggregate,
        load::{Resource, Utilisation},
    },
    scenario::plan::Standing,
};

/// A protocol that bears one of four that lies, with one run of seed 7.
pub(crate) fn row(protocol: &str) -> Row {
    Row {
        protocol: protocol.to_owned(),
        tuned: Vec::new(),
        parameters: "batch 500".into(),
        claims: "bears any 1 of 4 that lie".into(),
        bears_liars: true,
        finality: Finality::EqualReceipts,
        claimed: Claimed {
            crashes_safe: Some(4),
            crashes_live: Some(1),
            liars_safe: Some(1),
            liars_live: Some(1),
        },
        validators: 4,
        faulty: 1,
        quorum: 3,
        standing: Standing::Safe,
        expected: None,
        seeds: vec![SeedRow {
            seed: 7,
            standing: Standing::Safe,
            grounds: Vec::new(),
            detail: None,
            breaches: Vec::new(),
            pending: 0,
            trace: "00".into(),
            reproduce: "cargo run -- scenario x --seed 7".into(),
        }],
        cheats: Vec::new(),
        figures: [
            (name::FINAL_P50, 40.0),
            (name::FINAL_P99, 90.0),
            (name::MESSAGES, 30.0),
            (name::RETRACTED, 0.0),
        ]
        .map(|(name, value)| shown(name, value))
        .into(),
        busiest: Some(Utilisation {
            node: "Farm's validator".into(),
            resource: Resource::SerialStage,
            busy_percent: 80.0,
        }),
        warnings: Vec::new(),
        included_ms: Vec::new(),
        final_ms: Vec::new(),
    }
}

/// A protocol that bears crashes only.
pub(crate) fn crash_only(protocol: &str) -> Row {
    let mut row = row(protocol);
    row.bears_liars = false;
    row.finality = Finality::OneReceipt;
    row.claimed.liars_safe = Some(0);
    row.claimed.liars_live = Some(0);
    row
}

fn shown(name: &str, value: f64) -> Shown {
    Shown {
        figure: aggregate::figure(name, vec![value]),
        validation: Validation::Unvalidated { why: None },
    }
}

/// The row with another value for a figure.
pub(crate) fn with(mut row: Row, name: &str, value: f64) -> Row {
    row.figures.retain(|shown| shown.figure.name != name);
    row.figures.push(shown(name, value));
    row
}

/// The row with its only run coming out differently.
pub(crate) fn came_out(mut row: Row, standing: Standing, ground: &str) -> Row {
    row.standing = standing;
    row.seeds[0].standing = standing;
    row.seeds[0].grounds = vec![ground.to_owned()];
    row
}

/// The row with a cheat of somebody who leads.
pub(crate) fn cheated(mut row: Row, acted: usize, stopped: usize) -> Row {
    row.cheats.push(CheatRow {
        label: "Farm leads and equivocates".into(),
        acted,
        stopped,
        end: "no fork".into(),
    });
    row
}

/// A curve over members that collude.
pub(crate) fn colluding(protocol: &str, claimed: Option<usize>, cells: Vec<Cell>) -> Curve {
    let fork = cells.iter().position(|cell| cell.is_safe() == Some(false));
    Curve {
        protocol: protocol.to_owned(),
        trouble: Trouble::Colluding,
        claimed_safe: claimed,
        claimed_live: claimed,
        shown_safe: Some(0),
        shown_live: Some(0),
        first_fork: fork.map(|failing| FirstFork {
            failing,
            grounds: vec!["agreement".into()],
            reproduce: "cargo run -- scenario y".into(),
        }),
        cells,
    }
}
