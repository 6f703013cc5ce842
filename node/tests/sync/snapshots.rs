//! Catching up with a snapshot: proven roots, pages checked one by one, nothing that executes twice.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::Refusal,
    ledger::State,
    node::{Node as _, Note, Packet, TxRefusal},
    sync::{Manifest, SNAPSHOT_EVERY, SyncPacket},
    types::{Height, NodeId},
};

use crate::{
    blocks::scene,
    follower::Follower,
    library::{Library, certificate, commit, order},
    net::{Fate, Net},
};

/// Blocks of the chain.
const LENGTH: u64 = 600;

/// Long enough for several pages.
fn library() -> Library {
    Library::grown(LENGTH, 6)
}

/// A node that is more than 200 blocks behind takes a snapshot.
const ABOVE: u64 = 200;

fn tampered(
    library: &Library,
    lie: impl Fn(u16, &SyncPacket) -> Option<Fate> + 'static,
) -> Net<Follower> {
    let mut net = scene(library, ABOVE);
    net.tamper = Box::new(move |from, to, packet| {
        let lie = if to.0 == 3 { lie(from.0, packet) } else { None };
        lie.unwrap_or(Fate::Arrives)
    });
    net.behind(3);
    net.run(Duration::from_mins(5));
    net
}

fn check_caught_up(net: &Net<Follower>, what: &str) {
    assert_eq!(net.height(3), LENGTH, "{what}");
    assert_eq!(net.root(3), net.root(0), "{what}");
}

#[test]
fn far_behind_it_takes_over_a_proven_state_and_goes_on_from_there() {
    let library = library();
    let net = tampered(&library, |_, _| None);
    check_caught_up(&net, "honest peers");
    let adopted = net.adopted(3);
    let [base] = adopted[..] else {
        panic!("one snapshot: {adopted:?}");
    };
    assert!(
        (LENGTH - SNAPSHOT_EVERY..LENGTH).contains(&base),
        "a recent one: {base}"
    );
    let ledger = net.nodes[3].ledger();
    assert_eq!(ledger.base(), Height(base));
    assert_eq!(ledger.genesis().block, library.ledger.genesis().block);
    assert!(
        ledger.entry(Height(base - 1)).is_none(),
        "no history from before"
    );
    assert!(ledger.entry(Height(0)).is_none());
    assert_eq!(ledger.entries().count() as u64, LENGTH - base + 1);
    assert_eq!(
        ledger.entries_from(Height(0)).count() as u64,
        LENGTH - base + 1
    );
    assert_eq!(
        ledger.results(Height(base)),
        library.ledger.results(Height(base))
    );
    let pages = net
        .asked(3)
        .iter()
        .filter(|(_, kind)| *kind == "ASK-PAGE")
        .count();
    assert!(pages > 1, "several pages: {pages}");
    let synced = &net.nodes[3].engine().synced;
    assert!(synced.contains(&base) && synced.last() == Some(&LENGTH));
}

#[test]
fn a_restart_begins_at_the_snapshot_on_the_disk() {
    let library = library();
    let mut net = tampered(&library, |_, _| None);
    let base = net.nodes[3].ledger().base();
    (0..3).for_each(|node| net.stop(node));
    net.restart(3);
    check_caught_up(&net, "from its own disk");
    assert_eq!(net.nodes[3].ledger().base(), base);
    let disk = &net.disks[3];
    assert_eq!(
        disk.chain.len() as u64,
        LENGTH - base.0,
        "only what follows the snapshot"
    );
}

#[test]
fn what_was_ordered_before_the_snapshot_does_not_execute_again_r39() {
    let library = library();
    let mut net = tampered(&library, |_, _| None);
    for nonce in [0, 1, 1000] {
        let old = order(nonce);
        net.submit(3, &old);
        let told = net.notes[3].last();
        let Some(Note::TxRefused { tx, reason }) = told else {
            panic!("{told:?}");
        };
        assert_eq!((*tx, *reason), (old.id(), TxRefusal::StaleNonce));
    }
    assert_eq!(net.nodes[3].status().pending, 0);
    // Even a block that a whole committee signed cannot execute it again: its number is spent.
    let mut fork = Library {
        ledger: net.nodes[3].ledger().clone(),
        next_nonce: 0,
    };
    let before = fork.ledger.state().clone();
    fork.grow(1);
    assert_eq!(*fork.ledger.state(), before);
    let new = order(library.next_nonce);
    net.submit(3, &new);
    assert!(matches!(net.notes[3].last(), Some(Note::Admitted(tx)) if *tx == new.id()));
}

#[test]
fn without_leave_it_fetches_all_blocks() {
    let library = Library::grown(LENGTH, 1);
    let mut net = scene(&library, u64::MAX);
    net.behind(3);
    net.run(Duration::from_mins(1));
    assert_eq!((net.height(3), net.adopted(3)), (LENGTH, vec![]));
    assert_eq!(net.nodes[3].ledger().base(), Height(0));
}

/// The page with its first value changed.
fn forged(packet: &SyncPacket) -> Option<Fate> {
    let SyncPacket::Page {
        height,
        page,
        entries,
    } = packet
    else {
        return None;
    };
    let mut entries = entries.clone();
    entries[0].1[0] ^= 1;
    let (height, page) = (*height, *page);
    Some(Fate::Replaced(vec![SyncPacket::Page {
        height,
        page,
        entries,
    }]))
}

#[test]
fn one_lying_page_is_found_at_once_and_asked_of_another_peer_m11() {
    let library = library();
    let net = tampered(
        &library,
        |from, packet| {
            if from == 1 { forged(packet) } else { None }
        },
    );
    check_caught_up(&net, "a forged page");
    assert_eq!(net.adopted(3).len(), 1);
    let malformed = net
        .refusals(3)
        .into_iter()
        .filter(|r| *r == Refusal::Malformed);
    assert_eq!(
        malformed.count(),
        1,
        "and the liar was left alone from then on"
    );
}

#[test]
fn when_all_pages_are_forged_blocks_will_do() {
    let library = library();
    let net = tampered(&library, |_, packet| forged(packet));
    check_caught_up(&net, "forged pages");
    assert_eq!(net.adopted(3), [0; 0]);
    assert_eq!(net.nodes[3].ledger().base(), Height(0));
}

/// A way to lie about a snapshot.
type Lie = fn(&Library, &mut Manifest);

const LIES: [(&str, Lie); 6] = [
    ("another state", |_, manifest| {
        let mut state = State::new();
        state.insert(b"all", b"mine");
        manifest.crown = state.pages(1000).0;
    }),
    (
        "another state that two liars signed",
        |library, manifest| {
            let mut state = State::new();
            state.insert(b"all", b"mine");
            manifest.crown = state.pages(1000).0;
            let mut header = manifest.carrier.block.header().clone();
            header.results.state_root = state.root();
            let mut other = library.clone();
            let transactions = other.block(1).transactions().to_vec();
            let block = consortium_node::block::Block::new(header, transactions);
            let proof = certificate(commit(&block), &[0, 1]);
            let proof = consortium_node::block::Finality::Certificate(proof);
            manifest.carrier.block = block;
            manifest.carrier.proof = Arc::new(proof);
        },
    ),
    ("other receipts", |_, manifest| {
        manifest.receipts = Arc::new(manifest.receipts[1..].to_vec());
    }),
    ("another block", |library, manifest| {
        manifest.block = library.stored(3);
    }),
    ("a carrier from elsewhere", |library, manifest| {
        manifest.carrier = library.stored(9);
    }),
    ("no proof", |_, manifest| {
        manifest.block.proof = Arc::new(consortium_node::block::Finality::Trusted);
    }),
];

#[test]
fn a_false_manifest_is_refused_and_another_peer_asked_b19() {
    let library = library();
    for (what, lie) in LIES {
        let lies = library.clone();
        let net = tampered(&library, move |from, packet| {
            let SyncPacket::Snapshot(Some(manifest)) = packet else {
                return None;
            };
            let mut manifest = manifest.clone();
            lie(&lies, &mut manifest);
            let lie = SyncPacket::Snapshot(Some(manifest));
            (from < 2).then(|| Fate::Replaced(vec![lie]))
        });
        check_caught_up(&net, what);
        assert_eq!(net.adopted(3).len(), 1, "{what}");
        assert!(
            net.refusals(3).iter().any(|r| *r != Refusal::Stale),
            "{what}"
        );
    }
}

#[test]
fn a_true_manifest_that_is_cut_otherwise_costs_a_round_and_its_giver_is_to_blame() {
    let library = library();
    let lies = library.clone();
    let net = tampered(&library, move |from, packet| match packet {
        // It hashes up to the right root, but nobody has such pages; its giver has none either.
        SyncPacket::Snapshot(Some(manifest)) if from < 2 => {
            let height = manifest.height();
            let mut chain = Library::new().ledger;
            for stored in lies.chain().iter().take(height.0 as usize) {
                let (block, proof) = (stored.block.clone(), Some(stored.proof.clone()));
                chain.append(block, proof, &*crate::library::executor());
            }
            let mut manifest = manifest.clone();
            manifest.crown = chain.state().pages(5000).0;
            Some(Fate::Replaced(vec![SyncPacket::Snapshot(Some(manifest))]))
        }
        _ => None,
    });
    check_caught_up(&net, "another cut");
    assert_eq!(net.adopted(3).len(), 1);
}

#[test]
fn peers_that_vanish_between_pages_are_replaced() {
    let library = library();
    let net = tampered(&library, |from, packet| match packet {
        SyncPacket::Page { page, .. } if from < 2 && *page > 0 => Some(Fate::Lost),
        _ => None,
    });
    check_caught_up(&net, "vanished");
    assert_eq!(net.adopted(3).len(), 1);
}

#[test]
fn snapshots_that_everyone_has_dropped_meanwhile_leave_the_blocks() {
    let library = library();
    let net = tampered(&library, |_, packet| match packet {
        SyncPacket::Page { height, page, .. } => Some(Fate::Replaced(vec![SyncPacket::Page {
            height: *height,
            page: *page,
            entries: Vec::new(),
        }])),
        _ => None,
    });
    check_caught_up(&net, "dropped");
    assert_eq!(net.adopted(3), [0; 0]);
}

#[test]
fn whoever_began_with_a_snapshot_says_from_where_it_can_help() {
    let library = library();
    let mut net = tampered(&library, |_, _| None);
    let base = net.nodes[3].ledger().base().0;
    for (from, blocks) in [
        (1, 0),
        (base - 1, 0),
        (base, LENGTH + 1 - base),
        (base + 1, LENGTH - base),
    ] {
        net.run(Duration::from_secs(1));
        net.sent.clear();
        let question = SyncPacket::AskBlocks(Height(from));
        net.deliver(NodeId(0), 3, &Packet::Sync(Arc::new(question)));
        let Some((_, _, Packet::Sync(answer))) = net.sent.first() else {
            panic!("an answer");
        };
        let SyncPacket::Blocks(answer) = &**answer else {
            panic!("blocks");
        };
        assert_eq!(answer.base, Height(base));
        assert_eq!(answer.list.len() as u64, blocks, "from {from}");
    }
    // A newcomer finds that it needs a snapshot, and gets one as soon as somebody has it.
    (1..3).for_each(|node| net.stop(node));
    net.disks[0].chain.clear();
    net.nodes[0] = crate::follower::follower(ABOVE)(NodeId(0));
    net.sent.clear();
    net.behind(0);
    net.run(Duration::from_secs(30));
    let asked: Vec<_> = net
        .asked(0)
        .into_iter()
        .filter(|(peer, _)| *peer == 3)
        .collect();
    assert!(asked.contains(&(3, "ASK-SNAPSHOT")), "{asked:?}");
}
