//! The chain: appending, finality, rolling back, the reply cache.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Finality},
    codec,
    contracts::refrigerated_transportation as shipment,
    ledger::{Ledger, State},
    transaction::{ContractId, Outcome, Transaction},
    types::Height,
};
use proptest::{collection::vec, prelude::*};

use crate::fixture::{CARRIER, Consortium, DEVICE, OWNER, READER, empty_ledger, next_block, tx_at};

fn bytes_of(ledger: &Ledger) -> u64 {
    let entry_bytes = ledger.entries().map(|entry| {
        let proof = entry.proof.as_ref();
        codec::encode(&*entry.block).len()
            + proof.map_or(0, |proof| codec::encode(&**proof).len())
            + codec::encode(&*entry.receipts).len()
    });
    entry_bytes.sum::<usize>() as u64
}

fn outcome(ledger: &Ledger, tx: &Transaction) -> Outcome {
    let (_, receipt) = ledger.receipt(&tx.id()).expect("it was ordered");
    receipt.outcome.clone()
}

#[test]
fn genesis_holds_the_state_and_is_final() {
    let ledger = empty_ledger();
    assert_eq!(ledger.height(), Height(0));
    assert_eq!(ledger.final_height(), Height(0));
    assert!(Arc::ptr_eq(ledger.genesis(), ledger.head()));
    assert_eq!(
        *ledger.genesis().block,
        *Block::genesis(ledger.state().root())
    );
    assert_eq!(ledger.storage_bytes(), bytes_of(&ledger));
}

#[test]
fn blocks_join_are_found_and_are_counted() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    assert_eq!(ledger.height(), Height(4));
    assert_eq!(ledger.final_height(), Height(4));
    assert_eq!(ledger.storage_bytes(), bytes_of(&ledger));
    for (height, entry) in (0..).map(Height).zip(ledger.entries()) {
        assert_eq!(entry.height(), height);
        assert_eq!(ledger.contains_block(&entry.block.id()), Some(height));
        assert_eq!(ledger.results(height), Some(entry.results));
    }
    assert_eq!(ledger.entries_from(Height(3)).count(), 2);
    assert_eq!(ledger.entries_from(Height(u64::MAX)).count(), 0);
    assert_eq!(ledger.results(Height(5)), None);
    let tx = tx_at(&ledger, 2, 1);
    let (height, receipt) = ledger.receipt(&tx).expect("ordered");
    assert_eq!((height, receipt.tx), (Height(2), tx));
}

#[test]
fn i12_two_members_that_append_the_same_blocks_have_the_same_results() {
    let (one, other) = (Consortium::new(), Consortium::new());
    let (one, other) = (one.voyage(), other.voyage());
    for (a, b) in one.entries().zip(other.entries()) {
        assert_eq!(a.block.id(), b.block.id());
        assert_eq!(a.results, b.results);
    }
    assert_eq!(one.state(), other.state());
}

#[test]
fn i5_a_number_executes_once_whatever_the_committee_orders() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let created = consortium.create(0);
    let reading = consortium.reading(&created, 5, 80);
    let same_number = consortium.reading(&created, 5, 999);
    assert!(!ledger.executed(DEVICE, 5));
    let first = vec![Arc::clone(&created), Arc::clone(&reading)];
    consortium.append(&mut ledger, first);
    assert!(ledger.executed(DEVICE, 5) && !ledger.executed(DEVICE, 4));
    let once = ledger.state().root();

    let again = vec![Arc::clone(&reading), Arc::clone(&same_number), created];
    consortium.append(&mut ledger, again);
    for receipt in ledger.head().receipts.iter() {
        assert!(matches!(receipt.outcome, Outcome::Void(_)), "{receipt:?}");
        assert_eq!(receipt.transition, None);
    }
    assert_eq!(
        ledger.state().root(),
        once,
        "the second time changes nothing"
    );
    assert_eq!(
        outcome(&ledger, &reading),
        Outcome::Ok,
        "r5: the first answer"
    );
    assert!(matches!(outcome(&ledger, &same_number), Outcome::Void(_)));
    ledger.roll_back();
    assert_eq!(outcome(&ledger, &reading), Outcome::Ok);
    assert!(ledger.receipt(&same_number.id()).is_none());
}

#[test]
fn a_revert_consumes_the_number_and_nothing_else() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let created = consortium.create(0);
    let contract = ContractId(created.id());
    let hot = consortium.reading(&created, 0, 101);
    consortium.append(&mut ledger, vec![created.clone(), hot]);
    let before = shipment::read(ledger.state(), contract).expect("created");
    assert_eq!(before.state, shipment::StateType::OutOfCompliance);

    let late = consortium.reading(&created, 1, 50);
    consortium.append(&mut ledger, vec![Arc::clone(&late)]);
    let reason = "the shipment is out of compliance".to_owned();
    assert_eq!(outcome(&ledger, &late), Outcome::Reverted(reason));
    assert_eq!(shipment::read(ledger.state(), contract), Some(before));
    assert!(ledger.executed(DEVICE, 1));
}

#[test]
fn i20_a_reader_and_a_stranger_change_nothing() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let empty = ledger.state().root();
    let call = consortium.create(0).call().clone();
    let reader = consortium.sign(READER, 0, call.clone());
    consortium.append(&mut ledger, vec![Arc::clone(&reader)]);
    assert!(matches!(outcome(&ledger, &reader), Outcome::Void(_)));
    assert_eq!(ledger.state().root(), empty);

    let stranger = Consortium::new().stranger(call);
    consortium.append(&mut ledger, vec![Arc::clone(&stranger)]);
    assert!(matches!(outcome(&ledger, &stranger), Outcome::Void(_)));
    assert_eq!(ledger.state().root(), empty);
}

#[test]
fn finality_may_come_after_the_block_and_comes_in_order() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    for nonce in 0..4 {
        consortium.append(&mut ledger, vec![consortium.create(nonce)]);
    }
    for height in (1..=3).map(Height) {
        let block = Arc::clone(&ledger.entry(height).expect("there").block);
        let entry = ledger.finalise(height, consortium.finality(&block));
        assert!(entry.proof.is_some());
        assert_eq!(ledger.final_height(), height);
        assert_eq!(ledger.storage_bytes(), bytes_of(&ledger));
    }
    assert_eq!(ledger.height(), Height(4));
    assert!(ledger.entry(Height(4)).expect("there").proof.is_none());
}

#[test]
fn snapshots_are_kept_for_what_may_roll_back_and_for_what_may_be_proven() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let mut roots = vec![ledger.state().root()];
    for nonce in 0..3 {
        consortium.append_final(&mut ledger, vec![consortium.create(nonce)]);
        roots.push(ledger.state().root());
    }
    for nonce in 3..5 {
        consortium.append(&mut ledger, vec![consortium.create(nonce)]);
        roots.push(ledger.state().root());
    }
    let kept: Vec<_> = (0..=6)
        .map(|height| ledger.state_at(Height(height)).map(State::root))
        .collect();
    let expected: Vec<_> = (0..=6)
        .map(|height| (2..=5).contains(&height).then(|| roots[height as usize]))
        .collect();
    assert_eq!(
        kept, expected,
        "block 3 is final and carries the results of 2"
    );

    ledger.forget_snapshots_below(Height(100));
    assert_eq!(ledger.state_at(Height(4)), None);
    assert_eq!(ledger.state_at(Height(5)), Some(ledger.state()));
}

#[test]
#[should_panic(expected = "what is final stays")]
fn what_is_final_is_never_rolled_back() {
    let consortium = Consortium::new();
    consortium.voyage().roll_back();
}

#[test]
#[should_panic(expected = "what is final stays")]
fn genesis_is_never_rolled_back() {
    empty_ledger().roll_back();
}

#[test]
#[should_panic(expected = "was forgotten")]
fn nothing_is_rolled_back_to_a_state_that_was_forgotten() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    consortium.append(&mut ledger, Vec::new());
    ledger.forget_snapshots_below(Height(1));
    ledger.roll_back();
}

#[test]
#[should_panic(expected = "a block joins on its parent")]
fn i2_a_block_joins_only_on_its_parent() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let other = next_block(&ledger, vec![consortium.create(1)]);
    consortium.append(&mut ledger, Vec::new());
    let mut header = other.header().clone();
    header.height = Height(2);
    header.parent = other.id();
    ledger.append(Block::new(header, Vec::new()), None, &consortium.executor);
}

#[test]
#[should_panic(expected = "a block joins at the next height")]
fn i3_a_block_joins_only_at_the_next_height() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let block = next_block(&ledger, Vec::new());
    ledger.append(Arc::clone(&block), None, &consortium.executor);
    ledger.append(block, None, &consortium.executor);
}

#[test]
#[should_panic(expected = "finality comes in order of height")]
fn a_block_on_one_that_is_not_final_is_not_final() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    consortium.append(&mut ledger, Vec::new());
    let block = next_block(&ledger, Vec::new());
    ledger.append(
        block,
        Some(Arc::new(Finality::Trusted)),
        &consortium.executor,
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_branch_that_is_given_up_leaves_no_trace(
        kept in vec(vec((0..3u32, 0..12u64), 0..4), 0..5),
        given_up in vec(vec((0..3u32, 0..12u64), 0..4), 1..5),
    ) {
        let consortium = Consortium::new();
        let parties = [OWNER, DEVICE, CARRIER];
        let call = consortium.create(0).call().clone();
        let transactions = |block: &[(u32, u64)]| {
            let sign = |(party, nonce): &(u32, u64)| {
                consortium.sign(parties[*party as usize], *nonce, call.clone())
            };
            block.iter().map(sign).collect::<Vec<_>>()
        };
        let mut ledger = empty_ledger();
        for block in &kept {
            consortium.append(&mut ledger, transactions(block));
        }
        let before = ledger.clone();
        for block in &given_up {
            consortium.append(&mut ledger, transactions(block));
            prop_assert_eq!(ledger.storage_bytes(), bytes_of(&ledger));
        }
        for _ in &given_up {
            ledger.roll_back();
        }
        prop_assert_eq!(ledger.height(), before.height());
        prop_assert_eq!(ledger.state(), before.state());
        prop_assert_eq!(ledger.storage_bytes(), before.storage_bytes());
        for block in kept.iter().chain(&given_up) {
            for transaction in transactions(block) {
                prop_assert_eq!(
                    ledger.receipt(&transaction.id()),
                    before.receipt(&transaction.id())
                );
            }
        }
        prop_assert_eq!(format!("{ledger:?}"), format!("{before:?}"), "not even in an index");
    }
}
