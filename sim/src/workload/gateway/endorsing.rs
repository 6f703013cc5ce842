//! The client's part in execute-order-validate: endorsements first, then the envelope, again if need be.
//!
//! - An attempt proposes the order to every endorser of the channel.
//! - When enough of them say the same, the envelope goes to an orderer: that of its own member, where it
//!   runs one; if its own machine has gone silent, to the one that answered last as well. An attempt that
//!   follows a silence goes to all of them.
//! - When all have answered and too few agree (one was a block ahead), or when the commit event says that
//!   what was read had changed, the order is proposed again after a back-off that doubles, with a stray of
//!   its own so that rivals do not meet again; so often and no more.
//! - The commit event of its member's own peer settles a transaction.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    crypto::Signed,
    endorsement::{Endorsed, Endorsement},
    execute_order_validate::{Channel, RolePacket},
    node::{ClientPacket, Packet},
    transaction::Transaction,
    types::{NodeId, TxId},
};

use super::{Gateway, GatewayOutput, lanes::Lanes};
use crate::{
    cast::Cast,
    fact::{Fact, Rejection},
    rng::draw,
    scenario::plan::{MemberIndex, Plan},
    time::{Time, nanos},
};

/// Conflicts after which the back-off no longer doubles.
const DOUBLINGS: u32 = 5;

/// What a gateway needs to know to have orders endorsed.
#[derive(Debug)]
pub(super) struct Endorsing {
    pub(super) channel: Arc<Channel>,
    /// The peer whose commit events count by themselves.
    pub(super) home: Option<NodeId>,
    pub(super) lanes: Lanes,
    /// Its own member's first.
    orderers: Vec<NodeId>,
    retries: u32,
    back_off: Duration,
}

impl Endorsing {
    /// For the gateway of a member, if the plan's protocol has endorsers.
    pub(super) fn new(plan: &Plan, cast: &Cast, member: MemberIndex) -> Option<Self> {
        let roles = plan.consensus.protocol.roles()?;
        let channel = Arc::clone(cast.channel.as_ref()?);
        let mut orderers: Vec<_> = channel.orderers.nodes().collect();
        let own = orderers
            .iter()
            .position(|node| cast.member_of(*node) == member);
        let first = own.unwrap_or(member % orderers.len());
        orderers.rotate_left(first);
        Some(Self {
            home: channel.home(cast.gateway(member)),
            channel,
            lanes: Lanes::default(),
            orderers,
            retries: roles.retries,
            back_off: roles.back_off,
        })
    }
}

/// How far a transaction has come in one attempt, and how often it was turned back.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// An endorser has one say.
    said: Vec<Arc<Signed<Endorsement>>>,
    /// Sent to be ordered.
    envelope: Option<Arc<Transaction>>,
    conflicts: u32,
    /// The next attempt follows a conflict, not a silence.
    backing_off: bool,
    /// This attempt follows a silence.
    after_silence: bool,
}

impl Round {
    /// A new attempt, not the first.
    fn again(&mut self, attempt: u32) {
        self.after_silence = attempt > 1 && !self.backing_off;
        self.backing_off = false;
        self.said.clear();
        self.envelope = None;
    }

    /// Notes what an endorser says; those who say the same.
    fn hear(&mut self, signed: &Arc<Signed<Endorsement>>) -> Vec<&Signed<Endorsement>> {
        self.said.retain(|other| other.signer() != signed.signer());
        self.said.push(Arc::clone(signed));
        let said = self.said.iter().map(Arc::as_ref);
        said.filter(|other| other.body() == signed.body()).collect()
    }
}

impl Gateway {
    /// Proposes an order to all endorsers.
    pub(super) fn propose(&mut self, tx: TxId, out: &mut Vec<GatewayOutput>) {
        let Some(endorsing) = &self.endorsing else {
            return;
        };
        let pending = self.pending.get_mut(&tx).expect("only what waits is sent");
        pending.round.again(pending.attempt);
        for to in endorsing.channel.policy.endorsers().nodes() {
            let transaction = Arc::clone(&pending.transaction);
            let packet = Packet::Role(RolePacket::Propose(transaction));
            out.push(GatewayOutput::Send { to, packet });
        }
    }

    /// Takes an endorser's word.
    pub(super) fn endorsed(
        &mut self,
        now: Time,
        signed: &Arc<Signed<Endorsement>>,
        out: &mut Vec<GatewayOutput>,
    ) {
        let Some(endorsing) = &self.endorsing else {
            return;
        };
        let policy = &endorsing.channel.policy;
        let tx = signed.body().tx;
        if !policy.endorsers().verify(signed) {
            self.counters.bad_pages += 1;
            return;
        }
        let Some(pending) = self.pending.get_mut(&tx) else {
            return;
        };
        if pending.attempt == 0 || pending.round.backing_off || pending.round.envelope.is_some() {
            return;
        }
        let equal = pending.round.hear(signed);
        if equal.len() >= policy.needed() {
            let endorsed = Endorsed::collect(equal).expect("they are equal");
            let envelope = pending.transaction.with_endorsements(endorsed);
            pending.round.envelope = Some(Arc::clone(&envelope));
            let fallback = self.fallback.filter(|_| self.own_silent);
            let first = endorsing.orderers[0];
            let targets = endorsing.orderers.iter().filter(|to| {
                pending.round.after_silence || **to == first || Some(**to) == fallback
            });
            for to in targets {
                let packet = Packet::Client(ClientPacket::Submit(Arc::clone(&envelope)));
                out.push(GatewayOutput::Send { to: *to, packet });
            }
        } else if pending.round.said.len() == policy.endorsers().n() {
            self.conflict(now, tx, out);
        }
    }

    /// The commit event says that the envelope was invalid.
    pub(super) fn invalidated(&mut self, now: Time, tx: TxId, out: &mut Vec<GatewayOutput>) {
        let pending = self.pending.get(&tx);
        // Of an envelope of an earlier attempt nothing more is expected.
        if pending.is_some_and(|pending| pending.round.envelope.is_some()) {
            self.conflict(now, tx, out);
        }
    }

    /// Tries again later, or gives up.
    fn conflict(&mut self, now: Time, tx: TxId, out: &mut Vec<GatewayOutput>) {
        let Some(endorsing) = &self.endorsing else {
            return;
        };
        let pending = self.pending.get_mut(&tx).expect("it was just found");
        self.counters.conflicts += 1;
        pending.round.conflicts += 1;
        let conflicts = pending.round.conflicts;
        if conflicts > endorsing.retries {
            self.forget(tx);
            let reason = Rejection::Conflicts;
            out.push(GatewayOutput::Fact(Fact::Rejected { tx, reason }));
            return;
        }
        let base = nanos(endorsing.back_off) << (conflicts - 1).min(DOUBLINGS);
        let stray = draw(tx.prefix(), u64::from(conflicts), 0) % base;
        self.deadlines.remove(&(pending.due, tx));
        pending.round.backing_off = true;
        pending.round.envelope = None;
        pending.due = now + Duration::from_nanos(base + stray);
        self.deadlines.insert((pending.due, tx));
    }
}

#[cfg(test)]
mod tests;
