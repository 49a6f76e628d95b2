//! Warnings of nodes and the scheduler about our pods. One watch brings warnings about pods alone, from its
//! beginning on. Its cost does not grow with the number of other events. A list of one pod's events makes the
//! API server go through all events of the namespace.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, ObjectReference, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{sync::mpsc, time::timeout};
use tracing::{debug, warn};

use super::memory::backoff;
use crate::{
    api::{DeploymentAction, LABEL_ACTION},
    operator::{
        call::{CallError, call},
        lifecycle::cause,
        pod::view::PodView,
    },
    record::outcome::truncate,
};

/// The filter of the watch.
const OF_PODS: &str = "involvedObject.kind=Pod,type=Warning";
/// How many warnings are kept for a pod. The latest stay.
const MOST: usize = 4;
/// How much of a warning's text is kept, in bytes. An event may not have more.
const WORDS: usize = 1024;
/// How long the API server holds a watch open, in seconds.
const WATCH_SECONDS: u32 = 290;
/// A watch that is silent for longer than it is held open is broken.
const SILENCE: Duration = Duration::from_mins(5);

/// The warnings. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By the pod's UID.
    of: HashMap<String, VecDeque<Event>>,
    /// Pods that already waited when the watch began. Earlier warnings about them are not known.
    before: HashSet<String>,
    /// How many watches have not begun yet, and so bring nothing.
    deaf: usize,
}

impl Warnings {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The warnings about the pod with this UID.
    #[must_use]
    pub(crate) fn of(&self, uid: &str) -> Vec<Event> {
        self.known().of.get(uid).map(|events| events.iter().cloned().collect()).unwrap_or_default()
    }

    /// Whether this pod may have had warnings before the watch began.
    #[must_use]
    pub(crate) fn may_lack(&self, uid: &str) -> bool {
        let known = self.known();
        known.deaf > 0 || known.before.contains(uid)
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        let mut known = self.known();
        known.of.remove(uid);
        known.before.remove(uid);
    }

    /// Forgets all pods but those with these UIDs.
    pub(crate) fn keep(&self, uids: &HashSet<String>) {
        let mut known = self.known();
        known.of.retain(|uid, _| uids.contains(uid));
        known.before.retain(|uid| uids.contains(uid));
    }

    /// Watches the events of `namespaces`, or of all if none is named, forever. When a pod has a warning, its
    /// action is sent to `news`.
    pub(crate) fn watch(
        &self,
        client: &Client,
        namespaces: &[String],
        pods: &Store<Pod>,
        news: &mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    ) {
        let all = || vec![Api::all(client.clone())];
        let named = || namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace));
        for api in if namespaces.is_empty() { all() } else { named().collect() } {
            let (warnings, pods, news) = (self.clone(), pods.clone(), news.clone());
            self.known().deaf += 1;
            tokio::spawn(async move {
                let tell = |pod: &Pod| {
                    if let (Some(action), Some(namespace)) = (pod.labels().get(LABEL_ACTION), pod.namespace())
                    {
                        // The receiver is gone only if the process ends.
                        let _ = news.send(ObjectRef::new(action).within(&namespace));
                    }
                };
                Watch { api, warnings, pods, tell, began: AtomicBool::new(false) }.follow().await;
            });
        }
    }

    /// Takes a warning in. `false` if its reason is not one that the operator asks for.
    pub(crate) fn take(&self, uid: &str, mut event: Event) -> bool {
        if !event.reason.as_deref().is_some_and(cause::is_asked_for) {
            return false;
        }
        let mut known = self.known();
        let of = known.of.entry(uid.to_owned()).or_default();
        if let Some(words) = &mut event.message {
            truncate(words, WORDS);
        }
        let kept = Event {
            involved_object: ObjectReference { uid: Some(uid.to_owned()), ..ObjectReference::default() },
            last_timestamp: event.last_timestamp,
            message: event.message,
            reason: event.reason,
            ..Event::default()
        };
        // An event that comes again has only a higher count.
        of.retain(|other| (&other.reason, &other.message) != (&kept.reason, &kept.message));
        of.push_back(kept);
        if of.len() > MOST {
            of.pop_front();
        }
        true
    }

    /// Notes pods that wait as the watch begins. Earlier warnings about them are not known.
    pub(crate) fn begins(&self, waiting: HashSet<String>) {
        self.known().before.extend(waiting);
    }
}

/// One watch.
struct Watch<Tell> {
    api: Api<Event>,
    warnings: Warnings,
    pods: Store<Pod>,
    tell: Tell,
    /// Whether the watch has ever begun.
    began: AtomicBool,
}

impl<Tell: Fn(&Pod)> Watch<Tell> {
    /// Watches forever. A watch that ends is begun again where it ended. If the API server no longer has that
    /// past, it begins at the present.
    async fn follow(self) {
        let mut version = None;
        let mut failures = 0;
        loop {
            let before = version.clone();
            let ended = self.once(&mut version).await;
            if ended.is_ok() || version != before {
                failures = 0;
            }
            if let Err(error) = ended {
                warn!(%error, "warnings about pods cannot be watched");
                version = version.filter(|_| error.code() != Some(410));
            }
            // Nothing is missed meanwhile: the next watch begins where this one ended.
            tokio::time::sleep(backoff(failures).unsigned_abs()).await;
            failures = failures.saturating_add(1);
        }
    }

    /// One request, until its end.
    async fn once(&self, version: &mut Option<String>) -> Result<(), CallError> {
        let from = if let Some(version) = version {
            version.clone()
        } else {
            // From now on. Earlier warnings are many, and are read only for the pods that wait.
            let list = call(self.api.list(&ListParams::default().limit(1))).await?;
            self.warnings.begins(self.waiting());
            version.insert(list.metadata.resource_version.unwrap_or_default()).clone()
        };
        let params = WatchParams::default().fields(OF_PODS).timeout(WATCH_SECONDS);
        let mut events = call(self.api.watch(&params, &from)).await?.boxed();
        if !self.began.swap(true, Ordering::Relaxed) {
            self.warnings.known().deaf -= 1;
        }
        loop {
            let Ok(event) = timeout(SILENCE, events.try_next()).await else {
                return Err(CallError::TimedOut);
            };
            match event? {
                None => return Ok(()),
                Some(WatchEvent::Added(event) | WatchEvent::Modified(event)) => {
                    version.clone_from(&event.metadata.resource_version);
                    self.take(event);
                }
                Some(WatchEvent::Bookmark(mark)) => *version = Some(mark.metadata.resource_version),
                Some(WatchEvent::Deleted(_)) => {}
                Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status).into()),
            }
        }
    }

    fn take(&self, event: Event) {
        let about = &event.involved_object;
        let (Some(name), Some(namespace), Some(uid)) = (&about.name, &about.namespace, &about.uid) else {
            return;
        };
        // Events of pods that are not ours are dropped.
        let pod = self.pods.get(&ObjectRef::new(name).within(namespace));
        let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_ref() == Some(uid)) else { return };
        debug!(pod = name, reason = event.reason, "warned of");
        if self.warnings.take(&uid.clone(), event) {
            (self.tell)(&pod);
        }
    }

    /// Our pods whose script has not started.
    fn waiting(&self) -> HashSet<String> {
        let waits = |pod: &Arc<Pod>| !PodView::of(pod).started;
        self.pods.state().iter().filter(|pod| waits(pod)).filter_map(|pod| pod.metadata.uid.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        pod.metadata.namespace = Some("shop".into());
        pod.metadata.uid = Some(format!("{name}-uid"));
        pod.metadata.labels = Some([(LABEL_ACTION.to_owned(), format!("{name}-action"))].into());
        pod
    }

    fn cache(pods: &[Pod]) -> Store<Pod> {
        let (store, mut writer) = reflector::store();
        for pod in pods {
            writer.apply_watcher_event(&watcher::Event::Apply(pod.clone()));
        }
        store
    }

    fn warning(version: &str, pod: &str, reason: &str, message: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Event", "type": "Warning",
            "metadata": {"name": "e", "namespace": "shop", "resourceVersion": version},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": pod, "uid": format!("{pod}-uid")},
            "reason": reason, "message": message,
        })
    }

    /// The body of a watch, one object a line.
    fn lines(events: &[Value]) -> Value {
        let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
        Value::String(lines.join("\n"))
    }

    /// Follows a server whose watches bring these, one after the other, until `times` actions have come.
    async fn followed(watches: Vec<(u16, Value)>, times: usize) -> (Warnings, Vec<String>, Vec<String>) {
        let brought = Arc::new(Mutex::new(VecDeque::from(watches)));
        let (client, seen) = server(move |request| {
            if !request.query.contains("watch=true") {
                return (
                    200,
                    json!({"kind": "EventList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": []}),
                );
            }
            brought.lock().unwrap().pop_front().unwrap_or((200, lines(&[])))
        });
        let warnings = Warnings::default();
        let (news, mut told) = mpsc::unbounded_channel();
        warnings.watch(&client, &[], &cache(&[pod("ours"), pod("other")]), &news);
        let mut names = Vec::new();
        for _ in 0..times {
            names.push(told.recv().await.unwrap().name);
        }
        let calls = seen.lock().unwrap().iter().map(|seen| seen.query.clone()).collect();
        (warnings, names, calls)
    }

    fn words(warnings: &Warnings, uid: &str) -> Vec<String> {
        warnings.of(uid).into_iter().filter_map(|event| event.message).collect()
    }

    #[tokio::test]
    async fn a_warning_about_a_pod_of_ours_is_told_and_no_other_is_kept() {
        let added = |event: Value| json!({"type": "ADDED", "object": event});
        let events = [
            added(warning("8", "strange", "FailedMount", "not ours")),
            added(warning("9", "ours", "Unhealthy", "nobody asks for it")),
            added(warning("10", "ours", "FailedMount", "secret \"db\" not found")),
        ];
        let (warnings, told, calls) = followed(vec![(200, lines(&events))], 1).await;
        assert_eq!(told, ["ours-action"]);
        assert_eq!(words(&warnings, "ours-uid"), ["secret \"db\" not found"]);
        assert!(words(&warnings, "strange-uid").is_empty());
        assert!(calls[0].contains("limit=1") && !calls[0].contains("fieldSelector"), "{calls:?}");
        let watch = &calls[1];
        assert!(watch.contains("type%3DWarning") && watch.contains("resourceVersion=7"), "{watch}");
        // Both waited when the watch began.
        assert!(warnings.may_lack("ours-uid") && warnings.may_lack("other-uid"));
        warnings.keep(&["other-uid".to_owned()].into());
        assert!(words(&warnings, "ours-uid").is_empty() && !warnings.may_lack("ours-uid"));
        warnings.forget("other-uid");
        assert!(!warnings.may_lack("other-uid"));
        let forbidden = Warnings::default();
        let (client, _) = server(|_| failure(403, "Forbidden", "an older role"));
        forbidden.watch(&client, &[], &cache(&[]), &mpsc::unbounded_channel().0);
        assert!(forbidden.may_lack("any"), "it hears of none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_goes_on_where_it_was_and_one_whose_past_is_gone_begins_anew() {
        let added = |event: Value| json!({"type": "MODIFIED", "object": event});
        let gone = json!({"type": "ERROR", "object": failure(410, "Expired", "too old").1});
        let watches = vec![
            (200, lines(&[added(warning("20", "ours", "FailedMount", "first"))])),
            (200, lines(&[added(warning("21", "ours", "FailedMount", "second")), gone])),
            failure(500, "InternalError", "not now"),
            (200, lines(&[added(warning("30", "other", "FailedCreatePodSandBox", "third"))])),
        ];
        let (warnings, told, calls) = followed(watches, 3).await;
        assert_eq!(told, ["ours-action", "ours-action", "other-action"]);
        assert_eq!(words(&warnings, "ours-uid"), ["first", "second"]);
        let versions: Vec<&str> = calls
            .iter()
            .filter_map(|query| query.split("resourceVersion=").nth(1))
            .map(|rest| rest.split('&').next().unwrap())
            .collect();
        assert_eq!(versions, ["7", "20", "7", "7"], "{calls:?}");
    }

    #[test]
    fn what_is_kept_of_a_pod_is_bounded_and_the_latest() {
        let warnings = Warnings::default();
        let take = |message: String| {
            let event =
                Event { reason: Some("FailedMount".into()), message: Some(message), ..Event::default() };
            warnings.take("a", event)
        };
        for at in 0..100 {
            assert!(take(format!("{at}")));
        }
        assert_eq!(words(&warnings, "a"), ["96", "97", "98", "99"]);
        // A warning that comes again becomes the latest.
        assert!(take("97".into()) && take("x".repeat(1 << 20)));
        let kept = words(&warnings, "a");
        assert_eq!(kept[..3], ["98", "99", "97"]);
        assert_eq!(kept[3].len(), WORDS);
    }
}
