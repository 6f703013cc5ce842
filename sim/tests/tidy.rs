//! The house rules, enforced by reading the sources: what may import what, where floats, prints and
//! madsim may appear, how long files and lines may be.
//!
//! A rule takes a source and reports the lines that break it, with what to do instead. Each is shown
//! to fire on a planted offence as well, because a check that never fired is not evidence.

#[path = "tidy/source.rs"]
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::{Source, code_of, has_word};

/// A line that breaks a rule, counted from 1, and what to do about it.
type Offence = (usize, String);

fn root() -> &'static Path {
    let sim = Path::new(env!("CARGO_MANIFEST_DIR"));
    sim.parent().expect("sim lies in the workspace")
}

fn sources() -> Vec<Source> {
    let mut folders: Vec<PathBuf> = ["node", "sim", "benches"].map(|c| root().join(c)).into();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let path = path.strip_prefix(root()).expect("below the root");
                let path = path.to_string_lossy().replace('\\', "/");
                sources.push(Source::new(&path, &text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 50, "the sources were found");
    sources
}

/// Holds a rule against every file.
fn enforce(rule: fn(&Source) -> Vec<Offence>) {
    let mut offences = Vec::new();
    for source in sources() {
        let found = rule(&source).into_iter();
        offences.extend(found.map(|(line, what)| format!("{}:{line}: {what}", source.path)));
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// The lines on which a rule fires, for a file of this path and text.
fn fires(rule: fn(&Source) -> Vec<Offence>, path: &str, text: &str) -> Vec<usize> {
    let offences = rule(&Source::new(path, text)).into_iter();
    offences.map(|(line, _)| line).collect()
}

fn each(lines: Vec<usize>, what: &str) -> Vec<Offence> {
    let lines = lines.into_iter();
    lines.map(|line| (line, what.to_owned())).collect()
}

// --- node is pure ------------------------------------------------------------------------------

const PURE: [&str; 5] = ["borsh", "ct-merkle", "ed25519-dalek", "sha2", "thiserror"];

fn impure_dependencies(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let tables = ["dependencies", "build-dependencies", "target"];
    let tables = tables.into_iter().filter_map(|table| manifest.get(table));
    let names = tables.flat_map(|table| table.as_table().expect("a table").keys().cloned());
    names
        .filter(|name| !PURE.contains(&name.as_str()))
        .collect()
}

#[test]
fn node_depends_on_codec_hash_signature_and_merkle_tree_and_on_nothing_else() {
    let manifest = fs::read_to_string(root().join("node/Cargo.toml")).expect("the manifest");
    let impure = impure_dependencies(&manifest);
    assert!(
        impure.is_empty(),
        "node/Cargo.toml:1: depends on {impure:?}, but node is pure: pass what the crate would do \
         as an argument, or do it in sim"
    );
    let tokio = "[dependencies]\nborsh = \"1\"\ntokio = \"1\"\n[dev-dependencies]\ninsta = \"1\"";
    assert_eq!(impure_dependencies(tokio), ["tokio"]);
}

fn impure(source: &Source) -> Vec<Offence> {
    let prints = "node prints nothing; tell observers with a Note or a Tale";
    let words = [
        ("HashMap", "its order differs from run to run; use BTreeMap"),
        ("HashSet", "its order differs from run to run; use BTreeSet"),
        ("Instant", "time is an argument: LocalTime"),
        ("SystemTime", "time is an argument: LocalTime"),
        ("async", "node is a state machine; return an effect"),
        ("println", prints),
        ("eprintln", prints),
        ("print", prints),
        ("eprint", prints),
        ("dbg", prints),
    ];
    if !source.is_under(&["node/src/"]) {
        return Vec::new();
    }
    let words = words.iter().flat_map(|(word, why)| {
        let what = format!("`{word}` in node: {why}");
        each(source.word(word), &what)
    });
    let machine = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "std::process",
    ];
    let touched = source.names(&machine).into_iter().map(|(line, path)| {
        let what = format!("`{path}` in node: it never touches its machine; return an effect");
        (line, what)
    });
    words.chain(touched).collect()
}

#[test]
fn node_knows_no_clock_no_files_no_threads_and_no_unordered_maps() {
    enforce(impure);
    let text = "use std::{collections::HashMap, time::Instant};\n\
                // HashSet\n\
                fn f() { dbg!(1) }\n\
                use std::{sync::Arc,\n    fs::File};\n\
                let x = \"SystemTime\";";
    assert_eq!(fires(impure, "node/src/x.rs", text), [1, 1, 3, 5]);
    assert_eq!(fires(impure, "node/tests/x.rs", text), [0; 0]);
}

// --- Floats ------------------------------------------------------------------------------------

/// Where floats may appear in what decides, and why.
const FLOATS: [(&str, &str); 3] = [
    (
        "sim/src/net/jitter.rs",
        "the table of quantiles, computed once",
    ),
    (
        "sim/src/workload/load/poisson.rs",
        "the logarithm of a draw, turned to fixed point at once",
    ),
    (
        "sim/src/workload/physics.rs",
        "the share per step, computed once",
    ),
];

fn floats(source: &Source) -> Vec<Offence> {
    let decides = [
        "node/src/",
        "sim/src/net/",
        "sim/src/workload/",
        "sim/src/world/",
        "sim/src/adversary/",
        "sim/src/fault/",
    ];
    let excused = FLOATS.iter().any(|(path, _)| *path == source.path);
    if !source.is_under(&decides) || excused || source.is_test() {
        return Vec::new();
    }
    let lines = source.product().filter(|(_, line)| {
        has_word(line, "f64") || has_word(line, "f32") || has_float_literal(line)
    });
    let what = "a float in what decides: C libraries differ in the last bits; use fixed point, or \
                libm and an entry in FLOATS with the reason";
    each(lines.map(|(number, _)| number).collect(), what)
}

/// `1.5`, but not the fields of `x.0.1`, nor the range `0..1`.
fn has_float_literal(line: &str) -> bool {
    line.match_indices('.').any(|(at, _)| {
        let before = line[..at].trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = before.len() < at;
        let after = line[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        digits && after && !before.ends_with(|c: char| c.is_alphanumeric() || "._".contains(c))
    })
}

#[test]
fn no_platform_floats_in_anything_that_decides() {
    enforce(floats);
    let text = "fn f(x: f64) {}\n\
                let half = 0.5;\n\
                let y = x.0.1 + a[0..3].len();\n\
                // 1.5\n\
                #[cfg(test)]\nmod tests {\n let z = 2.5_f32; }";
    for path in ["node/src/x.rs", "sim/src/world/x.rs", "sim/src/net/y/z.rs"] {
        assert_eq!(fires(floats, path, text), [1, 2], "{path}");
    }
    assert_eq!(fires(floats, "sim/src/metrics/x.rs", text), [0; 0]);
    for (path, reason) in FLOATS {
        let Ok(excused) = fs::read_to_string(root().join(path)) else {
            continue;
        };
        let needed = has_word(&code_of(&excused), "f64");
        assert!(
            needed,
            "{path} needs no excuse any more ({reason}): take it out of FLOATS"
        );
        assert!(
            excused.contains("libm::"),
            "{path}: floats that decide come from libm"
        );
    }
}

// --- Who may import whom -----------------------------------------------------------------------

const PROTOCOLS: [&str; 9] = [
    "pbft",
    "qbft",
    "ibft",
    "tendermint",
    "hotstuff",
    "raft",
    "clique",
    "central",
    "execute_order_validate",
];

/// What this file may not import, and why.
fn forbidden(source: &Source) -> Vec<(String, &'static str)> {
    let mut forbidden = Vec::new();
    for protocol in PROTOCOLS {
        let home = [
            format!("node/src/{protocol}/"),
            format!("node/src/{protocol}.rs"),
        ];
        if source.is_under(&home.each_ref().map(String::as_str)) {
            let others = PROTOCOLS.iter().filter(|other| **other != protocol);
            let why = "protocols do not know each other; what two need moves down";
            forbidden.extend(others.map(|other| (format!("crate::{other}"), why)));
        }
    }
    if source.is_under(&["node/src/ledger/", "node/src/ledger.rs"]) {
        let why = "the ledger is handed an executor and knows no contracts";
        forbidden.push(("crate::contracts".into(), why));
    }
    let readers = ["invariant", "metrics", "report", "trace"];
    let readers = readers.map(|reader| format!("sim/src/{reader}"));
    if source.is_under(&readers.each_ref().map(String::as_str)) {
        let why = "readers know facts and not who tells them: import `fact`";
        forbidden.push(("crate::world".into(), why));
    }
    if source.is_under(&["sim/src/net/", "sim/src/net.rs"]) {
        let why = "the network sees labels and lengths, never what a message says";
        let bodies = [
            "node::Packet",
            "node::ConsensusPacket",
            "node::ClientPacket",
            "engine",
        ];
        let bodies = bodies.into_iter().chain(PROTOCOLS);
        forbidden.extend(bodies.map(|body| (format!("consortium_node::{body}"), why)));
    }
    forbidden
}

fn imports(source: &Source) -> Vec<Offence> {
    let forbidden = forbidden(source);
    let offences = forbidden.iter().flat_map(|(prefix, why)| {
        let hits = source.names(&[prefix]).into_iter();
        hits.map(move |(line, path)| (line, format!("imports `{path}`: {why}")))
    });
    offences.collect()
}

#[test]
fn dependencies_point_one_way() {
    enforce(imports);
    let grouped = "use crate::{\n    block::Block,\n    clique::{self, Clique},\n};";
    assert_eq!(fires(imports, "node/src/pbft/log.rs", grouped), [3, 3]);
    assert_eq!(fires(imports, "node/src/clique/tree.rs", grouped), [0; 0]);
    let inline = "fn f() {\n    super::super::central::POLL;\n}";
    assert_eq!(fires(imports, "node/src/pbft/log.rs", inline), [2]);
    let contracts = "use crate::contracts::Contract;";
    assert_eq!(fires(imports, "node/src/ledger/mod.rs", contracts), [1]);
    let world = "use crate::{fact::Fact, world::World};";
    for reader in [
        "trace.rs",
        "trace/hash.rs",
        "invariant/prefix.rs",
        "report/table.rs",
    ] {
        assert_eq!(fires(imports, &format!("sim/src/{reader}"), world), [1]);
    }
    assert_eq!(fires(imports, "sim/src/run.rs", world), [0; 0]);
    let wire = "use consortium_node::{types::NodeId, node::{Note, Packet}};";
    assert_eq!(fires(imports, "sim/src/net/link.rs", wire), [1]);
    let names = "use consortium_node::types::NodeId;";
    assert_eq!(fires(imports, "sim/src/net/link.rs", names), [0; 0]);
}

fn beyond_the_pump(source: &Source) -> Vec<Offence> {
    let home = ["sim/src/world/pump.rs", "sim/build.rs"];
    if home.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let what =
        "names madsim: only sim/src/world/pump.rs does; make it an entry of the world's queue";
    each(source.word("madsim"), what)
}

#[test]
fn only_the_pump_names_madsim() {
    enforce(beyond_the_pump);
    let text = "//! On madsim.\nuse madsim::time;";
    assert_eq!(fires(beyond_the_pump, "sim/src/world/mod.rs", text), [2]);
    assert_eq!(
        fires(beyond_the_pump, "sim/src/world/pump.rs", text),
        [0; 0]
    );
}

fn prints(source: &Source) -> Vec<Offence> {
    let may = source.is_under(&["sim/src/report/", "sim/src/main.rs"]);
    if may || !source.path.contains("/src/") {
        return Vec::new();
    }
    let macros = ["print", "println", "eprint", "eprintln", "dbg"];
    let prints = |line: &str| {
        let says = |word: &&str| has_word(line, word) && line.contains(&format!("{word}!"));
        macros.iter().any(says) || has_word(line, "stdout") || has_word(line, "stderr")
    };
    let lines = (1..)
        .zip(source.code.lines())
        .filter(|(_, line)| prints(line));
    let what = "prints: only report/ and main.rs do; return the text or tell a fact";
    each(lines.map(|(number, _)| number).collect(), what)
}

#[test]
fn only_reports_and_main_print() {
    enforce(prints);
    let text = "fn print(x: u8) {}\nprintln!(\"x\");\nlet out = std::io::stdout();";
    assert_eq!(fires(prints, "sim/src/metrics/x.rs", text), [2, 3]);
    assert_eq!(fires(prints, "sim/src/report/table.rs", text), [0; 0]);
}

// --- Files and lines ---------------------------------------------------------------------------

/// Most lines of a file that is no test.
const LINES: usize = 520;
/// Files that were longer when the rule came. They may shrink and leave, and nobody may join.
const LONG: [(&str, usize); 0] = [];
/// Most characters of a line of code, what stands between quotes not counted.
const WIDTH: usize = 100;
/// Most characters of a line of prose, which rustfmt does not wrap. A link may stick out.
const PROSE: usize = 110;

fn shape(source: &Source) -> Vec<Offence> {
    let mut offences = Vec::new();
    if !source.text.starts_with("//!") {
        let what = "begins without `//!`: say in a sentence what the file is for";
        offences.push((1, what.to_owned()));
    }
    let lines = source.text.lines().count();
    let known = LONG.iter().find(|(path, _)| *path == source.path);
    let most = known.map_or(LINES, |(_, most)| *most);
    if lines > most && !source.is_test() {
        let what = format!("{lines} lines, {most} are allowed: which idea is hiding in here?");
        offences.push((lines, what));
    }
    for (number, (text, code)) in (1..).zip(source.text.lines().zip(source.code.lines())) {
        let prose = text.trim_start().starts_with("//");
        let (width, most) = if prose {
            (text.chars().count(), PROSE)
        } else {
            (width_of(text, code), WIDTH)
        };
        if width > most && !(prose && text.contains("](")) {
            let what = format!("{width} characters wide, {most} are allowed: wrap it");
            offences.push((number, what));
        }
    }
    offences
}

/// Characters of a line without those between quotes, which cannot be wrapped.
fn width_of(text: &str, code: &str) -> usize {
    let both = text.chars().zip(code.chars());
    both.filter(|(written, kept)| written == kept).count()
}

#[test]
fn files_say_what_they_are_for_and_fit_a_sitting() {
    enforce(shape);
    let [code, prose, quote] = [("x", 93), ("y", 108), ("z", 200)].map(|(c, n)| c.repeat(n));
    let wide = format!("//! x\nlet x = {code};\n// {prose}\nlet y = \"{quote}\";");
    assert_eq!(fires(shape, "sim/src/x.rs", &wide), [2, 3]);
    assert_eq!(fires(shape, "sim/src/x.rs", "fn f() {}"), [1]);
    let long = format!("//! x\n{}", "\n".repeat(LINES));
    assert_eq!(fires(shape, "sim/src/x.rs", &long), [LINES + 1]);
    assert_eq!(fires(shape, "sim/tests/x.rs", &long), [0; 0]);
    for (path, _) in LONG {
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        let needed = text.is_empty() || text.lines().count() > LINES;
        assert!(needed, "{path} is short enough now: take it out of LONG");
    }
}

fn unfinished(source: &Source) -> Vec<Offence> {
    // Put together, so that this file does not offend.
    let marks = [["TO", "DO"], ["FIX", "ME"]].map(|halves| halves.concat());
    let macros = [["to", "do!"], ["unimpl", "emented!"]].map(|halves| halves.concat());
    let lines = (1..).zip(source.text.lines()).filter(|(_, line)| {
        marks.iter().any(|mark| has_word(line, mark))
            || macros.iter().any(|name| line.contains(name.as_str()))
    });
    let what = "unfinished: finish it, or write an issue and take the mark out";
    each(lines.map(|(number, _)| number).collect(), what)
}

#[test]
fn nothing_is_left_unfinished() {
    enforce(unfinished);
    let text = [
        "//! x\n// TO",
        "DO: more\nfn f() { to",
        "do!() }\nlet method = 1;",
    ]
    .concat();
    assert_eq!(fires(unfinished, "node/src/x.rs", &text), [2, 3]);
}
