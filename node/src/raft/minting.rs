//! When a leader makes blocks, and on what.

use std::{sync::Arc, time::Duration};

use super::{Minting, Raft, Timer, entry::Body};
use crate::{
    block::Block,
    engine::{Effect, Outbox, Slot, Tale, Ticket, Want},
    types::{BlockId, Wall},
};

impl Raft {
    /// RA19, RA21: asks the host for a block, if the leader may make one now; takes an older wish back
    /// if it may not.
    pub(super) fn want(&mut self, out: &mut Outbox<Self>) {
        let Some(parent) = self.parent() else {
            if self.wanted.take().is_some() {
                out.push(Effect::Unwant);
            }
            return;
        };
        if self.wanted.is_some_and(|(_, wanted)| wanted == parent) {
            return;
        }
        let early = self.too_early();
        if !early.is_zero() {
            if self.wanted.take().is_some() {
                out.push(Effect::Unwant);
            }
            out.push(Effect::Arm {
                timer: Timer::Mint(self.term),
                after: early,
            });
            return;
        }
        self.tickets = Ticket(self.tickets.0 + 1);
        self.wanted = Some((self.tickets, parent));
        out.push(Effect::Want(Want {
            ticket: self.tickets,
            parent,
            empty_ok: false,
            not_before: Wall(0),
            extra: Vec::new(),
        }));
    }

    /// What the next block follows; `None`: there is none to be made.
    fn parent(&self) -> Option<BlockId> {
        let reign = self.reign.as_ref()?;
        let may = self.pending.is_some()
            && match self.config.minting {
                Minting::Piped { depth } => self.applied >= reign.first && reign.own.len() < depth,
                Minting::Speculative { .. } => true,
            };
        let tail = reign.own.back().map_or(self.tip.1, |(_, block)| *block);
        may.then_some(tail)
    }

    /// How long until the next block may be made.
    fn too_early(&self) -> Duration {
        let minted = self.reign.as_ref().and_then(|reign| reign.minted);
        match (self.config.minting, minted) {
            (Minting::Speculative { block_time }, Some(minted)) => {
                let passed = Duration::from_nanos(self.now.mono.since(minted));
                block_time.saturating_sub(passed)
            }
            _ => Duration::ZERO,
        }
    }

    pub(super) fn on_payload(&mut self, ticket: Ticket, block: Arc<Block>, out: &mut Outbox<Self>) {
        let now = self.now.mono;
        let index = self.log.last().index.next();
        let Some(reign) = &mut self.reign else { return };
        if self.wanted != Some((ticket, block.header().parent)) {
            return;
        }
        self.wanted = None;
        reign.minted = Some(now);
        reign.own.push_back((index, block.id()));
        out.tell(Tale::Proposed {
            slot: Slot {
                view: self.term,
                seq: index,
            },
            block: block.id(),
        });
        self.propose(Body::Block(block), out);
    }
}
