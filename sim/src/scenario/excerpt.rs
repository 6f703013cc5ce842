//! The line that a problem points to, cut to a readable length.
//!
//! A scenario may be one line of a megabyte, or hold bytes that would drive a terminal; miette is given
//! this excerpt instead of the text.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// Characters shown before and after the start of a problem.
const AROUND: usize = 60;

/// Part of one line.
#[derive(Clone, Debug)]
pub(crate) struct Excerpt {
    name: String,
    text: String,
    underlined: Range<usize>,
    line: usize,
    column: usize,
}

impl Excerpt {
    /// The surroundings of a range of bytes. Ranges over several lines are cut to the first.
    pub(crate) fn new(name: &str, text: &str, range: Range<usize>) -> Self {
        let start = floor(text, range.start);
        let (line, column) = Self::position(text, start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let end = floor(text, range.end).clamp(start, line_end);
        let before: Vec<char> = text[line_start..start].chars().rev().take(AROUND).collect();
        let mut shown = String::new();
        if text[line_start..start].chars().nth(AROUND).is_some() {
            shown.push('…');
        }
        shown.extend(before.into_iter().rev().map(visible));
        let underline_start = shown.len();
        let mut underline_end = underline_start;
        for (offset, character) in text[start..line_end].char_indices().take(AROUND) {
            shown.push(visible(character));
            if start + offset < end {
                underline_end = shown.len();
            }
        }
        if text[start..line_end].chars().nth(AROUND).is_some() {
            shown.push('…');
        }
        if underline_end == shown.len() && underline_end == underline_start {
            // Something is missing at the end of the line: there must be a place to point to.
            shown.push(' ');
        }
        Self {
            name: name.to_owned(),
            text: shown,
            underlined: underline_start..underline_end,
            line,
            column,
        }
    }

    /// Line and column of a byte, from 0; columns count characters.
    pub(crate) fn position(text: &str, byte: usize) -> (usize, usize) {
        let before = &text[..floor(text, byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count();
        (line, before[line_start..].chars().count())
    }

    /// What the problem is about, within the excerpt.
    pub(crate) fn underlined(&self) -> SourceSpan {
        let start = self.underlined.start.min(self.text.len());
        let end = self.underlined.end.clamp(start, self.text.len());
        (start, end - start).into()
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        _span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            self.text.as_bytes(),
            (0, self.text.len()).into(),
            self.line,
            self.column,
            1,
        )))
    }
}

/// The start of the character that holds this byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// A text without what must not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// Escape sequences, tabs and invisible characters must not reach a terminal.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '·',
        other if other.is_control() => '·',
        other => other,
    }
}
