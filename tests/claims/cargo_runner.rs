//! `cargo test` on a machine with somebody's KUBECONFIG: what changes a cluster is not started.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use regex::Regex;

const PROGRAMS: [&str; 5] = ["on_cluster", "on_cluster_alone", "logs", "performance", "scale"];

/// Starts a program of this name as cargo does, with these variables. It says `started`.
fn start(program: &str, variables: &[(&str, &str)]) -> String {
    let folder = std::env::temp_dir().join(format!("longshore-started-{}-{program}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{program}-0123456789abcdef"));
    // Not a file of ours: a child of another test may have that open for writing, and then it cannot start.
    symlink("/bin/sh", &path).unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cargo_runner.sh"));
    command.arg(&path).args(["-c", "echo started \"$@\"", "sh", "access::"]);
    command.env_remove("KUBECONFIG").env_remove("LONGSHORE_CLUSTER_TESTS");
    let Output { status, stdout, stderr } = command.envs(variables.iter().copied()).output().unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert!(status.success() && stderr.is_empty(), "{status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn what_changes_a_cluster_is_started_where_that_cluster_was_given_to_it() {
    for program in PROGRAMS {
        let given = [("KUBECONFIG", "/of/tests"), ("LONGSHORE_CLUSTER_TESTS", "/of/tests")];
        assert_eq!(start(program, &given), "started access::\n");
        for variables in [
            &[][..],
            &[("KUBECONFIG", "/of/somebody")],
            &[("KUBECONFIG", "/of/somebody"), ("LONGSHORE_CLUSTER_TESTS", "")],
            &[("KUBECONFIG", "/of/somebody"), ("LONGSHORE_CLUSTER_TESTS", "/of/tests")],
            &[("KUBECONFIG", ""), ("LONGSHORE_CLUSTER_TESTS", "")],
            &[("LONGSHORE_CLUSTER_TESTS", "/of/tests")],
        ] {
            let said = start(program, variables);
            assert!(said.starts_with(&format!("not run: {program}, ")), "{variables:?}: {said}");
            // One line, which nobody takes for the counts of tests that have passed.
            assert!(said.lines().count() == 1 && !said.contains("test result"), "{variables:?}: {said}");
        }
    }
}

#[test]
fn all_others_are_started() {
    for program in ["longshore", "longshore-runner", "process", "model", "cache", "masking", "fake-node"] {
        assert_eq!(start(program, &[("KUBECONFIG", "/of/somebody")]), "started access::\n");
    }
}

/// A test that a debugger starts is not started by cargo: it asks before it starts these.
#[test]
fn kubectl_and_helm_are_started_by_what_asks_whose_cluster_it_is() {
    let started = Regex::new(r#"Command::new\("(kubectl|helm)"\)"#).unwrap();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let found = started.is_match(&fs::read_to_string(&path).unwrap());
                assert!(!found, "{}: use support::namespace::tool", path.display());
            }
        }
    }
}

/// One that is forgotten would be started on anybody's cluster.
#[test]
fn each_target_with_a_cluster_is_known() {
    let script = include_str!("../cargo_runner.sh");
    let ours = [("tests", &["process", "model"][..]), ("benches", &["archive", "cache", "masking"])];
    for (folder, ours) in ours {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let target = path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists();
            if target && !ours.contains(&&*name) {
                assert!(PROGRAMS.contains(&&*name), "{folder}/{name}: does it change a cluster?");
                assert!(script.contains(&name), "tests/cargo_runner.sh does not know {name}");
            }
        }
    }
    assert!(include_str!("../../.cargo/config.toml").contains("\"tests/cargo_runner.sh\""));
}
