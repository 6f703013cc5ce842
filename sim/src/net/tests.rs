//! Times of arrival, to the nanosecond, and the weather.

use super::*;

const MS: Duration = Duration::from_millis(1);
const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

/// A plan in which nothing is left to chance.
fn exact() -> NetworkPlan {
    NetworkPlan {
        matrix: crate::scenario::plan::Matrix::Uniform(10 * MS),
        local_latency: MS,
        jitter_p95: Duration::ZERO,
        loss_ppm: 0,
        duplicate_ppm: 0,
        transport: Transport::InOrder,
        bandwidth_bits: None,
        overhead_bytes: 0,
    }
}

/// Three nodes, 10 ms apart.
fn net(plan: &NetworkPlan) -> Net {
    Net::new(Seed(7), plan, 3, |_, _| 10 * MS)
}

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

/// The times at which `count` messages, one a millisecond, arrive from A at B.
fn arrivals(net: &mut Net, count: u64) -> Vec<Vec<Time>> {
    (0..count)
        .map(|k| net.send(at(k), A, B, 100).into_iter().collect())
        .collect()
}

#[test]
fn without_chance_and_limits_a_message_takes_exactly_the_median() {
    let mut net = net(&exact());
    for (k, arrived) in arrivals(&mut net, 1000).into_iter().enumerate() {
        assert_eq!(arrived, [at(k as u64 + 10)]);
    }
    assert_eq!(net.receive(at(10), B, 1 << 20), at(10));
}

#[test]
fn a_message_is_stored_and_forwarded_at_both_cards() {
    let plan = NetworkPlan {
        bandwidth_bits: Some(8_000_000),
        overhead_bytes: 100,
        ..exact()
    };
    let mut net = net(&plan);
    // 1000 bytes at 1 byte/µs: 1 ms out, 10 ms on the way, 1 ms in.
    let arrived = |deliveries: Deliveries| deliveries.into_iter().next();
    assert_eq!(arrived(net.send(at(0), A, B, 900)), Some(at(11)));
    assert_eq!(
        arrived(net.send(at(0), A, C, 900)),
        Some(at(12)),
        "one uplink for all links"
    );
    assert_eq!(arrived(net.send(at(0), C, B, 900)), Some(at(11)));
    assert_eq!(net.receive(at(11), B, 900), at(12));
    assert_eq!(
        net.receive(at(11), B, 900),
        at(13),
        "one downlink for all links"
    );

    let mut usage = Usage::default();
    net.account(A, &mut usage);
    assert_eq!((usage.sent.messages, usage.sent.bytes), (2, 2000));
    assert_eq!(usage.uplink_busy_ns, 2_000_000);
    net.account(B, &mut usage);
    assert_eq!((usage.received.messages, usage.received.bytes), (2, 2000));
    assert_eq!(usage.downlink_busy_ns, 2_000_000);
}

#[test]
fn an_in_order_link_never_reorders_however_bad_the_weather() {
    let plan = NetworkPlan {
        jitter_p95: 8 * MS,
        loss_ppm: 50_000,
        duplicate_ppm: 50_000,
        ..exact()
    };
    let all = arrivals(&mut net(&plan), 20_000);
    assert!(
        all.iter().all(|copies| copies.len() == 1),
        "none lost, none doubled"
    );
    assert!(all.is_sorted());
}

#[test]
fn a_loss_on_an_in_order_link_costs_a_retransmission() {
    let plan = NetworkPlan {
        loss_ppm: 1_000_000,
        ..exact()
    };
    // Every attempt but the last allowed one is lost: 200 ms · (2⁸ − 1).
    assert_eq!(
        arrivals(&mut net(&plan), 1),
        [[at(10 + 200 * 255)]],
        "a floor of 200 ms"
    );
    let mut far = Net::new(Seed(7), &plan, 2, |_, _| 150 * MS);
    assert_eq!(
        arrivals(&mut far, 1),
        [[at(150 + 600 * 255)]],
        "two round trips"
    );
}

#[test]
fn a_late_message_holds_up_those_behind_it() {
    let plan = NetworkPlan {
        loss_ppm: 20_000,
        ..exact()
    };
    let all = arrivals(&mut net(&plan), 2000);
    let late = (0..2000)
        .find(|k| all[*k][0] >= at(*k as u64 + 210))
        .expect("2 % are lost");
    assert_eq!(all[late + 1], all[late], "it waits for the lost one");
}

#[test]
fn datagrams_overtake_and_get_lost_and_doubled_at_the_given_rates() {
    const SENT: u64 = 100_000;
    let plan = NetworkPlan {
        jitter_p95: 8 * MS,
        loss_ppm: 20_000,
        duplicate_ppm: 10_000,
        transport: Transport::Datagram,
        ..exact()
    };
    let all = arrivals(&mut net(&plan), SENT);
    let with = |copies: usize| all.iter().filter(|all| all.len() == copies).count() as f64;
    // Three standard deviations of a binomial, √(n·p·(1 − p)).
    let expect = |seen: f64, share: f64| {
        let n = SENT as f64;
        let sigma = libm::sqrt(n * share * (1.0 - share));
        let mean = n * share;
        assert!(
            (seen - mean).abs() < 3.0 * sigma,
            "{seen} of {mean} ± {sigma}"
        );
    };
    expect(with(0), 0.02);
    expect(with(2), 0.98 * 0.01);
    assert!(!all.iter().flatten().is_sorted(), "some overtake");
}

#[test]
fn the_weather_of_a_link_does_not_depend_on_other_traffic() {
    let plan = NetworkPlan {
        jitter_p95: 8 * MS,
        loss_ppm: 20_000,
        duplicate_ppm: 10_000,
        transport: Transport::Datagram,
        ..exact()
    };
    let alone = arrivals(&mut net(&plan), 1000);
    let mut busy = net(&plan);
    let among_others: Vec<Vec<Time>> = (0..1000)
        .map(|k| {
            busy.send(at(k), A, C, 5000);
            busy.send(at(k), B, A, 5000);
            let deliveries = busy.send(at(k), A, B, 100);
            busy.send(at(k), C, B, 5000);
            deliveries.into_iter().collect()
        })
        .collect();
    assert_eq!(alone, among_others);

    // A message more in one slot shifts nothing in the next slot.
    let mut chatty = net(&plan);
    chatty.send(at(0), A, B, 100);
    let with_one_more = arrivals(&mut chatty, 1000);
    assert_ne!(alone[..100], with_one_more[..100]);
    assert_eq!(alone[100..], with_one_more[100..]);
}

#[test]
fn links_and_seeds_have_weather_of_their_own() {
    let plan = NetworkPlan {
        jitter_p95: 8 * MS,
        ..exact()
    };
    let first = |seed: u64, from, to| {
        let mut net = Net::new(Seed(seed), &plan, 3, |_, _| 10 * MS);
        net.send(at(0), from, to, 1)
    };
    assert_ne!(first(7, A, B), first(7, B, A));
    assert_ne!(first(7, A, B), first(7, A, C));
    assert_ne!(first(7, A, B), first(8, A, B));
    assert_eq!(first(7, A, B), first(7, A, B));
}

#[test]
fn a_link_is_up_when_every_cut_is_mended() {
    let mut net = net(&exact());
    let arrives =
        |net: &mut Net, now, from, to| net.send(now, from, to, 1).into_iter().next().is_some();
    net.cut(A, B);
    net.cut(A, B);
    assert!(
        !arrives(&mut net, at(0), A, B),
        "what is sent while cut is lost"
    );
    assert!(arrives(&mut net, at(0), B, A), "cuts have a direction");
    net.mend(A, B);
    assert!(net.is_cut(A, B), "one of two faults still cuts it");
    net.mend(A, B);
    assert!(!net.is_cut(A, B));
    assert!(arrives(&mut net, at(1), A, B));
}

#[test]
fn a_cut_changes_no_later_weather() {
    let plan = NetworkPlan {
        jitter_p95: 8 * MS,
        transport: Transport::Datagram,
        ..exact()
    };
    let calm = arrivals(&mut net(&plan), 200);
    let mut cut = net(&plan);
    cut.cut(A, B);
    assert!(arrivals(&mut cut.clone(), 200).iter().all(Vec::is_empty));
    let mut seen = Vec::new();
    for k in 0..200 {
        if k == 50 {
            cut.mend(A, B);
        }
        seen.push(cut.send(at(k), A, B, 100).into_iter().collect::<Vec<_>>());
    }
    assert_eq!(seen[50..], calm[50..]);
}
