//! The one watch of a node: pods that are bound to it.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use tokio::sync::{mpsc, watch as channel};

use super::{Entry, Node, life};

/// Watches for ever; a node that was cut off lists anew.
pub(super) async fn watch(node: Arc<Node>) {
    let ours = watcher::Config::default().fields(&format!("spec.nodeName={}", node.options.name));
    loop {
        node.online().await;
        let pods: Api<Pod> = Api::all(node.client.clone());
        let mut events = pin!(watcher::watcher(pods, ours.clone()).default_backoff());
        let mut listed = HashSet::new();
        let mut offline = pin!(node.offline());
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut offline => break,
            };
            match event {
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(pod))) => {
                    listed.extend(pod.uid());
                    see(&node, pod);
                }
                Some(Ok(Event::InitDone)) => {
                    node.pods.lock().unwrap().retain(|uid, _| listed.contains(uid));
                }
                Some(Ok(Event::Apply(pod))) => see(&node, pod),
                Some(Ok(Event::Delete(pod))) => {
                    node.pods.lock().unwrap().remove(&pod.uid().unwrap_or_default());
                }
                Some(Err(error)) => eprintln!("fake node {}: watch: {error}", node.options.name),
                None => break,
            }
        }
    }
}

fn see(node: &Arc<Node>, mut pod: Pod) {
    pod.managed_fields_mut().clear();
    let uid = pod.uid().unwrap_or_default();
    let pod = Arc::new(pod);
    let mut pods = node.pods.lock().unwrap();
    if let Some(entry) = pods.get(&uid) {
        entry.seen.send_replace(pod);
        return;
    }
    let (seen, watched) = channel::channel(pod);
    let (orders, ordered) = mpsc::unbounded_channel();
    let log = Arc::new(Mutex::new(None));
    tokio::spawn(life::live(Arc::clone(node), watched, ordered, Arc::clone(&log)));
    pods.insert(uid, Entry { seen, orders, log });
}
