//! What is refused at apply: each with the field's name and what to write instead.

use serde_json::{Value, json};

use super::request::{Unknown, object, spec, with, would_create};

pub(crate) async fn refused_with(changes: Value, words: &[&str]) {
    says(&object("refused", &with(&changes)), words).await;
}

pub(crate) async fn says(object: &Value, words: &[&str]) {
    let shown = object.to_string().chars().take(400).collect::<String>();
    let Err(message) = would_create(object, Unknown::Refused).await else { panic!("accepted: {shown}") };
    for word in words {
        assert!(message.contains(word), "{word:?} is not in the answer to {shown}:\n{message}");
    }
}

#[tokio::test]
async fn an_image_that_is_missing_or_no_image() {
    refused_with(json!({"image": ""}), &["spec.image"]).await;
    for image in [
        "Tools:1",
        "registry.example.com/Team/tools:1",
        "../evil:1",
        "registry.example.com/../evil:1",
        "registry.example.com/a//b:1",
        "https://registry.example.com/tools:1",
        "registry.example.com/tools:1 ",
        " tools:1",
        "tools:",
        "tools:-1",
        "tools:a b",
        "registry.example.com:port/tools:1",
        "tools:1\nother:1",
        "$(IMAGE):1",
    ] {
        refused_with(json!({"image": image}), &["spec.image", "REGISTRY/REPOSITORY:TAG", "for example"])
            .await;
    }
}

#[tokio::test]
async fn an_image_without_a_version() {
    for image in ["tools", "registry.example.com/team/tools", "localhost:5000/tools"] {
        refused_with(json!({"image": image}), &["spec.image", "no tag and no digest", "tools:2026.11"]).await;
    }
}

#[tokio::test]
async fn a_working_folder_that_is_none() {
    for folder in
        ["", "app", "./app", "image", "//app", "/app//b", "/app/..", "/../etc", "/./a", "$HOME", " /app"]
    {
        let words: &[&str] =
            if folder.is_empty() { &["spec.workingDir"] } else { &["spec.workingDir", "/app", "Image"] };
        refused_with(json!({"workingDir": folder}), words).await;
    }
    for folder in ["/longshore", "/longshore/", "/longshore/state", "/longshore/packages2"] {
        refused_with(json!({"workingDir": folder}), &["spec.workingDir", "Longshore's own"]).await;
    }
    let file =
        |path: &str| json!({"workingDir": "/app", "variables": [{"name": "A", "as": "File", "path": path}]});
    refused_with(file("config/app.yaml"), &["spec.workingDir", "begin with ~/"]).await;
    assert!(would_create(&object("file", &with(&file("~/.netrc"))), Unknown::Refused).await.is_ok());
    refused_with(json!({"log": {"streams": "Both"}}), &["spec.log.streams", "Merged", "Separate"]).await;
}

#[tokio::test]
async fn an_action_without_an_image() {
    refused_with(json!({"image": null}), &["spec", "name the image", "registry.example.com"]).await;
}

#[tokio::test]
async fn a_digest_that_is_none() {
    for digest in ["sha256:abc", "sha256:XYZ", "md5:0123", ""] {
        refused_with(json!({"image": format!("tools:1@{digest}")}), &["spec.image", "@sha256:", "64"]).await;
    }
    let upper = "A".repeat(64);
    let digest = format!("sha256:{}", "a".repeat(64));
    refused_with(
        json!({"image": format!("tools:1@{digest}@{digest}")}),
        &["spec.image", "no image reference"],
    )
    .await;
    refused_with(json!({"image": format!("tools@sha256:{upper}")}), &["spec.image", "lower case"]).await;
}

#[tokio::test]
async fn an_image_s_name_that_is_too_long() {
    refused_with(json!({"image": format!("{}:1", "a".repeat(511))}), &["spec.image", "512"]).await;
}

#[tokio::test]
async fn packages_without_a_version_or_with_a_strange_name() {
    let refused =
        async |package: Value, words: &[&str]| refused_with(json!({"packages": [package]}), words).await;
    let fine = "registry.example.com/charts/orders:1.4.2";
    for name in ["Orders", "-a", "a-", "a.b", "a/b", "..", "a_b"] {
        refused(json!({"name": name, "reference": fine}), &["spec.packages[0].name", "lower-case"]).await;
    }
    refused(json!({"name": "a".repeat(64), "reference": fine}), &["spec.packages[0].name", "63"]).await;
    refused(
        json!({"name": "a", "reference": "r/charts/orders"}),
        &["spec.packages[0].reference", "no tag and no digest"],
    )
    .await;
    refused(
        json!({"name": "a", "reference": "r/../evil:1"}),
        &["spec.packages[0].reference", "REGISTRY/REPOSITORY:TAG"],
    )
    .await;
    let words = ["spec", "a reference and no version", "packages[].reference"];
    refused(json!({"name": "a"}), &words).await;
    refused(json!({"name": "a", "version": "1"}), &words).await;
    refused(json!({"name": "a", "reference": fine, "version": "1"}), &words).await;
    let same = json!([{"name": "a", "reference": fine}, {"name": "a", "reference": fine}]);
    refused_with(json!({"packages": same}), &["spec.packages[1]", "Duplicate"]).await;
    let many: Vec<Value> = (0..17).map(|n| json!({"name": format!("p{n}"), "reference": fine})).collect();
    refused_with(json!({"packages": many}), &["spec.packages", "16"]).await;
}

#[tokio::test]
async fn a_script_that_is_too_long() {
    let words = ["spec.script.inline", "131072", "script.configMapKeyRef"];
    refused_with(json!({"script": {"inline": "x".repeat(131_073)}}), &words).await;
    refused_with(json!({"script": {"inline": "x".repeat(1_048_576)}}), &words).await;
    refused_with(json!({"script": {"inline": "x".repeat(1_100_000)}}), &["spec.script.inline", "Too long"])
        .await;
    refused_with(json!({"script": {"inline": ""}}), &["spec.script.inline"]).await;
    refused_with(json!({"script": {}}), &["spec.script", "exactly one of inline"]).await;
}

#[tokio::test]
async fn both_script_and_command_or_neither() {
    let words = ["spec", "exactly one of script", "command"];
    refused_with(json!({"command": ["true"]}), &words).await;
    refused_with(json!({"script": null}), &words).await;
    refused_with(json!({"script": null, "command": []}), &["spec.command"]).await;
}

async fn variable_refused(variable: Value, words: &[&str]) {
    refused_with(json!({"variables": [variable]}), words).await;
}

#[tokio::test]
async fn variables_that_contradict_themselves() {
    let secret = json!({"secretKeyRef": {"name": "a", "key": "b"}});
    variable_refused(
        json!({"name": "A", "value": "x", "valueFrom": secret}),
        &["spec.variables[0]", "either value or valueFrom, not both"],
    )
    .await;
    let one = ["spec.variables[0].valueFrom", "exactly one of secretKeyRef and configMapKeyRef"];
    variable_refused(json!({"name": "A", "valueFrom": {}}), &one).await;
    let both =
        json!({"secretKeyRef": {"name": "a", "key": "b"}, "configMapKeyRef": {"name": "a", "key": "b"}});
    variable_refused(json!({"name": "A", "valueFrom": both}), &one).await;
    variable_refused(json!({"value": "x"}), &["spec.variables[0].name", "Required value"]).await;
    variable_refused(json!({"name": "A", "as": "Path"}), &["spec.variables[0].as", "\"Env\", \"File\""])
        .await;
    variable_refused(
        json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}),
        &["spec.variables[0].valueFrom.secretKeyRef.key", "Required value"],
    )
    .await;
}

#[tokio::test]
async fn a_field_reference() {
    let variable = json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    variable_refused(variable.clone(), &["fieldRef"]).await;
    // Where unknown fields are dropped, nothing is left in valueFrom, and the words are ours.
    let object = object("refused", &with(&json!({"variables": [variable]})));
    let message = would_create(&object, Unknown::Dropped).await.unwrap_err();
    assert!(message.contains("fieldRef") && message.contains("LONGSHORE_NAMESPACE"), "{message}");
}

#[tokio::test]
async fn modes_and_paths_that_no_file_may_have() {
    let file = |mode: i64| json!({"name": "A", "as": "File", "value": "x", "mode": mode});
    // Those of 64 and more: in decimal, as people write them by mistake.
    for mode in [
        0, 0o200, 0o077, 0o4755, 0o2755, 0o1755, 0o620, 0o660, 0o666, 0o602, 0o777, 400, 440, 444, 500, 600,
        640, 644, 700, 755, 777,
    ] {
        variable_refused(file(mode), &["spec.variables[0].mode", "0600"]).await;
    }
    for mode in [-1, 0o100_644] {
        variable_refused(file(mode), &["spec.variables[0].mode"]).await;
    }
    let at = |path: &str| json!({"name": "A", "as": "File", "value": "x", "path": path});
    for path in
        ["/etc/a", "~", "~/", "~root/a", "a/", "a//b", "a b", "a\nb", "a\u{0}b", "ü", "$HOME/a", "a/~/b", "*"]
    {
        variable_refused(at(path), &["spec.variables[0].path", "~/.ssh/id_ed25519"]).await;
    }
    for path in ["..", "../a", "~/../a", "a/..", "a/../b", "./a", "a/.", "~/."] {
        variable_refused(at(path), &["spec.variables[0].path", "no '..'"]).await;
    }
    variable_refused(at(""), &["spec.variables[0].path"]).await;
    variable_refused(at(&"a".repeat(201)), &["spec.variables[0].path", "200"]).await;
    for (field, value) in [("mode", json!(0o600)), ("path", json!("a"))] {
        for form in [json!(null), json!("Env")] {
            let variable = json!({"name": "A", "value": "x", "as": form, field: value});
            variable_refused(variable, &["spec.variables[0]", &format!("{field} is of a file")]).await;
        }
    }
    for (one, other) in [("a", "a"), ("a", "a/b"), ("~/a/b", "~/a")] {
        let mut both = [at(one), at(other)];
        both[1]["name"] = "B".into();
        refused_with(json!({"variables": both}), &["spec.variables", "a path of its own"]).await;
    }
}

#[tokio::test]
async fn names_of_variables_outputs_keys_and_objects() {
    variable_refused(json!({"name": "LONGSHORE_RUN"}), &["spec.variables[0]", "choose another name"]).await;
    for name in ["1A", "A B", "A=B", "ä", "$A"] {
        variable_refused(json!({"name": name}), &["spec.variables[0]", "a variable's name consists of"])
            .await;
    }
    variable_refused(json!({"name": ""}), &["spec.variables[0].name"]).await;
    for name in ["1a", "a b", "-a", "ä"] {
        refused_with(
            json!({"outputs": [{"name": name}]}),
            &["spec.outputs[0].name", "an output's name consists of"],
        )
        .await;
    }
    for (kind, name, key, field, words) in [
        ("secretKeyRef", "a", "a/b", "key", "a key of a Secret or ConfigMap consists of"),
        ("configMapKeyRef", "a", "../b", "key", "a key of a Secret or ConfigMap consists of"),
        ("configMapKeyRef", "a", "..", "key", "a key of a Secret or ConfigMap consists of"),
        ("secretKeyRef", "A_b", "key", "name", "an object's name consists of"),
        ("configMapKeyRef", "a/b", "key", "name", "an object's name consists of"),
    ] {
        let field = format!("spec.variables[0].valueFrom.{kind}.{field}");
        variable_refused(
            json!({"name": "A", "valueFrom": {kind: {"name": name, "key": key}}}),
            &[&field, words],
        )
        .await;
    }
    refused_with(json!({"serviceAccountName": "Deployer"}), &["spec.serviceAccountName", "lower-case"]).await;
}

#[tokio::test]
async fn names_that_reach_into_another_namespace() {
    for name in
        ["other/deployer", "../other/deployer", "other:deployer", "system:serviceaccount:other:deployer"]
    {
        refused_with(json!({"serviceAccountName": name}), &["spec.serviceAccountName"]).await;
        refused_with(json!({"imagePullSecrets": [{"name": name}]}), &["spec.imagePullSecrets[0].name"]).await;
        for kind in ["secretKeyRef", "configMapKeyRef"] {
            let from = json!({kind: {"name": name, "key": "a"}});
            variable_refused(json!({"name": "A", "valueFrom": from}), &["spec.variables[0].valueFrom"]).await;
        }
        refused_with(json!({"variablesFrom": [{"secretRef": {"name": name}}]}), &["spec.variablesFrom[0]"])
            .await;
    }
    let elsewhere = json!({"name": "a", "namespace": "other"});
    refused_with(
        json!({"imagePullSecrets": [elsewhere]}),
        &["unknown field", "imagePullSecrets[0].namespace"],
    )
    .await;
}

#[tokio::test]
async fn what_is_given_twice() {
    refused_with(
        json!({"variables": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
        &["spec.variables[1]", "Duplicate value", "\"A\""],
    )
    .await;
    refused_with(
        json!({"outputs": [{"name": "a"}, {"name": "a"}]}),
        &["spec.outputs[1]", "Duplicate value", "\"a\""],
    )
    .await;
}

#[tokio::test]
async fn a_token_that_would_have_no_effect() {
    refused_with(
        json!({"runPolicy": "Once", "runToken": "1"}),
        &["spec", "runToken has no effect under runPolicy Once", "OnChange or Manual"],
    )
    .await;
    refused_with(json!({"runToken": ""}), &["spec.runToken"]).await;
    refused_with(
        json!({"runPolicy": "Sometimes"}),
        &["spec.runPolicy", "\"OnChange\", \"Once\", \"Manual\""],
    )
    .await;
}

#[tokio::test]
async fn numbers_out_of_their_range() {
    for (field, low, high, least, most) in [
        ("runDeadlineSeconds", 0, 604_801, "1", "604800"),
        ("pendingDeadlineSeconds", 0, 86_401, "1", "86400"),
        ("terminationGracePeriodSeconds", -1, 3_601, "0", "3600"),
        ("podRetentionSeconds", -1, 31_536_001, "0", "31536000"),
    ] {
        let name = format!("spec.{field}");
        refused_with(json!({field: low}), &[&name, "greater than or equal to", least]).await;
        refused_with(json!({field: high}), &[&name, "less than or equal to", most]).await;
        refused_with(json!({field: "10m"}), &[&name, "integer"]).await;
    }
}

#[tokio::test]
async fn more_items_than_fit() {
    let many =
        |count: usize| (0..count).map(|number| json!({"name": format!("A{number}")})).collect::<Vec<_>>();
    let texts = |count: usize| vec!["a"; count];
    refused_with(json!({"variables": many(129)}), &["spec.variables", "128"]).await;
    refused_with(json!({"outputs": many(65)}), &["spec.outputs", "64"]).await;
    refused_with(json!({"args": texts(257)}), &["spec.args", "256"]).await;
    refused_with(json!({"script": null, "command": texts(257)}), &["spec.command", "256"]).await;
    refused_with(
        json!({"script": {"inline": "a", "interpreter": texts(17)}}),
        &["spec.script.interpreter", "16"],
    )
    .await;
    refused_with(json!({"args": ["a".repeat(8193)]}), &["spec.args[0]", "8192"]).await;
    variable_refused(
        json!({"name": "A", "value": "a".repeat(32_769)}),
        &["spec.variables[0].value", "32768"],
    )
    .await;
}

#[tokio::test]
async fn labels_and_annotations_of_longshore_s_own() {
    for kind in ["labels", "annotations"] {
        for key in ["longshore.dev/run", "app.kubernetes.io/managed-by"] {
            refused_with(
                json!({"podTemplate": {"metadata": {kind: {key: "x"}}}}),
                &[&format!("spec.podTemplate.metadata.{kind}"), "choose another prefix"],
            )
            .await;
        }
    }
    refused_with(
        json!({"podTemplate": {"metadata": {"labels": {"a": "not a label's value"}}}}),
        &["spec.podTemplate.metadata.labels", "a label's value has"],
    )
    .await;
    refused_with(
        json!({"podTemplate": {"nodeSelector": {"kubernetes.io/os": "windows"}}}),
        &["spec.podTemplate.nodeSelector", "Linux"],
    )
    .await;
}

#[tokio::test]
async fn quantities_that_are_none() {
    for quantity in [
        json!(-1),
        json!(9_007_199_254_740_992_i64),
        json!("lots"),
        json!("1 Gi"),
        json!("-1"),
        json!(""),
        json!("1.5.5"),
        json!("64MB"),
        json!("1e100"),
        json!("1e99999999999999999999"),
    ] {
        refused_with(
            json!({"resources": {"limits": {"memory": quantity}}}),
            &["spec.resources.limits.memory"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_retry_that_contradicts_itself() {
    for (retry, words) in [
        (json!({}), &["spec.retry.limit", "Required value"][..]),
        (json!({"limit": 11}), &["spec.retry.limit", "10"]),
        (json!({"limit": -1}), &["spec.retry.limit"]),
        (json!({"limit": 1, "causes": ["Always"]}), &["spec.retry.causes[0]", "NeverStarted"]),
        (json!({"limit": 1, "exitCodes": [1]}), &["spec.retry", "ScriptFailed: add it to causes"]),
        (json!({"limit": 1, "causes": ["ScriptFailed"], "exitCodes": [0]}), &["spec.retry.exitCodes[0]"]),
        (json!({"limit": 1, "causes": ["ScriptFailed"], "exitCodes": [256]}), &["spec.retry.exitCodes[0]"]),
        (json!({"limit": 1, "backoffSeconds": 0}), &["spec.retry.backoffSeconds"]),
        (json!({"limit": 1, "backoffSeconds": 9, "maxBackoffSeconds": 8}), &["spec.retry", "longest pause"]),
    ] {
        refused_with(json!({"retry": retry}), words).await;
    }
}

#[tokio::test]
async fn a_name_that_does_not_fit_a_label() {
    says(&object(&"a".repeat(64), &spec()), &["metadata.name", "63"]).await;
}

#[tokio::test]
async fn fields_that_nobody_knows() {
    for (changes, field) in [
        (json!({"podTemplate": {"hostNetwork": true}}), "spec.podTemplate.hostNetwork"),
        (json!({"script": {"inline": "a", "secretKeyRef": {}}}), "spec.script.secretKeyRef"),
        (json!({"outputs": [{"name": "a", "secret": true}]}), "spec.outputs[0].secret"),
        (json!({"rundeadlineSeconds": 5}), "spec.rundeadlineSeconds"),
    ] {
        refused_with(changes, &["unknown field", field]).await;
    }
}

#[tokio::test]
async fn an_output_that_is_neither_sensitive_nor_not() {
    for value in [json!("yes"), json!("true"), json!(1)] {
        let outputs = json!([{"name": "a", "sensitive": value}]);
        refused_with(json!({"outputs": outputs}), &["spec.outputs[0].sensitive", "boolean"]).await;
    }
}

#[tokio::test]
async fn a_lock_that_has_no_name_or_says_two_things() {
    for name in ["", "Orders", "-a", "a-", "a/b", "..", "a_b", "../a"] {
        refused_with(json!({"lock": {"name": name}}), &["spec.lock.name"]).await;
    }
    refused_with(json!({"lock": {"name": "a".repeat(64)}}), &["spec.lock.name", "63"]).await;
    refused_with(json!({"lock": {}}), &["spec.lock.name"]).await;
    refused_with(
        json!({"lock": {"name": "a", "whenHeld": "Wait"}}),
        &["spec.lock.whenHeld", "Queue", "Fail"],
    )
    .await;
    refused_with(
        json!({"lock": {"name": "a", "whenHeld": "Fail", "queueDeadlineSeconds": 5}}),
        &["spec.lock", "queueDeadlineSeconds has no effect"],
    )
    .await;
    for seconds in [0, -1, 2_592_001] {
        let lock = json!({"name": "a", "queueDeadlineSeconds": seconds});
        refused_with(json!({"lock": lock}), &["spec.lock.queueDeadlineSeconds"]).await;
    }
}

#[tokio::test]
async fn an_action_with_a_fixed_name_that_would_be_removed_by_itself() {
    let words = ["ttlSecondsAfterFinished", "metadata.generateName", "GitOps", "podRetentionSeconds"];
    refused_with(json!({"ttlSecondsAfterFinished": 60}), &words).await;
    let mut object = object("x", &with(&json!({"ttlSecondsAfterFinished": 0})));
    object["metadata"]["generateName"] = json!("");
    says(&object, &words).await;
    for seconds in [-1, 31_536_001] {
        let mut object = super::request::object("x", &with(&json!({"ttlSecondsAfterFinished": seconds})));
        object["metadata"] = json!({"generateName": "x-"});
        says(&object, &["spec.ttlSecondsAfterFinished"]).await;
    }
}

/// The values that YAML makes of `true`, `1.10`, `off` and `n` without quotes.
fn no_texts() -> [Value; 3] {
    [json!(true), json!(1.1), json!(false)]
}

#[tokio::test]
async fn a_text_without_quotes() {
    for value in no_texts() {
        for (changes, field) in [
            (json!({"variables": [{"name": "A", "value": value}]}), "spec.variables[0].value"),
            (json!({"args": ["a", value]}), "spec.args[1]"),
            (json!({"outputs": [{"name": value}]}), "spec.outputs[0].name"),
            (json!({"runToken": value}), "spec.runToken"),
            (json!({"podTemplate": {"metadata": {"labels": {"a": value}}}}), "labels"),
            (json!({"resources": {"limits": {"cpu": value}}}), "spec.resources.limits.cpu"),
        ] {
            refused_with(changes, &[field, longshore::api::texts::IN_QUOTES]).await;
        }
    }
    // A whole number is no text either, but for those fields that take one.
    refused_with(
        json!({"variables": [{"name": "PORT", "value": 8080}]}),
        &["spec.variables[0].value", "write it in quotes"],
    )
    .await;
}

#[tokio::test]
async fn what_is_a_text_or_a_number_is_not_asked_for_quotes() {
    for value in [json!("true"), json!("1.10"), json!(""), json!("on")] {
        let changes = json!({"args": [value], "variables": [{"name": "A", "value": value}]});
        would_create(&object("quoted", &with(&changes)), Unknown::Refused).await.unwrap();
    }
    let changes = json!({"resources": {"limits": {"cpu": 1, "memory": "64Mi"}}});
    would_create(&object("quoted", &with(&changes)), Unknown::Refused).await.unwrap();
    // Other refusals do not speak of quotes.
    let long = object("long", &with(&json!({"variables": [{"name": "A", "value": "x".repeat(32_769)}]})));
    let message = would_create(&long, Unknown::Refused).await.unwrap_err();
    assert!(!message.contains("quotes"), "{message}");
    let number = object("number", &with(&json!({"resources": {"limits": {"cpu": -1}}})));
    let message = would_create(&number, Unknown::Refused).await.unwrap_err();
    assert!(!message.contains("quotes"), "{message}");
}
