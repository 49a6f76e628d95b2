//! How soon the operator is back.

use std::{pin::pin, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
    runtime::watcher::{self, Event},
};
use longshore::api::LABEL_ACTION;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{load::Load, node::Cluster, operator::Operator};

const LIMIT: Duration = Duration::from_mins(2);

/// How it ends.
#[derive(Debug, Clone, Copy)]
enum How {
    /// Its pod is deleted: SIGTERM, and another pod.
    Asked,
    /// Its process is killed: the kubelet starts the container again.
    Killed,
    /// Its pod is deleted without grace; the kubelet still sends SIGTERM, and SIGKILL at once after it.
    Hurried,
    /// Its process is killed and its pod deleted, as with a node that is lost: another pod, and nobody
    /// gave the lease back.
    Lost,
}

/// Each end in turn, with `finished` actions present.
pub(crate) async fn measure(client: &Client, cluster: &Cluster, load: &mut Load, finished: usize) -> Value {
    println!("\nrestarts with {finished} finished actions: seconds\n");
    println!(
        "| end | new process after the end | first pod after the end | after the new process | finished after the end | then, ready: pod | finished |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for (how, words) in [
        (How::Asked, "pod deleted (SIGTERM)"),
        (How::Hurried, "pod deleted without grace"),
        (How::Killed, "process killed (SIGKILL)"),
        (How::Lost, "process killed and pod deleted"),
    ] {
        let row = once(client, cluster, load, how).await;
        let [process, pod, own, end, next_pod, next_end] = row;
        println!(
            "| {words} | {process:.2} | {pod:.2} | {own:.2} | {end:.2} | {next_pod:.2} | {next_end:.2} |"
        );
        rows.push(json!({
            "end": words, "process": process, "firstPod": pod, "firstPodAfterProcess": own,
            "firstFinished": end, "nextPod": next_pod, "nextFinished": next_end,
        }));
    }
    Value::Array(rows)
}

async fn once(client: &Client, cluster: &Cluster, load: &mut Load, how: How) -> [f64; 6] {
    let before = Operator::find(cluster.sandbox()).expect("an operator");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "longshore-system");
    let killed = Instant::now();
    match how {
        How::Killed => {
            kill(Pid::from_raw(i32::try_from(before.pid).expect("a pid")), Signal::SIGKILL).expect("killing");
        }
        How::Asked => delete(&pods, DeleteParams::default()).await,
        How::Hurried => delete(&pods, DeleteParams::default().grace_period(0)).await,
        How::Lost => {
            kill(Pid::from_raw(i32::try_from(before.pid).expect("a pid")), Signal::SIGKILL).expect("killing");
            delete(&pods, DeleteParams::default().grace_period(0)).await;
        }
    }
    let process = tokio::spawn(new_process(cluster.sandbox(), before));
    let (pod, end) = one(load).await;
    let process = process.await.expect("the new process");
    let seconds = |at: Instant, since: Instant| at.duration_since(since).as_secs_f64();
    let begun = Instant::now();
    let (next_pod, next_end) = one(load).await;
    // The kubelet makes a container that ends soon again wait.
    sleep(Duration::from_secs(20)).await;
    [
        seconds(process, killed),
        seconds(pod, killed),
        // Where the old one, still on its way out, was quicker: less than nothing.
        if pod > process { seconds(pod, process) } else { -seconds(process, pod) },
        seconds(end, killed),
        seconds(next_pod, begun),
        seconds(next_end, begun),
    ]
}

async fn delete(pods: &Api<Pod>, parameters: DeleteParams) {
    let operators = ListParams::default().labels("app.kubernetes.io/name=longshore");
    for pod in pods.list(&operators).await.expect("the operator's pods") {
        pods.delete(&pod.name_any(), &parameters).await.expect("deleting the operator's pod");
    }
}

/// When another process of the operator than `before` is there.
pub(crate) async fn new_process(sandbox: u32, before: Operator) -> Instant {
    let limit = Instant::now() + LIMIT;
    loop {
        if Operator::other_than(Some(before), sandbox).is_some() {
            return Instant::now();
        }
        assert!(Instant::now() < limit, "no new operator");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Creates an action: when it had its pod, and when it had ended.
async fn one(load: &mut Load) -> (Instant, Instant) {
    let created = load.create(1, 1).await;
    let name = created.names().next().expect("one").to_owned();
    let of_action = watcher::Config::default().labels(&format!("{LABEL_ACTION}={name}"));
    let mut events = pin!(watcher::watcher(load.pods().clone(), of_action));
    let pod = loop {
        let event = tokio::time::timeout(LIMIT, events.next()).await.expect("a pod in time");
        if let Some(Ok(Event::Apply(_) | Event::InitApply(_))) = event {
            break Instant::now();
        }
    };
    created.ended().await;
    (pod, load.end_of(&name).expect("it has ended"))
}
