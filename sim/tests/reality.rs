//! First contact with reality: BFT-SMaRt on four AWS regions, measured and predicted side by side.
//! `results/validation.md` says what is modelled and what is not.

use std::{fmt::Write as _, time::Duration};

use consortium_node::types::NodeId;
use serde::Deserialize;

use stopwatch::Stopwatch;

mod harness;
#[path = "harness/stopwatch.rs"]
mod stopwatch;

/// The regions in the order of turns: the first leads.
const REGIONS: [&str; 4] = ["us-west-2", "eu-west-1", "sa-east-1", "ap-southeast-2"];

/// No single figure is off by more than so many per cent …
const WORST_PCT: f64 = 1.5;
/// … nor all of them on average.
const MEAN_PCT: f64 = 1.0;

#[derive(Debug, Deserialize)]
struct Published {
    measured: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    what: String,
    region: String,
    mean_ms: f64,
}

fn published() -> Published {
    toml::from_str(include_str!("data/bftsmart_aws4.toml")).expect("our own file")
}

/// One client beside the replica of `region`, in a closed loop, for ten minutes: some 1,400 operations.
fn one_client_in(region: &str) -> Stopwatch {
    let mut members = String::new();
    for region in REGIONS {
        writeln!(
            members,
            "[[member]]\nname = \"{region}\"\nregion = \"{region}\""
        )
        .expect("memory");
    }
    let scenario = format!(
        "# One client of BFT-SMaRt on AWS\nduration = \"10m\"\n\
         [consensus]\nbatch = {{ max_transactions = 100, max_age = \"0s\" }}\npbft = {{ pipeline = 1 }}\n\
         [mempool]\nrelay = \"everyone\"\n\
         [gateway]\nreply_quorum = 3\n\
         [network]\nmatrix = \"aws\"\njitter_p95 = \"0s\"\n\
         [machine]\nfsync = \"0s\"\n\
         {members}\
         [cold_chain]\nowner = \"{region}\"\nobserver = \"{region}\"\n\
         min_temperature_c = -10\nmax_temperature_c = 30\n\
         [fleet]\npackages = 1\npace = \"closed-loop\"\n\
         [[leg]]\nstage = \"Road\"\ncustodian = \"{region}\"\nduration = \"1h\"\nambient_c = 5\n"
    );
    stopwatch::time(&harness::plan(&scenario, &[])).1
}

fn mean_ms(times: &[Duration]) -> f64 {
    assert!(times.len() > 1000, "only {} operations", times.len());
    times.iter().sum::<Duration>().as_secs_f64() * 1000.0 / times.len() as f64
}

/// From the leader's proposal to its own decision.
fn consensus_times(watch: &Stopwatch) -> Vec<Duration> {
    let leader = NodeId(0);
    let decided = watch.proposed.iter().map(|(block, (by, at))| {
        assert_eq!(*by, leader, "the first region leads throughout");
        watch.appended[block][&leader].since(*at)
    });
    decided.collect()
}

#[test]
fn bft_smart_on_four_aws_regions_takes_as_long_as_was_measured() {
    let predicted = REGIONS.map(|region| {
        let watch = one_client_in(region);
        (
            mean_ms(&watch.answer_times()),
            mean_ms(&consensus_times(&watch)),
        )
    });
    let rows = published().measured;
    let find = |what: &str, region: &str| {
        let row = rows
            .iter()
            .find(|row| row.what == what && row.region == region);
        row.map(|row| row.mean_ms)
    };
    let clients = REGIONS.iter().zip(&predicted);
    let clients = clients.map(|(region, (client, _))| ("client", *region, *client));
    let leader = ("consensus", REGIONS[0], predicted[0].1);
    let mut table = String::from("what       region           measured   predicted   error\n");
    let mut errors = Vec::new();
    for (what, region, predicted) in clients.chain([leader]) {
        let line = match find(what, region) {
            Some(measured) => {
                let error = (predicted / measured - 1.0) * 100.0;
                errors.push(error);
                format!("{measured:>6.1} ms {predicted:>8.1} ms {error:>+6.2} %")
            }
            None => format!("        - {predicted:>8.1} ms        -"),
        };
        writeln!(table, "{what:<10} {region:<16} {line}").expect("memory");
    }
    print(&table);
    assert_eq!(errors.len(), rows.len(), "every row has its prediction");
    let worst = errors.iter().fold(0.0, |worst: f64, e| worst.max(e.abs()));
    let mean = errors.iter().map(|e| e.abs()).sum::<f64>() / errors.len() as f64;
    assert!(worst <= WORST_PCT, "one is off by {worst:.2} %\n{table}");
    assert!(mean <= MEAN_PCT, "they are off by {mean:.2} %\n{table}");
}

#[expect(
    clippy::print_stdout,
    reason = "the table is what this test is run for"
)]
fn print(table: &str) {
    println!("{table}");
}
