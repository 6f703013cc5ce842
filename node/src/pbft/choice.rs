//! What a new primary must propose, as pure functions of VIEW-CHANGEs (OSDI'99 §4.4; R21, R22).

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    crypto::Signed,
    engine::Refusal,
    mutant::{Mutant, Planted},
    quorum::{Certificate, Vote},
    types::{Digest, NodeId, Seq, View},
};

use super::{
    message::{CHECKPOINT, NewView, PREPARE, Prepared, ViewChange},
    rules::Rules,
};

/// Whether a quorum signed one state after slot `seq`.
pub(super) fn proves_checkpoint(certificate: &Certificate, seq: Seq, rules: Rules<'_>) -> bool {
    let vote = certificate.vote();
    vote.phase == CHECKPOINT
        && vote.view == View::first_of(rules.epoch)
        && vote.slot == seq
        && rules.hold(certificate, rules.checkpoints())
}

/// Whether a proposal of the right primary and q−1 PREPAREs of its backups say the same.
fn proves_prepared(entry: &Prepared, rules: Rules<'_>) -> bool {
    let committee = rules.committee;
    let claim = *entry.claim.body();
    let leader = committee.leader(claim.view);
    let said = Vote {
        phase: PREPARE,
        view: claim.view,
        slot: claim.seq,
        digest: claim.digest,
    };
    let needed = rules.prepares();
    let primary_counts = rules.planted.is(Mutant::PrimaryPrepareCounts);
    claim.view.epoch() == rules.epoch
        && entry.claim.signer() == leader
        && committee.verify(&entry.claim)
        && match &entry.prepares {
            None => needed == 0,
            Some(prepares) => {
                *prepares.vote() == said
                    && (primary_counts || prepares.signers().all(|signer| signer != leader))
                    && rules.hold(prepares, needed)
            }
        }
}

/// R21: whether a VIEW-CHANGE is signed, proves its checkpoint, and proves each slot that it names,
/// between that checkpoint's watermarks and once each. One bad entry spoils this message only.
pub(super) fn check_view_change(
    change: &Signed<ViewChange>,
    rules: Rules<'_>,
) -> Result<(), Refusal> {
    let Rules {
        committee, window, ..
    } = rules;
    let ViewChange {
        view,
        stable,
        proof,
        prepared,
    } = change.body();
    if !committee.contains(change.signer()) {
        return Err(Refusal::WrongSender);
    }
    if prepared.len() as u64 > window || view.epoch() != rules.epoch {
        return Err(Refusal::Malformed);
    }
    if !committee.verify(change) {
        return Err(Refusal::BadSignature);
    }
    let proved = match proof {
        None => *stable == rules.base,
        Some(certificate) => *stable > rules.base && proves_checkpoint(certificate, *stable, rules),
    };
    if !proved {
        return Err(Refusal::Malformed);
    }
    let high = Seq(stable.0.saturating_add(window));
    let mut last = *stable;
    for entry in prepared {
        let claim = entry.claim.body();
        let in_place = claim.seq > last && claim.seq <= high && claim.view < *view;
        if !in_place || !proves_prepared(entry, rules) {
            return Err(Refusal::Malformed);
        }
        last = claim.seq;
    }
    Ok(())
}

/// What follows from a set of VIEW-CHANGEs.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    /// The highest checkpoint proved in it (min-s).
    pub(super) stable: Seq,
    /// Its proof; `None` at the base of the epoch.
    pub(super) proof: Option<&'a Certificate>,
    /// For each slot above it, up to the highest prepared one (max-s): the prepared proof of the
    /// highest view; `None` is the null request.
    pub(super) slots: Vec<Option<&'a Arc<Prepared>>>,
}

impl<'a> Choice<'a> {
    /// R22, on messages that [`check_view_change`] found right.
    pub(super) fn of(changes: &'a [Arc<Signed<ViewChange>>], planted: Planted) -> Self {
        let latest = changes
            .iter()
            .map(|change| change.body())
            .max_by_key(|c| c.stable);
        let stable = latest.map_or(Seq(0), |change| change.stable);
        let mut best: BTreeMap<Seq, &'a Arc<Prepared>> = BTreeMap::new();
        for entry in changes.iter().flat_map(|change| &change.body().prepared) {
            // Equal views have equal digests unless more than f members lie; then any rule will do
            // that all replicas share.
            let rank = |entry: &Prepared| (entry.claim.body().view, entry.claim.body().digest);
            let seq = entry.claim.body().seq;
            let higher = |known: &&Arc<Prepared>| {
                (rank(known) < rank(entry)) != planted.is(Mutant::NewViewTakesLowest)
            };
            if seq > stable && best.get(&seq).is_none_or(higher) {
                best.insert(seq, entry);
            }
        }
        let highest = best.last_key_value().map_or(stable, |(seq, _)| *seq);
        let slots = (stable.0 + 1..=highest.0).map(|seq| best.get(&Seq(seq)).copied());
        Self {
            stable,
            proof: latest.and_then(|change| change.proof.as_ref()),
            slots: slots.collect(),
        }
    }

    /// The slots with what was chosen for them.
    pub(super) fn digests(&self) -> impl Iterator<Item = (Seq, Digest)> {
        let digest = |entry: &&Arc<Prepared>| entry.claim.body().digest;
        (self.stable.0 + 1..).map(Seq).zip(
            self.slots
                .iter()
                .map(move |slot| slot.as_ref().map_or(Digest::ZERO, digest)),
        )
    }
}

/// R23: whether the primary's proposals are what follows from at least q right VIEW-CHANGEs of
/// distinct senders.
pub(super) fn check_new_view(
    leader: NodeId,
    message: &NewView,
    rules: Rules<'_>,
) -> Result<(), Refusal> {
    if rules.planted.is(Mutant::NewViewNotVerified) {
        return Ok(());
    }
    let committee = rules.committee;
    let NewView {
        view,
        changes,
        proposals,
    } = message;
    let ascending = changes
        .windows(2)
        .all(|pair| pair[0].signer() < pair[1].signer());
    if changes.len() < committee.quorum() || !ascending {
        return Err(Refusal::Malformed);
    }
    for change in changes {
        if change.body().view != *view {
            return Err(Refusal::Malformed);
        }
        check_view_change(change, rules)?;
    }
    let choice = Choice::of(changes, rules.planted);
    let exact = proposals.len() == choice.slots.len()
        && choice
            .digests()
            .zip(proposals)
            .all(|((seq, digest), proposal)| {
                let said = proposal.body();
                proposal.signer() == leader
                    && (said.view, said.seq, said.digest) == (*view, seq, digest)
                    && committee.verify(proposal)
            });
    if exact {
        Ok(())
    } else {
        Err(Refusal::Malformed)
    }
}
