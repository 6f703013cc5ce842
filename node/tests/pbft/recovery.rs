//! Restarts: with a good disk a crash is a pause (R12, R20, R24, R40), with a lost one a replica is mute.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    engine::{Engine as _, Message as _, Recovery, Tale},
    pbft::{Asks, Config, PbftMessage, Proposal, Record, Report},
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    BRISK, Net,
    faults::{clear_up, each_seed, make_liars},
    net_with,
    support::DELTA,
};

const SECOND: Duration = Duration::from_secs(1);

/// R12, I10: nobody ever signed two different statements about one slot of one view.
pub(crate) fn check_no_amnesia(net: &Net) {
    let mut said: BTreeMap<(NodeId, &str, View, Seq), Digest> = BTreeMap::new();
    let honest = |signer| !net.liars.contains(&signer);
    for sent in net.trace.iter().filter(|sent| honest(sent.from)) {
        let kind = sent.message.kind().name;
        let (signer, view, seq, digest) = match &*sent.message {
            PbftMessage::PrePrepare(message) => {
                let Proposal { view, seq, digest } = *message.claim.body();
                (message.claim.signer(), view, seq, digest)
            }
            PbftMessage::Prepare(vote)
            | PbftMessage::Commit(vote)
            | PbftMessage::Checkpoint(vote) => {
                let body = vote.body();
                (vote.signer(), body.view, body.slot, body.digest)
            }
            _ => continue,
        };
        if let Some(before) = said.insert((signer, kind, view, seq), digest) {
            assert_eq!(
                before, digest,
                "{signer} said {kind} twice for {seq} in view {view}"
            );
        }
    }
}

fn signed_since(net: &Net, from: u16, trace: usize) -> Vec<&'static str> {
    let votes = [
        "PRE-PREPARE",
        "PREPARE",
        "COMMIT",
        "VIEW-CHANGE",
        "NEW-VIEW",
    ];
    let sent = net.trace[trace..].iter().filter(|s| s.from == NodeId(from));
    let names = sent.map(|s| s.message.kind().name);
    names.filter(|name| votes.contains(name)).collect()
}

#[test]
fn r12_a_replica_may_crash_between_any_two_effects_and_contradicts_nothing() {
    for node in [0u16, 1] {
        let mut steps = 0;
        loop {
            let mut net = net_with(4, BRISK);
            net.crash_before_effect = Some((NodeId(node), steps));
            for _ in 0..6 {
                net.submit();
                net.run(DELTA / 2);
            }
            let mut hit = false;
            for pause in [DELTA * 3, 4 * SECOND, 4 * SECOND] {
                net.run(pause);
                if net.replica(node).crashed {
                    hit = true;
                    net.restart(node, Recovery::Clean);
                }
            }
            net.check_done(&[0, 1, 2, 3]);
            check_no_amnesia(&net);
            if !hit {
                break;
            }
            steps += 1;
        }
        assert!(steps > 50, "only {steps} effects");
    }
}

#[test]
fn r12_all_replicas_restart_at_once_at_any_instant_and_nothing_final_is_lost() {
    for n in [4, 5, 6, 7] {
        for instant in 0..24 {
            let mut net = net_with(n, BRISK);
            for _ in 0..6 {
                net.submit();
                net.run(DELTA / 2);
            }
            net.run(DELTA * instant / 4);
            let known: Vec<_> = (0..n)
                .map(|i| net.replica(i as u16).host.chain.clone())
                .collect();
            for node in 0..n as u16 {
                net.crash(node);
            }
            net.run(DELTA * 2);
            for node in (0..n as u16).rev() {
                net.restart(node, Recovery::Torn);
            }
            net.submit();
            net.run(4 * SECOND);
            let everyone: Vec<u16> = (0..n as u16).collect();
            net.check_done(&everyone);
            check_no_amnesia(&net);
            for (node, known) in known.iter().enumerate() {
                let now = &net.replica(node as u16).host.chain;
                assert!(now.starts_with(known), "n = {n}, instant {instant}");
            }
        }
    }
}

#[test]
fn r20_prepared_proofs_survive_failed_view_changes_and_a_restart() {
    let mut net = net_with(4, BRISK);
    // COMMITs are lost, so the block is prepared everywhere and decided nowhere.
    net.tamper = Some(Box::new(|sent| {
        let lost = ["COMMIT", "NEW-VIEW"].contains(&sent.message.kind().name);
        (!lost).then(|| Arc::clone(&sent.message))
    }));
    let transaction = net.submit();
    net.run(2 * SECOND);
    let views: Vec<View> = (1..4)
        .map(|i| net.replica(i).engine.status().view)
        .collect();
    assert!(
        views.iter().all(|view| *view > View(1)),
        "two failed at least: {views:?}"
    );
    for node in 0..4 {
        net.crash(node);
        net.restart(node, Recovery::Clean);
    }
    let first = net
        .trace
        .iter()
        .find(|sent| sent.message.kind().name == "PREPARE");
    let PbftMessage::Prepare(vote) = &*first.unwrap().message else {
        unreachable!("named so");
    };
    let prepared = vote.body().digest;
    net.tamper = None;
    net.submit_to(NodeId(1), &transaction);
    net.submit_to(NodeId(2), &transaction);
    net.run(20 * SECOND);
    net.check_agreement();
    for node in 0..4 {
        assert_eq!(
            net.replica(node).host.chain[1].id(),
            prepared,
            "replica {node}"
        );
    }
    check_no_amnesia(&net);
}

#[test]
fn r24_a_restart_does_not_execute_again_what_a_new_view_proposes_again() {
    let mut net = net_with(4, BRISK);
    for _ in 0..3 {
        net.submit();
        net.run(6 * DELTA);
    }
    assert_eq!(net.replica(2).engine.executed(), Seq(3));
    net.crash(2);
    net.restart(2, Recovery::Clean);
    assert_eq!(
        net.replica(2).engine.executed(),
        Seq(3),
        "read from the chain"
    );
    net.crash(0);
    net.submit();
    // The host asserts that no transaction is executed twice.
    net.run(5 * SECOND);
    net.check_done(&[1, 2, 3]);
    assert_eq!(net.replica(2).host.chain.len(), 5);
}

#[test]
fn a_stable_checkpoint_bounds_the_log() {
    let mut net = net_with(4, BRISK);
    let mut longest = 0;
    for _ in 0..60 {
        net.submit();
        net.run(5 * DELTA);
        longest = longest.max(net.replica(1).log.len());
    }
    let all = net.replica(1).records.len();
    assert!(all > 180, "three records a slot and more, not {all}");
    let bound = 1 + 4 * BRISK.window as usize;
    assert!(longest <= bound, "{longest} records in the log");
    let low = net.replica(1).engine.watermarks().0;
    assert!(
        net.replica(1).log.iter().all(|record| match record {
            Record::Accepted(accepted) => accepted.claim.body().seq > low,
            Record::Prepared(proof) => proof.claim.body().seq > low,
            Record::Committed(vote) => vote.body().slot > low,
            _ => true,
        }),
        "nothing below the low watermark"
    );
}

/// A network in which `node` has lost its disk after so many slots and started again.
fn lost(slots: usize, node: u16) -> (Net, usize) {
    let mut net = net_with(4, BRISK);
    for _ in 0..slots {
        net.submit();
        net.run(5 * DELTA);
    }
    net.crash(node);
    net.run(SECOND);
    net.restart(node, Recovery::Lost);
    net.run(DELTA);
    let trace = net.trace.len();
    net.sync(node, (node + 1) % 4);
    (net, trace)
}

#[test]
fn r40_a_replica_that_lost_its_disk_is_mute_until_a_stable_checkpoint_above_its_old_window() {
    let (mut net, trace) = lost(10, 3);
    assert!(net.told(3, |tale| *tale == Tale::Muted));
    // Its old window ended at 8 + 16; the others may be believed to have taken checkpoint 8.
    while net.replica(1).engine.executed() < Seq(23) {
        net.submit();
        net.run(5 * DELTA);
        assert_eq!(signed_since(&net, 3, trace), [""; 0]);
    }
    assert_eq!(net.replica(3).engine.executed(), Seq(23), "it follows");
    net.submit();
    net.run(6 * DELTA);
    assert!(net.told(3, |tale| *tale == Tale::Unmuted(Seq(24))));
    net.submit();
    net.run(6 * DELTA);
    assert_eq!(
        signed_since(&net, 3, trace),
        [
            "PREPARE", "PREPARE", "PREPARE", "COMMIT", "COMMIT", "COMMIT"
        ]
    );
    check_no_amnesia(&net);
    net.check_done(&[0, 1, 2, 3]);
}

#[test]
fn r40_a_mute_replica_that_crashes_again_is_still_mute() {
    let (mut net, trace) = lost(10, 3);
    net.crash(3);
    net.restart(3, Recovery::Clean);
    for _ in 0..5 {
        net.submit();
        net.run(5 * DELTA);
    }
    assert_eq!(signed_since(&net, 3, trace), [""; 0]);
    assert_eq!(net.replica(3).engine.executed(), Seq(15));
}

#[test]
fn r40_the_others_go_on_without_a_mute_primary() {
    let (mut net, trace) = lost(10, 0);
    net.submit();
    net.run(3 * SECOND);
    assert_eq!(signed_since(&net, 0, trace), [""; 0]);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(
        net.replica(0).engine.status().view,
        View(1),
        "it follows into the next view"
    );
}

#[test]
fn r40_reports_of_an_earlier_life_do_not_lower_the_horizon() {
    let (mut net, _) = lost(10, 3);
    net.crash(3);
    // Nobody answers but a liar, who repeats what was said in return to attempts of long ago.
    net.groups = vec![0, 0, 0, 1];
    net.restart(3, Recovery::Lost);
    for from in [0u16, 1, 2] {
        let report = Report {
            view: View(0),
            active: true,
            executed: Seq(1),
            stable: Seq(0),
            prepared: Seq(1),
            asks: Asks::InReturn,
            attempt: 1,
            echo: 1,
            open: Vec::new(),
        };
        let signed = net.keys[usize::from(from)].sign(NodeId(from), report);
        net.inject(
            NodeId(from),
            NodeId(3),
            &PbftMessage::Status(Arc::new(signed)),
        );
    }
    net.groups = vec![0; 4];
    let trace = net.trace.len();
    net.run(SECOND);
    net.sync(3, 1);
    while net.replica(1).engine.executed() < Seq(23) {
        net.submit();
        net.run(5 * DELTA);
    }
    assert_eq!(
        signed_since(&net, 3, trace),
        [""; 0],
        "0 + 16 would have let it speak"
    );
}

#[test]
fn r17_r35_a_replica_far_behind_is_told_so_catches_up_and_learns_the_view() {
    let mut net = net_with(4, BRISK);
    net.crash(3);
    net.crash(0);
    net.restart(0, Recovery::Clean);
    for _ in 0..60 {
        net.submit();
        net.run(5 * DELTA);
    }
    net.restart(3, Recovery::Clean);
    net.submit();
    net.run(SECOND);
    assert!(net.replica(3).behind > 0, "it asks for blocks");
    assert_eq!(
        net.replica(3).engine.executed(),
        Seq(0),
        "more than a window behind"
    );
    net.sync(3, 2);
    net.run(2 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(
        net.replica(3).engine.watermarks(),
        net.replica(1).engine.watermarks()
    );
    // It takes part again: with another one dead, its votes are needed.
    net.crash(1);
    net.submit();
    net.run(3 * SECOND);
    net.check_done(&[0, 2, 3]);
    check_no_amnesia(&net);
}

/// One random run: replicas stop between any two effects, one or all of them, and start again; messages
/// are lost, overtake each other, and do not cross partitions; with `liars`, f members lie.
fn restless(seed: u64, config: Config, liars: bool) -> Net {
    let n = [4, 5, 6, 7, 10][(seed % 5) as usize];
    let mut net = net_with(n, config);
    net.seed(seed);
    net.hosts_sync = true;
    net.jitter = DELTA * net.random(4) as u32;
    net.loss_permille = net.random(120);
    if liars {
        make_liars(&mut net, seed);
    }
    for round in 0..8 {
        let all = net.random(4) == 0;
        if !all {
            let victim = NodeId(net.random(n as u64) as u16);
            let effects = net.random(120) as usize;
            net.crash_before_effect = Some((victim, effects));
        }
        for _ in 0..net.random(8) {
            net.submit();
            let pause = net.random(25);
            net.run(Duration::from_millis(pause));
        }
        if round % 3 == 2 {
            let side = net.random(1 << n);
            net.groups = (0..n).map(|i| u8::from(side >> i & 1 == 1)).collect();
        }
        let pause = net.random(1200);
        net.run(Duration::from_millis(pause));
        for node in 0..n as u16 {
            if all && !net.replica(node).crashed {
                net.crash(node);
            }
        }
        let pause = net.random(1500);
        net.run(Duration::from_millis(pause));
        net.crash_before_effect = None;
        for node in 0..n as u16 {
            if net.replica(node).crashed {
                let torn = net.random(2) == 0;
                net.restart(
                    node,
                    if torn {
                        Recovery::Torn
                    } else {
                        Recovery::Clean
                    },
                );
            }
        }
        net.groups = vec![0; n];
        net.check_agreement();
        check_no_amnesia(&net);
    }
    net
}

#[test]
fn random_restarts_never_fork_never_contradict_and_always_heal() {
    each_seed(0..150, |seed| clear_up(restless(seed, BRISK, false)));
}

#[test]
fn random_restarts_beside_liars_never_fork_never_contradict_and_always_heal() {
    each_seed(0..150, |seed| clear_up(restless(seed, BRISK, true)));
}

#[test]
fn random_restarts_in_the_smallest_window_never_fork_and_always_heal() {
    let config = Config {
        checkpoint_interval: 2,
        window: 4,
        ..BRISK
    };
    for liars in [false, true] {
        each_seed(0..75, |seed| clear_up(restless(seed, config, liars)));
    }
}
