//! Who is compared: the scenario once for each protocol, set of parameters and seed.

use std::sync::Arc;

use crate::{
    protocols,
    scenario::{self, Problems, Source, Warning, plan::Plan},
};

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Request {
    /// Protocols by name; empty: all there are.
    pub protocols: Vec<String>,
    /// The first seed; `None`: the scenario's.
    pub seed: Option<u64>,
    /// How many seeds.
    pub seeds: u64,
    /// What is laid over the scenario for all of them, as `--set` takes it.
    pub overrides: Vec<String>,
    /// Whether to find out how many members may fail.
    pub tolerance: bool,
}

/// A protocol with one set of parameters, and its runs.
#[derive(Clone, Debug)]
pub struct Contender {
    /// What is laid over the scenario to suit it; empty: nothing.
    pub tuned: Vec<String>,
    /// One plan a seed, in the seeds' order.
    pub plans: Vec<Arc<Plan>>,
    /// What the scenario's author should know before trusting its figures.
    pub warnings: Vec<Warning>,
}

impl Request {
    /// Names of the protocols that are compared, each once.
    pub(super) fn protocols(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if self.protocols.is_empty() {
            names.extend(protocols::names().map(str::to_owned));
        }
        for name in &self.protocols {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Everyone who is compared: each protocol with the scenario's parameters, which are equal for all,
    /// and after it, where the scenario has them, with those that suit it.
    ///
    /// # Errors
    /// Everything that is wrong with the scenario for the first protocol that it does not suit.
    pub(super) fn contenders(&self, source: &Source) -> Result<Vec<Contender>, Problems> {
        let mut contenders = Vec::new();
        for protocol in self.protocols() {
            let equal = self.contender(source, &protocol, &[])?;
            let tuned = equal.plans[0].compare.tuned.get(protocol.as_str()).cloned();
            contenders.push(equal);
            if let Some(tuned) = tuned.filter(|tuned| !tuned.is_empty()) {
                contenders.push(self.contender(source, &protocol, &tuned)?);
            }
        }
        Ok(contenders)
    }

    fn contender(
        &self,
        source: &Source,
        protocol: &str,
        tuned: &[String],
    ) -> Result<Contender, Problems> {
        let load = |seed: Option<u64>| {
            let mut overrides = self.overrides_for(protocol, tuned);
            overrides.extend(seed.map(|seed| format!("seed={seed}")));
            scenario::load(source, &overrides)
        };
        let first = load(self.seed)?;
        let from = first.plan.seed;
        let mut plans = vec![Arc::new(first.plan)];
        for offset in 1..self.seeds {
            plans.push(Arc::new(load(Some(from + offset))?.plan));
        }
        Ok(Contender {
            tuned: tuned.to_vec(),
            plans,
            warnings: first.warnings,
        })
    }

    /// What is laid over the scenario for a protocol.
    pub(super) fn overrides_for(&self, protocol: &str, tuned: &[String]) -> Vec<String> {
        let own = format!("consensus.protocol={protocol}");
        let all = self.overrides.iter().cloned().chain([own]);
        all.chain(tuned.iter().cloned()).collect()
    }
}

impl Contender {
    /// What it is called in a table.
    pub fn label(&self) -> String {
        let protocol = self.plans[0].consensus.protocol.name();
        label(protocol, !self.tuned.is_empty())
    }
}

/// A protocol's name, and whether its parameters are its own.
pub(super) fn label(protocol: &str, is_tuned: bool) -> String {
    let own = if is_tuned { " tuned" } else { "" };
    format!("{protocol}{own}")
}
