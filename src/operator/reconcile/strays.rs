//! Strays: pods whose action is gone, or does not name them. No verdict depends on them, so the operator
//! releases them.
//!
//! Otherwise the finalizer would keep them forever. An action that is gone is never looked at again, and an
//! existing one looks only at the pods that its status names. A namespace that is being deleted waits for its
//! pods before it deletes actions (KEP-5080), so one such pod would block it for good.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, ResourceExt,
    core::{ApiResource, DynamicObject},
};
use tracing::{debug, info, warn};

use crate::{
    api::{DeploymentAction, LABEL_ACTION, LABEL_ACTION_UID, LABEL_ATTEMPT, LABEL_LOCK, LABEL_RUN},
    operator::{
        caches::{lock_queue::LockIndex, memory::Memories, nodes::Nodes},
        call::{CallError, call},
        lifecycle::{decide::NAME_NEEDED_SECONDS, facts::Storing},
        logs::archivist::Archivist,
        pod::{
            names::run_id,
            view::{PodView, is_held},
        },
        steps::{lock_lease, release, store_log},
    },
};

/// The action that a pod names by label and by owner: its name and UID.
#[must_use]
pub(crate) fn owner(pod: &Pod) -> Option<(String, String)> {
    let uid = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?.uid.clone();
    Some((pod.labels().get(LABEL_ACTION)?.clone(), uid))
}

/// Whether the operator must check that this pod's action still exists.
#[must_use]
pub(crate) fn may_be_stray(pod: &Pod) -> bool {
    is_held(pod) && pod.metadata.deletion_timestamp.is_some()
}

/// Releases strays.
#[derive(Clone)]
pub(crate) struct Strays {
    client: Client,
    locks: LockIndex,
    memories: Memories,
    nodes: Nodes,
    archivist: Option<Archivist>,
    /// The UIDs of pods for which a task waits, and the reason. There is one task for each.
    waiting: Arc<Mutex<HashSet<(String, Awaited)>>>,
}

/// The reason to keep a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Awaited {
    /// Its name must not be free for a creation that comes late.
    Name,
    /// Something of it may run, and its node does not say.
    End,
}

/// How often the operator looks at a pod whose node does not say whether it runs, in seconds. Somebody may
/// mark the node as out of service, and no event says so.
const LOOK_AT_NODE_SECONDS: i64 = 60;

/// How long such a pod waits for the archive, in seconds.
const STORED_SECONDS: i64 = 60;

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// The decision about a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was released.
    Released,
    /// Another part of the operator looks after it, or a later event will come.
    Kept,
    /// Its name must stay taken until then.
    NotBefore(Timestamp),
    /// Something of it may run until then, unless its end is seen before.
    MayRunUntil(Timestamp),
}

impl Strays {
    /// Releases pods by `client`. `memories` say which creations can still arrive. `nodes` say which pods no
    /// longer run because their node is out of service.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        locks: LockIndex,
        memories: Memories,
        nodes: Nodes,
        archivist: Option<Archivist>,
    ) -> Self {
        Self { client, locks, memories, nodes, archivist, waiting: Arc::default() }
    }

    /// Releases the pod if its action is gone or does not name it. If its run has a lock, the pod must first
    /// show its end, and the lock is released. If a creation of the same attempt can still arrive, the pod
    /// stays until that is over, because a pod that is gone leaves its name free.
    pub(crate) async fn release(&self, pod: &Pod) {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        // If its action is gone, no process asks for the pod after this moment.
        let noticed = Timestamp::now();
        let goes = self.memories.goes(pod.labels().get(LABEL_ACTION_UID).map_or("", String::as_str));
        let mut pod = Cow::Borrowed(pod);
        loop {
            // A notification after this line is not missed.
            let told = goes.notified();
            match self.try_release(&pod, noticed).await {
                Ok(Fate::Released) => info!(pod = name, "released a pod that no action waits for"),
                Ok(Fate::NotBefore(time)) if self.waiting().insert((uid.clone(), Awaited::Name)) => {
                    let pause = time.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
                    // The pod's event may come before the event of its action's end.
                    let _ = tokio::time::timeout(pause.unsigned_abs(), told).await;
                    self.waiting().remove(&(uid.clone(), Awaited::Name));
                    continue;
                }
                Ok(Fate::MayRunUntil(time)) if self.waiting().insert((uid.clone(), Awaited::End)) => {
                    let longest = SignedDuration::from_secs(LOOK_AT_NODE_SECONDS);
                    let pause = time.duration_since(Timestamp::now()).min(longest);
                    let pause = pause.max(SignedDuration::from_secs(1));
                    tokio::time::sleep(pause.unsigned_abs()).await;
                    self.waiting().remove(&(uid.clone(), Awaited::End));
                    let pods: Api<Pod> =
                        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
                    match call(pods.get_opt(&name)).await {
                        Ok(Some(live)) if live.uid().as_deref() == Some(&uid) && may_be_stray(&live) => {
                            pod = Cow::Owned(live);
                        }
                        Ok(_) => return,
                        Err(error) => {
                            debug!(pod = name, %error, "the pod cannot be read, and is looked at again");
                        }
                    }
                    continue;
                }
                // The pod's end brings another event, or another task waits.
                Ok(Fate::Kept | Fate::NotBefore(_) | Fate::MayRunUntil(_)) => {}
                Err(error) => warn!(pod = name, %error, "a pod that no action waits for was not released"),
            }
            return;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<(String, Awaited)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_release(&self, pod: &Pod, noticed: Timestamp) -> Result<Fate, CallError> {
        let client = &self.client;
        let namespace = pod.namespace().unwrap_or_default();
        if let Some((action, uid)) = owner(pod) {
            // Untyped, because an action that cannot be read is skipped and so looks at no pod.
            let resource = ApiResource::erase::<DeploymentAction>(&());
            let actions: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
            let live = call(actions.get_opt(&action)).await?;
            if live.is_some_and(|live| live.metadata.uid.as_deref() == Some(&uid) && names(live, pod)) {
                return Ok(Fate::Kept);
            }
        }
        let mut view = PodView::of(pod);
        self.nodes.tell(&mut view);
        if !self.has_released_lock(pod, &view).await? {
            return Ok(Fate::Kept);
        }
        // Without our finalizer nothing would show that something of it runs. An action that is applied again
        // under the same name would not wait for it.
        if view.may_run(Timestamp::now()) {
            return Ok(Fate::MayRunUntil(view.runs_at_most_until()));
        }
        if self.is_being_stored(pod) && Timestamp::now() < later(noticed, STORED_SECONDS) {
            return Ok(Fate::NotBefore(later(Timestamp::now(), 1)));
        }
        let needed = SignedDuration::from_secs(NAME_NEEDED_SECONDS);
        let free = noticed.saturating_add(needed).unwrap_or(Timestamp::MAX);
        if self.is_name_needed(pod, &view) && Timestamp::now() < free {
            return Ok(Fate::NotBefore(free));
        }
        release::release(client, &namespace, &pod.name_any(), &pod.uid().unwrap_or_default()).await?;
        Ok(Fate::Released)
    }

    /// Releases the lock of the pod's run, because its action no longer does. `false` if the pod may still
    /// run and the lock waits for its end. Without our finalizer nothing would show that end.
    async fn has_released_lock(&self, pod: &Pod, view: &PodView) -> Result<bool, CallError> {
        let Self { client, locks, .. } = self;
        let label = |name: &str| pod.labels().get(name);
        let run = label(LABEL_RUN).and_then(|run| run.parse().ok());
        let (Some(lock), Some(uid), Some(run)) = (label(LABEL_LOCK), label(LABEL_ACTION_UID), run) else {
            return Ok(true);
        };
        let (namespace, run) = (pod.namespace().unwrap_or_default(), run_id(uid, run));
        if view.runs_no_more() {
            let wanted = locks.is_wanted(&namespace, lock);
            lock_lease::release(client, &namespace, lock, (uid, &run), wanted).await?;
            locks.wake(&namespace, lock);
            return Ok(true);
        }
        let until = lock_lease::holds_until(client, &namespace, lock, (uid, &run)).await?;
        Ok(until.is_none_or(|until| Timestamp::now() >= until) && !view.is_seen_running())
    }

    /// Whether the pod's log is on its way into the archive. No other part says that its attempt is over.
    fn is_being_stored(&self, pod: &Pod) -> bool {
        let Some(archivist) = &self.archivist else { return false };
        match archivist.storing(pod.metadata.uid.as_deref().unwrap_or_default()) {
            None | Some(Storing::Ended(_)) => false,
            Some(Storing::Finishing { .. }) => true,
            Some(Storing::Open) => store_log::store_log_of_gone(archivist, pod).is_ok(),
        }
    }

    /// Whether a creation of the same attempt can still arrive.
    fn is_name_needed(&self, pod: &Pod, view: &PodView) -> bool {
        // By its label, because an orphan has no owner any more.
        let attempt = pod.labels().get(LABEL_ACTION_UID).zip(view.attempt.filter(|_| !view.tombstone));
        attempt.is_some_and(|(uid, attempt)| !self.memories.has_all_creations(uid, attempt))
    }
}

/// Releases a pod that lost a label by which it is watched, and still has our finalizer. No event would
/// mention it any more.
pub(crate) async fn lost_sight(client: &Client, pod: &Pod) {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let released = async {
        match call(pods.get_opt(&name)).await? {
            Some(live) if live.uid() == pod.uid() && is_held(&live) => {
                release::release(client, &namespace, &name, &live.uid().unwrap_or_default()).await?;
                Ok::<_, CallError>(true)
            }
            _ => Ok(false),
        }
    };
    match released.await {
        Ok(true) => warn!(pod = name, "released a pod that lost a label"),
        Ok(false) => {}
        Err(error) => warn!(pod = name, %error, "a pod that lost a label was not released"),
    }
}

/// Releases the lock of an action that is gone, if its run had nothing frozen yet. Then no pod was ever
/// requested. For any other action, its pod releases the lock, or the next run finds out.
pub(crate) async fn release_lock(client: &Client, locks: &LockIndex, action: &DeploymentAction) {
    let run = action.status.as_ref().and_then(|status| status.run.as_ref());
    let Some(run) = run.filter(|run| run.bundle_sha256.is_none()) else { return };
    let (Some(held), Some(uid), Some(namespace)) = (run.held_lock(), action.uid(), action.namespace()) else {
        return;
    };
    let wanted = locks.is_wanted(&namespace, &held.name);
    if let Err(error) = lock_lease::release(client, &namespace, &held.name, (&uid, &run.id), wanted).await {
        warn!(lock = held.name, %error, "the lock of an action that is gone was not released");
    }
}

/// Whether the operator looks at this pod for this action.
fn names(action: DynamicObject, pod: &Pod) -> bool {
    let Ok(action) = action.try_parse::<DeploymentAction>() else { return false };
    let number = |label: &str| pod.labels().get(label).and_then(|value| value.parse::<u32>().ok());
    let attempt = number(LABEL_RUN)
        .zip(number(LABEL_ATTEMPT))
        .filter(|_| pod.labels().get(LABEL_ACTION_UID) == action.metadata.uid.as_ref());
    // A status that was emptied is rebuilt from this very pod. Without the pod the action would count as new.
    let Some(run) = action.status.and_then(|status| status.run) else { return attempt.is_some() };
    // A pod of an earlier run is released once the action is at rest.
    let earlier = attempt.is_some_and(|of| of < (run.number, run.attempt));
    run.pod_name == pod.metadata.name || earlier
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;
    use crate::{
        api::{
            FINALIZER_COLLECT,
            status::{Launcher, RunStatus},
        },
        operator::{
            options::DeliveryOption,
            testing::{
                objects::{PROCESS, action},
                server::{Seen, failure, server},
            },
        },
    };

    /// A pod that is being deleted, with our finalizer on it.
    fn going(name: &str, run: &str) -> Pod {
        let uid = action().metadata.uid;
        from_value(json!({"metadata": {
            "name": name, "namespace": "shop", "uid": "pod-uid", "deletionTimestamp": Timestamp::UNIX_EPOCH.to_string(),
            "finalizers": [FINALIZER_COLLECT],
            "labels": {LABEL_ACTION: "deploy", LABEL_ACTION_UID: uid, LABEL_RUN: run, LABEL_ATTEMPT: "1"},
            "ownerReferences": [{
                "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "name": "deploy", "uid": uid,
                "controller": true,
            }],
        }}))
        .unwrap()
    }

    /// Strays on an API server that answers `live` for the action. Also the requests that it gets.
    fn strays(live: (u16, Value), memories: Memories) -> (Strays, Arc<Mutex<Vec<Seen>>>) {
        let (client, seen) = server(move |request| match request.method.as_str() {
            "GET" => live.clone(),
            _ => (
                200,
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {}}),
            ),
        });
        let (news, _) = tokio::sync::mpsc::unbounded_channel();
        let nodes = Nodes::new(DeliveryOption::Auto);
        (Strays::new(client, LockIndex::new(news), memories, nodes, None), seen)
    }

    /// The memory of a process that sent all creations of these runs.
    fn all_ours(runs: &[u32]) -> Memories {
        let memories = Memories::default();
        let memory = memories.of(&action().metadata.uid.unwrap());
        memory.lock().unwrap().creations.settled(runs.iter().map(|run| (*run, 1)));
        memories
    }

    /// Whether a pod of this name and run is released if the API server answers `live` for the action.
    async fn is_let_go(live: (u16, Value), name: &str, run: &str) -> bool {
        let pod = going(name, run);
        assert!(may_be_stray(&pod));
        let (strays, seen) = strays(live, all_ours(&[1, 2]));
        strays.release(&pod).await;
        let seen = seen.lock().unwrap();
        seen.iter().any(|seen| seen.method == "PATCH")
    }

    fn live(run: &Value) -> (u16, Value) {
        let mut live = to_value(action()).unwrap();
        live["apiVersion"] = json!("longshore.dev/v1alpha1");
        live["kind"] = json!("DeploymentAction");
        live["status"] = json!({"run": run});
        (200, live)
    }

    fn run(number: u64, pod: &str) -> Value {
        json!({
            "number": number, "id": "a-1", "generation": 1, "attempt": 1, "trigger": "Created", "specHash": "v1:",
            "podName": pod,
        })
    }

    /// The last state of the action: launched by this process, in its first attempt.
    fn last() -> DeploymentAction {
        let mut last = action();
        let run = RunStatus {
            number: 1,
            attempt: 1,
            launcher: Some(Launcher::first(PROCESS)),
            ..RunStatus::default()
        };
        last.status.get_or_insert_default().run = Some(run);
        last
    }

    /// Whether a pod of an action that is gone is released at once.
    async fn is_let_go_at_once(strays: &Strays, pod: &Pod) -> bool {
        let moment = std::time::Duration::from_millis(300);
        tokio::time::timeout(moment, strays.release(pod)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_a_late_creation_may_want_stays_taken() {
        let uid = action().metadata.uid.unwrap();
        // The rows: another process announced the attempt. This process did, and a creation went unanswered.
        // This process did, and all were answered. This process knows another attempt, which an older status
        // names. This process has not seen the end of the action, and before it another process may have
        // taken the attempt over.
        for (attempt, announced, unanswered, seen, held) in [
            ((1, 1), false, false, true, true),
            ((1, 1), true, true, true, true),
            ((1, 1), true, false, true, false),
            ((1, 2), true, false, true, true),
            ((1, 1), true, false, false, true),
        ] {
            let memories = Memories::default();
            {
                let memory = memories.of(&uid);
                let mut memory = memory.lock().unwrap();
                memory.turn_to(attempt, announced);
                if unanswered {
                    memory.creations.unanswered("no answer".to_owned());
                }
            }
            if seen {
                memories.gone(&last(), PROCESS);
            }
            let (strays, _) = strays(failure(404, "NotFound", ""), memories);
            let mut pod = going("deploy-1-1", "1");
            // An orphan has no owner any more.
            pod.metadata.owner_references = pod.metadata.owner_references.filter(|_| unanswered);
            let at_once = is_let_go_at_once(&strays, &pod).await;
            assert_eq!(at_once, !held, "{attempt:?} {announced} {unanswered} {seen}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_whose_event_comes_before_that_of_its_action_s_end_is_let_go_with_that() {
        let uid = action().metadata.uid.unwrap();
        let memories = Memories::default();
        memories.of(&uid).lock().unwrap().turn_to((1, 1), true);
        let (strays, _) = strays(failure(404, "NotFound", ""), memories.clone());
        let pod = going("deploy-1-1", "1");
        let (at_once, ()) = tokio::join!(is_let_go_at_once(&strays, &pod), async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            memories.gone(&last(), PROCESS);
        });
        assert!(at_once);
    }

    #[tokio::test]
    async fn what_comes_while_a_pod_is_looked_at_is_looked_at_too() {
        // The first look may see the pod running, under a lock, and only the second one its end.
        let (strays, seen) = strays(failure(404, "NotFound", ""), all_ours(&[1]));
        let pod = going("deploy-1-1", "1");
        tokio::join!(strays.release(&pod), strays.release(&pod));
        assert_eq!(seen.lock().unwrap().iter().filter(|seen| seen.method == "GET").count(), 2);
    }

    #[tokio::test]
    async fn a_pod_that_its_action_looks_at_is_kept() {
        assert!(!is_let_go(live(&run(2, "deploy-2-1")), "deploy-2-1", "2").await);
        assert!(!is_let_go(live(&run(2, "deploy-2-1")), "deploy-1-1", "1").await, "of an earlier run");
    }

    #[tokio::test]
    async fn a_pod_of_an_action_whose_status_was_emptied_is_kept_until_that_is_rebuilt_from_it() {
        assert!(!is_let_go(live(&Value::Null), "deploy-1-1", "1").await);
        assert!(is_let_go(live(&Value::Null), "other", "x").await, "nothing is rebuilt from a forged pod");
    }

    #[tokio::test]
    async fn a_pod_that_nobody_looks_at_is_let_go() {
        assert!(is_let_go(failure(404, "NotFound", ""), "deploy-1-1", "1").await, "the action is gone");
        assert!(is_let_go(live(&run(1, "deploy-1-1")), "other", "x").await, "a forged pod");
        assert!(is_let_go(live(&run(1, "deploy-1-1")), "deploy-2-1", "2").await, "its status was restored");
        let unreadable = live(&run(5_000_000_000, "deploy-1-1"));
        assert!(is_let_go(unreadable, "deploy-1-1", "1").await, "nobody can read the action");
        assert!(!is_let_go(failure(500, "InternalError", ""), "other", "x").await, "nobody knows");
    }
}
