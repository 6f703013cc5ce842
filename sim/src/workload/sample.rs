//! A small milk run for the tests of this module.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    protocols::PbftPlan,
    scenario::plan::{
        ColdChain, ComparePlan, Consensus, Expect, FleetPlan, GatewayPlan, HostPlan, LegPlan,
        Machine, Matrix, MemberPlan, MempoolPlan, NetworkPlan, Pace, PartyPlan, Plan, RelayPlan,
        SyncPlan, Transport,
    },
};

/// The parties of [`plan`] in their order.
pub(crate) const PRODUCER: usize = 0;
pub(crate) const PROCESSOR: usize = 1;
pub(crate) const CARRIER_2: usize = 2;
pub(crate) const STORE: usize = 3;
pub(crate) const CARRIER_1: usize = 4;
pub(crate) const AUTHORITY: usize = 5;

const HOUR: Duration = Duration::from_hours(1);

/// Four members with a validator each, four legs of an hour, a golden package and three others that
/// report every ten minutes for five hours.
pub(crate) fn plan() -> Plan {
    let (members, parties) = people();
    Plan {
        name: "sample".into(),
        title: "A small milk run".into(),
        path: PathBuf::new(),
        overrides: Vec::new(),
        seed: 7,
        duration: HOUR * 5,
        warm_up: Duration::ZERO,
        drain: Duration::from_mins(1),
        consensus: consensus(),
        mempool: MempoolPlan {
            capacity: 10_000,
            relay: RelayPlan::Protocol,
            relay_timeout: Duration::from_secs(2),
        },
        sync: SyncPlan {
            snapshot_above: None,
        },
        gateway: GatewayPlan {
            retry_after: Duration::from_secs(2),
            window: 256,
            reply_quorum: None,
        },
        members,
        parties,
        network: network(),
        clock_skew: Duration::ZERO,
        machine: Machine {
            name: "sample".into(),
            cores: 2,
            sign_ns: 15_000,
            check_ns: 31_000,
            hash_kb_ns: 800,
            execute_ns: 5_000,
            message_ns: 1_000,
            fsync: Duration::from_millis(1),
        },
        cold_chain: ColdChain {
            owner: PRODUCER,
            observer: AUTHORITY,
            min_temperature_dc: 0,
            max_temperature_dc: 100,
            min_humidity_dpct: 0,
            max_humidity_dpct: 800,
        },
        fleet: fleet(),
        load: None,
        changes: Vec::new(),
        faults: Vec::new(),
        cheats: Vec::new(),
        schedules: Vec::new(),
        expect: Expect::default(),
        compare: ComparePlan::default(),
        host: HostPlan {
            eager_signatures: false,
            eager_wire: false,
            shared_execution: true,
        },
    }
}

fn people() -> (Vec<MemberPlan>, Vec<PartyPlan>) {
    let names = ["Milk Producer", "Food Processing", "Carrier 2", "Store"];
    let members = names.map(|name| MemberPlan {
        name: name.into(),
        region: "anywhere".into(),
        validators: 1,
    });
    let party = |name: &str, via, may_write| PartyPlan {
        name: name.into(),
        via,
        may_write,
    };
    let mut parties: Vec<PartyPlan> = (0..names.len())
        .map(|via| party(names[via], via, true))
        .collect();
    parties.push(party("Carrier 1", PROCESSOR, true));
    parties.push(party("Food Safety Authority", STORE, false));
    (members.into(), parties)
}

fn consensus() -> Consensus {
    Consensus {
        protocol: Arc::new(PbftPlan {
            checkpoint_interval: 128,
            window: 256,
            pipeline: 8,
            request_timeout: Duration::from_secs(2),
            request_deadline: Duration::from_secs(20),
            view_change_timeout: Duration::from_secs(2),
            status_interval: Duration::from_millis(500),
        }),
        batch_transactions: 100,
        batch_bytes: 1 << 20,
        batch_age: Duration::from_millis(50),
        clock_tolerance: Duration::from_millis(500),
        mutant: None,
    }
}

fn network() -> NetworkPlan {
    NetworkPlan {
        matrix: Matrix::Uniform(Duration::from_millis(10)),
        local_latency: Duration::from_millis(1),
        jitter_p95: Duration::ZERO,
        loss_ppm: 0,
        duplicate_ppm: 0,
        transport: Transport::InOrder,
        bandwidth_bits: None,
        overhead_bytes: 0,
    }
}

fn fleet() -> FleetPlan {
    let leg = |stage: &str, custodian, ambient_mc, golden| LegPlan {
        stage: stage.into(),
        custodian,
        duration: HOUR,
        ambient_mc,
        ambient_spread_mc: 1_000,
        humidity_mpct: 62_000,
        golden,
    };
    FleetPlan {
        packages: 3,
        start_spread: Duration::from_mins(30),
        pace: Pace::Every(Duration::from_mins(10)),
        accuracy_mc: 500,
        accuracy_mpct: 2_000,
        thermal_time_constant: Duration::from_mins(30),
        legs: vec![
            leg("Origin", PRODUCER, 6_000, Some((80, 600))),
            leg("Carrier 1", CARRIER_1, 7_000, None),
            leg("Carrier 2", CARRIER_2, 7_000, Some((90, 640))),
            leg("Store", STORE, 9_500, Some((110, 660))),
        ],
        golden: Some("GOLD-1".into()),
    }
}
