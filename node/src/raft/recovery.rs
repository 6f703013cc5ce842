//! Starting again, catching up over dropped entries, and what a member does that forgot what it said.

use super::{
    Raft,
    entry::{Base, Body},
    log::Log,
    message::{RaftMessage, Record},
};
use crate::{
    block::Block,
    engine::{Effect, Outbox, Recovery, Refusal, Tale, Tip},
    mutant::Mutant,
    types::{NodeId, Seq, View},
};

/// It forgot what it said (RA24).
#[derive(Clone, Copy, Debug)]
pub(super) struct Mute {
    /// Names the request to be let in.
    pub(super) attempt: u64,
    /// The entry that was made after the request, and the term of the leader that made it.
    pub(super) shown: Option<(View, Seq)>,
}

impl Raft {
    pub(super) fn state_record(&self) -> Record {
        let forgotten = self.planted.is(Mutant::VoteNotPersisted);
        Record::State {
            term: self.term,
            voted: self.voted.filter(|_| !forgotten),
            mute: self.mute.map(|mute| mute.attempt),
        }
    }

    /// RA5: what changed of term and vote is durable before anything that follows leaves.
    pub(super) fn flush(&mut self, out: &mut Outbox<Self>) {
        if std::mem::take(&mut self.dirty) {
            out.push(Effect::Persist(self.state_record()));
        }
    }

    pub(super) fn recover(
        &mut self,
        disk: Recovery,
        records: &[Record],
        tip: Tip<'_>,
        out: &mut Outbox<Self>,
    ) {
        let header = tip.block.header();
        self.tip = (header.height, tip.block.id());
        if disk == Recovery::Lost {
            self.mute = Some(Mute {
                attempt: self.now.wall.0,
                shown: None,
            });
            self.dirty = true;
        } else {
            for record in records {
                self.replay(record);
            }
        }
        if self.mute.is_some() {
            out.tell(Tale::Muted);
        }
        let base = self.log.base().at.index;
        (self.commit, self.applied, self.fetched) = (base, base, header.height);
        self.jump(tip.block);
        self.wait_for_leader(out);
        self.ask_everyone(out);
        if !self.log.configuration().members().contains(&self.me) {
            out.push(Effect::Behind);
        }
    }

    fn replay(&mut self, record: &Record) {
        match record {
            Record::State { term, voted, mute } => {
                (self.term, self.voted) = (*term, *voted);
                let shown = None;
                self.mute = mute.map(|attempt| Mute { attempt, shown });
            }
            Record::Base(base) => self.log = Log::new(base.clone()),
            Record::Entries { first, list } => {
                self.log.truncate(first.prev());
                for entry in list {
                    self.log.push(entry.clone());
                }
            }
        }
    }

    /// The chain ends with this block: if the log holds it, all up to there is committed and applied.
    fn jump(&mut self, block: &Block) {
        if let Some(index) = self.log.find(self.applied, block.id()) {
            self.applied = index;
            self.commit = self.commit.max(index);
        }
    }

    /// RA22: the host fetched a final block: what the log says about it, and about those before it, is
    /// done.
    pub(super) fn on_synced(&mut self, block: &Block, out: &mut Outbox<Self>) {
        let header = block.header();
        self.tip = (header.height, block.id());
        self.fetched = self.fetched.max(header.height);
        self.executing.clear();
        self.jump(block);
        if let Some(reign) = &mut self.reign {
            reign.own.clear();
        }
        let height = self.tip.0;
        if let Some((from, base)) = self.awaited.take_if(|(_, base)| base.height <= height) {
            self.on_snapshot(from, &base, out);
        }
        self.apply(out);
    }

    /// RA22: entries that are needed here are dropped at the leader. Once the host has their blocks the
    /// log goes on behind them.
    pub(super) fn on_snapshot(&mut self, from: NodeId, base: &Base, out: &mut Outbox<Self>) {
        if base.at.index <= self.commit {
            self.answer(from, self.commit, None, out);
        } else if self.log.holds(base.at) {
            self.answer(from, base.at.index, None, out);
            self.commit_up_to(base.at.index, out);
        } else if self.tip.0 >= base.height {
            self.install(base);
            self.flush(out);
            out.push(Effect::Persist(Record::Base(base.clone())));
            self.rewrite_log(out);
            self.answer(from, base.at.index, None, out);
            self.arm_election(out);
        } else {
            self.awaited = Some((from, base.clone()));
            out.push(Effect::Behind);
        }
    }

    fn install(&mut self, base: &Base) {
        self.awaited = None;
        self.fetched = self.fetched.max(base.height);
        self.log = Log::new(base.clone());
        (self.commit, self.applied) = (base.at.index, base.at.index);
        self.executing.clear();
    }

    /// RA24: who forgot what it said asks for an entry that is made after this.
    pub(super) fn ask_to_rejoin(&mut self, leader: NodeId, out: &mut Outbox<Self>) {
        let Some(mute) = self.mute else { return };
        if mute.shown.is_none_or(|(term, _)| term != self.term) {
            let message = RaftMessage::Rejoin {
                term: self.term,
                attempt: mute.attempt,
            };
            self.send(leader, message, out);
        }
    }

    /// RA24: nobody speaks to it, so it speaks to all.
    pub(super) fn ask_everyone(&mut self, out: &mut Outbox<Self>) {
        for to in self.log.configuration().members() {
            if to != self.me {
                self.ask_to_rejoin(to, out);
            }
        }
    }

    /// RA24: a leader shows who asks an entry of its own that is made now.
    pub(super) fn on_rejoin(&mut self, from: NodeId, attempt: u64, out: &mut Outbox<Self>) {
        let Some(reign) = &self.reign else {
            out.refuse(Refusal::WrongSender);
            return;
        };
        let before = reign.rejoins.get(&from).filter(|(one, _)| *one == attempt);
        let index = if let Some((_, index)) = before {
            *index
        } else {
            let next = self.log.last().index.next();
            let Some(progress) = self.progress(from) else {
                out.refuse(Refusal::WrongSender);
                return;
            };
            progress.forget(next);
            if let Some(reign) = &mut self.reign {
                reign.rejoins.insert(from, (attempt, next));
            }
            self.propose(Body::Nothing, out)
        };
        let term = self.term;
        let message = RaftMessage::Welcome {
            term,
            attempt,
            index,
        };
        self.send(from, message, out);
    }

    pub(super) fn on_welcome(
        &mut self,
        from: NodeId,
        attempt: u64,
        index: Seq,
        out: &mut Outbox<Self>,
    ) {
        let term = self.term;
        match &mut self.mute {
            Some(mute) if mute.attempt == attempt && self.leader == Some(from) => {
                mute.shown = Some((term, index));
                self.prove_itself(out);
            }
            _ => out.refuse(Refusal::Stale),
        }
    }

    /// RA24: it holds an entry that others committed without it and that was made after it asked: it
    /// holds whatever it may have helped to commit, and no election that its vote may have helped can
    /// be won any more, but for that of the present leader, for whom it votes.
    pub(super) fn prove_itself(&mut self, out: &mut Outbox<Self>) {
        let Some((term, index)) = self.mute.and_then(|mute| mute.shown) else {
            return;
        };
        let holds = self.log.term_at(index) == Some(term);
        let Some(leader) = self.leader.filter(|_| term == self.term && holds) else {
            return;
        };
        if self.commit >= index {
            self.mute = None;
            self.voted = Some(leader);
            self.dirty = true;
            out.tell(Tale::Unmuted(index));
            self.answer(leader, index, None, out);
            self.arm_election(out);
        }
    }
}
