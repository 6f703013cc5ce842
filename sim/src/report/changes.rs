//! Who joined and who left the committee, as the screen shows it.

use super::{page::Page, table::clock};
use crate::metrics::summary::Summary;

/// A row for each change of the plan; nothing if there is none.
pub(super) fn rows(page: &mut Page, summary: &Summary) {
    if summary.changes.is_empty() {
        return;
    }
    page.gap();
    page.labelled("COMMITTEE", "who joined and who left");
    let rows = summary.changes.iter().map(|change| {
        let effect = match (change.from_height, change.effective_ms) {
            (None, _) => "was not approved".to_owned(),
            (Some(from), None) => format!("from height {from}, which was not reached"),
            (Some(from), Some(at)) => format!("from height {from}, in effect at {}", clock(at)),
        };
        vec![clock(change.at_ms), change.label.clone(), effect]
    });
    page.table(None, rows.collect(), &[]);
}
