//! What travels and what is written: lengths, encodings, names.

use std::collections::BTreeSet;

use consortium_node::{
    codec,
    engine::{Message, Record as _},
    hotstuff::{HotStuffMessage, Leader, Record, Variant},
};

use crate::{SECOND, net, support::DELTA};

#[test]
fn lengths_are_those_of_the_encodings_and_what_is_decoded_says_the_same() {
    let mut kinds = BTreeSet::new();
    let mut records = BTreeSet::new();
    for variant in [Variant::Jolteon, Variant::ThreeChain, Variant::HotStuff2] {
        let mut net = net(4, variant, Leader::Rotate);
        for round in 0..12 {
            net.submit();
            net.run(3 * DELTA);
            match round {
                3 => net.groups = vec![0, 0, 0, 1],
                5 => net.groups = vec![0, 0, 1, 1],
                9 => net.groups = vec![0; 4],
                _ => {}
            }
            net.run(SECOND);
        }
        net.run(10 * SECOND);
        for sent in &net.trace {
            let bytes = codec::encode(&*sent.message);
            assert_eq!(bytes.len(), sent.message.wire_len(), "{:?}", sent.message);
            let again: HotStuffMessage = codec::decode(&bytes).unwrap();
            assert_eq!(codec::encode(&again), bytes);
            assert_eq!(again.kind(), sent.message.kind());
            assert_eq!(again.slot(), sent.message.slot());
            assert_eq!(again.signatures(), sent.message.signatures());
            assert_eq!(again.hashed_bytes(), sent.message.hashed_bytes());
            kinds.insert(sent.message.kind().name);
        }
        for record in net.replicas.iter().flat_map(|replica| &replica.records) {
            let bytes = codec::encode(record);
            assert_eq!(bytes.len(), record.wire_len());
            let again: Record = codec::decode(&bytes).unwrap();
            assert_eq!(again.label(), record.label());
            records.insert(record.label().0);
        }
        net.crash(2);
        net.restart(2, consortium_node::engine::Recovery::Clean);
        net.run(SECOND);
        kinds.extend(net.trace.iter().map(|sent| sent.message.kind().name));
    }
    assert_eq!(kinds, HotStuffMessage::NAMES.into_iter().collect());
    assert!(
        records.is_superset(&BTreeSet::from(["VOTED", "GAVE-UP"])),
        "{records:?}"
    );
    assert!(records.iter().all(|name| Record::NAMES.contains(name)));
}
