//! Execute-order-validate: calls are tried before they are ordered, and judged after.
//!
//! Source: Androulaki et al., *Hyperledger Fabric: a distributed operating system for permissioned
//! blockchains*, EuroSys 2018, §3 (the architecture) and §4 (its parts). The terms are the paper's.
//!
//! Roles. One machine may play several.
//!
//! - A **peer** keeps ledger and state ([`Peer`]). An **endorser** is a peer whose word on effects counts.
//! - An **orderer** takes part in the ordering service ([`Orderer`]) and keeps no state.
//! - The **client** is a member's gateway; it is not part of this crate.
//!
//! The way of a transaction (§3.2–3.4).
//!
//! 1. *Execution.* Upon PROPOSE from a client, an endorser checks who signed it and that it has not been
//!    executed, tries it on the state that it has committed, without committing anything, and signs what
//!    it read, in which versions, and what it would write: ENDORSEMENT. A transaction that cannot execute
//!    is refused. A reverted call is endorsed like any other: it reads, and uses up its number.
//! 2. The client collects equal endorsements until the [`Policy`] is satisfied and sends order and
//!    endorsements, the envelope, to an orderer: SUBMIT.
//! 3. *Ordering.* The ordering service decides on blocks of envelopes. It checks that a party that may
//!    write signed the order (the channel's writers) and looks no further: neither at endorsements, nor
//!    at versions, nor at numbers used before. It sends each block with its proof to the peers: DELIVER.
//! 4. *Validation.* Each peer goes through the block in order ([`Validation`]): it checks the signature of
//!    the order, the endorsement policy, then that every key read still has the version that was read
//!    (multi-version concurrency control). It applies the write sets of valid envelopes, under the version
//!    (height, place), and marks the others in their receipts. It commits and tells the client whose
//!    *home* it is: RECEIPTS, the commit event.
//! 5. A client whose envelope was invalidated by a read conflict has the same order endorsed again.
//!
//! Exactly once. The replay window of the party is among what is read and written, so of two envelopes of
//! one number the second meets another version. A peer does not rely on endorsers for that: it checks that
//! the number is free and that the write set uses up this number and no other.
//!
//! The ordering service is any [`crate::engine::Engine`] with finality, hosted by the same
//! [`crate::validator::Validator`] as every protocol, among a committee of its own ([`Channel::orderers`])
//! and over an executor that does not execute ([`Opaque`]). Hence headers carry no results but genesis',
//! as in Fabric, whose blocks do not commit to the state either. Where the engine bears liars, its own
//! proof goes with the block ([`crate::engine::Engine::proves`]); else one orderer's signature on the
//! block's id does, phase [`ORDERED`]: an outsider can check whose word it is, and has to take it. With a
//! committee of one and [`crate::central`] that is the single orderer.
//!
//! A peer that heard nothing for [`POLL`], or sees a gap, asks another machine: FETCH. Any peer can
//! answer, because blocks prove themselves. Every peer is served by one orderer; those on the same
//! machine need no message. So with e endorsers and p peers on other machines than the orderers, a
//! transaction costs e PROPOSE, e ENDORSEMENT, 1 SUBMIT, the ordering's messages, p DELIVER and 1
//! RECEIPTS, and takes 5δ, what the ordering takes and the wait for the cut (the ordering of a majority
//! adds 2δ, to Fabric's 7δ).
//!
//! What differs from Fabric: no channels but one, no private data, no range queries and hence no phantoms
//! but reads of absent keys (their version is "none"); endorsers push nothing to each other (no gossip);
//! peers check numbers instead of transaction ids; the block's data hash covers the envelopes' signatures.

mod channel;
mod endorser;
mod machine;
mod opaque;
mod orderer;
mod packet;
mod peer;
mod policy;
pub mod rwset;
mod validation;

use std::time::Duration;

pub use self::{
    channel::{Channel, ONE_WORD},
    machine::Machine,
    opaque::Opaque,
    orderer::Orderer,
    packet::RolePacket,
    peer::Peer,
    policy::Policy,
    validation::Validation,
};
use crate::quorum::Phase;

/// Name of the protocol, as in a scenario.
pub const NAME: &str = "execute-order-validate";
/// An orderer's word that a block was ordered at its height. Beyond the phases of the engines.
pub const ORDERED: Phase = Phase(64);
/// After so much silence a peer asks whether it missed something.
pub const POLL: Duration = Duration::from_secs(1);
/// Most blocks in one DELIVER.
pub const BATCH: usize = 64;
/// Most bytes of blocks in one DELIVER; the first block always fits.
pub const BATCH_BYTES: usize = 1 << 20;
/// Most blocks that a peer keeps which came before their turn.
pub const EARLY: usize = 256;
