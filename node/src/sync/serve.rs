//! The other side: what a node hands out to those who catch up, and to whom.

use std::collections::{BTreeMap, VecDeque};

use super::{
    manifest::Manifest,
    packet::{ANSWER_BLOCKS, ANSWER_BYTES, Blocks, PAGE_BYTES, SyncPacket},
};
use crate::{
    ledger::{Ledger, State},
    storage::Stored,
    types::{Height, LocalTime, Mono, NodeId},
};

/// A snapshot is kept for the first height that a final header carries the results of, in each stretch
/// of so many heights: of the same heights at every node.
pub const SNAPSHOT_EVERY: u64 = 256;
/// Snapshots that are kept, so that one can still be handed out when the next is taken. They share with
/// the present state what has not changed since.
const SNAPSHOTS: usize = 2;
/// Questions that a peer may ask at once.
pub const BURST: u64 = 64;
/// After so long, ns, it may ask another. A full answer takes as long on a link of 1 Gbit/s, so that a peer
/// which waits for its answers is not held up.
pub const REFILL_NS: u64 = 4_000_000;

/// A state that is kept, with its pages once somebody has asked for them.
#[derive(Debug)]
struct Kept {
    height: Height,
    /// The first final block that carries its results.
    carrier: Height,
    state: State,
    cut: Option<(Manifest, Vec<State>)>,
}

/// How many questions a peer has left.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    /// Up to when it was refilled.
    at: Mono,
}

/// What this node can hand out.
#[derive(Debug, Default)]
pub struct Archive {
    kept: VecDeque<Kept>,
    allowances: BTreeMap<NodeId, Allowance>,
}

impl Archive {
    /// The newest final block of the ledger has just become final: keeps the state whose results it
    /// carries, if that is due.
    pub fn keep(&mut self, ledger: &Ledger) {
        let carrier = ledger.final_height();
        let height = ledger.entry(carrier).map_or(Height(0), |entry| {
            let results = &entry.block.header().results;
            results.height
        });
        let last = self.kept.back().map_or(Height(0), |kept| kept.height);
        if height.0 / SNAPSHOT_EVERY <= last.0 / SNAPSHOT_EVERY {
            return;
        }
        let Some(state) = ledger.state_at(height) else {
            return;
        };
        self.kept.push_back(Kept {
            height,
            carrier,
            state: state.clone(),
            cut: None,
        });
        if self.kept.len() > SNAPSHOTS {
            self.kept.pop_front();
        }
    }

    /// Forgets all snapshots: the chain begins anew.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// Whether this peer may ask now; if so, that it did.
    pub fn admits(&mut self, now: LocalTime, peer: NodeId) -> bool {
        let fresh = Allowance {
            left: BURST,
            at: now.mono,
        };
        let allowance = self.allowances.entry(peer).or_insert(fresh);
        let refills = now.mono.since(allowance.at) / REFILL_NS;
        allowance.left = allowance.left.saturating_add(refills).min(BURST);
        allowance.at = Mono(allowance.at.0 + refills * REFILL_NS);
        let may = allowance.left > 0;
        allowance.left = allowance.left.saturating_sub(1);
        may
    }

    /// The answer to a question; `None` to what is none.
    pub fn answer(&mut self, ledger: &Ledger, question: &SyncPacket) -> Option<SyncPacket> {
        match *question {
            SyncPacket::AskBlocks(from) => Some(SyncPacket::Blocks(blocks(ledger, from))),
            SyncPacket::AskSnapshot => {
                let newest = self.kept.back_mut().and_then(|kept| kept.cut(ledger));
                Some(SyncPacket::Snapshot(newest.map(|cut| cut.0.clone())))
            }
            SyncPacket::AskPage { height, page } => {
                let mut kept = self.kept.iter_mut();
                let kept = kept.find(|kept| kept.height == height);
                let cut = kept.and_then(|kept| kept.cut(ledger));
                let state = cut.and_then(|(_, pages)| pages.get(page as usize));
                let entries = state.into_iter().flat_map(State::iter);
                Some(SyncPacket::Page {
                    height,
                    page,
                    entries: entries.map(|(k, v)| (k.to_vec(), v.to_vec())).collect(),
                })
            }
            SyncPacket::Blocks(_) | SyncPacket::Snapshot(_) | SyncPacket::Page { .. } => None,
        }
    }
}

impl Kept {
    /// Manifest and pages; made when they are first asked for.
    fn cut(&mut self, ledger: &Ledger) -> Option<&(Manifest, Vec<State>)> {
        if self.cut.is_none() {
            let entry = ledger.entry(self.height)?;
            let (crown, pages) = self.state.pages(PAGE_BYTES);
            let manifest = Manifest {
                block: stored(ledger, self.height)?,
                carrier: stored(ledger, self.carrier)?,
                receipts: entry.receipts.clone(),
                crown,
            };
            self.cut = Some((manifest, pages));
        }
        self.cut.as_ref()
    }
}

/// A final block of the ledger with its proof.
fn stored(ledger: &Ledger, height: Height) -> Option<Stored> {
    let entry = ledger.entry(height)?;
    Some(Stored {
        block: entry.block.clone(),
        proof: entry.proof.clone()?,
    })
}

/// The final blocks from a height on, as many as fit into an answer.
fn blocks(ledger: &Ledger, from: Height) -> Blocks {
    let mut bytes = 0;
    let from_here = from >= ledger.base() && from <= ledger.final_height();
    let end = from.0.saturating_add(ANSWER_BLOCKS as u64);
    let heights = from_here.then_some(from.0..end).into_iter().flatten();
    let list = heights
        .map_while(|height| stored(ledger, Height(height)))
        .take_while(|stored| {
            bytes += stored.wire_len();
            bytes <= ANSWER_BYTES || bytes == stored.wire_len()
        });
    Blocks {
        from,
        list: list.collect(),
        tip: ledger.final_height(),
        base: ledger.base(),
    }
}
