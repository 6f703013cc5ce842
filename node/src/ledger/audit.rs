//! An audit of somebody's copy of the chain, and how a cheat would doctor one.
//!
//! The auditor trusts nothing in the copy. It knows where the chain starts, who the parties and the
//! committees are (from the founders on, by links that prove themselves: [`super::handover`]), and
//! which votes make a block final; with an executor it also knows what every result must be. A member
//! that rewrites its own past can mend the links between blocks, but not the party's signature nor the
//! committee's certificates.

use std::{fmt, sync::Arc};

use super::{
    Executor, Ledger, State,
    proof::{ProofFault, check_finality},
};
use crate::{
    block::{Block, Finality, Results},
    membership::{Committees, Registry},
    quorum::FinalityRule,
    transaction::{Order, Outcome, Transaction},
    types::{BlockId, Height, PartyId, TxId},
};

/// One block of a copy, with what the copy says about its finality.
#[derive(Clone, Debug)]
pub struct Page {
    /// The block.
    pub block: Arc<Block>,
    /// Why it is final, if the copy says so.
    pub proof: Option<Arc<Finality>>,
}

/// The copy that an honest member hands out: its whole chain, genesis first.
pub fn copy(ledger: &Ledger) -> Vec<Page> {
    let page = |entry: &Arc<super::Entry>| Page {
        block: Arc::clone(&entry.block),
        proof: entry.proof.clone(),
    };
    ledger.entries().map(page).collect()
}

/// The lowest height at which two copies hold different blocks, or one of them none.
pub fn first_difference(one: &[Page], other: &[Page]) -> Option<Height> {
    let same = one
        .iter()
        .zip(other)
        .take_while(|(a, b)| a.block == b.block);
    let same = same.count();
    (same < one.len().max(other.len())).then_some(Height(same as u64))
}

/// What every block above genesis must show.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
    /// What makes its blocks final, signed by the committee of its height.
    Certificates(&'a Committees, FinalityRule),
    /// Nothing: the protocol leaves no evidence of finality. Comparing copies is all that is left.
    Nothing,
}

/// Where to start executing, and how.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    /// The state of genesis.
    pub genesis: &'a State,
    /// How blocks are executed.
    pub executor: &'a dyn Executor,
}

/// What an auditor knows beforehand.
#[derive(Clone, Copy)]
pub struct Auditor<'a> {
    /// The block that the chain starts with.
    pub genesis: BlockId,
    /// Who the parties are.
    pub registry: &'a Registry,
    /// What blocks must show.
    pub evidence: Evidence<'a>,
    /// With it, the auditor executes everything again and compares.
    pub replay: Option<Replay<'a>>,
}

/// What is wrong at one height of a copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Where.
    pub height: Height,
    /// What.
    pub fault: AuditFault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "height {}: {}", self.height, self.fault)
    }
}

/// What can be wrong with a block of a copy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuditFault {
    /// The copy does not start with the consortium's genesis.
    #[error("the chain does not start with the consortium's genesis block")]
    Genesis,
    /// The header names another height.
    #[error("the block calls itself number {0}")]
    Height(Height),
    /// The block does not follow the one below it.
    #[error("the block does not follow the one below it: the chain is broken here")]
    Link,
    /// The transactions are not those that the header commits to.
    #[error("the transactions are not those that the header commits to")]
    Transactions,
    /// A transaction is not signed by the party that it names: somebody changed or invented it.
    #[error("transaction {tx} is not signed by {party}, in whose name it stands")]
    Signature {
        /// Which transaction.
        tx: TxId,
        /// In whose name.
        party: PartyId,
    },
    /// No reason to believe that the block is final.
    #[error("nothing says that the block is final")]
    Unproven,
    /// The reason does not hold.
    #[error("finality: {0}")]
    Finality(ProofFault),
    /// The header claims results of a height that lies not below it.
    #[error("the header claims results of height {0}, which is not below it")]
    EarlyResults(Height),
    /// The header claims results that executing the copy does not give.
    #[error("the header claims other results of height {0} than executing the copy gives")]
    Results(Height),
    /// A transaction was ordered that could not execute.
    #[error("transaction {tx} should not have been ordered: {reason}")]
    Void {
        /// Which transaction.
        tx: TxId,
        /// Why it could not.
        reason: String,
    },
}

impl Auditor<'_> {
    /// Reads a whole copy and reports everything that is wrong with it, lowest height first.
    pub fn audit(&self, copy: &[Page]) -> Vec<Finding> {
        let mut findings = Vec::new();
        if copy.first().map(|page| page.block.id()) != Some(self.genesis) {
            findings.push(Finding {
                height: Height(0),
                fault: AuditFault::Genesis,
            });
        }
        let mut replayed = self.replay.map(|replay| Replayed::new(&replay));
        for (at, page) in copy.iter().enumerate().skip(1) {
            let height = Height(at as u64);
            let mut report = |fault| findings.push(Finding { height, fault });
            self.audit_block(height, &copy[at - 1].block, page, &mut report);
            if let Some(replayed) = &mut replayed {
                replayed.audit_block(height, &page.block, &mut report);
            }
        }
        findings
    }

    fn audit_block(
        &self,
        height: Height,
        below: &Block,
        page: &Page,
        report: &mut dyn FnMut(AuditFault),
    ) {
        let header = page.block.header();
        if header.height != height {
            report(AuditFault::Height(header.height));
        }
        if header.parent != below.id() {
            report(AuditFault::Link);
        }
        if !page.block.is_whole() {
            report(AuditFault::Transactions);
        }
        if header.results.height >= height {
            report(AuditFault::EarlyResults(header.results.height));
        }
        for transaction in page.block.transactions() {
            if !self.registry.verify_party(transaction.signed()) {
                report(AuditFault::Signature {
                    tx: transaction.id(),
                    party: transaction.party(),
                });
            }
        }
        if let Evidence::Certificates(committees, rule) = self.evidence {
            let committee = &committees.at(height).committee;
            match &page.proof {
                None => report(AuditFault::Unproven),
                Some(proof) => {
                    let checked = check_finality(page.block.id(), proof, committee, rule);
                    checked.unwrap_or_else(|fault| report(AuditFault::Finality(fault)));
                }
            }
        }
    }
}

/// The copy, executed again so far.
struct Replayed<'a> {
    executor: &'a dyn Executor,
    state: State,
    /// By height.
    results: Vec<Results>,
}

impl<'a> Replayed<'a> {
    fn new(replay: &Replay<'a>) -> Self {
        let genesis = Block::genesis(replay.genesis.root());
        Self {
            executor: replay.executor,
            state: replay.genesis.clone(),
            results: vec![genesis.header().results],
        }
    }

    fn audit_block(&mut self, height: Height, block: &Block, report: &mut dyn FnMut(AuditFault)) {
        let claimed = block.header().results;
        let known = usize::try_from(claimed.height.0)
            .ok()
            .and_then(|at| self.results.get(at));
        if known.is_some_and(|known| *known != claimed) {
            report(AuditFault::Results(claimed.height));
        }
        let execution = self.executor.execute(&self.state, block);
        for receipt in execution.receipts.iter() {
            if let Outcome::Void(reason) = &receipt.outcome {
                report(AuditFault::Void {
                    tx: receipt.tx,
                    reason: reason.clone(),
                });
            }
        }
        self.state = execution.state;
        self.results.push(Results {
            height,
            ..execution.results
        });
    }
}

/// What a cheating member makes of its copy: it changes orders (`None` leaves one as it is), keeps
/// their old signatures, and hashes that block and all above it again, so that the chain links.
#[must_use]
pub fn rewrite(copy: &[Page], mut change: impl FnMut(&Transaction) -> Option<Order>) -> Vec<Page> {
    substitute(copy, |transaction| {
        change(transaction).map(|order| transaction.tampered(&order))
    })
}

/// The same with whole transactions: a cheat that holds the party's key can sign its version.
#[must_use]
pub fn substitute(
    copy: &[Page],
    mut change: impl FnMut(&Arc<Transaction>) -> Option<Arc<Transaction>>,
) -> Vec<Page> {
    let mut doctored: Vec<Page> = Vec::with_capacity(copy.len());
    for page in copy {
        let mut changed = false;
        let transactions = page.block.transactions().iter().map(|transaction| {
            change(transaction).map_or_else(
                || Arc::clone(transaction),
                |other| {
                    changed = true;
                    other
                },
            )
        });
        let transactions = transactions.collect();
        let mut header = page.block.header().clone();
        if let Some(below) = doctored.last() {
            changed |= below.block.id() != header.parent;
            header.parent = below.block.id();
        }
        doctored.push(Page {
            block: if changed {
                Block::new(header, transactions)
            } else {
                Arc::clone(&page.block)
            },
            proof: page.proof.clone(),
        });
    }
    doctored
}
