//! Templates, and actions that are made of them: what is refused at apply and what is not.

use serde_json::{Value, json};

use super::request::{Unknown, object, would_create, would_create_at};

fn template(changes: &Value) -> Value {
    let mut spec = json!({"image": "registry.example.com/tools:1", "script": {"inline": "echo"}});
    for (field, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => spec.as_object_mut().unwrap().remove(field).map_or((), drop),
            value => spec[field] = value.clone(),
        }
    }
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentActionTemplate",
        "metadata": {"name": "template"},
        "spec": spec,
    })
}

/// The API server's answer to a template of either kind.
async fn answers(changes: &Value, unknown: Unknown) -> [Result<Value, String>; 2] {
    let of_namespace = template(changes);
    let mut of_cluster = of_namespace.clone();
    of_cluster["kind"] = "ClusterDeploymentActionTemplate".into();
    [
        would_create_at("namespaces/default/deploymentactiontemplates", &of_namespace, unknown).await,
        would_create_at("clusterdeploymentactiontemplates", &of_cluster, unknown).await,
    ]
}

async fn refused_template(changes: Value, words: &[&str]) {
    for answer in answers(&changes, Unknown::Refused).await {
        let Err(message) = answer else { panic!("accepted: {changes}") };
        for word in words {
            assert!(message.contains(word), "{word:?} is not in the answer to {changes}:\n{message}");
        }
    }
}

async fn accepted_template(changes: Value) {
    for answer in answers(&changes, Unknown::Refused).await {
        assert!(answer.is_ok(), "{changes}: {}", answer.unwrap_err());
    }
}

fn action(changes: &Value) -> Value {
    let mut spec = json!({"templateRef": {"name": "template"}});
    for (field, value) in changes.as_object().unwrap() {
        spec[field] = value.clone();
    }
    object("templated", &spec)
}

async fn accepted_action(changes: Value) {
    let answer = would_create(&action(&changes), Unknown::Refused).await;
    assert!(answer.is_ok(), "{changes}: {}", answer.unwrap_err());
}

async fn refused_action(changes: Value, words: &[&str]) {
    super::refused::says(&action(&changes), words).await;
}

#[tokio::test]
async fn patterns_that_are_long_together() {
    let patterns = |many: usize| {
        let one = |at| json!({"name": format!("P{at}"), "pattern": "a".repeat(1024)});
        let mut all: Vec<Value> = (0..many).map(one).collect();
        all.push(json!({"name": "PLAIN", "pattern": null}));
        json!({"parameters": all})
    };
    accepted_template(patterns(4)).await;
    refused_template(patterns(5), &["have more than 4096 characters together"]).await;
}

#[tokio::test]
async fn a_template_with_all_that_it_may_have() {
    accepted_template(json!({
        "imagePullSecrets": [{"name": "registry"}],
        "args": ["x"],
        "variables": [{"name": "A", "value": "1"}],
        "variablesFrom": [{"secretRef": {"name": "db"}}],
        "outputs": [{"name": "url", "required": true}],
        "serviceAccountName": "deployer",
        "runDeadlineSeconds": 1,
        "pendingDeadlineSeconds": 1,
        "terminationGracePeriodSeconds": 0,
        "workingDir": "Image",
        "log": {"streams": "Separate"},
        "resources": {"limits": {"cpu": 1}},
        "podTemplate": {"nodeSelector": {"a": "b"}},
        "parameters": [
            {"name": "HOST", "description": "where", "required": true, "pattern": "^[a-z.]+$", "maxLength": 253},
            {"name": "STAGE", "enum": ["test", "prod"], "default": "test"},
            {"name": "REPLICAS", "type": "Integer", "minimum": 1, "maximum": 9, "default": 2, "enum": [1, 2, "3"]},
            {"name": "TEXT_NUMBER", "type": "Integer", "minimum": -1, "default": "0"},
            {"name": "FORCE", "type": "Boolean", "default": "false"},
            {"name": "PASSWORD", "type": "Secret", "required": true},
            {"name": "NULLS", "type": null, "default": null, "pattern": null, "minimum": null, "maxLength": null, "required": null},
        ],
        "packages": [
            {"name": "orders", "repository": "registry.example.com/charts/orders", "versions": ">=1.4 <2"},
            {"name": "any", "repository": "10.77.0.2:5000/any"},
        ],
    }))
    .await;
    accepted_template(json!({"script": null, "command": ["/migrate"]})).await;
}

#[tokio::test]
async fn the_largest_template_is_within_the_budget() {
    let names = |letter: char, count: usize| {
        (0..count).map(move |place| format!("{letter}{}{place}", "x".repeat(55)))
    };
    let parameters: Vec<Value> = names('P', 64)
        .map(|name| json!({"name": name, "enum": vec!["v".repeat(100); 1], "default": "v".repeat(100), "description": "d".repeat(1000)}))
        .collect();
    let variables: Vec<Value> = names('V', 128).map(|name| json!({"name": name, "value": "x"})).collect();
    accepted_template(json!({"parameters": parameters, "variables": variables})).await;
}

#[tokio::test]
async fn a_template_without_what_it_needs() {
    refused_template(json!({"image": null}), &["spec.image", "Required value"]).await;
    refused_template(json!({"image": "tools"}), &["spec.image", "no tag and no digest"]).await;
    refused_template(json!({"script": null}), &["exactly one of script"]).await;
    refused_template(json!({"command": ["x"]}), &["exactly one of script"]).await;
}

#[tokio::test]
async fn a_template_that_names_a_template() {
    // Refused whoever asks: a client that does not ask for unknown fields would have it dropped.
    for name in ["template", "other"] {
        let reference = json!({"templateRef": {"name": name, "kind": "DeploymentActionTemplate"}});
        for unknown in [Unknown::Refused, Unknown::Dropped] {
            for answer in answers(&reference, unknown).await {
                let message = answer.expect_err("refused");
                assert!(
                    message.contains("a template is made of no other, nor of itself: write here"),
                    "{message}"
                );
            }
        }
    }
    // As charts render what is not set: nothing is kept of it.
    let mut bare = template(&json!({}));
    bare["spec"]["templateRef"] = Value::Null;
    let kept = would_create_at("namespaces/default/deploymentactiontemplates", &bare, Unknown::Refused).await;
    assert!(kept.unwrap()["spec"].get("templateRef").is_none());
}

#[tokio::test]
async fn a_parameter_that_contradicts_itself() {
    for (parameter, words) in [
        (json!({"name": "a-b"}), "a parameter's name is a variable's"),
        (json!({"name": "1A"}), "a parameter's name is a variable's"),
        (json!({"name": "LONGSHORE_X"}), "choose another name"),
        (json!({"name": "A", "type": "Float"}), "Unsupported value"),
        (json!({"name": "A", "type": "Secret", "default": "x"}), "type Secret has no default"),
        (
            json!({"name": "A", "type": "Secret", "enum": ["x"]}),
            "enum is for parameters of type String and Integer",
        ),
        (json!({"name": "A", "type": "Boolean", "enum": ["true"]}), "enum is for"),
        (json!({"name": "A", "minimum": 1}), "minimum and maximum are for parameters of type Integer"),
        (
            json!({"name": "A", "type": "Integer", "pattern": "x"}),
            "pattern and maxLength are for parameters of type String",
        ),
        (json!({"name": "A", "type": "Secret", "maxLength": 3}), "pattern and maxLength are for"),
        (
            json!({"name": "A", "type": "Integer", "minimum": 2, "maximum": 1}),
            "minimum is larger than maximum",
        ),
        (json!({"name": "A", "required": true, "default": "x"}), "leave out either required or default"),
        (json!({"name": "A", "type": "Boolean", "default": "yes"}), "\"true\" or \"false\""),
        (json!({"name": "A", "type": "Boolean", "default": true}), "default"),
        (json!({"name": "A", "type": "Integer", "default": "x"}), "is a whole number"),
        (json!({"name": "A", "type": "Integer", "default": 0, "minimum": 1}), "smaller than the minimum"),
        (json!({"name": "A", "type": "Integer", "default": "9", "maximum": 8}), "larger than the maximum"),
        (json!({"name": "A", "default": "abc", "maxLength": 2}), "longer than maxLength"),
        (json!({"name": "A", "default": "c", "enum": ["a", "b"]}), "none of the values of enum"),
    ] {
        refused_template(json!({"parameters": [parameter]}), &["spec.parameters[0]", words]).await;
    }
    let twice = json!({"parameters": [{"name": "A"}, {"name": "A"}]});
    refused_template(twice, &["spec.parameters[1]", "Duplicate value"]).await;
    let both = json!({"parameters": [{"name": "A"}], "variables": [{"name": "A"}]});
    refused_template(both, &["rename one"]).await;
}

#[tokio::test]
async fn a_package_that_is_none() {
    for (package, words) in [
        (json!({"name": "A", "repository": "r/p"}), "a package's name"),
        (json!({"name": "..", "repository": "r/p"}), "a package's name"),
        (json!({"name": "p", "repository": "r/p:1"}), "without tag and digest"),
        (json!({"name": "p", "repository": "registry.example.com/../evil"}), "repository"),
        (json!({"name": "p"}), "Required value"),
    ] {
        refused_template(json!({"packages": [package]}), &["spec.packages[0]", words]).await;
    }
}

#[tokio::test]
async fn an_action_of_a_template() {
    accepted_action(json!({})).await;
    accepted_action(json!({"templateRef": {"kind": "ClusterDeploymentActionTemplate", "name": "a.b"}})).await;
    accepted_action(json!({
        "parameters": [
            {"name": "HOST", "value": "x"}, {"name": "REPLICAS", "value": 3},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
        "packages": [{"name": "orders", "version": "1.4.2"}],
        "runPolicy": "Manual", "runToken": "x", "podRetentionSeconds": 60,
    }))
    .await;
    // As charts render what is not set.
    accepted_action(json!({"image": null, "script": null, "runDeadlineSeconds": null})).await;
}

#[tokio::test]
async fn an_action_says_nothing_that_its_template_says() {
    for (field, value) in [
        ("image", json!("registry.example.com/mine:1")),
        ("imagePullSecrets", json!([{"name": "a"}])),
        ("script", json!({"inline": "echo"})),
        ("command", json!(["x"])),
        ("args", json!(["x"])),
        ("variables", json!([{"name": "A"}])),
        ("variablesFrom", json!([{"secretRef": {"name": "a"}}])),
        ("outputs", json!([{"name": "a"}])),
        ("serviceAccountName", json!("admin")),
        ("runDeadlineSeconds", json!(1)),
        ("pendingDeadlineSeconds", json!(1)),
        ("terminationGracePeriodSeconds", json!(1)),
        ("workingDir", json!("Image")),
        ("log", json!({"streams": "Separate"})),
        ("resources", json!({"limits": {"cpu": 1}})),
        ("podTemplate", json!({"nodeSelector": {"a": "b"}})),
    ] {
        let words = format!("{field} is what the template in templateRef says");
        refused_action(json!({field: value}), &[&words, "leave it out"]).await;
    }
}

#[tokio::test]
async fn parameters_and_packages_that_do_not_go_with_the_action() {
    let inline = |changes: Value| {
        let mut spec = super::request::spec();
        for (field, value) in changes.as_object().unwrap() {
            spec[field] = value.clone();
        }
        object("inline", &spec)
    };
    let parameters = inline(json!({"parameters": [{"name": "A", "value": "x"}]}));
    super::refused::says(&parameters, &["parameters are those of a template"]).await;
    let version = inline(json!({"packages": [{"name": "p", "version": "1"}]}));
    super::refused::says(&version, &["write packages[].reference"]).await;
    refused_action(
        json!({"packages": [{"name": "p", "reference": "r/p:1"}]}),
        &["has a version and no reference"],
    )
    .await;
    refused_action(json!({"parameters": [{"name": "A"}]}), &["exactly one of value and valueFrom"]).await;
    let both =
        json!({"name": "A", "value": "x", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}});
    refused_action(json!({"parameters": [both]}), &["exactly one of value and valueFrom"]).await;
    refused_action(json!({"templateRef": {"kind": "Template", "name": "a"}}), &["Unsupported value"]).await;
    refused_action(json!({"templateRef": {}}), &["spec.templateRef.name", "Required value"]).await;
}

#[tokio::test]
async fn parameters_without_quotes_are_asked_for_them() {
    let words = |field: &'static str| [field, longshore::api::texts::IN_QUOTES];
    for value in [json!(true), json!(1.1)] {
        let changes = json!({"parameters": [{"name": "A", "value": value}]});
        let Err(message) = would_create(&action(&changes), Unknown::Refused).await else { panic!("{value}") };
        assert!(words("spec.parameters[0].value").iter().all(|word| message.contains(word)), "{message}");
        let default = json!({"parameters": [{"name": "A", "default": value}]});
        refused_template(default, &words("spec.parameters[0].default")).await;
        let allowed = json!({"parameters": [{"name": "A", "enum": [value]}]});
        refused_template(allowed, &words("spec.parameters[0].enum[0]")).await;
        let package = json!({"name": "a", "repository": "r.example.com/charts/a", "versions": value});
        refused_template(json!({"packages": [package]}), &words("spec.packages[0].versions")).await;
    }
    accepted_action(json!({"parameters": [{"name": "A", "value": 3}, {"name": "B", "value": "true"}]})).await;
    accepted_template(json!({"parameters": [{"name": "A", "type": "Integer", "default": 3}]})).await;
}
