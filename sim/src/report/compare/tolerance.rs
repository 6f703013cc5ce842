//! The tolerance curves as a small matrix: one letter for each number of failing members.

use super::block;
use crate::{
    compare::{Comparison, Curve, tolerance::Cell},
    report::page::Page,
};

pub(super) fn curves(page: &mut Page, comparison: &Comparison) {
    let Some(first) = comparison.tolerance.first() else {
        return;
    };
    let most = first.cells.len() - 1;
    let scale = format!("k = 0..{most}");
    let header = [
        "TOLERANCE",
        "members",
        scale.as_str(),
        "safe up to (claimed)",
        "live up to (claimed)",
        "first broken by",
    ];
    let rows = comparison.tolerance.iter().map(|curve| {
        let letters: String = curve.cells.iter().map(|cell| cell.letter()).collect();
        vec![
            curve.protocol.clone(),
            curve.trouble.name().to_owned(),
            letters,
            bound(curve, curve.shown_safe, curve.claimed_safe),
            bound(curve, curve.shown_live, curve.claimed_live),
            curve.first_fork.as_ref().map_or(String::new(), |fork| {
                format!("k={}: {}", fork.failing, fork.grounds.join(", "))
            }),
        ]
    });
    block(page, &header, rows.collect(), &[]);
    page.labelled(
        "",
        ". safe and live  s stalled  F forked  B both  - the cheat never acted  (blank) nobody honest \
         left; the first k in the order of turns fail for good, one directed run each: it can refute a \
         claim, not prove one",
    );
    for curve in comparison.tolerance.iter().filter(|curve| curve.is_idle()) {
        let what = match curve.cells.get(1) {
            Some(Cell::Idle) => "this protocol gives it nothing to withhold or to tell twice",
            _ => "it never led",
        };
        let text = format!(
            "{} {}: never acted; {what}",
            curve.protocol,
            curve.trouble.name()
        );
        page.labelled("", &text);
    }
}

/// What was shown, and what is claimed.
fn bound(curve: &Curve, shown: Option<usize>, claimed: Option<usize>) -> String {
    let claimed = claimed.map_or("nothing".to_owned(), |claimed| claimed.to_string());
    let shown = match shown {
        _ if curve.is_idle() => "not tried".to_owned(),
        Some(shown) => shown.to_string(),
        None => "not even 0".to_owned(),
    };
    format!("{shown} ({claimed})")
}
