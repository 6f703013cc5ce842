//! Access: who did what may do it.

use consortium_node::{
    membership::Permission,
    transaction::{Transaction, Transition},
};

use super::{
    Court, Invariant, Scene,
    contracts::{Before, COMPLETE, CONSTRUCTOR, INGEST, Performed, TRANSFER, Terms},
};

/// As scenarios write it.
pub const NAME: &str = "access";

/// A policy of its own, next to that of doors, gateways and contracts: parties that may only read
/// execute nothing; readings come from the shipment's device, hand-overs from its first or present
/// counterparty, completion from its owner or the supply chain's. Whatever is not listed is denied.
#[derive(Debug, Default)]
pub struct Access;

impl Invariant for Access {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "every executed call was made by a party that may make it"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        for (transaction, receipt) in scene.receipts() {
            court.check();
            let executed = receipt.outcome.is_executed();
            let party = scene.seen.cast.registry.party(transaction.party());
            if executed && party.is_none_or(|party| party.permission != Permission::Write) {
                report(scene, transaction, "may not write", court);
            }
        }
        for (transaction, transition, performed) in scene.performed() {
            let Some(terms) = performed.terms else {
                continue;
            };
            if !permits(transaction, transition, performed, &terms) {
                let how = format!("may not call {}", transition.function);
                report(scene, transaction, &how, court);
            }
        }
    }
}

/// The policy.
fn permits(
    transaction: &Transaction,
    transition: &Transition,
    performed: &Performed,
    terms: &Terms,
) -> bool {
    let caller = Some(transaction.party());
    let custodian = match performed.before {
        Before::Stood(standing) => standing.custodian,
        Before::Unborn => None,
        Before::Forgotten => transition.custodian_before,
    };
    let listed = match transition.function.as_str() {
        CONSTRUCTOR => true,
        INGEST => caller == terms.device,
        TRANSFER => caller == Some(terms.owner) || caller == custodian,
        COMPLETE => caller == Some(terms.owner) || caller == terms.supply_chain_owner,
        _ => false,
    };
    listed && caller == Some(transition.caller)
}

fn report(scene: &Scene<'_>, transaction: &Transaction, how: &str, court: &mut Court) {
    let Some(append) = scene.append else { return };
    let what = format!(
        "height {}, member {} executed {}, who {how}",
        append.entry.block.header().height,
        scene.seen.who(append.node),
        scene.seen.transaction(transaction)
    );
    court.violated(scene.at, what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::{Stage, reading};

    #[test]
    fn a_reading_of_another_device_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call(
            Stage::OTHER_DEVICE,
            &create,
            INGEST,
            reading(500, 30),
            (0, 0),
        );
        assert_eq!(stage.violated(), [NAME]);
        assert!(
            stage
                .first_violation()
                .what
                .ends_with("\"sensor of PKG-2\", who may not call IngestTelemetry")
        );
    }

    #[test]
    fn completion_by_a_carrier_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.created_shipment();
        stage.call(1, &create, COMPLETE, vec![], (0, 2));
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn a_party_that_may_only_read_executes_nothing() {
        let mut stage = Stage::pbft();
        let create = stage.create(Stage::READER);
        stage.submit(&create);
        stage.commit_ok(&create);
        assert_eq!(stage.violated(), [NAME]);
        assert!(stage.first_violation().what.ends_with("who may not write"));
    }

    #[test]
    fn owners_custodians_and_devices_may_do_their_part() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 4);
    }
}
