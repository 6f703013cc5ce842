//! Workbench's roles, and where its configuration and the contract differ.

use std::collections::BTreeSet;

use consortium_node::{
    contracts::{
        application::{
            self, CONSTRUCTOR, COUNTERPARTY, INITIATING_COUNTERPARTY, RULES, RoleRefusal, offers,
            permits,
        },
        refrigerated_transportation::{
            COMPLETE, INGEST_TELEMETRY, StateType, TEMPLATE, TRANSFER_RESPONSIBILITY,
        },
    },
    types::PartyId,
};

use crate::voyage::{
    Act::{Complete, Ingest, Transfer},
    CARRIER, DEVICE, OBSERVER, OWNER, PROCESSOR, STORE, after,
};

const ROLES: [&str; 5] = [
    INITIATING_COUNTERPARTY,
    COUNTERPARTY,
    application::DEVICE,
    application::OWNER,
    application::OBSERVER,
];

fn holding(roles: &[&str]) -> BTreeSet<String> {
    roles.iter().map(|role| (*role).to_owned()).collect()
}

#[test]
fn each_function_is_for_the_roles_of_the_configuration() {
    let table: [(&str, &[&str]); 4] = [
        (CONSTRUCTOR, &[application::OWNER]),
        (INGEST_TELEMETRY, &[application::DEVICE]),
        (
            TRANSFER_RESPONSIBILITY,
            &[COUNTERPARTY, INITIATING_COUNTERPARTY],
        ),
        (COMPLETE, &[application::OWNER]),
    ];
    for (function, needed) in table {
        for role in ROLES {
            let expected = if needed.contains(&role) {
                Ok(())
            } else {
                Err(RoleRefusal::MissingRole {
                    function: function.to_owned(),
                    needed: needed.to_vec(),
                })
            };
            assert_eq!(permits(TEMPLATE, function, &holding(&[role])), expected);
        }
        assert_eq!(permits(TEMPLATE, function, &holding(&ROLES)), Ok(()));
        assert!(permits(TEMPLATE, function, &holding(&[])).is_err());
    }
}

#[test]
fn i20_what_is_not_configured_is_refused_to_everyone() {
    for function in ["", "Destroy", "complete", "State"] {
        let refusal = RoleRefusal::UnknownFunction {
            template: TEMPLATE.to_owned(),
            function: function.to_owned(),
        };
        assert_eq!(permits(TEMPLATE, function, &holding(&ROLES)), Err(refusal));
    }
    let refusal = RoleRefusal::UnknownTemplate("AssetTransfer".to_owned());
    assert_eq!(
        permits("AssetTransfer", COMPLETE, &holding(&ROLES)),
        Err(refusal)
    );
}

#[test]
fn a_refusal_says_who_may() {
    let refusal = permits(TEMPLATE, TRANSFER_RESPONSIBILITY, &holding(&[])).expect_err("no role");
    assert_eq!(
        refusal.to_string(),
        "\"TransferResponsibility\" is for Counterparty or InitiatingCounterparty"
    );
}

#[test]
fn the_contract_does_what_the_configuration_says_of_every_row() {
    for rule in RULES {
        let reached = match rule.state {
            StateType::Created => vec![],
            _ => vec![Transfer(OWNER, Some(CARRIER))],
        };
        let caller = match rule.caller {
            application::InstanceRole::InitiatingCounterparty
            | application::InstanceRole::Owner => OWNER,
            application::InstanceRole::Counterparty => CARRIER,
            application::InstanceRole::Device => DEVICE,
        };
        let acts = match rule.function {
            INGEST_TELEMETRY => vec![Ingest(caller, 600, 101, 1), Ingest(caller, 600, 80, 1)],
            TRANSFER_RESPONSIBILITY => vec![Transfer(caller, Some(STORE))],
            COMPLETE => vec![Complete(caller)],
            other => panic!("{other} is not a function"),
        };
        let shipment = after(&reached);
        assert_eq!(offers(&shipment, caller, rule.function), Some(rule));
        let next = acts.iter().map(|act| {
            let mut shipment = shipment.clone();
            act.on(&mut shipment).expect("the row says so");
            shipment.state
        });
        assert_eq!(next.collect::<Vec<_>>(), rule.next, "{rule:?}");
    }
}

#[test]
fn gap_a_the_contract_completes_what_never_left_the_configuration_does_not() {
    let mut shipment = after(&[]);
    assert_eq!(offers(&shipment, OWNER, COMPLETE), None);
    assert_eq!(Complete(OWNER).on(&mut shipment), Ok(()));
}

#[test]
fn gap_b_the_contract_lets_the_supply_chains_owner_complete_the_configuration_does_not() {
    let mut shipment = after(&[Transfer(OWNER, Some(CARRIER))]);
    assert_eq!(offers(&shipment, PROCESSOR, COMPLETE), None);
    assert!(offers(&shipment, OWNER, COMPLETE).is_some());
    assert_eq!(Complete(PROCESSOR).on(&mut shipment), Ok(()));
}

#[test]
fn gap_c_the_contract_lets_the_first_party_take_responsibility_away_the_configuration_does_not() {
    let mut shipment = after(&[Transfer(OWNER, Some(CARRIER))]);
    assert_eq!(offers(&shipment, OWNER, TRANSFER_RESPONSIBILITY), None);
    assert_eq!(Transfer(OWNER, Some(STORE)).on(&mut shipment), Ok(()));
    assert_eq!(shipment.previous_counterparty, Some(CARRIER));
    assert_eq!(
        shipment.counterparty,
        Some(STORE),
        "the carrier was not asked"
    );
}

#[test]
fn gap_d_the_observer_has_no_function_at_all() {
    for acts in [&[][..], &[Transfer(OWNER, Some(CARRIER))]] {
        let mut shipment = after(acts);
        for function in [INGEST_TELEMETRY, TRANSFER_RESPONSIBILITY, COMPLETE] {
            assert_eq!(offers(&shipment, OBSERVER, function), None);
            let role = holding(&[application::OBSERVER]);
            assert!(permits(TEMPLATE, function, &role).is_err());
        }
        assert!(Ingest(OBSERVER, 600, 80, 1).on(&mut shipment).is_err());
        assert!(Transfer(OBSERVER, Some(STORE)).on(&mut shipment).is_err());
        assert!(Complete(OBSERVER).on(&mut shipment).is_err());
    }
}

#[test]
fn gap_e_nobody_leaves_an_ended_state() {
    let ended = [
        after(&[Ingest(DEVICE, 600, 101, 9)]),
        after(&[Complete(OWNER)]),
    ];
    for shipment in ended {
        for caller in (0..6).map(PartyId) {
            let acts = [
                Ingest(caller, 600, 80, 1),
                Transfer(caller, Some(STORE)),
                Complete(caller),
            ];
            let functions = [INGEST_TELEMETRY, TRANSFER_RESPONSIBILITY, COMPLETE];
            for (act, function) in acts.into_iter().zip(functions) {
                assert_eq!(offers(&shipment, caller, function), None);
                assert!(act.on(&mut shipment.clone()).is_err(), "{act:?}");
            }
        }
    }
}
