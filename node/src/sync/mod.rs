//! Catching up, for every protocol with finality: a node that is behind, new, or back after hours gets
//! final blocks, or a snapshot, from any peer, and trusts none of them (R17, R38).
//!
//! **Blocks.** ASK-BLOCKS names the first height that is missing; FINAL-BLOCKS brings what follows, each
//! block with the reason why it is final. A block is believed when it extends the chain, its proof holds
//! and the results that it claims are those found here; then it is executed at once. So memory holds one
//! answer, however long the way is.
//!
//! **Snapshots.** When a peer is very far ahead and the node may do without the history, it asks for a
//! snapshot: first the manifest, whose roots a certificate vouches for, then one page of the state after
//! the other, from all peers in turn. A page that does not hash to what the manifest says is asked of
//! another peer. The replay windows are part of the state: what executed before cannot execute again (R39).
//!
//! **Peers.** One question is under way at a time, and the peers take turns. One who answers wrongly, too
//! late, or with less than it could, is left alone until nobody else is left, and comes last the next time.
//! Claims about heights are believed by nobody: they only decide whether to ask again. It is over when
//! f+1 peers have nothing more, one of whom is honest, or everyone who answers at all. What others agree on
//! from then on is the protocol's business.
//!
//! [`Sync`] decides whom to ask for what; [`crate::validator`] checks the answers, and hands out its
//! own blocks from an [`Archive`].

mod manifest;
mod packet;
mod peers;
mod serve;

use std::{sync::Arc, time::Duration};

pub use self::{
    manifest::Manifest,
    packet::{ANSWER_BLOCKS, ANSWER_BYTES, Blocks, PAGE_BYTES, SyncPacket},
    serve::{Archive, BURST, REFILL_NS, SNAPSHOT_EVERY},
};

use self::peers::{Peers, Standing};
use crate::{
    engine::Refusal,
    ledger::{Snapshot, State, state::pages},
    types::{Digest, Height, LocalTime, Mono, NodeId},
};

/// How long an answer may take at first, and how long a node rests when nobody could help it. Both double
/// with each failure in a row.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// They double up to this.
pub const PATIENCE_MAX: Duration = Duration::from_mins(1);
/// Manifests that may turn out to be useless before a node is content with blocks.
const MANIFESTS: u32 = 3;

/// What is wanted now.
#[derive(Debug)]
enum Goal {
    Blocks,
    Manifest,
    Pages(Download),
}

/// A snapshot of which some pages are still missing.
#[derive(Debug)]
struct Download {
    manifest: Arc<Manifest>,
    /// Who gave it.
    giver: NodeId,
    /// Hashes of all pages.
    hashes: Vec<Digest>,
    /// The first of them.
    pages: Vec<State>,
}

/// The question under way.
#[derive(Debug)]
struct Asked {
    peer: NodeId,
    question: SyncPacket,
    at: Mono,
}

/// What to do next.
#[derive(Debug)]
pub enum Next {
    /// Ask.
    Ask {
        /// Whom.
        peer: NodeId,
        /// What.
        question: SyncPacket,
        /// How long to wait for the answer.
        patience: Duration,
    },
    /// Wait for so long.
    Rest(Duration),
    /// Nothing.
    Over,
}

/// A node's way to the tip of the final chain.
#[derive(Debug)]
pub struct Sync {
    /// Blocks that a peer must be ahead before a snapshot is asked for.
    snapshot_above: u64,
    peers: Peers,
    /// `None`: nothing to do.
    goal: Option<Goal>,
    asked: Option<Asked>,
    patience: Duration,
    rest: Duration,
    /// Nothing is asked before.
    not_before: Mono,
    /// The protocol knows that others are ahead: it is not over until somebody shows it.
    insist: bool,
    /// Something was gained since it began.
    gained: bool,
    /// Manifests that may still turn out to be useless.
    manifests: u32,
}

impl Sync {
    /// Nothing to do. `snapshot_above`: so many blocks must a peer be ahead before a snapshot will do in
    /// place of all blocks; `u64::MAX`: blocks only.
    pub fn new(snapshot_above: u64) -> Self {
        Self {
            snapshot_above,
            peers: Peers::default(),
            goal: None,
            asked: None,
            patience: PATIENCE,
            rest: PATIENCE,
            not_before: Mono(0),
            insist: false,
            gained: false,
            manifests: MANIFESTS,
        }
    }

    /// Whether the node is catching up.
    pub fn is_active(&self) -> bool {
        self.goal.is_some()
    }

    /// Whether an answer is awaited.
    pub fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// Begins, unless it has begun. `others` in turn order from oneself on; `enough` of them that have
    /// nothing more end it. `insist`: it is known that somebody has more. Returns whether it began now.
    pub fn begin(
        &mut self,
        others: impl IntoIterator<Item = NodeId>,
        enough: usize,
        insist: bool,
    ) -> bool {
        self.insist |= insist;
        if self.goal.is_some() {
            return false;
        }
        self.peers.begin(others, enough);
        self.goal = Some(Goal::Blocks);
        self.insist = insist;
        self.gained = false;
        self.manifests = MANIFESTS;
        self.patience = PATIENCE;
        self.rest = PATIENCE;
        true
    }

    /// What to do next, when no answer is awaited. The final chain here ends at `tip`.
    pub fn next(&mut self, now: LocalTime, tip: Height) -> Next {
        loop {
            let Some(goal) = &self.goal else {
                return Next::Over;
            };
            if now.mono < self.not_before {
                return Next::Rest(Duration::from_nanos(self.not_before.since(now.mono)));
            }
            let searching = self.insist && !self.gained;
            if matches!(goal, Goal::Blocks) && self.peers.are_done(searching) {
                self.finish(now);
                continue;
            }
            let Some(peer) = self.peers.first() else {
                self.nobody_left(now);
                continue;
            };
            let question = match goal {
                Goal::Blocks => SyncPacket::AskBlocks(tip.next()),
                Goal::Manifest => SyncPacket::AskSnapshot,
                Goal::Pages(download) => SyncPacket::AskPage {
                    height: download.manifest.height(),
                    page: download.pages.len() as u32,
                },
            };
            self.asked = Some(Asked {
                peer,
                question: question.clone(),
                at: now.mono,
            });
            return Next::Ask {
                peer,
                question,
                patience: self.patience,
            };
        }
    }

    fn finish(&mut self, now: LocalTime) {
        self.goal = None;
        self.insist = false;
        if !self.gained {
            // Should the protocol call again at once, nothing can be gained by asking at once.
            self.not_before = after(now, PATIENCE);
        }
    }

    /// Every peer was asked in vain.
    fn nobody_left(&mut self, now: LocalTime) {
        match self.goal.take() {
            Some(Goal::Pages(download)) => {
                // The manifest may be true and cut otherwise than everybody else's: its giver is to blame.
                self.peers.condemn(download.giver);
                self.peers.forgive();
                self.peers.set(download.giver, Standing::Failed);
                self.abandon();
            }
            Some(Goal::Manifest) => {
                self.peers.forgive();
                self.manifests = 0;
                self.goal = Some(Goal::Blocks);
            }
            _ if self.insist && !self.peers.has_done() => {
                self.goal = Some(Goal::Blocks);
                self.peers.forgive();
                self.not_before = after(now, self.rest);
                self.rest = (2 * self.rest).min(PATIENCE_MAX);
            }
            _ => self.finish(now),
        }
    }

    /// A manifest turned out to be useless.
    fn abandon(&mut self) {
        self.manifests -= 1;
        self.goal = Some(if self.manifests > 0 {
            Goal::Manifest
        } else {
            Goal::Blocks
        });
    }

    /// Nobody answered in time.
    pub fn timed_out(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.patience = (2 * self.patience).min(PATIENCE_MAX);
            self.peers.strike(asked.peer);
        }
    }

    /// Whether this answers the question under way. If so, no answer is awaited any more, and what came of
    /// it must be told with [`Sync::blocks`], [`Sync::manifest`] or [`Sync::page`].
    pub fn takes(&mut self, now: LocalTime, from: NodeId, answer: &SyncPacket) -> bool {
        let Some(asked) = self.asked.as_ref().filter(|asked| asked.peer == from) else {
            return false;
        };
        let fits = match (&asked.question, answer) {
            (SyncPacket::AskBlocks(height), SyncPacket::Blocks(blocks)) => *height == blocks.from,
            (SyncPacket::AskSnapshot, SyncPacket::Snapshot(_)) => true,
            (
                SyncPacket::AskPage { height, page },
                SyncPacket::Page {
                    height: of,
                    page: which,
                    ..
                },
            ) => (height, page) == (of, which),
            _ => false,
        };
        if fits {
            // What took long, on a slow link, may take longer the next time.
            let took = Duration::from_nanos(now.mono.since(asked.at));
            self.patience = (4 * took).clamp(PATIENCE, PATIENCE_MAX);
            self.asked = None;
        }
        fits
    }

    /// FINAL-BLOCKS of this peer brought so many blocks, or was wrong. The final chain ends at `tip` now.
    pub fn blocks(
        &mut self,
        peer: NodeId,
        answer: &Blocks,
        verdict: Result<u64, Refusal>,
        tip: Height,
    ) {
        let Ok(gained) = verdict else {
            return self.peers.strike(peer);
        };
        if gained > 0 {
            self.gained = true;
            self.rest = PATIENCE;
            self.peers.praise(peer);
        }
        let ahead = answer.tip.0.saturating_sub(tip.0);
        let unable = answer.base > answer.from && answer.list.is_empty();
        if unable {
            // Its own chain begins with a snapshot that is higher.
            self.peers.set(peer, Standing::Unable);
        } else if ahead == 0 {
            self.peers.set(peer, Standing::Done);
        } else if !is_full(answer) {
            // It says that it has more, and gives little or nothing of it.
            return self.peers.strike(peer);
        }
        let far = ahead > self.snapshot_above || (unable && self.snapshot_above < u64::MAX);
        if far && self.manifests > 0 {
            self.goal = Some(Goal::Manifest);
            self.peers.refresh();
        } else {
            self.peers.rotate(peer);
        }
    }

    /// SNAPSHOT of this peer: what it has, checked by the caller, or `None` if it has nothing. Returns the
    /// snapshot if that was all of it.
    pub fn manifest(
        &mut self,
        peer: NodeId,
        manifest: Option<&Manifest>,
        tip: Height,
    ) -> Option<Snapshot> {
        match manifest {
            None => self.peers.set(peer, Standing::Unable),
            Some(manifest) if manifest.height() <= tip => self.peers.set(peer, Standing::Unable),
            Some(manifest) => {
                self.goal = Some(Goal::Pages(Download {
                    hashes: manifest.pages(),
                    manifest: Arc::new(manifest.clone()),
                    giver: peer,
                    pages: Vec::new(),
                }));
                self.peers.refresh();
            }
        }
        self.peers.rotate(peer);
        self.complete()
    }

    /// An answer of this peer was refused.
    pub fn refuse(&mut self, peer: NodeId) {
        self.peers.strike(peer);
    }

    /// PAGE of this peer. Returns the snapshot if that was the last, or why the page is refused.
    pub fn page(
        &mut self,
        peer: NodeId,
        entries: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Option<Snapshot>, Refusal> {
        let Some(Goal::Pages(download)) = &mut self.goal else {
            return Err(Refusal::Stale);
        };
        if entries.is_empty() {
            // It keeps that snapshot no longer, or not yet.
            self.peers.set(peer, Standing::Unable);
            return Ok(None);
        }
        let hash = &download.hashes[download.pages.len()];
        let Some(page) = pages::page(hash, entries) else {
            self.peers.strike(peer);
            return Err(Refusal::Malformed);
        };
        download.pages.push(page);
        self.peers.praise(peer);
        self.peers.rotate(peer);
        Ok(self.complete())
    }

    /// The snapshot, if it is complete; then the blocks after it are next.
    fn complete(&mut self) -> Option<Snapshot> {
        let Some(Goal::Pages(download)) = &mut self.goal else {
            return None;
        };
        if download.pages.len() < download.hashes.len() {
            return None;
        }
        let pages = std::mem::take(&mut download.pages);
        let snapshot = download.manifest.assemble(pages);
        assert!(snapshot.is_some(), "pages and crown were checked");
        self.goal = Some(Goal::Blocks);
        self.manifests = 0;
        self.gained = true;
        self.peers.refresh();
        snapshot
    }
}

/// Whether a sender who has more could not have put much more into this.
fn is_full(answer: &Blocks) -> bool {
    let bytes = answer.list.iter().map(crate::storage::Stored::wire_len);
    answer.list.len() == ANSWER_BLOCKS || bytes.sum::<usize>() > ANSWER_BYTES / 2
}

fn after(now: LocalTime, span: Duration) -> Mono {
    Mono(now.mono.0.saturating_add(span.as_nanos() as u64))
}
