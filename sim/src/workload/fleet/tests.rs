//! Journeys, readings, and what cheats make of them.

use std::collections::BTreeSet;

use consortium_node::types::PartyId;

use super::*;
use crate::{
    scenario::plan::LegPlan,
    workload::{
        INGEST_TELEMETRY,
        sample::{self, CARRIER_1, CARRIER_2, PROCESSOR, PRODUCER, STORE},
    },
};

const MINUTE: Duration = Duration::from_mins(1);

fn minutes(at: Time) -> u64 {
    at.0 / 60_000_000_000
}

/// A fleet that was run to its end; in a closed loop every answer takes five minutes.
struct Run {
    submissions: Vec<(Submission, Arc<Transaction>)>,
    truths: Vec<(Time, Fact)>,
    fleet: Fleet,
    cast: Cast,
}

fn run_until(plan: &Plan, stop: Time) -> Run {
    let cast = Cast::new(plan);
    let fleet = Fleet::new(plan, &cast);
    let mut queue: BTreeSet<(Time, Ticket)> = fleet.first_events().into_iter().collect();
    let mut answers: BTreeSet<(Time, TxId)> = BTreeSet::new();
    let mut run = Run {
        submissions: Vec::new(),
        truths: Vec::new(),
        fleet,
        cast,
    };
    loop {
        let ticket = queue.first().copied();
        let answer = answers.first().copied();
        let ticket_at = ticket.map_or(Time::NEVER, |(at, _)| at);
        let now = answer.map_or(ticket_at, |(at, _)| at.min(ticket_at));
        if now >= stop {
            return run;
        }
        let fired = if ticket_at == now {
            let (_, ticket) = queue.pop_first().expect("just seen");
            run.fleet.fire(ticket, now)
        } else {
            let (_, tx) = answers.pop_first().expect("just seen");
            run.fleet.finished(&tx, now)
        };
        assert!(fired.next.iter().all(|(at, _)| *at >= now));
        queue.extend(fired.next);
        run.truths
            .extend(fired.truths.into_iter().map(|truth| (now, truth)));
        for (submission, transaction) in fired.submissions {
            assert_eq!(submission.due, now);
            assert_eq!(submission.tx, transaction.id());
            if plan.fleet.pace == Pace::ClosedLoop {
                answers.insert((now + MINUTE * 5, submission.tx));
            }
            run.submissions.push((submission, transaction));
        }
    }
}

fn run(plan: &Plan) -> Run {
    run_until(plan, Time::NEVER)
}

impl Run {
    fn of(&self, package: usize) -> impl Iterator<Item = &(Submission, Arc<Transaction>)> {
        let all = self.submissions.iter();
        all.filter(move |(it, _)| it.package == package)
    }

    /// Minute, leg and temperature of a package's readings.
    fn readings(&self, package: usize) -> Vec<(u64, usize, i64)> {
        self.of(package)
            .filter_map(|(it, _)| match it.purpose {
                Purpose::Reading { temperature_dc, .. } => {
                    Some((minutes(it.due), it.leg, temperature_dc))
                }
                _ => None,
            })
            .collect()
    }
}

#[test]
fn the_golden_package_reads_what_the_plan_gives() {
    let run = run(&sample::plan());
    let readings = run.readings(0);
    assert_eq!(readings.len(), 23, "every ten minutes from 15 to 235");
    assert_eq!(readings[0], (15, 0, 80), "one interval, and half of one");
    for (minute, leg, temperature_dc) in readings {
        assert_eq!(leg as u64, minute / 60);
        assert_eq!(temperature_dc, [80, 80, 90, 110][leg]);
    }
    let last = run.of(0).filter(|(it, _)| it.party == run.cast.device(0));
    let (_, last) = last.last().expect("there are readings");
    let Call::Invoke {
        contract,
        function,
        arguments,
    } = last.call()
    else {
        panic!("a reading calls a contract");
    };
    assert_eq!(Some(*contract), run.fleet.contract(0));
    assert_eq!(function, INGEST_TELEMETRY);
    let values = [660, 110, 235 * 60].map(Value::Int);
    assert_eq!(arguments, &values, "humidity, temperature, seconds");
}

#[test]
fn a_life_of_a_package_is_terms_hand_overs_and_completion() {
    let run = run(&sample::plan());
    let cast = &run.cast;
    let life: Vec<_> = run
        .of(0)
        .filter(|(it, _)| it.party != cast.device(0))
        .map(|(it, _)| (minutes(it.due), it.party, it.gateway, it.purpose))
        .collect();
    let party = |number| cast.party(number);
    let to = |number| Purpose::HandOver { to: party(number) };
    // Carrier 1 has no gateway of its own and goes through the processor's.
    let expected = [
        (0, party(PRODUCER), cast.gateway(PRODUCER), Purpose::Terms),
        (60, party(PRODUCER), cast.gateway(PRODUCER), to(CARRIER_1)),
        (
            120,
            party(CARRIER_1),
            cast.gateway(PROCESSOR),
            to(CARRIER_2),
        ),
        (180, party(CARRIER_2), cast.gateway(CARRIER_2), to(STORE)),
        (
            240,
            party(PRODUCER),
            cast.gateway(PRODUCER),
            Purpose::Completion,
        ),
    ];
    assert_eq!(life, expected);

    let (terms, transaction) = run.of(0).next().expect("the terms come first");
    assert_eq!(terms.contract, ContractId(terms.tx));
    let Call::Create {
        template,
        arguments,
    } = transaction.call()
    else {
        panic!("terms create a contract");
    };
    assert_eq!(template, TEMPLATE);
    let parties = [cast.device(0), party(PRODUCER), party(sample::AUTHORITY)].map(Value::Party);
    assert_eq!(arguments[..3], parties);
    assert_eq!(arguments[3..], [0, 800, 0, 100].map(Value::Int));
}

#[test]
fn readings_go_through_the_gateway_of_whoever_has_the_package() {
    let run = run(&sample::plan());
    let device = run.cast.device(0);
    for (it, transaction) in run.of(0).filter(|(it, _)| it.party == device) {
        let member = [PRODUCER, PROCESSOR, CARRIER_2, STORE][it.leg];
        assert_eq!(it.gateway, run.cast.gateway(member));
        assert!(run.cast.registry.verify_party(transaction.signed()));
    }
}

#[test]
fn everyone_numbers_what_they_sign_from_one() {
    let run = run(&sample::plan());
    let mut last = BTreeMap::<PartyId, u64>::new();
    for (_, transaction) in &run.submissions {
        let last = last.entry(transaction.party()).or_default();
        assert_eq!(transaction.nonce(), *last + 1);
        *last += 1;
    }
    assert_eq!(
        last[&run.cast.party(PRODUCER)],
        4 * 3,
        "terms, hand-over, end"
    );
}

#[test]
fn a_first_reading_leaves_its_contract_an_interval_to_be_created() {
    let run = run(&sample::plan());
    for package in 0..4 {
        let (terms, _) = run.of(package).next().expect("it starts");
        assert_eq!(terms.purpose, Purpose::Terms);
        assert!(minutes(terms.due) <= 30, "within the spread");
        let first = run.readings(package)[0].0 - minutes(terms.due);
        assert!((9..=20).contains(&first), "after {first} minutes");
    }
}

#[test]
fn the_owner_hands_over_first_when_someone_else_has_the_first_leg() {
    let mut plan = sample::plan();
    plan.fleet.legs[0].custodian = STORE;
    let run = run(&plan);
    let mut of_owner = run
        .of(0)
        .filter(|(it, _)| it.party == run.cast.party(PRODUCER));
    let (terms, _) = of_owner.next().expect("terms");
    let (hand_over, _) = of_owner.next().expect("hand-over");
    assert_eq!(terms.purpose, Purpose::Terms);
    let to = run.cast.party(STORE);
    assert_eq!(hand_over.purpose, Purpose::HandOver { to });
    assert_eq!(minutes(hand_over.due), 10, "an interval after the terms");
}

#[test]
fn nothing_is_due_at_or_after_the_end() {
    let plan = Plan {
        duration: MINUTE * 180,
        ..sample::plan()
    };
    let run = run(&plan);
    let last = run.submissions.iter().map(|(it, _)| it.due).max();
    assert!(last < Some(Time::ZERO + MINUTE * 180));
    let purposes = run.submissions.iter().map(|(it, _)| it.purpose);
    assert_eq!(purposes.filter(|it| *it == Purpose::Completion).count(), 0);
}

#[test]
fn the_truth_about_the_golden_package_is_told_once_and_blames_the_store() {
    let run = run(&sample::plan());
    let golden: Vec<_> = run
        .truths
        .iter()
        .filter_map(|(at, fact)| match fact {
            Fact::Truth {
                package: 0,
                custodian,
                out_of_range,
            } => Some((minutes(*at), *custodian, *out_of_range)),
            _ => None,
        })
        .collect();
    assert_eq!(golden, [(180, STORE, true)]);
}

#[test]
fn truths_alternate_and_do_not_depend_on_how_often_sensors_read() {
    let legs = |mut plan: Plan| {
        plan.fleet.legs.iter_mut().for_each(|leg: &mut LegPlan| {
            (leg.ambient_mc, leg.ambient_spread_mc) = (10_000, 3_000);
        });
        plan
    };
    let seldom = legs(sample::plan());
    let mut often = seldom.clone();
    often.fleet.pace = Pace::ClosedLoop;
    let of = |run: &Run| -> Vec<(Time, usize, bool)> {
        let mut truths: Vec<_> = run
            .truths
            .iter()
            .map(|(at, fact)| match fact {
                Fact::Truth {
                    package,
                    out_of_range,
                    ..
                } => (*at, *package, *out_of_range),
                other => panic!("{other:?}"),
            })
            .collect();
        truths.sort_unstable();
        truths
    };
    let truths = of(&run(&seldom));
    assert_eq!(truths, of(&run(&often)));
    assert!(truths.len() > 8, "it goes out and in: {truths:?}");
    for package in 0..4 {
        let its = truths.iter().filter(|truth| truth.1 == package);
        for (number, truth) in its.enumerate() {
            assert_eq!(truth.2, number % 2 == 0, "out first, then in");
        }
    }
}

#[test]
fn a_closed_loop_waits_for_each_answer() {
    let mut plan = sample::plan();
    plan.fleet.pace = Pace::ClosedLoop;
    let run = run(&plan);
    let minutes: Vec<u64> = run.readings(0).iter().map(|reading| reading.0).collect();
    let every_five: Vec<u64> = (1..48).map(|k| k * 5).collect();
    assert_eq!(minutes, every_five, "an answer takes five minutes here");
}

#[test]
fn a_package_draws_from_its_own_stream() {
    let plan = sample::plan();
    let mut larger = plan.clone();
    larger.fleet.packages = 9;
    let mut without_golden = plan.clone();
    without_golden.fleet.golden = None;
    let all = run(&plan);
    assert_eq!(all.readings(2), run(&larger).readings(2));
    assert_eq!(all.readings(2), run(&without_golden).readings(1));
    assert_ne!(all.readings(2), all.readings(3));
    assert_ne!(all.readings(2), run(&Plan { seed: 8, ..plan }).readings(2));
}

#[test]
fn a_forged_reading_claims_to_be_the_devices_and_is_not() {
    let stop = Time::ZERO + MINUTE * 200;
    let run = run_until(&sample::plan(), stop);
    let by = Cheater {
        cheat: 3,
        gateway: run.cast.gateway(STORE),
    };
    let key = &run.cast.party_keys[STORE];
    let (it, forged) = run
        .fleet
        .forged_reading(0, stop, by, key)
        .expect("under way");
    assert_eq!(forged.party(), run.cast.device(0));
    assert!(!run.cast.registry.verify_party(forged.signed()));
    assert_eq!((it.gateway, it.cheat), (by.gateway, Some(3)));
    let harmless = Purpose::Reading {
        temperature_dc: 50,
        humidity_dpct: 400,
    };
    assert_eq!(it.purpose, harmless);
    let numbers = run.of(0).filter(|(other, _)| other.party == it.party);
    assert_eq!(forged.nonce(), numbers.count() as u64 + 1);
    let arrived = Time::ZERO + MINUTE * 241;
    assert!(run.fleet.forged_reading(0, arrived, by, key).is_none());
}

#[test]
fn a_replayed_reading_is_an_old_one_with_its_id() {
    let mut plan = sample::plan();
    plan.fleet.pace = Pace::Every(MINUTE);
    let stop = Time::ZERO + MINUTE * 100;
    let run = run_until(&plan, stop);
    let by = Cheater {
        cheat: 1,
        gateway: run.cast.gateway(CARRIER_2),
    };
    let (it, transaction) = run.fleet.replayed_reading(0, stop, by).expect("readings");
    let original = run.of(0).find(|(other, _)| other.tx == it.tx);
    let (original, _) = original.expect("it was submitted before");
    assert_eq!(
        minutes(original.due),
        96,
        "the newest that is three minutes old"
    );
    assert_eq!((it.gateway, it.cheat, it.due), (by.gateway, Some(1), stop));
    assert!(run.cast.registry.verify_party(transaction.signed()));

    let start = run_until(&plan, Time::ZERO + MINUTE);
    let none = start.fleet.replayed_reading(0, Time::ZERO + MINUTE, by);
    assert!(none.is_none(), "there is none yet");
}
