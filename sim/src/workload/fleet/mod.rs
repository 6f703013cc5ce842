//! The packages: what each of them, and the people around it, sign on the journey, and when.
//!
//! - At its start the owner registers the terms. The contract's id is that transaction's id, which the
//!   device knows at once.
//! - A first reading must not overtake its contract. With [`Pace::Every`] it is due one interval after
//!   the start, plus the package's phase; in a closed loop when the terms are final.
//! - If someone else than the owner has the first leg, the owner hands over one interval after the start
//!   (at the middle of the leg if that is earlier); in a closed loop when the terms are final.
//! - Where the custodian changes, the one whose leg ends signs the package over to the next. Nothing but
//!   time orders that against readings: a reading taken before can be ordered after.
//! - At the end of the last leg the owner completes the journey.
//!
//! Devices sign their own readings, numbered from 1, and give them to the gateway of whoever has them;
//! people number theirs from 1 as well. The golden package starts at 0, half an interval out of phase
//! with the hours, and reads what the plan gives. At or after the end of the plan's duration nothing is
//! due. All draws come from the package's own stream.

mod edge;
mod package;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    transaction::{Call, ContractId, Transaction, Value},
    types::{NodeId, TxId},
};

use crate::{
    cast::Cast,
    fact::{Fact, Purpose, Submission},
    scenario::plan::{MemberIndex, Pace, PartyIndex, Plan},
    time::Time,
};

use super::{
    COMPLETE, TEMPLATE, TRANSFER_RESPONSIBILITY, ingest, journey::Leg, physics::tenths, seconds,
    signer::Signer,
};
use package::{Package, Route};

pub use edge::Cheater;

/// Something that becomes due for a package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket {
    package: usize,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    /// The journey starts.
    Start,
    /// The first custodian takes over from the owner.
    FirstCustodian,
    /// A leg ends.
    LegEnds(usize),
    /// The sensor reads.
    Reading,
    /// The package leaves (or enters again) the range of its terms.
    Truth { out_of_range: bool },
}

/// What came of a ticket.
#[derive(Debug, Default)]
pub struct Fired {
    /// Transactions that came into being, each for the gateway that its submission names.
    pub submissions: Vec<(Submission, Arc<Transaction>)>,
    /// What truly happened to packages.
    pub truths: Vec<Fact>,
    /// What becomes due next.
    pub next: Vec<(Time, Ticket)>,
}

/// When and where in a package's journey something happens.
#[derive(Clone, Copy, Debug)]
struct Occasion {
    now: Time,
    package: usize,
    leg: usize,
}

/// All packages.
#[derive(Debug)]
pub struct Fleet {
    pace: Pace,
    route: Route,
    /// Nothing is due from here on.
    until: Time,
    /// Everyone but the devices, by number, with the gateway that each uses.
    people: Vec<(Signer, NodeId)>,
    packages: Vec<Package>,
    has_golden: bool,
    /// In a closed loop: whose next reading waits for which transaction.
    awaited: BTreeMap<TxId, usize>,
}

impl Fleet {
    /// The fleet of a plan. Its first events are [`Fleet::first_events`].
    pub fn new(plan: &Plan, cast: &Cast) -> Self {
        let route = Route::new(plan);
        let has_golden = plan.fleet.golden.is_some();
        let packages = (0..plan.fleet.packages + usize::from(has_golden))
            .map(|package| Package::new(plan, cast, &route.journey, package))
            .collect();
        let people = plan.parties.iter().enumerate().map(|(number, party)| {
            let signer = Signer::new(cast, cast.party(number));
            (signer, cast.gateway(party.via))
        });
        Self {
            pace: plan.fleet.pace,
            route,
            until: Time::ZERO + plan.duration,
            people: people.collect(),
            packages,
            has_golden,
            awaited: BTreeMap::new(),
        }
    }

    /// A member's own party signs an order that is about no package.
    pub fn sign_for(
        &mut self,
        member: MemberIndex,
        gateway: NodeId,
        call: Call,
    ) -> Arc<Transaction> {
        self.people[member].0.sign(gateway, call)
    }

    /// What is due without anything having happened.
    pub fn first_events(&self) -> Vec<(Time, Ticket)> {
        let step = Step::Start;
        let starts = self.packages.iter().enumerate();
        starts
            .map(|(package, its)| (its.start, Ticket { package, step }))
            .filter(|(at, _)| *at < self.until)
            .collect()
    }

    /// Number of the golden package, if it travels.
    pub fn golden(&self) -> Option<usize> {
        self.has_golden.then_some(0)
    }

    /// A package's contract, once its journey has started.
    pub fn contract(&self, package: usize) -> Option<ContractId> {
        self.packages[package].contract
    }

    /// Takes a ticket, at the time for which it was issued.
    pub fn fire(&mut self, ticket: Ticket, now: Time) -> Fired {
        assert!(now < self.until, "{ticket:?} after the end");
        let mut fired = Fired::default();
        let package = ticket.package;
        match ticket.step {
            Step::Start => self.start(package, now, &mut fired),
            Step::FirstCustodian => self.hand_over_to_the_first(package, now, &mut fired),
            Step::LegEnds(leg) => self.end_leg(Occasion { now, package, leg }, &mut fired),
            Step::Reading => self.read(package, now, &mut fired),
            Step::Truth { out_of_range } => self.tell_truth(package, now, out_of_range, &mut fired),
        }
        fired
    }

    /// Takes the news that a transaction is final, or rejected for good. Only a closed loop answers.
    pub fn finished(&mut self, tx: &TxId, now: Time) -> Fired {
        let mut fired = Fired::default();
        let awaited = self.awaited.remove(tx);
        let Some(package) = awaited.filter(|_| now < self.until) else {
            return fired;
        };
        if self.packages[package].contract == Some(ContractId(*tx)) {
            self.hand_over_to_the_first(package, now, &mut fired);
        }
        self.read(package, now, &mut fired);
        fired
    }

    fn start(&mut self, package: usize, now: Time, fired: &mut Fired) {
        let terms = &self.route.terms;
        let (owner, observer) = (terms.owner, terms.observer);
        let call = Call::Create {
            template: TEMPLATE.to_owned(),
            arguments: vec![
                Value::Party(self.packages[package].device.id),
                Value::Party(self.people[owner].0.id),
                Value::Party(self.people[observer].0.id),
                Value::Int(terms.min_humidity_dpct),
                Value::Int(terms.max_humidity_dpct),
                Value::Int(terms.min_temperature_dc),
                Value::Int(terms.max_temperature_dc),
            ],
        };
        let occasion = Occasion {
            now,
            package,
            leg: 0,
        };
        let contract = self.sign_as(owner, occasion, Purpose::Terms, call, fired);
        self.packages[package].contract = Some(ContractId(contract));
        let first_leg = Duration::from_nanos(self.legs()[0].ends_ns);
        match self.pace {
            Pace::Every(interval) => {
                let settled = now + interval.min(first_leg / 2);
                self.later(settled, package, Step::FirstCustodian, fired);
                let reading = now + interval + self.packages[package].phase;
                self.later(reading, package, Step::Reading, fired);
            }
            Pace::ClosedLoop => {
                self.awaited.insert(contract, package);
            }
        }
        self.later(now + first_leg, package, Step::LegEnds(0), fired);
        let condition = self.packages[package].condition(&self.route, 0, now);
        if condition.within(&self.route.terms) {
            self.look_ahead(package, now, false, fired);
        } else {
            self.tell_truth(package, now, true, fired);
        }
    }

    fn hand_over_to_the_first(&mut self, package: usize, now: Time, fired: &mut Fired) {
        // When terms take longer to be final than the first leg lasts, its custodian has come and gone.
        if let Some(leg @ 0) = self.leg_of(package, now) {
            let owner = self.route.terms.owner;
            self.hand_over(Occasion { now, package, leg }, owner, 0, fired);
        }
    }

    fn end_leg(&mut self, occasion: Occasion, fired: &mut Fired) {
        let Occasion { package, leg, .. } = occasion;
        let next = leg + 1;
        if next < self.legs().len() {
            let custodian = self.legs()[leg].custodian;
            self.hand_over(occasion, custodian, next, fired);
            let ends = Duration::from_nanos(self.legs()[next].ends_ns);
            let at = self.packages[package].start + ends;
            self.later(at, package, Step::LegEnds(next), fired);
        } else {
            let call = self.invoke(package, COMPLETE, Vec::new());
            let owner = self.route.terms.owner;
            self.sign_as(owner, occasion, Purpose::Completion, call, fired);
        }
    }

    /// `from` signs the package over to the custodian of leg `next`, if that is someone else.
    fn hand_over(&mut self, at: Occasion, from: PartyIndex, next: usize, fired: &mut Fired) {
        let to = self.legs()[next].custodian;
        if from == to {
            return;
        }
        let to = self.people[to].0.id;
        let call = self.invoke(at.package, TRANSFER_RESPONSIBILITY, vec![Value::Party(to)]);
        self.sign_as(from, at, Purpose::HandOver { to }, call, fired);
    }

    fn read(&mut self, package: usize, now: Time, fired: &mut Fired) {
        let Some(leg) = self.leg_of(package, now) else {
            return; // it has arrived
        };
        let gateway = self.people[self.legs()[leg].custodian].1;
        let its = &mut self.packages[package];
        let truth = its.condition(&self.route, leg, now);
        let temperature_dc = tenths(truth.temperature_mc + its.bias.0);
        let humidity_dpct = tenths(truth.humidity_mpct + its.bias.1);
        let contract = its.contract.expect("a reading follows the terms");
        let call = ingest(contract, humidity_dpct, temperature_dc, seconds(now));
        let transaction = its.device.sign(gateway, call);
        let submission = Submission {
            tx: transaction.id(),
            party: its.device.id,
            gateway,
            contract,
            package,
            leg,
            due: now,
            purpose: Purpose::Reading {
                temperature_dc,
                humidity_dpct,
            },
            cheat: None,
        };
        its.remember(submission.clone(), Arc::clone(&transaction));
        match self.pace {
            Pace::Every(interval) => self.later(now + interval, package, Step::Reading, fired),
            Pace::ClosedLoop => {
                self.awaited.insert(transaction.id(), package);
            }
        }
        fired.submissions.push((submission, transaction));
    }

    fn tell_truth(&mut self, package: usize, now: Time, out_of_range: bool, fired: &mut Fired) {
        let leg = self.leg_of(package, now).expect("it is under way");
        fired.truths.push(Fact::Truth {
            package,
            custodian: self.legs()[leg].custodian,
            out_of_range,
        });
        self.look_ahead(package, now, out_of_range, fired);
    }

    /// Finds when the package crosses the bounds of its terms next.
    fn look_ahead(&mut self, package: usize, now: Time, out_of_range: bool, fired: &mut Fired) {
        let its = &mut self.packages[package];
        let crossing = its.next_crossing(&self.route, now, self.until, out_of_range);
        if let Some(at) = crossing {
            let out_of_range = !out_of_range;
            self.later(at, package, Step::Truth { out_of_range }, fired);
        }
    }

    fn invoke(&self, package: usize, function: &str, arguments: Vec<Value>) -> Call {
        let contract = self.packages[package].contract;
        Call::Invoke {
            contract: contract.expect("everything follows the terms"),
            function: function.to_owned(),
            arguments,
        }
    }

    /// Someone who is not a device signs a call about a package.
    fn sign_as(
        &mut self,
        who: PartyIndex,
        at: Occasion,
        purpose: Purpose,
        call: Call,
        fired: &mut Fired,
    ) -> TxId {
        let (signer, gateway) = &mut self.people[who];
        let transaction = signer.sign(*gateway, call);
        let tx = transaction.id();
        let contract = self.packages[at.package].contract;
        let submission = Submission {
            tx,
            party: signer.id,
            gateway: *gateway,
            contract: contract.unwrap_or(ContractId(tx)),
            package: at.package,
            leg: at.leg,
            due: at.now,
            purpose,
            cheat: None,
        };
        fired.submissions.push((submission, transaction));
        tx
    }

    fn later(&self, at: Time, package: usize, step: Step, fired: &mut Fired) {
        if at < self.until {
            fired.next.push((at, Ticket { package, step }));
        }
    }

    fn legs(&self) -> &[Leg] {
        self.route.journey.legs()
    }

    fn leg_of(&self, package: usize, now: Time) -> Option<usize> {
        let offset_ns = self.packages[package].offset_ns(now);
        self.route.journey.leg_at(offset_ns)
    }
}

#[cfg(test)]
mod tests;
