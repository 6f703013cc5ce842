//! Blocks: what consensus decides and the ledger keeps.

use std::sync::{Arc, OnceLock};

use borsh::{BorshDeserialize, BorshSerialize};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::{Digest as _, Sha256};

use crate::{
    codec,
    quorum::Certificate,
    transaction::Transaction,
    types::{BlockId, Digest, Epoch, Height, NodeId, Wall},
};

/// What executing the chain up to a height gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct Results {
    /// The height.
    pub height: Height,
    /// Root of the state after it; the parties' replay windows are part of the state.
    pub state_root: Digest,
    /// Root of its receipts.
    pub receipts_root: Digest,
}

/// The part of a block that is hashed. Everything else hangs on it by a root.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// One more than the parent's.
    pub height: Height,
    /// The block that this one follows.
    pub parent: BlockId,
    /// RFC 6962 root of the transactions.
    pub transactions_root: Digest,
    /// Results of the newest block that the proposer had executed, an ancestor of this one. Whoever
    /// has executed that height refuses other values. A proof about the state at height h uses the
    /// first block that carries its results.
    pub results: Results,
    /// When it was proposed, by the proposer's clock.
    pub timestamp: Wall,
    /// Who proposed it.
    pub proposer: NodeId,
    /// What a protocol adds, in its own encoding: Clique's difficulty, for one. Often empty.
    pub extra: Vec<u8>,
}

impl Header {
    /// The id of the block with this header.
    pub fn id(&self) -> BlockId {
        codec::digest("block", self)
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        borsh::object_length(self).expect("headers are finite")
    }
}

/// A block: header and transactions, with its id and size computed once.
#[derive(Clone, Debug)]
pub struct Block {
    header: Header,
    transactions: Vec<Arc<Transaction>>,
    id: BlockId,
    wire_len: usize,
    /// See [`Block::is_whole`]. Members that share a block in memory share the answer.
    whole: OnceLock<bool>,
}

impl Block {
    /// Seals a header over these transactions; `header.transactions_root` is filled in here.
    pub fn new(mut header: Header, transactions: Vec<Arc<Transaction>>) -> Arc<Self> {
        header.transactions_root = transactions_root(&transactions);
        Arc::new(Self::from_parts(header, transactions))
    }

    fn from_parts(header: Header, transactions: Vec<Arc<Transaction>>) -> Self {
        let id = header.id();
        let fixed = header.wire_len() + 4;
        let wire_len = fixed + transactions.iter().map(|t| t.wire_len()).sum::<usize>();
        Self {
            header,
            transactions,
            id,
            wire_len,
            whole: OnceLock::new(),
        }
    }

    /// The block that every chain of this id starts with. It holds the results of the empty state.
    pub fn genesis(state_root: Digest) -> Arc<Self> {
        let results = Results {
            state_root,
            ..Results::default()
        };
        let header = Header {
            height: Height(0),
            parent: Digest::ZERO,
            transactions_root: Digest::ZERO,
            results,
            timestamp: Wall(0),
            proposer: NodeId(0),
            extra: Vec::new(),
        };
        Self::new(header, Vec::new())
    }

    /// Digest of the header.
    pub fn id(&self) -> BlockId {
        self.id
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The transactions in the order of their execution.
    pub fn transactions(&self) -> &[Arc<Transaction>] {
        &self.transactions
    }

    /// Whether the transactions are those that the header commits to.
    pub fn is_whole(&self) -> bool {
        *self
            .whole
            .get_or_init(|| self.header.transactions_root == transactions_root(&self.transactions))
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Block {}

impl BorshSerialize for Block {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.header.serialize(writer)?;
        self.transactions.serialize(writer)
    }
}

impl BorshDeserialize for Block {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let header = Header::deserialize_reader(reader)?;
        let transactions = Vec::deserialize_reader(reader)?;
        Ok(Self::from_parts(header, transactions))
    }
}

/// RFC 6962 root over the transactions' leaves: ids, and digests of envelopes.
fn transactions_root(transactions: &[Arc<Transaction>]) -> Digest {
    merkle_root(transactions.iter().map(|transaction| transaction.leaf()))
}

/// RFC 6962 root over a list of digests (§2.1).
///
/// The same as [`merkle_tree`]'s, in one pass: a tree that can prove hashes the whole path again with
/// each leaf. What is kept is the roots of the full subtrees so far, largest first; as many of them
/// merge after a leaf as the count of leaves ends in zero bits.
pub fn merkle_root(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    let mut subtrees: Vec<Digest> = Vec::new();
    for (count, leaf) in (1_u64..).zip(leaves) {
        let mut root = merkle_hash(&[&[0], &leaf.0]);
        for _ in 0..count.trailing_zeros() {
            let left = subtrees
                .pop()
                .expect("as many subtrees as the count has bits");
            root = merkle_hash(&[&[1], &left.0, &root.0]);
        }
        subtrees.push(root);
    }
    let whole = subtrees.into_iter().rev();
    whole
        .reduce(|right, left| merkle_hash(&[&[1], &left.0, &right.0]))
        .unwrap_or_else(|| merkle_hash(&[]))
}

fn merkle_hash(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// RFC 6962 tree over a list of digests, for proofs.
pub fn merkle_tree(leaves: impl IntoIterator<Item = Digest>) -> MemoryBackedTree<Sha256, [u8; 32]> {
    let mut tree = MemoryBackedTree::new();
    leaves.into_iter().for_each(|leaf| tree.push(leaf.0));
    tree
}

/// Why an outsider may believe that a block is final.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum Finality {
    /// A quorum of the committee signed a statement whose digest is the block's id.
    Certificate(Certificate),
    /// Quorums signed, one after another, blocks that descend from it; by the rule of a chained protocol
    /// that makes it final.
    Descendants {
        /// The blocks that follow it, each the parent of the next.
        headers: Vec<Header>,
        /// Certificates for the last so many of these blocks and, if there are more certificates than
        /// headers, for the block itself; in their order.
        certificates: Vec<Certificate>,
    },
    /// The word of the one machine that everyone trusts: nothing that an outsider could check.
    Trusted,
    /// Nothing: the protocol has no finality, and the block was so many blocks deep when somebody
    /// chose to rely on it.
    Depth(u64),
}

impl Finality {
    /// The epoch in which it was signed, if it is.
    pub fn epoch(&self) -> Option<Epoch> {
        let newest = match self {
            Self::Certificate(certificate) => Some(certificate),
            Self::Descendants { certificates, .. } => certificates.last(),
            Self::Trusted | Self::Depth(_) => None,
        };
        newest.map(|certificate| certificate.vote().view.epoch())
    }

    /// Signatures that a reader checks.
    pub fn signatures(&self) -> usize {
        match self {
            Self::Certificate(certificate) => certificate.signers().len(),
            Self::Descendants { certificates, .. } => {
                certificates.iter().map(|one| one.signers().len()).sum()
            }
            Self::Trusted | Self::Depth(_) => 0,
        }
    }

    /// Bytes on the wire or on disk.
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Certificate(certificate) => 1 + certificate.wire_len(),
            Self::Descendants {
                headers,
                certificates,
            } => {
                let headers: usize = headers.iter().map(Header::wire_len).sum();
                let certificates: usize = certificates.iter().map(Certificate::wire_len).sum();
                1 + 4 + headers + 4 + certificates
            }
            Self::Trusted => 1,
            Self::Depth(_) => 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_that_of_the_tree_which_proves_for_any_number_of_leaves() {
        let leaves: Vec<_> = (0..200_u64)
            .map(|number| codec::digest("leaf", &number))
            .collect();
        for count in 0..=200 {
            let leaves = || leaves[..count].iter().copied();
            let tree = merkle_tree(leaves());
            let expected = Digest((*tree.root().as_bytes()).into());
            assert_eq!(merkle_root(leaves()), expected, "{count} leaves");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_root_does_not_depend_on_what_the_leaves_are(
            leaves in proptest::collection::vec(proptest::array::uniform32(0_u8..), 0..=200),
        ) {
            let leaves = || leaves.iter().copied().map(Digest);
            let expected = Digest((*merkle_tree(leaves()).root().as_bytes()).into());
            proptest::prop_assert_eq!(merkle_root(leaves()), expected);
        }
    }
}
