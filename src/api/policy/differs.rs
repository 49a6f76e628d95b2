//! Compares what is in the cluster with what is expected there.

use serde::Serialize;
use serde_json::{Value, json};

/// The kind of a policy.
pub const POLICY: &str = "ValidatingAdmissionPolicy";
/// The kind of a policy's binding.
pub const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// The default that the API server sets for a field (`apis/admissionregistration/v1/defaults.go`). The path
/// leaves out places in lists.
fn is_default(path: &str, value: &Value) -> bool {
    match path {
        "spec.failurePolicy" => *value == json!("Fail"),
        "spec.matchConstraints.matchPolicy" | "spec.matchResources.matchPolicy" => {
            *value == json!("Equivalent")
        }
        "spec.matchConstraints.namespaceSelector"
        | "spec.matchConstraints.objectSelector"
        | "spec.matchResources.namespaceSelector"
        | "spec.matchResources.objectSelector" => *value == json!({}),
        "spec.matchConstraints.resourceRules.scope" | "spec.matchResources.resourceRules.scope" => {
            *value == json!("*")
        }
        _ => false,
    }
}

/// Why an object with this name and kind is not as it was installed.
#[must_use]
pub fn fault<K: Serialize>((name, kind): (&str, &str), expected: &Value, live: Option<&K>) -> Option<String> {
    let Some(live) = live else { return Some(format!("{kind} {name} is missing")) };
    match serde_json::to_value(live) {
        Ok(live) => differs(expected, &live["spec"]).map(|what| format!("{kind} {name} was altered: {what}")),
        Err(error) => Some(format!("{kind} {name} cannot be read: {error}")),
    }
}

/// The first difference between the live spec of a policy or binding and the expected one, with the field's
/// name. The live one may have fields that the API server sets, with the API server's own defaults.
#[must_use]
pub fn differs(expected: &Value, live: &Value) -> Option<String> {
    compare("spec", "spec", expected, live)
}

/// `shown` has the places in lists, `path` does not.
fn compare(shown: &str, path: &str, expected: &Value, live: &Value) -> Option<String> {
    match (expected, live) {
        (Value::Object(expected), Value::Object(live)) => {
            let below = |field: &str| (format!("{shown}.{field}"), format!("{path}.{field}"));
            for (field, expected) in expected {
                let (shown, path) = below(field);
                let found = match live.get(field) {
                    Some(live) => compare(&shown, &path, expected, live),
                    None => Some(format!("{shown} is missing")),
                };
                if found.is_some() {
                    return found;
                }
            }
            live.iter().find_map(|(field, value)| {
                let (shown, path) = below(field);
                (!expected.contains_key(field) && !is_default(&path, value))
                    .then(|| format!("{shown} was added: {}", short(value)))
            })
        }
        (Value::Array(expected), Value::Array(live)) => {
            if expected.len() != live.len() {
                return Some(format!("{shown} has {} entries instead of {}", live.len(), expected.len()));
            }
            expected.iter().zip(live).enumerate().find_map(|(place, (expected, live))| {
                compare(&format!("{shown}[{place}]"), path, expected, live)
            })
        }
        (expected, live) if expected == live => None,
        (expected, live) => Some(format!("{shown} is {} instead of {}", short(live), short(expected))),
    }
}

/// Expressions are long, and their beginnings tell them apart.
fn short(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    format!("{}...", text.chars().take(MOST).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::policy::{USE, binding, use_policy};

    /// As the API server returns it.
    fn stored() -> Value {
        let mut live = use_policy();
        live["matchConstraints"]["namespaceSelector"] = json!({});
        live["matchConstraints"]["objectSelector"] = json!({});
        live["matchConstraints"]["resourceRules"][0]["scope"] = json!("*");
        live
    }

    fn change(pointer: &str, value: Value) -> Option<String> {
        let mut live = stored();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = live.pointer_mut(parent).unwrap();
        match parent {
            Value::Object(fields) => {
                fields.insert(field.to_owned(), value);
            }
            Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
            _ => panic!("{pointer}"),
        }
        differs(&use_policy(), &live)
    }

    #[test]
    fn what_the_api_server_sets_is_no_difference() {
        assert_eq!(differs(&use_policy(), &stored()), None);
        assert_eq!(differs(&use_policy(), &use_policy()), None);
        assert_eq!(differs(&binding(USE), &binding(USE)), None);
    }

    #[test]
    fn each_way_to_weaken_it_is_named() {
        for (pointer, value, field) in [
            ("/failurePolicy", json!("Ignore"), "spec.failurePolicy"),
            ("/matchConstraints/matchPolicy", json!("Exact"), "spec.matchConstraints.matchPolicy"),
            (
                "/matchConstraints/namespaceSelector",
                json!({"matchLabels": {"a": "b"}}),
                "spec.matchConstraints.namespaceSelector",
            ),
            (
                "/matchConstraints/objectSelector",
                json!({"matchLabels": {"a": "b"}}),
                "spec.matchConstraints.objectSelector",
            ),
            (
                "/matchConstraints/excludeResourceRules",
                json!([{}]),
                "spec.matchConstraints.excludeResourceRules",
            ),
            (
                "/matchConstraints/resourceRules/0/scope",
                json!("Cluster"),
                "spec.matchConstraints.resourceRules[0].scope",
            ),
            (
                "/matchConstraints/resourceRules/0/resourceNames",
                json!(["a"]),
                "spec.matchConstraints.resourceRules[0].resourceNames",
            ),
            (
                "/matchConstraints/resourceRules/0/operations",
                json!(["CREATE"]),
                "spec.matchConstraints.resourceRules[0].operations",
            ),
            ("/matchConditions/0/expression", json!("false"), "spec.matchConditions[0].expression"),
            ("/validations/3/expression", json!("true"), "spec.validations[3].expression"),
            ("/validations", json!([]), "spec.validations has 0 entries"),
            ("/variables/0/expression", json!("true"), "spec.variables[0].expression"),
            ("/paramKind", json!({"kind": "ConfigMap", "apiVersion": "v1"}), "spec.paramKind"),
        ] {
            let words = change(pointer, value).unwrap_or_else(|| panic!("{pointer} is no difference"));
            assert!(words.starts_with(field), "{words}");
        }
    }

    #[test]
    fn a_binding_that_only_warns_or_sees_less_is_named() {
        let mut live = binding(USE);
        live["validationActions"] = json!(["Warn"]);
        assert_eq!(
            differs(&binding(USE), &live).unwrap(),
            r#"spec.validationActions[0] is "Warn" instead of "Deny""#
        );
        let mut live = binding(USE);
        live["matchResources"] = json!({"namespaceSelector": {}});
        assert!(differs(&binding(USE), &live).unwrap().starts_with("spec.matchResources was added"));
        let mut live = binding(USE);
        live.as_object_mut().unwrap().remove("policyName");
        assert_eq!(differs(&binding(USE), &live).unwrap(), "spec.policyName is missing");
        assert_eq!(differs(&binding(USE), &Value::Null).unwrap().split(' ').next(), Some("spec"));
    }
}
