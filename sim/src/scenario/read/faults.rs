//! What breaks, and when.

use std::time::Duration;

use crate::{
    scenario::{
        plan::{CrashPlan, DiskFate, FaultKind, FaultPlan, Link, MemberIndex, MemberPlan, Target},
        quantity::spell,
        read::network::probability,
        reader::{LONGEST, Names, Section},
        suggest::{self, quote},
        tree::Value,
    },
    time::{Time, nanos},
};

const KINDS: [(&str, &[&str]); 5] = [
    ("crash", &["target", "disk", "stagger"]),
    ("partition", &["groups"]),
    ("link-cut", &["from", "to", "ways"]),
    ("link-loss", &["loss", "from", "to", "ways"]),
    ("gateway-offline", &["member"]),
];
/// Keys that give a fault or a cheat its time.
const TIMES: [&str; 4] = ["kind", "at", "until", "for"];

/// Reads every `[[fault]]`.
pub(crate) fn faults<'a>(
    root: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
    length: Option<Duration>,
) -> Vec<FaultPlan> {
    let mut plans: Vec<FaultPlan> = Vec::new();
    for section in root.open_sections("fault") {
        let Some(kind) = kind_of(&section, &KINDS) else {
            continue;
        };
        let (at, until) = period(&section, length);
        let fault = match kind {
            "crash" => crash(&section, members, names, until),
            "partition" => partition(&section, names),
            "link-cut" => link(&section, names).map(FaultKind::LinkCut),
            "link-loss" => link_loss(&section, names),
            _ => names
                .find(&section, "member")
                .map(FaultKind::GatewayOffline),
        };
        let Some(kind) = fault else {
            continue;
        };
        let fault = FaultPlan { at, until, kind };
        check_stagger(&section, &fault, members, length);
        if let Some(other) = plans.iter().find(|other| collide(other, &fault)) {
            let message = "this overlaps with an equal fault before it";
            let hint = match other.until {
                Some(until) => format!("that one ends at {}", spell(Duration::from_nanos(until.0))),
                None => "that one never ends: give it `until` or `for`".to_owned(),
            };
            section.problem("at", message, Some(hint));
        }
        plans.push(fault);
    }
    plans
}

/// The kind of a fault or cheat, if it is known; reports keys that this kind does not have.
pub(crate) fn kind_of(
    section: &Section<'_>,
    kinds: &[(&'static str, &[&'static str])],
) -> Option<&'static str> {
    let node = section.need("kind")?;
    let text = section.text_of(node, "kind")?;
    let Some((kind, keys)) = kinds.iter().find(|(kind, _)| *kind == text) else {
        let hint = suggest::hint(text, "kinds", kinds.iter().map(|(kind, _)| *kind));
        section.problem(
            "kind",
            format!("there is no kind {}", quote(text)),
            Some(hint),
        );
        return None;
    };
    let keys: Vec<&str> = TIMES.iter().chain(*keys).copied().collect();
    section.only(&keys);
    Some(kind)
}

/// From when until when. Every instant is a time since the start, within the run.
pub(crate) fn period(section: &Section<'_>, length: Option<Duration>) -> (Time, Option<Time>) {
    let length = length.unwrap_or(2 * LONGEST);
    let at = section.duration("at", Duration::ZERO);
    if at >= length {
        let hint = format!("the run lasts {}", spell(length));
        section.problem("at", "this is after the end of the run", Some(hint));
    }
    if section.get("until").is_some() && section.get("for").is_some() {
        section.problem(
            "for",
            "`until` and `for` say the same: give one of them",
            None,
        );
    }
    let (key, until) = if section.get("until").is_some() {
        ("until", section.duration("until", Duration::ZERO))
    } else if section.get("for").is_some() {
        ("for", at + section.duration("for", Duration::ZERO))
    } else {
        return (Time(nanos(at)), None);
    };
    if until <= at {
        section.problem(key, "this ends before it begins", None);
    } else if until > length && at < length {
        let hint = format!(
            "at most {}; leave it out if it lasts for good",
            spell(length)
        );
        section.problem(key, "this ends after the end of the run", Some(hint));
    }
    (Time(nanos(at)), Some(Time(nanos(until))))
}

fn crash<'a>(
    section: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
    until: Option<Time>,
) -> Option<FaultKind> {
    let target = if section.says("target", "primary") {
        Target::Primary
    } else if section.says("target", "all") {
        Target::All
    } else {
        let member = names.find(section, "target")?;
        needs_validator(section, "target", members, member);
        Target::Member(member)
    };
    let mut crash = CrashPlan::from(target);
    for key in ["disk", "stagger"] {
        if until.is_none() && section.get(key).is_some() {
            let message = format!("`{}` has no effect on who stays down", section.path_of(key));
            let hint = "give the crash an `until` or a `for`: then they start again".to_owned();
            section.problem(key, message, Some(hint));
        }
    }
    if section.get("disk").is_some() {
        crash.disk = section.choice("disk", &DiskFate::ALL);
    }
    if section.get("stagger").is_some() {
        crash.stagger = section.duration("stagger", Duration::ZERO);
        if target != Target::All {
            let hint = "it is for target = \"all\"".to_owned();
            section.problem("stagger", "there is nobody else to start again", Some(hint));
        }
    }
    Some(FaultKind::Crash(crash))
}

/// Reports validators that would start again one after another beyond the end of the run.
fn check_stagger(
    section: &Section<'_>,
    fault: &FaultPlan,
    members: &[MemberPlan],
    length: Option<Duration>,
) {
    let (FaultKind::Crash(crash), Some(until), Some(length)) = (&fault.kind, fault.until, length)
    else {
        return;
    };
    let validators: usize = members.iter().map(|member| member.validators).sum();
    let others = u32::try_from(validators.saturating_sub(1)).unwrap_or(u32::MAX);
    let last = Duration::from_nanos(until.0).saturating_add(crash.stagger.saturating_mul(others));
    if section.get("stagger").is_some() && last > length {
        let message = "the last validator would start again after the end of the run";
        let hint = format!("the run lasts {}", spell(length));
        section.problem("stagger", message, Some(hint));
    }
}

/// Reports a member that runs no validator where one is needed.
pub(crate) fn needs_validator(
    section: &Section<'_>,
    key: &str,
    members: &[MemberPlan],
    member: MemberIndex,
) {
    if members[member].validators == 0 {
        let message = format!("{} runs no validator", quote(&members[member].name));
        section.problem(key, message, None);
    }
}

fn partition<'a>(section: &Section<'a>, names: &Names<'a>) -> Option<FaultKind> {
    section.need("groups")?;
    let mut seen: Vec<MemberIndex> = Vec::new();
    let mut groups = Vec::new();
    for node in section.nodes("groups") {
        let Value::List(items) = &node.value else {
            let message = format!("a group is an array of members, not {}", node.value.kind());
            section.log().add(node.span, message, None);
            continue;
        };
        if items.is_empty() {
            section.log().add(node.span, "this group is empty", None);
        }
        let mut group = Vec::new();
        for item in items {
            let Some(member) = names.find_node(section, item, "groups") else {
                continue;
            };
            if seen.contains(&member) {
                let message = format!("{} is in two groups", quote(names.list[member]));
                section.log().add(item.span, message, None);
            }
            seen.push(member);
            group.push(member);
        }
        groups.push(group);
    }
    if groups.is_empty() || groups.len() == 1 && seen.len() == names.list.len() {
        let hint = "members in no group are alone: groups = [[\"A\", \"B\"]]".to_owned();
        section.problem("groups", "this separates nobody", Some(hint));
    }
    Some(FaultKind::Partition(groups))
}

/// The way between two members.
fn link<'a>(section: &Section<'a>, names: &Names<'a>) -> Option<Link> {
    let (from, to) = (names.find(section, "from"), names.find(section, "to"));
    let (from, to) = (from?, to?);
    if from == to {
        section.problem("to", "a link goes from one member to another", None);
    }
    let both_ways =
        section.get("ways").is_some() && section.choice("ways", &[("one", false), ("both", true)]);
    Some(Link {
        from,
        to,
        both_ways,
    })
}

fn link_loss<'a>(section: &Section<'a>, names: &Names<'a>) -> Option<FaultKind> {
    let loss_ppm = probability(section, "loss");
    if loss_ppm == 0 && section.get("loss").is_some() {
        section.problem("loss", "this loses nothing", None);
    }
    let is_one_link = ["from", "to", "ways"]
        .iter()
        .any(|key| section.get(key).is_some());
    let link = if is_one_link {
        Some(link(section, names)?)
    } else {
        None
    };
    Some(FaultKind::LinkLoss { link, loss_ppm })
}

/// Whether two faults break the same thing at the same time. A crash of the primary may hit anyone, so
/// it collides only with another one at the same instant.
fn collide(a: &FaultPlan, b: &FaultPlan) -> bool {
    let overlap = a.until.unwrap_or(Time::NEVER) > b.at && b.until.unwrap_or(Time::NEVER) > a.at;
    match (&a.kind, &b.kind) {
        (FaultKind::Crash(one), FaultKind::Crash(other)) => match (one.target, other.target) {
            (Target::Primary, Target::Primary) => a.at == b.at,
            (one, other) => overlap && one == other,
        },
        (FaultKind::Partition(_), FaultKind::Partition(_)) => overlap,
        (a, b) => overlap && a == b,
    }
}
