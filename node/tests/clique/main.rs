//! Clique: turns and the signer limit, forks and how they end, and what is refused.

#[path = "../chain_support/mod.rs"]
mod chain_support;
mod forks;
mod recovery;
mod refusals;
mod turns;

use std::{sync::Arc, time::Duration};

use chain_support::{Net, keys};
use consortium_node::{
    block::{Block, Header, Results},
    clique::{Clique, CliqueConfig, SEAL, TieBreak},
    codec,
    engine::Tale,
    sealed::SealedBlock,
    types::{Digest, NodeId, Wall},
};

const PERIOD: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(1);

fn config() -> CliqueConfig {
    CliqueConfig {
        period: PERIOD,
        tie_break: TieBreak::FirstSeen,
        confirmations: None,
        gossip: false,
        seed: 1,
    }
}

fn net_of(n: usize, config: &CliqueConfig) -> Net<Clique> {
    Net::new(n, DELAY, |committee, me, key, genesis| {
        Clique::new(config, committee, me, key, genesis)
    })
}

fn net(n: usize) -> Net<Clique> {
    net_of(n, &config())
}

fn difficulty(block: &Block) -> u64 {
    codec::decode(&block.header().extra).expect("a number")
}

/// The header of an honest block of `proposer` on `parent`, in a committee of n.
fn header(n: u64, proposer: u16, parent: &Block) -> Header {
    let height = parent.header().height.next();
    let in_turn = height.0 % n == u64::from(proposer);
    Header {
        height,
        parent: parent.id(),
        transactions_root: Digest::ZERO,
        results: Results::default(),
        timestamp: Wall(parent.header().timestamp.0 + PERIOD.as_nanos() as u64),
        proposer: NodeId(proposer),
        extra: codec::encode(&if in_turn { 2u64 } else { 1 }),
    }
}

/// A block with this header, sealed by its proposer.
fn sealed(n: usize, header: Header) -> SealedBlock {
    let proposer = header.proposer;
    let key = &keys(n)[proposer.index()];
    SealedBlock::new(key, proposer, SEAL, Block::new(header, Vec::new()))
}

/// Blocks by these signers in a row on `parent`.
fn branch(n: usize, parent: &Arc<Block>, signers: &[u16]) -> Vec<SealedBlock> {
    let mut tip = Arc::clone(parent);
    signers
        .iter()
        .map(|signer| {
            let next = sealed(n, header(n as u64, *signer, &tip));
            tip = Arc::clone(next.block());
            next
        })
        .collect()
}

/// No signer twice among any ⌊n/2⌋+1 consecutive blocks.
fn assert_signer_limit(n: usize, chain: &[Arc<Block>]) {
    for window in chain[1..].windows(n / 2 + 1) {
        let mut signers: Vec<_> = window.iter().map(|block| block.header().proposer).collect();
        signers.sort_unstable();
        signers.dedup();
        assert_eq!(signers.len(), n / 2 + 1, "at {}", window[0].header().height);
    }
}

/// The seals that a node said it made, by height.
fn seals(net: &Net<Clique>, node: usize) -> Vec<(u64, Digest)> {
    let tales = net.hosts[node].tales.iter();
    tales
        .filter_map(|tale| match tale {
            Tale::Voted(vote) => Some((vote.slot.0, vote.digest)),
            _ => None,
        })
        .collect()
}
