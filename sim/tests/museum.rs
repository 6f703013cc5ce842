//! The museum of consensus bugs: schedules that broke other implementations, played here.
//!
//! Each test asserts that the schedule really happened, by what the replicas told meanwhile, and that
//! every invariant holds. The same scenarios must fail on a build with the bug planted.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use consortium_node::{
    engine::{Refusal, Tale},
    node::Note,
    types::{Height, NodeId, Seq, View},
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
        let exhibit = Self { played, told };
        exhibit.assert_sound(name);
        exhibit
    }

    fn assert_sound(&self, name: &str) {
        let summary = &self.played.measured.summary;
        let details: Vec<_> = summary.verdicts.iter().flat_map(|v| &v.detail).collect();
        assert_eq!(summary.exit_code, 0, "{name}: {details:?}");
        assert!(!summary.schedules.is_empty(), "{name} is directed");
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
        let up = (0..4).filter(|node| self.played.ending.alive[*node]);
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
        let is_it = |note: &Note| matches!(note, Note::Engine(Tale::Entered { view: v, .. }) if *v == View(view));
        let nodes: BTreeSet<_> = self.told(is_it).into_iter().map(|(_, node)| node).collect();
        nodes.into_iter().collect()
    }

    /// The instant at which the first replica entered a view.
    fn first_entered(&self, view: u64) -> Time {
        let is_it = |note: &Note| matches!(note, Note::Engine(Tale::Entered { view: v, .. }) if *v == View(view));
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
        let is_it = |note: &Note| matches!(note, Note::Engine(Tale::Stable { seq, .. }) if *seq == Seq(slot));
        let told = self.told(is_it).into_iter();
        told.filter(|(_, n)| *n == node).map(|(at, _)| at).next()
    }

    /// Who refused a message for this reason.
    fn refused(&self, reason: Refusal) -> BTreeSet<u16> {
        let is_it = |note: &Note| matches!(note, Note::Refused(r) if *r == reason);
        self.told(is_it).into_iter().map(|(_, node)| node).collect()
    }
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
