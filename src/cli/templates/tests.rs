//! What `templates` prints.

use serde_json::json;

use super::*;
use crate::{
    api::DeploymentAction,
    operator::spec::expand::{self, Lookup},
};

fn template() -> Template {
    let template: DeploymentActionTemplate = serde_json::from_value(json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentActionTemplate",
        "metadata": {"name": "release", "namespace": "shop", "generation": 7, "uid": "t-1",
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"image": "registry.example.com/tools:1", "serviceAccountName": "deployer",
            "script": {"inline": "echo \"$SERVICE\"\n"},
            "parameters": [
                {"name": "SERVICE", "required": true, "pattern": "^[A-Z-]+$", "description": "the Deployment's name"},
                {"name": "REPLICAS", "type": "Integer", "default": 2, "minimum": 1, "maximum": 9},
                {"name": "STAGE", "enum": ["test", "production"], "required": true},
                {"name": "DRY_RUN", "type": "Boolean", "required": true},
                {"name": "TOKEN", "type": "Secret", "description": "hostile\u{1b}[2J\nname: x"},
            ],
            "packages": [{"name": "orders", "repository": "registry.example.com/orders", "versions": ">=1.4 <2"}],
            "outputs": [{"name": "url"}]},
    }))
    .unwrap();
    template.into()
}

#[test]
fn templates_of_the_namespace_and_of_the_cluster_are_listed() {
    let mut other = template();
    (other.kind, other.namespace) = (TemplateKind::ClusterDeploymentActionTemplate, None);
    let now = "2026-01-03T05:00:00Z".parse().unwrap();
    insta::assert_snapshot!(table(&[template(), other], false, now).text(&Terminal::default(), "", true), @r"
    NAME      OF          PARAMETERS   PACKAGES   IMAGE                          GENERATION   AGE
    release   namespace   5            1          registry.example.com/tools:1   7            2d5h
    release   cluster     5            1          registry.example.com/tools:1   7            2d5h
    ");
}

#[test]
fn a_template_is_described_with_what_it_asks_for() {
    insta::assert_snapshot!(described(&template(), "shop", &Terminal::default()));
}

#[test]
fn an_example_is_an_action_once_it_is_filled_in() {
    let text = example(&template(), "shop");
    insta::assert_snapshot!(text);
    let filled = text
        .replace(&format!("version: {}", example::FILL_IN), "version: 1.4.2")
        .replace(&format!("name: {}\n  namespace", example::FILL_IN), "name: deploy\n  namespace");
    let mut action: DeploymentAction = serde_saphyr::from_str(&filled).unwrap();
    action.metadata.uid = Some("u-1".into());
    let Template { kind, name, uid, generation, spec, .. } = template();
    let found = Lookup::Found(expand::Template { kind, name, uid, generation, spec });
    expand::check(&action, Some(&found), "amd64").unwrap();
}
