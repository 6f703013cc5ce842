//! Scenarios that are wrong: what the loader says about them.

use std::path::PathBuf;

use consortium_sim::scenario::{Source, load};

const MILK: &str = include_str!("../../scenarios/milk.toml");

fn problems_of(text: impl Into<Vec<u8>>, overrides: &[&str]) -> String {
    let overrides: Vec<_> = overrides.iter().map(|o| (*o).to_owned()).collect();
    match load(&Source::new("bad.toml", text), &overrides) {
        Err(problems) => problems.render(false),
        Ok(loaded) => panic!("this loads: {:?}", loaded.plan),
    }
}

/// milk.toml with every `from` replaced.
fn milk_but(from: &str, to: &str) -> String {
    assert!(MILK.contains(from), "milk.toml does not say {from:?}");
    MILK.replace(from, to)
}

fn milk_set(overrides: &[&str]) -> String {
    problems_of(MILK, overrides)
}

#[test]
fn a_misspelt_key_is_refused_with_the_nearest_one() {
    let text = milk_but("thermal_time_constant", "thermal_time_constnat");
    insta::assert_snapshot!(problems_of(text, &[]), @r#"
     × there is no key "thermal_time_constnat" in `fleet`
       ╭─[bad.toml:62:1]
    62 │ thermal_time_constnat = "2h"
       · ─────────────────────
       ╰────
     help: did you mean "thermal_time_constant"?
    "#);
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_text() {
    let text = milk_but("duration = \"24h\"", "duration = \"24 hours\"")
        .replace("protocol = \"pbft\"", "protocol = \"pfbt\"")
        .replace("region = \"West Europe\"", "region = \"West Evrope\"")
        .replace("custodian = \"Carrier 2\"", "custodian = \"Carier 2\"")
        .replace("from_temperature_c = 11", "from_temperature_c = 12");
    insta::assert_snapshot!(problems_of(text, &[]), @r#"
     × `duration` cannot be "24 hours"
      ╭─[bad.toml:7:12]
    7 │ duration = "24 hours"
      ·            ──────────
      ╰────
     help: the units are ns, us, ms, s, m, h, d

     × `consensus.protocol` knows no "pfbt"
       ╭─[bad.toml:11:12]
    11 │ protocol = "pfbt"
       ·            ──────
       ╰────
     help: did you mean "pbft"? It is one of: pbft, qbft, ibft, tendermint, hotstuff, raft, clique,
           central, execute-order-validate

     × the matrix has no region "West Evrope"
       ╭─[bad.toml:22:10]
    22 │ region = "West Evrope"
       ·          ─────────────
       ╰────
     help: did you mean "West Europe"?

     × there is no member or party "Carier 2"
        ╭─[bad.toml:100:13]
    100 │ custodian = "Carier 2"
        ·             ──────────
        ╰────
     help: did you mean "Carrier 2"?

     × the golden package never reads this temperature
        ╭─[bad.toml:154:22]
    154 │ from_temperature_c = 12
        ·                      ──
        ╰────
     help: it reads 8, 9, 11 on its way
    "#);
}

#[test]
fn wrong_types_are_named() {
    let text = milk_but("seed = 7", "seed = \"7\"")
        .replace("packages = 54", "packages = 54.0")
        .replace("at = \"9h\"", "at = 09:00");
    insta::assert_snapshot!(problems_of(text, &[]), @r#"
     × `seed` is a string, not an integer
      ╭─[bad.toml:6:8]
    6 │ seed = "7"
      ·        ───
      ╰────

     × `fleet.packages` is a decimal number, not an integer
       ╭─[bad.toml:57:12]
    57 │ packages = 54.0
       ·            ────
       ╰────

     × `cheat.0.at` is a date or time of day, not a string such as "250ms"
        ╭─[bad.toml:129:6]
    129 │ at = 09:00
        ·      ─────
        ╰────
    "#);
}

#[test]
fn a_syntax_error_shows_its_line() {
    let text = milk_but("seed = 7", "seed = seven\nseed = 8\n[fleet");
    insta::assert_snapshot!(problems_of(text, &[]), @r"
     × this is not a value: strings must be quoted
      ╭─[bad.toml:6:8]
    6 │ seed = seven
      ·        ─────
      ╰────

     × this key is given twice
      ╭─[bad.toml:7:1]
    7 │ seed = 8
      · ────
      ╰────

     × unclosed table, expected `]`
      ╭─[bad.toml:8:7]
    8 │ [fleet 
      ·       ▲
      ╰────
    ");
}

#[test]
fn missing_keys_point_to_their_table() {
    let text = milk_but("owner = \"Milk Producer\"\n", "").replace("packages = 54\n", "");
    insta::assert_snapshot!(problems_of(text, &[]), @r"
     × `cold_chain.owner` is missing
       ╭─[bad.toml:44:1]
    44 │ [cold_chain]
       · ────────────
       ╰────

     × `fleet.packages` is missing
       ╭─[bad.toml:55:1]
    55 │ [fleet]
       · ───────
       ╰────
    ");
}

#[test]
fn an_empty_scenario_lists_what_is_essential() {
    insta::assert_snapshot!(problems_of("", &[]), @r"
    × bad.toml: `duration` is missing

    × bad.toml: this network has no members
    help: add at least one [[member]] with a name and a region

    × bad.toml: `fleet.packages` is missing

    × bad.toml: packages go nowhere: there are no legs
    help: add at least one [[leg]] with a stage, a custodian and a duration

    × bad.toml: `cold_chain.owner` is missing

    × bad.toml: `cold_chain.observer` is missing

    × bad.toml: `cold_chain.min_temperature_c` is missing

    × bad.toml: `cold_chain.max_temperature_c` is missing
    ");
}

#[test]
fn an_override_is_blamed_by_its_own_text() {
    let overrides = [
        "network.losss=1",
        "fault.7.at=1h",
        "member.Stroe.region=x",
        "drain",
        "seed.x=1",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r#"
     × there is no key "losss" in `network`
      ╭─[--set:1:9]
    1 │ network.losss=1
      ·         ─────
      ╰────
     help: did you mean "loss"?

     × `fault` has no element "7"
      ╭─[--set:1:7]
    1 │ fault.7.at=1h
      ·       ─
      ╰────
     help: its elements are 0 to 1

     × `member` has no element "Stroe"
      ╭─[--set:1:8]
    1 │ member.Stroe.region=x
      ·        ─────
      ╰────
     help: did you mean "Store"?

     × this override has no `=`
      ╭─[--set:1:1]
    1 │ drain
      · ─────
      ╰────
     help: write --set path=value, for instance --set consensus.protocol=clique

     × "seed" is an integer: nothing is inside it
      ╭─[--set:1:1]
    1 │ seed.x=1
      · ────
      ╰────
    "#);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let overrides = [
        "network.loss=1.5",
        "network.duplicates=nan",
        "network.jitter_p95=1e400s",
        "seed=99999999999999999999",
        "drain=-5s",
        "cold_chain.max_temperature_c=10.05",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r#"
     × `network.loss` is out of range
      ╭─[--set:1:14]
    1 │ network.loss=1.5
      ·              ───
      ╰────
     help: the range is 0 to 1

     × `network.duplicates` is no usable number
      ╭─[--set:1:20]
    1 │ network.duplicates=nan
      ·                    ───
      ╰────
     help: write a plain decimal number

     × `network.jitter_p95` cannot be "1e400s"
      ╭─[--set:1:20]
    1 │ network.jitter_p95=1e400s
      ·                    ──────
      ╰────
     help: the units are ns, us, ms, s, m, h, d

     × `seed` is out of range
      ╭─[--set:1:6]
    1 │ seed=99999999999999999999
      ·      ────────────────────
      ╰────
     help: the range is 0 to 9223372036854775807

     × `drain` cannot be "-5s"
      ╭─[--set:1:7]
    1 │ drain=-5s
      ·       ───
      ╰────
     help: write a number and a unit: "250ms"

     × `cold_chain.max_temperature_c` is no usable number
      ╭─[--set:1:30]
    1 │ cold_chain.max_temperature_c=10.05
      ·                              ─────
      ╰────
     help: no more than 1 digits after the point
    "#);
}

#[test]
fn a_member_joins_while_it_is_out_and_leaves_while_it_is_in_and_somebody_stays() {
    let change = |kind: &str, member: &str, at: &str| {
        format!("{{kind='{kind}', member='{member}', at='{at}'}}")
    };
    let twice = [
        change("leaves", "Store", "2h"),
        change("leaves", "Store", "1h"),
    ];
    insta::assert_snapshot!(milk_set(&[&format!("change=[{}]", twice.join(", "))]), @r#"
     × "Store" has left by then
      ╭─[--set:1:15]
    1 │ change=[{kind='leaves', member='Store', at='2h'}, {kind='leaves', member='…
      ·               ────────
      ╰────
     help: it must join before it leaves again
    "#);
    let nobody = change("joins", "Stor", "25h");
    insta::assert_snapshot!(milk_set(&[&format!("change=[{nobody}]")]), @r#"
     × there is no member "Stor"
      ╭─[--set:1:31]
    1 │ change=[{kind='joins', member='Stor', at='25h'}]
      ·                               ──────
      ╰────
     help: did you mean "Store"?

     × this is after the end of the run
      ╭─[--set:1:42]
    1 │ change=[{kind='joins', member='Stor', at='25h'}]
      ·                                          ─────
      ╰────
     help: the run lasts 24h
    "#);
}

#[test]
fn faults_must_begin_and_end_within_the_run_in_that_order() {
    let overrides = [
        "fault=[{kind='crash', target='Store', at='25h'}, {kind='crash', target='Store', at='2h', until='1h'}]",
        "cheat.0.until=30h",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r"
     × this is after the end of the run
      ╭─[--set:1:42]
    1 │ fault=[{kind='crash', target='Store', at='25h'}, {kind='crash', target='Store', at='2h', until='1h'}]
      ·                                          ─────
      ╰────
     help: the run lasts 24h

     × this ends before it begins
      ╭─[--set:1:96]
    1 │ …', at='25h'}, {kind='crash', target='Store', at='2h', until='1h'}]
      ·                                                              ────
      ╰────

     × this ends after the end of the run
      ╭─[--set:1:15]
    1 │ cheat.0.until=30h
      ·               ───
      ╰────
     help: at most 24h; leave it out if it lasts for good
    ");
}

#[test]
fn only_who_starts_again_has_a_disk_to_read_and_only_all_can_start_one_after_another() {
    let overrides = [
        "fault=[{kind='crash', target='Carrier 2', at='1h', disk='lost'}, \
         {kind='crash', target='Store', at='2h', for='1m', stagger='5s', disk='rusty'}, \
         {kind='crash', target='all', at='23h', for='50m', stagger='4m'}]",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r#"
     × `fault.0.disk` has no effect on who stays down
      ╭─[--set:1:57]
    1 │ fault=[{kind='crash', target='Carrier 2', at='1h', disk='lost'}, {kind='crash', target='Store', at='2h', for='1m', s…
      ·                                                         ──────
      ╰────
     help: give the crash an `until` or a `for`: then they start again

     × there is nobody else to start again
      ╭─[--set:1:124]
    1 │ …, {kind='crash', target='Store', at='2h', for='1m', stagger='5s', disk='rusty'}, {kind='crash', target='all', at='23h', …
      ·                                                              ────
      ╰────
     help: it is for target = "all"

     × `fault.1.disk` knows no "rusty"
      ╭─[--set:1:135]
    1 │ …ash', target='Store', at='2h', for='1m', stagger='5s', disk='rusty'}, {kind='crash', target='all', at='23h', for='50m', …
      ·                                                              ───────
      ╰────
     help: it is one of: torn, kept, lost, rolled-back, rotten

     × the last validator would start again after the end of the run
      ╭─[--set:1:203]
    1 │ …, {kind='crash', target='all', at='23h', for='50m', stagger='4m'}]
      ·                                                              ────
      ╰────
     help: the run lasts 24h
    "#);
}

#[test]
fn crashes_of_one_target_must_not_overlap() {
    let overrides = [
        "fault=[{kind='crash', target='all', at='1h', for='2h', disk='lost'}, \
         {kind='crash', target='all', at='2h', for='2h'}]",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r"
     × this overlaps with an equal fault before it
      ╭─[--set:1:102]
    1 │ …h', for='2h', disk='lost'}, {kind='crash', target='all', at='2h', for='2h'}]
      ·                                                              ────
      ╰────
     help: that one ends at 3h
    ");
}

#[test]
fn links_lose_something_and_go_from_one_member_to_another() {
    let overrides = [
        "fault=[{kind='link-loss', at='1h', loss=0}, {kind='link-loss', at='2h', loss=0.95}, \
         {kind='link-loss', at='3h', loss=0.1, from='Store'}, \
         {kind='link-cut', at='4h', from='Store', to='Carrier 2', ways='all'}]",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r#"
     × this loses nothing
      ╭─[--set:1:41]
    1 │ fault=[{kind='link-loss', at='1h', loss=0}, {kind='link-loss', at='2h', loss=0.95}, {kind='link-loss…
      ·                                         ─
      ╰────

     × hardly anything would arrive
      ╭─[--set:1:78]
    1 │ …k-loss', at='1h', loss=0}, {kind='link-loss', at='2h', loss=0.95}, {kind='link-loss', at='3h', loss=0.1, from='Store'}, …
      ·                                                              ────
      ╰────
     help: from 0 to 0.9

     × `fault.2.to` is missing
      ╭─[--set:1:85]
    1 │ …, at='1h', loss=0}, {kind='link-loss', at='2h', loss=0.95}, {kind='link-loss', at='3h', loss=0.1, from='Store'}, {kind='…
      ·                                                              ───────────────────────────────────────────────────
      ╰────

     × `fault.3.ways` knows no "all"
      ╭─[--set:1:200]
    1 │ …ind='link-cut', at='4h', from='Store', to='Carrier 2', ways='all'}]
      ·                                                              ─────
      ╰────
     help: it is one of: one, both
    "#);
}

#[test]
fn partitions_must_not_overlap_nor_hold_a_member_twice() {
    let overrides = [
        "fault=[{kind='partition', groups=[['Store'], ['Store', 'Milk Producer']], at='1h', for='2h'}, \
         {kind='partition', groups=[['Store']], at='2h', for='2h'}]",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r#"
     × "Store" is in two groups
      ╭─[--set:1:47]
    1 │ fault=[{kind='partition', groups=[['Store'], ['Store', 'Milk Producer']], at='1h', for='2h'}, {kind='parti…
      ·                                               ───────
      ╰────

     × this overlaps with an equal fault before it
      ╭─[--set:1:137]
    1 │ …='1h', for='2h'}, {kind='partition', groups=[['Store']], at='2h', for='2h'}]
      ·                                                              ────
      ╰────
     help: that one ends at 3h
    "#);
}

#[test]
fn unknown_kinds_and_invariants_are_refused_with_the_nearest() {
    let overrides = [
        "fault.0.kind=crahs",
        "cheat.0.kind=bribery",
        "expect.violations=['agrement']",
    ];
    insta::assert_snapshot!(milk_set(&overrides), @r#"
     × there is no kind "crahs"
      ╭─[--set:1:14]
    1 │ fault.0.kind=crahs
      ·              ─────
      ╰────
     help: did you mean "crash"?

     × there is no kind "bribery"
      ╭─[--set:1:14]
    1 │ cheat.0.kind=bribery
      ·              ───────
      ╰────
     help: kinds: silent-primary, equivocating-primary, colluders, twins, forged-reading, replayed-
           reading, rewrites-copy

     × there is no invariant "agrement"
      ╭─[--set:1:20]
    1 │ expect.violations=['agrement']
      ·                    ──────────
      ╰────
     help: did you mean "agreement"?
    "#);
}

#[test]
fn a_fraud_on_the_golden_package_needs_one() {
    let text = milk_but("[golden]\nname = \"GOLD-1\"\n", "");
    let problems = problems_of(text, &[]);
    assert_eq!(
        problems.matches("there is no golden package").count(),
        5,
        "{problems}"
    );
    assert_eq!(
        problems.matches("this needs a golden package").count(),
        3,
        "{problems}"
    );
}

#[test]
fn a_network_without_validators_is_refused() {
    insta::assert_snapshot!(milk_set(&["member=[{name='A', region='West Europe', validators=0}]", "party=[]", "fault=[]", "cheat=[]", "leg=[]", "cold_chain.owner=A", "cold_chain.observer=A"]), @r#"
     × there is no member "Insurer"
        ╭─[bad.toml:166:10]
    166 │ member = "Insurer"
        ·          ─────────
        ╰────
     help: members: A

     × nobody runs a validator (n = 0)
      ╭─[--set:1:8]
    1 │ member=[{name='A', region='West Europe', validators=0}]
      ·        ────────────────────────────────────────────────
      ╰────
     help: give a member `validators = 1`

     × packages go nowhere: there are no legs
      ╭─[--set:1:5]
    1 │ leg=[]
      ·     ──
      ╰────
     help: add at least one [[leg]] with a stage, a custodian and a duration
    "#);
}

#[test]
fn names_that_look_alike_are_refused() {
    let overrides = ["party.0.name=milk  producer", "party.1.name=Sto\u{200b}re"];
    insta::assert_snapshot!(milk_set(&overrides), @r#"
     × there is no member or party "Food Safety Authority"
       ╭─[bad.toml:46:12]
    46 │ observer = "Food Safety Authority"
       ·            ───────────────────────
       ╰────
     help: members and parties: Milk Producer, Food Processing Company, Carrier 2, Store, Insurer,
           milk  producer, Sto·re

     × there is no member or party "Carrier 1"
       ╭─[bad.toml:82:13]
    82 │ custodian = "Carrier 1"
       ·             ───────────
       ╰────
     help: did you mean "Carrier 2"?

     × there is already a member or party "milk  producer"
      ╭─[--set:1:14]
    1 │ party.0.name=milk  producer
      ·              ──────────────
      ╰────

     × a name cannot hold invisible characters
      ╭─[--set:1:14]
    1 │ party.1.name=Sto·re
      ·              ──────
      ╰────
    "#);
}

#[test]
fn a_run_that_would_never_end_is_refused() {
    insta::assert_snapshot!(milk_set(&["fleet.packages=100000", "fleet.reading_every=1s"]), @r"
     × about 8640086400 readings would take too long to simulate
      ╭─[--set:1:16]
    1 │ fleet.packages=100000
      ·                ──────
      ╰────
     help: at most 50 million: fewer packages, a longer `reading_every` or a shorter `duration`
    ");
}

#[test]
fn a_pair_of_regions_without_a_published_latency_is_refused() {
    insta::assert_snapshot!(milk_set(&["member.1.region=Jio India West"]), @r"
     × the latency between Jio India West and France Central, Germany West Central, North Europe, UK
     │ South was not published
      ╭─[--set:1:17]
    1 │ member.1.region=Jio India West
      ·                 ──────────────
      ╰────
     help: choose another region
    ");
}

#[test]
fn a_reader_cannot_be_responsible() {
    insta::assert_snapshot!(milk_set(&["leg.0.custodian=Food Safety Authority"]), @r#"
     × "Food Safety Authority" may only read
      ╭─[--set:1:17]
    1 │ leg.0.custodian=Food Safety Authority
      ·                 ─────────────────────
      ╰────
     help: responsibility is handed over by transactions: give it permission = "write"
    "#);
}

#[test]
fn the_protocol_parameters_must_fit_together() {
    insta::assert_snapshot!(milk_set(&["consensus.pbft.checkpoint_interval=200", "gateway.reply_quorum=9"]), @r"
     × the window must hold two checkpoint intervals (L >= 2K)
      ╭─[--set:1:36]
    1 │ consensus.pbft.checkpoint_interval=200
      ·                                    ───
      ╰────
     help: a window of at least 400, or a shorter interval

     × `gateway.reply_quorum` is out of range
      ╭─[--set:1:22]
    1 │ gateway.reply_quorum=9
      ·                      ─
      ╰────
     help: the range is 1 to 5
    ");
}

#[test]
fn a_problem_knows_its_place_for_programs_too() {
    let text = milk_but("seed = 7", "sede = 7");
    let line = 1 + text
        .lines()
        .position(|line| line == "sede = 7")
        .expect("it was put there");
    let problems = load(&Source::new("bad.toml", text), &[]).expect_err("sede is no key");
    let [problem] = problems.list() else {
        panic!("{problems}");
    };
    assert_eq!(problems.place(problem), ("bad.toml", line, 1));
    assert_eq!(problem.hint.as_deref(), Some("did you mean \"seed\"?"));
    assert!(
        problems.render(true).contains('\u{1b}'),
        "colours on request"
    );
    assert!(
        !problems.to_string().contains('\u{1b}'),
        "and not otherwise"
    );
}

#[test]
fn what_is_no_file_is_a_problem_and_not_a_wait() {
    for path in ["/dev/zero", "/no/such/file.toml", "/"] {
        let problems = Source::read(&PathBuf::from(path)).expect_err("not a scenario");
        assert!(
            problems.to_string().contains("cannot be read"),
            "{problems}"
        );
    }
}

#[test]
fn a_schedule_that_could_not_mean_anything_is_refused() {
    let schedules = [
        "{kind='dorp', message='COMMIT'}",
        "{kind='drop', message='COMIT', from='Stoer', seq='5..3'}",
        "{kind='delay', message='COMMIT', change='digest'}",
        "{kind='rewrite', message='COMMIT', change='digset'}",
        "{kind='crash', from='Store', record='COMMITED', phase='after-durable', to='Store'}",
        "{kind='crash', from='Store', record='COMMITTED', phase='after-send', disk='lost'}",
        "{kind='hold', release='25h', since='3s', until='2s'}",
    ];
    let found = milk_set(&[&format!("schedule=[{}]", schedules.join(", "))]);
    for problem in [
        "there is no kind \"dorp\"",
        "did you mean \"drop\"?",
        "there is no message \"COMIT\"",
        "did you mean \"COMMIT\"?",
        "there is no member \"Stoer\"",
        "`schedule.1.seq` cannot be \"5..3\"",
        "a number, or a range with both ends included",
        "there is no key \"change\" in `schedule.2`",
        "`schedule.2.by` is missing",
        "`schedule.3.from` is missing",
        "there is no change \"digset\"",
        "did you mean \"digest\"?",
        "there is no record \"COMMITED\"",
        "did you mean \"COMMITTED\"?",
        "this phase is about records",
        "this phase is about messages",
        "nobody will read this disk",
        "this is after the end of the run",
        "this ends before it begins",
    ] {
        assert!(found.contains(problem), "{problem}\n{found}");
    }
}

#[cfg(not(feature = "mutants"))]
#[test]
fn a_build_without_planted_bugs_says_how_to_get_them() {
    for bug in ["\"new-view-not-verified\"", "9"] {
        let problems = milk_set(&[&format!("consensus.mutant={bug}")]);
        assert!(
            problems.contains("not even \"new-view-not-verified\""),
            "{problems}"
        );
        assert!(
            problems.contains("cargo run --features mutants"),
            "{problems}"
        );
    }
}
