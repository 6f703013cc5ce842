//! The shipment's rules, each effect and each revert in its order.

use consortium_node::{
    contracts::refrigerated_transportation::{
        ComplianceDetail, RefrigeratedTransportation, Revert, SensorType, StateType, Terms,
    },
    types::PartyId,
};
use proptest::{collection::vec, prelude::*};

use crate::voyage::{
    Act::{self, Complete, Ingest, Transfer},
    CARRIER, DEVICE, OBSERVER, OWNER, PROCESSOR, STORE, TERMS, after,
};

const GOOD: Act = Ingest(DEVICE, 600, 80, 7);
const HAND_OVER: Act = Transfer(OWNER, Some(CARRIER));
const DONE: Act = Complete(OWNER);
const HOT: Act = Ingest(DEVICE, 600, 101, 9);

#[test]
fn the_constructor_sets_all_seventeen_properties() {
    let expected = RefrigeratedTransportation {
        state: StateType::Created,
        owner: OWNER,
        initiating_counterparty: OWNER,
        counterparty: Some(OWNER),
        previous_counterparty: None,
        device: Some(DEVICE),
        supply_chain_owner: Some(PROCESSOR),
        supply_chain_observer: Some(OBSERVER),
        min_humidity: 300,
        max_humidity: 650,
        min_temperature: 20,
        max_temperature: 100,
        compliance_sensor_type: SensorType::None,
        compliance_sensor_reading: -1,
        compliance_status: true,
        compliance_detail: ComplianceDetail::NotApplicable,
        last_sensor_update_timestamp: 0,
    };
    assert_eq!(RefrigeratedTransportation::new(OWNER, TERMS), expected);
    assert_eq!(expected.compliance_detail.to_string(), "N/A");
}

#[test]
fn the_constructor_validates_nothing() {
    let terms = Terms {
        device: Some(OWNER),
        supply_chain_owner: None,
        supply_chain_observer: None,
        min_humidity: 10,
        max_humidity: -10,
        min_temperature: i64::MAX,
        max_temperature: i64::MIN,
    };
    let mut shipment = RefrigeratedTransportation::new(OWNER, terms);
    assert_eq!(
        (shipment.device, shipment.supply_chain_owner),
        (Some(OWNER), None)
    );
    assert_eq!(shipment.ingest_telemetry(OWNER, 0, 0, 0), Ok(()));
    assert_eq!(shipment.state, StateType::OutOfCompliance);

    let terms = Terms {
        device: None,
        ..TERMS
    };
    let mut shipment = RefrigeratedTransportation::new(OWNER, terms);
    for caller in (0..6).map(PartyId) {
        let reading = shipment.ingest_telemetry(caller, 600, 80, 1);
        assert_eq!(reading, Err(Revert::NotDevice), "nobody is address zero");
    }
    assert_eq!(
        shipment.transfer_responsibility(OWNER, None),
        Err(Revert::DeviceAsCounterparty),
        "address zero is the device"
    );
}

#[test]
fn every_revert_comes_in_its_order_and_changes_nothing() {
    // What happened before, the call, why it reverts.
    let table: &[(&[Act], Act, Revert)] = &[
        // The state is looked at before the caller and the arguments.
        (&[DONE], Ingest(STORE, 0, 0, 0), Revert::Completed),
        (&[DONE], GOOD, Revert::Completed),
        (&[DONE], Transfer(STORE, Some(DEVICE)), Revert::Completed),
        (&[DONE], HAND_OVER, Revert::Completed),
        (&[DONE], Complete(STORE), Revert::Completed),
        (&[DONE], DONE, Revert::Completed),
        (&[HOT], Ingest(STORE, 0, 0, 0), Revert::OutOfCompliance),
        (&[HOT], GOOD, Revert::OutOfCompliance),
        (
            &[HOT],
            Transfer(STORE, Some(DEVICE)),
            Revert::OutOfCompliance,
        ),
        (&[HOT], HAND_OVER, Revert::OutOfCompliance),
        (&[HOT], Complete(STORE), Revert::OutOfCompliance),
        (&[HOT], DONE, Revert::OutOfCompliance),
        (&[HAND_OVER, HOT], GOOD, Revert::OutOfCompliance),
        (&[HAND_OVER, DONE], GOOD, Revert::Completed),
        // Then the caller.
        (&[], Ingest(OWNER, 600, 80, 1), Revert::NotDevice),
        (&[HAND_OVER], Ingest(CARRIER, 600, 80, 1), Revert::NotDevice),
        (&[], Transfer(CARRIER, Some(STORE)), Revert::NotCounterparty),
        (
            &[],
            Transfer(CARRIER, Some(DEVICE)),
            Revert::NotCounterparty,
        ),
        (&[], Transfer(DEVICE, Some(STORE)), Revert::NotCounterparty),
        (
            &[],
            Transfer(PROCESSOR, Some(STORE)),
            Revert::NotCounterparty,
        ),
        (&[], Complete(CARRIER), Revert::NotOwner),
        (&[HAND_OVER], Complete(CARRIER), Revert::NotOwner),
        (&[], Complete(DEVICE), Revert::NotOwner),
        // Then the argument.
        (
            &[],
            Transfer(OWNER, Some(DEVICE)),
            Revert::DeviceAsCounterparty,
        ),
        (
            &[HAND_OVER],
            Transfer(CARRIER, Some(DEVICE)),
            Revert::DeviceAsCounterparty,
        ),
    ];
    for (acts, act, revert) in table {
        let before = after(acts);
        let mut shipment = before.clone();
        assert_eq!(act.on(&mut shipment), Err(*revert), "{acts:?} then {act:?}");
        assert_eq!(shipment, before, "{acts:?} then {act:?}");
    }
}

#[test]
fn bounds_are_inclusive_and_humidity_hides_temperature() {
    use SensorType::{Humidity, None, Temperature};
    // Humidity, temperature, what is found, the reading that is kept.
    let table = [
        (300, 20, None, -1),
        (650, 100, None, -1),
        (651, 80, Humidity, 651),
        (299, 80, Humidity, 299),
        (600, 101, Temperature, 101),
        (600, 19, Temperature, 19),
        (651, 101, Humidity, 651),
        (i64::MIN, i64::MAX, Humidity, i64::MIN),
    ];
    for (humidity, temperature, found, kept) in table {
        let shipment = after(&[Ingest(DEVICE, humidity, temperature, 5)]);
        let case = format!("{humidity} {temperature}");
        assert_eq!(shipment.compliance_sensor_type, found, "{case}");
        assert_eq!(shipment.compliance_sensor_reading, kept, "{case}");
        assert_eq!(shipment.compliance_status, found == None, "{case}");
        let (detail, state) = match found {
            None => ("N/A", StateType::Created),
            Humidity => ("Humidity value out of range.", StateType::OutOfCompliance),
            Temperature => (
                "Temperature value out of range.",
                StateType::OutOfCompliance,
            ),
        };
        assert_eq!(shipment.compliance_detail.to_string(), detail, "{case}");
        assert_eq!(shipment.state, state, "{case}");
        assert_eq!(shipment.last_sensor_update_timestamp, 5, "{case}");
    }
}

#[test]
fn a_compliant_reading_leaves_only_its_timestamp_which_may_go_back() {
    for acts in [&[][..], &[HAND_OVER]] {
        let mut shipment = after(acts);
        for timestamp in [9, 9, 3, -1] {
            let expected = RefrigeratedTransportation {
                last_sensor_update_timestamp: timestamp,
                ..shipment.clone()
            };
            assert_eq!(Ingest(DEVICE, 600, 80, timestamp).on(&mut shipment), Ok(()));
            assert_eq!(shipment, expected);
        }
    }
}

#[test]
fn responsibility_passes_to_anyone_but_the_device() {
    let takers = [
        None,
        Some(OWNER),
        Some(PROCESSOR),
        Some(OBSERVER),
        Some(CARRIER),
    ];
    for taker in takers {
        let expected = RefrigeratedTransportation {
            state: StateType::InTransit,
            counterparty: taker,
            previous_counterparty: Some(OWNER),
            ..after(&[])
        };
        assert_eq!(after(&[Transfer(OWNER, taker)]), expected);
    }
    let twice = after(&[HAND_OVER, Transfer(CARRIER, Some(STORE))]);
    assert_eq!(twice.previous_counterparty, Some(CARRIER));
    assert_eq!(twice.counterparty, Some(STORE));
}

#[test]
fn completion_leaves_nobody_responsible() {
    for caller in [OWNER, PROCESSOR] {
        let expected = RefrigeratedTransportation {
            state: StateType::Completed,
            counterparty: None,
            previous_counterparty: Some(CARRIER),
            ..after(&[HAND_OVER])
        };
        assert_eq!(after(&[HAND_OVER, Complete(caller)]), expected);
    }
}

#[test]
fn blame_follows_the_order_of_the_ledger_not_the_time_of_the_sensor() {
    // Hot at 5 under the owner, but ordered after the hand-over: the carrier is accused.
    let shipment = after(&[HAND_OVER, Ingest(DEVICE, 600, 101, 5)]);
    assert_eq!(shipment.counterparty, Some(CARRIER));
    // Ordered after completion it is lost.
    let mut shipment = after(&[HAND_OVER, DONE]);
    assert_eq!(HOT.on(&mut shipment), Err(Revert::Completed));
    assert!(shipment.compliance_status);
}

#[test]
fn the_journey_of_the_slides() {
    // Origin, warehouse, carrier 2, store: tenths of a degree and of a percent.
    let journey = [(80, 600), (90, 640), (90, 640), (110, 660)];
    let first_failure = |max_temperature, max_humidity| {
        let terms = Terms {
            min_humidity: 0,
            min_temperature: 0,
            max_temperature,
            max_humidity,
            ..TERMS
        };
        let mut shipment = RefrigeratedTransportation::new(OWNER, terms);
        for (stop, (temperature, humidity)) in (0..).zip(journey) {
            Ingest(DEVICE, humidity, temperature, stop)
                .on(&mut shipment)
                .expect("compliant so far");
            if shipment.state == StateType::OutOfCompliance {
                return Some((stop, shipment.compliance_sensor_type));
            }
        }
        None
    };
    assert_eq!(first_failure(100, 700), Some((3, SensorType::Temperature)));
    assert_eq!(first_failure(120, 700), None);
    assert_eq!(first_failure(120, 650), Some((3, SensorType::Humidity)));
    assert_eq!(first_failure(100, 650), Some((3, SensorType::Humidity)));
}

fn party() -> impl Strategy<Value = PartyId> {
    (0..6u32).prop_map(PartyId)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (280..670i64, 15..105i64, any::<i64>())
            .prop_map(|(humidity, temperature, at)| Ingest(DEVICE, humidity, temperature, at)),
        1 => (party(), 280..670i64, 15..105i64).prop_map(|(by, h, t)| Ingest(by, h, t, 0)),
        4 => (party(), proptest::option::of(party())).prop_map(|(by, to)| Transfer(by, to)),
        1 => party().prop_map(Complete),
    ]
}

proptest! {
    #[test]
    fn i18_i19_states_follow_the_table_and_the_chain_of_custody_is_unbroken(
        acts in vec(act(), 0..30),
    ) {
        use StateType::{Completed, Created, InTransit, OutOfCompliance};
        let mut shipment = after(&[]);
        for act in acts {
            let before = shipment.clone();
            let result = act.on(&mut shipment);
            if result.is_err() {
                prop_assert_eq!(&shipment, &before, "a revert changes nothing");
                continue;
            }
            let legal = match act {
                Ingest(..) => matches!(
                    (before.state, shipment.state),
                    (Created, Created | OutOfCompliance)
                        | (InTransit, InTransit | OutOfCompliance)
                ),
                Transfer(..) => matches!(
                    (before.state, shipment.state),
                    (Created | InTransit, InTransit)
                ),
                Complete(_) => matches!(
                    (before.state, shipment.state),
                    (Created | InTransit, Completed)
                ),
            };
            prop_assert!(legal, "{:?}: {:?} to {:?}", act, before.state, shipment.state);
            if matches!(act, Ingest(..)) {
                prop_assert_eq!(shipment.counterparty, before.counterparty);
            } else {
                prop_assert_eq!(shipment.previous_counterparty, before.counterparty);
            }
            prop_assert_eq!(shipment.compliance_status, shipment.state != OutOfCompliance);
            prop_assert_ne!(shipment.counterparty, shipment.device);
        }
    }
}
