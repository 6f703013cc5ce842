//! What follows from a survey, in plain words: each rule is a function of the figures, and says nothing
//! where they say nothing.

use std::cmp::Ordering;

use super::Group;
use crate::{
    compare::{Row, row::name},
    metrics::{units, warning::FAR_FROM_FULL_PERCENT},
    scenario::plan::Standing,
};

/// Latencies that differ by less are called equal.
const EQUAL: f64 = 1.1;
/// Distance that changes latency by less is outweighed by something else.
const HARDLY: f64 = 1.5;
/// Messages a reading grow with n to a power: up to this one about evenly with n.
const EVENLY: f64 = 1.4;

/// A sentence and the rule that it follows from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Name of the rule.
    pub rule: &'static str,
    /// What it says here.
    pub text: String,
}

/// What all rules say. `quiet` are groups without faults, place by place and by size; `crashed` those
/// whose leader crashes, in the same order.
pub fn find(quiet: &[Group], crashed: &[Group]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |rule: &'static str, texts: Vec<String>| {
        findings.extend(texts.into_iter().map(|text| Finding { rule, text }));
    };
    say("undisturbed", undisturbed(quiet));
    say("fastest", fastest(quiet));
    say("price-of-distrust", price(quiet).into_iter().collect());
    say("distance", distance(quiet));
    say("messages", messages(quiet).into_iter().collect());
    say("bytes", bytes(quiet).into_iter().collect());
    say("room", room(quiet).into_iter().collect());
    say("leader-crash", leader_crash(crashed));
    findings
}

/// Whether anything went wrong although nothing broke.
fn undisturbed(quiet: &[Group]) -> Vec<String> {
    let bad = quiet.iter().flat_map(|group| {
        let rows = group.rows.iter();
        let rows = rows.filter(|row| row.standing != Standing::Safe);
        rows.map(|row| {
            format!(
                "without any fault {} {} {} at n = {} ({})",
                row.protocol,
                match row.standing {
                    Standing::Forked => "lost its one history",
                    _ => "left work without an answer",
                },
                group.place.within(),
                group.validators,
                row.seeds[0].grounds.join(", ")
            )
        })
    });
    let bad: Vec<String> = bad.collect();
    if bad.is_empty() && !quiet.is_empty() {
        let all = "without faults every protocol kept one history and answered everything, at every size \
                   and distance";
        return vec![all.to_owned()];
    }
    bad
}

/// Who is fastest of those that bear liars, for each place with the fewest and with the most validators.
fn fastest(quiet: &[Group]) -> Vec<String> {
    let lines = ends_of_places(quiet).into_iter().filter_map(|ends| {
        let of = |group: &Group| {
            let all = by_latency(group, |row| row.bears_liars);
            let (_, best) = *all.first()?;
            let equal = all.iter().take_while(|(_, ms)| *ms < best * EQUAL);
            let who = named(equal.map(|(row, _)| row.protocol.as_str()));
            let n = group.validators;
            Some(format!("at n = {n} {who} ({} ms)", milliseconds(best)))
        };
        let texts: Vec<String> = ends.iter().filter_map(|group| of(group)).collect();
        let place = ends.first()?.place.within();
        (!texts.is_empty()).then(|| {
            format!(
                "{place}, of those that bear a liar, half of the readings are final soonest with: {}",
                texts.join("; ")
            )
        })
    });
    lines.collect()
}

/// What bearing liars costs, against the fastest that bears crashes only.
fn price(quiet: &[Group]) -> Option<String> {
    let texts = ends_of_places(quiet).into_iter().filter_map(|ends| {
        let group = ends.first()?;
        let trusting = by_latency(group, |row| {
            !row.bears_liars && row.finality.is_final() && row.claimed.crashes_live > Some(0)
        });
        let sound = by_latency(group, |row| row.bears_liars);
        let ((fast, quick), (slow, long)) = (*trusting.first()?, *sound.first()?);
        Some(format!(
            "{:.1} {} ({} ms with {}, {} ms with {})",
            long / quick,
            group.place.within(),
            milliseconds(long),
            slow.protocol,
            milliseconds(quick),
            fast.protocol
        ))
    });
    let texts: Vec<String> = texts.collect();
    let n = quiet.first()?.validators;
    (!texts.is_empty()).then(|| {
        format!(
            "to bear liars and not only crashes multiplies the median latency at n = {n}, fastest against \
             fastest, by: {}",
            texts.join("; ")
        )
    })
}

/// Who suffers from distance and who hardly does, from the first place to the last.
fn distance(quiet: &[Group]) -> Vec<String> {
    let ends = ends_of_places(quiet);
    let (Some(near), Some(far)) = (
        ends.first().and_then(|ends| ends.first()),
        ends.last().and_then(|ends| ends.first()),
    ) else {
        return Vec::new();
    };
    if near.place == far.place {
        return Vec::new();
    }
    let mut ratios: Vec<(&str, f64)> = near
        .rows
        .iter()
        .filter_map(|row| {
            let there = far.row(&row.protocol)?.median(name::FINAL_P50)?;
            Some((row.protocol.as_str(), there / row.median(name::FINAL_P50)?))
        })
        .collect();
    ratios.sort_by(|a, b| b.1.total_cmp(&a.1));
    let hardly = ratios.iter().filter(|(_, ratio)| *ratio < HARDLY);
    let hardly: Vec<&str> = hardly.map(|(label, _)| *label).collect();
    let much = ratios.iter().filter(|(_, ratio)| *ratio >= HARDLY);
    let much: Vec<String> = much.map(|(label, r)| format!("{label} {r:.1}x")).collect();
    let span = format!(
        "from {} to {} at n = {}",
        near.place.within().trim_start_matches("in "),
        far.place.within(),
        near.validators
    );
    let mut texts = Vec::new();
    if !much.is_empty() {
        texts.push(format!(
            "{span} the median latency grows for {}",
            much.join(", ")
        ));
    }
    if !hardly.is_empty() {
        texts.push(format!(
            "{span} it hardly changes (less than {HARDLY}x) for {}: what a reading waits for there is the \
             next block and not the network",
            named(hardly.into_iter())
        ));
    }
    texts
}

/// How messages a reading grow with n, in the first place.
fn messages(quiet: &[Group]) -> Option<String> {
    let (few, many) = first_place(quiet)?;
    let mut square: Vec<String> = Vec::new();
    let mut even: Vec<String> = Vec::new();
    for row in &few.rows {
        let at_few = row.median(name::MESSAGES);
        let at_many = many
            .row(&row.protocol)
            .and_then(|row| row.median(name::MESSAGES));
        let (Some(least), Some(most)) = (at_few, at_many) else {
            continue;
        };
        let power = (most / least).ln() / (many.validators as f64 / few.validators as f64).ln();
        let to = if power > EVENLY {
            &mut square
        } else {
            &mut even
        };
        to.push(format!(
            "{} {} to {}",
            row.protocol,
            units::amount(least),
            units::amount(most)
        ));
    }
    let mut parts = Vec::new();
    if !even.is_empty() {
        parts.push(format!("no faster than about n with {}", even.join(", ")));
    }
    if !square.is_empty() {
        parts.push(format!("towards its square with {}", square.join(", ")));
    }
    Some(format!(
        "from n = {} to {} the messages of a reading grow {}",
        few.validators,
        many.validators,
        parts.join("; ")
    ))
}

/// Who puts most and least on the wire, with the most validators.
fn bytes(quiet: &[Group]) -> Option<String> {
    let (_, many) = first_place(quiet)?;
    let of = |figure: &str| {
        let rows = many.rows.iter().filter(|row| row.bears_liars);
        let mut rows: Vec<_> = rows
            .filter_map(|row| Some((row.protocol.as_str(), row.median(figure)?)))
            .collect();
        rows.sort_by(by_value);
        rows
    };
    let all = of(name::BYTES);
    let ((least, few), (most, much)) = (*all.first()?, *all.last()?);
    let (sparing, _) = *of(name::MESSAGES).first()?;
    let but = if sparing == least {
        String::new()
    } else {
        let own = all.iter().find(|(label, _)| *label == sparing)?;
        format!(
            ", and {sparing} with the fewest messages {}",
            units::bytes(own.1)
        )
    };
    Some(format!(
        "at n = {}, of those that bear a liar, a reading puts {} on the wire with {least} and {} with {most}{but}; \
         who collects readings for a block shares its cost among them",
        many.validators,
        units::bytes(few),
        units::bytes(much)
    ))
}

/// Nobody was near a limit, or who was.
fn room(quiet: &[Group]) -> Option<String> {
    let busy = quiet.iter().flat_map(|group| {
        let rows = group.rows.iter();
        rows.filter_map(move |row| Some((group, row, row.busiest.as_ref()?)))
    });
    let (group, row, most) = busy.max_by(|a, b| a.2.busy_percent.total_cmp(&b.2.busy_percent))?;
    let says = if most.busy_percent < FAR_FROM_FULL_PERCENT {
        "nobody is near a limit at this load, so equal goodput says nothing about throughput (for that: \
         `scenario --find-knee`)"
    } else {
        "that is near a limit: goodput there may be less than what was offered"
    };
    Some(format!(
        "the busiest resource of all runs was a {} at {:.1} % ({}, n = {}, {}): {says}",
        most.resource,
        most.busy_percent,
        row.protocol,
        group.validators,
        group.place.within()
    ))
}

/// Who goes on after its leader's crash, how soon, and who does not.
fn leader_crash(crashed: &[Group]) -> Vec<String> {
    let texts = crashed.iter().filter_map(|group| {
        let alive = group.rows.iter().filter(|row| row.standing == Standing::Safe);
        let mut alive: Vec<_> = alive
            .filter_map(|row| Some((row.protocol.as_str(), row.median(name::LEADER_CRASH)?)))
            .collect();
        alive.sort_by(by_value);
        let ((best, least), (worst, most)) = (*alive.first()?, *alive.last()?);
        let dead = group.rows.iter().filter(|row| row.standing != Standing::Safe);
        let dead: Vec<&str> = dead.map(|row| row.protocol.as_str()).collect();
        let never = if dead.is_empty() {
            String::new()
        } else {
            format!("; {} never went on", named(dead.into_iter()))
        };
        Some(format!(
            "when the leader crashes for good {} at n = {}, {best} stands still {} and {worst} {}{never}",
            group.place.within(),
            group.validators,
            stall(least),
            stall(most),
        ))
    });
    texts.collect()
}

fn stall(ms: f64) -> String {
    if ms < 1.0 {
        "no longer than usual".to_owned()
    } else {
        format!("for {}", units::span_ms(ms as u64))
    }
}

/// For each place its groups with the fewest and with the most validators, which may be the same.
fn ends_of_places(quiet: &[Group]) -> Vec<Vec<&Group>> {
    let places = quiet.chunk_by(|a, b| a.place == b.place);
    let ends = places.map(|groups| match groups {
        [first, .., last] => vec![first, last],
        groups => groups.iter().collect(),
    });
    ends.collect()
}

/// The groups with the fewest and the most validators in the first place, if they are two.
fn first_place(quiet: &[Group]) -> Option<(&Group, &Group)> {
    let ends = ends_of_places(quiet);
    match ends.first()?.as_slice() {
        [few, many] => Some((few, many)),
        _ => None,
    }
}

/// Safe rows of a kind by their median latency.
fn by_latency(group: &Group, counts: impl Fn(&Row) -> bool) -> Vec<(&Row, f64)> {
    let rows = group.rows.iter();
    let rows = rows.filter(|row| row.standing == Standing::Safe && counts(row));
    let mut timed: Vec<_> = rows
        .filter_map(|row| Some((row, row.median(name::FINAL_P50)?)))
        .collect();
    timed.sort_by(by_value);
    timed
}

fn by_value<T>(a: &(T, f64), b: &(T, f64)) -> Ordering {
    a.1.total_cmp(&b.1)
}

/// `a, b and c`.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn milliseconds(ms: f64) -> String {
    units::us_as_ms((ms * 1000.0).round() as u64)
}

#[cfg(test)]
#[path = "findings/tests.rs"]
mod tests;
