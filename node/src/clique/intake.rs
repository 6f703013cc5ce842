//! The way of a block into the tree: checked, judged by the host, inserted; or kept for later.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Clique, CliqueMessage, CliqueTimer};
use crate::{
    block::Block,
    engine::{BlockFault, Effect, Outbox, Refusal, Tale},
    sealed::SealedBlock,
    types::{BlockId, LocalTime, NodeId, Wall},
};

/// A block may be this far ahead of the receiver's wall clock; beyond, it is held until it is not.
/// The host's own bound on timestamps must not be tighter.
pub const ALLOWANCE: Duration = Duration::from_millis(100);
/// A block further ahead than this is refused (geth: 30 s).
pub const HORIZON: Duration = Duration::from_secs(30);
/// Most orphans that are kept, and most blocks from the future. The oldest gives way: whatever was
/// dropped can be fetched.
pub const HELD: usize = 64;

/// A block on its way into the tree.
#[derive(Clone, Debug)]
pub(super) enum Candidate {
    /// Ours, not sealed yet.
    Own(Arc<Block>),
    /// Somebody's, sealed and checked as far as that goes without its parent.
    Theirs {
        sealed: SealedBlock,
        from: NodeId,
        /// It came as news, not as an answer to a question of ours.
        news: bool,
    },
    /// From the log: inserted in an earlier life.
    Logged(SealedBlock),
}

impl Candidate {
    pub(super) fn block(&self) -> &Arc<Block> {
        match self {
            Self::Own(block) => block,
            Self::Theirs { sealed, .. } | Self::Logged(sealed) => sealed.block(),
        }
    }

    fn timestamp(&self) -> Wall {
        self.block().header().timestamp
    }
}

/// Keeps the newest [`HELD`].
fn hold(list: &mut VecDeque<Candidate>, candidate: Candidate) {
    if list.len() == HELD {
        list.pop_front();
    }
    list.push_back(candidate);
}

/// Takes out what matches, in order of arrival.
fn take(
    list: &mut VecDeque<Candidate>,
    mut matches: impl FnMut(&Candidate) -> bool,
) -> VecDeque<Candidate> {
    let (taken, left) = list.drain(..).partition(|candidate| matches(candidate));
    *list = left;
    taken
}

impl Clique {
    /// NEW-BLOCK.
    pub(super) fn new_block(
        &mut self,
        now: LocalTime,
        from: NodeId,
        sealed: &SealedBlock,
        out: &mut Outbox<Self>,
    ) {
        self.admit(from, sealed, true, out);
        self.pump(now, out);
    }

    /// Queues a foreign block that is new and well signed.
    pub(super) fn admit(
        &mut self,
        from: NodeId,
        sealed: &SealedBlock,
        news: bool,
        out: &mut Outbox<Self>,
    ) {
        let id = sealed.block().id();
        let kept = self.orphans.iter().chain(&self.early);
        if self.tree.contains(&id) || kept.into_iter().any(|kept| kept.block().id() == id) {
            return;
        }
        match self.rules.check_seal(sealed) {
            Ok(()) => self.queue.push_back(Candidate::Theirs {
                sealed: sealed.clone(),
                from,
                news,
            }),
            Err(reason) => out.refuse(reason),
        }
    }

    /// Takes queued blocks in turn until one waits for the host's verdict.
    pub(super) fn pump(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        assert!(
            self.judging.is_none(),
            "the verdict comes before any other input"
        );
        while let Some(candidate) = self.queue.pop_front() {
            if self.tree.contains(&candidate.block().id()) {
                continue;
            }
            self.announce_some(out);
            if !self.tree.contains(&candidate.block().header().parent) {
                self.orphan(now, candidate, out);
                continue;
            }
            if let Err(reason) = self.rules.check_place(&self.tree, candidate.block()) {
                self.turn_down(&candidate, reason, out);
                continue;
            }
            let ahead = candidate.timestamp().0.saturating_sub(now.wall.0);
            if ahead > HORIZON.as_nanos() as u64 {
                self.turn_down(&candidate, Refusal::TooFar, out);
            } else if ahead > ALLOWANCE.as_nanos() as u64 {
                hold(&mut self.early, candidate);
                self.arm_due(now, out);
            } else {
                out.push(Effect::Validate(Arc::clone(candidate.block())));
                self.judging = Some(candidate);
                return;
            }
        }
        self.settle(now, out);
    }

    /// The host's verdict.
    pub(super) fn judged(
        &mut self,
        now: LocalTime,
        block: BlockId,
        verdict: Result<(), BlockFault>,
        out: &mut Outbox<Self>,
    ) {
        let candidate = self.judging.take().expect("a verdict answers a question");
        assert_eq!(
            candidate.block().id(),
            block,
            "the verdict is about another block"
        );
        if verdict.is_ok() {
            self.insert(now, candidate, out);
        } else {
            self.turn_down(&candidate, Refusal::BadBlock, out);
        }
        self.pump(now, out);
    }

    fn turn_down(&mut self, candidate: &Candidate, reason: Refusal, out: &mut Outbox<Self>) {
        if matches!(candidate, Candidate::Own(_)) {
            // The next beat tries again; at once would be for ever.
            self.wanted = None;
        }
        out.refuse(reason);
    }

    fn orphan(&mut self, now: LocalTime, candidate: Candidate, out: &mut Outbox<Self>) {
        if candidate.block().header().height < self.tree.lowest() {
            out.refuse(Refusal::Stale);
            return;
        }
        if let Candidate::Theirs { sealed, from, .. } = &candidate {
            let parent = sealed.block().header().parent;
            self.fetch(now, *from, parent, out);
        }
        hold(&mut self.orphans, candidate);
    }

    fn insert(&mut self, now: LocalTime, candidate: Candidate, out: &mut Outbox<Self>) {
        self.heard = now.mono;
        let (sealed, news_from, logged) = match candidate {
            Candidate::Own(block) => (self.seal(block, out), None, true),
            Candidate::Theirs { sealed, from, news } => (sealed, news.then_some(from), false),
            Candidate::Logged(sealed) => (sealed, None, true),
        };
        let id = sealed.block().id();
        let header = sealed.block().header();
        let (proposer, height) = (header.proposer, header.height);
        if self.tree.siblings(&header.parent, proposer) > 0 {
            out.tell(Tale::Equivocation {
                by: proposer,
                slot: sealed.slot(),
            });
        }
        let difficulty = self.rules.difficulty(proposer, height);
        self.tree
            .insert(sealed.clone(), difficulty, &self.fork_choice);
        self.progress();
        if let Some(from) = news_from {
            self.pass_on(from, &sealed, out);
            self.correct(from, &id, out);
        }
        if !logged {
            // Passing on says nothing of ours, so it need not wait for this.
            out.push(Effect::Persist(sealed));
        }
        let children = take(&mut self.orphans, |orphan| {
            orphan.block().header().parent == id
        });
        children
            .into_iter()
            .rev()
            .for_each(|child| self.queue.push_front(child));
    }

    /// With gossip: everyone hears of a new block from everyone.
    fn pass_on(&self, from: NodeId, sealed: &SealedBlock, out: &mut Outbox<Self>) {
        let proposer = sealed.block().header().proposer;
        if !self.gossip {
            return;
        }
        let message = Arc::new(CliqueMessage::NewBlock(sealed.clone()));
        for to in self.rules.committee.others(self.me) {
            if to != from && to != proposer {
                out.push(Effect::Send {
                    to,
                    message: Arc::clone(&message),
                });
            }
        }
    }

    /// Nothing is left to judge: tells the host where the head is and what is wanted now.
    fn settle(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        let head = self.tree.head().head;
        if head != self.announced {
            self.announced = head;
            out.push(Effect::Head(head));
            self.want(now, out);
        }
        self.fetch_on(now, out);
    }

    /// Blocks that were from the future may be due.
    pub(super) fn release(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        let bound = now.wall.0.saturating_add(ALLOWANCE.as_nanos() as u64);
        let due = take(&mut self.early, |candidate| {
            candidate.timestamp().0 <= bound
        });
        self.queue.extend(due);
        self.arm_due(now, out);
        self.pump(now, out);
    }

    fn arm_due(&self, now: LocalTime, out: &mut Outbox<Self>) {
        let Some(first) = self.early.iter().map(Candidate::timestamp).min() else {
            return;
        };
        let bound = now.wall.0.saturating_add(ALLOWANCE.as_nanos() as u64);
        out.push(Effect::Arm {
            timer: CliqueTimer::Due,
            after: Duration::from_nanos(first.0.saturating_sub(bound)),
        });
    }
}
