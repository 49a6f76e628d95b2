//! What the operator's own user may do with pods and Secrets, in every namespace: it holds even
//! where its credentials are stolen.

use serde_json::{Value, json};

use super::{must, variable};
use crate::api::{GROUP, LABEL_MANAGED_BY, MANAGED_BY};

/// The spec of the policy on the pods of `user`: those it creates run an action and stay inside
/// their sandbox, and it touches no others.
#[must_use]
pub fn operator_pods_policy(user: &str) -> Value {
    let created = |rule: &str| format!("request.operation != 'CREATE' || {rule}");
    let updated = |rule: &str| format!("request.operation != 'UPDATE' || {rule}");
    let privileged = "exists(container, container.?securityContext.?privileged.orValue(false))";
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": of("pods", &["CREATE", "UPDATE", "DELETE"]),
        "matchConditions": by(user),
        "variables": [
            variable(
                "managed",
                &format!(
                    "(request.operation == 'CREATE' ? object : oldObject).metadata.?labels[?'{LABEL_MANAGED_BY}'].orValue('') == '{MANAGED_BY}'"
                ),
            ),
        ],
        "validations": [
            must(
                "variables.managed",
                &format!(
                    "Longshore's operator creates, changes and deletes only pods with the label {LABEL_MANAGED_BY}={MANAGED_BY}"
                ),
            ),
            must(
                &created(&format!("({})", owned())),
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
                &created(&format!(
                    "!(object.spec.containers.{privileged} || object.spec.?initContainers.orValue([]).{privileged})"
                )),
                "Longshore's operator creates no privileged containers",
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
                // A pod's spec as a map: a field that Kubernetes lets be changed one day is held too.
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

/// The spec of the policy on the Secrets that `user` creates: outputs of an action.
#[must_use]
pub fn operator_secrets_policy(user: &str) -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": of("secrets", &["CREATE"]),
        "matchConditions": by(user),
        "validations": [
            must(
                // One of type kubernetes.io/service-account-token would be filled with a token.
                &format!("object.?type.orValue('') == '{GROUP}/outputs'"),
                &format!("Longshore's operator creates only Secrets of the type {GROUP}/outputs"),
            ),
            must(
                "object.?immutable.orValue(false) == true",
                "Longshore's operator creates only immutable Secrets",
            ),
            must(&owned(), "Longshore's operator creates only Secrets that a DeploymentAction controls"),
        ],
    })
}

fn of(resource: &str, operations: &[&str]) -> Value {
    json!({
        "matchPolicy": "Equivalent",
        "resourceRules": [{
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": [resource],
            "operations": operations,
        }],
    })
}

fn by(user: &str) -> Value {
    json!([{"name": "operator", "expression": format!("request.userInfo.username == '{user}'")}])
}

/// That a `DeploymentAction` controls the object.
fn owned() -> String {
    format!(
        "object.metadata.?ownerReferences.orValue([]).exists(owner, owner.apiVersion.startsWith('{GROUP}/') && owner.kind == 'DeploymentAction' && owner.?controller.orValue(false))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_operator_who_is_judged_and_nobody_else() {
        for policy in [
            operator_pods_policy("system:serviceaccount:a:b"),
            operator_secrets_policy("system:serviceaccount:a:b"),
        ] {
            assert_eq!(
                policy["matchConditions"],
                json!([{"name": "operator", "expression": "request.userInfo.username == 'system:serviceaccount:a:b'"}])
            );
        }
    }
}
