//! A state in pages, for handing it over piece by piece.
//!
//! The trie is cut where what hangs below fits into a page; what lies above the cuts is the [`Crown`]. A
//! state is always cut in the same way, so that any two nodes that hold it can hand out each other's
//! pages. The crown hashes up to the root and names the hash of each page, so that each page can be
//! checked on its own, as soon as it comes (R38).

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Branch, Node, State, branch_hash, sha256};
use crate::types::Digest;

/// The top of a trie, down to where its pages begin: forks and pages in the order in which they are
/// met, zeros first.
#[derive(Clone, PartialEq, Eq, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct Crown {
    twigs: Vec<Twig>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
enum Twig {
    /// The paths below part at this bit.
    Fork(u8),
    /// Here a page begins whose hash is this.
    Page(Digest),
}

/// A part of a trie with its cuts.
struct Part {
    /// Bytes of the entries below, as encoded.
    bytes: usize,
    twigs: Vec<Twig>,
    pages: Vec<State>,
}

impl State {
    /// Cuts the state into pages of at most `limit` bytes of keys and values, or of one entry if that
    /// alone is larger. The empty state has none. Takes time in proportion to the entries.
    pub fn pages(&self, limit: usize) -> (Crown, Vec<Self>) {
        let Some(root) = &self.root else {
            return (Crown::default(), Vec::new());
        };
        let Part { twigs, pages, .. } = cut(root, limit);
        (Crown { twigs }, pages)
    }

    fn of_entries(entries: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>) -> Self {
        let mut state = Self::new();
        for (key, value) in entries {
            state.insert(key.as_ref(), value.as_ref());
        }
        state
    }
}

fn cut(node: &Arc<Node>, limit: usize) -> Part {
    let page = |bytes, len| Part {
        bytes,
        twigs: vec![Twig::Page(node.hash())],
        pages: vec![State {
            root: Some(Arc::clone(node)),
            len,
        }],
    };
    match &**node {
        Node::Leaf(leaf) => page(4 + leaf.key.len() + 4 + leaf.value.len(), 1),
        Node::Branch(branch) => {
            let [zero, one] = branch.children.each_ref().map(|child| cut(child, limit));
            let bytes = zero.bytes + one.bytes;
            if bytes <= limit {
                let below = zero.pages.iter().chain(&one.pages);
                return page(bytes, below.map(State::len).sum());
            }
            Part {
                bytes,
                twigs: [vec![Twig::Fork(branch.bit)], zero.twigs, one.twigs].concat(),
                pages: [zero.pages, one.pages].concat(),
            }
        }
    }
}

impl Crown {
    /// The root of the state that it is the top of; `None` if it is the top of none.
    pub fn root(&self) -> Option<Digest> {
        if self.twigs.is_empty() {
            return Some(sha256(&[]));
        }
        let mut twigs = self.twigs.iter();
        let root = fold(&mut twigs, None)?;
        twigs.next().is_none().then_some(root)
    }

    /// The hashes of the pages, in their order.
    pub fn pages(&self) -> impl Iterator<Item = &Digest> + '_ {
        self.twigs.iter().filter_map(|twig| match twig {
            Twig::Page(hash) => Some(hash),
            Twig::Fork(_) => None,
        })
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        let twig = |twig: &Twig| match twig {
            Twig::Fork(_) => 2,
            Twig::Page(_) => 33,
        };
        4 + self.twigs.iter().map(twig).sum::<usize>()
    }

    /// Puts pages that were checked with [`page`] back together. `None` if they are not all of them.
    pub fn assemble(&self, pages: Vec<State>) -> Option<State> {
        let len = pages.iter().map(State::len).sum();
        let complete = self.pages().copied().eq(pages.iter().map(State::root));
        let root = self.root().filter(|_| complete)?;
        let mut pages = pages.into_iter().filter_map(|page| page.root);
        let node = grow(&mut self.twigs.iter(), &mut pages);
        let state = State { root: node, len };
        (state.root() == root).then_some(state)
    }
}

/// The page of this hash, if these are its keys and values; no others are.
pub fn page(hash: &Digest, entries: &[(Vec<u8>, Vec<u8>)]) -> Option<State> {
    let page = State::of_entries(entries.iter().map(|(key, value)| (key, value)));
    (page.root() == *hash).then_some(page)
}

/// The hash of what begins here. Bits grow on the way down, which bounds the depth at 256.
fn fold<'a>(twigs: &mut impl Iterator<Item = &'a Twig>, above: Option<u8>) -> Option<Digest> {
    match twigs.next()? {
        Twig::Page(hash) => Some(*hash),
        Twig::Fork(bit) if above.is_some_and(|above| above >= *bit) => None,
        Twig::Fork(bit) => {
            let zero = fold(twigs, Some(*bit))?;
            let one = fold(twigs, Some(*bit))?;
            Some(branch_hash(*bit, &zero, &one))
        }
    }
}

/// What begins here, out of pages in their order.
fn grow<'a>(
    twigs: &mut impl Iterator<Item = &'a Twig>,
    pages: &mut impl Iterator<Item = Arc<Node>>,
) -> Option<Arc<Node>> {
    match twigs.next()? {
        Twig::Page(_) => pages.next(),
        Twig::Fork(bit) => {
            let children = [grow(twigs, pages)?, grow(twigs, pages)?];
            Some(Arc::new(Node::Branch(Branch {
                bit: *bit,
                children,
                hash: std::sync::OnceLock::new(),
            })))
        }
    }
}

impl BorshSerialize for State {
    /// All entries, in the order of [`State::iter`].
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        (self.len as u64).serialize(writer)?;
        self.iter().try_for_each(|entry| entry.serialize(writer))
    }
}

impl BorshDeserialize for State {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        // The count is a claim: entries are read one by one, so a lie costs what its bytes cost.
        let mut state = Self::new();
        let count = u64::deserialize_reader(reader)?;
        let mut last = None;
        for _ in 0..count {
            let (key, value) = <(Vec<u8>, Vec<u8>)>::deserialize_reader(reader)?;
            let path = super::path_of(&key);
            if last.is_some_and(|last| last >= path) {
                let why = "entries of a state come in the order of the hashes of their keys";
                return Err(borsh::io::Error::new(
                    borsh::io::ErrorKind::InvalidData,
                    why,
                ));
            }
            last = Some(path);
            state.insert(&key, &value);
        }
        Ok(state)
    }
}

impl State {
    /// Bytes of its encoding.
    pub fn wire_len(&self) -> usize {
        let entry = |(key, value): (&[u8], &[u8])| 8 + key.len() + value.len();
        8 + self.iter().map(entry).sum::<usize>()
    }
}
