//! Monotone height: one up, never back.

use super::{Court, Invariant, Scene, has_finality};

/// As scenarios write it.
pub const NAME: &str = "monotone-height";

/// Each honest node appends the next height, once, and takes nothing back. Where the protocol has no
/// finality it may take back the newest block. A node that starts again goes on from what its disk
/// held, which is never more than it had, and appends what it forgot again.
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
        if let Some(restart) = scene.restart {
            court.check();
            let head = scene.seen.chains.known(restart.head).height;
            if restart.height > head {
                let (who, height) = (scene.seen.who(restart.node), restart.height);
                let what = format!("member {who} started again at height {height} after {head}");
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
    use super::*;
    use crate::invariant::stage::Stage;

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
