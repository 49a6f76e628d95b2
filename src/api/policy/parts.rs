//! The parts of an admission policy.

use serde_json::{Value, json};

use crate::api::names::GROUP;

pub(super) fn variable(name: &str, expression: &str) -> Value {
    json!({"name": name, "expression": expression})
}

/// A condition, and the message if it does not hold.
pub(super) fn must(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "message": message, "reason": "Forbidden"})
}

/// A condition, and the expression of the message if it does not hold. The expression cannot ask the
/// authorizer. If it fails, the API server says `failed expression: ...`.
pub(super) fn must_or(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "messageExpression": message, "reason": "Forbidden"})
}

/// Actions that are created or changed. The API server converts other versions of the resource to this one
/// before it judges them (`matchPolicy: Equivalent`). It would not check the types if the version were `*`.
pub(super) fn actions() -> Value {
    json!({
        "matchPolicy": "Equivalent",
        "resourceRules": [{
            "apiGroups": [GROUP],
            "apiVersions": ["v1alpha1"],
            "resources": ["deploymentactions"],
            "operations": ["CREATE", "UPDATE"],
        }],
    })
}
