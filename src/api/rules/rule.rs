//! The parts of a CEL rule.

use serde_json::{Value, json};

pub(in crate::api) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// A rule of a whole object about one of its fields. The API server puts `path`, such as `.image`, in front of
/// the message.
pub(in crate::api) fn rule_at(path: &str, condition: &str, message: &str) -> Value {
    json!({"rule": condition, "message": message, "fieldPath": path})
}

/// Whether the field is there and not null. The schema allows null for a field that may be missing, and charts
/// write null for what is not set.
pub(in crate::api) fn given(object: &str, field: &str) -> String {
    format!("(has({object}.{field}) && dyn({object}.{field}) != null)")
}
