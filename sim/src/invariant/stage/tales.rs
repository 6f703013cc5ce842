//! What engines tell, for the stage.

use consortium_node::{
    engine::{Recovery, Tale},
    node::Note,
    pbft::CHECKPOINT,
    quorum::{Phase, Vote},
    types::{Digest, Seq, View},
};

use super::{COMMIT, MEMBERS, Stage, node};
use crate::{fact::Fact, scenario::plan::Plan};

/// What engines tell, and what the scenario says about them.
impl Stage {
    pub(crate) fn tale(&mut self, by: usize, tale: Tale) {
        self.note(by, Note::Engine(tale));
    }

    /// A COMMIT.
    pub(crate) fn vote(&mut self, by: usize, view: u64, slot: u64, digest: Digest) {
        self.vote_in(COMMIT, by, view, slot, digest);
    }

    pub(crate) fn vote_in(
        &mut self,
        phase: Phase,
        by: usize,
        view: u64,
        slot: u64,
        digest: Digest,
    ) {
        let vote = Vote {
            phase,
            view: View(view),
            slot: Seq(slot),
            digest,
        };
        self.tale(by, Tale::Voted(vote));
    }

    /// All members take a checkpoint and call it stable.
    pub(crate) fn checkpoint(&mut self, seq: u64, digest: Digest) {
        for by in 0..MEMBERS.len() {
            self.vote_in(CHECKPOINT, by, 0, seq, digest);
        }
        let seq = Seq(seq);
        for by in 0..MEMBERS.len() {
            self.tale(by, Tale::Stable { seq, digest });
        }
    }

    /// All members begin the first view.
    pub(super) fn begin(&mut self) {
        let (view, leader) = (View(0), node(0));
        for by in 0..MEMBERS.len() {
            self.tale(by, Tale::Entered { view, leader });
        }
    }

    /// All members vote for the head and take a checkpoint; one starts again.
    pub(super) fn close_day(&mut self) {
        let head = self.head.id();
        self.begin();
        for by in 0..MEMBERS.len() {
            self.vote(by, 0, 7, head);
        }
        self.checkpoint(64, head);
        let height = self.head.header().height.0;
        self.restart(1, Recovery::Torn, height);
    }

    /// This validator crashes.
    pub(crate) fn crash(&mut self, by: usize) {
        let (fault, nodes) = (0, vec![node(by)]);
        self.tell(Fact::FaultBegan { fault, nodes });
    }

    /// The scenario claims that no honest leader is given up.
    pub(crate) fn expect_steady_leader(&mut self) {
        self.plan.expect.steady_leader = true;
    }

    /// The plan of the stage.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}
