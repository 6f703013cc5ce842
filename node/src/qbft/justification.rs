//! Why a ROUND-CHANGE or a PROPOSAL is to be believed (QB7, QB8): pure functions of the message.

use crate::{
    crypto::Signed,
    engine::Refusal,
    mutant::{Mutant, Planted},
    quorum::Certificate,
    rounds::{PREPARE, Station},
};

use super::message::{Change, Claim, Proposal, RoundChange};

/// Whether a ROUND-CHANGE of this height, signed by its sender, holds.
pub(super) fn check_change(station: &Station, said: &RoundChange) -> Result<(), Refusal> {
    let change = said.change.body();
    if !station.is_ours(change.view) || change.view.round() == 0 {
        return Err(Refusal::Malformed);
    }
    match (&change.prepared, &said.certificate, &said.block) {
        (None, None, None) => Ok(()),
        (Some(claim), Some(certificate), Some(block)) => {
            if block.id() != claim.digest || !block.is_whole() {
                return Err(Refusal::BadBlock);
            }
            station.follows(block, None)?;
            check_claim(station, change, claim, certificate)
        }
        _ => Err(Refusal::Malformed),
    }
}

/// Whether a quorum prepared, in an earlier round, what is claimed.
fn check_claim(
    station: &Station,
    change: &Change,
    claim: &Claim,
    certificate: &Certificate,
) -> Result<(), Refusal> {
    let earlier = station.is_ours(claim.view) && claim.view < change.view;
    let word = station.word(PREPARE, claim.view.round(), claim.digest);
    if !earlier || *certificate.vote() != word {
        return Err(Refusal::Malformed);
    }
    let checked = certificate.verify(&station.committee, station.quorum());
    checked.map_err(|_| Refusal::BadSignature)
}

/// Whether a proposal, signed by the proposer of its round, may be made in it. Returns whether a quorum
/// vouches for its block.
pub(super) fn check_proposal(
    station: &Station,
    proposal: &Proposal,
    planted: Planted,
) -> Result<bool, Refusal> {
    let view = proposal.claim.body().view;
    if view.round() == 0 {
        let bare = proposal.changes.is_empty() && proposal.prepared.is_none();
        return bare.then_some(false).ok_or(Refusal::Malformed);
    }
    if proposal.changes.len() < station.quorum() {
        return Err(Refusal::Malformed);
    }
    let mut signers: Vec<_> = proposal.changes.iter().map(Signed::signer).collect();
    signers.sort_unstable();
    signers.dedup();
    if signers.len() != proposal.changes.len() {
        return Err(Refusal::Malformed);
    }
    for signed in &proposal.changes {
        let change = signed.body();
        if change.view != view || change.slot != proposal.claim.body().slot {
            return Err(Refusal::Malformed);
        }
        if !station.committee.verify(signed) {
            return Err(Refusal::BadSignature);
        }
    }
    if planted.is(Mutant::RoundChangeUnjustified) {
        return Ok(false);
    }
    check_highest(station, proposal)
}

/// Of what the ROUND-CHANGEs claim, the one of the highest round is proposed again, and its PREPAREs are
/// there.
fn check_highest(station: &Station, proposal: &Proposal) -> Result<bool, Refusal> {
    let claims = proposal.changes.iter().filter_map(|change| {
        let claim = change.body().prepared.as_ref()?;
        Some((change.body(), claim))
    });
    let highest = claims.max_by_key(|(_, claim)| claim.view);
    match (highest, &proposal.prepared) {
        (None, None) => Ok(false),
        (Some((change, claim)), Some(certificate)) if claim.digest == proposal.block.id() => {
            check_claim(station, change, claim, certificate).map(|()| true)
        }
        _ => Err(Refusal::Malformed),
    }
}
