//! The same seed gives the same run: bit for bit in the trace, which covers every packet and every fact
//! with its time, whatever the host does. Another seed, or other weather, gives another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use consortium_node::{
    block::Block,
    central::Central,
    codec::CodecError,
    contracts::ContractExecutor,
    ledger::{Ledger, State},
    mempool::BatchLimits,
    node::{Action, Actions, Claims, Event, Node, NodeStatus, Packet},
    storage::LogRecord,
    types::{LocalTime, NodeId},
    validator::{self, Identity, Validator},
};
use consortium_sim::{
    cast::Cast,
    fact::{Fact, Reader},
    run::{self, Played},
    scenario::plan::Plan,
    time::Time,
    world::{World, pump},
};

mod harness;

/// A crash, a partition, a cut link, a gateway off line, an equivocating primary, bad readings; loss,
/// duplicates, jitter and skewed clocks throughout.
const EVENTFUL: &str = include_str!("data/eventful.toml");
const PROTOCOLS: [&str; 4] = ["pbft", "clique", "central", "execute-order-validate"];

/// What must be equal when runs are.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Fingerprint {
    trace: String,
    outcome: String,
}

fn play(plan: &Arc<Plan>) -> Played {
    run::play(plan, 1, Arc::default()).unwrap_or_else(|breakdown| panic!("{breakdown}"))
}

fn of(played: &Played) -> Fingerprint {
    let summary = &played.measured.summary;
    Fingerprint {
        trace: summary.trace.clone(),
        outcome: summary.outcome.clone(),
    }
}

fn fingerprint(overrides: &[&str]) -> Fingerprint {
    of(&play(&harness::plan(EVENTFUL, overrides)))
}

fn eventful(protocol: &str, more: &[&str]) -> Fingerprint {
    let protocol = format!("consensus.protocol={protocol}");
    let overrides: Vec<_> = [protocol.as_str()].iter().chain(more).copied().collect();
    fingerprint(&overrides)
}

#[test]
fn the_eventful_scenario_is_eventful() {
    let played = play(&harness::plan(EVENTFUL, &[]));
    let packets = &played.ending.packets;
    for kind in ["VIEW-CHANGE", "NEW-VIEW", "PRE-PREPARE", "RECEIPTS"] {
        assert!(packets[kind].messages > 0, "no {kind}: {packets:?}");
    }
    assert_eq!(played.ending.alive.iter().filter(|up| !**up).count(), 1);
    let heights: Vec<_> = played.ending.ledgers.iter().map(|l| l.height().0).collect();
    assert!(heights.iter().all(|height| *height > 10), "{heights:?}");
}

#[test]
fn one_seed_is_one_run() {
    for protocol in PROTOCOLS {
        assert_eq!(
            eventful(protocol, &[]),
            eventful(protocol, &[]),
            "{protocol}"
        );
    }
}

/// What the eventful scenario comes to, on every machine and in every profile. A change of what a run
/// does changes the trace, and a change of who decides what changes the outcome: when one was meant to,
/// put here what this test prints, `cargo test -p consortium-sim --test determinism golden`.
const GOLDEN: [(&str, &str, &str); 4] = [
    ("pbft", "4fc7ac2e6e975c1a", "872f6705d0a2a915"),
    ("clique", "43ff063bf7a6598d", "56cf29482524943f"),
    ("central", "a47558c9ec587043", "1cfc1ff2524c5413"),
    (
        "execute-order-validate",
        "a9935e1fa46b8623",
        "a1ad89ef616726c9",
    ),
];

#[test]
fn the_golden_fingerprints_are_those_of_every_machine() {
    let found = PROTOCOLS.map(|protocol| (protocol, eventful(protocol, &[])));
    let golden = GOLDEN.map(|(protocol, trace, outcome)| {
        let (trace, outcome) = (trace.to_owned(), outcome.to_owned());
        (protocol, Fingerprint { trace, outcome })
    });
    assert_eq!(found, golden);
}

#[test]
fn runs_beside_each_other_are_the_runs_that_they_are_alone() {
    let alone = PROTOCOLS.map(|protocol| eventful(protocol, &[]));
    let together: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = PROTOCOLS
            .iter()
            .chain(&PROTOCOLS)
            .map(|protocol| scope.spawn(|| eventful(protocol, &[])))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("it ends"))
            .collect()
    });
    assert_eq!(together[..4], alone);
    assert_eq!(together[4..], alone);
}

#[test]
fn nobody_notices_that_progress_is_watched() {
    let plan = harness::plan(EVENTFUL, &[]);
    let unwatched = of(&play(&plan));
    let (reached, over) = (Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
    let (watched, seen) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                let now = reached.load(Ordering::Relaxed);
                assert!(now >= seen, "virtual time went back");
                seen = now;
                thread::yield_now();
            }
            reached.load(Ordering::Relaxed)
        });
        let played = run::play(&plan, 1, Arc::clone(&reached));
        over.store(true, Ordering::Relaxed);
        let seen = watcher.join().expect("it only looks");
        (played.expect("it ends"), seen)
    });
    assert!(Time(seen) >= Time::ZERO + plan.duration);
    assert_eq!(of(&watched), unwatched);
}

#[test]
fn what_the_host_saves_itself_changes_nothing() {
    let paid_for = [
        "host.signatures=\"eager\"",
        "host.wire=\"eager\"",
        "host.execution=\"separate\"",
    ];
    for protocol in PROTOCOLS {
        let cheap = eventful(protocol, &[]);
        for dear in paid_for {
            assert_eq!(eventful(protocol, &[dear]), cheap, "{protocol}, {dear}");
        }
        assert_eq!(
            eventful(protocol, &paid_for),
            cheap,
            "{protocol}, all of it"
        );
    }
}

/// Four minutes with crashes that end, and most of what can become of a disk.
const RESTARTS: [&str; 3] = [
    "duration=\"4m\"",
    "cheat=[]",
    "fault=[\
     {kind='crash', target='primary', at='70s', for='11s'},\
     {kind='crash', target='Carrier 2', at='100s', for='10s', disk='kept'},\
     {kind='crash', target='Store', at='120s', for='5s', disk='rotten'},\
     {kind='crash', target='all', at='140s', for='5s', stagger='1s'},\
     {kind='link-loss', loss=0.2, at='170s', for='10s'},\
     {kind='crash', target='Store', at='200s', for='10s', disk='rolled-back'}]",
];

/// With eager wires, disks hold bytes and are read from them.
#[test]
fn disks_of_bytes_and_disks_of_records_start_the_same_machines_again() {
    for protocol in PROTOCOLS {
        let records = eventful(protocol, &RESTARTS);
        assert_eq!(eventful(protocol, &RESTARTS), records, "{protocol}");
        let bytes = [&RESTARTS[..], &["host.wire=\"eager\""]].concat();
        assert_eq!(eventful(protocol, &bytes), records, "{protocol}");
        let healthy = eventful(protocol, &[RESTARTS[0], RESTARTS[1], "fault=[]"]);
        assert_ne!(
            records.trace, healthy.trace,
            "{protocol}: something happened"
        );
    }
}

#[test]
fn what_is_left_on_a_disk_follows_from_the_seed_and_makes_a_difference() {
    let with = |disk: &str| {
        let fault =
            format!("fault=[{{kind='crash', target='Store', at='2m', for='10s', disk='{disk}'}}]");
        eventful("pbft", &[RESTARTS[0], RESTARTS[1], &fault]).trace
    };
    let traces = ["kept", "lost", "rolled-back"].map(with);
    assert_eq!(traces, ["kept", "lost", "rolled-back"].map(with));
    assert!(traces[0] != traces[1] && traces[1] != traces[2] && traces[0] != traces[2]);
}

#[test]
fn another_seed_is_another_run() {
    for protocol in PROTOCOLS {
        let (one, other) = (eventful(protocol, &[]), eventful(protocol, &["seed=24"]));
        assert_ne!(one.trace, other.trace, "{protocol}");
        assert_ne!(
            one.outcome, other.outcome,
            "{protocol}: keys follow the seed"
        );
    }
}

/// The negative control: a fingerprint that nothing changed would pass every test above.
#[test]
fn the_trace_notices_the_slightest_change() {
    let base = eventful("pbft", &[]);
    for change in [
        "network.jitter_p95=\"2.251ms\"",
        "network.loss=0.011",
        "network.duplicates=0.006",
        "network.overhead=\"75B\"",
        "machine.check=\"31.001us\"",
        "clock_skew=\"20.001ms\"",
        "fault.0.at=\"4m1ms\"",
        "cheat.1.at=\"390001ms\"",
        "fleet.temperature_accuracy_c=0.6",
        "duration=\"719999ms\"",
    ] {
        assert_ne!(eventful("pbft", &[change]).trace, base.trace, "{change}");
    }
}

/// How often any [`Restless`] node of this process was called: memory that outlives a run.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// A node that does what no node may: its timers depend on what ran in this process before.
struct Restless(Box<dyn Node>);

impl Node for Restless {
    fn id(&self) -> NodeId {
        self.0.id()
    }

    fn claims(&self) -> Claims {
        self.0.claims()
    }

    fn handle(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        self.0.handle(now, event, actions);
        for action in &mut actions.list {
            if let Action::Arm { after, .. } = action {
                *after += Duration::from_nanos(calls);
            }
        }
    }

    fn status(&self) -> NodeStatus {
        self.0.status()
    }

    fn ledger(&self) -> &Ledger {
        self.0.ledger()
    }

    fn decode(&self, bytes: &[u8]) -> Result<Packet, CodecError> {
        self.0.decode(bytes)
    }

    fn decode_record(&self, bytes: &[u8]) -> Result<LogRecord, CodecError> {
        self.0.decode_record(bytes)
    }
}

/// A database's validators, as they are or restless.
fn validators(cast: &Cast, restless: bool) -> Vec<Box<dyn Node>> {
    let validator = |id: NodeId| -> Box<dyn Node> {
        let (key, state) = (Arc::clone(&cast.node_keys[id.index()]), State::new());
        let genesis = Block::genesis(state.root());
        let (committee, registry) = (Arc::clone(&cast.committee), Arc::clone(&cast.registry));
        let executor = ContractExecutor {
            registry: Arc::clone(&registry),
        };
        let engine = Central::new(Arc::clone(&committee), id, Arc::clone(&key), &genesis);
        let me = Identity {
            id,
            key,
            registry,
            committee,
        };
        let config = validator::Config {
            batch: BatchLimits {
                count: 100,
                bytes: 100_000,
            },
            batch_age: Duration::from_millis(50),
            clock_tolerance: Duration::from_millis(500),
            results_lag: 1,
            mempool: 1000,
            relay: None,
            relay_timeout: Duration::from_secs(1),
            snapshot_above: u64::MAX,
        };
        let node = Validator::new(me, config, engine, state, Arc::new(executor));
        if restless {
            Box::new(Restless(Box::new(node)))
        } else {
            Box::new(node)
        }
    };
    cast.validators().map(validator).collect()
}

struct Nobody;

impl Reader for Nobody {
    fn read(&mut self, _: Time, _: &Fact) {}
}

fn trace_of_database(restless: bool) -> u64 {
    let plan = harness::plan(
        EVENTFUL,
        &[
            "consensus.protocol=central",
            "duration=\"3m\"",
            "fault=[]",
            "cheat=[]",
        ],
    );
    let cast = Arc::new(Cast::new(&plan));
    let played = pump::run_with(
        &plan,
        &cast,
        Nobody,
        Arc::default(),
        move |plan, cast, readers| World::hosting(plan, cast, validators(cast, restless), readers),
    );
    played.expect("it ends").0.trace
}

/// The other negative control: state that leaks from one run into the next is caught by running twice.
#[test]
fn a_node_that_remembers_earlier_runs_is_caught() {
    assert_eq!(trace_of_database(false), trace_of_database(false));
    assert_ne!(trace_of_database(true), trace_of_database(true));
}
