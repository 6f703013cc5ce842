//! One validator under test; everybody else is played by the test, which holds all keys.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Header, Results},
    crypto::Signed,
    engine::{Message as _, Refusal},
    ibft::{COMMIT, Config, Ibft, IbftMessage, PREPARE, PROPOSE, PrePrepare, ROUND_CHANGE, Timer},
    quorum::{Phase, Vote},
    types::{Digest, Height, NodeId, Seq, View, Wall},
};

use crate::{Net, net_with, support::EPOCH};

pub(crate) struct Script {
    pub(crate) net: Net,
    pub(crate) me: u16,
    heard: usize,
}

impl Script {
    /// Validator `me` of `n`; nothing that it sends arrives anywhere.
    pub(crate) fn new(n: usize, me: u16, config: Config) -> Self {
        Self::of(net_with(n, config), me)
    }

    pub(crate) fn of(mut net: Net, me: u16) -> Self {
        net.groups = (0..net.replicas.len() as u8).collect();
        net.hosts_sync = false;
        Self { net, me, heard: 0 }
    }

    /// A block of `proposer` on this one.
    pub(crate) fn block(&mut self, parent: &Block, proposer: u16) -> Arc<Block> {
        let header = Header {
            height: parent.header().height.next(),
            parent: parent.id(),
            transactions_root: Digest::ZERO,
            results: Results::default(),
            timestamp: Wall(parent.header().timestamp.0.max(EPOCH) + 1),
            proposer: NodeId(proposer),
            extra: Vec::new(),
        };
        let transaction = self.net.transaction();
        Block::new(header, vec![transaction])
    }

    /// A block of the first height.
    pub(crate) fn first(&mut self, proposer: u16) -> Arc<Block> {
        let genesis = Arc::clone(&self.net.genesis);
        self.block(&genesis, proposer)
    }

    pub(crate) fn word(
        &self,
        from: u16,
        phase: Phase,
        (height, round): (u64, u64),
        digest: Digest,
    ) -> Signed<Vote> {
        let vote = Vote {
            phase,
            view: View(round),
            slot: Seq(height),
            digest,
        };
        self.net.keys[usize::from(from)].sign(NodeId(from), vote)
    }

    /// PRE-PREPARE for this round of the block's height.
    pub(crate) fn propose(&self, from: u16, round: u64, block: &Arc<Block>) -> IbftMessage {
        let height = block.header().height.0;
        IbftMessage::PrePrepare(Arc::new(PrePrepare {
            claim: self.word(from, PROPOSE, (height, round), block.id()),
            block: Arc::clone(block),
        }))
    }

    pub(crate) fn prepare(&self, from: u16, round: u64, block: &Block) -> IbftMessage {
        let at = (block.header().height.0, round);
        IbftMessage::Prepare(self.word(from, PREPARE, at, block.id()))
    }

    pub(crate) fn commit(&self, from: u16, round: u64, block: &Block) -> IbftMessage {
        let at = (block.header().height.0, round);
        IbftMessage::Commit(self.word(from, COMMIT, at, block.id()))
    }

    pub(crate) fn change(&self, from: u16, height: u64, round: u64) -> IbftMessage {
        IbftMessage::RoundChange(self.word(from, ROUND_CHANGE, (height, round), Digest::ZERO))
    }

    /// Delivers a message; says why it was refused, if it was.
    pub(crate) fn give(&mut self, message: &IbftMessage) -> Vec<Refusal> {
        let before = self.net.replica(self.me).refusals.len();
        let from = NodeId(u16::from(self.me == 0));
        self.net.inject(from, NodeId(self.me), message);
        self.net.replica(self.me).refusals[before..].to_vec()
    }

    /// The round's timer goes off.
    pub(crate) fn expire(&mut self, height: u64, round: u64) {
        let height = Height(height);
        self.net.fire(self.me, Timer::Round { height, round });
    }

    /// What it broadcast since the last call: kinds and rounds.
    pub(crate) fn said(&mut self) -> Vec<(&'static str, u64)> {
        let mut said: Vec<Arc<IbftMessage>> = Vec::new();
        for sent in &self.net.trace[self.heard..] {
            let again = said
                .last()
                .is_some_and(|last| Arc::ptr_eq(last, &sent.message));
            if sent.from == NodeId(self.me) && !again {
                said.push(Arc::clone(&sent.message));
            }
        }
        self.heard = self.net.trace.len();
        let short = |m: Arc<IbftMessage>| (m.kind().name, m.slot().view.round());
        said.into_iter().map(short).collect()
    }

    pub(crate) fn engine(&self) -> &Ibft {
        &self.net.replica(self.me).engine
    }

    pub(crate) fn height(&self) -> usize {
        crate::height(&self.net, self.me)
    }
}
