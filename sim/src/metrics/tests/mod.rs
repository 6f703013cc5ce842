//! What the definitions mean, one sentence each.

use super::summary::Summary;

mod costs;
mod fates;
mod journey;
mod trouble;

/// Submitted, ok, reverted, rejected, lost, pending.
fn fates(run: &Summary) -> [u64; 6] {
    [
        run.submitted,
        run.ok,
        run.reverted,
        run.rejected,
        run.lost,
        run.pending,
    ]
}
