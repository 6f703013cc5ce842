//! Members join and leave: machines start, parties approve, gateways learn.
//!
//! When a change is due, the members of the present committee agree, as people do, on the next
//! committee and on a height that is a little later than any block that may be under way, and each
//! member's own party approves it through its gateway. Should the approvals come too late for that
//! height, they agree on another one.

use std::{collections::BTreeSet, time::Duration};

use consortium_node::{
    contracts::consortium::{self, APPROVE, CONTRACT, Change},
    membership::{Committees, Term},
    transaction::Call,
    types::{Height, NodeId},
};

use super::{Command, Event, World};
use crate::{
    fact::{Purpose, Submission},
    scenario::plan::{ChangeKind, MemberIndex},
};

/// Heights that the members leave for their approvals to be ordered, beyond what is needed.
const MARGIN: u64 = 16;
/// They look so often whether a change is scheduled.
const LOOK: Duration = Duration::from_secs(5);

impl World<'_> {
    /// Whether a validator's machine has not been started yet.
    pub(super) fn joins_later(&self, node: NodeId) -> bool {
        let member = self.cast.member_of(node);
        !self.plan.is_founder(member) && !self.has_begun(member)
    }

    fn has_begun(&self, member: MemberIndex) -> bool {
        let changes = self.plan.changes.iter().zip(&self.changing);
        let mut of_member = changes.filter(|(change, _)| change.member == member);
        of_member.any(|(_, begun)| *begun)
    }

    /// A change is due. A joiner's machines start, with nothing on their disks.
    pub(super) fn change_begins(&mut self, number: usize) {
        let change = self.plan.changes[number];
        let starts = change.kind == ChangeKind::Joins
            && !self.plan.is_founder(change.member)
            && !self.has_begun(change.member);
        self.changing[number] = true;
        if starts {
            let all = self.cast.validators();
            let its = all.filter(|node| self.cast.member_of(*node) == change.member);
            for node in its.collect::<Vec<_>>() {
                self.commands.push_back(Command::Restart(node));
            }
        }
        self.approve(number);
    }

    /// The members approve a change that is not scheduled yet. One change waits for another.
    pub(super) fn approve(&mut self, number: usize) {
        let Some((committees, height)) = self.known() else {
            return self.look_again(number);
        };
        let newest = committees.newest();
        let next = self.committee_after(number, newest);
        let present: BTreeSet<_> = newest.committee.nodes().collect();
        if next == present {
            return; // It is scheduled, or in effect.
        }
        if newest.from > height || next.is_empty() {
            return self.look_again(number);
        }
        let lag = self.plan.consensus.protocol.results_lag();
        let change = Change {
            from: Height(height.0 + lag + MARGIN),
            validators: next.into_iter().collect(),
        };
        let members: BTreeSet<_> = present.iter().map(|n| self.cast.member_of(*n)).collect();
        for member in members {
            self.speak(member, &change);
        }
        self.look_again(number);
    }

    fn look_again(&mut self, number: usize) {
        self.later(self.now + LOOK, Event::Approve(number));
    }

    /// Who decides, as the longest honest chain has it, and how long that is.
    fn known(&self) -> Option<(Committees, Height)> {
        let up = self.hosts.iter().filter(|host| host.up);
        let honest = up.filter(|host| self.cast.is_honest(host.liar.node.id()));
        let ledgers = honest.map(|host| host.liar.node.ledger());
        let longest = ledgers.max_by_key(|ledger| ledger.height())?;
        Some((consortium::schedule(longest.state())?, longest.height()))
    }

    /// The committee that a change makes of the newest one.
    fn committee_after(&self, number: usize, newest: &Term) -> BTreeSet<NodeId> {
        let change = self.plan.changes[number];
        let mut next: BTreeSet<_> = newest.committee.nodes().collect();
        let all = self.cast.validators();
        for node in all.filter(|node| self.cast.member_of(*node) == change.member) {
            match change.kind {
                ChangeKind::Joins => next.insert(node),
                ChangeKind::Leaves => next.remove(&node),
            };
        }
        next
    }

    /// A member's own party approves a change through its gateway.
    fn speak(&mut self, member: MemberIndex, change: &Change) {
        let call = Call::Invoke {
            contract: CONTRACT,
            function: APPROVE.to_owned(),
            arguments: change.to_arguments(),
        };
        let gateway = self.cast.gateway(member);
        let transaction = self.fleet.sign_for(member, gateway, call);
        let submission = Submission {
            tx: transaction.id(),
            party: transaction.party(),
            gateway,
            contract: CONTRACT,
            package: 0,
            leg: 0,
            due: self.now,
            purpose: Purpose::Approval,
            cheat: None,
        };
        let now = self.now;
        self.gateway(member, |gateway, out| {
            gateway.submit(now, submission, transaction, out);
        });
    }

    /// The chain says who decides next: gateways take the first honest validator's word, as everyone's
    /// public knowledge.
    pub(super) fn announce(&mut self, node: NodeId, term: &Term) {
        if self.cast.is_honest(node) {
            for gateway in &mut self.gateways {
                gateway.scheduled(term);
            }
        }
    }
}
