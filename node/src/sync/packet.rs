//! What nodes say to each other when one of them catches up.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::manifest::Manifest;
use crate::{
    block::{Block, Finality},
    engine::{Kind, Slot},
    quorum::Vote,
    rewrite::Rewrite,
    storage::Stored,
    types::{Digest, Height, Seq},
};

/// Most bytes of blocks in one answer; the first block always fits.
pub const ANSWER_BYTES: usize = 512 << 10;
/// Most blocks in one answer.
pub const ANSWER_BLOCKS: usize = 4096;
/// Most bytes of keys and values in a page of a snapshot; one entry always fits.
pub const PAGE_BYTES: usize = 256 << 10;

/// A question or an answer. Nothing in it is signed by its sender, because nothing is believed for its
/// sake: blocks come with proofs, and a snapshot hangs on one.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum SyncPacket {
    /// Please send me final blocks from this height on.
    AskBlocks(Height),
    /// An answer.
    Blocks(Blocks),
    /// Please tell me of your newest snapshot.
    AskSnapshot,
    /// An answer; `None` if there is none.
    Snapshot(Option<Manifest>),
    /// Please send me a page of a snapshot.
    AskPage {
        /// Of which: height of its block.
        height: Height,
        /// Which page, counted from 0.
        page: u32,
    },
    /// An answer.
    Page {
        /// Of which snapshot.
        height: Height,
        /// Which page.
        page: u32,
        /// Its keys and values; none if the sender has no such page.
        entries: Vec<(Vec<u8>, Vec<u8>)>,
    },
}

/// Final blocks in a row.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Blocks {
    /// The height that was asked for, which is that of the first block.
    pub from: Height,
    /// As many as fit.
    pub list: Vec<Stored>,
    /// Height of the sender's newest final block, so it says.
    pub tip: Height,
    /// The sender has no blocks below this height, so it says.
    pub base: Height,
}

impl Blocks {
    /// Whether it is what an answer to this question may look like: what it lists are consecutive blocks
    /// from the height on, and no more than an answer may hold.
    pub fn is_well_formed(&self) -> bool {
        let height = |stored: &Stored| stored.block.header().height.0;
        let places = (0..).zip(&self.list);
        let mut offsets = places.map(|(place, one)| (place, height(one).checked_sub(self.from.0)));
        offsets.all(|(place, offset)| offset == Some(place)) && self.fits()
    }

    /// Whether it holds no more than an answer may hold.
    fn fits(&self) -> bool {
        let bytes = self.list.iter().map(Stored::wire_len).sum::<usize>();
        self.list.len() <= ANSWER_BLOCKS && (self.list.len() <= 1 || bytes <= ANSWER_BYTES)
    }

    fn wire_len(&self) -> usize {
        8 + 4 + self.list.iter().map(Stored::wire_len).sum::<usize>() + 8 + 8
    }
}

const fn kind(name: &'static str, code: u8) -> Kind {
    Kind {
        name,
        code,
        proposal: false,
    }
}

impl SyncPacket {
    /// Names of its kinds.
    pub const NAMES: [&'static str; 6] = [
        "ASK-BLOCKS",
        "FINAL-BLOCKS",
        "ASK-SNAPSHOT",
        "SNAPSHOT",
        "ASK-PAGE",
        "PAGE",
    ];

    /// This packet with one small change, as a liar would send it; `None` if it makes no sense there.
    #[must_use]
    pub fn rewrite(&self, change: Rewrite) -> Option<Self> {
        let (Self::Blocks(blocks), Rewrite::Digest | Rewrite::Stitched) = (self, change) else {
            return None;
        };
        // The first block of the answer claims other results of its ancestors, under the true block's
        // proof; stitched, under the same signatures with the lie in the place of what they are about.
        let stored = blocks.list.first()?;
        let mut header = stored.block.header().clone();
        header.results.state_root = Digest(header.results.state_root.0.map(|byte| !byte));
        let block = Block::new(header, stored.block.transactions().to_vec());
        let proof = match &*stored.proof {
            Finality::Certificate(genuine) if change == Rewrite::Stitched => {
                let digest = block.id();
                let vote = Vote {
                    digest,
                    ..*genuine.vote()
                };
                Arc::new(Finality::Certificate(genuine.misquoted(vote)))
            }
            _ => Arc::clone(&stored.proof),
        };
        Some(Self::Blocks(Blocks {
            list: vec![Stored { block, proof }],
            ..blocks.clone()
        }))
    }

    /// Its kind, and the height that it is about as slot.
    pub fn label(&self) -> (Kind, Slot) {
        let (kind, height) = match self {
            Self::AskBlocks(from) => (kind("ASK-BLOCKS", 132), *from),
            Self::Blocks(blocks) => (kind("FINAL-BLOCKS", 133), blocks.from),
            Self::AskSnapshot => (kind("ASK-SNAPSHOT", 134), Height(0)),
            Self::Snapshot(manifest) => {
                let height = manifest.as_ref().map_or(Height(0), Manifest::height);
                (kind("SNAPSHOT", 135), height)
            }
            Self::AskPage { height, .. } => (kind("ASK-PAGE", 136), *height),
            Self::Page { height, .. } => (kind("PAGE", 137), *height),
        };
        let slot = Slot {
            seq: Seq(height.0),
            ..Slot::default()
        };
        (kind, slot)
    }

    /// Whether it asks rather than answers.
    pub fn asks(&self) -> bool {
        matches!(
            self,
            Self::AskBlocks(_) | Self::AskSnapshot | Self::AskPage { .. }
        )
    }

    /// Bytes on the wire: exactly the length of its encoding.
    pub fn wire_len(&self) -> usize {
        1 + match self {
            Self::AskBlocks(_) => 8,
            Self::Blocks(blocks) => blocks.wire_len(),
            Self::AskSnapshot => 0,
            Self::Snapshot(manifest) => 1 + manifest.as_ref().map_or(0, Manifest::wire_len),
            Self::AskPage { .. } => 8 + 4,
            Self::Page { entries, .. } => {
                let entry = |(key, value): &(Vec<u8>, Vec<u8>)| 8 + key.len() + value.len();
                8 + 4 + 4 + entries.iter().map(entry).sum::<usize>()
            }
        }
    }

    /// Signatures that the receiver checks. What is larger than allowed is thrown away unchecked.
    pub fn signatures(&self) -> usize {
        match self {
            Self::Blocks(blocks) if blocks.fits() => {
                blocks.list.iter().map(Stored::signatures).sum()
            }
            Self::Snapshot(Some(manifest)) => manifest.signatures(),
            _ => 0,
        }
    }

    /// Bytes that the receiver hashes.
    pub fn hashed_bytes(&self) -> usize {
        match self {
            Self::Blocks(blocks) if !blocks.fits() => 0,
            Self::Blocks(_) | Self::Snapshot(_) | Self::Page { .. } => self.wire_len(),
            Self::AskBlocks(_) | Self::AskSnapshot | Self::AskPage { .. } => 0,
        }
    }
}
