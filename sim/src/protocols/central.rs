//! One trusted database: the baseline.

use consortium_node::{
    central::{Central, CentralMessage},
    node::Node,
    sealed,
};

use super::{Form, Protocol, Registered, Seat, Thresholds};

/// A trusted database, which has no parameters.
#[derive(Clone, Debug)]
pub struct CentralPlan;

impl Protocol for CentralPlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        String::new()
    }

    /// One machine: the first validator's.
    fn thresholds(&self, _: usize) -> Thresholds {
        Thresholds { f: 0, q: 1 }
    }

    fn hangs_on_first(&self) -> bool {
        true
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let engine = Central::new(seat.committee(), seat.id, seat.key(), &seat.genesis());
        seat.host(engine)
    }
}

impl Registered for CentralPlan {
    const NAME: &'static str = "central";
    const SECTION: Option<&'static str> = None;
    const MESSAGES: &'static [&'static str] = &CentralMessage::NAMES;
    const RECORDS: &'static [&'static str] = &[sealed::SEALED];

    fn read(_: &Form<'_, '_>) -> Self {
        Self
    }
}
