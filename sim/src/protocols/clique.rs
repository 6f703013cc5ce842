//! Proof of authority, EIP-225.

use std::time::Duration;

use consortium_node::{
    clique::{Clique, CliqueConfig, CliqueMessage, TieBreak},
    node::Node,
    quorum, sealed,
};

use super::{Form, MANY, Protocol, Registered, Seat, TICK, Thresholds};
use crate::{metrics::units, rng::Seed, time::nanos};

/// Parameters of Clique.
#[derive(Clone, Debug)]
pub struct CliquePlan {
    /// Between blocks.
    pub period: Duration,
    /// Blocks below the head before a gateway relies on one.
    pub confirmations: u64,
}

impl Protocol for CliquePlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        format!(
            "period {}  k={}",
            units::span(nanos(self.period)),
            self.confirmations
        )
    }

    /// A majority of signers ⌊n/2⌋+1 goes on, whatever the rest does (EIP-225: each may sign one of so many
    /// consecutive blocks).
    fn thresholds(&self, n: usize) -> Thresholds {
        let q = quorum::majority(n);
        Thresholds { f: n - q, q }
    }

    fn patience(&self) -> Duration {
        self.period * (2 * (self.confirmations as u32 + 2))
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let config = CliqueConfig {
            period: self.period,
            tie_break: TieBreak::FirstSeen,
            confirmations: Some(self.confirmations),
            gossip: false,
            seed: Seed(seat.plan.seed).number("clique wiggle", 0),
        };
        let genesis = seat.genesis();
        let engine = Clique::new(&config, &seat.committee(), seat.id, seat.key(), &genesis);
        seat.host(engine)
    }
}

impl Registered for CliquePlan {
    const NAME: &'static str = "clique";
    const SECTION: Option<&'static str> = Some("clique");
    const MESSAGES: &'static [&'static str] = &CliqueMessage::NAMES;
    const RECORDS: &'static [&'static str] = &[sealed::SEALED];

    fn read(form: &Form<'_, '_>) -> Self {
        let section = form
            .consensus
            .section("clique", &["period", "confirmations"]);
        Self {
            period: section.duration("period", TICK),
            confirmations: if section.says("confirmations", "majority") {
                quorum::majority(form.validators()) as u64
            } else {
                section.integer("confirmations", 1..=MANY)
            },
        }
    }
}
