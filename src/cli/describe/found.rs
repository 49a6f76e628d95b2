//! An action, its latest run's pod and events, as they are read for a description.

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Api, ResourceExt, api::ListParams};

use crate::{
    api::{DeploymentAction, status::RunStatus},
    cli::{connect::Session, error::CliError},
    operator::pod::names::resolver_name,
};

/// The most events that are read of a pod.
const MOST_EVENTS: u32 = 200;

/// An action with what belongs to its latest run.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) action: DeploymentAction,
    /// The pod of the present attempt, if it is there and may be read.
    pub(in crate::cli) pod: Option<Pod>,
    /// The events of the run's pods.
    pub(in crate::cli) events: Vec<Event>,
    /// What could not be read, and why.
    pub(in crate::cli) unread: Vec<String>,
}

impl Found {
    pub(in crate::cli) async fn read(session: &Session, name: &str) -> Result<Self, CliError> {
        let mut found = Self { action: session.action(name).await?, ..Self::default() };
        let Some(run) = found.action.status.as_ref().and_then(|status| status.run.clone()) else {
            return Ok(found);
        };
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
        let pod = async {
            match &run.pod_name {
                Some(name) => pods.get_opt(name).await,
                None => Ok(None),
            }
        };
        let events = join_all(pod_names(&found.action, &run).into_iter().map(|name| events(session, name)));
        let (pod, events) = futures::join!(pod, events);
        match pod {
            // Another pod of this name tells nothing of this run.
            Ok(pod) => found.pod = pod.filter(|pod| run.pod_uid.is_none() || pod.uid() == run.pod_uid),
            Err(error) => found.note("the pod", error),
        }
        for events in events {
            match events {
                Ok(events) => found.events.extend(events),
                Err(error) => found.note("the pods' events", error),
            }
        }
        Ok(found)
    }

    fn note(&mut self, what: &str, error: kube::Error) {
        let note = format!("{what}: {}", CliError::from(error));
        if !self.unread.contains(&note) {
            self.unread.push(note);
        }
    }
}

/// The pods that a run has had: of each attempt, and the one that found out what the image's tag means.
fn pod_names(action: &DeploymentAction, run: &RunStatus) -> Vec<String> {
    let uid = action.uid().unwrap_or_default();
    let mut names = vec![resolver_name(&action.name_any(), &uid, run.number)];
    names.extend(run.attempts.iter().filter_map(|attempt| attempt.pod_name.clone()));
    names.extend(run.pod_name.clone());
    names.dedup();
    names
}

async fn events(session: &Session, pod: String) -> Result<Vec<Event>, kube::Error> {
    let events: Api<Event> = Api::namespaced(session.client.clone(), &session.namespace);
    let of_pod = format!("involvedObject.kind=Pod,involvedObject.name={pod}");
    Ok(events.list(&ListParams::default().fields(&of_pod).limit(MOST_EVENTS)).await?.items)
}
