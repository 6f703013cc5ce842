//! How the log of a leader becomes that of its followers (thesis §3.5, §10.2.1; etcd's progress).

use super::{
    Raft,
    entry::{Body, Entry, Position},
    message::{RaftMessage, Record},
    progress::{Flow, Progress},
};
use crate::{
    engine::{Effect, Outbox, Refusal},
    mutant::Mutant,
    types::{NodeId, Seq, View},
};

impl Raft {
    /// RA10: puts an entry at the end of the leader's log. It leaves before it is durable here (§10.2.1):
    /// all that follows from it waits for the disk.
    pub(super) fn propose(&mut self, body: Body, out: &mut Outbox<Self>) -> Seq {
        let entry = Entry {
            term: self.term,
            body,
        };
        let first = self.log.push(entry.clone());
        self.know_members();
        self.send_entries(out);
        out.push(Effect::Persist(Record::Entries {
            first,
            list: vec![entry],
        }));
        self.count(out);
        first
    }

    pub(super) fn peers(&self) -> Vec<NodeId> {
        let reign = self.reign.iter();
        let peers = reign.flat_map(|reign| reign.progress.keys());
        peers.copied().collect()
    }

    /// What each follower may be sent now; if there are no entries, how far all is committed.
    fn send_entries(&mut self, out: &mut Outbox<Self>) {
        for to in self.peers() {
            self.replicate(to, true, out);
        }
    }

    /// RA11: the next entries for a follower, unless it has to answer first. Whether anything left.
    pub(super) fn replicate(&mut self, to: NodeId, force: bool, out: &mut Outbox<Self>) -> bool {
        let reign = self.reign.as_ref();
        let progress = reign.and_then(|reign| reign.progress.get(&to));
        let Some(progress) = progress.filter(|one| !one.is_paused(self.config.inflight)) else {
            return false;
        };
        let index = progress.next.prev();
        let Some(term) = self.log.term_at(index) else {
            self.offer_snapshot(to, out);
            return true;
        };
        let entries = self.log.from(progress.next, self.config.append_bytes);
        if entries.is_empty() && !force {
            return false;
        }
        let last = (!entries.is_empty()).then(|| Seq(index.0 + entries.len() as u64));
        let message = RaftMessage::Append {
            term: self.term,
            prev: Position { term, index },
            entries,
            commit: self.commit,
        };
        if let Some(progress) = self.progress(to) {
            progress.sent(last);
        }
        self.send(to, message, out);
        true
    }

    /// RA22: a follower needs entries that are dropped: it is told what stands for them.
    pub(super) fn offer_snapshot(&mut self, to: NodeId, out: &mut Outbox<Self>) {
        let base = self.log.base().clone();
        let (index, told) = (base.at.index, self.now.mono);
        let message = RaftMessage::Snapshot {
            term: self.term,
            base,
        };
        if let Some(progress) = self.progress(to) {
            progress.flow = Flow::Snapshot { index, told };
        }
        self.send(to, message, out);
    }

    /// RA12, RA13: a follower takes what follows an entry that it holds, and drops what contradicts it.
    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        prev: Position,
        entries: &[Entry],
        commit: Seq,
        out: &mut Outbox<Self>,
    ) {
        let whole = |entry: &Entry| entry.block().is_none_or(|block| block.is_whole());
        if !entries.iter().all(whole) {
            out.refuse(Refusal::Malformed);
            return;
        }
        if prev.index < self.commit {
            self.answer(from, self.commit, None, out);
            return;
        }
        if !self.log.holds(prev) {
            let hint = self.log.hint(prev);
            self.answer(from, prev.index, Some(hint), out);
            return;
        }
        let last = Seq(prev.index.0 + entries.len() as u64);
        if !self.take(prev.index, entries, out) {
            out.refuse(Refusal::Conflicting);
            return;
        }
        self.answer(from, last, None, out);
        self.commit_up_to(commit.min(last), out);
    }

    /// Makes the log agree with these entries. `false`: they contradict what is committed.
    fn take(&mut self, prev: Seq, entries: &[Entry], out: &mut Outbox<Self>) -> bool {
        let indices = (prev.0 + 1..).map(Seq);
        let mut new = indices.zip(entries).skip_while(|(index, entry)| {
            let held = self.log.term_at(*index);
            held == Some(entry.term)
                || (held.is_some() && self.planted.is(Mutant::ConflictingSuffixKept))
        });
        let Some((first, entry)) = new.next() else {
            return true;
        };
        if first <= self.commit {
            return false;
        }
        let rest = new.map(|(_, entry)| entry);
        let list: Vec<_> = std::iter::once(entry).chain(rest).cloned().collect();
        self.log.truncate(first.prev());
        for entry in &list {
            self.log.push(entry.clone());
        }
        self.flush(out);
        out.push(Effect::Persist(Record::Entries { first, list }));
        // It may have become a voter.
        self.arm_election(out);
        true
    }

    pub(super) fn answer(
        &mut self,
        to: NodeId,
        index: Seq,
        hint: Option<Position>,
        out: &mut Outbox<Self>,
    ) {
        let message = RaftMessage::Appended {
            term: self.term,
            index,
            hint,
            mute: self.mute.is_some(),
        };
        self.send(to, message, out);
    }

    /// RA11, RA14: what a follower's answer says about its log, and what may be sent or committed now.
    pub(super) fn on_appended(
        &mut self,
        from: NodeId,
        index: Seq,
        hint: Option<Position>,
        mute: bool,
        out: &mut Outbox<Self>,
    ) {
        let (now, inflight) = (self.now.mono, self.config.inflight);
        let parting = hint.map(|hint| self.log.hint(hint).index);
        // Else it answers a leader that has stepped down, or after it was let go.
        let Some(progress) = self.progress(from) else {
            return;
        };
        (progress.active, progress.heard) = (true, now);
        // What it refuses says nothing about what it holds.
        progress.hears(mute, if hint.is_some() { Seq(0) } else { index });
        if let Some(parting) = parting {
            if progress.refuses(index, parting) {
                self.replicate(from, true, out);
            }
            return;
        }
        let paused = progress.is_paused(inflight);
        if !progress.agrees(index) {
            return;
        }
        if !self.count(out) && paused {
            self.replicate(from, true, out);
        }
        while self.replicate(from, false, out) {}
        self.reshape(out);
    }

    /// RA14: what a quorum holds is committed if it is of this term, and all before it with it.
    pub(super) fn count(&mut self, out: &mut Outbox<Self>) -> bool {
        let Some(reign) = &self.reign else {
            return false;
        };
        let last = self.log.last().index;
        let agreed = self.log.configuration().agreed(|node| {
            let progress = reign.progress.get(&node);
            let counted = progress.map_or(Seq(0), Progress::counted);
            if node == self.me { last } else { counted }
        });
        let own = self.log.term_at(agreed) == Some(self.term);
        if agreed <= self.commit || !(own || self.planted.is(Mutant::CommitsOlderTermByCount)) {
            return false;
        }
        let configured = self.commit < self.log.configured_at();
        self.commit = agreed;
        let configured = configured && agreed >= self.log.configured_at();
        if self.config.eager_commit || configured {
            self.send_entries(out);
        }
        self.apply(out);
        self.begin_reads(out);
        if configured {
            self.settle_members(out);
        }
        self.reshape(out);
        true
    }

    pub(super) fn commit_up_to(&mut self, index: Seq, out: &mut Outbox<Self>) {
        if index > self.commit {
            self.commit = index;
            self.prove_itself(out);
            self.apply(out);
        }
    }

    /// A message of a term that is over: whoever still leads it should know, or it would never follow
    /// the leader of a term that it cannot reach (etcd; with PreVote or `CheckQuorum`).
    pub(super) fn correct(&mut self, from: NodeId, message: &RaftMessage, out: &mut Outbox<Self>) {
        match message {
            RaftMessage::RequestVote { pre: true, .. } if self.mute.is_none() => {
                let answer = RaftMessage::Vote {
                    pre: true,
                    term: self.term,
                    granted: false,
                };
                self.send(from, answer, out);
            }
            message
                if message.is_of_leader() && (self.config.check_quorum || self.config.pre_vote) =>
            {
                self.answer(from, Seq(0), None, out);
            }
            _ => out.refuse(Refusal::Stale),
        }
    }

    /// The term of an entry, for those who look on.
    pub fn term_at(&self, index: Seq) -> Option<View> {
        self.log.term_at(index)
    }
}
