//! Catching up block by block, with honest peers and among liars.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    block::{Block, Finality},
    codec,
    crypto::{Keypair, SignatureMode},
    engine::{Recovery, Refusal},
    node::{Event, Node as _, Note, Packet},
    quorum::{Certificate, Vote},
    storage::{Recovered, Stored},
    sync::{ANSWER_BYTES, BURST, Blocks, SyncPacket},
    transaction::Transaction,
    types::{ChainId, Height, NodeId, Seq, View},
};

use crate::{
    follower::{Cue, Follower, follower},
    library::{ALICE, GATEWAY, Library, certificate, commit, node_key, order},
    net::{Fate, Net},
};

/// Nodes 0 to 2 have the library's chain, node 3 has nothing; none knows that of the others.
pub(crate) fn scene(library: &Library, snapshot_above: u64) -> Net<Follower> {
    let mut net = Net::new(follower(snapshot_above));
    net.start(3);
    for node in 0..3 {
        net.disks[node].chain = library.chain();
        net.restart(node as u16);
    }
    net.run(Duration::from_secs(5));
    net.sent.clear();
    net
}

/// How long the answers to a node were.
fn answers(net: &Net<Follower>, node: u16) -> Vec<&Blocks> {
    let to = |to: &NodeId| to.0 == node;
    let answers = net.sent.iter().filter(|(_, receiver, _)| to(receiver));
    answers
        .filter_map(|(_, _, packet)| match packet {
            Packet::Sync(sync) => match &**sync {
                SyncPacket::Blocks(blocks) => Some(blocks),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

#[test]
fn a_fresh_network_asks_nobody() {
    let mut net = Net::new(follower(u64::MAX));
    (0..4).for_each(|node| net.start(node));
    net.run(Duration::from_secs(100));
    assert!(net.sent.is_empty(), "silence at time zero");
}

#[test]
fn a_node_that_was_down_for_thousands_of_blocks_catches_up_one_answer_at_a_time_r17() {
    let library = Library::grown(5000, 1);
    let mut net = scene(&library, u64::MAX);
    net.behind(3);
    net.run(Duration::from_secs(10));
    assert_eq!(net.height(3), 5000);
    assert_eq!(net.root(3), net.root(0));
    let synced = &net.nodes[3].engine().synced;
    assert!(
        synced.iter().copied().eq(1..=5000),
        "each block once, in order"
    );
    let stored = net.disks[3].chain.iter().map(|stored| stored.block.id());
    let theirs = library.chain();
    assert!(
        stored.eq(theirs.iter().map(|stored| stored.block.id())),
        "on its disk"
    );

    let lens = answers(&net, 3).into_iter().map(|blocks| {
        let bytes = blocks.list.iter().map(Stored::wire_len).sum::<usize>();
        assert!(bytes <= ANSWER_BYTES);
        blocks.list.len()
    });
    assert!(
        lens.max().expect("answers") < 1500,
        "memory holds one answer"
    );
    let mut waiting = false;
    for (from, to, packet) in &net.sent {
        let Packet::Sync(sync) = packet else { continue };
        if from.0 == 3 && sync.asks() {
            assert!(!waiting, "one question at a time");
            waiting = true;
        } else if to.0 == 3 {
            waiting = false;
        }
    }
    let asked = net.asked(3).len();
    net.run(Duration::from_secs(100));
    assert_eq!(
        net.asked(3).len(),
        asked,
        "f+1 had nothing more: it is over"
    );
}

#[test]
fn a_restart_asks_f_plus_one_peers_and_gets_what_was_missed() {
    let library = Library::grown(30, 1);
    let mut net = scene(&library, u64::MAX);
    net.stop(3);
    net.disks[3].chain = library.chain()[..10].to_vec();
    net.restart(3);
    net.run(Duration::from_secs(5));
    assert_eq!(net.height(3), 30, "without a word of its protocol");
    assert_eq!(net.asked(3).len(), 2, "f+1");
    net.sent.clear();
    net.restart(3);
    net.run(Duration::from_secs(5));
    assert_eq!(net.asked(3).len(), 2, "nothing was missed, and f+1 say so");
}

#[test]
fn silence_does_no_harm() {
    let library = Library::grown(10, 1);
    let mut net = scene(&library, u64::MAX);
    (0..3).for_each(|node| net.stop(node));
    net.disks[3].chain = library.chain();
    net.restart(3);
    net.run(Duration::from_secs(1000));
    assert_eq!(net.asked(3).len(), 3, "each peer once");
    assert_eq!(net.height(3), 10);
}

#[test]
fn while_its_protocol_says_that_it_is_behind_it_asks_until_somebody_answers() {
    let library = Library::grown(10, 1);
    let mut net = scene(&library, u64::MAX);
    (0..3).for_each(|node| net.stop(node));
    net.behind(3);
    net.run(Duration::from_hours(1));
    let asked = net.asked(3).len();
    assert!(
        (30..300).contains(&asked),
        "patiently: {asked} questions in an hour"
    );
    net.restart(1);
    net.run(Duration::from_mins(5));
    assert_eq!(net.height(3), 10);
}

/// A way to lie in an answer.
type Lie = fn(&Library, &Blocks) -> Vec<SyncPacket>;

fn with(blocks: &Blocks, list: Vec<Stored>) -> Vec<SyncPacket> {
    vec![SyncPacket::Blocks(Blocks {
        list,
        ..blocks.clone()
    })]
}

/// The first block of an answer with another proof.
fn proven_by(blocks: &Blocks, proof: Certificate) -> Vec<SyncPacket> {
    let mut list = blocks.list.clone();
    if let Some(first) = list.first_mut() {
        first.proof = Arc::new(Finality::Certificate(proof));
    }
    with(blocks, list)
}

fn first(blocks: &Blocks) -> Vote {
    let block = blocks.list.first().map(|stored| &stored.block);
    block.map_or(commit(&Block::genesis(node_digest())), |block| {
        commit(block)
    })
}

fn node_digest() -> consortium_node::types::Digest {
    consortium_node::types::Digest::ZERO
}

/// A block that the liars made, and nobody else signed.
fn invented(library: &Library, blocks: &Blocks) -> Vec<SyncPacket> {
    let mut other = Library {
        ledger: library.ledger.clone(),
        next_nonce: 1_000_000,
    };
    let Some(honest) = blocks.list.first() else {
        return vec![SyncPacket::Blocks(blocks.clone())];
    };
    let header = honest.block.header().clone();
    let block = Block::new(header, other.block(1).transactions().to_vec());
    let proof = Finality::Certificate(certificate(commit(&block), &[0, 1]));
    let mut list = blocks.list.clone();
    list[0] = Stored {
        block,
        proof: Arc::new(proof),
    };
    with(blocks, list)
}

/// M12: signatures under different statements, made into one certificate.
fn stitched(_: &Library, blocks: &Blocks) -> Vec<SyncPacket> {
    let vote = first(blocks);
    let earlier = Vote {
        view: View(1),
        slot: Seq(vote.slot.0 + 1),
        ..vote
    };
    let good = codec::encode(&certificate(vote, &[0, 1]));
    let other = codec::encode(&certificate(earlier, &[2]));
    let entry = 2 + 64;
    let mut bytes = good[..Vote::WIRE_LEN].to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(&good[Vote::WIRE_LEN + 4..]);
    bytes.extend(&other[other.len() - entry..]);
    proven_by(blocks, codec::decode(&bytes).expect("well-formed"))
}

/// The first block with a transaction that carries somebody else's signature.
fn resigned(_: &Library, blocks: &Blocks) -> Vec<SyncPacket> {
    let Some(stored) = blocks.list.first() else {
        return vec![SyncPacket::Blocks(blocks.clone())];
    };
    let tx = &stored.block.transactions()[0];
    let forged = Transaction::sign_order(&node_key(NodeId(0)), ALICE, tx.signed().body().clone());
    assert_eq!(forged.id(), tx.id(), "ids do not cover signatures");
    let block = Block::new(stored.block.header().clone(), vec![forged]);
    assert_eq!(block.id(), stored.block.id());
    let mut list = blocks.list.clone();
    list[0].block = block;
    with(blocks, list)
}

/// Blocks of another consortium whose members have the same numbers.
fn of_another_chain(_: &Library, blocks: &Blocks) -> Vec<SyncPacket> {
    let vote = first(blocks);
    let votes: Vec<_> = (0..3)
        .map(|id| {
            let key = Keypair::from_seed([1 + id; 32], ChainId(8), SignatureMode::Lazy);
            key.sign(NodeId(id.into()), vote)
        })
        .collect();
    proven_by(blocks, Certificate::collect(&votes).expect("three"))
}

const LIES: [(&str, Lie); 13] = [
    ("invents a block", invented),
    ("stitches a certificate (M12)", stitched),
    ("changes a signature", resigned),
    ("hands out another chain", of_another_chain),
    ("takes a prepared block for a final one", |_, blocks| {
        let prepared = Vote {
            phase: consortium_node::quorum::Phase(2),
            ..first(blocks)
        };
        proven_by(blocks, certificate(prepared, &[0, 1, 2]))
    }),
    ("takes two for a quorum", |_, blocks| {
        proven_by(blocks, certificate(first(blocks), &[0, 1]))
    }),
    ("counts a signature twice", |_, blocks| {
        proven_by(blocks, certificate(first(blocks), &[0, 1, 1]))
    }),
    ("has no proof", |_, blocks| {
        let mut list = blocks.list.clone();
        for stored in &mut list {
            stored.proof = Arc::new(Finality::Trusted);
        }
        with(blocks, list)
    }),
    ("claims height 10^12 and gives nothing", |_, blocks| {
        vec![SyncPacket::Blocks(Blocks {
            list: Vec::new(),
            tip: Height(1_000_000_000_000),
            ..blocks.clone()
        })]
    }),
    ("gives without end", |library, blocks| {
        let list = library.chain().into_iter().cycle().take(100_000);
        with(blocks, list.collect())
    }),
    ("leaves a block out", |_, blocks| {
        let mut list = blocks.list.clone();
        list.remove(list.len() / 2);
        with(blocks, list)
    }),
    ("drips", |_, blocks| {
        with(blocks, blocks.list.iter().take(1).cloned().collect())
    }),
    ("is silent", |_, _| Vec::new()),
];

#[test]
fn all_but_one_lie_and_it_catches_up_all_the_same_b19() {
    let library = Library::grown(900, 1);
    for (how, lie) in LIES {
        let mut net = scene(&library, u64::MAX);
        let lies = library.clone();
        net.tamper = Box::new(move |from, to, packet| match packet {
            SyncPacket::Blocks(blocks) if from.0 < 2 && to.0 == 3 => {
                Fate::Replaced(lie(&lies, blocks))
            }
            _ => Fate::Arrives,
        });
        net.behind(3);
        net.run(Duration::from_mins(5));
        assert_eq!(net.height(3), 900, "a peer that {how}");
        assert_eq!(net.root(3), net.root(2), "a peer that {how}");
        let turns = net.asked(3).iter().filter(|(peer, _)| *peer < 2).count();
        assert!(turns < 12, "a peer that {how} was asked {turns} times");
    }
}

#[test]
fn a_certified_block_with_other_results_than_ours_is_refused() {
    let mut library = Library::grown(20, 1);
    let mut header = library.block(1).header().clone();
    header.results.state_root = consortium_node::types::Digest([9; 32]);
    let block = Block::new(header, vec![order(20)]);
    let proof = certificate(commit(&block), &[0, 1, 2]);
    let mut net = scene(&library, u64::MAX);
    net.tamper = Box::new(move |_, to, packet| match packet {
        SyncPacket::Blocks(blocks) if to.0 == 3 => {
            let mut list = blocks.list.clone();
            list.push(Stored {
                block: Arc::clone(&block),
                proof: Arc::new(Finality::Certificate(proof.clone())),
            });
            let tip = Height(21);
            Fate::Replaced(vec![SyncPacket::Blocks(Blocks {
                list,
                tip,
                ..blocks.clone()
            })])
        }
        _ => Fate::Arrives,
    });
    net.behind(3);
    net.run(Duration::from_secs(20));
    assert_eq!(net.height(3), 20, "up to the wrong one");
    assert!(net.refusals(3).contains(&Refusal::BadBlock));
}

#[test]
fn a_peer_that_vanishes_in_the_middle_and_a_slow_one_cost_a_wait_each() {
    let library = Library::grown(5000, 1);
    let mut net = scene(&library, u64::MAX);
    let mut answered = 0;
    net.tamper = Box::new(move |from, to, packet| match packet {
        SyncPacket::Blocks(_) if from.0 == 0 && to.0 == 3 => {
            answered += 1;
            if answered > 1 {
                Fate::Lost
            } else {
                Fate::Arrives
            }
        }
        SyncPacket::Blocks(_) if from.0 == 1 => Fate::Late(Duration::from_mins(1)),
        _ => Fate::Arrives,
    });
    net.behind(3);
    net.run(Duration::from_secs(20));
    assert_eq!(net.height(3), 5000);
    net.run(Duration::from_secs(100));
    assert!(
        net.refusals(3).contains(&Refusal::Stale),
        "what comes too late is counted"
    );
}

#[test]
fn it_catches_up_while_its_protocol_decides() {
    let library = Library::grown(3000, 1);
    let mut net = scene(&library, u64::MAX);
    net.behind(3);
    let mut decided = 0;
    while net.height(3) < 3000 {
        net.run(Duration::from_millis(7));
        // The protocol is sometimes faster.
        let height = net.height(3) + 1;
        if height <= 3000 {
            net.tell(3, Cue::Decided(library.stored(height)));
            decided += 1;
        }
    }
    net.run(Duration::from_secs(5));
    assert!(decided > 0, "the race took place");
    assert_eq!(net.root(3), net.root(0));
    let appended = net.notes[3]
        .iter()
        .filter(|note| matches!(note, Note::Appended(_)));
    assert_eq!(appended.count(), 3000, "each block once");
}

#[test]
fn only_validators_are_answered_and_no_faster_than_the_work_bears() {
    let library = Library::grown(10, 1);
    let mut net = scene(&library, u64::MAX);
    let question = Packet::Sync(Arc::new(SyncPacket::AskBlocks(Height(1))));
    for stranger in [GATEWAY, NodeId(99), NodeId(0)] {
        net.sent.clear();
        net.deliver(stranger, 0, &question);
        assert!(net.sent.is_empty());
        assert_eq!(net.refusals(0).last(), Some(&Refusal::WrongSender));
    }
    for _ in 0..10 * BURST {
        net.deliver(NodeId(2), 0, &question);
    }
    assert_eq!(net.sent.len() as u64, BURST, "in one instant");
    net.deliver(NodeId(1), 0, &question);
    assert_eq!(
        net.sent.len() as u64,
        BURST + 1,
        "each peer has its own share"
    );
    net.run(Duration::from_secs(1));
    net.deliver(NodeId(2), 0, &question);
    assert_eq!(net.sent.len() as u64, BURST + 2, "and gets it back");
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let library = Library::grown(10, 1);
    let mut net = scene(&library, u64::MAX);
    let blocks = Blocks {
        from: Height(1),
        list: library.chain(),
        tip: Height(10),
        base: Height(0),
    };
    for answer in [
        SyncPacket::Blocks(blocks),
        SyncPacket::Snapshot(None),
        SyncPacket::Page {
            height: Height(0),
            page: 0,
            entries: Vec::new(),
        },
    ] {
        net.deliver(NodeId(1), 3, &Packet::Sync(Arc::new(answer)));
        assert_eq!(net.refusals(3).last(), Some(&Refusal::Stale));
    }
    assert_eq!(net.height(3), 0);
}

#[test]
fn a_lost_chain_file_is_fetched_again() {
    let library = Library::grown(100, 1);
    let mut net = scene(&library, u64::MAX);
    net.nodes[3] = follower(u64::MAX)(NodeId(3));
    let found = Recovered {
        disk: Recovery::Lost,
        log: Vec::new(),
        snapshot: None,
        chain: Vec::new(),
    };
    let mut actions = consortium_node::node::Actions::default();
    let now = consortium_node::types::LocalTime::default();
    net.nodes[3].handle(now, Event::Recovered(&found), &mut actions);
    let asks = actions.list.iter().any(|action| {
        matches!(action, consortium_node::node::Action::Send { packet, .. }
            if packet.label().0.name == "ASK-BLOCKS")
    });
    assert!(asks);
}
