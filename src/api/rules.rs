//! What the API server refuses at once, with words that say what to write instead.
//!
//! CEL rules run in the API server and cost from a budget, which is estimated from `maxLength` and
//! `maxItems`: see `apiextensions-apiserver/pkg/apiserver/schema/cel`.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{action::IMAGE_S_FOLDER, template};

/// The longest inline script, in characters. Serialized it must fit
/// [`crate::record::bundle::MAX_BYTES`] with all else that travels in the bundle.
pub const MAX_INLINE: usize = 131_072;

/// The longest value of an output, in bytes: what the runner allows.
const MAX_OUTPUT_BYTES: usize = 32 * 1024;

const LABEL: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const COMPONENT: &str = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const TAG: &str = ":[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}";
const DIGEST: &str = "@(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})";

/// A repository with its registry, by the grammar of `distribution/reference`.
fn name() -> String {
    format!(
        r"(?:(?:{LABEL}(?:[.]{LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?(?:/{COMPONENT})+|{COMPONENT}|[a-z0-9]+(?:(?:__?|-+)[a-z0-9]+)*(?:/{COMPONENT})+)"
    )
}

/// An image reference with a tag, a digest or both: what `spec.image` must match.
#[must_use]
pub fn image_pattern() -> String {
    format!("^{}(?:{TAG}(?:{DIGEST})?|{DIGEST})$", name())
}

pub(super) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// A rule of a whole object that speaks of one of its fields: `path`, such as `.image`, is then named in front
/// of the message.
pub(super) fn rule_at(path: &str, condition: &str, message: &str) -> Value {
    json!({"rule": condition, "message": message, "fieldPath": path})
}

/// Rules of the whole spec.
pub(super) fn spec() -> Value {
    let templated = given("self", "templateRef");
    let mut rules = vec![
        rule_at(
            ".image",
            &format!("{templated} || has(self.image)"),
            "name the image whose tools the script uses, with a tag or a digest, for example image: registry.example.com/team/tools:2026.11; or a template in templateRef",
        ),
        rule_at(
            ".script",
            &format!("{templated} || has(self.script) != has(self.command)"),
            "give exactly one of script (script.inline, run by an interpreter) and command (a program of the image with its arguments)",
        ),
        rule_at(
            ".runToken",
            "!has(self.runPolicy) || self.runPolicy != 'Once' || !has(self.runToken)",
            "runToken has no effect under runPolicy Once, which runs one time only: remove it, or use runPolicy OnChange or Manual",
        ),
    ];
    rules.push(no_file_elsewhere());
    rules.extend(template::action_rules());
    Value::Array(rules)
}

/// Rules of the whole object.
pub(super) fn object() -> Value {
    json!([rule_at(
        ".spec.ttlSecondsAfterFinished",
        &format!(
            "!{} || (has(self.metadata.generateName) && self.metadata.generateName != '')",
            given("self.spec", "ttlSecondsAfterFinished")
        ),
        "ttlSecondsAfterFinished removes the action, and is only for one that is created with metadata.generateName, as CI does: one with a fixed name would be created again by GitOps or Helm, and run again. Leave it out, or write metadata.generateName instead of metadata.name; podRetentionSeconds removes the pod alone",
    )])
}

/// Rules of `lock`.
pub(super) fn lock() -> Value {
    json!([rule_at(
        ".queueDeadlineSeconds",
        &format!(
            "!{} || self.whenHeld != 'Fail' || !{}",
            given("self", "whenHeld"),
            given("self", "queueDeadlineSeconds")
        ),
        "queueDeadlineSeconds has no effect where whenHeld is Fail, which does not wait: leave one of them out"
    )])
}

/// Rules of `retry`.
pub(super) fn retry() -> Value {
    json!([
        rule_at(
            ".exitCodes",
            "!has(self.exitCodes) || size(self.exitCodes) == 0 || (has(self.causes) && 'ScriptFailed' in self.causes)",
            "exitCodes narrow the cause ScriptFailed: add it to causes, or leave exitCodes out"
        ),
        rule_at(
            ".maxBackoffSeconds",
            "!has(self.backoffSeconds) || !has(self.maxBackoffSeconds) || self.backoffSeconds <= self.maxBackoffSeconds",
            "maxBackoffSeconds is the longest pause and backoffSeconds the first one, which must not be longer"
        ),
    ])
}

/// Whether the field is there, and not null: the schema lets null in where a field may be missing, and
/// charts write it for what is not set.
pub(super) fn given(object: &str, field: &str) -> String {
    format!("(has({object}.{field}) && dyn({object}.{field}) != null)")
}

/// Rules of a repository.
pub(super) fn repository() -> Value {
    json!([rule(
        &format!("self.matches(r'^{}$')", name()),
        "repository is no repository: write REGISTRY/REPOSITORY in lower case, without tag and digest, for example registry.example.com/charts/orders"
    )])
}

/// Rules of `image`.
pub(super) fn image() -> Value {
    reference("image")
}

/// Rules of a reference to an image or package in the field `field`.
pub(super) fn reference(field: &str) -> Value {
    let name = name();
    json!([
        {
            "rule": format!("self.matches(r'^{name}(?:{TAG})?(?:@[^@]*)?$')"),
            "message": format!("{field} is no image reference: write REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST in lower case, for example registry.example.com/team/tools:2026.11"),
        },
        {
            "rule": format!("!self.matches(r'^{name}$')"),
            "message": format!("{field} has no tag and no digest: write the version that is meant, for example tools:2026.11 or tools@sha256:..., since without one it would change under the action"),
        },
        {
            "rule": format!("!self.contains('@') || self.matches(r'{DIGEST}$')"),
            "message": format!("{field} has a malformed digest: write @sha256: and 64 hexadecimal digits in lower case"),
        },
    ])
}

/// Rules of `command`.
pub(super) fn command() -> Value {
    json!([rule(
        "self.size() == 0 || self[0] != ''",
        "command begins with the program to run, and that is empty: write its path or name"
    )])
}

/// Rules of `script`.
pub(super) fn script() -> Value {
    json!([rule(
        "has(self.inline) != has(self.configMapKeyRef)",
        "script has exactly one of inline (its text) and configMapKeyRef (a ConfigMap's key that holds its text)"
    )])
}

/// Rules of `script.inline`.
pub(super) fn inline() -> Value {
    json!([rule(
        &format!("size(self) <= {MAX_INLINE}"),
        &format!(
            "the script is longer than {MAX_INLINE} characters, more than travels with a pod: put it into a ConfigMap and name that in script.configMapKeyRef, or into the image"
        )
    )])
}

/// Rules of the name of a script's file.
pub(super) fn file_name() -> Value {
    json!([rule(
        "self.matches('^[a-zA-Z0-9_][-._a-zA-Z0-9]*$')",
        "a script's file name consists of letters, digits, '_', '-' and '.', and begins with a letter, a digit or '_', such as deploy.ps1"
    )])
}

/// A file is put into a folder that is empty at the start, and not into the image's or a volume's.
pub(super) fn no_file_elsewhere() -> Value {
    rule_at(
        ".workingDir",
        &format!(
            "!{} || !has(self.variables) || self.variables.all(one, !{} || one.path.startsWith('~/'))",
            given("self", "workingDir"),
            given("one", "path")
        ),
        "a variable's file has a path in the empty folder that workingDir replaces: let the path begin with ~/, or leave workingDir out",
    )
}

/// Rules of `workingDir`.
pub(super) fn working_dir() -> Value {
    json!([
        rule(
            &format!(
                "self == '{IMAGE_S_FOLDER}' || (self.matches('^/[^/]?') && !self.contains('//') && !self.matches('/[.][.]?(/|$)'))"
            ),
            "workingDir is an absolute path without '//', '.' and '..', such as /app, or Image for the image's own folder; nothing in it is expanded"
        ),
        rule(
            "!self.matches('^/longshore(/|$)') || self.matches('^/longshore/packages(/|$)')",
            "/longshore is Longshore's own, but for the packages in /longshore/packages: leave workingDir out for an empty folder, or name one of the image or of a volume"
        ),
    ])
}

/// Rules of one variable.
pub(super) fn variable() -> Value {
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
            "a variable has either value or valueFrom, not both"
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

// A keyword of CEL's, which Kubernetes escapes so.
const AS_FILE: &str = "(has(self.__as__) && dyn(self.__as__) == 'File')";

/// Rules of all variables together: no two files are in each other's way.
pub(super) fn variables() -> Value {
    json!([rule(
        &format!(
            "self.all(one, !{} || self.all(other, other.name == one.name || !{} || (other.path != one.path && !other.path.startsWith(one.path + '/'))))",
            given("one", "path"),
            given("other", "path")
        ),
        "two variables have the same path, or the path of one lies below that of the other, which is a file: give each a path of its own"
    )])
}

/// Rules of a file's mode.
pub(super) fn file_mode() -> Value {
    json!([rule(
        "(self / 64) in [4, 5, 6, 7] && (self / 8) % 8 in [0, 1, 4, 5] && self % 8 in [0, 1, 4, 5]",
        "a file's mode lets its user read it, and lets nobody else write to it: write it as in chmod, with a 0 in front, such as 0600 or 0755 (384 or 493 in JSON); set-user-id, set-group-id and the sticky bit are not offered"
    )])
}

/// Rules of a file's path.
pub(super) fn file_path() -> Value {
    const NAME: &str = "[-._+@=:,a-zA-Z0-9]+";
    json!([
        rule(
            &format!("self.matches('^(~/)?{NAME}(/{NAME})*$')"),
            "a file's path is below the working folder, such as config/app.yaml, or below the home where it begins with ~/, such as ~/.ssh/id_ed25519: it is not absolute, and its names consist of letters, digits and '-', '.', '_', '+', '@', '=', ':', ','"
        ),
        rule(
            "!self.matches('(^|/)[.][.]?(/|$)')",
            "a file's path has no '.' and no '..' in it: write where the file is to lie, such as ~/.ssh/id_ed25519"
        ),
    ])
}

/// Rules of `valueFrom`.
pub(super) fn value_from() -> Value {
    json!([rule(
        "has(self.secretKeyRef) != has(self.configMapKeyRef)",
        "valueFrom names exactly one of secretKeyRef and configMapKeyRef; fieldRef, resourceFieldRef and fileKeyRef are not offered: LONGSHORE_NAMESPACE, LONGSHORE_ACTION and LONGSHORE_RUN_ID are always set"
    )])
}

/// Rules of one entry of `variablesFrom`.
pub(super) fn variables_from() -> Value {
    json!([
        rule(
            "has(self.secretRef) != has(self.configMapRef)",
            "an entry of variablesFrom names exactly one of secretRef and configMapRef"
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

/// Rules of `podTemplate`.
pub(super) fn pod_template() -> Value {
    json!([rule(
        "!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && self.volumes.exists(volume, volume.name == mount.name))",
        "each entry of volumeMounts names a volume of podTemplate.volumes"
    )])
}

/// The sources that a volume may have: those of Pod Security "restricted", less `image`, which
/// would not be pinned.
const VOLUME_SOURCES: [&str; 8] = [
    "emptyDir",
    "configMap",
    "secret",
    "projected",
    "downwardAPI",
    "persistentVolumeClaim",
    "ephemeral",
    "csi",
];

/// Rules of a volume.
pub(super) fn volume() -> Value {
    let given: Vec<String> = VOLUME_SOURCES.iter().map(|source| format!("has(self.{source})")).collect();
    json!([
        rule(
            &format!("[{}].filter(given, given).size() == 1", given.join(", ")),
            &format!(
                "a volume has exactly one source of {}; hostPath is not offered, since a pod that sees its node's files has the node",
                VOLUME_SOURCES.join(", ")
            )
        ),
        rule(
            "self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "a volume's name consists of lower-case letters, digits and '-', and begins and ends with a letter or digit"
        ),
        rule(
            "!self.name.startsWith('longshore')",
            "volumes whose names begin with longshore are Longshore's own: choose another name"
        ),
    ])
}

/// Rules of `volumeMounts`.
pub(super) fn volume_mounts() -> Value {
    json!([
        rule(
            "self.all(mount, mount.mountPath.matches('^(/[^/:]+)+/?$') && !mount.mountPath.matches('/[.][.]?(/|$)'))",
            "a mountPath is an absolute path below /, without ':', '//', '.' and '..'"
        ),
        rule(
            "self.all(mount, !mount.mountPath.matches('^/+(longshore(/.*)?|tmp/*|dev/+termination-log)$'))",
            "/longshore, /tmp and /dev/termination-log are Longshore's own: choose another mountPath (the script's folders are $PWD, $HOME and $TMPDIR)"
        ),
    ])
}

/// Rules of the pod's security settings.
pub(super) fn security_context() -> Value {
    json!([
        rule("!has(self.windowsOptions)", "actions run on Linux nodes: leave windowsOptions out"),
        rule(ROOT, ROOT_WORDS),
    ])
}

/// Rules of the container's security settings.
pub(super) fn container_security_context() -> Value {
    json!([
        rule("!has(self.windowsOptions)", "actions run on Linux nodes: leave windowsOptions out"),
        rule(ROOT, ROOT_WORDS),
        rule(
            "!has(self.privileged) || !self.privileged",
            "privileged containers are not offered, since they have the node: podTemplate.securityProfile goes up to Baseline"
        ),
    ])
}

const ROOT: &str =
    "!has(self.runAsNonRoot) || !self.runAsNonRoot || !has(self.runAsUser) || self.runAsUser != 0";
const ROOT_WORDS: &str = "runAsUser 0 is root, which runAsNonRoot forbids: leave one of them out";

/// Rules of an object's name.
pub(super) fn object_name() -> Value {
    json!([rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "an object's name consists of lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit"
    )])
}

/// Rules of a key in a Secret or `ConfigMap`.
pub(super) fn data_key() -> Value {
    json!([rule(
        "self.matches('^[-._a-zA-Z0-9]+$') && !self.startsWith('..') && self != '.'",
        "a key of a Secret or ConfigMap consists of letters, digits, '-', '_' and '.', and is neither '.' nor begins with '..'"
    )])
}

/// Rules of an output's name.
pub(super) fn output_name() -> Value {
    json!([rule(
        "self.matches('^[a-zA-Z_][-._a-zA-Z0-9]*$')",
        "an output's name consists of letters, digits, '_', '-' and '.', and begins with a letter or '_'"
    )])
}

/// Rules of `nodeSelector`.
pub(super) fn node_selector() -> Value {
    json!([rule(
        "!('kubernetes.io/os' in self) || self['kubernetes.io/os'] == 'linux'",
        "actions run on Linux nodes: leave kubernetes.io/os out, or write linux"
    )])
}

const RESERVED: &str = "keys of longshore.dev and app.kubernetes.io/managed-by are set by Longshore itself: choose another prefix";
const NOT_RESERVED: &str =
    "self.all(key, !key.startsWith('longshore.dev/') && key != 'app.kubernetes.io/managed-by')";

/// Rules of the pod's labels.
pub(super) fn labels() -> Value {
    json!([
        rule(NOT_RESERVED, RESERVED),
        rule(
            "self.all(key, size(key) <= 317 && self[key].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$'))",
            "a label's value has at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit"
        ),
    ])
}

/// Rules of the pod's annotations.
pub(super) fn annotations() -> Value {
    json!([rule(NOT_RESERVED, RESERVED)])
}

/// The largest whole number that every JSON reader takes for what it is: 2^53 - 1.
pub(super) const MAX_WHOLE: i64 = 9_007_199_254_740_991;

/// The schema of a map of quantities: `cpu: 1` as well as `memory: 256Mi`.
///
/// An exponent has two digits at most. One that is no number of 64 bits is an error where a policy
/// compares the quantity, and with one of nine digits the API server can be busy for longer than 25 s
/// (`apimachinery/pkg/api/resource/quantity.go`, tried): it writes long numbers out.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 64,
            "minimum": 0,
            "maximum": MAX_WHOLE,
            "pattern": r"^[+]?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$",
        },
    })
}

/// The schema of outputs: as long as the runner lets them be.
pub(super) fn outputs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": MAX_OUTPUT_BYTES},
    })
}

/// What [`super::crd`] puts where a type of Kubernetes' own says nothing of its bounds.
pub(super) fn bounds() -> BTreeMap<&'static str, (&'static str, u64)> {
    BTreeMap::from([
        ("string", ("maxLength", 1024)),
        ("array", ("maxItems", 64)),
        ("object", ("maxProperties", 64)),
    ])
}
