//! Schedules of a reviewer: what others may do with words that are not theirs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    block::{Block, Finality},
    codec,
    engine::{Message as _, Refusal},
    ledger::proof::check_finality,
    pbft::{Asks, Config, FINALITY, PbftMessage, Report},
    quorum::Certificate,
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    Net, net_with,
    script::Script,
    support::Sent,
    view_changes::{empty_changes, given, script, view},
};

/// The same header over another transaction: the id is the same, the body is not.
fn hollow(s: &mut Script, block: &Arc<Block>) -> Arc<Block> {
    let other = s.net.transaction();
    let bytes = [codec::encode(block.header()), codec::encode(&vec![other])].concat();
    let hollow: Block = codec::decode(&bytes).expect("well-formed");
    assert_eq!(hollow.id(), block.id());
    Arc::new(hollow)
}

#[test]
fn r41_a_hollow_block_in_another_slot_does_not_keep_a_new_primary_from_its_new_view() {
    let mut s = script(4, 3);
    let chain = s.chain(2);
    // A lying primary tells this replica that the second block is in slot 1, and gives it no body.
    let lie = hollow(&mut s, &chain[1]);
    assert_eq!(s.give(&s.pre_prepare(0, 1, &lie)), [Refusal::BadBlock]);
    let prepared = vec![
        s.prepared(0, 1, chain[0].id()),
        s.prepared(0, 2, chain[1].id()),
    ];
    for from in [1, 2] {
        s.give(&given(&s.view_change(from, 3, None, prepared.clone())));
    }
    assert_eq!(view(&s), (3, false), "its bodies are missing");
    for block in &chain {
        s.give(&PbftMessage::Body(Arc::clone(block)));
    }
    assert_eq!(view(&s), (3, true), "all that it must propose is here");
    assert!(s.names().contains(&"NEW-VIEW"));
}

#[test]
fn r6_a_proposal_whose_body_a_third_party_exchanged_does_not_spoil_the_true_one() {
    // The primary's signature covers the header only; anyone may send it on with another body.
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let lie = hollow(&mut s, &block);
    assert_eq!(s.give(&s.pre_prepare(0, 1, &lie)), [Refusal::BadBlock]);
    assert_eq!(s.names(), [""; 0]);
    s.give(&s.pre_prepare(0, 1, &block));
    assert_eq!(s.names(), ["PREPARE"]);
}

#[test]
fn r26_an_early_proposal_with_an_exchanged_body_gives_way_to_the_true_one() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let lie = hollow(&mut s, &block);
    for body in [&lie, &block, &lie] {
        assert_eq!(s.give(&s.pre_prepare(2, 1, body)), []);
    }
    let begun = s.new_view(2, empty_changes(&s, 2, 9), Vec::new());
    assert_eq!(s.give(&begun), []);
    assert_eq!(s.names(), ["PREPARE"]);
}

const PATIENT: Config = Config {
    checkpoint_interval: 2,
    window: 8,
    pipeline: 8,
    request_timeout: Duration::from_secs(20),
    request_deadline: Duration::from_mins(1),
    view_change_timeout: Duration::from_secs(20),
    status_interval: Duration::from_millis(1_600),
};

#[test]
fn r34_an_old_status_that_a_liar_repeats_does_not_use_up_the_answers_to_its_sender() {
    let mut s = Script::new(4, 1, PATIENT);
    let chain = s.chain(3);
    s.decide(&chain);
    let status = |s: &Script, executed: u64, attempt: u64| {
        let report = Report {
            view: View(0),
            active: true,
            executed: Seq(executed),
            stable: Seq(0),
            prepared: Seq(0),
            asks: Asks::Everyone,
            attempt,
            echo: 0,
            open: Vec::new(),
        };
        PbftMessage::Status(Arc::new(s.net.keys[2].sign(NodeId(2), report)))
    };
    let old = status(&s, 0, 1);
    s.net.run(Duration::from_secs(1));
    assert_eq!(s.give(&old), []);
    s.net.run(Duration::from_secs(1));
    assert_eq!(s.give(&status(&s, 1, 2)), [], "it has come further");
    for attempt in 3..10 {
        s.net.run(Duration::from_secs(1));
        s.give(&old);
        s.net.run(Duration::from_millis(50));
        s.said();
        assert_eq!(s.give(&status(&s, 1, attempt)), [], "a true question");
        assert!(
            s.said().iter().any(|said| said.kind().name != "STATUS"),
            "an answer"
        );
    }
}

#[test]
fn no_block_off_the_chain_has_a_commit_certificate_that_an_outsider_would_believe() {
    // Votes for slot 1 are lost in view 0: nobody lies. Slots 2 and 3 are decided all the same, on a
    // parent that the next view leaves out.
    let mut net = net_with(
        4,
        Config {
            request_timeout: Duration::from_millis(500),
            view_change_timeout: Duration::from_millis(500),
            status_interval: Duration::from_millis(200),
            ..PATIENT
        },
    );
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let slot = sent.message.slot();
        let vote = matches!(
            &*sent.message,
            PbftMessage::Prepare(_) | PbftMessage::Commit(_)
        );
        let lost = vote && (slot.view.0, slot.seq.0) == (0, 1);
        (!lost).then(|| Arc::clone(&sent.message))
    }));
    for _ in 0..3 {
        net.submit();
    }
    net.run(Duration::from_secs(10));
    net.check_done(&[0, 1, 2, 3]);
    check_certificates(&net);
}

/// Whoever holds q COMMITs for a block may believe that it is on the chain (deviation 9).
pub(crate) fn check_certificates(net: &Net) {
    let chain = &net.replica(0).host.chain;
    let mut commits: BTreeMap<_, BTreeMap<NodeId, _>> = BTreeMap::new();
    for sent in &net.trace {
        if let PbftMessage::Commit(vote) = &*sent.message {
            let said = commits.entry(*vote.body()).or_default();
            said.insert(sent.from, vote.clone());
        }
    }
    for (vote, said) in commits {
        let on_chain = chain.iter().any(|block| block.id() == vote.digest);
        if said.len() >= net.committee.quorum() && vote.digest != Digest::ZERO && !on_chain {
            let certificate = Certificate::collect(said.values()).expect("a quorum");
            let proof = Finality::Certificate(certificate);
            let believed = check_finality(vote.digest, &proof, &net.committee, FINALITY);
            panic!("{vote:?} is off the chain, and an outsider says {believed:?}");
        }
    }
}

#[test]
fn r37_a_vote_that_others_repeat_does_not_fill_the_share_of_its_signer() {
    let mut s = script(4, 1);
    let chain = s.chain(2);
    let early = s.commit(2, 1, 1, chain[0].id());
    for _ in 0..100 {
        assert_eq!(s.give(&early), []);
    }
    assert_eq!(
        s.give(&s.commit(2, 1, 2, chain[1].id())),
        [],
        "its own word"
    );
}
