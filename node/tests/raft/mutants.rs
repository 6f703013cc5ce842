//! Planted bugs 21–26: each breaks, on a plot of its own, what the sound member keeps.

use consortium_node::mutant::Mutant;

use crate::{
    museum::{
        figure_8, play_figure_8, play_old_leader_reads, play_two_additions, play_two_removals,
        play_vote_and_stop, two_additions, two_removals,
    },
    stage::{BARE, Stage},
};

/// A plot with a bug at some members, and without.
fn both(new: impl Fn() -> Stage, bug: Mutant, at: &[u16], play: impl Fn(&mut Stage)) -> [Stage; 2] {
    let mut sound = new();
    play(&mut sound);
    let mut broken = new();
    for node in at {
        broken.plant(*node, bug);
    }
    play(&mut broken);
    [broken, sound]
}

#[test]
fn mutant_21_a_vote_for_a_log_that_is_behind_loses_a_committed_block() {
    let play = |stage: &mut Stage| {
        stage.play(&[
            "campaign n0",
            "settle",
            "submit n0",
            "deliver APPEND to n1",
            "deliver APPENDED",
            "drop",
            "crash n0",
            "campaign n2",
            "settle",
            "submit n2",
            "settle",
        ]);
    };
    let bug = Mutant::VoteWithoutLogCheck;
    let [broken, sound] = both(|| Stage::new(3, 3, BARE), bug, &[1], play);
    assert_eq!((broken.chain(0), broken.chain(2)), ("a".into(), "b".into()));
    assert_eq!(
        (sound.chain(0), sound.chain(2)),
        ("a".into(), String::new())
    );
}

#[test]
fn mutant_22_an_old_entry_that_is_counted_is_overwritten() {
    let bug = Mutant::CommitsOlderTermByCount;
    let [broken, sound] = both(figure_8, bug, &[0], play_figure_8);
    assert_eq!((broken.chain(0), broken.chain(4)), ("a".into(), "b".into()));
    assert!(sound.agree(0, 4));
}

#[test]
fn mutant_23_a_vote_that_is_forgotten_is_given_again() {
    let play = |stage: &mut Stage| play_vote_and_stop(stage, usize::MAX);
    let bug = Mutant::VoteNotPersisted;
    let [broken, sound] = both(|| Stage::new(3, 3, BARE), bug, &[1], play);
    assert!(broken.leads(0) && broken.leads(2), "in one term");
    assert!(!broken.election_faults().is_empty());
    assert!(sound.election_faults().is_empty());
}

#[test]
fn mutant_24_an_entry_that_contradicts_the_leader_is_executed() {
    let play = |stage: &mut Stage| {
        stage.play(&[
            "campaign n0",
            "settle",
            "submit n0",
            "deliver APPEND to n1",
            "drop",
            "crash n0",
            "campaign n2",
            "settle",
            "submit n2",
            "deliver",
            "deliver",
            "deliver",
            "drop",
            "beat n2",
            "deliver",
            "deliver",
            "deliver",
            "deliver",
            "deliver",
            "drop",
        ]);
    };
    let bug = Mutant::ConflictingSuffixKept;
    let [broken, sound] = both(|| Stage::new(5, 5, BARE), bug, &[1], play);
    assert!(
        !broken.agree(1, 2),
        "{} {}",
        broken.chain(1),
        broken.chain(2)
    );
    assert!(sound.agree(1, 2));
    assert_eq!(sound.chain(2), "b");
}

#[test]
fn mutant_25_two_changes_of_members_make_two_majorities() {
    let bug = Mutant::ChangeBeforeOwnTermCommit;
    let [broken, sound] = both(two_removals, bug, &[0, 1], play_two_removals);
    assert!(
        !broken.agree(0, 1),
        "{} {}",
        broken.chain(0),
        broken.chain(1)
    );
    assert!(sound.agree(0, 1));
    let [broken, sound] = both(two_additions, bug, &[0, 1], play_two_additions);
    assert!(
        !broken.agree(0, 1),
        "{} {}",
        broken.chain(0),
        broken.chain(1)
    );
    assert!(sound.agree(0, 1));
}

#[test]
fn mutant_26_an_old_leader_answers_from_the_past() {
    let play = play_old_leader_reads;
    let bug = Mutant::ReadWithoutQuorum;
    let [mut broken, mut sound] = both(|| Stage::new(3, 3, BARE), bug, &[0], play);
    let stale = broken.readings(0)[0].height.map(|height| height.0);
    assert_eq!(stale, Some(1), "two blocks are committed");
    assert_eq!(sound.readings(0), []);
}
