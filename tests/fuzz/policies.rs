//! Specs of `ActionPolicies`, and what is changed in them.

use serde_json::{Value, json};

use super::words;
use crate::support::{namespace::setting, random::Random};

/// Quantities that are none, or that only look so.
pub(crate) const QUANTITIES: &[&str] = &[
    "64",
    "1Ei",
    "0",
    "1n",
    "9223372036854775807",
    "0.0000000001",
    "1e18",
    "1E99",
    "1e-99",
    "+.5",
    "1e99999999999999999999",
    "1e-99999999999999999999",
];

/// A policy's spec that is accepted. Most allow most actions, or none would ever start.
pub(crate) fn spec(random: &mut Random) -> Value {
    let registry = setting("LONGSHORE_REGISTRY");
    match random.below(6) {
        0 => json!({
            "templatesOnly": true,
            "digestsOnly": true,
            "registries": ["registry.example.com/team"],
            "securityProfiles": ["Restricted"],
            "maxRunDeadlineSeconds": 60,
            "maxPendingDeadlineSeconds": 5,
            "maxResources": {"cpu": "1", "memory": 134_217_728, "example.com/gpu": 1},
        }),
        1 => json!({"maxResources": {"cpu": "64", "memory": "64Gi"}}),
        2 => json!({}),
        _ => json!({
            "registries": [registry, "docker.io", "[::1]:1"],
            "securityProfiles": ["Restricted", "Baseline"],
            "maxPendingDeadlineSeconds": 86_400,
        }),
    }
}

/// Sets a field to what may be accepted, and is unusual.
pub(crate) fn change(random: &mut Random, spec: &mut Value) {
    match random.below(7) {
        0 => spec["registries"] = json!([words::image(random), words::name(random)]),
        1 => {
            let place = random.pick(&[
                "localhost",
                "docker.io/library",
                "index.docker.io",
                "registry.example.com/..",
                "registry.example.com:99999/a",
                "10.77.0.2:5000/examples",
                "[::1]",
            ]);
            spec["registries"] = json!([place]);
        }
        2 => spec["registries"] = json!(Vec::<Value>::new()),
        3 => {
            let (quantity, other) = (random.pick(QUANTITIES), random.pick(QUANTITIES));
            spec["maxResources"] = json!({"cpu": quantity, "memory": other, "a/b": quantity});
        }
        4 => {
            let field = *random.pick(&["maxRunDeadlineSeconds", "maxPendingDeadlineSeconds"]);
            spec[field] = words::number(random);
        }
        5 => {
            spec["securityProfiles"] =
                json!([random.pick(&["Restricted", "UserNamespaceRoot", "Baseline", "Privileged", ""])]);
        }
        _ => {
            let field = *random.pick(&["templatesOnly", "digestsOnly"]);
            spec[field] = json!(random.percent(50));
        }
    }
}
