//! The summary of one run: flat, serialisable, with the unit last in every name. Everything that is
//! shown, compared or kept as a baseline is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    latency::Percentiles, load::Utilisation, shared_ledger::SharedLedger, warning::Warning,
};

/// How this build is run from the workspace.
pub const RUN: &str = if cfg!(feature = "mutants") {
    "cargo run --features mutants --"
} else {
    "cargo run --"
};

/// What this version of the format is called.
pub const SCHEMA_VERSION: u32 = 1;

/// One run in figures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA_VERSION`] of whoever wrote it.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What it is about.
    pub title: String,
    /// Where it was read from.
    pub path: String,
    /// Everything random followed from it.
    pub seed: u64,
    /// What was laid over the file: the `path=value` of each `--set`.
    pub overrides: Vec<String>,
    /// The protocol's name.
    pub protocol: String,
    /// Its parameters, in words.
    pub parameters: String,
    /// What it claims, in words.
    pub claims: String,
    /// Validators (n).
    pub validators: usize,
    /// Faulty ones that the protocol claims to bear (f).
    pub faulty: usize,
    /// Validators that a decision needs (q).
    pub quorum: usize,
    /// Regions with a validator.
    pub regions: usize,
    /// Virtual time in which sensors reported.
    pub duration_ms: u64,
    /// How much of it was not measured.
    pub warm_up_ms: u64,
    /// When the run was over.
    pub ended_ms: u64,

    /// Verdict on each invariant.
    pub verdicts: Vec<VerdictRow>,
    /// Violations that the scenario wants to see.
    pub expected_violations: Vec<String>,
    /// What the process says in the end; 0: all expectations hold.
    pub exit_code: u8,
    /// Running hash over all facts, hexadecimal.
    pub trace: String,
    /// Hash of ledgers and verdicts, hexadecimal.
    pub outcome: String,

    /// The golden package's journey, from the committed transactions of one correct member.
    pub shared_ledger: Option<SharedLedger>,
    /// Whose copy that was.
    pub shared_ledger_from: Option<String>,
    /// Validators whose newest state is on that chain.
    pub same_root_validators: usize,
    /// Who knew when that the golden package was out of its terms.
    pub golden_excursion: Option<Excursion>,
    /// The same for all packages, in numbers.
    pub excursions: ExcursionTotals,

    /// Unique transactions that came into being.
    pub submitted: u64,
    /// Executed as asked.
    pub ok: u64,
    /// Executed, and the contract said no.
    pub reverted: u64,
    /// Never ordered.
    pub rejected: u64,
    /// Called final, but on no honest chain in the end, or ordered and skipped.
    pub lost: u64,
    /// None of these when the run ended.
    pub pending: u64,
    /// Why how many were rejected.
    pub rejected_reasons: BTreeMap<String, u64>,
    /// Why how many were lost.
    pub lost_reasons: BTreeMap<String, u64>,
    /// Times that a gateway sent a transaction.
    pub attempts: u64,
    /// Times that a cheat submitted what was not its own or was not new.
    pub cheat_attempts: u64,
    /// Of the measured cohort, without a fate when the run ended.
    pub censored: u64,
    /// Ok a second, by time of finality, in the measured window.
    pub goodput_per_s: f64,
    /// Due → sent.
    pub due_to_sent: Percentiles,
    /// Sent → the first honest validator appended it.
    pub sent_to_included: Percentiles,
    /// Sent → its gateway may rely on it.
    pub sent_to_final: Percentiles,
    /// Due → its gateway may rely on it.
    pub due_to_final: Percentiles,
    /// Due → final of those that waited for their gateway's link; they are in no other row.
    pub link_down_due_to_final: Percentiles,

    /// Messages sent by all nodes for each final transaction.
    pub messages_per_reading: f64,
    /// Bytes on the wire for each final transaction.
    pub bytes_per_reading: f64,
    /// Signatures made for each final transaction.
    pub signatures_per_reading: f64,
    /// Signatures checked for each final transaction.
    pub checks_per_reading: f64,
    /// Growth of each member's ledgers, extrapolated, in the members' order.
    pub storage_bytes_per_year: Vec<u64>,
    /// The resource with the least slack in the measured window.
    pub busiest: Option<Utilisation>,

    /// Who joined and who left the committee.
    #[serde(default)]
    pub changes: Vec<ChangeRow>,
    /// What each fault of the plan did.
    pub faults: Vec<FaultRow>,
    /// The longest stall of the measured window before anything broke or anyone cheated.
    pub usual_stall_ms: u64,
    /// How each cheat of the plan ended.
    pub cheats: Vec<CheatRow>,
    /// How often each schedule of the plan was applied.
    #[serde(default)]
    pub schedules: Vec<ScheduleRow>,
    /// Branches that an honest validator left for another, each counted once a validator.
    pub reorganisations: u64,
    /// Blocks that the deepest took off a chain.
    pub deepest_reorganisation_blocks: u64,
    /// Blocks taken off a chain after their validator had told submitters to rely on them.
    pub retracted_after_relied_blocks: u64,
    /// Transactions that every honest validator took off its chain, for a time or for good.
    pub retracted: u64,
    /// Envelopes that were ordered and found invalid: what they had read had changed, as a rule.
    pub invalidated: u64,

    /// Whether any one region may fail and the rest can still decide.
    pub any_region_may_fail: bool,
    /// The regions without which the rest cannot decide.
    pub vital_regions: Vec<String>,
    /// Where a figure of this run could mislead.
    pub warnings: Vec<Warning>,
}

/// What an invariant's checker found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VerdictRow {
    /// Name of the invariant.
    pub name: String,
    /// Whether it is about what must never happen or about what must happen.
    pub kind: VerdictKind,
    /// How it came out.
    pub status: VerdictStatus,
    /// How many times it was checked.
    pub checked: u64,
    /// For a violation what happened, for an unclaimed one why; the first line is the main thing.
    pub detail: Vec<String>,
    /// Members that the evidence names.
    pub culprits: Vec<String>,
}

/// The two kinds of properties.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// Nothing bad happens.
    Safety,
    /// Something good happens in the end.
    Liveness,
}

/// How an invariant came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictStatus {
    /// It held throughout.
    Holds,
    /// It did not.
    Violated,
    /// The protocol does not promise it under these faults.
    NotClaimed,
}

/// Who knew when that a package was out of its terms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Excursion {
    /// When the package left its range in truth; `None`: it never did.
    pub truth_ms: Option<u64>,
    /// When the reading that turned the contract was due.
    pub reading_due_ms: u64,
    /// When each honest validator that was up in the end had it on its chain, by member; `None`: not.
    pub known_ms: Vec<(String, Option<u64>)>,
    /// Whom the contract holds responsible.
    pub blamed: String,
    /// Who had the package when it left its range in truth.
    pub ground_truth: Option<String>,
}

impl Excursion {
    /// When the last of them knew; `None` if one never did.
    pub fn all_knew_ms(&self) -> Option<u64> {
        let known: Option<Vec<u64>> = self.known_ms.iter().map(|(_, at)| *at).collect();
        known?.into_iter().max()
    }
}

/// Excursions of all packages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ExcursionTotals {
    /// Packages that left their range in truth.
    pub packages_out: u64,
    /// Packages whose contract says so.
    pub packages_flagged: u64,
    /// Flagged and truly out.
    pub packages_both: u64,
    /// Of these, those whose contract blames the one who had it.
    pub blamed_rightly: u64,
}

/// A change of the committee.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeRow {
    /// Who does what.
    pub label: String,
    /// When it was planned to be approved.
    pub at_ms: u64,
    /// The first height of the new committee; `None`: the change was not scheduled.
    pub from_height: Option<u64>,
    /// When the first honest validator reached that height; `None`: it was not reached.
    pub effective_ms: Option<u64>,
}

/// What a fault did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FaultRow {
    /// What it was, in words.
    pub label: String,
    /// When it was planned to begin.
    pub at_ms: u64,
    /// When it was planned to heal; `None`: never.
    pub until_ms: Option<u64>,
    /// The longest stall from its beginning on; `None`: the fault never began.
    pub outage_ms: Option<u64>,
    /// From its healing to the first transaction that became final.
    pub recovery_ms: Option<u64>,
    /// The highest view when it began and when it was overcome.
    pub views: (u64, u64),
    /// Transactions that were in flight during it and are lost; where validators started again, all
    /// that were sent before it was overcome and are lost.
    pub lost: u64,
    /// What an offline gateway held back.
    pub buffer: Option<Buffer>,
    /// The validators that a crash took down and that started again.
    #[serde(default)]
    pub restarts: Vec<RestartRow>,
    /// Whether work went on: something became final after it began, or nothing was left to do.
    pub survived: bool,
}

/// A validator that crashed and started again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestartRow {
    /// Whose it is.
    pub member: String,
    /// How much of its disk could be believed: clean, torn or lost.
    pub disk: String,
    /// From the crash to its start.
    pub down_ms: u64,
    /// From its start until it was current; `None`: it never was.
    pub catch_up_ms: Option<u64>,
    /// Blocks that were on its chain and not on its disk.
    pub blocks_lost: u64,
    /// Blocks that it appended until it was current.
    pub blocks_fetched: u64,
}

/// What an offline gateway held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Buffer {
    /// Transactions that waited for the link.
    pub waited: u64,
    /// From the link's return until the last of them was final.
    pub drained_ms: u64,
    /// Of them, without a fate when the run ended.
    pub unfinished: u64,
    /// Of them, executed more than once.
    pub repeated: u64,
}

/// How a cheat ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheatRow {
    /// Who did what, in words.
    pub label: String,
    /// When it began.
    pub at_ms: u64,
    /// Times that it did something.
    pub acted: u64,
    /// Its end, in words.
    pub end: String,
    /// Whether it changed nothing that the honest members agreed on, or was found out.
    pub stopped: bool,
}

/// How often a schedule was applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// What it does to what, in words.
    pub label: String,
    /// Messages or records that it was applied to; zero is a missed expectation.
    pub used: u64,
    /// The validators that it crashed and that started again.
    pub restarts: Vec<RestartRow>,
}

/// The overall verdict on one kind of invariants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All that are claimed hold.
    Good,
    /// At least one is violated.
    Bad,
    /// None is claimed or checked.
    Open,
}

impl Summary {
    /// The overall verdict on one kind.
    pub fn verdict(&self, kind: VerdictKind) -> Verdict {
        let of_kind = || self.verdicts.iter().filter(|row| row.kind == kind);
        if of_kind().any(|row| row.status == VerdictStatus::Violated) {
            Verdict::Bad
        } else if of_kind().any(|row| row.status == VerdictStatus::Holds) {
            Verdict::Good
        } else {
            Verdict::Open
        }
    }

    /// How many invariants came out like this.
    pub fn count(&self, status: VerdictStatus) -> usize {
        self.verdicts
            .iter()
            .filter(|row| row.status == status)
            .count()
    }

    /// The line that makes the same run again.
    pub fn reproduce(&self) -> String {
        let mut line = format!("{RUN} scenario {} --seed {}", self.path, self.seed);
        for set in &self.overrides {
            line.extend([" --set '", set, "'"]);
        }
        line
    }

    /// The main figures by name, for aggregates, comparisons and gates.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        let ms = |us: u64| us as f64 / 1000.0;
        let worst_outage = self.faults.iter().filter_map(|fault| fault.outage_ms).max();
        let storage = self.storage_bytes_per_year.iter().max();
        let mut figures = vec![
            ("goodput_per_s", self.goodput_per_s),
            ("ok", self.ok as f64),
            ("reverted", self.reverted as f64),
            ("rejected", self.rejected as f64),
            ("lost", self.lost as f64),
            ("pending", self.pending as f64),
            ("retracted", self.retracted as f64),
            ("messages_per_reading", self.messages_per_reading),
            ("bytes_per_reading", self.bytes_per_reading),
            ("signatures_per_reading", self.signatures_per_reading),
            (
                "storage_bytes_per_year",
                storage.map_or(0.0, |bytes| *bytes as f64),
            ),
            ("outage_max_ms", worst_outage.map_or(0.0, |ms| ms as f64)),
        ];
        // A percentile of nothing is no figure.
        if self.sent_to_included.count > 0 {
            figures.push(("sent_to_included_p50_ms", ms(self.sent_to_included.p50_us)));
        }
        if self.sent_to_final.count > 0 {
            figures.extend([
                ("sent_to_final_p50_ms", ms(self.sent_to_final.p50_us)),
                ("sent_to_final_p99_ms", ms(self.sent_to_final.p99_us)),
                ("due_to_final_p99_ms", ms(self.due_to_final.p99_us)),
                ("due_to_final_max_ms", ms(self.due_to_final.max_us)),
            ]);
        }
        figures
    }
}
