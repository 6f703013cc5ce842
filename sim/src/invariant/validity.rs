//! Validity: nothing is ordered that nobody asked for.

use std::collections::BTreeSet;

use consortium_node::types::TxId;

use super::{Court, Invariant, Scene};
use crate::fact::Fact;

/// As scenarios write it.
pub const NAME: &str = "validity";

/// Every transaction on an honest node's chain was submitted, and the listed party signed it.
#[derive(Debug, Default)]
pub struct Validity {
    submitted: BTreeSet<TxId>,
}

impl Invariant for Validity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "every transaction on the chain was submitted and is signed by its party"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        if let Fact::Submitted(submission) = scene.fact {
            self.submitted.insert(submission.tx);
        }
        let Some(append) = scene.fresh() else { return };
        let registry = &scene.seen.cast.registry;
        for transaction in append.entry.block.transactions() {
            court.check();
            let wrong = if !self.submitted.contains(&transaction.id()) {
                "nobody submitted"
            } else if !registry.verify_party(transaction.signed()) {
                "its party did not sign"
            } else {
                continue;
            };
            let what = format!(
                "height {}, member {} appended {}, which {wrong}",
                append.entry.block.header().height,
                scene.seen.who(append.node),
                scene.seen.transaction(transaction)
            );
            court.violated(scene.at, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    #[test]
    fn a_transaction_that_nobody_submitted_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.commit_ok(&create);
        assert_eq!(stage.violated(), [NAME]);
        assert!(stage.first_violation().what.contains("nobody submitted"));
    }

    #[test]
    fn a_transaction_that_its_party_did_not_sign_is_a_violation() {
        let mut stage = Stage::pbft();
        let forged = stage.create_signed_with_key_of(0, 1);
        stage.submit(&forged);
        stage.commit_ok(&forged);
        assert_eq!(stage.violated(), [NAME]);
        assert!(
            stage
                .first_violation()
                .what
                .contains("its party did not sign")
        );
    }

    #[test]
    fn submitted_and_signed_transactions_are_valid() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 0);
    }
}
