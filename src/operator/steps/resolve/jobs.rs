//! Resolves beside the looks: a registry that accepts connections and never answers must not block what all
//! looks share.
//!
//! A look that needs a resolution leaves a [`Job`] in the memory of its action, and ends. When the job has
//! its answer, it wakes the action, and the next look takes the answer. If the process ends, nothing is lost:
//! the next process finds a run with nothing frozen, and asks again.

use std::{path::PathBuf, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::{Client, runtime::reflector::ObjectRef};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{Sources, resolve};
use crate::{
    api::{DeploymentAction, history::PastRun},
    operator::{
        caches::job::{Answer, Found, Job, Wanted},
        fair::{Limits, Turns},
        options::Options,
        spec::expanded::Expanded,
    },
    registry::{Platform, Registry},
};

/// How many jobs run at once. A namespace whose registry never answers can take a third of a registry's
/// places. Three such namespaces can take a fourth of all places.
const LIMITS: Limits = Limits { all: 192, of_owner: 16, at_place: 48 };

/// Starts jobs. Clones share the limits.
#[derive(Clone)]
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    turns: Turns,
    news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
}

struct Shared {
    client: Client,
    registry: Registry,
    credentials_file: Option<PathBuf>,
    platform: Platform,
    package_limit_bytes: u64,
}

impl Jobs {
    /// No job is under way. An action is sent to `news` when its answer is there.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        registry: Registry,
        options: &Options,
        news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    ) -> Self {
        let shared = Shared {
            client,
            registry,
            credentials_file: options.registry_credentials_file.clone(),
            platform: Platform::linux(&options.architecture),
            package_limit_bytes: options.package_limit,
        };
        Self { shared: Arc::new(shared), turns: Turns::new(LIMITS), news }
    }

    /// How many jobs wait for their turn.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.turns.waiting()
    }

    /// Begins to resolve `spec`, as [`resolve`] does. `None` if the spec cannot be executed.
    #[must_use]
    pub(crate) fn begin(
        &self,
        action: &DeploymentAction,
        wanted: Wanted,
        spec: &Arc<Expanded>,
        failures: u32,
    ) -> Option<Job> {
        let checked = spec.checked.as_ref().ok()?;
        let namespace = checked.namespace.clone();
        let packages = checked.packages.iter().map(|package| &package.reference);
        let places = packages.chain([&checked.image]).map(|image| image.registry().to_owned()).collect();
        let again = again(action, wanted.repeats);
        let found = Arc::<Found>::default();
        let task = {
            let Self { shared, turns, news } = self.clone();
            let (name, namespace) = (ObjectRef::from_obj(action), namespace.clone());
            let (found, spec) = (Arc::clone(&found), Arc::clone(spec));
            async move {
                let turn = turns.take(&namespace, places).await;
                let _ = found.asks.set(());
                // Boxed, so that it takes memory only from here on: a thousand jobs may wait.
                if let Some(answer) = Box::pin(shared.ask(&spec, again.as_ref(), failures)).await {
                    let _ = found.answer.set(answer);
                }
                drop(turn);
                // The receiver is gone only if the process ends.
                let _ = news.send(name);
            }
        };
        let task = tokio::spawn(task.in_current_span());
        Some(Job { wanted, namespace, since: Timestamp::now(), found, task })
    }
}

impl Shared {
    async fn ask(&self, spec: &Expanded, again: Option<&PastRun>, failures: u32) -> Option<Answer> {
        let checked = spec.checked.as_ref().ok()?;
        let sources = Sources {
            client: &self.client,
            registry: &self.registry,
            credentials_file: self.credentials_file.as_deref(),
            platform: &self.platform,
            package_limit_bytes: self.package_limit_bytes,
        };
        Some(resolve(&sources, checked, again, failures).await)
    }
}

/// The run whose packages are deployed again.
fn again(action: &DeploymentAction, repeats: Option<u32>) -> Option<PastRun> {
    let history = action.status.iter().flat_map(|status| &status.history);
    repeats.and_then(|number| history.into_iter().find(|past| past.number == number).cloned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        api::{Reason, status::RunStatus},
        operator::{
            lifecycle::facts::Resolution,
            testing::{objects::action, server::server},
        },
        registry::RegistryConfig,
    };

    type News = mpsc::UnboundedReceiver<ObjectRef<DeploymentAction>>;

    fn jobs(limits: Limits) -> (Jobs, News) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (news, told) = mpsc::unbounded_channel();
        let shared = Shared {
            client: server(|_| (404, json!({}))).0,
            registry: Registry::new(RegistryConfig::default()).unwrap(),
            credentials_file: None,
            platform: Platform::linux("amd64"),
            package_limit_bytes: 1,
        };
        (Jobs { shared: Arc::new(shared), turns: Turns::new(limits), news }, told)
    }

    /// An action of this namespace with this image.
    fn with_image(namespace: &str, image: &str) -> DeploymentAction {
        let mut action = action();
        action.metadata.namespace = Some(namespace.into());
        action.spec.image = Some(image.into());
        action
    }

    fn begin(jobs: &Jobs, action: &DeploymentAction) -> Job {
        let spec = Arc::new(Expanded::of(action, None, "amd64"));
        let wanted = Wanted::of(action, spec.checked.as_ref().unwrap(), None);
        jobs.begin(action, wanted, &spec, 0).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_told_and_counts_for_what_it_was_asked_for_alone() {
        let (jobs, mut told) = jobs(LIMITS);
        let mut action = with_image("shop", "127.1:8080/x:1");
        let job = begin(&jobs, &action);
        assert_eq!(told.recv().await.unwrap(), ObjectRef::from_obj(&action));
        let (answer, _) = job.answer().unwrap();
        assert!(matches!(answer, Resolution::Refused { .. }), "{answer:?}");

        let wanted = |action: &DeploymentAction, repeats| {
            let expanded = Expanded::of(action, None, "amd64");
            Wanted::of(action, &expanded.checked.unwrap(), repeats)
        };
        assert!(job.is_for(&wanted(&action, None)));
        assert!(!job.is_for(&wanted(&action, Some(1))));
        // Recording the run in the status changes nothing.
        let on_record = |number| Some(RunStatus { number, ..RunStatus::default() });
        action.status.get_or_insert_default().run = on_record(1);
        assert!(job.is_for(&wanted(&action, None)));
        action.status.get_or_insert_default().run = on_record(2);
        assert!(!job.is_for(&wanted(&action, None)));
        action.status = None;
        action.metadata.generation = Some(77);
        assert!(!job.is_for(&wanted(&action, None)));
        action = with_image("shop", "127.1:8080/x:1");
        action.metadata.uid = Some("another".into());
        assert!(!job.is_for(&wanted(&action, None)));
    }

    #[tokio::test]
    async fn registries_that_say_nothing_keep_a_neighbour_waiting_for_nothing() {
        let (jobs, mut told) = jobs(Limits { all: 3, of_owner: 2, at_place: 2 });
        let silent = hold(&jobs, "crowd", 300);
        while jobs.waiting() < 298 {
            tokio::task::yield_now().await;
        }
        assert_eq!(jobs.turns.taken(), 2);
        let lone = with_image("lone", "127.1:8080/x:1");
        let job = begin(&jobs, &lone);
        let told = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.unwrap();
        assert_eq!(told, Some(ObjectRef::from_obj(&lone)));
        assert!(job.answer().is_some());
        // Their actions were deleted or changed. Nothing may be left of the jobs.
        drop(silent);
        while jobs.turns.taken() + jobs.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Starts this many jobs of a namespace. They are under way for as long as they are held.
    fn hold(jobs: &Jobs, namespace: &str, many: usize) -> Vec<Job> {
        let one = |_| {
            let (turns, namespace) = (jobs.turns.clone(), namespace.to_owned());
            let places = vec!["tarpit.example.com".to_owned()];
            let task = {
                let namespace = namespace.clone();
                async move {
                    let _turn = turns.take(&namespace, places).await;
                    std::future::pending::<()>().await;
                }
            };
            let action = with_image(&namespace, "tarpit.example.com/x:1");
            let checked = Expanded::of(&action, None, "amd64").checked.unwrap();
            let wanted = Wanted::of(&action, &checked, None);
            Job {
                wanted,
                namespace,
                since: Timestamp::now(),
                found: Arc::default(),
                task: tokio::spawn(task),
            }
        };
        (0..many).map(one).collect()
    }

    #[tokio::test]
    async fn what_is_under_way_tells_of_the_try_before_or_that_it_waits() {
        let (jobs, _told) = jobs(Limits { all: 1, of_owner: 1, at_place: 1 });
        let job = hold(&jobs, "shop", 1).pop().unwrap();
        let words = |resolution| match resolution {
            Resolution::UnderWay { reason, message, at_the_end, .. } => (reason, message, at_the_end),
            other => panic!("{other:?}"),
        };
        let (reason, message, at_the_end) = words(job.under_way(None));
        assert_eq!((reason, at_the_end), (Reason::Resolving, Reason::RegistryUnavailable));
        assert!(message.contains("namespace shop"), "{message}");
        job.found.asks.set(()).unwrap();
        assert!(words(job.under_way(None)).1.contains("has not answered yet"));
        let before = Resolution::Failed { reason: Reason::ConfigMapMissing, message: "there is none".into() };
        let told = (Reason::ConfigMapMissing, "there is none".to_owned(), Reason::ConfigMapMissing);
        assert_eq!(words(job.under_way(Some(&before))), told);
    }
}
