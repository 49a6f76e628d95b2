//! What a CEL rule is made of.

use serde_json::{Value, json};

pub(in crate::api) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// A rule of a whole object that speaks of one of its fields: `path`, such as `.image`, is then named in front
/// of the message.
pub(in crate::api) fn rule_at(path: &str, condition: &str, message: &str) -> Value {
    json!({"rule": condition, "message": message, "fieldPath": path})
}

/// Whether the field is there, and not null: the schema lets null in where a field may be missing, and
/// charts write it for what is not set.
pub(in crate::api) fn given(object: &str, field: &str) -> String {
    format!("(has({object}.{field}) && dyn({object}.{field}) != null)")
}
