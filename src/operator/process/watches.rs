//! The watches of all actions and of all our pods.

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::sync::{Notify, mpsc};
use tracing::warn;

use crate::{
    api::{DeploymentAction, LABEL_ACTION, LABEL_LOCK, LABEL_MANAGED_BY, MANAGED_BY},
    operator::{
        caches::{
            cached::Cached, lock_queue::LockIndex, pod_index::PodIndex, prune, warnings::Warnings, watch,
        },
        pod::view::{PodView, is_held},
        reconcile::strays::{self, Strays},
    },
};

/// How many actions one page of a list has. The API server's whole answer for a page is in memory.
const ACTIONS_PAGE: u32 = 50;

/// An error with all its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = error.source();
    }
    text
}

/// Watches all actions. `shown` gets each action that the cache has, and `goes` each that is gone, in its
/// last state. An action that cannot be read is skipped with a warning: it must not end the watch.
pub(super) fn watch_actions<Shown: Fn(&Cached), Goes: Fn(&Cached)>(
    client: &Client,
    namespaces: &[String],
    mut writer: reflector::store::Writer<Cached>,
    (locks, shown, goes): (LockIndex, Shown, Goes),
    filled: Arc<Notify>,
) -> impl Stream<Item = Result<Cached, watcher::Error>> + use<Shown, Goes> {
    let watches = watch::watches(client, namespaces, &watcher::Config::default().page_size(ACTIONS_PAGE));
    let readable = |watch: BoxStream<'static, _>| {
        watch.try_filter_map(|event| future::ready(Ok(readable(event)))).boxed()
    };
    watch::merge(watches.into_iter().map(readable).collect())
        .inspect_ok(move |event| {
            writer.apply_watcher_event(event);
            locks.take(event);
            match event {
                watcher::Event::Apply(action) | watcher::Event::InitApply(action) => shown(action),
                watcher::Event::Delete(action) => goes(action),
                watcher::Event::InitDone => filled.notify_one(),
                watcher::Event::Init => {}
            }
        })
        .applied_objects()
}

fn readable(event: watcher::Event<DeserializeGuard<Cached>>) -> Option<watcher::Event<Cached>> {
    let read = |guard: DeserializeGuard<Cached>| {
        guard.0.map_err(|invalid| {
            warn!(
                action = invalid.metadata.name,
                namespace = invalid.metadata.namespace,
                error = %invalid.error,
                "this action cannot be read and is passed over"
            );
            Box::new(Cached::bare(&invalid.metadata))
        })
    };
    Some(match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::InitApply(guard) => watcher::Event::InitApply(read(guard).ok()?),
        // The state read before is out of date. Writes by it would conflict forever.
        watcher::Event::Apply(guard) => {
            read(guard).map_or_else(|bare| watcher::Event::Delete(*bare), watcher::Event::Apply)
        }
        watcher::Event::Delete(guard) => watcher::Event::Delete(read(guard).unwrap_or_else(|bare| *bare)),
    })
}

/// Watches all our pods. Each event is a reason to look at the pod's action.
pub(super) fn watch_pods(
    client: &Client,
    namespaces: &[String],
    (index, locks, warnings): (PodIndex, LockIndex, Warnings),
    strays: Strays,
    news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
) -> Store<Pod> {
    let (store, writer) = reflector::store();
    let ours = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_ACTION}"));
    let client = client.clone();
    let pods =
        watch::merge(watch::watches::<Pod>(&client, namespaces, &ours)).modify(prune::pod).reflect(writer);
    tokio::spawn(async move {
        let mut pods = std::pin::pin!(pods);
        while let Some(event) = pods.next().await {
            if let Ok(event) = &event {
                // This comes before the look that the event leads to.
                index.take(event);
            }
            if let Ok(watcher::Event::Delete(pod)) = &event {
                warnings.forget(pod.metadata.uid.as_deref().unwrap_or_default());
            }
            if let Ok(watcher::Event::Delete(pod)) = &event
                && is_held(pod)
            {
                let (client, pod) = (client.clone(), pod.clone());
                tokio::spawn(async move { strays::lost_sight(&client, &pod).await });
            }
            if let Ok(
                watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) | watcher::Event::Delete(pod),
            ) = &event
                && let Some(lock) = pod.labels().get(LABEL_LOCK)
                && (matches!(event, Ok(watcher::Event::Delete(_))) || PodView::of(pod).runs_no_more())
            {
                // Mostly the action releases the lock itself. An action that is gone does not.
                locks.wake(&pod.namespace().unwrap_or_default(), lock);
            }
            match event {
                Ok(
                    watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) | watcher::Event::Delete(pod),
                ) => {
                    if let (Some(action), Some(namespace)) = (pod.labels().get(LABEL_ACTION), pod.namespace())
                    {
                        let _ = news.send(ObjectRef::new(action).within(&namespace));
                    }
                    if strays::may_be_stray(&pod) {
                        let strays = strays.clone();
                        tokio::spawn(async move { strays.release(&pod).await });
                    }
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                Err(error) => warn!(error = %chain(&error), "watch of pods"),
            }
        }
    });
    store
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::{Value, from_value, to_value};

    use super::*;
    use crate::operator::testing::objects::action;

    fn guard(change: impl FnOnce(&mut Value)) -> DeserializeGuard<Cached> {
        let mut action = to_value(action()).unwrap();
        change(&mut action);
        from_value(action).unwrap()
    }

    #[test]
    fn an_action_that_cannot_be_read_any_more_leaves_the_cache() {
        let unreadable =
            || guard(|action| action["status"] = serde_json::json!({"run": {"number": 5_000_000_000_u64}}));
        let read = readable(Event::Apply(guard(|_| {})));
        assert!(matches!(read, Some(Event::Apply(read)) if read.whole().unwrap().spec == action().spec));
        for event in [Event::Apply(unreadable()), Event::Delete(unreadable())] {
            let Some(Event::Delete(gone)) = readable(event) else { panic!("it stays in the cache") };
            assert_eq!(gone.reference(), ObjectRef::from_obj(&action()));
        }
        assert!(readable(Event::InitApply(unreadable())).is_none());
    }
}
