//! Acknowledged, never lost: what a submitter was told stays true.

use std::collections::BTreeMap;

use consortium_node::{
    transaction::Outcome,
    types::{Height, NodeId, TxId},
};

use super::{Court, Invariant, Scene, Seen, chains::BlockIndex, has_finality};
use crate::{ending::Ending, fact::Fact, time::Time};

/// As scenarios write it.
pub const NAME: &str = "acknowledged-never-lost";

/// Every transaction that a gateway holds as final is, when the run ends, on the chain of each honest
/// live node that is as high, with the outcome that the gateway was told; and on the longest honest
/// chain in any case. Without finality only the longest chain counts, at whatever height.
#[derive(Debug, Default)]
pub struct AcknowledgedNeverLost {
    acknowledged: Vec<(TxId, Outcome, Height)>,
}

impl Invariant for AcknowledgedNeverLost {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "what a submitter was told is final is on every chain in the end, with the same outcome"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        if let Fact::Final {
            tx,
            outcome,
            height,
        } = scene.fact
        {
            court.check();
            self.acknowledged.push((*tx, outcome.clone(), *height));
        }
    }

    fn close(&mut self, at: Time, ending: &Ending, seen: &Seen<'_>, court: &mut Court) {
        let alive = |node: NodeId| ending.alive.get(node.index()).copied().unwrap_or(true);
        let Some(longest) = longest(seen, alive) else {
            return;
        };
        let mut judges = vec![longest];
        if has_finality(seen.claims) {
            let others = seen.cast.validators().filter(|node| *node != longest);
            judges.extend(others.filter(|node| seen.cast.is_honest(*node) && alive(*node)));
        }
        let executed = executed(seen);
        for (tx, outcome, height) in &self.acknowledged {
            let places = executed.get(tx).map_or(&[][..], Vec::as_slice);
            let lost = judges.iter().find_map(|judge| {
                let head = seen.chains.known(seen.chains.head(*judge)).height;
                let answers = *judge == longest || head >= *height;
                let how = loss(seen, *judge, places, outcome).filter(|_| answers)?;
                Some((*judge, how))
            });
            if let Some((judge, how)) = lost {
                let what = format!(
                    "transaction {tx} was acknowledged at height {height}, but the chain of {} {how}",
                    seen.who(judge)
                );
                court.violated(at, what);
            }
        }
    }
}

/// Whose chain is canonical: the longest of an honest node, where possible one that is up if there is
/// no finality (a dead node's chain is then nobody's opinion).
fn longest(seen: &Seen<'_>, alive: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let honest = seen.cast.validators().filter(|n| seen.cast.is_honest(*n));
    honest.max_by_key(|node| {
        let preferred = has_finality(seen.claims) || alive(*node);
        let height = seen.chains.known(seen.chains.head(*node)).height;
        (preferred, height, std::cmp::Reverse(*node))
    })
}

/// Where each transaction executed, and how it ended.
fn executed<'a>(seen: &Seen<'a>) -> BTreeMap<TxId, Vec<(BlockIndex, &'a Outcome)>> {
    let mut executed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (block, entry) in seen.chains.blocks() {
        for receipt in entry.receipts.iter() {
            let places = executed.entry(receipt.tx).or_default();
            places.push((block, &receipt.outcome));
        }
    }
    executed
}

/// What is wrong with a transaction on a node's chain.
fn loss(
    seen: &Seen<'_>,
    node: NodeId,
    places: &[(BlockIndex, &Outcome)],
    told: &Outcome,
) -> Option<String> {
    let mut here = places
        .iter()
        .filter(|(block, _)| seen.chains.holds(node, *block))
        .peekable();
    if here.peek().is_none() {
        return Some("does not hold it".to_owned());
    }
    if here.clone().any(|(_, outcome)| *outcome == told) {
        return None;
    }
    here.next()
        .map(|(_, outcome)| format!("says {outcome:?} where the gateway was told {told:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    #[test]
    fn an_acknowledged_transaction_that_no_chain_holds_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        stage.acknowledge(&create, Outcome::Ok, 1);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn another_outcome_than_the_chain_says_is_a_violation() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        stage.commit_reverted(&create);
        stage.acknowledge(&create, Outcome::Ok, 1);
        assert_eq!(stage.violated(), [NAME]);
        assert!(stage.first_violation().what.contains("told Ok"));
    }

    #[test]
    fn a_node_that_is_behind_or_dead_has_lost_nothing() {
        let mut stage = Stage::pbft();
        let create = stage.create(0);
        stage.submit(&create);
        stage.commit_ok_at([0, 1, 2], &create);
        stage.acknowledge(&create, Outcome::Ok, 1);
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 1);
    }

    #[test]
    fn without_finality_a_transaction_may_move_but_not_vanish() {
        let mut stage = Stage::clique();
        let create = stage.create(0);
        stage.submit(&create);
        let reverted = || Outcome::Reverted("no".into());
        let genesis = Stage::genesis();
        let left = Stage::block_at(&genesis, vec![create.clone()], 1);
        let right = Stage::block_at(&genesis, vec![], 2);
        let later = Stage::block(&right, vec![create.clone()]);
        let receipt = || vec![Stage::receipt(&create, reverted(), None)];
        let left_entry = Stage::entry(&left, receipt(), None);
        let right_entry = Stage::entry(&right, vec![], None);
        let later_entry = Stage::entry(&later, receipt(), None);
        stage.append(0, &left_entry);
        stage.acknowledge(&create, reverted(), 1);
        stage.retract(0, &left);
        stage.append(0, &right_entry);
        let mut moved = stage.clone();
        assert_eq!(stage.violated(), [NAME], "it vanished");
        moved.append(0, &later_entry);
        assert_eq!(moved.violated(), [""; 0], "it is back, higher up");
    }
}
