//! What follows from a comparison, in plain words: each rule is a function of the rows, and says nothing
//! where its figures say nothing.

use serde::Serialize;

use super::{
    row::{Row, name},
    tolerance::{Curve, Trouble},
};
use crate::{
    metrics::{units, warning::FAR_FROM_FULL_PERCENT},
    scenario::plan::Standing,
};

/// Differences below this are not worth a sentence.
const WORTH_SAYING: f64 = 1.1;
/// From this factor on one costs many more messages than another.
const MANY_TIMES: f64 = 2.0;

/// A sentence and the rule that it follows from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Advice {
    /// Name of the rule.
    pub rule: &'static str,
    /// What it says here.
    pub text: String,
}

/// What all rules say, in the order of their weight.
pub fn advise(rows: &[Row], curves: &[Curve]) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut say = |rule: &'static str, texts: Vec<String>| {
        advice.extend(texts.into_iter().map(|text| Advice { rule, text }));
    };
    say("broken-claim", broken_claims(rows, curves));
    say("fork", forks(rows));
    say("stall", stalls(rows));
    say(
        "speed-for-trust",
        speed_for_trust(rows, curves).into_iter().collect(),
    );
    say("fastest-sound", fastest_sound(rows).into_iter().collect());
    say("messages", messages(rows).into_iter().collect());
    say("taken-back", taken_back(rows));
    say("leader-crash", leader_crash(rows).into_iter().collect());
    say("partition", partition(rows).into_iter().collect());
    say("room", room(rows).into_iter().collect());
    advice
}

/// A protocol broke what it claims.
pub fn broken_claims(rows: &[Row], curves: &[Curve]) -> Vec<String> {
    let mut texts = Vec::new();
    for row in rows {
        if let Some((seed, breach)) = row.breaches().next() {
            texts.push(format!(
                "{} broke what it claims ({}): report it with: {}",
                row.label(),
                breach.invariant,
                seed.reproduce
            ));
        }
    }
    for curve in curves {
        if let (Some(failing), Some(fork)) = (curve.broken_safety(), &curve.first_fork) {
            texts.push(format!(
                "{} broke what it claims with {failing} {}: report it with: {}",
                curve.protocol,
                curve.trouble.name(),
                fork.reproduce
            ));
        }
    }
    texts
}

/// A protocol forked here, outside what it claims.
pub fn forks(rows: &[Row]) -> Vec<String> {
    let forked = rows.iter().filter_map(|row| {
        let seed = row.seed_that(Standing::Forked)?;
        let claims_more = row.breaches().next().is_some();
        let runs = row.seeds.iter().filter(|s| s.standing == Standing::Forked);
        let text = format!(
            "{} lost its one history in {} of {}, first with seed {} ({}): it is for members who \
             trust each other more than these do",
            row.label(),
            runs.count(),
            units::counted(row.seeds.len() as u64, "run"),
            seed.seed,
            seed.grounds.join(", ")
        );
        (!claims_more).then_some(text)
    });
    forked.collect()
}

/// A protocol left work undone here.
pub fn stalls(rows: &[Row]) -> Vec<String> {
    let stalled = rows.iter().filter_map(|row| {
        let seed = row.seed_that(Standing::Stalled)?;
        Some(format!(
            "{} left {} without an answer with seed {} ({}): nothing wrong was written, and nothing \
             more either",
            row.label(),
            units::counted(seed.pending, "transaction"),
            seed.seed,
            seed.grounds.join(", ")
        ))
    });
    stalled.collect()
}

/// The fastest of those that bear no liar, against the fastest of those that do: how much, and for what.
pub fn speed_for_trust(rows: &[Row], curves: &[Curve]) -> Option<String> {
    let sound = fastest(rows.iter().filter(|row| row.bears_liars))?;
    let trusting = fastest(
        rows.iter()
            .filter(|row| !row.bears_liars && row.finality.is_final()),
    )?;
    let (slow, fast) = (
        sound.median(name::FINAL_P50)?,
        trusting.median(name::FINAL_P50)?,
    );
    let ratio = slow / fast;
    if !ratio.is_finite() || ratio < WORTH_SAYING {
        return None;
    }
    Some(format!(
        "{} is {ratio:.1}x faster here than {} (half of the readings final after {} ms instead of \
         {} ms) and {}",
        trusting.label(),
        sound.label(),
        milliseconds(fast),
        milliseconds(slow),
        price(trusting, curves)
    ))
}

/// What a protocol that bears no liar costs when one lies, as far as it was seen.
fn price(row: &Row, curves: &[Curve]) -> String {
    if let Some(seed) = row.seed_that(Standing::Forked) {
        let acted = row
            .cheats
            .iter()
            .find(|cheat| cheat.acted > 0 && cheat.stopped == 0);
        let to = acted.map_or(String::new(), |cheat| format!(" when {}", cheat.label));
        return format!("loses its history{to}: seed {}", seed.seed);
    }
    if let Some(seed) = row.seed_that(Standing::Stalled) {
        let left = units::counted(seed.pending, "transaction");
        return format!("leaves {left} without an answer: seed {}", seed.seed);
    }
    let curve = curves
        .iter()
        .find(|curve| curve.protocol == row.protocol && curve.trouble == Trouble::Colluding);
    match curve.and_then(|curve| curve.first_fork.as_ref()) {
        Some(fork) => {
            let liars = units::counted(fork.failing as u64, "lying member");
            format!("loses its history to {liars} ({})", fork.grounds.join(", "))
        }
        None => "claims nothing against a member that lies, which this run did not show".to_owned(),
    }
}

/// The fastest of those that bear a liar and came out safe, against the next.
pub fn fastest_sound(rows: &[Row]) -> Option<String> {
    let sound = || {
        let rows = rows.iter();
        rows.filter(|row| row.bears_liars && row.standing == Standing::Safe)
    };
    let first = fastest(sound())?;
    let second = fastest(sound().filter(|row| row.label() != first.label()))?;
    let (fast, slow) = (
        first.median(name::FINAL_P50)?,
        second.median(name::FINAL_P50)?,
    );
    if slow / fast < WORTH_SAYING {
        return Some(format!(
            "of those that bear a liar and stayed safe here, {} and {} are equally fast ({} and {} ms): \
             choose between them by cost and recovery",
            first.label(),
            second.label(),
            milliseconds(fast),
            milliseconds(slow)
        ));
    }
    Some(format!(
        "of those that bear a liar and stayed safe here, {} is the fastest: half of the readings are final \
         after {} ms; next is {} with {} ms",
        first.label(),
        milliseconds(fast),
        second.label(),
        milliseconds(slow)
    ))
}

/// Who sends many times what another one sends.
pub fn messages(rows: &[Row]) -> Option<String> {
    let sending = || {
        let rows = rows.iter().filter(|row| row.bears_liars);
        rows.filter_map(|row| Some((row, row.median(name::MESSAGES)?)))
    };
    let by_count = |a: &(&Row, f64), b: &(&Row, f64)| a.1.total_cmp(&b.1);
    let (least, few) = sending().min_by(by_count)?;
    let (most, many) = sending().max_by(by_count)?;
    let ratio = many / few;
    (ratio.is_finite() && ratio >= MANY_TIMES).then(|| {
        format!(
            "of those that bear a liar, {} sends {ratio:.1}x the messages of {} ({} against {} a \
             reading): it matters where links are slow or metered, and with more members",
            most.label(),
            least.label(),
            units::amount(many),
            units::amount(few)
        )
    })
}

/// Without finality, what is final may still go.
pub fn taken_back(rows: &[Row]) -> Vec<String> {
    let without = rows.iter().filter(|row| !row.finality.is_final());
    let texts = without.filter_map(|row| {
        let retracted = row.median(name::RETRACTED).filter(|count| *count > 0.0)?;
        Some(format!(
            "{} took back {}: nobody may act on a reading before {}",
            row.label(),
            units::counted(retracted.round() as u64, "included transaction"),
            row.finality
        ))
    });
    texts.collect()
}

/// Who stood still longest after the leader's crash.
pub fn leader_crash(rows: &[Row]) -> Option<String> {
    let (best, least, worst, most) = extremes(rows, name::LEADER_CRASH)?;
    Some(format!(
        "when the leader crashes, {} stands still for {} and {} for {}",
        worst.label(),
        units::span_ms(most as u64),
        best.label(),
        in_no_time(least)
    ))
}

/// Who needed longest to go on after a partition.
pub fn partition(rows: &[Row]) -> Option<String> {
    let (best, least, worst, most) = extremes(rows, name::PARTITION)?;
    Some(format!(
        "when a partition heals, {} needs {} to go on and {} {}",
        worst.label(),
        units::span_ms(most as u64),
        best.label(),
        in_no_time(least)
    ))
}

/// Nobody was near a limit.
pub fn room(rows: &[Row]) -> Option<String> {
    let busy = rows.iter().filter_map(|row| row.busiest.as_ref());
    let most = busy.max_by(|a, b| a.busy_percent.total_cmp(&b.busy_percent))?;
    (most.busy_percent < FAR_FROM_FULL_PERCENT).then(|| {
        format!(
            "every protocol carries this load with room to spare (busiest: {}, {} {:.1} %): choose \
             by what it bears, by latency and by cost, not by throughput",
            most.node, most.resource, most.busy_percent
        )
    })
}

fn fastest<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<&'a Row> {
    let timed = rows.filter_map(|row| Some((row, row.median(name::FINAL_P50)?)));
    let first = timed.min_by(|a, b| a.1.total_cmp(&b.1));
    first.map(|(row, _)| row)
}

/// Least and most of a figure, if they are worth telling apart.
fn extremes<'a>(rows: &'a [Row], figure: &str) -> Option<(&'a Row, f64, &'a Row, f64)> {
    let having = || {
        rows.iter()
            .filter_map(|row| Some((row, row.median(figure)?)))
    };
    let by_figure = |a: &(&Row, f64), b: &(&Row, f64)| a.1.total_cmp(&b.1);
    let (best, least) = having().min_by(by_figure)?;
    let (worst, most) = having().max_by(by_figure)?;
    (most > least * WORTH_SAYING && most >= 1.0).then_some((best, least, worst, most))
}

fn in_no_time(ms: f64) -> String {
    if ms < 1.0 {
        "no longer than usual".to_owned()
    } else {
        units::span_ms(ms as u64)
    }
}

fn milliseconds(ms: f64) -> String {
    units::us_as_ms((ms * 1000.0).round() as u64)
}

#[cfg(test)]
#[path = "advice/tests.rs"]
mod tests;
