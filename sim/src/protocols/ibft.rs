//! IBFT 1.0, as Quorum shipped it, with its known errors.

use std::time::Duration;

use consortium_node::{
    ibft::{self, Growth, Ibft, IbftMessage},
    node::Node,
    quorum::{self, QuorumRule},
};

use super::{Form, Protocol, Registered, Seat, Thresholds, rounds};

/// Parameters of IBFT 1.0.
#[derive(Clone, Debug)]
pub struct IbftPlan(pub ibft::Config);

impl Protocol for IbftPlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        let mut words = rounds::in_words(&self.0.pace);
        if self.0.quorum == QuorumRule::TwoFPlusOne {
            words += "  quorum 2f+1";
        }
        if self.0.heeds_commits {
            words += "  commits complete locks";
        }
        words
    }

    /// f = ⌊(n−1)/3⌋ with the quorum that was chosen.
    fn thresholds(&self, n: usize) -> Thresholds {
        Thresholds {
            f: quorum::byzantine_faults(n),
            q: self.0.quorum.of(n),
        }
    }

    fn patience(&self) -> Duration {
        2 * self.0.pace.block_period
    }

    fn changes_committee(&self) -> bool {
        true
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let genesis = seat.genesis().id();
        let engine = Ibft::new(self.0, seat.id, seat.key(), seat.committee(), genesis);
        let engine = engine.planting(seat.planted());
        seat.host(engine)
    }
}

impl Registered for IbftPlan {
    const NAME: &'static str = "ibft";
    const SECTION: Option<&'static str> = Some("ibft");
    const MESSAGES: &'static [&'static str] = &IbftMessage::NAMES;
    const RECORDS: &'static [&'static str] = &ibft::Record::NAMES;

    fn read(form: &Form<'_, '_>) -> Self {
        let mut keys = rounds::KEYS.to_vec();
        keys.extend(["quorum", "heeds_commits"]);
        let section = form.consensus.section("ibft", &keys);
        Self(ibft::Config {
            pace: rounds::pace(&section, Growth::PlusPowersOfTwo),
            quorum: section.choice(
                "quorum",
                &[
                    ("2n/3", QuorumRule::CeilTwoThirds),
                    ("2f+1", QuorumRule::TwoFPlusOne),
                ],
            ),
            heeds_commits: section.truth("heeds_commits"),
        })
    }
}
