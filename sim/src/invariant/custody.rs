//! Custody: exactly one party is responsible, and the chain of them has no gap.

use consortium_node::{
    transaction::{Call, Transaction, Transition},
    types::PartyId,
};

use super::{
    Court, Invariant, Scene,
    contracts::{Before, COMPLETE, CONSTRUCTOR, Performed, Standing, TRANSFER, Terms, party},
};

/// As scenarios write it.
pub const NAME: &str = "custody";

/// Who is responsible before a call is who was responsible after the one before. Only a hand-over
/// changes it, to the party that it names and signed by one that may hand over; completion ends it.
#[derive(Debug, Default)]
pub struct Custody;

impl Invariant for Custody {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "one party is responsible at any time, and only a signed hand-over changes who"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        for (transaction, transition, performed) in scene.performed() {
            let Some(terms) = performed.terms else {
                continue;
            };
            court.check();
            if let Some(fault) = fault(scene, transaction, transition, performed, &terms) {
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
    scene: &Scene<'_>,
    transaction: &Transaction,
    transition: &Transition,
    performed: &Performed,
    terms: &Terms,
) -> Option<String> {
    let before = match performed.before {
        Before::Stood(Standing { custodian, .. }) if transition.from.is_some() => custodian,
        Before::Stood(_) | Before::Unborn => None,
        Before::Forgotten => transition.custodian_before,
    };
    let seen = &scene.seen;
    if transition.custodian_before != before {
        return Some(format!(
            "takes the package from {}, but {} was responsible",
            seen.custodian(transition.custodian_before),
            seen.custodian(before)
        ));
    }
    let due = due(transaction, before);
    if transition.custodian_after != due {
        return Some(format!(
            "makes {} responsible where {} should be",
            seen.custodian(transition.custodian_after),
            seen.custodian(due)
        ));
    }
    let signer = transaction.party();
    let entitled = Some(signer) == before || signer == terms.owner;
    (transition.function == TRANSFER && !entitled).then(|| {
        format!(
            "hands over what {} is responsible for",
            seen.custodian(before)
        )
    })
}

/// Who should be responsible after a call.
fn due(transaction: &Transaction, before: Option<PartyId>) -> Option<PartyId> {
    match transaction.call() {
        Call::Create { .. } => Some(transaction.party()),
        Call::Invoke {
            function,
            arguments,
            ..
        } => match function.as_str() {
            TRANSFER => party(arguments, 0),
            COMPLETE => None,
            CONSTRUCTOR => Some(transaction.party()),
            _ => before,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::{
        access,
        contracts::INGEST,
        stage::{Stage, party_of, reading, to},
    };

    #[test]
    fn a_gap_in_the_chain_of_custodians_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call_with_custody(
            0,
            &create,
            (TRANSFER, to(1)),
            (0, 1),
            (party_of(3), party_of(1)),
        );
        assert_eq!(stage.violated(), [NAME]);
        assert!(
            stage
                .first_violation()
                .what
                .ends_with("takes the package from \"Store\", but \"Farm\" was responsible")
        );
    }

    #[test]
    fn a_reading_that_moves_the_package_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call_with_custody(
            Stage::DEVICE,
            &create,
            (INGEST, reading(500, 30)),
            (0, 0),
            (party_of(0), party_of(3)),
        );
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn a_hand_over_to_somebody_else_than_it_names_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call_with_custody(
            0,
            &create,
            (TRANSFER, to(1)),
            (0, 1),
            (party_of(0), party_of(2)),
        );
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn a_hand_over_that_the_custodian_did_not_sign_breaks_custody_and_access() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call_with_custody(
            3,
            &create,
            (TRANSFER, to(3)),
            (0, 1),
            (party_of(0), party_of(3)),
        );
        assert_eq!(stage.violated(), [NAME, access::NAME]);
    }

    #[test]
    fn an_unbroken_chain_of_custodians_is_none() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 4);
    }
}
