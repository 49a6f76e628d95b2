//! A queue of actions on one lock: the pause between two of them, beyond what their pods take.

use std::{
    collections::{BTreeMap, BTreeSet},
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
use longshore::api::{DeploymentAction, LABEL_ACTION, LABEL_LOCK};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{load::Load, quantile};

/// When a watching client saw a pod first, and its container's end.
#[derive(Debug, Clone, Copy)]
struct Seen {
    made: Instant,
    ended: Option<Instant>,
}

type All = Arc<Mutex<BTreeMap<String, Seen>>>;

/// `count` actions of one lock, made at once.
pub(crate) async fn measure(load: &mut Load, count: u32) -> Value {
    println!("\na queue of {count} actions on one lock");
    let all = All::default();
    let watching = tokio::spawn(watch(load.pods().clone(), Arc::clone(&all)));
    let (begun, writes) = (Instant::now(), load.changes());
    load.lock = Some("bench".to_owned());
    let created = load.create(count, count).await;
    load.lock = None;
    let names: BTreeSet<String> = created.names().map(str::to_owned).collect();
    created.ended().await;
    let (took, writes) = (begun.elapsed().as_secs_f64(), load.changes() - writes);
    watching.abort();

    let mut seen: Vec<(String, Seen)> =
        all.lock().expect("no panic").iter().map(|(name, seen)| (name.clone(), *seen)).collect();
    seen.sort_by_key(|(_, seen)| seen.made);
    let order: Vec<&String> = seen.iter().map(|(name, _)| name).collect();
    let tickets = tickets(load, &names).await;
    // First come, first served; created at once, the API server says which came first.
    let in_order = order.iter().map(|name| tickets.get(*name)).is_sorted();
    let pauses: Vec<f64> = seen
        .windows(2)
        .filter_map(|pair| Some(pair[1].1.made.duration_since(pair[0].1.ended?).as_secs_f64()))
        .collect();
    let overlaps =
        seen.windows(2).filter(|pair| pair[0].1.ended.is_none_or(|end| end > pair[1].1.made)).count();
    let [p50, p90, max] = [50, 90, 100].map(|percent| quantile(&pauses, percent));
    println!(
        "from the end of one's container to the next one's pod, as a watching client sees them, in seconds\n"
    );
    println!("| pauses | p50 | p90 | max | all took | changes of actions | in order | seen to overlap |");
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {p50:.3} | {p90:.3} | {max:.3} | {took:.1} | {writes} | {in_order} | {overlaps} |",
        pauses.len()
    );
    json!({
        "actions": count, "pauses": pauses.len(), "p50": p50, "p90": p90, "max": max, "seconds": took,
        "changes": writes, "inOrder": in_order, "seenToOverlap": overlaps,
    })
}

/// Each action's place in the order of those that asked.
async fn tickets(load: &Load, names: &BTreeSet<String>) -> BTreeMap<String, u64> {
    let all = load.all().await.into_iter().filter(|action| names.contains(&action.name_any()));
    let ticket = |action: &DeploymentAction| {
        action.status.as_ref()?.run.as_ref()?.lock.as_ref()?.ticket.parse::<u64>().ok()
    };
    all.map(|action| (action.name_any(), ticket(&action).unwrap_or_default())).collect()
}

async fn watch(pods: Api<Pod>, all: All) {
    let locked = watcher::Config::default().labels(LABEL_LOCK);
    let mut events = pin!(watcher::watcher(pods, locked).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
        let now = Instant::now();
        let Some(name) = pod.labels().get(LABEL_ACTION).cloned() else { continue };
        let mut all = all.lock().expect("no panic");
        let seen = all.entry(name).or_insert(Seen { made: now, ended: None });
        let states = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        if states.filter_map(|one| one.state.as_ref()).any(|state| state.terminated.is_some()) {
            seen.ended.get_or_insert(now);
        }
    }
}
