//! A load beside the fleet: sensors whose only purpose is to submit as much as they are told to.
//!
//! - Each source is a sensor with a contract of its own, which it registers at the start of the run. Its
//!   terms and its readings comply, so that whatever is ordered in the order in which it was signed
//!   succeeds. Sources take turns, and with them the gateways.
//! - **Open loop**: when a reading is due depends on the plan and its seed alone. What the network makes
//!   of those before changes nothing, and latency counts from the instant at which a reading was due.
//!   Only [`Pattern::Backlog`] waits for answers, because that is what it is for.
//! - A reading that is due before its contract is final is held back, and signed as soon as it is; it keeps
//!   the instant at which it was due. What is still held back when the run drains is signed then: nothing
//!   that was due is left out of the count.

mod arrivals;
mod poisson;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    iter::Peekable,
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    transaction::{Call, ContractId, Transaction, Value},
    types::{NodeId, TxId},
};

use super::{TEMPLATE, ingest, seconds, signer::Signer};
use crate::{
    cast::Cast,
    fact::{Purpose, Submission},
    rng::Seed,
    scenario::plan::{ColdChain, Pattern, Plan},
    time::Time,
};
use arrivals::Arrivals;

/// What came of an event.
#[derive(Debug, Default)]
pub struct Came {
    /// Transactions that came into being, each for the gateway that its submission names.
    pub submissions: Vec<(Submission, Arc<Transaction>)>,
    /// When to call [`Load::fire`] next.
    pub next: Option<Time>,
}

/// A sensor of the load.
#[derive(Debug)]
struct Source {
    signer: Signer,
    gateway: NodeId,
    /// Its number among all packages, after those of the fleet.
    package: usize,
    /// Its contract, once it has been registered.
    contract: Option<ContractId>,
    /// Whether that is final.
    is_ready: bool,
    /// When the readings that are held back were due.
    held: VecDeque<Time>,
}

/// All sources.
#[derive(Debug)]
pub struct Load {
    arrivals: Peekable<Arrivals>,
    /// When the pattern begins.
    start: Time,
    /// Nothing is due from here on.
    until: Time,
    sources: Vec<Source>,
    /// Whose turn it is.
    turn: usize,
    /// Whose contract is registered by which transaction that is not final yet.
    registering: BTreeMap<TxId, usize>,
    /// In a closed loop: readings without an answer.
    outstanding: Option<BTreeSet<TxId>>,
    terms: ColdChain,
}

impl Load {
    /// The load of a plan, if it has one.
    pub fn new(plan: &Plan, cast: &Cast) -> Option<Self> {
        let load = plan.load.as_ref()?;
        let fleet = plan.fleet.packages + usize::from(plan.fleet.golden.is_some());
        let gateways = load.gateways.iter().cycle();
        let sources = (0..load.sources)
            .zip(gateways)
            .map(|(number, member)| Source {
                signer: Signer::new(cast, cast.device(fleet + number)),
                gateway: cast.gateway(*member),
                package: fleet + number,
                contract: None,
                is_ready: false,
                held: VecDeque::new(),
            });
        let stream = Seed(plan.seed).stream("load", 0);
        let is_closed = matches!(load.pattern, Pattern::Backlog(_));
        Some(Self {
            arrivals: Arrivals::new(load.pattern.clone(), stream).peekable(),
            start: Time::ZERO + load.start,
            until: Time::ZERO + plan.duration,
            sources: sources.collect(),
            turn: 0,
            registering: BTreeMap::new(),
            outstanding: is_closed.then(BTreeSet::new),
            terms: plan.cold_chain.clone(),
        })
    }

    /// Registers all contracts, at the start of the run.
    pub fn begin(&mut self) -> Came {
        let submissions = (0..self.sources.len()).map(|source| self.register(source));
        let submissions = submissions.collect();
        Came {
            submissions,
            next: self.next(),
        }
    }

    /// Takes what is due now.
    pub fn fire(&mut self, now: Time) -> Came {
        let mut came = Came::default();
        while self.next() == Some(now)
            && let Some((_, count)) = self.arrivals.next()
        {
            for _ in 0..count {
                self.due(now, &mut came);
            }
        }
        came.next = self.next();
        came
    }

    /// Takes the news that a transaction is final, or rejected for good.
    pub fn finished(&mut self, tx: &TxId, now: Time) -> Came {
        let mut came = Came::default();
        if let Some(source) = self.registering.remove(tx) {
            self.sources[source].is_ready = true;
            self.release(source, &mut came);
        }
        let outstanding = self.outstanding.as_mut();
        if outstanding.is_some_and(|outstanding| outstanding.remove(tx)) && now < self.until {
            self.due(now, &mut came);
        }
        came
    }

    /// The run drains: whatever is held back is signed, ready or not.
    pub fn drain(&mut self) -> Came {
        let mut came = Came::default();
        for source in 0..self.sources.len() {
            self.release(source, &mut came);
        }
        came
    }

    /// When the next reading is due, if one is before the end.
    fn next(&mut self) -> Option<Time> {
        let (offset_ns, _) = self.arrivals.peek()?;
        let at = self.start + Duration::from_nanos(*offset_ns);
        (at < self.until).then_some(at)
    }

    fn register(&mut self, number: usize) -> (Submission, Arc<Transaction>) {
        let source = &mut self.sources[number];
        let call = Call::Create {
            template: TEMPLATE.to_owned(),
            arguments: vec![
                Value::Party(source.signer.id),
                Value::Party(source.signer.id),
                Value::Nobody,
                Value::Int(self.terms.min_humidity_dpct),
                Value::Int(self.terms.max_humidity_dpct),
                Value::Int(self.terms.min_temperature_dc),
                Value::Int(self.terms.max_temperature_dc),
            ],
        };
        let transaction = source.signer.sign(source.gateway, call);
        let contract = ContractId(transaction.id());
        source.contract = Some(contract);
        self.registering.insert(transaction.id(), number);
        let submission = source.submission(&transaction, contract, Time::ZERO, Purpose::Terms);
        (submission, transaction)
    }

    /// A reading is due now, of whoever's turn it is.
    fn due(&mut self, now: Time, came: &mut Came) {
        let source = self.turn;
        self.turn = (self.turn + 1) % self.sources.len();
        self.sources[source].held.push_back(now);
        if self.sources[source].is_ready {
            self.release(source, came);
        }
    }

    /// Signs what a source has held back.
    fn release(&mut self, source: usize, came: &mut Came) {
        let source = &mut self.sources[source];
        while let Some(due) = source.held.pop_front() {
            let (submission, transaction) = source.read(due, &self.terms);
            if let Some(outstanding) = &mut self.outstanding {
                outstanding.insert(submission.tx);
            }
            came.submissions.push((submission, transaction));
        }
    }
}

impl Source {
    /// Signs the reading that was due then: in the middle of what its terms allow.
    fn read(&mut self, due: Time, terms: &ColdChain) -> (Submission, Arc<Transaction>) {
        let temperature_dc = i64::midpoint(terms.min_temperature_dc, terms.max_temperature_dc);
        let humidity_dpct = i64::midpoint(terms.min_humidity_dpct, terms.max_humidity_dpct);
        let contract = self.contract.expect("contracts are registered first");
        let call = ingest(contract, humidity_dpct, temperature_dc, seconds(due));
        let transaction = self.signer.sign(self.gateway, call);
        let purpose = Purpose::Reading {
            temperature_dc,
            humidity_dpct,
        };
        let submission = self.submission(&transaction, contract, due, purpose);
        (submission, transaction)
    }

    fn submission(
        &self,
        transaction: &Transaction,
        contract: ContractId,
        due: Time,
        purpose: Purpose,
    ) -> Submission {
        Submission {
            tx: transaction.id(),
            party: self.signer.id,
            gateway: self.gateway,
            contract,
            package: self.package,
            leg: 0,
            due,
            purpose,
            cheat: None,
        }
    }
}

#[cfg(test)]
mod tests;
