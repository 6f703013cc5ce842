//! The screen of a search for the knee, and its files.

use std::{fs, io, path::Path};

use super::{json, knee_plot, page::Page};
use crate::{
    knee::{Cause, Knee, Limit, Probe},
    metrics::{load::Utilisation, units},
};

/// Writes the screen, the figures and the plot into a directory, which is made if it is missing.
pub fn write(dir: &Path, knee: &Knee) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("knee.txt"), render(knee))?;
    fs::write(dir.join("knee.json"), json::render(knee))?;
    fs::write(dir.join("knee.svg"), knee_plot::latency_over_load(knee))
}

/// A line about a probe, as soon as it is known.
pub fn progress(probe: &Probe) -> String {
    format!(
        "{}/s: goodput {}/s, p99 {}, {}",
        units::amount(probe.offered_per_s),
        units::amount(probe.goodput_per_s),
        probe
            .p99_ms
            .map_or("never".to_owned(), |ms| format!("{} ms", milliseconds(ms))),
        if probe.holds { "holds" } else { "too much" },
    )
}

/// The knee, what gave way, and all probes.
pub fn render(knee: &Knee) -> String {
    let mut page = Page::default();
    page.line(&format!(
        "{}  {}  {}  p99 within {}  {}",
        knee.scenario.to_uppercase(),
        knee.protocol,
        units::counted(knee.validators as u64, "validator"),
        units::span_ms(knee.p99_bound_ms),
        seeds(knee),
    ));
    page.labelled("KNEE", &headline(knee));
    if let Some(limit) = &knee.limit {
        page.labelled("GAVE WAY", &gave_way(limit));
    }
    page.gap();
    let header = [
        "offered/s",
        "goodput/s",
        "p50 ms",
        "p99 ms",
        "backlog",
        "holds",
        "busiest",
    ];
    let rows = knee.probes.iter().map(row).collect();
    page.table(
        Some(header.map(str::to_owned).to_vec()),
        rows,
        &[0, 1, 2, 3, 4],
    );
    if !knee.warnings.is_empty() {
        page.gap();
    }
    for warning in &knee.warnings {
        page.labelled("WARNING", &warning.to_string());
    }
    page.finish()
}

fn seeds(knee: &Knee) -> String {
    let seeds = units::counted(knee.seeds as u64, "seed");
    match knee.seeds {
        1 => seeds,
        _ => format!("{} of {seeds} must hold", knee.seeds_needed),
    }
}

fn headline(knee: &Knee) -> String {
    let per_second = |rate| format!("{} transactions a second", units::amount(rate));
    match (knee.knee_per_s, knee.failed_per_s) {
        (Some(knee), Some(failed)) => format!(
            "{}; {} are too many",
            per_second(knee),
            units::amount(failed)
        ),
        (Some(knee), None) => format!("{} and more", per_second(knee)),
        (None, _) => "none: not even the lowest rate holds".to_owned(),
    }
}

fn gave_way(limit: &Limit) -> String {
    let offered = units::amount(limit.offered_per_s);
    if limit.after_percent <= limit.before_percent {
        return format!(
            "the protocol's own timers, or several limits at once: at {offered} a second, no resource \
             alone helps"
        );
    }
    let place = limit.busiest.as_ref().map_or(String::new(), |busiest| {
        format!(" ({})", busy(busiest, limit.leads))
    });
    let what = match limit.cause {
        Cause::Timer => "batches wait for company (max_age)",
        Cause::Blocks => "full blocks that come no faster (max_transactions, max_bytes)",
        Cause::Bandwidth => "bandwidth",
        Cause::Cpu => "CPU",
        Cause::Disk => "disk",
        Cause::RoundTrips => "round trips",
    };
    format!(
        "{what}{place}: of {offered} a second {:.0} % are final in time; with {}, {:.0} %",
        limit.before_percent,
        limit.cause.relief(),
        limit.after_percent
    )
}

fn busy(busiest: &Utilisation, leads: bool) -> String {
    let leads = if leads { ", who leads," } else { "" };
    format!(
        "{}{leads} {} {:.0} %",
        busiest.node, busiest.resource, busiest.busy_percent
    )
}

fn row(probe: &Probe) -> Vec<String> {
    let latency = |ms: Option<f64>| ms.map_or("never".to_owned(), milliseconds);
    vec![
        units::amount(probe.offered_per_s),
        units::amount(probe.goodput_per_s),
        latency(probe.p50_ms),
        latency(probe.p99_ms),
        units::thousands(probe.backlog),
        if probe.holds {
            "yes".to_owned()
        } else {
            why(probe)
        },
        probe.busiest.as_ref().map_or(String::new(), |busiest| {
            let leads = if probe.busiest_leads { " (leads)" } else { "" };
            format!(
                "{}{leads}: {} {:.0} %",
                busiest.node, busiest.resource, busiest.busy_percent
            )
        }),
    ]
}

/// What did not hold, in any run.
fn why(probe: &Probe) -> String {
    let reasons = [
        (probe.lost_goodput, "goodput"),
        (probe.too_slow, "p99"),
        (probe.growing, "backlog"),
    ];
    let broken = reasons.iter().filter(|(runs, _)| *runs > 0);
    let broken: Vec<&str> = broken.map(|(_, what)| *what).collect();
    format!("no: {}", broken.join(", "))
}

fn milliseconds(ms: f64) -> String {
    units::us_as_ms((ms * 1000.0) as u64)
}
