//! Exactly once: no order executes twice.

use std::collections::BTreeSet;

use consortium_node::{
    engine::FaultModel,
    transaction::{Outcome, Transaction},
    types::PartyId,
};

use super::{
    Court, Invariant, Scene,
    chains::{Append, BlockIndex},
};

/// As scenarios write it.
pub const NAME: &str = "exactly-once";

/// On every chain each number of a party executes at most once; so does each transaction, whose id
/// covers both. Where the order is decided by a committee that bears liars, or by a trusted machine,
/// nothing is ordered that cannot execute.
#[derive(Debug, Default)]
pub struct ExactlyOnce {
    /// In which blocks which number of which party executed. Several, if they are on different
    /// branches.
    executed: BTreeSet<(PartyId, u64, BlockIndex)>,
}

impl Invariant for ExactlyOnce {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "no transaction and no number of a party executes twice"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        let Some(append) = scene.append else { return };
        for (transaction, receipt) in scene.receipts() {
            court.check();
            match &receipt.outcome {
                Outcome::Ok | Outcome::Reverted(_) => {
                    if let Some(earlier) = self.execute(scene, &append, transaction) {
                        let height = scene.seen.chains.known(earlier).height;
                        let how = format!(
                            "executed number {}, which had executed at height {height}",
                            transaction.nonce()
                        );
                        court.violated(scene.at, sentence(scene, &append, transaction, &how));
                    }
                }
                Outcome::Void(reason) if scene.seen.claims.faults != FaultModel::Crash => {
                    let how = format!("was ordered but cannot execute: {reason}");
                    court.violated(scene.at, sentence(scene, &append, transaction, &how));
                }
                // An invalid envelope leaves no trace: its order may come again.
                Outcome::Void(_) | Outcome::Invalid(_) => {}
            }
        }
    }
}

impl ExactlyOnce {
    /// Notes an execution; where on the same chain the number had executed before.
    fn execute(
        &mut self,
        scene: &Scene<'_>,
        append: &Append<'_>,
        transaction: &Transaction,
    ) -> Option<BlockIndex> {
        let (party, nonce) = (transaction.party(), transaction.nonce());
        let all = (party, nonce, BlockIndex::GENESIS)..=(party, nonce, BlockIndex::MAX);
        let earlier = self
            .executed
            .range(all)
            .map(|(_, _, block)| *block)
            .find(|earlier| scene.seen.chains.descends(append.block, *earlier));
        self.executed.insert((party, nonce, append.block));
        earlier
    }
}

fn sentence(
    scene: &Scene<'_>,
    append: &Append<'_>,
    transaction: &Transaction,
    how: &str,
) -> String {
    format!(
        "height {}, member {}: {} {how}",
        append.entry.block.header().height,
        scene.seen.who(append.node),
        scene.seen.transaction(transaction)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    #[test]
    fn a_transaction_that_executes_in_two_blocks_of_a_chain_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        stage.commit_reverted(&create);
        stage.commit_reverted(&create);
        assert_eq!(stage.violated(), [NAME]);
        assert!(
            stage
                .first_violation()
                .what
                .ends_with("executed number 0, which had executed at height 1")
        );
    }

    #[test]
    fn two_transactions_with_one_number_are_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        let rival = stage.invoke(0, 0, &create, "Complete", vec![]);
        for transaction in [&create, &rival] {
            stage.submit(transaction);
            stage.commit_reverted(transaction);
        }
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn a_void_transaction_is_a_violation_where_the_committee_should_have_known() {
        let mut stages = [Stage::pbft(), Stage::central(), Stage::clique()];
        for stage in &mut stages {
            let create = stage.create(0);
            stage.submit(&create);
            stage.commit(&create, Outcome::Void("spent".into()), None);
        }
        let [pbft, central, clique] = stages;
        assert_eq!(pbft.violated(), [NAME]);
        assert_eq!(central.violated(), [NAME]);
        assert_eq!(clique.violated(), [""; 0]);
    }

    #[test]
    fn a_transaction_may_execute_again_on_a_branch_that_does_not_hold_it() {
        let mut stage = Stage::clique();
        let create = stage.create(0);
        stage.submit(&create);
        let reverted = || Outcome::Reverted("no".into());
        let genesis = Stage::genesis();
        let left = Stage::block_at(&genesis, vec![create.clone()], 1);
        let right = Stage::block_at(&genesis, vec![create.clone()], 2);
        let again = Stage::block(&right, vec![create.clone()]);
        let [left_entry, right_entry, again_entry] = [&left, &right, &again].map(|block| {
            Stage::entry(block, vec![Stage::receipt(&create, reverted(), None)], None)
        });
        stage.append(0, &left_entry);
        stage.retract(0, &left);
        stage.append(0, &right_entry);
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 2);
        stage.append(0, &again_entry);
        assert_eq!(stage.violated(), [NAME]);
    }
}
