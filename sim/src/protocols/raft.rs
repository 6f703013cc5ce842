//! Raft, as etcd runs it; Fabric's and Quorum's settings of it are parameters.

use consortium_node::{
    node::Node,
    quorum,
    raft::{self, Change, Minting, Raft, RaftMessage},
};

use super::{Form, MANY, Protocol, Registered, Seat, TICK, Thresholds};
use crate::{metrics::units, rng::Seed, time::nanos};

/// Parameters of Raft.
#[derive(Clone, Debug)]
pub struct RaftPlan(pub raft::Config);

impl Protocol for RaftPlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        let span = |duration| units::span(nanos(duration));
        let mut words = format!(
            "election {}  heartbeat {}",
            span(self.0.election),
            span(self.0.heartbeat)
        );
        words += if self.0.pre_vote { "  PreVote" } else { "" };
        words += if self.0.check_quorum {
            "  CheckQuorum"
        } else {
            ""
        };
        words.extend([match self.0.minting {
            Minting::Piped { depth } => format!("  pipeline {depth}"),
            Minting::Speculative { block_time } => {
                format!("  speculative, a block in {} at most", span(block_time))
            }
        }]);
        words
    }

    /// A minority may stop, with a majority of ⌊n/2⌋+1 (Ongaro and Ousterhout 2014, section 2).
    fn thresholds(&self, n: usize) -> Thresholds {
        let q = quorum::majority(n);
        Thresholds { f: n - q, q }
    }

    /// A new leader's blocks follow its log, however much of that it has not applied.
    fn results_lag(&self) -> u64 {
        u64::MAX
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let config = raft::Config {
            seed: Seed(seat.plan.seed).number("raft elections", 0),
            ..self.0
        };
        let genesis = seat.genesis().id();
        let engine = Raft::new(config, seat.id, &seat.committee(), genesis);
        let engine = engine.planting(seat.planted());
        seat.host(engine)
    }
}

impl Registered for RaftPlan {
    const NAME: &'static str = "raft";
    const SECTION: Option<&'static str> = Some("raft");
    const MESSAGES: &'static [&'static str] = &RaftMessage::NAMES;
    const RECORDS: &'static [&'static str] = &raft::Record::NAMES;

    fn read(form: &Form<'_, '_>) -> Self {
        let section = form.consensus.section(
            "raft",
            &[
                "election",
                "heartbeat",
                "pre_vote",
                "check_quorum",
                "lease",
                "minting",
                "pipeline",
                "block_time",
                "append_bytes",
                "compact_every",
                "keep",
                "change",
                "rest",
            ],
        );
        let depth = section.count("pipeline", 1..=MANY);
        let block_time = section.duration("block_time", TICK);
        let config = raft::Config {
            election: section.duration("election", TICK),
            heartbeat: section.duration("heartbeat", TICK),
            pre_vote: section.truth("pre_vote"),
            check_quorum: section.truth("check_quorum"),
            lease: section.truth("lease"),
            minting: if section.choice("minting", &[("piped", true), ("speculative", false)]) {
                Minting::Piped { depth }
            } else {
                Minting::Speculative { block_time }
            },
            append_bytes: section.size("append_bytes", 1..=64_000_000),
            compact_every: section.integer("compact_every", 1..=MANY),
            keep: section.integer("keep", 0..=MANY),
            change: section.choice(
                "change",
                &[("single", Change::Single), ("joint", Change::Joint)],
            ),
            rest: section.truth("rest"),
            ..raft::Config::default()
        };
        if config.heartbeat >= config.election {
            section.problem_of_two(
                "election",
                "heartbeat",
                "a leader must be heard of before it is given up",
                "a heartbeat shorter than the election timeout".to_owned(),
            );
        }
        Self(config)
    }
}
