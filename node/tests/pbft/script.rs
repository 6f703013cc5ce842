//! One replica under test; everybody else is played by the test, which holds all keys.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Header, Results},
    crypto::{Keypair, SignatureMode, Signed},
    engine::Refusal,
    pbft::{
        CHECKPOINT, COMMIT, Config, NewView, PREPARE, PbftMessage, PrePrepare, Prepared, Proposal,
        Timer, ViewChange,
    },
    quorum::{Certificate, Phase, Vote},
    transaction::Transaction,
    types::{ChainId, Digest, NodeId, Seq, View, Wall},
};

use crate::{Net, net_with, support::EPOCH};

/// One replica and the words of the others.
pub(crate) struct Script {
    pub(crate) net: Net,
    pub(crate) me: u16,
    heard: usize,
}

impl Script {
    /// Replica `me` of `n`; nothing that it sends arrives anywhere.
    pub(crate) fn new(n: usize, me: u16, config: Config) -> Self {
        Self::of(net_with(n, config), me)
    }

    /// Replica `me` of a network; nothing that it sends arrives anywhere.
    pub(crate) fn of(mut net: Net, me: u16) -> Self {
        net.groups = (0..net.replicas.len() as u8).collect();
        Self { net, me, heard: 0 }
    }

    pub(crate) fn quorum(&self) -> usize {
        self.net.committee.quorum()
    }

    pub(crate) fn leader(&self, view: u64) -> u16 {
        self.net.committee.leader(View(view)).0
    }

    /// The members that back the leader of `view`, without it.
    pub(crate) fn backups(&self, view: u64) -> Vec<u16> {
        let leader = self.leader(view);
        let all = self.net.committee.nodes().map(|node| node.0);
        all.filter(|node| *node != leader).collect()
    }

    /// Everyone but the replica under test.
    pub(crate) fn others(&self) -> Vec<u16> {
        let all = self.net.committee.nodes().map(|node| node.0);
        all.filter(|node| *node != self.me).collect()
    }

    /// A block with one new transaction.
    pub(crate) fn block(&mut self, parent: &Arc<Block>) -> Arc<Block> {
        let transaction = self.net.transaction();
        block_of(parent, vec![transaction], 1)
    }

    /// A chain of blocks on genesis.
    pub(crate) fn chain(&mut self, length: usize) -> Vec<Arc<Block>> {
        let mut chain = vec![Arc::clone(&self.net.genesis)];
        for _ in 0..length {
            let next = self.block(&chain[chain.len() - 1].clone());
            chain.push(next);
        }
        chain.split_off(1)
    }

    pub(crate) fn claim(&self, view: u64, seq: u64, digest: Digest) -> Signed<Proposal> {
        let leader = self.leader(view);
        let (view, seq) = (View(view), Seq(seq));
        let key = &self.net.keys[leader as usize];
        key.sign(NodeId(leader), Proposal { view, seq, digest })
    }

    pub(crate) fn pre_prepare(&self, view: u64, seq: u64, block: &Arc<Block>) -> PbftMessage {
        PbftMessage::PrePrepare(PrePrepare {
            claim: self.claim(view, seq, block.id()),
            block: Some(Arc::clone(block)),
        })
    }

    pub(crate) fn vote(
        &self,
        from: u16,
        phase: Phase,
        view: u64,
        seq: u64,
        digest: Digest,
    ) -> Signed<Vote> {
        let vote = Vote {
            phase,
            view: View(view),
            slot: Seq(seq),
            digest,
        };
        self.net.keys[from as usize].sign(NodeId(from), vote)
    }

    pub(crate) fn prepare(&self, from: u16, view: u64, seq: u64, digest: Digest) -> PbftMessage {
        PbftMessage::Prepare(self.vote(from, PREPARE, view, seq, digest))
    }

    pub(crate) fn commit(&self, from: u16, view: u64, seq: u64, digest: Digest) -> PbftMessage {
        PbftMessage::Commit(self.vote(from, COMMIT, view, seq, digest))
    }

    pub(crate) fn checkpoint(&self, from: u16, seq: u64, digest: Digest) -> PbftMessage {
        PbftMessage::Checkpoint(self.vote(from, CHECKPOINT, 0, seq, digest))
    }

    /// A certificate of these members for one vote.
    pub(crate) fn certificate(
        &self,
        signers: &[u16],
        phase: Phase,
        view: u64,
        seq: u64,
        digest: Digest,
    ) -> Certificate {
        let votes: Vec<_> = signers
            .iter()
            .map(|from| self.vote(*from, phase, view, seq, digest))
            .collect();
        Certificate::collect(&votes).expect("some signers")
    }

    /// Proof that `digest` was prepared, by the leader of `view` and the first q−1 of its backups.
    pub(crate) fn prepared(&self, view: u64, seq: u64, digest: Digest) -> Arc<Prepared> {
        let backups = self.backups(view);
        let signers = &backups[..self.quorum() - 1];
        Arc::new(Prepared {
            claim: self.claim(view, seq, digest),
            prepares: Some(self.certificate(signers, PREPARE, view, seq, digest)),
        })
    }

    /// Proof of a stable checkpoint by the first q members.
    pub(crate) fn stable(&self, seq: u64, digest: Digest) -> Certificate {
        let signers: Vec<u16> = (0..self.quorum() as u16).collect();
        self.certificate(&signers, CHECKPOINT, 0, seq, digest)
    }

    pub(crate) fn view_change(
        &self,
        from: u16,
        view: u64,
        stable: Option<&Certificate>,
        prepared: Vec<Arc<Prepared>>,
    ) -> Arc<Signed<ViewChange>> {
        let change = ViewChange {
            view: View(view),
            stable: stable.map_or(Seq(0), |certificate| certificate.vote().slot),
            proof: stable.cloned(),
            prepared,
        };
        Arc::new(self.net.keys[from as usize].sign(NodeId(from), change))
    }

    pub(crate) fn new_view(
        &self,
        view: u64,
        changes: Vec<Arc<Signed<ViewChange>>>,
        proposals: Vec<Signed<Proposal>>,
    ) -> PbftMessage {
        let leader = self.leader(view);
        let message = NewView {
            view: View(view),
            changes,
            proposals,
        };
        PbftMessage::NewView(Arc::new(
            self.net.keys[leader as usize].sign(NodeId(leader), message),
        ))
    }

    /// Delivers a message to the replica under test; says why it was refused, if it was.
    pub(crate) fn give(&mut self, message: &PbftMessage) -> Vec<Refusal> {
        let before = self.net.replica(self.me).refusals.len();
        let from = NodeId(self.others()[0]);
        self.net.inject(from, NodeId(self.me), message);
        self.net.replica(self.me).refusals[before..].to_vec()
    }

    pub(crate) fn fire(&mut self, timer: Timer) {
        self.net.fire(self.me, timer);
    }

    /// What the replica under test sent since the last call; a broadcast counts once.
    pub(crate) fn said(&mut self) -> Vec<Arc<PbftMessage>> {
        let mut said: Vec<Arc<PbftMessage>> = Vec::new();
        for sent in &self.net.trace[self.heard..] {
            let repeated = said
                .last()
                .is_some_and(|last| Arc::ptr_eq(last, &sent.message));
            if sent.from == NodeId(self.me) && !repeated {
                said.push(Arc::clone(&sent.message));
            }
        }
        self.heard = self.net.trace.len();
        said
    }

    /// Names of what it sent since the last call.
    pub(crate) fn names(&mut self) -> Vec<&'static str> {
        use consortium_node::engine::Message as _;
        self.said()
            .iter()
            .map(|message| message.kind().name)
            .collect()
    }

    /// Its chain, without genesis.
    pub(crate) fn executed(&self) -> Vec<Digest> {
        let chain = &self.net.replica(self.me).host.chain;
        chain[1..].iter().map(|block| block.id()).collect()
    }

    pub(crate) fn engine(&self) -> &consortium_node::pbft::Pbft {
        &self.net.replica(self.me).engine
    }

    /// Drives slots 1.. of view 0 through to execution at the replica under test, a backup.
    pub(crate) fn decide(&mut self, blocks: &[Arc<Block>]) {
        for (block, seq) in blocks.iter().zip(1..) {
            self.give(&self.pre_prepare(0, seq, block));
            for from in self.others() {
                if from != self.leader(0) {
                    self.give(&self.prepare(from, 0, seq, block.id()));
                }
                self.give(&self.commit(from, 0, seq, block.id()));
            }
        }
        assert_eq!(self.engine().executed(), Seq(blocks.len() as u64));
    }
}

/// A key of another chain.
pub(crate) fn foreign_key(seed: u8) -> Arc<Keypair> {
    Keypair::from_seed([seed; 32], ChainId(1), SignatureMode::Lazy)
}

/// A block of these transactions, so much later than its parent.
pub(crate) fn block_of(
    parent: &Arc<Block>,
    transactions: Vec<Arc<Transaction>>,
    later_ns: u64,
) -> Arc<Block> {
    let header = Header {
        height: parent.header().height.next(),
        parent: parent.id(),
        transactions_root: Digest::ZERO,
        results: Results::default(),
        timestamp: Wall(parent.header().timestamp.0.max(EPOCH) + later_ns),
        proposer: NodeId(0),
        extra: Vec::new(),
    };
    Block::new(header, transactions)
}
