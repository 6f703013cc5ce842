//! Versioned reads and writes: noting them, checking them, applying them.
//!
//! Versions live in the state under a prefix of their own, so the state's root commits to them and
//! whoever reads a contract need not know of them.

use std::collections::BTreeMap;

use crate::{
    codec,
    endorsement::{KeyWrite, Read, Version},
    ledger::{State, Store},
};

/// Where a state keeps the version of a key.
pub fn version_key(key: &[u8]) -> Vec<u8> {
    codec::encode(&("version", key))
}

/// When a key was written last; `None` if it never was.
pub fn version(state: &State, key: &[u8]) -> Option<Version> {
    let bytes = state.get(&version_key(key))?;
    Some(codec::decode(bytes).expect("the state holds what `apply` wrote"))
}

/// The place of the first read whose key has another version now.
pub fn conflict(state: &State, reads: &[Read]) -> Option<usize> {
    reads
        .iter()
        .position(|read| version(state, &read.key) != read.version)
}

/// Writes a write set, in this version.
pub fn apply(state: &mut State, writes: &[KeyWrite], at: Version) {
    let version = codec::encode(&at);
    for write in writes {
        state.insert(&write.key, &write.value);
        state.insert(&version_key(&write.key), &version);
    }
}

/// A view of a committed state that notes what is read and keeps what is written to itself.
#[derive(Debug)]
pub struct Recorder<'a> {
    state: &'a State,
    reads: BTreeMap<Vec<u8>, Option<Version>>,
    writes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Recorder<'a> {
    /// Nothing read, nothing written.
    pub fn new(state: &'a State) -> Self {
        Self {
            state,
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
        }
    }

    /// The read set and the write set, each by key.
    pub fn finish(self) -> (Vec<Read>, Vec<KeyWrite>) {
        let reads = self.reads.into_iter();
        let reads = reads.map(|(key, version)| Read { key, version });
        let writes = self.writes.into_iter();
        let writes = writes.map(|(key, value)| KeyWrite { key, value });
        (reads.collect(), writes.collect())
    }
}

impl Store for Recorder<'_> {
    fn read(&mut self, key: &[u8]) -> Option<&[u8]> {
        if let Some(own) = self.writes.get(key) {
            return Some(own); // no read of the committed state
        }
        if !self.reads.contains_key(key) {
            let version = version(self.state, key);
            self.reads.insert(key.to_vec(), version);
        }
        self.state.get(key)
    }

    fn write(&mut self, key: &[u8], value: &[u8]) {
        self.writes.insert(key.to_vec(), value.to_vec());
    }
}
