//! The replicated log: what lies above the base, and the configurations in it.

use std::collections::VecDeque;

use super::{
    configuration::Configuration,
    entry::{Base, Body, Entry, Position},
};
use crate::types::{BlockId, Seq, View};

/// Entries above a base, without holes.
#[derive(Clone, Debug)]
pub(super) struct Log {
    base: Base,
    entries: VecDeque<Entry>,
    /// Where above the base a configuration stands; the last one counts, committed or not (RA18).
    configurations: Vec<(Seq, Configuration)>,
}

impl Log {
    pub(super) fn new(base: Base) -> Self {
        Self {
            base,
            entries: VecDeque::new(),
            configurations: Vec::new(),
        }
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Index and term of the last entry.
    pub(super) fn last(&self) -> Position {
        self.entries.back().map_or(self.base.at, |entry| Position {
            term: entry.term,
            index: Seq(self.base.at.index.0 + self.entries.len() as u64),
        })
    }

    pub(super) fn get(&self, index: Seq) -> Option<&Entry> {
        let offset = index.0.checked_sub(self.base.at.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The term of an entry; `None` where there is none (any more).
    pub(super) fn term_at(&self, index: Seq) -> Option<View> {
        if index == self.base.at.index {
            return Some(self.base.at.term);
        }
        self.get(index).map(|entry| entry.term)
    }

    pub(super) fn holds(&self, at: Position) -> bool {
        self.term_at(at.index) == Some(at.term)
    }

    pub(super) fn configuration(&self) -> &Configuration {
        self.configurations
            .last()
            .map_or(&self.base.configuration, |(_, last)| last)
    }

    /// Where the newest configuration stands.
    pub(super) fn configured_at(&self) -> Seq {
        self.configurations
            .last()
            .map_or(self.base.at.index, |(index, _)| *index)
    }

    /// The configuration before the newest one.
    pub(super) fn previous_configuration(&self) -> &Configuration {
        let mut newest_first = self.configurations.iter().rev().skip(1);
        newest_first
            .next()
            .map_or(&self.base.configuration, |(_, before)| before)
    }

    pub(super) fn push(&mut self, entry: Entry) -> Seq {
        let index = self.last().index.next();
        if let Body::Configuration(configuration) = &entry.body {
            self.configurations.push((index, configuration.clone()));
        }
        self.entries.push_back(entry);
        index
    }

    /// Drops all above an index, which does not lie below the base.
    pub(super) fn truncate(&mut self, last: Seq) {
        let keep = last.0.saturating_sub(self.base.at.index.0);
        self.entries
            .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        self.configurations.retain(|(index, _)| *index <= last);
    }

    /// Entries from `first` on, as many as fit; the first always does.
    pub(super) fn from(&self, first: Seq, most_bytes: usize) -> Vec<Entry> {
        let skip = first.0.saturating_sub(self.base.at.index.0 + 1);
        let mut bytes = 0;
        let entries = self.entries.iter();
        let entries = entries.skip(usize::try_from(skip).unwrap_or(usize::MAX));
        let fits = |entry: &&Entry| {
            let before = bytes;
            bytes += entry.wire_len();
            before == 0 || bytes <= most_bytes
        };
        entries.take_while(fits).cloned().collect()
    }

    /// The last index up to `at.index` whose entry is of a term no later than `at.term`: nothing above
    /// it can be what the other side means (RA13).
    pub(super) fn hint(&self, at: Position) -> Position {
        let mut index = at.index.min(self.last().index);
        loop {
            match self.term_at(index) {
                Some(term) if term > at.term && index > self.base.at.index => index = index.prev(),
                Some(term) => return Position { term, index },
                None => return self.base.at,
            }
        }
    }

    /// Where a block stands, looking from `above` on.
    pub(super) fn find(&self, above: Seq, block: BlockId) -> Option<Seq> {
        let indices = above.next().0.max(self.base.at.index.0 + 1)..=self.last().index.0;
        let holds = |index: &Seq| {
            let entry = self.get(*index).and_then(Entry::block);
            entry.is_some_and(|held| held.id() == block)
        };
        indices.map(Seq).find(holds)
    }

    /// What the chain ends with after each entry: the base moved up to an index.
    pub(super) fn base_at(&self, index: Seq) -> Base {
        let mut base = self.base.clone();
        for (at, entry) in (self.base.at.index.0 + 1..=index.0).zip(&self.entries) {
            base.apply(Seq(at), entry);
        }
        base
    }

    /// Drops the entries up to an index.
    pub(super) fn compact(&mut self, index: Seq) {
        let base = self.base_at(index);
        let dropped = index.0 - self.base.at.index.0;
        self.entries
            .drain(..usize::try_from(dropped).expect("as many as there are"));
        self.configurations.retain(|(at, _)| *at > index);
        self.base = base;
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().cloned().collect()
    }
}
