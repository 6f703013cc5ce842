//! Scenarios that are right: what they mean, what `--set` changes, and that nothing is lost on the way.

use std::{path::PathBuf, time::Duration};

use consortium_sim::{
    cli::Library,
    net::matrix,
    scenario::{
        INVARIANTS, Loaded, Source, Warning, load,
        plan::{
            ChangeKind, CheatKind, CrashPlan, DiskFate, FaultKind, Link, Matrix, Pace, Phase,
            REWRITES, Target,
        },
    },
    time::Time,
};

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"))
}

fn milk() -> Source {
    Source::read(&directory().join("milk.toml")).expect("milk.toml is there")
}

fn milk_with(overrides: &[&str]) -> Loaded {
    let overrides: Vec<_> = overrides.iter().map(|o| (*o).to_owned()).collect();
    load(&milk(), &overrides).unwrap_or_else(|problems| panic!("{problems}"))
}

fn hours(hours: u64) -> Time {
    Time::ZERO + Duration::from_hours(hours)
}

#[test]
fn every_scenario_loads_without_a_warning() {
    let listed = Library::of([directory()]).list();
    for path in listed.iter().map(|scenario| &scenario.path) {
        let source = Source::read(path).unwrap_or_else(|problems| panic!("{problems}"));
        // Builds without the feature `mutants` refuse planted bugs.
        let right = ["consensus.mutant=none".to_owned()];
        let loaded = load(&source, &right).unwrap_or_else(|problems| panic!("{problems}"));
        // More crash in these than the protocol bears, on purpose.
        let stopping = ["museum/m10-restarts.toml", "museum/m24-fixed.toml"];
        let may_stop = stopping.iter().any(|name| path.ends_with(name));
        assert!(
            loaded.warnings.is_empty() || may_stop,
            "{}: {:?}",
            path.display(),
            loaded.warnings
        );
        assert!(
            loaded.plan.title.len() > 10,
            "{} needs a title",
            path.display()
        );
    }
    assert!(listed.len() >= 12, "only {} scenarios", listed.len());
}

#[test]
fn the_milk_story_is_read_as_it_is_told() {
    let plan = milk_with(&[]).plan;
    assert_eq!((plan.name.as_str(), plan.seed), ("milk", 7));
    let names: Vec<_> = plan
        .parties
        .iter()
        .map(|party| party.name.as_str())
        .collect();
    let members = [
        "Milk Producer",
        "Food Processing Company",
        "Carrier 2",
        "Store",
        "Insurer",
    ];
    assert_eq!(names[..5], members);
    assert_eq!(names[5..], ["Carrier 1", "Food Safety Authority"]);
    assert_eq!(plan.parties[5].via, 1);
    assert!(plan.parties[5].may_write && !plan.parties[6].may_write);
    assert_eq!(plan.validators(), 5);
    assert_eq!(plan.fleet.pace, Pace::Every(Duration::from_mins(1)));
    let rows: Vec<_> = plan
        .fleet
        .legs
        .iter()
        .filter_map(|leg| leg.golden)
        .collect();
    assert_eq!(
        rows,
        [(80, 600), (80, 610), (90, 640), (90, 640), (110, 660)]
    );
    assert_eq!(
        (
            plan.cold_chain.min_temperature_dc,
            plan.cold_chain.max_temperature_dc
        ),
        (20, 100)
    );
    let faults: Vec<_> = plan
        .faults
        .iter()
        .map(|f| (f.at, f.until, f.kind.clone()))
        .collect();
    assert_eq!(
        faults,
        [
            (
                hours(6),
                Some(hours(6) + Duration::from_mins(20)),
                FaultKind::Crash(Target::Primary.into())
            ),
            (hours(13), Some(hours(14)), FaultKind::GatewayOffline(0)),
        ]
    );
    let cheats: Vec<_> = plan.cheats.iter().map(|cheat| cheat.kind.clone()).collect();
    let rewrite = CheatKind::RewritesCopy {
        member: 3,
        from_dc: 110,
        to_dc: 90,
    };
    let forged = CheatKind::ForgedReading(3);
    let replayed = CheatKind::ReplayedReading(2);
    assert_eq!(
        cheats,
        [CheatKind::EquivocatingPrimary(1), forged, replayed, rewrite]
    );
}

#[test]
fn faults_are_read_with_their_defaults() {
    let faults = "fault=[{kind='crash', target='all', at='1h', for='1m', stagger='5s', disk='rolled-back'}, \
                  {kind='crash', target='Store', at='2h', until='3h'}, \
                  {kind='link-cut', from='Store', to='Carrier 2', at='3h'}, \
                  {kind='link-loss', loss=0.25, at='4h', for='1h'}, \
                  {kind='link-loss', loss=0.125, from='Store', to='Carrier 2', ways='both', at='5h'}]";
    let plan = milk_with(&[faults]).plan;
    assert!(plan.has_restarts() && !milk_with(&["fault=[]"]).plan.has_restarts());
    let kinds: Vec<_> = plan.faults.into_iter().map(|fault| fault.kind).collect();
    let all = CrashPlan {
        target: Target::All,
        disk: DiskFate::RolledBack,
        stagger: Duration::from_secs(5),
    };
    let link = |both_ways| Link {
        from: 3,
        to: 2,
        both_ways,
    };
    assert_eq!(
        kinds,
        [
            FaultKind::Crash(all),
            FaultKind::Crash(Target::Member(3).into()),
            FaultKind::LinkCut(link(false)),
            FaultKind::LinkLoss {
                link: None,
                loss_ppm: 250_000
            },
            FaultKind::LinkLoss {
                link: Some(link(true)),
                loss_ppm: 125_000
            },
        ]
    );
}

#[test]
fn every_pair_of_members_has_a_latency() {
    let plan = milk_with(&[]).plan;
    for a in &plan.members {
        for b in &plan.members {
            let latency = matrix::between(&plan.network, &a.region, &b.region);
            let same = a.region == b.region;
            assert_eq!(
                latency == Some(plan.network.local_latency),
                same,
                "{latency:?}"
            );
        }
    }
}

#[test]
fn the_effective_scenario_loads_to_the_same_plan() {
    let sets: [&[&str]; 3] = [
        &[],
        &["network.matrix=uniform", "machine.sign=1ms", "seed=0"],
        &[
            "golden.name=\"A \\\"quoted\\\" [name] # 1\"",
            "network.loss=0.000001",
        ],
    ];
    for overrides in sets {
        let mut first = milk_with(overrides);
        // What was laid over is part of the text now.
        first.plan.overrides.clear();
        let again = load(&Source::new(milk().path, first.effective.clone()), &[])
            .unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(format!("{:?}", first.plan), format!("{:?}", again.plan));
        assert_eq!(first.effective, again.effective);
    }
}

#[test]
fn an_override_takes_toml_or_a_bare_string() {
    let plan = milk_with(&[
        "consensus.protocol=clique",
        "consensus.clique.period=\"1s\"",
        "seed = 41",
        "network.loss=0.25",
        "fault=[]",
        "expect.violations=[\"agreement\"]",
    ])
    .plan;
    let protocol = &plan.consensus.protocol;
    assert_eq!(
        (protocol.name(), &*protocol.in_words()),
        ("clique", "period 1 s  k=3")
    );
    assert_eq!((plan.seed, plan.network.loss_ppm), (41, 250_000));
    assert!(plan.faults.is_empty());
    assert_eq!(plan.expect.violations, ["agreement"]);
}

#[test]
fn an_override_finds_elements_by_number_and_by_name() {
    let plan = milk_with(&[
        "fault.0.at=2h",
        "member.Store.region=UK South",
        "leg.Carrier 2.duration=3h",
        "party.\"Carrier 1\".via=Store",
        "leg.0.golden.temperature_c=7.5",
    ])
    .plan;
    assert_eq!(plan.faults[0].at, hours(2));
    assert_eq!(plan.members[3].region, "UK South");
    assert_eq!(plan.fleet.legs[3].duration, Duration::from_hours(3));
    assert_eq!(plan.parties[5].via, 3);
    assert_eq!(plan.fleet.legs[0].golden, Some((75, 600)));
}

#[test]
fn the_last_of_two_overrides_wins() {
    assert_eq!(milk_with(&["seed=1", "seed=2"]).plan.seed, 2);
}

#[test]
fn a_uniform_matrix_takes_any_region_and_the_same_latency_everywhere() {
    let sets = [
        "network.matrix=uniform",
        "network.latency=5ms",
        "member.0.region=the moon",
    ];
    let plan = milk_with(&sets).plan;
    let latency = Duration::from_millis(5);
    assert_eq!(plan.network.matrix, Matrix::Uniform(latency));
    for to in ["the moon", "West Europe"] {
        assert_eq!(
            matrix::between(&plan.network, "the moon", to),
            Some(latency)
        );
    }
}

#[test]
fn the_machine_profile_gives_what_the_scenario_does_not() {
    let machine = milk_with(&["machine.profile=zero", "machine.check=31us"])
        .plan
        .machine;
    assert_eq!((machine.sign_ns, machine.check_ns), (0, 31_000));
    let machine = milk_with(&[]).plan.machine;
    assert_eq!(
        (machine.sign_ns, machine.check_ns, machine.hash_kb_ns),
        (15_000, 31_000, 800)
    );
}

#[test]
fn more_faults_than_the_protocol_bears_are_a_warning() {
    let crash = "fault=[{kind='crash', target='Store', at='9h', for='1h'}]";
    let warnings = milk_with(&[crash]).warnings;
    let expected = Warning::TooManyFaulty {
        protocol: "pbft",
        at: hours(9),
        faulty: 2,
        bears: 1,
        validators: 5,
    };
    assert_eq!(warnings, [expected]);
    assert!(
        milk_with(&[crash, "expect.violations=['bounded-liveness']"])
            .warnings
            .is_empty()
    );

    let colluders = "cheat=[{kind='colluders', members=['Milk Producer', 'Store'], at='1h'}]";
    let warnings = milk_with(&[colluders, "fault=[]"]).warnings;
    assert!(matches!(
        warnings[0],
        Warning::TooManyLiars {
            liars: 2,
            bears: 1,
            ..
        }
    ));
}

#[test]
fn a_committee_that_cannot_change_is_a_warning() {
    let stays = |protocol| [Warning::CommitteeStays { protocol }];
    for protocol in ["clique", "central", "execute-order-validate"] {
        let set = format!("consensus.protocol={protocol}");
        let loaded = load(&milk(), &[set]).expect("it is well-formed");
        assert!(loaded.plan.changes.is_empty());
        assert!(loaded.warnings.ends_with(&stays(protocol)), "{protocol}");
    }
    let loaded = load(&milk(), &[]).expect("it is well-formed");
    let changes = loaded.plan.changes.iter();
    let changes: Vec<_> = changes.map(|c| (c.at, c.member, c.kind)).collect();
    assert_eq!(changes, [(hours(12), 4, ChangeKind::Joins)]);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn what_has_no_effect_is_a_warning() {
    assert_eq!(
        milk_with(&["network.duplicates=0.1"]).warnings,
        [Warning::DuplicatesWithoutEffect]
    );
    let datagrams = milk_with(&["network.duplicates=0.1", "network.transport=datagram"]);
    assert!(datagrams.warnings.is_empty());
    let missing = Duration::from_hours(1);
    let longer = milk_with(&["leg.Store.duration=7h"]);
    assert_eq!(longer.warnings, [Warning::GoldenOnItsWay { missing }]);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let unix = milk_with(&[]);
    let text = String::from_utf8(milk().bytes).expect("milk.toml is UTF-8");
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let loaded = load(&Source::new(milk().path, windows), &[]).expect("it loads");
    assert_eq!(format!("{:?}", loaded.plan), format!("{:?}", unix.plan));
}

#[test]
fn the_documentation_names_every_key_with_a_default_and_every_invariant() {
    let docs = include_str!("../docs/scenarios.md");
    let defaults: toml::Table = include_str!("../data/defaults.toml")
        .parse()
        .expect("the defaults are TOML");
    let mut tables = vec![&defaults];
    while let Some(table) = tables.pop() {
        for (key, value) in table {
            let item = value.get(0).and_then(toml::Value::as_table);
            match value.as_table().or(item) {
                Some(inner) => tables.push(inner),
                None => assert!(
                    docs.contains(&format!("`{key}`")) || docs.contains(&format!(".{key}`")),
                    "{key} is not documented"
                ),
            }
        }
    }
    for (change, _) in REWRITES {
        let quoted = format!("`\"{change}\"`");
        assert!(docs.contains(&quoted), "{change} is not documented");
    }
    for (phase, _) in Phase::ALL {
        let quoted = format!("`\"{phase}\"`");
        assert!(docs.contains(&quoted), "{phase} is not documented");
    }
    for name in INVARIANTS {
        assert!(
            docs.contains(&format!("`{name}`")),
            "{name} is not documented"
        );
    }
}
