//! The pool of waiting transactions: bounds, fairness, batches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    crypto::{Keypair, SignatureMode},
    mempool::{BatchLimits, Mempool, MempoolRefusal, Readiness},
    transaction::{Call, Transaction},
    types::{ChainId, Mono, PartyId, TxId},
};
use proptest::{collection::vec, prelude::*};

const NO_LIMIT: BatchLimits = BatchLimits {
    count: usize::MAX,
    bytes: usize::MAX,
};

fn transaction_of(party: u32, nonce: u64, template: &str) -> Arc<Transaction> {
    let key = Keypair::from_seed([1; 32], ChainId(1), SignatureMode::Lazy);
    let call = Call::Create {
        template: template.into(),
        arguments: Vec::new(),
    };
    Transaction::sign(&key, PartyId(party), nonce, call)
}

fn transaction(party: u32, nonce: u64) -> Arc<Transaction> {
    transaction_of(party, nonce, "T")
}

fn pool(capacity: usize) -> Mempool {
    Mempool::new(capacity, 1_000_000)
}

fn holding(transactions: &[(u32, u64)]) -> Mempool {
    let mut pool = pool(1_000);
    for (at, (party, nonce)) in (0..).zip(transactions) {
        pool.insert(transaction(*party, *nonce), Mono(at))
            .expect("room and no duplicate");
    }
    pool
}

fn numbers(batch: &[Arc<Transaction>]) -> Vec<(u32, u64)> {
    let number = |tx: &Arc<Transaction>| (tx.party().0, tx.nonce());
    batch.iter().map(number).collect()
}

fn nothing(_: &TxId) -> bool {
    false
}

#[test]
fn r5_what_waits_already_is_refused_and_so_is_its_number() {
    let mut pool = pool(100);
    pool.insert(transaction(1, 1), Mono(0)).expect("fresh");
    let same = pool.insert(transaction(1, 1), Mono(1));
    assert_eq!(same, Err(MempoolRefusal::Duplicate));
    let other_body = pool.insert(transaction_of(1, 1, "U"), Mono(1));
    assert_eq!(other_body, Err(MempoolRefusal::Duplicate));
    pool.insert(transaction(2, 1), Mono(1))
        .expect("another party");
    assert_eq!(pool.len(), 2);

    pool.remove(&transaction(1, 1).id()).expect("it waited");
    pool.insert(transaction_of(1, 1, "U"), Mono(2))
        .expect("free again");
}

#[test]
fn i31_a_party_that_floods_the_pool_leaves_room_for_the_others() {
    let mut pool = pool(100);
    let admitted = |pool: &mut Mempool, party: u32| {
        let flood = (0..200).map(|nonce| pool.insert(transaction(party, nonce), Mono(0)));
        flood.flatten().count()
    };
    assert_eq!(admitted(&mut pool, 1), 50, "half of it");
    assert_eq!(admitted(&mut pool, 2), 25, "half of the rest");
    for party in 3..28 {
        pool.insert(transaction(party, 0), Mono(0))
            .expect("room for newcomers");
    }
    assert_eq!(pool.len(), 100);
    let full = pool.insert(transaction(99, 0), Mono(0));
    assert_eq!(full, Err(MempoolRefusal::Full));
    assert_eq!(
        pool.cut(NO_LIMIT, &nothing).len(),
        100,
        "what was admitted stays"
    );
}

#[test]
fn what_no_block_can_hold_is_refused() {
    let small = transaction(1, 1);
    let mut pool = Mempool::new(10, small.wire_len());
    pool.insert(small, Mono(0)).expect("fits exactly");
    let large = pool.insert(transaction_of(1, 2, "TT"), Mono(0));
    assert_eq!(large, Err(MempoolRefusal::TooLarge));
}

#[test]
fn parties_take_turns_and_each_keeps_its_order() {
    let pool = holding(&[(7, 9), (7, 3), (7, 1), (2, 0), (5, 4), (5, 2)]);
    let all = pool.cut(NO_LIMIT, &nothing);
    let expected = [(7, 9), (2, 0), (5, 4), (7, 3), (5, 2), (7, 1)];
    assert_eq!(numbers(&all), expected);
    let two = BatchLimits {
        count: 2,
        ..NO_LIMIT
    };
    assert_eq!(numbers(&pool.cut(two, &nothing)), expected[..2]);
    assert_eq!(pool.len(), 6, "cutting removes nothing");
}

#[test]
fn blocks_under_way_are_skipped() {
    let pool = holding(&[(1, 0), (1, 1), (2, 0), (2, 1)]);
    let under_way = [transaction(1, 0).id(), transaction(2, 0).id()];
    let batch = pool.cut(NO_LIMIT, &|tx| under_way.contains(tx));
    assert_eq!(numbers(&batch), [(1, 1), (2, 1)]);
}

#[test]
fn nobody_starves_when_there_are_more_parties_than_places_in_a_block() {
    let mut pool = pool(10_000);
    let limits = BatchLimits {
        count: 10,
        ..NO_LIMIT
    };
    for party in 0..30 {
        pool.insert(transaction(party, 0), Mono(0)).expect("room");
    }
    let mut served = BTreeSet::new();
    for round in 1..=3 {
        for executed in pool.cut(limits, &nothing) {
            served.insert(executed.party());
            pool.remove(&executed.id()).expect("it waited");
            // Whoever was served comes back at once.
            pool.insert(transaction(executed.party().0, round), Mono(round))
                .expect("room");
        }
    }
    assert_eq!(served.len(), 30);
}

#[test]
fn a_batch_has_no_more_bytes_than_it_may() {
    let large = transaction_of(1, 0, &"long".repeat(25));
    let small = [transaction(1, 1), transaction(2, 0), transaction(3, 0)];
    let mut pool = pool(100);
    pool.insert(Arc::clone(&small[1]), Mono(0)).expect("room");
    pool.insert(Arc::clone(&large), Mono(1)).expect("room");
    pool.insert(Arc::clone(&small[0]), Mono(2)).expect("room");
    pool.insert(Arc::clone(&small[2]), Mono(3)).expect("room");
    let small_len = small[0].wire_len();
    assert!(large.wire_len() > small_len);
    assert_eq!(pool.bytes(), large.wire_len() + 3 * small_len);
    let limits = BatchLimits {
        count: 10,
        bytes: 3 * small_len,
    };
    // Party 1's small one fits, but must not overtake its large one.
    assert_eq!(numbers(&pool.cut(limits, &nothing)), [(2, 0), (3, 0)]);
    let exactly = BatchLimits {
        count: 10,
        bytes: large.wire_len() + small_len,
    };
    assert_eq!(numbers(&pool.cut(exactly, &nothing)), [(2, 0), (1, 0)]);
}

#[test]
fn a_batch_is_due_by_count_by_bytes_or_by_age() {
    let max_age = Duration::from_nanos(100);
    let ready = |pool: &Mempool, now, limits| pool.ready(Mono(now), limits, max_age, &nothing);
    let pair = BatchLimits {
        count: 2,
        ..NO_LIMIT
    };
    let mut pool = pool(10);
    assert_eq!(ready(&pool, 500, pair), Readiness::Empty);
    pool.insert(transaction(1, 0), Mono(10)).expect("room");
    assert_eq!(ready(&pool, 10, pair), Readiness::At(Mono(110)));
    assert_eq!(ready(&pool, 109, pair), Readiness::At(Mono(110)));
    assert_eq!(ready(&pool, 110, pair), Readiness::Now, "by age");
    pool.insert(transaction(2, 0), Mono(20)).expect("room");
    assert_eq!(ready(&pool, 20, pair), Readiness::Now, "by count");
    assert_eq!(ready(&pool, 20, NO_LIMIT), Readiness::At(Mono(110)));
    let bytes = pool.bytes();
    let by_bytes = |bytes| BatchLimits { count: 9, bytes };
    assert_eq!(
        ready(&pool, 20, by_bytes(bytes)),
        Readiness::Now,
        "by bytes"
    );
    assert_eq!(
        ready(&pool, 20, by_bytes(bytes + 1)),
        Readiness::At(Mono(110))
    );

    let first = transaction(1, 0).id();
    let but_first = |now| pool.ready(Mono(now), pair, max_age, &|tx| *tx == first);
    assert_eq!(
        but_first(110),
        Readiness::At(Mono(120)),
        "the other one's age"
    );
    let none = pool.ready(Mono(110), pair, max_age, &|_| true);
    assert_eq!(none, Readiness::Empty);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, u64),
    Remove(u32, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5u32, 0..8u64).prop_map(|(party, nonce)| Step::Insert(party, nonce)),
        1 => (0..5u32, 0..8u64).prop_map(|(party, nonce)| Step::Remove(party, nonce)),
    ]
}

/// The pool as plain lists, in order of arrival.
type Model = Vec<(Arc<Transaction>, Mono)>;

fn play(steps: &[Step], capacity: usize) -> (Mempool, Model) {
    let mut pool = pool(capacity);
    let mut model = Model::new();
    for (now, step) in (0..).map(Mono).zip(steps) {
        match step {
            Step::Insert(party, nonce) => {
                let tx = transaction(*party, *nonce);
                let held = model.iter().filter(|(t, _)| t.party() == tx.party());
                let expected = if model.iter().any(|(t, _)| *t == tx) {
                    Err(MempoolRefusal::Duplicate)
                } else if held.count() >= capacity - model.len() {
                    Err(MempoolRefusal::Full)
                } else {
                    model.push((Arc::clone(&tx), now));
                    Ok(())
                };
                assert_eq!(pool.insert(tx, now), expected);
            }
            Step::Remove(party, nonce) => {
                let tx = transaction(*party, *nonce);
                let place = model.iter().position(|(t, _)| *t == tx);
                assert_eq!(pool.remove(&tx.id()).is_some(), place.is_some());
                place.map(|place| model.remove(place));
                assert!(!pool.contains(&tx.id()));
            }
        }
    }
    (pool, model)
}

proptest! {
    #[test]
    fn it_holds_what_was_admitted_and_not_removed(
        steps in vec(step(), 0..80),
        capacity in 1..30usize,
    ) {
        let (pool, model) = play(&steps, capacity);
        prop_assert_eq!(pool.len(), model.len());
        prop_assert_eq!(pool.is_empty(), model.is_empty());
        prop_assert!(pool.len() <= capacity);
        prop_assert_eq!(pool.oldest(), model.first().map(|(_, since)| *since));
        let bytes = model.iter().map(|(tx, _)| tx.wire_len()).sum::<usize>();
        prop_assert_eq!(pool.bytes(), bytes);
        for (tx, _) in &model {
            prop_assert!(pool.contains(&tx.id()));
        }
    }

    #[test]
    fn a_batch_is_fair_in_order_and_within_its_limits(
        steps in vec(step(), 0..80),
        count in 0..20usize,
        skip_every in 2..5u64,
    ) {
        let (pool, model) = play(&steps, 1_000);
        let skip = |tx: &TxId| tx.prefix().is_multiple_of(skip_every);
        let limits = BatchLimits { count, ..NO_LIMIT };
        let batch = pool.cut(limits, &skip);

        let mut free: BTreeMap<PartyId, Vec<Arc<Transaction>>> = BTreeMap::new();
        for (tx, _) in model.iter().filter(|(tx, _)| !skip(&tx.id())) {
            free.entry(tx.party()).or_default().push(Arc::clone(tx));
        }
        let waiting: usize = free.values().map(Vec::len).sum();
        prop_assert_eq!(batch.len(), count.min(waiting), "as full as it can be");
        let taken_of = |party: PartyId| {
            batch.iter().filter(|tx| tx.party() == party).cloned().collect::<Vec<_>>()
        };
        let most = free.keys().map(|party| taken_of(*party).len()).max().unwrap_or(0);
        for (party, line) in &free {
            let taken = taken_of(*party);
            prop_assert_eq!(&taken[..], &line[..taken.len()], "first come, first served");
            let left_behind = taken.len() < line.len();
            prop_assert!(!left_behind || taken.len() + 1 >= most, "no party gets two turns more");
        }
    }

    #[test]
    fn a_batch_is_due_exactly_when_the_rules_say_so(
        steps in vec(step(), 0..60),
        count in 1..12usize,
        kilobytes in 1..8usize,
        age in 0..40u64,
        now in 0..100u64,
        skip_every in 2..5u64,
    ) {
        let (pool, model) = play(&steps, 1_000);
        let skip = |tx: &TxId| tx.prefix().is_multiple_of(skip_every);
        let limits = BatchLimits { count, bytes: kilobytes * 128 };
        let free: Vec<_> = model.iter().filter(|(tx, _)| !skip(&tx.id())).collect();
        let bytes: usize = free.iter().map(|(tx, _)| tx.wire_len()).sum();
        let expected = match free.first() {
            None => Readiness::Empty,
            Some((_, since)) if since.0 + age <= now => Readiness::Now,
            Some(_) if free.len() >= limits.count || bytes >= limits.bytes => Readiness::Now,
            Some((_, since)) => Readiness::At(Mono(since.0 + age)),
        };
        let ready = pool.ready(Mono(now), limits, Duration::from_nanos(age), &skip);
        prop_assert_eq!(ready, expected);
    }
}
