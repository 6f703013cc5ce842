//! Whatever the bytes are, the loader answers within a second and never panics.

#![expect(
    clippy::disallowed_methods,
    reason = "the time that the loader takes is what is tested"
)]

use std::time::{Duration, Instant};

use consortium_sim::scenario::{LONGEST_SCENARIO, Loaded, Problems, Source, load};
use proptest::{prelude::*, sample::select};

const MILK: &str = include_str!("../../scenarios/milk.toml");

fn load_quickly(text: impl Into<Vec<u8>>, overrides: &[String]) -> Result<Loaded, Problems> {
    let source = Source::new("garbage.toml", text);
    // A busy machine may take anything from a process once or twice, but not three times in a row.
    for _ in 0..3 {
        let start = Instant::now();
        let loaded = load(&source, overrides);
        if let Err(problems) = &loaded {
            assert!(problems.count() > 0 && !problems.render(true).is_empty());
        }
        if start.elapsed() < Duration::from_secs(1) {
            return loaded;
        }
    }
    panic!(
        "{} bytes take more than a second to refuse",
        source.bytes.len()
    );
}

fn refused(text: impl Into<Vec<u8>>) -> String {
    let problems = load_quickly(text, &[]).expect_err("this is no scenario");
    let rendered = problems.to_string();
    assert!(
        rendered.len() < 100_000,
        "{} bytes of problems",
        rendered.len()
    );
    let harmless = |c: char| c == '\n' || !c.is_control();
    assert!(
        rendered.chars().all(harmless),
        "control characters reach the terminal"
    );
    rendered
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let mut bytes = MILK.as_bytes().to_vec();
    bytes.splice(0..0, *b"# one\n# tw\xff\n");
    assert!(refused(bytes).contains("garbage.toml:2:5: this byte is not UTF-8 text"));
    assert!(refused("seed = \"\0\"").contains("garbage.toml:1:"));
    assert!(refused("\u{feff}").contains("`duration` is missing"));
    assert!(refused("seed = \"\u{1b}[31m\"\n\u{1b}").contains("garbage.toml:"));
}

#[test]
fn deep_nesting_is_refused_without_overflowing_the_stack() {
    for text in [
        format!("a = {}", "[".repeat(20_000)),
        "[".repeat(20_000),
        format!("a = {}", "{a=".repeat(20_000)),
        format!("{}a = 1", "a.".repeat(20_000)),
        format!("[{}a]", "a.".repeat(20_000)),
        format!("a = {}{}", "[".repeat(20_000), "]".repeat(20_000)),
    ] {
        let rendered = refused(text);
        assert!(
            rendered.contains("nested too deeply") || rendered.contains("key"),
            "{rendered}"
        );
    }
}

#[test]
fn a_megabyte_of_anything_is_refused_within_a_second() {
    let lines = |line: &str| line.repeat(1_000_000 / line.len());
    let each = |line: fn(usize) -> String| (0..30_000).map(line).collect::<Vec<_>>().concat();
    let numbered = each(|i| format!("some_long_key_with_the_number_{i} = 1\n"));
    let misspelt = each(|i| format!("seed{i} = \"something that is no seed\"\n"));
    let parties = each(|i| format!("[[party]]\nname='p{i}'\nvia='x{i}'\n"));
    for text in [
        numbered,
        misspelt,
        parties,
        lines("a b\n"),
        lines("seed = 1\n"),
        lines("[[fault]]\n"),
        lines("[[member]]\nname = 'a'\n"),
        format!("seed = \"{}\"", lines("x")),
        format!("{} = 1", lines("x")),
        format!("member = [{}]", lines("1,")),
        format!("expect.violations = [{}]", lines("'agrement',")),
        format!(
            "{MILK}\n[[fault]]\nkind='partition'\nat='1h'\ngroups=[{}]",
            lines("['Store'],")
        ),
    ] {
        refused(text);
    }
}

#[test]
fn a_file_over_the_limit_is_refused_by_its_length() {
    let long = vec![b'#'; 10_000_000];
    assert!(refused(long).contains(&format!("at most {LONGEST_SCENARIO} bytes")));
    let comment = format!("{MILK}\n#{}", " ".repeat(LONGEST_SCENARIO - MILK.len() - 2));
    assert_eq!(comment.len(), LONGEST_SCENARIO);
    assert!(
        load_quickly(comment, &[]).is_ok(),
        "the limit itself is allowed"
    );
}

#[test]
fn absurd_values_are_refused_one_by_one() {
    for (from, to) in [
        ("seed = 7", "seed = -1"),
        ("seed = 7", "seed = 9223372036854775808"),
        ("seed = 7", "seed = 7.0"),
        ("seed = 7", "seed = inf"),
        ("duration = \"24h\"", "duration = \"1e400s\""),
        ("duration = \"24h\"", "duration = \"-24h\""),
        ("duration = \"24h\"", "duration = \"0s\""),
        ("duration = \"24h\"", "duration = \"99999999999999999999h\""),
        ("duration = \"24h\"", "duration = \"500000h\""),
        ("duration = \"24h\"", "duration = 24"),
        (
            "duration = \"24h\"",
            "duration = \"24h\"\nwarm_up = \"24h\"",
        ),
        ("packages = 54", "packages = 0x7fffffffffffffff"),
        ("packages = 54", "packages = -54"),
        ("reading_every = \"1m\"", "reading_every = \"1ns\""),
        ("reading_every = \"1m\"", "pace = \"closed-lop\""),
        ("max_temperature_c = 10", "max_temperature_c = nan"),
        ("max_temperature_c = 10", "max_temperature_c = 1"),
        ("max_temperature_c = 10", "max_temperature_c = -inf"),
        ("max_humidity_pct = 80", "max_humidity_pct = 101"),
        ("name = \"Store\"", "name = \"\""),
        ("name = \"Store\"", "name = \"Carrier 2\""),
        ("name = \"Store\"", "name = \"Store\"\nvalidators = 1000000"),
        ("target = \"primary\"", "target = \"Nobody\""),
        ("[golden]\nname = \"GOLD-1\"", "[golden]\nname = \"PKG-1\""),
        ("at = \"9h\"", "at = \"9h\"\nuntil = \"9h\""),
        ("for = \"1h\"", "for = \"1h\"\nuntil = \"14h\""),
        ("to_temperature_c = 9", "to_temperature_c = 11"),
        (
            "to_temperature_c = 9",
            "to_temperature_c = 9\nuntil = \"24h\"",
        ),
    ] {
        assert!(MILK.contains(from), "milk.toml does not say {from:?}");
        refused(MILK.replacen(from, to, 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = load_quickly(bytes, &[]);
    }

    #[test]
    fn arbitrary_overrides_never_panic(
        overrides in proptest::collection::vec("[a-z_.\"0-9={}\\[\\]' é-]{0,40}", 0..4)
    ) {
        let _ = load_quickly(MILK, &overrides);
    }

    #[test]
    fn a_mutated_scenario_is_refused_or_reloads_to_the_same_plan(
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..12_usize, select(WORDS)),
            1..4
        )
    ) {
        let mut text = MILK.to_owned();
        for (index, removed, word) in edits {
            let start = index.index(text.len());
            let end = (start + removed).min(text.len());
            text.replace_range(start..end, word);
        }
        if let Ok(first) = load_quickly(text, &[]) {
            let again = load_quickly(first.effective.clone(), &[]).map_err(|problems| {
                TestCaseError::fail(format!("{problems}\n{}", first.effective))
            })?;
            prop_assert_eq!(format!("{:?}", first.plan), format!("{:?}", again.plan));
        }
    }
}

/// What mutations write.
const WORDS: &[&str] = &[
    "",
    "0",
    "9",
    "-",
    ".",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "#",
    "e",
    "é",
    "\u{0}",
    "1h",
    "Store",
    "[[fault]]\n",
    "[[cheat]]\n",
    "[fleet]\n",
    "validators = 3\n",
    "seed = 1\n",
    "nan",
    "true",
    "\r\n",
];
