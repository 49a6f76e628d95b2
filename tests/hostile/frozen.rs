//! Somebody changes the spec between two attempts of a run. The second attempt does not execute the change.

use longshore::api::Reason;
use serde_json::{Value, json};

use super::{
    attack::{judged, lives, told},
    oracle::Alone,
};
use crate::support::namespace::Namespace;

/// Each changes the execution. Only the last one changes the bundle.
fn changes() -> Vec<(&'static str, Value)> {
    let template = |part: Value| json!({"podTemplate": part});
    vec![
        ("account", json!({"serviceAccountName": "other"})),
        ("aliases", template(json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.example.com"]}]}))),
        (
            "volume",
            template(json!({
                "volumes": [{"name": "more", "configMap": {"name": "more"}}],
                "volumeMounts": [{"name": "more", "mountPath": "/more"}],
            })),
        ),
        ("security", template(json!({"containerSecurityContext": {"readOnlyRootFilesystem": true}}))),
        ("user", template(json!({"securityContext": {"runAsUser": 1234}}))),
        ("profile", template(json!({"securityProfile": "UserNamespaceRoot"}))),
        ("args", json!({"args": ["more"]})),
    ]
}

async fn is_found_out(namespace: &Namespace, name: &str, change: Value) {
    let retry = json!({"limit": 1, "causes": ["ScriptFailed"], "backoffSeconds": 8});
    let action = namespace.apply(name, told("leave 3").with("retry", retry)).await;
    action.reason(Reason::RetryPending).await;
    action.patch_spec(change).await;
    // The change is a run of its own, with attempts of its own.
    let done = action
        .until("the first run has ended", |seen| seen.status().history.iter().any(|past| past.number == 1))
        .await;
    let first = done.status().history.iter().find(|past| past.number == 1).unwrap();
    assert_eq!((first.reason.as_str(), first.attempts), ("Superseded", 1), "{name}: {first:?}");
    let attempts: Vec<u32> =
        lives(&action).iter().filter(|life| life.attempt.0 == first.id).map(|life| life.attempt.1).collect();
    assert_eq!(attempts, [1], "{name}");
}

#[tokio::test]
async fn a_change_between_two_attempts_is_executed_by_none_of_them() {
    judged(Alone::Action, async |namespace| {
        namespace.service_account("other").await;
        namespace.config_map("more", json!({"key": "value"})).await;
        let all = changes().into_iter().map(|(name, change)| is_found_out(namespace, name, change));
        futures::future::join_all(all).await;
    })
    .await;
}
