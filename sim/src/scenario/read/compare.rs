//! What is said to those who compare protocols: `[compare]`.

use std::collections::BTreeMap;

use crate::{
    protocols,
    scenario::{
        plan::{ComparePlan, Standing},
        reader::Section,
    },
};

/// What a comparison itself lays over the scenario.
const ITS_OWN: [&str; 2] = ["seed", "consensus.protocol"];

/// Reads `[compare]`.
pub(crate) fn compare(root: &Section<'_>) -> ComparePlan {
    let section = root.section("compare", &["tuned", "expected"]);
    let names: Vec<&'static str> = protocols::names().collect();
    let (tuned, expected) = (
        section.section("tuned", &names),
        section.section("expected", &names),
    );
    let said = |section: &Section<'_>, name: &str| section.get(name).is_some();
    ComparePlan {
        tuned: names
            .iter()
            .filter(|name| said(&tuned, name))
            .map(|name| (*name, settings(&tuned, name)))
            .collect(),
        expected: names
            .iter()
            .filter(|name| said(&expected, name))
            .map(|name| (*name, expected.choice(name, &Standing::ALL)))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Overrides as `--set` takes them. Whether their paths lead anywhere shows when they are applied.
fn settings(section: &Section<'_>, protocol: &str) -> Vec<String> {
    let mut settings = Vec::new();
    for node in section.nodes(protocol) {
        let Some(setting) = section.text_of(node, protocol) else {
            continue;
        };
        let problem = match setting.split_once('=') {
            None => Some("this override has no `=`"),
            Some((path, _)) if ITS_OWN.contains(&path.trim()) => {
                Some("a comparison sets this itself")
            }
            Some(_) => None,
        };
        if let Some(message) = problem {
            let hint = "write it as for --set: \"consensus.batch.max_age=5ms\"".to_owned();
            section.log().add(node.span, message, Some(hint));
        }
        settings.push(setting.to_owned());
    }
    settings
}
