//! No dependency, of the CLI or of a service, is under the GPL or the AGPL, or without any licence.
//! `deny.toml` says the same to `cargo deny`, where that is installed; this needs nothing but cargo.

use std::process::Command;

use serde_json::Value;

/// Whether a licence expression can be met without a GPL or AGPL licence: `A OR B` by one side, `A AND B` by both.
fn acceptable(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" OR ").any(|choice| {
        choice.split(" AND ").all(|licence| {
            let licence = licence.trim();
            !licence.is_empty() && !licence.starts_with("GPL") && !licence.starts_with("AGPL")
        })
    })
}

#[test]
fn a_licence_is_judged_by_its_best_choice() {
    assert!(acceptable("MIT OR GPL-2.0"));
    assert!(acceptable("Apache-2.0/MIT"));
    assert!(!acceptable("GPL-3.0-only"));
    assert!(!acceptable("MIT AND AGPL-3.0"));
    assert!(!acceptable(""));
}

#[test]
fn every_dependency_has_an_acceptable_licence() {
    let cargo = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "the list of packages is whole");
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| {
            let by_file = package["license_file"].is_string();
            !by_file && !acceptable(package["license"].as_str().unwrap_or_default())
        })
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
