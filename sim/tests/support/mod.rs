//! Plays a scenario of the library, with some of its keys changed.

use std::{path::Path, sync::Arc};

use consortium_sim::{
    cli::Library,
    run::{self, Played},
    scenario::{self, Source},
};

/// Plays `name` with each of `sets` laid over it, as `--set` would.
pub(crate) fn play(name: &str, sets: &[&str]) -> Played {
    let path = Library::usual()
        .find(Path::new(name))
        .expect("it is in the library");
    let source = Source::read(&path).expect("it is readable");
    let overrides: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
    let loaded = scenario::load(&source, &overrides)
        .unwrap_or_else(|problems| panic!("{name} with {sets:?}: {problems}"));
    run::play(&Arc::new(loaded.plan), 1, Arc::default()).expect("the run reaches its end")
}
