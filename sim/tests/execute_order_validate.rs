//! Execute-order-validate in the whole world: the hour and the day, conflicts, what one orderer cannot
//! bear and what several can.

mod support;

use std::collections::BTreeMap;

use consortium_node::{
    transaction::{Invalidity, Outcome},
    types::TxId,
};
use consortium_sim::{
    metrics::summary::{Summary, VerdictStatus},
    run::Played,
};

use support::play;

const PROTOCOL: &str = "consensus.protocol=execute-order-validate";
const HEALTHY: [&str; 3] = [PROTOCOL, "fault=[]", "cheat=[]"];
/// Four members of whom any one may lie or die.
const SPREAD: [&str; 4] = [
    PROTOCOL,
    "consensus.execute_order_validate.ordering=pbft",
    "consensus.execute_order_validate.endorsers=3",
    "consensus.execute_order_validate.policy=2",
];

fn status(summary: &Summary, invariant: &str) -> VerdictStatus {
    let mut verdicts = summary.verdicts.iter();
    let verdict = verdicts.find(|verdict| verdict.name == invariant);
    verdict.expect("every invariant has a verdict").status
}

fn assert_complete(summary: &Summary) {
    assert_eq!(summary.exit_code, 0);
    assert_eq!(summary.count(VerdictStatus::Violated), 0);
    assert_eq!((summary.lost, summary.pending), (0, 0));
}

/// Temperatures of the golden package's rows, tenths of a degree.
fn rows(summary: &Summary) -> Vec<i64> {
    let golden = summary.shared_ledger.as_ref().expect("golden");
    golden.rows.iter().map(|row| row.temperature_dc).collect()
}

/// How often each transaction executed on the chain of a peer, and how many envelopes were invalid.
fn executions(played: &Played, peer: usize) -> (BTreeMap<TxId, u64>, u64) {
    let (mut executed, mut invalid) = (BTreeMap::new(), 0);
    for entry in played.ending.ledgers[peer].entries() {
        for receipt in entry.receipts.iter() {
            if receipt.outcome.is_executed() {
                *executed.entry(receipt.tx).or_default() += 1;
            } else {
                let conflict = Invalidity::ReadConflict { read: 0 };
                let conflict = Outcome::Invalid(conflict);
                assert_eq!(
                    std::mem::discriminant(&receipt.outcome),
                    std::mem::discriminant(&conflict)
                );
                invalid += 1;
            }
        }
    }
    (executed, invalid)
}

#[test]
fn the_healthy_day_of_milk_is_final_exactly_once_and_everything_is_checked() {
    let mut sets = HEALTHY.to_vec();
    sets.push("fleet.packages=2");
    let played = play("milk.toml", &sets);
    let summary = &played.measured.summary;
    assert_complete(summary);
    for verdict in &summary.verdicts {
        let of_pbft = verdict
            .detail
            .iter()
            .any(|why| why.contains("execute-order-validate"));
        let claimed = !of_pbft && verdict.name != "steady-leader";
        let expected = if claimed {
            VerdictStatus::Holds
        } else {
            VerdictStatus::NotClaimed
        };
        assert_eq!(verdict.status, expected, "{}", verdict.name);
    }
    let holds = summary.count(VerdictStatus::Holds);
    assert_eq!(holds, 13, "all but what is about PBFT's messages");
    assert_eq!(rows(summary), [80, 90, 90, 110]);
    let (executed, _) = executions(&played, 3);
    assert!(executed.values().all(|times| *times == 1));
    assert_eq!(executed.len() as u64, summary.ok + summary.reverted);
    assert_eq!(summary.submitted, summary.ok + summary.reverted);
    assert_eq!((summary.faulty, summary.quorum), (0, 1));
    assert_eq!(summary.vital_regions, ["North Europe", "West Europe"]);
    assert!(
        summary
            .claims
            .starts_with("bears no orderer that stops or lies")
    );
    let roots: Vec<_> = played
        .ending
        .ledgers
        .iter()
        .map(|l| l.state().root())
        .collect();
    assert!(roots.iter().all(|root| *root == roots[0]));
}

#[test]
fn the_day_of_milk_with_its_liar_and_its_crash_is_borne_by_orderers_and_endorsers_that_are_spread()
{
    let mut sets = SPREAD.to_vec();
    sets.push("fleet.packages=1");
    let played = play("milk.toml", &sets);
    let summary = &played.measured.summary;
    assert_complete(summary);
    assert_eq!(
        rows(summary),
        [80, 90, 90, 110],
        "the same day, the same table"
    );
    assert!(summary.faults.iter().all(|fault| fault.survived));
    assert!(summary.cheats.iter().all(|cheat| cheat.stopped));
    let (executed, _) = executions(&played, 3);
    assert!(executed.values().all(|times| *times == 1));
    assert_eq!(executed.len() as u64, summary.ok + summary.reverted);
    assert!(summary.any_region_may_fail);
}

#[test]
fn one_orderer_that_dies_stops_everyone_and_nobody_blames_the_protocol() {
    let played = play("hour.toml", &[PROTOCOL]);
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 0);
    assert_eq!(
        status(summary, "bounded-liveness"),
        VerdictStatus::NotClaimed
    );
    assert_eq!(
        status(summary, "certificate-validity"),
        VerdictStatus::Holds
    );
    assert!(summary.pending > 0);
    assert_eq!(summary.lost, 0);
}

#[test]
fn an_endorser_that_the_policy_needs_stops_everyone_and_one_that_it_does_not_need_stops_nobody() {
    let crash = "fault=[{kind='crash', target='Food Processing Company', at='20m'}]";
    let played = play("hour.toml", &[PROTOCOL, crash]);
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 0);
    assert_eq!(
        status(summary, "bounded-liveness"),
        VerdictStatus::NotClaimed
    );
    let one = "consensus.execute_order_validate.policy=1";
    let played = play("hour.toml", &[PROTOCOL, crash, one]);
    assert_complete(&played.measured.summary);
    let others = "consensus.execute_order_validate.endorsers=['Store', 'Carrier 2']";
    let played = play("hour.toml", &[PROTOCOL, crash, others]);
    assert_complete(&played.measured.summary);
}

#[test]
fn an_orderer_that_lies_forks_the_peers_and_its_two_words_convict_it() {
    let cheat = "cheat=[{kind='equivocating-primary', member='Milk Producer', at='20m'}]";
    let played = play("hour.toml", &[PROTOCOL, "fault=[]", cheat]);
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 3);
    assert_eq!(status(summary, "agreement"), VerdictStatus::Violated);
    assert!(!summary.cheats[0].stopped);
}

#[test]
fn another_member_may_order() {
    let orderer = "consensus.execute_order_validate.orderer=Store";
    let crash = "fault=[{kind='crash', target='primary', at='50m'}]";
    let played = play("hour.toml", &[PROTOCOL, orderer, crash]);
    assert_eq!(played.ending.alive, [true, true, true, false]);
    let ledger = &played.ending.ledgers[0];
    assert!(ledger.height().0 > 10);
    let proposer = ledger.head().block.header().proposer;
    assert_eq!(proposer.index(), 3);
}

#[test]
fn a_peer_that_was_cut_off_catches_up_and_its_gateway_loses_nothing() {
    let partition = "fault=[{kind='partition', at='20m', for='10m', groups=[['Milk Producer', \
                     'Food Processing Company', 'Carrier 2'], ['Store']]}]";
    let played = play("hour.toml", &[PROTOCOL, partition]);
    assert_complete(&played.measured.summary);
    let heights: Vec<_> = played.ending.ledgers.iter().map(|l| l.height().0).collect();
    assert!(heights[0] - heights[3] <= 1, "{heights:?}");
}

/// Two gateways at once: at a hand-over the old custodian signs while the sensor reports through the new
/// one's gateway. What one of them read has changed, and it has its order endorsed again.
#[test]
fn gateways_that_race_for_a_contract_meet_conflicts_and_everything_is_final_once_all_the_same() {
    let mut sets = HEALTHY.to_vec();
    sets.extend([
        "duration=\"30m\"",
        "fleet.packages=12",
        "fleet.reading_every=\"3s\"",
        "consensus.batch.max_age=\"1s\"",
    ]);
    let played = play("hour.toml", &sets);
    let summary = &played.measured.summary;
    assert_complete(summary);
    let (executed, invalid) = executions(&played, 0);
    assert!(invalid > 0, "nobody raced");
    assert_eq!(summary.invalidated, invalid);
    assert!(executed.values().all(|times| *times == 1));
    assert_eq!(executed.len() as u64, summary.ok + summary.reverted);
}

#[test]
fn gateways_that_may_not_retry_give_up_what_conflicts() {
    let mut sets = HEALTHY.to_vec();
    sets.extend([
        "duration=\"30m\"",
        "fleet.packages=12",
        "fleet.reading_every=\"3s\"",
        "consensus.batch.max_age=\"1s\"",
        "consensus.execute_order_validate.retries=0",
    ]);
    let played = play("hour.toml", &sets);
    let summary = &played.measured.summary;
    assert_complete(summary);
    assert!(summary.rejected_reasons["read conflicts"] > 0);
}
