//! The release that the other tests use: changed and put back. Actions that run meanwhile notice
//! nothing.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    time::Duration,
};

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use longshore::api::LABEL_ACTION;
use serde_json::{Value, json};

use super::tools::{CHART, documents, helm, kubectl, output, text};
use crate::support::{
    action::{Action, Done, Handle, from_config_map},
    namespace::{Namespace, in_namespace, setting, within},
    turns::alone,
};

pub(crate) const NAME: &str = "longshore";
pub(crate) const NAMESPACE: &str = "longshore-system";

/// Runs until somebody opens the gate.
pub(crate) const GATED: &str = "#!/usr/bin/env bash\n\
    echo begun\n\
    until [ -e /tmp/open ]; do sleep 0.2; done\n\
    echo ended\n";

/// The release as it was installed.
pub(crate) struct Release {
    values: PathBuf,
}

impl Release {
    /// Installs it, or upgrades it to what it was.
    pub(crate) fn install(&self, more: &[&str]) {
        let values = self.values.display().to_string();
        let arguments = [
            "upgrade",
            NAME,
            CHART,
            "--install",
            "--namespace",
            NAMESPACE,
            "--reset-values",
            "--values",
            &values,
            "--wait",
            "--timeout",
            "2m",
        ];
        helm(&[&arguments, more].concat());
    }
}

/// Runs `test` and puts the release back as it was.
pub(crate) async fn changing_the_release(test: impl AsyncFnOnce(&Release, &Namespace)) {
    let _alone = alone().await;
    setting("KUBECONFIG");
    let values = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("release-values.yaml");
    let installed = helm(&["get", "values", NAME, "--namespace", NAMESPACE, "--output", "yaml"]);
    std::fs::write(&values, installed).expect("writing the values");
    let release = Release { values };
    let outcome = AssertUnwindSafe(in_namespace(async |namespace| test(&release, namespace).await))
        .catch_unwind()
        .await;
    release.install(&[]);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Handle<'_> {
    /// Lets a gated script end.
    pub(crate) fn open(&self, pod: &Pod) {
        let (name, namespace) = (pod.name_any(), self.namespace.name.as_str());
        let arguments =
            ["exec", &name, "--namespace", namespace, "--container", "action", "--", "touch", "/tmp/open"];
        kubectl(&arguments);
    }

    /// It succeeded, its log is whole, and it ran once, in this pod.
    pub(crate) async fn assert_ran_once(&self, pod: &Pod) -> Done {
        let done = self.finished().await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "begun\nended\n");
        assert_eq!((done.run().number, done.run().attempt), (1, 1));
        let labels = ListParams::default().labels(&format!("{LABEL_ACTION}={}", self.name));
        let pods = self.namespace.api::<Pod>().list(&labels).await.expect("listing pods");
        let uids: Vec<_> = pods.iter().filter_map(ResourceExt::uid).collect();
        assert_eq!(uids, [pod.uid().expect("a UID")]);
        let status = pods.items[0].status.as_ref().expect("a status");
        assert_eq!(status.container_statuses.as_ref().expect("containers")[0].restart_count, 0);
        done
    }
}

pub(crate) async fn operators(client: &Client) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
    pods.list(&labels).await.expect("listing pods").items
}

/// The flags of the operator that runs; one, since a rollout has been waited for.
async fn flags(client: &Client) -> Vec<String> {
    let mut running = operators(client).await;
    running.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    assert_eq!(running.len(), 1);
    running[0].spec.as_ref().expect("a spec").containers[0].args.clone().unwrap_or_default()
}

/// Where somebody else brings the definitions, and has not brought these.
#[tokio::test]
async fn under_a_definition_that_is_too_old_nothing_starts_and_the_log_says_why() {
    const DEFINITION: &str = "customresourcedefinition/deploymentactions.longshore.dev";
    const LAUNCHER: &str =
        "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/run/properties/launcher";
    changing_the_release(async |_, namespace| {
        let patch = |operation: &str, value: &Value| {
            let patch = json!([{"op": operation, "path": LAUNCHER, "value": value}]).to_string();
            kubectl(&["patch", DEFINITION, "--type=json", "--patch", &patch]);
        };
        let before: Value =
            serde_json::from_str(&kubectl(&["get", DEFINITION, "--output=json"])).expect("JSON");
        patch("remove", &Value::Null);
        let action = namespace.apply("early", Action::script("echo hi")).await;
        within(Duration::from_secs(30), "the log says why", async || {
            let log = kubectl(&["logs", "deployment/longshore", "--namespace", NAMESPACE, "--since=1m"]);
            log.contains("the API server does not keep status.run.launcher").then_some(())
        })
        .await;
        let pods = namespace.api::<Pod>().list(&ListParams::default()).await.expect("listing pods");
        assert!(pods.items.is_empty(), "{pods:?}");
        patch("add", before.pointer(LAUNCHER).expect("the field"));
        action.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn runs_go_on_through_upgrade_and_rollback() {
    changing_the_release(async |release, namespace| {
        // Where a test before this one failed, a rollback would lead to what it left.
        release.install(&[]);
        let before = flags(&namespace.client).await;
        let action = namespace.apply("through", Action::script(GATED)).await;
        let pod = action.under_way().await;
        release.install(&[
            "--set",
            "log.format=json,concurrency=7",
            "--set-string",
            "podLabels.test=upgrade",
        ]);
        let upgraded = flags(&namespace.client).await;
        assert!(
            upgraded.contains(&"--log-format=json".to_owned())
                && upgraded.contains(&"--concurrency=7".to_owned())
        );
        helm(&["rollback", NAME, "--namespace", NAMESPACE, "--wait", "--timeout", "2m"]);
        assert_eq!(flags(&namespace.client).await, before);
        assert!(!Done::of(action.get().await).is_finished());
        action.open(&pod);
        action.assert_ran_once(&pod).await;
    })
    .await;
}

#[tokio::test]
async fn the_release_s_own_test_passes_and_leaves_nothing() {
    changing_the_release(async |release, _| {
        release.install(&["--set", "replicas=2"]);
        // Twice: what the first one left must not disturb the second.
        for _ in 0..2 {
            let told = helm(&["test", NAME, "--namespace", NAMESPACE, "--timeout", "2m"]);
            assert!(told.contains("Succeeded"), "{told}");
        }
        let kinds = "pods,jobs,serviceaccounts,roles,rolebindings,deploymentactions";
        let left = kubectl(&["get", kinds, "--namespace", NAMESPACE, "--output", "yaml"]);
        let list = documents(&left).remove(0);
        let names: Vec<_> = list["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one: &Value| text(&one["metadata"]["name"]))
            .collect();
        assert!(!names.iter().any(|name| name.ends_with("-test")), "{names:?}");
    })
    .await;
}

#[tokio::test]
async fn an_operator_of_some_namespaces_serves_them_with_the_rights_that_it_has_there() {
    changing_the_release(async |release, namespace| {
        let other = namespace.sibling().await;
        let watch = format!("watchNamespaces={{{}}}", namespace.name);
        release.install(&["--set", &watch]);
        let aside = other.apply("aside", Action::script("echo aside")).await;
        namespace.config_map("words", json!({"word": "hello"})).await;
        let served =
            Action::script("echo $WORD").with("variables", json!([from_config_map("WORD", "words", "word")]));
        let served = namespace.apply("served", served).await.finished().await;
        served.assert_succeeded().assert_tail_has(&["hello\n"]);
        // Its own test goes where it serves.
        let told = helm(&["test", NAME, "--namespace", NAMESPACE, "--timeout", "2m"]);
        assert!(told.contains("Succeeded"), "{told}");
        assert!(!Done::of(aside.get().await).is_seen());
        let user = format!("system:serviceaccount:{NAMESPACE}:{NAME}");
        for (name, may) in [(&namespace.name, "yes"), (&other.name, "no")] {
            let arguments = ["auth", "can-i", "create", "pods", "--as", &user, "--namespace", name];
            let answer = output("kubectl", &arguments, "");
            assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), may, "in {name}");
        }
        // All of them again: what waited is taken up.
        release.install(&[]);
        aside.finished().await.assert_succeeded();
    })
    .await;
}
