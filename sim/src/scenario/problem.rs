//! What is wrong with a scenario: everything at once, each with its place and a hint.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write as _},
};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan};

use super::{
    excerpt::{Excerpt, printable},
    tree::Span,
};

/// A scenario with more problems than this is not read to the end of them.
const KEPT: usize = 1000;
/// So many are rendered in full.
const SHOWN: usize = 20;
/// Columns of a rendered problem.
const WIDTH: usize = 100;

/// Everything that is wrong with a scenario, in the order of its text. Never empty.
#[derive(Clone, Debug)]
pub struct Problems {
    texts: Vec<Text>,
    list: Vec<Problem>,
    more: usize,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where.
    span: Span,
}

/// A text that a problem may point into.
#[derive(Clone, Debug)]
struct Text {
    name: String,
    content: String,
    /// Carried with this program: nobody typed it, so it is never to blame.
    built_in: bool,
}

impl Problems {
    /// A problem with a file as a whole.
    pub(crate) fn whole(name: &str, message: String, hint: Option<String>) -> Self {
        let log = Log::default();
        let text = log.text(name, "");
        log.add(Span::new(text, &(0..0)), message, hint);
        log.into_problems()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// The problems (at most the first 1000).
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// File (or override), line and column of a problem of these, from 1.
    pub fn place(&self, problem: &Problem) -> (&str, usize, usize) {
        let text = &self.texts[problem.span.text];
        let (line, column) = Excerpt::position(&text.content, problem.span.start);
        (&text.name, line + 1, column + 1)
    }

    /// As a text for people, with or without colours.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(WIDTH)
            .with_links(false)
            .with_context_lines(0);
        let mut out = String::new();
        for (i, problem) in self.list.iter().take(SHOWN).enumerate() {
            if i > 0 {
                out.push('\n');
            }
            let text = &self.texts[problem.span.text];
            let report = Report {
                problem,
                excerpt: (problem.span.end > 0).then(|| {
                    Excerpt::new(
                        &text.name,
                        &text.content,
                        problem.span.start..problem.span.end,
                    )
                }),
                name: &text.name,
            };
            // Writing to a string fails only if the excerpt is refused; the message is still worth its line.
            if handler.render_report(&mut out, &report).is_err() {
                out.push_str(&problem.message);
                out.push('\n');
            }
        }
        match self.count() - self.list.len().min(SHOWN) {
            0 => {}
            more => {
                writeln!(out, "\n… and {more} more problems").expect("a string takes any text");
            }
        }
        out
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// A problem on its way through miette.
#[derive(Debug)]
struct Report<'a> {
    problem: &'a Problem,
    excerpt: Option<Excerpt>,
    name: &'a str,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.excerpt {
            Some(_) => f.write_str(&self.problem.message),
            None => write!(f, "{}: {}", self.name, self.problem.message),
        }
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let hint = self.problem.hint.as_ref()?;
        Some(Box::new(hint))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        Some(Box::new(std::iter::once(
            LabeledSpan::new_primary_with_span(None, excerpt.underlined()),
        )))
    }
}

/// Where the parts of the loader write down what is wrong; they carry on afterwards.
#[derive(Debug, Default)]
pub(crate) struct Log {
    texts: RefCell<Vec<Text>>,
    list: RefCell<Vec<Problem>>,
    more: Cell<usize>,
}

impl Log {
    /// Makes a text known; its number goes into spans.
    pub(crate) fn text(&self, name: &str, text: &str) -> usize {
        self.keep(name, text, false)
    }

    /// Makes a text known that is carried with this program.
    pub(crate) fn built_in(&self, name: &str, text: &str) -> usize {
        self.keep(name, text, true)
    }

    fn keep(&self, name: &str, text: &str, built_in: bool) -> usize {
        let mut texts = self.texts.borrow_mut();
        texts.push(Text {
            name: name.to_owned(),
            content: text.to_owned(),
            built_in,
        });
        texts.len() - 1
    }

    /// Whether somebody typed this.
    pub(crate) fn is_typed(&self, span: Span) -> bool {
        !self.texts.borrow()[span.text].built_in
    }

    /// Writes a problem down. What nobody typed is a problem of the file as a whole.
    pub(crate) fn add(&self, span: Span, message: impl Into<String>, hint: Option<String>) {
        let typed = self.is_typed(span);
        let mut list = self.list.borrow_mut();
        if list.len() < KEPT {
            list.push(Problem {
                message: printable(&message.into()),
                hint: hint.map(|hint| printable(&hint)),
                span: if typed { span } else { Span::new(0, &(0..0)) },
            });
        } else {
            self.more.set(self.more.get() + 1);
        }
    }

    /// Whether hints are still worth their effort.
    pub(crate) fn wants_hints(&self) -> bool {
        self.list.borrow().len() < SHOWN
    }

    /// How many problems there are so far.
    pub(crate) fn count(&self) -> usize {
        self.list.borrow().len() + self.more.get()
    }

    /// All that was written down.
    pub(crate) fn into_problems(self) -> Problems {
        let mut list = self.list.into_inner();
        assert!(!list.is_empty(), "refused without a reason");
        list.sort_by_key(|problem| problem.span);
        list.dedup();
        Problems {
            texts: self.texts.into_inner(),
            list,
            more: self.more.get(),
        }
    }
}
