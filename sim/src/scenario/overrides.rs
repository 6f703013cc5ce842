//! `--set path=value`: laid over what the file says.

use super::{
    problem::Log,
    suggest::{self, quote},
    tree::{self, Entry, Node, Span, Table, Value},
};

/// No path of a scenario is longer than this.
const DEEPEST: usize = 8;

/// Lays one override over the tree. Its text is `path=value`; the path is dotted, elements of arrays go by
/// number, or by name where they have one; the value is TOML, or else a bare string.
pub(crate) fn apply(log: &Log, root: &mut Table, setting: &str) {
    let text = log.text("--set", setting);
    let whole = Span::new(text, &(0..setting.len()));
    let Some(equals) = find_equals(setting) else {
        let hint = "write --set path=value, for instance --set consensus.protocol=clique";
        log.add(whole, "this override has no `=`", Some(hint.to_owned()));
        return;
    };
    let path = split_path(text, &setting[..equals]);
    if path.iter().any(|segment| segment.name.is_empty()) || path.len() > DEEPEST {
        let place = Span::new(text, &(0..equals));
        let hint = "a path is keys with dots between them: network.loss".to_owned();
        log.add(place, "this is no path to a key", Some(hint));
        return;
    }
    let value = setting[equals + 1..].trim_start();
    if let Some(value) = parse_value(log, text, setting.len() - value.len(), value.trim_end()) {
        set(log, root, &path, value);
    }
}

/// One key of a path.
#[derive(Clone, Debug)]
struct Segment {
    name: String,
    span: Span,
}

/// The first `=` outside quotes.
fn find_equals(setting: &str) -> Option<usize> {
    let mut quoted = false;
    setting.char_indices().find_map(|(i, character)| {
        quoted ^= character == '"';
        (character == '=' && !quoted).then_some(i)
    })
}

/// Splits at dots outside quotes.
fn split_path(text: usize, path: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    let ends = path.char_indices().chain([(path.len(), '.')]);
    for (i, character) in ends {
        quoted ^= character == '"';
        if i == path.len() || character == '.' && !quoted {
            segments.push(Segment {
                name: path[start..i].trim().trim_matches('"').to_owned(),
                span: Span::new(text, &(start..i)),
            });
            start = i + 1;
        }
    }
    segments
}

/// TOML if it is TOML; a bare string unless it starts like something with structure.
fn parse_value(log: &Log, text: usize, offset: usize, value: &str) -> Option<Node> {
    if let Some(node) = tree::value(text, offset, value) {
        return Some(node);
    }
    let span = Span::new(text, &(offset..offset + value.len()));
    if value.starts_with(['[', '{', '"', '\'']) {
        let hint = "arrays, inline tables and quoted strings must be complete".to_owned();
        log.add(span, "this is not a TOML value", Some(hint));
        return None;
    }
    let value = Value::Text(value.to_owned());
    Some(Node { value, span })
}

fn set(log: &Log, table: &mut Table, path: &[Segment], value: Node) {
    let [segment, rest @ ..] = path else {
        return;
    };
    let entry = table.entry(segment.name.clone());
    if rest.is_empty() {
        entry.insert_entry(Entry {
            key: segment.span,
            node: value,
        });
        return;
    }
    let entry = entry.or_insert_with(|| Entry {
        key: segment.span,
        node: Node {
            value: Value::Table(Table::new()),
            span: segment.span,
        },
    });
    set_in(log, &mut entry.node, segment, rest, value);
}

/// Sets something inside the value of `parent`.
fn set_in(log: &Log, node: &mut Node, parent: &Segment, path: &[Segment], value: Node) {
    match &mut node.value {
        Value::Table(table) => set(log, table, path, value),
        Value::List(items) => {
            let [segment, rest @ ..] = path else {
                return;
            };
            let Some(index) = find_item(log, items, parent, segment) else {
                return;
            };
            if rest.is_empty() {
                items[index] = value;
            } else {
                set_in(log, &mut items[index], segment, rest, value);
            }
        }
        other => {
            let message = format!(
                "{} is {}: nothing is inside it",
                quote(&parent.name),
                other.kind()
            );
            log.add(parent.span, message, None);
        }
    }
}

/// An element by its number, or by its `name` or `stage`.
fn find_item(log: &Log, items: &[Node], parent: &Segment, segment: &Segment) -> Option<usize> {
    if let Ok(index) = segment.name.parse::<usize>()
        && index < items.len()
    {
        return Some(index);
    }
    let names: Vec<&str> = items.iter().map(name_of).collect();
    let found = names
        .iter()
        .position(|name| !name.is_empty() && *name == segment.name);
    if found.is_none() {
        let message = format!("`{}` has no element {}", parent.name, quote(&segment.name));
        let known = names.iter().copied().filter(|name| !name.is_empty());
        let near =
            suggest::nearest(&segment.name, known).map(|name| format!("did you mean \"{name}\"?"));
        let count = match items.len() {
            0 => "it is empty".to_owned(),
            count => format!("its elements are 0 to {}", count - 1),
        };
        log.add(segment.span, message, Some(near.unwrap_or(count)));
    }
    found
}

fn name_of(node: &Node) -> &str {
    let Value::Table(table) = &node.value else {
        return "";
    };
    let name = table.get("name").or_else(|| table.get("stage"));
    match name.map(|entry| &entry.node.value) {
        Some(Value::Text(name)) => name,
        _ => "",
    }
}
