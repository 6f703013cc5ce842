//! Messages on the wire: their length, their signatures, their lies.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use consortium_node::{
    codec,
    engine::{Forks, Message as _, Record as _},
    rewrite::{Pen, Rewrite},
    tendermint::{Record, TendermintMessage},
    types::NodeId,
};

use crate::{
    BRISK, Net, net_with,
    support::{DELTA, Sent},
};

/// A run in which every kind of message is needed, and each travels as bytes.
fn eventful_run() -> Net {
    let mut net = net_with(4, BRISK);
    net.tamper = Some(Box::new(|sent: &Sent<TendermintMessage>| {
        let bytes = codec::encode(&*sent.message);
        assert_eq!(bytes.len(), sent.message.wire_len(), "{:?}", sent.message);
        let decoded: TendermintMessage = codec::decode(&bytes).expect("well-formed");
        assert_eq!(codec::encode(&decoded), bytes, "one value, one encoding");
        let slot = sent.message.slot();
        // Everyone locks in round 0 of height 2 but 3, and nobody's PRECOMMIT arrives at first.
        let early = sent.at.0 < Duration::from_secs(2).as_nanos() as u64;
        let first = early && (slot.seq.0, slot.view.0) == (2, 0);
        let lost = match decoded.kind().name {
            "PRECOMMIT" => first && sent.from != NodeId(3),
            "PREVOTE" => first && sent.to == NodeId(3),
            _ => false,
        };
        (!lost).then(|| Arc::new(decoded))
    }));
    for groups in [[0, 0, 0, 0], [0, 0, 0, 1]] {
        net.groups = groups.to_vec();
        for _ in 0..3 {
            net.submit();
            net.run(DELTA);
        }
        net.run(Duration::from_secs(5));
    }
    net.groups = vec![0; 4];
    net.run(Duration::from_secs(20));
    net
}

#[test]
fn every_kind_has_the_length_that_it_says_and_survives_as_bytes() {
    let net = eventful_run();
    net.check_done(&[0, 1, 2, 3]);
    let kinds: BTreeSet<&str> = net.kinds().into_keys().collect();
    assert_eq!(kinds, BTreeSet::from(TendermintMessage::NAMES));
    for sent in &net.trace {
        let kind = sent.message.kind();
        assert_eq!(TendermintMessage::NAMES[usize::from(kind.code)], kind.name);
    }
}

#[test]
fn every_record_has_the_length_that_it_says_and_survives_as_bytes() {
    let net = eventful_run();
    let mut labels = BTreeSet::new();
    let records = net.replicas.iter().flat_map(|replica| &replica.records);
    for record in records.chain([&Record::Mute]) {
        let bytes = codec::encode(record);
        assert_eq!(bytes.len(), record.wire_len(), "{record:?}");
        let again: Record = codec::decode(&bytes).expect("well-formed");
        assert_eq!(codec::encode(&again), bytes);
        labels.insert(record.label().0);
    }
    assert_eq!(labels, BTreeSet::from(Record::NAMES));
}

#[test]
fn no_rewritten_certificate_is_believed_and_every_lie_has_its_length() {
    let honest = eventful_run();
    let rewrites = [
        Rewrite::View(1),
        Rewrite::Seq(1),
        Rewrite::Digest,
        Rewrite::Null,
        Rewrite::Conflicting,
        Rewrite::WithoutBlock,
        Rewrite::WithoutProof,
        Rewrite::WithoutPrepared,
        Rewrite::TooFew,
        Rewrite::RepeatedSigner,
        Rewrite::Stitched,
    ];
    let key = Arc::clone(&honest.keys[0]);
    let mut made = BTreeSet::new();
    for (sent, change) in honest
        .trace
        .iter()
        .flat_map(|sent| rewrites.map(|c| (sent, c)))
    {
        let mut forks = Forks::new();
        let mut pen = Pen {
            key: &key,
            me: NodeId(0),
            quorum: 3,
            earlier: None,
            forks: &mut forks,
        };
        let Some(lie) = sent.message.rewrite(change, &mut pen) else {
            continue;
        };
        assert_eq!(codec::encode(&lie).len(), lie.wire_len(), "{change:?}");
        let kind = lie.kind().name;
        if made.insert((kind, change)) && ["POLKA", "DECIDED"].contains(&kind) {
            let mut net = net_with(4, BRISK);
            net.inject(NodeId(0), NodeId(1), &lie);
            assert_eq!(net.replica(1).host.chain.len(), 1, "{kind} {change:?}");
            assert_eq!(net.replica(1).engine.valid(), None, "{kind} {change:?}");
        }
    }
    for kind in TendermintMessage::NAMES {
        assert!(made.iter().any(|(made, _)| *made == kind), "{kind}");
    }
    assert!(made.contains(&("PREVOTE", Rewrite::Null)));
    assert!(made.contains(&("PROPOSAL", Rewrite::Conflicting)));
}
