//! The log of a replica: one entry for each slot between the watermarks, and the decided slots that
//! slow peers may still ask for.
//!
//! Votes are the hot path: a slot is found by its distance from the low watermark, without a search.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    block::{Block, Finality},
    crypto::Signed,
    quorum::{Certificate, Tally},
    types::{Digest, Seq},
};

use super::message::{Prepared, Proposal};

/// Blocks of one slot that are kept because this replica said PREPARE to them. One view adds one at
/// most, and the time between views doubles, so the bound is out of reach in practice (R37).
const BODIES_PER_SLOT: usize = 32;

/// How far a proposal has come here, in the current view.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Standing {
    /// There is none.
    #[default]
    Empty,
    /// It is here, but its turn has not come or its block is missing.
    Offered,
    /// Its block may not be where the primary put it.
    Refused,
    /// This replica agreed to it (the primary: made it).
    Accepted,
    /// It is prepared and this replica said COMMIT.
    Prepared,
}

/// A slot between the watermarks.
#[derive(Debug, Default)]
pub(super) struct SlotState {
    /// The primary's proposal in the current view.
    pub(super) claim: Option<Signed<Proposal>>,
    /// The block that came with it, until it is accepted.
    pub(super) offered: Option<Arc<Block>>,
    /// How far it has come.
    pub(super) standing: Standing,
    /// Whether its proposal was found to be void: its parent is not the tip of the slot before.
    pub(super) void: bool,
    /// PREPAREs of the current view.
    pub(super) prepares: Tally,
    /// COMMITs of the current view.
    pub(super) commits: Tally,
    /// The prepared proof of the highest view, which survives view changes (R20).
    pub(super) proof: Option<Arc<Prepared>>,
    /// Blocks that this replica accepted here in any view: others may have to fetch them (R41).
    pub(super) bodies: Vec<Arc<Block>>,
    /// The block that the host judged last and found right.
    pub(super) judged: Option<Digest>,
    /// Whether the slot is decided here.
    pub(super) decided: bool,
}

impl SlotState {
    /// Forgets what belongs to one view and keeps what outlives it.
    pub(super) fn leave_view(&mut self) {
        self.claim = None;
        self.offered = None;
        self.standing = Standing::Empty;
        self.void = false;
        self.prepares = Tally::default();
        self.commits = Tally::default();
    }

    /// Whether only the body of the proposal was refused. The primary signs the header alone, so it
    /// need not have been the primary who sent that body: another one may follow.
    pub(super) fn spoiled(&self) -> bool {
        self.standing == Standing::Refused && self.offered.is_none()
    }

    /// Keeps a block for those who may ask.
    pub(super) fn keep(&mut self, block: Arc<Block>) {
        if self.bodies.iter().any(|kept| kept.id() == block.id()) {
            return;
        }
        if self.bodies.len() == BODIES_PER_SLOT {
            let proved = self.proof.as_ref().map(|proof| proof.claim.body().digest);
            let oldest = self.bodies.iter().position(|b| Some(b.id()) != proved);
            self.bodies.remove(oldest.unwrap_or(0));
        }
        self.bodies.push(block);
    }

    /// A block of this slot by its id.
    pub(super) fn body(&self, digest: &Digest) -> Option<&Arc<Block>> {
        self.bodies
            .iter()
            .chain(&self.offered)
            .find(|block| block.id() == *digest)
    }
}

/// A decided slot.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// The commit certificate.
    pub(super) proof: Arc<Finality>,
    /// The block; `None` for the null request.
    pub(super) block: Option<Arc<Block>>,
}

impl Chosen {
    /// A slot that these COMMITs decided.
    pub(super) fn new(certificate: Certificate, block: Option<Arc<Block>>) -> Self {
        Self {
            proof: Arc::new(Finality::Certificate(certificate)),
            block,
        }
    }

    /// The commit certificate.
    pub(super) fn certificate(&self) -> &Certificate {
        match &*self.proof {
            Finality::Certificate(certificate) => certificate,
            _ => unreachable!("`new` makes certificates only"),
        }
    }

    /// What was decided.
    pub(super) fn digest(&self) -> Digest {
        self.certificate().vote().digest
    }
}

/// Where a slot lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// At or below the low watermark.
    Below,
    /// Between the watermarks.
    Inside,
    /// Above the high watermark, by one window at most.
    Soon,
    /// Further above.
    Far,
}

/// Slots between the watermarks, and decided ones.
#[derive(Debug)]
pub(super) struct Log {
    low: Seq,
    window: u64,
    /// `slots[i]` is slot `low + 1 + i`; grows when a slot is touched.
    slots: VecDeque<SlotState>,
    /// Decided slots: those that wait for their turn, and executed ones above `low − window`.
    pub(super) chosen: BTreeMap<Seq, Chosen>,
    /// The highest slot of which at least one honest replica knows.
    pub(super) highest: Seq,
}

impl Log {
    pub(super) fn new(window: u64) -> Self {
        Self {
            low: Seq(0),
            window,
            slots: VecDeque::new(),
            chosen: BTreeMap::new(),
            highest: Seq(0),
        }
    }

    /// The low watermark h: the last stable checkpoint.
    pub(super) fn low(&self) -> Seq {
        self.low
    }

    /// The high watermark H = h + L.
    pub(super) fn high(&self) -> Seq {
        Seq(self.low.0.saturating_add(self.window))
    }

    /// Where a slot lies.
    pub(super) fn place(&self, seq: Seq) -> Place {
        if seq <= self.low {
            Place::Below
        } else if seq.0 - self.low.0 <= self.window {
            Place::Inside
        } else if seq.0 - self.low.0 <= self.window.saturating_mul(2) {
            Place::Soon
        } else {
            Place::Far
        }
    }

    /// A slot, if it lies between the watermarks and was touched.
    pub(super) fn slot(&self, seq: Seq) -> Option<&SlotState> {
        let above = seq.0.checked_sub(self.low.0)?.checked_sub(1)?;
        self.slots.get(above as usize)
    }

    /// A slot to change, if it lies between the watermarks.
    pub(super) fn slot_mut(&mut self, seq: Seq) -> Option<&mut SlotState> {
        if self.place(seq) != Place::Inside {
            return None;
        }
        let index = (seq.0 - self.low.0 - 1) as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, SlotState::default);
        }
        self.slots.get_mut(index)
    }

    /// All touched slots between the watermarks, ascending.
    pub(super) fn slots(&self) -> impl Iterator<Item = (Seq, &SlotState)> {
        (self.low.0 + 1..).map(Seq).zip(&self.slots)
    }

    /// All touched slots between the watermarks, to change.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut SlotState> {
        self.slots.iter_mut()
    }

    /// The highest slot that was ever prepared here, of those between the watermarks.
    pub(super) fn prepared(&self) -> Seq {
        let proved = self.slots().filter(|(_, slot)| slot.proof.is_some());
        proved.last().map_or(self.low, |(seq, _)| seq)
    }

    /// Notes that an honest replica knows of this slot.
    pub(super) fn touch(&mut self, seq: Seq) {
        self.highest = self.highest.max(seq);
    }

    /// A new view begins whose primary chose slots up to `last`: what came after is forgotten, unless
    /// it is decided.
    pub(super) fn forget_undecided(&mut self, last: Seq) {
        let decided = self.chosen.last_key_value().map_or(Seq(0), |(seq, _)| *seq);
        self.highest = self.low.max(last).max(decided);
    }

    /// A committee begins on top of this slot: what was under way is void. Decided slots stay for those
    /// who are behind, one window of them.
    pub(super) fn begin_on(&mut self, base: Seq) {
        let floor = base.0.saturating_sub(self.window);
        self.low = base;
        self.slots.clear();
        self.chosen.retain(|seq, _| seq.0 > floor && *seq <= base);
        self.highest = base;
    }

    /// Moves the watermarks up (R15) and drops what lies below. Decided slots stay for one more
    /// window, and one window of them while they wait to be executed (R37).
    pub(super) fn raise(&mut self, low: Seq, executed: Seq) {
        assert!(low > self.low, "watermarks only rise");
        let gone = (low.0 - self.low.0).min(self.slots.len() as u64) as usize;
        self.slots.drain(..gone);
        self.low = low;
        self.touch(low);
        let (window, floor) = (self.window, low.0.saturating_sub(self.window));
        self.chosen.retain(|seq, _| {
            let waits = *seq > executed && seq.0 - executed.0 <= window;
            seq.0 > floor || waits
        });
    }

    /// A block of any slot by its id, with the transactions of its header: a header may have been
    /// offered here with others, in this slot or in another one, and must not hide the block itself.
    pub(super) fn body(&self, digest: &Digest) -> Option<&Arc<Block>> {
        let named = |block: &&Arc<Block>| block.id() == *digest;
        let kept = self.slots.iter().flat_map(|slot| &slot.bodies).find(named);
        let chosen = self.chosen.values().filter_map(|c| c.block.as_ref());
        kept.or_else(|| chosen.into_iter().find(named)).or_else(|| {
            let offered = self.slots.iter().filter_map(|slot| slot.offered.as_ref());
            offered.into_iter().find(|b| named(b) && b.is_whole())
        })
    }
}
