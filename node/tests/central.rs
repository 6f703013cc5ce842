//! The trusted database: one fsync and no votes, replicas that follow, gaps that close.

mod chain_support;

use std::{sync::Arc, time::Duration};

use chain_support::{CHAIN, Net, committee, genesis, keys, transaction};
use consortium_node::{
    block::{Block, Finality, Header, Results},
    central::{ANNOUNCED, BATCH, Central, CentralMessage, KEEP, POLL, RECORDS},
    crypto::{Keypair, SignatureMode},
    engine::{Engine, FaultModel, Forks, Message, Refusal, Relay, ReplyRule, Tale},
    quorum::{Certificate, Phase},
    sealed::SealedBlock,
    types::{Digest, Height, NodeId, View, Wall},
};

const DELAY: Duration = Duration::from_millis(10);
const FSYNC: Duration = Duration::from_millis(2);

fn net(n: usize) -> Net<Central> {
    let mut net = Net::new(n, DELAY, |committee, me, key, genesis| {
        Central::new(Arc::clone(committee), me, key, genesis)
    });
    net.fsync = FSYNC;
    net
}

/// A block of `proposer` on `parent`, sealed with that key.
fn block(key: &Arc<Keypair>, proposer: u16, parent: &Block, nonce: u64) -> SealedBlock {
    let header = Header {
        height: parent.header().height.next(),
        parent: parent.id(),
        transactions_root: Digest::ZERO,
        results: Results::default(),
        timestamp: Wall(parent.header().timestamp.0 + 1),
        proposer: NodeId(proposer),
        extra: Vec::new(),
    };
    let block = Block::new(header, vec![transaction(nonce)]);
    SealedBlock::new(key, NodeId(proposer), ANNOUNCED, block)
}

#[test]
fn claims_no_more_than_trust() {
    let net = net(4);
    assert_eq!(Central::FAULTS, FaultModel::Trusted);
    for (i, host) in net.hosts.iter().enumerate() {
        assert_eq!(host.engine.reply_rule(), ReplyRule::One);
        assert_eq!(host.engine.relay(), Relay::Leader);
        assert_eq!(host.engine.answers(), i == 0, "only the database answers");
        assert_eq!(host.engine.status().leader, NodeId(0));
    }
}

#[test]
fn the_database_answers_after_one_fsync_and_replicas_follow_one_delay_later() {
    let mut net = net(4);
    net.run(Duration::from_millis(5));
    let submitted = net.now_ns;
    net.submit(&[0], 1);
    net.run(Duration::from_millis(100));
    let after = |node: usize| Duration::from_nanos(net.hosts[node].reached_ns[&1] - submitted);
    assert_eq!(
        after(0),
        FSYNC,
        "a request and a reply around it make 2δ + fsync"
    );
    for replica in 1..4 {
        assert_eq!(after(replica), FSYNC + DELAY);
    }
    assert_eq!(net.count("BLOCK"), 3, "one push to each replica");
    assert!(net.agree(&[0, 1, 2, 3]));
}

#[test]
fn what_arrives_during_an_fsync_shares_the_next_block() {
    let mut net = net(2);
    net.run(DELAY);
    for nonce in 0..10 {
        net.submit(&[0], nonce);
    }
    net.run(Duration::from_millis(100));
    let sizes: Vec<_> = net.hosts[0].chain[1..]
        .iter()
        .map(|block| block.transactions().len())
        .collect();
    assert_eq!(sizes, [1, 9], "the first alone, the rest together");
    assert_eq!(net.hosts[0].finals, 2);
}

#[test]
fn makes_no_empty_blocks() {
    let mut net = net(4);
    net.run(Duration::from_secs(10));
    assert_eq!((net.hosts[0].height(), net.count("BLOCK")), (0, 0));
}

#[test]
fn a_replica_that_was_cut_off_catches_up_in_bounded_batches() {
    let mut net = net(3);
    net.split(&[&[0, 1], &[2]]);
    let blocks = BATCH as u64 + 10;
    for nonce in 0..blocks {
        net.submit(&[0], nonce);
        net.run(Duration::from_millis(5));
    }
    assert_eq!(
        (net.hosts[2].height(), net.hosts[1].height()),
        (0, blocks - 2)
    );
    net.heal();
    net.run(2 * POLL);
    assert_eq!(net.hosts[2].height(), blocks, "silence made it ask");
    assert_eq!(net.count("BLOCKS"), 2, "one full answer and the rest");
    assert!(net.agree(&[0, 1, 2]));
}

#[test]
fn a_gap_is_fetched_as_soon_as_it_shows() {
    let mut net = net(3);
    net.submit(&[0], 1);
    net.run(Duration::from_millis(50));
    net.split(&[&[0, 1], &[2]]);
    net.submit(&[0], 2);
    net.run(Duration::from_millis(50));
    net.heal();
    net.submit(&[0], 3);
    let submitted = net.now_ns;
    net.run(Duration::from_millis(50));
    let took = Duration::from_nanos(net.hosts[2].reached_ns[&3] - submitted);
    assert_eq!(took, FSYNC + 3 * DELAY, "push, question, answer");
}

#[test]
fn without_the_database_nothing_moves_and_nothing_is_lost() {
    let mut net = net(4);
    net.submit(&[0], 1);
    net.run(Duration::from_millis(50));
    net.stop(0);
    net.submit(&[1, 2, 3], 2);
    net.run(Duration::from_secs(20));
    assert!(
        net.hosts.iter().all(|host| host.height() == 1),
        "no replica takes over"
    );
    net.resume(0);
    net.submit(&[0], 2);
    net.run(Duration::from_millis(50));
    assert!(net.hosts.iter().all(|host| host.height() == 2));
}

#[test]
fn a_replica_takes_blocks_from_nobody_but_the_database() {
    let mut net = net(4);
    let keys = keys(4);
    let stranger = Keypair::from_seed([77; 32], CHAIN, SignatureMode::Lazy);
    let forged = block(&stranger, 0, &genesis(), 1);
    let usurped = block(&keys[2], 2, &genesis(), 1);
    let outsider = block(&stranger, 9, &genesis(), 1);
    for (wrong, reason) in [
        (forged, Refusal::BadSignature),
        (usurped, Refusal::WrongSender),
        (outsider, Refusal::WrongSender),
    ] {
        net.inject(1, 0, &CentralMessage::Block(wrong));
        assert_eq!(net.hosts[1].refusals.pop(), Some(reason));
    }
    net.inject(1, 2, &CentralMessage::Fetch(Height(1)));
    assert_eq!(
        net.hosts[1].refusals.pop(),
        Some(Refusal::WrongSender),
        "replicas hand out nothing"
    );
    let many = vec![block(&keys[0], 0, &genesis(), 1); BATCH + 1];
    net.inject(
        1,
        0,
        &CentralMessage::Blocks {
            list: many,
            more: false,
        },
    );
    assert_eq!(
        net.hosts[1].refusals.pop(),
        Some(Refusal::Malformed),
        "too many at once"
    );
    assert_eq!(net.hosts[1].height(), 0);
}

#[test]
fn two_announcements_for_one_height_are_evidence_against_the_database() {
    let mut net = net(3);
    let keys = keys(3);
    let honest = CentralMessage::Block(block(&keys[0], 0, &genesis(), 1));
    let mut forks = Forks::new();
    let lie = honest
        .conflicting(&keys[0], NodeId(0), &mut forks)
        .expect("the database can lie about its own block");
    assert!(
        honest
            .conflicting(&keys[1], NodeId(1), &mut Forks::new())
            .is_none()
    );
    assert_eq!((forks.len(), honest.slot()), (1, lie.slot()));
    net.inject(1, 0, &honest);
    net.inject(1, 0, &honest);
    net.inject(1, 0, &lie);
    net.run(DELAY);
    let slot = honest.slot();
    assert_eq!(slot.view, View(0));
    assert_eq!(
        net.hosts[1].tales,
        [Tale::Equivocation {
            by: NodeId(0),
            slot
        }]
    );
    assert_eq!(
        net.hosts[1].refusals,
        [Refusal::Conflicting],
        "the first word stands"
    );
    assert_eq!(net.hosts[1].height(), 1);
}

#[test]
fn a_committee_of_one_is_a_plain_database() {
    assert_eq!(committee(1).n(), 1);
    let mut net = net(1);
    net.submit(&[0], 1);
    net.run(Duration::from_millis(10));
    assert_eq!((net.hosts[0].height(), net.sent.len()), (1, 0));
}

#[test]
fn what_makes_a_block_final_is_the_word_of_the_database_and_nobody_elses() {
    let (keys, committee) = (keys(3), committee(3));
    let certificate = |sealed: &SealedBlock| {
        let word = Certificate::collect([sealed.seal()]).expect("one signature");
        Finality::Certificate(word)
    };
    let honest = block(&keys[0], 0, &genesis(), 1);
    let database = Central::new(
        Arc::clone(&committee),
        NodeId(1),
        Arc::clone(&keys[1]),
        &genesis(),
    );
    let proves = |block: &Block, proof: &Finality| database.proves(&committee, block, proof);
    assert!(proves(honest.block(), &certificate(&honest)));
    let other = block(&keys[0], 0, &genesis(), 2);
    assert!(
        !proves(other.block(), &certificate(&honest)),
        "another block"
    );
    let replica = block(&keys[1], 1, &genesis(), 1);
    assert!(
        !proves(replica.block(), &certificate(&replica)),
        "a replica's word"
    );
    let in_its_name = block(&keys[1], 0, &genesis(), 1);
    assert!(
        !proves(in_its_name.block(), &certificate(&in_its_name)),
        "a forgery"
    );
    let elsewhere = SealedBlock::new(&keys[0], NodeId(0), Phase(9), honest.block().clone());
    assert!(
        !proves(honest.block(), &certificate(&elsewhere)),
        "another phase"
    );
    assert!(
        !proves(honest.block(), &Finality::Trusted),
        "no word at all"
    );
}

#[test]
fn the_log_holds_what_the_chain_may_lack_and_little_more() {
    let mut net = net(2);
    for nonce in 0..10 * RECORDS as u64 {
        net.submit(&[0], nonce);
        net.run(Duration::from_millis(5));
        assert!(net.hosts[0].log.len() <= RECORDS);
    }
    assert!(net.hosts[0].height() > 3 * RECORDS as u64);
    assert!(net.hosts[1].log.is_empty(), "a replica can ask again");
}

#[test]
fn a_replica_that_lacks_more_than_the_database_keeps_has_its_host_fetch_it() {
    let mut net = net(3);
    net.split(&[&[0, 1], &[2]]);
    for nonce in 0..KEEP as u64 + 100 {
        net.submit(&[0], nonce);
        net.run(Duration::from_millis(5));
    }
    assert_eq!((net.hosts[1].behind, net.hosts[2].behind), (0, 0));
    net.heal();
    net.run(2 * POLL);
    assert!(net.hosts[2].behind > 0);
    assert_eq!(net.hosts[2].height(), 0, "there is a gap");
    assert_eq!(net.hosts[1].behind, 0);
}
