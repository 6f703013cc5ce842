//! Durability: a crash takes back nothing that a node built on (I16, R12, R40).
//!
//! Blocks are written without waiting: should one be lost, a quorum's logs hold it. But writes become
//! durable in their order, and whoever signs a vote, a proposal or a VIEW-CHANGE has waited for its log.
//! So what a node had appended before its last such word is on its disk when that word is out, and with
//! a disk that is whole, or torn behind what was durable, it starts again with at least that much. That it
//! does not vote against its earlier votes is judged by `no-conflicting-votes`, which forgets none of them.
//!
//! A disk that shows too little makes a node mute, and nothing else does: until it says that it signs
//! again it signs no proposal, PREPARE, COMMIT, VIEW-CHANGE or NEW-VIEW, through further restarts too; and
//! when it does, whatever it voted for before lies below the slot that it names.

use consortium_node::{
    engine::{Recovery, Tale},
    node::{Claims, Note},
    pbft::{COMMIT, PREPARE},
    types::{Height, NodeId, Seq, View},
};

use super::{Court, Invariant, Scene, unless_pbft};
use crate::{fact::Fact, scenario::plan::Plan};

/// As scenarios write it.
pub const NAME: &str = "durability";

/// An honest validator that starts again has what its last word before the crash implied; one that lost
/// its disk is mute until it cannot contradict itself.
#[derive(Debug)]
pub struct Durability {
    nodes: Vec<Promises>,
}

/// What binds a validator.
#[derive(Clone, Debug, Default)]
struct Promises {
    /// Height up to which its chain is durable.
    durable: Height,
    /// What it found on its disk when it started last.
    disk: Option<Recovery>,
    /// Whether it ever lost its disk.
    has_lost: bool,
    /// Whether it must sign nothing.
    mute: bool,
    /// The highest slot that it proposed something for, or said PREPARE or COMMIT to.
    highest: Seq,
}

impl Durability {
    /// Watches a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            nodes: vec![Promises::default(); plan.validators()],
        }
    }

    /// A validator has said what its disk holds.
    fn recovered(&mut self, scene: &Scene<'_>, node: NodeId, height: Height, court: &mut Court) {
        court.check();
        let promises = &mut self.nodes[node.index()];
        let durable = std::mem::replace(&mut promises.durable, height);
        if promises.disk != Some(Recovery::Lost) && height < durable {
            let who = scene.seen.who(node);
            let what = format!(
                "member {who} started again at height {height}, when it last signed it was {durable}"
            );
            court.violated(scene.at, what);
        }
    }

    /// What is wrong with an honest validator's tale.
    fn told(&mut self, scene: &Scene<'_>, node: NodeId, tale: &Tale) -> Option<String> {
        let promises = &mut self.nodes[node.index()];
        let slot = match tale {
            Tale::Voted(vote) if matches!(vote.phase, PREPARE | COMMIT) => Some(vote.slot),
            Tale::Proposed { slot, .. } => Some(slot.seq),
            _ => None,
        };
        let word = match tale {
            Tale::Voted(vote) if vote.phase == PREPARE => Some("PREPARE"),
            Tale::Voted(vote) if vote.phase == COMMIT => Some("COMMIT"),
            Tale::Proposed { .. } => Some("PRE-PREPARE"),
            Tale::Suspected(_) => Some("VIEW-CHANGE"),
            // The first view of a committee begins without one.
            Tale::Entered { view, leader }
                if *leader == node && *view > View::first_of(view.epoch()) =>
            {
                Some("NEW-VIEW")
            }
            _ => None,
        };
        if matches!(
            tale,
            Tale::Voted(_) | Tale::Proposed { .. } | Tale::Suspected(_)
        ) {
            let chains = scene.seen.chains;
            promises.durable = chains.known(chains.head(node)).height;
        }
        let highest = promises.highest;
        promises.highest = highest.max(slot.unwrap_or_default());
        match (tale, word) {
            (_, Some(word)) if promises.mute => Some(format!("signed {word} while it was mute")),
            (Tale::Muted, _) => {
                promises.mute = true;
                (!promises.has_lost).then(|| "fell mute with a disk that held all".to_owned())
            }
            (Tale::Unmuted(seq), _) => {
                promises.mute = false;
                (*seq < highest)
                    .then(|| format!("signs again after slot {seq}, it had voted for {highest}"))
            }
            _ => None,
        }
    }
}

impl Invariant for Durability {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "a crash takes back nothing that a member built on; who lost its disk stays mute"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        unless_pbft(claims, "does not say what its votes imply")
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        if let Some((node, tale)) = scene.tale {
            if let Some(fault) = self.told(scene, node, tale) {
                let who = scene.seen.who(node);
                court.violated(scene.at, format!("member {who} {fault}"));
            }
            return;
        }
        match scene.fact {
            Fact::Restarted { node, disk, .. } => {
                let promises = &mut self.nodes[node.index()];
                promises.disk = Some(*disk);
                if *disk == Recovery::Lost {
                    promises.has_lost = true;
                    promises.mute = true;
                }
            }
            Fact::Node {
                node,
                note: Note::Recovered { height },
            } if scene.seen.cast.is_honest(*node) => self.recovered(scene, *node, *height, court),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::{
        engine::Slot,
        pbft::CHECKPOINT,
        quorum::{Phase, Vote},
        types::Digest,
    };

    use super::*;
    use crate::invariant::{no_conflicting_votes, stage::Stage};

    const BLOCK: Digest = Digest([1; 32]);

    /// Member 1 has appended two blocks and voted in between.
    fn voted_at_one() -> Stage {
        let mut stage = Stage::pbft();
        let first = Stage::block(&Stage::genesis(), vec![]);
        let second = Stage::block(&first, vec![]);
        let [first, second] = [first, second].map(|b| stage.certified(b, vec![], [0, 1, 2]));
        stage.append(1, &first);
        stage.vote(1, 0, 2, BLOCK);
        stage.append(1, &second);
        stage
    }

    #[test]
    fn r12_what_a_vote_implied_is_there_after_a_restart_and_what_came_later_need_not() {
        for (disk, height, right) in [
            (Recovery::Clean, 2, true),
            (Recovery::Torn, 1, true),
            (Recovery::Clean, 0, false),
            (Recovery::Torn, 0, false),
        ] {
            let mut stage = voted_at_one();
            stage.restart(1, disk, height);
            assert_eq!(stage.violated().is_empty(), right, "{disk:?} {height}");
        }
        let mut stage = voted_at_one();
        stage.restart(1, Recovery::Clean, 0);
        assert_eq!(stage.violated(), [NAME]);
        assert_eq!(
            stage.first_violation().what,
            "member \"Truck\" started again at height 0, when it last signed it was 1"
        );
        stage.make_liar(1);
        assert_eq!(stage.violated(), [""; 0]);
    }

    #[test]
    fn r40_who_lost_its_disk_signs_nothing_until_it_says_so_and_keeps_to_it_over_restarts() {
        let vote = |phase: Phase| {
            let (view, slot, digest) = (View(0), Seq(300), BLOCK);
            Tale::Voted(Vote {
                phase,
                view,
                slot,
                digest,
            })
        };
        let (view, seq) = (View(0), Seq(300));
        let proposed = Tale::Proposed {
            slot: Slot { view, seq },
            block: BLOCK,
        };
        let entered = Tale::Entered {
            view: View(5),
            leader: NodeId(1),
        };
        let words = [
            (vote(PREPARE), "PREPARE"),
            (vote(COMMIT), "COMMIT"),
            (proposed, "PRE-PREPARE"),
            (Tale::Suspected(View(6)), "VIEW-CHANGE"),
            (entered, "NEW-VIEW"),
        ];
        for (word, name) in words {
            let mut stage = Stage::pbft();
            for by in 0..4 {
                for view in 1..=5 {
                    stage.tale(by, Tale::Suspected(View(view)));
                }
            }
            stage.restart(1, Recovery::Lost, 0);
            stage.tale(1, Tale::Muted);
            stage.tale(1, vote(CHECKPOINT));
            let mut later = stage.clone();
            later.restart(1, Recovery::Clean, 0);
            later.tale(1, Tale::Muted);
            for mut stage in [stage, later] {
                let mut free = stage.clone();
                stage.tale(1, word.clone());
                let verdicts = stage.close();
                let violations = verdicts.on(NAME).expect("listed").violations();
                let what = format!("member \"Truck\" signed {name} while it was mute");
                assert_eq!(violations.first().map(|v| &v.what), Some(&what));
                free.tale(1, Tale::Unmuted(Seq(256)));
                free.tale(1, word.clone());
                assert!(free.checked(NAME) > 0, "{name}");
            }
        }
    }

    #[test]
    fn r40_who_speaks_again_names_a_slot_above_all_that_it_voted_for() {
        for (seq, right) in [(300, true), (299, false)] {
            let mut stage = Stage::pbft();
            stage.checkpoint(64, BLOCK);
            stage.vote(1, 0, 300, BLOCK);
            stage.restart(1, Recovery::Lost, 0);
            stage.tale(1, Tale::Muted);
            stage.tale(1, Tale::Unmuted(Seq(seq)));
            assert_eq!(stage.violated().is_empty(), right, "{seq}");
        }
    }

    #[test]
    fn r40_falling_mute_with_a_good_disk_is_a_violation() {
        let mut stage = Stage::pbft();
        stage.restart(1, Recovery::Torn, 0);
        stage.tale(1, Tale::Muted);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn r12_a_vote_against_one_of_before_the_crash_is_seen() {
        for disk in [Recovery::Clean, Recovery::Torn] {
            let mut stage = Stage::pbft();
            stage.vote(1, 0, 9, BLOCK);
            stage.restart(1, disk, 0);
            stage.vote(1, 0, 9, Digest([2; 32]));
            assert_eq!(stage.violated(), [no_conflicting_votes::NAME]);
        }
    }
}
