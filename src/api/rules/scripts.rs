//! Rules of what runs: a script or a command.

use serde_json::{Value, json};

use super::rule::rule;

/// The longest inline script, in characters. Serialized it must fit
/// [`crate::record::bundle::MAX_BYTES`] with all else that travels in the bundle.
pub const MAX_INLINE: usize = 131_072;

/// Rules of `command`.
pub(in crate::api) fn command() -> Value {
    json!([rule(
        "self.size() == 0 || self[0] != ''",
        "command begins with the program to run, and that is empty: write its path or name"
    )])
}

/// Rules of `script`.
pub(in crate::api) fn script() -> Value {
    json!([rule(
        "has(self.inline) != has(self.configMapKeyRef)",
        "script has exactly one of inline (its text) and configMapKeyRef (a ConfigMap's key that holds its text)"
    )])
}

/// Rules of `script.inline`.
pub(in crate::api) fn inline() -> Value {
    json!([rule(
        &format!("size(self) <= {MAX_INLINE}"),
        &format!(
            "the script is longer than {MAX_INLINE} characters, more than travels with a pod: put it into a ConfigMap and name that in script.configMapKeyRef, or into the image"
        )
    )])
}

/// Rules of the name of a script's file.
pub(in crate::api) fn file_name() -> Value {
    json!([rule(
        "self.matches('^[a-zA-Z0-9_][-._a-zA-Z0-9]*$')",
        "a script's file name consists of letters, digits, '_', '-' and '.', and begins with a letter, a digit or '_', such as deploy.ps1"
    )])
}

/// Rules of an output's name.
pub(in crate::api) fn output_name() -> Value {
    json!([rule(
        "self.matches('^[a-zA-Z_][-._a-zA-Z0-9]*$')",
        "an output's name consists of letters, digits, '_', '-' and '.', and begins with a letter or '_'"
    )])
}
