//! State root: executing the same chain gives the same everywhere.

use std::sync::Arc;

use consortium_node::{block::Results, node::Note, types::Height};

use super::{Court, Invariant, Scene, chains::Append};
use crate::fact::Fact;

/// As scenarios write it.
pub const NAME: &str = "state-root";

/// Honest nodes with the same block have the same results and receipts, one receipt a transaction;
/// and the results that a header carries are those of the ancestor at that height.
#[derive(Debug, Default)]
pub struct StateRoot {
    /// Results of genesis, learned from the first header that carries them.
    genesis: Option<Results>,
}

impl Invariant for StateRoot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "executing the same blocks gives every honest member the same state and receipts"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        if let Some((height, fault)) = adopted(scene) {
            court.check();
            if let Some(fault) = fault {
                court.violated(scene.at, format!("height {height}, {fault}"));
            }
        }
        let Some(append) = scene.append else { return };
        court.check();
        let fault = if append.fresh {
            receipts_fault(&append).or_else(|| self.header_fault(scene, &append))
        } else {
            difference(scene, &append)
        };
        if let Some(fault) = fault {
            let what = format!(
                "height {}, member {}: {fault}",
                append.entry.block.header().height,
                scene.seen.who(append.node)
            );
            court.violated(scene.at, what);
        }
    }
}

impl StateRoot {
    /// What is wrong with the results that a header carries.
    fn header_fault(&mut self, scene: &Scene<'_>, append: &Append<'_>) -> Option<String> {
        let header = append.entry.block.header();
        let claimed = header.results;
        if claimed.height >= header.height {
            return Some(format!("the header claims results of {}", claimed.height));
        }
        let computed = if claimed.height == Height(0) {
            *self.genesis.get_or_insert(claimed)
        } else {
            // An unknown ancestor is the affair of the prefix invariant.
            let ancestor = scene.seen.chains.ancestor(append.block, claimed.height)?;
            scene.seen.chains.known(ancestor).entry.as_ref()?.results
        };
        (claimed != computed).then(|| {
            format!(
                "the header claims state root {} for height {}, which has {}",
                claimed.state_root, claimed.height, computed.state_root
            )
        })
    }
}

/// What is wrong with a snapshot that an honest member took over just now, if one did.
fn adopted(scene: &Scene<'_>) -> Option<(Height, Option<String>)> {
    let Fact::Node {
        node,
        note: Note::Adopted {
            height,
            block,
            results,
        },
    } = scene.fact
    else {
        return None;
    };
    if !scene.seen.cast.is_validator(*node) || !scene.seen.cast.is_honest(*node) {
        return None;
    }
    let known = scene.seen.chains.find(block);
    let known = known.and_then(|block| scene.seen.chains.known(block).entry.as_ref());
    let same = known.is_some_and(|entry| entry.results == *results);
    let fault = format!(
        "member {}: took over a state with root {}, which no honest member has there",
        scene.seen.who(*node),
        results.state_root
    );
    Some((*height, (!same).then_some(fault)))
}

fn receipts_fault(append: &Append<'_>) -> Option<String> {
    let transactions = append.entry.block.transactions();
    let receipts = &append.entry.receipts;
    let match_up = transactions.len() == receipts.len()
        && transactions
            .iter()
            .zip(receipts.iter())
            .all(|(transaction, receipt)| transaction.id() == receipt.tx);
    (!match_up).then(|| "the receipts are not those of the block's transactions".to_owned())
}

/// Where this node's execution differs from that of the first node with this block.
fn difference(scene: &Scene<'_>, append: &Append<'_>) -> Option<String> {
    let known = scene.seen.chains.known(append.block);
    let first = known.entry.as_ref()?;
    let (ours, theirs) = (append.entry.results, first.results);
    let who = scene.seen.who(known.first);
    if ours != theirs {
        return Some(format!(
            "state root {} where {who} has {}",
            ours.state_root, theirs.state_root
        ));
    }
    let equal = Arc::ptr_eq(&append.entry.receipts, &first.receipts)
        || append.entry.receipts == first.receipts;
    (!equal).then(|| format!("receipts differ from those of {who}"))
}

#[cfg(test)]
mod tests {
    use consortium_node::{
        transaction::Outcome,
        types::{Digest, Height},
    };

    use super::*;
    use crate::invariant::stage::Stage;

    #[test]
    fn a_snapshot_with_another_state_than_the_chain_gives_is_a_violation() {
        let mut stage = Stage::pbft();
        let block = Stage::block(&Stage::genesis(), vec![]);
        let entry = stage.certified(block, vec![], [0, 1, 2]);
        stage.append(0, &entry);
        let adopted = |results: Results| Note::Adopted {
            height: entry.height(),
            block: entry.block.id(),
            results,
        };
        stage.note(1, adopted(entry.results));
        assert_eq!(stage.violated(), [""; 0]);
        let mut other = entry.results;
        other.state_root = Digest([9; 32]);
        stage.note(2, adopted(other));
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn another_state_root_for_the_same_block_is_a_violation() {
        let mut stage = Stage::pbft();
        let block = Stage::block(&Stage::genesis(), vec![]);
        let entry = stage.certified(block, vec![], [0, 1, 2]);
        let mut other = entry.clone();
        other.results.state_root = Digest([9; 32]);
        stage.append(0, &entry);
        stage.append(2, &other);
        assert_eq!(stage.violated(), [NAME]);
        let what = stage.first_violation().what;
        assert!(what.starts_with("height 1, member \"Warehouse\": state root 09090909"));
        assert!(what.contains("where \"Farm\" has"));
    }

    #[test]
    fn other_receipts_for_the_same_block_are_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        let block = Stage::block(&Stage::genesis(), vec![create.clone()]);
        let receipt = |reason: &str| {
            let outcome = Outcome::Reverted(reason.to_owned());
            vec![Stage::receipt(&create, outcome, None)]
        };
        let one = stage.certified(block.clone(), receipt("one"), [0, 1, 2]);
        let other = stage.certified(block, receipt("other"), [0, 1, 2]);
        stage.append(0, &one);
        stage.append(1, &other);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn a_header_with_results_that_nobody_computed_is_a_violation() {
        for height in [0, 1, 7] {
            let mut stage = Stage::pbft();
            let first = Stage::block(&Stage::genesis(), vec![]);
            let lie = Results {
                height: Height(height),
                state_root: Digest([9; 32]),
                receipts_root: Digest::ZERO,
            };
            let second = Stage::block_claiming(&first, lie);
            for block in [first, second] {
                let entry = stage.certified(block, vec![], [0, 1, 2]);
                stage.append(0, &entry);
            }
            assert_eq!(stage.violated(), [NAME], "results of height {height}");
        }
    }

    #[test]
    fn a_missing_receipt_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        let block = Stage::block(&Stage::genesis(), vec![create]);
        let entry = stage.certified(block, vec![], [0, 1, 2]);
        stage.append(0, &entry);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn equal_executions_are_none() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 0);
    }
}
