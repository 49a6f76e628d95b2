//! Actions in the README and the docs: what people copy is accepted as it stands.

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use serde_json::{Value, json};

use super::request::{Unknown, object, with, would_create, would_create_at, would_create_below};

/// The YAML blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let fence = Regex::new(r"(?s)```yaml\n(.*?)```").unwrap();
    fence.captures_iter(page).map(|block| block[1].to_owned()).collect()
}

/// As kubectl reads it, to which a number that begins with 0 is octal.
fn yaml(text: &str) -> Option<Value> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options(text, options).ok()
}

/// The action or template that a block shows, whole or in part; none where it shows something else.
fn action(block: &str) -> Option<Value> {
    const PARTS: [&str; 4] = ["variables", "variablesFrom", "outputs", "podTemplate"];
    let shown = yaml(block)?;
    if shown["kind"] == "DeploymentAction" || shown["kind"] == "DeploymentActionTemplate" {
        let mut whole = shown;
        whole["metadata"]["namespace"] = json!("default");
        return Some(whole);
    }
    let fields = shown.as_object()?;
    if fields.keys().all(|field| field == "spec") && shown["spec"]["image"].is_string() {
        // A whole spec, with a script or a command of its own.
        return Some(object("documented", &shown["spec"]));
    }
    fields.keys().all(|field| PARTS.contains(&field.as_str())).then(|| object("documented", &with(&shown)))
}

/// Whole objects of other kinds that a block shows: roles, accounts and policies that go with actions.
fn others(block: &str) -> Vec<Value> {
    const KINDS: [&str; 4] = ["Role", "RoleBinding", "ServiceAccount", "ActionPolicy"];
    let documents = block.split("\n---\n").filter_map(yaml);
    documents
        .filter(|shown| shown["kind"].as_str().is_some_and(|kind| KINDS.contains(&kind)))
        .map(|mut shown| {
            shown["metadata"]["namespace"] = json!("default");
            // What is there already by this name would be in the way.
            if shown["kind"] != "ActionPolicy" {
                shown["metadata"]["name"] =
                    json!(format!("documented-{}", shown["metadata"]["name"]).replace('"', ""));
            }
            shown
        })
        .collect()
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let docs = entries(root.join("docs")).filter(|path| path.is_dir()).flat_map(entries);
    docs.chain([root.join("README.md")])
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect()
}

#[tokio::test]
async fn roles_and_policies_in_the_docs_are_accepted() {
    let mut tried = Vec::new();
    for path in pages() {
        for shown in blocks(&fs::read_to_string(&path).unwrap()).iter().flat_map(|block| others(block)) {
            let (group, version) =
                shown["apiVersion"].as_str().unwrap().split_once('/').unwrap_or(("", "v1"));
            let kind = shown["kind"].as_str().unwrap();
            let plural = if kind == "ActionPolicy" {
                "actionpolicies".into()
            } else {
                format!("{}s", kind.to_lowercase())
            };
            let base =
                if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let answer =
                would_create_below(&base, &format!("namespaces/default/{plural}"), &shown, Unknown::Refused)
                    .await;
            assert!(answer.is_ok(), "{}: {}\n{shown}", path.display(), answer.unwrap_err());
            tried.push(kind.to_owned());
        }
    }
    assert!(
        tried.len() >= 10 && tried.contains(&"ActionPolicy".to_owned()),
        "are they still found? {tried:?}"
    );
}

#[tokio::test]
async fn actions_in_the_docs_are_accepted() {
    let mut tried = 0;
    for path in pages() {
        for block in blocks(&fs::read_to_string(&path).unwrap()) {
            let Some(action) = action(&block) else { continue };
            let answer = match action["kind"].as_str() {
                Some("DeploymentActionTemplate") => {
                    would_create_at("namespaces/default/deploymentactiontemplates", &action, Unknown::Refused)
                        .await
                }
                _ => would_create(&action, Unknown::Refused).await,
            };
            assert!(answer.is_ok(), "{}: {}\n{block}", path.display(), answer.unwrap_err());
            tried += 1;
        }
    }
    assert!(tried >= 5, "{tried} actions in all pages: are they still found?");
}
