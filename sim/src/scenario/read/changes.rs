//! Who joins and who leaves the committee, and when.

use std::time::Duration;

use super::faults::needs_validator;
use crate::{
    protocols::Protocol,
    scenario::{
        plan::{ChangeKind, ChangePlan, MemberIndex, MemberPlan},
        quantity::spell,
        reader::{LONGEST, Names, Section},
        suggest::quote,
    },
    time::{Time, nanos},
};

/// Keys of a `[[change]]`.
pub(crate) const KEYS: [&str; 3] = ["kind", "member", "at"];

/// Reads every `[[change]]`, in the order of time; none where a committee cannot change.
pub(crate) fn changes<'a>(
    root: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
    protocol: &dyn Protocol,
    length: Option<Duration>,
) -> Vec<ChangePlan> {
    let sections = root.sections("change", &KEYS);
    let read = |section: Section<'a>| {
        let change = change(&section, members, names, length)?;
        Some((change, section))
    };
    let mut read: Vec<_> = sections.into_iter().filter_map(read).collect();
    read.sort_by_key(|(change, _)| change.at);
    check_order(&read, members);
    // A scenario is for all protocols: where the committee cannot change, everyone is in from the
    // beginning, and a warning says so.
    read.retain(|_| protocol.changes_committee());
    read.into_iter().map(|(change, _)| change).collect()
}

fn change<'a>(
    section: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
    length: Option<Duration>,
) -> Option<ChangePlan> {
    section.need("kind")?;
    let kinds = [("joins", ChangeKind::Joins), ("leaves", ChangeKind::Leaves)];
    let kind = section.choice("kind", &kinds);
    let at = section.duration("at", Duration::ZERO);
    let length = length.unwrap_or(2 * LONGEST);
    if at >= length {
        let hint = format!("the run lasts {}", spell(length));
        section.problem("at", "this is after the end of the run", Some(hint));
    }
    let member = names.find(section, "member")?;
    needs_validator(section, "member", members, member);
    Some(ChangePlan {
        at: Time(nanos(at)),
        member,
        kind,
    })
}

/// A member joins while it is out and leaves while it is in, and somebody always stays.
fn check_order(changes: &[(ChangePlan, Section<'_>)], members: &[MemberPlan]) {
    let first = |member: MemberIndex| changes.iter().find(|(c, _)| c.member == member);
    let founds = |member| first(member).is_none_or(|(c, _)| c.kind == ChangeKind::Leaves);
    let mut is_in: Vec<bool> = (0..members.len()).map(founds).collect();
    let deciding = |is_in: &[bool]| -> usize {
        let sizes = members.iter().zip(is_in).filter(|(_, is_in)| **is_in);
        sizes.map(|(member, _)| member.validators).sum()
    };
    if let Some((_, section)) = changes.first().filter(|_| deciding(&is_in) == 0) {
        let hint = "a member without a [[change]], or one that leaves first, founds the network"
            .to_owned();
        section.problem("kind", "nobody decides until this", Some(hint));
        return;
    }
    for (change, section) in changes {
        let name = quote(&members[change.member].name);
        let joins = change.kind == ChangeKind::Joins;
        if is_in[change.member] == joins {
            let (message, hint) = if joins {
                (
                    format!("{name} is in the committee then"),
                    "it must leave before it joins again",
                )
            } else {
                (
                    format!("{name} has left by then"),
                    "it must join before it leaves again",
                )
            };
            section.problem("kind", message, Some(hint.to_owned()));
        }
        is_in[change.member] = joins;
        if deciding(&is_in) == 0 {
            let hint = "nobody could ever decide anything again: let another member join before"
                .to_owned();
            section.problem("kind", "nobody decides after this", Some(hint));
            return;
        }
    }
}
