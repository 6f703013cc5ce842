//! Links from one committee to the next, and what does not pass for one.

use std::{collections::BTreeSet, sync::Arc};

use consortium_node::{
    block::Finality,
    codec,
    contracts::{
        ContractExecutor,
        consortium::{self, APPROVE, CONTRACT, Change},
    },
    crypto::{Keypair, SignatureMode},
    ledger::{
        Ledger, State,
        handover::{HandOver, HandOverFault, follow},
        proof::{ProofFault, ProofGap},
    },
    membership::{
        Committee, Committees, NodeRecord, NodeRole, Party, Permission, Registry, Seats, Term,
    },
    pbft::FINALITY,
    quorum::{Certificate, CertificateFault, FinalityRule, Vote},
    transaction::{Call, Transaction},
    types::{Epoch, Height, MemberId, NodeId, PartyId, Seq, View},
};

use crate::fixture::{CHAIN, COMMIT, PREPARE, next_block};

const LAG: u64 = 2;

fn node_key(id: u16) -> Arc<Keypair> {
    Keypair::from_seed([id as u8 + 1; 32], CHAIN, SignatureMode::Lazy)
}

fn party_key(id: u32) -> Arc<Keypair> {
    Keypair::from_seed([id as u8 + 101; 32], CHAIN, SignatureMode::Lazy)
}

/// Seven members with a validator and a party each, and a chain that the first four founded.
struct Chain {
    ledger: Ledger,
    executor: ContractExecutor,
    nonce: u64,
}

impl Chain {
    fn new() -> Self {
        let node = |id| NodeRecord {
            id: NodeId(id),
            member: MemberId(id),
            roles: [NodeRole::Validator].into(),
            key: node_key(id).public(),
        };
        let party = |id: u16| Party {
            id: PartyId(id.into()),
            name: id.to_string(),
            member: Some(MemberId(id)),
            key: party_key(id.into()).public(),
            permission: Permission::Write,
            roles: BTreeSet::new(),
        };
        let registry = Registry {
            chain: CHAIN,
            members: (0..7).map(|id| id.to_string()).collect(),
            nodes: (0..7).map(node).collect(),
            parties: (0..7).map(party).collect(),
        };
        let mut state = State::new();
        let founders = [0, 1, 2, 3].map(NodeId);
        consortium::found(&mut state, &registry, &founders, LAG);
        Self {
            ledger: Ledger::new(state),
            executor: ContractExecutor {
                registry: Arc::new(registry),
            },
            nonce: 0,
        }
    }

    fn committees(&self) -> Committees {
        consortium::schedule(self.ledger.state()).expect("founded")
    }

    fn founders(&self) -> Term {
        self.committees().terms()[0].clone()
    }

    /// A final block of the committee in charge, and the link to the next one at the end of its term.
    fn grow(&mut self, transactions: Vec<Arc<Transaction>>) {
        let block = next_block(&self.ledger, transactions);
        let committees = self.committees();
        let term = committees.at(block.header().height);
        let signers: Vec<_> = term.committee.nodes().collect();
        let signers = &signers[..term.committee.quorum()];
        let finality = certify(block.id(), View::first_of(term.epoch), signers);
        self.ledger.append(block, Some(finality), &self.executor);
        let next = self.ledger.height().next();
        let committees = self.committees();
        let term = committees.at(next);
        if term.from == next {
            self.ledger.hand_over(term.epoch).expect("it is carried");
        }
    }

    fn grow_to(&mut self, height: u64) {
        while self.ledger.height() < Height(height) {
            self.grow(Vec::new());
        }
    }

    /// The present committee's members agree on the next one.
    fn change(&mut self, from: u64, validators: &[u16]) {
        let change = Change {
            from: Height(from),
            validators: validators.iter().copied().map(NodeId).collect(),
        };
        let present = self.committees();
        let transactions = present.newest().committee.nodes().map(|node| {
            self.nonce += 1;
            let call = Call::Invoke {
                contract: CONTRACT,
                function: APPROVE.into(),
                arguments: change.to_arguments(),
            };
            let party = PartyId(node.0.into());
            Transaction::sign(&party_key(party.0), party, self.nonce, call)
        });
        let transactions = transactions.collect();
        self.grow(transactions);
    }

    /// From 4 to 5 to 7 to 3 others.
    fn with_changes() -> Self {
        let mut chain = Self::new();
        chain.grow_to(3);
        chain.change(10, &[0, 1, 2, 3, 4]);
        chain.grow_to(12);
        chain.change(20, &[0, 1, 2, 3, 4, 5, 6]);
        chain.grow_to(21);
        chain.change(25, &[4, 5, 6]);
        chain.grow_to(30);
        chain
    }

    fn links(&self) -> Vec<HandOver> {
        let links = self.ledger.hand_overs().iter();
        links.map(|link| over_the_wire(&**link)).collect()
    }
}

fn certify(block: consortium_node::types::Digest, view: View, by: &[NodeId]) -> Arc<Finality> {
    let vote = Vote {
        phase: COMMIT,
        view,
        slot: Seq(1),
        digest: block,
    };
    let votes: Vec<_> = by.iter().map(|id| node_key(id.0).sign(*id, vote)).collect();
    let certificate = Certificate::collect(&votes).expect("somebody voted");
    Arc::new(Finality::Certificate(certificate))
}

fn over_the_wire<T: borsh::BorshSerialize + borsh::BorshDeserialize>(link: &T) -> T {
    codec::decode(&codec::encode(link)).expect("well-formed")
}

fn founders_of(chain: &Chain) -> Arc<Committee> {
    chain.founders().committee
}

/// A link that some of the founders sign for a history of their own, in which they put `validators`
/// into the next committee.
fn forged(by: &[u16], view: View) -> HandOver {
    let mut chain = Chain::new();
    chain.change(10, &[4, 5, 6]);
    chain.grow(Vec::new());
    let block = next_block(&chain.ledger, Vec::new());
    let by: Vec<_> = by.iter().copied().map(NodeId).collect();
    let finality = certify(block.id(), view, &by);
    chain.ledger.append(block, Some(finality), &chain.executor);
    HandOver::new(&chain.ledger, Epoch(1)).expect("carried")
}

#[test]
fn a_client_that_knows_the_founders_learns_who_decides_today() {
    let chain = Chain::with_changes();
    let links = chain.links();
    assert_eq!(links.len(), 3);
    let learned = follow(founders_of(&chain), &links, FINALITY).expect("each link holds");
    let seen = |committees: &Committees| -> Vec<_> {
        let terms = committees.terms().iter();
        terms
            .map(|term| (term.epoch, term.from, term.committee.members().to_vec()))
            .collect()
    };
    assert_eq!(seen(&learned), seen(&chain.committees()));
    let heights = learned.terms().iter().map(|term| term.from.0);
    assert!(heights.eq([0, 10, 20, 25]));
    let head = chain.ledger.head();
    let proof = head.proof.as_ref().expect("final");
    let verdict = consortium_node::ledger::proof::check_finality(
        head.block.id(),
        proof,
        &learned.at(head.height()).committee,
        FINALITY,
    );
    assert_eq!(verdict, Ok(()), "and so it believes today's blocks");
}

#[test]
fn the_last_header_of_a_term_carries_the_change_at_the_latest() {
    let mut chain = Chain::new();
    chain.grow_to(3);
    // Executed at height 4, so 7 is the first height that is possible with a lag of 2.
    chain.change(7, &[0, 1, 2]);
    let early = HandOver::new(&chain.ledger, Epoch(1)).expect("a proof of absence");
    assert_eq!(
        early.verify(&chain.founders(), FINALITY).err(),
        Some(HandOverFault::NoSeats),
        "the header of height 4 carries the results of height 3"
    );
    chain.grow_to(6);
    let next = chain.links()[0]
        .verify(&chain.founders(), FINALITY)
        .expect("it holds");
    assert_eq!(
        (next.epoch, next.from, next.committee.n()),
        (Epoch(1), Height(7), 3)
    );
}

#[test]
fn links_out_of_order_or_left_out_are_refused() {
    let chain = Chain::with_changes();
    let links = chain.links();
    for (order, place) in [(&[1, 0][..], 0), (&[0, 2], 1), (&[0, 0], 1), (&[2], 0)] {
        let shuffled: Vec<_> = order.iter().map(|at: &usize| links[*at].clone()).collect();
        let refused = follow(founders_of(&chain), &shuffled, FINALITY).err();
        let fault = HandOverFault::OtherKey(Epoch(place as u32));
        assert_eq!(refused, Some((place, fault)));
    }
}

#[test]
fn a_link_needs_a_quorum_of_the_committee_that_hands_over() {
    let founders = Chain::new().founders();
    let epoch = View::first_of(Epoch(0));
    assert!(
        forged(&[0, 1, 2], epoch)
            .verify(&founders, FINALITY)
            .is_ok()
    );
    let (found, needed) = (2, 3);
    let refused = |by: &[u16]| forged(by, epoch).verify(&founders, FINALITY).err();
    let proof = |fault: CertificateFault| Some(HandOverFault::Proof(fault.into()));
    let too_few = CertificateFault::TooFew { found, needed };
    assert_eq!(refused(&[0, 1]), proof(too_few));
    let strangers = CertificateFault::NotSigned(NodeId(4));
    assert_eq!(
        refused(&[4, 5, 6]),
        proof(strangers),
        "the new ones vouch for themselves"
    );
    let repeated = CertificateFault::Repeated(NodeId(1));
    assert_eq!(refused(&[0, 1, 1]), proof(repeated));
}

#[test]
fn votes_of_another_epoch_hand_nothing_over() {
    let founders = Chain::new().founders();
    let link = forged(&[0, 1, 2], View::first_of(Epoch(1)));
    let (found, needed) = (Epoch(1), Epoch(0));
    assert_eq!(
        link.verify(&founders, FINALITY).err(),
        Some(HandOverFault::WrongEpoch { found, needed })
    );
}

#[test]
fn a_committee_cannot_name_another_successor_once_its_term_is_over() {
    // The founders' keys leak years later: they certify a header above their last height.
    let mut chain = Chain::new();
    chain.change(10, &[4, 5, 6]);
    chain.grow_to(9);
    let block = next_block(&chain.ledger, Vec::new());
    let finality = certify(block.id(), View(0), &[0, 1, 2].map(NodeId));
    chain.ledger.append(block, Some(finality), &chain.executor);
    let link = HandOver::new(&chain.ledger, Epoch(1)).expect("carried");
    let refused = link.verify(&chain.founders(), FINALITY).err();
    assert_eq!(refused, Some(HandOverFault::OutOfTerm(Height(10))));
}

#[test]
fn a_prepared_header_hands_nothing_over() {
    let chain = Chain::with_changes();
    let prepared = FinalityRule {
        phase: PREPARE,
        ..FINALITY
    };
    let refused = chain.links()[0].verify(&chain.founders(), prepared).err();
    let wrong = ProofFault::WrongPhase(COMMIT);
    assert_eq!(refused, Some(HandOverFault::Proof(wrong)));
}

#[test]
fn no_changed_byte_makes_a_link_to_somebody_else() {
    let chain = Chain::with_changes();
    let founders = chain.founders();
    let link = codec::encode(&**chain.ledger.hand_overs().first().expect("kept"));
    let truth = chain.committees().terms()[1].clone();
    for at in 0..link.len() {
        let mut bytes = link.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(forged) = codec::decode::<HandOver>(&bytes)
            && let Ok(next) = forged.verify(&founders, FINALITY)
        {
            // A view's round is no part of what the header says, but of what was signed.
            assert_eq!(next.from, truth.from, "byte {at}");
            assert_eq!(
                next.committee.members(),
                truth.committee.members(),
                "byte {at}"
            );
        }
    }
}

#[test]
fn where_nothing_was_scheduled_there_is_no_link() {
    let chain = Chain::new();
    let nothing = HandOver::new(&chain.ledger, Epoch(1)).err();
    assert_eq!(nothing, Some(ProofGap::NotCarried(Height(0))));
    let mut chain = Chain::new();
    chain.grow_to(3);
    let absent = HandOver::new(&chain.ledger, Epoch(1)).expect("a proof of absence");
    let refused = absent.verify(&chain.founders(), FINALITY).err();
    assert_eq!(refused, Some(HandOverFault::NoSeats));
    assert!(chain.ledger.state().get(&Seats::key(Epoch(1))).is_none());
}
