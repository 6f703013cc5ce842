//! The milk story, three hours of it: `cargo bench -p consortium-benches --bench milk`.
//!
//! The whole day: `time cargo run --release -- scenario milk.toml`, and without `--release` for the dev
//! profile.

use std::{
    hint::black_box,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use consortium_benches::plans;
use consortium_sim::run;
use criterion::{Criterion, criterion_group, criterion_main};

const HOURS: u32 = 3;

fn milk(c: &mut Criterion) {
    let mut group = c.benchmark_group("milk");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(3));
    let plan = plans::milk(HOURS);
    group.bench_function("three hours", |b| {
        b.iter(|| black_box(run::play(&plan, 1, Arc::new(AtomicU64::new(0)))).expect("it plays"));
    });
    group.finish();
}

criterion_group!(benches, milk);
criterion_main!(benches);
