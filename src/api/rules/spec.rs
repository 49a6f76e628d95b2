//! Rules of an action as a whole, of its template, and of when and where it runs.

use serde_json::{Value, json};

use super::rule::{given, rule, rule_at};

/// Rules of the whole object.
pub(in crate::api) fn object() -> Value {
    json!([rule_at(
        ".spec.ttlSecondsAfterFinished",
        &format!(
            "!{} || (has(self.metadata.generateName) && self.metadata.generateName != '')",
            given("self.spec", "ttlSecondsAfterFinished")
        ),
        "ttlSecondsAfterFinished deletes the action, and needs metadata.generateName: GitOps or Helm would create an action with a fixed name again, and it would run again. Leave ttlSecondsAfterFinished out, or write metadata.generateName instead of metadata.name. podRetentionSeconds deletes the pod alone",
    )])
}

/// Rules of the whole spec.
pub(in crate::api) fn spec() -> Value {
    let templated = given("self", "templateRef");
    let mut rules = vec![
        rule_at(
            ".image",
            &format!("{templated} || has(self.image)"),
            "name the image whose tools the script uses, with a tag or a digest, for example image: registry.example.com/team/tools:2026.11. Or name a template in templateRef",
        ),
        rule_at(
            ".script",
            &format!("{templated} || has(self.script) != has(self.command)"),
            "give exactly one of script (script.inline, run by an interpreter) and command (a program of the image with its arguments)",
        ),
        rule_at(
            ".runToken",
            "!has(self.runPolicy) || self.runPolicy != 'Once' || !has(self.runToken)",
            "runToken has no effect under runPolicy Once, which runs one time only: remove runToken, or use runPolicy OnChange or Manual",
        ),
    ];
    rules.push(no_file_elsewhere());
    rules.extend(action_rules());
    Value::Array(rules)
}

/// Fields of an action that only its template may set.
const OWNED: [&str; 16] = [
    "image",
    "imagePullSecrets",
    "script",
    "command",
    "args",
    "variables",
    "variablesFrom",
    "outputs",
    "serviceAccountName",
    "runDeadlineSeconds",
    "pendingDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "workingDir",
    "log",
    "resources",
    "podTemplate",
];

/// Rules of an action's spec about its template.
fn action_rules() -> Vec<Value> {
    let templated = given("self", "templateRef");
    let owned = |field: &str| {
        let what = if field == "variables" { ", or give a value in parameters" } else { "" };
        rule_at(
            &format!(".{field}"),
            &format!("!{templated} || !{}", given("self", field)),
            &format!(
                "{field} is what the template in templateRef says, and the action must not set it: leave it out{what}, or leave templateRef out"
            ),
        )
    };
    let mut rules: Vec<Value> = OWNED.map(owned).into();
    rules.extend([
        rule_at(
            ".parameters",
            &format!("{templated} || !has(self.parameters) || self.parameters.size() == 0"),
            "parameters are those of a template, and the action names none: name one in templateRef, or write variables",
        ),
        rule_at(
            ".packages",
            &format!("{templated} || !has(self.packages) || self.packages.all(item, has(item.reference) && !has(item.version))"),
            "a package of an action without a template has a reference and no version: write packages[].reference, for example registry.example.com/charts/orders:1.4.2",
        ),
        rule_at(
            ".packages",
            &format!("!{templated} || !has(self.packages) || self.packages.all(item, has(item.version) && !has(item.reference))"),
            "a package of an action with a template has a version and no reference, since the template says where the package is: write packages[].version, for example 1.4.2",
        ),
    ]);
    rules
}

/// A variable's file goes into a folder that is empty at the start, never into one of the image or of a volume.
pub(in crate::api) fn no_file_elsewhere() -> Value {
    rule_at(
        ".workingDir",
        &format!(
            "!{} || !has(self.variables) || self.variables.all(one, !{} || one.path.startsWith('~/'))",
            given("self", "workingDir"),
            given("one", "path")
        ),
        "a variable's path lies in the empty folder that workingDir replaces: let the path begin with ~/, or leave workingDir out",
    )
}

/// Rules of `lock`.
pub(in crate::api) fn lock() -> Value {
    json!([rule_at(
        ".queueDeadlineSeconds",
        &format!(
            "!{} || self.whenHeld != 'Fail' || !{}",
            given("self", "whenHeld"),
            given("self", "queueDeadlineSeconds")
        ),
        "queueDeadlineSeconds has no effect with whenHeld Fail, which does not wait: leave one of them out"
    )])
}

/// Rules of `retry`.
pub(in crate::api) fn retry() -> Value {
    json!([
        rule_at(
            ".exitCodes",
            "!has(self.exitCodes) || size(self.exitCodes) == 0 || (has(self.causes) && 'ScriptFailed' in self.causes)",
            "exitCodes narrow the cause ScriptFailed: add it to causes, or leave exitCodes out"
        ),
        rule_at(
            ".maxBackoffSeconds",
            "!has(self.backoffSeconds) || !has(self.maxBackoffSeconds) || self.backoffSeconds <= self.maxBackoffSeconds",
            "maxBackoffSeconds is shorter than backoffSeconds: raise maxBackoffSeconds, the longest pause, or lower backoffSeconds, the first one"
        ),
    ])
}

/// The value of `workingDir` for the image's own folder.
pub const IMAGE_S_FOLDER: &str = "Image";

/// Rules of `workingDir`.
pub(in crate::api) fn working_dir() -> Value {
    json!([
        rule(
            &format!(
                "self == '{IMAGE_S_FOLDER}' || (self.matches('^/[^/]?') && !self.contains('//') && !self.matches('/[.][.]?(/|$)'))"
            ),
            "workingDir is an absolute path without '//', '.' and '..': write one such as /app, or Image for the image's own folder. Nothing in it is expanded"
        ),
        rule(
            "!self.matches('^/longshore(/|$)') || self.matches('^/longshore/packages(/|$)')",
            "workingDir is below /longshore, which is Longshore's own except for /longshore/packages: leave workingDir out for an empty folder, or name a folder of the image or of a volume"
        ),
    ])
}
