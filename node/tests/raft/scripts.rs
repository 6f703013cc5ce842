//! Scripts: each file in `scripts/` is a conversation, with every message that was sent and every state
//! that changed. The behaviours are those that the documentation and the data-driven tests of etcd's
//! library describe; the scripts are ours.
//!
//! A line at the margin is a command; the indented lines below it are what came of it; `#` begins a
//! comment. `CONSORTIUM_REWRITE=1 cargo test -p consortium-node --test raft scripts` writes down what
//! comes out instead, to be read before it is believed.
//!
//! | command | what it does |
//! |---|---|
//! | `members 3 of 5 pre-vote lease joint speculative …` | starts them; the first 3 decide |
//! | `campaign n1` | its time without a leader is over |
//! | `beat n1`, `check n1`, `mint n1` | its heartbeat, quorum or minting timer fires |
//! | `pass 1000 [n1]` | so many milliseconds pass, for all or some |
//! | `submit n1` | gives it a new transaction |
//! | `deliver`, `settle`, `drop` `[from n0] [to n1] [KIND]` | one round, all that follows, or its loss |
//! | `crash n1`, `restart n1 [lost]` | with its disk, or without |
//! | `sync n2 from n1` | its host fetches final blocks |
//! | `tell n0 n0 n1 n2` | its host says who should decide |
//! | `read n0 n1 7` | n1 asks n0 what may be read |
//!
//! A state shows term, role, the log as index@term from its base on, what is committed, the chain in
//! letters, and the members: `{voters & outgoing + learners}`.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use consortium_node::raft::{Change, Config, Minting};

use crate::stage::{BARE, Stage};

fn begin(words: &[&str]) -> Stage {
    let founders = words[0].parse().expect("a number");
    let mut members = founders;
    let mut config = BARE;
    let mut words = words[1..].iter();
    while let Some(word) = words.next() {
        match *word {
            "of" => members = words.next().and_then(|n| n.parse().ok()).expect("a number"),
            "pre-vote" => config.pre_vote = true,
            "check-quorum" => config.check_quorum = true,
            "lease" => config.lease = true,
            "joint" => config.change = Change::Joint,
            "no-learners" => config.learn_first = false,
            "speculative" => {
                let block_time = Duration::from_millis(50);
                config.minting = Minting::Speculative { block_time };
            }
            "rest" => config.rest = true,
            "one-by-one" => config.append_bytes = 1,
            other => panic!("{other} is no option"),
        }
    }
    Stage::new(founders, members, Config { ..config })
}

/// Plays a script; the text with what came out.
fn play(script: &str) -> String {
    let mut out = String::new();
    let mut stage: Option<Stage> = None;
    for line in script.lines().filter(|line| !line.starts_with(' ')) {
        writeln!(out, "{line}").expect("strings take all");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.first() {
            None => {}
            Some(word) if word.starts_with('#') => {}
            Some(&"members") => stage = Some(begin(&words[1..])),
            Some(_) => {
                let stage = stage.as_mut().expect("a script begins with its members");
                for happened in stage.command(line) {
                    writeln!(out, "    {happened}").expect("strings take all");
                }
            }
        }
    }
    let stage = stage.expect("a script has members");
    assert!(stage.election_faults().is_empty(), "one leader a term");
    let all = 0..stage.actors.len() as u16;
    for one in all.clone() {
        assert!(
            all.clone().all(|other| stage.agree(one, other)),
            "one chain"
        );
    }
    out
}

fn check(name: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/raft/scripts");
    let path = folder.join(format!("{name}.txt"));
    let script = fs::read_to_string(&path).expect("a script");
    let played = play(&script);
    if std::env::var_os("CONSORTIUM_REWRITE").is_some() {
        fs::write(&path, &played).expect("a writable script");
    }
    for (line, (written, came)) in (1..).zip(script.lines().zip(played.lines())) {
        assert_eq!(written, came, "{name}:{line}");
    }
    assert_eq!(script, played, "{name}");
}

macro_rules! scripts {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $name() {
                check($file);
            }
        )*
    };
}

scripts! {
    ra3_ra8_ra15_a_campaign_and_a_block: "campaign",
    ra3_a_split_vote_is_decided_in_a_later_term: "split_vote",
    ra4_pre_vote_raises_no_term_for_nothing: "pre_vote",
    ra7_ra9_check_quorum_and_lease: "check_quorum",
    ra11_ra13_probe_then_replicate: "probe_and_replicate",
    ra13_a_whole_term_is_skipped_at_a_time: "hints",
    ra16_rest_and_waking: "rest",
    ra20_ra22_a_snapshot_and_what_follows: "snapshot",
    ra18_ra27_a_newcomer_learns_and_votes: "one_joins",
    ra18_ra29_a_leader_is_taken_out: "leader_leaves",
    ra28_joint_change_of_all: "joint",
    ra21_speculative_blocks_that_lose: "speculative",
    ra23_reads: "reads",
    ra24_a_disk_is_lost: "lost_disk",
    ra1_ra6_an_old_leader_comes_back: "old_leader",
}
