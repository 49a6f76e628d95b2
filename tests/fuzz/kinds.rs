//! The kinds of resources that are sent.

use kube::Client;
use serde_json::Value;

/// One of Longshore's kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Action,
    Template,
    ClusterTemplate,
    Policy,
}

/// How many resources of each kind there are.
const MIX: [(Kind, usize); 4] =
    [(Kind::Action, 13), (Kind::Template, 3), (Kind::ClusterTemplate, 2), (Kind::Policy, 2)];

impl Kind {
    /// The kinds by how often they are sent.
    pub(crate) fn mixed() -> Vec<Self> {
        MIX.iter().flat_map(|(kind, times)| std::iter::repeat_n(*kind, *times)).collect()
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        MIX.iter().map(|(kind, _)| *kind)
    }

    /// As manifests have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Action => "DeploymentAction",
            Self::Template => "DeploymentActionTemplate",
            Self::ClusterTemplate => "ClusterDeploymentActionTemplate",
            Self::Policy => "ActionPolicy",
        }
    }

    /// The path of those in `namespace`, or of all where they are in none.
    pub(crate) fn path(self, namespace: &str) -> String {
        const GROUP: &str = "/apis/longshore.dev/v1alpha1";
        let plural = match self {
            Self::Action => "deploymentactions",
            Self::Template => "deploymentactiontemplates",
            Self::ClusterTemplate => return format!("{GROUP}/clusterdeploymentactiontemplates"),
            Self::Policy => "actionpolicies",
        };
        format!("{GROUP}/namespaces/{namespace}/{plural}")
    }

    /// Those in `namespace`, as they are: a status that somebody broke is no text of its type.
    pub(crate) async fn list(self, client: &Client, namespace: &str) -> Vec<Value> {
        let request = http::Request::get(self.path(namespace)).body(Vec::new()).expect("a request");
        let mut list: Value = client.request(request).await.expect("listing what is there");
        match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }
}
