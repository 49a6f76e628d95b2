//! Many actions on a fake node (`tests/node`), with the operator that is deployed in the cluster:
//! what it takes in memory, whether it grows slower, how soon it is back after its end, the pause
//! between two actions of one lock, and how soon a lone action is looked at beside a namespace that floods.
//!
//! Everything but the containers is real: API server, etcd, scheduler, operator, runner. All of them
//! share this machine's cores, and so does this program.
//!
//! `RATE` actions a second for `MINUTES`; memory with `KEPT` finished actions, and with `LARGEST` as large
//! as they may be; memory and restarts with `FINISHED` of them, and a restart with `ACTIVE` scripts running;
//! a queue of `QUEUED`; `NEIGHBOURS` whose registry says nothing; `PARTS` of
//! `memory,steady,converge,lock,neighbour,restart,largest`. The numbers go into the file that `RESULT` names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "there is nobody to hand an error to"
)]

#[path = "scale/converge.rs"]
mod converge;
#[path = "scale/largest.rs"]
mod largest;
#[path = "scale/load.rs"]
mod load;
#[path = "scale/lock.rs"]
mod lock;
#[path = "scale/neighbour.rs"]
mod neighbour;
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/node/mod.rs"]
mod node;
#[path = "scale/operator.rs"]
mod operator;
#[path = "scale/restart.rs"]
mod restart;

use std::{path::PathBuf, str::FromStr, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use load::Load;
use node::{Cluster, FakeNode, Options};
use operator::Operator;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Pods of finished actions are removed two minutes after their run was taken up.
const PODS_GONE: Duration = Duration::from_mins(5);

fn setting<T: FromStr>(name: &str, default: T) -> T {
    let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read"))
}

fn main() {
    let cluster = Cluster::running();
    // In the cluster's network, past the way in from outside.
    cluster.runtime().block_on(bench(&cluster));
}

async fn bench(cluster: &Cluster) {
    let client = cluster.client().await;
    let name = format!("bench-scale-{}", std::process::id());
    let built = env!("CARGO_BIN_EXE_longshore-runner");
    let runner: PathBuf = setting("LONGSHORE_RUNNER", built.into());
    let options = Options::new(&name, runner);
    // A node's disk is not what is measured.
    let root = setting("NODE_ROOT", PathBuf::from("/dev/shm")).join(&name);
    let node = FakeNode::start(Options { root, ..options }).await;

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = json!({"metadata": {"name": name, "labels": {
        "longshore.dev/bench-scale": "true", "pod-security.kubernetes.io/enforce": "restricted",
    }}});
    let namespace = serde_json::from_value(namespace).expect("a namespace");
    namespaces.create(&PostParams::default(), &namespace).await.expect("creating the namespace");
    sleep(Duration::from_secs(1)).await;

    let operator = Operator::find(cluster.sandbox()).expect("an operator runs in the cluster");
    let load = Load::start(&client, &name, node.name());
    let result = measure((&client, &name), cluster, operator, load).await;
    let path = setting("RESULT", PathBuf::from("target/bench-scale.json"));
    let text = serde_json::to_string_pretty(&result).expect("JSON");
    std::fs::write(&path, text + "\n").expect("writing the result");
    println!("\nwritten to {}", path.display());

    namespaces.delete(&name, &DeleteParams::default()).await.expect("deleting the namespace");
    let end = Instant::now() + PODS_GONE;
    while namespaces.get_opt(&name).await.is_ok_and(|found| found.is_some()) && Instant::now() < end {
        sleep(Duration::from_secs(1)).await;
    }
}

async fn measure(
    (client, name): (&Client, &str),
    cluster: &Cluster,
    mut operator: Operator,
    mut load: Load,
) -> Value {
    let (rate, minutes) = (setting("RATE", 30u32), setting("MINUTES", 5u32));
    let parts: String = setting("PARTS", "memory,steady,converge,lock,neighbour,restart,largest".into());
    let wanted = |part: &str| parts.split(',').any(|one| one == part);
    let mut result = json!({"rate": rate, "minutes": minutes, "loadBefore": load_average()});
    println!("load average before: {}\n", load_average());
    // It does not count: caches are filled, and the image is known.
    load.create(1, 1).await.ended().await;
    let idle = operator.mib();
    result["idleMib"] = idle.into();
    println!("operator: {idle:.1} MiB resident before");

    if wanted("memory") {
        let kept = setting("KEPT", 1000);
        load.top_up(kept, rate).await;
        operator = operator.current(cluster.sandbox());
        let busy = operator.mib();
        load.pods_gone(PODS_GONE).await;
        operator = operator.current(cluster.sandbox());
        let calm = operator.mib();
        println!(
            "{kept} finished actions: {busy:.1} MiB at the end of the last, {calm:.1} MiB without their pods"
        );
        result["memory"] =
            json!({"finished": kept, "busyMib": busy, "calmMib": calm, "peakMib": operator.peak_mib()});
    }
    if wanted("steady") {
        result["steady"] = steady(cluster, operator, &mut load, rate, minutes).await;
    }
    if wanted("converge") {
        result["converge"] = converge::measure(cluster, &mut load, setting("ACTIVE", 500), rate).await;
    }
    if wanted("lock") {
        result["lock"] = lock::measure(&mut load, setting("QUEUED", 100)).await;
    }
    if wanted("neighbour") {
        let crowd = setting("NEIGHBOURS", 1000);
        result["neighbour"] = neighbour::measure(client, &load, name, crowd).await;
    }
    if wanted("restart") {
        let finished = setting("FINISHED", 10_000);
        load.keep(finished).await;
        load.top_up(finished, rate).await;
        load.pods_gone(PODS_GONE).await;
        operator = operator.current(cluster.sandbox());
        let grown = operator.mib();
        result["restart"] = restart::measure(client, cluster, &mut load, finished).await;
        // One that has listed them and has done nothing else.
        operator = Operator::find(cluster.sandbox()).unwrap_or(operator);
        let (fresh, peak) = (operator.mib(), operator.peak_mib());
        println!(
            "{finished} finished actions: {grown:.1} MiB where they ran, {fresh:.1} MiB after a restart, {peak:.1} MiB at the most"
        );
        result["finished"] =
            json!({"finished": finished, "ranMib": grown, "restartedMib": fresh, "restartedPeakMib": peak});
    }
    if wanted("largest") {
        result["largest"] = largest::measure(cluster, operator, &mut load, setting("LARGEST", 200)).await;
    }
    result["loadAfter"] = load_average().into();
    println!("\nload average after: {}", load_average());
    result
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// Creates at an even rate and tells of each minute.
async fn steady(
    cluster: &Cluster,
    mut operator: Operator,
    load: &mut Load,
    rate: u32,
    minutes: u32,
) -> Value {
    println!(
        "\n{rate} actions a second, by the minute of their creation: seconds from creation to Finished\n"
    );
    println!(
        "| minute | created | finished | p50 | p90 | max | operator MiB | operator CPU ms/action | load |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let begun = Instant::now();
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for _ in 0..minutes {
        operator = operator.current(cluster.sandbox());
        let (cpu, ended) = (operator.cpu_seconds(), load.ends());
        let created = load.create(rate * 60, rate).await;
        let ends = load.ends() - ended;
        let (mib, cpu) = (operator.mib(), operator.cpu_seconds() - cpu);
        #[allow(clippy::cast_precision_loss, reason = "it fits")]
        let cpu = cpu * 1000.0 / ends.max(1) as f64;
        rows.push((created, ends, mib, cpu, load_average()));
    }
    let took = begun.elapsed().as_secs_f64();
    let mut minutes = Vec::new();
    for (minute, (created, ends, mib, cpu, average)) in rows.into_iter().enumerate() {
        let count = created.len();
        let seconds = created.ended().await;
        let [p50, p90, max] = [50, 90, 100].map(|percent| quantile(&seconds, percent));
        let average = average.split(' ').next().unwrap_or_default().to_owned();
        println!(
            "| {} | {count} | {ends} | {p50:.2} | {p90:.2} | {max:.2} | {mib:.1} | {cpu:.1} | {average} |",
            minute + 1
        );
        minutes.push(json!({
            "created": count, "finishedInIt": ends, "p50": p50, "p90": p90, "max": max,
            "operatorMib": mib, "operatorCpuMsPerAction": cpu, "load": average,
        }));
        all.extend(seconds);
    }
    let whole = begun.elapsed().as_secs_f64();
    let operator = operator.current(cluster.sandbox());
    #[allow(clippy::cast_precision_loss, reason = "it fits")]
    let (created, achieved) = (all.len() as f64 / took, all.len() as f64 / whole);
    println!(
        "\n{} created at {created:.1}/s, the last one finished {:.1} s after the last creation: {achieved:.1}/s; operator's peak {:.1} MiB",
        all.len(),
        whole - took,
        operator.peak_mib()
    );
    json!({
        "minutes": minutes, "createdPerSecond": created, "finishedPerSecond": achieved,
        "drainSeconds": whole - took, "peakMib": operator.peak_mib(),
    })
}

/// Of any values.
fn quantile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len().saturating_sub(1) * percent).div_ceil(100)).copied().unwrap_or(f64::NAN)
}
