//! Reading TOML tables key by key: every mistake is noted and reading goes on.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::codes;
use super::error::SpecError;

/// A mistake whose place is known to whoever asked for the value.
#[derive(Debug)]
pub(super) struct Mistake {
    pub code: &'static str,
    pub message: String,
    pub remedy: String,
}

impl Mistake {
    pub fn new(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: remedy.into() }
    }
}

/// All mistakes so far.
#[derive(Debug)]
pub(super) struct Mistakes<'t> {
    text: &'t str,
    errors: Vec<SpecError>,
}

impl<'t> Mistakes<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, errors: Vec::new() }
    }

    pub fn note(&mut self, span: Range<usize>, mistake: Mistake) {
        let (start, end) = (self.boundary(span.start), self.boundary(span.end));
        let before = &self.text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let Mistake { code, message, remedy } = mistake;
        self.errors.push(SpecError { code, message, line, column, span: start..end.max(start), remedy });
    }

    /// The nearest byte at or before `at` where a character begins.
    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or_default()
    }

    pub fn errors(&mut self) -> &mut Vec<SpecError> {
        &mut self.errors
    }

    pub fn into_errors(self) -> Vec<SpecError> {
        self.errors
    }
}

/// A value with its place, or a stand-in where there is none or a wrong one. Checks that compare two
/// values ask `sound` first, so that one mistake is told once.
#[derive(Clone, Debug)]
pub(super) struct Field<T> {
    pub value: T,
    /// The value's bytes; those of the table's header for a default.
    pub span: Range<usize>,
    /// Not a stand-in for a wrong or missing value.
    pub sound: bool,
}

/// What a key holds.
#[derive(Debug)]
pub(super) struct Got<T> {
    /// Full name for messages: `network.pod_cidr`.
    pub path: String,
    pub span: Range<usize>,
    pub state: State<T>,
}

#[derive(Debug)]
pub(super) enum State<T> {
    Absent,
    /// Already noted.
    Wrong,
    Value(T),
}

impl<T> Got<T> {
    /// Turns the value into another; a mistake is noted at its place.
    pub fn then<U>(
        self,
        mistakes: &mut Mistakes<'_>,
        change: impl FnOnce(&str, T) -> Result<U, Mistake>,
    ) -> Got<U> {
        let state = match self.state {
            State::Absent => State::Absent,
            State::Wrong => State::Wrong,
            State::Value(value) => match change(&self.path, value) {
                Ok(value) => State::Value(value),
                Err(mistake) => {
                    mistakes.note(self.span.clone(), mistake);
                    State::Wrong
                }
            },
        };
        Got { path: self.path, span: self.span, state }
    }

    /// The value or a default.
    pub fn or(self, default: T) -> Field<T> {
        let (value, sound) = match self.state {
            State::Value(value) => (value, true),
            State::Absent => (default, true),
            State::Wrong => (default, false),
        };
        Field { value, span: self.span, sound }
    }

    /// The value; its absence is a mistake whose remedy is the example.
    pub fn required(self, mistakes: &mut Mistakes<'_>, stand_in: T, example: &str) -> Field<T> {
        if matches!(self.state, State::Absent) {
            let remedy = match self.path.rsplit_once('.') {
                None => format!("add {} = {example} at the top", self.path),
                Some((table, key)) => format!("add {key} = {example} to {}", header(table)),
            };
            let message = format!("`{}` is missing", self.path);
            mistakes.note(self.span.clone(), Mistake::new(codes::MISSING, message, remedy));
            return Field { value: stand_in, span: self.span, sound: false };
        }
        self.or(stand_in)
    }

    pub fn optional(self) -> Field<Option<T>> {
        let sound = !matches!(self.state, State::Wrong);
        let value = match self.state {
            State::Value(value) => Some(value),
            State::Absent | State::Wrong => None,
        };
        Field { value, span: self.span, sound }
    }
}

/// A table being read. Call [`Table::finish`] to refuse the keys that nobody asked for.
#[derive(Debug)]
pub(super) struct Table<'a, 't> {
    path: String,
    /// The header's bytes, or the inline table's.
    pub span: Range<usize>,
    entries: Option<&'a DeTable<'t>>,
    known: Vec<&'static str>,
}

impl<'a, 't> Table<'a, 't> {
    pub fn new(path: impl Into<String>, span: Range<usize>, entries: Option<&'a DeTable<'t>>) -> Self {
        Self { path: path.into(), span, entries, known: Vec::new() }
    }

    /// Whether the file has this table.
    pub fn is_there(&self) -> bool {
        self.entries.is_some()
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn value(&mut self, key: &'static str) -> Got<&'a Spanned<DeValue<'t>>> {
        self.known.push(key);
        let path = self.path_of(key);
        match self.entries.and_then(|entries| entries.get(key)) {
            Some(value) => Got { path, span: value.span(), state: State::Value(value) },
            None => Got { path, span: self.span.clone(), state: State::Absent },
        }
    }

    pub fn text(&mut self, mistakes: &mut Mistakes<'_>, key: &'static str, example: &str) -> Got<String> {
        let example = format!("{key} = {example}");
        self.value(key).then(mistakes, |path, value| text(path, value, &example))
    }

    pub fn flag(&mut self, mistakes: &mut Mistakes<'_>, key: &'static str) -> Got<bool> {
        self.value(key).then(mistakes, |path, value| match value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            other => Err(wrong_type(path, "true or false", other, &format!("{key} = true"))),
        })
    }

    /// An integer inside `range`.
    pub fn number(
        &mut self,
        mistakes: &mut Mistakes<'_>,
        key: &'static str,
        range: std::ops::RangeInclusive<u16>,
        code: &'static str,
        example: &str,
    ) -> Got<u16> {
        let example = format!("{key} = {example}");
        self.value(key).then(mistakes, |path, value| {
            let DeValue::Integer(integer) = value.get_ref() else {
                return Err(wrong_type(path, "a whole number", value.get_ref(), &example));
            };
            let number = u16::from_str_radix(integer.as_str(), integer.radix()).ok();
            number.filter(|number| range.contains(number)).ok_or_else(|| {
                let (low, high) = range.into_inner();
                let message = format!("`{path}` is {integer}, which is not in {low} to {high}");
                Mistake::new(code, message, format!("write {example}"))
            })
        })
    }

    /// A table; one that is not there reads as empty.
    pub fn table(&mut self, mistakes: &mut Mistakes<'_>, key: &'static str) -> Table<'a, 't> {
        let got = self.value(key);
        let (path, span) = (got.path.clone(), got.span.clone());
        let got = got.then(mistakes, |path, value| table(path, value));
        match got.state {
            State::Value(entries) => Table::new(path, span, Some(entries)),
            State::Absent | State::Wrong => Table::new(path, span, None),
        }
    }

    /// An array of anything, item by item; what an item is, `read` decides.
    pub fn list<T>(
        &mut self,
        mistakes: &mut Mistakes<'_>,
        key: &'static str,
        example: &str,
        mut read: impl FnMut(&str, &'a Spanned<DeValue<'t>>) -> Result<T, Mistake>,
    ) -> Got<Vec<Field<T>>> {
        let example = format!("{key} = [{example}]");
        let got = self.value(key).then(mistakes, |path, value| array(path, value, &example));
        let (path, span) = (got.path, got.span);
        let State::Value(array) = got.state else {
            let state = if matches!(got.state, State::Wrong) { State::Wrong } else { State::Absent };
            return Got { path, span, state };
        };
        let mut items = Vec::new();
        let mut wrong = false;
        for (index, value) in array.iter().enumerate() {
            match read(&format!("{path}[{index}]"), value) {
                Ok(item) => items.push(Field { value: item, span: value.span(), sound: true }),
                Err(mistake) => {
                    wrong = true;
                    mistakes.note(value.span(), mistake);
                }
            }
        }
        // A list with a wrong item is unsound as a whole only when nothing is left of it.
        let state = if wrong && items.is_empty() { State::Wrong } else { State::Value(items) };
        Got { path, span, state }
    }

    /// An array of strings.
    pub fn texts<T>(
        &mut self,
        mistakes: &mut Mistakes<'_>,
        key: &'static str,
        example: &str,
        change: impl Fn(&str, String) -> Result<T, Mistake>,
    ) -> Got<Vec<Field<T>>> {
        let whole = format!("{key} = [{example}]");
        self.list(mistakes, key, example, |path, value| change(path, text(path, value, &whole)?))
    }

    /// An array of tables: `[[key]]` or inline.
    pub fn tables(
        &mut self,
        mistakes: &mut Mistakes<'_>,
        key: &'static str,
        example: &str,
    ) -> Got<Vec<Table<'a, 't>>> {
        let got = self.list(mistakes, key, example, |path, value| Ok((path.to_owned(), table(path, value)?)));
        got.then(mistakes, |_, items| {
            let tables = items.into_iter().map(|item| {
                let (path, entries) = item.value;
                Table::new(path, item.span, Some(entries))
            });
            Ok(tables.collect())
        })
    }

    /// A table of strings under names that are the user's: environment, mirrors.
    pub fn named_texts(
        &mut self,
        mistakes: &mut Mistakes<'_>,
        key: &'static str,
        example: &str,
        check: impl Fn(&str, &str, String) -> Result<String, Mistake>,
    ) -> std::collections::BTreeMap<String, String> {
        let table = self.table(mistakes, key);
        let mut texts = std::collections::BTreeMap::new();
        for (name, value) in table.entries.into_iter().flatten() {
            let path = table.path_of(name.get_ref());
            // A number or a truth value only lacks its quotes.
            let quoted = match value.get_ref() {
                DeValue::Integer(number) => format!("\"{number}\""),
                DeValue::Float(number) => format!("\"{number}\""),
                DeValue::Boolean(truth) => format!("\"{truth}\""),
                _ => example.to_owned(),
            };
            let checked = text(&path, value, &format!("{} = {quoted}", name.get_ref()))
                .and_then(|value| check(&path, name.get_ref(), value));
            match checked {
                Ok(value) => {
                    texts.insert(name.get_ref().to_string(), value);
                }
                Err(mistake) => mistakes.note(name.span().start..value.span().end, mistake),
            }
        }
        texts
    }

    /// Refuses the keys that were not asked for.
    pub fn finish(self, mistakes: &mut Mistakes<'_>) {
        for (key, _) in self.entries.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let place = if self.path.is_empty() { "the spec".into() } else { format!("`{}`", self.path) };
            let remedy = match nearest(name, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("{place} has {}", self.known.join(", ")),
            };
            let message = format!("unknown key `{name}` in {place}");
            mistakes.note(key.span(), Mistake::new(codes::UNKNOWN_KEY, message, remedy));
        }
    }
}

/// `[network]`, `[[workers]]`; an inline table is named as it is.
fn header(path: &str) -> String {
    match path.split_once('[') {
        None => format!("[{path}]"),
        Some((array, _)) if !array.contains('.') && path.ends_with(']') => format!("this [[{array}]]"),
        Some(_) => format!("`{path}`"),
    }
}

/// The one of `known` that `given` may have been meant as.
pub(super) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = given.to_lowercase();
    let near = known.into_iter().map(|known| (strsim::damerau_levenshtein(&given, known), known));
    // A third of the letters may be wrong, and two of a short word.
    let allowed = (given.chars().count() / 3).clamp(1, 4);
    near.filter(|(distance, _)| *distance <= allowed.max(2).min(given.chars().count()))
        .min()
        .map(|(_, known)| known)
}

fn text(path: &str, value: &Spanned<DeValue<'_>>, example: &str) -> Result<String, Mistake> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(wrong_type(path, "a string", other, example)),
    }
}

fn table<'a, 't>(path: &str, value: &'a Spanned<DeValue<'t>>) -> Result<&'a DeTable<'t>, Mistake> {
    match value.get_ref() {
        DeValue::Table(entries) => Ok(entries),
        other => Err(wrong_type(path, "a table", other, &format!("[{path}] and its keys below it"))),
    }
}

fn array<'a, 't>(
    path: &str,
    value: &'a Spanned<DeValue<'t>>,
    example: &str,
) -> Result<&'a DeArray<'t>, Mistake> {
    match value.get_ref() {
        DeValue::Array(array) => Ok(array),
        other => Err(wrong_type(path, "an array", other, example)),
    }
}

fn wrong_type(path: &str, wanted: &str, found: &DeValue<'_>, example: &str) -> Mistake {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let message = format!("`{path}` is {found}, and must be {wanted}");
    Mistake::new(codes::TYPE, message, format!("write {example}"))
}
