//! The endorsement policy, and what an envelope must hold (EuroSys 2018, §3.4 and §4.4).

use consortium_node::{
    endorsement::Endorsed,
    execute_order_validate::Policy,
    ledger::{State, replay::ReplayWindow},
    transaction::{Invalidity, Outcome, Transaction},
    types::NodeId,
};

use crate::consortium::{
    ALICE, DEVICE, READER, block, committee, creation, effects, envelope, envelope_by, node_key,
    order, party_key, reading, shipped, signed, validate,
};

fn too_few(signers: u32) -> [Outcome; 1] {
    [Outcome::Invalid(Invalidity::Policy { signers, needed: 2 })]
}

#[test]
fn enough_endorsers_of_the_same_effects_make_an_envelope_valid() {
    let (state, create) = shipped();
    let (after, outcomes) = validate(&state, 2, vec![envelope(&state, &reading(1, &create, 50))]);
    assert_eq!(outcomes, [Outcome::Ok]);
    assert!(ReplayWindow::load(&after, DEVICE).check(1).is_err());
}

#[test]
fn policy_too_few_endorsers_and_one_that_signed_twice_are_too_few() {
    let genesis = State::new();
    let create = creation(1);
    let found = effects(&genesis, &create);
    for by in [&[0_u16][..], &[1, 1], &[0, 0, 0]] {
        let envelope = envelope_by(by, &create, &found);
        let (after, outcomes) = validate(&genesis, 1, vec![envelope]);
        assert_eq!(outcomes, too_few(1), "{by:?}");
        assert_eq!(after.root(), genesis.root(), "it leaves no trace");
    }
}

#[test]
fn policy_a_peer_that_is_no_endorser_counts_for_nothing_and_does_no_harm() {
    let genesis = State::new();
    let create = creation(1);
    let found = effects(&genesis, &create);
    let outsiders = envelope_by(&[2, 3, 0], &create, &found);
    assert_eq!(validate(&genesis, 1, vec![outsiders]).1, too_few(1));
    let one_more = envelope_by(&[0, 3, 1], &create, &found);
    assert_eq!(validate(&genesis, 1, vec![one_more]).1, [Outcome::Ok]);
}

#[test]
fn policy_an_endorsement_that_the_endorser_did_not_sign_is_forged() {
    let genesis = State::new();
    let create = creation(1);
    let found = effects(&genesis, &create);
    // Endorser 0 signs in the name of endorser 1 as well.
    let forged = node_key(0).sign(NodeId(1), found.clone());
    let endorsed = Endorsed::collect([&signed(0, &found), &forged]).expect("they are equal");
    let envelope = create.with_endorsements(endorsed);
    assert_eq!(validate(&genesis, 1, vec![envelope]).1, too_few(1));
}

#[test]
fn endorsements_that_differ_cannot_be_put_into_one_envelope() {
    let create = creation(1);
    let found = effects(&State::new(), &create);
    let mut other = found.clone();
    other.writes[0].value.push(0);
    assert!(Endorsed::collect([&signed(0, &found), &signed(1, &other)]).is_none());
    assert!(Endorsed::collect([]).is_none());
}

#[test]
fn an_endorsement_of_another_order_is_a_mismatch() {
    let genesis = State::new();
    let other = effects(&genesis, &creation(2));
    let envelope = envelope_by(&[0, 1], &creation(1), &other);
    let (_, outcomes) = validate(&genesis, 1, vec![envelope]);
    assert_eq!(outcomes, [Outcome::Invalid(Invalidity::Mismatch)]);
}

#[test]
fn an_order_without_endorsements_is_invalid() {
    let (_, outcomes) = validate(&State::new(), 1, vec![creation(1)]);
    assert_eq!(outcomes, [Outcome::Invalid(Invalidity::Unendorsed)]);
}

#[test]
fn an_order_that_its_party_did_not_sign_or_may_not_write_is_invalid_though_endorsed() {
    let genesis = State::new();
    let create = creation(1);
    let forged = Transaction::sign(&party_key(DEVICE), ALICE, 1, create.call().clone());
    let readers = order(READER, 1, create.call().clone());
    for unauthorised in [forged, readers] {
        let mut found = effects(&genesis, &create);
        found.tx = unauthorised.id();
        let envelope = envelope_by(&[0, 1], &unauthorised, &found);
        let (_, outcomes) = validate(&genesis, 1, vec![envelope]);
        assert_eq!(outcomes, [Outcome::Invalid(Invalidity::Unauthorised)]);
    }
}

#[test]
fn exactly_once_does_not_rely_on_endorsers_that_leave_the_number_alone() {
    let (state, create) = shipped();
    let report = reading(1, &create, 50);
    let window = consortium_node::ledger::replay::key(DEVICE);
    let honest = effects(&state, &report);
    let mut no_write = honest.clone();
    no_write.writes.retain(|write| write.key != window);
    let mut other_number = honest.clone();
    let mut numbers = ReplayWindow::default();
    numbers.insert(7).expect("it is free");
    let place = honest.writes.iter().position(|write| write.key == window);
    other_number.writes[place.expect("honest endorsers write it")].value =
        consortium_node::codec::encode(&numbers);
    for collusion in [no_write, other_number] {
        let envelope = envelope_by(&[0, 1], &report, &collusion);
        let (_, outcomes) = validate(&state, 2, vec![envelope]);
        assert_eq!(outcomes, [Outcome::Invalid(Invalidity::Mismatch)]);
    }
    // Endorsers that hide what they read can bring it in once, and once only.
    let mut blind = honest;
    blind.reads.clear();
    let envelope = envelope_by(&[0, 1], &report, &blind);
    let (after, outcomes) = validate(&state, 2, vec![envelope.clone(), envelope]);
    assert_eq!(
        outcomes,
        [Outcome::Ok, Outcome::Invalid(Invalidity::Mismatch)]
    );
    assert_eq!(
        ReplayWindow::load(&after, DEVICE).low(),
        0,
        "number 0 is still free"
    );
}

#[test]
fn a_reverted_call_is_ordered_uses_up_its_number_and_changes_nothing_else() {
    let (state, create) = shipped();
    let (warm, _) = validate(&state, 2, vec![envelope(&state, &reading(1, &create, 200))]);
    let late = reading(2, &create, 50);
    let (after, outcomes) = validate(&warm, 3, vec![envelope(&warm, &late)]);
    assert!(matches!(&outcomes[..], [Outcome::Reverted(why)] if why.contains("compliance")));
    assert!(ReplayWindow::load(&after, DEVICE).check(2).is_err());
    let contract =
        consortium_node::contracts::key(consortium_node::transaction::ContractId(create.id()));
    assert_eq!(after.get(&contract), warm.get(&contract));
}

#[test]
fn a_block_commits_to_the_signatures_of_its_envelopes() {
    let genesis = State::new();
    let create = creation(1);
    let found = effects(&genesis, &create);
    let good = envelope_by(&[0, 1], &create, &found);
    let bad = node_key(0).sign(NodeId(1), found.clone());
    let bad = Endorsed::collect([&signed(0, &found), &bad]).expect("they are equal");
    let bad = create.with_endorsements(bad);
    assert_eq!(good.id(), bad.id());
    assert_ne!(good.leaf(), bad.leaf());
    assert_ne!(block(1, vec![good]).id(), block(1, vec![bad]).id());
}

#[test]
#[should_panic(expected = "3 of 2 endorsers cannot be asked for")]
fn a_policy_that_nobody_can_satisfy_is_refused() {
    let _ = Policy::new(committee([0, 1]), 3);
}
