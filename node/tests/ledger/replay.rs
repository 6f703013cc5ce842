//! Laws of the replay window (R2, R5, I5).

use std::collections::BTreeSet;

use consortium_node::{
    codec,
    ledger::{
        State,
        replay::{ReplayFault, ReplayWindow, WINDOW},
    },
    types::PartyId,
};
use proptest::{collection::vec, prelude::*};

/// Numbers that come nearly in turn, from everywhere in the window, and in leaps.
fn numbers() -> impl Strategy<Value = Vec<u64>> {
    let step = prop_oneof![
        8 => -3..4i64,
        3 => -200..200i64,
        2 => -(WINDOW.cast_signed()) - 5..WINDOW.cast_signed() + 5,
        1 => 0..3 * WINDOW.cast_signed(),
    ];
    vec(step, 1..150).prop_map(|steps| {
        let walk = steps.into_iter().scan(WINDOW, |at, step| {
            *at = at.saturating_add_signed(step);
            Some(*at)
        });
        walk.collect()
    })
}

proptest! {
    #[test]
    fn r2_each_number_executes_at_most_once_and_within_the_window(numbers in numbers()) {
        let mut window = ReplayWindow::default();
        let mut executed = BTreeSet::new();
        for nonce in numbers {
            let highest = executed.last().copied().unwrap_or(0);
            let fresh = !executed.contains(&nonce) && nonce + WINDOW > highest;
            prop_assert_eq!(window.check(nonce).is_ok(), fresh, "number {}", nonce);
            let before = window.clone();
            prop_assert_eq!(window.insert(nonce).is_ok(), fresh);
            if fresh {
                executed.insert(nonce);
            } else {
                prop_assert_eq!(&window, &before, "a refusal changes nothing");
            }
            let bytes = codec::encode(&window);
            prop_assert!(bytes.len() <= 12 + (WINDOW / 8) as usize);
            let back: ReplayWindow = codec::decode(&bytes).expect("canonical");
            prop_assert_eq!(&back, &window);
        }
    }

    #[test]
    fn one_set_of_numbers_has_one_encoding(
        mut numbers in proptest::collection::btree_set(0..WINDOW, 1..60)
            .prop_map(|set| set.into_iter().collect::<Vec<_>>()),
        seed in any::<u64>(),
    ) {
        let window = |numbers: &[u64]| {
            let mut window = ReplayWindow::default();
            for nonce in numbers {
                window.insert(*nonce).expect("distinct and within the window");
            }
            codec::encode(&window)
        };
        let ascending = window(&numbers);
        numbers.sort_by_key(|n| n.wrapping_mul(seed | 1).rotate_left(17));
        prop_assert_eq!(window(&numbers), ascending);
    }
}

#[test]
fn numbers_in_turn_take_no_room() {
    let mut window = ReplayWindow::default();
    for nonce in 0..10_000 {
        window.insert(nonce).expect("in turn");
        assert_eq!(window.low(), nonce + 1);
    }
    assert_eq!(codec::encode(&window).len(), 8 + 4);
}

#[test]
fn a_lost_number_is_given_up_when_the_window_passes_it() {
    let mut window = ReplayWindow::default();
    for nonce in 1..WINDOW {
        window.insert(nonce).expect("above the lost number 0");
    }
    assert_eq!(window.check(0), Ok(()));
    window.insert(WINDOW).expect("the next one");
    let low = WINDOW + 1;
    assert_eq!(window.check(0), Err(ReplayFault::Spent { nonce: 0, low }));
}

#[test]
fn the_greatest_numbers_do_not_overflow() {
    let mut window = ReplayWindow::default();
    let nonce = u64::MAX;
    assert_eq!(window.insert(nonce), Err(ReplayFault::Unusable { nonce }));
    let top = u64::MAX - 1;
    window.insert(top).expect("usable");
    assert_eq!(window.check(top), Err(ReplayFault::Executed { nonce: top }));
    for nonce in top - (WINDOW - 1)..top {
        window.insert(nonce).expect("in the window");
    }
    assert_eq!(window.low(), u64::MAX);
    assert!(window.check(top).is_err() && window.check(u64::MAX).is_err());
    let back: ReplayWindow = codec::decode(&codec::encode(&window)).expect("canonical");
    assert_eq!(back, window);
}

#[test]
fn encodings_that_are_not_canonical_are_refused() {
    let refused = |low: u64, words: Vec<u64>| {
        codec::decode::<ReplayWindow>(&codec::encode(&(low, words))).is_err()
    };
    assert!(!refused(5, vec![2]), "a good one");
    assert!(refused(5, vec![2, 0]), "a word of zeros at the end");
    assert!(refused(5, vec![3]), "low itself was executed");
    assert!(refused(5, vec![2; 65]), "wider than the window");
    assert!(
        refused(u64::MAX - 3, vec![8]),
        "a number that cannot be used"
    );
}

#[test]
fn each_party_has_its_own_window_in_the_state() {
    let mut state = State::new();
    let mut window = ReplayWindow::load(&state, PartyId(1));
    assert_eq!(window, ReplayWindow::default());
    window.insert(4).expect("fresh");
    window.store(&mut state, PartyId(1));
    assert_eq!(ReplayWindow::load(&state, PartyId(1)), window);
    assert_eq!(
        ReplayWindow::load(&state, PartyId(2)),
        ReplayWindow::default()
    );
}
