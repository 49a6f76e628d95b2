//! What reaches a script: its environment, values from Secrets and `ConfigMap`s, an API token.

use longshore::api::{ConditionType, Reason};
use serde_json::json;

use crate::support::{
    action::{Action, from_config_map, from_secret},
    namespace::{examples_image, in_namespace},
    rights::Subject,
};

#[tokio::test]
async fn the_environment_is_as_documented() {
    in_namespace(async |namespace| {
        let script = r#"#!/usr/bin/env bash
            set -eu
            echo "namespace=$LONGSHORE_NAMESPACE action=$LONGSHORE_ACTION run=$LONGSHORE_RUN attempt=$LONGSHORE_ATTEMPT"
            echo "id=$LONGSHORE_RUN_ID"
            echo "plain=$PLAIN empty=[$EMPTY] unset=[$NEITHER]"
            echo "file=$(cat "$FILE")"
            echo "pwd=$(pwd) home=$HOME tmp=$TMPDIR entries=$(find . "$HOME" "$TMPDIR" -mindepth 1 | wc -l)"
            echo "stdin=$(wc -c)"
            touch ./a "$HOME/b" "$TMPDIR/c"
            ls /var/run/secrets/kubernetes.io 2>&1 || true
            "#;
        let action = namespace
            .apply(
                "environment",
                Action::script(script).with(
                    "variables",
                    json!([
                        {"name": "PLAIN", "value": "$(HOME) `id` \"quoted\" ü"},
                        {"name": "EMPTY", "value": ""},
                        {"name": "NEITHER"},
                        {"name": "FILE", "as": "File", "value": "in a file"},
                    ]),
                ),
            )
            .await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&[
            &format!("namespace={} action=environment run=1 attempt=1\n", namespace.name),
            &format!("id={}\n", done.run().id),
            "plain=$(HOME) `id` \"quoted\" ü empty=[] unset=[]\n",
            "file=in a file\n",
            "pwd=/longshore/work/run home=/longshore/home/run tmp=/tmp entries=0\n",
            "stdin=0\n",
            "No such file or directory",
        ]);
    })
    .await;
}

#[tokio::test]
async fn secrets_are_masked_in_log_and_outputs() {
    in_namespace(async |namespace| {
        namespace
            .secret(
                "database",
                json!({"password": "hunter2-hunter2", "kubeconfig": "token: abcdefghijklmnopqrstuvwxyz\n"}),
            )
            .await;
        let script = r#"
            echo "the password is $PASSWORD"
            printf 'in two pieces: hunter2-'; sleep 0.2; echo 'hunter2'
            cat "$KUBECONFIG"
            echo "length=${#PASSWORD}" >> "$LONGSHORE_OUTPUT"
            echo "url=https://user:$PASSWORD@host" >> "$LONGSHORE_OUTPUT"
            exit 3
            "#;
        let mut file = from_secret("KUBECONFIG", "database", "kubeconfig");
        file["as"] = "File".into();
        let done = namespace
            .run(
                Action::script(script)
                    .with("variables", json!([from_secret("PASSWORD", "database", "password"), file]))
                    .outputs(&["length", "url"]),
            )
            .await;
        done.assert_failed(Reason::ScriptFailed, Some(3)).assert_log_complete();
        done.assert_tail_has(&["the password is ***", "in two pieces: ***"]);
        assert_eq!(done.output("url"), "https://user:***@host");
        let everything = serde_json::to_string(&done.0.status).unwrap();
        for secret in ["hunter2", "abcdefghijklmnopqrstuvwxyz"] {
            assert!(!everything.contains(secret), "{secret} is in {everything}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_script_adds_to_be_masked_is_in_no_status() {
    in_namespace(async |namespace| {
        let script = r#"
            token=fetched-$((1000000 + 234567))-token
            echo "$token" >> "$LONGSHORE_MASK"
            echo "the token is $token"; printf %s "$token" | base64
            echo "url=https://user:$token@host" >> "$LONGSHORE_OUTPUT"
            echo 1234 >> "$LONGSHORE_MASK"
            echo "failed with $token" >&2
            exit 3
            "#;
        let done = namespace.run(Action::script(script).outputs(&["url"])).await;
        done.assert_failed(Reason::ScriptFailed, Some(3)).assert_log_complete();
        done.assert_tail_has(&["the token is ***"]).assert_says(&["failed with ***"]);
        assert_eq!(done.output("url"), "https://user:***@host");
        let unmasked = &done.condition(ConditionType::ValuesUnmasked).message;
        assert!(unmasked.contains("1 line of $LONGSHORE_MASK with fewer than 6 bytes"), "{unmasked}");
        let everything = serde_json::to_string(&done.0.status).unwrap();
        for secret in ["1234567", "ZmV0Y2hlZC0x"] {
            assert!(!everything.contains(secret), "{secret} is in {everything}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_s_value_that_ends_in_a_newline_is_named_when_the_script_fails() {
    in_namespace(async |namespace| {
        namespace.secret("database", json!({"password": "hunter2-hunter2\n"})).await;
        let of = |script: &str| {
            Action::script(script).with("variables", json!([from_secret("PASSWORD", "database", "password")]))
        };
        let failed = namespace.apply("failed", of("[ \"$PASSWORD\" = hunter2-hunter2 ]")).await;
        let fine = namespace.apply("fine", of("[ \"$PASSWORD\" != hunter2-hunter2 ]")).await;
        let failed = failed.finished().await;
        let names = "\"PASSWORD\" (key \"password\" of Secret \"database\") ends in a newline";
        failed.assert_failed(Reason::ScriptFailed, Some(1)).assert_says(&["Hint: ", names]);
        assert!(!serde_json::to_string(&failed.0.status).unwrap().contains("hunter2"));
        let fine = fine.finished().await;
        fine.assert_succeeded();
        assert!(!fine.message().contains("Hint"), "{}", fine.message());
    })
    .await;
}

#[tokio::test]
async fn a_secret_too_short_to_be_masked_is_told() {
    in_namespace(async |namespace| {
        namespace.secret("pin", json!({"pin": "4711"})).await;
        let done = namespace
            .run(Action::script("echo hello").with("variables", json!([from_secret("PIN", "pin", "pin")])))
            .await;
        done.assert_succeeded();
        let unmasked = &done.condition(ConditionType::ValuesUnmasked).message;
        assert!(unmasked.contains("PIN") && unmasked.contains("6 bytes"), "{unmasked}");
    })
    .await;
}

#[tokio::test]
async fn config_maps_are_read_and_optional_ones_may_be_missing() {
    in_namespace(async |namespace| {
        namespace.config_map("settings", json!({"replicas": "3", "app.yaml": "a: 1\nb: 2\n"})).await;
        let optional = |variable: &str, kind: &str, name: &str, key: &str| json!({"name": variable, "valueFrom": {kind: {"name": name, "key": key, "optional": true}}});
        let mut file = from_config_map("APP", "settings", "app.yaml");
        file["as"] = "File".into();
        let done = namespace
            .run(
                Action::script("echo \"replicas=$REPLICAS\"; cat \"$APP\"; echo \"${A-unset} ${B-unset} ${C-unset}\"")
                    .with(
                        "variables",
                        json!([
                            from_config_map("REPLICAS", "settings", "replicas"),
                            file,
                            optional("A", "configMapKeyRef", "absent", "key"),
                            optional("B", "configMapKeyRef", "settings", "absent"),
                            optional("C", "secretKeyRef", "absent", "key"),
                        ]),
                    ),
            )
            .await;
        done.assert_succeeded().assert_tail_has(&["replicas=3\na: 1\nb: 2\nunset unset unset\n"]);
    })
    .await;
}

#[tokio::test]
async fn a_service_account_s_token_is_there_only_where_one_is_named() {
    in_namespace(async |namespace| {
        namespace.service_account("deployer").await;
        let rules = [json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get"]})];
        namespace.lets(&Subject::account(&namespace.name, "deployer"), "deployer", &rules).await;
        let with = namespace
            .apply(
                "with",
                Action::script(
                    "set -e; kubectl auth whoami; kubectl create configmap made --from-literal=by=action",
                )
                .with("serviceAccountName", "deployer"),
            )
            .await;
        let without =
            namespace.apply("without", Action::script("ls /var/run/secrets; kubectl auth whoami")).await;
        let user = format!("system:serviceaccount:{}:deployer", namespace.name);
        with.finished().await.assert_succeeded().assert_tail_has(&[&user, "configmap/made created"]);
        let without = without.finished().await;
        without.assert_failed(Reason::ScriptFailed, Some(1));
        assert!(!without.tail().contains("system:serviceaccount"), "{}", without.tail());
        without.assert_says(&["Hint: ", "the action names no service account", "spec.serviceAccountName"]);
    })
    .await;
}

#[tokio::test]
async fn values_that_do_not_fit_a_pod_are_refused_by_name_and_number() {
    in_namespace(async |namespace| {
        let variables: Vec<_> = (0..8)
            .map(|number| json!({"name": format!("BIG_{number}"), "value": "x".repeat(32_000)}))
            .collect();
        let done = namespace.run(Action::script("echo hello").with("variables", variables)).await;
        done.assert_failed(Reason::InvalidSpec, None).assert_says(&["variables", "196608", "ConfigMap"]);
        assert!(namespace.pods().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_variable_that_is_no_text_is_named() {
    in_namespace(async |namespace| {
        namespace
            .put::<k8s_openapi::api::core::v1::Secret>(
                json!({"metadata": {"name": "binary"}, "data": {"key": "AAECAw=="}}),
            )
            .await;
        let done = namespace
            .run(Action::script("echo hello").with("variables", json!([from_secret("KEY", "binary", "key")])))
            .await;
        done.assert_failed(Reason::InputInvalid, None).assert_says(&["KEY", "as: File"]);
    })
    .await;
}

#[tokio::test]
async fn the_largest_inline_script_runs() {
    in_namespace(async |namespace| {
        let line = "# a comment, so that the script is as long as it may be at most\n";
        let mut script = line.repeat(131_072 / line.len() - 1);
        script.push_str("echo the end is reached\n");
        let done = namespace.run(Action::script(&script).image(&examples_image())).await;
        done.assert_succeeded().assert_tail_has(&["the end is reached"]);
    })
    .await;
}
