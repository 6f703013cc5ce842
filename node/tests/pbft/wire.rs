//! Messages on the wire: their length, their signatures, their lies.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use consortium_node::{
    codec,
    engine::{Forks, Message as _},
    pbft::{Config, PbftMessage},
    types::NodeId,
};

use crate::{
    Net, net_with,
    script::Script,
    support::{DELTA, Sent},
};

const SMALL: Config = Config {
    checkpoint_interval: 2,
    window: 8,
    pipeline: 3,
    request_timeout: Duration::from_millis(300),
    request_deadline: Duration::from_secs(20),
    view_change_timeout: Duration::from_millis(300),
    status_interval: Duration::from_millis(200),
};

/// A run in which every kind of message is needed, and each travels as bytes.
fn eventful_run() -> Net {
    let mut net = net_with(4, SMALL);
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let bytes = codec::encode(&*sent.message);
        assert_eq!(bytes.len(), sent.message.wire_len(), "{:?}", sent.message);
        let decoded: PbftMessage = codec::decode(&bytes).expect("well-formed");
        assert_eq!(codec::encode(&decoded), bytes, "one value, one encoding");
        // Replica 2 misses the proposals of view 0, so that it has to fetch.
        let slot = sent.message.slot();
        let missed = sent.to == NodeId(2) && slot.view.0 == 0 && decoded.kind().proposal;
        let commits =
            slot.view.0 == 0 && slot.seq.0 > 3 && matches!(decoded, PbftMessage::Commit(_));
        (!missed && !commits).then(|| Arc::new(decoded))
    }));
    for groups in [[0, 0, 0, 0], [0, 0, 0, 1]] {
        net.groups = groups.to_vec();
        for _ in 0..6 {
            net.submit();
            net.run(DELTA);
        }
        net.run(Duration::from_secs(1));
    }
    net.groups = vec![0; 4];
    net.run(Duration::from_secs(10));
    net
}

#[test]
fn every_kind_has_the_length_that_it_says_and_survives_as_bytes() {
    let net = eventful_run();
    net.check_done(&[0, 1, 2, 3]);
    let kinds: BTreeSet<&str> = net.kinds().into_keys().collect();
    let all = [
        "BODY",
        "CHECKPOINT",
        "COMMIT",
        "DECIDED",
        "FETCH",
        "NEW-VIEW",
        "PRE-PREPARE",
        "PREPARE",
        "STABLE",
        "STATUS",
        "VIEW-CHANGE",
    ];
    assert_eq!(kinds, BTreeSet::from(all));
    let codes: BTreeSet<u8> = net
        .trace
        .iter()
        .map(|sent| sent.message.kind().code)
        .collect();
    assert_eq!(codes.len(), all.len());
    for sent in net.trace {
        let decoded: PbftMessage = codec::decode(&codec::encode(&*sent.message)).expect("bytes");
        assert_eq!(decoded.kind(), sent.message.kind());
        assert_eq!(decoded.slot(), sent.message.slot());
        assert_eq!(decoded.signatures(), sent.message.signatures());
    }
}

#[test]
fn truncated_and_lengthened_messages_are_refused() {
    let net = eventful_run();
    let mut seen = BTreeSet::new();
    for sent in net.trace {
        if !seen.insert(sent.message.kind().code) {
            continue;
        }
        let bytes = codec::encode(&*sent.message);
        for cut in (0..bytes.len()).step_by(7) {
            assert!(codec::decode::<PbftMessage>(&bytes[..cut]).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(codec::decode::<PbftMessage>(&longer).is_err());
    }
}

#[test]
fn a_flipped_bit_makes_a_message_that_changes_nothing() {
    let net = eventful_run();
    let mut seen = BTreeSet::new();
    for sent in net.trace.iter().filter(|sent| sent.to == NodeId(1)) {
        let answer = matches!(&*sent.message, PbftMessage::Body(_) | PbftMessage::Fetch(_));
        if answer || !seen.insert(sent.message.kind().code) {
            continue;
        }
        let bytes = codec::encode(&*sent.message);
        for bit in (8..bytes.len() * 8).step_by(41) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(message) = codec::decode::<PbftMessage>(&flipped) else {
                continue;
            };
            let mut s = Script::new(4, 1, SMALL);
            assert_ne!(
                s.give(&message),
                [],
                "bit {bit} of {:?}",
                sent.message.kind()
            );
            assert_eq!(s.names(), [""; 0]);
        }
    }
}

#[test]
fn signatures_are_those_that_the_receiver_checks() {
    let mut s = Script::new(4, 1, SMALL);
    let block = s.chain(1).remove(0);
    let digest = block.id();
    assert_eq!(s.pre_prepare(0, 1, &block).signatures(), 1 + 1);
    assert_eq!(s.prepare(2, 0, 1, digest).signatures(), 1);
    let stable = s.stable(2, digest);
    assert_eq!(PbftMessage::Stable(stable.clone()).signatures(), 3);
    let entry = s.prepared(0, 3, digest);
    let change = s.view_change(2, 1, Some(&stable), vec![entry]);
    // Its own, three of the checkpoint, and one and two of the prepared proof.
    assert_eq!(
        PbftMessage::ViewChange(Arc::clone(&change)).signatures(),
        1 + 3 + 3
    );
    let claim = s.claim(1, 3, digest);
    let new_view = s.new_view(1, vec![change.clone(), change], vec![claim]);
    assert_eq!(new_view.signatures(), 1 + 2 * 7 + 1);
}

#[test]
fn a_liar_has_another_block_for_each_proposal_and_votes_by_the_script() {
    let mut s = Script::new(4, 1, SMALL);
    let block = s.chain(1).remove(0);
    let key = Arc::clone(&s.net.keys[0]);
    let mut forks = Forks::new();
    let honest = s.pre_prepare(0, 1, &block);
    let lie = honest.conflicting(&key, NodeId(0), &mut forks);
    let Some(PbftMessage::PrePrepare(lie)) = lie else {
        panic!("a proposal has a lie");
    };
    let other = lie.block.expect("with a block");
    assert_ne!(other.id(), block.id());
    assert_eq!(other.transactions(), block.transactions());
    assert_eq!(lie.claim.body().digest, other.id());
    assert!(s.net.committee.verify(&lie.claim));
    assert_eq!(forks.get(&block.id()), Some(&other.id()));
    let key = Arc::clone(&s.net.keys[3]);
    for vote in [
        s.prepare(3, 0, 1, block.id()),
        s.commit(3, 0, 1, block.id()),
    ] {
        let lie = vote.conflicting(&key, NodeId(3), &mut forks);
        let (Some(PbftMessage::Prepare(lie) | PbftMessage::Commit(lie)), kind) = (lie, vote.kind())
        else {
            panic!("a vote follows the script");
        };
        assert_eq!(lie.body().digest, other.id(), "{kind:?}");
        assert!(s.net.committee.verify(&lie));
    }
    let unscripted = s.prepare(3, 0, 1, other.id());
    assert!(
        unscripted
            .conflicting(&key, NodeId(3), &mut forks)
            .is_none()
    );
    let checkpoint = s.checkpoint(3, 2, block.id());
    assert!(
        checkpoint
            .conflicting(&key, NodeId(3), &mut forks)
            .is_none()
    );
}
