//! Every reason to refuse a block.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Header},
    codec,
    crypto::SIGNATURE_LEN,
    engine::BlockFault,
    transaction::Transaction,
    types::{Digest, Height, Wall},
    validator::EXTRA_BYTES,
};

use crate::{
    chain::Chain,
    scripted::{Scripted, scripted},
    stage::{ALICE, BOB, EPOCH, READER, Stage, order, party_key, variant_of},
};

/// A validator whose chain has one block with Alice's order 0, and that chain.
fn stage() -> (Stage<Scripted>, Chain) {
    let mut stage = scripted(&Scripted::default());
    let mut chain = Chain::new();
    let first = chain.grow(0, &[&order(ALICE, 0)]);
    stage.follow(&[&first]);
    (stage, chain)
}

/// The verdict on the next block with its header changed.
fn verdict_with(change: impl FnOnce(&mut Header)) -> Result<(), BlockFault> {
    let (mut stage, chain) = stage();
    let mut header = chain.header(0);
    change(&mut header);
    stage.verdict(&Block::new(header, vec![order(BOB, 0)]))
}

/// The verdict on the next block with these transactions.
fn verdict_on(transactions: Vec<Arc<Transaction>>) -> Result<(), BlockFault> {
    let (mut stage, chain) = stage();
    stage.verdict(&Block::new(chain.header(0), transactions))
}

#[test]
fn an_honest_block_is_good() {
    assert_eq!(verdict_with(|_| ()), Ok(()));
    assert_eq!(verdict_on(Vec::new()), Ok(()));
}

#[test]
fn its_parent_must_be_known() {
    let verdict = verdict_with(|header| header.parent = Digest([9; 32]));
    assert_eq!(verdict, Err(BlockFault::UnknownParent));
}

#[test]
fn a_refused_block_is_no_parent() {
    let (mut stage, mut chain) = stage();
    let bad = chain.grow(0, &[&order(READER, 0)]);
    let child = chain.grow(1, &[]);
    assert_eq!(stage.verdict(&bad), Err(BlockFault::Unauthorised));
    assert_eq!(stage.verdict(&child), Err(BlockFault::UnknownParent));
}

#[test]
fn its_height_must_be_the_next() {
    for height in [0, 1, 3, u64::MAX] {
        let verdict = verdict_with(|header| header.height = Height(height));
        assert_eq!(verdict, Err(BlockFault::WrongHeight), "{height}");
    }
}

#[test]
fn it_must_be_later_than_its_parent_and_not_too_far_ahead_r42() {
    let parent = Chain::new().header(0).timestamp;
    let stamped = |at| verdict_with(|header| header.timestamp = Wall(at));
    assert_eq!(stamped(parent.0), Err(BlockFault::Timestamp));
    assert_eq!(stamped(parent.0 + 1), Ok(()));
    let tolerated = EPOCH + 200_000_000;
    assert_eq!(stamped(tolerated), Ok(()));
    assert_eq!(stamped(tolerated + 1), Err(BlockFault::Timestamp));
    assert_eq!(stamped(u64::MAX), Err(BlockFault::Timestamp));
}

#[test]
fn it_must_fit_into_a_batch() {
    let orders = |count: u64| (1..=count).map(|nonce| order(ALICE, nonce)).collect();
    assert_eq!(verdict_on(orders(3)), Ok(()));
    assert_eq!(verdict_on(orders(4)), Err(BlockFault::TooLarge));
}

#[test]
fn what_a_protocol_adds_to_a_header_is_bounded() {
    let with_extra = |bytes| verdict_with(|header| header.extra = vec![0; bytes]);
    assert_eq!(with_extra(EXTRA_BYTES), Ok(()));
    assert_eq!(with_extra(EXTRA_BYTES + 1), Err(BlockFault::TooLarge));
}

#[test]
fn its_transactions_must_be_those_of_the_header() {
    let (mut stage, chain) = stage();
    let honest = Block::new(chain.header(0), vec![order(BOB, 0)]);
    let swapped = (honest.header().clone(), vec![order(BOB, 1)]);
    let swapped: Block = codec::decode(&codec::encode(&swapped)).expect("well-formed");
    assert_eq!(swapped.id(), honest.id());
    let verdict = stage.verdict(&Arc::new(swapped));
    assert_eq!(verdict, Err(BlockFault::WrongTransactions));
}

#[test]
fn everyone_in_it_must_be_allowed_to_write() {
    let call = order(ALICE, 1).call().clone();
    let stranger = Transaction::sign(
        &party_key(ALICE),
        consortium_node::types::PartyId(99),
        0,
        call,
    );
    let call = stranger.call().clone();
    let impostor = Transaction::sign(&party_key(BOB), ALICE, 1, call);
    for bad in [order(READER, 0), stranger, impostor] {
        let verdict = verdict_on(vec![order(BOB, 0), bad]);
        assert_eq!(verdict, Err(BlockFault::Unauthorised));
    }
}

#[test]
fn a_signature_is_checked_although_the_order_waits_here() {
    let (mut stage, chain) = stage();
    let honest = order(BOB, 0);
    stage.relay(1, &honest);
    let mut bytes = codec::encode(&*honest);
    let last = bytes.len() - SIGNATURE_LEN;
    bytes[last..].fill(7);
    let forged: Transaction = codec::decode(&bytes).expect("well-formed");
    assert_eq!(
        forged.id(),
        honest.id(),
        "an id does not cover the signature"
    );
    let block = Block::new(chain.header(0), vec![Arc::new(forged)]);
    assert_eq!(stage.verdict(&block), Err(BlockFault::Unauthorised));
    let block = Block::new(chain.header(0), vec![honest]);
    assert_eq!(stage.verdict(&block), Ok(()));
}

#[test]
fn nothing_in_it_was_ordered_before_r2() {
    let again = |tx| verdict_on(vec![order(BOB, 0), tx]);
    assert_eq!(
        again(order(ALICE, 0)),
        Err(BlockFault::Duplicate),
        "on the chain"
    );
    assert_eq!(
        again(order(BOB, 0)),
        Err(BlockFault::Duplicate),
        "twice in it"
    );
    let number = variant_of(crate::stage::NORTH, BOB, 0, 5);
    assert_eq!(again(number), Err(BlockFault::Duplicate), "the same number");
    assert_eq!(
        again(order(ALICE, u64::MAX)),
        Err(BlockFault::Duplicate),
        "unusable"
    );
}

#[test]
fn nothing_in_it_was_ordered_by_a_block_under_way_r2() {
    let (mut stage, mut chain) = stage();
    let second = chain.grow(0, &[&order(BOB, 0)]);
    let third = chain.grow(0, &[&order(BOB, 1)]);
    assert_eq!(stage.verdict(&second), Ok(()));
    assert_eq!(stage.verdict(&third), Ok(()));
    let mut header = chain.header(0);
    header.results = third.header().results;
    header.results.height = Height(3);
    for repeated in [
        order(BOB, 0),
        order(BOB, 1),
        variant_of(crate::stage::NORTH, BOB, 1, 5),
    ] {
        let block = Block::new(header.clone(), vec![repeated]);
        assert_eq!(stage.verdict(&block), Err(BlockFault::Duplicate));
    }
    let block = Block::new(header, vec![order(BOB, 2)]);
    assert_eq!(stage.verdict(&block), Ok(()));
}

#[test]
fn a_branch_may_order_what_another_branch_has_ordered() {
    let (mut stage, _) = stage();
    let other = Chain::new().grow(1, &[&order(ALICE, 0), &order(BOB, 0)]);
    assert_eq!(stage.verdict(&other), Ok(()));
}

#[test]
fn a_number_that_the_block_itself_makes_too_old_is_not_in_it() {
    let verdict = verdict_on(vec![order(ALICE, 10_000), order(ALICE, 1)]);
    assert_eq!(verdict, Err(BlockFault::Duplicate));
    let verdict = verdict_on(vec![order(ALICE, 1), order(ALICE, 10_000)]);
    assert_eq!(verdict, Ok(()));
}

#[test]
fn its_results_must_be_ours_recent_and_of_an_ancestor() {
    let results = |change: fn(&mut consortium_node::block::Results)| {
        verdict_with(|header| change(&mut header.results))
    };
    let wrong = Err(BlockFault::WrongResults);
    assert_eq!(results(|r| r.state_root = Digest([1; 32])), wrong);
    assert_eq!(results(|r| r.receipts_root = Digest([1; 32])), wrong);
    assert_eq!(results(|r| r.height = Height(2)), wrong, "its own height");
    assert_eq!(results(|r| r.height = Height(u64::MAX)), wrong);
    assert_eq!(
        results(|r| r.height = Height(0)),
        wrong,
        "one behind is allowed, no more"
    );
}
