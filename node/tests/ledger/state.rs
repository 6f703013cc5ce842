//! Laws of the authenticated map.

use std::collections::BTreeMap;

use consortium_node::{
    codec,
    ledger::{State, StateProof},
    types::Digest,
};
use proptest::{collection::vec, prelude::*};
use sha2::{Digest as _, Sha256};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Write {
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    /// Asking for the root fills caches, which later writes must empty.
    Root,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(0..4u8, 0..4)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..3)
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        5 => (key(), value()).prop_map(|(key, value)| Write::Insert(key, value)),
        3 => key().prop_map(Write::Remove),
        1 => Just(Write::Root),
    ]
}

fn apply(state: &mut State, model: &mut Model, write: &Write) {
    match write {
        Write::Insert(key, value) => {
            state.insert(key, value);
            model.insert(key.clone(), value.clone());
        }
        Write::Remove(key) => {
            assert_eq!(state.remove(key), model.remove(key).is_some());
        }
        Write::Root => {
            state.root();
        }
    }
}

fn build<'a>(entries: impl IntoIterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> State {
    let mut state = State::new();
    for (key, value) in entries {
        state.insert(key, value);
    }
    state
}

fn assert_same(state: &State, model: &Model) {
    assert_eq!(state.len(), model.len());
    assert_eq!(state.is_empty(), model.is_empty());
    let listed: Model = state
        .iter()
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect();
    assert_eq!(listed, *model);
    assert_eq!(state.iter().count(), model.len(), "no entry twice");
    for (key, value) in model {
        assert_eq!(state.get(key), Some(value.as_slice()));
    }
}

proptest! {
    #[test]
    fn it_is_a_map_and_its_root_tells_nothing_of_the_order_of_writes(
        writes in vec(write(), 0..80),
    ) {
        let (mut state, mut model) = (State::new(), Model::new());
        for write in &writes {
            apply(&mut state, &mut model, write);
        }
        assert_same(&state, &model);
        prop_assert_eq!(state.root(), build(&model).root(), "ascending");
        prop_assert_eq!(state.root(), build(model.iter().rev()).root(), "descending");
    }

    #[test]
    fn an_abandoned_snapshot_leaves_no_trace(
        before in vec(write(), 0..40),
        after in vec(write(), 0..40),
    ) {
        let (mut state, mut model) = (State::new(), Model::new());
        for write in &before {
            apply(&mut state, &mut model, write);
        }
        let (mut attempt, mut attempted) = (state.clone(), model.clone());
        for write in &after {
            apply(&mut attempt, &mut attempted, write);
        }
        assert_same(&attempt, &attempted);
        prop_assert_eq!(attempt.root(), build(&attempted).root());
        drop(attempt);
        assert_same(&state, &model);
        prop_assert_eq!(state.root(), build(&model).root());
    }

    #[test]
    fn different_maps_have_different_roots(
        one in proptest::collection::btree_map(key(), value(), 0..6),
        other in proptest::collection::btree_map(key(), value(), 0..6),
    ) {
        prop_assert_eq!(build(&one).root() == build(&other).root(), one == other);
    }

    #[test]
    fn a_proof_shows_what_the_map_holds_and_nothing_else(
        model in proptest::collection::btree_map(key(), value(), 0..20),
        key in key(),
        other_key in key(),
        other_value in value(),
    ) {
        let state = build(&model);
        let root = state.root();
        let held = model.get(&key).map(Vec::as_slice);
        let proof = state.prove(&key);
        prop_assert!(proof.verify(&root, &key, held));

        let lie = held.is_none_or(|held| *held != *other_value);
        prop_assert_eq!(proof.verify(&root, &key, Some(&other_value)), !lie);
        prop_assert_eq!(proof.verify(&root, &key, None), held.is_none());
        prop_assert!(!proof.verify(&Digest([7; 32]), &key, held), "another root");
        // The proof of one key may show the absence of another, if that is the truth.
        let held = model.get(&other_key).map(Vec::as_slice);
        for claim in [None, Some(other_value.as_slice())] {
            if claim != held {
                prop_assert!(!proof.verify(&root, &other_key, claim));
            }
        }
    }

    #[test]
    fn a_mutated_proof_fails(
        model in proptest::collection::btree_map(key(), value(), 0..12),
        key in key(),
        mask in 1..=255u8,
    ) {
        let state = build(&model);
        let held = model.get(&key).map(Vec::as_slice);
        let bytes = codec::encode(&state.prove(&key));
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= mask;
            if let Ok(proof) = codec::decode::<StateProof>(&forged) {
                prop_assert!(!proof.verify(&state.root(), &key, held), "byte {at}");
            }
            prop_assert!(codec::decode::<StateProof>(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

#[test]
fn roots_are_those_of_the_definition() {
    let mut state = State::new();
    assert_eq!(state.root().0, sha256(&[]), "nothing");
    let leaf = |key: &[u8], value: &[u8]| sha256(&[&[0], &sha256(&[key]), &sha256(&[value])]);
    state.insert(b"a", b"1");
    assert_eq!(
        state.root().0,
        leaf(b"a", b"1"),
        "a leaf has the prefix 0x00"
    );
    // SHA-256 of "a" begins with 0xca, that of "c" with 0x2e: they part at the first bit.
    state.insert(b"c", b"2");
    let branch = sha256(&[&[1], &[0], &leaf(b"c", b"2"), &leaf(b"a", b"1")]);
    assert_eq!(
        state.root().0,
        branch,
        "a branch has the prefix 0x01 and its bit"
    );
}

#[test]
fn an_inner_node_cannot_pass_for_a_leaf() {
    let mut state = State::new();
    for key in 0..=255u8 {
        state.insert(&[key], b"value");
    }
    let root = state.root();
    // A proof without steps says that the whole tree is one leaf.
    let mut short = codec::encode(&state.prove(&[1]));
    let steps = u32::from_le_bytes(short[..4].try_into().expect("a length"));
    assert!(steps > 4, "deep enough to be cut");
    let step_len = 1 + 32;
    for kept in 0..steps {
        short = codec::encode(&state.prove(&[1]));
        short.drain(4 + kept as usize * step_len..4 + steps as usize * step_len);
        short[..4].copy_from_slice(&kept.to_le_bytes());
        let proof: StateProof = codec::decode(&short).expect("well-formed");
        assert!(!proof.verify(&root, &[1], Some(b"value")));
    }
}
