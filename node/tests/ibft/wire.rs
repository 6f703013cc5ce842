//! Encodings: announced lengths are exact, and a message survives its bytes.

use consortium_node::{
    codec,
    engine::{Message as _, Record as _, Recovery},
    ibft::{IbftMessage, Record},
};

use crate::{SECOND, net, support::DELTA};

#[test]
fn lengths_are_exact_and_bytes_decode_to_the_same() {
    let mut net = net(4);
    net.submit();
    net.run(SECOND);
    net.groups = vec![0, 0, 1, 1];
    net.submit();
    net.run(10 * SECOND);
    net.groups = vec![0; 4];
    net.run(60 * SECOND);
    net.crash(3);
    net.restart(3, Recovery::Lost);
    net.crash(2);
    net.submit();
    net.run(5 * DELTA);
    net.restart(2, Recovery::Clean);
    net.run(60 * SECOND);
    let mut kinds: Vec<_> = net.kinds().into_keys().collect();
    let mut names = IbftMessage::NAMES.to_vec();
    kinds.sort_unstable();
    names.sort_unstable();
    assert_eq!(kinds, names);
    for sent in &net.trace {
        let bytes = codec::encode(&*sent.message);
        assert_eq!(bytes.len(), sent.message.wire_len(), "{:?}", sent.message);
        let again: IbftMessage = codec::decode(&bytes).expect("well-formed");
        assert_eq!(codec::encode(&again), bytes);
    }
    let mut labels = Vec::new();
    for record in net.replicas.iter().flat_map(|replica| &replica.records) {
        let bytes = codec::encode(record);
        assert_eq!(bytes.len(), record.wire_len());
        codec::decode::<Record>(&bytes).expect("well-formed");
        labels.push(record.label().0);
    }
    assert!(
        Record::NAMES.iter().all(|name| labels.contains(name)),
        "{labels:?}"
    );
}
