//! The one screen: verdict first, then what was agreed on, what it cost, what broke and who cheated.

use consortium_node::types::View;

use super::{changes, page::Page, schedules};
use crate::{
    metrics::{
        latency::Percentiles,
        summary::{
            Excursion, FaultRow, RestartRow, Summary, Verdict, VerdictKind, VerdictRow,
            VerdictStatus,
        },
        units,
    },
    time::Time,
};

/// The screen of one run, at most a hundred columns wide, without colours.
pub fn render(summary: &Summary) -> String {
    let mut page = Page::default();
    head(&mut page, summary);
    shared_ledger(&mut page, summary);
    fates(&mut page, summary);
    latencies(&mut page, summary);
    costs(&mut page, summary);
    changes::rows(&mut page, summary);
    faults(&mut page, summary);
    cheats(&mut page, summary);
    schedules::schedules(&mut page, summary);
    invariants(&mut page, summary);
    foot(&mut page, summary);
    page.finish()
}

fn head(page: &mut Page, summary: &Summary) {
    let regions = match summary.regions {
        1 => "1 region".to_owned(),
        more => format!("{more} regions"),
    };
    page.line(&format!(
        "{}  {}  {} validators (f={}, q={})  {regions}  {}  seed {}",
        summary.scenario.to_uppercase(),
        summary.protocol,
        summary.validators,
        summary.faulty,
        summary.quorum,
        units::span_ms(summary.duration_ms),
        summary.seed
    ));
    if !summary.title.is_empty() {
        page.labelled("", &summary.title);
    }
    page.labelled("VERDICT", &verdict(summary));
    for row in violated(summary) {
        page.line(&violation(row, summary));
    }
    page.labelled("CLAIMS", &summary.claims);
    page.labelled("PARAMETERS", &summary.parameters);
}

fn verdict(summary: &Summary) -> String {
    let word = |kind, good: &str, bad: &str, open: &str| match summary.verdict(kind) {
        Verdict::Good => good.to_owned(),
        Verdict::Bad => bad.to_owned(),
        Verdict::Open => open.to_owned(),
    };
    let mut words = vec![
        word(VerdictKind::Safety, "SAFE", "UNSAFE", "safety not claimed"),
        word(
            VerdictKind::Liveness,
            "LIVE",
            "NOT LIVE",
            "liveness not claimed",
        ),
        format!(
            "{}/{} invariants",
            summary.count(VerdictStatus::Holds),
            summary.verdicts.len() - summary.count(VerdictStatus::NotClaimed)
        ),
    ];
    if !summary.faults.is_empty() {
        let survived = summary.faults.iter().filter(|f| f.survived).count();
        words.push(format!(
            "{survived}/{} faults survived",
            summary.faults.len()
        ));
    }
    if !summary.cheats.is_empty() {
        let stopped = summary.cheats.iter().filter(|c| c.stopped).count();
        words.push(format!("{stopped}/{} cheats stopped", summary.cheats.len()));
    }
    words.extend(schedules::in_short(summary));
    words.join("  ")
}

fn violated(summary: &Summary) -> impl Iterator<Item = &VerdictRow> {
    summary
        .verdicts
        .iter()
        .filter(|row| row.status == VerdictStatus::Violated)
}

/// What an architect would try next: the same day under another protocol.
fn next(summary: &Summary) -> String {
    let other = if summary.protocol == "pbft" {
        "clique"
    } else {
        "pbft"
    };
    format!(
        "cargo run -- scenario {} --set consensus.protocol={other}",
        summary.path
    )
}

/// `VIOLATED agreement at 23.481 s: …`, one line to paste.
fn violation(row: &VerdictRow, summary: &Summary) -> String {
    let what = row.detail.first().map_or("", String::as_str);
    let between = if what.starts_with("at ") { " " } else { ": " };
    let expected = if summary.expected_violations.contains(&row.name) {
        "  (expected)"
    } else {
        ""
    };
    format!("VIOLATED {}{between}{what}{expected}", row.name)
}

fn shared_ledger(page: &mut Page, summary: &Summary) {
    let Some(ledger) = &summary.shared_ledger else {
        return;
    };
    page.gap();
    page.labelled(
        "SHARED LEDGER",
        &format!(
            "{}, from {}'s ledger; same root on {}/{}",
            ledger.package,
            summary.shared_ledger_from.as_deref().unwrap_or("nobody"),
            summary.same_root_validators,
            summary.validators
        ),
    );
    let terms = &ledger.terms;
    let header = vec![
        "stage".to_owned(),
        "temp".to_owned(),
        "humid".to_owned(),
        "custodian".to_owned(),
        format!(
            "terms {}..{} °C, {}..{} %",
            units::tenths(terms.min_temperature_dc),
            units::tenths(terms.max_temperature_dc),
            units::tenths(terms.min_humidity_dpct),
            units::tenths(terms.max_humidity_dpct)
        ),
    ];
    let rows = ledger.rows.iter().map(|row| {
        vec![
            row.stage.clone(),
            format!("{}°C", units::tenths(row.temperature_dc)),
            format!("{}%", units::tenths(row.humidity_dpct)),
            row.custodian.clone(),
            row.compliance.to_string(),
        ]
    });
    page.table(Some(header), rows.collect(), &[1, 2]);
    match &summary.golden_excursion {
        Some(excursion) => page.labelled(" who knew", &knowledge(excursion)),
        None => page.labelled(" who knew", "nothing to know: within the terms"),
    }
}

fn knowledge(excursion: &Excursion) -> String {
    let total = excursion.known_ms.len();
    let since_reading = |at: u64| units::span_ms(at.saturating_sub(excursion.reading_due_ms));
    let knew = if let Some(last) = excursion.all_knew_ms() {
        let truth = excursion.truth_ms.map_or(String::new(), |truth| {
            let since_truth = units::span_ms(last.saturating_sub(truth));
            format!(", {since_truth} after it was so")
        });
        format!(
            "all members knew {} after the reading was due{truth}",
            since_reading(last)
        )
    } else {
        let know = excursion.known_ms.iter().filter(|(_, at)| at.is_some());
        format!("only {} of {total} members knew", know.count())
    };
    let truth = excursion
        .ground_truth
        .as_deref()
        .unwrap_or("never out of range");
    format!(
        "{knew}; blamed: {}; ground truth: {truth}",
        excursion.blamed
    )
}

fn fates(page: &mut Page, summary: &Summary) {
    page.gap();
    let count = units::thousands;
    page.labelled(
        "SUBMITTED",
        &format!(
            "{} = {} ok + {} reverted + {} rejected + {} lost + {} pending",
            count(summary.submitted),
            count(summary.ok),
            count(summary.reverted),
            count(summary.rejected),
            count(summary.lost),
            count(summary.pending)
        ),
    );
    for (what, reasons) in [
        ("rejected", &summary.rejected_reasons),
        ("lost", &summary.lost_reasons),
    ] {
        if !reasons.is_empty() {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|(reason, number)| format!("{reason} {}", count(*number)))
                .collect();
            page.labelled("", &format!("{what}: {}", reasons.join(", ")));
        }
    }
    page.labelled(
        "",
        &format!(
            "goodput {:.2} ok/s; {} attempts; cheats submitted {}",
            summary.goodput_per_s,
            count(summary.attempts),
            count(summary.cheat_attempts)
        ),
    );
    if summary.invalidated > 0 {
        let envelopes = units::counted(summary.invalidated, "envelope");
        page.labelled("", &format!("{envelopes} ordered and found invalid"));
    }
    let totals = &summary.excursions;
    if totals.packages_out + totals.packages_flagged > 0 {
        page.labelled(
            "PACKAGES",
            &format!(
                "{} out of range in truth, {} by contract, {} in both; {} of these blame the right one",
                totals.packages_out,
                totals.packages_flagged,
                totals.packages_both,
                totals.blamed_rightly
            ),
        );
    }
}

fn latencies(page: &mut Page, summary: &Summary) {
    let row = |name: &str, of: &Percentiles| {
        let values = [of.p50_us, of.p90_us, of.p99_us, of.p999_us, of.max_us];
        let cells = values.map(|us| {
            if of.count == 0 {
                "-".to_owned()
            } else {
                units::us_as_ms(us)
            }
        });
        [
            vec![name.to_owned()],
            cells.to_vec(),
            vec![units::thousands(of.count)],
        ]
        .concat()
    };
    let rows = vec![
        row("due  -> sent", &summary.due_to_sent),
        row("sent -> included", &summary.sent_to_included),
        row("sent -> final", &summary.sent_to_final),
        row("due  -> final", &summary.due_to_final),
    ];
    let header = ["LATENCY ms", "p50", "p90", "p99", "p99.9", "max", "count"];
    // The header is a label, so it begins at the margin.
    let mut table = Page::default();
    table.table(
        Some(header.map(str::to_owned).to_vec()),
        rows,
        &[1, 2, 3, 4, 5, 6],
    );
    let table = table.finish();
    page.gap();
    for (number, line) in table.lines().enumerate() {
        match line.strip_prefix(' ') {
            Some(label) if number == 0 => page.line(&label.replacen("ms", "ms ", 1)),
            _ => page.line(line),
        }
    }
    let link_down = &summary.link_down_due_to_final;
    if link_down.count > 0 {
        let span = |us: u64| units::span(us * 1000);
        page.labelled(
            " link down",
            &format!(
                "{} apart that waited for their gateway: due -> final p50 {}, p99 {}, max {}",
                units::thousands(link_down.count),
                span(link_down.p50_us),
                span(link_down.p99_us),
                span(link_down.max_us)
            ),
        );
    }
    if summary.censored > 0 {
        let censored = units::thousands(summary.censored);
        page.labelled(
            " censored",
            &format!("{censored} never finished and are in no row"),
        );
    }
}

fn costs(page: &mut Page, summary: &Summary) {
    page.gap();
    page.labelled(
        "PER READING",
        &format!(
            "{} messages  {}  {} signatures made, {} checked",
            units::amount(summary.messages_per_reading),
            units::bytes(summary.bytes_per_reading),
            units::amount(summary.signatures_per_reading),
            units::amount(summary.checks_per_reading)
        ),
    );
    let sizes = || summary.storage_bytes_per_year.iter().filter(|b| **b > 0);
    if let (Some(least), Some(most)) = (sizes().min(), sizes().max()) {
        let (low, high) = (units::bytes(*least as f64), units::bytes(*most as f64));
        let text = if low == high {
            high
        } else {
            format!("{low} to {high}")
        };
        page.labelled("STORAGE", &format!("{text} a year and member"));
    }
    if let Some(busiest) = &summary.busiest {
        page.labelled(
            "LOAD",
            &format!(
                "busiest: {}, {} {:.1} %",
                busiest.node, busiest.resource, busiest.busy_percent
            ),
        );
    }
    if summary.reorganisations > 0 {
        page.labelled(
            "REORGANISED",
            &format!(
                "{}, deepest {}; {} taken back; {} after gateways relied on it",
                units::counted(summary.reorganisations, "time"),
                units::counted(summary.deepest_reorganisation_blocks, "block"),
                units::counted(summary.retracted, "transaction"),
                units::counted(summary.retracted_after_relied_blocks, "block")
            ),
        );
    }
}

fn faults(page: &mut Page, summary: &Summary) {
    if summary.faults.is_empty() {
        return;
    }
    page.gap();
    page.labelled(
        "FAULTS",
        &format!(
            "longest stall before anything happened: {}",
            units::span_ms(summary.usual_stall_ms)
        ),
    );
    let rows = summary.faults.iter().map(|fault| {
        let lasts = match fault.until_ms {
            Some(until) => units::span_ms(until - fault.at_ms),
            None => "for good".to_owned(),
        };
        vec![
            clock(fault.at_ms),
            fault.label.clone(),
            lasts,
            fault_effect(fault, summary),
        ]
    });
    page.table(None, rows.collect(), &[]);
}

fn fault_effect(fault: &FaultRow, summary: &Summary) -> String {
    let Some(outage_ms) = fault.outage_ms else {
        return "did not happen".to_owned();
    };
    let mut words = vec![if outage_ms > summary.usual_stall_ms {
        format!("outage {}", units::span_ms(outage_ms))
    } else {
        "no outage".to_owned()
    }];
    if fault.views.0 != fault.views.1 {
        let (before, after) = (View(fault.views.0), View(fault.views.1));
        words.push(format!("view {before} -> {after}"));
    }
    words.extend(restarts(&fault.restarts));
    if let Some(buffer) = &fault.buffer {
        words.push(format!("{} buffered", units::thousands(buffer.waited)));
        words.push(format!("drained {}", units::span_ms(buffer.drained_ms)));
        words.push(match (buffer.unfinished, buffer.repeated) {
            (0, 0) => "each once".to_owned(),
            (0, repeated) => format!("{repeated} EXECUTED REPEATEDLY"),
            (unfinished, _) => format!("{unfinished} unfinished"),
        });
    }
    words.push(format!("lost {}", units::thousands(fault.lost)));
    if !fault.survived {
        words.push("NOT SURVIVED".to_owned());
    }
    words.join(", ")
}

/// How those who crashed came back: when they were current, and how much they had to fetch for it.
pub(super) fn restarts(rows: &[RestartRow]) -> Option<String> {
    let fetched: u64 = rows.iter().map(|row| row.blocks_fetched).sum();
    let stragglers = rows.iter().filter(|row| row.catch_up_ms.is_none()).count();
    let last = rows.iter().filter_map(|row| row.catch_up_ms).max();
    let current = match (rows.len(), stragglers, last) {
        (0, ..) => return None,
        (1, 0, Some(last)) => format!("current {} after its restart", units::span_ms(last)),
        (all, 0, Some(last)) => {
            format!(
                "{all} restarted, each current after {}",
                units::span_ms(last)
            )
        }
        (1, ..) => "restarted, NOT CURRENT AGAIN".to_owned(),
        (all, stragglers, _) => format!("{all} restarted, {stragglers} NOT CURRENT AGAIN"),
    };
    Some(match fetched {
        0 => current,
        1 => format!("{current} with 1 block fetched"),
        more => format!("{current} with {} blocks fetched", units::thousands(more)),
    })
}

/// Milliseconds as on a clock, without the fraction when there is none.
pub(super) fn clock(ms: u64) -> String {
    let text = Time(ms * 1_000_000).to_string();
    text.strip_suffix(".000").unwrap_or(&text).to_owned()
}

fn cheats(page: &mut Page, summary: &Summary) {
    if summary.cheats.is_empty() {
        return;
    }
    page.gap();
    page.line("CHEATS");
    let rows = summary.cheats.iter().map(|cheat| {
        let mark = if cheat.stopped { "" } else { "NOT STOPPED: " };
        vec![
            clock(cheat.at_ms),
            cheat.label.clone(),
            format!("{mark}{}", cheat.end),
        ]
    });
    page.table(None, rows.collect(), &[]);
}

fn invariants(page: &mut Page, summary: &Summary) {
    page.gap();
    let claimed = summary.verdicts.len() - summary.count(VerdictStatus::NotClaimed);
    let checked: u64 = summary.verdicts.iter().map(|row| row.checked).sum();
    page.labelled(
        "INVARIANTS",
        &format!(
            "{} of {claimed} hold, {} checks",
            summary.count(VerdictStatus::Holds),
            units::thousands(checked)
        ),
    );
    for row in violated(summary) {
        for (number, detail) in row.detail.iter().enumerate() {
            let label = if number == 0 { " violated" } else { "" };
            page.labelled(label, &format!("{}: {detail}", row.name));
        }
        if !row.culprits.is_empty() {
            page.labelled("", &format!("evidence names {}", row.culprits.join(", ")));
        }
    }
    let unclaimed = summary
        .verdicts
        .iter()
        .filter(|row| row.status == VerdictStatus::NotClaimed);
    for row in unclaimed {
        let why = row.detail.join("; ");
        page.labelled(" unclaimed", &format!("{}: {why}", row.name));
    }
}

fn foot(page: &mut Page, summary: &Summary) {
    let answer = if summary.any_region_may_fail {
        "yes".to_owned()
    } else {
        format!("no, not {}", summary.vital_regions.join(" or "))
    };
    page.labelled("ANY ONE REGION MAY FAIL:", &answer);
    for warning in &summary.warnings {
        page.labelled("WARNING", &warning.to_string());
    }
    page.gap();
    page.line(&format!(
        "trace {}  outcome {}  exit code {}",
        short(&summary.trace),
        short(&summary.outcome),
        summary.exit_code
    ));
    page.line(&format!("reproduce: {}", summary.reproduce()));
    page.line(&format!("next:      {}", next(summary)));
}

/// The first sixteen digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}
