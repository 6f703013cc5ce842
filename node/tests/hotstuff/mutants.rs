//! Planted bugs: each breaks its rule at one replica, in the fewest words of others that show it.

use consortium_node::{
    engine::Engine,
    hotstuff::{HotStuffMessage, Leader, News, Variant},
    mutant::{Mutant, Planted},
    quorum::Certificate,
    types::View,
};

use crate::{brisk, script::Script};

/// With the bug replica 3 of four does this, without it not.
fn only_with(mutant: Mutant, variant: Variant, deed: fn(&mut Script) -> bool) {
    let script = |planted| Script::new(4, brisk(variant, Leader::Rotate), 3, planted);
    assert!(deed(&mut script(Planted::one(mutant))), "{mutant}");
    assert!(!deed(&mut script(Planted::NOTHING)), "not {mutant}");
}

/// HS8: two links commit a block that the lock of three does not hold: a later view may leave it out, and
/// another replica commits what takes its place.
#[test]
fn hs8_two_chain_commit() {
    only_with(Mutant::TwoChainCommit, Variant::ThreeChain, |s| {
        let root = s.genesis();
        let one = s.chain(&root, &[1]);
        let two = s.chain(&one, &[2]);
        // It has seen the certificate of 2; nobody is locked on more than genesis without it.
        let news = News {
            high: two.certificate,
            tc: None,
        };
        s.give(&HotStuffMessage::Certificate(news));
        let committed = s.finals().contains(&one.id);
        let mut other = Script::new(
            4,
            brisk(Variant::ThreeChain, Leader::Rotate),
            0,
            Planted::NOTHING,
        );
        // Replica 0 saw block 1, not block 2, and votes for a branch that leaves both out.
        let one = other.chain(&root, &[1]);
        let (tc, fork) = (
            other.tc(2, &[(0, 0), (1, 0), (2, 0)]),
            other.link(&root, 3, 3),
        );
        assert!(
            other.offer(&fork, Some(tc)),
            "safe by the rule of three links"
        );
        let fork = other.certify(&fork, &[0, 1, 2]);
        let fork = other.chain(&fork, &[4, 5]);
        other.chain(&fork, &[6]);
        assert!(!other.finals().contains(&one.id) && !other.finals().is_empty());
        committed
    });
}

/// HS3: with two certificates of one view, which f+1 liars can make, an equal view is not a reason to
/// leave the lock.
#[test]
fn hs3_safe_node_equal_view() {
    only_with(Mutant::SafeNodeEqualView, Variant::ThreeChain, |s| {
        let root = s.genesis();
        let one = s.chain(&root, &[1]);
        let two = s.chain(&one, &[2]);
        s.chain(&two, &[3]);
        let rival = s.link(&root, 1, 1);
        let rival = s.certify(&rival, &[0, 1, 2]);
        let other = s.link(&rival, 4, 0);
        // It fetches nothing: the rival block is here, and refused only by its view.
        let known = s.link(&rival, 4, 0);
        let tc = s.tc(3, &[(0, 1), (1, 1), (2, 1)]);
        s.offer(&other, Some(tc));
        let blocks = s.rival_body(&rival.id);
        s.give(&HotStuffMessage::Blocks(blocks));
        s.voted_for(&other.block.id()) || s.voted_for(&known.block.id())
    });
}

#[test]
fn hs5_repeated_signer_in_certificate() {
    only_with(Mutant::RepeatedSignerInCertificate, Variant::Jolteon, |s| {
        let root = s.genesis();
        let first = s.link(&root, 1, 1);
        s.offer(&first, None);
        let word = s.vote(1, 1, 1, first.block.id());
        let news = News {
            high: Some(Certificate::repeating(&word, 3)),
            tc: None,
        };
        s.give(&HotStuffMessage::Certificate(news));
        s.net.replica(3).engine.high() == View(1)
    });
}

#[test]
fn hs8_gap_in_chain_commits() {
    for (variant, views) in [
        (Variant::ThreeChain, vec![1, 2, 4, 5]),
        (Variant::Jolteon, vec![1, 3, 5]),
        (Variant::HotStuff2, vec![1, 3, 5]),
    ] {
        for planted in [true, false] {
            let bug = Mutant::GapInChainCommits;
            let planted = if planted {
                Planted::one(bug)
            } else {
                Planted::NOTHING
            };
            let mut s = Script::new(4, brisk(variant, Leader::Rotate), 3, planted);
            s.net.checks_proofs = false;
            let root = s.genesis();
            s.chain(&root, &views);
            let committed = !s.finals().is_empty();
            assert_eq!(committed, planted == Planted::one(bug), "{variant:?}");
            assert!(s.net.replica(3).engine.finality().is_some());
        }
    }
}
