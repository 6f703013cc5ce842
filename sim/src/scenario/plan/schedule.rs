//! Directed schedules: what happens to exactly which messages and records.

use std::{collections::BTreeSet, time::Duration};

use consortium_node::rewrite::Rewrite;
use serde::{Serialize, Serializer};

use super::{DiskFate, MemberIndex, Plan};
use crate::time::Time;

/// A schedule: something that happens to every message, or at every record, that it is about.
#[derive(Clone, Debug, Serialize)]
pub struct SchedulePlan {
    /// Which messages or records.
    pub about: About,
    /// What happens to them.
    pub kind: ScheduleKind,
}

/// Which messages or records a schedule is about. An empty list stands for anything and anyone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct About {
    /// Names of their kinds.
    pub kinds: Vec<String>,
    /// Whose: the sender's member, or the writer's.
    pub from: Vec<MemberIndex>,
    /// For whom: the receiver's member; empty for records.
    pub to: Vec<MemberIndex>,
    /// Their view, from and to, both included.
    pub view: Option<(u64, u64)>,
    /// Their sequence number, from and to, both included.
    pub seq: Option<(u64, u64)>,
    /// Not before.
    pub since: Time,
    /// Not from here on; `None`: until the drain begins.
    pub until: Option<Time>,
    /// So many of them pass untouched first.
    pub skip: u64,
    /// After so many of them it is used up; `None`: never.
    pub times: Option<u64>,
}

/// What a schedule does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The message is lost on its way.
    Drop,
    /// It takes so much longer.
    Delay(Duration),
    /// It arrives at this instant, if it would have earlier.
    Hold(Time),
    /// It arrives so many times more, each so long after the one before.
    Duplicate {
        /// Times more.
        copies: u64,
        /// After the one before.
        by: Duration,
    },
    /// Its sender lies: it changes the message before it sends it.
    Rewrite {
        /// How.
        #[serde(serialize_with = "in_words")]
        change: Rewrite,
        /// Whether the honest message goes too, first.
        keeps_original: bool,
    },
    /// Its sender, or the record's writer, crashes.
    Crash {
        /// Exactly when.
        phase: Phase,
        /// Starts again so long afterwards; `None`: stays down.
        restart: Option<Duration>,
        /// What is left on its disk.
        disk: DiskFate,
    },
}

/// When exactly a validator crashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before the message leaves: nothing leaves from this one on.
    BeforeSend,
    /// When the message has left, and nothing after it.
    AfterSend,
    /// Before the record is handed to the disk.
    BeforePersist,
    /// When the disk has the record and it is not durable yet.
    AfterPersist,
    /// When the record is durable, and nothing that waited for it has left.
    AfterDurable,
}

impl Phase {
    /// As it is written in a scenario.
    pub const ALL: [(&str, Self); 5] = [
        ("before-send", Self::BeforeSend),
        ("after-send", Self::AfterSend),
        ("before-persist", Self::BeforePersist),
        ("after-persist", Self::AfterPersist),
        ("after-durable", Self::AfterDurable),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, phase)| *phase == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether it is about a record that is written, not about a message that is sent.
    pub fn is_of_records(self) -> bool {
        !matches!(self, Self::BeforeSend | Self::AfterSend)
    }
}

/// The changes that a scenario can ask for, but for those that have an amount: "view+1", "seq-2".
pub const REWRITES: [(&str, Rewrite); 12] = [
    ("digest", Rewrite::Digest),
    ("conflicting", Rewrite::Conflicting),
    ("null", Rewrite::Null),
    ("earlier", Rewrite::Earlier),
    ("without-block", Rewrite::WithoutBlock),
    ("without-proof", Rewrite::WithoutProof),
    ("without-prepared", Rewrite::WithoutPrepared),
    ("malformed-prepared", Rewrite::MalformedPrepared),
    ("repeated-signer", Rewrite::RepeatedSigner),
    ("too-few", Rewrite::TooFew),
    ("stitched", Rewrite::Stitched),
    ("view-change", Rewrite::ViewChange),
];

/// A change as a scenario writes it.
pub fn rewrite_in_words(change: Rewrite) -> String {
    match change {
        Rewrite::View(by) => format!("view{by:+}"),
        Rewrite::Seq(by) => format!("seq{by:+}"),
        other => REWRITES
            .iter()
            .find(|(_, known)| *known == other)
            .map_or("", |(name, _)| name)
            .to_owned(),
    }
}

fn in_words<S: Serializer>(change: &Rewrite, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rewrite_in_words(*change))
}

impl Plan {
    /// Schedules in which a member lies.
    pub fn rewrites(&self) -> impl Iterator<Item = &About> {
        let lies = |schedule: &&SchedulePlan| matches!(schedule.kind, ScheduleKind::Rewrite { .. });
        let lies = self.schedules.iter().filter(lies);
        lies.map(|schedule| &schedule.about)
    }

    /// Members whose validators lie in a schedule.
    pub fn rewriters(&self) -> BTreeSet<MemberIndex> {
        self.rewrites().flat_map(|lie| &lie.from).copied().collect()
    }

    /// Whether a schedule lets a validator start again.
    pub(super) fn schedules_restart(&self) -> bool {
        self.schedules.iter().any(|schedule| {
            let restart = match schedule.kind {
                ScheduleKind::Crash { restart, .. } => restart,
                _ => None,
            };
            restart.is_some()
        })
    }
}
