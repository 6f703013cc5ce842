//! R1–R12, R41 and R42 in the normal case, seen by one replica.

use std::sync::Arc;

use consortium_node::{
    block::Block,
    engine::{Engine as _, Message as _, Refusal, Relay, ReplyRule, Tale},
    pbft::{COMMIT, Config, PREPARE, PbftMessage, PrePrepare, Proposal, Record},
    quorum::Vote,
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    net,
    script::{Script, foreign_key},
    support::DELTA,
};

fn script(n: usize, me: u16) -> Script {
    Script::new(n, me, Config::default())
}

#[test]
fn r1_what_is_not_signed_by_the_member_that_it_names_for_this_chain_is_refused() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let vote = |view| Vote {
        phase: PREPARE,
        view: View(view),
        slot: Seq(1),
        digest: block.id(),
    };
    let mine = Arc::clone(&s.net.keys[3]);
    let stolen = PbftMessage::Prepare(mine.sign(NodeId(2), vote(0)));
    assert_eq!(s.give(&stolen), [Refusal::BadSignature]);
    let foreign = PbftMessage::Prepare(foreign_key(3).sign(NodeId(2), vote(0)));
    assert_eq!(s.give(&foreign), [Refusal::BadSignature]);
    let outsider = PbftMessage::Prepare(mine.sign(NodeId(9), vote(0)));
    assert_eq!(s.give(&outsider), [Refusal::WrongSender]);
    let (view, seq, digest) = (View(0), Seq(1), block.id());
    let claim = mine.sign(NodeId(3), Proposal { view, seq, digest });
    let usurper = PrePrepare {
        claim,
        block: Some(Arc::clone(&block)),
    };
    assert_eq!(
        s.give(&PbftMessage::PrePrepare(usurper)),
        [Refusal::WrongSender]
    );
    let claim = mine.sign(NodeId(0), Proposal { view, seq, digest });
    let forged = PrePrepare {
        claim,
        block: Some(block),
    };
    assert_eq!(
        s.give(&PbftMessage::PrePrepare(forged)),
        [Refusal::BadSignature]
    );
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn r1_the_primary_of_view_v_is_replica_v_modulo_n() {
    for n in [4, 5, 7] {
        let s = script(n, 1);
        for view in 0..20 {
            assert_eq!(u64::from(s.leader(view)), view % n as u64);
        }
    }
}

#[test]
fn r2_r5_a_block_that_orders_something_again_gets_no_prepare() {
    let mut s = script(4, 1);
    let first = s.chain(1).remove(0);
    s.decide(&[Arc::clone(&first)]);
    s.names();
    let again = s.block_of(&first, first.transactions().to_vec(), 5);
    assert_eq!(s.give(&s.pre_prepare(0, 2, &again)), [Refusal::BadBlock]);
    assert_eq!(s.names(), [""; 0]);
    let twice = s.net.transaction();
    let twice = s.block_of(&first, vec![Arc::clone(&twice), twice], 6);
    let mut s = script(4, 1);
    s.decide(&[Arc::clone(&first)]);
    s.names();
    assert_eq!(s.give(&s.pre_prepare(0, 2, &twice)), [Refusal::BadBlock]);
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn r3_r4_a_submitter_needs_f_plus_1_answers_and_nodes_relay_to_the_primary() {
    let s = script(4, 1);
    assert_eq!(s.engine().reply_rule(), ReplyRule::WeakQuorum);
    assert_eq!(s.engine().relay(), Relay::Leader);
}

#[test]
fn r6_a_proposal_is_accepted_only_in_its_view_and_between_the_watermarks() {
    let mut s = script(4, 1);
    let high = s.engine().watermarks().1.0;
    let block = s.chain(1).remove(0);
    for seq in [0, high * 2 + 1, u64::MAX] {
        assert_ne!(s.give(&s.pre_prepare(0, seq, &block)), [], "slot {seq}");
    }
    assert_eq!(
        s.give(&s.pre_prepare(0, high + 1, &block)),
        [],
        "kept for later"
    );
    assert_eq!(
        s.give(&s.pre_prepare(4, 1, &block)),
        [],
        "of view 4: kept for later"
    );
    assert_eq!(s.names(), [""; 0]);
    assert_eq!(s.give(&s.pre_prepare(0, 1, &block)), []);
    assert_eq!(s.names(), ["PREPARE"]);
}

#[test]
fn r6_a_second_digest_for_a_slot_is_refused_and_is_evidence() {
    let mut s = script(4, 1);
    let (one, other) = (s.chain(1).remove(0), s.chain(1).remove(0));
    s.give(&s.pre_prepare(0, 1, &one));
    assert_eq!(s.give(&s.pre_prepare(0, 1, &other)), [Refusal::Conflicting]);
    assert_eq!(s.give(&s.pre_prepare(0, 1, &one)), [Refusal::Stale]);
    assert_eq!(s.names(), ["PREPARE"]);
    let by_primary = |tale: &Tale| matches!(tale, Tale::Equivocation { by, .. } if by.0 == 0);
    assert!(s.net.told(1, by_primary));
}

#[test]
fn r6_body_and_digest_must_match_and_null_requests_need_a_new_view() {
    let mut s = script(4, 1);
    let (one, other) = (s.chain(1).remove(0), s.chain(1).remove(0));
    let claim = s.claim(0, 1, one.id());
    let swapped = PrePrepare {
        claim: claim.clone(),
        block: Some(other),
    };
    assert_eq!(
        s.give(&PbftMessage::PrePrepare(swapped)),
        [Refusal::Malformed]
    );
    let absent = PrePrepare { claim, block: None };
    assert_eq!(
        s.give(&PbftMessage::PrePrepare(absent)),
        [Refusal::Malformed]
    );
    let null = PrePrepare {
        claim: s.claim(0, 1, Digest::ZERO),
        block: None,
    };
    assert_eq!(s.give(&PbftMessage::PrePrepare(null)), [Refusal::Malformed]);
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn r6_a_transaction_that_the_host_finds_unauthorised_spoils_the_proposal() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let bad = block.transactions()[0].id();
    s.net.replicas[1].host.bad.insert(bad);
    assert_eq!(s.give(&s.pre_prepare(0, 1, &block)), [Refusal::BadBlock]);
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn r6_a_block_must_follow_the_slot_before_it() {
    let mut s = script(4, 1);
    let chain = s.chain(2);
    let stray = s.block(&s.net.genesis.clone());
    s.give(&s.pre_prepare(0, 1, &chain[0]));
    assert_eq!(s.give(&s.pre_prepare(0, 2, &stray)), [Refusal::BadBlock]);
    assert_eq!(s.names(), ["PREPARE"]);
}

#[test]
fn r6_proposals_out_of_order_are_accepted_in_order() {
    let mut s = script(4, 1);
    let chain = s.chain(3);
    assert_eq!(s.give(&s.pre_prepare(0, 3, &chain[2])), []);
    assert_eq!(s.give(&s.pre_prepare(0, 2, &chain[1])), []);
    assert_eq!(s.names(), [""; 0]);
    s.give(&s.pre_prepare(0, 1, &chain[0]));
    let slots: Vec<u64> = s.said().iter().map(|said| said.slot().seq.0).collect();
    assert_eq!(slots, [1, 2, 3]);
}

#[test]
fn r7_a_backup_prepares_once_and_the_primary_never() {
    let mut net = net(4);
    net.submit();
    net.run(10 * DELTA);
    let prepares = net
        .trace
        .iter()
        .filter(|sent| matches!(&*sent.message, PbftMessage::Prepare(_)));
    let mut senders: Vec<u16> = prepares.map(|sent| sent.from.0).collect();
    senders.sort_unstable();
    assert_eq!(senders, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
}

#[test]
fn r8_prepared_needs_the_proposal_and_q_minus_1_distinct_backups_for_its_digest() {
    for n in [4, 5, 6, 7, 10] {
        let mut s = script(n, 1);
        let (block, other) = (s.chain(1).remove(0), s.chain(1).remove(0));
        let digest = block.id();
        s.give(&s.pre_prepare(0, 1, &block));
        assert_eq!(s.names(), ["PREPARE"], "its own is the first");
        // The primary's PREPARE is none, a repeated one is one, another digest is another vote.
        assert_eq!(s.give(&s.prepare(0, 0, 1, digest)), [Refusal::WrongSender]);
        assert_eq!(s.give(&s.prepare(2, 0, 1, other.id())), []);
        assert_eq!(s.give(&s.prepare(2, 0, 1, digest)), [Refusal::Conflicting]);
        let more = s.quorum() - 2;
        let others: Vec<u16> = s
            .backups(0)
            .into_iter()
            .filter(|b| ![1, 2].contains(b))
            .collect();
        for from in others.iter().take(more.min(others.len())) {
            assert_eq!(s.names(), [""; 0], "n = {n}");
            s.give(&s.prepare(*from, 0, 1, digest));
            assert_eq!(s.give(&s.prepare(*from, 0, 1, digest)), [Refusal::Stale]);
        }
        let reached = others.len() >= more;
        assert_eq!(
            s.names(),
            if reached { vec!["COMMIT"] } else { vec![] },
            "n = {n}"
        );
    }
}

#[test]
fn r9_r10_q_distinct_commits_decide_and_execution_is_in_order() {
    for n in [4, 5, 6, 7, 10] {
        let mut s = script(n, 1);
        let chain = s.chain(2);
        for (seq, block) in [(2, &chain[1]), (1, &chain[0])] {
            s.give(&s.pre_prepare(0, seq, block));
            for from in s.backups(0).into_iter().filter(|b| *b != 1) {
                s.give(&s.prepare(from, 0, seq, block.id()));
            }
        }
        // Its own COMMITs are counted.
        assert_eq!(
            s.names().iter().filter(|name| **name == "COMMIT").count(),
            2
        );
        let others = s.others();
        for seq in [2, 1] {
            let digest = chain[seq - 1].id();
            for from in &others[..s.quorum() - 2] {
                s.give(&s.commit(*from, 0, seq as u64, digest));
                assert_eq!(
                    s.give(&s.commit(*from, 0, seq as u64, digest)),
                    [Refusal::Stale]
                );
            }
            assert_eq!(s.executed(), [], "q−1 do not decide, and 2 waits for 1");
            s.give(&s.commit(others[s.quorum() - 2], 0, seq as u64, digest));
        }
        assert_eq!(s.executed(), [chain[0].id(), chain[1].id()], "n = {n}");
        assert_eq!(s.names(), [""; 0], "nothing is said twice");
    }
}

#[test]
fn r9_commits_for_another_digest_decide_nothing_here() {
    let mut s = script(4, 1);
    let (one, other) = (s.chain(1).remove(0), s.chain(1).remove(0));
    s.give(&s.pre_prepare(0, 1, &one));
    for from in [0, 2, 3] {
        s.give(&s.commit(from, 0, 1, other.id()));
    }
    assert_eq!(s.executed(), [], "the block that was decided is not here");
}

#[test]
fn r9_a_phase_cannot_pass_for_another() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let commit = s.vote(2, COMMIT, 0, 1, block.id());
    assert_eq!(
        s.give(&PbftMessage::Prepare(commit.clone())),
        [Refusal::Malformed]
    );
    assert_eq!(
        s.give(&PbftMessage::Checkpoint(commit)),
        [Refusal::Malformed]
    );
    let prepare = s.vote(2, PREPARE, 0, 1, block.id());
    assert_eq!(s.give(&PbftMessage::Commit(prepare)), [Refusal::Malformed]);
}

#[test]
fn r11_votes_that_arrive_before_the_proposal_count() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    for from in [2, 3] {
        s.give(&s.prepare(from, 0, 1, block.id()));
        s.give(&s.commit(from, 0, 1, block.id()));
    }
    assert_eq!(s.names(), [""; 0]);
    s.give(&s.pre_prepare(0, 1, &block));
    assert_eq!(s.names(), ["PREPARE", "COMMIT"]);
    assert_eq!(s.executed(), [block.id()]);
}

#[test]
fn r12_what_a_vote_rests_on_is_durable_before_it_is_sent() {
    let mut net = net(4);
    net.submit();
    net.run(DELTA);
    net.crash(0);
    net.submit();
    net.run(std::time::Duration::from_secs(8));
    net.check_done(&[1, 2, 3]);
    let mut checked = 0;
    for sent in &net.trace {
        let durable = &net.replica(sent.from.0).records[..sent.records];
        let accepted = |view, seq| {
            durable.iter().any(|record| match record {
                Record::Accepted(PrePrepare { claim, .. }) => {
                    (claim.body().view, claim.body().seq) == (view, seq)
                }
                _ => false,
            })
        };
        let holds = match &*sent.message {
            PbftMessage::PrePrepare(message) => {
                accepted(message.claim.body().view, message.claim.body().seq)
            }
            PbftMessage::Prepare(vote) => accepted(vote.body().view, vote.body().slot),
            PbftMessage::Commit(vote) => durable.iter().any(|record| match record {
                Record::Prepared(proof) => {
                    let claim = proof.claim.body();
                    (claim.view, claim.seq, claim.digest)
                        == (vote.body().view, vote.body().slot, vote.body().digest)
                }
                _ => false,
            }),
            PbftMessage::ViewChange(change) => durable.iter().any(
                |record| matches!(record, Record::ViewChange(kept) if Arc::ptr_eq(kept, change)),
            ),
            PbftMessage::NewView(message) => durable.iter().any(
                |record| matches!(record, Record::NewView(kept) if Arc::ptr_eq(kept, message)),
            ),
            _ => continue,
        };
        assert!(holds, "{:?} was sent too soon", sent.message);
        checked += 1;
    }
    assert!(
        checked > 40,
        "the run had votes, a view change and a new view"
    );
}

#[test]
fn r41_a_header_with_other_transactions_never_becomes_final() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let header = consortium_node::codec::encode(block.header());
    let other = s.net.transaction();
    let bytes = [header, consortium_node::codec::encode(&vec![other])].concat();
    let hollow: Block = consortium_node::codec::decode(&bytes).expect("well-formed");
    assert_eq!(hollow.id(), block.id());
    for from in [0, 2, 3] {
        s.give(&s.commit(from, 0, 1, block.id()));
    }
    s.give(&s.pre_prepare(0, 1, &Arc::new(hollow)));
    assert_eq!(s.names(), [""; 0]);
    assert_eq!(s.executed(), []);
}

#[test]
fn r42_a_block_from_the_future_gets_no_prepare() {
    let mut s = script(4, 1);
    let transaction = s.net.transaction();
    let early = s.block_of(&s.net.genesis.clone(), vec![transaction], 3_600_000_000_000);
    assert_eq!(s.give(&s.pre_prepare(0, 1, &early)), [Refusal::BadBlock]);
    assert_eq!(s.names(), [""; 0]);
}
