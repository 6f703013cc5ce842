//! Protocol scripts: each file in `scripts/` is a conversation, with every message that was sent and every
//! state that changed.
//!
//! A line that begins at the margin is a command; the indented lines below it are what came of it; `#`
//! begins a comment. `→` sends, `=` shows the state of replicas for which it changed. A script that does
//! not come out as written fails with the difference; `CONSORTIUM_REWRITE=1 cargo test -p consortium-node
//! --test pbft scripts` writes down what comes out instead, to be read before it is believed.
//!
//! | command | what it does |
//! |---|---|
//! | `committee 4 k 4 window 8 pipeline 4 status 200ms` | starts so many replicas |
//! | `submit [to n1 n2]` | gives a new transaction to all or to some |
//! | `deliver [filter]` | delivers what is in flight; what is sent in return waits |
//! | `settle [filter]` | delivers until nothing is in flight |
//! | `drop [filter]` | what is in flight is lost |
//! | `hold filter`, `release` | such messages stay in flight, until further notice |
//! | `lose filter`, `heal` | such messages never arrive, until further notice |
//! | `wait 500ms` | time passes and timers fire; nothing is delivered |
//! | `crash n2 [before/after text]` | now, or at the effect whose line contains this text |
//! | `restart n2 [torn/lost]` | with the disk that it has |
//! | `sync n3 from n1` | the host of n3 fetches the final blocks of n1 |
//! | `lie from n0 to n3` | messages in flight are replaced by what contradicts them |
//! | `resend from n0 to n3` | what n0 sent to n3 arrives again |
//! | `forge n3 PREPARE v0 s1 a to n1` | n3 signs this vote |
//! | `timers shown/hidden` | whether timers are shown |
//! | `times 3 command and command` | so many times |
//! | `quietly command` | shows states only |
//!
//! A filter is made of `from n0`, `to n1 n2`, kinds (`PREPARE`), views (`v0`) and slots (`s1`). Blocks are
//! called a, b, … and states A, B, … in the order in which they appear.

mod stage;
mod words;

use std::{fmt::Write as _, fs, path::PathBuf};

use stage::Stage;

/// Plays a script; the text with what came out.
fn play(script: &str) -> String {
    let mut out = String::new();
    let mut stage: Option<Stage> = None;
    for line in script.lines().filter(|line| !line.starts_with(' ')) {
        out += line;
        out.push('\n');
        let command = line.trim();
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        if words[0] == "committee" {
            stage = Some(Stage::new(&words[1..]));
        }
        let stage = stage.as_mut().expect("a script begins with its committee");
        for happened in stage.command(command) {
            writeln!(out, "    {happened}").expect("strings take all");
        }
    }
    stage.expect("a script has a committee").check();
    out
}

/// The lines that differ, those that were written marked `-` and those that came out marked `+`.
fn difference(written: &str, played: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (written.lines().collect(), played.lines().collect());
    // The longest common subsequence of what follows each pair of lines.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            if !old[i].starts_with(' ') && !old[i].is_empty() {
                writeln!(lines, "  {}", old[i]).expect("strings take all");
            }
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            writeln!(lines, "- {}", old[i]).expect("strings take all");
            i += 1;
        } else {
            writeln!(lines, "+ {}", new[j]).expect("strings take all");
            j += 1;
        }
    }
    lines
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pbft/scripts")
}

fn run(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let written = fs::read_to_string(&path).expect("a script of this name");
    let played = play(&written);
    if std::env::var_os("CONSORTIUM_REWRITE").is_some() {
        fs::write(&path, &played).expect("a script may be rewritten");
    } else {
        assert!(
            written == played,
            "{name}.txt does not come out as written (-) but so (+):\n{}",
            difference(&written, &played)
        );
    }
}

macro_rules! scripts {
    ($($test:ident: $file:literal,)*) => {
        $(#[test] fn $test() { run($file); })*

        #[test]
        fn every_script_is_played() {
            let mut files: Vec<String> = fs::read_dir(folder())
                .expect("the scripts")
                .map(|file| file.expect("a file").path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
                .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            files.sort_unstable();
            assert_eq!(files, [$($file),*], "in this order");
        }
    };
}

scripts! {
    r13_r14_r15_r16_checkpoints_move_the_watermarks: "checkpoints",
    r12_r40_a_replica_may_crash_in_the_middle_of_a_slot: "crash_in_a_slot",
    r06_an_equivocating_primary_forks_nobody_and_is_caught: "equivocation",
    r17_r35_a_replica_that_fell_behind_is_brought_up: "falling_behind",
    r33_a_replica_joins_the_smallest_view_that_f_plus_1_ask_for: "join",
    r40_a_replica_that_lost_its_disk_is_mute: "lost_disk",
    r34_a_lost_prepare_is_asked_for: "lost_prepare",
    r16_m04_checkpoints_that_come_late_to_backups: "m04_watermark_race",
    r01_r07_r08_r09_r10_the_normal_case: "normal_case",
    r10_r11_slots_in_the_pipeline: "pipeline",
    r01_quorums_of_six: "six_replicas",
    r20_r32_two_view_changes_that_come_to_nothing: "two_failed_views",
    r19_r21_r22_r23_r24_r25_a_view_change_with_a_prepared_block: "view_change",
    r22_deviation_1_deviation_9_a_slot_that_is_void_after_a_view_change: "void_slot",
}

#[test]
fn a_script_that_comes_out_otherwise_is_told_apart() {
    let script = "committee 4\nsubmit\n";
    let played = play(script);
    assert_eq!(play(&played), played, "what came out comes out again");
    let wrong = played.replace("PRE-PREPARE", "PREPARE");
    assert_ne!(play(&wrong), wrong);
    let said = difference(&wrong, &played);
    assert!(said.contains("-     n0 → all PREPARE v0 s1 a"), "{said}");
    assert!(
        said.contains("+     n0 → all PRE-PREPARE v0 s1 a"),
        "{said}"
    );
}
