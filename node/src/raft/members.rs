//! How the members change: the host says who should decide, and the leader makes it so (thesis §4).

use std::collections::BTreeSet;

use super::{
    Raft,
    configuration::Configuration,
    entry::Body,
    progress::{Flow, Progress},
};
use crate::{engine::Outbox, membership::Committee, mutant::Mutant, types::NodeId};

impl Raft {
    pub(super) fn on_committee(&mut self, committee: &Committee, out: &mut Outbox<Self>) {
        self.target = Some(committee.nodes().collect());
        if self.next_members().is_some() {
            self.wake(out);
        }
        self.reshape(out);
    }

    /// Who counts here now.
    pub fn configuration(&self) -> &Configuration {
        self.log.configuration()
    }

    /// The next configuration on the way to the members that the host named, if they are not it yet.
    pub(super) fn next_members(&self) -> Option<Configuration> {
        let (reign, target): (_, &BTreeSet<NodeId>) = (self.reign.as_ref()?, self.target.as_ref()?);
        // RA18: who is a heartbeat behind has caught up: it can go on with the others.
        let ready = |node: NodeId| {
            let progress = reign.progress.get(&node);
            !self.config.learn_first
                || node == self.me
                || progress.is_some_and(|one| {
                    matches!(one.flow, Flow::Replicate(_)) && one.matched >= self.commit
                })
        };
        let present = self.log.configuration();
        present.towards(target, self.config.change, ready, self.me)
    }

    /// RA18: proposes the next configuration, one at a time, and none before an entry of this term is
    /// committed.
    pub(super) fn reshape(&mut self, out: &mut Outbox<Self>) {
        let Some(reign) = &self.reign else { return };
        let began =
            self.commit >= reign.first || self.planted.is(Mutant::ChangeBeforeOwnTermCommit);
        if !began || self.log.configured_at() > self.commit {
            return;
        }
        if let Some(next) = self.next_members() {
            self.propose(Body::Configuration(next), out);
        }
    }

    /// Whoever is in the newest configuration gets entries; whoever leaves gets them until that is
    /// committed.
    pub(super) fn know_members(&mut self) {
        let mut known = self.log.configuration().members();
        if self.log.configured_at() > self.commit {
            known.append(&mut self.log.previous_configuration().members());
        }
        known.remove(&self.me);
        // Whoever is new here is sent the newest entry first: does its log hold the one before?
        let (last, now) = (self.log.last().index.prev(), self.now.mono);
        let Some(reign) = &mut self.reign else { return };
        reign.progress.retain(|node, _| known.contains(node));
        for node in known {
            let newcomer = || Progress::new(last, now);
            reign.progress.entry(node).or_insert_with(newcomer);
        }
    }

    /// A configuration is committed: who is not in it is let go, the leader too.
    pub(super) fn settle_members(&mut self, out: &mut Outbox<Self>) {
        self.know_members();
        let configuration = self.log.configuration();
        if configuration.outgoing.is_empty() && !configuration.votes(self.me) {
            self.follow(self.term, None, out);
        }
    }
}
