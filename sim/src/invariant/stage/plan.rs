//! The plan of the stage.

use std::{sync::Arc, time::Duration};

use super::{MEMBERS, Stage};
use crate::{
    protocols::Protocol,
    scenario::plan::{
        ColdChain, ComparePlan, Consensus, Expect, FleetPlan, GatewayPlan, HostPlan, Machine,
        Matrix, MemberPlan, MempoolPlan, NetworkPlan, Pace, PartyPlan, Plan, RelayPlan, SyncPlan,
        Transport,
    },
};

/// Four members, two packages, nothing broken.
pub(super) fn plan(protocol: Arc<dyn Protocol>) -> Plan {
    let ms = Duration::from_millis;
    let member = |name: &&str| MemberPlan {
        name: (*name).to_owned(),
        region: "West Europe".to_owned(),
        validators: 1,
    };
    let party = |(number, name): (usize, &&str)| PartyPlan {
        name: (*name).to_owned(),
        via: number.min(MEMBERS.len() - 1),
        may_write: number < MEMBERS.len(),
    };
    let names = MEMBERS.iter().chain(&["Auditor"]);
    Plan {
        name: "stage".to_owned(),
        title: "a stage for tests".to_owned(),
        path: "stage.toml".into(),
        overrides: Vec::new(),
        seed: 1,
        duration: ms(60_000),
        warm_up: ms(0),
        drain: ms(10_000),
        consensus: Consensus {
            protocol,
            batch_transactions: 1,
            batch_bytes: 1 << 20,
            batch_age: ms(0),
            clock_tolerance: ms(500),
            mutant: None,
        },
        mempool: MempoolPlan {
            capacity: 1000,
            relay: RelayPlan::Protocol,
            relay_timeout: ms(1000),
        },
        sync: SyncPlan {
            snapshot_above: None,
        },
        gateway: GatewayPlan {
            retry_after: ms(1000),
            window: 256,
            reply_quorum: None,
        },
        members: MEMBERS.iter().map(member).collect(),
        parties: names.enumerate().map(party).collect(),
        network: network(),
        machine: machine(),
        clock_skew: ms(0),
        cold_chain: ColdChain {
            owner: 0,
            observer: Stage::READER as usize,
            min_temperature_dc: 20,
            max_temperature_dc: 80,
            min_humidity_dpct: 400,
            max_humidity_dpct: 900,
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

fn network() -> NetworkPlan {
    NetworkPlan {
        matrix: Matrix::Uniform(Duration::from_millis(1)),
        local_latency: Duration::from_millis(1),
        jitter_p95: Duration::ZERO,
        loss_ppm: 0,
        duplicate_ppm: 0,
        transport: Transport::InOrder,
        bandwidth_bits: None,
        overhead_bytes: 0,
    }
}

fn machine() -> Machine {
    Machine {
        name: "none".to_owned(),
        cores: 1,
        sign_ns: 0,
        check_ns: 0,
        hash_kb_ns: 0,
        execute_ns: 0,
        message_ns: 0,
        fsync: Duration::ZERO,
    }
}

fn fleet() -> FleetPlan {
    FleetPlan {
        packages: 2,
        start_spread: Duration::ZERO,
        pace: Pace::ClosedLoop,
        accuracy_mc: 0,
        accuracy_mpct: 0,
        thermal_time_constant: Duration::from_secs(1),
        legs: Vec::new(),
        golden: None,
    }
}
