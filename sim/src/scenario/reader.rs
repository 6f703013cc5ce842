//! Reads typed values out of the tree. Whatever is wrong goes to the log, and a harmless value takes its
//! place so that reading carries on; a plan with such a value in it never leaves the loader.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    plan::Rate,
    problem::Log,
    quantity,
    suggest::{self, quote},
    tree::{Node, Span, Table, Value},
};

/// Longer spans are refused: about a year, so that sums of them never overflow.
pub(crate) const LONGEST: Duration = Duration::from_hours(400 * 24);

/// Longer arrays are refused, which also keeps every check of all against all quick.
const MOST_ITEMS: usize = 1000;

static EMPTY: Table = Table::new();

/// A table whose keys are known.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    table: &'a Table,
    span: Span,
    path: String,
    log: &'a Log,
}

impl<'a> Section<'a> {
    /// The whole document. Reports every key that is not among `keys`.
    pub(crate) fn root(log: &'a Log, table: &'a Table, keys: &[&str]) -> Self {
        let span = Span::new(0, &(0..0));
        let section = Self {
            table,
            span,
            path: String::new(),
            log,
        };
        section.only(keys);
        section
    }

    /// The table under a key, empty if there is none. Reports every key in it that is not among `keys`.
    pub(crate) fn section(&self, key: &str, keys: &[&str]) -> Self {
        match self.table.get(key) {
            Some(entry) => {
                let section = self.open(&entry.node, self.path_of(key));
                section.only(keys);
                section
            }
            None => Self {
                table: &EMPTY,
                path: self.path_of(key),
                ..self.clone()
            },
        }
    }

    /// The elements of an array of tables, none if it is not there.
    pub(crate) fn sections(&self, key: &str, keys: &[&str]) -> Vec<Self> {
        let sections = self.open_sections(key);
        for section in &sections {
            section.only(keys);
        }
        sections
    }

    /// The elements of an array of tables whose keys are not known yet; their kinds decide, see
    /// [`Section::only`].
    pub(crate) fn open_sections(&self, key: &str) -> Vec<Self> {
        let items = self.nodes(key).iter().enumerate();
        items
            .map(|(i, node)| self.open(node, format!("{}.{i}", self.path_of(key))))
            .collect()
    }

    /// The elements of an array, none if it is not there.
    pub(crate) fn nodes(&self, key: &str) -> &'a [Node] {
        let Some(node) = self.get(key) else {
            return &[];
        };
        match &node.value {
            Value::List(items) if items.len() <= MOST_ITEMS => items,
            Value::List(items) => {
                let message = format!("`{}` has {} elements", self.path_of(key), items.len());
                let hint = format!("at most {MOST_ITEMS}");
                self.log.add(node.span, message, Some(hint));
                &items[..MOST_ITEMS]
            }
            _ => {
                self.mistyped(node, key, "an array");
                &[]
            }
        }
    }

    /// Where it is, for problems with the whole table.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// The log that it reports to.
    pub(crate) fn log(&self) -> &'a Log {
        self.log
    }

    /// What is under a key, if anything.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.table.get(key).map(|entry| &entry.node)
    }

    /// Where a key's value is, or else the table.
    pub(crate) fn place(&self, key: &str) -> Span {
        self.get(key).map_or(self.span, |node| node.span)
    }

    /// What is under a key; reports its absence.
    pub(crate) fn need(&self, key: &str) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            let message = format!("`{}` is missing", self.path_of(key));
            self.log.add(self.span, message, None);
        }
        node
    }

    /// Reports a problem with the value of a key.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>, hint: Option<String>) {
        self.log.add(self.place(key), message, hint);
    }

    /// Reports that the values of two keys do not fit; points to the first unless only the second was
    /// typed.
    pub(crate) fn problem_of_two(&self, key: &str, other: &str, message: &str, hint: String) {
        let typed = |key: &&str| self.log.is_typed(self.place(key));
        let key = [key, other].into_iter().find(typed).unwrap_or(key);
        self.problem(key, message, Some(hint));
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> &'a str {
        let Some(node) = self.need(key) else {
            return "";
        };
        self.text_of(node, key).unwrap_or("")
    }

    /// The string in a node of this section.
    pub(crate) fn text_of(&self, node: &'a Node, key: &str) -> Option<&'a str> {
        if let Value::Text(text) = &node.value {
            return Some(text);
        }
        self.mistyped(node, key, "a string");
        None
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> T {
        let fallback = choices[0].1;
        let Some(node) = self.need(key) else {
            return fallback;
        };
        let Some(text) = self.text_of(node, key) else {
            return fallback;
        };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return *choice;
        }
        let known: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let hint = match suggest::nearest(text, known.iter().copied()) {
            Some(name) => format!(
                "did you mean \"{name}\"? It is one of: {}",
                known.join(", ")
            ),
            None => format!("it is one of: {}", known.join(", ")),
        };
        let message = format!("`{}` knows no {}", self.path_of(key), quote(text));
        self.log.add(node.span, message, Some(hint));
        fallback
    }

    /// Whether a key holds this very word, which stands for something that is no number.
    pub(crate) fn says(&self, key: &str, word: &str) -> bool {
        self.get(key)
            .is_some_and(|node| matches!(&node.value, Value::Text(text) if text == word))
    }

    /// `true` or `false`.
    pub(crate) fn truth(&self, key: &str) -> bool {
        let Some(node) = self.need(key) else {
            return false;
        };
        if let Value::Truth(truth) = node.value {
            return truth;
        }
        self.mistyped(node, key, "true or false");
        false
    }

    /// An integer within a range.
    pub(crate) fn integer(&self, key: &str, range: RangeInclusive<u64>) -> u64 {
        let Some(node) = self.need(key) else {
            return *range.start();
        };
        let Value::Integer(integer) = &node.value else {
            self.mistyped(node, key, "an integer");
            return *range.start();
        };
        match integer.and_then(|integer| u64::try_from(integer).ok()) {
            Some(integer) if range.contains(&integer) => integer,
            _ => {
                let limits = format!("{} to {}", range.start(), range.end());
                self.out_of_range(node, key, &limits);
                *range.start()
            }
        }
    }

    /// An integer that counts things in memory.
    pub(crate) fn count(&self, key: &str, range: RangeInclusive<u64>) -> usize {
        usize::try_from(self.integer(key, range)).unwrap_or(usize::MAX)
    }

    /// An integer or decimal number times ten to the power of `places`, within a range of the unscaled.
    pub(crate) fn decimal(&self, key: &str, places: u32, range: RangeInclusive<i64>) -> i64 {
        let scale = 10_i64.pow(places);
        let fallback = range.start() * scale;
        let Some(node) = self.need(key) else {
            return fallback;
        };
        let limits = format!("{} to {}", range.start(), range.end());
        let amount = match &node.value {
            Value::Integer(integer) => integer.and_then(|integer| integer.checked_mul(scale)),
            Value::Decimal(text) => match quantity::decimal(text, places) {
                Ok(amount) => Some(amount),
                Err(error) => {
                    let message = format!("`{}` is no usable number", self.path_of(key));
                    self.log.add(node.span, message, Some(error));
                    return fallback;
                }
            },
            _ => {
                self.mistyped(node, key, "a number");
                return fallback;
            }
        };
        match amount {
            Some(amount) if (fallback..=range.end() * scale).contains(&amount) => amount,
            _ => {
                self.out_of_range(node, key, &limits);
                fallback
            }
        }
    }

    /// A duration from `least` to about a year.
    pub(crate) fn duration(&self, key: &str, least: Duration) -> Duration {
        let Some(node) = self.need(key) else {
            return least;
        };
        let Some(span) = self.quantity(node, key, "\"250ms\"", quantity::duration) else {
            return least;
        };
        if (least..=LONGEST).contains(&span) {
            return span;
        }
        let limits = format!("{} to {}", quantity::spell(least), quantity::spell(LONGEST));
        self.out_of_range(node, key, &limits);
        least
    }

    /// A size in bytes within a range.
    pub(crate) fn size(&self, key: &str, range: RangeInclusive<u64>) -> usize {
        let Some(node) = self.need(key) else {
            return 0;
        };
        match self.quantity(node, key, "\"256kB\"", quantity::size) {
            Some(size) if range.contains(&size) => usize::try_from(size).unwrap_or(usize::MAX),
            Some(_) => {
                let limits = format!("{} B to {} B", range.start(), range.end());
                self.out_of_range(node, key, &limits);
                0
            }
            None => 0,
        }
    }

    /// A rate in bits a second, not zero.
    pub(crate) fn rate(&self, key: &str) -> u64 {
        let Some(node) = self.need(key) else {
            return 1;
        };
        match self.quantity(node, key, "\"100Mbit/s\"", quantity::rate) {
            Some(0) => {
                self.out_of_range(node, key, "1 bit/s and more, or \"unlimited\"");
                1
            }
            rate => rate.unwrap_or(1),
        }
    }

    /// How often something happens, in millionths a second, within a range.
    pub(crate) fn frequency(&self, key: &str, range: RangeInclusive<u64>) -> u64 {
        let Some(node) = self.need(key) else {
            return *range.start();
        };
        self.frequency_of(node, key, range)
    }

    /// The same of a node of this section.
    pub(crate) fn frequency_of(
        &self,
        node: &'a Node,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> u64 {
        match self.quantity(node, key, "\"200/s\"", quantity::frequency) {
            Some(millionths) if range.contains(&millionths) => millionths,
            Some(_) => {
                let limits = format!("{} to {}", Rate(*range.start()), Rate(*range.end()));
                self.out_of_range(node, key, &limits);
                *range.start()
            }
            None => *range.start(),
        }
    }

    fn quantity<T>(
        &self,
        node: &'a Node,
        key: &str,
        example: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Value::Text(text) = &node.value else {
            self.mistyped(node, key, &format!("a string such as {example}"));
            return None;
        };
        match parse(text) {
            Ok(quantity) => Some(quantity),
            Err(error) => {
                let message = format!("`{}` cannot be {}", self.path_of(key), quote(text));
                self.log.add(node.span, message, Some(error));
                None
            }
        }
    }

    fn open(&self, node: &'a Node, path: String) -> Self {
        let table = match &node.value {
            Value::Table(table) => table,
            other => {
                let message = format!("`{path}` is {}, not a table", other.kind());
                self.log.add(node.span, message, None);
                &EMPTY
            }
        };
        Self {
            table,
            span: node.span,
            path,
            log: self.log,
        }
    }

    /// Reports every key that is not among these.
    pub(crate) fn only(&self, keys: &[&str]) {
        for (key, entry) in self.table {
            if !keys.contains(&key.as_str()) {
                let hint = self
                    .log
                    .wants_hints()
                    .then(|| suggest::hint(key, "keys here", keys.iter().copied()));
                let place = match self.path.as_str() {
                    "" => "at the top".to_owned(),
                    path => format!("in `{path}`"),
                };
                let message = format!("there is no key {} {place}", quote(key));
                self.log.add(entry.key, message, hint);
            }
        }
    }

    fn mistyped(&self, node: &Node, key: &str, wanted: &str) {
        let message = format!(
            "`{}` is {}, not {wanted}",
            self.path_of(key),
            node.value.kind()
        );
        self.log.add(node.span, message, None);
    }

    fn out_of_range(&self, node: &Node, key: &str, limits: &str) {
        let message = format!("`{}` is out of range", self.path_of(key));
        self.log
            .add(node.span, message, Some(format!("the range is {limits}")));
    }

    /// The key's path as `--set` takes it.
    pub(crate) fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}

/// Names that others refer to, by number.
#[derive(Clone, Debug)]
pub(crate) struct Names<'a> {
    /// "member" or "party".
    pub(crate) singular: &'static str,
    /// "members" or "parties".
    pub(crate) plural: &'static str,
    /// By number.
    pub(crate) list: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// The number of the one whose name is under a key.
    pub(crate) fn find(&self, section: &Section<'a>, key: &str) -> Option<usize> {
        self.find_node(section, section.need(key)?, key)
    }

    /// The number of the one whose name is in a node.
    pub(crate) fn find_node(
        &self,
        section: &Section<'a>,
        node: &'a Node,
        key: &str,
    ) -> Option<usize> {
        let name = section.text_of(node, key)?;
        let found = self.list.iter().position(|known| *known == name);
        if found.is_none() {
            let hint = section
                .log()
                .wants_hints()
                .then(|| suggest::hint(name, self.plural, self.list.iter().copied()));
            let message = format!("there is no {} {}", self.singular, quote(name));
            section.log().add(node.span, message, hint);
        }
        found
    }
}
