//! Planted bugs: each breaks its rule, in a schedule that the sound build survives.

use consortium_node::{
    mutant::{Mutant, Planted},
    tendermint::{Config, PREVOTE, Tendermint},
};

use crate::{
    Net,
    museum::m23_is_stuck_after,
    script::{NIL, Script},
};

fn net(planted: Planted) -> Net {
    Net::new(4, move |me, key, committee, genesis| {
        Tendermint::new(Config::default(), me, key, committee, genesis).planting(planted)
    })
}

/// M23, which is calm after two rounds.
#[test]
fn tm17_polka_not_relayed() {
    let stuck = |planted| m23_is_stuck_after(planted, Config::default());
    assert!(stuck(Planted::one(Mutant::PolkaNotRelayed)));
    assert!(!stuck(Planted::NOTHING));
}

/// Validators 0 and 1 are honest, and so is 2, which hears late; 3 lies within the fault model. 0 and 1 lock
/// A in round 0 and 2 decides it; in round 1 they are offered B. Whether they take it.
fn forks(planted: Planted) -> bool {
    let mut s = Script::of(net(planted), 0);
    let a = s.words()[0].2;
    s.prevotes(&[1, 3], 0, a);
    assert_eq!(s.engine().locked().map(|(_, block)| block), Some(a));
    s.precommits(&[1, 2], 0, NIL);
    // The PRECOMMIT of 2 for A is on its way; B of round 1 comes without a valid round.
    s.fire(consortium_node::tendermint::Timer::Precommit(
        consortium_node::types::Seq(1),
        0,
    ));
    s.words();
    let b = s.offer(1);
    let took = s.words().contains(&("PREVOTE", 1, b.id()));
    let committee = std::sync::Arc::clone(&s.net.committee);
    let mut evidence = consortium_node::tendermint::accountability::Evidence::new(
        &committee,
        consortium_node::types::Seq(1),
    );
    for from in [0, 1, 3] {
        evidence.add(&s.vote(from, PREVOTE, 0, a));
    }
    for sent in s.net.trace.iter().filter(|sent| sent.from.0 == 0) {
        use consortium_node::tendermint::TendermintMessage as M;
        if let M::Prevote(vote) | M::Precommit(vote) = &*sent.message {
            evidence.add(vote);
        }
    }
    assert_eq!(evidence.guilty().is_empty(), !took);
    took
}

#[test]
fn tm2_prevote_while_locked() {
    assert!(forks(Planted::one(Mutant::PrevoteWhileLocked)));
    assert!(!forks(Planted::NOTHING));
}

#[test]
fn the_network_of_a_bug_works_while_nothing_goes_wrong() {
    for mutant in [Mutant::PolkaNotRelayed, Mutant::PrevoteWhileLocked] {
        let mut net = net(Planted::one(mutant));
        for _ in 0..6 {
            net.submit();
        }
        net.run(std::time::Duration::from_secs(20));
        net.check_done(&[0, 1, 2, 3]);
        assert_eq!(net.replica(0).host.chain.len(), 7, "{mutant}");
    }
}
