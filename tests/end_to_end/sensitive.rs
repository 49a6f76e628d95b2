//! Sensitive outputs: from the script to a Secret, and nowhere else.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::{Pod, ResourceQuota, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams},
};
use longshore::{
    api::{ConditionType, status::OutputsSecret},
    record::frame::{Kind, kind_of},
};
use serde_json::json;

use crate::support::{
    action::{Action, Done, Handle},
    namespace::{Namespace, in_namespace, until},
};

const VALUE: &str = "sesame-0123456789";

/// A script that creates a token and prints it.
fn creates_a_token(before: &str) -> Action {
    let script = format!(
        "{before}\ntoken={VALUE}\necho token=$token >> \"$LONGSHORE_OUTPUT\"\necho url=https://$token@host >> \"$LONGSHORE_OUTPUT\"\n\
         echo the token is $token\n"
    );
    Action::script(&script).with(
        "outputs",
        vec![json!({"name": "token", "sensitive": true, "required": true}), json!({"name": "url"})],
    )
}

fn named(done: &Done) -> OutputsSecret {
    done.status().outputs_secret_ref.clone().expect("status.outputsSecretRef")
}

/// The values in the Secret that the status names.
async fn values(namespace: &Namespace, done: &Done) -> BTreeMap<String, String> {
    let secret = namespace.api::<Secret>().get(&named(done).name).await.expect("the Secret");
    let data = secret.data.expect("data").into_iter();
    data.map(|(name, value)| (name, String::from_utf8(value.0).expect("a text"))).collect()
}

async fn whole_log(action: &Handle<'_>) -> String {
    let pods = action.namespace.api::<Pod>();
    pods.logs(&action.pod().await.name_any(), &LogParams::default()).await.expect("the pod's log")
}

#[tokio::test]
async fn a_sensitive_output_becomes_a_secret_and_is_nowhere_else() {
    in_namespace(async |namespace| {
        let action = namespace.apply("make-token", creates_a_token("")).await;
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!(values(namespace, &done).await, [("token".to_owned(), VALUE.to_owned())].into());
        assert_eq!(done.output("url"), "https://***@host");
        assert_eq!((done.status().outputs.len(), done.tail()), (1, "the token is ***\n"));
        let (status, log) = (serde_json::to_string(done.status()).expect("JSON"), whole_log(&action).await);
        assert!(!status.contains(VALUE) && !log.contains(VALUE), "{status}\n{log}");

        let named = named(&done);
        let secret = namespace.api::<Secret>().get(&named.name).await.expect("the Secret");
        assert_eq!((secret.uid(), named.keys), (Some(named.uid), vec!["token".to_owned()]));
        assert_eq!((secret.type_.as_deref(), secret.immutable), (Some("longshore.dev/outputs"), Some(true)));
        let owner = &secret.owner_references()[0];
        assert_eq!((Some(&owner.uid), owner.controller), (done.0.metadata.uid.as_ref(), Some(true)));

        action.delete(&DeleteParams::background()).await;
        until("the Secret goes with the action", async || {
            let secrets = namespace.api::<Secret>().list(&ListParams::default()).await.expect("a list");
            secrets.items.is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_box_from_the_log_of_another_action_opens_nowhere() {
    in_namespace(async |namespace| {
        let first = namespace.apply("make-token", creates_a_token("")).await;
        first.finished().await.assert_succeeded();
        let log = whole_log(&first).await;
        let sealed: String =
            log.lines().filter(|line| kind_of(line.as_bytes()) == Some(Kind::Exit)).collect();
        assert!(sealed.contains("\"sealed\""), "{log}");
        let script = format!("cat <<'END'\n{sealed}\nEND\n");
        let outputs = vec![json!({"name": "token", "sensitive": true})];
        let copies = Action::script(&script).with("outputs", outputs);
        let done = namespace.apply("copies", copies).await.finished().await;
        done.assert_succeeded();
        assert_eq!(done.status().outputs_secret_ref, None);
        let secrets = namespace.api::<Secret>().list(&ListParams::default()).await.expect("a list");
        assert_eq!(secrets.items.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_full_quota_delays_the_secret_and_changes_no_outcome() {
    in_namespace(async |namespace| {
        let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "0"}}});
        namespace.put::<ResourceQuota>(quota).await;
        until("the quota counts", async || {
            let quota = namespace.api::<ResourceQuota>().get("none").await.expect("the quota");
            quota.status.and_then(|status| status.used).map(|_| ())
        })
        .await;
        let action = namespace.apply("make-token", creates_a_token("")).await;
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!(done.status().outputs_secret_ref, None);
        let why = &done.condition(ConditionType::OutputsPending).message;
        assert!(why.contains("token") && why.contains("exceeded quota"), "{why}");
        namespace.api::<ResourceQuota>().delete("none", &DeleteParams::default()).await.expect("deleting");
        let done = action.until("the Secret", |done| done.status().outputs_secret_ref.is_some()).await;
        done.assert_succeeded();
        assert!(!done.conditions().contains("Outputs"), "{}", done.conditions());
        assert_eq!(values(namespace, &done).await["token"], VALUE);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_added_seals_and_the_old_one_still_opens() {
    in_namespace(async |namespace| {
        let long = namespace.apply("long", creates_a_token("sleep 90")).await;
        long.under_way().await;
        let old = Done::of(long.get().await).run().outputs_key.clone().expect("the key's id");
        // As operations.md says.
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        let id = format!("30000101T{}Z", seconds.as_secs());
        let keys: Api<Secret> = Api::namespaced(namespace.client.clone(), "longshore-system");
        let key = json!({"data": {id.as_str(): "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5LTM="}});
        let changed = keys.patch("longshore-outputs-keys", &PatchParams::default(), &Patch::Merge(key)).await;
        let changed = changed.expect("adding a key");
        let added = &changed.data.expect("data")[&id];
        assert_eq!(added.0.len(), 32);
        let mut number = 0;
        until("a run uses the new key", async || {
            number += 1;
            let action = namespace.apply(&format!("short-{number}"), creates_a_token("")).await;
            let done = action.finished().await;
            assert_eq!(values(namespace, &done).await["token"], VALUE);
            let used = done.run().outputs_key.clone().expect("the key's id");
            tokio::time::sleep(Duration::from_secs(5)).await;
            (used >= id).then_some(())
        })
        .await;
        let done = long.finished().await;
        done.assert_succeeded();
        assert_eq!(done.run().outputs_key.as_ref(), Some(&old));
        assert_eq!(values(namespace, &done).await["token"], VALUE);
    })
    .await;
}
