//! x
use consortium_sim::*;
use std::sync::Arc;
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let sets: Vec<String> = std::env::args().skip(2).collect();
    let source = scenario::Source { path: name.clone().into(), bytes: std::fs::read(&name).unwrap() };
    let loaded = scenario::load(&source, &sets).unwrap_or_else(|p| panic!("{p}"));
    let plan = Arc::new(loaded.plan);
    let cast = Arc::new(cast::Cast::new(&plan));
    let claims = world::claims(&plan, &cast);
    let inv = invariant::Invariants::new(&plan, Arc::clone(&cast), claims);
    let t = std::time::Instant::now();
    let (ending, inv) = world::pump::run(&plan, &cast, inv, Arc::default()).unwrap();
    println!("{:?} trace {:x} ended {} heights {:?}", t.elapsed(), ending.trace, ending.ended, ending.ledgers.iter().map(|l| l.height().0).collect::<Vec<_>>());
    println!("{:?}", ending.packets);
    println!("{:?}", ending.usage);
    let v = inv.close(&ending);
    println!("{v:#?}");
}
