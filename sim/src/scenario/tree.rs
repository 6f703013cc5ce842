//! A TOML document in which every value knows where it was typed.
//!
//! This is what was typed, nothing more: the file, the `--set` overrides laid over it, and the defaults
//! laid under it end up in one tree, and each leaf still points to its own text.

use std::{collections::BTreeMap, fmt::Write as _, ops::Range};

use toml::{
    Spanned,
    de::{DeInteger, DeString, DeTable, DeValue},
};

use super::problem::Log;

/// Bytes `start..end` of a text; which one is the number of a text in the [`Log`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Span {
    /// Number of the text.
    pub(crate) text: usize,
    /// First byte.
    pub(crate) start: usize,
    /// After the last byte.
    pub(crate) end: usize,
}

impl Span {
    /// A range of a text.
    pub(crate) fn new(text: usize, range: &Range<usize>) -> Self {
        Self {
            text,
            start: range.start,
            end: range.end,
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What it says.
    pub(crate) value: Value,
    /// Where.
    pub(crate) span: Span,
}

/// The value of a key. Numbers keep their text: no float is ever made of them.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A string.
    Text(String),
    /// An integer; `None` if it is out of 64 bits.
    Integer(Option<i64>),
    /// A number with a point, an exponent, `inf` or `nan`.
    Decimal(String),
    /// `true` or `false`.
    Truth(bool),
    /// A date or a time of day.
    Moment(String),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Value {
    /// With its article, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Decimal(_) => "a decimal number",
            Self::Truth(_) => "a truth value",
            Self::Moment(_) => "a date or time of day",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Keys with their places and values.
pub(crate) type Table = BTreeMap<String, Entry>;

/// What a table holds under a key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where the key was typed.
    pub(crate) key: Span,
    /// Its value.
    pub(crate) node: Node,
}

/// Parses a document, the text with this number. All syntax errors go to the log.
pub(crate) fn document(log: &Log, text: usize, toml: &str) -> Table {
    let (table, errors) = DeTable::parse_recoverable(toml);
    for error in errors {
        let range = error.span().unwrap_or(0..0);
        log.add(Span::new(text, &range), syntax(error.message()), None);
    }
    convert_table(text, table.into_inner())
}

/// Parses a single value. `None` if it is not TOML, whatever the reason.
pub(crate) fn value(text: usize, offset: usize, toml: &str) -> Option<Node> {
    let value = DeValue::parse(toml).ok()?;
    let mut node = convert(text, value);
    shift(&mut node, offset);
    Some(node)
}

/// The parser's messages in this program's words where those are clearer.
fn syntax(message: &str) -> String {
    if message.contains("recurs") {
        return "this is nested too deeply".to_owned();
    }
    match message {
        "string values must be quoted, expected literal string" => {
            "this is not a value: strings must be quoted".to_owned()
        }
        "duplicate key" => "this key is given twice".to_owned(),
        other => other.to_owned(),
    }
}

fn convert_table(text: usize, table: DeTable<'_>) -> Table {
    table
        .into_iter()
        .map(|(key, value): (Spanned<DeString<'_>>, _)| {
            let span = Span::new(text, &key.span());
            let node = convert(text, value);
            (key.into_inner().into_owned(), Entry { key: span, node })
        })
        .collect()
}

fn convert(text: usize, value: Spanned<DeValue<'_>>) -> Node {
    let span = Span::new(text, &value.span());
    let value = match value.into_inner() {
        DeValue::String(string) => Value::Text(string.into_owned()),
        DeValue::Integer(integer) => Value::Integer(parse_integer(&integer)),
        DeValue::Float(float) => Value::Decimal(float.as_str().to_owned()),
        DeValue::Boolean(truth) => Value::Truth(truth),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(list) => {
            Value::List(list.into_iter().map(|item| convert(text, item)).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(text, table)),
    };
    Node { value, span }
}

fn parse_integer(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Moves every place in it by so many bytes.
fn shift(node: &mut Node, offset: usize) {
    node.span.start += offset;
    node.span.end += offset;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, offset)),
        Value::Table(table) => {
            for entry in table.values_mut() {
                entry.key.start += offset;
                entry.key.end += offset;
                shift(&mut entry.node, offset);
            }
        }
        Value::Text(_)
        | Value::Integer(_)
        | Value::Decimal(_)
        | Value::Truth(_)
        | Value::Moment(_) => {}
    }
}

/// Lays `defaults` under `table`: what the table does not say is taken from there. Where both hold tables,
/// they are merged; where both hold arrays and the default's first element is a table, that is a pattern
/// laid under every element. A default array of tables adds no element.
pub(crate) fn lay_under(table: &mut Table, defaults: &Table) {
    for (key, default) in defaults {
        let pattern = pattern(&default.node);
        match table.get_mut(key) {
            None if pattern.is_some() => {}
            None => {
                table.insert(key.clone(), default.clone());
            }
            Some(entry) => match (&mut entry.node.value, &default.node.value, pattern) {
                (Value::Table(own), Value::Table(below), _) => lay_under(own, below),
                (Value::List(items), _, Some(pattern)) => {
                    for item in items {
                        if let Value::Table(own) = &mut item.value {
                            lay_under(own, pattern);
                        }
                    }
                }
                _ => {}
            },
        }
    }
}

fn pattern(node: &Node) -> Option<&Table> {
    let Value::List(items) = &node.value else {
        return None;
    };
    match &items.first()?.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// Writes a tree as a TOML document, keys in alphabetical order.
pub(crate) fn to_toml(table: &Table) -> String {
    let mut out = String::new();
    write_section(&mut out, "", table);
    out
}

/// Plain keys first, then one section a table, as TOML demands.
fn write_section(out: &mut String, path: &str, table: &Table) {
    for (key, entry) in table {
        if !is_section(&entry.node) {
            writeln!(out, "{key} = {}", inline(&entry.node)).expect("a string takes any text");
        }
    }
    for (key, entry) in table.iter().filter(|(_, entry)| is_section(&entry.node)) {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        match &entry.node.value {
            Value::Table(table) => {
                writeln!(out, "\n[{path}]").expect("a string takes any text");
                write_section(out, &path, table);
            }
            Value::List(items) => {
                for item in items {
                    if let Value::Table(table) = &item.value {
                        writeln!(out, "\n[[{path}]]").expect("a string takes any text");
                        write_section(out, &path, table);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_section(node: &Node) -> bool {
    matches!(node.value, Value::Table(_)) || pattern(node).is_some()
}

fn inline(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Integer(integer) => integer.unwrap_or_default().to_string(),
        Value::Decimal(text) | Value::Moment(text) => text.clone(),
        Value::Truth(truth) => truth.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entries: Vec<_> = table
                .iter()
                .map(|(key, entry)| format!("{key} = {}", inline(&entry.node)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
