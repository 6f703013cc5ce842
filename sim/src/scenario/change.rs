//! A change of the committee, as a plan has it.

use serde::Serialize;

use super::plan::{MemberIndex, Plan};
use crate::time::Time;

/// A change of the committee with its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ChangePlan {
    /// When the members begin to approve it.
    pub at: Time,
    /// Whose validators it is about.
    pub member: MemberIndex,
    /// What.
    pub kind: ChangeKind,
}

/// What a member does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Its validators join those that decide.
    Joins,
    /// Its validators decide no longer; they may keep a ledger all the same.
    Leaves,
}

impl Plan {
    /// Whether a member's validators decide from the beginning: its first change, if it has any, is not
    /// that it joins.
    pub fn is_founder(&self, member: MemberIndex) -> bool {
        let mut changes = self.changes.iter();
        let first = changes.find(|change| change.member == member);
        first.is_none_or(|change| change.kind == ChangeKind::Leaves)
    }
}
