//! Mistakes in a spec, with their place and remedy.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;
use thiserror::Error;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("{message}")]
pub struct SpecError {
    /// `KS-SPEC-...`, one of [`codes`](super::codes).
    pub code: &'static str,
    /// What is wrong, with the value that is.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the text that it is about.
    pub span: Range<usize>,
    /// What to write instead.
    pub remedy: String,
}

/// All mistakes of one file, in the order of their places. Never empty.
#[derive(Clone, Debug, Error, Serialize)]
pub struct SpecErrors {
    /// File name as the user gave it.
    pub file: String,
    /// The mistakes.
    pub errors: Vec<SpecError>,
    #[serde(skip)]
    text: NamedSource<String>,
}

impl SpecErrors {
    pub(super) fn new(file: &str, text: &str, mut errors: Vec<SpecError>) -> Self {
        errors.sort_by_key(|error| (error.span.start, error.span.end));
        let source = NamedSource::new(file, text.to_owned()).with_language("toml");
        Self { file: file.to_owned(), errors, text: source }
    }

    /// `file:line:column: message [code]` and the remedy below it, for pipes and editors.
    pub fn plain(&self) -> String {
        self.errors
            .iter()
            .map(|error| {
                let SpecError { code, message, line, column, remedy, .. } = error;
                format!("{}:{line}:{column}: {message} [{code}]\n  {remedy}\n", self.file)
            })
            .collect()
    }

    /// With the lines of the file and what they should read, for terminals.
    pub fn fancy(&self, theme: GraphicalTheme, width: usize) -> String {
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
        let mut text = String::new();
        for error in &self.errors {
            let shown = Shown { error, source: &self.text };
            if handler.render_report(&mut text, &shown).is_err() {
                return self.plain();
            }
        }
        text
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        write!(f, "{} has {count} mistake{}", self.file, if count == 1 { "" } else { "s" })
    }
}

impl Diagnostic for SpecError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.remedy))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some("here".into()), self.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

impl Diagnostic for SpecErrors {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.errors.iter().map(|error| error as &dyn Diagnostic)))
    }
}

/// One mistake with its source, as miette wants it.
#[derive(Debug)]
struct Shown<'a> {
    error: &'a SpecError,
    source: &'a NamedSource<String>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.code()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.error.labels()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }
}
