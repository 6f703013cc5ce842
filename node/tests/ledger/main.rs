//! The ledger: state, replay window, chain, proofs and audits.

mod audit;
mod chain;
mod fixture;
mod handover;
mod proof;
mod replay;
mod state;
