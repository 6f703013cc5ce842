//! Liars within the bound: equivocators, twins, forkers, hoarders. No fork, and the rest goes on.

use std::sync::Arc;

use consortium_node::{
    crypto::{Keypair, SignatureMode},
    engine::{Forks, Message, Tale},
    hotstuff::{HotStuff, HotStuffMessage, Leader, Variant},
    rewrite::{Pen, Rewrite},
    types::NodeId,
};

use crate::{
    LEADERS, Net, SECOND, VARIANTS, brisk, net,
    recovery::no_conflicts,
    support::{self, CHAIN, DELTA, Sent},
};

/// Whether a variant goes on with one member that is as good as dead.
fn lives(variant: Variant, leader: Leader) -> bool {
    variant != Variant::ThreeChain || leader != Leader::Rotate
}

/// What the liar's messages become.
type Lie = Box<dyn FnMut(&Sent<HotStuffMessage>) -> Option<Arc<HotStuffMessage>>>;

/// Member 1 lies; the others must agree, and finish where the variant lives without it.
fn suffer(variant: Variant, leader: Leader, lie: impl Fn(Arc<Keypair>) -> Lie, what: &str) -> Net {
    let mut net = net(4, variant, leader);
    net.liars.push(NodeId(1));
    let mut lie = lie(Arc::clone(&net.keys[1]));
    net.tamper = Some(Box::new(move |sent| {
        if sent.from == NodeId(1) {
            lie(sent)
        } else {
            Some(Arc::clone(&sent.message))
        }
    }));
    for _ in 0..8 {
        net.submit();
        net.run(3 * DELTA);
    }
    net.run(40 * SECOND);
    net.check_agreement();
    no_conflicts(&net);
    if lives(variant, leader) {
        for node in [0, 2, 3] {
            let waits = net.replica(node).host.oldest();
            assert_eq!(waits, None, "{variant:?} {leader:?} {what} n{node}");
        }
    }
    net
}

fn everywhere(lie: impl Fn(Arc<Keypair>) -> Lie, what: &str) {
    for variant in VARIANTS {
        for leader in LEADERS {
            suffer(variant, leader, &lie, what);
        }
    }
}

#[test]
fn an_equivocating_leader_neither_forks_nor_stops_the_rest() {
    for deceived in [vec![0], vec![2], vec![0, 3], vec![2, 3]] {
        let lie = |key: Arc<Keypair>| -> Lie {
            let (deceived, mut forks) = (deceived.clone(), Forks::new());
            Box::new(move |sent| {
                let lie = deceived.contains(&sent.to.0);
                let lie = lie.then(|| sent.message.conflicting(&key, NodeId(1), &mut forks));
                let honest = || Arc::clone(&sent.message);
                Some(lie.flatten().map_or_else(honest, Arc::new))
            })
        };
        everywhere(lie, "equivocates");
    }
}

#[test]
fn m30_a_leader_that_hoards_the_last_votes_costs_their_block_and_no_more() {
    let lie = |_| -> Lie {
        Box::new(|sent| {
            let keeps = matches!(*sent.message, HotStuffMessage::Proposal(_));
            (!keeps).then(|| Arc::clone(&sent.message))
        })
    };
    everywhere(lie, "hoards");
}

#[test]
fn m28_a_certificate_that_is_shown_to_one_stops_nobody() {
    for shown in [0, 2, 3] {
        let lie = move |_| -> Lie {
            Box::new(move |sent| {
                let hides = match &*sent.message {
                    HotStuffMessage::Proposal(_) => sent.to != NodeId(shown),
                    HotStuffMessage::Vote(_) | HotStuffMessage::Certificate(_) => true,
                    _ => false,
                };
                (!hides).then(|| Arc::clone(&sent.message))
            })
        };
        everywhere(lie, "shows to one");
    }
}

#[test]
fn m29_a_forking_leader_drops_uncommitted_blocks_and_nothing_else() {
    for variant in VARIANTS {
        let lie = |key: Arc<Keypair>| -> Lie {
            let mut earlier = None;
            Box::new(move |sent| {
                let HotStuffMessage::Proposal(_) = &*sent.message else {
                    return Some(Arc::clone(&sent.message));
                };
                let mut forks = Forks::new();
                let mut pen = Pen {
                    key: &key,
                    me: NodeId(1),
                    quorum: 3,
                    earlier: earlier.as_ref(),
                    forks: &mut forks,
                };
                let lie = sent.message.rewrite(Rewrite::Earlier, &mut pen);
                if sent.to == NodeId(3) {
                    earlier = Some((*sent.message).clone());
                }
                let honest = || Arc::clone(&sent.message);
                Some(lie.map_or_else(honest, Arc::new))
            })
        };
        suffer(variant, Leader::Reputation, lie, "forks");
    }
}

#[test]
fn small_changes_to_what_a_member_says_neither_fork_nor_stop_the_rest() {
    let changes = [
        Rewrite::View(1),
        Rewrite::View(-1),
        Rewrite::Seq(1),
        Rewrite::Seq(-1),
        Rewrite::Digest,
        Rewrite::Null,
        Rewrite::Earlier,
        Rewrite::WithoutProof,
        Rewrite::WithoutPrepared,
        Rewrite::RepeatedSigner,
        Rewrite::TooFew,
        Rewrite::Stitched,
        Rewrite::ViewChange,
    ];
    for change in changes {
        let lie = move |key: Arc<Keypair>| -> Lie {
            let mut forks = Forks::new();
            Box::new(move |sent| {
                let mut pen = Pen {
                    key: &key,
                    me: NodeId(1),
                    quorum: 3,
                    earlier: Some(&*sent.message),
                    forks: &mut forks,
                };
                let lie = sent.message.rewrite(change, &mut pen);
                Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new))
            })
        };
        everywhere(lie, &format!("{change:?}"));
    }
}

/// Five machines for four members: the fifth has the name and the key of member 1, and its own host.
fn with_twin(variant: Variant, leader: Leader) -> Net {
    let config = brisk(variant, leader);
    let mut net: Net = support::Net::founded_by(4, 5, move |me, key, committee, genesis| {
        if me == NodeId(4) {
            let twin = Keypair::from_seed([2; 32], CHAIN, SignatureMode::Lazy);
            return HotStuff::new(config, NodeId(1), twin, committee, genesis);
        }
        HotStuff::new(config, me, key, committee, genesis)
    });
    net.replicas[4].host.me = NodeId(1);
    net.liars.push(NodeId(1));
    net
}

/// One life of a pair of twins: for each span the honest three are split; one twin hears and is heard on
/// one side, the other on the other.
fn twins(seed: u64, variant: Variant, leader: Leader) -> bool {
    let mut net = with_twin(variant, leader);
    net.seed(seed);
    let mut handed_on = net.trace.len();
    for _ in 0..12 {
        let side: Vec<u8> = (0..4).map(|_| net.random(2) as u8).collect();
        let apart = net.random(3) == 0;
        let here = side.clone();
        net.tamper = Some(Box::new(move |sent: &Sent<HotStuffMessage>| {
            let side = |node: NodeId| match node.0 {
                1 => 0,
                4 => 1,
                honest => here[usize::from(honest)],
            };
            let twin = |node: NodeId| node.0 == 1 || node.0 == 4;
            let splits = apart || twin(sent.from) || twin(sent.to);
            (!splits || side(sent.from) == side(sent.to)).then(|| Arc::clone(&sent.message))
        }));
        net.submit();
        let end = net.now + 700_000_000;
        while net.now < end {
            net.run(DELTA);
            // What is sent to the name is heard by the twin of that side.
            let sent: Vec<_> = net.trace[handed_on..].to_vec();
            handed_on = net.trace.len();
            for sent in sent {
                if sent.to == NodeId(1) && sent.from != NodeId(4) && side[sent.from.index()] == 1 {
                    net.inject(sent.from, NodeId(4), &sent.message);
                }
            }
        }
        net.check_agreement();
        no_conflicts(&net);
    }
    let doubled = |tale: &Tale| matches!(tale, Tale::Equivocation { by: NodeId(1), .. });
    [0, 2, 3].iter().any(|node| net.told(*node, doubled))
}

#[test]
fn twins_of_one_key_fork_nobody() {
    let mut caught = 0;
    for variant in VARIANTS {
        for leader in LEADERS {
            for seed in 0..12 {
                caught += usize::from(twins(seed, variant, leader));
            }
        }
    }
    assert!(caught > 0, "two proposals of one view are evidence");
}

#[test]
fn a_tale_of_two_blocks_names_the_liar() {
    let lie = |key: Arc<Keypair>| -> Lie {
        let mut forks = Forks::new();
        Box::new(move |sent| {
            let lie = sent.message.conflicting(&key, NodeId(1), &mut forks);
            Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new))
        })
    };
    let net = suffer(Variant::Jolteon, Leader::Rotate, lie, "lies to all alike");
    let named = |tale: &Tale| matches!(tale, Tale::Equivocation { by, .. } if *by != NodeId(1));
    assert!(![0, 2, 3].iter().any(|node| net.told(*node, named)));
}
