//! PBFT through the whole stack: `cargo bench -p consortium-benches --bench rounds`.
//!
//! Protocol messages a wall second with network, machine model, disk, clocks, ledger, contracts and
//! invariants on. Gateways' traffic takes time but is not counted.

use std::{hint::black_box, time::Duration};

use consortium_benches::{compare::compare, plans, play, yardstick};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

/// Members, virtual milliseconds, whether signatures are real.
const RUNS: [(u16, u64, bool); 5] = [
    (4, 20_000, false),
    (16, 4_000, false),
    (64, 1_000, false),
    (128, 400, false),
    (4, 500, true),
];

fn name(eager: bool) -> &'static str {
    if eager { "eager" } else { "lazy" }
}

fn rounds(c: &mut Criterion) {
    let mut group = c.benchmark_group("rounds");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2));
    for (n, millis, eager) in RUNS {
        let plan = plans::rounds(n, Duration::from_millis(millis), eager);
        group.throughput(Throughput::Elements(play::pbft(&plan)));
        group.bench_function(BenchmarkId::new(name(eager), n), |b| {
            b.iter(|| black_box(play::pbft(&plan)));
        });
    }
    group.finish();
}

criterion_group!(benches, rounds);

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn main() {
    benches();
    println!(
        "in turns, processor time, medians of 5: n, hand-written ns, whole stack ns, ratio, messages/s"
    );
    for (n, millis, eager) in RUNS {
        let plan = plans::rounds(n, Duration::from_millis(millis), eager);
        let turns = 1_000_000 / (u64::from(n) * u64::from(n - 1));
        let compared = compare(
            5,
            || black_box(yardstick::all_to_all(u64::from(n), turns)).0,
            || play::pbft(&plan),
        );
        println!(
            "rounds {} {n:>4} {:>8.1} {:>8.1} {:>6.2} {:>10.0}",
            name(eager),
            compared.yardstick_ns,
            compared.subject_ns,
            compared.ratio,
            1e9 / compared.subject_ns
        );
    }
}
