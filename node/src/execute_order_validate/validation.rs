//! What a peer makes of a block: which envelopes are valid, and their effects.

use std::sync::Arc;

use super::{Policy, rwset};
use crate::{
    block::Block,
    codec,
    endorsement::{Endorsement, Version},
    ledger::{Execution, Executor, State, replay, replay::ReplayWindow},
    membership::{Permission, Registry},
    transaction::{Invalidity, Outcome, Receipt, Transaction},
};

/// Validates envelopes in their order and applies those that are valid; see the [chapter](super), step 4.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Who may write.
    pub registry: Arc<Registry>,
    /// Who must have endorsed.
    pub policy: Policy,
}

impl Executor for Validation {
    fn execute(&self, parent: &State, block: &Block) -> Execution {
        let mut state = parent.clone();
        let height = block.header().height;
        let receipts = (0..)
            .zip(block.transactions())
            .map(
                |(index, transaction)| match self.judge(&state, transaction) {
                    Ok(effects) => {
                        rwset::apply(&mut state, &effects.writes, Version { height, index });
                        Receipt {
                            tx: transaction.id(),
                            outcome: effects.outcome.clone(),
                            transition: effects.transition.clone(),
                        }
                    }
                    Err(reason) => Receipt {
                        tx: transaction.id(),
                        outcome: Outcome::Invalid(reason),
                        transition: None,
                    },
                },
            )
            .collect();
        Execution::new(height, state, receipts)
    }
}

impl Validation {
    /// The effects of a valid envelope.
    fn judge<'a>(
        &self,
        state: &State,
        transaction: &'a Transaction,
    ) -> Result<&'a Endorsement, Invalidity> {
        let endorsed = transaction.endorsed().ok_or(Invalidity::Unendorsed)?;
        let party = self.registry.party(transaction.party());
        let may_write = party.is_some_and(|party| party.permission == Permission::Write);
        if !may_write || !self.registry.verify_party(transaction.signed()) {
            return Err(Invalidity::Unauthorised);
        }
        let effects = endorsed.endorsement();
        if effects.tx != transaction.id() || !effects.outcome.is_executed() {
            return Err(Invalidity::Mismatch);
        }
        self.policy.check(endorsed)?;
        if let Some(read) = rwset::conflict(state, &effects.reads) {
            return Err(Invalidity::ReadConflict { read: read as u32 });
        }
        uses_up_its_number(state, transaction, effects)
            .then_some(effects)
            .ok_or(Invalidity::Mismatch)
    }
}

/// Whether the number is free, and the write set takes it and no other.
fn uses_up_its_number(state: &State, transaction: &Transaction, effects: &Endorsement) -> bool {
    let party = transaction.party();
    let mut window = ReplayWindow::load(state, party);
    if window.insert(transaction.nonce()).is_err() {
        return false;
    }
    let key = replay::key(party);
    let mut of_window = effects.writes.iter().filter(|write| write.key == key);
    let expected = codec::encode(&window);
    of_window
        .next()
        .is_some_and(|write| write.value == expected)
        && of_window.next().is_none()
}
