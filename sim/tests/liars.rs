//! Every lie of the catalogue (B-codes) that a schedule can tell, alone: one liar of four harms nobody.

use std::sync::Arc;

use consortium_sim::{
    metrics::summary::{Summary, Verdict, VerdictKind},
    run::{self, Played},
};

mod harness;

/// Four replicas, a slot every five seconds, ten milliseconds from one to another.
const DIRECTED: &str = include_str!("data/directed.toml");
/// R0's proposals are lost from slot 3 on: the view changes, and R1 leads the next.
const VIEW_CHANGE: &str = "{kind='drop', message='PRE-PREPARE', from='R0', view=0, seq='3..'}";
/// R3 goes without slots 3 and 4, and asks for them later.
const LAGGARD: &str =
    "{kind='drop', message=['PRE-PREPARE','PREPARE','COMMIT'], to='R3', seq='3..4'}";

fn with(schedules: &[&str]) -> Played {
    let schedules = format!("schedule=[{}]", schedules.join(", "));
    let plan = harness::plan(DIRECTED, &[&schedules, "drain=2m"]);
    run::play(&plan, 1, Arc::default()).expect("the run reaches its end")
}

/// A lie in words of a schedule, with what else has to happen for it to be told.
fn lie(code: &str, words: &str, others: &[&str]) {
    let lie = format!("{{kind='rewrite', {words}}}");
    let mut schedules = vec![lie.as_str()];
    schedules.extend(others);
    let played = with(&schedules);
    let summary: &Summary = &played.measured.summary;
    let details: Vec<_> = summary.verdicts.iter().flat_map(|v| &v.detail).collect();
    let told = &summary.schedules;
    assert_eq!(summary.exit_code, 0, "{code} {words}: {details:?} {told:?}");
    for kind in [VerdictKind::Safety, VerdictKind::Liveness] {
        assert_eq!(summary.verdict(kind), Verdict::Good, "{code} {words}");
    }
    assert_eq!((summary.lost, summary.pending), (0, 0), "{code} {words}");
    assert_eq!(summary.ok, summary.submitted, "{code} {words}");
}

#[test]
fn b1_b2_b10_a_primary_that_misstates_its_proposals_is_replaced_or_overruled() {
    for change in [
        "view+1",
        "view-1",
        "seq+1",
        "seq-1",
        "seq+1000000",
        "digest",
        "conflicting",
        "null",
        "earlier",
        "without-block",
    ] {
        for to in ["", ", to='R3'", ", to=['R2', 'R3']"] {
            let words =
                format!("message='PRE-PREPARE', from='R0', view=0, seq='3..', change='{change}'");
            // The slot before the first and the view before the first are themselves.
            if change != "view-1" {
                lie("B2", &format!("{words}{to}"), &[]);
            }
        }
    }
}

#[test]
fn b3_b5_b10_a_backup_that_votes_twice_or_otherwise_counts_once() {
    for message in ["PREPARE", "COMMIT"] {
        for change in ["digest", "seq+1", "view+1", "earlier"] {
            for original in ["kept", "replaced"] {
                let words = format!(
                    "message='{message}', from='R2', seq='2..', change='{change}', \
                     original='{original}'"
                );
                lie("B3", &words, &[]);
            }
        }
    }
}

#[test]
fn b13_a_forged_checkpoint_is_no_checkpoint() {
    for change in ["digest", "seq+4", "seq+1", "view+1", "earlier"] {
        let words = format!("message='CHECKPOINT', from='R2', seq='8..', change='{change}'");
        lie("B13", &words, &[]);
    }
    for change in ["digest", "repeated-signer", "too-few", "stitched", "seq+4"] {
        let words = format!("message='STABLE', from='R2', change='{change}'");
        let cut = "{kind='drop', message='CHECKPOINT', to='R3', until='40s'}";
        lie("B13", &words, &[cut]);
    }
}

#[test]
fn b12_m13_a_view_change_that_proves_nothing_spoils_no_view_change() {
    for change in [
        "without-prepared",
        "malformed-prepared",
        "repeated-signer",
        "seq+4",
        "view+1",
        "view+99",
        "digest",
    ] {
        let words = format!("message='VIEW-CHANGE', from='R2', change='{change}'");
        let prepared = "{kind='drop', message='COMMIT', view=0, seq=2}";
        lie("B12", &words, &[prepared]);
    }
}

#[test]
fn b14_a_new_view_that_does_not_follow_leads_to_the_next() {
    for change in [
        "null",
        "digest",
        "without-prepared",
        "too-few",
        "repeated-signer",
        "view+1",
    ] {
        let words = format!("message='NEW-VIEW', from='R1', view=1, change='{change}'");
        let prepared = "{kind='drop', message='COMMIT', view=0, seq=3}";
        lie("B14", &words, &[prepared]);
    }
}

#[test]
fn b24_one_that_asks_for_views_all_the_time_changes_none() {
    let words = "message='COMMIT', from='R2', change='view-change', original='kept'";
    lie("B24", words, &[]);
    let played = with(&[&format!("{{kind='rewrite', {words}}}")]);
    assert!(played.ending.packets["VIEW-CHANGE"].messages >= 12);
    assert!(!played.ending.packets.contains_key("NEW-VIEW"));
}

#[test]
fn b11_b12_old_messages_again_change_nothing() {
    let again = "{kind='duplicate', message=['VIEW-CHANGE','NEW-VIEW'], copies=3, by='4s'}";
    let votes = "{kind='duplicate', message=['PREPARE','COMMIT','PRE-PREPARE'], by='12s'}";
    lie(
        "B11",
        "message='VIEW-CHANGE', from='R2', change='view-change', original='kept'",
        &[VIEW_CHANGE, again, votes],
    );
}

#[test]
fn b19_m12_a_helper_that_lies_helps_nobody_and_harms_nobody() {
    for change in [
        "conflicting",
        "stitched",
        "repeated-signer",
        "too-few",
        "without-block",
        "digest",
        "seq+1",
        "view+1",
    ] {
        let words = format!("message='DECIDED', from='R2', to='R3', change='{change}'");
        lie("B19", &words, &[LAGGARD]);
    }
    for change in ["view+99", "seq+3", "seq-3", "seq+1000000"] {
        let words = format!("message='STATUS', from='R2', change='{change}'");
        lie("B19", &words, &[LAGGARD, VIEW_CHANGE]);
    }
}
