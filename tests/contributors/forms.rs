//! The forge's forms for issues. The forge shows a form with a mistake to nobody, and says so nowhere.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.github/ISSUE_TEMPLATE");
/// The kinds of fields that the forge knows and these forms use.
const FIELDS: [&str; 2] = ["input", "textarea"];

/// Every form by its file's name.
fn forms() -> Vec<(String, Value)> {
    let files = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let forms = files.filter(|path| !path.ends_with("config.yml"));
    forms
        .map(|path| (name(&path), serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap()))
        .collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The mistakes in a form, such as a field without a label.
fn mistakes(form: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    let mut mistakes = Vec::new();
    for key in ["name", "description"] {
        if !text(&form[key]) {
            mistakes.push(format!("{key} is missing"));
        }
    }
    let (mut ids, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for (number, item) in form["body"].as_array().into_iter().flatten().enumerate() {
        let mut mistake = |what: &str| mistakes.push(format!("body[{number}]: {what}"));
        let attributes = &item["attributes"];
        match item["type"].as_str() {
            Some("markdown") if text(&attributes["value"]) => {}
            Some(kind) if FIELDS.contains(&kind) => {
                if !text(&attributes["label"]) || !labels.insert(attributes["label"].to_string()) {
                    mistake("its label is missing or taken");
                }
                if !text(&item["id"]) || !ids.insert(item["id"].to_string()) {
                    mistake("its id is missing or taken");
                }
                if !matches!(item["validations"]["required"], Value::Null | Value::Bool(_)) {
                    mistake("required is neither true nor false");
                }
            }
            _ => mistake("the forge knows no such item"),
        }
    }
    if ids.is_empty() {
        mistakes.push("it asks for nothing".to_owned());
    }
    mistakes
}

#[test]
fn every_form_is_one_that_the_forge_shows() {
    let forms = forms();
    assert!(forms.len() >= 2, "are they still found? {forms:?}");
    for (name, form) in forms {
        assert_eq!(mistakes(&form), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_report_of_a_bug_has_the_status_the_log_and_the_versions() {
    let forms = forms();
    let (_, bug) = forms.iter().find(|(name, _)| name == "bug.yml").unwrap();
    let text = bug.to_string();
    for wanted in
        ["kubectl get deploymentaction", "app.kubernetes.io/name=longshore", "kubectl version", "SECURITY.md"]
    {
        assert!(text.contains(wanted), "{wanted}");
    }
}

#[test]
fn a_form_with_a_mistake_is_noticed() {
    let form = |body: Value| serde_json::json!({"name": "A", "description": "B", "body": body});
    let field = |id: &str, label: &str| serde_json::json!({"type": "input", "id": id, "attributes": {"label": label}});
    assert!(mistakes(&form(serde_json::json!([field("a", "A")]))).is_empty());
    for body in [
        serde_json::json!([]),
        serde_json::json!([field("a", "A"), field("a", "B")]),
        serde_json::json!([field("a", "A"), field("b", "A")]),
        serde_json::json!([field("a", "A"), {"type": "text"}]),
        serde_json::json!([field("a", "A"), {"type": "markdown", "attributes": {}}]),
    ] {
        assert!(!mistakes(&form(body.clone())).is_empty(), "{body}");
    }
}
