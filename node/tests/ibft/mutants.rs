//! Planted bugs: each breaks its rule at one validator, in the fewest words of others that show it.

use consortium_node::{
    ibft::{Config, Ibft},
    mutant::{Mutant, Planted},
};

use crate::{BRISK, Net, SECOND, height, script::Script};

fn net_of(n: usize, config: Config, planted: Planted) -> Net {
    let mut net = Net::new(n, move |me, key, committee, genesis| {
        Ibft::new(config, me, key, committee, genesis).planting(planted)
    });
    net.checks_proofs = false;
    net.hosts_sync = true;
    net
}

/// With the bug validator 2 of four does this, without it not.
fn only_with(mutant: Mutant, deed: fn(&mut Script) -> bool) {
    let script = |planted| Script::of(net_of(4, BRISK, planted), 2);
    assert!(deed(&mut script(Planted::one(mutant))), "{mutant}");
    assert!(!deed(&mut script(Planted::NOTHING)), "not {mutant}");
}

#[test]
fn ib6_lock_dropped() {
    // It committed a block, which one node may have decided, and agrees to another.
    only_with(Mutant::LockDropped, |s| {
        let (block, other) = (s.first(0), s.first(1));
        s.give(&s.propose(0, 0, &block));
        s.give(&s.prepare(0, 0, &block));
        s.give(&s.prepare(1, 0, &block));
        assert!(s.said().contains(&("COMMIT", 0)));
        s.give(&s.change(0, 1, 1));
        s.give(&s.change(1, 1, 1));
        s.give(&s.propose(1, 1, &other));
        s.said().contains(&("PREPARE", 1))
    });
}

#[test]
fn ib5_lock_never_released() {
    // It answers the next height's proposal with ROUND-CHANGE.
    only_with(Mutant::LockNeverReleased, |s| {
        let block = s.first(0);
        s.give(&s.propose(0, 0, &block));
        for from in [0, 1] {
            s.give(&s.prepare(from, 0, &block));
            s.give(&s.commit(from, 0, &block));
        }
        assert_eq!(s.height(), 1);
        let next = s.block(&block, 1);
        s.said();
        s.give(&s.propose(1, 0, &next));
        !s.said().contains(&("PREPARE", 0))
    });
}

#[test]
fn m16_quorum_two_f_plus_one() {
    let forked = |planted| {
        let mut net = net_of(6, BRISK, planted);
        net.groups = vec![0, 0, 0, 1, 1, 1];
        let transactions = [net.transaction(), net.transaction()];
        for node in net.nodes() {
            net.submit_to(node, &transactions[usize::from(node.0 / 3)]);
        }
        net.run(120 * SECOND);
        let chains = [0, 3].map(|node| net.replica(node).host.chain[1..].to_vec());
        chains.iter().all(|chain| !chain.is_empty()) && chains[0][0] != chains[1][0]
    };
    assert!(forked(Planted::one(Mutant::QuorumTwoFPlusOne)));
    assert!(!forked(Planted::NOTHING));
}

#[test]
fn ib9_m20_expiry_after_import() {
    only_with(Mutant::ExpiryAfterImport, |s| {
        let block = s.first(0);
        s.give(&s.propose(0, 0, &block));
        for from in [0, 1, 3] {
            s.give(&s.commit(from, 0, &block));
        }
        assert_eq!(s.height(), 1);
        s.said();
        // The timer of the height that is decided is not taken back.
        s.net.run(2 * SECOND);
        s.said().iter().any(|(kind, _)| *kind == "ROUND-CHANGE")
    });
}

#[test]
fn the_network_of_a_bug_works_while_nothing_goes_wrong() {
    let mutants = Mutant::ALL
        .into_iter()
        .filter(|mutant| mutant.protocol() == "ibft");
    for mutant in mutants.filter(|mutant| *mutant != Mutant::LockNeverReleased) {
        let mut net = net_of(4, BRISK, Planted::one(mutant));
        for _ in 0..12 {
            net.submit();
            net.run(SECOND / 10);
        }
        net.check_agreement();
        assert_eq!(height(&net, 0), 12, "{mutant}");
    }
}
