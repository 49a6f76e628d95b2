//! Attacks on other controllers that run people's code, as their advisories describe them, tried here.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use longshore::api::{DeploymentAction, Phase, Reason};
use serde_json::{Value, json};

use crate::support::{
    action::{Action, Handle, from_secret},
    namespace::{Namespace, in_namespace, setting},
};

fn operators(namespace: &Namespace) -> Api<Pod> {
    Api::namespaced(namespace.client.clone(), "longshore-system")
}

async fn restarts(namespace: &Namespace) -> Vec<(String, i32)> {
    let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
    let pods = operators(namespace).list(&labels).await.expect("listing pods").items;
    let of = |pod: &Pod| {
        let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        status.into_iter().flatten().map(|container| container.restart_count).sum()
    };
    pods.iter().map(|pod| (pod.name_any(), of(pod))).collect()
}

/// Argo Workflows, CVE-2026-40886: an annotation of a pod that is not as expected ended the
/// controller, again and again.
#[tokio::test]
async fn annotations_that_make_no_sense_harm_nobody() {
    in_namespace(async |namespace| {
        let before = restarts(namespace).await;
        let odd = [
            "",
            "\u{0}",
            "[",
            "{}",
            "-1",
            "OnPodCompletion",
            "18446744073709551616",
            "\u{202e}\u{feff}👩‍👩‍👧",
            "../../secrets/a",
            "\n\r\t",
        ];
        let keys = ["rerun", "cancel", "bundle", "stop-reason", "ack", "not-known"];
        for (number, text) in odd.iter().enumerate() {
            let annotations: serde_json::Map<String, Value> =
                keys.iter().map(|key| (format!("longshore.dev/{key}"), json!(text))).collect();
            let mut object = Action::script("echo hello").object(&format!("odd-{number}"));
            object["metadata"]["annotations"] = Value::Object(annotations);
            namespace.put::<DeploymentAction>(object).await;
        }
        let mut large = Action::script("echo hello").object("large");
        large["metadata"]["annotations"] = json!({"longshore.dev/rerun": "ä".repeat(120_000)});
        namespace.put::<DeploymentAction>(large).await;
        let names = (0..odd.len()).map(|number| format!("odd-{number}")).chain(["large".to_owned()]);
        for name in names {
            Handle { namespace, name }.finished().await.assert_succeeded();
        }
        assert_eq!(restarts(namespace).await, before);
    })
    .await;
}

/// The same of a pod that runs: whoever may change pods may write anything there.
#[tokio::test]
async fn annotations_that_others_write_on_a_pod_harm_nobody() {
    in_namespace(async |namespace| {
        let before = restarts(namespace).await;
        let action = namespace.apply("running", Action::script("echo begun; sleep 4; echo ended")).await;
        let pod = action.under_way().await;
        for text in ["", "[", "{\"cause\":", "\u{0}\u{202e}", "9".repeat(100_000).as_str()] {
            let patch = json!({"metadata": {"annotations": {"longshore.dev/stop-reason": text, "longshore.dev/ack": text}}});
            let patch = kube::api::Patch::Merge(patch);
            let pods = namespace.api::<Pod>();
            pods.patch(&pod.name_any(), &kube::api::PatchParams::default(), &patch).await.expect("a patch");
        }
        action.finished().await.assert_succeeded().assert_tail_has(&["ended\n"]);
        assert_eq!(restarts(namespace).await, before);
    })
    .await;
}

/// Names that are cut: two objects that share a beginning must not share what is made for them.
#[tokio::test]
async fn actions_whose_names_begin_alike_share_nothing() {
    in_namespace(async |namespace| {
        let begins = "a-name-as-long-as-it-may-be-of-which-two-share-all-but-the-end";
        assert_eq!(begins.len(), 62);
        let script = || {
            Action::script("echo $LONGSHORE_ACTION; echo of=$LONGSHORE_ACTION >> $LONGSHORE_OUTPUT")
                .outputs(&["of"])
        };
        let one = namespace.apply(&format!("{begins}1"), script()).await;
        let other = namespace.apply(&format!("{begins}2"), script()).await;
        let (one_done, other_done) = (one.finished().await, other.finished().await);
        for (action, done) in [(&one, &one_done), (&other, &other_done)] {
            done.assert_succeeded();
            assert_eq!((done.tail().trim(), done.output("of")), (action.name.as_str(), action.name.as_str()));
        }
        assert_ne!(one_done.run().pod_name, other_done.run().pod_name);
        assert_ne!(one_done.run().pod_uid, other_done.run().pod_uid);
    })
    .await;
}

/// A service account is one of the action's own namespace, whatever others there are of its name.
#[tokio::test]
async fn a_service_account_of_another_namespace_is_not_borrowed() {
    in_namespace(async |namespace| {
        let other = namespace.sibling().await;
        other.put::<ServiceAccount>(json!({"metadata": {"name": "deployer"}})).await;
        let action = Action::script("echo hello")
            .with("serviceAccountName", "deployer")
            .with("pendingDeadlineSeconds", 30);
        let done = namespace.run(action).await;
        done.assert_failed(Reason::ServiceAccountMissing, None);
        assert_eq!(other.pods().await.len(), 0);
    })
    .await;
}

/// Controllers wrote what they were given to their own logs.
#[tokio::test]
async fn no_secret_reaches_the_operator_s_log() {
    in_namespace(async |namespace| {
        let secret = "sealed-7c1f0a9be2d84c35";
        namespace.secret("token", json!({"token": secret, "broken": format!("{secret}\u{0}")})).await;
        let of = |key: &str| json!([from_secret("TOKEN", "token", key)]);
        let prints =
            Action::script("echo $TOKEN; echo token=$TOKEN >> $LONGSHORE_OUTPUT; echo $TOKEN >&2; exit 7");
        let fails = namespace.apply("fails", prints.with("variables", of("token")).outputs(&["token"])).await;
        let broken = namespace.apply("broken", Action::script("echo").with("variables", of("broken"))).await;
        let value = json!([{"name": "PLAIN", "value": format!("plain-{secret}")}]);
        let plain = namespace.apply("plain", Action::script("exit 1").with("variables", value)).await;
        for action in [&fails, &broken, &plain] {
            assert!(action.finished().await.status().phase == Some(Phase::Failed));
        }
        let mut read = 0;
        let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
        for operator in operators(namespace).list(&labels).await.expect("listing pods") {
            // All that it has written: of every test before as well.
            let parameters = LogParams::default();
            let log = operators(namespace).logs(&operator.name_any(), &parameters).await.expect("its log");
            let known = [
                secret.to_owned(),
                "hunter2-hunter2".to_owned(),
                setting("LONGSHORE_REGISTRY_PASSWORD"),
                setting("LONGSHORE_REGISTRY_PUSH_PASSWORD"),
            ];
            for known in known {
                let found: Vec<_> = log.lines().filter(|line| line.contains(&known)).take(3).collect();
                assert_eq!(found, Vec::<&str>::new());
            }
            read += log.len();
        }
        assert!(read > 0, "the operator has written nothing");
    })
    .await;
}
