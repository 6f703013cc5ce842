//! Contracts as the chain shows them: their terms from the transactions that created them, and where
//! each stood before a call, on the branch of the block that holds the call.
//!
//! Nothing here asks the contracts' own code: it is what the invariants check.

use std::collections::{BTreeMap, VecDeque};

use consortium_node::{
    ledger::Entry,
    transaction::{Call, ContractId, Transaction, Transition, Value},
    types::PartyId,
};

use super::chains::{BlockIndex, Chains};

/// Name of the template that the invariants know.
pub const TEMPLATE: &str = "RefrigeratedTransportation";
/// What the constructor is called in transitions.
pub const CONSTRUCTOR: &str = "constructor";
/// The function that takes a reading.
pub const INGEST: &str = "IngestTelemetry";
/// The function that hands over.
pub const TRANSFER: &str = "TransferResponsibility";
/// The function that ends a journey well.
pub const COMPLETE: &str = "Complete";

/// Calls of one contract that are remembered, for branches that leave the chain below its head.
const REMEMBERED: usize = 32;

/// What a shipment's creator laid down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Who created it: owner and first counterparty.
    pub owner: PartyId,
    /// Whose readings count.
    pub device: Option<PartyId>,
    /// Who may complete it besides the owner.
    pub supply_chain_owner: Option<PartyId>,
    /// Inclusive bounds of humidity.
    pub humidity: (i64, i64),
    /// Inclusive bounds of temperature.
    pub temperature: (i64, i64),
}

impl Terms {
    /// Reads the constructor's arguments, in its order; `None` if they are not such.
    fn read(owner: PartyId, arguments: &[Value]) -> Option<Self> {
        let int = |place: usize| match arguments.get(place) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        };
        Some(Self {
            owner,
            device: party(arguments, 0),
            supply_chain_owner: party(arguments, 1),
            humidity: (int(3)?, int(4)?),
            temperature: (int(5)?, int(6)?),
        })
    }
}

/// The party that an argument names, if it names one.
pub fn party(arguments: &[Value], place: usize) -> Option<PartyId> {
    match arguments.get(place) {
        Some(Value::Party(party)) => Some(*party),
        _ => None,
    }
}

/// Where a contract stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Number of its state.
    pub state: u8,
    /// Who is responsible.
    pub custodian: Option<PartyId>,
}

/// Where a contract stood before a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    /// This branch had not created it.
    Unborn,
    /// So.
    Stood(Standing),
    /// Longer ago than is remembered.
    Forgotten,
}

/// A call that changed a contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Performed {
    /// Place of the transaction in its block.
    pub place: usize,
    /// The contract that the transaction names, or makes.
    pub contract: ContractId,
    /// Its terms, if it is of the template that the invariants know.
    pub terms: Option<Terms>,
    /// Where it stood before.
    pub before: Before,
}

#[derive(Debug)]
struct Contract {
    terms: Option<Terms>,
    /// Where it stood after a call of that block; the newest last.
    history: VecDeque<(BlockIndex, Standing)>,
    forgot: bool,
}

/// All contracts.
#[derive(Debug, Default)]
pub struct Contracts {
    contracts: BTreeMap<ContractId, Contract>,
}

impl Contracts {
    /// Goes through a block that no honest node had appended before.
    pub fn read(
        &mut self,
        chains: &Chains,
        block: BlockIndex,
        entry: &Entry,
        into: &mut Vec<Performed>,
    ) {
        let transactions = entry.block.transactions().iter();
        for (place, (transaction, receipt)) in transactions.zip(entry.receipts.iter()).enumerate() {
            if let Some(transition) = &receipt.transition {
                let performed = self.perform(chains, block, transaction, transition);
                into.push(Performed { place, ..performed });
            }
        }
    }

    fn perform(
        &mut self,
        chains: &Chains,
        block: BlockIndex,
        transaction: &Transaction,
        transition: &Transition,
    ) -> Performed {
        let (id, terms) = match transaction.call() {
            Call::Create {
                template,
                arguments,
            } => {
                let known = template == TEMPLATE;
                let terms = known.then(|| Terms::read(transaction.party(), arguments));
                (ContractId(transaction.id()), terms.flatten())
            }
            Call::Invoke { contract, .. } => (*contract, None),
        };
        let contract = self.contracts.entry(id).or_insert_with(|| Contract {
            terms,
            history: VecDeque::new(),
            forgot: false,
        });
        let before = contract.before(chains, block);
        if contract.history.len() == REMEMBERED {
            contract.history.pop_front();
            contract.forgot = true;
        }
        let after = Standing {
            state: transition.to,
            custodian: transition.custodian_after,
        };
        contract.history.push_back((block, after));
        Performed {
            place: 0,
            contract: id,
            terms: contract.terms,
            before,
        }
    }
}

impl Contract {
    fn before(&self, chains: &Chains, block: BlockIndex) -> Before {
        let mut newest_first = self.history.iter().rev();
        match newest_first.find(|(older, _)| chains.descends(block, *older)) {
            Some((_, standing)) => Before::Stood(*standing),
            None if self.forgot => Before::Forgotten,
            None => Before::Unborn,
        }
    }
}
