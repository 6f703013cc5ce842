//! Playing the benches' plans and counting what was sent.

use std::sync::{Arc, atomic::AtomicU64};

use consortium_node::node::Node;
use consortium_sim::{
    cast::Cast,
    ending::Ending,
    fact::{Fact, Reader},
    invariant::Invariants,
    scenario::plan::Plan,
    time::Time,
    world::{self, World, pump},
};

use crate::toy::Toy;

/// Reads nothing.
struct Deaf;

impl Reader for Deaf {
    fn read(&mut self, _: Time, _: &Fact) {}
}

/// Toys play all-to-all rounds in the world, and nothing else happens. Returns the messages.
///
/// # Panics
/// If a message is missing: then the bench would measure something else.
#[must_use]
pub fn toys(plan: &Arc<Plan>, rounds: u64) -> u64 {
    let cast = Arc::new(Cast::new(plan));
    let n = cast.validators().len() as u16;
    let (ending, _) = pump::run_with(
        plan,
        &cast,
        Deaf,
        Arc::new(AtomicU64::new(0)),
        move |plan, cast, readers| {
            let toys = cast
                .validators()
                .map(|id| Box::new(Toy::new(id, n, rounds)) as Box<dyn Node>)
                .collect();
            World::hosting(plan, cast, toys, readers)
        },
    )
    .expect("toys do not break");
    let messages = messages(&ending);
    let n = u64::from(n);
    assert_eq!(messages, rounds * n * (n - 1), "rounds are missing");
    messages
}

/// A PBFT network with everything on that a scenario has on, metrics apart. Returns the protocol's
/// messages.
///
/// # Panics
/// If an invariant is violated or nothing was agreed on.
#[must_use]
pub fn pbft(plan: &Arc<Plan>) -> u64 {
    let cast = Arc::new(Cast::new(plan));
    let invariants = Invariants::new(plan, Arc::clone(&cast), world::claims(plan, &cast));
    let (ending, invariants) =
        pump::run(plan, &cast, invariants, Arc::new(AtomicU64::new(0))).expect("it plays");
    assert!(ending.ledgers[0].height().0 > 1, "no blocks");
    let verdicts = invariants.close(&ending);
    assert!(verdicts.list.iter().all(|verdict| !verdict.is_violated()));
    messages(&ending)
}

/// Messages between validators.
fn messages(ending: &Ending) -> u64 {
    let others = ["SUBMIT", "RELAY", "RECEIPTS", "REFUSED"];
    ending
        .packets
        .iter()
        .filter(|(kind, _)| !others.contains(kind))
        .map(|(_, count)| count.messages)
        .sum()
}
