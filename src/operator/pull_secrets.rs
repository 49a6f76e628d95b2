//! The step that reads credentials for a registry: the chart's, and Secrets that a namespace lets
//! the operator read by name. It asks the API server and a file, and writes nothing.

use std::path::Path;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client};

use super::{call, validate::Checked};
use crate::registry::{Keyring, Origin, PullSecretForm};

/// So many pull Secrets of a service account are read at most.
const MOST: usize = 8;

/// Credentials, and what kept others from being among them, for people.
#[derive(Debug, Default)]
pub struct Found {
    /// The credentials.
    pub keyring: Keyring,
    /// Which could not be had, and why.
    pub notes: Vec<String>,
}

/// The credentials that the chart gave the operator. The file is read each time: the kubelet brings
/// it up to date.
pub async fn of_operator(file: Option<&Path>) -> Found {
    let mut found = Found::default();
    let Some(path) = file else { return found };
    match tokio::fs::read(path).await {
        Ok(content) => found.add(&Origin::Operator, PullSecretForm::DockerConfigJson, &content),
        Err(error) => found.notes.push(format!("--registry-credentials-file {}: {error}", path.display())),
    }
    found
}

/// The Secrets that the action names, or else those of its service account, as far as the namespace
/// lets the operator read them.
pub async fn of_namespace(client: &Client, action: &Checked) -> Found {
    let mut found = Found::default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &action.namespace);
    for name in names(client, action, &mut found).await {
        let origin = Origin::Secret { namespace: action.namespace.clone(), name: name.clone() };
        match call(secrets.get_opt(&name)).await {
            Ok(Some(secret)) => found.add_secret(&origin, &secret),
            Ok(None) => found.notes.push(format!("{origin} is not there")),
            Err(error) if error.code() == Some(403) => found.notes.push(format!(
                "the operator may not read {origin} (grant its service account get on it by name to resolve tags without a pod)"
            )),
            Err(error) => found.notes.push(format!("{origin} cannot be read: {error}")),
        }
    }
    found
}

/// As the API server does it for pods: a service account's count where the pod names none.
async fn names(client: &Client, action: &Checked, found: &mut Found) -> Vec<String> {
    let own = &action.spec.image_pull_secrets;
    if !own.is_empty() {
        return own.iter().map(|secret| secret.name.clone()).collect();
    }
    let account = action.spec.service_account_name.as_deref().unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &action.namespace);
    match call(accounts.get_opt(account)).await {
        Ok(account) => account
            .and_then(|account| account.image_pull_secrets)
            .unwrap_or_default()
            .into_iter()
            .take(MOST)
            .map(|secret| secret.name)
            .filter(|name| !name.is_empty())
            .collect(),
        Err(error) => {
            found.notes.push(format!("service account {account} cannot be read: {error}"));
            Vec::new()
        }
    }
}

impl Found {
    fn add_secret(&mut self, origin: &Origin, secret: &Secret) {
        let kind = secret.type_.as_deref().unwrap_or_default();
        let Some(form) = PullSecretForm::of_type(kind) else {
            self.notes.push(format!("{origin} is of type {kind} and not kubernetes.io/dockerconfigjson"));
            return;
        };
        let key = form.data_key();
        match secret.data.as_ref().and_then(|data| data.get(key)) {
            Some(content) => self.add(origin, form, &content.0),
            None => self.notes.push(format!("{origin} has no key {key}")),
        }
    }

    fn add(&mut self, origin: &Origin, form: PullSecretForm, content: &[u8]) {
        if let Err(error) = self.keyring.add(origin, form, content) {
            self.notes.push(error.to_string());
        }
    }
}
