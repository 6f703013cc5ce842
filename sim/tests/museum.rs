//! The museum of consensus bugs: schedules that broke other implementations, played here.
//!
//! Each test asserts that the schedule really happened, by what the replicas told meanwhile, and that
//! every invariant holds. The same scenarios must fail on a build with the bug planted.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use consortium_node::{
    engine::{Refusal, Tale},
    node::Note,
    types::{BlockId, Height, NodeId, Seq, View},
};
use consortium_sim::{
    cast::Cast,
    cli::Library,
    fact::{Fact, Reader},
    metrics::summary::{Verdict, VerdictKind, VerdictStatus},
    run::{self, Played},
    scenario::{self, Source, plan::Plan},
    time::Time,
    world::pump,
};

/// Everything that the replicas told, with its time.
#[derive(Default)]
struct Witness(Vec<(Time, u16, Note)>);

impl Reader for Witness {
    fn read(&mut self, at: Time, fact: &Fact) {
        if let Fact::Node { node, note } = fact {
            self.0.push((at, node.0, note.clone()));
        }
    }
}

/// An exhibit that was played.
struct Exhibit {
    played: Played,
    told: Vec<(Time, u16, Note)>,
}

impl Exhibit {
    /// Plays it, and asserts the verdict on the honest build: safe, live, and every schedule applied.
    fn open(name: &str) -> Self {
        let exhibit = Self::play(name);
        exhibit.assert_sound(name);
        exhibit
    }

    /// Plays one whose failure is in the protocol as it was shipped: this is violated, and nothing else.
    fn broken(name: &str, violated: &[&str]) -> Self {
        let exhibit = Self::play(name);
        let summary = &exhibit.played.measured.summary;
        assert_eq!(summary.exit_code, 0, "{name} says so");
        let rows = summary.verdicts.iter();
        let rows = rows.filter(|row| row.status == VerdictStatus::Violated);
        let names: Vec<_> = rows.map(|row| row.name.as_str()).collect();
        assert_eq!(names, violated, "{name}");
        exhibit
    }

    fn play(name: &str) -> Self {
        let path = Library::usual()
            .find(&Path::new("museum").join(name))
            .expect("it is in the museum");
        let source = Source::read(&path).expect("it is readable");
        let loaded =
            scenario::load(&source, &[]).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let plan: Arc<Plan> = Arc::new(loaded.plan);
        let cast = Arc::new(Cast::new(&plan));
        let (ending, Witness(told)) =
            pump::run(&plan, &cast, Witness::default(), Arc::default()).expect("it ends");
        let played = run::play(&plan, 1, Arc::default()).expect("it ends");
        assert_eq!(ending.trace, played.ending.trace, "both are one run");
        Self { played, told }
    }

    fn assert_sound(&self, name: &str) {
        let summary = &self.played.measured.summary;
        let details: Vec<_> = summary.verdicts.iter().flat_map(|v| &v.detail).collect();
        assert_eq!(summary.exit_code, 0, "{name}: {details:?}");
        let directed = !summary.schedules.is_empty() || !summary.faults.is_empty();
        assert!(directed, "{name} is directed");
        for kind in [VerdictKind::Safety, VerdictKind::Liveness] {
            assert_eq!(summary.verdict(kind), Verdict::Good, "{name}");
        }
        for verdict in &summary.verdicts {
            assert_ne!(
                verdict.status,
                VerdictStatus::Violated,
                "{name}: {verdict:?}"
            );
        }
        assert_eq!((summary.lost, summary.pending), (0, 0), "{name}");
        assert_eq!(summary.ok, summary.submitted, "{name}");
        let alive = &self.played.ending.alive;
        let up = (0..alive.len()).filter(|node| alive[*node]);
        let heads: BTreeSet<_> = up
            .map(|node| self.played.ending.ledgers[node].head().block.id())
            .collect();
        assert_eq!(heads.len(), 1, "{name}: all that are up have one chain");
    }

    /// How often each schedule was applied.
    fn applied(&self) -> Vec<u64> {
        let rows = self.played.measured.summary.schedules.iter();
        rows.map(|row| row.used).collect()
    }

    /// When and by whom something was told, in order.
    fn told(&self, is_it: impl Fn(&Note) -> bool) -> Vec<(Time, u16)> {
        let told = self.told.iter().filter(|(.., note)| is_it(note));
        told.map(|(at, node, _)| (*at, *node)).collect()
    }

    /// Who entered this view, in the order of their numbers.
    fn entered(&self, view: u64) -> Vec<u16> {
        let is_it = |note: &Note| is_entry(note, View(view));
        let nodes: BTreeSet<_> = self.told(is_it).into_iter().map(|(_, node)| node).collect();
        nodes.into_iter().collect()
    }

    /// The instant at which the first replica entered a view.
    fn first_entered(&self, view: u64) -> Time {
        let is_it = |note: &Note| is_entry(note, View(view));
        self.told(is_it).first().expect("the view was entered").0
    }

    /// The instant at which the first replica asked for a view.
    fn first_asked(&self, view: u64) -> Time {
        let is_it =
            |note: &Note| matches!(note, Note::Engine(Tale::Suspected(v)) if *v == View(view));
        self.told(is_it).first().expect("the view was asked for").0
    }

    /// All views that anyone asked for or entered, but the first.
    fn views(&self) -> BTreeSet<u64> {
        let views = self.told.iter().filter_map(|(.., note)| match note {
            Note::Engine(Tale::Entered { view, .. } | Tale::Suspected(view)) => Some(view.0),
            _ => None,
        });
        views.filter(|view| *view > 0).collect()
    }

    /// Heights that a replica appended before an instant, in its order.
    fn appended(&self, node: u16, before: Time) -> Vec<u64> {
        let mine = self
            .told
            .iter()
            .filter(|(at, n, _)| *n == node && *at < before);
        let heights = mine.filter_map(|(.., note)| match note {
            Note::Appended(entry) => Some(entry.height()),
            _ => None,
        });
        heights.map(|height: Height| height.0).collect()
    }

    /// When this slot became a stable checkpoint at this replica.
    fn stable(&self, node: u16, slot: u64) -> Option<Time> {
        let is_it = |note: &Note| match note {
            Note::Engine(Tale::Stable { seq, .. }) => *seq == Seq(slot),
            _ => false,
        };
        let told = self.told(is_it).into_iter();
        told.filter(|(_, n)| *n == node).map(|(at, _)| at).next()
    }

    /// The blocks of a height, as the members have them in the end.
    fn blocks_at(&self, height: usize) -> BTreeSet<BlockId> {
        let ledgers = self.played.ending.ledgers.iter();
        ledgers
            .filter_map(|ledger| ledger.entries().find(|e| e.height().0 == height as u64))
            .map(|entry| entry.block.id())
            .collect()
    }

    /// Who refused a message for this reason.
    fn refused(&self, reason: Refusal) -> BTreeSet<u16> {
        let is_it = |note: &Note| matches!(note, Note::Refused(r) if *r == reason);
        self.told(is_it).into_iter().map(|(_, node)| node).collect()
    }
}

fn is_entry(note: &Note, entered: View) -> bool {
    matches!(note, Note::Engine(Tale::Entered { view, .. }) if *view == entered)
}

const fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

const END: Time = Time(u64::MAX);

#[test]
fn m01_one_assignment_to_another_slot_forks_nobody() {
    let exhibit = Exhibit::open("m01");
    assert_eq!(exhibit.applied(), [1]);
    let contradicted = |note: &Note| {
        matches!(note, Note::Engine(Tale::Equivocation { by, slot })
            if *by == NodeId(0) && slot.seq == Seq(3))
    };
    let named: BTreeSet<_> = exhibit
        .told(contradicted)
        .into_iter()
        .map(|t| t.1)
        .collect();
    assert_eq!(named, BTreeSet::from([3]), "R3 holds both assignments");
    assert!(exhibit.views().is_empty());
}

#[test]
fn m02_a_checkpoint_that_one_replica_knows_to_be_stable_starts_the_view() {
    let exhibit = Exhibit::open("m02");
    assert_eq!(exhibit.applied()[3], 1, "R3 crashed");
    assert!(!exhibit.played.ending.alive[3]);
    let change = exhibit.first_asked(1);
    assert!(exhibit.stable(0, 4).is_some_and(|at| at < change));
    for backup in [1, 2] {
        assert!(exhibit.stable(backup, 4).is_none_or(|at| at >= change));
    }
    assert_eq!(exhibit.appended(1, change), [1, 2, 3, 4]);
    assert_eq!(exhibit.appended(2, change), [1, 2, 3]);
    assert_eq!(
        exhibit.views(),
        BTreeSet::from([1]),
        "one change of view will do"
    );
    assert_eq!(exhibit.entered(1), [0, 1, 2]);
}

#[test]
fn m03_a_view_that_starts_below_what_was_executed_repeats_nothing() {
    let exhibit = Exhibit::open("m03");
    let change = exhibit.first_asked(1);
    assert_eq!(exhibit.appended(2, change), [1, 2, 3, 4, 5, 6]);
    assert!(exhibit.stable(1, 4).is_some_and(|at| at < change));
    assert!(
        exhibit.stable(2, 4).is_some_and(|at| at >= change),
        "it came with the view"
    );
    assert_eq!(exhibit.entered(1), [0, 1, 2, 3]);
    assert_eq!(exhibit.views(), BTreeSet::from([1]));
    assert_eq!(exhibit.appended(2, END), (1..=12).collect::<Vec<_>>());
}

#[test]
fn m04_a_proposal_above_a_backups_window_changes_no_view() {
    let exhibit = Exhibit::open("m04");
    let first = at(22_900);
    assert!(
        exhibit.stable(0, 4).is_some_and(|at| at < first),
        "the primary's window moved"
    );
    for backup in [1, 2] {
        for slot in [2, 4] {
            let stable = exhibit.stable(backup, slot);
            assert!(stable.is_none_or(|stable| stable > first), "not this one's");
        }
    }
    assert!(exhibit.applied()[1] >= 2, "both got the proposal before");
    assert!(exhibit.views().is_empty());
}

/// M10 and its variant: everyone else refuses the old batch, and moves on without R0.
fn assert_replay_refused(exhibit: &Exhibit) {
    assert!(exhibit.applied()[0] >= 3, "each backup got the old batch");
    assert!(
        exhibit
            .refused(Refusal::BadBlock)
            .is_superset(&BTreeSet::from([1, 2, 3]))
    );
    assert_eq!(exhibit.views(), BTreeSet::from([1]));
    let mut verdicts = exhibit.played.measured.summary.verdicts.iter();
    assert!(verdicts.any(|verdict| verdict.name == "exactly-once" && verdict.checked > 0));
}

#[test]
fn m10_an_old_batch_is_refused() {
    assert_replay_refused(&Exhibit::open("m10"));
}

#[test]
fn m10_an_old_batch_is_refused_after_everyone_has_started_again() {
    let exhibit = Exhibit::open("m10-restarts");
    assert_replay_refused(&exhibit);
    let again = exhibit.told(|note| matches!(note, Note::Recovered { .. }));
    assert_eq!(again.len(), 4);
    assert!(
        again
            .iter()
            .all(|(when, _)| *when < exhibit.first_entered(1))
    );
}

#[test]
fn m11_one_liar_cannot_mislead_one_that_comes_back() {
    let exhibit = Exhibit::open("m11");
    assert!(exhibit.applied()[..3].iter().all(|used| *used > 0));
    assert_eq!(
        exhibit
            .told(|note| matches!(note, Note::Recovered { .. }))
            .len(),
        1
    );
    assert!(exhibit.views().is_empty(), "nobody follows it to view 99");
    assert!(
        exhibit.refused(Refusal::Malformed).contains(&3)
            || exhibit.refused(Refusal::BadSignature).contains(&3)
    );
}

#[test]
fn m12_signatures_about_other_slots_prove_nothing() {
    let exhibit = Exhibit::open("m12");
    assert!(exhibit.applied()[1] >= 1);
    // The first honest answer is on its way for three seconds.
    assert_eq!(exhibit.appended(3, at(17_400)), [1, 2]);
    let reasons = [Refusal::BadSignature, Refusal::Malformed];
    assert!(
        reasons
            .iter()
            .any(|reason| exhibit.refused(*reason).contains(&3))
    );
}

#[test]
fn m12_final_blocks_under_signatures_about_others_are_refused() {
    let exhibit = Exhibit::open("m12-blocks");
    assert!(exhibit.applied()[0] >= 1, "R2 sent a block of its own");
    // Until then R2 is the only one whose blocks arrive.
    assert!(exhibit.appended(3, at(44_000)).len() < 4);
    assert_eq!(exhibit.appended(3, END), (1..=12).collect::<Vec<_>>());
}

#[test]
fn m13_a_bad_entry_spoils_its_own_view_change_only() {
    let exhibit = Exhibit::open("m13");
    let change = exhibit.first_asked(1);
    assert_eq!(
        exhibit.appended(0, change),
        [1, 2, 3],
        "x is committed at R0 …"
    );
    for other in [1, 2, 3] {
        assert_eq!(exhibit.appended(other, change), [1, 2], "… alone");
    }
    assert!(
        exhibit.refused(Refusal::Malformed).contains(&1),
        "the new primary refused it"
    );
    assert_eq!(exhibit.views(), BTreeSet::from([1]));
    assert_eq!(exhibit.entered(1), [0, 1, 2, 3]);
}

#[test]
fn m16_2f_plus_1_forks_five_under_one_liar_and_two_thirds_rounded_up_does_not() {
    let exhibit = Exhibit::broken("m16", &["agreement"]);
    assert_eq!(exhibit.applied(), [6]);
    assert!(exhibit.blocks_at(6).len() > 1);
    let right = Exhibit::open("m16-fixed");
    assert_eq!(right.blocks_at(6).len(), 1);
    assert!(!right.views().is_empty(), "another proposer goes on");
}

#[test]
fn m16_2f_plus_1_forks_six_that_are_split_and_two_thirds_rounded_up_does_not() {
    let lost = ["agreement", "acknowledged-never-lost"];
    let exhibit = Exhibit::broken("m16-six", &lost);
    assert!(exhibit.blocks_at(9).len() > 1);
    let (cut, healed) = (at(13_000), at(50_000));
    let grown = |exhibit: &Exhibit, node| {
        exhibit.appended(node, healed).len() - exhibit.appended(node, cut).len()
    };
    assert!(grown(&exhibit, 0) > 0 && grown(&exhibit, 3) > 0);
    let right = Exhibit::open("m16-six-fixed");
    assert_eq!((grown(&right, 0), grown(&right, 3)), (0, 0));
}

/// Nothing was ever decided, and every schedule was applied: the votes that were said are those of an
/// exhibit of locks.
fn assert_locked(exhibit: &Exhibit) {
    let summary = &exhibit.played.measured.summary;
    assert_eq!(summary.ok, 0);
    assert!(exhibit.applied().iter().all(|used| *used > 0));
    let up = 0..exhibit.played.ending.alive.len() as u16;
    for node in up {
        assert!(exhibit.appended(node, END).is_empty());
    }
    assert!(exhibit.views().len() > 9, "rounds go on for ever");
}

#[test]
fn m17_two_locks_of_two_stop_ibft_and_not_qbft() {
    assert_locked(&Exhibit::broken("m17", &["bounded-liveness"]));
    assert_eq!(Exhibit::open("m17-fixed").blocks_at(1).len(), 1);
}

#[test]
fn m18_three_locks_stop_ibft_and_not_qbft() {
    let exhibit = Exhibit::broken("m18", &["bounded-liveness"]);
    assert_locked(&exhibit);
    // Two, one and two members sent COMMIT to five others each: three locks.
    assert_eq!(exhibit.applied()[13..16], [10, 5, 10]);
    assert_eq!(Exhibit::open("m18-fixed").blocks_at(1).len(), 1);
}

#[test]
fn m19_locked_and_unlocked_members_wait_for_each_other_unless_commits_count() {
    assert_locked(&Exhibit::broken("m19", &["bounded-liveness"]));
    assert_eq!(Exhibit::open("m19-fixed").blocks_at(1).len(), 1);
}

#[test]
fn m20_a_decision_takes_the_timer_of_its_round_back() {
    let exhibit = Exhibit::open("m20");
    assert_eq!(exhibit.applied(), [12]);
    assert!(exhibit.views().is_empty(), "nobody asks for another round");
}

#[test]
fn m21_a_claims_of_the_liar_are_refused_and_three_words_are_enough() {
    let exhibit = Exhibit::open("m21a");
    assert_eq!(exhibit.applied(), [3, 3]);
    assert_eq!(exhibit.views(), BTreeSet::from([1]));
    let honest = BTreeSet::from([0, 1, 2]);
    assert_eq!(exhibit.refused(Refusal::Malformed), honest);
}

#[test]
fn m21_b_what_was_prepared_in_the_round_that_is_asked_for_is_no_claim() {
    let exhibit = Exhibit::open("m21b");
    assert_eq!(exhibit.applied(), [24, 3]);
    assert_eq!(exhibit.views(), BTreeSet::from([1, 2]));
    let honest = BTreeSet::from([0, 1, 2]);
    assert_eq!(exhibit.refused(Refusal::Conflicting), honest);
    assert_eq!(exhibit.blocks_at(5).len(), 1);
}

#[test]
fn m21_c_d_a_proposer_that_never_saw_the_block_proposes_it_as_it_is() {
    let exhibit = Exhibit::open("m21c");
    let change = exhibit.first_asked(1);
    assert_eq!(exhibit.appended(3, change), [1, 2, 3, 4, 5], "R3 alone");
    for other in [0, 1, 2] {
        assert_eq!(exhibit.appended(other, change), [1, 2, 3, 4]);
    }
    assert_eq!(exhibit.blocks_at(5).len(), 1);
}

#[test]
fn m21_e_a_round_that_is_far_away_moves_nobody() {
    let exhibit = Exhibit::open("m21e");
    assert_eq!(exhibit.applied(), [3, 3]);
    assert_eq!(exhibit.entered(1), [0, 1, 2, 3]);
    assert_eq!(exhibit.views(), BTreeSet::from([1]));
}

/// Milliseconds from the end of the outage to the first reading that became final.
fn waited(exhibit: &Exhibit) -> u64 {
    let faults = &exhibit.played.measured.summary.faults;
    faults[0].recovery_ms.expect("it came back")
}

#[test]
fn m45_doubling_timers_wait_after_the_outage_and_repeated_words_do_not() {
    let patient = waited(&Exhibit::open("m45"));
    assert!((500_000..540_000).contains(&patient), "{patient} ms");
    let resent = waited(&Exhibit::open("m45-fixed"));
    assert!(resent < 10_000, "{resent} ms");
}

#[test]
fn m46_a_cap_on_the_timer_is_paid_for_in_round_changes() {
    let capped = Exhibit::open("m46");
    assert!(waited(&capped) < 10_000);
    assert!(capped.views().len() > 1700);
    assert!(Exhibit::open("m45").views().len() < 15);
}
