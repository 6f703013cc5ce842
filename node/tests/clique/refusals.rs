//! What is refused, and what is only held back.

use std::time::Duration;

use consortium_node::{
    block::Block,
    clique::{
        ALLOWANCE, BATCH, Clique, CliqueMessage, HORIZON, HeadStatus, LOCATOR, Locator, SEAL,
    },
    codec,
    crypto::{Keypair, SignatureMode},
    engine::Refusal,
    quorum::Phase,
    sealed::SealedBlock,
    types::{Digest, Height, NodeId, Wall},
};

use super::{
    DELAY, PERIOD, branch,
    chain_support::{CHAIN, Net, genesis, keys},
    header, net, sealed,
};

/// Node 0 of four, alone, at a time when blocks of height 1 and 2 are due.
fn listener() -> Net<Clique> {
    let mut net = net(4);
    net.split(&[]);
    net.stop(0);
    net.run(3 * PERIOD);
    net.hosts[0].refusals.clear();
    net
}

fn hear(net: &mut Net<Clique>, block: SealedBlock) -> Option<Refusal> {
    let before = net.hosts[0].refusals.len();
    net.inject(0, 1, &CliqueMessage::NewBlock(block));
    net.hosts[0].refusals.get(before).copied()
}

#[test]
fn an_honest_block_is_taken() {
    let mut net = listener();
    for block in branch(4, &genesis(), &[1, 2]) {
        assert_eq!(hear(&mut net, block), None);
    }
    assert_eq!(net.hosts[0].height(), 2);
}

#[test]
fn a_difficulty_that_is_not_the_turns_is_refused() {
    let mut net = listener();
    for (proposer, claimed) in [(1u16, 1u64), (2, 2), (1, 3), (1, 0)] {
        let mut lie = header(4, proposer, &genesis());
        lie.extra = codec::encode(&claimed);
        assert_eq!(hear(&mut net, sealed(4, lie)), Some(Refusal::Malformed));
    }
    let mut padded = header(4, 1, &genesis());
    padded.extra.push(0);
    assert_eq!(hear(&mut net, sealed(4, padded)), Some(Refusal::Malformed));
    assert_eq!(net.hosts[0].height(), 0);
}

#[test]
fn a_seal_that_is_not_the_proposers_is_refused() {
    let mut net = listener();
    let honest = header(4, 1, &genesis());
    let block = Block::new(honest.clone(), Vec::new());
    let stranger = Keypair::from_seed([77; 32], CHAIN, SignatureMode::Lazy);
    let keys = keys(4);
    let by_stranger = SealedBlock::new(&stranger, NodeId(1), SEAL, block.clone());
    let by_other = SealedBlock::new(&keys[2], NodeId(2), SEAL, block.clone());
    let for_other_use = SealedBlock::new(&keys[1], NodeId(1), Phase(200), block);
    for wrong in [by_stranger, by_other, for_other_use] {
        assert_eq!(hear(&mut net, wrong), Some(Refusal::BadSignature));
    }
    let mut outsider = honest;
    outsider.proposer = NodeId(9);
    let outsider = SealedBlock::new(&stranger, NodeId(9), SEAL, Block::new(outsider, Vec::new()));
    assert_eq!(hear(&mut net, outsider), Some(Refusal::WrongSender));
    assert_eq!(net.hosts[0].height(), 0);
}

#[test]
fn a_seal_is_bound_to_its_block() {
    let honest = branch(4, &genesis(), &[1]).remove(0);
    let mut bytes = codec::encode(&honest);
    // The proposer's clock reading: after height, parent, transactions root and results.
    let timestamp = 8 + 32 + 32 + (8 + 32 + 32);
    bytes[timestamp] ^= 1;
    let moved: SealedBlock = codec::decode(&bytes).expect("well-formed");
    assert_ne!(moved.block().id(), honest.block().id());
    assert_eq!(hear(&mut listener(), moved), Some(Refusal::BadSignature));
}

#[test]
fn whoever_signed_recently_on_that_branch_is_refused() {
    let mut net = listener();
    let chain = branch(4, &genesis(), &[1, 2, 3]);
    for block in &chain[..2] {
        assert_eq!(hear(&mut net, block.clone()), None);
    }
    for recent in [1, 2] {
        let again = branch(4, chain[1].block(), &[recent]).remove(0);
        assert_eq!(
            hear(&mut net, again),
            Some(Refusal::WrongSender),
            "signer {recent}"
        );
    }
    assert_eq!(hear(&mut net, chain[2].clone()), None);
    let after_two_others = branch(4, chain[2].block(), &[1]).remove(0);
    net.run(PERIOD);
    assert_eq!(
        hear(&mut net, after_two_others),
        None,
        "⌊n/2⌋ blocks in between will do"
    );
}

#[test]
fn a_timestamp_before_parent_plus_period_is_refused() {
    let mut net = listener();
    let mut early = header(4, 1, &genesis());
    early.timestamp = Wall(early.timestamp.0 - 1);
    assert_eq!(hear(&mut net, sealed(4, early)), Some(Refusal::Malformed));
}

#[test]
fn a_height_that_does_not_follow_is_refused() {
    let mut net = listener();
    let mut tall = header(4, 2, &genesis());
    tall.height = Height(2);
    tall.extra = codec::encode(&2u64);
    assert_eq!(hear(&mut net, sealed(4, tall)), Some(Refusal::Malformed));
}

#[test]
fn a_block_that_the_host_refuses_stays_out_and_nothing_follows_it() {
    let mut net = listener();
    let first = header(4, 1, &genesis());
    let twice = super::chain_support::transaction(1);
    let block = Block::new(first, vec![twice.clone()]);
    let first = SealedBlock::new(&keys(4)[1], NodeId(1), SEAL, block);
    assert_eq!(hear(&mut net, first.clone()), None);
    let again = Block::new(header(4, 2, first.block()), vec![twice]);
    let second = SealedBlock::new(&keys(4)[2], NodeId(2), SEAL, again);
    let third = branch(4, second.block(), &[3]).remove(0);
    assert_eq!(hear(&mut net, second), Some(Refusal::BadBlock));
    assert_eq!(hear(&mut net, third), None, "an orphan");
    assert_eq!(net.hosts[0].height(), 1);
}

#[test]
fn a_block_from_the_future_is_held_until_it_is_due_and_a_far_one_refused() {
    let mut net = net(4);
    net.split(&[]);
    net.stop(1);
    net.run(PERIOD / 2);
    let ahead = |by: Duration| {
        let mut future = header(4, 2, &genesis());
        future.timestamp = Wall(future.timestamp.0 + by.as_nanos() as u64);
        sealed(4, future)
    };
    let far = ahead(HORIZON);
    net.inject(3, 2, &CliqueMessage::NewBlock(far));
    assert_eq!(net.hosts[3].refusals, [Refusal::TooFar]);
    let near = ahead(Duration::ZERO);
    net.inject(3, 2, &CliqueMessage::NewBlock(near.clone()));
    assert_eq!(net.hosts[3].height(), 0);
    net.run((PERIOD / 2).saturating_sub(ALLOWANCE + DELAY));
    assert_eq!(net.hosts[3].height(), 0, "not yet");
    net.run(2 * DELAY);
    assert_eq!(net.hosts[3].head().id(), near.block().id(), "now");
}

#[test]
fn a_clock_that_runs_behind_delays_blocks_and_loses_none() {
    let mut net = net(4);
    net.hosts[3].skew_ns = -400_000_000;
    net.run(30 * PERIOD);
    assert!(net.hosts.iter().all(|host| host.refusals.is_empty()));
    assert!(net.hosts[0].height() >= 20);
    net.hosts[3].skew_ns = 0;
    net.run(5 * PERIOD);
    assert!(net.agree(&[0, 1, 2, 3]));
}

#[test]
fn orphans_wait_for_their_parents_in_any_order() {
    let mut net = listener();
    let chain = branch(4, &genesis(), &[1, 2, 3]);
    for block in chain.iter().rev() {
        assert_eq!(hear(&mut net, block.clone()), None);
    }
    assert_eq!(net.hosts[0].chain[3].id(), chain[2].block().id());
    assert_eq!(net.count("FETCH"), 1, "one question at a time");
}

#[test]
fn oversized_and_foreign_questions_are_refused() {
    let mut net = listener();
    let target = genesis().id();
    let locator = |count| Locator {
        target,
        have: vec![target; count],
    };
    let status = HeadStatus {
        head: Digest([5; 32]),
        height: Height(900),
        total_difficulty: 1800,
    };
    let too_many = vec![branch(4, &genesis(), &[1]).remove(0); BATCH + 1];
    for (from, message, reason) in [
        (
            1,
            CliqueMessage::Fetch(locator(LOCATOR + 1)),
            Refusal::Malformed,
        ),
        (9, CliqueMessage::Fetch(locator(1)), Refusal::WrongSender),
        (9, CliqueMessage::Status(status), Refusal::WrongSender),
        (1, CliqueMessage::Body(too_many), Refusal::Malformed),
    ] {
        net.inject(0, from, &message);
        assert_eq!(net.hosts[0].refusals.pop(), Some(reason));
    }
    assert_eq!(net.hosts[0].height(), 0);
}
