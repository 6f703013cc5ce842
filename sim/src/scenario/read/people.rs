//! Members and parties, and their names.

use std::collections::BTreeSet;

use crate::scenario::{
    plan::{MemberPlan, PartyPlan},
    reader::{Names, Section},
    suggest::quote,
    tree::Value,
};

/// More validators than this do not fit the machine that simulates them.
const MOST_VALIDATORS: usize = 512;
/// Characters of a name.
const LONGEST_NAME: usize = 60;

/// Keys of a `[[member]]`.
pub(crate) const MEMBER: [&str; 3] = ["name", "region", "validators"];
/// Keys of a `[[party]]`.
pub(crate) const PARTY: [&str; 3] = ["name", "via", "permission"];

/// Reads every `[[member]]`.
pub(crate) fn members(root: &Section<'_>, sections: &[Section<'_>]) -> Vec<MemberPlan> {
    let members: Vec<_> = sections
        .iter()
        .map(|section| MemberPlan {
            name: name(section, "name"),
            region: section.text("region").to_owned(),
            validators: section.count("validators", 0..=MOST_VALIDATORS as u64),
        })
        .collect();
    let validators: usize = members.iter().map(|member| member.validators).sum();
    if root.get("member").is_none() {
        let hint = "add at least one [[member]] with a name and a region".to_owned();
        root.problem("member", "this network has no members", Some(hint));
    } else if validators == 0 {
        let hint = "give a member `validators = 1`".to_owned();
        root.problem("member", "nobody runs a validator (n = 0)", Some(hint));
    } else if validators > MOST_VALIDATORS {
        let message = format!("{validators} validators are too many");
        root.problem(
            "member",
            message,
            Some(format!("at most {MOST_VALIDATORS}")),
        );
    }
    if members.len() > MOST_VALIDATORS {
        let message = format!("{} members are too many", members.len());
        root.problem(
            "member",
            message,
            Some(format!("at most {MOST_VALIDATORS}")),
        );
    }
    members
}

/// Reads every `[[party]]`; the members' own parties come first.
pub(crate) fn parties<'a>(sections: &[Section<'a>], members: &Names<'a>) -> Vec<PartyPlan> {
    let own = members
        .list
        .iter()
        .enumerate()
        .map(|(via, name)| PartyPlan {
            name: (*name).to_owned(),
            via,
            may_write: true,
        });
    let others = sections.iter().map(|section| PartyPlan {
        name: name(section, "name"),
        via: members.find(section, "via").unwrap_or(0),
        may_write: section.choice("permission", &[("write", true), ("read", false)]),
    });
    own.chain(others).collect()
}

/// Reports names that are given twice, among members and parties together.
pub(crate) fn refuse_duplicates<'a>(sections: impl IntoIterator<Item = &'a Section<'a>>) {
    let mut seen = BTreeSet::new();
    for section in sections {
        let Some(Value::Text(name)) = section.get("name").map(|node| &node.value) else {
            continue;
        };
        // Names that a reader of a report cannot tell apart are the same name.
        let folded = name
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase();
        if !seen.insert(folded) {
            let message = format!("there is already a member or party {}", quote(name));
            section.problem("name", message, None);
        }
    }
}

/// A name that can be printed and referred to.
pub(crate) fn name(section: &Section<'_>, key: &str) -> String {
    let Some(node) = section.need(key) else {
        return String::new();
    };
    let name = section.text_of(node, key).unwrap_or("?");
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let fault = if name.trim().is_empty() {
        "a name cannot be empty"
    } else if name.trim() != name {
        "a name cannot start or end with a space"
    } else if name.chars().any(hidden) {
        "a name cannot hold invisible characters"
    } else if name.chars().count() > LONGEST_NAME {
        "a name has at most 60 characters"
    } else if name == "primary" {
        "\"primary\" means whoever leads, and cannot be a name"
    } else {
        return name.to_owned();
    };
    section.problem(key, fault, None);
    name.to_owned()
}
