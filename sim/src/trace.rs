//! The two hashes that end a run.
//!
//! [`Trace`] runs over everything that happens, packets included, with times: two runs of one seed at
//! one commit agree in it. [`outcome`] covers only where the ledgers stand and what the invariants
//! say, so it survives changes that merely move messages about. Neither is cryptographic: they tell
//! runs apart, they do not withstand forgery.

use consortium_node::{
    block::Finality,
    engine::{Kind, Slot, Tale},
    ledger::Entry,
    node::Note,
    quorum::{Certificate, Vote},
    transaction::Outcome,
    types::{BlockId, Digest, Height, NodeId},
};

use crate::{
    fact::{Fact, Purpose, Reader, Rejection, Submission},
    invariant::{Finding, Verdicts},
    time::Time,
};

/// Odd constants without structure: the first digits of π after the point, in hexadecimal.
const SEED: u64 = 0x243F_6A88_85A3_08D3;
const LEFT: u64 = 0x1319_8A2E_0370_7345;
const RIGHT: u64 = 0xA409_3822_299F_31D1;

/// A running hash over 64-bit words: folded 128-bit products, as in wyhash and FxHash's successors.
#[derive(Clone, Copy, Debug)]
struct Mixer(u64);

impl Mixer {
    /// Takes two words. Their order counts, and so does that of the calls.
    fn pair(&mut self, a: u64, b: u64) {
        let product =
            u128::from(self.0 ^ a ^ LEFT) * u128::from(self.0.rotate_left(32) ^ b ^ RIGHT);
        self.0 = self.0.rotate_left(23) ^ (product as u64) ^ (product >> 64) as u64;
    }

    fn word(&mut self, word: u64) {
        self.pair(word, 0);
    }

    fn digest(&mut self, digest: &Digest) {
        self.word(digest.prefix());
    }

    /// Takes a text: its length, then eight bytes at a time.
    fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

/// Running hash over everything that happened.
#[derive(Clone, Debug)]
pub struct Trace(Mixer);

impl Default for Trace {
    fn default() -> Self {
        Self(Mixer(SEED))
    }
}

impl Trace {
    /// Takes a packet that arrived: when, from whom to whom, of which kind, about what, how long.
    #[inline]
    pub fn packet(
        &mut self,
        at: Time,
        (from, to): (NodeId, NodeId),
        kind: Kind,
        slot: Slot,
        len: usize,
    ) {
        let link = u64::from(from.0) << 48 | u64::from(to.0) << 32 | (len as u64 & 0xFFFF_FFFF);
        self.0.pair(at.0, link);
        self.0
            .pair(slot.seq.0, slot.view.0 << 8 | u64::from(kind.code));
    }

    /// The hash so far.
    pub fn finish(&self) -> u64 {
        self.0.0
    }

    fn submission(&mut self, submission: &Submission) {
        let mixer = &mut self.0;
        mixer.digest(&submission.tx);
        mixer.pair(
            u64::from(submission.party.0),
            u64::from(submission.gateway.0),
        );
        mixer.digest(&submission.contract.0);
        mixer.pair(submission.package as u64, submission.leg as u64);
        mixer.pair(submission.due.0, optional(submission.cheat));
        match submission.purpose {
            Purpose::Terms => mixer.word(0),
            Purpose::Reading {
                temperature_dc,
                humidity_dpct,
            } => {
                mixer.word(1);
                mixer.pair(temperature_dc as u64, humidity_dpct as u64);
            }
            Purpose::HandOver { to } => mixer.pair(2, u64::from(to.0)),
            Purpose::Completion => mixer.word(3),
            Purpose::Approval => mixer.word(4),
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok => self.0.word(0),
            Outcome::Reverted(reason) => {
                self.0.word(1);
                self.0.text(reason);
            }
            Outcome::Void(reason) => {
                self.0.word(2);
                self.0.text(reason);
            }
            Outcome::Invalid(reason) => {
                self.0.word(3);
                self.0.text(&reason.to_string());
            }
        }
    }

    fn rejection(&mut self, reason: Rejection) {
        match reason {
            Rejection::Role => self.0.word(0),
            Rejection::Sequence => self.0.word(1),
            Rejection::Door(refusal) => self.0.pair(2, refusal as u64),
            Rejection::Conflicts => self.0.word(3),
        }
    }

    fn note(&mut self, note: &Note) {
        let mixer = &mut self.0;
        match note {
            Note::Engine(tale) => {
                mixer.word(0);
                self.tale(tale);
            }
            Note::Admitted(tx) => mixer.pair(1, tx.prefix()),
            Note::TxRefused { tx, reason } => {
                mixer.pair(2, *reason as u64);
                mixer.digest(tx);
            }
            Note::Refused(refusal) => mixer.pair(3, *refusal as u64),
            Note::Appended(entry) => {
                mixer.word(4);
                self.entry(entry);
            }
            Note::Retracted { block } => mixer.pair(5, block.id().prefix()),
            Note::Relied { block, height } => {
                mixer.pair(6, height.0);
                mixer.digest(block);
            }
            Note::Recovered { height } => mixer.pair(7, height.0),
            Note::Scheduled(term) => {
                mixer.pair(9, term.from.0);
                for node in term.committee.nodes() {
                    mixer.word(u64::from(node.0));
                }
            }
            Note::Adopted {
                height,
                block,
                results,
            } => {
                mixer.pair(8, height.0);
                mixer.digest(block);
                mixer.digest(&results.state_root);
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let mixer = &mut self.0;
        mixer.pair(entry.block.id().prefix(), entry.block.header().height.0);
        mixer.pair(
            entry.results.state_root.prefix(),
            entry.results.receipts_root.prefix(),
        );
        match entry.proof.as_deref() {
            None => mixer.word(0),
            Some(Finality::Trusted) => mixer.word(1),
            Some(Finality::Depth(depth)) => mixer.pair(2, *depth),
            Some(Finality::Certificate(certificate)) => {
                mixer.word(3);
                self.certificate(certificate);
            }
            Some(Finality::Descendants {
                headers,
                certificates,
            }) => {
                mixer.pair(4, headers.len() as u64);
                for certificate in certificates {
                    self.certificate(certificate);
                }
            }
        }
    }

    fn certificate(&mut self, certificate: &Certificate) {
        for signer in certificate.signers() {
            self.0.word(u64::from(signer.0));
        }
        self.vote(certificate.vote());
    }

    fn tale(&mut self, tale: &Tale) {
        let mixer = &mut self.0;
        match tale {
            Tale::Voted(vote) => {
                mixer.word(0);
                self.vote(vote);
            }
            Tale::Proposed { slot, block } => {
                mixer.pair(1, block.prefix());
                mixer.pair(slot.view.0, slot.seq.0);
            }
            Tale::Suspected(view) => mixer.pair(2, view.0),
            Tale::Entered { view, leader } => {
                mixer.pair(3, view.0);
                mixer.word(u64::from(leader.0));
            }
            Tale::Void(seq) => mixer.pair(4, seq.0),
            Tale::Stable { seq, digest } => {
                mixer.pair(5, seq.0);
                mixer.digest(digest);
            }
            Tale::Muted => mixer.word(7),
            Tale::Unmuted(seq) => mixer.pair(8, seq.0),
            Tale::Equivocation { by, slot } => {
                mixer.pair(6, u64::from(by.0));
                mixer.pair(slot.view.0, slot.seq.0);
            }
        }
    }

    fn vote(&mut self, vote: &Vote) {
        self.0.pair(u64::from(vote.phase.0), vote.view.0);
        self.0.pair(vote.slot.0, vote.digest.prefix());
    }
}

impl Trace {
    /// Faults, cheats and schedules.
    fn trouble(&mut self, at: Time, fact: &Fact) {
        let mixer = &mut self.0;
        match fact {
            Fact::FaultBegan { fault, nodes } => {
                mixer.pair(at.0, 5);
                mixer.pair(*fault as u64, optional(nodes.first().map(|n| n.0)));
                for node in nodes.iter().skip(1) {
                    mixer.word(u64::from(node.0));
                }
            }
            Fact::Restarted { fault, node, disk } => {
                mixer.pair(at.0, 12);
                mixer.pair(*fault as u64, u64::from(node.0));
                mixer.word(*disk as u64);
            }
            Fact::FaultEnded { fault } => {
                mixer.pair(at.0, 6);
                mixer.word(*fault as u64);
            }
            Fact::Cheated { cheat, node, tx } => {
                mixer.pair(at.0, 7);
                mixer.pair(*cheat as u64, u64::from(node.0));
                mixer.pair(u64::from(tx.is_some()), tx.map_or(0, |tx| tx.prefix()));
            }
            Fact::Scheduled { schedule, node } => {
                mixer.pair(at.0, 13);
                mixer.pair(*schedule as u64, u64::from(node.0));
            }
            _ => unreachable!("told apart by the caller"),
        }
    }
}

/// Nothing and every number are different words.
fn optional<T: TryInto<u64>>(value: Option<T>) -> u64 {
    value.map_or(0, |value| value.try_into().map_or(u64::MAX, |v| v + 1))
}

impl Reader for Trace {
    fn read(&mut self, at: Time, fact: &Fact) {
        let mixer = &mut self.0;
        match fact {
            Fact::Submitted(submission) => {
                mixer.pair(at.0, 0);
                self.submission(submission);
            }
            Fact::Sent {
                tx,
                attempt,
                waited_for_link,
            } => {
                mixer.pair(at.0, 1);
                mixer.digest(tx);
                mixer.pair(u64::from(*attempt), u64::from(*waited_for_link));
            }
            Fact::Final {
                tx,
                outcome,
                height,
            } => {
                mixer.pair(at.0, 2);
                mixer.pair(tx.prefix(), height.0);
                self.outcome(outcome);
            }
            Fact::Rejected { tx, reason } => {
                mixer.pair(at.0, 3);
                mixer.digest(tx);
                self.rejection(*reason);
            }
            Fact::Node { node, note } => {
                mixer.pair(at.0, 4 | u64::from(node.0) << 8);
                self.note(note);
            }
            Fact::FaultBegan { .. }
            | Fact::Restarted { .. }
            | Fact::FaultEnded { .. }
            | Fact::Cheated { .. }
            | Fact::Scheduled { .. } => self.trouble(at, fact),
            Fact::Truth {
                package,
                custodian,
                out_of_range,
            } => {
                mixer.pair(at.0, 8);
                mixer.pair(*package as u64, *custodian as u64);
                mixer.word(u64::from(*out_of_range));
            }
            Fact::DrainBegan => mixer.pair(at.0, 9),
            Fact::Audited { member, findings } => {
                mixer.pair(at.0, 10);
                mixer.pair(*member as u64, findings.len() as u64);
                for finding in findings {
                    mixer.text(finding);
                }
            }
            Fact::Ended { since_heal } => {
                mixer.pair(at.0, 11);
                mixer.word(crate::time::nanos(*since_heal));
            }
        }
    }
}

/// Hash over where each validator's ledger ends (height, block, state root), in the validators' order,
/// and over what the invariants say. Times and amounts of work are left out.
pub fn outcome(
    ledgers: impl IntoIterator<Item = (Height, BlockId, Digest)>,
    verdicts: &Verdicts,
) -> u64 {
    let mut mixer = Mixer(SEED);
    for (height, head, state_root) in ledgers {
        mixer.pair(height.0, head.prefix());
        mixer.digest(&state_root);
    }
    for verdict in &verdicts.list {
        mixer.text(verdict.name);
        mixer.word(match verdict.finding {
            Finding::Holds { .. } => 0,
            Finding::Violated { .. } => 1,
            Finding::NotClaimed(_) => 2,
        });
    }
    mixer.0
}

/// A hash as people and files write it.
pub fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests;
