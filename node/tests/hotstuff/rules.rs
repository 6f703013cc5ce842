//! The rules of the chapter, one by one, at a single replica.

use std::sync::Arc;

use consortium_node::{
    crypto::{Keypair, SignatureMode},
    engine::{Refusal, Tale},
    hotstuff::{Config, Fetch, HotStuffMessage, Leader, Link, News, Report, Variant},
    mutant::Planted,
    quorum::Certificate,
    types::{Digest, Height, NodeId, View},
};

use crate::{
    SECOND, VARIANTS, brisk,
    script::{Point, Script},
    support::DELTA,
};

fn script(variant: Variant, me: u16) -> Script {
    Script::new(4, brisk(variant, Leader::Rotate), me, Planted::NOTHING)
}

#[test]
fn hs1_a_leader_proposes_once_a_view_with_the_certificate_of_its_parent() {
    for variant in VARIANTS {
        let mut s = script(variant, 1);
        let waiting = s.net.transaction();
        s.net.submit_to(NodeId(1), &waiting);
        let said = s.said();
        assert_eq!(
            said.iter().filter(|(name, _)| *name == "PROPOSAL").count(),
            3
        );
        assert!(
            said.contains(&("VOTE", 2)),
            "its vote goes to the next leader"
        );
        let another = s.net.transaction();
        s.net.submit_to(NodeId(1), &another);
        assert_eq!(s.said(), []);
    }
}

#[test]
fn hs3_one_vote_a_view_and_never_for_an_earlier_one() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let root = s.genesis();
        let (first, second) = (s.link(&root, 1, 1), s.link(&root, 1, 1));
        assert!(s.offer(&first, None));
        assert!(!s.offer(&second, None));
        assert_eq!(s.refusals(), [Refusal::Conflicting]);
        let by_leader = |tale: &Tale| matches!(tale, Tale::Equivocation { by, .. } if by.0 == 1);
        assert!(s.net.told(3, by_leader));
        let certified = s.certify(&first, &[0, 1, 2]);
        let next = s.link(&certified, 2, 2);
        assert!(s.offer(&next, None));
        let late = s.link(&root, 1, 1);
        assert!(!s.offer(&late, None));
        assert_eq!(s.refusals(), [Refusal::Stale]);
    }
}

#[test]
fn hs3_three_links_vote_off_the_lock_only_for_a_later_certificate() {
    let mut s = script(Variant::ThreeChain, 3);
    let root = s.genesis();
    let one = s.chain(&root, &[1]);
    let two = s.chain(&one, &[2]);
    // Block 3 carries a certificate for 2, which carries one for 1: locked on 1.
    s.chain(&two, &[3]);
    let highs = [(0, 1), (1, 1), (2, 1)];
    let (tc, from_root) = (s.tc(4, &highs), s.link(&root, 5, 1));
    assert!(!s.offer(&from_root, Some(tc)), "it leaves the lock out");
    let (tc, from_one) = (s.tc(5, &highs), s.link(&one, 6, 2));
    assert!(s.offer(&from_one, Some(tc)), "it extends the lock");
    // On another branch there is a later certificate than the lock: that unlocks.
    let mut s = script(Variant::ThreeChain, 3);
    let one = s.chain(&root, &[1]);
    let two = s.chain(&one, &[2]);
    let three = s.chain(&two, &[3]);
    let (tc, other) = (s.tc(4, &highs), s.link(&one, 5, 1));
    assert!(!s.offer(&other, Some(tc)) || three.view == 3);
    let other = s.certify(&other, &[0, 1, 2]);
    let next = s.link(&other, 6, 2);
    assert!(
        s.offer(&next, None),
        "its certificate is later than the lock"
    );
}

#[test]
fn hs3_hotstuff2_votes_for_nothing_below_the_highest_certificate_that_it_knows() {
    let mut s = script(Variant::HotStuff2, 3);
    let root = s.genesis();
    let one = s.chain(&root, &[1]);
    let two = s.chain(&one, &[2, 3]);
    let highs = [(0, 1), (1, 1), (2, 1)];
    let (tc, below) = (s.tc(4, &highs), s.link(&one, 5, 1));
    assert!(!s.offer(&below, Some(tc)));
    let (tc, above) = (s.tc(5, &highs), s.link(&two, 6, 2));
    assert!(s.offer(&above, Some(tc)));
}

#[test]
fn hs3_hs9_jolteon_votes_after_a_failed_view_for_nothing_below_what_its_quorum_had_seen() {
    let mut s = script(Variant::Jolteon, 3);
    let root = s.genesis();
    let one = s.chain(&root, &[1]);
    let two = s.chain(&one, &[2, 3]);
    let low = s.link(&one, 5, 1);
    let tc = s.tc(4, &[(0, 1), (1, 3), (2, 1)]);
    assert!(!s.offer(&low, Some(tc)));
    assert_eq!(s.refusals(), [Refusal::Malformed]);
    // A quorum that had seen less allows less: HS9 binds through the certificate, not through a lock.
    let tc = s.tc(4, &[(0, 1), (1, 1), (2, 1)]);
    assert!(s.offer(&low, Some(tc)));
    let _ = two;
}

#[test]
fn hs4_no_view_begins_without_a_certificate_of_the_one_before() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let root = s.genesis();
        let far = s.link(&root, 2, 2);
        assert!(!s.offer(&far, None));
        assert_eq!(s.refusals(), [Refusal::Malformed]);
        let few = s.tc(1, &[(0, 0), (1, 0)]);
        assert!(!s.offer(&far, Some(few)));
        assert_eq!(s.refusals(), [Refusal::BadSignature]);
        let twice = s.tc(1, &[(0, 0), (1, 0), (1, 0)]);
        assert!(!s.offer(&far, Some(twice)));
        assert_eq!(s.refusals(), [Refusal::BadSignature]);
        let tc = s.tc(1, &[(0, 0), (1, 0), (2, 0)]);
        assert!(s.offer(&far, Some(tc)));
    }
}

#[test]
fn hs4_only_the_leader_proposes_and_a_bad_block_gets_no_vote() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let root = s.genesis();
        let usurped = s.link(&root, 1, 2);
        assert!(!s.offer(&usurped, None));
        assert_eq!(s.refusals(), [Refusal::WrongSender]);
        let bad = s.link(&root, 1, 1);
        let payload = bad.block.transactions()[0].id();
        s.net.replicas[3].host.bad.insert(payload);
        assert!(!s.offer(&bad, None));
        assert_eq!(s.refusals(), [Refusal::BadBlock]);
    }
}

#[test]
fn hs5_a_certificate_takes_q_distinct_members_that_signed_it() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let root = s.genesis();
        let first = s.link(&root, 1, 1);
        assert!(s.offer(&first, None));
        let good = s.certify(&first, &[0, 1, 2]);
        let alone = s.vote(1, 1, 1, first.block.id());
        let other = s.vote(1, 1, 1, Digest([1; 32]));
        let certificate = good.certificate.clone().unwrap();
        let lies = [
            Certificate::repeating(&alone, 3),
            certificate.cut_to(2),
            Certificate::repeating(&other, 3).misquoted(*certificate.vote()),
        ];
        for lie in lies {
            let news = News {
                high: Some(lie),
                tc: None,
            };
            s.give(&HotStuffMessage::Certificate(news));
            assert_eq!(s.refusals(), [Refusal::BadSignature], "{variant:?}");
        }
        let news = News {
            high: good.certificate,
            tc: None,
        };
        s.give(&HotStuffMessage::Certificate(news));
        assert_eq!(s.net.replica(3).engine.high(), View(1));
    }
}

#[test]
fn hs6_hs7_q_votes_make_a_certificate_also_before_the_block_is_here() {
    for variant in VARIANTS {
        let mut s = script(variant, 2);
        let root = s.genesis();
        let first = s.link(&root, 1, 1);
        let id = first.block.id();
        for by in [0, 1] {
            s.give(&HotStuffMessage::Vote(s.vote(by, 1, 1, id)));
            s.give(&HotStuffMessage::Vote(s.vote(by, 1, 1, id)));
        }
        assert_eq!(
            s.net.replica(2).engine.high(),
            View(0),
            "members count once"
        );
        assert_eq!(s.refusals(), [Refusal::Stale; 2]);
        s.give(&HotStuffMessage::Vote(s.vote(1, 1, 1, Digest([1; 32]))));
        assert_eq!(s.refusals(), [Refusal::Conflicting]);
        s.give(&HotStuffMessage::Vote(s.vote(3, 1, 1, id)));
        assert_eq!(s.net.replica(2).engine.high(), View(1));
        let fetched = s.said();
        assert!(
            fetched.iter().any(|(name, _)| *name == "FETCH"),
            "{fetched:?}"
        );
        s.give(&HotStuffMessage::Blocks(vec![first]));
        let waiting = s.net.transaction();
        s.net.submit_to(NodeId(2), &waiting);
        let said = s.said();
        assert_eq!(
            said.iter().filter(|(name, _)| *name == "PROPOSAL").count(),
            3,
            "{said:?}"
        );
    }
}

#[test]
fn hs6_a_vote_for_the_same_block_at_another_height_is_another_statement() {
    let mut s = script(Variant::Jolteon, 2);
    let root = s.genesis();
    let first = s.link(&root, 1, 1);
    let id = first.block.id();
    s.give(&HotStuffMessage::Vote(s.vote(0, 1, 9, id)));
    s.give(&HotStuffMessage::Vote(s.vote(0, 1, 1, id)));
    assert_eq!(s.refusals(), [Refusal::Conflicting]);
    s.give(&HotStuffMessage::Vote(s.vote(1, 1, 1, id)));
    s.give(&HotStuffMessage::Vote(s.vote(3, 1, 1, id)));
    assert_eq!(s.net.replica(2).engine.high(), View(0), "two and a liar");
    assert!(s.offer(&first, None));
    assert_eq!(s.net.replica(2).engine.high(), View(1), "and my own");
}

#[test]
fn hs6_votes_of_strangers_and_of_far_views_do_not_count() {
    let mut s = script(Variant::Jolteon, 2);
    let id = Digest([5; 32]);
    let stranger = Keypair::from_seed([99; 32], s.net.committee.chain(), SignatureMode::Lazy);
    let real = *s.vote(1, 1, 1, id).body();
    s.give(&HotStuffMessage::Vote(stranger.sign(NodeId(1), real)));
    s.give(&HotStuffMessage::Vote(stranger.sign(NodeId(9), real)));
    s.give(&HotStuffMessage::Vote(s.vote(1, 1000, 1, id)));
    let expected = [Refusal::BadSignature, Refusal::WrongSender, Refusal::TooFar];
    assert_eq!(s.refusals(), expected);
}

#[test]
fn hs8_views_with_a_gap_commit_nothing_and_the_next_run_commits_all() {
    for (variant, views, last) in [
        (Variant::ThreeChain, vec![1, 2, 4, 5], 6),
        (Variant::Jolteon, vec![1, 3, 5], 6),
        (Variant::HotStuff2, vec![1, 3, 5], 6),
    ] {
        let mut s = script(variant, 3);
        let root = s.genesis();
        let tip = s.chain(&root, &views);
        assert_eq!(s.finals(), [], "{variant:?}");
        let tip = s.chain(&tip, &[last]);
        s.chain(&tip, &[last + 1]);
        assert_eq!(s.finals().len(), views.len().min(3), "{variant:?}");
    }
}

#[test]
fn hs9_whoever_gave_up_a_view_votes_in_it_no_more() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let waiting = s.net.transaction();
        s.net.submit_to(NodeId(3), &waiting);
        s.net.run(SECOND / 4);
        let expected = if variant == Variant::Jolteon {
            vec![("TIMEOUT", 0), ("TIMEOUT", 1), ("TIMEOUT", 2)]
        } else {
            vec![("NEW-VIEW", 2)]
        };
        assert_eq!(s.said(), expected);
        let root = s.genesis();
        let late = s.link(&root, 1, 1);
        assert!(!s.offer(&late, None));
    }
}

#[test]
fn hs9_a_timeout_says_again_and_again_what_it_said() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let waiting = s.net.transaction();
        s.net.submit_to(NodeId(3), &waiting);
        s.net.run(20 * SECOND);
        let view = s.net.replica(3).engine.leads(View(1));
        assert_eq!(view, NodeId(1));
        let last = if variant == Variant::Jolteon { 1 } else { 2 };
        let status = consortium_node::engine::Engine::status(&s.net.replica(3).engine);
        assert_eq!(status.view, View(last), "alone it goes no further");
        assert!(s.said().len() > 12);
    }
}

#[test]
fn hs10_f_plus_one_are_joined_and_f_are_not() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let root = s.genesis();
        for (by, joins) in [(0, false), (1, true)] {
            let word = s.gives_up(by, 1, &root);
            let message = if variant == Variant::Jolteon {
                HotStuffMessage::Timeout(word)
            } else {
                HotStuffMessage::NewView(word)
            };
            s.give(&message);
            assert_eq!(!s.said().is_empty(), joins, "{variant:?} after {by}");
        }
    }
}

/// Museum M28: a certificate that a liar showed to one replica alone. Without Δ the next leader proposes
/// past it, and the one that is locked refuses; with Δ it hears of it.
#[test]
fn hs10_m28_a_leader_that_waits_hears_of_the_hidden_certificate() {
    for waits in [false, true] {
        let mut config = brisk(Variant::HotStuff2, Leader::Rotate);
        if !waits {
            config.delta = std::time::Duration::ZERO;
        }
        let mut s = Script::new(4, config, 3, Planted::NOTHING);
        let root = s.genesis();
        let hidden = s.link(&root, 1, 1);
        assert!(s.offer(&hidden, None));
        let waiting = s.net.transaction();
        s.net.submit_to(NodeId(3), &waiting);
        s.said();
        for by in [0, 1, 2] {
            s.give(&HotStuffMessage::NewView(s.gives_up(by, 2, &root)));
        }
        s.net.run(DELTA);
        assert_eq!(s.said().iter().any(|(name, _)| *name == "PROPOSAL"), !waits);
        let shown = s.certify(&hidden, &[0, 1, 2]);
        let late = HotStuffMessage::NewView(s.gives_up(0, 3, &shown));
        s.give(&late);
        s.net.run(10 * DELTA);
        let proposed = s.net.trace.iter().find_map(|sent| match &*sent.message {
            HotStuffMessage::Proposal(proposal) => Some(proposal.link.block.header().parent),
            _ => None,
        });
        let expected = if waits { hidden.block.id() } else { root.id };
        assert_eq!(proposed, Some(expected), "waits {waits}");
    }
}

#[test]
fn hs11_m32_timeouts_grow_with_each_view_in_vain_to_a_bound_and_begin_anew_with_a_commit() {
    for variant in VARIANTS {
        let mut s = script(variant, 3);
        let waiting = s.net.transaction();
        s.net.submit_to(NodeId(3), &waiting);
        s.net.run(60 * SECOND);
        let mut times: Vec<_> = s.net.trace.iter().map(|sent| sent.at.0).collect();
        times.dedup();
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(
            gaps.last(),
            Some(&(3 * SECOND.as_nanos() as u64)),
            "{variant:?}"
        );
    }
    let mut net = crate::net(4, Variant::Jolteon, Leader::Rotate);
    net.groups = vec![0, 0, 1, 1];
    net.submit();
    net.run(30 * SECOND);
    net.groups = vec![0; 4];
    net.run(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    net.crash(0);
    let before = net.now;
    net.submit();
    net.run(10 * SECOND);
    let last = net.replica(1).finals.last().unwrap().0;
    assert!(
        last.0 - before < SECOND.as_nanos() as u64,
        "the timeout is short again"
    );
}

#[test]
fn hs12_nothing_leaves_before_it_is_durable() {
    for variant in VARIANTS {
        let mut net = crate::net(4, variant, Leader::Rotate);
        net.submit();
        net.run(DELTA * 3);
        net.crash(1);
        net.submit();
        net.run(5 * SECOND);
        for sent in &net.trace {
            let before = &net.replica(sent.from.0).records[..sent.records];
            let is_covered = match &*sent.message {
                HotStuffMessage::Vote(vote) => before.iter().any(|record| {
                    matches!(record, consortium_node::hotstuff::Record::Voted(proposal)
                        if proposal.claim.body().digest == vote.body().digest)
                }),
                HotStuffMessage::NewView(word) | HotStuffMessage::Timeout(word) => {
                    before.iter().any(|record| {
                        matches!(record, consortium_node::hotstuff::Record::GaveUp(known)
                            if known.claim.body() == word.claim.body())
                    })
                }
                _ => true,
            };
            assert!(is_covered, "{variant:?} {:?}", sent.message);
        }
    }
}

#[test]
fn hs14_by_reputation_who_is_dead_leads_no_more_and_who_comes_back_does() {
    for variant in VARIANTS {
        let mut net = crate::net(7, variant, Leader::Reputation);
        net.crash(2);
        let leaders = |net: &crate::Net, from: u64| -> std::collections::BTreeSet<u16> {
            let view = net.replica(0).engine.high().0;
            (view + from..view + from + 40)
                .map(|view| net.replica(0).engine.leads(View(view)).0)
                .collect()
        };
        assert!(leaders(&net, 1).contains(&2), "as long as nothing is known");
        for _ in 0..60 {
            net.submit();
            net.run(5 * DELTA);
        }
        net.run(10 * SECOND);
        assert!(!leaders(&net, 1).contains(&2), "{variant:?}");
        net.check_agreement();
        // The first q votes make a certificate: without others it is among them.
        net.restart(2, consortium_node::engine::Recovery::Clean);
        net.crash(5);
        net.crash(6);
        net.hosts_sync = true;
        for _ in 0..60 {
            net.submit();
            net.run(20 * DELTA);
        }
        net.run(10 * SECOND);
        let leads = |tale: &Tale| matches!(tale, Tale::Proposed { .. });
        assert!(net.told(2, leads), "{variant:?}");
        assert!(!leaders(&net, 1).contains(&5), "{variant:?}");
    }
}

/// Gives a certificate, and its block with ancestors.
fn show(s: &mut Script, point: &Point, links: &[Arc<Link>]) {
    let (high, tc) = (point.certificate.clone(), None);
    s.give(&HotStuffMessage::Certificate(News { high, tc }));
    let newest_first = links.iter().rev().cloned().collect();
    s.give(&HotStuffMessage::Blocks(newest_first));
}

/// Who leads the views to come, says replica 3 of four that never voted: after a certificate that the next
/// leader skips (the replica saw it, or not), and after three more blocks in a row.
fn leaders_around_a_skipped_certificate(variant: Variant, seen: bool) -> [Vec<NodeId>; 2] {
    let config = Config {
        window: 2,
        ..brisk(variant, Leader::Reputation)
    };
    let mut s = Script::new(4, config, 3, Planted::NOTHING);
    let leaders = |s: &Script, from: u64| {
        let views = from..from + 40;
        let leads = |view| s.net.replica(3).engine.leads(View(view));
        views.map(leads).collect()
    };
    let (mut links, mut before, mut at) = (Vec::new(), s.genesis(), s.genesis());
    // It takes one more than the links of a commit to commit the two of a window.
    let last = variant.links() as u64 + 1;
    for view in 1..=last {
        links.push(s.link(&at, view, 0));
        before = at;
        at = s.certify(&links[links.len() - 1], &[0, 1, 2]);
    }
    if seen {
        show(&mut s, &at, &links);
    }
    links.pop();
    let mut at = before;
    let mut found = Vec::new();
    for view in last + 3..last + 7 {
        links.push(s.link(&at, view, 1));
        at = s.certify(&links[links.len() - 1], &[0, 1, 2]);
        show(&mut s, &at, &links);
        if view == last + 3 {
            assert_eq!(s.finals().len(), 1 + usize::from(seen), "{variant:?}");
            found.push(leaders(&s, view + 1));
        }
    }
    assert!(s.finals().len() > 2, "{variant:?}");
    // The leader of the next view collects votes of those who know no more than the parent.
    found.push(leaders(&s, last + 8));
    found.try_into().expect("asked twice")
}

#[test]
fn hs14_a_certificate_off_the_chain_of_the_highest_one_changes_no_leader() {
    for variant in VARIANTS {
        let [early, late] = leaders_around_a_skipped_certificate(variant, false);
        let seen = leaders_around_a_skipped_certificate(variant, true);
        assert_eq!(seen, [early.clone(), late.clone()], "{variant:?}");
        assert!(early.contains(&NodeId(3)), "a window is not full yet");
        assert!(!late.contains(&NodeId(3)), "it never took part");
        assert!(!late.contains(&NodeId(1)), "it proposed last");
    }
}

#[test]
fn hs15_fetched_blocks_are_taken_only_if_they_were_asked_for_and_certified() {
    let mut s = script(Variant::Jolteon, 3);
    let root = s.genesis();
    let first = s.link(&root, 1, 1);
    s.give(&HotStuffMessage::Blocks(vec![Arc::clone(&first)]));
    assert_eq!(s.refusals(), [Refusal::Stale]);
    let one = s.certify(&first, &[0, 1, 2]);
    let second = s.link(&one, 2, 2);
    let two = s.certify(&second, &[0, 1, 2]);
    let third = s.link(&two, 3, 3);
    let three = s.certify(&third, &[0, 1, 2]);
    let fourth = s.link(&three, 4, 0);
    assert!(!s.offer(&fourth, None), "its parent is missing");
    assert!(s.said().iter().any(|(name, _)| *name == "FETCH"));
    let spoilt = Arc::new(Link {
        block: Arc::clone(&third.block),
        justify: two.certificate.as_ref().map(|one| one.cut_to(2)),
    });
    s.give(&HotStuffMessage::Blocks(vec![spoilt]));
    assert_eq!(s.refusals(), [Refusal::Malformed]);
    s.give(&HotStuffMessage::Blocks(vec![Arc::clone(&third)]));
    s.give(&HotStuffMessage::Blocks(vec![second, first]));
    assert!(s.voted_for(&fourth.block.id()));
    assert_eq!(s.finals().len(), 2);
    // And it hands them on.
    s.said();
    let fetch = Fetch {
        block: third.block.id(),
        above: Height(0),
    };
    let fetch = s.net.keys[0].sign(NodeId(0), fetch);
    s.give(&HotStuffMessage::Fetch(fetch));
    assert_eq!(s.said(), [("BLOCKS", 0)]);
}

#[test]
fn hs16_who_asks_is_told() {
    let mut s = script(Variant::Jolteon, 3);
    let root = s.genesis();
    s.chain(&root, &[1, 2]);
    s.said();
    let report = Report {
        view: View(1),
        high: View(0),
        attempt: 7,
        asks: true,
    };
    let report = s.net.keys[0].sign(NodeId(0), report);
    s.give(&HotStuffMessage::Status(report));
    assert_eq!(s.said(), [("STATUS", 0), ("CERTIFICATE", 0)]);
    let behind = HotStuffMessage::Timeout(s.gives_up(0, 1, &root));
    s.give(&behind);
    assert_eq!(s.said(), [("CERTIFICATE", 0)]);
}

#[test]
fn a_change_of_the_committee_changes_nothing() {
    let mut net = crate::net(4, Variant::Jolteon, Leader::Rotate);
    net.change(1, 3, &[0, 1, 2]);
    for _ in 0..4 {
        net.submit();
        net.run(SECOND);
    }
    net.check_done(&crate::all(4));
    net.fire(0, consortium_node::hotstuff::Timer::View(View(1)));
    net.run(SECOND);
    net.check_done(&crate::all(4));
}
