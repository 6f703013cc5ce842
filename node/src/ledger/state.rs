//! The state: a persistent, authenticated map from keys to values.
//!
//! A compact sparse Merkle trie, binary over the SHA-256 of each key. A branch stands only where two
//! keys part and names the bit at which they do, so paths without a fork cost nothing (PATRICIA,
//! Morrison 1968). One set of entries has one shape, whatever the order of the writes, and therefore
//! one root. Leaves and branches are hashed under different prefixes, 0x00 and 0x01, as in RFC 6962
//! §2.1, so that neither can pass for the other.
//!
//! Nodes are shared: a clone is a snapshot and costs one counter. Hashes are computed when the root
//! is asked for and kept until something below them changes.

use std::{
    iter,
    sync::{Arc, OnceLock},
};

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};

use crate::types::Digest;

pub mod pages;

const LEAF: &[u8] = &[0];
const BRANCH: &[u8] = &[1];

/// What execution reads and writes: a state, or a view of one that takes notes.
pub trait Store {
    /// The value of `key`.
    fn read(&mut self, key: &[u8]) -> Option<&[u8]>;
    /// Sets the value of `key`.
    fn write(&mut self, key: &[u8], value: &[u8]);
}

impl Store for State {
    fn read(&mut self, key: &[u8]) -> Option<&[u8]> {
        self.get(key)
    }

    fn write(&mut self, key: &[u8], value: &[u8]) {
        self.insert(key, value);
    }
}

/// A map from bytes to bytes with a root that commits to all of it. Cloning takes a snapshot.
#[derive(Clone, Debug, Default)]
pub struct State {
    root: Option<Arc<Node>>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Leaf),
    Branch(Branch),
}

#[derive(Clone, Debug)]
struct Leaf {
    path: Digest,
    key: Arc<[u8]>,
    value: Arc<[u8]>,
    hash: OnceLock<Digest>,
}

#[derive(Clone, Debug)]
struct Branch {
    /// The first bit at which the paths below differ.
    bit: u8,
    /// Those with a 0 there, those with a 1.
    children: [Arc<Node>; 2],
    hash: OnceLock<Digest>,
}

impl State {
    /// The empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let path = path_of(key);
        self.nearest(&path)
            .filter(|leaf| leaf.path == path)
            .map(|leaf| leaf.value.as_ref())
    }

    /// Sets the value of `key`. Snapshots keep what they had.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        let path = path_of(key);
        let fork = match self.nearest(&path) {
            Some(leaf) if leaf.path == path => {
                if *leaf.value == *value {
                    return; // Cached hashes stay good.
                }
                None
            }
            Some(leaf) => first_difference(&leaf.path, &path),
            None => None,
        };
        let leaf = Leaf {
            path,
            key: key.into(),
            value: value.into(),
            hash: OnceLock::new(),
        };
        match (&mut self.root, fork) {
            (Some(root), None) => replace(root, leaf),
            (Some(root), Some(bit)) => {
                graft(root, bit, leaf);
                self.len += 1;
            }
            (empty, _) => {
                *empty = Some(Arc::new(Node::Leaf(leaf)));
                self.len += 1;
            }
        }
    }

    /// Takes `key` out; whether it was in.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let path = path_of(key);
        if self.nearest(&path).is_none_or(|leaf| leaf.path != path) {
            return false;
        }
        self.len -= 1;
        match &mut self.root {
            Some(root) if matches!(**root, Node::Branch(_)) => prune(root, &path),
            root => *root = None,
        }
        true
    }

    /// What commits to all entries. The empty map has the hash of nothing, as in RFC 6962.
    pub fn root(&self) -> Digest {
        self.root
            .as_ref()
            .map_or_else(|| sha256(&[]), |node| node.hash())
    }

    /// All entries, in the order of the hashes of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        let mut stack: Vec<&Node> = self.root.as_deref().into_iter().collect();
        iter::from_fn(move || {
            loop {
                match stack.pop()? {
                    Node::Leaf(leaf) => return Some((leaf.key.as_ref(), leaf.value.as_ref())),
                    Node::Branch(branch) => {
                        stack.extend(branch.children.iter().rev().map(AsRef::as_ref));
                    }
                }
            }
        })
    }

    /// Shows what `key` maps to, or that it maps to nothing, to someone who knows only the root.
    pub fn prove(&self, key: &[u8]) -> StateProof {
        let path = path_of(key);
        let mut steps = Vec::new();
        let mut next = self.root.as_deref();
        while let Some(Node::Branch(branch)) = next {
            let side = bit_of(&path, branch.bit);
            steps.push(Step {
                bit: branch.bit,
                sibling: branch.children[1 - side].hash(),
            });
            next = Some(&branch.children[side]);
        }
        let end = match next {
            Some(Node::Leaf(leaf)) if leaf.path == path => End::Itself,
            Some(Node::Leaf(leaf)) => End::Other {
                path: leaf.path,
                value: sha256(&[&leaf.value]),
            },
            _ => End::Empty,
        };
        StateProof { steps, end }
    }

    /// The only leaf that can be the one at `path`.
    fn nearest(&self, path: &Digest) -> Option<&Leaf> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Branch(branch) => node = &branch.children[bit_of(path, branch.bit)],
            }
        }
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for State {}

impl Node {
    fn hash(&self) -> Digest {
        match self {
            Self::Leaf(leaf) => *leaf
                .hash
                .get_or_init(|| leaf_hash(&leaf.path, &sha256(&[&leaf.value]))),
            Self::Branch(branch) => *branch.hash.get_or_init(|| {
                let [zero, one] = &branch.children;
                branch_hash(branch.bit, &zero.hash(), &one.hash())
            }),
        }
    }

    /// Whether two paths that part at `bit` part above this node.
    fn is_below(&self, bit: u8) -> bool {
        match self {
            Self::Leaf(_) => true,
            Self::Branch(branch) => branch.bit > bit,
        }
    }
}

/// Puts `leaf` in the place of the leaf of the same path, which is there.
fn replace(node: &mut Arc<Node>, leaf: Leaf) {
    if matches!(**node, Node::Leaf(_)) {
        *node = Arc::new(Node::Leaf(leaf));
    } else if let Node::Branch(branch) = Arc::make_mut(node) {
        branch.hash.take();
        replace(&mut branch.children[bit_of(&leaf.path, branch.bit)], leaf);
    }
}

/// Adds `leaf`, whose path parts from its nearest neighbour's at `bit`.
fn graft(node: &mut Arc<Node>, bit: u8, leaf: Leaf) {
    if node.is_below(bit) {
        let side = bit_of(&leaf.path, bit);
        let mut children = [Arc::clone(node), Arc::new(Node::Leaf(leaf))];
        if side == 0 {
            children.swap(0, 1);
        }
        *node = Arc::new(Node::Branch(Branch {
            bit,
            children,
            hash: OnceLock::new(),
        }));
    } else if let Node::Branch(branch) = Arc::make_mut(node) {
        branch.hash.take();
        graft(
            &mut branch.children[bit_of(&leaf.path, branch.bit)],
            bit,
            leaf,
        );
    }
}

/// Takes the leaf at `path` from below a branch; its sibling takes the branch's place.
fn prune(node: &mut Arc<Node>, path: &Digest) {
    let Node::Branch(branch) = Arc::make_mut(node) else {
        unreachable!("a leaf is taken by its parent");
    };
    let side = bit_of(path, branch.bit);
    if matches!(*branch.children[side], Node::Leaf(_)) {
        let sibling = Arc::clone(&branch.children[1 - side]);
        *node = sibling;
    } else {
        branch.hash.take();
        prune(&mut branch.children[side], path);
    }
}

/// Shows that a key maps to a value, or to nothing, under a root.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct StateProof {
    /// From the root down.
    steps: Vec<Step>,
    end: End,
}

#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
struct Step {
    bit: u8,
    sibling: Digest,
}

#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
enum End {
    /// The map is empty.
    Empty,
    /// The way ends at the leaf of the key.
    Itself,
    /// The way ends at another key's leaf; were the key present, it would end at the key's.
    Other { path: Digest, value: Digest },
}

impl StateProof {
    /// Whether `key` maps to `value` (`None`: to nothing) in the map of this root.
    ///
    /// An absence is shown by the leaf at which the way of the key ends. That is sound because the
    /// root is one that a [`State`] computed: each key then has one place where it can be.
    #[must_use]
    pub fn verify(&self, root: &Digest, key: &[u8], value: Option<&[u8]>) -> bool {
        let path = path_of(key);
        let end = match (&self.end, value) {
            (End::Empty, None) if self.steps.is_empty() => sha256(&[]),
            (End::Itself, Some(value)) => leaf_hash(&path, &sha256(&[value])),
            (End::Other { path: other, value }, None) if *other != path => leaf_hash(other, value),
            _ => return false,
        };
        let ordered = self.steps.windows(2).all(|pair| pair[0].bit < pair[1].bit);
        let found = self.steps.iter().rev().fold(end, |below, step| {
            if bit_of(&path, step.bit) == 0 {
                branch_hash(step.bit, &below, &step.sibling)
            } else {
                branch_hash(step.bit, &step.sibling, &below)
            }
        });
        ordered && found == *root
    }
}

fn path_of(key: &[u8]) -> Digest {
    sha256(&[key])
}

/// Bit `bit` of a path, the most significant first.
fn bit_of(path: &Digest, bit: u8) -> usize {
    usize::from(path.0[usize::from(bit / 8)] >> (7 - bit % 8) & 1)
}

fn first_difference(a: &Digest, b: &Digest) -> Option<u8> {
    let byte = (0..a.0.len()).find(|&at| a.0[at] != b.0[at])?;
    Some((byte as u8) * 8 + (a.0[byte] ^ b.0[byte]).leading_zeros() as u8)
}

fn leaf_hash(path: &Digest, value: &Digest) -> Digest {
    sha256(&[LEAF, &path.0, &value.0])
}

fn branch_hash(bit: u8, zero: &Digest, one: &Digest) -> Digest {
    sha256(&[BRANCH, &[bit], &zero.0, &one.0])
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}
