//! The terms of shipping, the packages and their journey.

use std::time::Duration;

use crate::scenario::{
    plan::{ColdChain, FleetPlan, LegPlan, Pace, PartyPlan},
    reader::{Names, Section},
    suggest::quote,
};

use super::people;

/// More packages than this are no scenario.
const MOST_PACKAGES: u64 = 100_000;
/// More readings than this do not end within a working day.
const MOST_READINGS: u128 = 50_000_000;
/// Sensors do not report more often than this.
const FASTEST: Duration = Duration::from_millis(1);
/// What one reading of a closed loop is taken to need when the cost of a run is estimated.
const LOOP: Duration = Duration::from_millis(10);

/// Reads `[cold_chain]`.
pub(crate) fn cold_chain<'a>(
    root: &Section<'a>,
    names: &Names<'a>,
    parties: &[PartyPlan],
) -> ColdChain {
    let section = root.section(
        "cold_chain",
        &[
            "owner",
            "observer",
            "min_temperature_c",
            "max_temperature_c",
            "min_humidity_pct",
            "max_humidity_pct",
        ],
    );
    let before = section.log().count();
    let terms = ColdChain {
        owner: writer(&section, "owner", names, parties),
        observer: names.find(&section, "observer").unwrap_or(0),
        min_temperature_dc: section.decimal("min_temperature_c", 1, -100..=100),
        max_temperature_dc: section.decimal("max_temperature_c", 1, -100..=100),
        min_humidity_dpct: section.decimal("min_humidity_pct", 1, 0..=100),
        max_humidity_dpct: section.decimal("max_humidity_pct", 1, 0..=100),
    };
    let orders = [
        (
            "max_temperature_c",
            terms.min_temperature_dc,
            terms.max_temperature_dc,
        ),
        (
            "max_humidity_pct",
            terms.min_humidity_dpct,
            terms.max_humidity_dpct,
        ),
    ];
    for (key, min, max) in orders {
        if min > max && section.log().count() == before {
            section.problem(key, "the maximum is below the minimum", None);
        }
    }
    terms
}

/// A party that may submit.
fn writer<'a>(section: &Section<'a>, key: &str, names: &Names<'a>, parties: &[PartyPlan]) -> usize {
    let Some(party) = names.find(section, key) else {
        return 0;
    };
    if !parties[party].may_write {
        let message = format!("{} may only read", quote(&parties[party].name));
        let hint = "responsibility is handed over by transactions: give it permission = \"write\"";
        section.problem(key, message, Some(hint.to_owned()));
    }
    party
}

/// Reads `[fleet]`, every `[[leg]]` and `[golden]`, and refuses what would take too long to simulate.
pub(crate) fn fleet<'a>(
    root: &Section<'a>,
    names: &Names<'a>,
    parties: &[PartyPlan],
    length: Option<Duration>,
) -> FleetPlan {
    let section = root.section(
        "fleet",
        &[
            "packages",
            "start_spread",
            "pace",
            "reading_every",
            "temperature_accuracy_c",
            "humidity_accuracy_pct",
            "thermal_time_constant",
        ],
    );
    let every = section.duration("reading_every", FASTEST);
    let pace = [
        ("interval", Pace::Every(every)),
        ("closed-loop", Pace::ClosedLoop),
    ];
    let golden = golden(root, names);
    let plan = FleetPlan {
        packages: section.count("packages", 0..=MOST_PACKAGES),
        start_spread: section.duration("start_spread", Duration::ZERO),
        pace: section.choice("pace", &pace),
        accuracy_mc: section.decimal("temperature_accuracy_c", 3, 0..=20),
        accuracy_mpct: section.decimal("humidity_accuracy_pct", 3, 0..=50),
        thermal_time_constant: section.duration("thermal_time_constant", Duration::ZERO),
        legs: legs(root, names, parties, golden.is_some()),
        golden,
    };
    if plan.packages == 0 && plan.golden.is_none() && section.get("packages").is_some() {
        let hint = "at least one, or a [golden] package".to_owned();
        section.problem("packages", "nothing is shipped", Some(hint));
    }
    if length.is_some_and(|length| plan.start_spread > length) {
        let message = "packages would start after the end of the run";
        section.problem(
            "start_spread",
            message,
            Some("at most `duration`".to_owned()),
        );
    }
    if let Some(length) = length {
        check_cost(&section, &plan, length);
    }
    plan
}

fn check_cost(section: &Section<'_>, plan: &FleetPlan, length: Duration) {
    let every = match plan.pace {
        Pace::Every(every) => every,
        Pace::ClosedLoop => LOOP,
    };
    let sensors = plan.packages as u128 + u128::from(plan.golden.is_some());
    let readings = sensors * (length.as_nanos() / every.as_nanos().max(1));
    if readings > MOST_READINGS {
        let message = format!("about {readings} readings would take too long to simulate");
        let hint =
            "at most 50 million: fewer packages, a longer `reading_every` or a shorter `duration`";
        section.problem("packages", message, Some(hint.to_owned()));
    }
}

fn golden(root: &Section<'_>, names: &Names<'_>) -> Option<String> {
    let section = root.section("golden", &["name"]);
    root.get("golden")?;
    let name = people::name(&section, "name");
    if name.starts_with("PKG-") || names.list.contains(&name.as_str()) {
        let hint = "packages are called PKG-1, PKG-2 …".to_owned();
        section.problem("name", "this name is taken", Some(hint));
    }
    Some(name)
}

fn legs<'a>(
    root: &Section<'a>,
    names: &Names<'a>,
    parties: &[PartyPlan],
    golden: bool,
) -> Vec<LegPlan> {
    let keys = [
        "stage",
        "custodian",
        "duration",
        "ambient_c",
        "ambient_spread_c",
        "humidity_pct",
        "golden",
    ];
    let sections = root.sections("leg", &keys);
    if sections.is_empty() {
        let hint = "add at least one [[leg]] with a stage, a custodian and a duration".to_owned();
        root.problem("leg", "packages go nowhere: there are no legs", Some(hint));
    }
    sections
        .iter()
        .map(|section| LegPlan {
            stage: people::name(section, "stage"),
            custodian: writer(section, "custodian", names, parties),
            duration: section.duration("duration", FASTEST),
            ambient_mc: section.decimal("ambient_c", 3, -100..=100),
            ambient_spread_mc: section.decimal("ambient_spread_c", 3, 0..=50),
            humidity_mpct: section.decimal("humidity_pct", 3, 0..=100),
            golden: golden_reading(section, golden),
        })
        .collect()
}

/// What the golden package reads on a leg: given exactly if there is a golden package.
fn golden_reading(leg: &Section<'_>, golden: bool) -> Option<(i64, i64)> {
    let given = leg.get("golden").is_some();
    if !given && !golden {
        return None;
    }
    let section = leg.section("golden", &["temperature_c", "humidity_pct"]);
    if !given {
        let hint = "golden = { temperature_c = 8, humidity_pct = 60 }".to_owned();
        let message = "what the golden package reads on this leg is missing";
        leg.log().add(leg.span(), message, Some(hint));
        return None;
    }
    if !golden {
        let hint = "add [golden] with a name, or remove this".to_owned();
        leg.problem("golden", "there is no golden package", Some(hint));
    }
    Some((
        section.decimal("temperature_c", 1, -100..=100),
        section.decimal("humidity_pct", 1, 0..=100),
    ))
}

/// What the golden package reads on its way, tenths of a degree.
pub(crate) fn golden_temperatures(legs: &[LegPlan]) -> Vec<i64> {
    legs.iter().filter_map(|leg| Some(leg.golden?.0)).collect()
}
