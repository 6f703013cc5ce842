//! A member's gateway: it takes what devices and people sign, and sees to it that it is ordered.
//!
//! - Upon a submission, it refuses what the application's roles do not permit and what repeats a number
//!   of its signer. What it carries already is merged: devices and people deliver at least once.
//! - While its link is down it buffers, and sends in order when the link is back.
//! - The first attempt goes to its own member's validator (to the database, where one is trusted). If
//!   that one has gone silent, to the validator that answered last as well.
//! - When no answer has come after `retry_after`, it asks every validator (R3), and again after one, two
//!   and then every four times as long.
//! - It calls a transaction final when enough distinct validators have signed equal receipts for it: same
//!   block, height and outcome. How many are enough is what the protocol claims, or the plan's
//!   `reply_quorum`. A validator has one say: its newest receipt counts, the others do not.
//! - It gives up a transaction that its own validator refuses for good, unless another claims to have
//!   executed it; or that as many validators as make an answer refuse for the same reason. A full
//!   mempool is not for good: the next attempt follows in time.
//!
//! With execute-order-validate a gateway has more to do before anything is ordered: see [`endorsing`].
//!
//! A submission that is not merged ends in one [`Fact::Final`] or [`Fact::Rejected`]. A replay has the id
//! of its original: [`Submission::cheat`] tells them apart, not the id. A pure machine: it arms one timer
//! for all that waits, and what a step costs does not grow with how much does (but by a logarithm).

mod endorsing;
mod lanes;
mod pending;
mod rule;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    contracts::consortium,
    crypto::Signed,
    engine::{FaultModel, ReplyRule},
    execute_order_validate::RolePacket,
    membership::{Committees, Registry, Term},
    node::{Claims, ClientPacket, Packet, ReceiptPage, TxRefusal},
    transaction::{Call, Outcome, Transaction},
    types::{NodeId, PartyId, TxId},
};

use crate::{
    cast::Cast,
    fact::{Fact, Rejection, Submission},
    scenario::plan::{MemberIndex, Plan},
    time::Time,
};

use super::{CONSTRUCTOR, TEMPLATE};
use endorsing::Endorsing;
use pending::{Answer, Pending};
use rule::Rule;

/// Whether someone with these application roles may ever call this function of this template.
pub type Permits = fn(template: &str, function: &str, roles: &BTreeSet<String>) -> bool;

/// Attempts after which the time between two no longer doubles.
const DOUBLINGS: u32 = 2;

/// What a gateway wants done, in order.
#[derive(Clone, Debug)]
pub enum GatewayOutput {
    /// Send this.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        packet: Packet,
    },
    /// Call [`Gateway::timer`] with this token then.
    Arm {
        /// A stale one does no harm.
        token: u64,
        /// When.
        at: Time,
    },
    /// Tell the readers.
    Fact(Fact),
}

/// What a gateway counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GatewayCounters {
    /// Submissions that it carried already.
    pub merged: u64,
    /// Pages that were not signed by the validator that they name.
    pub bad_pages: u64,
    /// Receipts that contradicted those that made a transaction final, at that time.
    pub mismatching_receipts: u64,
    /// Attempts that came to nothing because something had changed between endorsement and commit, or
    /// between two endorsers.
    pub conflicts: u64,
}

/// A member's gateway.
#[derive(Debug)]
pub struct Gateway {
    registry: Arc<Registry>,
    /// Who decides from which height on.
    committees: Committees,
    permits: Permits,
    /// The place of its own member among the validators, where asking begins.
    own: usize,
    /// Whom to ask: its own member's validator first.
    validators: Vec<NodeId>,
    /// How many equal answers make one.
    rule: Rule,
    /// If orders must be endorsed.
    endorsing: Option<Endorsing>,
    retry_after: Duration,
    /// Transactions sent and not answered, at most: the rest waits here.
    window: usize,
    online: bool,
    pending: BTreeMap<TxId, Pending>,
    /// Those that wait for the link or for their turn, in order.
    buffered: VecDeque<TxId>,
    /// When those that were sent are due again.
    deadlines: BTreeSet<(Time, TxId)>,
    /// Time and token of the timer that counts.
    armed: Option<Time>,
    token: u64,
    /// The highest number that each party has used here.
    numbers: BTreeMap<PartyId, u64>,
    /// When the own validator said something last, if ever.
    own_heard: Option<Time>,
    own_silent: bool,
    /// The other validator that answered last.
    fallback: Option<NodeId>,
    counters: GatewayCounters,
}

impl Gateway {
    /// The gateway of a member, in front of a protocol that makes these claims.
    pub fn new(
        cast: &Cast,
        member: MemberIndex,
        plan: &Plan,
        claims: &Claims,
        permits: Permits,
    ) -> Self {
        let rule = Rule {
            trusted: claims.faults == FaultModel::Trusted && claims.reply != ReplyRule::Commit,
            faults: claims.faults,
            reply: claims.reply,
            wanted: plan.gateway.reply_quorum,
        };
        let committees = Committees::new(Arc::clone(&cast.committee));
        let own = cast.validator_of(member).map_or(member, NodeId::index);
        Self {
            registry: Arc::clone(&cast.registry),
            validators: rule.asked(&committees, own),
            committees,
            permits,
            own,
            rule,
            endorsing: Endorsing::new(plan, cast, member),
            // A retry in no time at all would never let time pass.
            retry_after: plan.gateway.retry_after.max(Duration::from_millis(1))
                + plan.consensus.protocol.patience(),
            window: plan.gateway.window,
            online: true,
            pending: BTreeMap::new(),
            buffered: VecDeque::new(),
            deadlines: BTreeSet::new(),
            armed: None,
            token: 0,
            numbers: BTreeMap::new(),
            own_heard: None,
            own_silent: false,
            fallback: None,
            counters: GatewayCounters::default(),
        }
    }

    /// Who decides from a later height on; it takes this for public knowledge, like the registry.
    pub fn scheduled(&mut self, term: &Term) {
        if term.epoch > self.committees.newest().epoch {
            let committee = Arc::clone(&term.committee);
            self.committees.schedule(term.from, committee);
            self.validators = self.rule.asked(&self.committees, self.own);
            self.own_silent = false;
        }
    }

    /// Transactions without an answer.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What it counted.
    pub fn counters(&self) -> GatewayCounters {
        self.counters
    }

    /// Takes a transaction from a device or a person. Tells [`Fact::Submitted`], unless it carries it
    /// already.
    pub fn submit(
        &mut self,
        now: Time,
        submission: Submission,
        transaction: Arc<Transaction>,
        out: &mut Vec<GatewayOutput>,
    ) {
        let tx = transaction.id();
        assert_eq!(submission.tx, tx, "a submission names its transaction");
        if self.pending.contains_key(&tx) {
            self.counters.merged += 1;
            return;
        }
        out.push(GatewayOutput::Fact(Fact::Submitted(submission)));
        if let Err(reason) = self.judge(&transaction) {
            out.push(GatewayOutput::Fact(Fact::Rejected { tx, reason }));
            return;
        }
        let lanes = self.endorsing.as_mut().map(|one| &mut one.lanes);
        let may_go = lanes.is_none_or(|lanes| lanes.enter(&transaction));
        let pending = Pending::new(transaction, now, !self.online);
        self.pending.insert(tx, pending);
        if may_go {
            self.buffered.push_back(tx);
        }
        self.send_buffered(now, out);
    }

    /// Sends what waits, while the link is up and the window has room.
    fn send_buffered(&mut self, now: Time, out: &mut Vec<GatewayOutput>) {
        let waiting = |endorsing: &Endorsing| endorsing.lanes.waiting();
        let in_lanes = self.endorsing.as_ref().map_or(0, waiting);
        while self.online && self.pending.len() - in_lanes - self.buffered.len() < self.window {
            let Some(tx) = self.buffered.pop_front() else {
                break;
            };
            self.attempt(now, tx, out);
        }
        if self.online {
            self.arm(out);
        }
    }

    /// Takes a packet from a validator.
    pub fn packet(
        &mut self,
        now: Time,
        from: NodeId,
        packet: &Packet,
        out: &mut Vec<GatewayOutput>,
    ) {
        match packet {
            Packet::Client(ClientPacket::Receipts(page)) => self.receipts(now, page, out),
            Packet::Client(ClientPacket::Refused { tx, reason }) => {
                self.refused(now, from, *tx, *reason, out);
            }
            Packet::Role(RolePacket::Endorsement(signed)) => self.endorsed(now, signed, out),
            Packet::Client(ClientPacket::Submit(_))
            | Packet::Relay(_)
            | Packet::Consensus(_)
            | Packet::Sync(_)
            | Packet::Role(_) => {}
        }
        self.send_buffered(now, out);
    }

    /// Takes a timer that it armed.
    pub fn timer(&mut self, now: Time, token: u64, out: &mut Vec<GatewayOutput>) {
        if token != self.token {
            return; // a later one replaced it
        }
        self.armed = None;
        if self.online {
            self.sweep(now, false, out);
            self.arm(out);
        }
    }

    /// Takes the news that its link went down or came back.
    pub fn link(&mut self, now: Time, online: bool, out: &mut Vec<GatewayOutput>) {
        let came_back = online && !self.online;
        self.online = online;
        if came_back {
            self.sweep(now, true, out);
            self.send_buffered(now, out);
        }
    }

    /// What a gateway can see without the ledger: roles and numbers.
    fn judge(&mut self, transaction: &Transaction) -> Result<(), Rejection> {
        let (template, function) = match transaction.call() {
            // Who has a voice in it the contract knows, and the application does not.
            Call::Invoke { contract, .. } if *contract == consortium::CONTRACT => (None, ""),
            Call::Create { template, .. } => (Some(template.as_str()), CONSTRUCTOR),
            Call::Invoke { function, .. } => (Some(TEMPLATE), function.as_str()),
        };
        let party = transaction.party();
        // Whoever is not listed has no roles; that is for a validator to say.
        if let Some(listed) = self.registry.party(party)
            && template.is_some_and(|name| !(self.permits)(name, function, &listed.roles))
        {
            return Err(Rejection::Role);
        }
        let used = self.numbers.get(&party).copied().unwrap_or(0);
        if transaction.nonce() <= used {
            return Err(Rejection::Sequence);
        }
        // A forgery uses up no number, or it would lock the device out. It is passed on all the same:
        // the gateway that carries one belongs to whoever forged it.
        if self.registry.verify_party(transaction.signed()) {
            self.numbers.insert(party, transaction.nonce());
        }
        Ok(())
    }

    /// Sends a pending transaction once more.
    fn attempt(&mut self, now: Time, tx: TxId, out: &mut Vec<GatewayOutput>) {
        let pending = self.pending.get_mut(&tx).expect("only what waits is sent");
        pending.attempt += 1;
        pending.sent = now;
        let doublings = pending.attempt.saturating_sub(2).min(DOUBLINGS);
        pending.due = now + self.retry_after * (1 << doublings);
        self.deadlines.insert((pending.due, tx));
        let sent = Fact::Sent {
            tx,
            attempt: pending.attempt,
            waited_for_link: pending.waited_for_link,
        };
        if self.endorsing.is_some() {
            self.propose(tx, out);
        } else {
            self.submit_again(tx, out);
        }
        out.push(GatewayOutput::Fact(sent));
    }

    /// Sends an order to be ordered: to the own validator, to others if that is silent, or to all.
    fn submit_again(&self, tx: TxId, out: &mut Vec<GatewayOutput>) {
        let pending = &self.pending[&tx];
        let own = self.validators[0];
        let fallback = self.fallback.filter(|_| self.own_silent);
        let targets = self.validators.iter().filter(|to| {
            pending.attempt > 1 || **to == own || Some(**to) == fallback // R3
        });
        for to in targets {
            let transaction = Arc::clone(&pending.transaction);
            out.push(GatewayOutput::Send {
                to: *to,
                packet: Packet::Client(ClientPacket::Submit(transaction)),
            });
        }
    }

    /// Sends again what is due.
    fn sweep(&mut self, now: Time, link_was_down: bool, out: &mut Vec<GatewayOutput>) {
        while let Some((due, tx)) = self.deadlines.first().copied() {
            if due > now {
                break;
            }
            self.deadlines.pop_first();
            let pending = self.pending.get_mut(&tx).expect("deadlines are of pending");
            pending.waited_for_link |= link_was_down;
            let heard_since = self.own_heard >= Some(pending.sent);
            if !link_was_down && !heard_since {
                self.own_silent = true;
            }
            self.attempt(now, tx, out);
        }
    }

    fn arm(&mut self, out: &mut Vec<GatewayOutput>) {
        let Some((at, _)) = self.deadlines.first().copied() else {
            return;
        };
        if self.armed.is_none_or(|armed| at < armed) {
            self.token += 1;
            self.armed = Some(at);
            let token = self.token;
            out.push(GatewayOutput::Arm { token, at });
        }
    }

    fn heard(&mut self, now: Time, from: NodeId) {
        if from == self.validators[0] {
            self.own_heard = Some(now);
            self.own_silent = false;
        } else if self.validators.contains(&from) {
            self.fallback = Some(from);
        }
    }

    fn receipts(&mut self, now: Time, page: &Signed<ReceiptPage>, out: &mut Vec<GatewayOutput>) {
        let by = page.signer();
        let deciders = &self.committees.at(page.body().height).committee;
        if !deciders.contains(by) || !self.registry.verify_node(page) {
            self.counters.bad_pages += 1;
            return;
        }
        self.heard(now, by);
        let page = page.body();
        for (tx, outcome) in &page.entries {
            let answer = Answer {
                block: page.block,
                height: page.height,
                outcome: outcome.clone(),
            };
            self.answered(now, *tx, by, answer, out);
        }
    }

    fn answered(
        &mut self,
        now: Time,
        tx: TxId,
        by: NodeId,
        answer: Answer,
        out: &mut Vec<GatewayOutput>,
    ) {
        let Some(pending) = self.pending.get_mut(&tx) else {
            return;
        };
        let home = self.endorsing.as_ref().and_then(|one| one.home);
        let (equal, others) = pending.answer(by, &answer);
        let deciders = &self.committees.at(answer.height).committee;
        if equal < self.rule.needed(deciders) && home != Some(by) {
            return;
        }
        if matches!(answer.outcome, Outcome::Invalid(_)) {
            self.invalidated(now, tx, out);
        } else {
            self.counters.mismatching_receipts += others as u64;
            self.forget(tx);
            out.push(GatewayOutput::Fact(Fact::Final {
                tx,
                outcome: answer.outcome,
                height: answer.height,
            }));
        }
    }

    /// Equal refusals of others than the own validator that end a transaction: where orders must be
    /// endorsed, so many that the others do not satisfy the policy.
    fn refusals_needed(&self) -> usize {
        let decide = || self.rule.needed(&self.committees.newest().committee);
        self.endorsing.as_ref().map_or_else(decide, |endorsing| {
            let policy = &endorsing.channel.policy;
            policy.endorsers().n() - policy.needed() + 1
        })
    }

    fn refused(
        &mut self,
        now: Time,
        from: NodeId,
        tx: TxId,
        reason: TxRefusal,
        out: &mut Vec<GatewayOutput>,
    ) {
        if !self.validators.contains(&from) {
            return;
        }
        self.heard(now, from);
        let Some(pending) = self.pending.get_mut(&tx) else {
            return;
        };
        if reason == TxRefusal::Full {
            return;
        }
        let equal = pending.refuse(from, reason);
        let own = self.endorsing.is_none() && from == self.validators[0];
        let own_word = own && !pending.is_answered();
        if own_word || equal >= self.refusals_needed() {
            self.forget(tx);
            let reason = Rejection::Door(reason);
            out.push(GatewayOutput::Fact(Fact::Rejected { tx, reason }));
        }
    }

    /// It is settled. Its deadline goes with it; the timer may fire in vain once.
    fn forget(&mut self, tx: TxId) {
        let pending = self.pending.remove(&tx).expect("settled once");
        self.deadlines.remove(&(pending.due, tx));
        if pending.attempt == 0 {
            self.buffered.retain(|other| *other != tx);
        }
        if let Some(endorsing) = &mut self.endorsing {
            self.buffered.extend(endorsing.lanes.leave(&tx));
        }
    }
}

#[cfg(test)]
mod tests;
