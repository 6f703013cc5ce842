//! Each cheat alone in the hour: what one liar may do, and what two show.

mod support;

use consortium_sim::{
    metrics::summary::{Summary, VerdictStatus},
    run::Played,
};

use support::play;

/// The hour with nothing broken and this cheat.
fn hour_with(cheat: &str) -> Played {
    play("hour.toml", &["fault=[]", &format!("cheat=[{cheat}]")])
}

fn assert_all_hold(summary: &Summary) {
    assert_all_hold_and_reject(summary, 0);
}

fn assert_all_hold_and_reject(summary: &Summary, rejected: u64) {
    assert_eq!(summary.exit_code, 0);
    assert_eq!(summary.count(VerdictStatus::Violated), 0);
    assert_eq!((summary.lost, summary.rejected), (0, rejected));
}

fn only_end(summary: &Summary) -> &str {
    let [cheat] = summary.cheats.as_slice() else {
        panic!("{:?}", summary.cheats);
    };
    assert!(cheat.stopped, "{}", cheat.end);
    &cheat.end
}

#[test]
fn a_silent_primary_is_replaced_and_nothing_is_lost() {
    let played = hour_with("{kind='silent-primary', member='Milk Producer', at='20m'}");
    let summary = &played.measured.summary;
    assert_all_hold(summary);
    assert!(only_end(summary).contains("view 0 -> 1"));
    assert_eq!(summary.pending, 0);
}

#[test]
fn a_lying_leader_changes_nothing_but_latency() {
    let lie = play("lying-leader.toml", &["drain=5m"]);
    let truth = play("lying-leader.toml", &["drain=5m", "cheat=[]"]);
    let (lied, honest) = (&lie.measured.summary, &truth.measured.summary);
    assert_all_hold(lied);
    assert!(only_end(lied).starts_with("no fork"));
    let fates = |s: &Summary| (s.submitted, s.ok, s.reverted, s.lost, s.pending);
    assert_eq!(fates(lied), fates(honest));
    assert!(lied.sent_to_final.max_us > honest.sent_to_final.max_us);
    let roots = |played: &Played| -> Vec<_> {
        let ledgers = played.ending.ledgers.iter();
        ledgers.map(|ledger| ledger.state().root()).collect()
    };
    assert_eq!(
        roots(&lie),
        roots(&truth),
        "the same readings, the same state"
    );
}

#[test]
fn twins_with_one_key_do_not_fork_four_members() {
    let played = hour_with("{kind='twins', member='Milk Producer', at='20m', until='40m'}");
    let summary = &played.measured.summary;
    assert_all_hold(summary);
    assert!(
        only_end(summary).starts_with("no fork"),
        "{}",
        only_end(summary)
    );
    assert_eq!(summary.pending, 0);
}

#[test]
fn two_colluders_of_four_fork_the_ledger_and_the_evidence_names_them() {
    let played = play("colluders.toml", &[]);
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 0, "the scenario expects it");
    let mut verdicts = summary.verdicts.iter();
    let agreement = verdicts
        .find(|verdict| verdict.name == "agreement")
        .expect("it is checked");
    assert_eq!(agreement.status, VerdictStatus::Violated);
    assert_eq!(
        agreement.culprits,
        ["Milk Producer", "Food Processing Company"]
    );
    assert!(!summary.cheats[0].stopped);
    // The victims, not the liars, hold the two branches.
    let at_fork = |node: usize| {
        let ledger = &played.ending.ledgers[node];
        ledger
            .entries()
            .map(|entry| entry.block.id())
            .collect::<Vec<_>>()
    };
    let (carrier, store) = (at_fork(2), at_fork(3));
    assert!(
        carrier
            .iter()
            .zip(&store)
            .any(|(ours, theirs)| ours != theirs)
    );
}

#[test]
fn a_forged_reading_is_executed_nowhere() {
    let played = hour_with("{kind='forged-reading', member='Store', at='20m'}");
    let without = play("hour.toml", &["fault=[]"]);
    let summary = &played.measured.summary;
    assert_all_hold_and_reject(summary, 1);
    assert_eq!(only_end(summary), "rejected 1 (signature)");
    assert_eq!(summary.cheat_attempts, 1);
    assert_eq!(
        summary.ok + summary.reverted,
        without.measured.summary.ok + without.measured.summary.reverted
    );
    for (with, without) in played.ending.ledgers.iter().zip(&without.ending.ledgers) {
        assert_eq!(with.state().root(), without.state().root());
    }
}

#[test]
fn a_replayed_reading_is_executed_once() {
    let played = hour_with("{kind='replayed-reading', member='Carrier 2', at='20m'}");
    let summary = &played.measured.summary;
    assert_all_hold(summary);
    assert_eq!(only_end(summary), "executed once");
    let mut seen = std::collections::BTreeSet::new();
    let ledger = &played.ending.ledgers[0];
    for entry in ledger.entries() {
        for transaction in entry.block.transactions() {
            assert!(seen.insert(transaction.id()), "{} twice", transaction.id());
        }
    }
    assert_eq!(seen.len() as u64, summary.ok + summary.reverted);
}

#[test]
fn a_rewritten_copy_is_found_by_the_audit_and_changes_nothing_else() {
    let cheat = "{kind='rewrites-copy', member='Store', at='59m', from_temperature_c=11, \
                 to_temperature_c=9}";
    let played = hour_with(cheat);
    let summary = &played.measured.summary;
    assert_all_hold(summary);
    assert!(only_end(summary).starts_with("audit of Store's copy: "));
}
