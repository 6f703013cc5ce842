//! An engine without a will of its own: on its cue it wants what the test wrote down, and it notes
//! what it is told.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};
use consortium_node::{
    block::{Block, Finality, Results},
    crypto::Keypair,
    engine::{
        BlockFault, Effect, Engine, FaultModel, Forks, Input, Kind, Message, Outbox, Record,
        Recovery, Relay, ReplyRule, Slot, Status, Ticket, Want,
    },
    membership::Committee,
    node::Event,
    quorum::{FinalityRule, QuorumRule},
    types::{BlockId, Height, LocalTime, Mono, NodeId, View, Wall},
};

use crate::stage::{Stage, config};

/// The only record: a number.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Mark(pub(crate) u8);

impl Record for Mark {
    fn wire_len(&self) -> usize {
        1
    }
}

/// The only message: go on.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Cue;

impl Message for Cue {
    fn kind(&self) -> Kind {
        Kind {
            name: "CUE",
            code: 0,
            proposal: false,
        }
    }

    fn slot(&self) -> Slot {
        Slot::default()
    }

    fn wire_len(&self) -> usize {
        0
    }

    fn signatures(&self) -> usize {
        0
    }

    fn hashed_bytes(&self) -> usize {
        0
    }

    fn conflicting(&self, _: &Arc<Keypair>, _: NodeId, _: &mut Forks) -> Option<Self> {
        None
    }
}

/// What the engine was told.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Heard {
    Timer(u8),
    Pending(Option<Mono>),
    Payload(Ticket, Arc<Block>),
    Validated(BlockId, Result<(), BlockFault>),
    Executed(BlockId, Results),
    Recovered(Recovery, Vec<u8>, BlockId),
    Synced(BlockId),
    Committee(Height, usize),
}

/// What test and engine share.
#[derive(Default)]
pub(crate) struct Book {
    /// What each cue brings.
    cues: VecDeque<Vec<Effect<Scripted>>>,
    heard: Vec<Heard>,
}

#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) book: Rc<RefCell<Book>>,
    pub(crate) reply: ReplyRule,
    pub(crate) answers: bool,
    /// Whether its head may move.
    pub(crate) branches: bool,
    pub(crate) relay: Relay,
    pub(crate) leader: NodeId,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            book: Rc::default(),
            reply: ReplyRule::One,
            answers: true,
            branches: true,
            relay: Relay::Leader,
            leader: NodeId(0),
        }
    }
}

impl Engine for Scripted {
    type Message = Cue;
    type Timer = u8;
    type Record = Mark;

    const NAME: &'static str = "scripted";
    const FAULTS: FaultModel = FaultModel::Crash;

    fn reply_rule(&self) -> ReplyRule {
        self.reply
    }

    fn answers(&self) -> bool {
        self.answers
    }

    fn has_branches(&self) -> bool {
        self.branches
    }

    fn quorum(&self) -> QuorumRule {
        QuorumRule::Byzantine
    }

    fn finality(&self) -> Option<FinalityRule> {
        None
    }

    fn proves(&self, _: &Committee, _: &Block, _: &Finality) -> bool {
        true
    }

    fn relay(&self) -> Relay {
        self.relay
    }

    fn step(&mut self, _: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        let book = &mut *self.book.borrow_mut();
        book.heard.push(match input {
            Input::Start => return,
            Input::Recovered { disk, records, tip } => {
                let marks = records.iter().map(|mark| mark.0).collect();
                Heard::Recovered(disk, marks, tip.block.id())
            }
            Input::Synced { block, .. } => Heard::Synced(block.id()),
            Input::Committee { from, committee } => Heard::Committee(from, committee.n()),
            Input::Message { .. } => {
                let effects = book.cues.pop_front().expect("a cue that was written");
                out.effects.extend(effects);
                return;
            }
            Input::Timer(timer) => Heard::Timer(timer),
            Input::Pending(oldest) => Heard::Pending(oldest),
            Input::Payload { ticket, block } => Heard::Payload(ticket, block),
            Input::Validated { block, verdict } => Heard::Validated(block, verdict),
            Input::Executed { block, results } => Heard::Executed(block, results),
        });
    }

    fn status(&self) -> Status {
        Status {
            view: View(0),
            leader: self.leader,
            active: true,
            height: Height(0),
        }
    }
}

/// Node 3 of four with a scripted engine, started.
pub(crate) fn scripted(engine: &Scripted) -> Stage<Scripted> {
    let mut stage = Stage::new(4, 3, config(), engine.clone());
    stage.handle(Event::Start).said();
    stage
}

impl Stage<Scripted> {
    /// Has the engine want these, in order.
    pub(crate) fn cue(&mut self, effects: Vec<Effect<Scripted>>) -> &mut Self {
        let book = Rc::clone(&self.node.engine().book);
        book.borrow_mut().cues.push_back(effects);
        self.hear(0, Cue)
    }

    /// What the engine was told since this was last asked.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.node.engine().book.borrow_mut().heard)
    }

    /// The verdict on a block.
    pub(crate) fn verdict(&mut self, block: &Arc<Block>) -> Result<(), BlockFault> {
        self.heard();
        self.cue(vec![Effect::Validate(Arc::clone(block))]);
        let heard = self.heard();
        let [Heard::Validated(id, verdict)] = heard[..] else {
            panic!("one question, one answer: {heard:?}");
        };
        assert_eq!(id, block.id());
        verdict
    }

    /// Judges blocks, all of them good, and makes the last one head.
    pub(crate) fn follow(&mut self, blocks: &[&Arc<Block>]) -> &mut Self {
        for block in blocks {
            assert_eq!(self.verdict(block), Ok(()));
        }
        let head = blocks.last().expect("a head").id();
        self.cue(vec![Effect::Head(head)])
    }

    /// The block that the engine got in answer to its wish, if it got one.
    pub(crate) fn payload(&self) -> Option<Arc<Block>> {
        self.heard().into_iter().find_map(|heard| match heard {
            Heard::Payload(_, block) => Some(block),
            _ => None,
        })
    }
}

/// The wish for a block with something in it, at once.
pub(crate) fn want(parent: BlockId) -> Want {
    Want {
        ticket: Ticket(1),
        parent,
        empty_ok: false,
        not_before: Wall(0),
        extra: Vec::new(),
    }
}

pub(crate) fn finality(block: &Arc<Block>) -> Effect<Scripted> {
    Effect::Final {
        block: Arc::clone(block),
        proof: Arc::new(Finality::Trusted),
    }
}
