//! Rules of what the script receives.

use serde_json::{Value, json};

use super::rule::{given, rule, rule_at};

/// Rules of one variable.
pub(in crate::api) fn variable() -> Value {
    json!([
        rule(
            "self.name.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
            "a variable's name consists of letters, digits, '_', '-' and '.', and does not begin with a digit"
        ),
        rule(
            "!self.name.startsWith('LONGSHORE_')",
            "names that begin with LONGSHORE_ are set by Longshore itself: choose another name"
        ),
        rule(
            "!has(self.value) || !has(self.valueFrom)",
            "a variable has either value or valueFrom, not both: leave one of them out"
        ),
        rule_at(
            ".mode",
            &format!("!{} || {AS_FILE}", given("self", "mode")),
            "mode is of a file: write as: File, or leave mode out"
        ),
        rule_at(
            ".path",
            &format!("!{} || {AS_FILE}", given("self", "path")),
            "path is of a file: write as: File, or leave path out"
        ),
    ])
}

// `as` is a keyword of CEL, which Kubernetes escapes like this.
const AS_FILE: &str = "(has(self.__as__) && dyn(self.__as__) == 'File')";

/// Rules of all variables together: no two files are in each other's way.
pub(in crate::api) fn variables() -> Value {
    json!([rule(
        &format!(
            "self.all(one, !{} || self.all(other, other.name == one.name || !{} || (other.path != one.path && !other.path.startsWith(one.path + '/'))))",
            given("one", "path"),
            given("other", "path")
        ),
        "two variables have the same path, or one path lies below the other, which is a file: give each a path of its own"
    )])
}

/// Rules of a file's mode.
pub(in crate::api) fn file_mode() -> Value {
    json!([rule(
        "(self / 64) in [4, 5, 6, 7] && (self / 8) % 8 in [0, 1, 4, 5] && self % 8 in [0, 1, 4, 5]",
        "mode must let the file's user read it, and nobody else write to it: write it as in chmod, with a 0 in front, such as 0600 or 0755 (384 or 493 in JSON). Set-user-id, set-group-id and the sticky bit are not offered"
    )])
}

/// Rules of a file's path.
pub(in crate::api) fn file_path() -> Value {
    const NAME: &str = "[-._+@=:,a-zA-Z0-9]+";
    json!([
        rule(
            &format!("self.matches('^(~/)?{NAME}(/{NAME})*$')"),
            "a file's path is below the working folder, such as config/app.yaml, or begins with ~/ and is below the home, such as ~/.ssh/id_ed25519: write no absolute path, and only letters, digits and '-', '.', '_', '+', '@', '=', ':', ',' in its names"
        ),
        rule(
            "!self.matches('(^|/)[.][.]?(/|$)')",
            "a file's path has no '.' and no '..' as a part: write the whole path, such as ~/.ssh/id_ed25519"
        ),
    ])
}

/// Rules of `valueFrom`.
pub(in crate::api) fn value_from() -> Value {
    json!([rule(
        "has(self.secretKeyRef) != has(self.configMapKeyRef)",
        "valueFrom names exactly one of secretKeyRef and configMapKeyRef: write one of them. fieldRef, resourceFieldRef and fileKeyRef are not offered: use LONGSHORE_NAMESPACE, LONGSHORE_ACTION and LONGSHORE_RUN_ID, which are always set"
    )])
}

/// Rules of one entry of `variablesFrom`.
pub(in crate::api) fn variables_from() -> Value {
    json!([
        rule(
            "has(self.secretRef) != has(self.configMapRef)",
            "an entry of variablesFrom names exactly one of secretRef and configMapRef: write one of them"
        ),
        rule(
            "!has(self.prefix) || self.prefix.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
            "a prefix consists of letters, digits, '_', '-' and '.', and does not begin with a digit"
        ),
        rule(
            "!has(self.prefix) || !self.prefix.startsWith('LONGSHORE_')",
            "names that begin with LONGSHORE_ are set by Longshore itself: choose another prefix"
        ),
    ])
}

/// Rules of a key in a Secret or `ConfigMap`.
pub(in crate::api) fn data_key() -> Value {
    json!([rule(
        "self.matches('^[-._a-zA-Z0-9]+$') && !self.startsWith('..') && self != '.'",
        "a key of a Secret or ConfigMap consists of letters, digits, '-', '_' and '.', and is neither '.' nor begins with '..'"
    )])
}
