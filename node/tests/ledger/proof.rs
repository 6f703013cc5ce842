//! Proofs that an outsider can check.

use std::sync::Arc;

use consortium_node::{
    block::Finality,
    codec,
    contracts::{self, refrigerated_transportation as shipment},
    crypto::{Keypair, SignatureMode},
    ledger::{
        Ledger,
        proof::{EntryProof, ProofFault, ProofGap, ReceiptProof, TransactionProof, check_finality},
        replay,
    },
    membership::Committee,
    pbft::FINALITY,
    quorum::{CertificateFault, FinalityRule, Phase},
    transaction::{ContractId, Outcome},
    types::{Digest, Height, NodeId},
};

use crate::fixture::{
    CARRIER, CHAIN, COMMIT, Consortium, DEVICE, OWNER, PREPARE, empty_ledger, next_block, tx_at,
};

/// Sends it to an outsider: what arrives has real signatures and no memory of who minted them.
fn over_the_wire<T: borsh::BorshSerialize + borsh::BorshDeserialize>(proof: &T) -> T {
    codec::decode(&codec::encode(proof)).expect("well-formed")
}

#[test]
fn an_outsider_believes_that_a_transaction_was_ordered() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    for (height, place) in [(1, 0), (2, 0), (2, 1), (3, 0)] {
        let tx = tx_at(&ledger, height, place);
        let proof = over_the_wire(&TransactionProof::new(&ledger, &tx).expect("final"));
        assert_eq!(proof.transaction().id(), tx);
        let header = proof.verify(&consortium.committee, FINALITY).expect("true");
        assert_eq!(header.height, Height(height));
        assert_eq!(proof.verify_signature(consortium.registry()), Ok(()));
    }
}

#[test]
fn an_outsider_believes_what_became_of_a_transaction() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    let tx = tx_at(&ledger, 2, 1);
    let proof = over_the_wire(&ReceiptProof::new(&ledger, &tx).expect("carried by block 3"));
    assert_eq!(
        (proof.receipt().tx, &proof.receipt().outcome),
        (tx, &Outcome::Ok)
    );
    assert_eq!(proof.verify(&consortium.committee, FINALITY), Ok(Height(2)));
}

#[test]
fn an_outsider_believes_what_the_state_holds_and_what_it_does_not() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    let contract = ContractId(tx_at(&ledger, 1, 0));
    let key = contracts::key(contract);
    let proof = over_the_wire(&EntryProof::new(&ledger, &key).expect("final"));
    assert_eq!(proof.verify(&consortium.committee, FINALITY), Ok(Height(3)));
    assert_eq!(
        (proof.key(), proof.value()),
        (&key[..], ledger.state().get(&key))
    );
    assert!(shipment::read(ledger.state(), contract).is_some());

    let absent = replay::key(CARRIER);
    let proof = over_the_wire(&EntryProof::new(&ledger, &absent).expect("final"));
    assert_eq!(proof.verify(&consortium.committee, FINALITY), Ok(Height(3)));
    assert_eq!(proof.value(), None);
}

#[test]
fn no_changed_byte_makes_a_proof_of_something_else() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    let (committee, registry) = (&consortium.committee, consortium.registry());
    let tx = tx_at(&ledger, 2, 1);
    let transaction = codec::encode(&TransactionProof::new(&ledger, &tx).expect("final"));
    let receipt = codec::encode(&ReceiptProof::new(&ledger, &tx).expect("final"));
    let key = replay::key(DEVICE);
    let entry = codec::encode(&EntryProof::new(&ledger, &key).expect("final"));
    let flipped = |bytes: &[u8], at: usize| {
        let mut forged = bytes.to_vec();
        forged[at] ^= 1 << (at % 8);
        forged
    };
    for at in 0..transaction.len() {
        if let Ok(proof) = codec::decode::<TransactionProof>(&flipped(&transaction, at))
            && proof.verify(committee, FINALITY).is_ok()
            && proof.verify_signature(registry).is_ok()
        {
            assert_eq!(proof.transaction().id(), tx, "byte {at}");
        }
    }
    for at in 0..receipt.len() {
        if let Ok(proof) = codec::decode::<ReceiptProof>(&flipped(&receipt, at))
            && proof.verify(committee, FINALITY).is_ok()
        {
            let told = ledger.receipt(&tx).map(|(_, receipt)| receipt);
            assert_eq!(Some(proof.receipt()), told, "byte {at}");
        }
    }
    for at in 0..entry.len() {
        if let Ok(proof) = codec::decode::<EntryProof>(&flipped(&entry, at)) {
            assert!(proof.verify(committee, FINALITY).is_err(), "byte {at}");
        }
    }
}

#[test]
fn i9_a_certificate_needs_a_quorum_of_the_committee_in_the_right_phase() {
    let consortium = Consortium::new();
    let committee = &consortium.committee;
    let ledger = consortium.voyage();
    let block = ledger.head().block.id();
    let below = ledger.entry(Height(3)).expect("there").block.id();
    let check = |finality: &Finality| check_finality(block, finality, committee, FINALITY);
    let certified = |digest, phase, by: &[usize]| {
        check(&Finality::Certificate(
            consortium.certificate(digest, phase, by),
        ))
    };
    assert_eq!(certified(block, COMMIT, &[0, 1, 2]), Ok(()));
    assert_eq!(certified(block, COMMIT, &[3, 0, 1, 2]), Ok(()));
    let (found, needed) = (2, 3);
    assert_eq!(
        certified(block, COMMIT, &[0, 1]),
        Err(CertificateFault::TooFew { found, needed }.into())
    );
    assert_eq!(
        certified(block, COMMIT, &[0, 1, 1]),
        Err(CertificateFault::Repeated(NodeId(1)).into())
    );
    assert_eq!(
        certified(block, PREPARE, &[0, 1, 2]),
        Err(ProofFault::WrongPhase(PREPARE))
    );
    let certified_below = ProofFault::OtherBlock {
        certified: below,
        block,
    };
    assert_eq!(certified(below, COMMIT, &[0, 1, 2]), Err(certified_below));
    for nothing in [Finality::Trusted, Finality::Depth(1000)] {
        assert_eq!(check(&nothing), Err(ProofFault::NothingToCheck));
    }
}

#[test]
fn another_committee_does_not_vouch() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    let proof = TransactionProof::new(&ledger, &tx_at(&ledger, 1, 0)).expect("final");
    let members = (0..4u8).map(|at| {
        let key = Keypair::from_seed([100 + at; 32], CHAIN, SignatureMode::Lazy);
        (NodeId(at.into()), key.public())
    });
    let strangers = Committee::new(CHAIN, members.collect());
    let fault = CertificateFault::NotSigned(NodeId(0)).into();
    assert_eq!(proof.verify(&strangers, FINALITY).err(), Some(fault));
    assert_eq!(
        proof
            .verify(
                &consortium.committee,
                FinalityRule {
                    phase: Phase(9),
                    ..FINALITY
                }
            )
            .err(),
        Some(ProofFault::WrongPhase(COMMIT))
    );
}

#[test]
fn a_proof_without_evidence_says_so() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let created = consortium.create(0);
    let block = next_block(&ledger, vec![Arc::clone(&created)]);
    ledger.append(
        block,
        Some(Arc::new(Finality::Trusted)),
        &consortium.executor,
    );
    let proof = TransactionProof::new(&ledger, &created.id()).expect("final by fiat");
    assert_eq!(
        proof.verify(&consortium.committee, FINALITY).err(),
        Some(ProofFault::NothingToCheck)
    );
}

#[test]
fn what_cannot_be_proven_is_told_apart() {
    let consortium = Consortium::new();
    let mut ledger: Ledger = consortium.voyage();
    let unknown = Digest([9; 32]);
    assert_eq!(
        TransactionProof::new(&ledger, &unknown).err(),
        Some(ProofGap::UnknownTransaction(unknown))
    );
    let newest = consortium.create(1);
    consortium.append(&mut ledger, vec![Arc::clone(&newest)]);
    assert_eq!(
        TransactionProof::new(&ledger, &newest.id()).err(),
        Some(ProofGap::NotFinal(Height(5)))
    );
    assert_eq!(
        ReceiptProof::new(&ledger, &newest.id()).err(),
        Some(ProofGap::NotCarried(Height(5)))
    );
    let key = replay::key(OWNER);
    assert_eq!(
        EntryProof::at(&ledger, Height(4), &key).err(),
        Some(ProofGap::NotCarried(Height(4)))
    );
    assert_eq!(
        EntryProof::at(&ledger, Height(1), &key).err(),
        Some(ProofGap::NoSnapshot(Height(1)))
    );
}

#[test]
fn results_that_a_proposer_skipped_are_carried_by_nobody() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let created = consortium.create(0);
    consortium.append_final(&mut ledger, vec![Arc::clone(&created)]);
    let mut header = next_block(&ledger, Vec::new()).header().clone();
    header.results = ledger.results(Height(0)).expect("genesis");
    let slow = consortium_node::block::Block::new(header, Vec::new());
    let proof = consortium.finality(&slow);
    ledger.append(slow, Some(proof), &consortium.executor);
    consortium.append_final(&mut ledger, Vec::new());
    assert_eq!(
        ReceiptProof::new(&ledger, &created.id()).err(),
        Some(ProofGap::NotCarried(Height(1)))
    );
    let contract = contracts::key(ContractId(created.id()));
    let proof = EntryProof::new(&ledger, &contract).expect("the state is carried later");
    assert_eq!(proof.verify(&consortium.committee, FINALITY), Ok(Height(2)));
    assert!(proof.value().is_some());
}
