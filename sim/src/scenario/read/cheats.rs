//! Who cheats, and when.

use std::time::Duration;

use super::{
    faults::{kind_of, needs_validator, period},
    fleet::golden_temperatures,
};
use crate::{
    protocols,
    scenario::{
        plan::{CheatKind, CheatPlan, Expect, FleetPlan, MemberIndex, MemberPlan},
        reader::{Names, Section},
        suggest::{self, quote},
    },
};

const KINDS: [(&str, &[&str]); 7] = [
    ("silent-primary", &["member"]),
    ("equivocating-primary", &["member"]),
    ("colluders", &["members"]),
    ("twins", &["member"]),
    ("forged-reading", &["member"]),
    ("replayed-reading", &["member"]),
    (
        "rewrites-copy",
        &["member", "from_temperature_c", "to_temperature_c"],
    ),
];

/// Names of the invariants that a scenario may expect to see violated.
pub const INVARIANTS: [&str; 19] = [
    "agreement",
    "prefix",
    "monotone-height",
    "validity",
    "exactly-once",
    "acknowledged-never-lost",
    "certificate-validity",
    "no-conflicting-votes",
    "prepared-carried",
    "checkpoint",
    "watermarks",
    "view-sanity",
    "durability",
    "state-root",
    "workflow-legality",
    "custody",
    "access",
    "bounded-liveness",
    "steady-leader",
];

/// Reads every `[[cheat]]`.
pub(crate) fn cheats<'a>(
    root: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
    fleet: &FleetPlan,
    length: Option<Duration>,
) -> Vec<CheatPlan> {
    let read = |section: &Section<'a>| {
        let kind = kind_of(section, &KINDS)?;
        let (at, until) = period(section, length);
        let kind = cheat(section, kind, members, names)?;
        let on_golden = matches!(
            kind,
            CheatKind::ForgedReading(_)
                | CheatKind::ReplayedReading(_)
                | CheatKind::RewritesCopy { .. }
        );
        if on_golden {
            check_golden(section, &kind, fleet);
        }
        Some(CheatPlan { at, until, kind })
    };
    root.open_sections("cheat")
        .iter()
        .filter_map(read)
        .collect()
}

fn cheat<'a>(
    section: &Section<'a>,
    kind: &str,
    members: &[MemberPlan],
    names: &Names<'a>,
) -> Option<CheatKind> {
    if kind == "colluders" {
        return colluders(section, members, names);
    }
    let tenths = |key: &str| section.decimal(key, 1, -100..=100);
    let changed = (kind == "rewrites-copy")
        .then(|| (tenths("from_temperature_c"), tenths("to_temperature_c")));
    let member = names.find(section, "member")?;
    if !matches!(kind, "forged-reading" | "replayed-reading") {
        needs_validator(section, "member", members, member);
    }
    Some(match (kind, changed) {
        ("silent-primary", _) => CheatKind::SilentPrimary(member),
        ("equivocating-primary", _) => CheatKind::EquivocatingPrimary(member),
        ("twins", _) => CheatKind::Twins(member),
        ("forged-reading", _) => CheatKind::ForgedReading(member),
        ("replayed-reading", _) => CheatKind::ReplayedReading(member),
        (_, changed) => {
            let (from_dc, to_dc) = changed?;
            CheatKind::RewritesCopy {
                member,
                from_dc,
                to_dc,
            }
        }
    })
}

fn colluders<'a>(
    section: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
) -> Option<CheatKind> {
    section.need("members")?;
    let mut coalition: Vec<MemberIndex> = Vec::new();
    for node in section.nodes("members") {
        let Some(member) = names.find_node(section, node, "members") else {
            continue;
        };
        if coalition.contains(&member) {
            let message = format!("{} is named twice", quote(names.list[member]));
            section.log().add(node.span, message, None);
        }
        needs_validator(section, "members", members, member);
        coalition.push(member);
    }
    if section.nodes("members").len() < 2 {
        let hint = "one alone is an equivocating-primary".to_owned();
        section.problem("members", "it takes two to collude", Some(hint));
    }
    Some(CheatKind::Colluders(coalition))
}

/// Frauds on the golden package need one, happen at an instant, and change what is there.
fn check_golden(section: &Section<'_>, kind: &CheatKind, fleet: &FleetPlan) {
    for key in ["until", "for"] {
        if section.get(key).is_some() {
            section.problem(
                key,
                "this happens at one instant",
                Some(format!("remove `{key}`")),
            );
        }
    }
    if fleet.golden.is_none() {
        let hint = "add [golden] with a name".to_owned();
        section.problem(
            "kind",
            "this needs a golden package, and there is none",
            Some(hint),
        );
        return;
    }
    let CheatKind::RewritesCopy { from_dc, to_dc, .. } = kind else {
        return;
    };
    let recorded = golden_temperatures(&fleet.legs);
    if !recorded.contains(from_dc) {
        let mut list: Vec<_> = recorded.iter().map(|dc| tenths(*dc)).collect();
        list.dedup();
        let hint = format!("it reads {} on its way", list.join(", "));
        let message = "the golden package never reads this temperature";
        section.problem("from_temperature_c", message, Some(hint));
    }
    if from_dc == to_dc {
        section.problem("to_temperature_c", "this changes nothing", None);
    }
}

fn tenths(dc: i64) -> String {
    let sign = if dc < 0 { "-" } else { "" };
    let dc = dc.unsigned_abs();
    match dc % 10 {
        0 => format!("{sign}{}", dc / 10),
        rest => format!("{sign}{}.{rest}", dc / 10),
    }
}

/// Reads `[expect]`, where a table with the name of a protocol has the last word under that protocol.
pub(crate) fn expect(root: &Section<'_>, protocol: &str) -> Expect {
    let keys = ["violations", "steady_leader"];
    let names = protocols::names().map(protocols::key_of);
    let all: Vec<_> = keys.into_iter().map(str::to_owned).chain(names).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let section = root.section("expect", &all);
    let mut expect = Expect {
        violations: violations(&section),
        steady_leader: section.truth("steady_leader"),
    };
    for name in protocols::names() {
        let own = section.section(&protocols::key_of(name), &keys[..1]);
        if own.get("violations").is_some() {
            let violations = violations(&own);
            if name == protocol {
                expect.violations = violations;
            }
        }
    }
    expect
}

fn violations(section: &Section<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    for node in section.nodes("violations") {
        let Some(name) = section.text_of(node, "violations") else {
            continue;
        };
        if !INVARIANTS.contains(&name) {
            let hint = suggest::nearest(name, INVARIANTS).map_or_else(
                || format!("invariants: {}", INVARIANTS.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            let message = format!("there is no invariant {}", quote(name));
            section.log().add(node.span, message, Some(hint));
        } else if violations.iter().any(|known| known == name) {
            section.log().add(node.span, "this is named twice", None);
        }
        violations.push(name.to_owned());
    }
    violations
}
