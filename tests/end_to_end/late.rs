//! Creations whose answer is lost: whether the pod is there, or comes later, its script starts once or
//! not at all.
//!
//! A webhook plays an API server that fails while it answers. It says 503, and the operator cannot tell
//! whether the pod was created. The webhook keeps the pod that was to be created. The test creates that when
//! it likes.

use std::time::Duration;

use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration,
    core::v1::{Pod, Service},
};
use kube::{
    ResourceExt,
    api::{LogParams, PostParams},
};
use longshore::api::{
    ANNOTATION_CANCEL, FINALIZER_COLLECT, LABEL_ACTION, LABEL_ACTION_UID, LABEL_TOMBSTONE, Reason,
};
use serde_json::{Value, json};

use crate::support::{
    action::{Action, Done, Handle},
    namespace::{Namespace, examples_image, in_namespace, until},
};

/// Says 503 to every creation, and writes down what was to be created.
const SERVER: &str = r#"
import http.server, json, ssl
class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        print(json.dumps({"dryRun": request["dryRun"], "object": request["object"]}), flush=True)
        response = {"uid": request["uid"], "allowed": False, "status": {"code": 503, "message": "the answer was lost"}}
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("", 8443), Answers)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/cert.pem", "/tls/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;
const NAME: &str = "lossy";
/// A label of the creation that arrives.
const ARRIVES: &str = "longshore.dev/test-arrives";

/// Has the answers to all creations of attempts' pods in the namespace be lost; not those of tombstones.
async fn lose_answers(namespace: &Namespace) {
    let host = format!("{NAME}.{}.svc", namespace.name);
    let pair = rcgen::generate_simple_self_signed([host]).unwrap();
    let cert = pair.cert.pem();
    namespace.secret(NAME, json!({"cert.pem": cert, "key.pem": pair.signing_key.serialize_pem()})).await;
    let _: Pod = namespace
        .put(json!({
            "metadata": {"name": NAME, "labels": {"app": NAME}},
            "spec": {
                "automountServiceAccountToken": false,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                "volumes": [{"name": "tls", "secret": {"secretName": NAME}}],
                "containers": [{
                    "name": "server",
                    "image": examples_image(),
                    "command": ["python3", "-u", "-c", SERVER],
                    "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }))
        .await;
    let _: Service = namespace
        .put(json!({
            "metadata": {"name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 443, "targetPort": 8443}]},
        }))
        .await;
    let pods =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
    let attempts = json!([
        {"key": LABEL_ACTION, "operator": "Exists"},
        {"key": LABEL_TOMBSTONE, "operator": "DoesNotExist"},
        {"key": ARRIVES, "operator": "DoesNotExist"},
    ]);
    namespace
        .put_for_cluster::<ValidatingWebhookConfiguration>(&json!({"webhooks": [{
            "name": "lossy.longshore.test",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 5,
            "clientConfig": {
                "service": {"namespace": namespace.name, "name": NAME},
                "caBundle": k8s_openapi::ByteString(cert.into_bytes()),
            },
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
            "objectSelector": {"matchExpressions": attempts},
            "rules": pods,
        }]}))
        .await;
    let probe: Pod = serde_json::from_value(json!({
        "metadata": {"name": "probe", "labels": {LABEL_ACTION: "probe"}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe",
                "image": "example.com/image",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))
    .unwrap();
    let pods = namespace.api::<Pod>();
    until("answers are lost", async || {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match pods.create(&dry_run, &probe).await {
            Err(kube::Error::Api(status)) if status.code == 503 => Some(()),
            _ => None,
        }
    })
    .await;
}

/// What the operator sent first.
async fn sent(namespace: &Namespace) -> Pod {
    until("a creation was sent", async || {
        let log = namespace.api::<Pod>().logs(NAME, &LogParams::default()).await.ok()?;
        let mut all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let first = all.find(|request| request["dryRun"] != json!(true))?;
        let mut pod: Pod = serde_json::from_value(first["object"].clone()).unwrap();
        pod.metadata.managed_fields = None;
        pod.metadata.uid = None;
        pod.metadata.creation_timestamp = None;
        pod.status = None;
        pod.labels_mut().insert(ARRIVES.to_owned(), "true".to_owned());
        Some(pod)
    })
    .await
}

/// The pods of the action.
async fn of(action: &Handle<'_>) -> Vec<Pod> {
    let uid = action.get().await.uid();
    let pods = action.namespace.pods().await;
    pods.into_iter().filter(|pod| pod.labels().get(LABEL_ACTION_UID).cloned() == uid).collect()
}

/// The attempt was given up: its name is taken by a pod in which nothing runs, and what arrives now is
/// refused.
async fn is_entombed(action: &Handle<'_>, late: &Pod) {
    let pods = of(action).await;
    assert_eq!(pods.len(), 1, "{pods:?}");
    assert!(pods[0].labels().contains_key(LABEL_TOMBSTONE));
    let refused = action.namespace.api::<Pod>().create(&PostParams::default(), late).await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.reason == "AlreadyExists"),
        "{refused:?}"
    );
    // The scheduler's time, which tells nobody that it leaves a pod alone.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let pods = of(action).await;
    assert_eq!(pods.len(), 1, "{pods:?}");
    assert!(pods[0].spec.as_ref().unwrap().node_name.is_none(), "a tombstone was scheduled");
}

#[tokio::test]
async fn a_creation_that_arrives_after_its_attempt_was_given_up_finds_a_tombstone() {
    in_namespace(async |namespace| {
        lose_answers(namespace).await;
        let wanted = Action::script("echo this must not run").with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("late", wanted).await;
        let late = sent(namespace).await;
        assert!(late.finalizers().contains(&FINALIZER_COLLECT.to_owned()));
        let done = action.finished().await;
        done.assert_failed(Reason::PendingDeadlineExceeded, None).assert_says(&["the answer was lost"]);
        is_entombed(&action, &late).await;
        assert_eq!(Done::of(action.get().await).run(), done.run());
    })
    .await;
}

#[tokio::test]
async fn a_creation_that_arrives_after_its_run_was_cancelled_finds_a_tombstone() {
    in_namespace(async |namespace| {
        lose_answers(namespace).await;
        let action = namespace.apply("late", Action::script("echo this must not run")).await;
        let late = sent(namespace).await;
        let id = Done::of(action.get().await).run().id.clone();
        action.patch(json!({"metadata": {"annotations": {ANNOTATION_CANCEL: id}}})).await;
        action.finished().await.assert_failed(Reason::Cancelled, None);
        is_entombed(&action, &late).await;
    })
    .await;
}

#[tokio::test]
async fn a_creation_that_was_done_although_its_answer_was_lost_is_found_and_starts_the_script_once() {
    in_namespace(async |namespace| {
        lose_answers(namespace).await;
        let action = namespace.apply("late", Action::script("echo once; sleep 3")).await;
        let late = sent(namespace).await;
        // It arrives after the operator saw none, and while all it asks goes unanswered.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let arrived = namespace.api::<Pod>().create(&PostParams::default(), &late).await.unwrap();
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!((done.tail(), done.run().attempt), ("once\n", 1));
        assert_eq!(done.run().pod_uid, arrived.uid());
        assert_eq!(of(&action).await.len(), 1);
    })
    .await;
}
