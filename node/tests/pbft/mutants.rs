//! Planted bugs: each breaks its rule at one replica, in the fewest words of others that show it.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    mutant::{Mutant, Planted},
    pbft::{Config, PREPARE, Pbft, PbftMessage, Prepared, Timer},
    quorum::Certificate,
    types::{Digest, Seq, View},
};

use crate::{Net, script::Script};

const SMALL: Config = Config {
    checkpoint_interval: 2,
    window: 4,
    pipeline: 4,
    request_timeout: Duration::from_mins(1),
    request_deadline: Duration::from_mins(1),
    view_change_timeout: Duration::from_secs(1),
    status_interval: Duration::from_mins(1),
};

fn net(planted: Planted) -> Net {
    let mut net = Net::new(4, move |me, key, committee, genesis| {
        Pbft::new(SMALL, me, key, committee, genesis).planting(planted)
    });
    net.checks_proofs = false;
    net
}

fn script(planted: Planted, me: u16) -> Script {
    Script::of(net(planted), me)
}

/// With the bug replica `me` of four does this, without it not.
fn only_with(mutant: Mutant, me: u16, deed: fn(&mut Script) -> bool) {
    assert!(deed(&mut script(Planted::one(mutant), me)), "{mutant}");
    assert!(!deed(&mut script(Planted::NOTHING, me)), "not {mutant}");
}

fn offered(s: &mut Script) -> Digest {
    let block = s.chain(1).remove(0);
    s.give(&s.pre_prepare(0, 1, &block));
    block.id()
}

/// Has replica 1 prepare a block in view 0.
fn prepared(s: &mut Script) -> Digest {
    let digest = offered(s);
    for from in [2, 3] {
        s.give(&s.prepare(from, 0, 1, digest));
    }
    digest
}

/// VIEW-CHANGEs for a view, of these members.
fn view_changes(s: &mut Script, view: u64, from: [u16; 2]) {
    for from in from {
        let change = s.view_change(from, view, None, Vec::new());
        s.give(&PbftMessage::ViewChange(change));
    }
}

/// How many entries of what it prepared the VIEW-CHANGE holds that replica 1 said last.
fn carried(s: &mut Script) -> usize {
    let said = s.said();
    let last = said.iter().rev().find_map(|message| match &**message {
        PbftMessage::ViewChange(change) => Some(change.body().prepared.len()),
        _ => None,
    });
    last.expect("it joined")
}

fn says(s: &mut Script, name: &str) -> bool {
    s.names().contains(&name)
}

#[test]
fn r8_prepared_with_one_less() {
    only_with(Mutant::PreparedWithOneLess, 1, |s| {
        offered(s);
        says(s, "COMMIT")
    });
}

#[test]
fn r7_r8_primary_prepare_counts() {
    only_with(Mutant::PrimaryPrepareCounts, 1, |s| {
        let digest = offered(s);
        s.give(&s.prepare(0, 0, 1, digest));
        says(s, "COMMIT")
    });
}

#[test]
fn r8_digest_not_compared() {
    only_with(Mutant::DigestNotCompared, 1, |s| {
        offered(s);
        s.give(&s.prepare(2, 0, 1, Digest([7; 32])));
        says(s, "COMMIT")
    });
}

#[test]
fn r9_commit_with_weak_quorum() {
    only_with(Mutant::CommitWithWeakQuorum, 1, |s| {
        let digest = offered(s);
        for from in [2, 3] {
            s.give(&s.commit(from, 0, 1, digest));
        }
        s.executed() == [digest]
    });
}

#[test]
fn r9_votes_counted_per_message() {
    only_with(Mutant::VotesCountedPerMessage, 1, |s| {
        let digest = offered(s);
        s.give(&s.prepare(2, 0, 1, digest));
        let own = says(s, "COMMIT");
        for _ in 0..2 {
            s.give(&s.commit(2, 0, 1, digest));
        }
        own && s.executed() == [digest]
    });
}

#[test]
fn r19_view_change_omits_prepared() {
    only_with(Mutant::ViewChangeOmitsPrepared, 1, |s| {
        prepared(s);
        view_changes(s, 1, [2, 3]);
        carried(s) == 0
    });
}

#[test]
fn r20_prepared_of_last_view_only() {
    only_with(Mutant::PreparedOfLastViewOnly, 1, |s| {
        prepared(s);
        view_changes(s, 1, [2, 3]);
        assert_eq!(carried(s), 1);
        view_changes(s, 2, [2, 3]);
        carried(s) == 0
    });
}

#[test]
fn r22_new_view_takes_lowest() {
    only_with(Mutant::NewViewTakesLowest, 2, |s| {
        let genesis = Arc::clone(&s.net.genesis);
        let (older, newer) = (s.block(&genesis), s.block(&genesis));
        for (from, view, block) in [(0, 0, &older), (3, 1, &newer)] {
            let proof = s.prepared(view, 1, block.id());
            let change = s.view_change(from, 2, None, vec![proof]);
            s.give(&PbftMessage::ViewChange(change));
        }
        for block in [&older, &newer] {
            s.give(&PbftMessage::Body(Arc::clone(block)));
        }
        let said = s.said();
        let chosen = said.iter().find_map(|message| match &**message {
            PbftMessage::NewView(message) => Some(message.body().proposals[0].body().digest),
            _ => None,
        });
        let chosen = chosen.expect("it leads view 2");
        assert!([older.id(), newer.id()].contains(&chosen));
        chosen == older.id()
    });
}

#[test]
fn r23_new_view_not_verified() {
    only_with(Mutant::NewViewNotVerified, 1, |s| {
        let block = s.chain(1).remove(0);
        let proof = s.prepared(0, 1, block.id());
        let change = |s: &Script, from| s.view_change(from, 2, None, vec![Arc::clone(&proof)]);
        let changes = [0, 2, 3].map(|from| change(s, from)).to_vec();
        let null = s.claim(2, 1, Digest::ZERO);
        s.give(&s.new_view(2, changes, vec![null]));
        says(s, "PREPARE")
    });
}

#[test]
fn r21_repeated_signer_accepted() {
    only_with(Mutant::RepeatedSignerAccepted, 1, |s| {
        let digest = Digest([7; 32]);
        let words: Certificate = s.certificate(&[3, 3], PREPARE, 0, 1, digest);
        let proof = Prepared {
            claim: s.claim(0, 1, digest),
            prepares: Some(words),
        };
        let change = s.view_change(0, 1, None, vec![Arc::new(proof)]);
        s.give(&PbftMessage::ViewChange(change)).is_empty()
    });
}

#[test]
fn r33_join_rule_removed() {
    only_with(Mutant::JoinRuleRemoved, 1, |s| {
        view_changes(s, 1, [2, 3]);
        !says(s, "VIEW-CHANGE")
    });
}

#[test]
fn r33_join_with_one_less() {
    only_with(Mutant::JoinWithOneLess, 1, |s| {
        let change = s.view_change(3, 1, None, Vec::new());
        s.give(&PbftMessage::ViewChange(change));
        says(s, "VIEW-CHANGE")
    });
}

#[test]
fn r32_timer_not_doubled() {
    only_with(Mutant::TimerNotDoubled, 0, |s| {
        // Of views 2 and 3 it is not the primary.
        view_changes(s, 2, [2, 3]);
        s.fire(Timer::NewView(View(2)));
        view_changes(s, 3, [2, 3]);
        s.said();
        s.net.run(SMALL.view_change_timeout * 3 / 2);
        says(s, "VIEW-CHANGE")
    });
}

#[test]
fn r15_watermark_off_by_one() {
    only_with(Mutant::WatermarkOffByOne, 1, |s| {
        let chain = s.chain(5);
        s.decide(&chain[..4]);
        s.said();
        s.give(&s.pre_prepare(0, 5, &chain[4]));
        says(s, "PREPARE")
    });
}

/// The digest of the CHECKPOINT that replica 1 said after slot 2.
fn checkpoint(s: &mut Script) -> Digest {
    let said = s.said();
    let own = said.iter().find_map(|message| match &**message {
        PbftMessage::Checkpoint(vote) => Some(vote.body().digest),
        _ => None,
    });
    own.expect("it executed slot 2")
}

#[test]
fn r14_checkpoint_with_weak_quorum() {
    only_with(Mutant::CheckpointWithWeakQuorum, 1, |s| {
        let chain = s.chain(2);
        s.decide(&chain);
        let digest = checkpoint(s);
        s.give(&s.checkpoint(2, 2, digest));
        s.engine().watermarks().0 == Seq(2)
    });
}

#[test]
fn r16_collected_before_stable() {
    only_with(Mutant::CollectedBeforeStable, 1, |s| {
        let chain = s.chain(2);
        s.decide(&chain);
        s.engine().watermarks().0 == Seq(2)
    });
}

#[test]
fn r16_beyond_window_dropped() {
    only_with(Mutant::BeyondWindowDropped, 1, |s| {
        let chain = s.chain(5);
        s.decide(&chain[..4]);
        let digest = checkpoint(s);
        s.give(&s.pre_prepare(0, 5, &chain[4]));
        s.said();
        for from in [2, 3] {
            s.give(&s.checkpoint(from, 2, digest));
        }
        assert_eq!(s.engine().watermarks().0, Seq(2));
        !says(s, "PREPARE")
    });
}

#[test]
fn the_network_of_a_bug_works_while_nothing_goes_wrong() {
    for mutant in Mutant::ALL {
        let mut net = net(Planted::one(mutant));
        for _ in 0..12 {
            net.submit();
            net.run(Duration::from_millis(100));
        }
        net.check_agreement();
        let length = net.replica(0).host.chain.len();
        assert_eq!(length, 13, "{mutant}");
    }
}
