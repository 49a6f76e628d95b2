//! What an admission policy is made of.

use serde_json::{Value, json};

use crate::api::names::GROUP;

pub(super) fn variable(name: &str, expression: &str) -> Value {
    json!({"name": name, "expression": expression})
}

/// What must hold, and the words where it does not.
pub(super) fn must(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "message": message, "reason": "Forbidden"})
}

/// What must hold, and the expression of the words where it does not. It sees no answer of the
/// authorizer; should it fail, the API server says `failed expression: ...`.
pub(super) fn must_or(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "messageExpression": message, "reason": "Forbidden"})
}

/// Actions that are created or changed. Other versions of the resource are converted to this one
/// before they are judged (`matchPolicy: Equivalent`); a version written as `*` would not be
/// type-checked.
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
