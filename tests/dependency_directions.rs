//! The three dependency directions of the design, read off the sources:
//!
//! 1. what is pure stays pure: `spec`, `plan`, `script`, `network` and the rules of `diagnose` know no
//!    runtime, no client, no clock and no random numbers;
//! 2. `engine` knows `plan` and the ports, adapters know ports and never each other, and only commands
//!    construct adapters;
//! 3. nothing outside `lab` imports `lab`, but the `lab` command and the one place that starts it.

use std::fs;
use std::path::{Path, PathBuf};

/// Clients, runtimes, clocks and random numbers, by the beginning of the paths that name them.
const EFFECTS: &[&str] = &[
    "tokio",
    "tokio_util",
    "async_trait",
    "futures",
    "aws_config",
    "aws_sdk_ec2",
    "aws_sdk_ssm",
    "aws_sdk_sts",
    "openssh",
    "kube",
    "reqwest",
    "oci_client",
    "bollard",
    "hickory_proto",
    "rtnetlink",
    "rand",
    "uuid",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::net::TcpStream",
    "std::process",
    "time::OffsetDateTime::now_utc",
    "crate::ec2",
    "crate::ssh",
    "crate::kube",
    "crate::engine",
    "crate::commands",
    "crate::ui",
];

/// One adapter for one outside world.
const ADAPTERS: &[&str] = &["ec2", "ssh", "kube"];

/// A path that a module names, with its line.
struct Named {
    line: usize,
    path: String,
}

#[test]
fn what_is_pure_names_no_runtime_client_clock_or_random_number() {
    for module in ["spec", "plan", "script", "network", "diagnose::rules"] {
        refuse(&|of| within(of, module), EFFECTS, &[]);
    }
}

#[test]
fn the_engine_knows_the_plan_and_the_ports_and_no_adapter() {
    let forbidden = ["crate::ec2", "crate::ssh", "crate::kube", "crate::commands", "crate::ui"];
    refuse(&|of| within(of, "engine"), &forbidden, &[]);
}

#[test]
fn adapters_know_the_ports_and_never_each_other_nor_who_uses_them() {
    for adapter in ADAPTERS {
        let others = ADAPTERS.iter().filter(|other| *other != adapter).map(|other| format!("crate::{other}"));
        let users = ["crate::engine", "crate::plan", "crate::commands", "crate::ui"].map(str::to_owned);
        let forbidden: Vec<String> = others.chain(users).collect();
        let forbidden: Vec<&str> = forbidden.iter().map(String::as_str).collect();
        refuse(&|of| within(of, adapter), &forbidden, &[]);
    }
}

#[test]
fn only_commands_name_adapters() {
    let outside = |of: &str| {
        !["ec2", "ssh", "kube", "commands"].iter().any(|inside| within(of, inside)) && of != "crate"
    };
    // The lab answers EC2 calls and never makes them, but it may share what the adapter knows of the wire.
    // `failure` turns every adapter's errors into one exit code and one text.
    refuse(&outside, &["crate::ec2", "crate::ssh", "crate::kube"], &["lab", "failure"]);
}

#[test]
fn nothing_outside_the_lab_imports_it_but_its_command() {
    refuse(
        &|of| !within(of, "lab") && of != "crate",
        &["crate::lab"],
        &["commands::lab", "commands::session"],
    );
}

#[test]
fn a_forbidden_path_is_found_however_it_is_written() {
    let source = "use std::{net::Ipv4Addr, time::{Duration, Instant as Clock}};\n\
                  // use tokio::fs;\n\
                  use super::super::lab::{self};\n\
                  fn at() { let _ = tokio::time::sleep(\"kube::Client\"); }\n\
                  #[cfg(test)]\nmod tests {\n    use rand::Rng;\n}\n";
    let found: Vec<String> = paths(source, "spec::parse")
        .into_iter()
        .map(|named| format!("{} {}", named.line, named.path))
        .collect();
    for wanted in [
        "1 std::net::Ipv4Addr",
        "1 std::time::Duration",
        "1 std::time::Instant",
        "3 crate::lab",
        "4 tokio::time::sleep",
    ] {
        assert!(found.iter().any(|path| path == wanted), "{wanted} is not in {found:?}");
    }
    for absent in ["tokio::fs", "kube::Client", "rand::Rng"] {
        assert!(!found.iter().any(|path| path.ends_with(absent)), "{absent} is in {found:?}");
    }
}

/// Fails with every forbidden path of every module that `of` chooses.
fn refuse(of: &dyn Fn(&str) -> bool, forbidden: &[&str], except: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&root) {
        let module = module_of(&root, &file);
        if !of(&module) || except.iter().any(|exempt| within(&module, exempt)) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file can be read");
        for Named { line, path } in paths(&text, &module) {
            if forbidden.iter().any(|forbidden| within(&path, forbidden)) {
                wrong.push(format!("{}:{line} names {path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "wrong direction:\n{}", wrong.join("\n"));
}

/// Whether `path` is `prefix` or below it.
fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("its entries can be read").path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `spec::parse` for `src/spec/parse.rs`, `spec` for `src/spec/mod.rs`, `crate` for `lib.rs` and `main.rs`.
fn module_of(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).expect("the file is below the root").with_extension("");
    let mut parts: Vec<String> = relative
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .filter(|part| part != "mod")
        .collect();
    if parts.len() == 1 && (parts[0] == "lib" || parts[0] == "main") {
        parts = vec!["crate".into()];
    }
    parts.join("::")
}

/// Every path that `source` names outside of comments, strings and its tests, from the root on.
fn paths(source: &str, module: &str) -> Vec<Named> {
    let code = code_of(source);
    let mut named = Vec::new();
    let mut line = 1;
    let mut rest = code.as_str();
    while let Some(start) = rest.find(|letter: char| letter.is_alphabetic() || letter == '_') {
        line += rest[..start].matches('\n').count();
        rest = &rest[start..];
        let end = rest.find(|letter: char| !is_of_path(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word == "use" {
            let (tree, after) = after.split_once(';').unwrap_or((after, ""));
            let mut leaves = Vec::new();
            expand(tree, "", &mut leaves);
            named.extend(leaves.iter().map(|path| Named { line, path: resolve(path, module) }));
            line += tree.matches('\n').count();
            rest = after;
            continue;
        }
        if word.contains("::") {
            named.push(Named { line, path: resolve(word.trim_end_matches(':'), module) });
        }
        rest = after;
    }
    named
}

fn is_of_path(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == ':'
}

/// The leaves of a `use` tree.
fn expand(tree: &str, prefix: &str, leaves: &mut Vec<String>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let prefix = format!("{prefix}{}", tree[..open].trim());
        let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in inside.char_indices().chain([(inside.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inside[start..at], &prefix, leaves);
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let leaf = tree.split(" as ").next().unwrap_or_default().trim();
    if leaf == "self" {
        leaves.push(prefix.trim_end_matches(':').to_owned());
    } else if !leaf.is_empty() {
        leaves.push(format!("{prefix}{leaf}"));
    }
}

/// `super::` and `self::` replaced by what they mean in `module`.
fn resolve(path: &str, module: &str) -> String {
    let mut here: Vec<&str> = if module == "crate" { Vec::new() } else { module.split("::").collect() };
    let mut rest = path.trim_start_matches(':');
    if !rest.starts_with("super::") && !rest.starts_with("self::") {
        return rest.to_owned();
    }
    loop {
        if let Some(after) = rest.strip_prefix("super::") {
            here.pop();
            rest = after;
        } else if let Some(after) = rest.strip_prefix("self::") {
            rest = after;
        } else {
            here.insert(0, "crate");
            here.push(rest);
            return here.join("::");
        }
    }
}

/// `source` without comments, string contents and everything from its first `#[cfg(test)] mod` on; lines
/// stay where they are.
fn code_of(source: &str) -> String {
    let end = source
        .match_indices("#[cfg(test)]")
        .find(|(at, _)| {
            let after = source[*at..].lines().nth(1).unwrap_or_default();
            after.starts_with("mod ") && after.ends_with('{')
        })
        .map_or(source.len(), |(at, _)| at);
    let mut code = String::new();
    for line in source[..end].lines() {
        let mut in_string = false;
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if in_string => {
                    letters.next();
                }
                '"' => in_string = !in_string,
                '/' if !in_string && letters.peek() == Some(&'/') => break,
                letter if !in_string => code.push(letter),
                _ => {}
            }
        }
        code.push('\n');
    }
    code
}
