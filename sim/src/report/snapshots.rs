//! Whole screens, as people see them.

use std::collections::BTreeMap;

use super::*;
use crate::metrics::{
    Summary, VerdictRow, Warning, aggregate,
    latency::Percentiles,
    load::{Resource, Utilisation},
    shared_ledger::{LedgerRow, SharedLedger, Terms},
    summary::{
        Buffer, CheatRow, Excursion, ExcursionTotals, FaultRow, RestartRow, SCHEMA_VERSION,
        VerdictKind, VerdictStatus,
    },
};

const MEMBERS: [&str; 4] = [
    "Milk Producer",
    "Food Processing Company",
    "Carrier 2",
    "Store",
];

/// A milk run in which everything went well.
#[expect(
    clippy::too_many_lines,
    reason = "one line for each field of a flat struct"
)]
fn milk() -> Summary {
    Summary {
        schema_version: SCHEMA_VERSION,
        scenario: "milk".into(),
        title: "A day of milk from the farm to the store.".into(),
        path: "scenarios/milk.toml".into(),
        overrides: Vec::new(),
        seed: 7,
        protocol: "pbft".into(),
        parameters: "K=128 L=256 pipeline 8  request timeout 2 s  view change timeout 4 s".into(),
        claims: "bears any 1 of 4 that lie; final at 2 equal receipts (f+1)".into(),
        validators: 4,
        faulty: 1,
        quorum: 3,
        regions: 4,
        duration_ms: 86_400_000,
        warm_up_ms: 600_000,
        ended_ms: 86_460_000,
        verdicts: vec![
            verdict("agreement", VerdictKind::Safety, VerdictStatus::Holds, ""),
            verdict("validity", VerdictKind::Safety, VerdictStatus::Holds, ""),
            verdict("progress", VerdictKind::Liveness, VerdictStatus::Holds, ""),
        ],
        expected_violations: Vec::new(),
        exit_code: 0,
        trace: "9f3c00112233e1e1".into(),
        outcome: "77a0ffeeddccbbaa99887766".into(),
        shared_ledger: Some(shared_ledger()),
        shared_ledger_from: Some("Carrier 2".into()),
        same_root_validators: 4,
        golden_excursion: Some(excursion()),
        excursions: ExcursionTotals {
            packages_out: 9,
            packages_flagged: 8,
            packages_both: 8,
            blamed_rightly: 7,
        },
        submitted: 58_244,
        ok: 58_017,
        reverted: 214,
        rejected: 13,
        lost: 0,
        pending: 0,
        rejected_reasons: BTreeMap::from([("signature".into(), 10), ("sequence".into(), 3)]),
        lost_reasons: BTreeMap::new(),
        attempts: 58_300,
        cheat_attempts: 14,
        censored: 0,
        goodput_per_s: 0.672,
        due_to_sent: percentiles([0, 0, 0, 12_000, 20_000]),
        sent_to_included: percentiles([180_000, 230_000, 370_000, 4_200_000, 4_700_000]),
        sent_to_final: percentiles([212_000, 260_000, 410_000, 4_300_000, 4_810_000]),
        due_to_final: percentiles([214_000, 265_000, 420_000, 4_310_000, 4_820_000]),
        link_down_due_to_final: Percentiles {
            count: 2400,
            ..percentiles([
                1_800_000_000,
                3_200_000_000,
                3_560_000_000,
                3_600_000_000,
                3_601_000_000,
            ])
        },
        messages_per_reading: 31.2,
        bytes_per_reading: 9804.0,
        signatures_per_reading: 22.4,
        checks_per_reading: 61.0,
        storage_bytes_per_year: vec![41_000_000_000; 4],
        busiest: Some(busiest()),
        changes: Vec::new(),
        faults: faults(),
        usual_stall_ms: 400,
        cheats: cheats(),
        schedules: Vec::new(),
        reorganisations: 0,
        deepest_reorganisation_blocks: 0,
        retracted_after_relied_blocks: 0,
        retracted: 0,
        invalidated: 0,
        any_region_may_fail: true,
        vital_regions: Vec::new(),
        warnings: vec![
            Warning::FarFromFull(busiest()),
            Warning::FewSeeds { seeds: 1 },
        ],
    }
}

fn percentiles(us: [u64; 5]) -> Percentiles {
    Percentiles {
        count: 55_617,
        p50_us: us[0],
        p90_us: us[1],
        p99_us: us[2],
        p999_us: us[3],
        max_us: us[4],
    }
}

fn verdict(name: &str, kind: VerdictKind, status: VerdictStatus, detail: &str) -> VerdictRow {
    VerdictRow {
        name: name.into(),
        kind,
        status,
        checked: 1000,
        detail: vec![detail.to_owned()],
        culprits: Vec::new(),
    }
}

fn shared_ledger() -> SharedLedger {
    let terms = Terms {
        min_humidity_dpct: 0,
        max_humidity_dpct: 800,
        min_temperature_dc: 10,
        max_temperature_dc: 100,
    };
    let row =
        |(stage, custodian, temperature_dc, humidity_dpct): (&str, &str, i64, i64)| LedgerRow {
            stage: stage.into(),
            temperature_dc,
            humidity_dpct,
            custodian: custodian.into(),
            height: 5,
            compliance: terms.judge(temperature_dc, humidity_dpct),
        };
    SharedLedger {
        package: "GOLD-1".into(),
        terms,
        rows: [
            ("Origin", MEMBERS[0], 80, 600),
            ("Warehouse", MEMBERS[1], 90, 640),
            ("Carrier 2", MEMBERS[2], 90, 640),
            ("Store", MEMBERS[3], 110, 660),
        ]
        .map(row)
        .to_vec(),
    }
}

fn excursion() -> Excursion {
    Excursion {
        truth_ms: Some(64_560_000),
        reading_due_ms: 64_800_000,
        known_ms: MEMBERS
            .iter()
            .map(|name| ((*name).to_owned(), Some(64_800_900)))
            .collect(),
        blamed: "Store".into(),
        ground_truth: Some("Store".into()),
    }
}

fn busiest() -> Utilisation {
    Utilisation {
        node: "Store's validator".into(),
        resource: Resource::SerialStage,
        busy_percent: 1.23,
    }
}

fn faults() -> Vec<FaultRow> {
    let fault = |label: &str, at_ms, until_ms, outage_ms| FaultRow {
        label: label.into(),
        at_ms,
        until_ms,
        outage_ms: Some(outage_ms),
        recovery_ms: None,
        views: (0, 0),
        lost: 0,
        buffer: None,
        restarts: Vec::new(),
        survived: true,
    };
    vec![
        FaultRow {
            views: (0, 1),
            restarts: vec![RestartRow {
                member: "Milk Producer".into(),
                disk: "torn".into(),
                down_ms: 1_800_000,
                catch_up_ms: Some(1234),
                blocks_lost: 1,
                blocks_fetched: 1800,
            }],
            ..fault(
                "primary crash (Milk Producer)",
                32_400_000,
                Some(34_200_000),
                4200,
            )
        },
        FaultRow {
            buffer: Some(Buffer {
                waited: 2400,
                drained_ms: 3100,
                unfinished: 0,
                repeated: 0,
            }),
            ..fault(
                "Milk Producer gateway offline",
                46_800_000,
                Some(50_400_000),
                380,
            )
        },
    ]
}

fn cheats() -> Vec<CheatRow> {
    let cheat = |label: &str, at_ms, end: &str| CheatRow {
        label: label.into(),
        at_ms,
        acted: 1,
        end: end.into(),
        stopped: true,
    };
    vec![
        cheat(
            "Store forges a reading",
            54_000_000,
            "rejected 10 (signature)",
        ),
        cheat(
            "Store replays a reading",
            57_600_000,
            "rejected 3 (sequence), executed once",
        ),
        cheat(
            "Carrier 2 leads and equivocates",
            61_200_000,
            "no fork, view 1 -> 2, +4 s, named by Food Processing Company, Milk Producer, Store",
        ),
        cheat(
            "Store rewrites 11 to 9",
            68_400_000,
            "audit of Store's copy: block 512 holds a reading whose signature is not the sensor's",
        ),
    ]
}

#[test]
fn a_good_run_fits_one_screen() {
    insta::assert_snapshot!(render(&milk()), @r#"
    MILK  pbft  4 validators (f=1, q=3)  4 regions  24 h  seed 7
                A day of milk from the farm to the store.
    VERDICT     SAFE  LIVE  3/3 invariants  2/2 faults survived  4/4 cheats stopped
    CLAIMS      bears any 1 of 4 that lie; final at 2 equal receipts (f+1)
    PARAMETERS  K=128 L=256 pipeline 8  request timeout 2 s  view change timeout 4 s

    SHARED LEDGER  GOLD-1, from Carrier 2's ledger; same root on 4/4
     stage      temp  humid  custodian                terms 1..10 °C, 0..80 %
     Origin      8°C    60%  Milk Producer            ok
     Warehouse   9°C    64%  Food Processing Company  ok
     Carrier 2   9°C    64%  Carrier 2                ok
     Store      11°C    66%  Store                    OUT OF COMPLIANCE: 11 > 10
     who knew   all members knew 900 ms after the reading was due, 4.0 min after it was so; blamed:
                Store; ground truth: Store

    SUBMITTED   58,244 = 58,017 ok + 214 reverted + 13 rejected + 0 lost + 0 pending
                rejected: sequence 3, signature 10
                goodput 0.67 ok/s; 58,300 attempts; cheats submitted 14
    PACKAGES    9 out of range in truth, 8 by contract, 8 in both; 7 of these blame the right one

    LATENCY ms          p50   p90   p99  p99.9    max   count
     due  -> sent      0.00  0.00  0.00   12.0   20.0  55,617
     sent -> included   180   230   370  4,200  4,700  55,617
     sent -> final      212   260   410  4,300  4,810  55,617
     due  -> final      214   265   420  4,310  4,820  55,617
     link down  2,400 apart that waited for their gateway: due -> final p50 30 min, p99 59.3 min, max
                60.0 min

    PER READING 31 messages  9.8 kB  22 signatures made, 61 checked
    STORAGE     41 GB a year and member
    LOAD        busiest: Store's validator, serial stage 1.2 %

    FAULTS      longest stall before anything happened: 400 ms
     09:00:00  primary crash (Milk Producer)  30 min  outage 4.2 s, view 0 -> 1, current 1.2 s after
                                                      its restart with 1,800 blocks fetched, lost 0
     13:00:00  Milk Producer gateway offline  1 h     no outage, 2,400 buffered, drained 3.1 s, each
                                                      once, lost 0

    CHEATS
     15:00:00  Store forges a reading           rejected 10 (signature)
     16:00:00  Store replays a reading          rejected 3 (sequence), executed once
     17:00:00  Carrier 2 leads and equivocates  no fork, view 1 -> 2, +4 s, named by Food Processing
                                                Company, Milk Producer, Store
     19:00:00  Store rewrites 11 to 9           audit of Store's copy: block 512 holds a reading whose
                                                signature is not the sensor's

    INVARIANTS  3 of 3 hold, 3,000 checks
    ANY ONE REGION MAY FAIL: yes
    WARNING     Store's validator was busiest (serial stage 1 %): this says nothing about the limit; try
                more packages or a shorter interval
    WARNING     1 seed: another may differ; try --seeds 5

    trace 9f3c00112233e1e1  outcome 77a0ffeeddccbbaa  exit code 0
    reproduce: cargo run -- scenario scenarios/milk.toml --seed 7
    next:      cargo run -- scenario scenarios/milk.toml --set consensus.protocol=clique
    "#);
}

/// A run in which two colluders forked the chain.
fn forked() -> Summary {
    let mut run = milk();
    run.verdicts[0] = VerdictRow {
        culprits: vec!["Carrier 2".into(), "Store".into()],
        detail: vec![
            "at 23.481 s: height 118, members \"Warehouse\" and \"Store\" committed different blocks".into(),
            "Carrier 2 and Store each signed two COMMITs of view 3, sequence number 118".into(),
        ],
        ..verdict("agreement", VerdictKind::Safety, VerdictStatus::Violated, "")
    };
    run.verdicts[2] = verdict(
        "progress",
        VerdictKind::Liveness,
        VerdictStatus::NotClaimed,
        "two of four lie, and f = 1",
    );
    run.exit_code = 3;
    run.shared_ledger = None;
    run.golden_excursion = None;
    run.cheats = vec![CheatRow {
        label: "Carrier 2 and Store collude".into(),
        at_ms: 20_000,
        acted: 3,
        end: "FORK, named by Milk Producer".into(),
        stopped: false,
    }];
    run.faults = Vec::new();
    run.any_region_may_fail = false;
    run.vital_regions = vec!["westeurope".into()];
    run.lost = 3;
    run.ok -= 3;
    run.lost_reasons = BTreeMap::from([("called final, but on no honest chain".into(), 3)]);
    run.reorganisations = 2;
    run.deepest_reorganisation_blocks = 4;
    run.retracted = 12;
    run.retracted_after_relied_blocks = 1;
    run.censored = 1;
    run.warnings = vec![Warning::Censored { count: 1 }];
    run
}

#[test]
fn a_violation_is_told_first_with_its_evidence() {
    insta::assert_snapshot!(render(&forked()), @r#"
    MILK  pbft  4 validators (f=1, q=3)  4 regions  24 h  seed 7
                A day of milk from the farm to the store.
    VERDICT     UNSAFE  liveness not claimed  1/2 invariants  0/1 cheats stopped
    VIOLATED agreement at 23.481 s: height 118, members "Warehouse" and "Store" committed different blocks
    CLAIMS      bears any 1 of 4 that lie; final at 2 equal receipts (f+1)
    PARAMETERS  K=128 L=256 pipeline 8  request timeout 2 s  view change timeout 4 s

    SUBMITTED   58,244 = 58,014 ok + 214 reverted + 13 rejected + 3 lost + 0 pending
                rejected: sequence 3, signature 10
                lost: called final, but on no honest chain 3
                goodput 0.67 ok/s; 58,300 attempts; cheats submitted 14
    PACKAGES    9 out of range in truth, 8 by contract, 8 in both; 7 of these blame the right one

    LATENCY ms          p50   p90   p99  p99.9    max   count
     due  -> sent      0.00  0.00  0.00   12.0   20.0  55,617
     sent -> included   180   230   370  4,200  4,700  55,617
     sent -> final      212   260   410  4,300  4,810  55,617
     due  -> final      214   265   420  4,310  4,820  55,617
     link down  2,400 apart that waited for their gateway: due -> final p50 30 min, p99 59.3 min, max
                60.0 min
     censored   1 never finished and are in no row

    PER READING 31 messages  9.8 kB  22 signatures made, 61 checked
    STORAGE     41 GB a year and member
    LOAD        busiest: Store's validator, serial stage 1.2 %
    REORGANISED 2 times, deepest 4 blocks; 12 transactions taken back; 1 block after gateways relied on
                it

    CHEATS
     00:00:20  Carrier 2 and Store collude  NOT STOPPED: FORK, named by Milk Producer

    INVARIANTS  1 of 2 hold, 3,000 checks
     violated   agreement: at 23.481 s: height 118, members "Warehouse" and "Store" committed different
                blocks
                agreement: Carrier 2 and Store each signed two COMMITs of view 3, sequence number 118
                evidence names Carrier 2, Store
     unclaimed  progress: two of four lie, and f = 1
    ANY ONE REGION MAY FAIL: no, not westeurope
    WARNING     1 transaction of the measured cohort never finished: the tail is longer than it looks;
                try a longer drain

    trace 9f3c00112233e1e1  outcome 77a0ffeeddccbbaa  exit code 3
    reproduce: cargo run -- scenario scenarios/milk.toml --seed 7
    next:      cargo run -- scenario scenarios/milk.toml --set consensus.protocol=clique
    "#);
}

#[test]
fn several_seeds_show_medians_with_intervals() {
    let runs: Vec<Summary> = (1..=7)
        .map(|seed| Summary {
            seed,
            goodput_per_s: 0.6 + seed as f64 / 100.0,
            exit_code: if seed == 4 { 3 } else { 0 },
            ..milk()
        })
        .collect();
    let together = aggregate(&runs).expect("seven runs");
    insta::assert_snapshot!(render_seeds(&together), @r#"
    MILK  pbft  7 seeds  1 failed
     seed 4: exit code 3

     figure                           median             low            high  holds the median  runs
     goodput_per_s                      0.64            0.61            0.67            98.4 %     7
     ok                               58,017          58,017          58,017            98.4 %     7
     reverted                            214             214             214            98.4 %     7
     rejected                             13              13              13            98.4 %     7
     lost                                  0               0               0            98.4 %     7
     pending                               0               0               0            98.4 %     7
     retracted                             0               0               0            98.4 %     7
     messages_per_reading              31.20           31.20           31.20            98.4 %     7
     bytes_per_reading                 9,804           9,804           9,804            98.4 %     7
     signatures_per_reading            22.40           22.40           22.40            98.4 %     7
     storage_bytes_per_year   41,000,000,000  41,000,000,000  41,000,000,000            98.4 %     7
     outage_max_ms                     4,200           4,200           4,200            98.4 %     7
     sent_to_included_p50_ms             180             180             180            98.4 %     7
     sent_to_final_p50_ms                212             212             212            98.4 %     7
     sent_to_final_p99_ms                410             410             410            98.4 %     7
     due_to_final_p99_ms                 420             420             420            98.4 %     7
     due_to_final_max_ms               4,820           4,820           4,820            98.4 %     7
    "#);
}

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    let mut run = milk();
    run.title = "a very long title that goes on ".repeat(8);
    run.cheats[3].end = "finding ".repeat(40);
    let screen = render(&run);
    let wide: Vec<&str> = screen
        .lines()
        .filter(|line| line.chars().count() > 100)
        .collect();
    assert!(wide.is_empty(), "{wide:?}");
}

#[test]
fn json_comes_back_as_the_same_summary() {
    let run = milk();
    let text = json::render(&run);
    let back: Summary = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(back, run);
    assert!(text.ends_with("}\n"));
    assert!(text.contains("\"schema_version\": 1"));
}
