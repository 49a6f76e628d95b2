use serde_json::{Value, json};

use super::*;
use crate::{api::action::LogStreams, operator::testing::objects::action, record::bundle::WorkingDir};

fn template(spec: &Value) -> Template {
    let mut whole = json!({"image": "registry.example.com/tools:1", "script": {"inline": "echo"}});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    Template {
        kind: TemplateKind::DeploymentActionTemplate,
        name: "deploy".into(),
        uid: "t-1".into(),
        generation: 3,
        spec: serde_json::from_value(whole).unwrap(),
    }
}

fn of(spec: &Value) -> DeploymentAction {
    let mut whole = json!({"templateRef": {"name": "deploy"}, "podRetentionSeconds": 60});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    DeploymentAction { spec: serde_json::from_value(whole).unwrap(), ..action() }
}

fn checked(template_spec: &Value, action_spec: &Value) -> Result<Checked, (Reason, String)> {
    let found = Lookup::Found(template(template_spec));
    check(&of(action_spec), Some(&found), "amd64").map_err(|blocked| {
        let (reason, message) = blocked.words();
        (reason, message.to_owned())
    })
}

#[test]
fn the_template_says_what_is_executed_and_the_parameters_become_variables() {
    let template = json!({
        "args": ["x"], "serviceAccountName": "deployer", "runDeadlineSeconds": 60,
        "workingDir": "Image", "log": {"streams": "Separate"},
        "variables": [{"name": "OWN", "value": "1"}],
        "parameters": [
            {"name": "HOST"}, {"name": "REPLICAS", "type": "Integer", "default": 2},
            {"name": "FORCE", "type": "Boolean"}, {"name": "PASSWORD", "type": "Secret", "required": true},
            {"name": "NOTE"},
        ],
    });
    let key = json!({"secretKeyRef": {"name": "db", "key": "password"}});
    let values = json!([
        {"name": "HOST", "value": "orders.example.com"}, {"name": "FORCE", "value": "true"},
        {"name": "PASSWORD", "valueFrom": key}, {"name": "REPLICAS", "value": "+07"},
    ]);
    let checked = checked(&template, &json!({"parameters": values, "runToken": "r-1"})).unwrap();
    let variables: Vec<_> = checked
        .spec
        .variables
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_deref()))
        .collect();
    assert_eq!(
        variables,
        [
            ("OWN", Some("1")),
            ("HOST", Some("orders.example.com")),
            ("REPLICAS", Some("7")),
            ("FORCE", Some("true")),
            ("PASSWORD", None),
            ("NOTE", None)
        ]
    );
    let secret = checked.spec.variables[4].value_from.as_ref().unwrap().secret_key_ref.as_ref().unwrap();
    assert_eq!((secret.name.as_str(), secret.key.as_str()), ("db", "password"));
    assert_eq!(
        (checked.requested.as_str(), checked.deadlines.run_seconds),
        ("registry.example.com/tools:1", 60)
    );
    assert_eq!(
        (checked.spec.args.len(), checked.spec.service_account_name.as_deref()),
        (1, Some("deployer"))
    );
    assert_eq!(checked.working_dir(), Some(WorkingDir::Image));
    assert_eq!(checked.spec.log.as_ref().unwrap().streams(), LogStreams::Separate);
    let frozen = checked.template.as_ref().unwrap();
    assert_eq!((frozen.uid.as_str(), frozen.generation, frozen.sha256.len()), ("t-1", 3, 64));
    assert_eq!((checked.spec.run_token.as_deref(), checked.spec.pod_retention_seconds), (Some("r-1"), 60));
    let named = checked.named().unwrap();
    assert!(named.contains("DeploymentActionTemplate deploy") && named.contains("Secret db"), "{named}");
}

#[test]
fn the_hash_is_of_what_the_action_says_and_not_of_the_template() {
    let hash = |template: &Value, action: &Value| checked(template, action).unwrap().hash;
    let one = json!({"parameters": [{"name": "A", "type": "Integer"}]});
    let other = json!({"parameters": [{"name": "A", "type": "Integer"}], "args": ["x"]});
    let value = |value: Value| json!({"parameters": [{"name": "A", "value": value}]});
    assert_eq!(hash(&one, &value(json!(1))), hash(&other, &value(json!("1"))));
    assert_ne!(hash(&one, &value(json!(1))), hash(&one, &value(json!(2))));
    let kind = json!({"templateRef": {"kind": "DeploymentActionTemplate", "name": "deploy"}});
    assert_eq!(hash(&one, &kind), hash(&one, &json!({})));
}

#[test]
fn every_wrong_parameter_is_named_in_one_message() {
    let template = json!({"parameters": [
        {"name": "HOST", "required": true},
        {"name": "REPLICAS", "type": "Integer", "minimum": 1, "maximum": 9},
        {"name": "FORCE", "type": "Boolean"},
        {"name": "STAGE", "enum": ["test", "prod"]},
        {"name": "TAG", "pattern": "^v[0-9]+$", "maxLength": 5},
        {"name": "PASSWORD", "type": "Secret"},
    ]});
    let values = json!({"parameters": [
        {"name": "HOTS", "value": "x"}, {"name": "REPLICAS", "value": 10}, {"name": "FORCE", "value": "yes"},
        {"name": "STAGE", "value": "dev"}, {"name": "TAG", "value": "1"}, {"name": "PASSWORD", "value": "hunter2"},
    ]});
    let (reason, message) = checked(&template, &values).unwrap_err();
    assert_eq!(reason, Reason::ParametersInvalid);
    assert_eq!(
        message,
        "parameter HOTS is unknown: did you mean HOST?; \
         parameter HOST is required, and no value is given: give one in spec.parameters; \
         parameter REPLICAS is 10, and must be at most 9; \
         parameter FORCE is \"yes\", and must be \"true\" or \"false\"; \
         parameter STAGE is \"dev\", and must be one of test, prod; \
         parameter TAG is \"1\", and must match ^v[0-9]+$; \
         parameter PASSWORD is written out, and its type is Secret: name a key in valueFrom.secretKeyRef"
    );
}

#[test]
fn a_value_that_does_not_fit_is_told() {
    let secret = json!({"secretKeyRef": {"name": "db", "key": "k"}});
    let settings = json!({"configMapKeyRef": {"name": "settings", "key": "k"}});
    let may_miss = json!({"secretKeyRef": {"name": "db", "key": "k", "optional": true}});
    for (parameter, given, words) in [
        (json!({"type": "Integer"}), json!({"value": "2.5"}), "no whole number"),
        (json!({"type": "Integer"}), json!({"value": "9".repeat(30)}), "no whole number"),
        (json!({"type": "Integer", "minimum": -1}), json!({"value": "-2"}), "at least -1"),
        (json!({"type": "Integer", "enum": [1, "2"]}), json!({"value": 3}), "one of 1, 2"),
        (json!({"maxLength": 2}), json!({"value": "äöü"}), "has 3 characters"),
        (json!({}), json!({"valueFrom": secret}), "only parameters of type Secret"),
        (json!({"type": "Secret"}), json!({"valueFrom": settings}), "valueFrom.secretKeyRef"),
        (json!({"type": "Secret", "required": true}), json!({"valueFrom": may_miss}), "optional: true"),
        (json!({"pattern": "^a"}), json!({"valueFrom": settings}), "give a value"),
        (json!({"type": "Boolean"}), json!({"valueFrom": settings}), "give a value"),
    ] {
        let named = |mut value: Value| {
            value["name"] = "A".into();
            json!({"parameters": [value]})
        };
        let (reason, message) = checked(&named(parameter), &named(given)).unwrap_err();
        assert_eq!(reason, Reason::ParametersInvalid);
        assert!(message.contains("parameter A ") && message.contains(words), "{message}");
    }
}

#[test]
fn a_plain_secret_is_in_no_message() {
    let template = json!({"parameters": [{"name": "A", "type": "Secret"}]});
    let (_, message) =
        checked(&template, &json!({"parameters": [{"name": "A", "value": "hunter2"}]})).unwrap_err();
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_template_that_contradicts_itself_is_at_fault_whatever_the_action_says() {
    for (spec, words) in [
        (
            json!({"parameters": [{"name": "A", "pattern": "^v", "default": "x"}]}),
            "parameter A: its default is \"x\", and must match ^v",
        ),
        (json!({"parameters": [{"name": "A", "pattern": "(", "default": "x"}]}), "no regular expression"),
        (json!({"parameters": [{"name": "A", "pattern": "(?=x)"}]}), "no regular expression"),
        (
            json!({"parameters": [{"name": "A", "type": "Integer", "enum": ["x"]}]}),
            "a value of its enum is \"x\"",
        ),
        (json!({"parameters": [{"name": "A"}], "variables": [{"name": "A"}]}), "rename one"),
        (
            json!({"packages": [{"name": "p", "repository": "r/p", "versions": "latest"}]}),
            "package p: versions is \"latest\"",
        ),
        (json!({"image": "registry.example.com/../evil:1", "parameters": [{"name": "A"}]}), "spec.image"),
    ] {
        let (reason, message) =
            checked(&spec, &json!({"parameters": [{"name": "A", "value": "v1"}]})).unwrap_err();
        assert_eq!(reason, Reason::TemplateInvalid, "{message}");
        assert!(
            message.contains(words) && message.contains("DeploymentActionTemplate \"deploy\""),
            "{message}"
        );
    }
}

/// Nobody can keep the operator busy who may write a template and an action, or who may write an action for a
/// template that was made without care. Matching takes time in proportion to pattern and value.
#[test]
fn patterns_and_values_that_would_keep_the_operator_busy_are_refused() {
    let many = |pattern: &str, more: Value| {
        let parameters: Vec<Value> = (0..64)
            .map(|number| {
                let mut parameter = more.clone();
                parameter["name"] = json!(format!("P{number}"));
                parameter["pattern"] = json!(pattern);
                parameter
            })
            .collect();
        json!({"parameters": parameters})
    };
    let values = |value: &str| {
        // As many as fit into a spec.
        let values: Vec<Value> =
            (0..7).map(|number| json!({"name": format!("P{number}"), "value": value})).collect();
        json!({"parameters": values})
    };
    // Without a bound, these would take twenty seconds.
    let (reason, message) =
        checked(&many("(a{1,20}){1,20}b", json!({})), &values(&"a".repeat(32_768))).unwrap_err();
    assert_eq!(reason, Reason::ParametersInvalid);
    assert!(message.contains("parameter P0 takes") && message.contains("give a shorter value"), "{message}");
    // Values that the template itself lists are bounded too.
    let listed = json!({"enum": vec!["a".repeat(1024); 64]});
    let (reason, message) = checked(&many("(a{1,50}){1,50}", listed), &json!({})).unwrap_err();
    assert_eq!(reason, Reason::TemplateInvalid);
    assert!(message.contains("a value of its enum takes"), "{message}");
    let (reason, message) = checked(&many(&r"(?i)\pL".repeat(12), json!({})), &json!({})).unwrap_err();
    assert_eq!(reason, Reason::TemplateInvalid);
    assert!(message.contains("at most 4096"), "{message}");
    let (reason, message) = checked(&many(r"\w{1,20}", json!({})), &json!({})).unwrap_err();
    assert_eq!(reason, Reason::TemplateInvalid);
    assert!(message.contains("takes, with those before it, more than 4194304 bytes"), "{message}");
    let (_, message) =
        checked(&json!({"parameters": [{"name": "A", "pattern": r"\w{1,63}"}]}), &json!({})).unwrap_err();
    assert!(message.contains("parameter A: its pattern takes more than") && message.contains("maxLength"));

    // People write patterns far below the bound: for names of hosts, and for a text of the greatest length.
    let hosts = many(r"^([a-z0-9-]{1,63}\.){1,9}[a-z]{2,63}$", json!({"maxLength": 253}));
    let host = format!("{}example.com", "sub-domain.".repeat(8));
    assert!(checked(&hosts, &values(&host)).is_ok());
    let text = json!({"parameters": [{"name": "A", "pattern": "^[ -~]*$"}]});
    assert!(checked(&text, &json!({"parameters": [{"name": "A", "value": "x".repeat(32_768)}]})).is_ok());
}

#[test]
fn packages_get_the_version_that_the_action_chooses_where_it_is_allowed() {
    let declared = |versions: &Value| -> Vec<DeclaredPackage> {
        serde_json::from_value(json!([{"name": "orders", "repository": "registry.example.com/charts/orders", "versions": versions}])).unwrap()
    };
    let given = |version: &str| -> Vec<Package> {
        serde_json::from_value(json!([{"name": "orders", "version": version}])).unwrap()
    };
    let digest = format!("sha256:{}", "a".repeat(64));
    for (versions, version, reference) in [
        (json!(">=1.4 <2"), "1.4.2", ":1.4.2"),
        (json!(null), "2026.11", ":2026.11"),
        (json!(null), digest.as_str(), &format!("@{digest}")),
    ] {
        let (packages, wrong) = choose(&declared(&versions), &given(version));
        assert_eq!(wrong, Vec::<String>::new());
        let whole = format!("registry.example.com/charts/orders{reference}");
        assert_eq!(packages[0].reference.as_deref(), Some(whole.as_str()));
    }
    for (versions, version, words) in [
        (json!(">=1.4 <2"), "2.0.0", "the template allows >=1.4 <2"),
        (json!(">=1.4 <2"), "latest", "no semantic version"),
        (json!(">=1.4 <2"), digest.as_str(), "no semantic version"),
        (json!(null), "1.0/../../evil", "neither tag nor digest"),
        (json!(null), "1.0@sha256:00", "neither tag nor digest"),
        (json!(null), "sha256:00", "neither tag nor digest"),
    ] {
        let (_, wrong) = choose(&declared(&versions), &given(version));
        assert!(wrong.len() == 1 && wrong[0].contains(words), "{wrong:?}");
    }
    let (_, wrong) = choose(
        &declared(&json!(null)),
        &given("1")
            .into_iter()
            .map(|package| Package { name: "order".into(), ..package })
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        wrong,
        [
            "package order is unknown: did you mean orders?",
            "package orders has no version: give one in spec.packages"
        ]
    );
}

#[test]
fn a_template_that_is_not_there_may_come_and_one_unread_tells_nothing() {
    let action = of(&json!({}));
    let missing = check(&action, Some(&Lookup::Missing), "amd64").unwrap_err();
    assert!(missing.may_pass());
    assert_eq!(missing.words().0, Reason::TemplateNotFound);
    assert!(
        missing.words().1.contains("no DeploymentActionTemplate \"deploy\" in namespace shop"),
        "{missing:?}"
    );
    assert!(matches!(check(&action, Some(&Lookup::Unread), "amd64"), Err(Blocked::Unread(_))));
}
