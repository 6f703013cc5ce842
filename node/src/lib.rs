//! What a member's machine runs: consensus, mempool, ledger and contracts, as pure state machines.
//!
//! No async, no clock, no entropy, no files, no printing: time, keys and messages are arguments, and
//! what should happen is returned. The simulator hosts it in virtual time; real sockets could host it
//! unchanged.
//!
//! Reading order is dependency order: [`types`], [`codec`], [`crypto`], [`membership`], [`quorum`],
//! [`transaction`], [`endorsement`], [`block`], [`ledger`], [`contracts`], [`engine`], [`wal`],
//! [`storage`], the protocols ([`pbft`], [`qbft`] and [`ibft`] with their [`rounds`], [`tendermint`],
//! [`hotstuff`], [`raft`], [`clique`], [`central`]), [`mempool`], [`sync`], and [`node`] with its
//! implementations: [`validator`], and the machines of [`execute_order_validate`].

pub mod block;
pub mod central;
pub mod clique;
pub mod codec;
pub mod contracts;
mod cosigned;
pub mod crypto;
pub mod endorsement;
pub mod engine;
pub mod execute_order_validate;
pub mod hotstuff;
pub mod ibft;
pub mod ledger;
pub mod membership;
pub mod mempool;
pub mod mutant;
pub mod node;
pub mod pbft;
pub mod qbft;
pub mod quorum;
pub mod raft;
pub mod rewrite;
pub mod rounds;
pub mod sealed;
pub mod storage;
pub mod sync;
pub mod tendermint;
pub mod transaction;
pub mod types;
pub mod validator;
pub mod wal;
