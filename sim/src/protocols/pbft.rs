//! Practical Byzantine fault tolerance, with signatures.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    membership::Committee,
    node::Node,
    pbft::{self, Pbft, PbftMessage},
    quorum,
};

use super::{Form, MANY, Protocol, Registered, Seat, TICK, Thresholds};
use crate::{metrics::units, time::nanos};

/// Parameters of PBFT.
#[derive(Clone, Debug)]
pub struct PbftPlan {
    /// Slots between checkpoints (K).
    pub checkpoint_interval: u64,
    /// Slots between the watermarks (L ≥ 2K).
    pub window: u64,
    /// Slots that a primary keeps in flight.
    pub pipeline: u64,
    /// How long a request may wait before the primary is suspected.
    pub request_timeout: Duration,
    /// How long any request may wait under one primary, however much it executes meanwhile.
    pub request_deadline: Duration,
    /// Base of the view change timer, which doubles.
    pub view_change_timeout: Duration,
    /// How often a replica with unfinished business says what it lacks.
    pub status_interval: Duration,
}

impl PbftPlan {
    /// An engine with these parameters and the seat's planted bug.
    pub(super) fn engine(&self, seat: &Seat<'_>, committee: Arc<Committee>) -> Pbft {
        let config = pbft::Config {
            checkpoint_interval: self.checkpoint_interval,
            window: self.window,
            pipeline: self.pipeline,
            request_timeout: self.request_timeout,
            request_deadline: self.request_deadline,
            view_change_timeout: self.view_change_timeout,
            status_interval: self.status_interval,
        };
        let genesis = seat.genesis().id();
        Pbft::new(config, seat.id, seat.key(), committee, genesis).planting(seat.planted())
    }
}

impl Protocol for PbftPlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        let span = |duration| units::span(nanos(duration));
        format!(
            "K={} L={} pipeline {}  request timeout {}  view change timeout {}",
            self.checkpoint_interval,
            self.window,
            self.pipeline,
            span(self.request_timeout),
            span(self.view_change_timeout)
        )
    }

    /// f = ⌊(n−1)/3⌋ with q = ⌈(n+f+1)/2⌉ (Castro and Liskov 1999, section 3, for general n).
    fn thresholds(&self, n: usize) -> Thresholds {
        Thresholds {
            f: quorum::byzantine_faults(n),
            q: quorum::byzantine_quorum(n),
        }
    }

    /// A primary keeps no more slots than its pipeline ahead of what it has executed.
    fn results_lag(&self) -> u64 {
        self.pipeline
    }

    fn changes_committee(&self) -> bool {
        true
    }

    fn pbft(&self) -> Option<&PbftPlan> {
        Some(self)
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let engine = self.engine(&seat, seat.committee());
        seat.host(engine)
    }
}

impl Registered for PbftPlan {
    const NAME: &'static str = "pbft";
    const SECTION: Option<&'static str> = Some("pbft");
    const MESSAGES: &'static [&'static str] = &PbftMessage::NAMES;
    const RECORDS: &'static [&'static str] = &pbft::Record::NAMES;

    fn read(form: &Form<'_, '_>) -> Self {
        let section = form.consensus.section(
            "pbft",
            &[
                "checkpoint_interval",
                "window",
                "pipeline",
                "request_timeout",
                "request_deadline",
                "view_change_timeout",
                "status_interval",
            ],
        );
        let before = section.log().count();
        let plan = Self {
            checkpoint_interval: section.integer("checkpoint_interval", 1..=MANY),
            window: section.integer("window", 2..=2 * MANY),
            pipeline: section.integer("pipeline", 1..=MANY),
            request_timeout: section.duration("request_timeout", TICK),
            request_deadline: section.duration("request_deadline", TICK),
            view_change_timeout: section.duration("view_change_timeout", TICK),
            status_interval: section.duration("status_interval", TICK),
        };
        if section.log().count() > before {
            return plan;
        }
        if plan.window < 2 * plan.checkpoint_interval {
            let hint = format!(
                "a window of at least {}, or a shorter interval",
                2 * plan.checkpoint_interval
            );
            let message = "the window must hold two checkpoint intervals (L >= 2K)";
            section.problem_of_two("window", "checkpoint_interval", message, hint);
        }
        if plan.pipeline > plan.window {
            let message = "the pipeline cannot be longer than the window";
            let hint = format!("a pipeline of at most {}", plan.window);
            section.problem_of_two("pipeline", "window", message, hint);
        }
        plan
    }
}
