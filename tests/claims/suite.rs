//! `make test` runs all tests: a step names each area, and each file of an area is compiled.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// The steps. One of them is a script of its own.
const SUITE: &str = concat!(include_str!("../suite.sh"), include_str!("../faults.sh"));

/// A target below tests/, and one of its areas, or all of it.
type Step<'a> = (&'a str, Option<&'a str>);

/// `tests_of TARGET AREA::...`, or `on_cluster AREA::...`, in lines that are no comments.
fn steps(script: &str) -> BTreeSet<Step<'_>> {
    let mut steps = BTreeSet::new();
    for line in script.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            let (target, rest) = match (*word, &words[at + 1..]) {
                ("tests_of", [target, rest @ ..]) => (*target, rest),
                ("on_cluster" | "on_cluster_alone", rest) => (*word, rest),
                _ => continue,
            };
            let areas = rest.iter().map_while(|word| word.split_once("::")).map(|(area, _)| Some(area));
            steps.extend(areas.map(|area| (target, area)));
            if *word == "tests_of" && rest.is_empty() {
                steps.insert((target, None));
            }
        }
    }
    steps
}

/// Each target with its areas.
fn targets() -> BTreeMap<String, BTreeSet<String>> {
    let area = Regex::new(r"(?m)^mod (\w+);").expect("an expression");
    let entries = fs::read_dir(root().join("tests")).expect("the tests' folder");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files
        .filter(|file| file.extension().is_some_and(|end| end == "rs"))
        .map(|file| {
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            let areas = area.captures_iter(&read(&file)).map(|found| found[1].to_owned()).collect();
            (name, areas)
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Whether a step of `script` runs the tests of this file.
pub(super) fn runs(path: &str) -> bool {
    is_run(path, SUITE)
}

fn is_run(path: &str, script: &str) -> bool {
    let Some(path) = path.strip_prefix("tests/") else { return script.contains(" --lib ") };
    let area = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let steps = steps(script);
    targets().iter().any(|(target, areas)| {
        let all = steps.contains(&(target, None));
        all && target == area || areas.contains(area) && (all || steps.contains(&(target, Some(area))))
    })
}

/// Whether the file's module is declared where Rust looks for it: else it is never compiled.
fn is_compiled(path: &Path) -> bool {
    let name = path.file_stem().expect("a name").to_string_lossy();
    let folder = path.parent().expect("a folder");
    let (name, folder) = match &*name {
        "mod" => (folder.file_name().expect("a name").to_string_lossy(), folder.parent().expect("a folder")),
        _ => (name, folder),
    };
    let declared = Regex::new(&format!(r"(?m)^(?:pub\(\w+\) )?mod {name};")).expect("an expression");
    if folder.ends_with("tests") {
        return targets().keys().any(|of| *of == name)
            || targets().keys().any(|of| declared.is_match(&read(&folder.join(format!("{of}.rs")))));
    }
    [folder.join("mod.rs"), folder.with_extension("rs")]
        .iter()
        .any(|parent| fs::read_to_string(parent).is_ok_and(|text| declared.is_match(&text)))
}

/// All files below the folder that hold tests.
fn files_with_tests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            // One with a manifest is another package.
            if !path.join("Cargo.toml").exists() {
                files_with_tests(&path, found);
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = read(&path);
            if text.lines().any(|line| line.trim() == "#[test]" || line.trim().starts_with("#[tokio::test")) {
                found.push(path);
            }
        }
    }
}

#[test]
fn each_file_with_tests_is_compiled_and_run_by_a_step() {
    let mut files = Vec::new();
    files_with_tests(&root().join("tests"), &mut files);
    assert!(files.len() > 80, "{} files with tests: are they still found?", files.len());
    for file in files {
        let path = file.strip_prefix(root()).expect("below the root");
        assert!(is_compiled(&file), "no module declares {}", path.display());
        assert!(runs(&path.to_string_lossy()), "no step of tests/suite.sh runs {}", path.display());
    }
}

#[test]
fn each_step_names_an_area() {
    let targets = targets();
    for (target, area) in steps(SUITE) {
        let areas = targets.get(target).unwrap_or_else(|| panic!("tests/{target}.rs is no target"));
        assert!(area.is_none_or(|area| areas.contains(area)), "tests/{target}.rs has no area {area:?}");
    }
}

#[test]
fn what_no_step_runs_is_noticed() {
    assert!(SUITE.contains(" tests/faults.sh"));
    assert!(
        runs("tests/access/matrix.rs")
            && runs("tests/model/explored.rs")
            && runs("src/operator/pod/build.rs")
    );
    assert!(runs("tests/faults/oracle.rs"));
    assert!(
        !runs("tests/who_else/mod.rs") && !runs("tests/support/namespace.rs") && !runs("tests/node/mod.rs")
    );
    assert!(!is_run("src/operator/pod/build.rs", "cargo_test --bins"));
    let is_run = |script| is_run("tests/access/matrix.rs", script);
    assert!(
        is_run("\tstep \"access\" on_cluster api_server:: access::")
            && is_run("tests_of on_cluster access::\"$only\"")
    );
    assert!(is_run("tests_of on_cluster"));
    for other in
        ["on_cluster_alone access::", "# on_cluster access::", "on_cluster api_server::", "tests_of process"]
    {
        assert!(!is_run(other), "{other}");
    }
    let undeclared = root().join("tests/access/undeclared.rs");
    assert!(!is_compiled(&undeclared) && is_compiled(&undeclared.with_file_name("matrix.rs")));
}
