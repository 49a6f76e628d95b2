//! Limits on the operator's own user, in every namespace: on pods, Secrets, Leases and actions. They hold even
//! if its credentials are stolen.

use serde_json::{Value, json};

use super::parts::{must, variable};
use crate::api::names::{
    GROUP, LABEL_MANAGED_BY, LEASE_PREFIX, LOG_API_SERVICE, MANAGED_BY, OUTPUTS_KEYS, OUTPUTS_KEYS_TYPE,
    OUTPUTS_TYPE,
};

/// The capabilities that Pod Security "baseline" allows
/// (`k8s.io/pod-security-admission/policy/check_capabilities_baseline.go`). Inside a user namespace any
/// capability is harmless.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The spec of the policy on the pods of `user`. The pods that it creates run an action and stay inside their
/// sandbox. It touches no other pods.
#[must_use]
pub fn operator_pods_policy(user: &str) -> Value {
    let created = |rule: &str| format!("request.operation != 'CREATE' || {rule}");
    let updated = |rule: &str| format!("request.operation != 'UPDATE' || {rule}");
    let capabilities = CAPABILITIES.map(|name| format!("'{name}'")).join(", ");
    // The settings of any container that would open the sandbox.
    let none = |open: &str| created(&format!("!variables.containers.exists(container, {open})"));
    let unconfined = |settings: &str| {
        format!(
            "({settings}.?seccompProfile.?type.orValue('') == 'Unconfined' || {settings}.?appArmorProfile.?type.orValue('') == 'Unconfined')"
        )
    };
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": of(("", "v1"), "pods", &["CREATE", "UPDATE", "DELETE"]),
        "matchConditions": by(user),
        "variables": [
            variable(
                "managed",
                &format!(
                    "(request.operation == 'CREATE' ? object : oldObject).metadata.?labels[?'{LABEL_MANAGED_BY}'].orValue('') == '{MANAGED_BY}' \
                     || (request.operation == 'UPDATE' && {})",
                    // The operator must still release a pod that lost its label, or its namespace never ends.
                    owned("oldObject")
                ),
            ),
            variable(
                "containers",
                "object == null ? [] : object.spec.containers + object.spec.?initContainers.orValue([])",
            ),
            variable("ownUsers", "object != null && !object.spec.?hostUsers.orValue(true)"),
        ],
        "validations": [
            must(
                "variables.managed",
                &format!(
                    "Longshore's operator creates, changes and deletes only pods with the label {LABEL_MANAGED_BY}={MANAGED_BY}"
                ),
            ),
            must(
                &created(&format!("({})", owned("object"))),
                "Longshore's operator creates only pods that a DeploymentAction controls",
            ),
            must(
                &created("!object.spec.?volumes.orValue([]).exists(volume, has(volume.hostPath))"),
                "Longshore's operator creates no pods with hostPath volumes",
            ),
            must(
                &created(
                    "(!object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false) && !object.spec.?hostIPC.orValue(false))",
                ),
                "Longshore's operator creates no pods with hostNetwork, hostPID or hostIPC",
            ),
            must(
                &none("container.?securityContext.?privileged.orValue(false)"),
                "Longshore's operator creates no privileged containers",
            ),
            must(
                &none(&format!(
                    "!variables.ownUsers && container.?securityContext.?capabilities.?add.orValue([]).exists(name, !(name in [{capabilities}]))"
                )),
                "Longshore's operator adds no capabilities beyond those of Pod Security baseline, unless the pod has a user namespace of its own",
            ),
            must(
                &none("!variables.ownUsers && container.?securityContext.?procMount.orValue('Default') != 'Default'"),
                "Longshore's operator unmasks /proc only where the pod has a user namespace of its own",
            ),
            must(
                &created(&format!(
                    "!({} || variables.containers.exists(container, {}))",
                    unconfined("object.spec.?securityContext"),
                    unconfined("container.?securityContext"),
                )),
                "Longshore's operator creates no pods without seccomp or AppArmor (type Unconfined)",
            ),
            must(
                &none("container.?ports.orValue([]).exists(port, port.?hostPort.orValue(0) != 0)"),
                "Longshore's operator creates no pods with ports of their node (hostPort)",
            ),
            must(
                &created("object.spec.?nodeName.orValue('') == ''"),
                "Longshore's operator leaves the choice of a pod's node to the scheduler",
            ),
            must(
                &updated(
                    "(object.metadata.?labels == oldObject.metadata.?labels && object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences)",
                ),
                "Longshore's operator changes no labels and no owner of a pod: of its metadata, annotations and finalizers only",
            ),
            must(
                // The pod's spec is read as a map, so fields that Kubernetes may make mutable later are held too.
                &updated(
                    "(dyn(object.spec).all(field, field == 'activeDeadlineSeconds' || (field in dyn(oldObject.spec) && dyn(object.spec)[field] == dyn(oldObject.spec)[field])) \
                     && dyn(oldObject.spec).all(field, field in dyn(object.spec)))",
                ),
                "Longshore's operator changes nothing of a pod's spec but activeDeadlineSeconds",
            ),
            must(
                &updated(
                    "(!has(object.spec.activeDeadlineSeconds) || !has(oldObject.spec.activeDeadlineSeconds) || object.spec.activeDeadlineSeconds <= oldObject.spec.activeDeadlineSeconds)",
                ),
                "Longshore's operator raises no pod's activeDeadlineSeconds",
            ),
        ],
    })
}

/// The spec of the policy on the Secrets that `user` creates: outputs of an action, and in `namespace`, its own, the
/// Secret with its keys.
#[must_use]
pub fn operator_secrets_policy(user: &str, namespace: &str) -> Value {
    let or_keys = |rule: &str| format!("variables.keys || {rule}");
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": of(("", "v1"), "secrets", &["CREATE", "UPDATE", "DELETE"]),
        "matchConditions": by(user),
        "variables": [variable(
            "keys",
            &format!(
                "request.operation == 'CREATE' && request.namespace == '{namespace}' && object.metadata.?name.orValue('') == '{OUTPUTS_KEYS}' \
                 && object.?type.orValue('') == '{OUTPUTS_KEYS_TYPE}'"
            ),
        )],
        "validations": [
            must(
                "request.operation == 'CREATE'",
                "Longshore's operator changes and deletes no Secrets",
            ),
            must(
                // One of type kubernetes.io/service-account-token would be filled with a token.
                &or_keys(&format!("(object != null && object.?type.orValue('') == '{OUTPUTS_TYPE}')")),
                &format!(
                    "Longshore's operator creates only Secrets of the type {OUTPUTS_TYPE}, and {OUTPUTS_KEYS} in its own namespace"
                ),
            ),
            must(
                &or_keys("(object != null && object.?immutable.orValue(false) == true)"),
                "Longshore's operator creates only immutable Secrets",
            ),
            must(
                &or_keys(&format!("(object != null && {})", owned("object"))),
                "Longshore's operator creates only Secrets that a DeploymentAction controls",
            ),
        ],
    })
}

/// The spec of the policy on the Leases that `user` writes: those of locks, and the one in `namespace`, its
/// own, that says which replica works. RBAC cannot limit a right to the beginning of a name, and other Leases
/// say which nodes are healthy.
#[must_use]
pub fn operator_leases_policy(user: &str, namespace: &str) -> Value {
    let managed = |object: &str| {
        format!("{object}.metadata.?labels[?'{LABEL_MANAGED_BY}'].orValue('') == '{MANAGED_BY}'")
    };
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": of(("coordination.k8s.io", "v1"), "leases", &["CREATE", "UPDATE", "DELETE"]),
        "matchConditions": by(user),
        "variables": [
            variable("before", "request.operation == 'CREATE' ? object : oldObject"),
            variable("after", "request.operation == 'DELETE' ? oldObject : object"),
        ],
        "validations": [must(
            &format!(
                "(request.namespace == '{namespace}' && variables.before.metadata.name == 'longshore' && request.operation != 'DELETE')                  || (variables.before.metadata.name.startsWith('{LEASE_PREFIX}') && {} && {})",
                managed("variables.before"),
                managed("variables.after"),
            ),
            &format!(
                "Longshore's operator writes only the Leases of locks, {LEASE_PREFIX}NAME with the label {LABEL_MANAGED_BY}={MANAGED_BY}, and its own"
            ),
        )],
    })
}

/// The spec of the policy on the actions that `user` deletes: actions with a TTL whose run has ended.
#[must_use]
pub fn operator_actions_policy(user: &str) -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": of((GROUP, "v1alpha1"), "deploymentactions", &["DELETE"]),
        "matchConditions": by(user),
        "validations": [
            must(
                "(has(oldObject.spec.ttlSecondsAfterFinished) && dyn(oldObject.spec.ttlSecondsAfterFinished) != null                  && oldObject.metadata.?generateName.orValue('') != '')",
                "Longshore's operator deletes only actions with metadata.generateName and spec.ttlSecondsAfterFinished",
            ),
            must(
                "oldObject.?status.?conditions.orValue([]).exists(one, one.type == 'Finished' && one.status == 'True')",
                "Longshore's operator deletes only actions whose run has ended",
            ),
        ],
    })
}

/// The spec of the policy on the `APIService`s that `user`, the log server, writes: its own, with its server in
/// `namespace`. RBAC cannot limit a creation to a name, and an `APIService` takes over a whole API group.
#[must_use]
pub fn log_server_policy(user: &str, namespace: &str) -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": of(("apiregistration.k8s.io", "v1"), "apiservices", &["CREATE", "UPDATE"]),
        "matchConditions": by(user),
        "validations": [must(
            &format!(
                "object.metadata.name == '{LOG_API_SERVICE}' && object.spec.?service.?namespace.orValue('') == '{namespace}'"
            ),
            &format!("Longshore's log server writes only the APIService {LOG_API_SERVICE}, for itself"),
        )],
    })
}

fn of((group, version): (&str, &str), resource: &str, operations: &[&str]) -> Value {
    json!({
        "matchPolicy": "Equivalent",
        "resourceRules": [{
            "apiGroups": [group],
            "apiVersions": [version],
            "resources": [resource],
            "operations": operations,
        }],
    })
}

fn by(user: &str) -> Value {
    json!([{"name": "operator", "expression": format!("request.userInfo.username == '{user}'")}])
}

/// Whether a `DeploymentAction` controls `object`.
fn owned(object: &str) -> String {
    format!(
        "{object}.metadata.?ownerReferences.orValue([]).exists(owner, owner.apiVersion.startsWith('{GROUP}/') && owner.kind == 'DeploymentAction' && owner.?controller.orValue(false))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_operator_who_is_judged_and_nobody_else() {
        for policy in [
            operator_pods_policy("system:serviceaccount:a:b"),
            operator_secrets_policy("system:serviceaccount:a:b", "a"),
            operator_leases_policy("system:serviceaccount:a:b", "a"),
            operator_actions_policy("system:serviceaccount:a:b"),
            log_server_policy("system:serviceaccount:a:b", "a"),
        ] {
            assert_eq!(
                policy["matchConditions"],
                json!([{"name": "operator", "expression": "request.userInfo.username == 'system:serviceaccount:a:b'"}])
            );
        }
    }
}
