//! What the facts of a run add up to: fates, latencies, outages, cheats' ends, the shared ledger.
//!
//! The terms mean the same in every protocol, so that a comparison is fair:
//!
//! - A transaction's **fate** is counted once, over unique ids: submitted = ok + reverted + rejected +
//!   lost + pending. *Reverted*: executed, and the contract said no. *Rejected*: never ordered, with
//!   the reason. *Lost*: its gateway was told that it is final, but at the end no honest chain holds
//!   it, or it was ordered and skipped. *Pending*: none of these when the run ended. Attempts, and what
//!   cheats submit a second time, are counted apart.
//! - **Latency** has three parts: due → sent (buffering), sent → included (the first honest validator
//!   has appended its block), included → final (its gateway may rely on it). Readings that waited for
//!   a gateway's link are shown apart. Cohorts are formed by due time, from the end of the warm-up to
//!   the start of the drain; what never finished is censored and counted, never dropped.
//! - **Goodput** is *ok* a second, by time of finality, in the same window.
//! - A **stall** is a time in which work was pending (sent by a gateway, without a fate) and nothing
//!   became final. A fault's **outage** is the longest stall from its beginning on, until the first
//!   transaction becomes final after it healed or after another fault began.
//! - A validator that starts again is **current** when its chain is within one block of the highest
//!   that any honest validator has had so far.
//!
//! [`Metrics`] reads the stream and [`Metrics::finish`] makes a [`Measured`] of it, whose [`Summary`]
//! everything else (table, JSON, baselines, comparisons) is made from.

pub mod aggregate;
mod book;
mod chains;
mod changes;
mod cheats;
mod excursions;
mod faults;
pub mod finish;
pub mod latency;
pub mod load;
mod reader;
mod restarts;
mod schedules;
pub mod shared_ledger;
mod stall;
pub mod summary;
pub mod tolerance;
pub mod units;
pub mod warning;

pub use aggregate::{Aggregate, aggregate};
pub use finish::{Evidence, Measured};
pub use reader::Metrics;
pub use shared_ledger::{SharedLedger, ledger_table};
pub use summary::{Summary, VerdictRow};
pub use warning::Warning;

#[cfg(test)]
mod scene;
#[cfg(test)]
mod tests;
