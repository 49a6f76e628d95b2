//! Rules of the script's pod.

use serde_json::{Value, json};

use super::rule::rule;

/// Rules of `podTemplate`.
pub(in crate::api) fn pod_template() -> Value {
    json!([rule(
        "!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && self.volumes.exists(volume, volume.name == mount.name))",
        "each entry of volumeMounts names a volume of podTemplate.volumes: correct the name, or add the volume"
    )])
}

/// The sources that a volume may have: those of Pod Security "restricted", without `image`, which would have no
/// digest.
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
pub(in crate::api) fn volume() -> Value {
    let given: Vec<String> = VOLUME_SOURCES.iter().map(|source| format!("has(self.{source})")).collect();
    json!([
        rule(
            &format!("[{}].filter(given, given).size() == 1", given.join(", ")),
            &format!(
                "a volume has exactly one source of {}: write one. hostPath is not offered, since a pod that sees its node's files controls the node",
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
pub(in crate::api) fn volume_mounts() -> Value {
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
pub(in crate::api) fn security_context() -> Value {
    json!([
        rule("!has(self.windowsOptions)", "actions run on Linux nodes: leave windowsOptions out"),
        rule(ROOT, ROOT_WORDS),
    ])
}

/// Rules of the container's security settings.
pub(in crate::api) fn container_security_context() -> Value {
    json!([
        rule("!has(self.windowsOptions)", "actions run on Linux nodes: leave windowsOptions out"),
        rule(ROOT, ROOT_WORDS),
        rule(
            "!has(self.privileged) || !self.privileged",
            "privileged containers are not offered, since they control the node: leave privileged out, and use podTemplate.securityProfile Baseline at most"
        ),
    ])
}

const ROOT: &str =
    "!has(self.runAsNonRoot) || !self.runAsNonRoot || !has(self.runAsUser) || self.runAsUser != 0";
const ROOT_WORDS: &str = "runAsUser 0 is root, which runAsNonRoot forbids: leave one of them out";

/// Rules of an object's name.
pub(in crate::api) fn object_name() -> Value {
    json!([rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "an object's name consists of lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit"
    )])
}

/// Rules of `nodeSelector`.
pub(in crate::api) fn node_selector() -> Value {
    json!([rule(
        "!('kubernetes.io/os' in self) || self['kubernetes.io/os'] == 'linux'",
        "actions run on Linux nodes: leave kubernetes.io/os out, or write linux"
    )])
}

const RESERVED: &str = "keys of longshore.dev and app.kubernetes.io/managed-by are set by Longshore itself: choose another prefix";
const NOT_RESERVED: &str =
    "self.all(key, !key.startsWith('longshore.dev/') && key != 'app.kubernetes.io/managed-by')";

/// Rules of the pod's labels.
pub(in crate::api) fn labels() -> Value {
    json!([
        rule(NOT_RESERVED, RESERVED),
        rule(
            "self.all(key, size(key) <= 317 && self[key].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$'))",
            "a label's value has at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit"
        ),
    ])
}

/// Rules of the pod's annotations.
pub(in crate::api) fn annotations() -> Value {
    json!([rule(NOT_RESERVED, RESERVED)])
}
