//! Contracts: what transactions do to the state.
//!
//! A contract is a typed machine that lives in the state as bytes, under the id of the transaction
//! that created it and with the name of its template. A call works on a copy that is put back only if
//! the contract says yes, so a revert leaves no trace but the consumed number of its sender.
//!
//! A template joins by implementing [`Contract`] and by one line in [`TEMPLATES`]. One contract is
//! nobody's: [`consortium`], which says who decides.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    codec,
    ledger::{Execution, Executor, State, Store, replay::ReplayWindow},
    membership::{Permission, Registry},
    transaction::{Call, ContractId, Outcome, Receipt, Transaction, Transition, Value},
    types::{Digest, Height, PartyId},
};

pub mod application;
pub mod arguments;
pub mod consortium;
pub mod refrigerated_transportation;

use refrigerated_transportation::RefrigeratedTransportation;

/// A kind of contract: a machine that checks and changes itself.
pub trait Contract: BorshSerialize + BorshDeserialize + Sized {
    /// Name of the template, as [`Call::Create`] gives it.
    const TEMPLATE: &'static str;

    /// The constructor, called by `caller`.
    fn create(caller: PartyId, arguments: &[Value]) -> Result<Self, Rejection>;
    /// Calls a function. After a rejection the caller throws this copy away.
    fn invoke(
        &mut self,
        caller: PartyId,
        function: &str,
        arguments: &[Value],
    ) -> Result<(), Rejection>;
    /// Where it stands, for those who watch.
    fn standing(&self) -> Standing;
}

/// Where a contract stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Number of its state.
    pub state: u8,
    /// Who is responsible for what it is about.
    pub custodian: Option<PartyId>,
}

/// Why a call did nothing. Everything that is not allowed is rejected.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// There is no such template.
    #[error("there is no template {0:?}")]
    UnknownTemplate(String),
    /// There is no such contract.
    #[error("there is no contract {0}")]
    UnknownContract(Digest),
    /// The contract has no such function.
    #[error("there is no function {0:?}")]
    UnknownFunction(String),
    /// The arguments are not those of the function.
    #[error(transparent)]
    Arguments(#[from] arguments::ArgumentFault),
    /// The contract said no.
    #[error("{0}")]
    Reverted(String),
}

/// The templates that there are.
pub const TEMPLATES: &[Template] = &[Template::of::<RefrigeratedTransportation>()];

/// A template with its type hidden.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    name: &'static str,
    create: Create,
    invoke: Invoke,
}

/// Caller and arguments in, the new contract out.
type Create = fn(PartyId, &[Value]) -> Result<Step, Rejection>;
/// The contract's bytes, caller, function and arguments in, the changed contract out.
type Invoke = fn(&[u8], PartyId, &str, &[Value]) -> Result<Step, Rejection>;

/// What a call made of a contract.
struct Step {
    before: Option<Standing>,
    after: Standing,
    body: Vec<u8>,
}

impl Template {
    const fn of<C: Contract>() -> Self {
        Self {
            name: C::TEMPLATE,
            create: |caller, arguments| {
                let made = C::create(caller, arguments)?;
                Ok(Step {
                    before: None,
                    after: made.standing(),
                    body: codec::encode(&made),
                })
            },
            invoke: |body, caller, function, arguments| {
                let mut contract: C = codec::decode(body).expect("the state holds what we wrote");
                let before = contract.standing();
                contract.invoke(caller, function, arguments)?;
                Ok(Step {
                    before: Some(before),
                    after: contract.standing(),
                    body: codec::encode(&contract),
                })
            },
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn find(name: &str) -> Option<&'static Self> {
        TEMPLATES.iter().find(|template| template.name == name)
    }
}

/// A contract as the state holds it.
#[derive(BorshSerialize, BorshDeserialize)]
struct Stored {
    template: String,
    body: Vec<u8>,
}

/// Where a state keeps a contract.
pub fn key(contract: ContractId) -> Vec<u8> {
    codec::encode(&("contract", contract))
}

/// Reads a contract of kind `C`; `None` if there is none of that id and kind.
pub fn read<C: Contract>(state: &State, contract: ContractId) -> Option<C> {
    let stored = load(state, contract)?;
    (stored.template == C::TEMPLATE)
        .then(|| codec::decode(&stored.body).expect("the state holds what we wrote"))
}

/// Name of a contract's template.
pub fn template_of(state: &State, contract: ContractId) -> Option<String> {
    load(state, contract).map(|stored| stored.template)
}

fn load(state: &State, contract: ContractId) -> Option<Stored> {
    state.get(&key(contract)).map(parse)
}

fn parse(bytes: &[u8]) -> Stored {
    codec::decode(bytes).expect("the state holds what we wrote")
}

/// Executes blocks of contract calls: the executor that every member runs.
#[derive(Clone, Debug)]
pub struct ContractExecutor {
    /// Who may write.
    pub registry: Arc<Registry>,
}

impl Executor for ContractExecutor {
    /// Executes the transactions in their order. Signatures are checked before a block is accepted,
    /// not here.
    fn execute(&self, parent: &State, block: &Block) -> Execution {
        let mut state = parent.clone();
        let height = block.header().height;
        let receipts = block
            .transactions()
            .iter()
            .map(|transaction| self.execute_one(&mut state, height, transaction))
            .collect();
        Execution::new(height, state, receipts)
    }
}

impl ContractExecutor {
    /// Executes one transaction of the block at `height`, or finds out what it would do: that depends on
    /// what is written to.
    pub fn execute_one(
        &self,
        state: &mut impl Store,
        height: Height,
        transaction: &Transaction,
    ) -> Receipt {
        let (outcome, transition) = match self.admit(state, transaction) {
            Err(reason) => (Outcome::Void(reason), None),
            Ok(()) => match self.call(state, height, transaction) {
                Err(rejection) => (Outcome::Reverted(rejection.to_string()), None),
                Ok(transition) => (Outcome::Ok, transition),
            },
        };
        Receipt {
            tx: transaction.id(),
            outcome,
            transition,
        }
    }

    /// Carries a call out, or leaves the state as it was. What the consortium's own contract does is
    /// no transition: it is about nothing that anyone has custody of.
    fn call(
        &self,
        state: &mut impl Store,
        height: Height,
        transaction: &Transaction,
    ) -> Result<Option<Transition>, Rejection> {
        match transaction.call() {
            Call::Invoke {
                contract,
                function,
                arguments,
            } if *contract == consortium::CONTRACT => {
                let caller = transaction.party();
                consortium::call(state, &self.registry, height, caller, function, arguments)?;
                Ok(None)
            }
            _ => call(state, transaction).map(Some),
        }
    }

    /// Consumes the transaction's number, if its party may write and the number is unused.
    fn admit(&self, state: &mut impl Store, transaction: &Transaction) -> Result<(), String> {
        let party = transaction.party();
        match self.registry.party(party).map(|record| record.permission) {
            Some(Permission::Write) => {}
            Some(Permission::Read) => return Err(format!("{party} may only read")),
            None => return Err(format!("{party} is unknown")),
        }
        let mut window = ReplayWindow::read(state, party);
        window
            .insert(transaction.nonce())
            .map_err(|fault| fault.to_string())?;
        window.store(state, party);
        Ok(())
    }
}

/// Carries a call out, or leaves the state as it was.
fn call(state: &mut impl Store, transaction: &Transaction) -> Result<Transition, Rejection> {
    let caller = transaction.party();
    let (contract, template, function, step) = match transaction.call() {
        Call::Create {
            template,
            arguments,
        } => {
            let kind = Template::find(template)
                .ok_or_else(|| Rejection::UnknownTemplate(template.clone()))?;
            let step = (kind.create)(caller, arguments)?;
            (ContractId(transaction.id()), kind, "constructor", step)
        }
        Call::Invoke {
            contract,
            function,
            arguments,
        } => {
            let stored = state.read(&key(*contract)).map(parse);
            let stored = stored.ok_or(Rejection::UnknownContract(contract.0))?;
            let kind = Template::find(&stored.template).expect("it was created with it");
            let step = (kind.invoke)(&stored.body, caller, function, arguments)?;
            (*contract, kind, function.as_str(), step)
        }
    };
    let stored = Stored {
        template: template.name.to_owned(),
        body: step.body,
    };
    state.write(&key(contract), &codec::encode(&stored));
    Ok(Transition {
        contract,
        function: function.to_owned(),
        caller,
        from: step.before.map(|standing| standing.state),
        to: step.after.state,
        custodian_before: step.before.and_then(|standing| standing.custodian),
        custodian_after: step.after.custodian,
    })
}
