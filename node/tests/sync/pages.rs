//! A state in pages: one cut, whoever makes it; each page checked on its own; all of them the same state.

use consortium_node::{
    codec,
    ledger::{
        State,
        state::pages::{Crown, page},
    },
    types::Digest,
};
use proptest::prelude::*;

fn state(entries: &[(Vec<u8>, Vec<u8>)]) -> State {
    let mut state = State::new();
    for (key, value) in entries {
        state.insert(key, value);
    }
    state
}

fn listed(page: &State) -> Vec<(Vec<u8>, Vec<u8>)> {
    page.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

fn entries() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    proptest::collection::vec((bytes(6), bytes(40)), 0..120)
}

proptest! {
    #[test]
    fn pages_are_bounded_and_put_together_they_are_the_state(
        entries in entries(),
        limit in 1_usize..400,
    ) {
        let whole = state(&entries);
        let (crown, pages) = whole.pages(limit);
        prop_assert_eq!(crown.root(), Some(whole.root()));
        prop_assert_eq!(crown.wire_len(), codec::encode(&crown).len());
        let mut checked = Vec::new();
        for (hash, part) in crown.pages().zip(&pages) {
            let entries = listed(part);
            let bytes: usize = entries.iter().map(|(k, v)| 8 + k.len() + v.len()).sum();
            prop_assert!(bytes <= limit || entries.len() == 1);
            checked.push(page(hash, &entries).expect("its own entries"));
        }
        prop_assert_eq!(checked.len(), crown.pages().count());
        let again = crown.assemble(checked).expect("all pages");
        prop_assert_eq!(again.root(), whole.root());
        prop_assert_eq!(again.len(), whole.len());
        prop_assert!(again.iter().eq(whole.iter()));
    }

    #[test]
    fn the_same_entries_are_cut_alike_in_any_order(
        mut entries in entries(),
        limit in 1_usize..400,
    ) {
        let mut last = std::collections::BTreeMap::new();
        for (key, value) in entries.drain(..) {
            last.insert(key, value);
        }
        let forth: Vec<_> = last.clone().into_iter().collect();
        let back: Vec<_> = last.into_iter().rev().collect();
        prop_assert_eq!(state(&forth).pages(limit).0, state(&back).pages(limit).0);
    }

    #[test]
    fn a_forged_page_is_found_r38(entries in entries(), at in any::<prop::sample::Index>()) {
        let whole = state(&entries);
        let (crown, pages) = whole.pages(64);
        prop_assume!(!pages.is_empty());
        let place = at.index(pages.len());
        let hash = crown.pages().nth(place).expect("as many hashes as pages");
        let honest = listed(&pages[place]);
        let mut longer = honest.clone();
        longer[0].1.push(1);
        prop_assert!(page(hash, &longer).is_none(), "a changed value");
        let mut other = honest.clone();
        other[0].0.push(1);
        prop_assert!(page(hash, &other).is_none(), "a changed key");
        prop_assert!(page(hash, &honest[1..]).is_none(), "an entry left out");
        let more = [honest, vec![(b"an uninvited key".to_vec(), Vec::new())]].concat();
        prop_assert!(page(hash, &more).is_none(), "an entry too many");
    }

    #[test]
    fn a_state_survives_its_encoding(entries in entries()) {
        let whole = state(&entries);
        let bytes = codec::encode(&whole);
        prop_assert_eq!(bytes.len(), whole.wire_len());
        let again: State = codec::decode(&bytes).expect("its own bytes");
        prop_assert_eq!(again, whole);
    }

    #[test]
    fn no_bytes_make_a_crown_that_panics(bytes in proptest::collection::vec(0_u8..3, 0..300)) {
        let mut framed = (bytes.len() as u32 / 4).to_le_bytes().to_vec();
        framed.extend(&bytes);
        for bytes in [&bytes, &framed] {
            if let Ok(crown) = codec::decode::<Crown>(bytes) {
                let _ = (crown.root(), crown.assemble(Vec::new()));
            }
        }
    }
}

#[test]
fn pages_that_are_not_all_of_them_make_no_state() {
    let entries: Vec<_> = (0..50_u8).map(|key| (vec![key], vec![key; 20])).collect();
    let (crown, mut pages) = state(&entries).pages(100);
    assert!(pages.len() > 3);
    pages.swap(0, 1);
    assert!(crown.assemble(pages.clone()).is_none(), "in another order");
    pages.swap(0, 1);
    pages.pop();
    assert!(crown.assemble(pages).is_none(), "one short");
}

#[test]
fn forks_that_do_not_go_down_are_no_crown() {
    // Twigs: Fork(bit) is [0, bit], Page(hash) is [1, hash].
    let page = [vec![1], Digest::ZERO.0.to_vec()].concat();
    let crown = |bits: [u8; 2]| {
        let twigs = [
            3_u32.wrapping_add(2).to_le_bytes().to_vec(),
            vec![0, bits[0]],
            vec![0, bits[1]],
            page.clone(),
            page.clone(),
            page.clone(),
        ];
        codec::decode::<Crown>(&twigs.concat()).expect("well-formed")
    };
    assert!(crown([3, 4]).root().is_some());
    assert!(crown([4, 4]).root().is_none());
    assert!(crown([4, 3]).root().is_none());
}
