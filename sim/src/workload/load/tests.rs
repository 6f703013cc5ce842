//! Rate controllers to the nanosecond, and the sources behind them.

use std::time::Duration;

use consortium_node::types::TxId;

use super::{Came, Load, arrivals::Arrivals};
use crate::{
    cast::Cast,
    fact::Purpose,
    rng::Seed,
    scenario::plan::{LoadPlan, Pattern, Plan, Rate},
    time::Time,
    workload::sample,
};

const S: u64 = 1_000_000_000;

fn arrivals(pattern: Pattern, seed: u64) -> Arrivals {
    Arrivals::new(pattern, Seed(seed).stream("load", 0))
}

/// When single transactions are due, up to a second of the run.
fn instants(pattern: Pattern, until_s: u64) -> Vec<u64> {
    let all = arrivals(pattern, 7).take_while(|(at, _)| *at < until_s * S);
    let single = |(at, count)| {
        assert_eq!(count, 1);
        at
    };
    all.map(single).collect()
}

#[test]
fn a_fixed_rate_is_exact_to_the_nanosecond_however_long_it_lasts() {
    let thirds = instants(Pattern::Fixed(Rate::per_second(3)), 2);
    let third = S / 3 + 1;
    assert_eq!(
        thirds,
        [0, third, 2 * third - 1, S, S + third, S + 2 * third - 1]
    );
    let day = instants(Pattern::Fixed(Rate::per_second(3)), 86_400);
    assert_eq!(day.len(), 3 * 86_400);
    assert_eq!(day[3 * 86_399], 86_399 * S, "nothing adds up on the way");
    let slow = instants(Pattern::Fixed(Rate(500_000)), 10);
    assert_eq!(slow, [0, 2 * S, 4 * S, 6 * S, 8 * S]);
}

#[test]
fn a_poisson_process_has_its_mean_its_spread_and_nothing_but_its_seed() {
    let pattern = || Pattern::Poisson(Rate::per_second(200));
    let drawn = instants(pattern(), 500);
    // The count is Poisson with mean 100,000: a standard deviation is 316.
    assert!((99_000..=101_000).contains(&drawn.len()), "{}", drawn.len());
    assert!(drawn.is_sorted());
    let gaps = drawn.windows(2).map(|pair| pair[1] - pair[0]);
    // Of exponential gaps, 1 - 1/e are shorter than their mean.
    let mean = S / 200;
    let short = gaps.filter(|gap| *gap < mean).count();
    let share_pct = 100 * short / drawn.len();
    assert!((62..=64).contains(&share_pct), "{share_pct} %");
    assert_eq!(
        drawn,
        instants(pattern(), 500),
        "the same seed, the same instants"
    );
    let other: Vec<_> = arrivals(pattern(), 8).take(10).map(|(at, _)| at).collect();
    assert_ne!(drawn[..10], other);
    assert_eq!(
        drawn[..3],
        [3_725_883, 10_478_188, 20_025_116],
        "the draws have changed for everyone"
    );
}

#[test]
fn a_ramp_adds_up_to_the_area_under_it_and_then_stays() {
    let ramp = |from, to, over| Pattern::Ramp {
        from: Rate::per_second(from),
        to: Rate::per_second(to),
        over: Duration::from_secs(over),
    };
    // From nothing to 10/s in 10 s: t²/2 transactions after t seconds, so the k-th at √(2k).
    let up = instants(ramp(0, 10, 10), 12);
    assert_eq!(up.len(), 50 + 20);
    assert_eq!((up[0], up[2], up[8], up[18]), (0, 2 * S, 4 * S, 6 * S));
    assert_eq!(up[1], 1_414_213_563, "the first nanosecond after √2 s");
    assert_eq!((up[50], up[51], up[60]), (10 * S, 10 * S + S / 10, 11 * S));
    // Down to nothing: it never comes back.
    let down = instants(ramp(10, 0, 10), 1000);
    assert_eq!(down.len(), 51, "the last when all of it has passed");
    assert_eq!(down[50], 10 * S);
    assert_eq!(down[32], 4 * S, "50 less 6²/2");
    let day = instants(ramp(1, 2, 86_400), 86_400);
    assert_eq!(day.len(), 86_400 * 3 / 2);
}

#[test]
fn steps_are_held_as_long_as_they_say_and_the_last_to_the_end() {
    let pattern = Pattern::Step {
        rates: [2, 0, 4].map(Rate::per_second).to_vec(),
        each: Duration::from_secs(1),
    };
    let quarter = S / 4;
    assert_eq!(
        instants(pattern, 3),
        [
            0,
            S / 2,
            2 * S,
            2 * S + quarter,
            2 * S + 2 * quarter,
            2 * S + 3 * quarter
        ]
    );
    let ends_at_rest = Pattern::Step {
        rates: [2, 0].map(Rate::per_second).to_vec(),
        each: Duration::from_secs(1),
    };
    assert_eq!(instants(ends_at_rest, 1000), [0, S / 2]);
}

#[test]
fn bursts_come_whole_and_a_single_one_once() {
    let every = Some(Duration::from_secs(2));
    let bursts = Pattern::Burst { count: 100, every };
    let first: Vec<_> = arrivals(bursts, 7).take(3).collect();
    assert_eq!(first, [(0, 100), (2 * S, 100), (4 * S, 100)]);
    let single = Pattern::Burst {
        count: 1000,
        every: None,
    };
    assert_eq!(arrivals(single, 7).collect::<Vec<_>>(), [(0, 1000)]);
}

#[test]
fn a_replay_is_what_was_recorded() {
    let rows = vec![(0, 2), (S, 0), (S, 5), (9 * S, 1)];
    let replay = Pattern::Replay(rows.clone());
    assert_eq!(arrivals(replay, 7).collect::<Vec<_>>(), rows);
}

// --- The sources behind a pattern --------------------------------------------------------------

fn plan(pattern: Pattern) -> Plan {
    let mut plan = sample::plan();
    plan.duration = Duration::from_secs(10);
    plan.load = Some(LoadPlan {
        pattern,
        start: Duration::from_secs(1),
        sources: 8,
        gateways: vec![0, 1, 3],
    });
    plan
}

struct Bench {
    load: Load,
    terms: Vec<TxId>,
    cast: Cast,
}

impl Bench {
    fn new(pattern: Pattern) -> Self {
        let plan = plan(pattern);
        let cast = Cast::new(&plan);
        let mut load = Load::new(&plan, &cast).expect("there is a load");
        let began = load.begin();
        assert!(
            began
                .submissions
                .iter()
                .all(|(s, _)| s.purpose == Purpose::Terms)
        );
        assert_eq!(began.next, Some(Time(S)));
        let terms = began.submissions.iter().map(|(s, _)| s.tx).collect();
        Self { load, terms, cast }
    }

    fn settle(&mut self, at: Time) {
        for tx in self.terms.clone() {
            let came = self.load.finished(&tx, at);
            assert!(came.submissions.is_empty());
        }
    }
}

fn dues(came: &Came) -> Vec<Time> {
    came.submissions.iter().map(|(s, _)| s.due).collect()
}

#[test]
fn each_source_registers_a_contract_and_they_take_turns_through_the_gateways() {
    let mut bench = Bench::new(Pattern::Burst {
        count: 8,
        every: None,
    });
    assert_eq!(bench.terms.len(), 8);
    bench.settle(Time(S / 2));
    let came = bench.load.fire(Time(S));
    assert_eq!(dues(&came), [Time(S); 8]);
    let members = came
        .submissions
        .iter()
        .map(|(s, _)| bench.cast.member_of(s.gateway));
    assert_eq!(members.collect::<Vec<_>>(), [0, 1, 3, 0, 1, 3, 0, 1]);
    let contracts = came.submissions.iter().map(|(s, _)| s.contract.0);
    assert!(contracts.eq(bench.terms.iter().copied()));
    for (submission, transaction) in &came.submissions {
        let party = bench
            .cast
            .registry
            .party(submission.party)
            .expect("it is known");
        assert_eq!(
            (transaction.party(), transaction.nonce()),
            (submission.party, 2)
        );
        assert!(party.name.starts_with("load sensor "), "{}", party.name);
    }
    assert_eq!(came.next, None, "a single burst");
}

#[test]
fn what_is_due_before_its_contract_is_final_is_held_back_and_keeps_its_due_time() {
    let mut bench = Bench::new(Pattern::Fixed(Rate::per_second(1)));
    let came = bench.load.fire(Time(S));
    assert!(came.submissions.is_empty(), "no contract is final yet");
    assert_eq!(
        came.next,
        Some(Time(2 * S)),
        "an open loop goes on all the same"
    );
    assert!(bench.load.fire(Time(2 * S)).submissions.is_empty());
    let first = bench.terms[0];
    let came = bench.load.finished(&first, Time(2 * S + 5));
    assert_eq!(dues(&came), [Time(S)]);
    assert_eq!(
        dues(&bench.load.drain()),
        [Time(2 * S)],
        "none is forgotten"
    );
}

#[test]
fn an_open_loop_does_not_care_for_answers_and_ends_with_the_run() {
    let mut bench = Bench::new(Pattern::Fixed(Rate::per_second(1)));
    bench.settle(Time(0));
    let mut next = Some(Time(S));
    let mut submitted = Vec::new();
    while let Some(at) = next {
        let came = bench.load.fire(at);
        submitted.extend(dues(&came));
        next = came.next;
    }
    let expected: Vec<_> = (1..10).map(|second| Time(second * S)).collect();
    assert_eq!(submitted, expected);
}

#[test]
fn a_backlog_holds_its_level_until_the_run_ends() {
    let mut bench = Bench::new(Pattern::Backlog(20));
    bench.settle(Time(0));
    let filled = bench.load.fire(Time(S));
    assert_eq!((filled.submissions.len(), filled.next), (20, None));
    let mut open: Vec<TxId> = filled.submissions.iter().map(|(s, _)| s.tx).collect();
    for answer in 0..1000 {
        let now = Time(S + 1 + answer);
        let answered = open.remove(answer as usize % open.len());
        let came = bench.load.finished(&answered, now);
        assert_eq!(
            dues(&came),
            [now],
            "one for one, due as soon as there is room"
        );
        open.extend(came.submissions.iter().map(|(s, _)| s.tx));
        assert_eq!(open.len(), 20);
        assert!(bench.load.finished(&answered, now).submissions.is_empty());
    }
    let late = bench.load.finished(&open[0], Time(10 * S));
    assert!(late.submissions.is_empty(), "nothing is due any more");
}
