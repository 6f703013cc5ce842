//! The consortium's own contract: which changes of the committee are scheduled, and which are not.

use std::{collections::BTreeSet, sync::Arc};

use consortium_node::{
    block::{Block, Header, Results},
    contracts::{
        self, ContractExecutor,
        consortium::{self, APPROVE, CONTRACT, Change, LONGEST_NOTICE, TEMPLATE},
    },
    crypto::{Keypair, SignatureMode},
    ledger::{Executor, State},
    membership::{Committees, NodeRecord, NodeRole, Party, Permission, Registry, Seats},
    transaction::{Call, Outcome, Transaction, Value},
    types::{ChainId, Digest, Epoch, Height, MemberId, NodeId, PartyId, Wall},
};

const CHAIN: ChainId = ChainId(9);
const LAG: u64 = 8;
/// A party of member 0, as all of these numbers are of the member of the same number.
const PARTIES: u32 = 7;
/// A sensor: it belongs to nobody.
const SENSOR: PartyId = PartyId(7);
/// Member 0's second party.
const CLERK: PartyId = PartyId(8);
/// A gateway, which is no validator.
const GATEWAY: NodeId = NodeId(7);

fn key(seed: u32) -> Arc<Keypair> {
    Keypair::from_seed([seed as u8; 32], CHAIN, SignatureMode::Lazy)
}

/// Seven members with a validator each, and a gateway.
fn registry() -> Registry {
    let node = |id: u16| NodeRecord {
        id: NodeId(id),
        member: MemberId(id % 7),
        roles: [if NodeId(id) == GATEWAY {
            NodeRole::Gateway
        } else {
            NodeRole::Validator
        }]
        .into(),
        key: key(100 + u32::from(id)).public(),
    };
    let party = |id: u32| Party {
        id: PartyId(id),
        name: id.to_string(),
        member: match PartyId(id) {
            SENSOR => None,
            CLERK => Some(MemberId(0)),
            _ => Some(MemberId(id as u16)),
        },
        key: key(id).public(),
        permission: Permission::Write,
        roles: BTreeSet::new(),
    };
    Registry {
        chain: CHAIN,
        members: (0..7).map(|id| id.to_string()).collect(),
        nodes: (0..8).map(node).collect(),
        parties: (0..PARTIES + 2).map(party).collect(),
    }
}

/// A chain's state that calls change, one a block.
struct Chain {
    executor: ContractExecutor,
    state: State,
    nonce: u64,
}

impl Chain {
    fn founded(founders: u16) -> Self {
        let registry = Arc::new(registry());
        let mut state = State::new();
        let founders: Vec<_> = (0..founders).map(NodeId).collect();
        consortium::found(&mut state, &registry, &founders, LAG);
        Self {
            executor: ContractExecutor { registry },
            state,
            nonce: 0,
        }
    }

    fn call(
        &mut self,
        height: u64,
        party: PartyId,
        function: &str,
        arguments: Vec<Value>,
    ) -> Outcome {
        self.nonce += 1;
        let call = Call::Invoke {
            contract: CONTRACT,
            function: function.into(),
            arguments,
        };
        let transaction = Transaction::sign(&key(party.0), party, self.nonce, call);
        let header = Header {
            height: Height(height),
            parent: Digest::ZERO,
            transactions_root: Digest::ZERO,
            results: Results::default(),
            timestamp: Wall(0),
            proposer: NodeId(0),
            extra: Vec::new(),
        };
        let block = Block::new(header, vec![transaction]);
        let execution = self.executor.execute(&self.state, &block);
        self.state = execution.state;
        assert_eq!(execution.receipts[0].transition, None, "nobody's custody");
        execution.receipts[0].outcome.clone()
    }

    fn approve(&mut self, height: u64, party: u32, change: &Change) -> Outcome {
        self.call(height, PartyId(party), APPROVE, change.to_arguments())
    }

    fn committees(&self) -> Committees {
        consortium::schedule(&self.state).expect("founded")
    }

    fn epochs(&self) -> usize {
        self.committees().terms().len()
    }
}

fn change(from: u64, validators: &[u16]) -> Change {
    Change {
        from: Height(from),
        validators: validators.iter().copied().map(NodeId).collect(),
    }
}

fn reverted(why: &str) -> Outcome {
    Outcome::Reverted(why.into())
}

#[test]
fn a_change_that_a_quorum_of_members_approves_is_scheduled_and_in_the_state() {
    let mut chain = Chain::founded(4);
    let next = change(100, &[0, 1, 2, 3, 4]);
    for party in [0, 3] {
        assert_eq!(chain.approve(10, party, &next), Outcome::Ok);
        assert_eq!(chain.epochs(), 1, "two of four are no quorum");
    }
    assert_eq!(chain.approve(11, 1, &next), Outcome::Ok);
    let committees = chain.committees();
    assert_eq!(committees.epoch_of(Height(99)), Epoch(0));
    let term = committees.at(Height(100));
    assert_eq!((term.epoch, term.from), (Epoch(1), Height(100)));
    assert!(term.committee.nodes().eq(next.validators.iter().copied()));
    let seats = consortium::seats(&chain.state, Epoch(1)).expect("scheduled");
    assert_eq!(seats.members[4], (NodeId(4), key(104).public()));
    assert!(chain.state.get(&Seats::key(Epoch(1))).is_some());
    assert!(chain.state.get(&Seats::key(Epoch(2))).is_none());
}

#[test]
fn every_member_has_one_voice_and_its_last_word_counts() {
    let mut chain = Chain::founded(4);
    let (next, other) = (change(100, &[0, 1, 2]), change(101, &[0, 1, 2]));
    for party in [0, 0, CLERK.0, 1] {
        assert_eq!(chain.approve(10, party, &next), Outcome::Ok);
    }
    assert_eq!(chain.approve(10, 1, &other), Outcome::Ok);
    assert_eq!(chain.approve(10, 2, &next), Outcome::Ok);
    assert_eq!(chain.epochs(), 1, "member 1 changed its mind");
    assert_eq!(chain.approve(10, 3, &next), Outcome::Ok);
    assert_eq!(chain.epochs(), 2);
}

#[test]
fn the_quorum_is_that_of_the_members_of_the_present_committee() {
    let mut chain = Chain::founded(4);
    let five = change(100, &[0, 1, 2, 3, 4]);
    (0..3).for_each(|party| assert_eq!(chain.approve(10, party, &five), Outcome::Ok));
    let seven = change(200, &[0, 1, 2, 3, 4, 5, 6]);
    (0..3).for_each(|party| assert_eq!(chain.approve(100, party, &seven), Outcome::Ok));
    assert_eq!(chain.epochs(), 2, "three of five are no quorum");
    assert_eq!(
        chain.approve(100, 4, &seven),
        Outcome::Ok,
        "the joiner has a voice now"
    );
    assert_eq!(chain.epochs(), 3);
    let two = change(300, &[5, 6]);
    for party in [6, 5, 4, 3] {
        assert_eq!(chain.approve(200, party, &two), Outcome::Ok);
    }
    assert_eq!(chain.epochs(), 3, "four of seven are no quorum");
    assert_eq!(chain.approve(200, 2, &two), Outcome::Ok);
    assert_eq!(chain.epochs(), 4);
    let outsider = chain.approve(300, 0, &five);
    assert_eq!(
        outsider,
        reverted("p0 speaks for no member of the present committee")
    );
}

#[test]
fn who_runs_no_validator_of_the_committee_has_no_voice() {
    let mut chain = Chain::founded(4);
    let next = change(100, &[0, 1, 2, 3, 4]);
    for party in [4, SENSOR.0] {
        let outcome = chain.approve(10, party, &next);
        let why = format!("p{party} speaks for no member of the present committee");
        assert_eq!(outcome, reverted(&why));
    }
}

#[test]
fn one_change_at_a_time_is_under_way() {
    let mut chain = Chain::founded(4);
    let next = change(100, &[0, 1, 2, 3, 4]);
    (0..3).for_each(|party| assert_eq!(chain.approve(10, party, &next), Outcome::Ok));
    let another = change(200, &[0, 1, 2, 3]);
    let pending = reverted("another change takes effect at height 100");
    assert_eq!(chain.approve(99, 0, &another), pending);
    assert_eq!(chain.approve(100, 0, &another), Outcome::Ok);
}

#[test]
fn a_height_that_some_could_learn_of_too_late_is_refused() {
    let mut chain = Chain::founded(4);
    let at = |from| change(from, &[0, 1, 2]);
    let why = "height 18 is too early: 19 is the first that all know of in time";
    assert_eq!(chain.approve(10, 0, &at(18)), reverted(why));
    for party in [0, 1] {
        assert_eq!(chain.approve(10, party, &at(19)), Outcome::Ok);
    }
    // The last approval decides when the change is scheduled, so it too must come in time.
    let why = "height 19 is too early: 20 is the first that all know of in time";
    assert_eq!(chain.approve(11, 2, &at(19)), reverted(why));
    assert_eq!(chain.epochs(), 1);
    let last = 11 + LAG + 1 + LONGEST_NOTICE;
    assert_eq!(chain.approve(11, 2, &at(last)), Outcome::Ok);
    let too_late = chain.approve(11, 2, &at(last + 1));
    assert!(matches!(too_late, Outcome::Reverted(why) if why.contains("is too late")));
}

#[test]
fn only_listed_validators_sit_each_once_and_somebody_must() {
    let mut chain = Chain::founded(4);
    for (validators, why) in [
        (&[][..], "a committee needs a member"),
        (&[0, 1, 1], "n1 is in the committee twice"),
        (&[0, 1, 99], "n99 is not a listed validator"),
        (&[0, 1, GATEWAY.0], "n7 is not a listed validator"),
    ] {
        assert_eq!(
            chain.approve(10, 0, &change(100, validators)),
            reverted(why)
        );
    }
}

#[test]
fn calls_that_make_no_sense_are_refused() {
    let mut chain = Chain::founded(4);
    let mut call = |function, arguments| chain.call(10, PartyId(0), function, arguments);
    let unknown = call("dissolve", vec![]);
    assert_eq!(unknown, reverted("there is no function \"dissolve\""));
    let nothing = call(APPROVE, vec![]);
    assert_eq!(nothing, reverted("0 arguments where 1 are needed"));
    let negative = call(APPROVE, vec![Value::Int(-1), Value::Int(0)]);
    assert_eq!(negative, reverted("argument 1 is not a height"));
    let text = call(APPROVE, vec![Value::Int(100), Value::Text("n0".into())]);
    assert_eq!(text, reverted("argument 2 is not an integer"));
    let huge = call(APPROVE, vec![Value::Int(100), Value::Int(65_536)]);
    assert_eq!(huge, reverted("argument 2 is not the number of a machine"));
}

#[test]
fn nobody_makes_another_instance_and_without_one_nothing_can_change() {
    let chain = Chain::founded(4);
    let name = contracts::template_of(&chain.state, CONTRACT);
    assert_eq!(name.as_deref(), Some(TEMPLATE));
    assert!(
        contracts::TEMPLATES
            .iter()
            .all(|template| template.name() != TEMPLATE)
    );
    let mut unfounded = Chain {
        state: State::new(),
        ..chain
    };
    let why = format!("there is no contract {}", CONTRACT.0);
    let outcome = unfounded.approve(10, 0, &change(100, &[0]));
    assert_eq!(outcome, reverted(&why));
    assert!(consortium::schedule(&unfounded.state).is_none());
}

#[test]
#[should_panic(expected = "n7 is not a listed validator")]
fn founders_are_validators() {
    let founders = [NodeId(0), GATEWAY];
    consortium::found(&mut State::new(), &registry(), &founders, LAG);
}
