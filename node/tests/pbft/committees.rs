//! Committees that change at a height: 4 to 5 to 7 and back, across view changes, crashes and lies.

use std::{ops::Range, sync::Arc, time::Duration};

use consortium_node::{
    block::Block,
    engine::{Engine as _, Message as _, Recovery, Refusal, Tale},
    pbft::{
        CHECKPOINT, COMMIT, Decided, PREPARE, Pbft, PbftMessage, PrePrepare, Proposal, ViewChange,
    },
    quorum::{Certificate, Phase, Vote},
    types::{Digest, Epoch, Height, NodeId, Seq, View},
};

use crate::{
    BRISK, Net,
    recovery::check_no_amnesia,
    script::{Script, block_of},
    support::DELTA,
};

const SECOND: Duration = Duration::from_secs(1);

/// The first `founders` of `n` replicas decide; whoever is behind gets what the others have.
pub(crate) fn founded(founders: usize, n: usize) -> Net {
    let mut net = Net::founded_by(founders, n, |me, key, committee, genesis| {
        Pbft::new(BRISK, me, key, committee, genesis)
    });
    net.hosts_sync = true;
    net
}

fn height(net: &Net, node: u16) -> u64 {
    net.replica(node).host.chain.len() as u64 - 1
}

pub(crate) fn epoch(net: &Net, node: u16) -> u32 {
    net.replica(node).engine.epoch().0
}

/// Work comes in until `node` has so many blocks.
pub(crate) fn grow(net: &mut Net, node: u16, to: u64) {
    for _ in 0..500 {
        if height(net, node) >= to {
            return;
        }
        net.submit();
        net.run(DELTA);
    }
    panic!("n{node} is stuck at height {}", height(net, node));
}

/// One more piece of work, asked for until it is done; then these have equal chains and nothing to do.
pub(crate) fn finish(net: &mut Net, nodes: &[u16]) {
    net.submit();
    for _ in 0..40 {
        net.ask_again();
        net.run(SECOND);
        let done = |node: &u16| net.replica(*node).host.oldest().is_none();
        if nodes.iter().all(done) {
            break;
        }
    }
    // Those who only observe ask ever more seldom.
    net.run(10 * SECOND);
    net.check_done(nodes);
}

fn votes_of(net: &Net, node: u16, epoch: u32) -> usize {
    let sent = net.trace.iter().filter(|sent| sent.from == NodeId(node));
    let of_epoch = sent.filter(|sent| match &*sent.message {
        PbftMessage::PrePrepare(message) => message.claim.body().view.epoch() == Epoch(epoch),
        PbftMessage::Prepare(vote) | PbftMessage::Commit(vote) | PbftMessage::Checkpoint(vote) => {
            vote.body().view.epoch() == Epoch(epoch)
        }
        PbftMessage::ViewChange(change) => change.body().view.epoch() == Epoch(epoch),
        _ => false,
    });
    of_epoch.count()
}

/// The epochs in which a node's voice may be heard: those whose committee has it.
fn check_voices(net: &Net) {
    let committees = net.committees_at(Height(u64::MAX));
    for term in committees.terms() {
        for node in net.nodes() {
            if !term.committee.contains(node) {
                let heard = votes_of(net, node.0, term.epoch.0);
                assert_eq!(heard, 0, "{node} in epoch {}", term.epoch);
            }
        }
    }
}

#[test]
fn four_become_five_become_seven_and_five_and_four_again() {
    let mut net = founded(4, 7);
    net.change(3, 12, &[0, 1, 2, 3, 4]);
    net.change(15, 24, &[0, 1, 2, 3, 4, 5, 6]);
    net.change(30, 38, &[0, 1, 2, 3, 4]);
    net.change(41, 50, &[0, 1, 2, 3]);
    let mut seen = Vec::new();
    for to in [11, 23, 37, 49, 60] {
        grow(&mut net, 0, to);
        // The last block of a committee ends its epoch: the next view is the next committee's first.
        let view = net.replica(0).engine.status().view;
        seen.push((view.epoch().0, view.round()));
    }
    assert_eq!(seen, [(1, 0), (2, 0), (3, 0), (4, 0), (4, 0)]);
    finish(&mut net, &[0, 1, 2, 3, 4, 5, 6]);
    assert!((0..7).all(|node| epoch(&net, node) == 4));
    assert!(
        votes_of(&net, 4, 1) > 0 && votes_of(&net, 6, 2) > 0,
        "the joiners had a say"
    );
    check_voices(&net);
    check_no_amnesia(&net);
}

#[test]
fn quorum_and_faults_follow_the_number_of_members() {
    for (from, to, borne) in [(4, 7, 2), (7, 4, 1), (4, 10, 3), (5, 6, 1)] {
        let mut net = founded(from, 10);
        let members: Vec<u16> = (0..to).collect();
        let committee = net.change(3, 12, &members);
        assert_eq!(committee.f(), borne);
        grow(&mut net, 0, 14);
        net.run(2 * SECOND);
        let last = to - borne as u16;
        (last..to).for_each(|node| net.crash(node));
        grow(&mut net, 0, 24);
        net.crash(last - 1);
        let reached = height(&net, 0);
        net.submit();
        net.run(20 * SECOND);
        assert!(
            height(&net, 0) <= reached + 3,
            "{to} members bear {borne}, not one more"
        );
    }
}

#[test]
fn the_primary_of_the_present_view_leaves() {
    let mut net = founded(4, 5);
    net.change(3, 12, &[1, 2, 3, 4]);
    grow(&mut net, 1, 20);
    let view = net.replica(1).engine.status();
    assert_eq!(
        (view.view, view.leader),
        (View::first_of(Epoch(1)), NodeId(1))
    );
    finish(&mut net, &[0, 1, 2, 3, 4]);
    let suspected = |node| net.told(node, |tale| matches!(tale, Tale::Suspected(_)));
    assert!(!(0..5).any(suspected), "nobody had to give up on anybody");
    check_voices(&net);
}

#[test]
fn a_committee_of_strangers_takes_over() {
    let mut net = founded(4, 8);
    net.change(3, 12, &[4, 5, 6, 7]);
    // A voter of the next committee must have the chain; a real joiner has caught up before.
    grow(&mut net, 4, 20);
    finish(&mut net, &[0, 1, 2, 3, 4, 5, 6, 7]);
    check_voices(&net);
}

#[test]
fn where_little_happens_the_primary_fills_the_epoch_with_empty_blocks() {
    let mut net = founded(4, 5);
    net.change(2, 12, &[0, 1, 2, 3, 4]);
    net.submit();
    net.run(SECOND);
    net.submit();
    net.run(2 * SECOND);
    assert_eq!((height(&net, 0), epoch(&net, 0)), (11, 1));
    net.submit();
    net.run(SECOND);
    assert_eq!(height(&net, 0), 12, "and not one more than needed");
}

/// From 4 to 5 at height 12, with something going wrong at each instant around the end of the epoch.
fn around_the_end(instants: Range<u32>, run: impl Fn(&mut Net)) {
    for instant in instants {
        let mut net = founded(4, 5);
        net.change(3, 12, &[0, 1, 2, 3, 4]);
        grow(&mut net, 1, 4);
        for quarter in 0..instant {
            if quarter % 4 == 0 {
                net.submit();
            }
            net.run(DELTA / 4);
        }
        run(&mut net);
        check_voices(&net);
        check_no_amnesia(&net);
    }
}

#[test]
fn a_change_comes_across_a_view_change_in_the_last_slots() {
    around_the_end(0..64, |net| {
        net.crash(0);
        finish(net, &[1, 2, 3, 4]);
        assert_eq!(epoch(net, 1), 1);
        net.restart(0, Recovery::Clean);
        finish(net, &[0, 1, 2, 3, 4]);
    });
}

#[test]
fn all_members_restart_at_once_around_the_end_of_an_epoch() {
    around_the_end(0..64, |net| {
        (0..5).for_each(|node| net.crash(node));
        net.run(DELTA * 2);
        (0..5)
            .rev()
            .for_each(|node| net.restart(node, Recovery::Torn));
        finish(net, &[0, 1, 2, 3, 4]);
        assert_eq!(epoch(net, 1), 1);
    });
}

#[test]
fn a_member_may_crash_between_any_two_effects_around_the_end_of_an_epoch() {
    for node in [0, 2] {
        for steps in 0..60 {
            let mut net = founded(4, 5);
            net.change(3, 12, &[0, 1, 2, 3, 4]);
            grow(&mut net, 1, 9);
            net.crash_before_effect = Some((NodeId(node), steps));
            grow(&mut net, 1, 13);
            net.run(4 * SECOND);
            if net.replica(node).crashed {
                net.restart(node, Recovery::Clean);
            }
            finish(&mut net, &[0, 1, 2, 3, 4]);
            check_no_amnesia(&net);
        }
    }
}

#[test]
fn a_member_restarts_in_the_middle_of_a_later_epoch() {
    let mut net = founded(4, 5);
    net.change(3, 12, &[0, 1, 2, 3, 4]);
    grow(&mut net, 2, 14);
    for node in 0..5 {
        net.crash(node);
        grow(
            &mut net,
            if node == 4 { 1 } else { 4 },
            20 + 3 * u64::from(node),
        );
        net.restart(node, Recovery::Clean);
        assert_eq!(epoch(&net, node), 1);
        net.run(2 * SECOND);
    }
    finish(&mut net, &[0, 1, 2, 3, 4]);
    check_no_amnesia(&net);
}

#[test]
fn r40_a_member_that_lost_its_disk_in_an_earlier_epoch_is_mute_in_the_next_and_speaks_again() {
    let mut net = founded(4, 5);
    net.change(3, 12, &[0, 1, 2, 3, 4]);
    grow(&mut net, 1, 8);
    net.crash(3);
    net.restart(3, Recovery::Lost);
    grow(&mut net, 1, 14);
    let votes = |net: &Net| {
        let sent = net.trace.iter().filter(|sent| sent.from == NodeId(3));
        let votes = sent.filter(|sent| match &*sent.message {
            PbftMessage::Prepare(vote) | PbftMessage::Commit(vote) => {
                vote.body().view.epoch() == Epoch(1)
            }
            _ => false,
        });
        votes.count()
    };
    let spoke = votes(&net);
    grow(&mut net, 1, 60);
    finish(&mut net, &[0, 1, 2, 3, 4]);
    assert_eq!(spoke, 0, "it may have been in that epoch before");
    assert!(net.told(3, |tale| matches!(tale, Tale::Unmuted(_))));
    grow(&mut net, 1, 64);
    assert!(votes(&net) > 0);
}

#[test]
fn r34_who_was_cut_off_while_it_was_voted_out_is_told() {
    let mut net = founded(5, 5);
    net.change(3, 12, &[0, 1, 2, 3]);
    grow(&mut net, 1, 8);
    net.run(SECOND);
    net.groups[4] = 1;
    // The others alone have work, so it has no reason to ask.
    while height(&net, 1) < 13 {
        let transaction = net.transaction();
        for node in (0..4).map(NodeId) {
            net.submit_to(node, &transaction);
        }
        net.run(DELTA);
    }
    net.run(5 * SECOND);
    net.groups[4] = 0;
    net.run(40 * SECOND);
    assert_eq!(epoch(&net, 4), 1);
    net.check_done(&[0, 1, 2, 3, 4]);
}

#[test]
fn who_missed_the_end_of_an_epoch_gets_its_last_slots_from_those_who_went_on() {
    for (next, cut) in [
        (&[0, 1, 2, 3, 4][..], 3),
        (&[0, 1, 2, 3, 4], 0),
        (&[0, 1, 2, 4], 3),
    ] {
        let mut net = founded(4, 5);
        net.hosts_sync = false;
        net.change(3, 12, next);
        let last = u16::from(cut == 0);
        grow(&mut net, last, 8);
        net.sync(4, last);
        net.groups[cut] = 1;
        grow(&mut net, last, 11);
        net.run(2 * SECOND);
        net.sync(4, last);
        assert_eq!(epoch(&net, cut as u16), 0);
        net.groups[cut] = 0;
        // Where the first primary of the new epoch was missing, much happened meanwhile.
        net.hosts_sync = cut == 0;
        net.submit();
        net.run(20 * SECOND);
        assert_eq!((epoch(&net, cut as u16), epoch(&net, 4)), (1, 1));
        net.run(20 * SECOND);
        net.check_agreement();
        assert_eq!(net.replica(cut as u16).host.oldest(), None);
    }
}

#[test]
fn random_crashes_loss_and_reordering_across_changes_never_fork_and_always_heal() {
    for seed in 0..60 {
        let mut net = founded(4, 7);
        net.seed(seed);
        net.change(3, 12, &[0, 1, 2, 3, 4]);
        net.change(14, 23, &[0, 1, 2, 3, 4, 5, 6]);
        net.change(26, 35, &[2, 3, 4, 5, 6]);
        net.change(38, 47, &[3, 4, 5, 6]);
        net.jitter = DELTA * 2;
        net.loss_permille = 50;
        for round in 0..30 {
            net.submit();
            let victim = net.random(7) as u16;
            let down = (0..7).filter(|node| net.replica(*node).crashed).count();
            if down == 0 && round % 3 == 0 {
                net.crash(victim);
            } else if let Some(node) = (0..7).find(|node| net.replica(*node).crashed) {
                net.restart(node, Recovery::Torn);
            }
            let pause = net.random(400);
            net.run(Duration::from_millis(pause));
        }
        if let Some(node) = (0..7).find(|node| net.replica(*node).crashed) {
            net.restart(node, Recovery::Clean);
        }
        (net.loss_permille, net.jitter) = (0, Duration::ZERO);
        for _ in 0..60 {
            finish_round(&mut net);
        }
        net.run(20 * SECOND);
        net.check_done(&[3, 4, 5, 6]);
        assert_eq!(epoch(&net, 3), 4, "seed {seed}");
        check_voices(&net);
        check_no_amnesia(&net);
    }
}

fn finish_round(net: &mut Net) {
    if epoch(net, 3) < 4 {
        net.submit();
    }
    net.ask_again();
    net.run(SECOND);
}

// --- One replica under test --------------------------------------------------------------------

/// Replica 1 of 4, which become 5 at height 3; it has executed the first block, which says so.
struct Stage {
    s: Script,
    blocks: Vec<Arc<Block>>,
}

/// The committee of epoch 1.
const NEXT: [u16; 5] = [0, 1, 2, 3, 4];

impl Stage {
    fn new() -> Self {
        let mut net = Net::founded_by(4, 5, |me, key, committee, genesis| {
            Pbft::new(BRISK, me, key, committee, genesis)
        });
        net.change(1, 3, &NEXT);
        let mut s = Script::of(net, 1);
        let blocks = s.chain(4);
        s.decide(&blocks[..1]);
        Self { s, blocks }
    }

    /// The same, and the last block of epoch 0 is executed.
    fn in_next() -> Self {
        let mut stage = Self::new();
        let last = Arc::clone(&stage.blocks[1]);
        stage.s.give(&stage.s.pre_prepare(0, 2, &last));
        for from in [0, 2, 3] {
            if from != 0 {
                stage.s.give(&stage.s.prepare(from, 0, 2, last.id()));
            }
            stage.s.give(&stage.s.commit(from, 0, 2, last.id()));
        }
        assert_eq!(stage.s.engine().epoch(), Epoch(1));
        assert_eq!(stage.s.engine().watermarks(), (Seq(2), Seq(18)));
        stage.s.said();
        stage
    }

    fn vote(&self, from: u16, phase: Phase, view: View, seq: u64, digest: Digest) -> PbftMessage {
        let vote = self.s.vote(from, phase, view.0, seq, digest);
        match phase {
            PREPARE => PbftMessage::Prepare(vote),
            COMMIT => PbftMessage::Commit(vote),
            _ => PbftMessage::Checkpoint(vote),
        }
    }

    fn proposal(&self, by: u16, view: View, seq: u64, block: &Arc<Block>) -> PbftMessage {
        let (seq, digest) = (Seq(seq), block.id());
        let claim = Proposal { view, seq, digest };
        PbftMessage::PrePrepare(PrePrepare {
            claim: self.s.net.keys[usize::from(by)].sign(NodeId(by), claim),
            block: Some(Arc::clone(block)),
        })
    }

    fn certificate(&self, by: &[u16], vote: Vote) -> Certificate {
        let sign = |id: &u16| self.s.net.keys[usize::from(*id)].sign(NodeId(*id), vote);
        let votes: Vec<_> = by.iter().map(sign).collect();
        Certificate::collect(&votes).expect("somebody voted")
    }

    fn decided(&self, by: &[u16], view: View, seq: u64, block: &Arc<Block>) -> PbftMessage {
        let vote = Vote {
            phase: COMMIT,
            view,
            slot: Seq(seq),
            digest: block.id(),
        };
        PbftMessage::Decided(Decided {
            certificate: self.certificate(by, vote),
            block: Some(Arc::clone(block)),
        })
    }
}

const FIRST: View = View::first_of(Epoch(1));

#[test]
fn a_proposal_beyond_the_end_of_the_epoch_is_refused_even_if_a_quorum_likes_it() {
    let Stage { mut s, blocks } = Stage::new();
    assert_eq!(s.give(&s.pre_prepare(0, 2, &blocks[1])), []);
    s.said();
    // Height 3 is for the next committee to decide.
    assert_eq!(
        s.give(&s.pre_prepare(0, 3, &blocks[2])),
        [Refusal::BadBlock]
    );
    for from in [2, 3] {
        s.give(&s.prepare(from, 0, 3, blocks[2].id()));
    }
    assert_eq!(s.names(), [""; 0], "neither PREPARE nor COMMIT");
}

#[test]
fn the_primary_proposes_nothing_beyond_the_end_of_the_epoch() {
    let mut net = founded(4, 5);
    net.change(1, 6, &NEXT);
    net.groups = vec![0, 0, 0, 1, 1];
    grow(&mut net, 0, 1);
    // Of the proposals nothing returns any more.
    net.groups = vec![0, 1, 2, 3, 4];
    for _ in 0..12 {
        net.submit();
    }
    net.run(SECOND);
    let proposals = net.trace.iter().filter_map(|sent| match &*sent.message {
        PbftMessage::PrePrepare(message) => message.block.as_ref(),
        _ => None,
    });
    let heights: Vec<_> = proposals.map(|block| block.header().height.0).collect();
    assert!(heights.iter().all(|height| *height < 6), "{heights:?}");
}

#[test]
fn words_of_the_old_epoch_are_stale_in_the_new_one() {
    let stage = Stage::in_next();
    let old = View(0);
    let third = Arc::clone(&stage.blocks[2]);
    let messages = [
        stage.proposal(0, old, 3, &third),
        stage.vote(2, PREPARE, old, 3, third.id()),
        stage.vote(2, COMMIT, old, 3, third.id()),
        stage.vote(2, CHECKPOINT, old, 4, third.id()),
        stage.decided(&[0, 2, 3], old, 3, &third),
        PbftMessage::Stable(stage.s.stable(4, third.id())),
        PbftMessage::ViewChange(stage.s.view_change(2, 1, None, vec![])),
    ];
    let mut s = stage.s;
    for message in messages {
        assert_eq!(
            s.give(&message),
            [Refusal::Stale],
            "{}",
            message.kind().name
        );
    }
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn a_certificate_of_four_is_none_of_five_and_the_joiner_counts() {
    let stage = Stage::in_next();
    let third = Arc::clone(&stage.blocks[2]);
    let three = stage.decided(&[0, 2, 3], FIRST, 3, &third);
    let four = stage.decided(&[0, 2, 3, 4], FIRST, 3, &third);
    let mut s = stage.s;
    assert_eq!(s.give(&three), [Refusal::BadSignature], "q is 4 now");
    assert_eq!(s.give(&four), []);
    assert_eq!(s.engine().executed(), Seq(3));
}

#[test]
fn words_of_the_next_epoch_wait_for_it_if_its_members_say_them() {
    let stage = Stage::new();
    let (second, third) = (Arc::clone(&stage.blocks[1]), Arc::clone(&stage.blocks[2]));
    let early = [
        stage.proposal(0, FIRST, 3, &third),
        stage.vote(2, PREPARE, FIRST, 3, third.id()),
        stage.vote(3, PREPARE, FIRST, 3, third.id()),
        stage.vote(4, PREPARE, FIRST, 3, third.id()),
        stage.vote(4, COMMIT, FIRST, 3, third.id()),
    ];
    let far = stage.vote(2, PREPARE, View::first_of(Epoch(2)), 3, third.id());
    let not_kept = [
        stage.vote(2, CHECKPOINT, FIRST, 4, third.id()),
        stage.decided(&[0, 2, 3, 4], FIRST, 3, &third),
    ];
    let forged = {
        let vote = Vote {
            phase: PREPARE,
            view: FIRST,
            slot: Seq(3),
            digest: third.id(),
        };
        let key = &stage.s.net.keys[2];
        [NodeId(3), NodeId(9)].map(|signer| PbftMessage::Prepare(key.sign(signer, vote)))
    };
    let mut s = stage.s;
    for message in &early {
        assert_eq!(s.give(message), []);
    }
    assert_eq!(s.give(&far), [Refusal::TooFar]);
    for message in &not_kept {
        assert_eq!(s.give(message), [Refusal::TooFar]);
    }
    assert_eq!(s.give(&forged[0]), [Refusal::BadSignature]);
    assert_eq!(s.give(&forged[1]), [Refusal::WrongSender]);
    s.give(&s.pre_prepare(0, 2, &second));
    s.said();
    for from in [0, 2, 3] {
        s.give(&s.commit(from, 0, 2, second.id()));
    }
    assert_eq!(s.engine().epoch(), Epoch(1));
    assert_eq!(s.names(), ["PREPARE", "COMMIT"], "of slot 3, at once");
}

#[test]
fn a_view_change_of_the_new_epoch_starts_from_its_base() {
    let stage = Stage::in_next();
    let change = |from: u16, view: View, stable: u64, proof: Option<Certificate>| {
        let body = ViewChange {
            view,
            stable: Seq(stable),
            proof,
            prepared: vec![],
        };
        let key = &stage.s.net.keys[usize::from(from)];
        PbftMessage::ViewChange(Arc::new(key.sign(NodeId(from), body)))
    };
    let vote = |view: View| Vote {
        phase: CHECKPOINT,
        view,
        slot: Seq(4),
        digest: Digest([7; 32]),
    };
    let old = stage.certificate(&[0, 1, 2, 3], vote(View(0)));
    let new = stage.certificate(&[0, 2, 3, 4], vote(FIRST));
    let messages = [
        (change(2, FIRST.next(), 0, None), Some(Refusal::Malformed)),
        (change(2, FIRST.next(), 4, None), Some(Refusal::Malformed)),
        (
            change(2, FIRST.next(), 4, Some(old)),
            Some(Refusal::Malformed),
        ),
        (change(2, View(1), 2, None), Some(Refusal::Stale)),
        (
            change(2, View::first_of(Epoch(2)), 2, None),
            Some(Refusal::TooFar),
        ),
        (change(2, FIRST.next(), 2, None), None),
        (change(3, FIRST.next(), 4, Some(new)), None),
    ];
    let mut s = stage.s;
    for (message, refusal) in messages {
        assert_eq!(s.give(&message), Vec::from_iter(refusal));
    }
    let joined = s.said();
    let mine = joined.iter().find_map(|message| match &**message {
        PbftMessage::ViewChange(change) => Some(change.body().clone()),
        _ => None,
    });
    let mine = mine.expect("f+1 asked for it");
    assert_eq!((mine.view, mine.stable), (FIRST.next(), Seq(2)));
    assert!(mine.proof.is_none());
}

#[test]
fn a_proof_of_preparation_does_not_cross_an_epoch() {
    let stage = Stage::in_next();
    let digest = block_of(&stage.blocks[1], vec![], 1).id();
    let body = ViewChange {
        view: FIRST.next(),
        stable: Seq(2),
        proof: None,
        prepared: vec![stage.s.prepared(0, 3, digest)],
    };
    let change = stage.s.net.keys[2].sign(NodeId(2), body);
    let mut s = stage.s;
    let refused = s.give(&PbftMessage::ViewChange(Arc::new(change)));
    assert_eq!(refused, [Refusal::Malformed]);
}

#[test]
fn who_left_says_nothing_but_answers_who_asks() {
    let mut net = founded(4, 5);
    net.change(3, 12, &[0, 1, 2, 4]);
    grow(&mut net, 0, 12);
    net.run(SECOND);
    net.trace.clear();
    grow(&mut net, 0, 20);
    // The others stop, and 150 status intervals go by.
    (0..3).for_each(|node| net.crash(node));
    net.run(30 * SECOND);
    let said = net.trace.iter().filter(|sent| sent.from == NodeId(3));
    assert!(
        said.clone()
            .all(|sent| sent.message.kind().name == "STATUS")
    );
    let said = said.count();
    assert!(said < 60, "and it asks ever more seldom: {said}");
}
