//! Who is ahead, and who may be behind.
//!
//! A member is ahead when a certificate shows it, or f+1 members have signed something about a higher height;
//! then, unless it is a matter of a moment, the host is asked to fetch final blocks. A member is told of the
//! last decision when it asks to change the round of a height that is decided, or was silent about it.

use std::collections::BTreeMap;

use crate::{
    engine::{Effect, Outbox, Refusal},
    quorum::Certificate,
    types::{Height, NodeId},
};

use super::{COMMIT, Courtesy, Rounds, Timer, station::Station};

/// Nudges become rarer up to 2 to this power.
const RAREST: u32 = 6;

/// What is known about the others.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// The highest height that each has signed something about.
    claims: BTreeMap<NodeId, Height>,
    /// The highest height that was shown to be decided, by a certificate.
    proven: Height,
    /// The height that [`Timer::Lag`] is armed for.
    lagging: Option<Height>,
    /// The last block's certificate.
    last: Option<Certificate>,
    /// For which height and round each was told last that it is over.
    told: BTreeMap<NodeId, (Height, u64)>,
    nudging: bool,
    nudges: u32,
}

impl Peers {
    /// Another height is decided, with this certificate.
    pub(super) fn decided(&mut self, certificate: Certificate) {
        self.last = Some(certificate);
        self.lagging = None;
    }
}

impl Station {
    /// Why the last block is final.
    pub(crate) fn remember(&mut self, certificate: Certificate) {
        self.peers.last = Some(certificate);
    }

    /// A member has signed something about a height.
    pub(crate) fn claimed<E: Rounds>(&mut self, by: NodeId, height: Height, out: &mut Outbox<E>) {
        let claim = self.peers.claims.entry(by).or_default();
        if *claim < height {
            *claim = height;
            if height > self.height {
                self.watch_lag(out);
            }
        }
    }

    /// Whether others are shown to be at a higher height.
    fn is_behind(&self) -> bool {
        let weak = self.committee.weak_quorum();
        let ahead = |node: &NodeId| {
            let claim = self.peers.claims.get(node);
            *node != self.me && claim.is_some_and(|height| *height > self.height)
        };
        self.peers.proven >= self.height || self.committee.nodes().filter(ahead).count() >= weak
    }

    /// Gives a lag a moment to end by itself.
    pub(crate) fn watch_lag<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        if self.is_behind() && self.peers.lagging.is_none() {
            self.arm_lag(out);
        }
    }

    fn arm_lag<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        self.peers.lagging = Some(self.height);
        out.push(Effect::Arm {
            timer: Timer::Lag(self.height),
            after: self.pace.timeouts.base / 4,
        });
    }

    /// The moment is over.
    pub(crate) fn on_lag<E: Rounds>(&mut self, height: Height, out: &mut Outbox<E>) {
        if height != self.height {
            return;
        }
        self.peers.lagging = None;
        if self.is_behind() {
            out.push(Effect::Behind);
            self.arm_lag(out);
        }
    }

    /// COMMITs of a quorum for a block that is not here.
    pub(crate) fn lacks<E: Rounds>(&mut self, decided: Height, out: &mut Outbox<E>) {
        if self.peers.proven < decided {
            self.peers.proven = decided;
            out.push(Effect::Behind);
            if self.peers.lagging.is_none() {
                self.arm_lag(out);
            }
        }
    }

    /// Checks DECIDED about this height or a later one.
    pub(crate) fn check_decided(&self, certificate: &Certificate) -> Result<Height, Refusal> {
        let vote = certificate.vote();
        let height = Height(vote.slot.0);
        if height < self.height {
            return Err(Refusal::Stale);
        }
        let term = self.committees.at(height);
        if term.epoch != vote.view.epoch() {
            return Err(Refusal::TooFar);
        }
        let needed = self.quorum_rule.of(term.committee.n());
        if vote.phase != COMMIT {
            return Err(Refusal::Malformed);
        }
        let checked = certificate.verify(&term.committee, needed);
        checked.map(|()| height).map_err(|_| Refusal::BadSignature)
    }

    /// A certificate of a committee that is not known here: members of the present one in it decided, and
    /// if there are f+1 of them, one is honest and is there.
    pub(super) fn hear_of_later_epoch<E: Rounds>(
        &mut self,
        certificate: &Certificate,
        out: &mut Outbox<E>,
    ) {
        if certificate.known_signers(&self.committee) >= self.committee.weak_quorum() {
            self.lacks(Height(certificate.vote().slot.0).prev(), out);
        } else {
            out.refuse(Refusal::TooFar);
        }
    }

    /// A member is still in this round of a height that is decided here: it is told, once.
    pub(crate) fn enlighten<E: Rounds>(
        &mut self,
        node: NodeId,
        height: Height,
        round: u64,
        out: &mut Outbox<E>,
    ) {
        let told = self.peers.told.entry(node).or_default();
        if *told < (height, round)
            && let Some(last) = &self.peers.last
        {
            *told = (height, round);
            out.send(node, Courtesy::Decided(last.clone()).into());
        }
    }

    /// A block was decided: those who were silent about it are told, after a while.
    pub(crate) fn watch_silent<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        if self.peers.nudging || !self.is_member() {
            return;
        }
        self.peers.nudging = true;
        let times = 1 << self.peers.nudges.min(RAREST);
        out.push(Effect::Arm {
            timer: Timer::Nudge,
            after: self.pace.timeouts.base.saturating_mul(times),
        });
    }

    /// Members of the committee before that are in the present one no longer and have not shown that they
    /// know.
    fn unaware(&self) -> Vec<NodeId> {
        let terms = self.committees.terms().iter();
        let mut until_now = terms.filter(|term| term.epoch <= self.epoch).rev();
        let (Some(present), Some(before)) = (until_now.next(), until_now.next()) else {
            return Vec::new();
        };
        let unaware = |node: &NodeId| {
            let claim = self.peers.claims.get(node);
            !self.committee.contains(*node) && claim.is_none_or(|claim| *claim < present.from)
        };
        let left = before.committee.others(self.me);
        left.filter(unaware).collect()
    }

    /// Tells those who were silent about the last block, and those who do not know that they have left.
    pub(crate) fn nudge<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        self.peers.nudging = false;
        let Some(last) = &self.peers.last else { return };
        let silent = |node: &NodeId| {
            let claim = self.peers.claims.get(node);
            claim.is_none_or(|claim| claim.0 < last.vote().slot.0)
        };
        let mut silent: Vec<_> = self.committee.others(self.me).filter(silent).collect();
        silent.extend(self.unaware());
        if silent.is_empty() {
            self.peers.nudges = 0;
            return;
        }
        for node in silent {
            out.send(node, Courtesy::Decided(last.clone()).into());
        }
        self.peers.nudges = self.peers.nudges.saturating_add(1);
        self.watch_silent(out);
    }
}
