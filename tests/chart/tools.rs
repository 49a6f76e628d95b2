//! helm and kubectl, as a person uses them, and what the chart renders.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::namespace::setting;

pub(crate) const CHART: &str = "charts/longshore";

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a program in the repository; `input` is its standard input.
pub(crate) fn output(program: &str, arguments: &[&str], input: &str) -> Output {
    setting("KUBECONFIG");
    let mut child = Command::new(program)
        .current_dir(root())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}: `make test` puts it into PATH"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that does not read all of it says why itself.
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it was written");
    output
}

/// The output of a program that must not fail.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let output = output(program, arguments, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {}: {}\n{}\n{}",
        arguments.join(" "),
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub(crate) fn helm(arguments: &[&str]) -> String {
    run("helm", arguments, "")
}

pub(crate) fn kubectl(arguments: &[&str]) -> String {
    run("kubectl", arguments, "")
}

/// The values files of tests/chart/values, by their names.
pub(crate) fn values_files() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("tests/chart/values")).expect("the folder");
    let mut files: Vec<String> =
        entries.map(|entry| entry.expect("an entry").path().display().to_string()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    files
}

pub(crate) fn values_file(name: &str) -> String {
    root().join(format!("tests/chart/values/{name}.yaml")).display().to_string()
}

/// All that the chart renders as the release `ship`.
pub(crate) fn render(namespace: &str, values: &str, more: &[&str]) -> Vec<Value> {
    let arguments = ["template", "ship", CHART, "--namespace", namespace, "--values", values];
    documents(&helm(&[&arguments, more].concat()))
}

pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("helm prints YAML");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The one object of this kind and name.
pub(crate) fn the<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> =
        objects.iter().filter(|one| one["kind"] == kind && one["metadata"]["name"] == name).collect();
    assert_eq!(found.len(), 1, "{kind} {name} among {:?}", names(objects));
    found[0]
}

pub(crate) fn names(objects: &[Value]) -> Vec<String> {
    objects.iter().map(|one| format!("{}/{}", text(&one["kind"]), text(&one["metadata"]["name"]))).collect()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
