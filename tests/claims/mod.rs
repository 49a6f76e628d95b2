//! Claims about the tests. Each claim in the tables of some pages names the tests that hold it. These tests
//! must exist, and the suite must run them.

mod cargo_runner;
mod links;
mod suite;
mod walls;

use std::{collections::BTreeSet, path::Path};

use regex::Regex;

/// A page whose tables have a column `held by`.
struct Page {
    name: &'static str,
    text: &'static str,
    /// Fewer rows are not believed to be all.
    least: usize,
}

const PAGES: [Page; 3] = [
    Page {
        name: "understand/threat-model.md",
        text: include_str!("../../docs/understand/threat-model.md"),
        least: 40,
    },
    Page {
        name: "understand/hostile-script.md",
        text: include_str!("../../docs/understand/hostile-script.md"),
        least: 20,
    },
    Page {
        name: "understand/at-most-once.md",
        text: include_str!("../../docs/understand/at-most-once.md"),
        least: 30,
    },
];

/// The problem with a test that a page names.
fn fault(path: &str, name: &str) -> Option<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let Ok(source) = std::fs::read_to_string(file) else { return Some(format!("{path} is no file")) };
    let attributes = r"#\[(?:tokio::)?test(?:\([^\]]*\))?\]\s*\n(?:\s*(?:#\[|//).*\n)*";
    let test = Regex::new(&format!(r"{attributes}\s*(?:async )?fn {name}\(")).expect("an expression");
    let Some(test) = test.find(&source) else { return Some(format!("{path} has no test {name}")) };
    if test.as_str().contains("#[ignore") {
        return Some(format!("{path} has the test {name}, which is ignored"));
    }
    (!suite::runs(path)).then(|| format!("{path}: tests/suite.sh does not run it"))
}

/// `path::name`, each in backticks.
fn named(text: &str) -> Vec<(String, String)> {
    let pattern = Regex::new(r"`((?:tests|src)/[a-z0-9_/]+\.rs)::([a-z0-9_]+)`").expect("an expression");
    pattern.captures_iter(text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

/// Rows of the tables whose last column is `held by`, without their heads.
fn claims(page: &str) -> Vec<&str> {
    let (mut rows, mut within) = (Vec::new(), false);
    for line in page.lines() {
        if line.ends_with("| held by |") {
            within = true;
        } else if !line.starts_with('|') {
            within = false;
        } else if within && !line.starts_with("|---") {
            rows.push(line);
        }
    }
    rows
}

#[test]
fn every_test_that_a_page_names_exists() {
    let pages = links::pages();
    for (page, text) in &pages {
        let faults: BTreeSet<String> =
            named(text).iter().filter_map(|(path, name)| fault(path, name)).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", page.display());
    }
    let tried: usize = pages.iter().map(|(_, text)| named(text).len()).sum();
    assert!(tried >= 200, "{tried} tests are named: are they found?");
}

#[test]
fn every_claim_names_a_test() {
    for page in PAGES {
        let rows = claims(page.text);
        assert!(rows.len() >= page.least, "docs/{}: {} claims: are they still found?", page.name, rows.len());
        for row in rows {
            assert!(!named(row).is_empty(), "docs/{}: no test in: {row}", page.name);
            // Nothing in the row looks like a test and is not read as one.
            assert_eq!(row.matches("::").count(), named(row).len(), "docs/{}: {row}", page.name);
        }
    }
}

#[test]
fn a_test_that_does_not_exist_is_noticed() {
    assert_eq!(fault("tests/claims/mod.rs", "every_claim_names_a_test"), None);
    assert!(fault("tests/claims/mod.rs", "claims").is_some(), "a function is no test");
    assert!(fault("tests/claims/mod.rs", "every_claim").is_some(), "nor is a part of its name");
    assert!(fault("tests/claims/gone.rs", "every_claim_names_a_test").is_some());
}
