//! Terms, votes and who leads (thesis §3.4, §3.6, §9.6; etcd's CheckQuorum).

use std::{collections::BTreeMap, time::Duration};

use super::{
    Raft, Reign, Timer, configuration::Outcome, entry::Body, entry::Position, message::RaftMessage,
};
use crate::{
    codec,
    engine::{Effect, Outbox, Refusal, Tale},
    mutant::Mutant,
    quorum::{Phase, Vote},
    types::{Digest, NodeId, Seq, View},
};

/// The vote for a candidate; its digest is [`candidate`]'s.
pub const ELECTED: Phase = Phase(1);

/// What a vote for this candidate says.
#[must_use]
pub fn candidate(node: NodeId) -> Digest {
    codec::digest("raft-candidate", &node)
}

/// The answers to a request for votes.
#[derive(Debug)]
pub(super) struct Ballot {
    pub(super) pre: bool,
    pub(super) answers: BTreeMap<NodeId, bool>,
}

impl Raft {
    /// Whether it may ask for votes: it is a voter, knows what it said, and has its log.
    pub(super) fn may_campaign(&self) -> bool {
        let voter = self.log.configuration().votes(self.me);
        voter && self.mute.is_none() && self.awaited.is_none()
    }

    /// RA2: a timeout between one and two times the least one, drawn from seed, node, term and attempt.
    fn draw(&mut self) {
        let drawn = (self.config.seed, self.me, self.term, self.attempt);
        let entropy = codec::digest("raft-election", &drawn).prefix();
        let least = self.config.election.as_nanos() as u64;
        self.timeout = Duration::from_nanos(least + entropy % least);
    }

    /// Begins to wait for a leader anew.
    pub(super) fn wait_for_leader(&mut self, out: &mut Outbox<Self>) {
        self.draw();
        self.heard = self.now.mono;
        self.armed = false;
        self.arm_election(out);
    }

    /// Arms the election timer unless it runs or has nothing to do.
    pub(super) fn arm_election(&mut self, out: &mut Outbox<Self>) {
        let needed = self.may_campaign() || self.mute.is_some();
        if self.armed || self.resting || self.reign.is_some() || !needed {
            return;
        }
        self.armed = true;
        let waited = Duration::from_nanos(self.now.mono.since(self.heard));
        out.push(Effect::Arm {
            timer: Timer::Election,
            after: self.timeout.saturating_sub(waited),
        });
    }

    pub(super) fn on_election_timer(&mut self, out: &mut Outbox<Self>) {
        self.armed = false;
        if self.resting || self.reign.is_some() {
            return;
        }
        if self.now.mono.since(self.heard) < self.timeout.as_nanos() as u64 {
            self.arm_election(out);
        } else if self.mute.is_some() {
            self.ask_everyone(out);
            self.wait_for_leader(out);
        } else if self.may_campaign() {
            self.attempt += 1;
            self.leader = None;
            out.tell(Tale::Suspected(self.term.next()));
            self.canvass(self.config.pre_vote, out);
        }
    }

    /// RA3, RA4: asks the voters, for a vote or only whether they would give one.
    fn canvass(&mut self, pre: bool, out: &mut Outbox<Self>) {
        if !pre {
            self.term = self.term.next();
            self.vote_for(self.me, out);
        }
        self.wait_for_leader(out);
        self.ballot = Some(Ballot {
            pre,
            answers: BTreeMap::from([(self.me, true)]),
        });
        if self.count_votes(out) {
            return;
        }
        let message = RaftMessage::RequestVote {
            pre,
            term: if pre { self.term.next() } else { self.term },
            last: self.log.last(),
        };
        for to in self.log.configuration().members() {
            if to != self.me && self.log.configuration().votes(to) {
                self.send(to, message.clone(), out);
            }
        }
    }

    /// RA5: one vote a term, told and durable before anybody hears of it.
    fn vote_for(&mut self, node: NodeId, out: &mut Outbox<Self>) {
        self.voted = Some(node);
        self.dirty = true;
        self.flush(out);
        out.tell(Tale::Voted(Vote {
            phase: ELECTED,
            view: self.term,
            slot: Seq(0),
            digest: candidate(node),
        }));
    }

    /// Whether the election is over.
    fn count_votes(&mut self, out: &mut Outbox<Self>) -> bool {
        let Some(ballot) = &self.ballot else {
            return true;
        };
        match self.log.configuration().outcome(&ballot.answers) {
            Outcome::Open => return false,
            Outcome::Won if ballot.pre => self.canvass(false, out),
            Outcome::Won => self.lead(out),
            Outcome::Lost => self.follow(self.term, None, out),
        }
        true
    }

    pub(super) fn on_vote(
        &mut self,
        from: NodeId,
        pre: bool,
        term: View,
        granted: bool,
        out: &mut Outbox<Self>,
    ) {
        let expected = if pre && granted {
            self.term.next()
        } else {
            self.term
        };
        match &mut self.ballot {
            Some(ballot) if ballot.pre == pre && term == expected => {
                ballot.answers.entry(from).or_insert(granted);
                self.count_votes(out);
            }
            // The election is over without it.
            _ => {}
        }
    }

    /// RA7: whether a leader was heard of so lately that nobody else is wanted.
    pub(super) fn in_lease(&self) -> bool {
        let least = self.config.election.as_nanos() as u64;
        let fresh = self.leader.is_some() && self.now.mono.since(self.heard) < least;
        self.config.lease && (fresh || self.reign.is_some())
    }

    /// RA5, RA6: a vote for whoever asks first and has all that could be committed.
    pub(super) fn on_request_vote(
        &mut self,
        from: NodeId,
        pre: bool,
        term: View,
        last: Position,
        out: &mut Outbox<Self>,
    ) {
        if self.mute.is_some() {
            // RA24: whatever it says may contradict what it said before.
            out.refuse(Refusal::WrongSender);
            return;
        }
        let free = self.voted.is_none() && self.leader.is_none();
        let may = self.voted == Some(from) || free || (pre && term > self.term);
        let holds_all = last >= self.log.last() || self.planted.is(Mutant::VoteWithoutLogCheck);
        let granted = may && holds_all;
        if granted && !pre {
            self.vote_for(from, out);
            self.heard = self.now.mono;
            self.arm_election(out);
        }
        let term = if granted { term } else { self.term };
        self.send(from, RaftMessage::Vote { pre, term, granted }, out);
    }

    /// RA1: follows whoever leads a term, or nobody yet.
    pub(super) fn follow(&mut self, term: View, leader: Option<NodeId>, out: &mut Outbox<Self>) {
        let later = term > self.term;
        if later {
            self.term = term;
            self.voted = None;
            self.dirty = true;
        }
        if leader.is_some() {
            self.attempt = 0;
        }
        if let Some(reign) = self.reign.take() {
            self.abdicate(reign, out);
        }
        self.ballot = None;
        self.resting = false;
        if let Some(leader) = leader.filter(|_| later || self.leader != leader) {
            out.tell(Tale::Entered {
                view: self.term,
                leader,
            });
        }
        self.leader = leader;
        self.wait_for_leader(out);
    }

    fn abdicate(&mut self, reign: Reign, out: &mut Outbox<Self>) {
        out.push(Effect::Disarm(Timer::Heartbeat(reign.term)));
        out.push(Effect::Disarm(Timer::Quorum(reign.term)));
        out.push(Effect::Disarm(Timer::Mint(reign.term)));
        if self.wanted.take().is_some() {
            out.push(Effect::Unwant);
        }
        self.refuse_reads(reign, out);
    }

    /// RA8: a new leader's first entry holds nothing; once it is committed, so is all before it.
    fn lead(&mut self, out: &mut Outbox<Self>) {
        self.ballot = None;
        self.attempt = 0;
        self.leader = Some(self.me);
        self.armed = false;
        out.push(Effect::Disarm(Timer::Election));
        out.tell(Tale::Entered {
            view: self.term,
            leader: self.me,
        });
        self.reign = Some(Reign::new(self.term, self.log.last().index.next()));
        self.arm_pulse(out);
        self.propose(Body::Nothing, out);
    }

    /// RA9: a leader that a quorum does not answer leads nobody.
    pub(super) fn on_quorum_timer(&mut self, out: &mut Outbox<Self>) {
        let me = self.me;
        let Some(reign) = self.reign.as_mut().filter(|_| !self.resting) else {
            return;
        };
        let configuration = self.log.configuration();
        let active = |node| {
            let progress = reign.progress.get(&node);
            node == me || progress.is_some_and(|progress| progress.active)
        };
        if configuration.quorum(active) {
            for progress in reign.progress.values_mut() {
                progress.active = false;
            }
            self.arm_quorum(out);
        } else {
            self.follow(self.term, None, out);
        }
    }

    pub(super) fn arm_quorum(&self, out: &mut Outbox<Self>) {
        if self.config.check_quorum {
            out.push(Effect::Arm {
                timer: Timer::Quorum(self.term),
                after: self.config.election,
            });
        }
    }
}
