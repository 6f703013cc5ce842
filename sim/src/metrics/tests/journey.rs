//! The shared ledger and who knew when.

use super::super::{
    scene::{Scene, milk, ms},
    shared_ledger::{Compliance, Sensor},
    *,
};
use crate::fact::Fact;

#[test]
fn the_shared_ledger_is_read_from_committed_transactions_by_stage() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    let stages = [
        (None, 80),
        (Some(4), 85),
        (Some(1), 90),
        (Some(2), 94),
        (Some(3), 110),
    ];
    for (second, (to, temperature_dc)) in (10..).step_by(10).zip(stages) {
        if let Some(to) = to {
            scene.hand_over(to, ms(second * 1000));
        }
        scene.live_reading(temperature_dc - 3, ms(second * 1000 + 1000));
        scene.live_reading(temperature_dc, ms(second * 1000 + 2000));
    }
    let table = ledger_table(scene.chain.iter(), &scene.plan, &scene.cast).expect("golden");
    let rows: Vec<(&str, i64, &str, String)> = table
        .rows
        .iter()
        .map(|row| {
            let verdict = row.compliance.to_string();
            (
                row.stage.as_str(),
                row.temperature_dc,
                row.custodian.as_str(),
                verdict,
            )
        })
        .collect();
    let ok = || "ok".to_owned();
    assert_eq!(
        rows,
        [
            ("Origin", 80, "Milk Producer", ok()),
            ("Warehouse", 90, "Food Processing Company", ok()),
            ("Carrier 2", 94, "Carrier 2", ok()),
            (
                "Store",
                110,
                "Store",
                "OUT OF COMPLIANCE: 11 > 10".to_owned()
            ),
        ],
        "Carrier 1 has no node, so it has no row"
    );
}

#[test]
fn humidity_masks_temperature() {
    let terms = shared_ledger::Terms {
        min_humidity_dpct: 0,
        max_humidity_dpct: 650,
        min_temperature_dc: 10,
        max_temperature_dc: 100,
    };
    let wet = terms.judge(110, 660);
    assert!(matches!(
        wet,
        Compliance::Out {
            sensor: Sensor::Humidity,
            ..
        }
    ));
    assert_eq!(wet.to_string(), "OUT OF COMPLIANCE: humidity 66 > 65");
    assert_eq!(
        terms.judge(100, 650),
        Compliance::Ok,
        "bounds are inclusive"
    );
    assert_eq!(terms.judge(4, 0).to_string(), "OUT OF COMPLIANCE: 0.4 < 1");
}

#[test]
fn who_knew_when_counts_from_the_reading_and_from_the_truth() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    scene.hand_over(3, ms(20_000));
    let truth = Fact::Truth {
        package: 0,
        custodian: 2,
        out_of_range: true,
    };
    scene.tell(ms(29_000), &truth);
    scene.live_reading(110, ms(30_000));
    let run = scene.finish().summary;
    let golden = run.golden_excursion.expect("it is out of its terms");
    assert_eq!(golden.all_knew_ms(), Some(30_100));
    assert_eq!(
        (golden.truth_ms, golden.reading_due_ms),
        (Some(29_000), 30_000)
    );
    assert_eq!(golden.blamed, "Store", "by the order of the ledger");
    assert_eq!(golden.ground_truth.as_deref(), Some("Carrier 2"));
    let totals = run.excursions;
    assert_eq!((totals.packages_both, totals.blamed_rightly), (1, 0));
}
