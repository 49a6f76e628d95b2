//! `validate`, `diff` and `templates`: what files would do, and what a template asks for.

use longshore::api::DeploymentActionTemplate;
use serde_json::{Value, json};

use super::{longshore, longshore_with};
use crate::support::{
    action::{Action, Done},
    namespace::{Namespace, examples_image, in_namespace},
};

fn template() -> Value {
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentActionTemplate",
        "metadata": {"name": "release"},
        "spec": {"image": examples_image(), "script": {"inline": "echo \"$SERVICE\""}, "parameters": [
            {"name": "SERVICE", "required": true},
            {"name": "REPLICAS", "type": "Integer", "default": 2, "maximum": 9}]}})
}

#[tokio::test]
async fn each_mistake_in_each_document_is_told_and_nothing_is_stored() {
    in_namespace(async |namespace: &Namespace| {
        namespace.put::<DeploymentActionTemplate>(template()).await;
        let mut unknown = Action::script("true").object("unknown");
        unknown["spec"]["scirpt"] = json!("x");
        let refused = Action::script("true").with("runDeadlineSeconds", 0).with("pendingDeadlineSeconds", 0);
        let of_template = Action::of_template(None, "release")
            .with("parameters", json!([{"name": "REPLICAS", "value": 10}, {"name": "OTHER", "value": "x"}]));
        let documents = [
            Action::script("true").object("good"),
            unknown,
            refused.object("bad"),
            of_template.object("of-template"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}),
        ];
        let text: Vec<String> = documents.iter().map(ToString::to_string).collect();
        let said = longshore_with(namespace, &["validate", "-f", "-"], &text.join("\n---\n"));
        assert_eq!(said.code, 6, "{said:?}");
        for words in [
            "DeploymentAction good (standard input, document 1): valid\n",
            "DeploymentAction unknown (standard input, document 2): refused\n",
            "unknown field \"spec.scirpt\"",
            "spec.runDeadlineSeconds",
            "spec.pendingDeadlineSeconds",
            "ParametersInvalid",
            "SERVICE",
            "REPLICAS",
            "OTHER",
            "ConfigMap other (standard input, document 5): not checked",
        ] {
            assert!(said.out.contains(words), "{words:?} is not in:\n{}", said.out);
        }
        assert!(longshore(namespace, &["list"]).err.contains("no actions"));
        let good = longshore_with(namespace, &["validate", "-f", "-"], &text[0]);
        assert_eq!(good.code, 0, "{good:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_foretold_of_a_change_comes_true() {
    in_namespace(async |namespace: &Namespace| {
        let action = || Action::script("true").with("args", json!(["a"]));
        let diff = |action: Action, flags: &[&str]| {
            let text = action.object("deploy").to_string();
            longshore_with(namespace, &[&["diff", "-f", "-"], flags].concat(), &text)
        };
        let new = diff(action(), &["--exit-code"]);
        assert!(new.code == 8 && new.out.contains("a run begins, because the action is new"), "{new:?}");
        let handle = namespace.apply("deploy", action()).await;
        handle.finished().await.assert_succeeded();
        let same = diff(action(), &["--exit-code"]);
        assert!(same.code == 0 && same.out.contains("no run begins"), "{same:?}");
        let settings = diff(action().with("runDeadlineSeconds", 60), &["--exit-code"]);
        assert!(
            settings.code == 0 && settings.out.contains("starts one only after a failure"),
            "{settings:?}"
        );
        let changed = diff(action().with("args", json!(["b"])), &["--exit-code"]);
        assert_eq!(changed.code, 8, "{changed:?}");
        assert!(
            changed.out.contains("spec.args: [\"a\"] -> [\"b\"] (changes what is executed)"),
            "{changed:?}"
        );
        handle.patch_spec(json!({"runDeadlineSeconds": 60})).await;
        handle.until("the change was seen", Done::is_seen).await;
        assert_eq!(handle.get().await.status.unwrap().run.unwrap().number, 1);
        handle.patch_spec(json!({"args": ["b"]})).await;
        handle.until("the second run has ended", |done| done.is_over() && done.run().number == 2).await;
    })
    .await;
}

#[tokio::test]
async fn an_example_of_a_template_is_valid_once_it_is_filled_in() {
    in_namespace(async |namespace: &Namespace| {
        namespace.put::<DeploymentActionTemplate>(template()).await;
        let list = longshore(namespace, &["templates"]).out();
        assert!(list.contains("release"), "{list}");
        let told = longshore(namespace, &["templates", "describe", "release"]).out();
        assert!(told.contains("SERVICE") && told.contains("9 or less"), "{told}");
        let example = longshore(namespace, &["templates", "describe", "release", "--example"]).out();
        let empty = longshore_with(namespace, &["validate", "-f", "-"], &example);
        assert_eq!(empty.code, 6, "{empty:?}");
        let filled = example.replace("FILL-IN", "orders");
        let valid = longshore_with(namespace, &["validate", "-f", "-"], &filled);
        assert_eq!(valid.code, 0, "{valid:?}");
        let missing = longshore(namespace, &["templates", "describe", "releese"]).err(3);
        assert!(missing.contains("names like it: release"), "{missing}");
    })
    .await;
}
