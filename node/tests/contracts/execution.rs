//! How blocks of calls are executed: decoding, rollback, receipts.

use std::{collections::BTreeSet, sync::Arc};

use consortium_node::{
    block::{Block, Header, Results, merkle_root},
    contracts::{
        self, ContractExecutor,
        refrigerated_transportation::{
            self as shipment, COMPLETE, INGEST_TELEMETRY, RefrigeratedTransportation, StateType,
            TEMPLATE, TRANSFER_RESPONSIBILITY, Terms,
        },
    },
    crypto::{Keypair, SignatureMode},
    ledger::{Execution, Executor, State, receipt_digest},
    membership::{Party, Permission, Registry},
    transaction::{Call, ContractId, Outcome, Transaction, Transition, Value},
    types::{ChainId, Digest, Height, NodeId, PartyId, Wall},
};
use proptest::{collection::vec, prelude::*};

use crate::voyage::{CARRIER, DEVICE, OWNER, TERMS};

fn key(party: PartyId) -> Arc<Keypair> {
    Keypair::from_seed([party.0 as u8; 32], ChainId(1), SignatureMode::Lazy)
}

fn executor() -> ContractExecutor {
    let parties = (0..6).map(PartyId).map(|id| Party {
        id,
        name: id.to_string(),
        member: None,
        key: key(id).public(),
        permission: Permission::Write,
        roles: BTreeSet::new(),
    });
    let registry = Registry {
        chain: ChainId(1),
        members: Vec::new(),
        nodes: Vec::new(),
        parties: parties.collect(),
    };
    ContractExecutor {
        registry: Arc::new(registry),
    }
}

fn execute(parent: &State, transactions: Vec<Arc<Transaction>>) -> Execution {
    let header = Header {
        height: Height(1),
        parent: Digest::ZERO,
        transactions_root: Digest::ZERO,
        results: Results::default(),
        timestamp: Wall(0),
        proposer: NodeId(0),
        extra: Vec::new(),
    };
    executor().execute(parent, &Block::new(header, transactions))
}

fn sign(party: PartyId, nonce: u64, call: Call) -> Arc<Transaction> {
    Transaction::sign(&key(party), party, nonce, call)
}

fn create(nonce: u64, terms: &Terms) -> Arc<Transaction> {
    let call = Call::Create {
        template: TEMPLATE.into(),
        arguments: terms.to_arguments(),
    };
    sign(OWNER, nonce, call)
}

fn invoke(
    party: PartyId,
    nonce: u64,
    contract: ContractId,
    function: &str,
    arguments: &[Value],
) -> Arc<Transaction> {
    let call = Call::Invoke {
        contract,
        function: function.into(),
        arguments: arguments.to_vec(),
    };
    sign(party, nonce, call)
}

/// A state with one shipment.
fn registered() -> (State, ContractId) {
    let created = create(0, &TERMS);
    let contract = ContractId(created.id());
    (execute(&State::new(), vec![created]).state, contract)
}

#[test]
fn a_contract_is_found_under_the_id_of_its_transaction() {
    let (state, contract) = registered();
    let read = shipment::read(&state, contract).expect("created");
    assert_eq!(read, RefrigeratedTransportation::new(OWNER, TERMS));
    assert_eq!(
        contracts::template_of(&state, contract).as_deref(),
        Some(TEMPLATE)
    );
    assert_eq!(shipment::read(&state, ContractId::default()), None);
}

#[test]
fn receipts_tell_what_each_call_did_and_the_roots_commit_to_them() {
    let created = create(0, &TERMS);
    let contract = ContractId(created.id());
    let calls = vec![
        created,
        invoke(
            OWNER,
            1,
            contract,
            TRANSFER_RESPONSIBILITY,
            &[Value::Party(CARRIER)],
        ),
        invoke(OWNER, 2, contract, COMPLETE, &[]),
        invoke(OWNER, 3, contract, COMPLETE, &[]),
    ];
    let execution = execute(&State::new(), calls);
    let transition = |function: &str, from, to, custodian_before, custodian_after| Transition {
        contract,
        function: function.into(),
        caller: OWNER,
        from,
        to,
        custodian_before,
        custodian_after,
    };
    let expected = [
        Some(transition("constructor", None, 0, None, Some(OWNER))),
        Some(transition(
            TRANSFER_RESPONSIBILITY,
            Some(0),
            1,
            Some(OWNER),
            Some(CARRIER),
        )),
        Some(transition(COMPLETE, Some(1), 2, Some(CARRIER), None)),
        None,
    ];
    let told: Vec<_> = execution
        .receipts
        .iter()
        .map(|receipt| receipt.transition.clone())
        .collect();
    assert_eq!(told, expected);
    let reason = "the shipment is completed".to_owned();
    assert_eq!(execution.receipts[3].outcome, Outcome::Reverted(reason));
    let results = Results {
        height: Height(1),
        state_root: execution.state.root(),
        receipts_root: merkle_root(execution.receipts.iter().map(receipt_digest)),
    };
    assert_eq!(execution.results, results);
}

#[test]
fn i20_whatever_is_not_a_function_with_its_arguments_is_reverted() {
    let (state, contract) = registered();
    let before = shipment::read(&state, contract);
    let party = Value::Party(CARRIER);
    let table: &[(&str, &[Value], &str)] = &[
        ("", &[], "there is no function \"\""),
        ("complete", &[], "there is no function \"complete\""),
        ("constructor", &[], "there is no function \"constructor\""),
        (COMPLETE, &[Value::Int(1)], "1 arguments where 0 are needed"),
        (
            TRANSFER_RESPONSIBILITY,
            &[],
            "0 arguments where 1 are needed",
        ),
        (
            TRANSFER_RESPONSIBILITY,
            &[Value::Int(2)],
            "argument 1 is not a party",
        ),
        (
            TRANSFER_RESPONSIBILITY,
            &[Value::Text("p2".into())],
            "argument 1 is not a party",
        ),
        (
            INGEST_TELEMETRY,
            &[Value::Int(1), Value::Int(2)],
            "2 arguments where 3 are needed",
        ),
        (
            INGEST_TELEMETRY,
            &[Value::Int(1), party, Value::Int(3)],
            "argument 2 is not an integer",
        ),
        (
            INGEST_TELEMETRY,
            &[Value::Int(1), Value::Int(2), Value::Nobody],
            "argument 3 is not an integer",
        ),
    ];
    for (function, arguments, reason) in table {
        let execution = execute(
            &state,
            vec![invoke(DEVICE, 0, contract, function, arguments)],
        );
        let expected = Outcome::Reverted((*reason).to_owned());
        assert_eq!(execution.receipts[0].outcome, expected);
        assert_eq!(shipment::read(&execution.state, contract), before);
    }
}

#[test]
fn what_cannot_be_made_or_found_is_reverted() {
    let state = State::new();
    let unknown_template = Call::Create {
        template: "AssetTransfer".into(),
        arguments: Vec::new(),
    };
    let bad_arguments = Call::Create {
        template: TEMPLATE.into(),
        arguments: vec![Value::Int(0); 7],
    };
    let missing = ContractId(Digest([4; 32]));
    let calls = vec![
        sign(OWNER, 0, unknown_template),
        sign(OWNER, 1, bad_arguments),
        invoke(OWNER, 2, missing, COMPLETE, &[]),
    ];
    let execution = execute(&state, calls);
    let reasons: Vec<_> = execution
        .receipts
        .iter()
        .map(|receipt| match &receipt.outcome {
            Outcome::Reverted(reason) => reason.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "there is no template \"AssetTransfer\"",
            "argument 1 is not a party",
            "there is no contract 04040404",
        ]
    );
    assert_eq!(
        execution.state.len(),
        1,
        "nothing but the owner's replay window"
    );
}

#[test]
fn address_zero_passes_through_the_encoding_of_calls() {
    let terms = Terms {
        device: None,
        supply_chain_owner: None,
        ..TERMS
    };
    let created = create(0, &terms);
    let contract = ContractId(created.id());
    let state = execute(&State::new(), vec![created]).state;
    let read = shipment::read(&state, contract).expect("created");
    assert_eq!((read.device, read.supply_chain_owner), (None, None));

    let (state, contract) = registered();
    let to_nobody = invoke(
        OWNER,
        1,
        contract,
        TRANSFER_RESPONSIBILITY,
        &[Value::Nobody],
    );
    let execution = execute(&state, vec![to_nobody]);
    let read = shipment::read(&execution.state, contract).expect("there");
    assert_eq!(
        (read.state, read.counterparty),
        (StateType::InTransit, None)
    );
    assert_eq!(read.previous_counterparty, Some(OWNER));
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        (0..8u32).prop_map(|party| Value::Party(PartyId(party))),
        ".{0,4}".prop_map(Value::Text),
        Just(Value::Nobody),
    ]
}

fn function() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(INGEST_TELEMETRY.to_owned()),
        Just(TRANSFER_RESPONSIBILITY.to_owned()),
        Just(COMPLETE.to_owned()),
        ".{0,8}",
    ]
}

proptest! {
    #[test]
    fn any_call_gets_a_receipt_and_what_fails_leaves_only_its_number(
        calls in vec((0..7u32, 0..5u64, function(), vec(value(), 0..4)), 1..8),
    ) {
        let (mut state, contract) = registered();
        for (party, nonce, function, arguments) in calls {
            let party = PartyId(party);
            let keys = key(party);
            let call = Call::Invoke { contract, function, arguments };
            let transaction = Transaction::sign(&keys, party, nonce, call);
            let execution = execute(&state, vec![Arc::clone(&transaction)]);
            let receipt = &execution.receipts[0];
            prop_assert_eq!(receipt.tx, transaction.id());
            let before = shipment::read(&state, contract);
            let after = shipment::read(&execution.state, contract);
            match receipt.outcome {
                Outcome::Ok => prop_assert!(receipt.transition.is_some()),
                Outcome::Reverted(_) => {
                    prop_assert_eq!(before, after);
                    prop_assert_ne!(execution.state.root(), state.root(), "the number is used");
                }
                Outcome::Void(_) => prop_assert_eq!(execution.state.root(), state.root()),
                Outcome::Invalid(_) => prop_assert!(false, "only envelopes are"),
            }
            let again = execute(&execution.state, vec![transaction]);
            prop_assert!(matches!(again.receipts[0].outcome, Outcome::Void(_)));
            prop_assert_eq!(again.state.root(), execution.state.root());
            state = execution.state;
        }
    }
}
