//! Accepted actions, and the fields that the API server adds.

use serde_json::{Value, json};

use super::request::{Unknown, object, spec, with, would_create};

async fn accepted(changes: Value) -> Value {
    let object = object("accepted", &with(&changes));
    match would_create(&object, Unknown::Refused).await {
        Ok(created) => created,
        Err(message) => panic!("refused: {object}\n{message}"),
    }
}

#[tokio::test]
async fn images_by_the_grammar() {
    let digest = format!("sha256:{}", "a1".repeat(32));
    for image in [
        "tools:1",
        "team/tools:2026.11",
        "localhost:5000/tools:2026.11",
        "registry.example.com/a/b/c/d__e-f.g:V1_2.3-4",
        "10.77.0.2:5000/examples:0.1.0",
        "[fd00::1]:5000/tools:1",
        &format!("tools@{digest}"),
        &format!("registry.example.com/tools:1@{digest}"),
        &format!("tools@sha512:{}", "0".repeat(128)),
    ] {
        accepted(json!({"image": image})).await;
    }
}

#[tokio::test]
async fn folders_in_which_a_script_starts() {
    for folder in
        ["Image", "/", "/app", "/app/", "/a/.b/..c", "/longshore/packages/orders", "/longshore.d", "/srv/a b"]
    {
        accepted(json!({"workingDir": folder})).await;
    }
    accepted(json!({"workingDir": null, "log": null})).await;
    for streams in [json!("Merged"), json!("Separate"), json!(null)] {
        accepted(json!({"log": {"streams": streams}})).await;
    }
}

#[tokio::test]
async fn all_that_is_offered() {
    accepted(json!({
        "script": {"inline": "print(1)", "interpreter": ["python3", "-u"]},
        "args": ["--a", ""],
        "variables": [
            {"name": "A"},
            {"name": "B", "value": ""},
            {"name": "a-b.c_D", "value": "$(A)", "as": "Env"},
            {"name": "F", "as": "File", "mode": 0o400, "path": "~/.docker/config.json",
             "valueFrom": {"secretKeyRef": {"name": "a.b-c", "key": ".dockerconfigjson"}}},
            {"name": "G", "as": "File", "mode": 0o755, "path": "a/b@c+d=e,f:g_h.sh", "value": ""},
            {"name": "H", "as": "File", "mode": null, "path": null, "value": ""},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b", "optional": true}}},
        ],
        "packages": [
            {"name": "orders", "reference": "registry.example.com/charts/orders:1.4.2"},
            {"name": "0-a", "reference": format!("tools@sha256:{}", "0".repeat(64))},
        ],
        "outputs": [
            {"name": "url", "required": true},
            {"name": "_a.b-c"},
            {"name": "token", "required": true, "sensitive": true},
            {"name": "plain", "sensitive": false},
        ],
        "variablesFrom": [
            {"prefix": "DB_", "secretRef": {"name": "db", "optional": true}},
            {"configMapRef": {"name": "settings"}},
        ],
        "imagePullSecrets": [{"name": "a"}, {"name": "b"}],
        "serviceAccountName": "deployer",
        "runDeadlineSeconds": 604_800,
        "pendingDeadlineSeconds": 1,
        "terminationGracePeriodSeconds": 0,
        "podRetentionSeconds": 0,
        "runPolicy": "Manual",
        "runToken": "release 57 / ü",
        "lock": {"name": "orders-prod.eu", "whenHeld": "Queue", "queueDeadlineSeconds": 2_592_000},
        "podTemplate": {
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
            ],
            "volumeMounts": [
                {"name": "a", "mountPath": "/data", "subPath": "x"}, {"name": "b", "mountPath": "/tmp/b"},
            ],
        },
    }))
    .await;
    accepted(json!({"script": null, "command": ["/migrate", "up"]})).await;
    accepted(json!({"script": {"inline": "x".repeat(131_072)}})).await;
    accepted(json!({"script": {"configMapKeyRef": {"name": "a", "key": "run.sh"}, "interpreter": ["bash"]}}))
        .await;
}

#[tokio::test]
async fn quantities_as_people_write_them() {
    for (resource, quantity) in [
        ("cpu", json!(1)),
        ("cpu", json!("100m")),
        ("cpu", json!("0.5")),
        ("memory", json!("256Mi")),
        ("memory", json!("1e9")),
        ("memory", json!("1E+18")),
        ("memory", json!(134_217_728)),
        ("memory", json!(4_294_967_296_i64)),
        ("example.com/gpu", json!("2")),
    ] {
        accepted(json!({"resources": {"requests": {resource: quantity}, "limits": {resource: quantity}}}))
            .await;
    }
}

#[tokio::test]
async fn defaults_are_as_the_reference_says() {
    let created = accepted(json!({})).await;
    let mut expected = spec();
    expected["podRetentionSeconds"] = 86_400.into();
    expected["runPolicy"] = "OnChange".into();
    assert_eq!(created["spec"], expected);
    let reference = include_str!("../../docs/reference/fields.md");
    for (field, value) in expected.as_object().unwrap() {
        if field != "image" && field != "script" {
            let row = reference.lines().find(|line| line.starts_with(&format!("| `spec.{field}`"))).unwrap();
            assert!(row.contains(&format!("| `{value}` |")), "{row}");
        }
    }
    // The API server does not write these into the action: the operator applies them.
    for (field, value) in [
        ("runDeadlineSeconds", 3600),
        ("pendingDeadlineSeconds", 600),
        ("terminationGracePeriodSeconds", 30),
        ("lock.queueDeadlineSeconds", 3600),
    ] {
        let row = reference.lines().find(|line| line.starts_with(&format!("| `spec.{field}`"))).unwrap();
        assert!(row.contains(&format!("Default: {value}.")), "{row}");
    }
}

#[tokio::test]
async fn an_action_that_no_operator_has_seen_says_so() {
    let created = accepted(json!({})).await;
    assert_eq!(created["status"], json!({"observedGeneration": -1, "phase": "Pending"}));
    let mut with_status = object("accepted", &spec());
    with_status["status"] = json!({"phase": "Succeeded", "observedGeneration": 1});
    let created = would_create(&with_status, Unknown::Refused).await.unwrap();
    assert_eq!(
        created["status"],
        json!({"observedGeneration": -1, "phase": "Pending"}),
        "forged at creation"
    );
}

#[tokio::test]
async fn locks_in_each_form() {
    for lock in [
        json!({"name": "a"}),
        json!({"name": "0".repeat(63), "whenHeld": "Fail"}),
        json!({"name": "a-b.c", "queueDeadlineSeconds": 1}),
        json!({"name": "a", "whenHeld": null, "queueDeadlineSeconds": null}),
    ] {
        accepted(json!({"lock": lock})).await;
    }
}

#[tokio::test]
async fn an_action_with_a_generated_name_may_be_removed_by_itself() {
    for seconds in [0, 31_536_000] {
        let mut object = object("x", &with(&json!({"ttlSecondsAfterFinished": seconds})));
        object["metadata"] = json!({"generateName": "release-"});
        let created = would_create(&object, Unknown::Refused).await.unwrap();
        assert_eq!(created["spec"]["ttlSecondsAfterFinished"], seconds);
    }
    let mut unset = object("fixed", &spec());
    unset["spec"]["ttlSecondsAfterFinished"] = Value::Null;
    would_create(&unset, Unknown::Refused).await.unwrap();
}

#[tokio::test]
async fn a_name_of_63_characters() {
    would_create(&object(&"a".repeat(63), &spec()), Unknown::Refused).await.unwrap();
}

#[tokio::test]
async fn fields_that_nobody_knows_are_dropped_where_that_is_asked_for() {
    let object = object("accepted", &with(&json!({"hostNetwork": true})));
    let created = would_create(&object, Unknown::Dropped).await.unwrap();
    assert_eq!(created["spec"]["hostNetwork"], Value::Null);
}
