//! Workflow legality: shipments move as RefrigeratedTransportation allows.

use consortium_node::transaction::{Call, Transaction, Transition, Value};

use super::{
    Court, Invariant, Scene,
    contracts::{Before, COMPLETE, CONSTRUCTOR, INGEST, Performed, Standing, TRANSFER, Terms},
};

/// As scenarios write it.
pub const NAME: &str = "workflow-legality";

const CREATED: u8 = 0;
const IN_TRANSIT: u8 = 1;
const COMPLETED: u8 = 2;
const OUT_OF_COMPLIANCE: u8 = 3;

/// Each state follows from the state before by a step of the contract's automaton, completed and out
/// of compliance are for good, and out of compliance follows exactly from a reading outside the terms.
///
/// The steps are those of the sample's contract, which lets a shipment be completed before any
/// hand-over; the sample's gateway configuration does not offer that.
#[derive(Debug, Default)]
pub struct WorkflowLegality;

impl Invariant for WorkflowLegality {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "shipments change state only as their contract allows, and ended ones never again"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        for (transaction, transition, performed) in scene.performed() {
            court.check();
            if let Some(fault) = fault(transaction, transition, performed) {
                let height = scene.fresh().map(|a| a.entry.block.header().height);
                let what = format!(
                    "height {}, contract {}: {} {fault}",
                    height.unwrap_or_default(),
                    performed.contract.0,
                    scene.seen.transaction(transaction)
                );
                court.violated(scene.at, what);
            }
        }
    }
}

fn fault(
    transaction: &Transaction,
    transition: &Transition,
    performed: &Performed,
) -> Option<String> {
    let (called, arguments) = match transaction.call() {
        Call::Create { arguments, .. } => (CONSTRUCTOR, arguments),
        Call::Invoke {
            function,
            arguments,
            ..
        } => (function.as_str(), arguments),
    };
    if transition.contract != performed.contract || transition.function != called {
        return Some(format!(
            "called {called} and changed contract {} by {}",
            transition.contract.0, transition.function
        ));
    }
    if called != CONSTRUCTOR && performed.before == Before::Unborn {
        return Some("calls a contract that was never created".to_owned());
    }
    let terms = performed.terms?;
    let before = match performed.before {
        Before::Stood(Standing { state, .. }) if called != CONSTRUCTOR => Some(state),
        Before::Stood(_) | Before::Unborn => None,
        Before::Forgotten => transition.from,
    };
    let (from, to) = (transition.from, transition.to);
    if from != before {
        return Some(format!(
            "starts from {}, but the contract was {}",
            named(from),
            named(before)
        ));
    }
    (!allows(called, from, to, &terms, arguments)).then(|| {
        format!(
            "leads from {} to {} by {called}",
            named(from),
            named(Some(to))
        )
    })
}

/// The automaton.
fn allows(function: &str, from: Option<u8>, to: u8, terms: &Terms, arguments: &[Value]) -> bool {
    match (function, from) {
        (CONSTRUCTOR, None) => to == CREATED,
        (INGEST, Some(from @ (CREATED | IN_TRANSIT))) => {
            let next = if complies(terms, arguments) {
                from
            } else {
                OUT_OF_COMPLIANCE
            };
            to == next
        }
        (TRANSFER, Some(CREATED | IN_TRANSIT)) => to == IN_TRANSIT,
        (COMPLETE, Some(CREATED | IN_TRANSIT)) => to == COMPLETED,
        _ => false,
    }
}

/// Whether a reading (humidity, temperature, …) is within the terms; bounds are inclusive.
fn complies(terms: &Terms, arguments: &[Value]) -> bool {
    let within = |value: &Value, (min, max): (i64, i64)| match value {
        Value::Int(v) => (min..=max).contains(v),
        _ => false,
    };
    match arguments {
        [humidity, temperature, ..] => {
            within(humidity, terms.humidity) && within(temperature, terms.temperature)
        }
        _ => false,
    }
}

fn named(state: Option<u8>) -> &'static str {
    match state {
        None => "nothing",
        Some(CREATED) => "Created",
        Some(IN_TRANSIT) => "InTransit",
        Some(COMPLETED) => "Completed",
        Some(OUT_OF_COMPLIANCE) => "OutOfCompliance",
        Some(_) => "an unknown state",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::{Stage, reading};

    #[test]
    fn leaving_an_ended_state_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call(0, &create, COMPLETE, vec![], (0, 2));
        stage.call(Stage::DEVICE, &create, INGEST, reading(500, 30), (2, 2));
        assert_eq!(stage.violated(), [NAME]);
        assert!(
            stage
                .first_violation()
                .what
                .ends_with("leads from Completed to Completed by IngestTelemetry")
        );
    }

    #[test]
    fn a_state_that_the_contract_was_not_in_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call(Stage::DEVICE, &create, INGEST, reading(500, 30), (1, 1));
        assert_eq!(stage.violated(), [NAME]);
        assert!(
            stage
                .first_violation()
                .what
                .ends_with("starts from InTransit, but the contract was Created")
        );
    }

    #[test]
    fn overlooking_a_warm_reading_or_inventing_one_is_a_violation() {
        for (temperature, to) in [(81, 0), (80, 3)] {
            let mut stage = Stage::pbft();
            let create = stage.created_shipment();
            let reading = reading(500, temperature);
            stage.call(Stage::DEVICE, &create, INGEST, reading, (0, to));
            assert_eq!(stage.violated(), [NAME]);
        }
    }

    #[test]
    fn a_call_of_a_contract_that_nobody_created_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.call(Stage::DEVICE, &create, INGEST, reading(500, 30), (0, 0));
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn the_steps_of_the_contract_are_legal() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        let create = stage.created_shipment();
        stage.call(Stage::DEVICE, &create, INGEST, reading(500, 81), (0, 3));
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 4);
    }
}
