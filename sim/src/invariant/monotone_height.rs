//! Monotone height: one up, never back.

use super::{Court, Invariant, Scene, has_finality};

/// As scenarios write it.
pub const NAME: &str = "monotone-height";

/// Each honest node appends the next height, once, and takes nothing back. Where the protocol has no
/// finality it may take back the newest block. A node that starts again goes on from what its disk
/// held, and appends again what it forgot.
#[derive(Debug, Default)]
pub struct MonotoneHeight;

impl Invariant for MonotoneHeight {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "chains grow by one height at a time, and what is final is never taken back"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        if let Some(append) = scene.append {
            court.check();
            let head = scene.seen.chains.known(append.head).height;
            let height = append.entry.block.header().height;
            if height != head.next() {
                let who = scene.seen.who(append.node);
                let what = format!("member {who} appended height {height} after height {head}");
                court.violated(scene.at, what);
            }
        }
        if let Some(retraction) = scene.retraction {
            court.check();
            let who = scene.seen.who(retraction.node);
            let height = retraction.block.header().height;
            if has_finality(scene.seen.claims) {
                let what = format!("height {height}, member {who} took a final block back");
                court.violated(scene.at, what);
            } else if !retraction.was_head {
                let what =
                    format!("height {height}, member {who} took back a block below its head");
                court.violated(scene.at, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::{engine::Recovery, ledger::Entry};

    use super::*;
    use crate::invariant::{agreement, prefix, stage::Stage};

    #[test]
    fn a_skipped_height_is_a_violation() {
        let mut stage = Stage::pbft();
        let genesis = Stage::genesis();
        let skipping = Stage::block_of_height(&genesis, 2);
        let entry = stage.certified(skipping, vec![], [0, 1, 2]);
        stage.append(1, &entry);
        assert_eq!(stage.violated(), [NAME]);
        assert_eq!(
            stage.first_violation().what,
            "member \"Truck\" appended height 2 after height 0"
        );
    }

    /// Two certified blocks, appended by member 0, and another one that follows the first.
    fn two_blocks(stage: &mut Stage) -> [Entry; 3] {
        let first = Stage::block(&Stage::genesis(), vec![]);
        let second = Stage::block_at(&first, vec![], 1);
        let other = Stage::block_at(&first, vec![], 2);
        let entries = [first, second, other].map(|b| stage.certified(b, vec![], [0, 1, 2]));
        stage.append(0, &entries[0]);
        stage.append(0, &entries[1]);
        entries
    }

    #[test]
    fn a_node_that_starts_again_may_append_again_what_it_forgot() {
        for (disk, held) in [
            (Recovery::Clean, 2),
            (Recovery::Torn, 1),
            (Recovery::Lost, 0),
        ] {
            let mut stage = Stage::pbft();
            let entries = two_blocks(&mut stage);
            stage.restart(0, disk, held);
            for entry in &entries[held as usize..2] {
                stage.append(0, entry);
            }
            assert_eq!(stage.violated(), [""; 0], "{disk:?}");
        }
    }

    #[test]
    fn a_node_that_starts_again_must_go_on_where_its_disk_ends() {
        let mut stage = Stage::pbft();
        let [_, second, _] = two_blocks(&mut stage);
        stage.restart(0, Recovery::Lost, 0);
        stage.append(0, &second);
        assert_eq!(stage.violated(), [prefix::NAME, NAME]);
    }

    #[test]
    fn a_node_that_starts_again_must_not_contradict_what_it_forgot() {
        let mut stage = Stage::pbft();
        let [_, _, other] = two_blocks(&mut stage);
        stage.restart(0, Recovery::Torn, 1);
        stage.append(0, &other);
        assert_eq!(stage.violated(), [agreement::NAME]);
    }

    #[test]
    fn taking_back_what_is_final_is_a_violation() {
        let mut stage = Stage::pbft();
        let block = Stage::block(&Stage::genesis(), vec![]);
        let entry = stage.certified(block.clone(), vec![], [0, 1, 2]);
        stage.append(0, &entry);
        stage.retract(0, &block);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn without_finality_the_newest_block_may_be_taken_back_but_no_other() {
        let mut stage = Stage::clique();
        let first = Stage::block(&Stage::genesis(), vec![]);
        let left = Stage::block_at(&first, vec![], 1);
        let right = Stage::block_at(&first, vec![], 2);
        for block in [&first, &left] {
            let entry = Stage::entry(block, vec![], None);
            stage.append(0, &entry);
        }
        stage.retract(0, &left);
        let entry = Stage::entry(&right, vec![], None);
        stage.append(0, &entry);
        assert_eq!(stage.violated(), [""; 0]);
        assert_eq!(stage.checked(NAME), 4);
        stage.retract(0, &first);
        assert_eq!(stage.violated(), [NAME]);
        assert_eq!(stage.close().reorganisations.retracted, 1);
    }
}
