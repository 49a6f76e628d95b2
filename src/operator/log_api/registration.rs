//! The `APIService`, by which the API server passes requests on to this server.
//!
//! This server makes it. The chart does not: as long as no server answers, no namespace can be deleted, so the
//! operator removes the `APIService` then ([`crate::operator::process`]). A tool that applies the chart again
//! would put it back.

use std::time::Duration;

use k8s_openapi::{
    ByteString,
    kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec, ServiceReference},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    api::{LABEL_MANAGED_BY, LOG_API_SERVICE, LOG_GROUP, LOG_VERSION, MANAGED_BY},
    operator::call::{CallError, FIELD_MANAGER, call},
};

/// The shortest and the longest pause before an `APIService` that somebody removed is made again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(5));
/// An `APIService` that stood for this long was good.
const GOOD: Duration = Duration::from_mins(5);

/// Keeps the `APIService`.
pub(super) struct Registration {
    api: Api<APIService>,
    namespace: String,
    service: String,
    /// Since when it is there.
    since: Option<Instant>,
    pause: Duration,
    /// Not to be made before this.
    not_before: Option<Instant>,
}

impl Registration {
    pub(super) fn new(client: Client, namespace: &str, service: &str) -> Self {
        Self {
            api: Api::all(client),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            since: None,
            pause: PAUSE.0,
            not_before: None,
        }
    }

    /// Makes it, or brings it up to date. One of another installation is left alone.
    pub(super) async fn keep(&mut self, bundle: &str) -> Result<(), CallError> {
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let wanted = self.spec(bundle);
        let Some(found) = call(self.api.get_opt(LOG_API_SERVICE)).await? else {
            return self.make(&parameters, wanted).await;
        };
        let service = found.spec.as_ref().and_then(|spec| spec.service.as_ref());
        if service != wanted.service.as_ref() {
            warn!(
                ?service,
                "the APIService {LOG_API_SERVICE} belongs to another installation; it is left alone"
            );
            return Ok(());
        }
        self.since.get_or_insert_with(Instant::now);
        if found.spec.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let metadata = ObjectMeta { managed_fields: None, ..found.metadata };
        let changed = APIService { metadata, spec: Some(wanted), status: None };
        call(self.api.replace(LOG_API_SERVICE, &parameters, &changed)).await?;
        info!("the APIService {LOG_API_SERVICE} is up to date");
        Ok(())
    }

    async fn make(&mut self, parameters: &PostParams, spec: APIServiceSpec) -> Result<(), CallError> {
        if let Some(since) = self.since.take() {
            // Whoever removed it had a reason, such as that the API server does not reach this server.
            self.pause = if since.elapsed() >= GOOD { PAUSE.0 } else { (self.pause * 2).min(PAUSE.1) };
            self.not_before = Some(Instant::now() + self.pause);
            warn!(seconds = self.pause.as_secs(), "the APIService was removed; it is made again later");
        }
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(());
        }
        let labels = [(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())];
        let metadata = ObjectMeta {
            name: Some(LOG_API_SERVICE.to_owned()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        };
        let service = APIService { metadata, spec: Some(spec), status: None };
        match call(self.api.create(parameters, &service)).await {
            // Another replica was faster.
            Err(error) if error.code() == Some(409) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                self.since = Some(Instant::now());
                info!("the APIService {LOG_API_SERVICE} is made");
                Ok(())
            }
        }
    }

    fn spec(&self, bundle: &str) -> APIServiceSpec {
        APIServiceSpec {
            ca_bundle: Some(ByteString(bundle.as_bytes().to_vec())),
            group: Some(LOG_GROUP.to_owned()),
            // Behind every other group: no name is looked for here.
            group_priority_minimum: 100,
            insecure_skip_tls_verify: None,
            service: Some(ServiceReference {
                name: Some(self.service.clone()),
                namespace: Some(self.namespace.clone()),
                port: Some(443),
            }),
            version: Some(LOG_VERSION.to_owned()),
            version_priority: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::{Seen, failure, server};

    /// The `APIService` that the server has.
    type Stored = Arc<Mutex<Option<Value>>>;

    /// A server that has one `APIService`, or none.
    fn with(stored: Option<Value>) -> (Registration, Stored, Arc<Mutex<Vec<Seen>>>) {
        let stored = Arc::new(Mutex::new(stored));
        let (client, seen) = server({
            let stored = Arc::clone(&stored);
            move |request| {
                let mut stored = stored.lock().unwrap();
                if ["POST", "PUT"].contains(&request.method.as_str()) {
                    *stored = Some(request.body.clone());
                }
                stored.clone().map_or_else(|| failure(404, "NotFound", "none"), |stored| (200, stored))
            }
        });
        (Registration::new(client, "system", "logs"), stored, seen)
    }

    fn methods(seen: &Mutex<Vec<Seen>>) -> Vec<String> {
        seen.lock().unwrap().drain(..).map(|seen| seen.method).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_made_once_and_follows_the_bundle() {
        let (mut registration, stored, seen) = with(None);
        registration.keep("one").await.unwrap();
        assert_eq!(methods(&seen), ["GET", "POST"]);
        let spec = stored.lock().unwrap().as_ref().unwrap()["spec"].clone();
        assert_eq!(spec["service"], json!({"name": "logs", "namespace": "system", "port": 443}));
        assert_eq!((&spec["group"], &spec["caBundle"]), (&"log.longshore.dev".into(), &"b25l".into()));
        registration.keep("one").await.unwrap();
        assert_eq!(methods(&seen), ["GET"]);
        registration.keep("two").await.unwrap();
        assert_eq!(methods(&seen), ["GET", "PUT"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_removed_comes_back_later_each_time() {
        let (mut registration, stored, seen) = with(None);
        registration.keep("one").await.unwrap();
        let mut waited = Vec::new();
        for _ in 0..7 {
            *stored.lock().unwrap() = None;
            methods(&seen);
            let removed = Instant::now();
            while !methods(&seen).contains(&"POST".to_owned()) {
                tokio::time::sleep(Duration::from_secs(5)).await;
                registration.keep("one").await.unwrap();
            }
            waited.push(removed.elapsed().as_secs());
        }
        assert_eq!(waited, [35, 65, 125, 245, 305, 305, 305]);
        // One that stood for a while had no fault.
        tokio::time::sleep(GOOD).await;
        *stored.lock().unwrap() = None;
        registration.keep("one").await.unwrap();
        tokio::time::sleep(PAUSE.0).await;
        methods(&seen);
        registration.keep("one").await.unwrap();
        assert_eq!(methods(&seen), ["GET", "POST"]);
    }

    #[tokio::test]
    async fn that_of_another_installation_is_left_alone() {
        let other = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": LOG_API_SERVICE},
            "spec": {
                "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"name": "logs", "namespace": "other"},
            },
        });
        let (mut registration, _, seen) = with(Some(other));
        registration.keep("one").await.unwrap();
        assert_eq!(methods(&seen), ["GET"]);
    }
}
