//! The bare pump against the hand-written event loop: `cargo bench -p consortium-benches --bench pump`.
//!
//! Both play all-to-all rounds. The pump carries in addition what every message of every run needs: the
//! link's weather, two network cards, two stages of a machine, the running hash, and a boxed node.

use std::{hint::black_box, time::Duration};

use consortium_benches::{compare::compare, plans, play, yardstick};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

/// About this many messages a run.
const MESSAGES: u64 = 1_000_000;
const SIZES: [u16; 4] = [4, 16, 64, 128];

fn rounds(n: u16) -> u64 {
    MESSAGES / (u64::from(n) * u64::from(n - 1))
}

fn pump(c: &mut Criterion) {
    let mut group = c.benchmark_group("pump");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    for n in SIZES {
        let rounds = rounds(n);
        group.throughput(Throughput::Elements(
            rounds * u64::from(n) * u64::from(n - 1),
        ));
        group.bench_function(BenchmarkId::new("hand-written", n), |b| {
            b.iter(|| black_box(yardstick::all_to_all(u64::from(n), rounds)));
        });
        let plan = plans::bare(n, rounds);
        group.bench_function(BenchmarkId::new("world", n), |b| {
            b.iter(|| black_box(play::toys(&plan, rounds)));
        });
    }
    group.finish();
}

criterion_group!(benches, pump);

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn main() {
    benches();
    println!("in turns, processor time, medians of 5: n, hand-written ns, world ns, ratio");
    for n in SIZES {
        let rounds = rounds(n);
        let plan = plans::bare(n, rounds);
        let compared = compare(
            5,
            || black_box(yardstick::all_to_all(u64::from(n), rounds)).0,
            || play::toys(&plan, rounds),
        );
        println!(
            "pump {n:>4} {:>8.1} {:>8.1} {:>6.2}",
            compared.yardstick_ns, compared.subject_ns, compared.ratio
        );
    }
}
