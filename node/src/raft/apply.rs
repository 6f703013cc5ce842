//! What is committed becomes chain, and what the chain holds leaves the log (thesis §5.1).

use std::sync::Arc;

use super::{Raft, entry::Body, entry::Position, message::Record};
use crate::{
    block::{Block, Finality},
    engine::{Effect, Outbox, Tale},
    types::{BlockId, Seq},
};

impl Raft {
    /// RA17: applies committed entries in their order. A block that does not follow the head changes
    /// nothing, on every member alike.
    pub(super) fn apply(&mut self, out: &mut Outbox<Self>) {
        while self.applied < self.commit {
            self.applied = self.applied.next();
            let entry = self.log.get(self.applied);
            let body = entry.expect("a committed entry is here").body.clone();
            match body {
                Body::Nothing | Body::Configuration(_) => out.tell(Tale::Void(self.applied)),
                Body::Block(block) => self.apply_block(&block, out),
            }
        }
        self.shorten(out);
    }

    fn apply_block(&mut self, block: &Arc<Block>, out: &mut Outbox<Self>) {
        let (index, header) = (self.applied, block.header());
        let follows = header.parent == self.tip.1 && header.height == self.tip.0.next();
        if follows {
            self.tip = (header.height, block.id());
            self.executing.push_back((index, block.id()));
            out.push(Effect::Final {
                block: Arc::clone(block),
                proof: Arc::new(Finality::Trusted),
            });
        } else if header.height > self.fetched {
            out.tell(Tale::Void(index));
        }
        let Some(reign) = &mut self.reign else { return };
        let own = reign.own.front().is_some_and(|(first, _)| *first == index);
        if own {
            reign.own.pop_front();
        }
        if own != follows {
            // RA21: own blocks that hang on one that lost its place, or on the head that it was.
            reign.own.clear();
        }
    }

    pub(super) fn on_executed(&mut self, block: BlockId, out: &mut Outbox<Self>) {
        if let Some(at) = self.executing.iter().position(|(_, id)| *id == block) {
            self.executing.drain(..=at);
        }
        self.shorten(out);
    }

    /// RA20: entries that the chain holds are dropped, many at a time, but for the newest.
    fn shorten(&mut self, out: &mut Outbox<Self>) {
        let executed = self
            .executing
            .front()
            .map_or(self.applied, |(index, _)| index.prev());
        let drop = Seq(executed.0.saturating_sub(self.config.keep));
        if drop.0 >= self.log.base().at.index.0 + self.config.compact_every {
            self.log.compact(drop);
            self.rewrite_log(out);
        }
    }

    /// Replaces what the disk holds by what counts.
    pub(super) fn rewrite_log(&mut self, out: &mut Outbox<Self>) {
        self.dirty = false;
        let base = self.log.base().clone();
        let first = base.at.index.next();
        let mut records = vec![Record::Base(base), self.state_record()];
        let list = self.log.entries();
        if !list.is_empty() {
            records.push(Record::Entries { first, list });
        }
        out.push(Effect::Truncate(records));
    }

    /// Where its log ends.
    pub fn last(&self) -> Position {
        self.log.last()
    }

    /// Up to where all is committed.
    pub fn committed(&self) -> Seq {
        self.commit
    }
}
