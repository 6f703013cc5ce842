//! `consortium survey` as it is typed: the page that it writes, and that it writes the same page again.

use std::{fs, path::Path};

use assert_cmd::cargo::cargo_bin_cmd;
use consortium_sim::protocols;
use tempfile::TempDir;

/// Four validators in one region, into `o` of an empty directory.
fn survey() -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let output = cargo_bin_cmd!("consortium")
        .current_dir(directory.path())
        .args(["survey", "--sizes", "4", "--places", "region", "--quiet"])
        .args(["--out", "o", "--scenarios", "s"])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    directory
}

fn read(directory: &TempDir, file: &str) -> String {
    let path = directory.path().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file below a directory, in order.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let name = path.file_name().expect("files have names");
            let text = fs::read_to_string(&path).expect("text");
            files.push((name.to_string_lossy().into_owned(), text));
        }
    }
    files.sort();
    files
}

/// The lines of a section, without its heading.
fn section<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let mut lines = page.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "{heading} in {page}");
    lines.take_while(|line| !line.starts_with('#')).collect()
}

#[test]
fn the_page_has_a_row_for_every_protocol_and_the_same_page_comes_out_again() {
    let [first, again] = [(); 2].map(|()| survey());
    let page = read(&first, "o/consensus.md");
    let tables = [
        "### One region, n = 4 (f = 1 for pbft)",
        "### One region, n = 4 (f = 1 for pbft), leader crashes",
        "## Parameters",
    ];
    let variants = ["hotstuff three-chain", "jolteon", "hotstuff-2"];
    let names = protocols::names().filter(|name| *name != "hotstuff");
    let names: Vec<&str> = names.chain(variants).collect();
    for heading in tables {
        let rows = section(&page, heading);
        let rows: Vec<_> = rows.iter().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), names.len() + 2, "{heading}");
        for name in &names {
            let begins = format!("| {name} |");
            assert!(
                rows.iter().any(|row| row.starts_with(&begins)),
                "{heading}: {name}"
            );
        }
        let cells: Vec<_> = rows.iter().map(|row| row.matches(" |").count()).collect();
        assert!(
            cells[2..].iter().all(|count| *count == cells[2]),
            "{heading}"
        );
    }
    assert!(page.contains("survey --sizes 4 --places region`"));
    let all = |directory: &TempDir| files(&directory.path().join("o"));
    assert_eq!(all(&first), all(&again));
}

#[test]
fn undisturbed_rows_are_safe_and_carry_their_validation_and_figures_are_drawn() {
    let directory = survey();
    let page = read(&directory, "o/consensus.md");
    let rows = section(&page, "### One region, n = 4 (f = 1 for pbft)");
    let rows = rows.iter().filter(|line| line.starts_with("| ")).skip(1);
    for row in rows {
        assert!(row.contains("| safe |"), "{row}");
        assert!(row.contains("unvalidated") || row.contains('±'), "{row}");
    }
    let crashed = section(
        &page,
        "### One region, n = 4 (f = 1 for pbft), leader crashes",
    );
    let stalled = |name: &str| {
        let row = crashed
            .iter()
            .find(|row| row.starts_with(&format!("| {name} |")));
        row.is_some_and(|row| row.contains("| stalled | to the end |"))
    };
    assert!(
        stalled("central"),
        "nobody replaces the only one: {crashed:?}"
    );
    assert!(
        stalled("hotstuff three-chain"),
        "never three in a row: {crashed:?}"
    );
    assert!(!stalled("pbft") && !stalled("jolteon") && !stalled("raft"));
    assert!(section(&page, "## Findings").len() > 3, "{page}");
    let drawn = section(&page, "## Figures");
    let drawn: Vec<_> = drawn.iter().filter(|line| line.starts_with("![")).collect();
    assert_eq!(drawn.len(), 4, "{drawn:?}");
    for figure in drawn {
        let file = figure
            .split(['(', ')'])
            .rfind(|part| part.starts_with("figures/"));
        let svg = read(&directory, &format!("o/{}", file.expect("a file")));
        assert!(svg.starts_with("<svg") && svg.contains("unvalidated"));
    }
    let scenario = read(&directory, "s/consensus-region-4.toml");
    assert_eq!(scenario.matches("West Europe").count(), 4);
}

#[test]
fn too_few_validators_are_refused() {
    let mut command = cargo_bin_cmd!("consortium");
    let output = command.args(["survey", "--sizes", "3"]).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--sizes"));
}
