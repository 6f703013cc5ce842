//! The consortium's own contract: who decides, and from which height on.
//!
//! There is one, under a well-known id, and it is there from genesis if the founders want their
//! committee to be able to change. Its one function is `approve(from, validators…)`: "from this height
//! on these machines decide, in this turn order". When members that run a Byzantine quorum of the
//! committee's members have approved the very same change, it is scheduled: the state then holds the
//! next committee under a key of its own ([`Seats::key`]), where anybody can prove it.
//!
//! Rules, each with its refusal:
//!
//! - Only members that run a validator of the present committee have a voice, one each, whichever of
//!   their parties speaks (a party that belongs to no member, as sensors do, has none). A member's
//!   later approval takes the place of its earlier one.
//! - One change at a time: while one is scheduled that has not taken effect, no other is approved.
//! - The height is later than the present one by more than `lag`, the heights by which a block may run
//!   ahead of what its proposer has executed. Whoever may vote on the first block of the new committee
//!   has then executed the block that scheduled it. It is not later than [`LONGEST_NOTICE`], so that a
//!   slip of the pen does not rule out changes for ever.
//! - The machines are listed ones of the role validator, none twice, and at least one: nobody could
//!   ever decide anything again, not even who comes next.
//!
//! The quorum is counted over members, not machines: a member that runs two validators has one voice.
//! Source: the general idea is that of ordered configuration changes, with a delay of the pipeline's
//! length (Lamport, Malkhi and Zhou, *Reconfiguring a State Machine*, 2010, §3: R_α).

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Rejection, Stored, arguments, key};
use crate::{
    codec,
    ledger::{State, Store},
    membership::{Committees, NodeRole, Registry, Seats},
    quorum,
    transaction::{ContractId, Value},
    types::{ChainId, Digest, Epoch, Height, MemberId, NodeId, PartyId},
};

/// The one instance. No transaction has this id: it would need a preimage of a chosen digest.
pub const CONTRACT: ContractId = ContractId(Digest(*b"the committee of this consortium"));
/// Name of its template, of which nobody makes another instance.
pub const TEMPLATE: &str = "Consortium";
/// Name of its function.
pub const APPROVE: &str = "approve";
/// Heights that a change may be announced in advance at most.
pub const LONGEST_NOTICE: u64 = 1 << 20;

/// Why the contract refused a call.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller speaks for no member that runs a validator of the present committee.
    #[error("{0} speaks for no member of the present committee")]
    NoVoice(PartyId),
    /// Another change has been scheduled and is not in effect yet.
    #[error("another change takes effect at height {0}")]
    Pending(Height),
    /// Someone might have to vote who has not seen the change.
    #[error("height {from} is too early: {earliest} is the first that all know of in time")]
    TooEarly {
        /// The height that was asked for.
        from: Height,
        /// The first that is possible.
        earliest: Height,
    },
    /// Until then no other change would be possible.
    #[error("height {from} is too late: {latest} is the last that may be planned for")]
    TooLate {
        /// The height that was asked for.
        from: Height,
        /// The last that is possible.
        latest: Height,
    },
    /// Nobody could ever decide anything again.
    #[error("a committee needs a member")]
    Empty,
    /// A repeated voter would count twice.
    #[error("{0} is in the committee twice")]
    Repeated(NodeId),
    /// The registry does not list it as a validator.
    #[error("{0} is not a listed validator")]
    NotValidator(NodeId),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Reverted(refusal.to_string())
    }
}

/// What members approve: from this height on these machines decide.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Change {
    /// The first height that they decide.
    pub from: Height,
    /// All of them, in turn order.
    pub validators: Vec<NodeId>,
}

impl Change {
    /// As arguments of a call of [`APPROVE`]: the height, then the machines' numbers.
    pub fn to_arguments(&self) -> Vec<Value> {
        let machines = self.validators.iter().map(|node| i64::from(node.0));
        iter::once(self.from.0.cast_signed())
            .chain(machines)
            .map(Value::Int)
            .collect()
    }

    fn from_arguments(values: &[Value]) -> Result<Self, arguments::ArgumentFault> {
        if values.is_empty() {
            let (found, needed) = (0, 1);
            return Err(arguments::ArgumentFault::Count { found, needed });
        }
        let from = u64::try_from(arguments::int(values, 0)?);
        let machine = |at| {
            let number = arguments::int(values, at)?;
            u16::try_from(number)
                .map(NodeId)
                .map_err(|_| arguments::wrong_type(at, "the number of a machine"))
        };
        Ok(Self {
            from: Height(from.map_err(|_| arguments::wrong_type(0, "a height"))?),
            validators: (1..values.len()).map(machine).collect::<Result<_, _>>()?,
        })
    }
}

/// What the contract remembers. The committees themselves are beside it, under keys of their own.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
struct Consortium {
    chain: ChainId,
    /// Heights by which a block may run ahead of what its proposer has executed, on every machine.
    lag: u64,
    /// The newest committee that is scheduled.
    newest: Epoch,
    /// What each member approved last, since the newest committee was scheduled.
    approvals: BTreeMap<MemberId, Change>,
}

/// Puts the contract into a genesis state, with the founders' committee. `lag` is every host's
/// `results_lag`. Panics if the founders are no committee of listed validators: that is a
/// configuration, and nobody's message.
pub fn found(state: &mut State, registry: &Registry, founders: &[NodeId], lag: u64) {
    let founding = Change {
        from: Height(0),
        validators: founders.to_vec(),
    };
    if let Err(refusal) = check_machines(registry, &founding) {
        panic!("{refusal}");
    }
    seat(state, registry, Epoch(0), &founding);
    let contract = Consortium {
        chain: registry.chain,
        lag,
        newest: Epoch(0),
        approvals: BTreeMap::new(),
    };
    contract.store(state);
}

/// Who decides from which height on, as this state has it; `None` where no change is possible.
pub fn schedule(state: &State) -> Option<Committees> {
    // Reading leaves no trace in a state; only who tries a call out wants to know what was read.
    let contract = Consortium::load(&mut state.clone())?;
    let committee = |epoch| {
        let seats = seats(state, epoch).expect("every epoch so far has its seats");
        let committee = seats.committee(contract.chain);
        (seats.from, committee.expect("only committees are seated"))
    };
    let mut committees = Committees::new(committee(Epoch(0)).1);
    for epoch in 1..=contract.newest.0 {
        let (from, committee) = committee(Epoch(epoch));
        committees.schedule(from, committee);
    }
    Some(committees)
}

/// The committee of an epoch, if this state has it.
pub fn seats(state: &State, epoch: Epoch) -> Option<Seats> {
    read_seats(&mut state.clone(), epoch)
}

fn read_seats(state: &mut impl Store, epoch: Epoch) -> Option<Seats> {
    let bytes = state.read(&Seats::key(epoch))?;
    Some(codec::decode(bytes).expect("the state holds what we wrote"))
}

/// A call at `height`. After a rejection nothing has changed.
pub(super) fn call(
    state: &mut impl Store,
    registry: &Registry,
    height: Height,
    caller: PartyId,
    function: &str,
    values: &[Value],
) -> Result<(), Rejection> {
    let mut contract = Consortium::load(state).ok_or(Rejection::UnknownContract(CONTRACT.0))?;
    if function != APPROVE {
        return Err(Rejection::UnknownFunction(function.to_owned()));
    }
    let change = Change::from_arguments(values)?;
    let member = registry.party(caller).and_then(|party| party.member);
    let member = member.ok_or(Refusal::NoVoice(caller))?;
    let present = read_seats(state, contract.newest).expect("every epoch so far has its seats");
    if present.from > height {
        // Who is late to approve what a quorum has approved already has nothing to complain about.
        let seated = present.members.iter().map(|(node, _)| *node);
        let same = present.from == change.from && seated.eq(change.validators.iter().copied());
        return if same {
            Ok(())
        } else {
            Err(Refusal::Pending(present.from).into())
        };
    }
    let voices = voices(&present, registry);
    if !voices.contains(&member) {
        return Err(Refusal::NoVoice(caller).into());
    }
    contract.check_height(&change, height)?;
    check_machines(registry, &change)?;
    contract.approvals.insert(member, change.clone());
    let agreeing = contract
        .approvals
        .values()
        .filter(|known| **known == change);
    if agreeing.count() >= quorum::byzantine_quorum(voices.len()) {
        contract.newest = contract.newest.next();
        contract.approvals.clear();
        seat(state, registry, contract.newest, &change);
    }
    contract.store(state);
    Ok(())
}

/// The members that run the committee's machines.
fn voices(present: &Seats, registry: &Registry) -> BTreeSet<MemberId> {
    let machines = present.members.iter();
    let records = machines.filter_map(|(node, _)| registry.node(*node));
    records.map(|record| record.member).collect()
}

fn check_machines(registry: &Registry, change: &Change) -> Result<(), Refusal> {
    if change.validators.is_empty() {
        return Err(Refusal::Empty);
    }
    let mut seen = BTreeSet::new();
    for node in &change.validators {
        let listed = registry.node(*node);
        if listed.is_none_or(|record| !record.roles.contains(&NodeRole::Validator)) {
            return Err(Refusal::NotValidator(*node));
        }
        if !seen.insert(*node) {
            return Err(Refusal::Repeated(*node));
        }
    }
    Ok(())
}

/// Writes a committee down where it can be proven. The machines were checked.
fn seat(state: &mut impl Store, registry: &Registry, epoch: Epoch, change: &Change) {
    let machines = change.validators.iter();
    let members = machines.map(|node| {
        let record = registry.node(*node).expect("the machines were checked");
        (*node, record.key)
    });
    let seats = Seats {
        from: change.from,
        members: members.collect(),
    };
    state.write(&Seats::key(epoch), &codec::encode(&seats));
}

impl Consortium {
    fn load(state: &mut impl Store) -> Option<Self> {
        let stored = super::parse(state.read(&key(CONTRACT))?);
        Some(codec::decode(&stored.body).expect("the state holds what we wrote"))
    }

    fn store(&self, state: &mut impl Store) {
        let stored = Stored {
            template: TEMPLATE.to_owned(),
            body: codec::encode(self),
        };
        state.write(&key(CONTRACT), &codec::encode(&stored));
    }

    fn check_height(&self, change: &Change, height: Height) -> Result<(), Refusal> {
        let from = change.from;
        let earliest = Height(height.0.saturating_add(self.lag)).next();
        let latest = Height(earliest.0.saturating_add(LONGEST_NOTICE));
        if from < earliest {
            Err(Refusal::TooEarly { from, earliest })
        } else if from > latest {
            Err(Refusal::TooLate { from, latest })
        } else {
            Ok(())
        }
    }
}
