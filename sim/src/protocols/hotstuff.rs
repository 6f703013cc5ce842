//! Chained HotStuff: three-chain, and two-chain as Jolteon and as HotStuff-2.

use consortium_node::{
    hotstuff::{self, HotStuff, HotStuffMessage, Leader, Variant},
    node::Node,
    quorum,
};

use super::{Form, MANY, Protocol, Registered, Seat, TICK, Thresholds, or_never};
use crate::{metrics::units, time::nanos};

/// Parameters of HotStuff.
#[derive(Clone, Debug)]
pub struct HotStuffPlan(pub hotstuff::Config);

impl Protocol for HotStuffPlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        let variant = match self.0.variant {
            Variant::ThreeChain => "three-chain",
            Variant::Jolteon => "two-chain (Jolteon)",
            Variant::HotStuff2 => "two-chain (HotStuff-2)",
        };
        let leader = match self.0.leader {
            Leader::Rotate => "rotates",
            Leader::Sticky => "stays",
            Leader::Reputation => "by reputation",
        };
        format!(
            "{variant}  leader {leader}  timeout {} to {}",
            units::span(nanos(self.0.timeout)),
            units::span(nanos(self.0.timeout_max))
        )
    }

    /// f = ⌊(n−1)/3⌋ with n−f = ⌊2n/3⌋+1.
    fn thresholds(&self, n: usize) -> Thresholds {
        Thresholds {
            f: quorum::byzantine_faults(n),
            q: quorum::two_thirds(n),
        }
    }

    /// Certified blocks that are not final pile up while views fail.
    fn results_lag(&self) -> u64 {
        u64::MAX
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let genesis = seat.genesis().id();
        let config = self.0;
        let engine = HotStuff::new(config, seat.id, seat.key(), seat.committee(), genesis);
        let engine = engine.planting(seat.planted());
        seat.host(engine)
    }
}

impl Registered for HotStuffPlan {
    const NAME: &'static str = "hotstuff";
    const SECTION: Option<&'static str> = Some("hotstuff");
    const MESSAGES: &'static [&'static str] = &HotStuffMessage::NAMES;
    const RECORDS: &'static [&'static str] = &hotstuff::Record::NAMES;

    fn read(form: &Form<'_, '_>) -> Self {
        let section = form.consensus.section(
            "hotstuff",
            &[
                "variant",
                "leader",
                "timeout",
                "timeout_growth_pct",
                "timeout_max",
                "delta",
                "window",
                "fetch_timeout",
                "empty_block_period",
            ],
        );
        let config = hotstuff::Config {
            variant: section.choice(
                "variant",
                &[
                    ("three-chain", Variant::ThreeChain),
                    ("jolteon", Variant::Jolteon),
                    ("hotstuff-2", Variant::HotStuff2),
                ],
            ),
            leader: section.choice(
                "leader",
                &[
                    ("rotate", Leader::Rotate),
                    ("sticky", Leader::Sticky),
                    ("reputation", Leader::Reputation),
                ],
            ),
            timeout: section.duration("timeout", TICK),
            timeout_growth_percent: section.integer("timeout_growth_pct", 100..=1000) as u32,
            timeout_max: section.duration("timeout_max", TICK),
            delta: section.duration("delta", TICK),
            window: section.count("window", 1..=MANY),
            fetch_timeout: section.duration("fetch_timeout", TICK),
            empty_block_period: or_never(&section, "empty_block_period"),
        };
        if config.timeout_max < config.timeout {
            section.problem_of_two(
                "timeout_max",
                "timeout",
                "timeouts grow, they do not shrink",
                "at least the timeout".to_owned(),
            );
        }
        Self(config)
    }
}
