//! What each change of the committee came to: from which height on, and when that height was reached.

use std::collections::BTreeMap;

use consortium_node::{
    membership::Term,
    types::{Epoch, Height, View},
};

use super::{Metrics, summary::ChangeRow};
use crate::{
    scenario::plan::{ChangeKind, ChangePlan},
    time::Time,
};

/// What the honest say about epochs; the first word counts.
#[derive(Clone, Default, Debug)]
pub(super) struct Changes {
    declared: BTreeMap<Epoch, Height>,
    began: BTreeMap<Epoch, Time>,
}

impl Changes {
    pub(super) fn scheduled(&mut self, term: &Term) {
        self.declared.entry(term.epoch).or_insert(term.from);
    }

    /// Where views say nothing about it, a block shows it.
    pub(super) fn reached(&mut self, height: Height, at: Time) {
        if let Some((epoch, from)) = self.declared.last_key_value()
            && height >= *from
        {
            self.began.entry(*epoch).or_insert(at);
        }
    }

    pub(super) fn entered(&mut self, view: View, at: Time) {
        self.began.entry(view.epoch()).or_insert(at);
    }
}

impl Metrics {
    /// The rows of the report. One change waits for another, so the first one begins epoch 1.
    pub(super) fn change_rows(&self) -> Vec<ChangeRow> {
        let row = |(number, change): (u32, &ChangePlan)| {
            let does = match change.kind {
                ChangeKind::Joins => "joins",
                ChangeKind::Leaves => "leaves",
            };
            let declared = self.changes.declared.get(&Epoch(number));
            let began = self.changes.began.get(&Epoch(number));
            ChangeRow {
                label: format!("{} {does}", self.plan.members[change.member].name),
                at_ms: change.at.0 / 1_000_000,
                from_height: declared.map(|height| height.0),
                effective_ms: began.map(|at| at.0 / 1_000_000),
            }
        };
        (1..).zip(&self.plan.changes).map(row).collect()
    }
}
