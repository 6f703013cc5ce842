//! Packets as bytes: exact lengths, and nothing that a stranger sends can do harm.

use std::sync::Arc;

use consortium_node::{
    codec,
    node::Packet,
    sync::{Archive, Blocks, SyncPacket},
    types::{Digest, Height},
};

use crate::{follower::Follower, library::Library};

/// One of each kind, with something in it.
fn samples() -> Vec<SyncPacket> {
    let mut archive = Archive::default();
    let mut library = Library::new();
    for _ in 0..300 {
        library.grow(1);
        archive.keep(&library.ledger);
    }
    let snapshot = archive.answer(&library.ledger, &SyncPacket::AskSnapshot);
    let Some(SyncPacket::Snapshot(Some(manifest))) = &snapshot else {
        panic!("a snapshot after 300 blocks");
    };
    let height = manifest.height();
    let page = archive.answer(&library.ledger, &SyncPacket::AskPage { height, page: 0 });
    let blocks = archive.answer(&library.ledger, &SyncPacket::AskBlocks(Height(290)));
    let answers = [snapshot.clone(), page, blocks].into_iter().flatten();
    let mut samples = vec![
        SyncPacket::AskBlocks(Height(7)),
        SyncPacket::AskSnapshot,
        SyncPacket::AskPage { height, page: 3 },
        SyncPacket::Snapshot(None),
    ];
    samples.extend(answers);
    samples
}

#[test]
fn lengths_are_those_of_the_bytes_and_kinds_differ() {
    let mut kinds = std::collections::BTreeSet::new();
    for sample in samples() {
        let packet = Packet::Sync(Arc::new(sample));
        let bytes = packet.encode();
        assert_eq!(bytes.len(), packet.wire_len(), "{:?}", packet.label());
        let again = Packet::decode::<Follower>(&bytes).expect("its own bytes");
        assert_eq!(again.encode(), bytes);
        assert_eq!(again.label(), packet.label());
        assert_eq!(again.demand(), packet.demand());
        kinds.insert(packet.label().0.code);
    }
    assert_eq!(kinds.len(), 6);
}

#[test]
fn no_bytes_do_harm() {
    for sample in samples() {
        let bytes = Packet::Sync(Arc::new(sample)).encode();
        for cut in 0..bytes.len().min(300) {
            assert!(
                Packet::decode::<Follower>(&bytes[..cut]).is_err(),
                "a part of a packet"
            );
        }
        for position in 0..bytes.len().min(2000) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[position] = value;
                if let Ok(packet) = Packet::decode::<Follower>(&changed) {
                    assert_eq!(packet.wire_len(), changed.len());
                    let _ = (packet.label(), packet.demand());
                    let Packet::Sync(sync) = packet else { continue };
                    if let SyncPacket::Blocks(blocks) = &*sync {
                        let _ = blocks.is_well_formed();
                    }
                    if let SyncPacket::Snapshot(Some(manifest)) = &*sync {
                        let _ = manifest.verify(|_, _| true);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_too_large_costs_its_receiver_nothing() {
    let library = Library::grown(10, 1);
    let list: Vec<_> = library.chain().into_iter().cycle().take(5000).collect();
    let blocks = Blocks {
        from: Height(1),
        list,
        tip: Height(5000),
        base: Height(0),
    };
    assert!(!blocks.is_well_formed());
    let packet = Packet::Sync(Arc::new(SyncPacket::Blocks(blocks)));
    assert_eq!(
        (packet.demand().checks, packet.demand().hashed_bytes),
        (0, 0)
    );
}

#[test]
fn heights_at_the_end_of_numbers_overflow_nothing() {
    let library = Library::grown(3, 1);
    let mut archive = Archive::default();
    for from in [0, 4, u64::MAX - 1, u64::MAX] {
        let question = SyncPacket::AskBlocks(Height(from));
        let answer = archive.answer(&library.ledger, &question);
        let Some(SyncPacket::Blocks(blocks)) = answer else {
            panic!("every question about blocks has an answer");
        };
        assert!(blocks.list.is_empty() && blocks.is_well_formed());
    }
    let odd = Blocks {
        from: Height(u64::MAX),
        list: library.chain(),
        tip: Height(u64::MAX),
        base: Height(u64::MAX),
    };
    assert!(!odd.is_well_formed());
    let bytes = codec::encode(&Digest::ZERO);
    assert!(codec::decode::<SyncPacket>(&bytes).is_err());
}
