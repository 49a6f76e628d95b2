//! Removes the `APIService` of the log server while that server does not answer.
//!
//! As long as an `APIService` has no server that answers, the API server cannot list all resources, and no
//! namespace of the cluster can be deleted. The log server makes its `APIService` again once it is back
//! ([`crate::operator::log_api`]).

use std::time::Duration;

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    api::LOG_API_SERVICE,
    operator::call::{CallError, call},
};

/// How often the `APIService` is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The same, if there should be none.
const LOOK_FOR_LEFT_OVER: Duration = Duration::from_mins(5);
/// How long a server may be away, such as while its node restarts it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at the `APIService` of an installation.
struct Look {
    api: Api<APIService>,
    namespace: String,
    /// Whether the installation has a log server.
    wanted: bool,
    /// Since when the server does not answer.
    away: Option<Instant>,
}

/// Looks for as long as this instance leads.
pub(super) async fn watch(client: Client, namespace: String, wanted: bool) {
    let mut look = Look { api: Api::all(client), namespace, wanted, away: None };
    loop {
        if let Err(error) = look.once().await {
            debug!(%error, "the APIService of the log server");
        }
        tokio::time::sleep(if wanted { LOOK } else { LOOK_FOR_LEFT_OVER }).await;
    }
}

impl Look {
    async fn once(&mut self) -> Result<(), CallError> {
        let found = call(self.api.get_opt(LOG_API_SERVICE)).await?;
        let ours = found.filter(|found| is_of(found, &self.namespace));
        let Some(found) = ours.filter(|found| !self.wanted || !is_available(found)) else {
            self.away = None;
            return Ok(());
        };
        let since = *self.away.get_or_insert_with(Instant::now);
        if self.wanted && since.elapsed() < PATIENCE {
            return Ok(());
        }
        self.away = None;
        remove(&self.api, &found).await?;
        warn!(
            wanted = self.wanted,
            "the log server does not answer, so its APIService was removed: no namespace could be deleted"
        );
        Ok(())
    }
}

/// Whether the `APIService` is that of the installation in this namespace.
pub(crate) fn is_of(service: &APIService, namespace: &str) -> bool {
    let of = service.spec.as_ref().and_then(|spec| spec.service.as_ref());
    of.is_some_and(|of| of.namespace.as_deref() == Some(namespace))
}

/// Removes it. It is no error if it is gone or another one.
pub(crate) async fn remove(api: &Api<APIService>, service: &APIService) -> Result<(), CallError> {
    let preconditions = Preconditions { uid: service.metadata.uid.clone(), ..Preconditions::default() };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match call(api.delete(LOG_API_SERVICE, &parameters)).await {
        Err(error) if !matches!(error.code(), Some(404 | 409)) => Err(error),
        _ => Ok(()),
    }
}

fn is_available(service: &APIService) -> bool {
    let conditions = service.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|one| one.type_ == "Available" && one.status == "True")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::{Seen, failure, server};

    fn service(namespace: &str, available: &str) -> Value {
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": LOG_API_SERVICE, "uid": "u-1"},
            "spec": {
                "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"name": "logs", "namespace": namespace},
            },
            "status": {"conditions": [{"type": "Available", "status": available}]},
        })
    }

    fn looking(found: Value, wanted: bool) -> (Look, Arc<Mutex<Vec<Seen>>>) {
        let (client, seen) = server(move |request: &Seen| match request.method.as_str() {
            "GET" if found.is_null() => failure(404, "NotFound", "none"),
            _ => (200, found.clone()),
        });
        (Look { api: Api::all(client), namespace: "system".into(), wanted, away: None }, seen)
    }

    /// After how many seconds it is removed.
    async fn removed(found: Value, wanted: bool) -> Option<u64> {
        let (mut look, seen) = looking(found, wanted);
        let begin = Instant::now();
        for _ in 0..12 {
            look.once().await.unwrap();
            let delete = seen.lock().unwrap().iter().find(|seen| seen.method == "DELETE").cloned();
            if let Some(delete) = delete {
                assert_eq!(delete.body["preconditions"]["uid"], "u-1");
                return Some(begin.elapsed().as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_loses_its_api_service() {
        for status in ["False", "Unknown"] {
            assert_eq!(removed(service("system", status), true).await, Some(10));
        }
        assert_eq!(removed(service("system", "True"), true).await, None);
        assert_eq!(removed(Value::Null, true).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn that_of_another_installation_stays() {
        assert_eq!(removed(service("other", "False"), true).await, None);
        assert_eq!(removed(service("other", "True"), false).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_installation_with_a_log_server_left_is_removed_at_once() {
        assert_eq!(removed(service("system", "True"), false).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_back_in_time_keeps_it() {
        let (mut look, seen) = looking(service("system", "False"), true);
        look.once().await.unwrap();
        tokio::time::sleep(LOOK).await;
        assert!(look.away.is_some());
        look.api = looking(service("system", "True"), true).0.api;
        look.once().await.unwrap();
        assert!(look.away.is_none() && seen.lock().unwrap().len() == 1);
    }
}
