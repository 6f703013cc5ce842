//! From the text of a scenario to a plan, for tests that play one.

use std::sync::Arc;

use consortium_sim::scenario::{self, Source, plan::Plan};

/// The plan of a scenario with `--set` overrides laid over it.
pub(crate) fn plan(scenario: &str, overrides: &[&str]) -> Arc<Plan> {
    let source = Source::new("test.toml", scenario);
    let overrides: Vec<_> = overrides.iter().map(|o| (*o).to_owned()).collect();
    let loaded =
        scenario::load(&source, &overrides).unwrap_or_else(|problems| panic!("{problems}"));
    Arc::new(loaded.plan)
}
