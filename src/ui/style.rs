//! How things look on a terminal, and whether this is one.

use std::io::IsTerminal;

use crate::failure::Failure;

/// Bold.
pub const BOLD: &str = "\x1b[1m";
/// Dim.
pub const DIM: &str = "\x1b[2m";
/// Red.
pub const RED: &str = "\x1b[31m";
/// Green.
pub const GREEN: &str = "\x1b[32m";
/// Yellow.
pub const YELLOW: &str = "\x1b[33m";
/// Back to normal.
pub const RESET: &str = "\x1b[0m";

/// Whether moving bars make sense: a terminal that understands them, and no CI.
/// Colour is anstream's to decide (`NO_COLOR`, `CLICOLOR_FORCE`).
pub fn fancy() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb && std::env::var_os("CI").is_none()
}

/// A failure in words: what, evidence, remedy, code.
pub fn failure(failure: &Failure) -> String {
    let mut text = format!("{BOLD}{RED}error{RESET}{BOLD}[{}]{RESET}: {}\n", failure.code, failure.message);
    if let Some(mistakes) = &failure.mistakes {
        text.push_str(&if fancy() {
            mistakes.fancy(miette::GraphicalTheme::unicode(), 100)
        } else {
            mistakes.plain()
        });
    }
    for line in failure.evidence.iter().flat_map(|evidence| evidence.lines()) {
        text.push_str(&format!("  {DIM}|{RESET} {line}\n"));
    }
    if let Some(remedy) = &failure.remedy {
        let mut lines = remedy.lines();
        text.push_str(&format!("  {GREEN}remedy{RESET}: {}\n", lines.next().unwrap_or_default()));
        for line in lines {
            text.push_str(&format!("          {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_failure_shows_code_evidence_and_remedy_each_once() {
        let shown = failure(
            &Failure::new("KS-X", Exit::Failed, "it broke").evidence("line one\nline two").remedy("mend it"),
        );
        let plain = anstream::adapter::strip_str(&shown).to_string();
        assert_eq!(plain, "error[KS-X]: it broke\n  | line one\n  | line two\n  remedy: mend it\n");
    }
}
