//! What an outsider can check after a run, who was not there and knows nothing but public keys.

use std::{ops::Range, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};
use consortium_node::{
    central::ANNOUNCED,
    codec, contracts,
    ledger::{
        Ledger,
        proof::{EntryProof, ProofFault, ProofGap, ReceiptProof, TransactionProof},
        replay,
    },
    membership::{Committee, Registry},
    pbft::{COMMIT, FINALITY, PREPARE},
    quorum::FinalityRule,
    quorum::{CertificateFault, Vote},
    transaction::{Call, ContractId, Outcome},
    types::{Height, NodeId, PartyId, TxId},
};
use consortium_sim::{
    cast::Cast,
    run::{self, Played},
};

mod harness;

/// Faults and cheats do not keep the ledger from proving what it holds.
const EVENTFUL: &str = include_str!("data/eventful.toml");

fn play(protocol: &str) -> Played {
    let protocol = format!("consensus.protocol={protocol}");
    let plan = harness::plan(EVENTFUL, &[&protocol]);
    run::play(&plan, 1, Arc::default()).unwrap_or_else(|breakdown| panic!("{breakdown}"))
}

/// The ledger of a member that never lied and never stopped.
fn correct(played: &Played) -> &Ledger {
    let mut nodes = played.cast.validators();
    let node = nodes.find(|node| played.cast.is_honest(*node) && played.ending.alive[node.index()]);
    &played.ending.ledgers[node.expect("somebody is").index()]
}

/// Someone with nothing but the public keys.
struct Outsider {
    committee: Arc<Committee>,
    registry: Registry,
}

impl Outsider {
    fn new(cast: &Cast) -> Self {
        let registry = &cast.registry;
        let validators = cast
            .validators()
            .map(|node| (node, registry.nodes[node.index()].key));
        Self {
            committee: Committee::new(registry.chain, validators.collect()),
            registry: Registry::clone(registry),
        }
    }
}

/// What arrives has real signatures and remembers nothing of who made them.
fn posted<T: BorshSerialize + BorshDeserialize>(proof: &T) -> T {
    codec::decode(&codec::encode(proof)).expect("well-formed")
}

fn transactions(ledger: &Ledger) -> impl Iterator<Item = (Height, TxId)> {
    ledger.entries().flat_map(|entry| {
        let transactions = entry.block.transactions().iter();
        transactions.map(|transaction| (entry.height(), transaction.id()))
    })
}

/// The golden package's contract: what its sensor, the first device, writes to.
fn golden(cast: &Cast, ledger: &Ledger) -> ContractId {
    let sensor = cast.device(0);
    let transactions = ledger
        .entries()
        .flat_map(|entry| entry.block.transactions());
    transactions
        .filter(|transaction| transaction.party() == sensor)
        .find_map(|transaction| match transaction.call() {
            Call::Invoke { contract, .. } => Some(*contract),
            Call::Create { .. } => None,
        })
        .expect("it reported")
}

#[test]
fn an_outsider_believes_every_transaction_and_receipt_of_a_correct_member() {
    let played = play("pbft");
    let (ledger, outsider) = (correct(&played), Outsider::new(&played.cast));
    let (mut ordered, mut told, mut reverted, mut not_carried) = (0, 0, 0, 0);
    for (height, tx) in transactions(ledger) {
        let proof = posted(&TransactionProof::new(ledger, &tx).expect("it is final"));
        let header = proof
            .verify(&outsider.committee, FINALITY)
            .expect("it is true");
        assert_eq!((header.height, proof.transaction().id()), (height, tx));
        assert_eq!(proof.verify_signature(&outsider.registry), Ok(()));
        ordered += 1;
        match ReceiptProof::new(ledger, &tx) {
            Ok(proof) => {
                let proof = posted(&proof);
                assert_eq!(proof.verify(&outsider.committee, FINALITY), Ok(height));
                assert_eq!(proof.receipt().tx, tx);
                told += 1;
                reverted += u32::from(matches!(proof.receipt().outcome, Outcome::Reverted(_)));
            }
            Err(gap) => {
                assert_eq!(gap, ProofGap::NotCarried(height));
                not_carried += 1;
            }
        }
    }
    assert!(ordered > 200, "{ordered} transactions");
    assert!(
        told > ordered / 2,
        "{told} receipts, {not_carried} heights not carried"
    );
    assert!(reverted > 0, "a revert can be proven as well");
}

#[test]
fn an_outsider_believes_what_the_state_holds_and_what_it_does_not() {
    let played = play("pbft");
    let (ledger, outsider) = (correct(&played), Outsider::new(&played.cast));
    let contract = contracts::key(golden(&played.cast, ledger));
    let proof = posted(&EntryProof::new(ledger, &contract).expect("final"));
    let height = proof.verify(&outsider.committee, FINALITY).expect("true");
    assert!(height < ledger.height(), "results follow their block");
    let state = ledger.state_at(height).expect("kept");
    assert_eq!(
        (proof.key(), proof.value()),
        (&*contract, state.get(&contract))
    );
    assert!(proof.value().is_some());

    let nobody = replay::key(PartyId(u32::MAX));
    let proof = posted(&EntryProof::new(ledger, &nobody).expect("final"));
    assert_eq!(proof.verify(&outsider.committee, FINALITY), Ok(height));
    assert_eq!(proof.value(), None);
}

/// Where the parts of a proof stand in its bytes.
struct Layout {
    header: Range<usize>,
    vote: Range<usize>,
    signatures: Range<usize>,
    subject: Range<usize>,
    path: Range<usize>,
}

impl Layout {
    /// Of a proof under the header and certificate of `height`, whose subject is so many bytes long.
    fn new(ledger: &Ledger, height: Height, subject: usize, all: usize) -> Self {
        let entry = ledger.entry(height).expect("there");
        let header = codec::encode(entry.block.header()).len();
        let finality = codec::encode(&**entry.proof.as_ref().expect("final")).len();
        let vote = header + 1..header + 1 + Vote::WIRE_LEN;
        Self {
            signatures: vote.end + 4..header + finality,
            vote,
            subject: header + finality..header + finality + subject,
            path: header + finality + subject..all,
            header: 0..header,
        }
    }
}

fn flipped<T: BorshDeserialize>(bytes: &[u8], at: usize) -> Option<T> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    codec::decode(&bytes).ok()
}

/// The middle of the run, where blocks hold several transactions.
fn a_transaction_among_others(ledger: &Ledger) -> (Height, TxId) {
    let entry = ledger
        .entries()
        .filter(|entry| entry.block.transactions().len() > 2)
        .find(|entry| ReceiptProof::new(ledger, &entry.block.transactions()[1].id()).is_ok())
        .expect("bursts come");
    (entry.height(), entry.block.transactions()[1].id())
}

#[test]
fn no_byte_of_a_transaction_proof_can_be_changed() {
    let played = play("pbft");
    let (ledger, outsider) = (correct(&played), Outsider::new(&played.cast));
    let (height, tx) = a_transaction_among_others(ledger);
    let proof = TransactionProof::new(ledger, &tx).expect("final");
    let bytes = codec::encode(&proof);
    let layout = Layout::new(ledger, height, proof.transaction().wire_len(), bytes.len());
    let order = layout.subject.start..layout.subject.end - consortium_node::crypto::SIGNATURE_LEN;
    for at in 0..bytes.len() {
        let Some(forged) = flipped::<TransactionProof>(&bytes, at) else {
            continue; // not even well-formed
        };
        let verdict = forged.verify(&outsider.committee, FINALITY).map(|_| ());
        let signed = forged.verify_signature(&outsider.registry);
        match verdict {
            Err(ProofFault::OtherBlock { .. }) => {
                assert!(
                    layout.header.contains(&at) || layout.vote.contains(&at),
                    "byte {at}"
                );
            }
            Err(ProofFault::WrongPhase(_)) => assert_eq!(at, layout.vote.start),
            Err(ProofFault::Certificate(
                CertificateFault::NotSigned(_) | CertificateFault::Repeated(_),
            )) => assert!(
                layout.vote.contains(&at) || layout.signatures.contains(&at),
                "byte {at}"
            ),
            Err(ProofFault::NotIncluded) => {
                assert!(
                    order.contains(&at) || layout.path.contains(&at),
                    "byte {at}"
                );
            }
            // Ids leave signatures out: whose order it is has a question of its own.
            Ok(()) if layout.subject.contains(&at) => {
                assert_eq!(
                    signed,
                    Err(ProofFault::NotSigned(proof.transaction().party()))
                );
            }
            // A place among the leaves is not proven, only that it is among them.
            Ok(()) => {
                assert!(layout.path.contains(&at), "byte {at}");
                assert_eq!(forged.transaction().id(), tx);
            }
            Err(fault) => panic!("byte {at}: {fault}"),
        }
    }
}

#[test]
fn no_byte_of_a_receipt_or_of_an_entry_can_be_changed() {
    let played = play("pbft");
    let (ledger, outsider) = (correct(&played), Outsider::new(&played.cast));
    let (_, tx) = a_transaction_among_others(ledger);
    let honest = ReceiptProof::new(ledger, &tx).expect("carried");
    let bytes = codec::encode(&honest);
    let mut refused = 0;
    for at in 0..bytes.len() {
        let forged = flipped::<ReceiptProof>(&bytes, at);
        match forged.filter(|forged| forged.verify(&outsider.committee, FINALITY).is_ok()) {
            Some(forged) => assert_eq!(forged.receipt(), honest.receipt(), "byte {at}"),
            None => refused += 1,
        }
    }
    assert!(
        refused + 8 >= bytes.len(),
        "all but the place: {refused} of {}",
        bytes.len()
    );
    let key = contracts::key(golden(&played.cast, ledger));
    let bytes = codec::encode(&EntryProof::new(ledger, &key).expect("final"));
    for at in 0..bytes.len() {
        let forged = flipped::<EntryProof>(&bytes, at);
        let believed = forged.is_some_and(|f| f.verify(&outsider.committee, FINALITY).is_ok());
        assert!(!believed, "byte {at}");
    }
}

#[test]
fn a_proof_holds_for_its_own_committee_phase_and_block_only() {
    let played = play("pbft");
    let (ledger, outsider) = (correct(&played), Outsider::new(&played.cast));
    let (height, tx) = a_transaction_among_others(ledger);
    let proof = posted(&TransactionProof::new(ledger, &tx).expect("final"));
    let prepared = FinalityRule {
        phase: PREPARE,
        ..FINALITY
    };
    assert_eq!(
        proof.verify(&outsider.committee, prepared).map(|_| ()),
        Err(ProofFault::WrongPhase(COMMIT))
    );
    let strangers = Outsider::new(&Cast::new(&harness::plan(EVENTFUL, &["seed=24"])));
    let fault = proof.verify(&strangers.committee, FINALITY).map(|_| ());
    assert!(
        matches!(
            fault,
            Err(ProofFault::Certificate(CertificateFault::NotSigned(_)))
        ),
        "{fault:?}"
    );
    // Another block's certificate under this block's header.
    let bytes = codec::encode(&proof);
    let layout = Layout::new(ledger, height, proof.transaction().wire_len(), bytes.len());
    let other = ledger.entry(height.next()).expect("the run went on");
    let other = codec::encode(&**other.proof.as_ref().expect("final"));
    let spliced = [
        &bytes[layout.header],
        &other,
        &bytes[layout.subject.start..],
    ]
    .concat();
    let spliced: TransactionProof = codec::decode(&spliced).expect("well-formed");
    let fault = spliced.verify(&outsider.committee, FINALITY).map(|_| ());
    assert!(
        matches!(fault, Err(ProofFault::OtherBlock { .. })),
        "{fault:?}"
    );
}

#[test]
fn a_database_proves_nothing_but_its_word_to_an_outsider() {
    let played = play("central");
    let (ledger, outsider) = (
        &played.ending.ledgers[NodeId(0).index()],
        Outsider::new(&played.cast),
    );
    let (_, tx) = transactions(ledger).next().expect("it ordered something");
    // One signature of its own kind is no certificate of a quorum's COMMITs.
    let nothing = Err(ProofFault::WrongPhase(ANNOUNCED));
    let proof = posted(&TransactionProof::new(ledger, &tx).expect("it has its word for it"));
    assert_eq!(
        proof.verify(&outsider.committee, FINALITY).map(|_| ()),
        nothing
    );
    assert_eq!(
        proof.verify_signature(&outsider.registry),
        Ok(()),
        "whoever signed it did"
    );
    let proof = posted(&ReceiptProof::new(ledger, &tx).expect("carried"));
    assert_eq!(
        proof.verify(&outsider.committee, FINALITY).map(|_| ()),
        nothing
    );
    let key = contracts::key(golden(&played.cast, ledger));
    let proof = posted(&EntryProof::new(ledger, &key).expect("its word"));
    assert_eq!(
        proof.verify(&outsider.committee, FINALITY).map(|_| ()),
        nothing
    );
}

#[test]
fn clique_has_nothing_final_to_prove() {
    let played = play("clique");
    let ledger = correct(&played);
    let (height, tx) = transactions(ledger).next().expect("it ordered something");
    let gap = TransactionProof::new(ledger, &tx)
        .map(|_| ())
        .expect_err("no finality");
    assert_eq!(gap, ProofGap::NotFinal(height));
    let gap = ReceiptProof::new(ledger, &tx)
        .map(|_| ())
        .expect_err("no finality");
    assert_eq!(gap, ProofGap::NotCarried(height));
    let key = contracts::key(golden(&played.cast, ledger));
    let gap = EntryProof::new(ledger, &key)
        .map(|_| ())
        .expect_err("no finality");
    assert_eq!(gap, ProofGap::NotCarried(Height(0)));
}
