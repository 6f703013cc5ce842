//! Multi-version concurrency control: what was read must still be so (EuroSys 2018, §3.4).

use consortium_node::{
    contracts,
    endorsement::Version,
    execute_order_validate::rwset,
    ledger::State,
    transaction::{ContractId, Invalidity, Outcome},
    types::Height,
};

use crate::consortium::{
    creation, effects, envelope, envelope_by, hand_over, reading, shipped, validate,
};

fn is_conflict(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Invalid(Invalidity::ReadConflict { .. }))
}

#[test]
fn a_write_has_the_version_of_its_block_and_place() {
    let genesis = State::new();
    let first = envelope_by(&[0], &creation(9), &effects(&genesis, &creation(9)));
    let create = creation(1);
    let (state, outcomes) = validate(&genesis, 7, vec![first, envelope(&genesis, &create)]);
    assert_eq!(
        outcomes[1],
        Outcome::Ok,
        "invalid envelopes keep their places"
    );
    let key = contracts::key(ContractId(create.id()));
    let version = Version {
        height: Height(7),
        index: 1,
    };
    assert_eq!(rwset::version(&state, &key), Some(version));
    assert_eq!(rwset::version(&State::new(), &key), None);
}

#[test]
fn of_two_calls_of_one_contract_in_a_block_the_second_is_a_conflict() {
    let (state, create) = shipped();
    let (report, transfer) = (reading(1, &create, 50), hand_over(2, &create));
    let both = vec![envelope(&state, &report), envelope(&state, &transfer)];
    let (after, outcomes) = validate(&state, 2, both);
    assert_eq!(outcomes[0], Outcome::Ok);
    assert!(is_conflict(&outcomes[1]), "{outcomes:?}");
    // Nothing of it happened: the same order, endorsed again, is valid.
    let (_, outcomes) = validate(&after, 3, vec![envelope(&after, &transfer)]);
    assert_eq!(outcomes, [Outcome::Ok]);
}

#[test]
fn what_was_endorsed_before_another_block_wrote_is_a_conflict() {
    let (state, create) = shipped();
    let overtaken = envelope(&state, &hand_over(2, &create));
    let (after, _) = validate(&state, 2, vec![envelope(&state, &reading(1, &create, 50))]);
    let (_, outcomes) = validate(&after, 3, vec![overtaken]);
    assert!(is_conflict(&outcomes[0]), "{outcomes:?}");
}

#[test]
fn calls_of_different_contracts_by_different_parties_do_not_conflict() {
    let (state, first) = shipped();
    let second = creation(2);
    let (state, _) = validate(&state, 2, vec![envelope(&state, &second)]);
    let both = [reading(1, &first, 50), hand_over(3, &second)];
    let both = both.iter().map(|order| envelope(&state, order)).collect();
    let (_, outcomes) = validate(&state, 3, both);
    assert_eq!(outcomes, [Outcome::Ok, Outcome::Ok]);
}

#[test]
fn two_orders_of_one_party_conflict_over_its_replay_window() {
    let genesis = State::new();
    let both = [creation(1), creation(2)].map(|order| envelope(&genesis, &order));
    let (_, outcomes) = validate(&genesis, 1, both.to_vec());
    assert_eq!(outcomes[0], Outcome::Ok);
    assert!(is_conflict(&outcomes[1]), "{outcomes:?}");
}

/// A phantom: the call reverted because it saw no contract, and now there is one.
#[test]
fn a_key_that_was_absent_when_read_and_exists_since_is_a_conflict() {
    let genesis = State::new();
    let create = creation(1);
    let too_early = envelope(&genesis, &reading(1, &create, 50));
    let (state, outcomes) = validate(&genesis, 1, vec![envelope(&genesis, &create), too_early]);
    assert_eq!(outcomes[0], Outcome::Ok);
    assert!(is_conflict(&outcomes[1]), "{outcomes:?}");
    let again = envelope(&state, &reading(1, &create, 50));
    assert_eq!(validate(&state, 2, vec![again]).1, [Outcome::Ok]);
}

#[test]
fn a_version_that_never_was_is_a_conflict() {
    let genesis = State::new();
    let create = creation(1);
    let mut found = effects(&genesis, &create);
    found.reads[0].version = Some(Version {
        height: Height(1),
        index: 0,
    });
    let (_, outcomes) = validate(&genesis, 1, vec![envelope_by(&[0, 1], &create, &found)]);
    assert_eq!(
        outcomes,
        [Outcome::Invalid(Invalidity::ReadConflict { read: 0 })]
    );
}

#[test]
fn a_replayed_envelope_is_a_conflict_at_once_and_ever_after() {
    let genesis = State::new();
    let create = envelope(&genesis, &creation(1));
    let (state, outcomes) = validate(&genesis, 1, vec![create.clone(), create.clone()]);
    assert_eq!(outcomes[0], Outcome::Ok);
    assert!(is_conflict(&outcomes[1]), "{outcomes:?}");
    let (after, outcomes) = validate(&state, 2, vec![create]);
    assert!(is_conflict(&outcomes[0]), "{outcomes:?}");
    assert_eq!(after.root(), state.root());
}
