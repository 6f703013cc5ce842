//! A node as the outside sees it: packets and timers in, actions out.
//!
//! [`Node`] hides which protocol runs inside. Packets carry a protocol's messages type-erased;
//! [`ConsensusPacket::message`] recovers the type once, at the engine's door.

use std::{any::Any, fmt::Debug, sync::Arc, time::Duration};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::{Block, Results},
    codec::{self, CodecError},
    crypto::{Keypair, SIGNATURE_LEN, Signable, Signed},
    engine::{
        Engine, FaultModel, Forks, Kind, Message, Refusal, ReplyRule, Slot, Status, Tale, Work,
    },
    execute_order_validate::RolePacket,
    ledger::{Entry, Ledger},
    membership::Term,
    quorum::{FinalityRule, QuorumRule},
    rewrite::{Pen, Rewrite},
    storage::{LogRecord, Recovered, Write},
    sync::SyncPacket,
    transaction::{Outcome, Transaction},
    types::{BlockId, Height, LocalTime, Mono, NodeId, TxId},
};

/// What travels between nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Packet {
    /// A message of the consensus protocol.
    Consensus(ConsensusPacket),
    /// A transaction on its way to whoever may propose it.
    Relay(Arc<Transaction>),
    /// Between a gateway and a validator.
    Client(ClientPacket),
    /// Between validators, when one of them catches up.
    Sync(Arc<SyncPacket>),
    /// Between the roles of execute-order-validate.
    Role(RolePacket),
}

/// Between a gateway and a validator.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum ClientPacket {
    /// Please order this.
    Submit(Arc<Transaction>),
    /// What became of transactions of yours: one signed page for all of a block.
    Receipts(Arc<Signed<ReceiptPage>>),
    /// This will not be ordered; why.
    Refused {
        /// Which transaction.
        tx: TxId,
        /// Why.
        reason: TxRefusal,
    },
}

/// Why a node refused a transaction at the door.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = false)]
pub enum TxRefusal {
    /// Not signed by the party that it names.
    BadSignature,
    /// The party is unknown.
    UnknownParty,
    /// The party may read only.
    ReadOnly,
    /// Its number was used before by another transaction, or is too old.
    StaleNonce,
    /// The mempool is full.
    Full,
    /// No block can hold it.
    TooLarge,
    /// It came without endorsements to a node that orders or keeps envelopes and endorses nothing.
    Unendorsed,
}

/// What a validator signs for a gateway.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReceiptPage {
    /// The block.
    pub block: BlockId,
    /// Its height.
    pub height: Height,
    /// What became of the gateway's transactions in it.
    pub entries: Vec<(TxId, Outcome)>,
}

impl Signable for ReceiptPage {
    type Signer = NodeId;
    const DOMAIN: &'static str = "receipts";
}

/// A protocol's message with its type erased.
#[derive(Clone, Debug)]
pub struct ConsensusPacket(Arc<dyn AnyMessage>);

trait AnyMessage: Debug {
    fn as_any(&self) -> &dyn Any;
    fn label(&self) -> (Kind, Slot);
    fn wire_len(&self) -> usize;
    fn demand(&self) -> Demand;
    fn encode(&self) -> Vec<u8>;
    fn conflicting(
        &self,
        key: &Arc<Keypair>,
        me: NodeId,
        forks: &mut Forks,
    ) -> Option<ConsensusPacket>;
    fn rewrite(&self, change: Rewrite, pen: Pen<'_, ConsensusPacket>) -> Option<ConsensusPacket>;
}

impl<M: Message> AnyMessage for M {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn label(&self) -> (Kind, Slot) {
        (self.kind(), self.slot())
    }

    fn wire_len(&self) -> usize {
        Message::wire_len(self)
    }

    fn demand(&self) -> Demand {
        Demand {
            checks: self.signatures() as u32,
            hashed_bytes: self.hashed_bytes() as u64,
        }
    }

    fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    fn conflicting(
        &self,
        key: &Arc<Keypair>,
        me: NodeId,
        forks: &mut Forks,
    ) -> Option<ConsensusPacket> {
        Message::conflicting(self, key, me, forks).map(|lie| ConsensusPacket::new(Arc::new(lie)))
    }

    fn rewrite(&self, change: Rewrite, pen: Pen<'_, ConsensusPacket>) -> Option<ConsensusPacket> {
        let mut pen = Pen {
            key: pen.key,
            me: pen.me,
            quorum: pen.quorum,
            earlier: pen.earlier.and_then(ConsensusPacket::message::<M>),
            forks: pen.forks,
        };
        Message::rewrite(self, change, &mut pen).map(|lie| ConsensusPacket::new(Arc::new(lie)))
    }
}

impl ConsensusPacket {
    /// Hides the type of a message.
    pub fn new<M: Message>(message: Arc<M>) -> Self {
        Self(message)
    }

    /// The message, if it is of this protocol.
    pub fn message<M: Message>(&self) -> Option<&M> {
        self.0.as_any().downcast_ref()
    }

    /// Its kind and slot.
    pub fn label(&self) -> (Kind, Slot) {
        self.0.label()
    }

    /// See [`Message::conflicting`].
    pub fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        self.0.conflicting(key, me, forks)
    }

    /// See [`Message::rewrite`].
    pub fn rewrite(&self, change: Rewrite, pen: Pen<'_, Self>) -> Option<Self> {
        self.0.rewrite(change, pen)
    }
}

/// What a receiver must do before a packet can be used; any core can do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// Signatures to check.
    pub checks: u32,
    /// Bytes to hash.
    pub hashed_bytes: u64,
}

const RELAY: Kind = Kind {
    name: "RELAY",
    code: 128,
    proposal: false,
};
const SUBMIT: Kind = Kind {
    name: "SUBMIT",
    code: 129,
    proposal: false,
};
const RECEIPTS: Kind = Kind {
    name: "RECEIPTS",
    code: 130,
    proposal: false,
};
const REFUSED: Kind = Kind {
    name: "REFUSED",
    code: 131,
    proposal: false,
};

impl Packet {
    /// Names of the kinds that are neither a protocol's own nor of nodes that catch up.
    pub const NAMES: [&'static str; 8] = [
        RELAY.name,
        SUBMIT.name,
        RECEIPTS.name,
        REFUSED.name,
        "PROPOSE",
        "ENDORSEMENT",
        "DELIVER",
        "FETCH-BLOCKS",
    ];

    /// Its kind and slot, all that a network or a fingerprint may know of it.
    pub fn label(&self) -> (Kind, Slot) {
        let kind = match self {
            Self::Consensus(packet) => return packet.label(),
            Self::Sync(packet) => return packet.label(),
            Self::Role(packet) => return packet.label(),
            Self::Relay(_) => RELAY,
            Self::Client(ClientPacket::Submit(_)) => SUBMIT,
            Self::Client(ClientPacket::Receipts(_)) => RECEIPTS,
            Self::Client(ClientPacket::Refused { .. }) => REFUSED,
        };
        (kind, Slot::default())
    }

    /// Bytes on the wire: exactly the length of its encoding.
    pub fn wire_len(&self) -> usize {
        1 + match self {
            Self::Consensus(packet) => packet.0.wire_len(),
            Self::Role(packet) => packet.wire_len(),
            Self::Relay(transaction) => transaction.wire_len(),
            Self::Client(ClientPacket::Submit(transaction)) => 1 + transaction.wire_len(),
            Self::Client(ClientPacket::Receipts(page)) => {
                let page = borsh::object_length(page.body()).expect("pages are finite");
                1 + page + 2 + SIGNATURE_LEN
            }
            Self::Client(ClientPacket::Refused { .. }) => 1 + 32 + 1,
            Self::Sync(packet) => packet.wire_len(),
        }
    }

    /// What an equivocator sends in its place; see [`Message::conflicting`].
    pub fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::Consensus(packet) => packet.conflicting(key, me, forks).map(Self::Consensus),
            Self::Role(packet) => packet.conflicting(key, me, forks).map(Self::Role),
            Self::Relay(_) | Self::Client(_) | Self::Sync(_) => None,
        }
    }

    /// What the receiver must do before it can use it.
    pub fn demand(&self) -> Demand {
        match self {
            Self::Consensus(packet) => packet.0.demand(),
            Self::Role(packet) => packet.demand(),
            Self::Relay(transaction) | Self::Client(ClientPacket::Submit(transaction)) => Demand {
                checks: 1,
                hashed_bytes: transaction.wire_len() as u64,
            },
            Self::Client(ClientPacket::Receipts(_)) => Demand {
                checks: 1,
                hashed_bytes: 0,
            },
            Self::Client(ClientPacket::Refused { .. }) => Demand::default(),
            Self::Sync(packet) => Demand {
                checks: packet.signatures() as u32,
                hashed_bytes: packet.hashed_bytes() as u64,
            },
        }
    }

    /// The bytes that a real socket would carry.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Consensus(packet) => [vec![0], packet.0.encode()].concat(),
            Self::Relay(transaction) => codec::encode(&(1u8, transaction)),
            Self::Client(packet) => codec::encode(&(2u8, packet)),
            Self::Sync(packet) => codec::encode(&(3u8, packet)),
            Self::Role(packet) => codec::encode(&(4u8, packet)),
        }
    }

    /// Reads a packet of a network that runs protocol `E`.
    pub fn decode<E: Engine>(bytes: &[u8]) -> Result<Self, CodecError> {
        let (tag, body) = bytes
            .split_first()
            .ok_or(CodecError::refused("an empty packet"))?;
        Ok(match tag {
            0 => Self::Consensus(ConsensusPacket::new::<E::Message>(Arc::new(codec::decode(
                body,
            )?))),
            1 => Self::Relay(codec::decode(body)?),
            2 => Self::Client(codec::decode(body)?),
            3 => Self::Sync(codec::decode(body)?),
            4 => Self::Role(codec::decode(body)?),
            _ => return Err(CodecError::refused("an unknown kind of packet")),
        })
    }
}

/// Names an armed timer of a node. A node forgets those it disarmed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TimerId(pub u64);

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// It starts.
    Start,
    /// It starts again, with what its disk holds.
    Recovered(&'a Recovered),
    /// A packet arrived.
    Packet {
        /// From this address (not authenticated).
        from: NodeId,
        /// What.
        packet: &'a Packet,
    },
    /// A timer that it armed.
    Timer(TimerId),
}

/// What a node wants done, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send this.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        packet: Packet,
    },
    /// Wake it after this long on its own clock.
    Arm {
        /// The name to wake it with.
        timer: TimerId,
        /// From now.
        after: Duration,
    },
    /// Write this to the disk; see [`Write`] for what waits for it.
    Persist(Write),
    /// Tell the observers.
    Note(Note),
}

/// What a node tells those who watch. Observers decide nothing.
#[derive(Clone, Debug)]
pub enum Note {
    /// Its engine tells.
    Engine(Tale),
    /// A transaction entered the mempool for the first time.
    Admitted(TxId),
    /// A transaction was refused at the door.
    TxRefused {
        /// Which.
        tx: TxId,
        /// Why.
        reason: TxRefusal,
    },
    /// A message changed nothing.
    Refused(Refusal),
    /// The chain grew by this block; it has been executed.
    Appended(Arc<Entry>),
    /// Its chain says who decides from a later height on.
    Scheduled(Term),
    /// It starts again from this height of its chain.
    Recovered {
        /// The height.
        height: Height,
    },
    /// Its chain begins with this block now: it took over a snapshot, checked, in place of all blocks up
    /// to here.
    Adopted {
        /// The height.
        height: Height,
        /// The block.
        block: BlockId,
        /// What executing the chain up to it gave.
        results: Results,
    },
    /// The newest block was taken off the chain, because another branch is better.
    Retracted {
        /// Which.
        block: Arc<Block>,
    },
    /// This node now answers submitters that this block may be relied on.
    Relied {
        /// Which.
        block: BlockId,
        /// Its height.
        height: Height,
    },
}

/// Where a node puts its actions.
#[derive(Debug, Default)]
pub struct Actions {
    /// In order.
    pub list: Vec<Action>,
    /// What the step did.
    pub work: Work,
}

impl Actions {
    /// Adds a packet to send.
    pub fn send(&mut self, to: NodeId, packet: Packet) {
        self.list.push(Action::Send { to, packet });
    }

    /// Adds a note for the observers.
    pub fn note(&mut self, note: Note) {
        self.list.push(Action::Note(note));
    }

    /// Adds work that was done.
    pub fn add_work(&mut self, work: Work) {
        self.work.signatures += work.signatures;
        self.work.checks += work.checks;
        self.work.hashed_bytes += work.hashed_bytes;
        self.work.executed += work.executed;
    }
}

/// Where a node stands.
#[derive(Clone, Copy, Debug)]
pub struct NodeStatus {
    /// Its engine.
    pub engine: Status,
    /// Height of its chain.
    pub height: Height,
    /// Transactions that wait.
    pub pending: usize,
    /// Since when the oldest waits.
    pub oldest: Option<Mono>,
}

/// What the outside needs to know of a node's protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claims {
    /// Name of the protocol.
    pub protocol: &'static str,
    /// What it claims to bear.
    pub faults: FaultModel,
    /// When a submitter may rely on an answer.
    pub reply: ReplyRule,
    /// How many of those who decide a decision takes.
    pub quorum: QuorumRule,
    /// What an outsider can check of a decision, if anything.
    pub finality: Option<FinalityRule>,
}

/// What runs on a member's machine, whatever protocol it is.
pub trait Node {
    /// Its address.
    fn id(&self) -> NodeId;
    /// What its protocol claims.
    fn claims(&self) -> Claims;
    /// Takes one event.
    fn handle(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions);
    /// Where it stands.
    fn status(&self) -> NodeStatus;
    /// Its chain and state.
    fn ledger(&self) -> &Ledger;
    /// Reads a packet from bytes.
    fn decode(&self, bytes: &[u8]) -> Result<Packet, CodecError>;
    /// Reads a record of its log from bytes.
    fn decode_record(&self, bytes: &[u8]) -> Result<LogRecord, CodecError>;
}
