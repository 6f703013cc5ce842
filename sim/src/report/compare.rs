//! The screen of a comparison: verdicts first, then figures, tolerance, cautions and advice.

pub mod plots;
mod tolerance;
mod write;

use super::page::Page;
use crate::{
    compare::{
        Comparison, Row,
        row::{Shown, name},
        validation::Validation,
    },
    metrics::{aggregate::Figure, summary::RUN, units},
    scenario::plan::Standing,
};

pub use write::write;

/// Violations that are shown of one row.
const SHOWN: usize = 2;

/// The screen of a comparison, at most a hundred and ten columns wide, without colours.
pub fn render(comparison: &Comparison) -> String {
    let mut page = Page::default();
    head(&mut page, comparison);
    verdicts(&mut page, comparison);
    violations(&mut page, comparison);
    cheats(&mut page, comparison);
    speed(&mut page, comparison);
    cost(&mut page, comparison);
    validation(&mut page, comparison);
    tolerance::curves(&mut page, comparison);
    foot(&mut page, comparison);
    page.finish()
}

fn head(page: &mut Page, comparison: &Comparison) {
    let rows = &comparison.rows;
    let first = &rows[0];
    let seeds = match comparison.seeds.as_slice() {
        [one] => format!("seed {one}"),
        [first, .., last] => format!("seeds {first} to {last}"),
        [] => String::new(),
    };
    page.line(&format!(
        "{}  {}  {} validators  {}  {seeds}",
        comparison.scenario.to_uppercase(),
        units::counted(rows.len() as u64, "row"),
        first.validators,
        units::span_ms(comparison.duration_ms),
    ));
    page.labelled("", &comparison.title);
    let tuned: Vec<String> = rows
        .iter()
        .filter(|row| !row.tuned.is_empty())
        .map(own)
        .collect();
    let equal = "equal: the scenario's, and each protocol's defaults, for all";
    page.labelled(
        "PARAMETERS",
        &if tuned.is_empty() {
            equal.to_owned()
        } else {
            format!(
                "{equal}; rows marked tuned have their own: {}",
                tuned.join("; ")
            )
        },
    );
    if comparison.seeds.len() > 1 {
        let percent = rows
            .iter()
            .flat_map(|row| &row.figures)
            .map(|shown| shown.figure.confidence_percent)
            .fold(0.0, f64::max);
        page.labelled(
            "CONFIDENCE",
            &format!(
                "medians over the seeds; below each, unless they are the same, the ends of the interval that holds the true median with \
                 {percent:.1} % (order statistics, no distribution assumed)"
            ),
        );
    }
}

fn own(row: &Row) -> String {
    format!("{} ({})", row.protocol, row.tuned.join(", "))
}

fn verdicts(page: &mut Page, comparison: &Comparison) {
    let header = [
        "VERDICT",
        "",
        "by",
        "cheats stopped",
        "final at",
        "crashes borne safe/live",
        "liars borne safe/live",
    ];
    let rows = comparison.rows.iter().map(|row| {
        let (stopped, acted) = row.cheats_stopped();
        let claimed = &row.claimed;
        vec![
            row.label(),
            verdict(row),
            grounds(row),
            if acted == 0 {
                "-".to_owned()
            } else {
                format!("{stopped}/{acted}")
            },
            row.finality.to_string(),
            pair(claimed.crashes_safe, claimed.crashes_live),
            pair(claimed.liars_safe, claimed.liars_live),
        ]
    });
    block(page, &header, rows.collect(), &[3, 5, 6]);
}

/// `SAFE`, or the worst of several runs with how many came out so.
fn verdict(row: &Row) -> String {
    let word = row.standing.name().to_uppercase();
    let alike = row
        .seeds
        .iter()
        .filter(|seed| seed.standing == row.standing);
    match (alike.count(), row.seeds.len()) {
        (alike, all) if alike < all => format!("{word} {alike}/{all}"),
        _ => word,
    }
}

fn grounds(row: &Row) -> String {
    let worst = row.seed_that(row.standing);
    worst.map_or(String::new(), |seed| seed.grounds.join(", "))
}

/// Up to how many of them a claim goes: safe, live.
fn pair(safe: Option<usize>, live: Option<usize>) -> String {
    let one = |count: Option<usize>| count.map_or("none".to_owned(), |count| count.to_string());
    format!("{} / {}", one(safe), one(live))
}

fn violations(page: &mut Page, comparison: &Comparison) {
    for row in &comparison.rows {
        let bad = row
            .seeds
            .iter()
            .filter(|seed| seed.standing != Standing::Safe);
        for seed in bad.take(SHOWN) {
            let claimed = if seed.breaches.is_empty() {
                "outside what it claims"
            } else {
                "A BROKEN CLAIM"
            };
            let what = seed
                .detail
                .clone()
                .unwrap_or_else(|| seed.grounds.join(", "));
            let text = format!("{} seed {}, {claimed}: {what}", row.label(), seed.seed);
            page.labelled(" violated", &text);
            page.line(&format!("            {}", seed.reproduce));
        }
    }
}

fn cheats(page: &mut Page, comparison: &Comparison) {
    let Some(first) = comparison.rows.first().filter(|row| !row.cheats.is_empty()) else {
        return;
    };
    page.gap();
    page.line("CHEATS");
    for (place, cheat) in first.cheats.iter().enumerate() {
        let (mut stopped, mut passed, mut idle) = (Vec::new(), Vec::new(), Vec::new());
        for row in &comparison.rows {
            let Some(own) = row.cheats.get(place) else {
                continue;
            };
            match (own.acted, own.stopped) {
                (0, _) => idle.push(row.label()),
                (_, stops) if stops == row.seeds.len() => stopped.push(row.label()),
                _ => passed.push(format!("{} ({})", row.label(), own.end)),
            }
        }
        let groups = [
            ("stopped by", stopped),
            ("NOT STOPPED by", passed),
            ("not tried under", idle),
        ];
        let groups = groups.iter().filter(|(_, who)| !who.is_empty());
        let groups: Vec<_> = groups
            .map(|(how, who)| format!("{how} {}", who.join(", ")))
            .collect();
        page.labelled(" ", &format!("{}: {}", cheat.label, groups.join("; ")));
    }
}

fn speed(page: &mut Page, comparison: &Comparison) {
    let header = [
        "SPEED",
        "ok/s",
        "included p50 ms",
        "p99 ms",
        "final p50 ms",
        "p99 ms",
        "retracted",
        "validation",
    ];
    let ms = |figure: f64| units::us_as_ms((figure * 1000.0).round() as u64);
    let whole = |figure: f64| units::thousands(figure.round() as u64);
    let columns: [Column<'_>; 6] = [
        (name::GOODPUT, &|figure| format!("{figure:.2}")),
        (name::INCLUDED_P50, &ms),
        (name::INCLUDED_P99, &ms),
        (name::FINAL_P50, &ms),
        (name::FINAL_P99, &ms),
        (name::RETRACTED, &whole),
    ];
    figures(page, comparison, &header, &columns);
}

fn cost(page: &mut Page, comparison: &Comparison) {
    let header = [
        "COST",
        "messages a reading",
        "bytes",
        "signatures",
        "busiest CPU %",
        "leader crash: outage",
        "partition: recovery",
        "validation",
    ];
    let percent = |figure: f64| format!("{figure:.2}");
    let outage = |ms: f64| {
        if ms < 1.0 {
            "none".to_owned()
        } else {
            units::span_ms(ms as u64)
        }
    };
    let columns: [Column<'_>; 6] = [
        (name::MESSAGES, &units::amount),
        (name::BYTES, &units::bytes),
        (name::SIGNATURES, &units::amount),
        (name::CPU, &percent),
        (name::LEADER_CRASH, &outage),
        (name::PARTITION, &outage),
    ];
    figures(page, comparison, &header, &columns);
}

/// The name of a figure, and how it is written.
type Column<'a> = (&'static str, &'a dyn Fn(f64) -> String);

fn figures(page: &mut Page, comparison: &Comparison, header: &[&str], columns: &[Column<'_>]) {
    let rows = comparison.rows.iter().map(|row| {
        let cell = |(figure, write): &Column<'_>| match row.figure(figure) {
            Some(shown) => cell(&shown.figure, row.seeds.len(), write),
            // The scenario has the fault, and this run never got over it.
            None if *figure == name::PARTITION && comparison.heals_partition => "never".to_owned(),
            None => "-".to_owned(),
        };
        let names: Vec<_> = columns.iter().map(|(figure, _)| *figure).collect();
        let cells = columns.iter().map(cell);
        let label = [row.label()].into_iter();
        label.chain(cells).chain([validated(row, &names)]).collect()
    });
    let numbers: Vec<usize> = (1..=columns.len()).collect();
    block(page, header, rows.collect(), &numbers);
}

/// A median; below it, where they are not the same, the ends of its interval, and with how many runs
/// when some of several do not have it.
fn cell(figure: &Figure, seeds: usize, write: &dyn Fn(f64) -> String) -> String {
    let mut text = write(figure.median);
    let (low, high) = (write(figure.low), write(figure.high));
    if low != high {
        text = format!("{text}\n{low}..\n..{high}");
    }
    if figure.runs < seeds {
        text = format!("{text}\n{} of {seeds} runs", figure.runs);
    }
    text
}

/// The validation error of each figure that has one, or the word.
pub(super) fn validated(row: &Row, names: &[&str]) -> String {
    let errors = names.iter().filter_map(|figure| {
        let Validation::Validated { error_percent, .. } = row.figure(figure)?.validation else {
            return None;
        };
        Some(format!("{} ±{error_percent} %", short(figure)))
    });
    let errors: Vec<String> = errors.collect();
    if errors.is_empty() {
        "unvalidated".to_owned()
    } else {
        format!("{}; the rest unvalidated", errors.join(", "))
    }
}

/// `final p50`.
fn short(figure: &str) -> String {
    let figure = figure
        .trim_start_matches("sent_to_")
        .trim_end_matches("_ms");
    figure.replace('_', " ")
}

/// For each figure with something to say about its validation, what it is.
fn validation(page: &mut Page, comparison: &Comparison) {
    let known = |shown: &&Shown| !matches!(shown.validation, Validation::Unvalidated { why: None });
    let mut label = "VALIDATION";
    for row in &comparison.rows {
        for shown in row.figures.iter().filter(known) {
            let figure = short(&shown.figure.name);
            let text = format!("{} {figure}: {}", row.label(), shown.validation);
            page.labelled(label, &text);
            label = "";
        }
    }
}

fn foot(page: &mut Page, comparison: &Comparison) {
    page.gap();
    for caution in &comparison.cautions {
        page.labelled("WARNING", &caution.to_string());
    }
    if !comparison.advice.is_empty() {
        page.gap();
        page.line("ADVICE");
        for advice in &comparison.advice {
            page.labelled(" -", &advice.text);
        }
    }
    page.gap();
    page.line(&format!("exit code {}", comparison.exit_code));
    page.line(&format!("reproduce: {}", reproduce(comparison)));
}

fn reproduce(comparison: &Comparison) -> String {
    let mut line = format!("{RUN} compare {}", comparison.path.display());
    let mut names: Vec<&str> = Vec::new();
    for row in &comparison.rows {
        if !names.contains(&row.protocol.as_str()) {
            names.push(&row.protocol);
        }
    }
    line.extend([" --consensus ", &names.join(",")]);
    if let Some(first) = comparison.seeds.first() {
        let count = comparison.seeds.len();
        let seeds = format!(" --seed {first} --seeds {count}");
        line.push_str(&seeds);
    }
    for set in &comparison.overrides {
        line.extend([" --set '", set, "'"]);
    }
    if !comparison.tolerance.is_empty() {
        line.push_str(" --tolerance");
    }
    line
}

/// A table whose header begins with a label at the margin, after an empty line.
fn block(page: &mut Page, header: &[&str], rows: Vec<Vec<String>>, numbers: &[usize]) {
    let mut table = Page::default();
    let header = header.iter().map(|&title| title.to_owned()).collect();
    table.wide_table(header, rows, numbers);
    page.gap();
    for (number, line) in table.finish().lines().enumerate() {
        match line.strip_prefix(' ') {
            Some(title) if number == 0 => page.line(&title.replacen("  ", "   ", 1)),
            _ => page.line(line),
        }
    }
}
