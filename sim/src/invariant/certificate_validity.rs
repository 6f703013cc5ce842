//! Certificate validity: who says that a block is final can prove it.

use std::{collections::VecDeque, sync::Arc};

use consortium_node::{block::Finality, ledger::proof::check_finality, node::Claims};

use super::{
    Court, Invariant, Scene,
    chains::{Append, BlockIndex},
};

/// As scenarios write it.
pub const NAME: &str = "certificate-validity";

/// Proofs that are remembered, so that one that nodes share is verified once.
const REMEMBERED: usize = 16;

/// Every block that an honest node appends has a certificate: a quorum of distinct members of the
/// committee that decides its height signed one statement whose digest is the block's id. Where an
/// ordering service bears no liars, the word of one orderer is the certificate.
#[derive(Debug, Default)]
pub struct CertificateValidity {
    /// Proofs that were good for a block: an address stays the proof's own while it is held here.
    good: VecDeque<(Arc<Finality>, BlockIndex)>,
}

impl Invariant for CertificateValidity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "every final block carries the signatures of a quorum of distinct members"
    }

    fn waiver(&self, claims: &Claims) -> Option<String> {
        let nothing = claims.finality.is_none();
        nothing.then(|| format!("{} gives outsiders nothing to check", claims.protocol))
    }

    fn read(&mut self, scene: &Scene<'_>, court: &mut Court) {
        let Some(append) = scene.append else { return };
        court.check();
        let Some(proof) = &append.entry.proof else {
            report(scene, &append, "it has no proof", court);
            return;
        };
        let is_known =
            |(good, block): &(Arc<Finality>, _)| Arc::ptr_eq(good, proof) && *block == append.block;
        if self.good.iter().any(is_known) {
            return;
        }
        if let Some(fault) = fault(scene, &append, proof) {
            report(scene, &append, &fault, court);
            return;
        }
        if self.good.len() == REMEMBERED {
            self.good.pop_front();
        }
        self.good.push_back((Arc::clone(proof), append.block));
    }
}

fn fault(scene: &Scene<'_>, append: &Append<'_>, proof: &Finality) -> Option<String> {
    let rule = scene.seen.claims.finality?;
    let Some(said_in) = proof.epoch() else {
        return Some("its proof holds no signatures".to_owned());
    };
    let term = scene.seen.committees.at(append.entry.height());
    if said_in != term.epoch {
        let epoch = term.epoch;
        return Some(format!("signed in epoch {said_in}, it is of epoch {epoch}"));
    }
    let verdict = check_finality(append.entry.block.id(), proof, &term.committee, rule);
    verdict.err().map(|fault| fault.to_string())
}

fn report(scene: &Scene<'_>, append: &Append<'_>, fault: &str, court: &mut Court) {
    let what = format!(
        "height {}, member {} appended block {}: {fault}",
        append.entry.block.header().height,
        scene.seen.who(append.node),
        append.entry.block.id()
    );
    court.violated(scene.at, what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    #[test]
    fn too_few_signers_are_a_violation() {
        let mut stage = Stage::pbft();
        let block = Stage::block(&Stage::genesis(), vec![]);
        let entry = stage.certified(block, vec![], [0, 1]);
        stage.append(0, &entry);
        assert_eq!(stage.violated(), [NAME]);
        assert!(
            stage
                .first_violation()
                .what
                .ends_with("2 signers where 3 are needed")
        );
    }

    #[test]
    fn repeated_signers_outsiders_and_missing_proofs_are_violations() {
        for (signers, sentence) in [
            ([0, 1, 1], "n1 is listed twice or out of order"),
            ([0, 1, 7], "n7 did not sign this or is not in the committee"),
        ] {
            let mut stage = Stage::pbft();
            let block = Stage::block(&Stage::genesis(), vec![]);
            let entry = stage.certified(block, vec![], signers);
            stage.append(0, &entry);
            assert_eq!(stage.violated(), [NAME]);
            assert!(stage.first_violation().what.ends_with(sentence));
        }
        let mut stage = Stage::pbft();
        let block = Stage::block(&Stage::genesis(), vec![]);
        let entry = Stage::entry(&block, vec![], None);
        stage.append(0, &entry);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn a_certificate_of_another_block_is_a_violation_even_if_it_was_good_there() {
        let mut stage = Stage::pbft();
        let first = Stage::block(&Stage::genesis(), vec![]);
        let second = Stage::block(&first, vec![]);
        let first = stage.certified(first, vec![], [0, 1, 2]);
        let mut second = stage.certified(second, vec![], [0, 1, 2]);
        second.proof.clone_from(&first.proof);
        stage.append(0, &first);
        stage.append(0, &second);
        assert_eq!(stage.violated(), [NAME]);
    }

    #[test]
    fn a_quorum_of_distinct_members_is_enough() {
        let mut stage = Stage::pbft();
        stage.play_shipment();
        assert_eq!(stage.violated(), [""; 0]);
        assert!(stage.checked(NAME) > 0);
    }
}
