//! Whole actions, statuses and pods, from which the others are made.

use longshore::{
    api::{
        ANNOTATION_BUNDLE, CONTAINER, FINALIZER_COLLECT, LABEL_ACTION, LABEL_ACTION_UID, LABEL_ATTEMPT,
        LABEL_MANAGED_BY, LABEL_RESOLVER, LABEL_RUN, LABEL_TOMBSTONE, MANAGED_BY,
    },
    operator::pod::names::pod_name,
};
use serde_json::{Value, json};

use super::words::{self, SENTINEL};
use crate::support::{namespace::examples_image, random::Random};

/// No node has this label.
pub(crate) const NOWHERE: (&str, &str) = ("longshore.dev/fuzz", "nowhere");

/// A spec that is accepted; between them they use every field.
pub(crate) fn spec(random: &mut Random) -> Value {
    match random.below(5) {
        0 => full(),
        1 => with_secrets(),
        2 => json!({
            "image": examples_image(),
            "command": ["/migrate", "up"],
            "args": ["--all"],
            "variables": [{"name": "PASSWORD", "value": SENTINEL}],
            "variablesFrom": [{"secretRef": {"name": "sentinel"}}],
            "resources": {"requests": {"cpu": "100m", "memory": 134_217_728}, "limits": {"memory": "256Mi"}},
            "runPolicy": "Manual",
            "runToken": "release-57",
            "pendingDeadlineSeconds": 20,
        }),
        3 => json!({
            "image": examples_image(),
            "script": {"configMapKeyRef": {"name": "settings", "key": "run.sh"}, "interpreter": ["bash"]},
            "variables": [{"name": "EMPTY"}, {"name": "PLAIN", "value": SENTINEL}],
            "outputs": [{"name": "url", "required": true}],
            "pendingDeadlineSeconds": 5,
        }),
        _ => json!({
            "image": examples_image(),
            "script": {"inline": format!("PASSWORD={SENTINEL}\necho hello\n")},
            "pendingDeadlineSeconds": 2,
        }),
    }
}

fn full() -> Value {
    json!({
        "image": examples_image(),
        "script": {"inline": "print(1)", "interpreter": ["python3", "-u"]},
        "args": ["--a", "", SENTINEL],
        "variables": [
            {"name": "A"},
            {"name": "a-b.c_D", "value": SENTINEL, "as": "Env"},
            {"name": "F", "as": "File", "mode": 0o400, "path": "~/.netrc", "valueFrom": {"secretKeyRef": {"name": "sentinel", "key": "password"}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "b", "optional": true}}},
        ],
        "outputs": [{"name": "url", "required": true}, {"name": "_a.b-c"}],
        "variablesFrom": [
            {"prefix": "DB_", "secretRef": {"name": "absent", "optional": true}},
            {"configMapRef": {"name": "settings"}},
        ],
        "imagePullSecrets": [{"name": "pull"}, {"name": "absent"}],
        "serviceAccountName": "default",
        "runDeadlineSeconds": 60,
        "pendingDeadlineSeconds": 3,
        "terminationGracePeriodSeconds": 0,
        "workingDir": "/srv/app",
        "log": {"streams": "Separate"},
        "podRetentionSeconds": 0,
        "runPolicy": "OnChange",
        "runToken": "release 57 / ü",
        "podTemplate": pod_template(),
    })
}

pub(crate) fn pod_template() -> Value {
    json!({
        "metadata": {"labels": {"team": "a", "example.com/b": ""}, "annotations": {"c": "any text"}},
        "nodeSelector": {"kubernetes.io/os": "linux", "disk": "fast"},
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}},
        ]}},
        "priorityClassName": "low",
        "runtimeClassName": "gvisor",
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.test"]}],
        "securityProfile": "Baseline",
        "securityContext": {"runAsUser": 1000, "supplementalGroups": [5]},
        "containerSecurityContext": {"capabilities": {"add": ["CHOWN"]}},
        "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}},
            {"name": "c", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true}},
            {"name": "d", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}}},
            {"name": "e", "emptyDir": {"sizeLimit": "1Mi"}},
            {"name": "f", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"name": "g", "secret": {"secretName": "sentinel", "defaultMode": 256}},
            {"name": "h", "configMap": {"name": "settings", "optional": true}},
        ],
        "volumeMounts": [
            {"name": "a", "mountPath": "/data", "subPath": "x"}, {"name": "b", "mountPath": "/tmp/b"},
        ],
    })
}

fn with_secrets() -> Value {
    json!({
        "image": words::image(&mut Random::of(1, 5)),
        "script": {"inline": "echo hello"},
        "variables": [
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "sentinel", "key": "password"}}},
            {"name": "PLAIN", "value": SENTINEL},
        ],
        "imagePullSecrets": [{"name": "pull"}, {"name": "pull-odd"}, {"name": "pull-typed"}],
        "pendingDeadlineSeconds": 8,
    })
}

/// A status as the operator writes it, of a run that is over.
pub(crate) fn status() -> Value {
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "Succeeded", "message": "the script succeeded",
            "lastTransitionTime": "2026-11-23T00:00:00Z", "observedGeneration": 1,
        })
    };
    json!({
        "observedGeneration": 1,
        "phase": "Succeeded",
        "image": {
            "requested": examples_image(),
            "resolved": format!("{}@sha256:{}", examples_image(), "a1".repeat(32)),
            "platformDigest": format!("sha256:{}", "b2".repeat(32)),
            "configDigest": format!("sha256:{}", "c3".repeat(32)),
            "running": format!("sha256:{}", "c3".repeat(32)),
            "runAsUser": 65532,
        },
        "run": {
            "number": 3, "id": "5f3c9a1b-3", "generation": 1, "attempt": 1, "trigger": "Created",
            "runToken": "release-57", "specHash": "v1:00", "scriptSha256": "d4".repeat(32),
            "bundleSha256": "e5".repeat(32), "podName": "fuzz-pod", "podUID": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            "requestedAt": "2026-11-23T00:00:00Z", "startedAt": "2026-11-23T00:00:01Z",
            "finishedAt": "2026-11-23T00:00:02Z", "durationSeconds": 1, "exitCode": 0,
        },
        "outputs": {"url": "https://orders.example.com"},
        "log": {
            "state": "Complete", "lines": 42, "bytes": 1234, "sha256": "f6".repeat(32),
            "missing": ["frames 3 to 5"], "foreignLines": 1, "tail": "hello\n",
        },
        "conditions": [condition("Ready", "True"), condition("Succeeded", "True"), condition("Finished", "True")],
    })
}

/// A pod that looks like one of ours and is none. No node takes it.
pub(crate) fn pod(random: &mut Random, case: u64, action: &str, uid: &str) -> Value {
    let ours = pod_name(action, uid, 1, 1);
    let name = if random.percent(40) { ours } else { format!("fuzz-pod-{case}") };
    let rubbish = || ["", "1", "0", "-1", "4294967296", "x"];
    let mut labels = json!({LABEL_MANAGED_BY: MANAGED_BY, LABEL_ACTION: action});
    for label in [LABEL_ACTION_UID, LABEL_RUN, LABEL_ATTEMPT, LABEL_TOMBSTONE, LABEL_RESOLVER] {
        if random.percent(60) {
            labels[label] = json!(random.pick(&rubbish()));
        }
    }
    if random.percent(50) {
        labels[LABEL_ACTION_UID] = json!(uid);
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": {ANNOTATION_BUNDLE: words::text(random)}},
        "spec": {
            "nodeSelector": {NOWHERE.0: NOWHERE.1},
            "restartPolicy": random.pick(&["Never", "Always"]),
            "containers": [{
                "name": random.pick(&[CONTAINER, "other"]), "image": examples_image(), "command": ["sleep", "1"],
            }],
        },
    });
    if random.percent(50) {
        object["metadata"]["finalizers"] = json!([FINALIZER_COLLECT]);
    }
    if random.percent(50) {
        let owner = if random.percent(60) { uid } else { "1b4e28ba-2fa1-11d2-883f-0016d3cca427" };
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "name": action, "uid": owner,
            "controller": random.percent(70),
        }]);
    }
    object
}
