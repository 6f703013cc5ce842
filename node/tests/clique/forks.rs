//! Partitions, reorganisations, ties, and what an honest signer may do because of them.

use std::collections::BTreeSet;

use consortium_node::{
    clique::{BATCH, Clique, CliqueMessage, HeadStatus, TieBreak},
    engine::{Forks, Message, Refusal, Tale},
    types::{Digest, NodeId},
};

use super::{
    DELAY, PERIOD, assert_signer_limit, branch,
    chain_support::{Net, genesis, keys},
    config, difficulty, net, net_of, seals,
};

const ALL: [usize; 4] = [0, 1, 2, 3];

/// Four nodes, all in turn up to height 4, which node 0 sealed: heights 3 and 4 bar 3 and 0 from 5.
fn at_height_4(tie_break: TieBreak) -> Net<Clique> {
    let mut config = config();
    config.tie_break = tie_break;
    let mut net = net_of(4, &config);
    net.run(4 * PERIOD + 2 * DELAY);
    assert!(net.hosts.iter().all(|host| host.height() == 4));
    net
}

#[test]
fn a_minority_of_one_forks_off_and_comes_back() {
    let mut net = at_height_4(TieBreak::FirstSeen);
    net.split(&[&[0, 1, 3], &[2]]);
    net.run(40 * PERIOD);
    assert_eq!(
        net.hosts[2].height(),
        5,
        "the signer limit leaves it one block"
    );
    let lonely = net.hosts[2].head().id();
    let majority = net.hosts[0].height();
    assert!(majority > 20 && net.agree(&[0, 1, 3]));
    assert!(net.hosts[0].chain.iter().all(|block| block.id() != lonely));
    net.heal();
    net.run(5 * PERIOD);
    assert!(net.agree(&ALL));
    assert_eq!(net.hosts[2].deepest_reorg, 1);
    assert!(net.hosts[2].chain.iter().all(|block| block.id() != lonely));
    assert_signer_limit(4, &net.hosts[2].chain);
    for kind in ["NEW-BLOCK", "FETCH", "BODY", "STATUS"] {
        assert!(
            net.count(kind) > 0,
            "{kind} was seen, and its length checked"
        );
    }
    assert!(net.hosts.iter().all(|host| host.refusals.is_empty()));
}

#[test]
fn a_long_absence_is_made_up_for_in_bounded_batches() {
    let mut net = net(4);
    net.run(2 * PERIOD);
    net.split(&[&[0, 1, 2], &[3]]);
    net.run(4 * BATCH as u32 * PERIOD);
    let missed = net.hosts[0].height() as usize;
    assert!(missed > 2 * BATCH);
    net.heal();
    net.run(5 * PERIOD);
    assert!(net.agree(&ALL));
    assert!(net.count("BODY") > missed / BATCH);
}

#[test]
fn two_halves_stall_and_the_heavier_branch_wins_when_they_meet() {
    let mut net = at_height_4(TieBreak::FirstSeen);
    net.split(&[&[0, 2], &[1, 3]]);
    net.run(30 * PERIOD);
    // Left: 2 out of turn. Right: 1 in turn, then 3 out of turn. Then the limit stops both.
    assert_eq!((net.hosts[0].height(), net.hosts[1].height()), (5, 6));
    net.heal();
    net.run(10 * PERIOD);
    assert!(net.agree(&ALL));
    assert!(net.hosts[0].height() > 10, "sealing goes on");
    assert_eq!(
        (net.hosts[0].deepest_reorg, net.hosts[1].deepest_reorg),
        (1, 0)
    );
}

#[test]
fn first_seen_ties_can_halt_a_network_in_which_everyone_is_alive() {
    let halted = |tie_break: TieBreak| {
        let mut net = at_height_4(tie_break);
        net.split(&[&[0, 1], &[2, 3]]);
        net.run(30 * PERIOD);
        // Left: 1 in turn (2). Right: 2, then 3, out of turn (1 + 1). Each may be extended only by
        // those who sit on the other.
        assert_eq!((net.hosts[0].height(), net.hosts[2].height()), (5, 6));
        net.heal();
        net.run(60 * PERIOD);
        !net.agree(&ALL) && net.hosts.iter().all(|host| host.height() <= 6)
    };
    assert!(halted(TieBreak::FirstSeen), "go-ethereum 18402");
    assert!(!halted(TieBreak::Eip3436), "shortest chain");
    assert!(!halted(TieBreak::ShorterThenCoin), "geth's lower number");
}

#[test]
fn an_honest_signer_can_seal_twice_at_a_height_but_not_on_one_parent() {
    let n = 8;
    let mut net = net(n);
    net.split(&[]);
    let five = 5;
    net.run(2 * PERIOD + DELAY);
    // Two blocks out of turn reach node 5; it adds a third: weight 3 at height 3.
    let light = branch(n, &genesis(), &[3, 4]);
    // Two blocks in turn weigh 4 at height 2.
    let heavy = branch(n, &genesis(), &[1, 2]);
    for block in &light {
        net.inject(five, 3, &CliqueMessage::NewBlock(block.clone()));
    }
    net.run(5 * PERIOD);
    assert_eq!(net.hosts[five].height(), 3);
    for block in &heavy {
        net.inject(five, 1, &CliqueMessage::NewBlock(block.clone()));
    }
    assert_eq!(net.hosts[five].height(), 2, "heavier though shorter");
    net.run(5 * PERIOD);
    let at_three: Vec<_> = seals(&net, five)
        .into_iter()
        .filter(|(height, _)| *height == 3)
        .collect();
    assert_eq!(at_three.len(), 2, "an honest node, two seals at one height");
    assert!(
        net.hosts[five]
            .tales
            .iter()
            .all(|tale| !matches!(tale, Tale::Equivocation { .. }))
    );
}

#[test]
fn two_seals_on_one_parent_are_evidence_and_both_stay_in_the_tree() {
    let mut net = net(4);
    net.split(&[]);
    net.run(PERIOD);
    let honest = CliqueMessage::NewBlock(branch(4, &genesis(), &[1])[0].clone());
    let mut forks = Forks::new();
    let key = &keys(4)[1];
    let lie = honest
        .conflicting(key, NodeId(1), &mut forks)
        .expect("its own block");
    assert!(
        honest
            .conflicting(&keys(4)[2], NodeId(2), &mut Forks::new())
            .is_none()
    );
    net.run(DELAY);
    for message in [&honest, &honest, &lie] {
        net.inject(0, 1, message);
    }
    let slot = honest.slot();
    let evidence = Tale::Equivocation {
        by: NodeId(1),
        slot,
    };
    let told = net.hosts[0].tales.iter().filter(|tale| **tale == evidence);
    assert_eq!(told.count(), 1);
    let CliqueMessage::NewBlock(second) = &lie else {
        panic!("a lie about a block is a block");
    };
    let child = branch(4, second.block(), &[2]).remove(0);
    net.run(PERIOD);
    net.inject(0, 2, &CliqueMessage::NewBlock(child.clone()));
    assert_eq!(
        net.hosts[0].head().id(),
        child.block().id(),
        "the other branch grew"
    );
}

#[test]
fn spam_on_one_parent_ends_at_n_blocks() {
    let mut net = net(4);
    net.split(&[]);
    net.run(2 * PERIOD);
    let mut message = CliqueMessage::NewBlock(branch(4, &genesis(), &[1])[0].clone());
    let before = net.hosts[0].refusals.len();
    for _ in 0..10 {
        net.inject(0, 1, &message);
        message = message
            .conflicting(&keys(4)[1], NodeId(1), &mut Forks::new())
            .expect("its own block");
    }
    let refused = &net.hosts[0].refusals[before..];
    assert_eq!(refused, [Refusal::Conflicting; 6]);
}

#[test]
fn a_chain_that_anyone_follows_never_breaks_the_limit_whatever_the_cuts() {
    let cuts: [(&[usize], &[usize]); 4] = [
        (&[0, 1, 2], &[3, 4]),
        (&[0, 3], &[1, 2, 4]),
        (&[4], &[0, 1, 2, 3]),
        (&[2, 3, 4], &[0, 1]),
    ];
    let mut config = config();
    config.tie_break = TieBreak::Eip3436;
    let mut net = net_of(5, &config);
    for (left, right) in cuts {
        net.split(&[left, right]);
        net.run(7 * PERIOD);
        net.heal();
        net.run(6 * PERIOD);
        assert!(net.agree(&[0, 1, 2, 3, 4]));
    }
    let deepest = net.hosts.iter().map(|host| host.deepest_reorg).max();
    assert_eq!(deepest, Some(2), "⌊n/2⌋ signers add at most so many blocks");
    let chain = &net.hosts[0].chain;
    assert_signer_limit(5, chain);
    assert!(chain[1..].iter().any(|block| difficulty(block) == 1));
    // At most one seal of a signer on a parent, honest as they all are.
    for node in 0..5 {
        let seals = seals(&net, node);
        let distinct: BTreeSet<_> = seals.iter().collect();
        assert_eq!(seals.len(), distinct.len());
        assert!(
            net.hosts[node]
                .tales
                .iter()
                .all(|tale| !matches!(tale, Tale::Equivocation { .. }))
        );
    }
}

#[test]
fn whoever_shows_a_lighter_chain_is_told_of_the_heavier_one_and_a_heavier_one_is_asked_for() {
    let mut net = at_height_4(TieBreak::FirstSeen);
    let ours = net.hosts[0].engine.head();
    net.stop(0);
    let sent = |net: &Net<Clique>| (net.count("STATUS"), net.count("FETCH"));
    let mut claim = HeadStatus {
        head: Digest([5; 32]),
        ..ours
    };
    net.inject(0, 2, &CliqueMessage::Status(claim));
    assert_eq!(sent(&net), (0, 0), "first seen does not look at equals");
    claim.total_difficulty -= 1;
    net.inject(0, 2, &CliqueMessage::Status(claim));
    assert_eq!(sent(&net), (1, 0));
    claim.total_difficulty += 2;
    net.inject(0, 2, &CliqueMessage::Status(claim));
    assert_eq!(sent(&net), (1, 1));
    let stale = branch(4, &genesis(), &[2]).remove(0);
    net.inject(0, 2, &CliqueMessage::NewBlock(stale));
    assert_eq!(sent(&net), (2, 1), "news of a lighter branch");
}
