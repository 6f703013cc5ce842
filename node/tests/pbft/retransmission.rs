//! R34 and R37: retransmission, and bounds on what liars can make a replica keep or send.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::{Message as _, Refusal, Tale},
    pbft::{Asks, COMMIT, Config, Decided, Fetch, PREPARE, PbftMessage, Report},
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    net, net_with,
    script::Script,
    support::{DELTA, Sent},
};

const CONFIG: Config = Config {
    checkpoint_interval: 4,
    window: 16,
    pipeline: 4,
    request_timeout: Duration::from_secs(20),
    request_deadline: Duration::from_mins(1),
    view_change_timeout: Duration::from_secs(20),
    status_interval: Duration::from_millis(500),
};

fn report(s: &Script, from: u16, view: u64, active: bool, executed: u64) -> PbftMessage {
    let report = Report {
        view: View(view),
        active,
        executed: Seq(executed),
        stable: Seq(0),
        prepared: Seq(0),
        asks: Asks::InReturn,
        attempt: 0,
        echo: 0,
        open: Vec::new(),
    };
    let key = &s.net.keys[from as usize];
    PbftMessage::Status(Arc::new(key.sign(NodeId(from), report)))
}

#[test]
fn r34_each_kind_of_message_of_the_normal_case_may_be_lost_once() {
    for lost in ["PRE-PREPARE", "PREPARE", "COMMIT", "CHECKPOINT"] {
        let mut net = net_with(4, CONFIG);
        net.tamper = Some(Box::new(move |sent: &Sent<PbftMessage>| {
            let gone = sent.at.0 < 200_000_000 && sent.message.kind().name == lost;
            (!gone).then(|| Arc::clone(&sent.message))
        }));
        for _ in 0..8 {
            net.submit();
        }
        net.run_until_quiet(Duration::from_secs(19));
        net.check_done(&[0, 1, 2, 3]);
        assert_eq!(net.replica(3).engine.watermarks().0, Seq(8), "{lost}");
        assert!(
            !net.told(1, |tale| matches!(tale, Tale::Suspected(_))),
            "{lost}"
        );
    }
}

#[test]
fn r34_a_lost_view_change_and_a_lost_new_view_are_sent_again() {
    for lost in ["VIEW-CHANGE", "NEW-VIEW"] {
        let config = Config {
            request_timeout: Duration::from_secs(2),
            ..CONFIG
        };
        let mut net = net_with(4, config);
        net.crash(0);
        net.tamper = Some(Box::new(move |sent: &Sent<PbftMessage>| {
            let gone = sent.at.0 < 2_300_000_000 && sent.message.kind().name == lost;
            (!gone).then(|| Arc::clone(&sent.message))
        }));
        net.submit();
        net.run(Duration::from_secs(5));
        net.check_done(&[1, 2, 3]);
        let late = |tale: &Tale| matches!(tale, Tale::Suspected(view) if view.0 > 1);
        assert!(
            !net.told(1, late),
            "{lost}: the first view change was enough"
        );
    }
}

#[test]
fn r34_messages_that_arrive_again_have_no_effect() {
    let mut net = net_with(4, CONFIG);
    for _ in 0..6 {
        net.submit();
    }
    net.run_until_quiet(Duration::from_secs(5));
    let before = net.trace.len();
    let chain = net.replica(1).host.chain.clone();
    for sent in net.trace.clone() {
        net.inject(sent.from, sent.to, &sent.message);
    }
    assert_eq!(net.trace.len(), before, "nothing was sent in return");
    assert_eq!(net.replica(1).host.chain, chain);
    assert!(
        net.replica(1)
            .refusals
            .iter()
            .all(|reason| *reason == Refusal::Stale)
    );
}

#[test]
fn r34_an_answer_holds_what_the_sender_lacks_and_no_more() {
    let mut s = Script::new(4, 1, CONFIG);
    let chain = s.chain(6);
    s.decide(&chain[..5]);
    s.give(&s.pre_prepare(0, 6, &chain[5]));
    s.said();
    s.net.run(Duration::from_millis(100));
    s.give(&report(&s, 2, 0, true, 3));
    assert_eq!(s.names(), ["CHECKPOINT", "DECIDED", "DECIDED", "PREPARE"]);
    s.net.run(Duration::from_millis(100));
    s.give(&report(&s, 2, 0, true, 5));
    assert_eq!(s.names(), ["CHECKPOINT", "PREPARE"]);
    s.net.run(Duration::from_millis(100));
    s.give(&report(&s, 2, 7, true, 5));
    assert_eq!(
        s.names(),
        ["CHECKPOINT"],
        "votes of a view that is over there are no use"
    );
}

#[test]
fn r34_a_decided_slot_needs_a_commit_certificate_and_its_block() {
    let mut s = Script::new(4, 1, CONFIG);
    let chain = s.chain(2);
    let (one, two) = (Arc::clone(&chain[0]), Arc::clone(&chain[1]));
    let decided = |certificate, block| PbftMessage::Decided(Decided { certificate, block });
    let proof = |signers: &[u16], phase, seq| s.certificate(signers, phase, 0, seq, one.id());
    let cases = [
        (
            decided(proof(&[0, 2], COMMIT, 1), Some(one.clone())),
            Refusal::BadSignature,
        ),
        (
            decided(proof(&[0, 2, 2], COMMIT, 1), Some(one.clone())),
            Refusal::BadSignature,
        ),
        (
            decided(proof(&[0, 2, 3], PREPARE, 1), Some(one.clone())),
            Refusal::Malformed,
        ),
        (
            decided(proof(&[0, 2, 3], COMMIT, 1), Some(two)),
            Refusal::Malformed,
        ),
        (
            decided(proof(&[0, 2, 3], COMMIT, 1), None),
            Refusal::Malformed,
        ),
        (
            decided(proof(&[0, 2, 3], COMMIT, 17), Some(one.clone())),
            Refusal::TooFar,
        ),
    ];
    let right = decided(proof(&[0, 2, 3], COMMIT, 1), Some(one.clone()));
    for (message, reason) in cases {
        assert_eq!(s.give(&message), [reason]);
        assert_eq!(s.executed(), []);
    }
    assert_eq!(s.give(&right), []);
    assert_eq!(s.executed(), [one.id()]);
    assert_eq!(s.give(&right), [Refusal::Stale]);
}

#[test]
fn r34_status_and_fetch_are_answered_to_members_only_and_not_too_often() {
    let mut s = Script::new(4, 1, CONFIG);
    let chain = s.chain(1);
    s.decide(&chain);
    s.said();
    s.net.run(DELTA);
    let question = report(&s, 2, 0, true, 0);
    assert_eq!(s.give(&question), []);
    assert_eq!(s.names(), ["DECIDED"]);
    assert_eq!(
        s.give(&question),
        [Refusal::Stale],
        "an answer is under way"
    );
    assert_eq!(s.names(), [""; 0]);
    let fetch = |key: u16, name: u16| {
        let digest = chain[0].id();
        let fetch = s.net.keys[key as usize].sign(NodeId(name), Fetch { digest });
        PbftMessage::Fetch(fetch)
    };
    let (right, stolen, outsider) = (fetch(2, 2), fetch(3, 2), fetch(3, 8));
    assert_eq!(s.give(&stolen), [Refusal::BadSignature]);
    assert_eq!(s.give(&outsider), [Refusal::WrongSender]);
    assert_eq!(s.give(&right), []);
    assert_eq!(s.names(), ["BODY"]);
}

#[test]
fn r37_a_liar_fills_its_own_share_of_the_buffers_and_no_more() {
    let mut s = Script::new(4, 1, CONFIG);
    let block = s.chain(1).remove(0);
    let (votes, proposals) = (2 * CONFIG.window, 2 * CONFIG.pipeline);
    let mut kept = 0;
    for i in 0..10_000 {
        let view = 5 + i / 16;
        if s.give(&s.prepare(3, view, 1 + i % 16, block.id()))
            .is_empty()
        {
            kept += 1;
        }
    }
    // For views that it leads itself its PREPAREs are refused anyway.
    assert_eq!(kept, votes);
    let mut kept = 0;
    for i in 0..1_000 {
        if s.give(&s.pre_prepare(7 + 4 * (i / 16), 1 + i % 16, &block))
            .is_empty()
        {
            kept += 1;
        }
    }
    assert_eq!(kept, proposals);
    // Another member's share is untouched.
    assert_eq!(s.give(&s.prepare(2, 5, 1, block.id())), []);
}

#[test]
fn r37_views_and_slots_at_the_end_of_their_numbers_do_no_harm() {
    let mut s = Script::new(4, 1, CONFIG);
    let block = s.chain(1).remove(0);
    let d = block.id();
    let max = u64::MAX;
    for (view, seq) in [(max, 1), (max, max), (0, max), (max - 1, max - 1)] {
        s.give(&s.pre_prepare(view, seq, &block));
        s.give(&s.prepare(3, view, seq, d));
        s.give(&s.commit(3, view, seq, d));
        s.give(&PbftMessage::Decided(Decided {
            certificate: s.certificate(&[0, 2, 3], COMMIT, view, seq.max(100), d),
            block: Some(Arc::clone(&block)),
        }));
    }
    let multiple = max - max % CONFIG.checkpoint_interval;
    s.give(&s.checkpoint(3, multiple, d));
    s.give(&report(&s, 3, max, true, max));
    s.net.run(Duration::from_secs(1));
    s.give(&report(&s, 3, max, false, max - 1));
    let change = s.view_change(3, max, None, vec![]);
    s.give(&PbftMessage::ViewChange(change));
    // It still works.
    s.give(&s.pre_prepare(0, 1, &block));
    assert!(s.names().contains(&"PREPARE"));
    // Even when everybody else goes to the last view.
    for from in [0, 2] {
        let change = s.view_change(from, max, None, vec![]);
        s.give(&PbftMessage::ViewChange(change));
    }
    s.net.run(Duration::from_secs(200));
    assert_eq!(s.executed(), []);
}

#[test]
fn r37_answers_and_lists_are_bounded() {
    let mut s = Script::new(
        4,
        1,
        Config {
            window: 128,
            ..CONFIG
        },
    );
    let chain = s.chain(100);
    s.decide(&chain);
    s.said();
    s.net.run(Duration::from_millis(100));
    s.give(&report(&s, 2, 0, true, 0));
    let decided = s.names().iter().filter(|name| **name == "DECIDED").count();
    assert_eq!(decided, 32);
    let long = Report {
        view: View(0),
        active: true,
        executed: Seq(0),
        stable: Seq(0),
        prepared: Seq(0),
        asks: Asks::You,
        attempt: 0,
        echo: 0,
        open: vec![consortium_node::pbft::Lacks::Commits; 33],
    };
    let long = s.net.keys[2].sign(NodeId(2), long);
    assert_eq!(
        s.give(&PbftMessage::Status(Arc::new(long))),
        [Refusal::Malformed]
    );
}

#[test]
fn work_names_the_signatures_that_a_step_makes() {
    use consortium_node::{
        engine::{Engine as _, Input, Outbox},
        pbft::Pbft,
        types::LocalTime,
    };
    let mut s = Script::new(4, 1, CONFIG);
    let chain = s.chain(1);
    let message = s.pre_prepare(0, 1, &chain[0]);
    let key = Arc::clone(&s.net.keys[1]);
    let committee = Arc::clone(&s.net.committee);
    let mut engine = Pbft::new(CONFIG, NodeId(1), key, committee, s.net.genesis.id());
    let mut out = Outbox::default();
    let from = NodeId(0);
    let message = &message;
    engine.step(
        LocalTime::default(),
        Input::Message { from, message },
        &mut out,
    );
    assert_eq!(
        out.work.signatures, 0,
        "the host has to judge the block first"
    );
    let (block, verdict) = (chain[0].id(), Ok(()));
    engine.step(
        LocalTime::default(),
        Input::Validated { block, verdict },
        &mut out,
    );
    assert_eq!(out.work.signatures, 1, "the PREPARE");
}

#[test]
fn a_network_of_real_bytes_and_one_of_values_send_the_same() {
    let run = |bytes: bool| {
        let mut net = net(4);
        if bytes {
            net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
                let bytes = consortium_node::codec::encode(&*sent.message);
                Some(Arc::new(
                    consortium_node::codec::decode(&bytes).expect("well-formed"),
                ))
            }));
        }
        for _ in 0..3 {
            net.submit();
            net.run(DELTA);
        }
        net.crash(0);
        net.submit();
        net.run(Duration::from_secs(9));
        net.check_done(&[1, 2, 3]);
        let label = |sent: &Sent<PbftMessage>| (sent.at, sent.from, sent.to, sent.message.slot());
        let trace: Vec<_> = net.trace.iter().map(label).collect();
        let head: Digest = net.replica(1).host.results.state_root;
        (trace, head)
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn r37_a_proposal_that_others_repeat_does_not_fill_the_share_of_its_primary() {
    let mut s = Script::new(4, 1, CONFIG);
    let chain = s.chain(2 * CONFIG.pipeline as usize);
    for _ in 0..100 {
        assert_eq!(s.give(&s.pre_prepare(7, 1, &chain[0])), []);
    }
    for (block, seq) in chain.iter().zip(1..) {
        assert_eq!(s.give(&s.pre_prepare(7, seq, block)), [], "slot {seq}");
    }
}

#[test]
fn r37_a_block_that_is_under_way_is_not_sent_again_for_a_repeated_question() {
    let mut s = Script::new(4, 1, CONFIG);
    let chain = s.chain(2);
    s.decide(&chain);
    s.said();
    let fetch = |seq: usize| {
        let digest = chain[seq].id();
        PbftMessage::Fetch(s.net.keys[2].sign(NodeId(2), Fetch { digest }))
    };
    let (first, second) = (fetch(0), fetch(1));
    assert_eq!(s.give(&first), []);
    for _ in 0..10 {
        assert_eq!(s.give(&first), [Refusal::Stale]);
    }
    assert_eq!(s.give(&second), [], "another block");
    s.net.run(CONFIG.status_interval);
    assert_eq!(s.give(&first), [], "it may have been lost");
    let bodies = s.names().iter().filter(|name| **name == "BODY").count();
    assert_eq!(bodies, 3);
}

#[test]
fn r37_of_each_member_one_view_change_is_kept_however_many_it_sends() {
    let mut s = Script::new(4, 1, CONFIG);
    for target in 1..200 {
        let change = s.view_change(3, target, None, vec![]);
        s.give(&PbftMessage::ViewChange(change));
    }
    s.said();
    // Two more ask for view 5 = the primary is replica 1 itself: the liar's word for it is gone, and only
    // its highest one is there, which is not for view 5.
    for from in [0, 2] {
        let change = s.view_change(from, 5, None, vec![]);
        s.give(&PbftMessage::ViewChange(change));
    }
    let said = s.said();
    let senders = said.iter().find_map(|said| match &**said {
        PbftMessage::NewView(message) => {
            let changes = message.body().changes.iter();
            Some(changes.map(|change| change.signer().0).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(senders, Some(vec![0, 1, 2]));
}
