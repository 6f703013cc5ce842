//! Prefix: chains grow at their heads.

use super::{Court, Invariant, Scene};

/// As scenarios write it.
pub const NAME: &str = "prefix";

/// The parent of each block that an honest node appends is the block that its chain ended with.
#[derive(Debug, Default)]
pub struct Prefix;

impl Invariant for Prefix {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "each block follows the one that the member's chain ended with"
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        let Some(append) = scene.append else { return };
        court.check();
        let head = scene.seen.chains.known(append.head);
        let header = append.entry.block.header();
        if header.parent != head.id {
            let what = format!(
                "height {}, member {} appended block {}, which follows {}, to a chain that ended \
                 with {} at height {}",
                header.height,
                scene.seen.who(append.node),
                append.entry.block.id(),
                header.parent,
                head.id,
                head.height
            );
            court.violated(scene.at, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    #[test]
    fn a_block_that_follows_another_one_is_a_violation() {
        let mut stage = Stage::pbft();
        let genesis = Stage::genesis();
        let first = Stage::block_at(&genesis, vec![], 1);
        let elsewhere = Stage::block_at(&genesis, vec![], 2);
        let second = Stage::block(&elsewhere, vec![]);
        for block in [first, second] {
            let entry = stage.certified(block, vec![], [0, 1, 2]);
            stage.append(0, &entry);
        }
        assert_eq!(stage.violated(), [NAME]);
        assert!(stage.first_violation().what.contains("member \"Farm\""));
    }

    #[test]
    fn blocks_that_follow_each_other_are_none() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 0);
    }
}
