//! Reads that miss nothing (thesis §6.4; etcd's `ReadIndex`): the leader asks a quorum whether it still
//! leads, by a round of heartbeats, before it says how far the state must be.

use super::{Raft, Reign, message::RaftMessage};
use crate::{
    engine::{Outbox, Refusal},
    mutant::Mutant,
    types::{Height, LocalTime, NodeId, Seq},
};

/// A read that a quorum has not confirmed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    from: NodeId,
    id: u64,
    /// The round that confirms it and the index that it may then see; `None` until an entry of the
    /// leader's own term is committed, because before that it does not know what is.
    confirmed_by: Option<(u64, Seq)>,
}

/// The answer to a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The name that the read was given.
    pub id: u64,
    /// The state at this height, or a later one, holds all that was committed when the read was made.
    /// `None`: ask again, the leader is gone.
    pub height: Option<Height>,
}

impl Raft {
    /// RA23: asks on behalf of this node's own clients what may be read. The answer comes with
    /// [`Raft::readings`], after a round trip to a quorum, and one more to the leader if this is not it.
    pub fn read(&mut self, now: LocalTime, id: u64, out: &mut Outbox<Self>) {
        self.now = now;
        self.wake(out);
        match self.leader {
            Some(leader) if leader != self.me => {
                self.send(leader, RaftMessage::Read { id }, out);
            }
            _ => self.on_read(self.me, id, out),
        }
        self.flush(out);
    }

    /// The answers that have come since the last call.
    pub fn readings(&mut self) -> Vec<Reading> {
        let applied = self.applied;
        let height = self.tip.0;
        let (done, wait) = std::mem::take(&mut self.indices)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, index)| index.is_none_or(|index| index <= applied));
        self.indices = wait;
        let reading = |(id, index): (u64, Option<Seq>)| Reading {
            id,
            height: index.map(|_| height),
        };
        done.into_iter().map(reading).collect()
    }

    pub(super) fn on_read(&mut self, from: NodeId, id: u64, out: &mut Outbox<Self>) {
        if self.planted.is(Mutant::ReadWithoutQuorum) && self.reign.is_some() {
            self.tell_index(from, id, Some(self.commit), out);
            return;
        }
        let Some(reign) = &mut self.reign else {
            self.tell_index(from, id, None, out);
            return;
        };
        reign.reads.push_back(Asked {
            from,
            id,
            confirmed_by: None,
        });
        self.begin_reads(out);
    }

    /// Begins a round for the reads that have none.
    pub(super) fn begin_reads(&mut self, out: &mut Outbox<Self>) {
        let commit = self.commit;
        let Some(reign) = self.reign.as_mut().filter(|one| commit >= one.first) else {
            return;
        };
        let round = reign.round + 1;
        let mut fresh = false;
        for read in &mut reign.reads {
            fresh |= read.confirmed_by.is_none();
            read.confirmed_by.get_or_insert((round, commit));
        }
        if fresh {
            reign.round = round;
            self.heartbeats(out);
            self.finish_reads(out);
        }
    }

    /// Answers the reads whose round a quorum has answered.
    pub(super) fn finish_reads(&mut self, out: &mut Outbox<Self>) {
        while let Some(reign) = &mut self.reign {
            let Some((read, (round, index))) = reign
                .reads
                .front()
                .and_then(|read| Some((*read, read.confirmed_by?)))
            else {
                return;
            };
            let follows = |node: NodeId| {
                let progress = reign.progress.get(&node);
                node == self.me || progress.is_some_and(|one| one.round >= round)
            };
            if !self.log.configuration().quorum(follows) {
                return;
            }
            reign.reads.pop_front();
            self.tell_index(read.from, read.id, Some(index), out);
        }
    }

    fn tell_index(&mut self, to: NodeId, id: u64, index: Option<Seq>, out: &mut Outbox<Self>) {
        if to == self.me {
            self.indices.push((id, index));
        } else {
            self.send(to, RaftMessage::ReadIndex { id, index }, out);
        }
    }

    pub(super) fn on_read_index(
        &mut self,
        from: NodeId,
        id: u64,
        index: Option<Seq>,
        out: &mut Outbox<Self>,
    ) {
        if self.leader == Some(from) {
            self.indices.push((id, index));
        } else {
            // It led when it was asked; whoever asked asks again.
            out.refuse(Refusal::Stale);
            self.indices.push((id, None));
        }
    }

    /// The reign is over: nobody can confirm these.
    pub(super) fn refuse_reads(&mut self, reign: Reign, out: &mut Outbox<Self>) {
        for read in reign.reads {
            self.tell_index(read.from, read.id, None, out);
        }
    }
}
