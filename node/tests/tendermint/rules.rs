//! Each rule of Algorithm 1 by itself: what one validator says to the words of others.

use std::time::Duration;

use consortium_node::{
    engine::{Recovery, Refusal},
    tendermint::{Config, PREVOTE, TendermintMessage, Timer},
    types::{NodeId, Seq},
};

use crate::script::{NIL, Script};

const PROPOSE: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn tm1_the_proposer_offers_a_fresh_block_without_a_valid_round() {
    let mut s = Script::new(0);
    let said = s.said();
    let TendermintMessage::Proposal(said) = &*said[0] else {
        panic!("{said:?}");
    };
    let claim = *said.claim.body();
    assert_eq!((claim.height, claim.valid_round), (Seq(1), None));
    assert!(said.polka.is_none());
    assert_eq!(said.block.header().proposer, NodeId(0));
}

/// Validator 1 prevoted and locked the block of round 0, and round 1 begins, which is its own.
fn locked() -> (Script, consortium_node::types::Digest) {
    let mut s = Script::new(1);
    let block = s.offer(0);
    s.prevotes(&[0, 2], 0, block.id());
    assert_eq!(s.engine().locked(), Some((0, block.id())));
    assert_eq!(s.engine().valid(), Some((0, block.id())));
    let expected = [("PREVOTE", 0, block.id()), ("PRECOMMIT", 0, block.id())];
    assert_eq!(s.words(), expected);
    s.precommits(&[0, 2, 3], 0, NIL);
    s.fire(Timer::Precommit(Seq(1), 0));
    (s, block.id())
}

#[test]
fn tm1_tm17_the_proposer_offers_its_valid_value_again_with_the_polka() {
    let (mut s, block) = locked();
    let said = s.said();
    let TendermintMessage::Proposal(proposal) = &*said[0] else {
        panic!("{said:?}");
    };
    let claim = proposal.claim.body();
    assert_eq!((claim.digest, claim.valid_round), (block, Some(0)));
    let polka = proposal.polka.as_ref().expect("a polka");
    assert_eq!((polka.vote().phase, polka.vote().digest), (PREVOTE, block));
}

#[test]
fn tm2_a_valid_fresh_block_is_prevoted_by_one_that_is_not_locked() {
    let mut s = Script::new(2);
    let block = s.offer(0);
    assert_eq!(s.words(), [("PREVOTE", 0, block.id())]);
    // Once.
    s.give(&s.proposal(0, &block, None, None));
    assert_eq!(s.words(), []);
}

#[test]
fn tm2_a_block_that_the_host_refuses_gets_nil() {
    let mut s = Script::new(2);
    let block = s.block(0);
    let bad = block.transactions()[0].id();
    s.net.replicas[2].host.bad.insert(bad);
    s.give(&s.proposal(0, &block, None, None));
    assert_eq!(s.words(), [("PREVOTE", 0, NIL)]);
}

#[test]
fn tm2_one_that_is_locked_prevotes_nil_for_another_block_and_again_for_the_same() {
    for same in [false, true] {
        let mut s = Script::new(1);
        let block = s.offer(0);
        s.prevotes(&[0, 2], 0, block.id());
        // The proposer of round 4 is that of round 0.
        s.precommits(&[2, 3], 4, NIL);
        s.words();
        let other = s.block(0);
        let offered = if same { &block } else { &other };
        s.give(&s.proposal(4, offered, None, None));
        let digest = if same { block.id() } else { NIL };
        assert_eq!(s.words(), [("PREVOTE", 4, digest)]);
        assert_eq!(s.engine().locked(), Some((0, block.id())));
    }
}

#[test]
fn tm2_a_fresh_block_is_the_proposers_own() {
    let mut s = Script::new(2);
    let block = s.block(3);
    s.give(&s.proposal(0, &block, None, None));
    assert_eq!(s.words(), [("PREVOTE", 0, NIL)]);
}

#[test]
fn tm3_a_later_polka_unlocks() {
    let (mut s, _) = locked();
    s.idle_round(1);
    s.words();
    let other = s.block(1);
    s.give(&s.proposal(2, &other, Some(1), None));
    assert_eq!(s.words(), [], "the polka of round 1 is not here yet");
    let polka = s.certificate(&[0, 2, 3], PREVOTE, 1, other.id());
    s.give(&s.proposal(2, &other, Some(1), Some(polka)));
    assert_eq!(s.words(), [("PREVOTE", 2, other.id())]);
}

#[test]
fn tm3_an_earlier_polka_does_not_unlock() {
    let mut s = Script::new(1);
    s.idle_round(0);
    s.idle_round(1);
    s.words();
    let block = s.offer(2);
    s.prevotes(&[0, 2], 2, block.id());
    assert_eq!(s.engine().locked(), Some((2, block.id())));
    s.precommits(&[0, 2, 3], 2, NIL);
    s.fire(Timer::Precommit(Seq(1), 2));
    s.words();
    let other = s.block(0);
    let polka = s.certificate(&[0, 2, 3], PREVOTE, 0, other.id());
    s.give(&s.proposal(3, &other, Some(0), Some(polka)));
    assert_eq!(s.words(), [("PREVOTE", 3, NIL)]);
}

#[test]
fn tm3_a_polka_that_does_not_hold_is_refused() {
    let (mut s, _) = locked();
    s.idle_round(1);
    s.words();
    let other = s.block(1);
    let few = s.certificate(&[2, 3], PREVOTE, 1, other.id());
    let message = s.proposal(2, &other, Some(1), Some(few));
    assert_eq!(s.give(&message), [Refusal::Malformed]);
    let late = s.proposal(2, &other, Some(2), None);
    assert_eq!(s.give(&late), [Refusal::Malformed]);
    assert_eq!(s.words(), []);
}

#[test]
fn tm4_tm11_prevotes_of_a_quorum_start_the_timeout_and_it_ends_in_nil() {
    let mut s = Script::new(2);
    let block = s.offer(0);
    s.words();
    s.prevotes(&[0], 0, block.id());
    s.net.run(2 * SECOND);
    assert_eq!(s.words(), [], "two of four are no quorum");
    s.prevotes(&[3], 0, NIL);
    s.net.run(SECOND / 2);
    assert_eq!(s.words(), []);
    s.net.run(SECOND);
    assert_eq!(s.words(), [("PRECOMMIT", 0, NIL)]);
    // A stale timer changes nothing.
    s.fire(Timer::Prevote(Seq(1), 0));
    assert_eq!(s.words(), []);
}

#[test]
fn tm5_a_late_polka_sets_the_valid_value_and_no_lock() {
    let mut s = Script::new(2);
    let block = s.offer(0);
    s.prevotes(&[0], 0, block.id());
    s.fire(Timer::Prevote(Seq(1), 0));
    s.words();
    s.prevotes(&[3], 0, block.id());
    assert_eq!(s.words(), []);
    assert_eq!(s.engine().locked(), None);
    assert_eq!(s.engine().valid(), Some((0, block.id())));
}

#[test]
fn tm5_a_polka_waits_for_its_block() {
    let mut s = Script::new(2);
    let block = s.block(0);
    s.fire(Timer::Propose(Seq(1), 0));
    s.prevotes(&[0, 1, 3], 0, block.id());
    assert_eq!(s.words(), [("PREVOTE", 0, NIL)]);
    s.give(&s.proposal(0, &block, None, None));
    assert_eq!(s.words(), [("PRECOMMIT", 0, block.id())]);
}

#[test]
fn tm6_a_quorum_for_nil_ends_the_step_at_once() {
    let mut s = Script::new(2);
    s.offer(0);
    s.words();
    s.prevotes(&[0, 1, 3], 0, NIL);
    assert_eq!(s.words(), [("PRECOMMIT", 0, NIL)]);
}

#[test]
fn tm7_tm12_precommits_of_a_quorum_start_the_timeout_to_the_next_round() {
    let mut s = Script::new(1);
    s.offer(0);
    s.precommits(&[0, 2], 0, NIL);
    s.net.run(2 * SECOND);
    assert_eq!(s.words().len(), 1, "its PREVOTE");
    s.precommits(&[3], 0, NIL);
    s.net.run(SECOND);
    let words = s.words();
    let kinds: Vec<_> = words.iter().map(|word| (word.0, word.1)).collect();
    assert_eq!(kinds, [("PROPOSAL", 1), ("PREVOTE", 1)], "its own round");
}

#[test]
fn tm8_a_quorum_of_any_round_decides() {
    for round in [0, 1] {
        let mut s = Script::new(2);
        let block = s.offer(0);
        if round == 1 {
            s.idle_round(0);
            let polka = s.certificate(&[0, 1, 3], PREVOTE, 0, block.id());
            s.give(&s.proposal(1, &block, Some(0), Some(polka)));
            s.idle_round(1);
        }
        s.precommits(&[0, 1], round, block.id());
        if round == 0 {
            assert_eq!(s.chain(), []);
            s.precommits(&[3], round, block.id());
            assert_eq!(s.chain(), [block.id()]);
            assert_eq!(s.engine().locked(), None);
        } else {
            // Two said something else before: that is evidence, and the certificate holds all the same.
            assert_eq!(s.chain(), []);
            let message = s.decided(&[0, 1, 3], round, &block);
            s.give(&message);
            assert_eq!(s.chain(), [block.id()]);
        }
    }
}

#[test]
fn tm8_a_decision_that_does_not_hold_is_refused() {
    let mut s = Script::new(2);
    let block = s.block(0);
    let message = s.decided(&[0, 1], 0, &block);
    assert_eq!(s.give(&message), [Refusal::Malformed]);
    let TendermintMessage::Polka(polka) = s.polka(&[0, 1, 3], 0, &block) else {
        unreachable!("a polka");
    };
    let prevotes = (*polka.certificate).clone();
    let message = TendermintMessage::Decided(
        consortium_node::tendermint::Decided {
            certificate: prevotes,
            block,
        }
        .into(),
    );
    assert_eq!(s.give(&message), [Refusal::Malformed]);
    assert_eq!(s.chain(), []);
}

#[test]
fn tm9_messages_of_f_plus_1_members_for_later_rounds_start_it() {
    let mut s = Script::new(2);
    s.prevotes(&[0], 5, NIL);
    s.prevotes(&[0], 7, NIL);
    assert_eq!(s.engine_round(), 0, "one may lie");
    s.precommits(&[3], 5, NIL);
    assert_eq!(s.engine_round(), 5);
    assert_eq!(s.words(), []);
    s.fire(Timer::Propose(Seq(1), 5));
    assert_eq!(s.words(), [("PREVOTE", 5, NIL)]);
}

#[test]
fn tm10_tm13_timeouts_grow_with_the_round() {
    let mut s = Script::new(2);
    s.net.run(PROPOSE);
    assert_eq!(s.words(), [("PREVOTE", 0, NIL)]);
    s.precommits(&[0, 1], 3, NIL);
    let longer = PROPOSE + 3 * Config::default().timeout_delta;
    s.net.run(PROPOSE);
    assert_eq!(s.words(), []);
    s.net.run(longer.saturating_sub(PROPOSE));
    assert_eq!(s.words(), [("PREVOTE", 3, NIL)]);
}

#[test]
fn tm14_only_the_proposer_of_the_round_proposes() {
    let mut s = Script::new(2);
    let block = s.block(0);
    let TendermintMessage::Proposal(mut said) = s.proposal(0, &block, None, None) else {
        unreachable!("a proposal");
    };
    let claim = *said.claim.body();
    said.claim = s.net.keys[3].sign(NodeId(3), claim);
    let message = TendermintMessage::Proposal(said);
    assert_eq!(s.give(&message), [Refusal::WrongSender]);
    assert_eq!(s.words(), []);
}

#[test]
fn tm15_f_plus_1_voters_wake_one_that_has_nothing_to_order() {
    let mut s = Script::new(2);
    // Its host says nothing of what waits.
    s.net.replicas[2].host.patient = true;
    s.net.crash(2);
    s.net.restart(2, Recovery::Clean);
    s.net.run(60 * SECOND);
    s.words();
    s.precommits(&[0], 0, NIL);
    s.net.run(60 * SECOND);
    assert_eq!(s.words(), []);
    s.precommits(&[1], 0, NIL);
    s.net.run(PROPOSE);
    assert_eq!(s.words(), [("PREVOTE", 0, NIL)]);
}

#[test]
fn tm17_a_polka_that_was_missed_comes_as_a_whole() {
    let mut s = Script::new(2);
    let block = s.block(0);
    s.fire(Timer::Propose(Seq(1), 0));
    s.words();
    // Member 3 told us nil, and another one the block.
    s.prevotes(&[3], 0, NIL);
    let message = s.polka(&[0, 1, 3], 0, &block);
    assert_eq!(s.give(&message), []);
    assert_eq!(s.words(), [("PRECOMMIT", 0, block.id())]);
    assert_eq!(s.engine().locked(), Some((0, block.id())));
}

#[test]
fn tm17_a_polka_of_a_later_round_shows_that_a_quorum_is_there() {
    let mut s = Script::new(2);
    let block = s.block(5);
    let message = s.polka(&[0, 1, 3], 5, &block);
    s.give(&message);
    assert_eq!(s.engine_round(), 5);
    s.fire(Timer::Propose(Seq(1), 5));
    let expected = [("PREVOTE", 5, NIL), ("PRECOMMIT", 5, block.id())];
    assert_eq!(s.words(), expected);
}

#[test]
fn tm24_one_sender_cannot_fill_the_memory() {
    let mut s = Script::new(2);
    for round in 1..500 {
        s.prevotes(&[0], round, NIL);
        s.precommits(&[0], round, NIL);
        let block = s.block(round);
        if s.net.committee.turn(round) == NodeId(0) {
            s.give(&s.proposal(round, &block, None, None));
        }
    }
    assert!(s.engine().kept() <= 6, "{}", s.engine().kept());
    assert_eq!(s.engine_round(), 0);
}

#[test]
fn tm22_words_of_another_epoch_or_of_outsiders_count_for_nothing() {
    let mut s = Script::new(2);
    let mut vote = *s.vote(0, PREVOTE, 0, NIL).body();
    vote.view.0 += 1 << 32;
    let signed = s.net.keys[0].sign(NodeId(0), vote);
    let message = TendermintMessage::Prevote(signed);
    assert_eq!(s.give(&message), [Refusal::Malformed]);
    let stolen = s.net.keys[0].sign(NodeId(1), *s.vote(0, PREVOTE, 0, NIL).body());
    let message = TendermintMessage::Prevote(stolen);
    assert_eq!(s.give(&message), [Refusal::BadSignature]);
    let nobody = s.net.keys[0].sign(NodeId(9), *s.vote(0, PREVOTE, 0, NIL).body());
    let message = TendermintMessage::Prevote(nobody);
    assert_eq!(s.give(&message), [Refusal::WrongSender]);
    let phase = s.vote(0, PREVOTE, 0, NIL);
    let message = TendermintMessage::Precommit(phase);
    assert_eq!(s.give(&message), [Refusal::Malformed]);
}

impl Script {
    fn engine_round(&self) -> u64 {
        use consortium_node::engine::Engine as _;
        self.engine().status().view.round()
    }
}
