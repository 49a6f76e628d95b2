//! Finds objects by name, and says where they may be if they are not there.

use std::fmt::Debug;

use kube::{
    Api, Resource,
    api::{ListParams, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

use super::{connect::Session, error::CliError, right::quoted};
use crate::api::DeploymentAction;

/// The most names that are looked through, or shown.
const MANY: u32 = 2000;
const SHOWN: usize = 3;

impl Session {
    /// The actions of the session's namespace.
    #[must_use]
    pub fn actions(&self) -> Api<DeploymentAction> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The action of this name in the session's namespace.
    ///
    /// # Errors
    /// It cannot be read. If it does not exist, the error says the nearest names, or the namespace that has it.
    pub async fn action(&self, name: &str) -> Result<DeploymentAction, CliError> {
        match self.actions().get(name).await {
            Ok(action) => Ok(action),
            Err(error) => Err(self.missing_action(name, error).await),
        }
    }

    /// What to say if a call that names an action failed.
    pub async fn missing_action(&self, name: &str, error: kube::Error) -> CliError {
        match CliError::from(error) {
            CliError::NotFound(_) => {
                let everywhere: Api<DeploymentAction> = Api::all(self.client.clone());
                self.missing("action", name, &self.actions(), &everywhere).await
            }
            other => other,
        }
    }

    /// What to say about an object that does not exist. What may not be read is not looked at.
    pub(super) async fn missing<K>(
        &self,
        kind: &str,
        name: &str,
        here: &Api<K>,
        everywhere: &Api<K>,
    ) -> CliError
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let by_name = ListParams::default().fields(&format!("metadata.name={name}")).limit(20);
        let elsewhere = names(everywhere, &by_name, |meta| meta.metadata.namespace.clone()).await;
        let near = if elsewhere.is_empty() {
            let page = ListParams::default().limit(MANY);
            nearest(name, names(here, &page, |meta| meta.metadata.name.clone()).await)
        } else {
            Vec::new()
        };
        CliError::NotFound(missing_text(kind, name, &self.namespace, &elsewhere, &near))
    }
}

async fn names<K>(
    api: &Api<K>,
    parameters: &ListParams,
    part: impl Fn(&PartialObjectMeta<K>) -> Option<String>,
) -> Vec<String>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    match api.list_metadata(parameters).await {
        Ok(list) => list.items.iter().filter_map(part).collect(),
        Err(_) => Vec::new(),
    }
}

/// The names that are most like a name.
#[must_use]
pub(super) fn nearest(name: &str, mut others: Vec<String>) -> Vec<String> {
    let likeness = |other: &String| strsim::jaro_winkler(name, other);
    others.retain(|other| likeness(other) >= 0.75);
    others.sort_by(|one, other| likeness(other).total_cmp(&likeness(one)).then_with(|| one.cmp(other)));
    others.truncate(SHOWN);
    others
}

fn missing_text(kind: &str, name: &str, namespace: &str, elsewhere: &[String], near: &[String]) -> String {
    let mut text = format!("the namespace {namespace} has no {kind} {name}");
    if let Some(first) = elsewhere.first() {
        let shown: Vec<&str> = elsewhere.iter().take(SHOWN).map(String::as_str).collect();
        text.push_str(&format!(
            "\nit is in another namespace ({}): add -n {}",
            shown.join(", "),
            quoted(first)
        ));
    } else if !near.is_empty() {
        text.push_str(&format!("\nnames like it: {}", near.join(", ")));
    } else {
        text.push_str(&format!("\nkubectl longshore list -n {} shows what is there", quoted(namespace)));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operator::testing::server::{failure, server};

    async fn said(elsewhere: &'static [&'static str], here: &'static [&'static str]) -> String {
        let (client, _) = server(move |request| {
            let item = |name: &str, namespace: &str| {
                json!({"metadata": {"name": name, "namespace": namespace},
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"})
            };
            let list = |items: Vec<serde_json::Value>| {
                let kind = "PartialObjectMetadataList";
                (200, json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items}))
            };
            match request.path.as_str() {
                "/apis/longshore.dev/v1alpha1/deploymentactions" => {
                    list(elsewhere.iter().map(|namespace| item("deploy", namespace)).collect())
                }
                "/apis/longshore.dev/v1alpha1/namespaces/shop/deploymentactions" => {
                    list(here.iter().map(|name| item(name, "shop")).collect())
                }
                _ => {
                    let (code, mut status) = failure(404, "NotFound", "not found");
                    status["details"] = json!({"name": "deploy"});
                    (code, status)
                }
            }
        });
        let session = Session { client, namespace: "shop".to_owned(), server: String::new() };
        let error = session.action("deploy").await.unwrap_err();
        assert_eq!(error.code(), super::super::error::NOT_FOUND);
        error.to_string()
    }

    #[tokio::test]
    async fn an_action_that_is_not_there_may_be_elsewhere_or_have_another_name() {
        insta::assert_snapshot!(said(&["prod", "test"], &[]).await, @r"
        the namespace shop has no action deploy
        it is in another namespace (prod, test): add -n prod
        ");
        insta::assert_snapshot!(said(&[], &["deploi", "deploy-orders", "zebra"]).await, @r"
        the namespace shop has no action deploy
        names like it: deploi, deploy-orders
        ");
        insta::assert_snapshot!(said(&[], &["zebra"]).await, @r"
        the namespace shop has no action deploy
        kubectl longshore list -n shop shows what is there
        ");
    }
}
