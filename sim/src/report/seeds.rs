//! The screen of several seeds: medians with their intervals.

use super::page::Page;
use crate::metrics::aggregate::Aggregate;

/// Medians with intervals, and which seeds failed.
pub fn render(aggregate: &Aggregate) -> String {
    let mut page = Page::default();
    page.line(&format!(
        "{}  {}  {} seeds  {} failed",
        aggregate.scenario.to_uppercase(),
        aggregate.protocol,
        aggregate.seeds.len(),
        aggregate.failed.len()
    ));
    for (seed, code) in &aggregate.failed {
        page.line(&format!(" seed {seed}: exit code {code}"));
    }
    for (name, runs) in &aggregate.violations {
        page.line(&format!(
            " VIOLATED {name} in {runs} of {} runs",
            aggregate.seeds.len()
        ));
    }
    page.gap();
    let header = [
        "figure",
        "median",
        "low",
        "high",
        "holds the median",
        "runs",
    ];
    let rows = aggregate.figures.iter().map(|figure| {
        vec![
            figure.name.clone(),
            number(figure.median),
            number(figure.low),
            number(figure.high),
            format!("{:.1} %", figure.confidence_percent),
            figure.runs.to_string(),
        ]
    });
    page.table(
        Some(header.map(str::to_owned).to_vec()),
        rows.collect(),
        &[1, 2, 3, 4, 5],
    );
    page.finish()
}

/// Whole numbers without a fraction, others with two digits.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value >= 0.0 {
        crate::metrics::units::thousands(value as u64)
    } else {
        format!("{value:.2}")
    }
}
