//! What real signatures and hashes cost: `cargo bench -p consortium-benches --bench crypto`.
//!
//! The medians are the machine profile "reference" of `sim/data/machines.toml`. A vote stands for every
//! small message; "handle" decodes a signed vote from its 125 bytes, which is what a node does with a
//! message besides checking it.

use std::{hint::black_box, time::Duration};

use consortium_node::{
    codec,
    crypto::{Keypair, SignatureMode, Signed},
    quorum::{Phase, Vote},
    types::{ChainId, Digest, NodeId, Seq, View},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sha2::{Digest as _, Sha256};

const CHAIN: ChainId = ChainId(1);

fn crypto(c: &mut Criterion) {
    let mut group = c.benchmark_group("crypto");
    group
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    let key = Keypair::from_seed([7; 32], CHAIN, SignatureMode::Eager);
    let vote = Vote {
        phase: Phase(1),
        view: View(3),
        slot: Seq(99),
        digest: Digest([5; 32]),
    };
    group.bench_function("sign", |b| {
        b.iter(|| black_box(key.sign(NodeId(1), black_box(vote))));
    });
    let signed = key.sign(NodeId(1), vote);
    let public = key.public();
    group.bench_function("verify strict", |b| {
        b.iter(|| assert!(black_box(&signed).verify(CHAIN, &public)));
    });
    let bytes = codec::encode(&signed);
    group.bench_function("handle", |b| {
        b.iter(|| codec::decode::<Signed<Vote>>(black_box(&bytes)).expect("well-formed"));
    });
    for len in [256_usize, 1024] {
        let text = vec![9; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("SHA-256 of {len} B"), |b| {
            b.iter(|| black_box(Sha256::digest(black_box(&text))));
        });
    }
    group.finish();
}

criterion_group!(benches, crypto);
criterion_main!(benches);
