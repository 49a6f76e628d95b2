//! Specs of templates and of actions that are made of them, and what is changed in them.

use serde_json::{Value, json};

use super::{
    specs,
    words::{self, SENTINEL},
};
use crate::support::{
    namespace::{examples_image, setting},
    random::Random,
};

/// How many names the templates of a namespace share. So actions find one, and one that is sent again changes
/// it.
pub(crate) const NAMES: usize = 4;

const PATTERNS: &[&str] = &[
    "^[a-z.]+$",
    "",
    "(",
    "[",
    "(a{1000}){1000}",
    "(a+)+$",
    // Takes long with the long texts of `words`, unless that is bounded.
    "(x{1,50}){1,50}b",
    "(?=a)",
    "\\1",
    "\\p{Greek}",
    ".{0,9999}",
    "(?i)^x$",
    "\u{0}",
];

const RANGES: &[&str] = &[
    ">=0.1",
    ">=1.4 <2",
    "^1.4",
    "~1.4.2",
    "1.x",
    "1.4.2 || >=2",
    "*",
    "",
    "||",
    "x.y",
    ">=1.4 <",
    "1 - 2",
    "!=1",
    "^99999999999999999999.0",
    "latest",
    "\u{fffd}",
];

const VERSIONS: &[&str] = &[
    "0.1.0",
    "v0.1.0",
    "0.1.0+build",
    "0.1.0-rc.1",
    "absent",
    "latest",
    "99999999999999999999.1.1",
    "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "sha256:zz",
    "../x",
    "0.1.0@sha256:a",
    "a b",
];

/// The name of a template, of those in a namespace or with `prefix` of those of the cluster.
pub(crate) fn name(random: &mut Random, prefix: &str) -> String {
    numbered(random.below(NAMES), prefix)
}

pub(crate) fn numbered(number: usize, prefix: &str) -> String {
    format!("{prefix}template-{number}")
}

/// A template's spec that is accepted; between them they use every field.
pub(crate) fn spec(random: &mut Random) -> Value {
    match random.below(4) {
        0 => full(),
        1 => json!({
            "image": examples_image(),
            "command": ["/migrate"],
            "args": ["--all"],
            "parameters": [{"name": "HOST", "default": "a.example.com"}],
            "packages": [packaged(">=0.1")],
            "pendingDeadlineSeconds": 2,
        }),
        // Accepted by the schema, and no action can be made of it.
        2 => json!({
            "image": examples_image(),
            "script": {"inline": "echo hello"},
            "parameters": [
                {"name": "HOST", "pattern": random.pick(PATTERNS), "default": "A"},
                {"name": "COUNT", "type": "Integer", "enum": [1, "x"]},
            ],
            "pendingDeadlineSeconds": 1,
        }),
        _ => plain(),
    }
}

/// A template that actions can use.
pub(crate) fn plain() -> Value {
    json!({
        "image": examples_image(),
        "script": {"inline": "echo \"$HOST\"\n"},
        "parameters": [
            {"name": "HOST", "required": true},
            {"name": "COUNT", "type": "Integer", "default": 3, "minimum": 1, "maximum": 9},
        ],
        "pendingDeadlineSeconds": 2,
    })
}

fn packaged(versions: &str) -> Value {
    let repository = format!("{}/examples", setting("LONGSHORE_REGISTRY"));
    json!({"name": "tools", "repository": repository, "versions": versions})
}

fn full() -> Value {
    json!({
        "image": examples_image(),
        "imagePullSecrets": [{"name": "pull"}],
        "script": {"configMapKeyRef": {"name": "settings", "key": "run.sh"}, "interpreter": ["bash", "-eu"]},
        "args": ["--a", SENTINEL],
        "variables": [{"name": "PLAIN", "value": SENTINEL}, {"name": "F", "as": "File", "value": SENTINEL}],
        "variablesFrom": [{"prefix": "DB_", "secretRef": {"name": "sentinel"}}],
        "parameters": [
            {"name": "HOST", "description": "where", "required": true, "pattern": "^[a-z.]+$", "maxLength": 64},
            {"name": "COUNT", "type": "Integer", "default": 3, "minimum": 1, "maximum": 9},
            {"name": "FLAG", "type": "Boolean", "default": "true"},
            {"name": "TOKEN", "type": "Secret"},
            {"name": "SIZE", "enum": ["s", "m", 5], "default": "m"},
        ],
        "packages": [packaged(">=0.1 <2")],
        "outputs": [{"name": "url"}],
        "serviceAccountName": "default",
        "runDeadlineSeconds": 60,
        "pendingDeadlineSeconds": 3,
        "terminationGracePeriodSeconds": 0,
        "workingDir": "Image",
        "log": {"streams": "Merged"},
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi"}},
        "podTemplate": specs::pod_template(),
    })
}

/// The spec of an action that is made of a template.
pub(crate) fn made(random: &mut Random, prefix: &str) -> Value {
    let template = match random.below(10) {
        0..=5 => json!({"name": name(random, "")}),
        6..=8 => json!({"kind": "ClusterDeploymentActionTemplate", "name": name(random, prefix)}),
        _ => json!({"kind": "DeploymentActionTemplate", "name": "absent"}),
    };
    let values = [
        json!({"name": "HOST", "value": "orders.example.com"}),
        json!({"name": "COUNT", "value": 5}),
        json!({"name": "FLAG", "value": "false"}),
        json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "sentinel", "key": "password"}}}),
        json!({"name": "SIZE", "value": "s"}),
    ];
    let mut spec = json!({"templateRef": template, "podRetentionSeconds": 0});
    let few = *random.pick(&[1, 1, 2, 5]);
    spec["parameters"] = json!(values[..few]);
    if random.percent(40) {
        spec["packages"] = json!([{"name": "tools", "version": "0.1.0"}]);
    }
    spec
}

/// Sets what such an action chooses to what may be accepted, and is unusual.
pub(crate) fn choose(random: &mut Random, spec: &mut Value) {
    let given = |name: &str, value: Value| json!([{"name": name, "value": value}]);
    match random.below(9) {
        // Often no value of its pattern: what is said of that must not be in the operator's log.
        0 => spec["parameters"] = given("HOST", json!(words::text(random) + SENTINEL)),
        1 => spec["parameters"] = given(random.pick::<&str>(&["COUNT", "HOST"]), words::number(random)),
        2 => spec["parameters"] = given(&words::text(random), json!(SENTINEL)),
        3 => spec["parameters"] = given(random.pick::<&str>(&["TOKEN", "FLAG"]), json!(SENTINEL)),
        4 => {
            let kind = *random.pick(&["secretKeyRef", "configMapKeyRef"]);
            spec["parameters"] = json!([{
                "name": random.pick(&["HOST", "TOKEN", "COUNT"]),
                "valueFrom": {kind: {"name": words::name(random), "key": words::text(random)}},
            }]);
        }
        5 => spec["packages"] = json!([{"name": "tools", "version": random.pick(VERSIONS)}]),
        6 => {
            spec["packages"] =
                json!([{"name": words::name(random), "version": words::text(random)}, {"name": "tools"}]);
        }
        7 => spec["templateRef"]["name"] = json!(words::name(random)),
        _ => {
            let many = *random.pick(&[63, 64, 65]);
            let values: Vec<_> =
                (0..many).map(|number| json!({"name": format!("P{number}"), "value": SENTINEL})).collect();
            spec["parameters"] = json!(values);
        }
    }
}

/// Sets what a template declares to what may be accepted, and is unusual.
pub(crate) fn declare(random: &mut Random, spec: &mut Value) {
    match random.below(4) {
        0 | 1 => {
            let few = random.below(4);
            spec["parameters"] = (0..few).map(|_| parameter(random)).collect();
        }
        2 => {
            spec["packages"] = json!([{
                "name": random.pick(&["tools", "orders"]),
                "repository": words::image(random).rsplit_once(':').map_or("tools", |(name, _)| name),
                "versions": random.pick(RANGES),
            }]);
        }
        _ => spec["packages"] = json!([packaged(random.pick::<&str>(RANGES))]),
    }
}

fn parameter(random: &mut Random) -> Value {
    let mut parameter = json!({"name": random.pick(&["HOST", "COUNT", "TOKEN", "SIZE", "PLAIN"])});
    let any = |random: &mut Random| match random.below(3) {
        0 => words::number(random),
        1 => json!(random.pick(&["true", "3", "-0", "007", "1e3", "9007199254740993", ""])),
        _ => json!(words::text(random)),
    };
    if random.percent(60) {
        parameter["type"] = json!(random.pick(&["String", "Integer", "Boolean", "Secret"]));
    }
    for (field, chance) in [("default", 40), ("minimum", 20), ("maximum", 20), ("maxLength", 20)] {
        if random.percent(chance) {
            parameter[field] = if field == "default" { any(random) } else { words::number(random) };
        }
    }
    if random.percent(25) {
        parameter["enum"] = json!([any(random), any(random)]);
    }
    if random.percent(25) {
        parameter["pattern"] = json!(random.pick(PATTERNS));
    }
    if random.percent(30) {
        parameter["required"] = json!(random.percent(50));
    }
    parameter
}
