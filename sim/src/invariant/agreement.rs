//! Agreement: one block a height.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice,
};

use consortium_node::{
    block::Finality,
    ledger::Entry,
    node::Claims,
    quorum::Certificate,
    types::{Height, NodeId},
};

use super::{
    Court, Invariant, Scene, Seen,
    chains::{Append, BlockIndex},
    has_finality,
};

/// As scenarios write it.
pub const NAME: &str = "agreement";

/// No two honest nodes call different blocks of one height final, not even across restarts.
#[derive(Debug, Default)]
pub struct Agreement {
    /// The first final block of each height, and who called it so.
    finals: BTreeMap<Height, (BlockIndex, NodeId)>,
}

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "honest members never commit different blocks at one height"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        (!has_finality(claims))
            .then(|| format!("{} has no finality; see reorganisations", claims.protocol))
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        let Some(append) = scene.append else { return };
        let Some(Finality::Certificate(_) | Finality::Descendants { .. } | Finality::Trusted) =
            append.entry.proof.as_deref()
        else {
            return;
        };
        court.check();
        let height = append.entry.block.header().height;
        let here = (append.block, append.node);
        let (block, first) = *self.finals.entry(height).or_insert(here);
        if block != append.block {
            let what = format!(
                "height {height}, members {} and {} committed different blocks",
                scene.seen.who(first),
                scene.seen.who(append.node)
            );
            court.accused(scene.at, what, culprits(&scene.seen, block, &append));
        }
    }
}

/// Those whose signatures contradict each other: so far, or under the two blocks.
fn culprits(seen: &Seen<'_>, first: BlockIndex, append: &Append<'_>) -> BTreeSet<NodeId> {
    let mut culprits = seen.evidence.guilty().clone();
    if let Some(first) = &seen.chains.known(first).entry {
        culprits.extend(signed_both(first, append.entry));
    }
    culprits
}

/// Signers of certificates of both that answer the same question differently. Signing different blocks
/// in different views can be honest.
fn signed_both(one: &Entry, other: &Entry) -> BTreeSet<NodeId> {
    let mut both = BTreeSet::new();
    for one in certificates(one) {
        for other in certificates(other) {
            both.extend(contradicted(one, other));
        }
    }
    both
}

/// What proves that a block is final, as far as it is signed.
fn certificates(entry: &Entry) -> &[Certificate] {
    match entry.proof.as_deref() {
        Some(Finality::Certificate(one)) => slice::from_ref(one),
        Some(Finality::Descendants { certificates, .. }) => certificates,
        _ => &[],
    }
}

/// Signers of both certificates, if these answer the same question differently.
fn contradicted(one: &Certificate, other: &Certificate) -> BTreeSet<NodeId> {
    let (a, b) = (one.vote(), other.vote());
    if (a.phase, a.view, a.slot) != (b.phase, b.view, b.slot) || a.digest == b.digest {
        return BTreeSet::new();
    }
    let signers: BTreeSet<_> = one.signers().collect();
    other
        .signers()
        .filter(|signer| signers.contains(signer))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::{Stage, node};

    #[test]
    fn two_certified_blocks_at_one_height_name_members_and_the_double_signers() {
        let mut stage = Stage::pbft();
        stage.make_liar(2);
        stage.make_liar(3);
        let genesis = Stage::genesis();
        let left = Stage::block_at(&genesis, vec![], 1);
        let right = Stage::block_at(&genesis, vec![], 2);
        let left = stage.certified(left, vec![], [0, 2, 3]);
        let right = stage.certified(right, vec![], [1, 2, 3]);
        stage.append(0, &left);
        stage.append(1, &right);
        assert_eq!(stage.violated(), [NAME]);
        let violation = stage.first_violation();
        assert_eq!(
            violation.what,
            "height 1, members \"Farm\" and \"Truck\" committed different blocks"
        );
        assert_eq!(violation.culprits, BTreeSet::from([node(2), node(3)]));
    }

    #[test]
    fn votes_that_were_seen_are_evidence_too() {
        let mut stage = Stage::pbft();
        stage.make_liar(3);
        let genesis = Stage::genesis();
        let left = Stage::block_at(&genesis, vec![], 1);
        let right = Stage::block_at(&genesis, vec![], 2);
        // Certificates of different views: signing both can be honest.
        let left_entry = stage.certified_in(left.clone(), vec![], [0, 2, 3], 0);
        let right_entry = stage.certified_in(right.clone(), vec![], [1, 2, 3], 1);
        stage.vote(3, 0, 1, left.id());
        stage.vote(3, 0, 1, right.id());
        stage.append(0, &left_entry);
        stage.append(1, &right_entry);
        assert_eq!(stage.violated(), [NAME]);
        assert_eq!(stage.first_violation().culprits, BTreeSet::from([node(3)]));
    }

    #[test]
    fn blocks_that_are_final_by_their_descendants_must_agree_too() {
        let mut stage = Stage::pbft();
        stage.make_liar(2);
        stage.make_liar(3);
        let genesis = Stage::genesis();
        let left = Stage::block_at(&genesis, vec![], 1);
        let right = Stage::block_at(&genesis, vec![], 2);
        let chained = |entry: &Entry| {
            let Some(Finality::Certificate(certificate)) = entry.proof.as_deref() else {
                unreachable!("it is certified");
            };
            let proof = Finality::Descendants {
                headers: vec![],
                certificates: vec![certificate.clone()],
            };
            Stage::entry(&entry.block, vec![], Some(proof))
        };
        let left = chained(&stage.certified(left, vec![], [0, 2, 3]));
        let right = chained(&stage.certified(right, vec![], [1, 2, 3]));
        stage.append(0, &left);
        stage.append(1, &right);
        assert!(stage.violated().contains(&NAME));
        let verdicts = stage.close();
        let verdict = verdicts.on(NAME).expect("it is listed");
        let culprits = &verdict.violations()[0].culprits;
        assert_eq!(*culprits, BTreeSet::from([node(2), node(3)]));
    }

    #[test]
    fn the_same_block_at_every_member_is_agreement() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 0);
    }
}
