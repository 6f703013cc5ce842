//! The load that is laid on a network besides its fleet.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use crate::{
    scenario::{
        Source,
        plan::{LoadPlan, MemberIndex, Pattern, Rate},
        quantity,
        reader::{Names, Section},
    },
    time::nanos,
};

/// More transactions than this do not end within a working day.
const MOST: u128 = 50_000_000;
/// No rate is lower (a millionth a second) or higher.
const RATES: RangeInclusive<u64> = 1..=Rate::per_second(10_000_000).0;
/// The same where nothing may come for a while.
const RATES_OR_NONE: RangeInclusive<u64> = 0..=*RATES.end();
/// Changes of pace below this would only measure the pace.
const TICK: Duration = Duration::from_millis(1);
/// The longest ramp, so that its sums are exact in 128 bits.
const LONGEST_RAMP: Duration = Duration::from_hours(24);

/// Keys that every kind has.
const COMMON: [&str; 4] = ["kind", "start", "sources", "at"];
/// The kinds, with the keys of each.
const KINDS: [(&str, &[&str]); 8] = [
    ("none", &[]),
    ("fixed", &["rate"]),
    ("poisson", &["rate"]),
    ("ramp", &["from", "to", "over"]),
    ("step", &["rates", "each"]),
    ("backlog", &["outstanding"]),
    ("burst", &["count", "every"]),
    ("replay", &["file"]),
];

/// Reads `[load]`. Files are found from where the scenario at `path` is.
pub(crate) fn load<'a>(
    root: &Section<'a>,
    names: &Names<'a>,
    path: &Path,
    length: Option<Duration>,
) -> Option<LoadPlan> {
    let known: Vec<&str> = KINDS.iter().flat_map(|(_, keys)| *keys).copied().collect();
    let keys: Vec<&str> = COMMON.into_iter().chain(known.iter().copied()).collect();
    let section = root.section("load", &keys);
    let kinds: Vec<_> = KINDS.iter().map(|kind| (kind.0, kind)).collect();
    let (kind, own) = *section.choice("kind", &kinds);
    let start = section.duration("start", Duration::ZERO);
    if length.is_some_and(|length| start >= length) {
        let hint = "make it earlier than `duration`".to_owned();
        section.problem("start", "the load begins after the run", Some(hint));
    }
    let gateways = gateways(&section, names);
    let sources = section.count("sources", 1..=100_000);
    if sources < gateways.len() {
        let hint = format!("one for each of them at least: {}", gateways.len());
        section.problem("sources", "some gateways would have no source", Some(hint));
    }
    if kind == "none" {
        // What is switched off keeps its keys: it can be switched on from the command line.
        return None;
    }
    for key in known.iter().filter(|key| !own.contains(key)) {
        if section.get(key).is_some() {
            let hint = format!("its own keys are {}", own.join(", "));
            section.problem(
                key,
                format!("a load of kind \"{kind}\" has no {key}"),
                Some(hint),
            );
        }
    }
    let before = section.log().count();
    let pattern = pattern(&section, kind, path);
    if section.log().count() == before
        && let Some(length) = length
    {
        check_cost(&section, own[0], &pattern, length.saturating_sub(start));
    }
    Some(LoadPlan {
        pattern,
        start,
        sources,
        gateways,
    })
}

fn gateways<'a>(section: &Section<'a>, names: &Names<'a>) -> Vec<MemberIndex> {
    if section.says("at", "all") {
        return (0..names.list.len()).collect();
    }
    let mut gateways = Vec::new();
    for node in section.nodes("at") {
        let Some(member) = names.find_node(section, node, "at") else {
            continue;
        };
        if gateways.contains(&member) {
            let hint = "each has its turn once".to_owned();
            section
                .log()
                .add(node.span, "this member is named twice", Some(hint));
        } else {
            gateways.push(member);
        }
    }
    if section.nodes("at").is_empty() {
        let hint = "name a member at least, or write \"all\"".to_owned();
        section.problem("at", "the load comes from nowhere", Some(hint));
    }
    gateways
}

fn pattern(section: &Section<'_>, kind: &str, path: &Path) -> Pattern {
    match kind {
        "fixed" => Pattern::Fixed(Rate(section.frequency("rate", RATES))),
        "poisson" => Pattern::Poisson(Rate(section.frequency("rate", RATES))),
        "ramp" => ramp(section),
        "step" => step(section),
        "backlog" => Pattern::Backlog(section.count("outstanding", 1..=1_000_000)),
        "burst" => Pattern::Burst {
            count: section.integer("count", 1..=1_000_000),
            every: section
                .get("every")
                .map(|_| section.duration("every", TICK)),
        },
        _ => Pattern::Replay(replay(section, path)),
    }
}

fn ramp(section: &Section<'_>) -> Pattern {
    let from = Rate(section.frequency("from", RATES_OR_NONE));
    let to = Rate(section.frequency("to", RATES_OR_NONE));
    let over = section.duration("over", TICK);
    if over > LONGEST_RAMP {
        let hint = "at most 24h; a slower one is hardly a ramp".to_owned();
        section.problem("over", "this ramp is too long", Some(hint));
    }
    if from == to && section.get("from").is_some() && section.get("to").is_some() {
        let hint = "kind = \"fixed\"".to_owned();
        section.problem("to", "this ramp begins where it ends", Some(hint));
    }
    Pattern::Ramp { from, to, over }
}

fn step(section: &Section<'_>) -> Pattern {
    if section.need("rates").is_some() && section.nodes("rates").is_empty() {
        let hint = "rates = [\"100/s\", \"200/s\"]".to_owned();
        section.problem("rates", "there are no steps", Some(hint));
    }
    let nodes = section.nodes("rates").iter();
    let rates = nodes.map(|node| Rate(section.frequency_of(node, "rates", RATES_OR_NONE)));
    Pattern::Step {
        rates: rates.collect(),
        each: section.duration("each", TICK),
    }
}

/// Reads a recorded load: lines of an offset in seconds, a comma and a count, in the order of time.
fn replay(section: &Section<'_>, path: &Path) -> Vec<(u64, u64)> {
    let name = section.text("file");
    if name.is_empty() {
        if section.get("file").is_some() {
            section.problem("file", "the file has no name", None);
        }
        return Vec::new();
    }
    let file = path.parent().unwrap_or(Path::new("")).join(name);
    let refuse = |why: String| {
        let hint = format!(
            "{}: lines such as \"1.5,20\", seconds since `start` and how many",
            file.display()
        );
        section.problem("file", why, Some(hint));
        Vec::new()
    };
    let source = match Source::read(&file) {
        Ok(source) => source,
        Err(problems) => {
            let first = problems.list().first();
            return refuse(first.map_or_else(String::new, |problem| problem.message.clone()));
        }
    };
    let Ok(text) = source.text() else {
        return refuse("the file is too long, or not UTF-8".to_owned());
    };
    let rows = rows(text);
    match rows {
        Ok(rows) if rows.is_empty() => refuse("the file has no rows".to_owned()),
        Ok(rows) => rows,
        Err(why) => refuse(why),
    }
}

/// The rows of a recorded load. Empty lines, comments and a heading are skipped.
fn rows(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let mut rows: Vec<(u64, u64)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let heading = rows.is_empty() && line.starts_with(|c: char| c.is_alphabetic());
        if line.is_empty() || line.starts_with('#') || heading {
            continue;
        }
        let wrong = |why: &str| format!("line {number} {why}");
        let (offset, count) = line.split_once(',').ok_or_else(|| wrong("has no comma"))?;
        let offset = quantity::decimal(offset.trim(), 9)
            .ok()
            .and_then(|ns| u64::try_from(ns).ok())
            .ok_or_else(|| wrong("does not begin with a number of seconds"))?;
        let count = count
            .trim()
            .parse::<u64>()
            .ok()
            .filter(|count| u128::from(*count) <= MOST)
            .ok_or_else(|| wrong("does not end with a count"))?;
        if rows.last().is_some_and(|(before, _)| *before > offset) {
            return Err(wrong("is earlier than the one before"));
        }
        rows.push((offset, count));
    }
    Ok(rows)
}

fn check_cost(section: &Section<'_>, key: &str, pattern: &Pattern, length: Duration) {
    let ns = u128::from(nanos(length));
    let at = |rate: &Rate, ns: u128| u128::from(rate.0) * ns / 1_000_000_000_000_000;
    let transactions = match pattern {
        Pattern::Fixed(rate) | Pattern::Poisson(rate) => at(rate, ns),
        // Its sums are over the whole ramp, even if the run ends before.
        Pattern::Ramp { from, to, over } => at(from.max(to), ns.max(u128::from(nanos(*over)))),
        Pattern::Step { rates, each } => {
            let each = u128::from(nanos(*each));
            let last = ns.saturating_sub(each * (rates.len() as u128 - 1));
            let ends = rates
                .iter()
                .rev()
                .zip([last].into_iter().chain(std::iter::repeat(each)));
            ends.map(|(rate, held)| at(rate, held.min(ns))).sum()
        }
        // A closed loop goes as fast as it is answered.
        Pattern::Backlog(_) => 0,
        Pattern::Burst { count, every } => {
            let bursts = every.map_or(1, |every| ns.div_ceil(u128::from(nanos(every))));
            u128::from(*count) * bursts
        }
        Pattern::Replay(rows) => rows.iter().map(|(_, count)| u128::from(*count)).sum(),
    };
    if transactions > MOST {
        let message = format!("about {transactions} transactions would take too long to simulate");
        let hint = "at most 50 million: a lower rate or a shorter `duration`".to_owned();
        section.problem(key, message, Some(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_load_is_read_exactly() {
        let text = "offset_s,count\n# quiet at first\n0,1\n\n1.5, 20\n1.5,3\r\n2.000000001,0\n";
        let expected = [
            (0, 1),
            (1_500_000_000, 20),
            (1_500_000_000, 3),
            (2_000_000_001, 0),
        ];
        assert_eq!(rows(text), Ok(expected.to_vec()));
    }

    #[test]
    fn a_recorded_load_says_which_line_is_wrong() {
        let bad = [
            ("0,1\n5", "line 2 has no comma"),
            ("x,1\n,1", "line 2 does not begin"),
            ("-1,1", "line 1 does not begin"),
            ("0,1\nlater,1", "line 2 does not begin"),
            ("0,many", "line 1 does not end"),
            ("0,99999999999", "line 1 does not end"),
            ("2,1\n1,1", "line 2 is earlier"),
        ];
        for (text, expected) in bad {
            let error = rows(text);
            let told = error
                .as_ref()
                .is_err_and(|error| error.starts_with(expected));
            assert!(told, "{text:?}: {error:?}");
        }
    }
}
