//! Rules of what runs, a script or a command, and of what it reports.

use serde_json::{Value, json};

use super::rule::rule;

/// The longest inline script, in characters. With all else in the bundle it must fit
/// [`crate::record::bundle::MAX_BYTES`].
pub const MAX_INLINE: usize = 131_072;

/// Rules of `command`.
pub(in crate::api) fn command() -> Value {
    json!([rule(
        "self.size() == 0 || self[0] != ''",
        "command begins with an empty text instead of the program to run: write the program's path or name"
    )])
}

/// Rules of `script`.
pub(in crate::api) fn script() -> Value {
    json!([rule(
        "has(self.inline) != has(self.configMapKeyRef)",
        "script has exactly one of inline (its text) and configMapKeyRef (a ConfigMap's key that holds its text): write one of them"
    )])
}

/// Rules of `script.inline`.
pub(in crate::api) fn inline() -> Value {
    json!([rule(
        &format!("size(self) <= {MAX_INLINE}"),
        &format!(
            "script.inline is longer than {MAX_INLINE} characters, too long for a pod's annotation: put the script into the image, or into a ConfigMap that script.configMapKeyRef names"
        )
    )])
}

/// Rules of `script.fileName`.
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
