//! One validator under test; everybody else is played by the test, which holds all keys.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Header, Results},
    crypto::Signed,
    engine::{Message as _, Refusal},
    qbft::{
        COMMIT, Change, Claim, Config, PREPARE, PROPOSE, Proposal, Qbft, QbftMessage, RoundChange,
        Timer,
    },
    quorum::{Certificate, Phase, Vote},
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

    /// PROPOSAL for this round of the block's height, without a justification.
    pub(crate) fn propose(&self, from: u16, round: u64, block: &Arc<Block>) -> QbftMessage {
        self.justified(from, round, block, &[], None)
    }

    /// PROPOSAL with these ROUND-CHANGEs and PREPAREs.
    pub(crate) fn justified(
        &self,
        from: u16,
        round: u64,
        block: &Arc<Block>,
        changes: &[&QbftMessage],
        prepared: Option<Certificate>,
    ) -> QbftMessage {
        let height = block.header().height.0;
        let changes = changes.iter().map(|message| match message {
            QbftMessage::RoundChange(said) => said.change.clone(),
            _ => panic!("a ROUND-CHANGE"),
        });
        QbftMessage::Proposal(Arc::new(Proposal {
            claim: self.word(from, PROPOSE, (height, round), block.id()),
            block: Arc::clone(block),
            changes: changes.collect(),
            prepared,
        }))
    }

    /// PREPAREs of these members.
    pub(crate) fn prepared(&self, signers: &[u16], round: u64, block: &Block) -> Certificate {
        let at = (block.header().height.0, round);
        let words = signers
            .iter()
            .map(|from| self.word(*from, PREPARE, at, block.id()));
        Certificate::collect(&words.collect::<Vec<_>>()).expect("some signers")
    }

    pub(crate) fn prepare(&self, from: u16, round: u64, block: &Block) -> QbftMessage {
        let at = (block.header().height.0, round);
        QbftMessage::Prepare(self.word(from, PREPARE, at, block.id()))
    }

    pub(crate) fn commit(&self, from: u16, round: u64, block: &Block) -> QbftMessage {
        let at = (block.header().height.0, round);
        QbftMessage::Commit(self.word(from, COMMIT, at, block.id()))
    }

    /// ROUND-CHANGE that claims nothing.
    pub(crate) fn change(&self, from: u16, height: u64, round: u64) -> QbftMessage {
        self.changed(from, (height, round), None, None, None)
    }

    /// ROUND-CHANGE that claims this block, prepared in that round by these members.
    pub(crate) fn claiming(
        &self,
        from: u16,
        round: u64,
        block: &Arc<Block>,
        (prepared, signers): (u64, &[u16]),
    ) -> QbftMessage {
        let claim = Claim {
            view: View(prepared),
            digest: block.id(),
        };
        let certificate = self.prepared(signers, prepared, block);
        let at = (block.header().height.0, round);
        let block = Some(Arc::clone(block));
        self.changed(from, at, Some(claim), Some(certificate), block)
    }

    pub(crate) fn changed(
        &self,
        from: u16,
        (height, round): (u64, u64),
        prepared: Option<Claim>,
        certificate: Option<Certificate>,
        block: Option<Arc<Block>>,
    ) -> QbftMessage {
        let change = Change {
            view: View(round),
            slot: Seq(height),
            prepared,
        };
        QbftMessage::RoundChange(Arc::new(RoundChange {
            change: self.net.keys[usize::from(from)].sign(NodeId(from), change),
            certificate,
            block,
        }))
    }

    /// Delivers a message; says why it was refused, if it was.
    pub(crate) fn give(&mut self, message: &QbftMessage) -> Vec<Refusal> {
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

    /// Kinds and rounds of what it broadcast since the last call.
    pub(crate) fn said(&mut self) -> Vec<(&'static str, u64)> {
        let short = |m: Arc<QbftMessage>| (m.kind().name, m.slot().view.round());
        self.words().into_iter().map(short).collect()
    }

    /// What it broadcast since the last call.
    pub(crate) fn words(&mut self) -> Vec<Arc<QbftMessage>> {
        let mut said: Vec<Arc<QbftMessage>> = Vec::new();
        for sent in &self.net.trace[self.heard..] {
            let again = said
                .last()
                .is_some_and(|last| Arc::ptr_eq(last, &sent.message));
            if sent.from == NodeId(self.me) && !again {
                said.push(Arc::clone(&sent.message));
            }
        }
        self.heard = self.net.trace.len();
        said
    }

    pub(crate) fn engine(&self) -> &Qbft {
        &self.net.replica(self.me).engine
    }

    pub(crate) fn height(&self) -> usize {
        crate::height(&self.net, self.me)
    }
}
