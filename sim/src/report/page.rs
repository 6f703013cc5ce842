//! A page of at most a hundred columns: labelled paragraphs and aligned tables.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

/// Columns of a page.
pub(super) const WIDTH: usize = 100;
/// Where text after a label begins.
const INDENT: usize = 12;

/// A page that grows downwards.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// A line as it is.
    pub(super) fn line(&mut self, text: &str) {
        self.0.push_str(text.trim_end());
        self.0.push('\n');
    }

    /// A label and a paragraph that is broken into lines at spaces. Double spaces keep things apart
    /// and may be broken as well.
    pub(super) fn labelled(&mut self, label: &str, text: &str) {
        let mut line = format!("{label:<INDENT$}");
        if label.len() >= INDENT {
            line.push_str(if label.ends_with(':') { " " } else { "  " });
        }
        let mut empty = true;
        for word in text.split_inclusive(' ') {
            let width = line.chars().count() + word.trim_end().chars().count();
            if width > WIDTH && !empty {
                self.line(&line);
                line = " ".repeat(INDENT);
                empty = true;
            }
            if empty && word == " " {
                continue;
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }

    /// A table without lines, indented by one. Columns listed in `numbers` are aligned to the right; a
    /// table too wide for the page breaks its longest cells.
    pub(super) fn table(
        &mut self,
        header: Option<Vec<String>>,
        rows: Vec<Vec<String>>,
        numbers: &[usize],
    ) {
        self.lines_of(&arranged(header, rows, numbers, WIDTH));
    }

    /// The same over ten columns more, whose first column is never broken.
    pub(super) fn wide_table(
        &mut self,
        header: Vec<String>,
        rows: Vec<Vec<String>>,
        numbers: &[usize],
    ) {
        let mut table = arranged(Some(header), rows, numbers, WIDTH + 10);
        if let Some(first) = table.column_mut(0) {
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        self.lines_of(&table);
    }

    fn lines_of(&mut self, table: &Table) {
        for line in table.lines() {
            self.line(&line);
        }
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn arranged(
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    numbers: &[usize],
    width: usize,
) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width as u16);
    if let Some(header) = header {
        table.set_header(header);
    }
    table.add_rows(rows);
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((1, 1));
        if numbers.contains(&number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_break_at_spaces_and_hang_under_their_text() {
        let mut page = Page::default();
        page.labelled("NOTE", &"word ".repeat(30));
        let text = page.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert!(lines[0].starts_with("NOTE        word"));
        assert!(lines[1].starts_with("            word"));
    }
}
