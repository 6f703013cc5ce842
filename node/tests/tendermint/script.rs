//! One validator under test; everybody else is played by the test, which holds all keys.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Header, Results},
    crypto::Signed,
    engine::{Message as _, Refusal},
    quorum::{Certificate, Phase, Vote},
    tendermint::{
        Claim, Config, Decided, PRECOMMIT, PREVOTE, Polka, Proposal, Tendermint, TendermintMessage,
        Timer,
    },
    types::{Digest, NodeId, Seq, View, Wall},
};

use crate::{
    Net, net_with,
    support::{EPOCH, Sent},
};

/// Zero stands for no block.
pub(crate) const NIL: Digest = Digest::ZERO;

/// One validator in height 1, and the words of the others.
pub(crate) struct Script {
    pub(crate) net: Net,
    pub(crate) me: u16,
    heard: usize,
}

impl Script {
    /// Validator `me` of four; nothing that it sends arrives anywhere, and something waits there.
    pub(crate) fn new(me: u16) -> Self {
        Self::of(net_with(4, Config::default()), me)
    }

    pub(crate) fn of(mut net: Net, me: u16) -> Self {
        net.groups = (0..net.replicas.len() as u8).collect();
        let transaction = net.transaction();
        net.submit_to(NodeId(me), &transaction);
        Self { net, me, heard: 0 }
    }

    pub(crate) fn engine(&self) -> &Tendermint {
        &self.net.replica(self.me).engine
    }

    /// A block of the proposer of this round, with one new transaction.
    pub(crate) fn block(&mut self, round: u64) -> Arc<Block> {
        let transaction = self.net.transaction();
        let genesis = self.net.genesis.header();
        let header = Header {
            height: genesis.height.next(),
            parent: self.net.genesis.id(),
            transactions_root: NIL,
            results: Results::default(),
            timestamp: Wall(EPOCH + 1 + round),
            proposer: self.net.committee.turn(round),
            extra: Vec::new(),
        };
        Block::new(header, vec![transaction])
    }

    pub(crate) fn vote(&self, from: u16, phase: Phase, round: u64, digest: Digest) -> Signed<Vote> {
        let vote = Vote {
            phase,
            view: View(round),
            slot: Seq(1),
            digest,
        };
        self.net.keys[usize::from(from)].sign(NodeId(from), vote)
    }

    pub(crate) fn certificate(
        &self,
        from: &[u16],
        phase: Phase,
        round: u64,
        digest: Digest,
    ) -> Certificate {
        let votes = from
            .iter()
            .map(|from| self.vote(*from, phase, round, digest));
        let votes: Vec<_> = votes.collect();
        Certificate::collect(&votes).expect("votes")
    }

    /// What the proposer of the round offers.
    pub(crate) fn proposal(
        &self,
        round: u64,
        block: &Arc<Block>,
        valid_round: Option<u64>,
        polka: Option<Certificate>,
    ) -> TendermintMessage {
        let claim = Claim {
            view: View(round),
            height: Seq(1),
            valid_round,
            digest: block.id(),
        };
        let proposer = self.net.committee.turn(round);
        TendermintMessage::Proposal(Proposal {
            claim: self.net.keys[proposer.index()].sign(proposer, claim),
            block: Arc::clone(block),
            polka: polka.map(Arc::new),
        })
    }

    pub(crate) fn polka(&self, from: &[u16], round: u64, block: &Arc<Block>) -> TendermintMessage {
        TendermintMessage::Polka(Polka {
            certificate: Arc::new(self.certificate(from, PREVOTE, round, block.id())),
            block: Some(Arc::clone(block)),
        })
    }

    pub(crate) fn decided(
        &self,
        from: &[u16],
        round: u64,
        block: &Arc<Block>,
    ) -> TendermintMessage {
        TendermintMessage::Decided(Arc::new(Decided {
            certificate: self.certificate(from, PRECOMMIT, round, block.id()),
            block: Arc::clone(block),
        }))
    }

    /// Delivers a message; what was refused.
    pub(crate) fn give(&mut self, message: &TendermintMessage) -> Vec<Refusal> {
        let before = self.net.replica(self.me).refusals.len();
        self.net.inject(NodeId(0), NodeId(self.me), message);
        self.net.replica(self.me).refusals[before..].to_vec()
    }

    /// Delivers the proposal of a fresh block.
    pub(crate) fn offer(&mut self, round: u64) -> Arc<Block> {
        let block = self.block(round);
        self.give(&self.proposal(round, &block, None, None));
        block
    }

    pub(crate) fn prevotes(&mut self, from: &[u16], round: u64, digest: Digest) {
        for from in from {
            self.give(&TendermintMessage::Prevote(
                self.vote(*from, PREVOTE, round, digest),
            ));
        }
    }

    pub(crate) fn precommits(&mut self, from: &[u16], round: u64, digest: Digest) {
        for from in from {
            self.give(&TendermintMessage::Precommit(
                self.vote(*from, PRECOMMIT, round, digest),
            ));
        }
    }

    pub(crate) fn fire(&mut self, timer: Timer) {
        self.net.fire(self.me, timer);
    }

    /// Ends a round in which nobody did anything else: all others say nil.
    pub(crate) fn idle_round(&mut self, round: u64) {
        self.fire(Timer::Propose(Seq(1), round));
        let others: Vec<u16> = (0..4).filter(|node| *node != self.me).collect();
        self.prevotes(&others, round, NIL);
        self.precommits(&others, round, NIL);
        self.fire(Timer::Precommit(Seq(1), round));
    }

    /// What it said to the next member since it was asked last.
    pub(crate) fn said(&mut self) -> Vec<Arc<TendermintMessage>> {
        let to = NodeId((self.me + 1) % self.net.replicas.len() as u16);
        let mine = |sent: &&Sent<TendermintMessage>| sent.from.0 == self.me && sent.to == to;
        let said = self.net.trace[self.heard..].iter().filter(mine);
        let said = said.map(|sent| Arc::clone(&sent.message)).collect();
        self.heard = self.net.trace.len();
        said
    }

    /// The same in short: kind, round, and what was voted for or proposed.
    pub(crate) fn words(&mut self) -> Vec<(&'static str, u64, Digest)> {
        let said = self.said();
        let said = said.iter().filter_map(|message| {
            let digest = match &**message {
                TendermintMessage::Proposal(said) => said.claim.body().digest,
                TendermintMessage::Prevote(vote) | TendermintMessage::Precommit(vote) => {
                    vote.body().digest
                }
                _ => return None,
            };
            Some((message.kind().name, message.slot().view.round(), digest))
        });
        said.collect()
    }

    pub(crate) fn chain(&self) -> Vec<Digest> {
        let chain = self.net.replica(self.me).host.chain[1..].iter();
        chain.map(|block| block.id()).collect()
    }
}
