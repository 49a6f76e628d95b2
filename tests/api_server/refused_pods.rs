//! What is refused of scripts, whole objects as variables, volumes and security settings.

use serde_json::{Value, json};

use super::{
    refused::{refused_with, says},
    request::{Unknown, object, with, would_create},
};

async fn template_refused(template: Value, words: &[&str]) {
    refused_with(json!({"podTemplate": template}), words).await;
}

#[tokio::test]
async fn a_script_that_comes_from_nowhere_or_from_two_places() {
    let words = ["spec.script", "exactly one of inline"];
    refused_with(json!({"script": {"interpreter": ["bash"]}}), &words).await;
    let both = json!({"inline": "a", "configMapKeyRef": {"name": "a", "key": "b"}});
    refused_with(json!({"script": both}), &words).await;
    refused_with(
        json!({"script": {"configMapKeyRef": {"name": "A_b", "key": "c"}}}),
        &["spec.script.configMapKeyRef.name"],
    )
    .await;
}

#[tokio::test]
async fn whole_objects_as_variables() {
    let refused = async |entry: Value, words: &[&str]| {
        refused_with(json!({"variablesFrom": [entry]}), words).await;
    };
    refused(json!({}), &["spec.variablesFrom[0]", "exactly one of secretRef"]).await;
    refused(
        json!({"secretRef": {"name": "a"}, "configMapRef": {"name": "b"}}),
        &["spec.variablesFrom[0]", "exactly one of secretRef"],
    )
    .await;
    refused(json!({"prefix": "1A", "secretRef": {"name": "a"}}), &["a prefix consists of"]).await;
    refused(json!({"prefix": "LONGSHORE_", "secretRef": {"name": "a"}}), &["choose another prefix"]).await;
    let many: Vec<Value> = (0..17).map(|n| json!({"secretRef": {"name": format!("a{n}")}})).collect();
    refused_with(json!({"variablesFrom": many}), &["spec.variablesFrom", "16"]).await;
    let many: Vec<Value> = (0..9).map(|n| json!({"name": format!("a{n}")})).collect();
    refused_with(json!({"imagePullSecrets": many}), &["spec.imagePullSecrets", "8"]).await;
}

#[tokio::test]
async fn volumes_that_have_the_node_or_no_source() {
    let volume = json!({"name": "host", "hostPath": {"path": "/"}});
    template_refused(json!({"volumes": [volume]}), &["unknown field", "volumes[0].hostPath"]).await;
    // Clients that ask for no strict reading have the field dropped, and not the words.
    let spec = with(&json!({"podTemplate": {"volumes": [volume]}}));
    let message = would_create(&object("refused", &spec), Unknown::Dropped).await.unwrap_err();
    assert!(message.contains("hostPath is not offered"), "{message}");

    let two = json!({"name": "two", "emptyDir": {}, "configMap": {"name": "a"}});
    template_refused(json!({"volumes": [two]}), &["volumes[0]", "exactly one source"]).await;
    let own = json!({"name": "longshore-work", "emptyDir": {}});
    template_refused(json!({"volumes": [own]}), &["volumes[0]", "Longshore's own"]).await;
    let name = json!({"name": "Data", "emptyDir": {}});
    template_refused(json!({"volumes": [name]}), &["volumes[0]", "a volume's name"]).await;
}

#[tokio::test]
async fn mounts_in_the_runner_s_way_or_of_nothing() {
    let mount = |name: &str, path: &str| {
        json!({
            "volumes": [{"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": name, "mountPath": path}],
        })
    };
    template_refused(mount("other", "/data"), &["spec.podTemplate", "names a volume"]).await;
    for path in ["/longshore", "/longshore/bin", "/longshore/state/", "/tmp", "/tmp/", "/dev/termination-log"]
    {
        template_refused(mount("data", path), &["volumeMounts", "Longshore's own"]).await;
    }
    for path in ["data", "/", "//", "/.", "/a/../longshore", "/./tmp", "/a/./b", "//longshore/state", "/a:b"]
    {
        template_refused(mount("data", path), &["volumeMounts", "an absolute path"]).await;
    }
}

#[tokio::test]
async fn security_settings_that_contradict_or_have_the_node() {
    template_refused(
        json!({"containerSecurityContext": {"privileged": true}}),
        &["containerSecurityContext", "privileged containers are not offered"],
    )
    .await;
    for context in ["securityContext", "containerSecurityContext"] {
        template_refused(
            json!({context: {"runAsNonRoot": true, "runAsUser": 0}}),
            &[context, "runAsUser 0 is root"],
        )
        .await;
        template_refused(
            json!({context: {"windowsOptions": {"runAsUserName": "a"}}}),
            &[context, "Linux nodes"],
        )
        .await;
    }
    template_refused(json!({"securityProfile": "Privileged"}), &["securityProfile", "Baseline"]).await;
}

#[tokio::test]
async fn a_secret_s_name_that_is_none() {
    says(
        &object("refused", &with(&json!({"imagePullSecrets": [{"name": ""}]}))),
        &["spec.imagePullSecrets[0].name"],
    )
    .await;
}
