//! The admission policies that come with Longshore, as data. The chart installs what is printed here, and the
//! operator compares the cluster with it.
//!
//! They are `ValidatingAdmissionPolicy` objects, and one `MutatingAdmissionPolicy`: the API server itself decides, without a webhook that could be
//! down. CEL costs from a budget (`apiserver/pkg/apis/cel/config.go`: 1,000,000 an expression, 10,000,000 a
//! policy, 2,500,000 for the match conditions). One question to the authorizer costs 350,000 of it
//! (`apiserver/pkg/cel/library/cost.go`). They use only what Kubernetes 1.33 knows: `distinct()`, for one, came
//! with 1.34.

mod actions;
mod differs;
mod latest;
mod operator;
mod parts;
mod requester;
mod stamps;

use serde_json::{Value, json};

pub use actions::{action_policy, cluster_binding, own_binding};
pub use differs::{BINDING, POLICY, differs, fault};
pub use latest::latest_policy;
pub use operator::{
    log_server_policy, operator_actions_policy, operator_leases_policy, operator_pods_policy,
    operator_secrets_policy,
};
pub use requester::{use_cluster_templates_policy, use_policy, use_templates_policy};
pub use stamps::{stamp_binding, stamp_check_policy, stamp_policy};

/// The policy on people who create or change an action: may they use what it names?
pub const USE: &str = "longshore-use";
/// The policy on people who create or change a template of a namespace.
pub const USE_TEMPLATES: &str = "longshore-use-templates";
/// The policy on people who create or change a template of the cluster.
pub const USE_CLUSTER_TEMPLATES: &str = "longshore-use-cluster-templates";
/// The policy that refuses the tag `latest`.
pub const LATEST: &str = "longshore-latest";
/// The policy on the pods that the operator creates, changes and deletes.
pub const OPERATOR_PODS: &str = "longshore-operator";
/// The policy on the Secrets that the operator creates.
pub const OPERATOR_SECRETS: &str = "longshore-operator-secrets";
/// The policy on the Leases that the operator writes.
pub const OPERATOR_LEASES: &str = "longshore-operator-leases";
/// The policy on the actions that the operator deletes.
pub const OPERATOR_ACTIONS: &str = "longshore-operator-actions";
/// The policy on the `APIService` that the log server makes.
pub const LOG_SERVER: &str = "longshore-log-server";

/// The policy that holds actions to the `ActionPolicy` of their namespace and of the cluster, and its
/// binding for the namespace's.
pub const ACTION_POLICY: &str = "longshore-action-policy";
/// Its binding for the cluster's.
pub const ACTION_POLICY_CLUSTER: &str = "longshore-action-policy-cluster";

/// The policies that record who asked.
pub const REQUESTER: &str = "longshore-requester";

/// A placeholder for the operator's user in the printed policies. The chart replaces it by
/// `system:serviceaccount:NAMESPACE:NAME`.
pub const OPERATOR_USER: &str = "system:serviceaccount:LONGSHORE-NAMESPACE:LONGSHORE-SERVICE-ACCOUNT";

/// The log server's user is the operator's with this ending.
pub const LOG_SERVER_ENDING: &str = "-logs";

/// A placeholder for the operator's namespace.
pub const OPERATOR_NAMESPACE: &str = "LONGSHORE-NAMESPACE";

/// The spec of the binding of the policy with this name: everywhere, and as a refusal, not as a warning.
#[must_use]
pub fn binding(policy: &str) -> Value {
    json!({"policyName": policy, "validationActions": ["Deny"]})
}

/// The policies on what people name, by name. Without one of them somebody could gain rights by an action.
#[must_use]
pub fn use_policies() -> [(&'static str, Value); 3] {
    [
        (USE, use_policy()),
        (USE_TEMPLATES, use_templates_policy()),
        (USE_CLUSTER_TEMPLATES, use_cluster_templates_policy()),
    ]
}

/// All policies with their bindings, ready to apply. `operator_user` is `system:serviceaccount:NAMESPACE:NAME`.
#[must_use]
pub fn documents(operator_user: &str) -> Vec<Value> {
    let operator_namespace = operator_user.split(':').nth(2).unwrap_or_default();
    let log_user = format!("{operator_user}{LOG_SERVER_ENDING}");
    let mut documents: Vec<Value> = use_policies()
        .into_iter()
        .chain([
            (LATEST, latest_policy()),
            (OPERATOR_PODS, operator_pods_policy(operator_user)),
            (OPERATOR_SECRETS, operator_secrets_policy(operator_user, operator_namespace)),
            (OPERATOR_LEASES, operator_leases_policy(operator_user, operator_namespace)),
            (OPERATOR_ACTIONS, operator_actions_policy(operator_user)),
            (LOG_SERVER, log_server_policy(&log_user, operator_namespace)),
        ])
        .flat_map(|(name, spec)| {
            [
                object("ValidatingAdmissionPolicy", name, &spec),
                object("ValidatingAdmissionPolicyBinding", name, &binding(name)),
            ]
        })
        .collect();
    let cluster = cluster_binding(ACTION_POLICY, operator_namespace);
    documents.extend([
        object("ValidatingAdmissionPolicy", ACTION_POLICY, &action_policy()),
        object("ValidatingAdmissionPolicyBinding", ACTION_POLICY, &own_binding(ACTION_POLICY)),
        object("ValidatingAdmissionPolicyBinding", ACTION_POLICY_CLUSTER, &cluster),
    ]);
    documents.extend([
        object("MutatingAdmissionPolicy", REQUESTER, &stamp_policy()),
        object("MutatingAdmissionPolicyBinding", REQUESTER, &stamp_binding(REQUESTER)),
        object("ValidatingAdmissionPolicy", REQUESTER, &stamp_check_policy()),
        object("ValidatingAdmissionPolicyBinding", REQUESTER, &binding(REQUESTER)),
    ]);
    documents
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_its_binding_and_fails_closed() {
        let documents = documents(OPERATOR_USER);
        let (policies, bindings): (Vec<_>, Vec<_>) =
            documents.iter().partition(|document| !document["kind"].as_str().unwrap().ends_with("Binding"));
        assert_eq!((policies.len(), bindings.len()), (12, 13));
        for policy in policies {
            assert_eq!(policy["spec"]["failurePolicy"], "Fail");
            let name = &policy["metadata"]["name"];
            assert!(bindings.iter().any(|binding| binding["metadata"]["name"] == *name), "{name}");
        }
        for binding in bindings {
            if binding["kind"] == "ValidatingAdmissionPolicyBinding" {
                assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
            }
            let name = binding["metadata"]["name"].as_str().unwrap();
            assert!(name.starts_with(binding["spec"]["policyName"].as_str().unwrap()), "{name}");
        }
    }

    #[test]
    fn printed_and_read_again_nothing_is_lost() {
        for document in documents(OPERATOR_USER) {
            let text = serde_saphyr::to_string(&document).unwrap();
            assert!(!text.contains("\n---"), "the chart splits the documents there: {text}");
            assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), document);
        }
    }

    #[test]
    fn the_operator_s_user_is_where_the_chart_puts_it() {
        let of = |user: &str| serde_json::to_string(&documents(user)).unwrap();
        let user = "system:serviceaccount:system:ship";
        let put = of(OPERATOR_USER).replace(OPERATOR_USER, user).replace(OPERATOR_NAMESPACE, "system");
        assert_eq!(put, of(user));
        assert_eq!(of(OPERATOR_USER).matches(OPERATOR_USER).count(), 5);
    }

    #[test]
    fn the_cluster_s_action_policy_is_the_one_of_the_operator_s_namespace() {
        let documents = documents("system:serviceaccount:system:ship");
        let binding = documents.iter().find(|one| one["metadata"]["name"] == ACTION_POLICY_CLUSTER).unwrap();
        let by = json!({"namespace": "system", "selector": {}, "parameterNotFoundAction": "Allow"});
        assert_eq!(binding["spec"]["paramRef"], by);
    }
}
