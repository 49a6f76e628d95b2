//! Rights that a test gives and takes. The authorizer hears of roles and bindings a moment after they
//! are written, by a watch; what is here returns when it has heard.

use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use super::namespace::{Namespace, until};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A user or service account that gets rights.
pub(crate) struct Subject {
    /// As the authorizer calls them.
    user: String,
    /// As a binding names them.
    named: Value,
}

impl Subject {
    pub(crate) fn user(name: &str) -> Self {
        Self { user: name.to_owned(), named: json!({"apiGroup": GROUP, "kind": "User", "name": name}) }
    }

    pub(crate) fn account(namespace: &str, name: &str) -> Self {
        Self {
            user: format!("system:serviceaccount:{namespace}:{name}"),
            named: json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        }
    }

    /// The operator that the suite deploys.
    pub(crate) fn operator() -> Self {
        Self::account("longshore-system", "longshore")
    }
}

impl Namespace {
    /// They may do in this namespace what a new role says.
    pub(crate) async fn lets(&self, subject: &Subject, role: &str, rules: &[Value]) {
        self.put::<Role>(json!({"metadata": {"name": role}, "rules": rules})).await;
        self.bind(subject, role, "Role", role).await;
        self.allows(subject, rules).await;
    }

    /// The operator may read these Secrets, by the role `pull`.
    pub(crate) async fn lets_operator_read(&self, secrets: &[&str]) {
        let rules = [
            json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": secrets, "verbs": ["get"]}),
        ];
        self.lets(&Subject::operator(), "pull", &rules).await;
    }

    /// They have a role of the cluster's in this namespace.
    pub(crate) async fn lets_as(&self, subject: &Subject, binding: &str, role: &str) {
        self.bind(subject, binding, "ClusterRole", role).await;
        let role = Api::<ClusterRole>::all(self.client.clone()).get(role).await.expect("the role");
        self.allows(subject, &values(role.rules)).await;
    }

    /// They may do in the whole cluster what a new role says, until this namespace goes.
    pub(crate) async fn lets_everywhere(&self, subject: &Subject, name: &str, rules: &[Value]) {
        let name = format!("{}-{name}", self.name);
        let metadata = json!({"name": name, "ownerReferences": [self.as_owner().await]});
        let object = json!({"metadata": metadata, "rules": rules});
        let bound = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [subject.named],
        });
        Api::<ClusterRole>::all(self.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(object).expect("a role"))
            .await
            .expect("creating a role");
        Api::<ClusterRoleBinding>::all(self.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(bound).expect("a binding"))
            .await
            .expect("creating a binding");
        counted(&self.client, subject, None, rules, true).await;
    }

    /// Takes back what [`Namespace::lets`] gave.
    pub(crate) async fn lets_no_more(&self, subject: &Subject, role: &str) {
        let live = self.api::<Role>().get(role).await.expect("the role");
        self.api::<RoleBinding>().delete(role, &DeleteParams::default()).await.expect("deleting a binding");
        counted(&self.client, subject, Some(&self.name), &values(live.rules), false).await;
    }

    /// Waits until the authorizer has heard of rights that the test gave in another way.
    pub(crate) async fn allows(&self, subject: &Subject, rules: &[Value]) {
        counted(&self.client, subject, Some(&self.name), rules, true).await;
    }

    async fn bind(&self, subject: &Subject, name: &str, kind: &str, role: &str) {
        self.put::<RoleBinding>(json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
            "subjects": [subject.named],
        }))
        .await;
    }
}

fn values(rules: Option<Vec<PolicyRule>>) -> Vec<Value> {
    rules.into_iter().flatten().map(|rule| serde_json::to_value(rule).expect("a rule")).collect()
}

/// Waits until the API server's authorizer allows, or no longer allows, what each rule does. A role is
/// heard of whole or not at all, so that one question for a rule is enough.
async fn counted(
    client: &Client,
    subject: &Subject,
    namespace: Option<&str>,
    rules: &[Value],
    allowed: bool,
) {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    for rule in rules.iter().filter(|rule| rule["resources"].is_array()) {
        let (resource, subresource) = match rule["resources"][0].as_str().expect("a resource") {
            whole if whole.contains('/') => whole.split_once('/').expect("a subresource"),
            resource => (resource, ""),
        };
        let review = json!({"spec": {
            "user": subject.user,
            "resourceAttributes": {
                "group": rule["apiGroups"][0],
                "resource": resource,
                "subresource": subresource,
                "verb": rule["verbs"][0],
                "name": rule["resourceNames"][0],
                "namespace": namespace,
            },
        }});
        let review = serde_json::from_value(review).expect("a review");
        let what = format!("{} may{} do {rule}", subject.user, if allowed { "" } else { " no longer" });
        until(&what, async || {
            let answer =
                reviews.create(&PostParams::default(), &review).await.expect("asking the authorizer");
            (answer.status.is_some_and(|status| status.allowed) == allowed).then_some(())
        })
        .await;
    }
}
