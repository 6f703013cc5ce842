//! Invariants: what must hold in every run, checked on every fact by an observer outside the nodes.
//!
//! The observer sees everything, decides nothing and costs O(1) amortised a fact. What several
//! invariants need is kept once: the [`chains`] of honest nodes, the [`evidence`] of who signed what,
//! and the [`contracts`] as the chain shows them. What dishonest validators say is evidence against
//! them and is held against no invariant.
//!
//! What a block holds is checked when the first honest node appends it; of every other node it is
//! checked that it has the same block with the same results.

pub mod access;
pub mod acknowledged_never_lost;
pub mod agreement;
pub mod bounded_liveness;
pub mod certificate_validity;
pub mod chains;
pub mod checkpoint;
pub mod contracts;
pub mod custody;
pub mod durability;
pub mod evidence;
pub mod exactly_once;
pub mod monotone_height;
pub mod no_conflicting_votes;
pub mod prefix;
pub mod prepared_carried;
pub mod recovery;
#[cfg(test)]
pub(crate) mod stage;
pub mod state_root;
pub mod steady_leader;
pub mod validity;
pub mod verdict;
pub mod view_sanity;
pub mod watermarks;
pub mod workflow_legality;

use std::{fmt::Debug, sync::Arc};

use consortium_node::{
    engine::{Engine as _, FaultModel, ReplyRule, Tale},
    membership::{Committee, Committees, Term},
    node::{Claims, Note},
    pbft::Pbft,
    transaction::{Receipt, Transaction, Transition},
    types::{Epoch, NodeId, PartyId, View},
};

pub use self::verdict::{Court, Finding, Kind, Reorganisations, Verdict, Verdicts, Violation};
use self::{
    chains::{Append, Chains, Retraction},
    contracts::{Contracts, Performed},
    evidence::{Clash, Evidence},
};
use crate::{
    cast::Cast,
    ending::Ending,
    fact::{Fact, Reader},
    scenario::plan::Plan,
    time::Time,
};

/// Names of all invariants, in the order of the verdicts.
pub const NAMES: [&str; 19] = [
    agreement::NAME,
    prefix::NAME,
    monotone_height::NAME,
    validity::NAME,
    exactly_once::NAME,
    acknowledged_never_lost::NAME,
    certificate_validity::NAME,
    no_conflicting_votes::NAME,
    prepared_carried::NAME,
    checkpoint::NAME,
    watermarks::NAME,
    view_sanity::NAME,
    durability::NAME,
    state_root::NAME,
    workflow_legality::NAME,
    custody::NAME,
    access::NAME,
    bounded_liveness::NAME,
    steady_leader::NAME,
];

/// Something that must hold.
pub trait Invariant: Debug + Send {
    /// Its name, as scenarios write it.
    fn name(&self) -> &'static str;
    /// What it promises, in one line for people.
    fn promise(&self) -> &'static str;
    /// What it is about.
    fn kind(&self) -> Kind {
        Kind::Safety
    }
    /// Why a protocol that claims this does not promise it, if it does not. It is not read then.
    fn waiver(&self, _claims: &Claims) -> Option<String> {
        None
    }
    /// Takes a fact.
    fn read(&mut self, scene: &Scene<'_>, court: &mut Court);
    /// Judges what only the end can show.
    fn close(&mut self, _at: Time, _ending: &Ending, _seen: &Seen<'_>, _court: &mut Court) {}
}

/// What the observer knows.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Who plays.
    pub cast: &'a Cast,
    /// What the protocol claims.
    pub claims: &'a Claims,
    /// The chains of the honest validators.
    pub chains: &'a Chains,
    /// Who signed what.
    pub evidence: &'a Evidence,
    /// Who decides from which height on, as the honest have it.
    pub committees: &'a Committees,
}

impl Seen<'_> {
    /// The member that runs a validator, quoted; with the node's number if it runs several.
    pub fn who(&self, node: NodeId) -> String {
        let member = self.cast.member_of(node);
        let of_member = |other: &NodeId| self.cast.member_of(*other) == member;
        if self.cast.validators().filter(of_member).count() > 1 {
            format!("\"{}\" ({node})", self.cast.name_of(node))
        } else {
            format!("\"{}\"", self.cast.name_of(node))
        }
    }

    /// Honest validators that every quorum of a committee has at least, if all liars are in it.
    pub fn honest_quorum(&self, epoch: Epoch) -> usize {
        let liars = self.cast.honest.iter().filter(|honest| !**honest).count();
        let term = self.committees.term(epoch);
        let term = term.unwrap_or_else(|| self.committees.newest());
        let quorum = self.claims.quorum.of(term.committee.n());
        quorum.saturating_sub(liars)
    }

    /// Those who decide what follows the longest honest chain.
    pub fn deciding(&self) -> &Arc<Committee> {
        let next = self.chains.tallest().next();
        &self.committees.at(next).committee
    }

    /// Who leads a view of a committee that is known; of one that is not, as if nobody had changed.
    pub fn leader(&self, view: View) -> NodeId {
        let term = self.committees.term(view.epoch());
        let term = term.unwrap_or_else(|| self.committees.newest());
        term.committee.leader(view)
    }

    /// A party's name, quoted.
    pub fn party(&self, party: PartyId) -> String {
        self.cast.registry.party(party).map_or_else(
            || format!("unknown party {party}"),
            |p| format!("\"{}\"", p.name),
        )
    }

    /// A party that may be nobody.
    pub fn custodian(&self, party: Option<PartyId>) -> String {
        party.map_or_else(|| "nobody".to_owned(), |party| self.party(party))
    }

    /// A transaction and who claims to have signed it.
    pub fn transaction(&self, transaction: &Transaction) -> String {
        let party = self.party(transaction.party());
        format!("transaction {} of {party}", transaction.id())
    }
}

/// A fact with what the observer makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// When.
    pub at: Time,
    /// What.
    pub fact: &'a Fact,
    /// What is known, this fact included.
    pub seen: Seen<'a>,
    /// What the engine of an honest validator tells, and whose it is.
    pub tale: Option<(NodeId, &'a Tale)>,
    /// An honest validator appended a block.
    pub append: Option<Append<'a>>,
    /// An honest validator took a block off.
    pub retraction: Option<Retraction<'a>>,
    /// An honest validator signed a vote or proposed something.
    pub voted: Option<NodeId>,
    /// A validator signed a vote that contradicts an earlier one of its own.
    pub clash: Option<Clash>,
    performed: &'a [Performed],
}

impl<'a> Scene<'a> {
    /// The block, if no honest node had appended it before.
    pub fn fresh(&self) -> Option<Append<'a>> {
        self.append.filter(|append| append.fresh)
    }

    /// The transactions of a fresh block with what became of them.
    pub fn receipts(&self) -> impl Iterator<Item = (&'a Transaction, &'a Receipt)> + use<'a> {
        self.fresh().into_iter().flat_map(|append| {
            let transactions = append.entry.block.transactions().iter();
            transactions
                .map(Arc::as_ref)
                .zip(append.entry.receipts.iter())
        })
    }

    /// The calls of a fresh block that changed a contract.
    pub fn performed(
        &self,
    ) -> impl Iterator<Item = (&'a Transaction, &'a Transition, &'a Performed)> + use<'a> {
        let performed = self.performed;
        self.fresh().into_iter().flat_map(move |append| {
            performed.iter().filter_map(move |one| {
                let transition = append.entry.receipts[one.place].transition.as_ref()?;
                let transaction = append.entry.block.transactions()[one.place].as_ref();
                Some((transaction, transition, one))
            })
        })
    }
}

/// Whether a protocol has finality, rather than a depth at which submitters choose to rely on a block.
pub fn has_finality(claims: &Claims) -> bool {
    !matches!(claims.reply, ReplyRule::Depth(_))
}

/// Why a protocol that is not PBFT does not promise what PBFT's rules give.
fn unless_pbft(claims: &Claims, why: &str) -> Option<String> {
    (claims.protocol != Pbft::NAME).then(|| format!("{} {why}", claims.protocol))
}

/// All invariants with their courts: a reader of facts.
#[derive(Debug)]
pub struct Invariants {
    cast: Arc<Cast>,
    claims: Claims,
    chains: Chains,
    evidence: Evidence,
    committees: Committees,
    contracts: Contracts,
    /// Calls of the block at hand; kept to reuse its memory.
    performed: Vec<Performed>,
    courts: Vec<(Box<dyn Invariant>, Court)>,
}

impl Invariants {
    /// Opens a court for each invariant.
    pub fn new(plan: &Plan, cast: Arc<Cast>, claims: Claims) -> Self {
        let all: [Box<dyn Invariant>; NAMES.len()] = [
            Box::<agreement::Agreement>::default(),
            Box::<prefix::Prefix>::default(),
            Box::<monotone_height::MonotoneHeight>::default(),
            Box::<validity::Validity>::default(),
            Box::<exactly_once::ExactlyOnce>::default(),
            Box::<acknowledged_never_lost::AcknowledgedNeverLost>::default(),
            Box::<certificate_validity::CertificateValidity>::default(),
            Box::<no_conflicting_votes::NoConflictingVotes>::default(),
            Box::new(prepared_carried::PreparedCarried::new(plan)),
            Box::new(checkpoint::Checkpoint::new(plan)),
            Box::new(watermarks::Watermarks::new(plan)),
            Box::new(view_sanity::ViewSanity::new(plan)),
            Box::new(durability::Durability::new(plan)),
            Box::<state_root::StateRoot>::default(),
            Box::<workflow_legality::WorkflowLegality>::default(),
            Box::<custody::Custody>::default(),
            Box::<access::Access>::default(),
            Box::new(bounded_liveness::BoundedLiveness::new(plan)),
            Box::new(steady_leader::SteadyLeader::new(plan)),
        ];
        let courts = all.into_iter().map(|invariant| {
            let mut court = Court::new(invariant.name());
            if let Some(reason) = invariant.waiver(&claims) {
                court.waive(reason);
            }
            (invariant, court)
        });
        let validators = cast.validators().len();
        Self {
            claims,
            chains: Chains::new(validators),
            evidence: Evidence::new(validators),
            committees: Committees::new(Arc::clone(cast.deciders())),
            contracts: Contracts::default(),
            performed: Vec::new(),
            courts: courts.collect(),
            cast,
        }
    }

    /// An honest validator learned who decides next. The first word counts: whether the others have
    /// the same state is for other invariants to say.
    fn scheduled(&mut self, term: &Term) {
        if term.epoch > self.committees.newest().epoch {
            let committee = Arc::clone(&term.committee);
            self.committees.schedule(term.from, committee);
        }
    }

    /// Violations of safety so far.
    pub fn violations(&self) -> u64 {
        let safety =
            |(invariant, _): &&(Box<dyn Invariant>, Court)| invariant.kind() == Kind::Safety;
        self.courts
            .iter()
            .filter(safety)
            .map(|(_, court)| court.count())
            .sum()
    }

    /// Judges the end, and everything.
    pub fn close(mut self, ending: &Ending) -> Verdicts {
        let seen = Seen {
            cast: &self.cast,
            claims: &self.claims,
            chains: &self.chains,
            evidence: &self.evidence,
            committees: &self.committees,
        };
        for (invariant, court) in &mut self.courts {
            if !court.is_waived() {
                invariant.close(ending.ended, ending, &seen, court);
            }
        }
        Verdicts {
            list: self
                .courts
                .iter()
                .map(|(invariant, court)| Verdict {
                    name: invariant.name(),
                    promise: invariant.promise(),
                    kind: invariant.kind(),
                    finding: court.finding(),
                })
                .collect(),
            reorganisations: self.chains.reorganisations(),
        }
    }
}

impl Reader for Invariants {
    fn read(&mut self, at: Time, fact: &Fact) {
        let (mut append, mut retraction, mut voted, mut clash) = (None, None, None, None);
        let mut tale = None;
        self.performed.clear();
        if let Fact::Node { node, note } = fact
            && self.cast.is_validator(*node)
        {
            let honest = self.cast.is_honest(*node);
            if let Note::Engine(told) = note {
                tale = honest.then_some((*node, told));
            }
            match note {
                Note::Appended(entry) if honest => {
                    let one = self.chains.append(*node, entry);
                    if one.fresh {
                        let into = &mut self.performed;
                        self.contracts.read(&self.chains, one.block, entry, into);
                    }
                    append = Some(one);
                }
                Note::Retracted { block } if honest => {
                    retraction = Some(self.chains.retract(*node, block));
                }
                Note::Scheduled(term) if honest => self.scheduled(term),
                Note::Recovered { height } if honest => self.chains.restart(*node, *height),
                Note::Adopted { block, .. } if honest => self.chains.adopt(*node, block),
                Note::Relied { height, .. } if honest => self.chains.rely(*node, *height),
                // Where a fork may make an honest node vote twice, votes prove nothing.
                Note::Engine(Tale::Voted(vote)) if has_finality(&self.claims) => {
                    voted = honest.then_some(*node);
                    clash = self.evidence.voted(*node, vote);
                }
                Note::Engine(Tale::Proposed { slot, block }) if has_finality(&self.claims) => {
                    voted = honest.then_some(*node);
                    clash = self.evidence.proposed(*node, *slot, block);
                }
                Note::Engine(Tale::Equivocation { by, .. }) if honest => {
                    self.evidence.accuse(*by);
                }
                // Where nobody lies a vote is a message, not a document: who lost its disk may vote anew
                // once its old votes can elect nobody, which is that protocol's to argue (Raft: RA24).
                Note::Engine(Tale::Unmuted(_)) if self.claims.faults == FaultModel::Crash => {
                    self.evidence.forget(*node);
                }
                _ => {}
            }
        }
        let scene = Scene {
            at,
            fact,
            seen: Seen {
                cast: &self.cast,
                claims: &self.claims,
                chains: &self.chains,
                evidence: &self.evidence,
                committees: &self.committees,
            },
            tale,
            append,
            retraction,
            voted,
            clash,
            performed: &self.performed,
        };
        for (invariant, court) in &mut self.courts {
            if !court.is_waived() {
                invariant.read(&scene, court);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{stage::Stage, *};

    #[test]
    fn the_verdicts_come_in_the_order_of_the_names() {
        let mut stage = Stage::pbft();
        stage.expect_steady_leader();
        stage.drain();
        let verdicts = stage.close();
        let names: Vec<_> = verdicts.list.iter().map(|verdict| verdict.name).collect();
        assert_eq!(names, NAMES);
        assert!(
            verdicts
                .list
                .iter()
                .all(|v| v.finding == Finding::Holds { checked: 0 }),
            "an empty run shows nothing: {verdicts:?}"
        );
    }

    #[test]
    fn protocols_are_not_blamed_for_what_they_do_not_claim() {
        let waived = |mut stage: Stage| -> Vec<&'static str> {
            stage.drain();
            let verdicts = stage.close();
            let not_claimed = |v: &&Verdict| matches!(v.finding, Finding::NotClaimed(_));
            let list = verdicts.list.iter().filter(not_claimed);
            list.map(|verdict| verdict.name).collect()
        };
        assert_eq!(waived(Stage::pbft()), [steady_leader::NAME]);
        assert_eq!(
            waived(Stage::central()),
            [
                certificate_validity::NAME,
                prepared_carried::NAME,
                checkpoint::NAME,
                watermarks::NAME,
                view_sanity::NAME,
                durability::NAME,
                steady_leader::NAME
            ]
        );
        assert_eq!(
            waived(Stage::clique()),
            [
                agreement::NAME,
                certificate_validity::NAME,
                no_conflicting_votes::NAME,
                prepared_carried::NAME,
                checkpoint::NAME,
                watermarks::NAME,
                view_sanity::NAME,
                durability::NAME,
                steady_leader::NAME
            ]
        );
    }

    #[test]
    fn an_honest_run_breaks_nothing_and_checks_everything() {
        let mut stage = Stage::pbft();
        stage.expect_steady_leader();
        stage.play_shipment();
        let verdicts = stage.close();
        for verdict in &verdicts.list {
            assert!(
                matches!(verdict.finding, Finding::Holds { checked: 1.. }),
                "{}: {}",
                verdict.name,
                verdict.finding
            );
        }
    }

    #[test]
    fn what_a_liar_appends_is_held_against_nobody() {
        let mut stage = Stage::pbft();
        stage.make_liar(3);
        let genesis = Stage::genesis();
        let ours = Stage::block_at(&genesis, vec![], 1);
        let other = Stage::block_at(&genesis, vec![], 2);
        let ours = stage.certified(ours, vec![], [0, 1, 2]);
        let other = stage.certified(other, vec![], [3]);
        stage.append(0, &ours);
        stage.append(3, &other);
        assert_eq!(stage.violated(), [""; 0]);
    }
}
