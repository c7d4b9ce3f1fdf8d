//! Every code of the sources has a page, and every page has a code of the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn codes_are_found_in_any_case_and_unknown_ones_are_not() {
    assert!(explain("ks-cred").is_some_and(|page| page.starts_with("EC2 did not accept")));
    assert!(explain("KS-SPEC-UNKNOWN-KEY").is_some_and(|page| page.starts_with("The key means nothing")));
    for unknown in ["KS-NOPE", "KS-SPEC-NOPE", "KS-SPEC-", "KS", ""] {
        assert_eq!(explain(unknown), None, "{unknown}");
    }
}

#[test]
fn every_code_that_the_program_can_emit_has_a_page() {
    let without: Vec<String> = emitted()
        .into_iter()
        .filter(|(code, _)| explain(code).is_none())
        .map(|(code, places)| format!("{code} ({})", places.join(", ")))
        .collect();
    assert!(without.is_empty(), "codes without a page in src/failure/catalogue:\n{}", without.join("\n"));
}

#[test]
fn every_page_is_of_a_code_that_the_program_can_emit() {
    let emitted = emitted();
    let idle: Vec<&str> = pages().map(|(code, _)| code).filter(|code| !emitted.contains_key(*code)).collect();
    assert!(idle.is_empty(), "pages of codes that nothing emits: {}", idle.join(", "));
}

#[test]
fn each_code_has_one_page_of_some_sentences() {
    let mut seen = BTreeSet::new();
    for (code, page) in pages() {
        assert!(seen.insert(code), "{code} has two pages");
        assert!(page.ends_with('.') && !page.contains("  "), "{code}: {page}");
        let sentences = page.matches(". ").count() + 1;
        assert!((2..=4).contains(&sentences), "{code} has {sentences} sentence(s): {page}");
    }
}

#[test]
fn codes_are_read_off_code_and_not_off_comments_tests_or_prefixes() {
    let source = "//! Like KS-DOC.\n\
                  const KEPT: &str = \"KS-KEPT\"; // not KS-ASIDE\n\
                  fn f() { new(\"KS-ONE-TWO\", \"http://host // KS-IN-TEXT: it broke\", \"KS-PREFIX-\") }\n\
                  #[cfg(test)]\nmod tests {\n    const X: &str = \"KS-TESTED\";\n}\n";
    let found: Vec<(usize, String)> = codes_of(source);
    let found: Vec<(usize, &str)> = found.iter().map(|(line, code)| (*line, code.as_str())).collect();
    assert_eq!(found, [(2, "KS-KEPT"), (3, "KS-ONE-TWO"), (3, "KS-IN-TEXT")]);
}

/// Every code in a string of the program, with its places. A code of the spec counts where its constant
/// is used, and not where it is defined.
fn emitted() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (catalogue, spec) = (root.join("failure/catalogue"), root.join("spec/codes.rs"));
    let constants = constants_of(&fs::read_to_string(&spec).expect("the codes of the spec can be read"));
    assert_eq!(constants.len(), codes::EXPLANATIONS.len(), "one constant for each code of the spec");
    let mut emitted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources(&root) {
        if file.starts_with(&catalogue) || file == spec {
            continue;
        }
        let source = fs::read_to_string(&file).expect("a source file can be read");
        let file = file.strip_prefix(&root).expect("it is below the root").display().to_string();
        for (line, code) in codes_of(&source) {
            emitted.entry(code).or_default().push(format!("src/{file}:{line}"));
        }
        for (name, code) in &constants {
            if uses(program(&source), &format!("codes::{name}")) {
                emitted.entry(code.clone()).or_default().push(format!("src/{file}"));
            }
        }
    }
    assert!(emitted.len() > 100, "the scan has found only {} codes", emitted.len());
    emitted
}

/// The files of the program, without those of its tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("its entries can be read").path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_test = stem == "tests" || stem.ends_with("_tests");
        if path.is_dir() && !is_test {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `source` up to its tests.
fn program(source: &str) -> &str {
    let tests = source.match_indices("#[cfg(test)]").find(|(at, _)| {
        let item = source[*at..].lines().nth(1).unwrap_or_default();
        item.contains("mod ") && item.ends_with('{')
    });
    &source[..tests.map_or(source.len(), |(at, _)| at)]
}

/// Codes in strings, with their lines. What ends in a hyphen is the beginning of a family's codes.
fn codes_of(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in program(source).lines().enumerate() {
        let code = &line[..comment(line).unwrap_or(line.len())];
        for (start, _) in code.match_indices("KS-") {
            let word = &code[start..];
            let is_of_code =
                |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '-';
            let word = &word[..word.find(|letter| !is_of_code(letter)).unwrap_or(word.len())];
            if !word.ends_with('-') {
                found.push((at + 1, word.to_owned()));
            }
        }
    }
    found
}

/// Where the comment of a line begins.
fn comment(line: &str) -> Option<usize> {
    let mut in_string = false;
    let mut letters = line.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '"' => in_string = !in_string,
            '/' if !in_string && line[at..].starts_with("//") => return Some(at),
            _ => {}
        }
    }
    None
}

/// The constants of the spec's codes: name and code.
fn constants_of(source: &str) -> Vec<(String, String)> {
    let constant = |line: &str| {
        let (name, code) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some((name.to_owned(), code.strip_suffix("\";")?.to_owned()))
    };
    source.lines().filter_map(constant).collect()
}

/// Whether `path` is named, and not only the beginning of a longer one.
fn uses(source: &str, path: &str) -> bool {
    source.match_indices(path).any(|(at, _)| {
        let next = source[at + path.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
    })
}
