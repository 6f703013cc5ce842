//! Who knew when that a package was out of its terms, whom the contract blames, and who had it.

use std::collections::BTreeMap;

use consortium_node::{
    ledger::Entry,
    transaction::ContractId,
    types::{NodeId, PartyId, TxId},
};

use super::{
    book::Book,
    summary::{Excursion, ExcursionTotals},
};
use crate::{
    cast::Cast,
    fact::Submission,
    scenario::plan::{PartyIndex, Plan},
    time::Time,
};

/// Number of the state *OutOfCompliance* in the sample RefrigeratedTransportation: Created,
/// InTransit, Completed, OutOfCompliance.
const OUT_OF_COMPLIANCE: u8 = 3;

/// A contract that says out of compliance, on some honest chain.
#[derive(Clone, Debug)]
struct Flag {
    package: usize,
    tx: TxId,
    blamed: Option<PartyId>,
    /// When each validator had it on its chain.
    known: Vec<Option<Time>>,
}

/// All excursions.
#[derive(Clone, Default, Debug)]
pub(super) struct Excursions {
    packages: BTreeMap<ContractId, usize>,
    /// By the transaction that turned the contract.
    flags: BTreeMap<TxId, Flag>,
    /// When each package first left its range in truth, and who had it.
    truths: BTreeMap<usize, (Time, PartyIndex)>,
    validators: usize,
}

impl Excursions {
    pub(super) fn new(validators: usize) -> Self {
        Self {
            validators,
            ..Self::default()
        }
    }

    pub(super) fn submitted(&mut self, submission: &Submission) {
        if submission.cheat.is_none() {
            self.packages
                .insert(submission.contract, submission.package);
        }
    }

    pub(super) fn truth(&mut self, package: usize, custodian: PartyIndex, at: Time) {
        self.truths.entry(package).or_insert((at, custodian));
    }

    pub(super) fn appended(&mut self, node: NodeId, entry: &Entry, at: Time) {
        for receipt in entry.receipts.iter() {
            let Some(turn) = &receipt.transition else {
                continue;
            };
            if turn.to != OUT_OF_COMPLIANCE || turn.from == Some(OUT_OF_COMPLIANCE) {
                continue;
            }
            let Some(package) = self.packages.get(&turn.contract) else {
                continue;
            };
            let flag = self.flags.entry(receipt.tx).or_insert_with(|| Flag {
                package: *package,
                tx: receipt.tx,
                blamed: None,
                known: vec![None; self.validators],
            });
            flag.blamed = turn.custodian_before;
            flag.known[node.index()].get_or_insert(at);
        }
    }

    /// A validator took this transaction off its chain.
    pub(super) fn retracted(&mut self, node: NodeId, tx: &TxId) {
        if let Some(flag) = self.flags.get_mut(tx) {
            flag.known[node.index()] = None;
        }
    }

    /// Flags that at least one honest validator still has.
    fn standing(&self) -> impl Iterator<Item = &Flag> {
        self.flags
            .values()
            .filter(|flag| flag.known.iter().any(Option::is_some))
    }

    /// The golden package's, if its contract says so.
    pub(super) fn golden(
        &self,
        plan: &Plan,
        cast: &Cast,
        book: &Book,
        alive: &[bool],
    ) -> Option<Excursion> {
        plan.fleet.golden.as_ref()?;
        let flag = self.standing().find(|flag| flag.package == 0)?;
        let ms = |at: Time| at.0 / 1_000_000;
        let judges = cast
            .validators()
            .filter(|node| cast.is_honest(*node) && alive.get(node.index()) == Some(&true));
        Some(Excursion {
            truth_ms: self.truths.get(&0).map(|(at, _)| ms(*at)),
            reading_due_ms: book.get(&flag.tx).map_or(0, |record| ms(record.due)),
            known_ms: judges
                .map(|node| {
                    let known = flag.known[node.index()].map(ms);
                    (cast.name_of(node).to_owned(), known)
                })
                .collect(),
            blamed: flag.blamed.map_or("nobody".to_owned(), |party| {
                cast.party_name(party).to_owned()
            }),
            ground_truth: self
                .truths
                .get(&0)
                .map(|(_, party)| plan.parties[*party].name.clone()),
        })
    }

    /// All packages in numbers.
    pub(super) fn totals(&self, cast: &Cast) -> ExcursionTotals {
        let flagged: BTreeMap<usize, Option<PartyId>> = self
            .standing()
            .map(|flag| (flag.package, flag.blamed))
            .collect();
        let both = || {
            self.truths
                .iter()
                .filter_map(|(package, (_, truth))| Some((flagged.get(package)?, *truth)))
        };
        ExcursionTotals {
            packages_out: self.truths.len() as u64,
            packages_flagged: flagged.len() as u64,
            packages_both: both().count() as u64,
            blamed_rightly: both()
                .filter(|(blamed, truth)| **blamed == Some(cast.party(*truth)))
                .count() as u64,
        }
    }
}
