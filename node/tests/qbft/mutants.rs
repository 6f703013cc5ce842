//! Planted bugs, in the fewest words of others that show them.

use consortium_node::{
    mutant::{Mutant, Planted},
    qbft::Qbft,
};

use crate::{BRISK, Net, SECOND, height, script::Script};

fn net_of(planted: Planted) -> Net {
    Net::new(4, move |me, key, committee, genesis| {
        Qbft::new(BRISK, me, key, committee, genesis).planting(planted)
    })
}

#[test]
fn qb8_round_change_unjustified() {
    // Its ROUND-CHANGEs say that a block was prepared, perhaps decided; the proposer proposes another.
    let agrees = |planted| {
        let mut s = Script::of(net_of(planted), 2);
        let (block, other) = (s.first(0), s.first(1));
        let changes = [0, 1, 3].map(|from| s.claiming(from, 1, &block, (0, &[0, 1, 3])));
        let [a, b, c] = changes.each_ref();
        s.give(&s.justified(1, 1, &other, &[a, b, c], None));
        s.said().contains(&("PREPARE", 1))
    };
    assert!(agrees(Planted::one(Mutant::RoundChangeUnjustified)));
    assert!(!agrees(Planted::NOTHING));
}

#[test]
fn the_network_of_a_bug_works_while_nothing_goes_wrong() {
    let mut net = net_of(Planted::one(Mutant::RoundChangeUnjustified));
    for _ in 0..12 {
        net.submit();
        net.run(SECOND / 10);
    }
    net.check_agreement();
    assert_eq!(height(&net, 0), 12);
}
