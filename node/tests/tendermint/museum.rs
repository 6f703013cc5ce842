//! Known failures of Tendermint and of protocols that look like it, by their numbers in the museum.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    engine::{Message as _, Recovery, Tale},
    mutant::Planted,
    tendermint::{
        Config, PRECOMMIT, PREVOTE, Tendermint, TendermintMessage,
        accountability::{Evidence, Guilt},
    },
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    Net, check_votes, net_with,
    script::{NIL, Script},
    support::{DELTA, Sent},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn without_relay() -> Config {
    Config {
        relay_polkas: false,
        ..Config::default()
    }
}

/// Decides about each message: `false` loses it.
fn filter(net: &mut Net, mut passes: impl FnMut(&Sent<TendermintMessage>) -> bool + 'static) {
    net.tamper = Some(Box::new(move |sent: &Sent<TendermintMessage>| {
        passes(sent).then(|| Arc::clone(&sent.message))
    }));
}

/// Member 3 lies: `hidden` maps a round to the one that gets its PREVOTE there, and nobody gets anything
/// else from it. `lost` lists proposals that do not arrive, by round and receiver.
fn hide(net: &mut Net, hidden: BTreeMap<u64, u16>, lost: Vec<(u64, u16)>) {
    let liar = NodeId(3);
    net.liars.push(liar);
    filter(net, move |sent| {
        let (kind, round) = (sent.message.kind().name, sent.message.slot().view.round());
        if sent.to == liar {
            // It never locks, so that it prevotes whatever is proposed.
            return kind == "PROPOSAL" || kind == "PRECOMMIT";
        }
        if sent.from == liar {
            let shown = hidden.get(&round) == Some(&sent.to.0);
            return shown && kind == "PREVOTE";
        }
        // Before the network is timely, one of the honest misses the proposal.
        !(kind == "PROPOSAL" && lost.contains(&(round, sent.to.0)))
    });
}

/// M23: in round 0 the liar shows its PREVOTE to 0 alone, in round 1 to 2 alone. They lock different
/// blocks; then it is silent.
fn hidden_locks(config: Config, planted: Planted) -> Net {
    let mut net = Net::new(4, move |me, key, committee, genesis| {
        Tendermint::new(config, me, key, committee, genesis).planting(planted)
    });
    // Proposers: 0, 1, 2, and the liar. Replica 2 misses block 0; 0 is locked and refuses block 1.
    hide(&mut net, BTreeMap::from([(0, 0), (1, 2)]), vec![(0, 2)]);
    net.submit();
    net
}

pub(crate) fn m23_is_stuck_after(planted: Planted, config: Config) -> bool {
    let mut net = hidden_locks(config, planted);
    // Two polkas of one round need the third vote, which 1 and 2 never see of 0's block.
    net.run(10 * MINUTE);
    net.check_agreement();
    check_votes(&net);
    [0, 1, 2]
        .iter()
        .all(|node| net.replica(*node).host.chain.len() == 1)
}

#[test]
fn m23_hidden_locks_livelock_without_relay_of_polkas() {
    assert!(m23_is_stuck_after(Planted::NOTHING, without_relay()));
}

#[test]
fn m23_tm17_hidden_locks_are_solved_by_the_relay_of_polkas() {
    assert!(!m23_is_stuck_after(Planted::NOTHING, Config::default()));
}

/// M24: 0 is locked on the block of round 0, thanks to the PREVOTE of 3 that it alone received. 3 is gone,
/// and 1 and 2 start again, so that they forget the votes of others.
fn restart_stuck(config: Config) -> Net {
    let mut net = net_with(4, config);
    filter(&mut net, |sent| {
        let (name, round) = (sent.message.kind().name, sent.message.slot().view.round());
        match name {
            "PROPOSAL" => sent.to != NodeId(2),
            "PREVOTE" => round > 0 || sent.from != NodeId(3) || sent.to == NodeId(0),
            "PRECOMMIT" => true,
            _ => false,
        }
    });
    net.submit();
    net.run(SECOND);
    assert!(net.replica(0).engine.locked().is_some());
    net.crash(3);
    net.run(7 * SECOND);
    assert!(net.told(1, |tale| matches!(tale, Tale::Entered { .. })));
    for node in [1, 2] {
        assert_eq!(net.replica(node).engine.locked(), None);
        net.crash(node);
    }
    net.tamper = None;
    net.restart(1, Recovery::Clean);
    net.restart(2, Recovery::Clean);
    net.ask_again();
    net.run(5 * MINUTE);
    net.check_agreement();
    check_votes(&net);
    net
}

#[test]
fn m24_a_lock_whose_polka_was_forgotten_stops_everything_without_relay() {
    let net = restart_stuck(without_relay());
    assert_eq!(net.replica(0).host.chain.len(), 1);
}

#[test]
fn m24_tm17_a_proposal_brings_the_polka_of_its_valid_round() {
    let net = restart_stuck(Config::default());
    net.check_done(&[0, 1, 2]);
}

#[test]
fn m22_tm3_a_later_polka_frees_the_one_that_is_locked_on_an_earlier_block() {
    // A = 3 lies; B = 0; C = 1 and D = 2.
    let mut net = net_with(4, Config::default());
    net.liars.push(NodeId(3));
    let mut gone = false;
    filter(&mut net, move |sent| {
        let (name, round) = (sent.message.kind().name, sent.message.slot().view.round());
        let liar = sent.from == NodeId(3);
        gone |= round > 1;
        if gone {
            return !liar;
        }
        match (name, round) {
            // X: only B and A see the polka; D misses the proposal.
            ("PROPOSAL", 0) => sent.to != NodeId(2),
            ("PREVOTE", 0) if liar => sent.to == NodeId(0),
            // A itself does not lock, and so goes on to prevote Y.
            ("PREVOTE", 0) => sent.to != NodeId(3),
            // Y: B does not see the polka, C and D do.
            ("PREVOTE", 1) => !liar || sent.to != NodeId(0),
            ("PRECOMMIT", 1) => !liar,
            ("PRECOMMIT" | "PROPOSAL", _) => true,
            _ => false,
        }
    });
    net.submit();
    while [1, 2]
        .iter()
        .any(|node| net.replica(*node).engine.locked().is_none())
    {
        net.run(DELTA / 2);
        assert!(net.now < MINUTE.as_nanos() as u64, "C never locked");
    }
    let locks = [0, 1, 2].map(|node| net.replica(node).engine.locked().expect("locked"));
    assert_eq!(locks.map(|(round, _)| round), [0, 1, 1]);
    assert_ne!(locks[0].1, locks[1].1);
    assert_eq!(locks[1].1, locks[2].1);
    net.run(MINUTE);
    net.check_done(&[0, 1, 2]);
    assert_eq!(net.replica(0).host.chain[1].id(), locks[1].1, "Y");
    check_votes(&net);
}

/// M25: a validator prevotes, stops, and starts again with a disk; then the proposer says something else.
/// What it prevoted, in all.
fn signed_around_restart(disk: Recovery, rolled_back: bool) -> Vec<Digest> {
    let mut s = Script::new(2);
    let first = s.offer(0);
    s.net.crash(2);
    if rolled_back {
        s.net.replicas[2].log.clear();
    }
    s.net.restart(2, disk);
    let transaction = s.net.transaction();
    s.net.submit_to(NodeId(2), &transaction);
    let other = s.offer(0);
    assert_ne!(first.id(), other.id());
    s.net.run(SECOND);
    let words = s.words().into_iter();
    let words = words.filter(|(kind, _, _)| *kind == "PREVOTE");
    words.map(|(_, _, digest)| digest).collect()
}

#[test]
fn m25_tm19_what_was_signed_is_not_signed_otherwise_after_a_restart() {
    for disk in [Recovery::Clean, Recovery::Torn] {
        assert_eq!(signed_around_restart(disk, false).len(), 1, "{disk:?}");
    }
}

#[test]
fn m25_a_disk_that_was_rolled_back_unnoticed_makes_an_honest_validator_sign_twice() {
    let signed = signed_around_restart(Recovery::Clean, true);
    assert_eq!(signed.len(), 2);
    assert_ne!(signed[0], signed[1]);
}

#[test]
fn m25_tm20_a_disk_that_is_known_to_be_lost_makes_it_mute() {
    assert_eq!(signed_around_restart(Recovery::Lost, true).len(), 1);
}

/// Adds all votes of height 1 that were sent.
fn collect(evidence: &mut Evidence<'_>, net: &Net) {
    for sent in &net.trace {
        match &*sent.message {
            TendermintMessage::Prevote(vote) | TendermintMessage::Precommit(vote) => {
                evidence.add(vote);
            }
            TendermintMessage::Polka(polka) => evidence.add_certificate(&polka.certificate),
            TendermintMessage::Decided(decided) => evidence.add_certificate(&decided.certificate),
            _ => {}
        }
    }
}

/// M26: of four two lie (2 and 3), and 0 and 1 are honest. Round 0: 0 precommits A upon the PREVOTEs of the
/// liars. Round 2: 1 decides B with them. Then they precommit A of round 0, and 0 decides A.
#[test]
fn m26_an_amnesia_fork_beyond_the_fault_model_names_the_liars_and_no_one_else() {
    let mut s = Script::new(0);
    s.net.liars = vec![NodeId(2), NodeId(3)];
    let a = s.words()[0].2;
    s.prevotes(&[2, 3], 0, a);
    assert_eq!(s.engine().locked(), Some((0, a)));
    s.me = 1;
    let b = s.block(2);
    s.prevotes(&[2, 3], 2, b.id());
    s.give(&s.proposal(2, &b, None, None));
    s.precommits(&[2, 3], 2, b.id());
    assert_eq!(s.chain(), [b.id()]);
    s.me = 0;
    s.precommits(&[2, 3], 0, a);
    assert_eq!(s.chain(), [a], "a fork");

    let committee = Arc::clone(&s.net.committee);
    let mut evidence = Evidence::new(&committee, Seq(1));
    collect(&mut evidence, &s.net);
    for from in [2, 3] {
        for (phase, round, digest) in [
            (PREVOTE, 0, a),
            (PREVOTE, 2, b.id()),
            (PRECOMMIT, 2, b.id()),
            (PRECOMMIT, 0, a),
        ] {
            evidence.add(&s.vote(from, phase, round, digest));
        }
    }
    assert_eq!(evidence.decided(), BTreeSet::from([a, b.id()]));
    let amnesia = Guilt::Amnesia {
        locked: View(0),
        forgot: View(2),
    };
    let guilty = [2, 3].map(|node| (NodeId(node), BTreeSet::from([amnesia])));
    assert_eq!(evidence.guilty(), BTreeMap::from(guilty));
}

#[test]
fn m26_an_equivocation_fork_names_those_who_signed_twice() {
    let s = Script::new(0);
    let committee = Arc::clone(&s.net.committee);
    let mut evidence = Evidence::new(&committee, Seq(1));
    for (honest, digest) in [(0, Digest([1; 32])), (1, Digest([2; 32]))] {
        let members = [honest, 2, 3];
        for phase in [PREVOTE, PRECOMMIT] {
            evidence.add_certificate(&s.certificate(&members, phase, 0, digest));
        }
    }
    assert_eq!(evidence.decided().len(), 2);
    let guilty: Vec<NodeId> = evidence.guilty().into_keys().collect();
    assert_eq!(guilty, [NodeId(2), NodeId(3)]);
}

/// Rounds in which the honest follow Algorithm 1 and the liars, more of them than it bears, sign whatever
/// the dice say; the dice also choose what the honest get to see.
fn dice_rounds(n: u16, liars: u16, seed: u64) -> bool {
    let mut s = Script::of(net_with(n.into(), Config::default()), 0);
    s.net.seed(seed);
    let committee = Arc::clone(&s.net.committee);
    let (quorum, honest) = (2 * usize::from(n) / 3 + 1, n - liars);
    let mut evidence = Evidence::new(&committee, Seq(1));
    let mut locks: Vec<Option<(u64, Digest)>> = vec![None; honest.into()];
    let mut polkas: BTreeSet<(u64, Digest)> = BTreeSet::new();
    let values = [Digest([1; 32]), Digest([2; 32])];
    for round in 0..5 {
        let mut prevotes: BTreeMap<Digest, BTreeSet<u16>> = BTreeMap::new();
        for node in 0..honest {
            let value = values[s.net.random(2) as usize];
            let lock = locks[usize::from(node)];
            let earlier = |(valid, block): &&(u64, Digest)| {
                *block == value && lock.is_none_or(|(locked, _)| locked <= *valid)
            };
            let free = lock.is_none_or(|(_, block)| block == value);
            let free = free || polkas.iter().any(|polka| earlier(&polka));
            let digest = if free { value } else { NIL };
            evidence.add(&s.vote(node, PREVOTE, round, digest));
            prevotes.entry(digest).or_default().insert(node);
        }
        for (node, value) in (honest..n).flat_map(|node| values.map(|value| (node, value))) {
            if s.net.random(3) > 0 {
                evidence.add(&s.vote(node, PREVOTE, round, value));
                prevotes.entry(value).or_default().insert(node);
            }
        }
        let agreed = prevotes.iter().filter(|(_, voters)| voters.len() >= quorum);
        let agreed: Vec<Digest> = agreed
            .map(|(value, _)| *value)
            .filter(|v| *v != NIL)
            .collect();
        polkas.extend(agreed.iter().map(|value| (round, *value)));
        for node in 0..honest {
            let shown = s.net.random(1 + agreed.len() as u64) as usize;
            let digest = agreed.get(shown).copied().unwrap_or(NIL);
            if digest != NIL {
                locks[usize::from(node)] = Some((round, digest));
            }
            evidence.add(&s.vote(node, PRECOMMIT, round, digest));
        }
        for (node, value) in (honest..n).flat_map(|node| values.map(|value| (node, value))) {
            if s.net.random(3) > 0 {
                evidence.add(&s.vote(node, PRECOMMIT, round, value));
            }
        }
    }
    let guilty = evidence.guilty();
    let blamed = |node: &&NodeId| node.0 < honest;
    assert_eq!(guilty.keys().find(blamed), None, "seed {seed}");
    let forked = evidence.decided().len() > 1;
    assert!(
        !forked || guilty.len() > committee.f(),
        "seed {seed}: {guilty:?}"
    );
    forked
}

#[test]
fn m26_a_fork_always_names_f_plus_1_and_nobody_honest_is_ever_named() {
    for (n, liars) in [(4, 2), (5, 3), (6, 4), (7, 3), (7, 4)] {
        let forks = (0..300).filter(|seed| dice_rounds(n, liars, *seed)).count();
        assert!(forks > 0, "n = {n}: no fork, so nothing was shown");
    }
}

#[test]
fn m26_amnesia_is_told_from_honest_unlocking() {
    let s = Script::new(0);
    let (a, b) = (Digest([1; 32]), Digest([2; 32]));
    let committee = Arc::clone(&s.net.committee);
    let mut evidence = Evidence::new(&committee, Seq(1));
    let mut all = |from: &[u16], phase, round, digest| {
        for from in from {
            evidence.add(&s.vote(*from, phase, round, digest));
        }
    };
    // Round 0: a polka for A; 0 precommits it. Round 1: 1, 2, 3 make a polka for B. Round 2: 0 prevotes B.
    all(&[0, 1, 2], PREVOTE, 0, a);
    all(&[0], PRECOMMIT, 0, a);
    all(&[1, 2, 3], PREVOTE, 1, b);
    all(&[1, 2, 3], PRECOMMIT, 1, b);
    all(&[0, 1, 2], PREVOTE, 2, b);
    assert_eq!(evidence.guilty(), BTreeMap::new());
    assert_eq!(evidence.decided().len(), 1);
}

/// M27: at a step (three to a round: propose, prevote, precommit) what is first said crosses no border. How
/// long it takes to decide all the same.
fn network_only(steps: &[(u64, [u8; 4])]) -> Duration {
    let mut net = net_with(4, Config::default());
    let steps: BTreeMap<u64, [u8; 4]> = steps.iter().copied().collect();
    let mut said = BTreeSet::new();
    filter(&mut net, move |sent| {
        let phase = match sent.message.kind().name {
            "PROPOSAL" => 0,
            "PREVOTE" => 1,
            "PRECOMMIT" => 2,
            _ => return true,
        };
        let step = sent.message.slot().view.round() * 3 + phase;
        let groups = steps.get(&step);
        let crosses = |groups: &[u8; 4]| groups[sent.from.index()] != groups[sent.to.index()];
        let first = said.insert((sent.from, sent.to, step));
        !(first && groups.is_some_and(crosses))
    });
    net.submit();
    net.run(2 * MINUTE);
    net.check_done(&[0, 1, 2, 3]);
    check_votes(&net);
    let finals = net.replicas.iter().map(|replica| replica.finals[0].0.0);
    Duration::from_nanos(finals.max().expect("four"))
}

#[test]
fn m27_three_schedules_that_only_cut_links_end_within_a_minute() {
    // 1|3|0,2 at step 1, 0,2|1,3 at step 6; and so on.
    let schedules = [
        vec![(1, [0, 1, 0, 2]), (6, [0, 1, 0, 1])],
        vec![(6, [0, 1, 1, 2]), (2, [0, 1, 2, 1])],
        vec![(8, [0, 1, 0, 1]), (0, [0, 1, 1, 1])],
    ];
    for steps in schedules {
        let took = network_only(&steps);
        assert!(took <= MINUTE, "{steps:?} took {took:?}");
    }
}
