//! The list of rules stays true: each rule of PBFT that this project holds itself to, and each error of
//! published implementations, has a test that names it; so has each rule that the other protocols' chapters
//! number.
//!
//! Rules are R1–R26 and R32–R42 (R27–R31 belong to the variant without signatures); a test names rule 8 as
//! `r8` or `r08` between underscores, at the beginning or at the end of its name. Known errors are 1–15; a
//! test names the third as `known_error_03`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Protocols whose chapters number their rules, as in **QB4**, and with which letters. Tests in the folder of
/// the protocol's name start with theirs, as in `qb4_…`.
const CHAPTERS: [(&str, &str); 5] = [
    ("qbft", "QB"),
    ("ibft", "IB"),
    ("tendermint", "TM"),
    ("hotstuff", "HS"),
    ("raft", "RA"),
];

fn root() -> &'static Path {
    let node = Path::new(env!("CARGO_MANIFEST_DIR"));
    node.parent().expect("node lies in the workspace")
}

/// Sources with tests: all of `node` and `sim`.
fn sources() -> Vec<PathBuf> {
    sources_in(&["node/src", "node/tests", "sim/src", "sim/tests"])
}

fn sources_in(folders: &[&str]) -> Vec<PathBuf> {
    let folders = folders.iter().map(|folder| root().join(folder));
    let mut folders: Vec<PathBuf> = folders.collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Names of the functions under `#[test]`, and of the tests that the scripts' table makes.
fn tests_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if marked {
                let end = rest.find('(').unwrap_or(rest.len());
                names.push(rest[..end].to_owned());
            }
            marked = false;
        } else if let Some((name, file)) = line.split_once(": \"")
            && file.ends_with("\",")
            && !name.contains(' ')
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The rules that a name names.
fn rules(name: &str) -> Vec<u32> {
    let words = name.split('_');
    let numbers = words.filter_map(|word| word.strip_prefix('r')?.parse().ok());
    numbers.collect()
}

/// The known error that a name names.
fn known_error(name: &str) -> Option<u32> {
    let after = name.strip_prefix("known_error_")?;
    after.split('_').next()?.parse().ok()
}

fn all_tests() -> Vec<String> {
    tests_in(&sources())
}

fn tests_in(files: &[PathBuf]) -> Vec<String> {
    let texts = files
        .iter()
        .map(|path| fs::read_to_string(path).expect("sources are UTF-8"));
    texts.flat_map(|text| tests_of(&text)).collect()
}

#[test]
fn each_rule_has_a_test_that_names_it() {
    let mut named: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for test in all_tests() {
        for rule in rules(&test) {
            named.entry(rule).or_default().push(test.clone());
        }
    }
    let rules = (1..=26).chain(32..=42);
    let missing: Vec<u32> = rules.filter(|rule| !named.contains_key(rule)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
    let beyond = |rule: &&u32| !(1..=26).contains(*rule) && !(32..=42).contains(*rule);
    let unknown: Vec<_> = named.keys().filter(beyond).collect();
    assert!(
        unknown.is_empty(),
        "{unknown:?} are no rules of this variant"
    );
}

#[test]
fn each_known_error_has_a_test_that_names_it() {
    let tests = all_tests();
    let named: Vec<u32> = tests.iter().filter_map(|name| known_error(name)).collect();
    let missing: Vec<u32> = (1..=15).filter(|error| !named.contains(error)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

/// Numbers of the rules that a chapter with these letters states.
fn stated(chapter: &str, letters: &str) -> BTreeSet<u32> {
    let bold = format!("**{letters}");
    let places = chapter.match_indices(&bold);
    let numbers = places.filter_map(|(at, _)| {
        let (number, _) = chapter[at + bold.len()..].split_once("**")?;
        number.parse().ok()
    });
    numbers.collect()
}

#[test]
fn each_rule_of_a_chapter_has_a_test_that_names_it_and_no_test_names_another() {
    for (protocol, letters) in CHAPTERS {
        let chapter = root().join(format!("node/src/{protocol}/mod.rs"));
        let chapter = fs::read_to_string(chapter).expect("a chapter");
        let stated = stated(&chapter, letters);
        assert!(stated.len() > 10, "{protocol} numbers its rules");
        let prefix = letters.to_lowercase();
        let tests = tests_in(&sources_in(&[&format!("node/tests/{protocol}")]));
        let words = tests.iter().flat_map(|test| test.split('_'));
        let numbers = words.filter_map(|word| word.strip_prefix(&prefix)?.parse().ok());
        let named: BTreeSet<u32> = numbers.collect();
        let missing: Vec<_> = stated.difference(&named).collect();
        assert!(missing.is_empty(), "{protocol}: no test names {missing:?}");
        let unknown: Vec<_> = named.difference(&stated).collect();
        assert!(unknown.is_empty(), "{protocol}: no rule is {unknown:?}");
    }
    assert_eq!(
        stated("- **QB4** x **QB12** **IB3** QB5", "QB"),
        [4, 12].into()
    );
}

#[test]
fn names_are_read_as_they_are_meant() {
    let text = "#[test]\nfn r8_x() {\nfn r9_no_test() {\n#[test]\n#[should_panic]\nfn a_r10() {}\n\
                r11_r12_script: \"file\",\n";
    assert_eq!(tests_of(text), ["r8_x", "a_r10", "r11_r12_script"]);
    assert_eq!(rules("r08_r09_x_r10"), [8, 9, 10]);
    assert_eq!(rules("random_r_words_or_rr7"), [0; 0]);
    assert_eq!(known_error("known_error_03_x"), Some(3));
    assert_eq!(known_error("an_unknown_error_03"), None);
}
