//! `gitops/kustomize/longshore.yaml`: images and names reach an action's fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tools::{Folder, repository, run};
use crate::support::namespace::{examples_image, in_namespace};

fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(repository(path)).unwrap();
    serde_saphyr::from_str(&text).expect("YAML")
}

/// The fields of an action that the configuration names for this kind, or for images.
fn configured(entry: &Value) -> BTreeSet<String> {
    let specs = entry.as_array().expect("a list of fields");
    specs
        .iter()
        .map(|spec| {
            // Of no kind in particular: templates have the same fields.
            assert_eq!((&spec["group"], &spec["kind"]), (&"longshore.dev".into(), &Value::Null));
            spec["path"].as_str().expect("a path").to_owned()
        })
        .collect()
}

/// The fields of the schema whose last names are one of these, without the list items' marks.
fn fields(schema: &Value, path: &str, ends: &[&str], into: &mut BTreeSet<String>) {
    if ends.iter().any(|end| path.ends_with(&format!("/{end}"))) {
        into.insert(path.trim_start_matches('/').to_owned());
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            fields(property, &format!("{path}/{name}"), ends, into);
        }
    }
    if schema["items"].is_object() {
        fields(&schema["items"], path, ends, into);
    }
}

#[test]
fn every_field_that_names_an_object_is_configured() {
    let crd = yaml("crds/deploymentactions.yaml");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let configuration = yaml("gitops/kustomize/longshore.yaml");
    assert_eq!(configured(&configuration["images"]), BTreeSet::from(["spec/image".to_owned()]));
    for (kind, ends) in [
        ("ConfigMap", &["configMapKeyRef/name", "configMapRef/name", "configMap/name"][..]),
        (
            "Secret",
            &[
                "secretKeyRef/name",
                "secretRef/name",
                "secret/name",
                "secret/secretName",
                "imagePullSecrets/name",
                "nodePublishSecretRef/name",
            ],
        ),
        ("ServiceAccount", &["serviceAccountName"]),
        ("PersistentVolumeClaim", &["claimName"]),
    ] {
        let mut wanted = BTreeSet::new();
        fields(spec, "/spec", ends, &mut wanted);
        let references = configuration["nameReference"].as_array().unwrap();
        let reference = references.iter().find(|one| one["kind"] == kind).expect(kind);
        assert_eq!(configured(&reference["fieldSpecs"]), wanted, "{kind}");
    }
}

#[tokio::test]
async fn images_and_names_reach_the_action() {
    in_namespace(async |namespace| {
        let folder = Folder::with(&namespace.name, &["tests/gitops/kustomize", "gitops/kustomize"]);
        let out = run("kubectl", ["kustomize".as_ref(), folder.0.as_os_str()], "").succeeded();
        // The text there before kustomize named the objects.
        for name in ["settings", "access", "deployer", "claim", "how", "everywhere"] {
            assert!(!out.contains(&format!(": {name}\n")), "{name}: {out}");
        }
        assert!(!out.contains("registry.example.com"), "{out}");
        // Of the action and of both kinds of templates.
        assert_eq!(out.matches("\n  image: mirror.example.com/tools:2026.11\n").count(), 3, "{out}");
        for (name, times) in [
            ("staging-settings-", 8),
            ("staging-access-", 9),
            ("staging-deployer", 3),
            ("staging-claim", 2),
            ("staging-how", 2),
            ("staging-everywhere", 2),
        ] {
            assert_eq!(out.matches(name).count(), times, "{name}: {out}");
        }
        // And what comes out are actions and templates.
        namespace.kubectl_with(&["apply", "--dry-run=server", "--filename=-"], &out).succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_change_of_a_generated_config_map_is_a_run() {
    in_namespace(async |namespace| {
        let folder = Folder::with(&namespace.name, &["gitops/kustomize"]);
        let action = crate::support::action::Action::command(&["/bin/true"]).object("deploy").to_string();
        let action = action
            .replace(
                r#""command":["/bin/true"]"#,
                r#""script":{"configMapKeyRef":{"name":"scripts","key":"deploy.sh"}}"#,
            )
            .replace(&examples_image(), "tools:1.0");
        std::fs::write(folder.0.join("action.yaml"), action).unwrap();
        let registry = examples_image();
        let (name, tag) = registry.rsplit_once(':').unwrap();
        std::fs::write(
            folder.0.join("kustomization.yaml"),
            format!(
                "configurations: [longshore.yaml]\nresources: [action.yaml]\n\
                 images: [{{name: tools, newName: \"{name}\", newTag: {tag}}}]\n\
                 configMapGenerator: [{{name: scripts, files: [deploy.sh]}}]\n"
            ),
        )
        .unwrap();
        for (number, script) in [(1, "echo one\n"), (2, "echo two\n")] {
            std::fs::write(folder.0.join("deploy.sh"), script).unwrap();
            let path = folder.0.to_str().unwrap();
            namespace.kubectl(&["apply", "--server-side", "--kustomize", path]).succeeded();
            let wait = ["wait", "deploymentaction/deploy", "--for=condition=Succeeded", "--timeout=60s"];
            namespace.kubectl(&wait).succeeded();
            let status = &namespace.settled("deploy").await["status"];
            assert_eq!(status["run"]["number"], number);
            assert_eq!(status["log"]["tail"], script.trim_start_matches("echo "));
        }
    })
    .await;
}
