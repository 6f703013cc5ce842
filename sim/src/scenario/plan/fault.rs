//! What breaks, when, and what a crash leaves on a disk.

use std::time::Duration;

use serde::Serialize;

use super::MemberIndex;
use crate::time::Time;

/// A fault with its time.
#[derive(Clone, Debug, Serialize)]
pub struct FaultPlan {
    /// When.
    pub at: Time,
    /// Until when; `None`: for good.
    pub until: Option<Time>,
    /// What.
    pub kind: FaultKind,
}

/// What breaks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Validators stop; what was not durable is gone.
    Crash(CrashPlan),
    /// Members can only reach those of their own group; whoever is in no group is alone.
    Partition(Vec<Vec<MemberIndex>>),
    /// Nothing goes from one member's nodes to another's.
    LinkCut(Link),
    /// More messages are lost than usual.
    LinkLoss {
        /// Where; `None`: on every link.
        link: Option<Link>,
        /// How many more, in a million.
        loss_ppm: u32,
    },
    /// A member's gateway has no connection; it buffers.
    GatewayOffline(MemberIndex),
}

/// The way from one member's nodes to another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Link {
    /// From.
    pub from: MemberIndex,
    /// To.
    pub to: MemberIndex,
    /// Whether the way back is meant too.
    pub both_ways: bool,
}

/// A crash. The validators start again when the fault ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct CrashPlan {
    /// Who.
    pub target: Target,
    /// What is left on their disks.
    pub disk: DiskFate,
    /// How long after one the next starts again, in the members' order.
    pub stagger: Duration,
}

impl From<Target> for CrashPlan {
    /// An ordinary crash.
    fn from(target: Target) -> Self {
        Self {
            target,
            disk: DiskFate::Torn,
            stagger: Duration::ZERO,
        }
    }
}

/// Which validators.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Whoever leads when it happens.
    Primary,
    /// The first validator of a member.
    Member(MemberIndex),
    /// All of them.
    All,
}

/// What a crash leaves on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFate {
    /// What was durable; behind it some of what was not, the last of it torn.
    Torn,
    /// What was durable, and nothing else.
    Kept,
    /// Nothing: a new disk.
    Lost,
    /// A copy of an earlier instant.
    RolledBack,
    /// What was durable, but for a frame in the middle that went bad.
    Rotten,
}

impl DiskFate {
    /// As it is written in a scenario.
    pub const ALL: [(&str, Self); 5] = [
        ("torn", Self::Torn),
        ("kept", Self::Kept),
        ("lost", Self::Lost),
        ("rolled-back", Self::RolledBack),
        ("rotten", Self::Rotten),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, fate)| *fate == self)
            .map_or("", |(name, _)| name)
    }
}
