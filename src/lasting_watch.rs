//! A watch that goes on for ever, also where its past is gone.

use futures::{StreamExt, stream, stream::BoxStream};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;

/// What a watch tells.
pub type Watched<K> = Result<Event<K>, watcher::Error>;

/// Lists and watches objects. After an error it waits before it tries again, longer each time.
///
/// kube's `watcher` asks again from the same place if the API server refuses to begin there. A server that answers
/// `410 Gone` does so for ever, since the place was compacted away: then this one lists anew.
#[must_use]
pub fn lasting_watch<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, Watched<K>>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let begin = move || watcher(api.clone(), config.clone()).boxed();
    let events = stream::unfold((begin(), begin), async |(mut events, begin)| {
        let event = events.next().await?;
        if matches!(&event, Err(watcher::Error::WatchStartFailed(error)) if is_of_no_use(error)) {
            events = begin();
        }
        Some((event, (events, begin)))
    });
    events.default_backoff().boxed()
}

/// Whether the place in the past where the watch was to begin is refused, and will be.
fn is_of_no_use(error: &kube::Error) -> bool {
    // 400: it is no place of this server's, such as after etcd was restored.
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 410))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::{Answer, failure, server};

    /// How many lists there are until a third watch is answered, if the second one is refused with `code`.
    async fn lists(code: u16) -> usize {
        let watches = Arc::new(AtomicU32::new(0));
        let (client, seen) = server(move |request| {
            if !request.query.contains("watch=true") {
                let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": []});
                return Answer::from((200, list));
            }
            match watches.fetch_add(1, Ordering::SeqCst) {
                0 => (200, Value::String(String::new())).into(),
                1 => failure(code, "Expired", "too old").into(),
                _ => Answer::hanging(""),
            }
        });
        let mut events = lasting_watch(Api::<ConfigMap>::all(client), watcher::Config::default());
        let count = |watch: bool| {
            let seen = seen.lock().unwrap();
            seen.iter().filter(|request| request.query.contains("watch=true") == watch).count()
        };
        while count(true) < 3 {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), events.next()).await;
        }
        count(false)
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_past_is_gone_it_lists_anew() {
        assert_eq!(lists(410).await, 2);
        assert_eq!(lists(400).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_server_is_not_listed_again() {
        assert_eq!(lists(429).await, 1);
        assert_eq!(lists(500).await, 1);
    }
}
