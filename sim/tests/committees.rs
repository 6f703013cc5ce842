//! Members join and leave while an hour of readings goes on.

mod support;

use consortium_node::{
    ledger::handover,
    pbft::FINALITY,
    types::{Epoch, NodeId},
};
use consortium_sim::{metrics::summary::VerdictStatus, run::Played};

use support::play;

const MEMBERS: &str = "member=[\
    {name='Milk Producer', region='North Europe'}, \
    {name='Food Processing Company', region='West Europe'}, \
    {name='Carrier 2', region='Germany West Central'}, \
    {name='Store', region='France Central'}, \
    {name='Newcomer', region='West Europe'}]";

fn assert_sound(played: &Played) {
    let summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 0, "{:?}", summary.verdicts);
    assert_eq!(summary.count(VerdictStatus::Violated), 0);
    assert_eq!((summary.lost, summary.pending), (0, 0));
}

#[test]
fn a_member_joins_and_another_leaves_and_the_founders_vouch_for_who_decides() {
    let changes = "change=[{kind='joins', member='Newcomer', at='20m'}, \
                   {kind='leaves', member='Store', at='40m'}]";
    let played = play("hour.toml", &["fault=[]", MEMBERS, changes]);
    assert_sound(&played);
    let changes = &played.measured.summary.changes;
    assert_eq!(changes[0].label, "Newcomer joins");
    assert!(changes.iter().all(|change| {
        let soon = change
            .effective_ms
            .is_some_and(|at| at < change.at_ms + 120_000);
        soon && change.from_height.is_some()
    }));
    let ledgers = &played.ending.ledgers;
    let newcomer = &ledgers[4];
    assert_eq!(
        newcomer.height(),
        ledgers[0].height(),
        "it has the whole chain"
    );
    let founders = played.cast.committee.clone();
    assert_eq!(founders.n(), 4);
    let links = ledgers[0].hand_overs().iter().map(AsRef::as_ref);
    let committees = handover::follow(founders, links, FINALITY).expect("each link holds");
    let sizes: Vec<_> = committees
        .terms()
        .iter()
        .map(|term| term.committee.n())
        .collect();
    assert_eq!(sizes, [4, 5, 4]);
    let newest = committees.newest();
    assert_eq!(newest.epoch, Epoch(2));
    assert!(newest.committee.nodes().eq([0, 1, 2, 4].map(NodeId)));
    assert!(newest.from < ledgers[0].height(), "it took effect");
}

#[test]
fn the_primary_crashes_as_the_newcomer_joins() {
    let change = "change=[{kind='joins', member='Newcomer', at='20m'}]";
    let crash = "fault=[{kind='crash', target='primary', at='20m0.6s', for='5m'}]";
    let played = play("hour.toml", &[crash, MEMBERS, change]);
    assert_sound(&played);
    assert_eq!(played.ending.ledgers[0].hand_overs().len(), 1);
}
