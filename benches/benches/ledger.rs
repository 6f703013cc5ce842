//! Execution of readings, nothing shared: `cargo bench -p consortium-benches --bench ledger`.
//!
//! A block of readings of many packages is executed on the state before it, state root and receipts root
//! included, as each member does when `host.execution` is "own".

use std::{hint::black_box, sync::Arc, time::Duration};

use consortium_benches::plans;
use consortium_node::{
    block::{Block, Header, Results},
    contracts::{
        ContractExecutor,
        refrigerated_transportation::{INGEST_TELEMETRY, TEMPLATE},
    },
    ledger::{Executor, state::State},
    transaction::{Call, ContractId, Transaction, Value},
    types::{Digest, Height, NodeId, Wall},
};
use consortium_sim::cast::Cast;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// As many as [`plans::rounds`] has.
const PACKAGES: usize = 20;

fn block(height: u64, transactions: Vec<Arc<Transaction>>) -> Arc<Block> {
    let header = Header {
        height: Height(height),
        parent: Digest::ZERO,
        transactions_root: Digest::ZERO,
        results: Results::default(),
        timestamp: Wall(height),
        proposer: NodeId(0),
        extra: Vec::new(),
    };
    Block::new(header, transactions)
}

/// A contract for each package.
fn terms(cast: &Cast) -> Vec<Arc<Transaction>> {
    let owner = cast.party(0);
    let create = |package| Call::Create {
        template: TEMPLATE.to_owned(),
        arguments: vec![
            Value::Party(cast.device(package)),
            Value::Party(owner),
            Value::Party(cast.party(1)),
            Value::Int(0),
            Value::Int(1000),
            Value::Int(0),
            Value::Int(200),
        ],
    };
    (0..PACKAGES)
        .map(|package| {
            let key = &cast.party_keys[owner.index()];
            Transaction::sign(key, owner, package as u64, create(package))
        })
        .collect()
}

fn readings(cast: &Cast, contracts: &[ContractId], count: usize) -> Vec<Arc<Transaction>> {
    (0..count)
        .map(|number| {
            let (package, nonce) = (number % PACKAGES, (number / PACKAGES) as u64);
            let call = Call::Invoke {
                contract: contracts[package],
                function: INGEST_TELEMETRY.to_owned(),
                arguments: vec![
                    Value::Int(600),
                    Value::Int(80),
                    Value::Int(nonce.cast_signed()),
                ],
            };
            let device = cast.device(package);
            Transaction::sign(&cast.party_keys[device.index()], device, nonce, call)
        })
        .collect()
}

fn ledger(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    let plan = plans::rounds(4, Duration::from_secs(1), false);
    let cast = Cast::new(&plan);
    let executor = ContractExecutor {
        registry: Arc::clone(&cast.registry),
    };
    let terms = terms(&cast);
    let contracts: Vec<_> = terms.iter().map(|tx| ContractId(tx.id())).collect();
    let created = executor.execute(&State::new(), &block(1, terms)).state;
    for count in [1_usize, 20, 200] {
        let block = block(2, readings(&cast, &contracts, count));
        let receipts = executor.execute(&created, &block).receipts;
        assert!(
            receipts.iter().all(|receipt| receipt.transition.is_some()),
            "a reading was refused"
        );
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("readings a block", count), |b| {
            b.iter(|| black_box(executor.execute(black_box(&created), black_box(&block))));
        });
    }
    group.finish();
}

criterion_group!(benches, ledger);
criterion_main!(benches);
