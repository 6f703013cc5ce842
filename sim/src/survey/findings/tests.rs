//! The rules, on rows made up for them.

use super::*;
use crate::{
    compare::sample::{came_out, crash_only, row, with},
    survey::Place,
};

fn group(place: Place, validators: usize, rows: Vec<Row>) -> Group {
    Group {
        place,
        validators,
        rows,
    }
}

fn timed(protocol: &str, ms: f64) -> Row {
    with(row(protocol), name::FINAL_P50, ms)
}

#[test]
fn equally_fast_ones_are_named_together_and_those_that_trust_are_left_out() {
    let rows = vec![
        timed("a", 100.0),
        timed("b", 105.0),
        timed("c", 120.0),
        with(crash_only("raft"), name::FINAL_P50, 10.0),
    ];
    let texts = fastest(&[group(Place::Region, 4, rows)]);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("in one region"), "{}", texts[0]);
    assert!(
        texts[0].ends_with("at n = 4 a and b (100 ms)"),
        "{}",
        texts[0]
    );
}

#[test]
fn the_price_of_bearing_liars_is_fastest_against_fastest() {
    let raft = with(crash_only("raft"), name::FINAL_P50, 50.0);
    let rows = vec![timed("a", 100.0), timed("b", 300.0), raft];
    let text = price(&[group(Place::World, 7, rows)]).expect("both kinds are there");
    assert!(text.contains("at n = 7"), "{text}");
    assert!(text.contains("by: 2.0 worldwide (100 ms"), "{text}");
    assert!(price(&[group(Place::World, 7, vec![timed("a", 1.0)])]).is_none());
}

#[test]
fn who_waits_for_blocks_hardly_feels_distance() {
    let near = group(Place::Region, 4, vec![timed("a", 10.0), timed("b", 900.0)]);
    let far = group(Place::World, 4, vec![timed("a", 200.0), timed("b", 1000.0)]);
    let texts = distance(&[near.clone(), far]);
    assert!(texts[0].ends_with("grows for a 20.0x"), "{}", texts[0]);
    assert!(texts[1].contains("for b: what"), "{}", texts[1]);
    assert!(distance(&[near]).is_empty(), "there is but one place");
}

#[test]
fn messages_grow_evenly_or_with_the_square() {
    let sending = |a: f64, b: f64| {
        vec![
            with(row("a"), name::MESSAGES, a),
            with(row("b"), name::MESSAGES, b),
        ]
    };
    let few = group(Place::Region, 4, sending(20.0, 20.0));
    let many = group(Place::Region, 64, sending(320.0, 5120.0));
    let text = messages(&[few.clone(), many]).expect("two sizes");
    assert!(text.contains("about n with a 20 to 320;"), "{text}");
    assert!(text.contains("square with b 20 to 5,120"), "{text}");
    assert!(messages(&[few]).is_none(), "there is but one size");
}

#[test]
fn who_never_goes_on_is_named_and_not_compared() {
    let outage = |label: &str, ms: f64| with(row(label), name::LEADER_CRASH, ms);
    let dead = came_out(outage("dead", 9e5), Standing::Stalled, "bounded-liveness");
    let rows = vec![outage("a", 2500.0), outage("b", 0.0), dead];
    let texts = leader_crash(&[group(Place::Region, 4, rows)]);
    assert!(
        texts[0]
            .ends_with("b stands still no longer than usual and a for 2.5 s; dead never went on"),
        "{}",
        texts[0]
    );
}

#[test]
fn trouble_without_a_fault_is_said_first() {
    let bad = came_out(row("a"), Standing::Stalled, "bounded-liveness");
    let findings = find(&[group(Place::World, 31, vec![bad])], &[]);
    assert_eq!(findings[0].rule, "undisturbed");
    assert!(
        findings[0].text.contains("a left work"),
        "{}",
        findings[0].text
    );
    let good = find(&[group(Place::World, 31, vec![row("a")])], &[]);
    assert!(good[0].text.contains("every protocol kept one history"));
}
