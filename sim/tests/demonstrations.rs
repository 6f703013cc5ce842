//! The demonstrations: what each protocol makes of the same trouble, as the heads of the scenarios say.

mod support;

use consortium_sim::{
    compare::claims::standing,
    metrics::summary::{FaultRow, Summary, VerdictStatus},
    protocols,
    scenario::plan::Standing,
};

use support::play;

const MINUTE: u64 = 60_000;

/// Plays a demonstration under a protocol, with more keys changed.
fn under(name: &str, protocol: &str, sets: &[&str]) -> Summary {
    let chosen = format!("consensus.protocol={protocol}");
    let sets = [chosen.as_str()].into_iter().chain(sets.iter().copied());
    let sets: Vec<_> = sets.collect();
    play(name, &sets).measured.summary
}

/// Plays it under every protocol: each comes out as expected, and as `forked` and `stalled` say.
fn assert_comes_out(name: &str, forked: &[&str], stalled: &[&str], also: impl Fn(&str, &Summary)) {
    for protocol in protocols::names() {
        let summary = under(name, protocol, &[]);
        assert_eq!(
            summary.exit_code, 0,
            "{name} under {protocol}: {:?}",
            summary.verdicts
        );
        let expected = match (forked.contains(&protocol), stalled.contains(&protocol)) {
            (true, _) => Standing::Forked,
            (_, true) => Standing::Stalled,
            _ => Standing::Safe,
        };
        assert_eq!(standing(&summary), expected, "{name} under {protocol}");
        if expected == Standing::Safe {
            assert_eq!(
                (summary.lost, summary.pending),
                (0, 0),
                "{name} under {protocol}"
            );
        }
        also(protocol, &summary);
    }
}

/// The invariants that a run violated.
fn violated(summary: &Summary) -> Vec<&str> {
    let rows = summary.verdicts.iter();
    rows.filter(|row| row.status == VerdictStatus::Violated)
        .map(|row| row.name.as_str())
        .collect()
}

/// The only fault, and what became of it.
fn fault(summary: &Summary) -> &FaultRow {
    assert_eq!(summary.faults.len(), 1);
    &summary.faults[0]
}

/// From the end of the only fault to the first reading that became final, in milliseconds.
fn recovery(summary: &Summary) -> u64 {
    fault(summary).recovery_ms.expect("it came back")
}

/// How long nothing became final because of the only fault, in milliseconds.
fn outage(summary: &Summary) -> u64 {
    fault(summary).outage_ms.expect("it began")
}

#[test]
fn six_members_split_in_halves_fork_ibft_with_2f_plus_1_and_nothing_else() {
    assert_comes_out(
        "six-split",
        &["ibft"],
        &[],
        |protocol, summary| match protocol {
            "ibft" => assert_eq!(violated(summary), ["agreement", "acknowledged-never-lost"]),
            // The gateways still reach the machine that everyone relies on.
            "central" | "execute-order-validate" => assert!(outage(summary) < MINUTE),
            _ => assert!(
                outage(summary) > 2 * MINUTE,
                "{protocol} stops without a quorum"
            ),
        },
    );
    let right = ["consensus.ibft.quorum=2n/3", "expect.ibft.violations=[]"];
    let healed = under("six-split", "ibft", &right);
    assert_eq!(healed.exit_code, 0);
    assert_eq!((standing(&healed), healed.pending), (Standing::Safe, 0));
    assert!(outage(&healed) > 2 * MINUTE);
}

#[test]
fn a_member_that_leaves_stops_three_chains_with_rotation_and_those_who_rely_on_one_machine() {
    let stalled = ["hotstuff", "central", "execute-order-validate"];
    assert_comes_out("member-leaves", &[], &stalled, |protocol, summary| {
        let slow = summary.due_to_final.p90_us / 1000;
        match protocol {
            "hotstuff" => assert_eq!(violated(summary), ["bounded-liveness"]),
            "central" | "execute-order-validate" => assert!(violated(summary).is_empty()),
            "pbft" | "raft" => {
                assert!(outage(summary) < 10_000, "one hiccup");
                assert!(slow < 1000, "{protocol} has another leader for good");
            }
            "qbft" | "ibft" | "tendermint" => {
                assert!(slow > 3000, "{protocol} pays at each of its turns");
            }
            _ => assert_eq!(protocol, "clique"),
        }
    });
    for lives in ["variant=jolteon", "variant=hotstuff-2", "leader=sticky"] {
        let lives = format!("consensus.hotstuff.{lives}");
        let sets = [lives.as_str(), "expect.hotstuff.violations=[]"];
        let summary = under("member-leaves", "hotstuff", &sets);
        assert_eq!((summary.exit_code, summary.pending), (0, 0), "{lives}");
    }
}

#[test]
fn after_three_hours_without_a_quorum_some_are_back_in_seconds_some_in_hours_and_one_never() {
    let stalled = ["qbft", "ibft", "clique"];
    assert_comes_out("three-hour-outage", &[], &stalled, |protocol, summary| {
        if stalled.contains(&protocol) {
            assert_eq!(violated(summary), ["bounded-liveness"], "{protocol}");
            assert!(!fault(summary).survived);
        } else {
            // Whoever can reach the one machine that orders goes on as if nothing had happened.
            let sole = matches!(protocol, "central" | "execute-order-validate");
            let bound = if sole { 10 * MINUTE } else { MINUTE };
            assert!(
                recovery(summary) < bound,
                "{protocol}: {}",
                recovery(summary)
            );
        }
    });
    let patient = |protocol: &str, most: &[&str]| {
        let none = format!("expect.{protocol}.violations=[]");
        let sets = [none.as_str()].into_iter().chain(most.iter().copied());
        let sets: Vec<_> = sets.collect();
        under("three-hour-outage", protocol, &sets)
    };
    for (protocol, least, most) in [("qbft", 160, 165), ("ibft", 95, 99)] {
        let summary = patient(protocol, &["drain=3h"]);
        assert_eq!((summary.exit_code, summary.pending), (0, 0), "{protocol}");
        let minutes = recovery(&summary) / MINUTE;
        assert!(
            (least..=most).contains(&minutes),
            "{protocol}: {minutes} min"
        );
    }
    let resent = patient("qbft", &["consensus.qbft.resend=5s"]);
    assert_eq!(resent.exit_code, 0);
    assert!(recovery(&resent) < MINUTE);
    let never = under("three-hour-outage", "clique", &["drain=1d"]);
    assert_eq!(standing(&never), Standing::Stalled);
}

#[test]
fn a_rewritten_copy_is_found_under_every_protocol_because_the_sensor_signed_the_reading() {
    assert_comes_out("rewrite-history", &[], &[], |protocol, summary| {
        let [cheat] = summary.cheats.as_slice() else {
            panic!("one cheat: {:?}", summary.cheats);
        };
        assert!(cheat.stopped, "{protocol}");
        assert!(
            cheat.end.starts_with("audit of Store's copy"),
            "{protocol}: {}",
            cheat.end
        );
        assert!(
            cheat.end.contains("not signed by the sensor of GOLD-1"),
            "{}",
            cheat.end
        );
    });
}

#[test]
fn a_lying_leader_forks_those_who_take_its_word() {
    let forked = ["raft", "central", "execute-order-validate"];
    assert_comes_out("lying-leader", &forked, &[], |protocol, summary| {
        let cheat = &summary.cheats[0];
        assert!(cheat.acted > 0, "{protocol}: the liar led");
        assert_eq!(cheat.stopped, !forked.contains(&protocol), "{protocol}");
        if forked.contains(&protocol) {
            assert_eq!(violated(summary), ["agreement"], "{protocol}");
        }
    });
    let several = [
        "consensus.execute_order_validate.ordering=pbft",
        "consensus.execute_order_validate.endorsers=3",
        "consensus.execute_order_validate.policy=2",
        "expect.execute_order_validate.violations=[]",
    ];
    let summary = under("lying-leader", "execute-order-validate", &several);
    assert_eq!((summary.exit_code, standing(&summary)), (0, Standing::Safe));
}
