//! M45: rounds advance on timers alone, so an outage is followed by a wait that is about as long.

use consortium_node::qbft::Config;

use crate::{BRISK, SECOND, height, net_with, support::DELTA};

/// Seconds from the end of an outage without a quorum until something that waited is final, and the round
/// that somebody was in then.
fn outage(config: Config, seconds: u32) -> (u64, u64) {
    let mut net = net_with(4, config);
    net.tracing = false;
    net.groups = vec![0, 0, 1, 1];
    net.submit();
    net.run(seconds * SECOND);
    net.groups = vec![0; 4];
    let highest = (0..4).map(|node| net.replica(node).engine.round()).max();
    let healed = net.now;
    while height(&net, 0) == 0 {
        net.run(10 * DELTA);
    }
    net.run(SECOND);
    net.check_done(&[0, 1, 2, 3]);
    let waited = (net.now - healed) / SECOND.as_nanos() as u64;
    (waited, highest.unwrap_or(0))
}

#[test]
fn m45_qb9_after_an_outage_recovery_takes_up_to_as_long_again() {
    // After 2^r − 1 seconds round r begins and lasts 2^r.
    for (hours, power) in [(1, 11), (3, 13)] {
        let length = hours * 3600;
        let (waited, _) = outage(BRISK, length);
        let end = (1_u64 << (power + 1)) - 1;
        let rest = end - u64::from(length);
        assert!(
            waited.abs_diff(rest) <= 2,
            "{hours} h: {waited} s, not {rest}"
        );
    }
}

#[test]
fn m45_the_worst_moment_costs_the_whole_outage_again() {
    // Healed just after a round of 2048 seconds began, at 2047.
    let (waited, _) = outage(BRISK, 2050);
    assert!((2040..2050).contains(&waited), "{waited}");
}

#[test]
fn m45_resending_or_a_cap_shortens_it_to_seconds() {
    let resend = Config {
        resend: Some(5 * SECOND),
        ..BRISK
    };
    assert!(outage(resend, 3 * 3600).0 <= 8);
    let mut capped = BRISK;
    capped.timeouts.cap = Some(10 * SECOND);
    let (waited, rounds) = outage(capped, 3 * 3600);
    assert!(waited <= 25, "{waited}");
    // At a price: M46, rounds without end.
    assert!(rounds > 1000);
}
