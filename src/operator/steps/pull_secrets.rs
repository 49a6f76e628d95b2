//! The step that reads credentials for a registry: the chart's, and Secrets that a namespace lets the
//! operator read by name. It reads a file and asks the API server, and writes nothing.

use std::path::Path;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client};

use crate::{
    operator::{call::call, spec::validate::Checked},
    registry::{ImageReference, Keyring, Origin, PullSecretForm},
};

/// The most pull Secrets of a service account that are read.
const MOST: usize = 8;

/// Credentials, and why others are not among them, for people.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub keyring: Keyring,
    /// The credentials that could not be used, and why.
    pub notes: Vec<String>,
}

/// The credentials that the chart gave the operator. The file is read each time, because the kubelet updates
/// it.
pub(super) async fn of_operator(file: Option<&Path>) -> Found {
    let mut found = Found::default();
    let Some(path) = file else { return found };
    match tokio::fs::read(path).await {
        Ok(content) => found.add(&Origin::Operator, PullSecretForm::DockerConfigJson, &content),
        Err(error) => found.notes.push(format!("--registry-credentials-file {}: {error}", path.display())),
    }
    found
}

/// The Secrets that the action names, or else those of its service account, as far as the namespace lets the
/// operator read them. The notes say what keeps `image` from being read.
pub(super) async fn of_namespace(client: &Client, action: &Checked, image: &ImageReference) -> Found {
    let mut found = Found::default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &action.namespace);
    let (origin, names) = names(client, action, &mut found).await;
    for name in names {
        let origin = origin(&name);
        match call(secrets.get_opt(&name)).await {
            Ok(Some(secret)) => found.add_secret(&origin, &secret, image),
            Ok(None) => found.note(format!("{origin} is not there")),
            Err(error) if error.code() == Some(403) => found.note(format!(
                "the operator may not read {origin} (grant its service account get on it by name to resolve tags without a pod)"
            )),
            // The API server's message may contain the name.
            Err(_) if is_hidden(&origin) => found.note(format!("{origin} cannot be read")),
            Err(error) => found.note(format!("{origin} cannot be read: {error}")),
        }
    }
    found
}

/// Whether readers of the action's status must not learn the Secret's name or content.
const fn is_hidden(origin: &Origin) -> bool {
    matches!(origin, Origin::ServiceAccount { .. })
}

/// The names of the Secrets, and their origin. As in the API server, a service account's Secrets count only
/// if the pod names none.
async fn names<'a>(
    client: &Client,
    action: &'a Checked,
    found: &mut Found,
) -> (Box<dyn Fn(&str) -> Origin + Send + 'a>, Vec<String>) {
    let namespace = || action.namespace.clone();
    let own = &action.spec.image_pull_secrets;
    if !own.is_empty() {
        let origin = move |name: &str| Origin::Secret { namespace: namespace(), name: name.to_owned() };
        return (Box::new(origin), own.iter().map(|secret| secret.name.clone()).collect());
    }
    let account = action.spec.service_account_name.as_deref().unwrap_or("default");
    let origin = move |_: &str| Origin::ServiceAccount { namespace: namespace(), name: account.to_owned() };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &action.namespace);
    let names = match call(accounts.get_opt(account)).await {
        Ok(account) => account
            .and_then(|account| account.image_pull_secrets)
            .unwrap_or_default()
            .into_iter()
            .take(MOST)
            .map(|secret| secret.name)
            .filter(|name| !name.is_empty())
            .collect(),
        Err(error) => {
            found.note(format!("service account {account} cannot be read: {error}"));
            Vec::new()
        }
    };
    (Box::new(origin), names)
}

impl Found {
    /// Adds a note once: the notes on a service account's Secrets are all alike.
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn add_secret(&mut self, origin: &Origin, secret: &Secret, image: &ImageReference) {
        let kind = secret.type_.as_deref().unwrap_or_default();
        let Some(form) = PullSecretForm::of_type(kind) else {
            self.note(format!("{origin} is of type {kind} and not kubernetes.io/dockerconfigjson"));
            return;
        };
        let key = form.data_key();
        match secret.data.as_ref().and_then(|data| data.get(key)) {
            Some(content) => {
                self.add(origin, form, &content.0);
                let mut alone = Keyring::default();
                if alone.add(origin, form, &content.0).is_ok() && alone.askers(image).is_empty() {
                    self.note(format!(
                        "{origin} has nothing for {}/{}",
                        image.registry(),
                        image.repository()
                    ));
                }
            }
            None => self.note(format!("{origin} has no key {key}")),
        }
    }

    fn add(&mut self, origin: &Origin, form: PullSecretForm, content: &[u8]) {
        match self.keyring.add(origin, form, content) {
            // The error names registries of the Secret.
            Err(_) if is_hidden(origin) => self.note(format!("{origin} cannot be used to pull images")),
            Err(error) => self.note(error.to_string()),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{ByteString, api::core::v1::LocalObjectReference};
    use kube::api::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        operator::{
            spec::validate::validate,
            testing::{
                objects::action,
                server::{failure, server},
            },
        },
        registry::ImageReference,
    };

    fn secret(kind: &str, content: &str) -> (u16, Value) {
        let data = [(".dockerconfigjson".to_owned(), ByteString(content.into()))].into();
        let secret = Secret {
            metadata: ObjectMeta { name: Some("topsecret".into()), ..Default::default() },
            type_: Some(kind.into()),
            data: Some(data),
            ..Default::default()
        };
        (200, serde_json::to_value(secret).unwrap())
    }

    /// The result if each Secret is answered like this, named by the action or by its service account.
    async fn found(by_name: bool, answer: (u16, Value)) -> Found {
        let (client, _) = server(move |request| {
            if request.path.ends_with("/serviceaccounts/deployer") {
                let secrets = json!([{"name": "topsecret"}, {"name": "topsecret-2"}]);
                return (200, json!({"metadata": {"name": "deployer"}, "imagePullSecrets": secrets}));
            }
            assert!(request.path.contains("/namespaces/shop/secrets/topsecret"), "{}", request.path);
            answer.clone()
        });
        let mut action = action();
        action.spec.service_account_name = Some("deployer".into());
        if by_name {
            let named = serde_json::to_value(LocalObjectReference { name: "topsecret".into() }).unwrap();
            action.spec.image_pull_secrets = serde_json::from_value(json!([named])).unwrap();
        }
        let checked = validate(&action, "amd64").unwrap();
        of_namespace(&client, &checked, &checked.image).await
    }

    #[tokio::test]
    async fn secrets_that_only_the_account_names_are_not_told() {
        const KIND: &str = "kubernetes.io/dockerconfigjson";
        for (answer, told) in [
            (failure(403, "Forbidden", "secrets \"topsecret\" is forbidden"), "the operator may not read"),
            (failure(404, "NotFound", "secrets \"topsecret\" not found"), "is not there"),
            (failure(500, "InternalError", "secrets \"topsecret\": etcd"), "cannot be read"),
            (secret("Opaque", "{}"), "is of type Opaque"),
            (secret(KIND, r#"{"auths":{"topsecret.example.com":{"auth":"!"}}}"#), "cannot be used"),
            (secret(KIND, r#"{"auths":{}}"#), "has nothing for registry.example.com/tools"),
            (
                secret(KIND, r#"{"auths":{"topsecret.example.com":{"auth":"Y2k6aHVzaA=="}}}"#),
                "has nothing for registry.example.com/tools",
            ),
        ] {
            let account = "a pull Secret of service account shop/deployer";
            let found_by_account = found(false, answer.clone()).await.notes;
            let [note] = &found_by_account[..] else { panic!("{found_by_account:?}") };
            assert!(note.contains(account) && note.contains(told), "{note}");
            assert!(!note.contains("topsecret"), "{note}");

            let found_by_name = found(true, answer).await.notes;
            let [note] = &found_by_name[..] else { panic!("{found_by_name:?}") };
            assert!(note.contains("Secret shop/topsecret") && note.contains(told), "{note}");
        }
        let image = ImageReference::parse("registry.example.com/tools:1").unwrap();
        // User "ci", password "hush".
        let good = secret(KIND, r#"{"auths":{"registry.example.com":{"auth":"Y2k6aHVzaA=="}}}"#);
        for (by_name, who) in [
            (false, "with the user and password of a pull Secret of service account shop/deployer"),
            (true, "as user ci of Secret shop/topsecret"),
        ] {
            let found = found(by_name, good.clone()).await;
            let askers: Vec<String> = found.keyring.askers(&image).iter().map(ToString::to_string).collect();
            assert_eq!((askers, found.notes), (vec![who.to_owned()], Vec::new()));
        }
    }
}
