//! The same hour under each protocol and size: what each gives, and what it does not claim.

mod support;

use consortium_sim::{
    metrics::summary::{Summary, VerdictStatus},
    run::Played,
};

use support::play;

const HEALTHY: &str = "fault=[]";

/// What only PBFT's rules give, and what a scenario must claim.
const OF_PBFT: [&str; 6] = [
    "prepared-carried",
    "checkpoint",
    "watermarks",
    "view-sanity",
    "durability",
    "steady-leader",
];

fn unclaimed(summary: &Summary) -> Vec<&str> {
    summary
        .verdicts
        .iter()
        .filter(|verdict| verdict.status == VerdictStatus::NotClaimed)
        .map(|verdict| verdict.name.as_str())
        .collect()
}

fn status(summary: &Summary, invariant: &str) -> VerdictStatus {
    let mut verdicts = summary.verdicts.iter();
    let verdict = verdicts.find(|verdict| verdict.name == invariant);
    verdict.expect("every invariant has a verdict").status
}

/// Nothing is violated, nothing is lost and nothing waits any more.
fn assert_complete(summary: &Summary) {
    assert_eq!(summary.exit_code, 0);
    assert_eq!(summary.count(VerdictStatus::Violated), 0);
    assert_eq!((summary.lost, summary.pending), (0, 0));
    assert_eq!(summary.submitted, summary.ok + summary.reverted);
}

/// All validators that are up stand on one chain: up to `lag` blocks behind the longest.
fn assert_one_chain(played: &Played, lag: u64) {
    let ledgers: Vec<_> = played
        .ending
        .ledgers
        .iter()
        .zip(&played.ending.alive)
        .filter_map(|(ledger, alive)| alive.then_some(ledger))
        .collect();
    let longest = ledgers
        .iter()
        .max_by_key(|ledger| ledger.height())
        .expect("someone is up");
    for ledger in &ledgers {
        let head = ledger.head().block.id();
        assert_eq!(longest.contains_block(&head), Some(ledger.height()));
        assert!(longest.height().0 - ledger.height().0 <= lag);
    }
}

#[test]
fn a_trusted_database_is_final_at_once_and_gives_an_outsider_nothing_to_check() {
    let played = play("hour.toml", &[HEALTHY, "consensus.protocol=central"]);
    let summary = &played.measured.summary;
    assert_complete(summary);
    assert_eq!((summary.faulty, summary.quorum), (0, 1));
    let unclaimed = unclaimed(summary);
    let (own, of_pbft) = unclaimed.split_at(1);
    assert_eq!(
        (own, of_pbft),
        (&["certificate-validity"][..], &OF_PBFT[..])
    );
    assert_eq!(
        summary.claims,
        "one trusted machine: nothing an outsider could check"
    );
    assert!(!summary.any_region_may_fail);
    assert_eq!(summary.vital_regions, ["North Europe"]);
    assert_one_chain(&played, 1);
}

#[test]
fn without_its_database_node_a_consortium_stops_and_nobody_blames_the_protocol() {
    let played = play("hour.toml", &["consensus.protocol=central"]);
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 0);
    assert_eq!(
        status(summary, "bounded-liveness"),
        VerdictStatus::NotClaimed
    );
    assert!(summary.pending > 0);
    assert!(!summary.faults[0].survived);
    assert_eq!(summary.lost, 0);
}

#[test]
fn a_reading_that_is_rewritten_in_a_databases_copy_still_lacks_its_sensors_signature() {
    let cheat = "cheat=[{kind='rewrites-copy', member='Store', at='59m', from_temperature_c=11, \
                 to_temperature_c=9}]";
    let sets = [HEALTHY, cheat, "consensus.protocol=central"];
    let played = play("hour.toml", &sets);
    let [cheat] = played.measured.summary.cheats.as_slice() else {
        panic!("one cheat was planned");
    };
    assert!(cheat.stopped);
    assert!(cheat.end.contains("is not signed by"), "{}", cheat.end);
}

#[test]
fn a_database_that_lies_forks_the_copies_and_the_run_says_so() {
    let cheat = "cheat=[{kind='equivocating-primary', member='Milk Producer', at='20m'}]";
    let sets = [HEALTHY, cheat, "consensus.protocol=central"];
    let played = play("hour.toml", &sets);
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 3);
    assert_eq!(status(summary, "agreement"), VerdictStatus::Violated);
    assert!(!summary.cheats[0].stopped);
}

#[test]
fn clique_is_final_as_k_deep_and_claims_no_agreement() {
    let played = play("hour.toml", &[HEALTHY, "consensus.protocol=clique"]);
    let summary = &played.measured.summary;
    assert_complete(summary);
    assert!(summary.claims.ends_with("no finality: 3 confirmations"));
    let unclaimed = unclaimed(summary);
    let (own, of_pbft) = unclaimed.split_at(3);
    assert_eq!(
        own,
        ["agreement", "certificate-validity", "no-conflicting-votes"]
    );
    assert_eq!(of_pbft, OF_PBFT);
    // Included within a period or so; relied upon three periods of five seconds later.
    let waited = summary.sent_to_final.p50_us - summary.sent_to_included.p50_us;
    assert!((14_000_000..22_000_000).contains(&waited), "{waited} us");
    assert_eq!(summary.retracted_after_relied_blocks, 0);
    assert_one_chain(&played, 3);
}

#[test]
fn clique_with_more_confirmations_is_later_by_as_many_periods() {
    let p50 = |confirmations: &str| {
        let sets = [HEALTHY, "consensus.protocol=clique", confirmations];
        let played = play("hour.toml", &sets);
        played.measured.summary.sent_to_final.p50_us
    };
    let (three, six) = (
        p50("consensus.clique.confirmations=3"),
        p50("consensus.clique.confirmations=6"),
    );
    let later = six - three;
    assert!((14_000_000..18_000_000).contains(&later), "{later} us");
}

#[test]
fn a_lone_clique_signers_branch_is_given_up_when_the_partition_heals() {
    let partition = "fault=[{kind='partition', at='5m12s', for='10m', groups=[['Milk Producer'], \
                     ['Food Processing Company', 'Carrier 2', 'Store']]}]";
    let sets = [partition, "consensus.protocol=clique"];
    let played = play("hour.toml", &sets);
    let summary = &played.measured.summary;
    assert_complete(summary);
    assert!(summary.reorganisations > 0);
    assert!(summary.deepest_reorganisation_blocks > 0);
    assert!(
        summary.retracted > 0,
        "what only its branch had is taken back"
    );
    assert_eq!(summary.retracted_after_relied_blocks, 0);
    assert_one_chain(&played, 3);
}

#[test]
fn the_milk_day_under_clique_survives_its_faults_and_counts_its_reorganisations() {
    let sets = ["fleet.packages=1", "consensus.protocol=clique"];
    let played = play("milk.toml", &sets);
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 0);
    assert!(summary.reorganisations > 0);
    assert!(summary.faults.iter().all(|fault| fault.survived));
    let rows = &summary.shared_ledger.as_ref().expect("golden").rows;
    let read: Vec<_> = rows.iter().map(|row| row.temperature_dc).collect();
    assert_eq!(read, [80, 90, 90, 110], "the same day, the same table");
    assert_one_chain(&played, 3);
}

#[test]
fn two_halves_of_pbft_stall_for_ten_minutes_and_finish_everything_after() {
    let partition = "fault=[{kind='partition', at='20m', for='10m', groups=[['Milk Producer', \
                     'Food Processing Company'], ['Carrier 2', 'Store']]}]";
    let played = play("hour.toml", &[partition]);
    let summary = &played.measured.summary;
    assert_complete(summary);
    assert_eq!(status(summary, "bounded-liveness"), VerdictStatus::Holds);
    let fault = &summary.faults[0];
    assert!(fault.survived);
    let outage = fault.outage_ms.expect("it began");
    // It counts from the first reading that was due and got no answer: one comes within half a minute.
    assert!((570_000..660_000).contains(&outage), "{outage} ms");
    let recovery = fault.recovery_ms.expect("it healed");
    assert!(recovery < 60_000, "{recovery} ms");
    assert_one_chain(&played, 1);
}

#[test]
fn a_link_that_is_cut_one_way_costs_pbft_next_to_nothing() {
    let cut = "fault=[{kind='link-cut', from='Milk Producer', to='Store', at='20m', for='10m'}]";
    let played = play("hour.toml", &[cut]);
    let summary = &played.measured.summary;
    assert_complete(summary);
    assert_eq!(status(summary, "bounded-liveness"), VerdictStatus::Holds);
    assert!(summary.faults[0].survived);
    assert!(summary.faults[0].outage_ms.is_some_and(|ms| ms < 60_000));
    assert_one_chain(&played, 1);
}

/// The hour among `n` members: the four of the milk story and some more shops.
fn among(n: usize, faults: &str) -> Played {
    let shops = ["UK South", "Sweden Central", "Switzerland North"];
    let four = [
        ("Milk Producer", "North Europe"),
        ("Food Processing Company", "West Europe"),
        ("Carrier 2", "Germany West Central"),
        ("Store", "France Central"),
    ];
    let more = shops.map(|region| (region, region));
    let members: Vec<_> = four
        .into_iter()
        .chain(more)
        .take(n)
        .map(|(name, region)| format!("{{name='{name}', region='{region}'}}"))
        .collect();
    let members = format!("member=[{}]", members.join(","));
    play("hour.toml", &[&members, faults])
}

#[test]
fn pbft_among_four_to_seven_bears_f_crashes_and_decides_with_q() {
    let crashes = [
        "{kind='crash', target='primary', at='20m'}",
        "{kind='crash', target='Store', at='30m'}",
    ];
    for (n, f, q) in [(4, 1, 3), (5, 1, 4), (6, 1, 4), (7, 2, 5)] {
        let played = among(n, &format!("fault=[{}]", crashes[..f].join(",")));
        let summary = &played.measured.summary;
        assert_eq!((summary.validators, summary.faulty), (n, f));
        assert_eq!(summary.quorum, q, "n = {n}");
        assert_complete(summary);
        assert!(summary.faults.iter().all(|fault| fault.survived), "n = {n}");
        assert_one_chain(&played, 1);
    }
}

#[test]
fn one_crash_too_many_stops_pbft_without_breaking_its_safety() {
    let crashes = "fault=[{kind='crash', target='Store', at='20m'}, \
                   {kind='crash', target='Carrier 2', at='30m'}]";
    for n in [4, 5] {
        let played = among(n, crashes);
        let summary = &played.measured.summary;
        assert_eq!(summary.exit_code, 0, "n = {n}");
        assert_eq!(summary.count(VerdictStatus::Violated), 0);
        assert_eq!(
            unclaimed(summary),
            ["bounded-liveness", "steady-leader"],
            "n = {n}"
        );
        assert!(summary.pending > 0 && summary.lost == 0);
        assert_one_chain(&played, 1);
    }
}
