//! A peer: validates what was ordered, commits it, and tells the clients whose home it is.

use std::{
    collections::{BTreeMap, btree_map::Entry as Slot},
    sync::Arc,
};

use super::{BATCH, BATCH_BYTES, Channel, EARLY, POLL, RolePacket};
use crate::{
    block::Finality,
    contracts::ContractExecutor,
    crypto::Keypair,
    engine::{Refusal, Tale},
    ledger::{Entry, Executor, Ledger, State},
    node::{Action, Actions, ClientPacket, Note, Packet, ReceiptPage, TimerId},
    storage::{Recovered, Stored, Write},
    types::{Height, LocalTime, Mono, NodeId, TxId},
};

/// The peer's only timer. Engines' timers count up from zero.
pub(super) const POLL_TIMER: TimerId = TimerId(u64::MAX);

/// Ledger and state of one machine.
pub struct Peer {
    pub(super) id: NodeId,
    pub(super) key: Arc<Keypair>,
    pub(super) channel: Arc<Channel>,
    pub(super) contracts: ContractExecutor,
    pub(super) ledger: Ledger,
    validation: Arc<dyn Executor>,
    /// Proven blocks above the next height.
    early: BTreeMap<Height, Stored>,
    /// When it last got a block that it needed.
    heard: Mono,
    /// When it last asked for blocks, if nothing has come of it yet.
    asked: Option<Mono>,
    /// How often it has asked: whom to ask next.
    turn: usize,
}

impl Peer {
    /// A peer with an empty ledger on this state. `validation` is what it makes of blocks: a
    /// [`super::Validation`], or one that peers share.
    pub(super) fn new(
        id: NodeId,
        key: Arc<Keypair>,
        channel: Arc<Channel>,
        state: State,
        validation: Arc<dyn Executor>,
    ) -> Self {
        Self {
            contracts: ContractExecutor {
                registry: Arc::clone(&channel.registry),
            },
            id,
            key,
            channel,
            ledger: Ledger::new(state),
            validation,
            early: BTreeMap::new(),
            heard: Mono::default(),
            asked: None,
            turn: 0,
        }
    }

    /// Its ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn start(&mut self, now: LocalTime, actions: &mut Actions) {
        self.heard = now.mono;
        Self::arm(actions);
    }

    /// Validates the chain that its disk holds again, and asks for what came since.
    pub(super) fn recover(&mut self, now: LocalTime, found: &Recovered, actions: &mut Actions) {
        for stored in &found.chain {
            let proof = Some(Arc::clone(&stored.proof));
            actions.work.checks += stored_signatures(stored);
            self.ledger
                .append(Arc::clone(&stored.block), proof, &*self.validation);
        }
        let height = self.ledger.height();
        actions.note(Note::Recovered { height });
        self.heard = now.mono;
        self.fetch(now, actions);
        Self::arm(actions);
    }

    /// Takes blocks from an orderer or another peer. Who sent them does not matter: they prove
    /// themselves.
    pub(super) fn deliver(
        &mut self,
        now: LocalTime,
        list: &[Stored],
        more: bool,
        actions: &mut Actions,
    ) {
        if list.len() > BATCH {
            actions.note(Note::Refused(Refusal::Malformed));
            return;
        }
        for stored in list {
            match self.keep(stored) {
                Ok(()) => self.commit_in_turn(now, actions),
                Err(reason) => Self::refuse(stored, reason, actions),
            }
        }
        if more || !self.early.is_empty() {
            self.fetch(now, actions);
        }
    }

    /// A proven block above the ledger waits for its turn.
    fn keep(&mut self, stored: &Stored) -> Result<(), Refusal> {
        let block = &stored.block;
        let height = block.header().height;
        if !block.is_whole() {
            return Err(Refusal::Malformed);
        }
        if !self.channel.proves(block, &stored.proof) {
            return Err(Refusal::BadSignature);
        }
        if let Some(entry) = self.ledger.entry(height) {
            let same = entry.block.id() == block.id();
            return Err(if same {
                Refusal::Stale
            } else {
                Refusal::Conflicting
            });
        }
        if height.0 > self.ledger.height().0 + EARLY as u64 {
            return Err(Refusal::TooFar);
        }
        match self.early.entry(height) {
            Slot::Vacant(slot) => {
                slot.insert(stored.clone());
                Ok(())
            }
            Slot::Occupied(slot) if slot.get().block.id() == block.id() => Err(Refusal::Stale),
            Slot::Occupied(_) => Err(Refusal::Conflicting),
        }
    }

    /// Counts a block that changed nothing. Two proven blocks of one height are evidence where one
    /// orderer's word proves a block.
    fn refuse(stored: &Stored, reason: Refusal, actions: &mut Actions) {
        actions.note(Note::Refused(reason));
        if let (Refusal::Conflicting, Finality::Certificate(word)) = (reason, &*stored.proof)
            && word.signers().len() == 1
        {
            let height = stored.block.header().height;
            let (_, slot) = RolePacket::Fetch(height).label();
            let by = word.signers().next().expect("one signer");
            actions.note(Note::Engine(Tale::Equivocation { by, slot }));
        }
    }

    fn commit_in_turn(&mut self, now: LocalTime, actions: &mut Actions) {
        while let Some(stored) = self.early.remove(&self.ledger.height().next()) {
            if stored.block.header().parent == self.ledger.head().block.id() {
                self.heard = now.mono;
                self.asked = None;
                self.commit(stored, actions);
            } else {
                Self::refuse(&stored, Refusal::Conflicting, actions);
            }
        }
    }

    fn commit(&mut self, stored: Stored, actions: &mut Actions) {
        let Stored { block, proof } = stored.clone();
        let entry = self.ledger.append(block, Some(proof), &*self.validation);
        let (block, height) = (entry.block.id(), entry.height());
        actions.list.push(Action::Persist(Write::Block(stored)));
        actions.note(Note::Appended(Arc::clone(&entry)));
        actions.note(Note::Relied { block, height });
        let channel = Arc::clone(&self.channel);
        let is_home = |gateway| channel.home(gateway) == Some(self.id);
        self.answer(&entry, |_| true, is_home, actions);
    }

    /// The commit event: one signed page for each gateway that waits for transactions of this block.
    pub(super) fn answer(
        &self,
        entry: &Entry,
        about: impl Fn(&TxId) -> bool,
        whom: impl Fn(NodeId) -> bool,
        actions: &mut Actions,
    ) {
        let mut pages: BTreeMap<NodeId, Vec<_>> = BTreeMap::new();
        for (transaction, receipt) in entry.block.transactions().iter().zip(&*entry.receipts) {
            if let Some(gateway) = transaction.reply_to()
                && about(&receipt.tx)
                && whom(gateway)
            {
                let line = (receipt.tx, receipt.outcome.clone());
                pages.entry(gateway).or_default().push(line);
            }
        }
        for (gateway, entries) in pages {
            let page = ReceiptPage {
                block: entry.block.id(),
                height: entry.height(),
                entries,
            };
            let page = Arc::new(self.key.sign(self.id, page));
            actions.work.signatures += 1;
            actions.send(gateway, Packet::Client(ClientPacket::Receipts(page)));
        }
    }

    /// Answers another peer's FETCH; says nothing if there is nothing.
    pub(super) fn hand_out(&self, from: NodeId, height: Height, actions: &mut Actions) {
        if !self.channel.peers.contains(&from) || from == self.id {
            actions.note(Note::Refused(Refusal::WrongSender));
            return;
        }
        let mut bytes = 0;
        let list: Vec<_> = self
            .ledger
            .entries_from(height.max(Height(1)))
            .take(BATCH)
            .filter_map(|entry| {
                let proof = Arc::clone(entry.proof.as_ref()?);
                let block = Arc::clone(&entry.block);
                Some(Stored { block, proof })
            })
            .take_while(|stored| {
                bytes += stored.wire_len();
                bytes <= BATCH_BYTES || bytes == stored.wire_len()
            })
            .collect();
        if let Some(last) = list.last() {
            let more = last.block.header().height < self.ledger.height();
            actions.send(from, Packet::Role(RolePacket::Deliver { list, more }));
        }
    }

    /// Has there been silence for too long?
    pub(super) fn poll(&mut self, now: LocalTime, actions: &mut Actions) {
        if now.mono.since(self.heard) >= POLL.as_nanos() as u64 {
            self.fetch(now, actions);
        }
        Self::arm(actions);
    }

    /// Asks for what follows, unless an answer may still be on its way: the orderers' machines first,
    /// then the other peers', in turn.
    fn fetch(&mut self, now: LocalTime, actions: &mut Actions) {
        let patience = POLL.as_nanos() as u64;
        if self
            .asked
            .is_some_and(|asked| now.mono.since(asked) < patience)
        {
            return;
        }
        self.asked = Some(now.mono);
        let orders = |peer: &&NodeId| self.channel.orderers.contains(**peer);
        let peers = || self.channel.peers.iter();
        let first = peers().filter(orders);
        let then = peers().filter(|peer| !orders(peer));
        let others: Vec<_> = first.chain(then).filter(|peer| **peer != self.id).collect();
        if others.is_empty() {
            return;
        }
        let whom = *others[self.turn % others.len()];
        self.turn += 1;
        let next = self.ledger.height().next();
        actions.send(whom, Packet::Role(RolePacket::Fetch(next)));
    }

    fn arm(actions: &mut Actions) {
        actions.list.push(Action::Arm {
            timer: POLL_TIMER,
            after: POLL,
        });
    }
}

/// Signatures in a block, for a peer that was handed it without a network card in between.
pub(super) fn stored_signatures(stored: &Stored) -> u32 {
    let transactions = stored.block.transactions().iter();
    transactions.map(|one| one.signatures() as u32).sum()
}
