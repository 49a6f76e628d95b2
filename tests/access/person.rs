//! Somebody whom the test lets do certain things, and what they ask of the API server.

use std::time::Duration;

use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
};
use longshore::api::DeploymentAction;
use serde_json::{Value, json};

use crate::support::{
    namespace::{Namespace, client, within},
    rights::Subject,
};

/// How long a policy or what it reads may take to be seen after it was written.
pub(crate) const SEEN: Duration = Duration::from_secs(10);

pub(crate) struct Person {
    pub(crate) user: String,
    pub(crate) client: Client,
}

/// A rule of a role; without names.
pub(crate) fn rule(group: &str, resource: &str, verb: &str) -> Value {
    json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]})
}

/// A rule of a role on these objects.
pub(crate) fn on(resource: &str, verb: &str, names: &[&str]) -> Value {
    json!({"apiGroups": [""], "resources": [resource], "verbs": [verb], "resourceNames": names})
}

impl Person {
    /// A person with these rights in `namespace`, and no others.
    pub(crate) async fn new(namespace: &Namespace, user: &str, rules: &[Value]) -> Self {
        let person = Self::called(user).await;
        person.may(namespace, rules).await;
        person
    }

    /// A person without rights.
    pub(crate) async fn called(user: &str) -> Self {
        client().await;
        let mut config = Config::infer().await.expect("KUBECONFIG names a cluster");
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:authenticated".to_owned()]);
        Self { user: user.to_owned(), client: Client::try_from(config).expect("a client") }
    }

    pub(crate) async fn may(&self, namespace: &Namespace, rules: &[Value]) {
        namespace.lets(&self.subject(), &self.role_name(), rules).await;
    }

    /// Gives a role of the cluster's in `namespace`.
    pub(crate) async fn is(&self, namespace: &Namespace, role: &str) {
        namespace.lets_as(&self.subject(), &format!("{}-{role}", self.role_name()), role).await;
    }

    /// Gives rights in the whole cluster, until `namespace` goes.
    pub(crate) async fn may_everywhere(&self, namespace: &Namespace, rules: &[Value]) {
        namespace.lets_everywhere(&self.subject(), &self.role_name(), rules).await;
    }

    fn subject(&self) -> Subject {
        Subject::user(&self.user)
    }

    fn role_name(&self) -> String {
        self.user.replace(':', "-")
    }
}

/// An action that runs only when it is asked to, with `spec` on top.
pub(crate) fn action(name: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentAction",
        "metadata": {"name": name},
        "spec": {"image": "registry.example.com/tools:1", "runPolicy": "Manual", "script": {"inline": "echo"}},
    });
    for (field, value) in spec.as_object().expect("fields") {
        object["spec"][field] = value.clone();
    }
    object
}

/// Requests of `person` about actions.
pub(crate) struct Actions(pub(crate) Api<DeploymentAction>);

pub(crate) fn actions(person: &Person, namespace: &str) -> Actions {
    Actions(Api::namespaced(person.client.clone(), namespace))
}

/// The API server's words where it refuses.
pub(crate) fn refused<T>(answer: Result<T, kube::Error>) -> Result<T, String> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(other) => panic!("the API server did not answer: {other}"),
    }
}

impl Actions {
    pub(crate) async fn would_create(&self, spec: &Value) -> Result<(), String> {
        let object = serde_json::from_value(action("asked", spec)).expect("an action");
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        refused(self.0.create(&parameters, &object).await).map(|_| ())
    }

    pub(crate) async fn must_create(&self, spec: &Value) {
        within(SEEN, &format!("they may create {spec}"), async || match self.would_create(spec).await {
            Ok(()) => Some(()),
            Err(words) => {
                eprintln!("{words}");
                None
            }
        })
        .await;
    }

    pub(crate) async fn patch(&self, name: &str, patch: &Value) -> Result<DeploymentAction, String> {
        refused(self.0.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await)
    }

    pub(crate) async fn must_patch(&self, name: &str, patch: &Value) -> DeploymentAction {
        within(SEEN, &format!("they may patch {patch}"), async || match self.patch(name, patch).await {
            Ok(action) => Some(action),
            Err(words) => {
                eprintln!("{words}");
                None
            }
        })
        .await
    }
}

/// Each of the words is in the refusal.
pub(crate) fn says<T>(answer: Result<T, String>, words: &[&str]) {
    let Err(message) = answer else { panic!("allowed, and should say {words:?}") };
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}
