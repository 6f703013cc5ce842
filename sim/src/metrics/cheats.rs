//! How each cheat of the plan ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use consortium_node::types::{NodeId, TxId, View};

use super::{
    book::{Book, Told, reason_words},
    stall::Gap,
    summary::CheatRow,
};
use crate::{
    cast::Cast,
    fact::{Rejection, Submission},
    metrics::units,
    scenario::plan::{CheatKind, CheatPlan, MemberIndex, Plan},
    time::nanos,
};

/// What is known of one cheat.
#[derive(Clone, Default, Debug)]
struct Deeds {
    acted: u64,
    transactions: BTreeSet<TxId>,
    rejected: BTreeMap<&'static str, u64>,
    /// Replays that got the old answer.
    answered: u64,
    /// Validators with two contradicting statements of a cheater in hand.
    witnesses: BTreeSet<NodeId>,
    stall: Duration,
    /// Something became final after it was over.
    overcome: bool,
    views: Option<(u64, u64)>,
}

/// All cheats, in the plan's order.
#[derive(Clone, Debug)]
pub(super) struct Cheats {
    deeds: Vec<Deeds>,
    by_transaction: BTreeMap<TxId, usize>,
    findings: BTreeMap<MemberIndex, Vec<String>>,
    /// Times that a cheat submitted something.
    pub(super) attempts: u64,
}

/// What the end of a cheat depends on besides what it did.
pub(super) struct Judgement<'a> {
    pub(super) plan: &'a Plan,
    pub(super) cast: &'a Cast,
    pub(super) book: &'a Book,
    /// How often a correct ledger executed each transaction of interest.
    pub(super) executed: &'a BTreeMap<TxId, u32>,
    /// Whether honest members agree (no safety invariant is violated).
    pub(super) safe: bool,
    /// The longest stall of the undisturbed run.
    pub(super) usual: Duration,
}

impl Cheats {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            deeds: vec![Deeds::default(); plan.cheats.len()],
            by_transaction: BTreeMap::new(),
            findings: BTreeMap::new(),
            attempts: 0,
        }
    }

    pub(super) fn submitted(&mut self, submission: &Submission) {
        if let Some(cheat) = submission.cheat {
            self.attempts += 1;
            self.claim(cheat, submission.tx);
        }
    }

    pub(super) fn acted(&mut self, cheat: usize, tx: Option<TxId>, view: u64) {
        if let Some(tx) = tx {
            self.claim(cheat, tx);
        }
        let deeds = &mut self.deeds[cheat];
        deeds.acted += 1;
        deeds.views.get_or_insert((view, view));
    }

    fn claim(&mut self, cheat: usize, tx: TxId) {
        self.deeds[cheat].transactions.insert(tx);
        self.by_transaction.insert(tx, cheat);
    }

    /// Whether a cheat made or copied it.
    pub(super) fn made(&self, tx: &TxId) -> bool {
        self.by_transaction.contains_key(tx)
    }

    /// A rejection, if it is of a cheat's transaction and not of an honest one that it copied.
    pub(super) fn rejected(&mut self, tx: &TxId, reason: Rejection, honest: bool) {
        if !honest && let Some(cheat) = self.by_transaction.get(tx) {
            let count = self.deeds[*cheat].rejected.entry(reason_words(reason));
            *count.or_default() += 1;
        }
    }

    /// An answer that its gateway had before.
    pub(super) fn answered(&mut self, tx: &TxId, told: Told) {
        if told == Told::Repeated
            && let Some(cheat) = self.by_transaction.get(tx)
        {
            self.deeds[*cheat].answered += 1;
        }
    }

    /// A validator holds two contradicting statements of `by`.
    pub(super) fn witnessed(&mut self, witness: NodeId, by: MemberIndex, plan: &Plan) {
        for (cheat, deeds) in plan.cheats.iter().zip(&mut self.deeds) {
            if liars(&cheat.kind).contains(&by) {
                deeds.witnesses.insert(witness);
            }
        }
    }

    pub(super) fn progressed(&mut self, gap: Gap, view: u64, plan: &Plan) {
        for (cheat, deeds) in plan.cheats.iter().zip(&mut self.deeds) {
            if deeds.acted == 0 || deeds.overcome {
                continue;
            }
            deeds.stall = deeds.stall.max(gap.since(cheat.at));
            if let Some(views) = &mut deeds.views {
                views.1 = view;
            }
            deeds.overcome = cheat.until.is_some_and(|until| gap.to >= until);
        }
    }

    /// The run is over; a gap may still be open.
    pub(super) fn finish(&mut self, open: Option<Gap>, view: u64, plan: &Plan) {
        if let Some(gap) = open {
            self.progressed(gap, view, plan);
        }
    }

    pub(super) fn audited(&mut self, member: MemberIndex, findings: &[String]) {
        self.findings
            .entry(member)
            .or_default()
            .extend_from_slice(findings);
    }

    /// The rows of the report.
    pub(super) fn rows(&self, judgement: &Judgement<'_>) -> Vec<CheatRow> {
        let cheats = judgement.plan.cheats.iter().zip(&self.deeds);
        cheats
            .map(|(cheat, deeds)| {
                let (end, stopped) = self.end(cheat, deeds, judgement);
                CheatRow {
                    label: label(cheat, judgement.plan),
                    at_ms: cheat.at.0 / 1_000_000,
                    acted: deeds.acted,
                    end,
                    stopped,
                }
            })
            .collect()
    }

    fn end(&self, cheat: &CheatPlan, deeds: &Deeds, judgement: &Judgement<'_>) -> (String, bool) {
        if let CheatKind::RewritesCopy { member, .. } = cheat.kind {
            let findings = self.findings.get(&member);
            return match findings.and_then(|findings| findings.first()) {
                Some(finding) => {
                    let name = &judgement.plan.members[member].name;
                    (format!("audit of {name}'s copy: {finding}"), true)
                }
                None => (
                    "undetected: nothing in the copy contradicts itself".to_owned(),
                    false,
                ),
            };
        }
        if deeds.acted == 0 {
            return ("never got the chance".to_owned(), true);
        }
        match cheat.kind {
            CheatKind::ForgedReading(_) => forged(deeds, judgement),
            CheatKind::ReplayedReading(_) => replayed(deeds, judgement),
            _ => lied(deeds, judgement),
        }
    }
}

fn forged(deeds: &Deeds, judgement: &Judgement<'_>) -> (String, bool) {
    let executed = executions(deeds, judgement)
        .filter(|times| *times > 0)
        .count();
    let mut words = rejections(deeds);
    if executed > 0 {
        words.push(format!("{executed} executed"));
    }
    let open = deeds
        .transactions
        .iter()
        .filter_map(|tx| judgement.book.get(tx))
        .filter(|record| record.fate == super::book::Fate::Pending)
        .count();
    if open > 0 {
        words.push(format!("{open} without an answer"));
    }
    (words.join(", "), executed == 0)
}

fn replayed(deeds: &Deeds, judgement: &Judgement<'_>) -> (String, bool) {
    let mut words = rejections(deeds);
    if deeds.answered > 0 {
        words.push(format!("answered from the cache {}", times(deeds.answered)));
    }
    let most = executions(deeds, judgement).max().unwrap_or(0);
    words.push(match most {
        0 => "not executed".to_owned(),
        1 => "executed once".to_owned(),
        more => format!("EXECUTED {more} TIMES"),
    });
    (words.join(", "), most <= 1)
}

fn lied(deeds: &Deeds, judgement: &Judgement<'_>) -> (String, bool) {
    let mut words = vec![if judgement.safe { "no fork" } else { "FORK" }.to_owned()];
    if let Some((before, after)) = deeds.views
        && after > before
    {
        words.push(format!("view {} -> {}", View(before), View(after)));
    }
    if deeds.stall > judgement.usual {
        let extra = deeds.stall.saturating_sub(judgement.usual);
        words.push(format!("+{}", units::span(nanos(extra))));
    }
    if !deeds.witnesses.is_empty() {
        let names: BTreeSet<&str> = deeds
            .witnesses
            .iter()
            .map(|node| judgement.cast.name_of(*node))
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        words.push(format!("named by {}", names.join(", ")));
    }
    (words.join(", "), judgement.safe)
}

fn rejections(deeds: &Deeds) -> Vec<String> {
    deeds
        .rejected
        .iter()
        .map(|(reason, count)| format!("rejected {count} ({reason})"))
        .collect()
}

fn executions<'a>(
    deeds: &'a Deeds,
    judgement: &'a Judgement<'_>,
) -> impl Iterator<Item = u32> + 'a {
    deeds
        .transactions
        .iter()
        .map(|tx| judgement.executed.get(tx).copied().unwrap_or(0))
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        more => format!("{more} times"),
    }
}

/// Whose statements a cheat falsifies.
fn liars(kind: &CheatKind) -> Vec<MemberIndex> {
    match kind {
        CheatKind::SilentPrimary(member)
        | CheatKind::EquivocatingPrimary(member)
        | CheatKind::Twins(member) => vec![*member],
        CheatKind::Colluders(members) => members.clone(),
        CheatKind::ForgedReading(_)
        | CheatKind::ReplayedReading(_)
        | CheatKind::RewritesCopy { .. } => Vec::new(),
    }
}

/// A cheat in words.
fn label(cheat: &CheatPlan, plan: &Plan) -> String {
    let name = |member: &MemberIndex| plan.members[*member].name.as_str();
    match &cheat.kind {
        CheatKind::SilentPrimary(member) => format!("{} leads and is silent", name(member)),
        CheatKind::EquivocatingPrimary(member) => format!("{} leads and equivocates", name(member)),
        CheatKind::Colluders(members) => {
            let names: Vec<&str> = members.iter().map(name).collect();
            format!("{} collude", names.join(" and "))
        }
        CheatKind::Twins(member) => format!("{} runs twice with one key", name(member)),
        CheatKind::ForgedReading(member) => format!("{} forges a reading", name(member)),
        CheatKind::ReplayedReading(member) => format!("{} replays a reading", name(member)),
        CheatKind::RewritesCopy {
            member,
            from_dc,
            to_dc,
        } => format!(
            "{} rewrites {} to {}",
            name(member),
            units::tenths(*from_dc),
            units::tenths(*to_dc)
        ),
    }
}
