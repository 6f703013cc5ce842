//! QBFT, as Besu and GoQuorum run it.

use consortium_node::{
    node::Node,
    qbft::{self, Growth, Qbft, QbftMessage},
    quorum::{self, QuorumRule},
};

use super::{Form, Protocol, Registered, Seat, Thresholds, rounds};

/// Parameters of QBFT.
#[derive(Clone, Debug)]
pub struct QbftPlan(pub qbft::Config);

impl Protocol for QbftPlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        rounds::in_words(&self.0)
    }

    /// f = ⌊(n−1)/3⌋ with q = ⌈2n/3⌉.
    fn thresholds(&self, n: usize) -> Thresholds {
        Thresholds {
            f: quorum::byzantine_faults(n),
            q: QuorumRule::CeilTwoThirds.of(n),
        }
    }

    fn patience(&self) -> std::time::Duration {
        2 * self.0.block_period
    }

    fn changes_committee(&self) -> bool {
        true
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let genesis = seat.genesis().id();
        let engine = Qbft::new(self.0, seat.id, seat.key(), seat.committee(), genesis);
        let engine = engine.planting(seat.planted());
        seat.host(engine)
    }
}

impl Registered for QbftPlan {
    const NAME: &'static str = "qbft";
    const SECTION: Option<&'static str> = Some("qbft");
    const MESSAGES: &'static [&'static str] = &QbftMessage::NAMES;
    const RECORDS: &'static [&'static str] = &qbft::Record::NAMES;

    fn read(form: &Form<'_, '_>) -> Self {
        let section = form.consensus.section("qbft", &rounds::KEYS);
        Self(rounds::pace(&section, Growth::Doubling))
    }
}
