//! The list of rules stays true: each rule of PBFT that this project holds itself to, and each error of
//! published implementations, has a test that names it.
//!
//! Rules are R1–R26 and R32–R42 (R27–R31 belong to the variant without signatures); a test names rule 8 as
//! `r8` or `r08` between underscores, at the beginning or at the end of its name. Known errors are 1–15; a
//! test names the third as `known_error_03`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Sources with tests: all of `node` and `sim`.
fn sources() -> Vec<PathBuf> {
    let node = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = node.parent().expect("node lies in the workspace");
    let folders = ["node/src", "node/tests", "sim/src", "sim/tests"];
    let mut folders: Vec<PathBuf> = folders.map(|folder| root.join(folder)).into();
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
    let texts = sources();
    let texts = texts
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
