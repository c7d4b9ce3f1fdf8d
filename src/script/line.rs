//! What a script's output lines mean.

use std::borrow::Cow;

/// A line of a script's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// `::fact KEY VALUE`.
    Fact {
        /// One word.
        key: String,
        /// The rest of the line.
        value: String,
    },
    /// `::progress TEXT`.
    Progress(String),
    /// Anything else.
    Output(String),
}

/// Reads one line, without its line end. A malformed `::` line is output like any other.
pub fn parse_line(line: &str) -> Parsed {
    if let Some(text) = line.strip_prefix("::progress ") {
        return Parsed::Progress(text.trim().to_owned());
    }
    match line.strip_prefix("::fact ").and_then(|fact| fact.split_once(' ')) {
        Some((key, value)) if !key.is_empty() => {
            Parsed::Fact { key: key.to_owned(), value: value.trim().to_owned() }
        }
        _ => Parsed::Output(line.to_owned()),
    }
}

/// The line with everything that looks like a bootstrap token blotted out: no script prints one, and
/// this keeps it so when a program that a script calls does.
pub fn redact(line: &str) -> Cow<'_, str> {
    const ID: usize = 6;
    const SECRET: usize = 16;
    let bytes = line.as_bytes();
    let is_token = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let found = bytes.iter().enumerate().find(|(dot, byte)| {
        let (dot, end) = (*dot, *dot + 1 + SECRET);
        let edge =
            |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_none_or(|it| !is_token(it));
        **byte == b'.'
            && dot >= ID
            && end <= bytes.len()
            && bytes[dot - ID..dot].iter().all(is_token)
            && bytes[dot + 1..end].iter().all(is_token)
            && edge((dot - ID).checked_sub(1))
            && edge(Some(end))
    });
    match found {
        Some((dot, _)) => {
            let rest = redact(&line[dot + 1 + SECRET..]);
            Cow::Owned(format!("{}.[redacted]{rest}", &line[..dot]))
        }
        None => Cow::Borrowed(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_progress_and_output_are_told_apart() {
        let fact = |key: &str, value: &str| Parsed::Fact { key: key.into(), value: value.into() };
        assert_eq!(parse_line("::fact host_key ssh-ed25519 AAAA"), fact("host_key", "ssh-ed25519 AAAA"));
        assert_eq!(parse_line("::progress pulling images"), Parsed::Progress("pulling images".into()));
        assert_eq!(parse_line("Reading package lists..."), Parsed::Output("Reading package lists...".into()));
    }

    #[test]
    fn malformed_lines_are_output() {
        for line in ["::fact", "::fact key", "::fact  value", "::progress", " ::fact a b", ""] {
            assert_eq!(parse_line(line), Parsed::Output(line.into()));
        }
    }

    #[test]
    fn tokens_are_blotted_out_and_nothing_else_is() {
        assert_eq!(redact("--token abcdef.0123456789abcdef \\"), "--token abcdef.[redacted] \\");
        assert_eq!(
            redact("a1b2c3.0123456789abcdef z9z9z9.fedcba9876543210"),
            "a1b2c3.[redacted] z9z9z9.[redacted]"
        );
        for line in [
            "kubernetes.default.svc",
            "abcdef.0123456789abcde",
            "xabcdef.0123456789abcdef",
            "é.0123456789abcdef",
            "",
        ] {
            assert_eq!(redact(line), line);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_whatever_makes_the_readers_panic(line in ".{0,80}") {
            let _ = (parse_line(&line), redact(&line));
        }
    }
}
