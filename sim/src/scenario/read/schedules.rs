//! Directed schedules: what happens to exactly which messages and records.

use std::time::Duration;

use consortium_node::{node::Packet, rewrite::Rewrite, storage, sync::SyncPacket};

use super::faults::needs_validator;
use crate::{
    protocols,
    scenario::{
        plan::{
            About, DiskFate, MemberIndex, MemberPlan, Phase, REWRITES, ScheduleKind, SchedulePlan,
        },
        quantity::spell,
        reader::{LONGEST, Names, Section},
        suggest::{self, quote},
        tree::{Node, Value},
    },
    time::{Time, nanos},
};

const KINDS: [(&str, &[&str]); 6] = [
    ("drop", &["message", "to"]),
    ("delay", &["message", "to", "by"]),
    ("hold", &["message", "to", "release"]),
    ("duplicate", &["message", "to", "by", "copies"]),
    ("rewrite", &["message", "to", "change", "original"]),
    (
        "crash",
        &["message", "record", "to", "phase", "for", "disk"],
    ),
];
/// Keys that every schedule has.
const COMMON: [&str; 8] = [
    "kind", "from", "view", "seq", "since", "until", "skip", "times",
];
/// No schedule counts further.
const MANY: u64 = 1_000_000_000;

/// Reads every `[[schedule]]`.
pub(crate) fn schedules<'a>(
    root: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
    length: Option<Duration>,
) -> Vec<SchedulePlan> {
    let reader = Reader {
        members,
        names,
        length: length.unwrap_or(2 * LONGEST),
    };
    let sections = root.open_sections("schedule");
    sections
        .iter()
        .filter_map(|section| reader.schedule(section))
        .collect()
}

struct Reader<'a, 'r> {
    members: &'r [MemberPlan],
    names: &'r Names<'a>,
    length: Duration,
}

impl<'a> Reader<'a, '_> {
    fn schedule(&self, section: &Section<'a>) -> Option<SchedulePlan> {
        let kind = kind_of(section)?;
        let phase = (kind == "crash").then(|| section.choice("phase", &Phase::ALL));
        let about = self.about(section, phase);
        let kind = match (kind, phase) {
            ("drop", _) => ScheduleKind::Drop,
            ("delay", _) => ScheduleKind::Delay(section.duration("by", Duration::from_nanos(1))),
            ("hold", _) => ScheduleKind::Hold(self.instant(section, "release")),
            ("duplicate", _) => ScheduleKind::Duplicate {
                copies: optional(section, "copies", 1..=1000).unwrap_or(1),
                by: optional_span(section, "by").unwrap_or(Duration::ZERO),
            },
            ("rewrite", _) => {
                self.need_validators(section);
                ScheduleKind::Rewrite {
                    change: change(section)?,
                    keeps_original: section.get("original").is_some()
                        && section.choice("original", &[("replaced", false), ("kept", true)]),
                }
            }
            (_, phase) => {
                self.need_validators(section);
                crash(section, phase?)
            }
        };
        Some(SchedulePlan { about, kind })
    }

    /// Which messages or records; a crash's phase says which of the two.
    fn about(&self, section: &Section<'a>, phase: Option<Phase>) -> About {
        let kinds = if phase.is_some_and(Phase::is_of_records) {
            for key in ["message", "to"] {
                if section.get(key).is_some() {
                    let hint = "say `record`, or choose a phase of sending".to_owned();
                    section.problem(key, "this phase is about records", Some(hint));
                }
            }
            kinds(section, "record", &records())
        } else {
            if section.get("record").is_some() {
                let hint = "say `message`, or choose a phase of persisting".to_owned();
                section.problem("record", "this phase is about messages", Some(hint));
            }
            kinds(section, "message", &messages())
        };
        let since = optional_span(section, "since").map_or(Time::ZERO, |span| Time(nanos(span)));
        self.check_instant(section, "since", since);
        let until = section.get("until").map(|_| self.instant(section, "until"));
        if until.is_some_and(|until| until <= since) {
            section.problem("until", "this ends before it begins", None);
        }
        About {
            kinds,
            from: self.members(section, "from"),
            to: self.members(section, "to"),
            view: range(section, "view"),
            seq: range(section, "seq"),
            since,
            until,
            skip: optional(section, "skip", 0..=MANY).unwrap_or(0),
            times: optional(section, "times", 1..=MANY),
        }
    }

    /// An instant of the run.
    fn instant(&self, section: &Section<'a>, key: &str) -> Time {
        let at = Time(nanos(section.duration(key, Duration::ZERO)));
        self.check_instant(section, key, at);
        at
    }

    fn check_instant(&self, section: &Section<'a>, key: &str, at: Time) {
        if at > Time::ZERO + self.length {
            let hint = format!("the run lasts {}", spell(self.length));
            section.problem(key, "this is after the end of the run", Some(hint));
        }
    }

    /// Members: one name, or a list of them; none if the key is absent.
    fn members(&self, section: &Section<'a>, key: &str) -> Vec<MemberIndex> {
        let mut members = Vec::new();
        for node in one_or_more(section, key) {
            let Some(member) = self.names.find_node(section, node, key) else {
                continue;
            };
            if members.contains(&member) {
                let message = format!("{} is named twice", quote(self.names.list[member]));
                section.log().add(node.span, message, None);
            }
            members.push(member);
        }
        members
    }

    /// Who lies or crashes must be named, and run a validator.
    fn need_validators(&self, section: &Section<'a>) {
        section.need("from");
        for node in one_or_more(section, "from") {
            let Value::Text(name) = &node.value else {
                continue;
            };
            let found = self.names.list.iter().position(|known| known == name);
            if let Some(member) = found {
                needs_validator(section, "from", self.members, member);
            }
        }
    }
}

/// The kind of a schedule, if it is known; reports keys that this kind does not have.
fn kind_of(section: &Section<'_>) -> Option<&'static str> {
    let text = section.text_of(section.need("kind")?, "kind")?;
    let Some((kind, keys)) = KINDS.iter().find(|(kind, _)| *kind == text) else {
        let hint = suggest::hint(text, "kinds", KINDS.iter().map(|(kind, _)| *kind));
        let message = format!("there is no kind {}", quote(text));
        section.problem("kind", message, Some(hint));
        return None;
    };
    let keys: Vec<&str> = COMMON.iter().chain(*keys).copied().collect();
    section.only(&keys);
    Some(kind)
}

/// Kinds of messages or records: one name, or a list of them.
fn kinds(section: &Section<'_>, key: &str, known: &[&'static str]) -> Vec<String> {
    let mut kinds = Vec::new();
    for node in one_or_more(section, key) {
        let Some(name) = section.text_of(node, key) else {
            continue;
        };
        if !known.contains(&name) {
            let hint = suggest::nearest(name, known.iter().copied()).map_or_else(
                || format!("{key}s: {}", known.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            let message = format!("there is no {key} {}", quote(name));
            section.log().add(node.span, message, Some(hint));
        }
        kinds.push(name.to_owned());
    }
    kinds
}

fn crash(section: &Section<'_>, phase: Phase) -> ScheduleKind {
    let restart = optional_span(section, "for");
    if restart.is_none() && section.get("disk").is_some() {
        let hint = "give the crash a `for`: then it starts again".to_owned();
        section.problem("disk", "nobody will read this disk", Some(hint));
    }
    let disk = match section.get("disk") {
        Some(_) => section.choice("disk", &DiskFate::ALL),
        None => DiskFate::Torn,
    };
    ScheduleKind::Crash {
        phase,
        restart,
        disk,
    }
}

/// Names of all kinds of messages, of every protocol.
fn messages() -> Vec<&'static str> {
    let protocols = protocols::ALL.iter().flat_map(|entry| entry.messages);
    let others = Packet::NAMES.iter().chain(&SyncPacket::NAMES);
    protocols.chain(others).copied().collect()
}

/// Names of all kinds of records, of every protocol.
fn records() -> Vec<&'static str> {
    let protocols = protocols::ALL.iter().flat_map(|entry| entry.records);
    let others = [storage::BLOCK, storage::SNAPSHOT, storage::TRUNCATION];
    protocols.copied().chain(others).collect()
}

/// What is under a key: a list's elements, or the one thing.
fn one_or_more<'a>(section: &Section<'a>, key: &str) -> &'a [Node] {
    match section.get(key) {
        None => &[],
        Some(node) if matches!(node.value, Value::List(_)) => section.nodes(key),
        Some(node) => std::slice::from_ref(node),
    }
}

fn optional(section: &Section<'_>, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    section.get(key).map(|_| section.integer(key, range))
}

fn optional_span(section: &Section<'_>, key: &str) -> Option<Duration> {
    let given = section.get(key).is_some();
    given.then(|| section.duration(key, Duration::ZERO))
}

/// A number, or "first..last" with either left out; both ends are included.
fn range(section: &Section<'_>, key: &str) -> Option<(u64, u64)> {
    let node = section.get(key)?;
    let Value::Text(text) = &node.value else {
        let number = section.integer(key, 0..=MANY);
        return Some((number, number));
    };
    let bound = |text: &str, open: u64| match text.trim() {
        "" => Some(open),
        digits => digits.parse().ok(),
    };
    let ends = text
        .split_once("..")
        .and_then(|(first, last)| Some((bound(first, 0)?, bound(last, u64::MAX)?)));
    match ends {
        Some((first, last)) if first <= last => Some((first, last)),
        _ => {
            let message = format!("`{}` cannot be {}", section.path_of(key), quote(text));
            let hint = "a number, or a range with both ends included: \"3..5\", \"3..\", \"..5\"";
            section.problem(key, message, Some(hint.to_owned()));
            None
        }
    }
}

/// How a liar changes a message: a word, or "view" or "seq" with an amount.
fn change(section: &Section<'_>) -> Option<Rewrite> {
    let text = section.text_of(section.need("change")?, "change")?;
    let amount = |field: &str| -> Option<i64> {
        let amount = text.strip_prefix(field)?;
        let signed = amount.starts_with(['+', '-']);
        amount.parse().ok().filter(|by| signed && *by != 0)
    };
    let moved = amount("view").map(Rewrite::View);
    let moved = moved.or_else(|| amount("seq").map(Rewrite::Seq));
    let word = REWRITES.iter().find(|(name, _)| *name == text);
    let change = moved.or(word.map(|(_, change)| *change));
    if change.is_none() {
        let words = REWRITES.iter().map(|(name, _)| *name);
        let words: Vec<&str> = ["view+1", "seq-1"].into_iter().chain(words).collect();
        let hint = match suggest::nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("changes: {}", words.join(", ")),
        };
        let message = format!("there is no change {}", quote(text));
        section.problem("change", message, Some(hint));
    }
    change
}
