//! Audits of honest and of doctored copies.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Finality},
    ledger::{
        Ledger, State,
        audit::{
            AuditFault, Auditor, Evidence, Finding, Page, Replay, copy, first_difference, rewrite,
            substitute,
        },
        proof::ProofFault,
    },
    pbft::FINALITY,
    quorum::CertificateFault,
    transaction::{Call, Order, Transaction, Value},
    types::{Digest, Height},
};

use crate::fixture::{COMMIT, Consortium, DEVICE, PREPARE, empty_ledger, tx_at};

fn with_certificates(consortium: &Consortium) -> Auditor<'_> {
    Auditor {
        genesis: Block::genesis(State::new().root()).id(),
        registry: consortium.registry(),
        evidence: Evidence::Certificates(&consortium.committees, FINALITY),
        replay: None,
    }
}

/// Audits with everything an auditor can have.
fn audit(consortium: &Consortium, pages: &[Page]) -> Vec<Finding> {
    let genesis = State::new();
    let auditor = Auditor {
        replay: Some(Replay {
            genesis: &genesis,
            executor: &consortium.executor,
        }),
        ..with_certificates(consortium)
    };
    auditor.audit(pages)
}

/// What a carrier would like to have reported at height 2: a lower temperature.
fn cooler(ledger: &Ledger) -> impl Fn(&Transaction) -> Option<Order> {
    let target = tx_at(ledger, 2, 1);
    move |transaction| {
        let mut order = transaction.signed().body().clone();
        match &mut order.call {
            Call::Invoke { arguments, .. } if transaction.id() == target => {
                arguments[1] = Value::Int(40);
                Some(order)
            }
            _ => None,
        }
    }
}

fn at(height: u64, fault: AuditFault) -> Finding {
    Finding {
        height: Height(height),
        fault,
    }
}

fn uncertified(original: &[Page], doctored: &[Page], height: usize) -> Finding {
    let fault = ProofFault::OtherBlock {
        certified: original[height].block.id(),
        block: doctored[height].block.id(),
    };
    at(height as u64, AuditFault::Finality(fault))
}

#[test]
fn an_honest_copy_passes() {
    let consortium = Consortium::new();
    let pages = copy(&consortium.voyage());
    assert_eq!(audit(&consortium, &pages), []);
    assert_eq!(first_difference(&pages, &pages), None);
    assert_eq!(first_difference(&pages, &pages[..3]), Some(Height(3)));
}

#[test]
fn a_rewritten_copy_links_but_is_found_where_it_was_rewritten_and_why() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    let original = copy(&ledger);
    let doctored = rewrite(&original, cooler(&ledger));
    for pair in doctored.windows(2) {
        assert_eq!(
            pair[1].block.header().parent,
            pair[0].block.id(),
            "it links"
        );
        assert!(pair[1].block.is_whole());
    }
    assert_eq!(first_difference(&original, &doctored), Some(Height(2)));

    let forged = doctored[2].block.transactions()[1].id();
    let signature = AuditFault::Signature {
        tx: forged,
        party: DEVICE,
    };
    let expected = [
        at(2, signature),
        uncertified(&original, &doctored, 2),
        uncertified(&original, &doctored, 3),
        at(3, AuditFault::Results(Height(2))),
        uncertified(&original, &doctored, 4),
    ];
    // The lower temperature leaves the shipment's state as it was: only receipts tell, and those
    // of block 2 name another transaction.
    assert_eq!(audit(&consortium, &doctored), expected);
    assert_eq!(
        expected[0].to_string(),
        format!("height 2: transaction {forged} is not signed by p1, in whose name it stands")
    );
}

#[test]
fn a_cheat_that_holds_the_partys_key_is_found_by_the_certificates() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    let original = copy(&ledger);
    let cooler = cooler(&ledger);
    let doctored = substitute(&original, |transaction| {
        let order = cooler(transaction)?;
        Some(consortium.sign(DEVICE, order.nonce, order.call))
    });
    let findings = with_certificates(&consortium).audit(&doctored);
    let expected = [2, 3, 4].map(|height| uncertified(&original, &doctored, height));
    assert_eq!(findings, expected);

    let without_evidence = Auditor {
        evidence: Evidence::Nothing,
        ..with_certificates(&consortium)
    };
    assert_eq!(
        without_evidence.audit(&doctored),
        [],
        "without certificates only another member's copy tells"
    );
    assert_eq!(first_difference(&original, &doctored), Some(Height(2)));
}

#[test]
fn a_change_without_new_hashes_is_found() {
    let consortium = Consortium::new();
    let ledger = consortium.voyage();
    let original = copy(&ledger);
    let doctored = rewrite(&original, cooler(&ledger));
    let mut spliced = original.clone();
    spliced[2] = doctored[2].clone();
    let findings = with_certificates(&consortium).audit(&spliced);
    assert_eq!(findings.last(), Some(&at(3, AuditFault::Link)));

    let mut missing = original.clone();
    missing.remove(2);
    let findings = with_certificates(&consortium).audit(&missing);
    let expected = [
        at(2, AuditFault::Height(Height(3))),
        at(2, AuditFault::Link),
        at(2, AuditFault::EarlyResults(Height(2))),
        at(3, AuditFault::Height(Height(4))),
        at(3, AuditFault::EarlyResults(Height(3))),
    ];
    assert_eq!(findings, expected);
}

#[test]
fn a_body_that_the_header_does_not_commit_to_is_found() {
    let consortium = Consortium::new();
    let mut pages = copy(&consortium.voyage());
    // Header of block 2 with the body of block 3, as only bytes from outside can be.
    let header = consortium_node::codec::encode(pages[2].block.header());
    let body = consortium_node::codec::encode(&pages[3].block.transactions().to_vec());
    let mixed: Block =
        consortium_node::codec::decode(&[header, body].concat()).expect("well-formed");
    pages[2].block = Arc::new(mixed);
    let findings = with_certificates(&consortium).audit(&pages);
    assert_eq!(findings, [at(2, AuditFault::Transactions)]);
}

#[test]
fn another_genesis_and_an_empty_copy_are_found() {
    let consortium = Consortium::new();
    let auditor = Auditor {
        genesis: Digest([1; 32]),
        ..with_certificates(&consortium)
    };
    let pages = copy(&consortium.voyage());
    assert_eq!(auditor.audit(&pages), [at(0, AuditFault::Genesis)]);
    assert_eq!(auditor.audit(&[]), [at(0, AuditFault::Genesis)]);
}

#[test]
fn missing_and_weak_certificates_are_found() {
    let consortium = Consortium::new();
    let mut pages = copy(&consortium.voyage());
    let block = pages[2].block.id();
    let certificate = |phase, by: &[usize]| {
        let certificate = consortium.certificate(block, phase, by);
        Some(Arc::new(Finality::Certificate(certificate)))
    };
    let too_few = CertificateFault::TooFew {
        found: 2,
        needed: 3,
    };
    let cases = [
        (None, AuditFault::Unproven),
        (
            Some(Arc::new(Finality::Trusted)),
            AuditFault::Finality(ProofFault::NothingToCheck),
        ),
        (
            certificate(COMMIT, &[0, 1]),
            AuditFault::Finality(too_few.into()),
        ),
        (
            certificate(PREPARE, &[0, 1, 2]),
            AuditFault::Finality(ProofFault::WrongPhase(PREPARE)),
        ),
    ];
    for (proof, fault) in cases {
        pages[2].proof = proof;
        assert_eq!(with_certificates(&consortium).audit(&pages), [at(2, fault)]);
    }
}

#[test]
fn i12_results_that_execution_does_not_give_are_found() {
    let consortium = Consortium::new();
    let mut ledger = empty_ledger();
    let created = consortium.create(0);
    consortium.append_final(&mut ledger, vec![Arc::clone(&created)]);
    let mut header = crate::fixture::next_block(&ledger, Vec::new())
        .header()
        .clone();
    header.results.state_root = Digest([3; 32]);
    let lie = Block::new(header, vec![Arc::clone(&created)]);
    let proof = consortium.finality(&lie);
    ledger.append(lie, Some(proof), &consortium.executor);
    let findings = audit(&consortium, &copy(&ledger));
    let reason = "number 0 is spent: the party's window begins at 1".to_owned();
    let void = AuditFault::Void {
        tx: created.id(),
        reason,
    };
    assert_eq!(
        findings,
        [at(2, AuditFault::Results(Height(1))), at(2, void)]
    );
}
