//! An action's pod: volumes, security settings, whole Secrets, a script from a `ConfigMap`.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use longshore::api::{ConditionType, Reason};
use serde_json::{Value, json};

use super::pending::quota;
use crate::support::{
    action::{Action, Done, Handle},
    namespace::{in_namespace, setting, until, within},
};

fn from_map(name: &str, interpreter: &[&str]) -> Action {
    from_key(name, "run", interpreter)
}

fn from_key(name: &str, key: &str, interpreter: &[&str]) -> Action {
    Action::script("")
        .with("script", json!({"configMapKeyRef": {"name": name, "key": key}, "interpreter": interpreter}))
}

#[tokio::test]
async fn a_script_from_a_config_map_may_be_long() {
    in_namespace(async |namespace| {
        let long = format!("#!/usr/bin/env bash\n{}\necho the end\n", "# padding\n".repeat(95_000));
        assert!(long.len() > 900_000);
        namespace.config_map("scripts", json!({"run": long})).await;
        namespace.config_map("python", json!({"run": "import sys; print(sys.argv[1:])"})).await;
        let bash = namespace.apply("bash", from_map("scripts", &[])).await;
        let python =
            namespace.apply("python", from_map("python", &["python3", "-u"]).with("args", ["x y"])).await;
        let done = bash.finished().await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "the end\n");
        assert_eq!(done.run().script_sha256.as_deref().map(str::len), Some(64));
        let done = python.finished().await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "['x y']\n");
    })
    .await;
}

#[tokio::test]
async fn a_script_that_is_missing_is_waited_for() {
    in_namespace(async |namespace| {
        let action = namespace.apply("late", from_map("late", &[])).await;
        action.reason(Reason::ConfigMapMissing).await.assert_says(&["spec.script.configMapKeyRef", "late"]);
        namespace.config_map("late", json!({"other": "x"})).await;
        action.until("the key is missed", |action| action.message().contains("no key \"run\"")).await;
        let maps: Api<ConfigMap> = namespace.api();
        let patch = Patch::Merge(json!({"data": {"run": "echo here now"}}));
        maps.patch("late", &PatchParams::default(), &patch).await.unwrap();
        action.finished().await.assert_succeeded().assert_tail_has(&["here now\n"]);
        let never = namespace.apply("never", from_map("never", &[]).with("pendingDeadlineSeconds", 30)).await;
        never.finished().await.assert_failed(Reason::ConfigMapMissing, None).assert_says(&["never"]);
    })
    .await;
}

#[tokio::test]
async fn a_script_that_changed_after_the_run_was_frozen_is_not_run() {
    in_namespace(async |namespace| {
        namespace.config_map("scripts", json!({"run": "echo the first"})).await;
        // Frozen, and its pod held back by a quota.
        quota(namespace, "0").await;
        let action = namespace.apply("changed", from_map("scripts", &[])).await;
        action.reason(Reason::QuotaExceeded).await;
        let maps: Api<ConfigMap> = namespace.api();
        let patch = Patch::Merge(json!({"data": {"run": "echo another"}}));
        maps.patch("scripts", &PatchParams::default(), &patch).await.unwrap();
        namespace.api::<ResourceQuota>().delete("few-pods", &DeleteParams::default()).await.unwrap();
        let done = action.finished().await;
        done.assert_failed(Reason::FrozenInputsChanged, None).assert_says(&["scripts", "run"]);
        assert!(!done.tail().contains("another") && !done.tail().contains("first"), "{}", done.tail());
    })
    .await;
}

#[tokio::test]
async fn a_change_of_the_config_map_alone_starts_nothing() {
    in_namespace(async |namespace| {
        namespace.config_map("scripts", json!({"run": "echo one"})).await;
        let action = namespace.apply("once", from_map("scripts", &[])).await;
        action.finished().await.assert_succeeded();
        let maps: Api<ConfigMap> = namespace.api();
        let patch = Patch::Merge(json!({"data": {"run": "echo two"}}));
        maps.patch("scripts", &PatchParams::default(), &patch).await.unwrap();
        action.patch_spec(json!({"runToken": "again"})).await;
        let done = action.until("the second run", |done| done.run().number == 2 && done.is_finished()).await;
        assert_eq!(done.run().number, 2);
        action.finished().await.assert_succeeded().assert_tail_has(&["two\n"]);
    })
    .await;
}

/// Waits until the status says, or does not say, that the script has changed since. Nothing tells the operator,
/// so that it may take two minutes.
async fn told_of_source(action: &Handle<'_>, outdated: bool) -> Done {
    within(Duration::from_secs(150), "the status tells of the ConfigMap", async || {
        let done = Done::of(action.get().await);
        let told = done.status().conditions().is_true(ConditionType::SourceOutdated);
        (told == outdated && done.is_finished()).then_some(done)
    })
    .await
}

#[tokio::test]
async fn a_script_that_changes_after_its_run_is_told_of() {
    in_namespace(async |namespace| {
        namespace.config_map("scripts", json!({"run": "echo one", "other": "echo other"})).await;
        let action = namespace.apply("told", from_map("scripts", &[])).await;
        action.finished().await.assert_succeeded();
        let maps: Api<ConfigMap> = namespace.api();
        let change = async |data: Value| {
            let patch = Patch::Merge(json!({"data": data}));
            maps.patch("scripts", &PatchParams::default(), &patch).await.unwrap();
        };
        change(json!({"run": "echo two"})).await;
        let done = told_of_source(&action, true).await;
        let message = &done.condition(ConditionType::SourceOutdated).message;
        let says = ["\"run\"", "\"scripts\"", "longshore.dev/rerun"];
        assert!(says.iter().all(|word| message.contains(word)), "{message}");
        done.assert_succeeded();
        assert_eq!(done.run().number, 1);
        // As the message says. The new script is no news any more, and another key is none.
        action.rerun("now").await;
        action.until("the second run", |done| done.run().number == 2 && done.is_finished()).await;
        action.finished().await.assert_succeeded().assert_tail_has(&["two\n"]);
        let other = namespace.apply("other", from_key("scripts", "other", &[])).await;
        other.finished().await.assert_succeeded();
        change(json!({"other": "echo changed"})).await;
        // Both are told of in the same look at the ConfigMap.
        told_of_source(&other, true).await;
        namespace.idle().await;
        told_of_source(&action, false).await;
    })
    .await;
}

#[tokio::test]
async fn whole_secrets_and_config_maps_become_variables() {
    in_namespace(async |namespace| {
        namespace.secret("db", json!({"USER": "not-for-the-log", "shared": "from-the-secret"})).await;
        namespace.config_map("settings", json!({"LEVEL": "debug", "shared": "from-the-map"})).await;
        let done = namespace
            .run(
                Action::script(
                    "echo \"$LEVEL $shared [$OPTIONAL_X] $own\"; echo \"user=$DB_USER\"; echo \"$DB_shared\"",
                )
                .with(
                    "variablesFrom",
                    json!([
                        {"configMapRef": {"name": "settings"}},
                        {"secretRef": {"name": "db"}, "prefix": "DB_"},
                        {"configMapRef": {"name": "absent", "optional": true}, "prefix": "OPTIONAL_"},
                    ]),
                )
                .with(
                    "variables",
                    json!([{"name": "own", "value": "1"}, {"name": "LEVEL", "value": "info"}]),
                ),
            )
            .await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "info from-the-map [] 1\nuser=***\n***\n");
        let missing = Action::script("echo no")
            .with("variablesFrom", json!([{"secretRef": {"name": "absent"}}]))
            .with("pendingDeadlineSeconds", 30);
        let missing = namespace.apply("missing", missing).await;
        missing.finished().await.assert_failed(Reason::SecretMissing, None).assert_says(&["absent"]);
    })
    .await;
}

#[tokio::test]
async fn volumes_and_settings_of_the_action_s_own_are_honoured() {
    in_namespace(async |namespace| {
        namespace.config_map("files", json!({"a": "from the map"})).await;
        let template = json!({
            "securityContext": {"supplementalGroups": [4711]},
            "containerSecurityContext": {"runAsUser": 1717, "readOnlyRootFilesystem": false},
            "hostAliases": [{"ip": "127.0.0.9", "hostnames": ["orders.test"]}],
            "volumes": [
                {"name": "files", "configMap": {"name": "files"}},
                {"name": "cache", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "token", "projected": {"sources": [{"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
            ],
            "volumeMounts": [
                {"name": "files", "mountPath": "/etc/files", "readOnly": true},
                {"name": "cache", "mountPath": "/cache"},
                {"name": "token", "mountPath": "/longshoreman/token"},
            ],
        });
        let script = "id -u; id -G; cat /etc/files/a; echo; touch /cache/x && echo cached; \
            grep orders.test /etc/hosts; cat /longshoreman/token/name; echo";
        let action = namespace.apply("own", Action::script(script).with("podTemplate", template)).await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["1717\n", "4711", "from the map\n", "cached\n", "127.0.0.9"]);
        assert_eq!(done.image().run_as_user, Some(1717));
    })
    .await;
}

#[tokio::test]
async fn who_adds_a_capability_gets_that_one_alone() {
    in_namespace(async |namespace| {
        namespace.enforce("privileged").await;
        let template = json!({
            "securityProfile": "UserNamespaceRoot",
            "containerSecurityContext": {"capabilities": {"add": ["CHOWN"]}},
        });
        let script = "grep CapEff /proc/self/status; touch a; chown 1 a && echo changed";
        let done = namespace.run(Action::script(script).with("podTemplate", template)).await;
        done.assert_succeeded().assert_tail_has(&["0000000000000001\n", "changed\n"]);
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_lost_its_label_holds_nothing_up() {
    in_namespace(async |namespace| {
        let action = namespace.apply("bare", Action::script("echo begun; sleep 60")).await;
        let pod = action.under_way().await;
        let name = pod.metadata.name.unwrap();
        let bare = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
        namespace.api::<Pod>().patch(&name, &PatchParams::default(), &Patch::Merge(bare)).await.unwrap();
        until("the pod has no finalizer of ours", async || {
            action.pod().await.metadata.finalizers.is_none_or(|all| all.is_empty()).then_some(())
        })
        .await;
        action.delete(&DeleteParams::default()).await;
        until("the pod is gone", async || namespace.pods().await.is_empty().then_some(())).await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_forbids_a_profile_refuses_its_pod() {
    in_namespace(async |namespace| {
        let template = json!({"securityProfile": "Baseline"});
        let done = namespace.run(Action::script("id").with("podTemplate", template)).await;
        done.assert_failed(Reason::PodRefused, None).assert_says(&["PodSecurity", "restricted"]);
    })
    .await;
}

#[tokio::test]
async fn a_pod_has_what_pod_security_asks_for_and_no_token() {
    in_namespace(async |namespace| {
        let action = namespace.apply("plain", Action::script("ls /var/run/secrets; true")).await;
        action.finished().await.assert_succeeded();
        let spec = action.pod().await.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        let volumes = spec.volumes.unwrap();
        assert!(
            volumes
                .iter()
                .all(|volume| { volume.empty_dir.as_ref().is_none_or(|folder| folder.size_limit.is_some()) })
        );
        let security = spec.security_context.unwrap();
        assert_eq!((security.run_as_group, security.fs_group), (Some(0), Some(65_532)));
    })
    .await;
}

#[tokio::test]
async fn an_image_by_digest_needs_no_registry_that_answers_the_operator() {
    in_namespace(async |namespace| {
        // Private, and by digest: the node has no credentials, and says so; the operator does not
        // stand in the way.
        let image =
            format!("{}/test/private-busybox@sha256:{}", setting("LONGSHORE_BASIC_REGISTRY"), "0".repeat(64));
        let action = Action::script("true").image(&image).with("pendingDeadlineSeconds", 30);
        let done = namespace.run(action).await;
        done.assert_failed(Reason::ImagePullFailed, None);
        assert_eq!(done.image().run_as_user, Some(65_532));
    })
    .await;
}
