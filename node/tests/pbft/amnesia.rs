//! R12, R24, R40: what a replica that starts again must not have forgotten.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    block::Block,
    engine::{Effect, Engine as _, Recovery, Tale},
    pbft::{Asks, Config, PbftMessage, Report},
    types::{Epoch, NodeId, Seq, View},
};

use crate::{
    Net,
    committees::{epoch, finish, founded, grow},
    net_with,
    recovery::check_no_amnesia,
    review::check_certificates,
    script::{Script, block_of},
    support::{DELTA, Sent},
    view_changes::{empty_changes, script, view},
};

const SECOND: Duration = Duration::from_secs(1);

const BRISK: Config = Config {
    checkpoint_interval: 8,
    ..crate::BRISK
};

#[test]
fn r40_a_replica_that_falls_mute_may_crash_at_any_effect_and_is_mute_afterwards() {
    for effects in 1.. {
        let mut net = net_with(4, BRISK);
        for _ in 0..4 {
            net.submit();
            net.run(5 * DELTA);
        }
        net.crash(3);
        net.crash_before_effect = Some((NodeId(3), effects));
        net.restart(3, Recovery::Lost);
        if !net.replica(3).crashed {
            assert!(effects > 3, "it has something to do");
            return;
        }
        net.restart(3, Recovery::Clean);
        net.run(DELTA * 4);
        let trace = net.trace.len();
        net.submit();
        net.run(5 * DELTA);
        let voted = |sent: &Sent<PbftMessage>| {
            let vote = matches!(
                &*sent.message,
                PbftMessage::Prepare(_) | PbftMessage::Commit(_)
            );
            vote && sent.from == NodeId(3)
        };
        assert!(
            !net.trace[trace..].iter().any(voted),
            "it crashed before effect {effects} and votes"
        );
    }
}

/// Replica 1 in view 2, with two decided slots and another one for which it said PREPARE; the NEW-VIEW of
/// view 2, and one of view 3 which proves a checkpoint that was not stable here.
fn before_view_3() -> (Script, Vec<Arc<Block>>, [PbftMessage; 2]) {
    let mut s = script(4, 1);
    let second = s.new_view(2, empty_changes(&s, 2, 9), Vec::new());
    assert_eq!(s.give(&second), []);
    let chain = s.chain(3);
    for (block, seq) in chain[..2].iter().zip(1..) {
        s.give(&s.pre_prepare(2, seq, block));
        for from in [0, 2, 3] {
            s.give(&s.prepare(from, 2, seq, block.id()));
            s.give(&s.commit(from, 2, seq, block.id()));
        }
    }
    let state = s.said().iter().find_map(|said| match &**said {
        PbftMessage::Checkpoint(vote) => Some(vote.body().digest),
        _ => None,
    });
    let stable = s.stable(2, state.expect("a checkpoint after slot 2"));
    s.give(&s.pre_prepare(2, 3, &chain[2]));
    assert_eq!(s.names(), ["PREPARE"]);
    let changes = [0, 2, 3].map(|from| s.view_change(from, 3, Some(&stable), Vec::new()));
    let third = s.new_view(3, changes.to_vec(), Vec::new());
    (s, chain, [second, third])
}

#[test]
fn r12_a_crash_while_a_view_begins_with_a_new_checkpoint_forgets_no_vote() {
    for effects in 0.. {
        let (mut s, chain, [second, third]) = before_view_3();
        s.net.crash_before_effect = Some((NodeId(1), effects));
        s.give(&third);
        if !s.net.replica(1).crashed {
            assert!(effects > 2, "a view began");
            return;
        }
        s.net.restart(1, Recovery::Clean);
        // A liar repeats how view 2 began, and its primary tells another block for slot 3.
        s.give(&second);
        let transaction = s.net.transaction();
        let other = block_of(&chain[1], vec![transaction], 7);
        s.said();
        s.give(&s.pre_prepare(2, 3, &other));
        assert_eq!(s.names(), [""; 0], "after {effects} effects");
        assert_ne!(view(&s).0, 0, "after {effects} effects");
    }
}

/// Votes for slot 1 are lost in view 0, so slots 1 to 3 are void at the end, and blocks follow them.
fn with_void_slots() -> Net {
    let mut net = net_with(4, BRISK);
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let lost = match &*sent.message {
            PbftMessage::Prepare(vote) | PbftMessage::Commit(vote) => {
                (vote.body().view.0, vote.body().slot.0) == (0, 1)
            }
            _ => false,
        };
        (!lost).then(|| Arc::clone(&sent.message))
    }));
    for _ in 0..3 {
        net.submit();
    }
    net.run(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert!(net.told(2, |tale| *tale == Tale::Void(Seq(2))));
    assert_eq!(net.replica(2).engine.watermarks().0, Seq(0));
    net
}

#[test]
fn deviation_9_a_void_slot_is_committed_as_null_after_a_restart_too() {
    let mut net = with_void_slots();
    for node in 0..4 {
        net.crash(node);
        net.restart(node, Recovery::Clean);
    }
    net.run(SECOND);
    // View 1 ends, and view 2 proposes the void blocks again.
    net.crash(1);
    net.submit();
    net.run(5 * SECOND);
    net.check_done(&[0, 2, 3]);
    check_certificates(&net);
}

#[test]
fn r34_a_replica_that_started_again_still_sends_what_it_alone_has_executed() {
    let mut net = net_with(4, BRISK);
    // COMMITs reach replica 3 alone, and then the primary is gone.
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let commit = matches!(&*sent.message, PbftMessage::Commit(_));
        (!commit || sent.to == NodeId(3)).then(|| Arc::clone(&sent.message))
    }));
    net.submit();
    net.run(4 * DELTA);
    assert_eq!(net.replica(3).engine.executed(), Seq(1));
    assert_eq!(net.replica(2).engine.executed(), Seq(0));
    for node in 0..4 {
        net.crash(node);
    }
    for node in 1..4 {
        net.restart(node, Recovery::Clean);
    }
    net.tamper = None;
    net.run(5 * SECOND);
    net.check_done(&[1, 2, 3]);
    assert_eq!(net.replica(1).host.chain.len(), 2);
}

#[test]
fn r24_void_slots_below_an_own_checkpoint_stay_executed_after_a_restart() {
    let config = Config {
        checkpoint_interval: 2,
        ..BRISK
    };
    let mut s = Script::new(4, 1, config);
    let block = s.chain(1).remove(0);
    let second = s.new_view(4, empty_changes(&s, 4, 9), Vec::new());
    s.give(&second);
    s.give(&s.pre_prepare(4, 1, &block));
    for from in [0, 2, 3] {
        s.give(&s.prepare(from, 4, 1, block.id()));
        s.give(&s.commit(from, 4, 1, block.id()));
        s.give(&s.commit(from, 4, 2, consortium_node::types::Digest::ZERO));
    }
    assert_eq!(s.engine().executed(), Seq(2), "slot 2 was void");
    assert!(s.names().contains(&"CHECKPOINT"));
    s.net.crash(1);
    s.net.restart(1, Recovery::Clean);
    assert_eq!(s.engine().executed(), Seq(2));
}

#[test]
fn r12_a_crash_before_the_log_is_replaced_does_not_forget_the_checkpoint_of_a_new_view() {
    let mut net = net_with(4, BRISK);
    // Replica 3 hears of no checkpoint before a NEW-VIEW brings one.
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let about_states = matches!(
            &*sent.message,
            PbftMessage::Checkpoint(_) | PbftMessage::Stable(_)
        );
        (!about_states || sent.to != NodeId(3)).then(|| Arc::clone(&sent.message))
    }));
    for _ in 0..10 {
        net.submit();
        net.run(5 * DELTA);
    }
    assert_eq!(net.replica(3).engine.watermarks().0, Seq(0));
    net.watch = Some(Box::new(|node, effect| {
        node == NodeId(3) && matches!(effect, Effect::Truncate(_))
    }));
    net.crash(0);
    net.submit();
    net.run(3 * SECOND);
    assert!(net.replica(3).crashed, "as it entered the view");
    net.watch = None;
    net.restart(3, Recovery::Clean);
    let engine = &net.replica(3).engine;
    assert_eq!(engine.status().view, View(1));
    assert_eq!(
        engine.watermarks().0,
        Seq(8),
        "votes above the old window count"
    );
    net.ask_again();
    net.run(10 * SECOND);
    net.check_done(&[1, 2, 3]);
    check_no_amnesia(&net);
}

#[test]
fn r40_who_speaks_again_agrees_to_what_it_passed_in_silence() {
    let patient = Config {
        request_timeout: 30 * SECOND,
        request_deadline: 60 * SECOND,
        ..BRISK
    };
    let mut net = net_with(4, patient);
    for _ in 0..10 {
        net.submit();
        net.run(5 * DELTA);
    }
    net.crash(3);
    net.restart(3, Recovery::Lost);
    net.run(DELTA);
    net.sync(3, 1);
    while net.replica(1).engine.executed() < Seq(23) {
        net.submit();
        net.run(5 * DELTA);
    }
    // Slot 24 is executed and not stable yet; slot 25 is prepared by all who speak, and not decided.
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let lost = match &*sent.message {
            PbftMessage::Checkpoint(_) => true,
            PbftMessage::Commit(vote) => vote.body().slot == Seq(25),
            _ => false,
        };
        (!lost).then(|| Arc::clone(&sent.message))
    }));
    for _ in 0..2 {
        net.submit();
        net.run(5 * DELTA);
    }
    assert!(!net.told(3, |tale| matches!(tale, Tale::Unmuted(_))));
    assert_eq!(net.replica(1).engine.executed(), Seq(24));
    // Now its COMMIT is needed.
    net.crash(2);
    net.tamper = None;
    net.run(5 * SECOND);
    assert!(net.told(3, |tale| matches!(tale, Tale::Unmuted(_))));
    net.check_done(&[0, 1, 3]);
    assert_eq!(net.replica(1).engine.executed(), Seq(25));
    assert_eq!(
        net.replica(1).engine.status().view,
        View(0),
        "without another view"
    );
}

/// The four others say in return to replica 3 that they are in this epoch and have executed so much.
fn all_report(net: &mut Net, epoch: Epoch, executed: u64) {
    for from in [0u16, 1, 2, 4].map(NodeId) {
        let report = Report {
            view: View::first_of(epoch),
            active: true,
            executed: Seq(executed),
            stable: Seq(0),
            prepared: Seq(100),
            asks: Asks::InReturn,
            attempt: u64::MAX,
            echo: u64::MAX,
            open: Vec::new(),
        };
        let signed = net.keys[from.index()].sign(from, report);
        let status = PbftMessage::Status(Arc::new(signed));
        net.inject(from, NodeId(3), &status);
    }
}

#[test]
fn r40_a_horizon_belongs_to_its_epoch_whose_window_begins_at_its_base() {
    // How far replica 3 came; in which epoch the others say that they are, and how far; and whether they
    // say so before replica 3 knows of epoch 1 again.
    for (came, said_in, executed, before) in [
        (14, 1, 11, false),
        (40, 0, 0, false),
        (14, 0, 0, true),
        (40, 0, 0, true),
    ] {
        let mut net = founded(4, 5);
        net.change(3, 12, &[0, 1, 2, 3, 4]);
        grow(&mut net, 1, came);
        let (_, high) = net.replica(3).engine.watermarks();
        net.crash(3);
        net.groups[3] = 1;
        net.restart(3, Recovery::Lost);
        if before {
            all_report(&mut net, Epoch(said_in), executed);
        }
        net.sync(3, 1);
        assert_eq!(epoch(&net, 3), 1);
        if !before {
            all_report(&mut net, Epoch(said_in), executed);
        }
        net.groups[3] = 0;
        grow(&mut net, 1, 120);
        finish(&mut net, &[0, 1, 2, 3, 4]);
        let early = |tale: &Tale| matches!(tale, Tale::Unmuted(seq) if *seq < high);
        assert!(
            !net.told(3, early),
            "reports of epoch {said_in}, before: {before}"
        );
        let late = |tale: &Tale| matches!(tale, Tale::Unmuted(seq) if *seq >= high);
        assert!(
            net.told(3, late),
            "it speaks again: {came}, {said_in}, {before}"
        );
        check_no_amnesia(&net);
    }
}
