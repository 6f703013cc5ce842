//! The museum of consensus bugs, the rooms of Tendermint, HotStuff and Raft.
//!
//! Each scenario is played on the sound build. Where a piece switches a rule of its protocol off, or has
//! more liars than the protocol bears, it must break what it names and nothing else; its sibling, and every
//! other piece, must break nothing. A schedule that was never applied fails the run (exit code 5).

mod support;

use std::collections::BTreeSet;

use consortium_sim::metrics::summary::{Summary, Verdict, VerdictKind, VerdictStatus};
use support::play;

fn summary(name: &str) -> Summary {
    play(&format!("museum/{name}"), &[]).measured.summary
}

/// The invariants that a run violated.
fn violated(summary: &Summary) -> BTreeSet<&str> {
    let rows = summary.verdicts.iter();
    let rows = rows.filter(|row| row.status == VerdictStatus::Violated);
    rows.map(|row| row.name.as_str()).collect()
}

/// The run went as the scenario says, and each of its schedules took part.
fn assert_as_expected(name: &str, summary: &Summary) {
    let details: Vec<_> = summary.verdicts.iter().flat_map(|v| &v.detail).collect();
    assert_eq!(summary.exit_code, 0, "{name}: {details:?}");
    for schedule in &summary.schedules {
        assert!(schedule.used > 0, "{name}: {}", schedule.label);
    }
}

/// Safe and live, and all that was asked for is final.
fn assert_sound(name: &str) -> Summary {
    let summary = summary(name);
    assert_as_expected(name, &summary);
    assert_eq!(violated(&summary), BTreeSet::new(), "{name}");
    for kind in [VerdictKind::Safety, VerdictKind::Liveness] {
        assert_eq!(summary.verdict(kind), Verdict::Good, "{name}");
    }
    assert_eq!((summary.lost, summary.pending), (0, 0), "{name}");
    assert_eq!(summary.ok, summary.submitted, "{name}");
    summary
}

/// Safe, and what was asked for stays open.
fn assert_stalls(name: &str) {
    let summary = summary(name);
    assert_as_expected(name, &summary);
    let stalled = BTreeSet::from(["bounded-liveness"]);
    assert_eq!(violated(&summary), stalled, "{name}");
    assert_eq!(
        summary.verdict(VerdictKind::Safety),
        Verdict::Good,
        "{name}"
    );
    assert!(summary.pending > 0, "{name}");
}

/// Without the liar of the scenario its requests take less time, median and worst.
fn assert_costs(name: &str) {
    let dear = assert_sound(name).sent_to_final;
    let cheap = play(&format!("museum/{name}"), &["schedule=[]"]);
    let cheap = cheap.measured.summary.sent_to_final;
    assert!(dear.max_us > 5 * cheap.max_us, "{name}: the worst");
    assert!(dear.p50_us >= cheap.p50_us, "{name}: the median");
}

#[test]
fn m22_a_later_polka_frees_who_is_locked_on_an_earlier_block() {
    assert_sound("m22");
}

#[test]
fn m23_hidden_locks_stop_all_unless_polkas_are_passed_on() {
    assert_stalls("m23");
    assert_sound("m23-fixed");
}

#[test]
fn m24_a_valid_round_that_nobody_remembers_stops_all_unless_polkas_are_passed_on() {
    assert_stalls("m24");
    assert_sound("m24-fixed");
}

#[test]
fn m25_who_comes_back_signs_nothing_that_contradicts_what_it_signed() {
    for name in ["m25", "m25-rolled-back"] {
        assert_sound(name);
    }
}

#[test]
fn m26_two_liars_of_four_fork_and_the_evidence_names_them_and_nobody_else() {
    let summary = summary("m26");
    assert_as_expected("m26", &summary);
    let broken = BTreeSet::from(["acknowledged-never-lost", "agreement"]);
    assert_eq!(violated(&summary), broken);
    let mut rows = summary.verdicts.iter();
    let agreement = rows
        .find(|row| row.name == "agreement")
        .expect("it is judged");
    assert_eq!(agreement.culprits, ["R2", "R3"]);
}

#[test]
fn m27_three_schedules_that_only_cut_links_end_within_a_minute() {
    for name in ["m27", "m27-b", "m27-c"] {
        let summary = assert_sound(name);
        assert!(summary.ended_ms <= 60_000, "{name}");
    }
}

#[test]
fn m28_a_certificate_that_is_shown_to_one_stops_nobody() {
    for name in ["m28", "m28-jolteon"] {
        assert_sound(name);
    }
}

#[test]
fn m29_a_leader_that_forks_costs_time_and_nothing_else() {
    for name in ["m29", "m29-jolteon"] {
        assert_costs(name);
    }
}

#[test]
fn m30_a_leader_that_keeps_the_votes_costs_time_and_nothing_else() {
    for name in ["m30", "m30-three-chain"] {
        assert_costs(name);
    }
}

#[test]
fn m32_timers_that_double_out_of_step_come_together_again() {
    assert_sound("m32");
}

#[test]
fn hs2_three_links_and_a_leader_for_each_view_stall_without_one_of_four() {
    assert_stalls("hotstuff-rotate");
    for name in ["hotstuff-sticky", "hotstuff-reputation", "hotstuff-jolteon"] {
        assert_sound(name);
    }
}

/// Terms that passed while the network was parted.
fn terms(name: &str) -> u64 {
    let summary = assert_sound(name);
    let rows = summary.faults.iter();
    let terms = rows.map(|row| row.views.1 - row.views.0);
    terms.max().expect("links are cut")
}

#[test]
fn m39_a_who_hears_no_leader_raises_terms_without_end_unless_it_asks_first() {
    assert!(terms("m39-a") >= 20);
    assert_eq!(terms("m39-a-fixed"), 0);
}

#[test]
fn m39_b_a_leader_that_one_member_hears_stops_all_without_check_quorum() {
    assert_stalls("m39-b");
    assert_sound("m39-b-fixed");
}

#[test]
fn m40_nobody_votes_twice_in_a_term_however_it_stops() {
    for name in ["m40", "m40-record"] {
        assert_sound(name);
    }
}
