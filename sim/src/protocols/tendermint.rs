//! Tendermint, with CometBFT's timeouts.

use consortium_node::{
    node::Node,
    quorum,
    tendermint::{self, Tendermint, TendermintMessage},
};

use super::{Form, Protocol, Registered, Seat, TICK, Thresholds, or_never};
use crate::{metrics::units, time::nanos};

/// Parameters of Tendermint.
#[derive(Clone, Debug)]
pub struct TendermintPlan(pub tendermint::Config);

impl Protocol for TendermintPlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        let span = |duration| units::span(nanos(duration));
        let mut words = format!(
            "timeouts propose {}, prevote {}, precommit {}, each +{} a round  commit {}",
            span(self.0.timeout_propose),
            span(self.0.timeout_prevote),
            span(self.0.timeout_precommit),
            span(self.0.timeout_delta),
            span(self.0.timeout_commit)
        );
        if let Some(period) = self.0.empty_block_period {
            words.extend([format!("  empty blocks every {}", span(period))]);
        }
        if !self.0.relay_polkas {
            words += "  polkas are not relayed";
        }
        words
    }

    /// f = ⌊(n−1)/3⌋ with more than two thirds, ⌊2n/3⌋+1.
    fn thresholds(&self, n: usize) -> Thresholds {
        Thresholds {
            f: quorum::byzantine_faults(n),
            q: quorum::two_thirds(n),
        }
    }

    fn patience(&self) -> std::time::Duration {
        2 * self.0.timeout_commit
    }

    fn changes_committee(&self) -> bool {
        true
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let genesis = seat.genesis().id();
        let engine = Tendermint::new(self.0, seat.id, seat.key(), seat.committee(), genesis);
        let engine = engine.planting(seat.planted());
        seat.host(engine)
    }
}

impl Registered for TendermintPlan {
    const NAME: &'static str = "tendermint";
    const SECTION: Option<&'static str> = Some("tendermint");
    const MESSAGES: &'static [&'static str] = &TendermintMessage::NAMES;
    const RECORDS: &'static [&'static str] = &tendermint::Record::NAMES;

    fn read(form: &Form<'_, '_>) -> Self {
        let section = form.consensus.section(
            "tendermint",
            &[
                "timeout_propose",
                "timeout_prevote",
                "timeout_precommit",
                "timeout_delta",
                "timeout_commit",
                "empty_block_period",
                "status_interval",
                "relay_polkas",
            ],
        );
        Self(tendermint::Config {
            timeout_propose: section.duration("timeout_propose", TICK),
            timeout_prevote: section.duration("timeout_prevote", TICK),
            timeout_precommit: section.duration("timeout_precommit", TICK),
            timeout_delta: section.duration("timeout_delta", TICK),
            timeout_commit: section.duration("timeout_commit", TICK),
            empty_block_period: or_never(&section, "empty_block_period"),
            status_interval: section.duration("status_interval", TICK),
            relay_polkas: section.truth("relay_polkas"),
        })
    }
}
