//! M05 and M06 of the museum: what a replica may claim to have seen, in a VIEW-CHANGE above all.
//!
//! They broke implementations of the variant with authenticators (TOCS'02), in which a VIEW-CHANGE only
//! *says* what was pre-prepared and prepared, and the new primary counts who says so. Counting entries
//! instead of senders, or forgetting one of the two conditions, lets one liar replace a committed
//! request. In the variant with signatures (OSDI'99) a claim carries its proof: q−1 PREPAREs or q
//! CHECKPOINTs of distinct members, which a liar has not got however often it repeats its own word.

use std::sync::Arc;

use consortium_node::{
    codec,
    engine::{Forks, Message as _, Refusal},
    pbft::{CHECKPOINT, COMMIT, Decided, PREPARE, PbftMessage, Prepared, Proposal, Report},
    quorum::Certificate,
    rewrite::{Pen, Rewrite},
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    script::Script,
    view_changes::{given, script, view},
};

/// The liar.
const LIAR: u16 = 3;

/// PREPARE of the liar, as often as a proof needs.
fn repeated(s: &Script, view: u64, seq: u64, digest: Digest) -> Certificate {
    let word = s.vote(LIAR, PREPARE, view, seq, digest);
    Certificate::repeating(&word, s.quorum() - 1)
}

/// Replica 2, which leads view 2, prepared block x in slot 1. The liar claims something else; x stands.
fn x_stands(what: &str, lie: impl Fn(&Script, Digest) -> Prepared) {
    let mut s = script(4, 2);
    let block = s.chain(1).remove(0);
    let x = block.id();
    s.give(&s.pre_prepare(0, 1, &block));
    s.give(&s.prepare(1, 0, 1, x));
    s.names();
    let lie = s.view_change(LIAR, 2, None, vec![Arc::new(lie(&s, x))]);
    assert_eq!(s.give(&given(&lie)), [Refusal::Malformed], "{what}");
    let proof = s.prepared(0, 1, x);
    for from in [0, 1] {
        let change = s.view_change(from, 2, None, vec![Arc::clone(&proof)]);
        assert_eq!(s.give(&given(&change)), [], "{what}");
    }
    assert_eq!(view(&s), (2, true), "{what}: with its own it has q");
    let said = s.said();
    let begun = said.iter().find_map(|said| match &**said {
        PbftMessage::NewView(message) => Some(message.body()),
        _ => None,
    });
    let begun = begun.expect("it leads the view");
    let senders: Vec<u16> = begun.changes.iter().map(|c| c.signer().0).collect();
    assert_eq!(
        senders,
        [0, 1, 2],
        "{what}: the lie is not among those that count"
    );
    assert_eq!(begun.proposals[0].body().digest, x, "{what}");
}

#[test]
fn m05_entries_of_one_liar_do_not_add_up_to_a_prepared_proof() {
    let z = Digest([0x5a; 32]);
    // The entry P = (1, z, view 1) of the museum: nobody pre-prepared z.
    x_stands("a made-up proposal, its own PREPARE repeated", |s, _| {
        Prepared {
            claim: s.net.keys[LIAR as usize].sign(
                NodeId(LIAR),
                Proposal {
                    view: View(1),
                    seq: Seq(1),
                    digest: z,
                },
            ),
            prepares: Some(repeated(s, 1, 1, z)),
        }
    });
    // Even if the primary of view 1 lies as well and signs z for it, one backup is not q−1 of them.
    x_stands("a signed proposal, its own PREPARE repeated", |s, _| {
        Prepared {
            claim: s.claim(1, 1, z),
            prepares: Some(repeated(s, 1, 1, z)),
        }
    });
    x_stands("PREPAREs for x under another digest", |s, x| {
        let backups = s.backups(1);
        let genuine = s.certificate(&backups[..s.quorum() - 1], PREPARE, 1, 1, x);
        let vote = *repeated(s, 1, 1, z).vote();
        Prepared {
            claim: s.claim(1, 1, z),
            prepares: Some(genuine.misquoted(vote)),
        }
    });
}

#[test]
fn m05_a_forged_checkpoint_needs_more_than_its_forgers_word() {
    let mut s = script(4, 2);
    let forged = Digest([0x5a; 32]);
    let word = s.vote(LIAR, CHECKPOINT, 0, 2, forged);
    let certificate = Certificate::repeating(&word, s.quorum());
    let change = s.view_change(LIAR, 2, Some(&certificate), vec![]);
    assert_eq!(s.give(&given(&change)), [Refusal::Malformed]);
    assert_ne!(s.give(&PbftMessage::Stable(certificate)), []);
    let genuine = s.stable(2, Digest([1; 32]));
    let misquoted = genuine.misquoted(*s.certificate(&[LIAR], CHECKPOINT, 0, 2, forged).vote());
    let change = s.view_change(LIAR, 2, Some(&misquoted), vec![]);
    assert_eq!(s.give(&given(&change)), [Refusal::Malformed]);
    assert_ne!(s.give(&PbftMessage::Stable(misquoted)), []);
    assert_eq!(s.engine().watermarks().0, Seq(0));
}

#[test]
fn m05_a_new_view_counts_senders_and_not_view_changes() {
    let mut s = script(4, 0);
    for from in [1, 2] {
        s.give(&given(&s.view_change(from, 3, None, vec![])));
    }
    assert_eq!(view(&s), (3, false), "it waits for replica 3's NEW-VIEW");
    let own = s.view_change(LIAR, 3, None, vec![]);
    let often = s.new_view(3, vec![own; s.quorum()], vec![]);
    assert_eq!(s.give(&often), [Refusal::Malformed]);
    assert_eq!(view(&s), (4, false), "on to the next view");
}

#[test]
fn m06_a_proposal_that_was_never_prepared_beats_nothing() {
    // A1: y was proposed in view 0 and reached somebody; x was committed. The liar says y was prepared.
    let y = Digest([0x79; 32]);
    x_stands(
        "A1: a genuine proposal, and no more than its own PREPARE",
        |s, _| Prepared {
            claim: s.claim(0, 1, y),
            prepares: Some(s.certificate(&[LIAR], PREPARE, 0, 1, y)),
        },
    );
    // A2: z was never proposed by the primary of view 1; the liar says that it prepared it there.
    let z = Digest([0x7a; 32]);
    x_stands("A2: a proposal of nobody, prepared by nobody", |s, _| {
        Prepared {
            claim: s.claim(0, 1, y),
            prepares: Some(repeated(s, 1, 1, z)),
        }
    });
    x_stands("A2: the primary itself among its backups", |s, _| {
        Prepared {
            claim: s.claim(1, 1, z),
            prepares: Some(s.certificate(&[1, LIAR], PREPARE, 1, 1, z)),
        }
    });
}

/// One message of every kind that a liar can change, by replica 3.
fn messages(s: &mut Script) -> Vec<PbftMessage> {
    let chain = s.chain(2);
    let (first, d) = (&chain[0], chain[0].id());
    let key = Arc::clone(&s.net.keys[LIAR as usize]);
    let stable = s.stable(2, d);
    let entries = vec![s.prepared(0, 3, d)];
    let change = s.view_change(LIAR, 3, Some(&stable), entries);
    let changes = vec![Arc::clone(&change); 3];
    let report = Report {
        view: View(1),
        active: true,
        executed: Seq(2),
        stable: Seq(2),
        prepared: Seq(3),
        asks: consortium_node::pbft::Asks::Everyone,
        attempt: 1,
        echo: 0,
        open: Vec::new(),
    };
    vec![
        s.pre_prepare(3, 4, first),
        s.prepare(LIAR, 1, 4, d),
        s.commit(LIAR, 1, 4, d),
        s.checkpoint(LIAR, 2, d),
        PbftMessage::ViewChange(change),
        s.new_view(3, changes, vec![s.claim(3, 3, d)]),
        PbftMessage::Status(Arc::new(key.sign(NodeId(LIAR), report))),
        PbftMessage::Body(Arc::clone(first)),
        PbftMessage::Decided(Decided {
            certificate: s.certificate(&[0, 1, 2], COMMIT, 1, 4, d),
            block: Some(Arc::clone(first)),
        }),
        PbftMessage::Stable(stable),
    ]
}

const CHANGES: [Rewrite; 14] = [
    Rewrite::View(1),
    Rewrite::Seq(-1),
    Rewrite::Digest,
    Rewrite::Conflicting,
    Rewrite::Null,
    Rewrite::Earlier,
    Rewrite::WithoutBlock,
    Rewrite::WithoutProof,
    Rewrite::WithoutPrepared,
    Rewrite::MalformedPrepared,
    Rewrite::RepeatedSigner,
    Rewrite::TooFew,
    Rewrite::Stitched,
    Rewrite::ViewChange,
];

#[test]
fn b10_a_small_change_makes_another_message_that_can_be_sent() {
    let mut s = script(4, 0);
    let honest = messages(&mut s);
    let earlier = messages(&mut s);
    let mut made = Vec::new();
    for (message, earlier) in honest.iter().zip(&earlier) {
        let mut forks = Forks::from([(*digest_of(&honest), Digest([9; 32]))]);
        for change in CHANGES {
            let mut pen = Pen {
                key: &s.net.keys[LIAR as usize],
                me: NodeId(LIAR),
                quorum: s.quorum(),
                earlier: Some(earlier),
                forks: &mut forks,
            };
            let Some(lie) = message.rewrite(change, &mut pen) else {
                continue;
            };
            let what = format!("{change:?} of {}", message.kind().name);
            let bytes = codec::encode(&lie);
            assert_ne!(bytes, codec::encode(message), "{what} changes nothing");
            assert_eq!(bytes.len(), lie.wire_len(), "{what}: its length");
            let kind = match change {
                Rewrite::ViewChange => "VIEW-CHANGE",
                _ => message.kind().name,
            };
            assert_eq!(lie.kind().name, kind, "{what}");
            made.push((change, kind));
        }
    }
    for change in CHANGES {
        assert!(
            made.iter().any(|(c, _)| *c == change),
            "{change:?} is good for nothing"
        );
    }
    for message in &honest {
        let kind = message.kind().name;
        assert!(
            made.iter().any(|(_, k)| *k == kind),
            "nothing changes {kind}"
        );
    }
}

/// The digest that the votes among these messages are for.
fn digest_of(messages: &[PbftMessage]) -> &Digest {
    let vote = messages.iter().find_map(|message| match message {
        PbftMessage::Commit(vote) => Some(&vote.body().digest),
        _ => None,
    });
    vote.expect("there is a COMMIT")
}

#[test]
fn b10_no_change_to_a_proof_makes_a_replica_believe_it() {
    for change in CHANGES {
        let mut s = script(4, 0);
        let chain = s.chain(1);
        let decided = PbftMessage::Decided(Decided {
            certificate: s.certificate(&[1, 2, 3], COMMIT, 0, 1, chain[0].id()),
            block: Some(Arc::clone(&chain[0])),
        });
        let stable = PbftMessage::Stable(s.stable(2, Digest([7; 32])));
        for honest in [decided, stable] {
            let mut forks = Forks::new();
            let mut pen = Pen {
                key: &s.net.keys[LIAR as usize],
                me: NodeId(LIAR),
                quorum: s.quorum(),
                earlier: None,
                forks: &mut forks,
            };
            let lie = honest.rewrite(change, &mut pen);
            if let Some(lie) = lie.filter(|lie| lie.kind() == honest.kind()) {
                assert_ne!(s.give(&lie), [], "{change:?} of {}", honest.kind().name);
            }
        }
        assert_eq!(s.engine().executed(), Seq(0), "{change:?}");
        assert_eq!(s.engine().watermarks().0, Seq(0), "{change:?}");
    }
}
