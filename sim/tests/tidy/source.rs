//! Rust sources as the house rules see them: code without comments and quotes, and the paths that it
//! names.

use std::ops::Range;

/// A Rust file, as written and as code alone.
pub(crate) struct Source {
    /// From the root of the workspace, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text without comments and without what stands between quotes; lines stay lines.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: code_of(text),
        }
    }

    pub(crate) fn is_under(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// Whether it holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().expect("a path has a name");
        self.path.contains("/tests/") || ["tests.rs", "snapshots.rs"].contains(&name)
    }

    /// The lines of code, numbered, without a module of tests at the end.
    pub(crate) fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.code.find("#[cfg(test)]\nmod tests {");
        let code = &self.code[..end.unwrap_or(self.code.len())];
        (1..).zip(code.lines())
    }

    /// Lines of code with this word.
    pub(crate) fn word(&self, word: &str) -> Vec<usize> {
        let lines = (1..).zip(self.code.lines());
        let hits = lines.filter(|(_, line)| has_word(line, word));
        hits.map(|(number, _)| number).collect()
    }

    /// Lines that name something whose path begins so, with what they name.
    pub(crate) fn names(&self, prefixes: &[&str]) -> Vec<(usize, String)> {
        let begins = |path: &str, prefix: &str| {
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let mut hits = self.paths();
        hits.retain(|(_, path)| prefixes.iter().any(|prefix| begins(path, prefix)));
        hits.sort();
        hits.dedup();
        hits
    }

    /// Everything that it names by a path of two parts or more, `use` trees spread out, `super` and
    /// `self` resolved, with the line.
    fn paths(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("use ") {
            let begins = !self.code[..at].ends_with(within_word);
            if begins && let Some(length) = self.code[at..].find(';') {
                spread(&self.code, at + 4..at + length, "", &mut found);
            }
        }
        let bytes = self.code.as_bytes();
        let in_path = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
        let mut at = 0;
        while at < bytes.len() {
            let length = bytes[at..].iter().take_while(|b| in_path(**b)).count();
            if length > 0 {
                found.push((at, self.code[at..at + length].to_owned()));
            }
            at += length.max(1);
        }
        found.retain(|(_, path)| path.contains("::"));
        let line = |at: usize| self.code[..at].matches('\n').count() + 1;
        let paths = found.into_iter();
        paths
            .map(|(at, path)| (line(at), self.resolve(&path)))
            .collect()
    }

    /// `super::x` as `crate::…::x`.
    fn resolve(&self, path: &str) -> String {
        let mut parts = path.split("::").peekable();
        if !matches!(parts.peek(), Some(&"self" | &"super")) {
            return path.to_owned();
        }
        let inside = self
            .path
            .split_once("/src/")
            .map_or("", |(_, inside)| inside);
        let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        let mut module: Vec<_> = inside.split('/').filter(|part| *part != "lib").collect();
        while let Some(part) = parts.next_if(|part| ["self", "super"].contains(part)) {
            if part == "super" {
                module.pop();
            }
        }
        let all = ["crate"].into_iter().chain(module).chain(parts);
        all.collect::<Vec<_>>().join("::")
    }
}

fn within_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        !line[..at].ends_with(within_word) && !after.starts_with(within_word)
    })
}

/// Blanks comments and the insides of strings and characters.
pub(crate) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let bare = rest.trim_start_matches('b').trim_start_matches('r');
        let bare = bare.trim_start_matches('#');
        let begins_word = !code.ends_with(within_word);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if begins_word && rest.starts_with(['r', 'b']) && bare.starts_with('"') {
            let opening = &rest[..rest.len() - bare.len()];
            literal(rest, opening)
        } else if first == '"' {
            1 + quoted(&rest[1..])
        } else if first == '\'' && character(rest) > 1 {
            character(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let blanked = rest[..length].chars();
        code.extend(blanked.map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    code
}

/// Length of the string literal at the start of `text`, of which `opening` comes before the quote.
fn literal(text: &str, opening: &str) -> usize {
    let begin = opening.len() + 1;
    if !opening.contains('r') {
        return begin + quoted(&text[begin..]);
    }
    let end = format!("\"{}", "#".repeat(opening.matches('#').count()));
    let inside = text[begin..].find(&end);
    inside.map_or(text.len(), |inside| begin + inside + end.len())
}

/// Length up to and with the closing quote.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == '"' && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// Length of a character literal, or 1 for the apostrophe that begins a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text.char_indices().skip(1);
    match inside.next() {
        Some((_, '\\')) => {
            let close = text[3..].find('\'');
            close.map_or(1, |close| 3 + close + 1)
        }
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1,
    }
}

/// Spreads a tree of `use` out into full paths, each with where it stands.
fn spread(code: &str, tree: Range<usize>, prefix: &str, found: &mut Vec<(usize, String)>) {
    let mut depth = 0;
    let text = &code[tree.clone()];
    let commas = text.char_indices().filter_map(|(at, c)| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        (c == ',' && depth == 0).then_some(tree.start + at)
    });
    let ends: Vec<_> = commas.chain([tree.end]).collect();
    let mut begin = tree.start;
    for end in ends {
        let branch = &code[begin..end];
        let name = branch.trim();
        if let Some(open) = branch.find('{') {
            let prefix = format!("{prefix}{}", branch[..open].trim());
            let close = branch.rfind('}').unwrap_or(branch.len());
            spread(code, begin + open + 1..begin + close, &prefix, found);
        } else if !name.is_empty() {
            let at = begin + branch.find(name).expect("part of itself");
            let name = name.split(" as ").next().expect("a name");
            found.push((at, format!("{prefix}{name}")));
        }
        begin = end + 1;
    }
}

#[test]
fn comments_and_quotes_are_not_code() {
    let text = "a(\"b \\\" c\"); // d\n\
                e('\"', 'f', '\\'') /* g */ r#\"h \" i\"# j<'k>(b\"l\")\n\
                m";
    let words: Vec<_> = code_of(text)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(words.concat(), "a();e(,,)j<'k>()m");
    assert_eq!(code_of(text).lines().count(), 3);
}

#[test]
fn trees_of_imports_are_spread_out() {
    let text = "use crate::{a::{self, B as C}, d};\n\
                pub(crate) use super::e::F;\n\
                x(self::g::h());";
    let paths = Source::new("sim/src/p/q.rs", text).paths();
    let paths: Vec<_> = paths
        .iter()
        .map(|(line, path)| (*line, path.as_str()))
        .collect();
    for expected in [
        (1, "crate::a::self"),
        (1, "crate::a::B"),
        (1, "crate::d"),
        (2, "crate::p::e::F"),
        (3, "crate::p::q::g::h"),
    ] {
        assert!(paths.contains(&expected), "{expected:?} in {paths:?}");
    }
}
