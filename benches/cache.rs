//! The memory that the operator's cache of actions takes, without a cluster. It reads finished actions, the
//! largest possible ones, and the largest ones with a run under way, as the API server lists them.
//!
//! Resident memory of this process, with the operator's allocator. The rest of an operator is not in it:
//! `make bench-scale` has that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "there is nobody to hand an error to, and the figures are small"
)]

use std::{env, fs, mem::size_of, process::Command, time::Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    core::DeserializeGuard,
    runtime::{
        reflector::{self, Lookup, store::Writer},
        watcher::Event,
    },
};
use longshore::{
    api::{DeploymentAction, DeploymentActionSpec, DeploymentActionStatus, action::PodTemplate},
    operator::{
        caches::{cached::Cached, memory::Memory},
        spec::hash::spec_hash,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    // Each in a process of its own: what another one has freed would count for it.
    match env::var(CASE).ok().and_then(|number| number.parse().ok()) {
        Some(number) => case(number),
        None => all(),
    }
}

const CASE: &str = "LONGSHORE_BENCH_CACHE_CASE";
const CASES: usize = 8;

fn all() {
    println!(
        "bytes of a value: DeploymentAction {}, spec {}, podTemplate {}, status {}, Pod {}, Memory {}, Cached {}",
        size_of::<DeploymentAction>(),
        size_of::<DeploymentActionSpec>(),
        size_of::<PodTemplate>(),
        size_of::<DeploymentActionStatus>(),
        size_of::<Pod>(),
        size_of::<Memory>(),
        size_of::<Cached>(),
    );
    println!("\n| | as JSON, KiB each | resident, KiB each | resident, MiB in all | read in, s |");
    println!("|---|---|---|---|---|");
    let this = env::current_exe().expect("this program");
    for number in 0..CASES {
        let status = Command::new(&this).env(CASE, number.to_string()).status().expect("starting it again");
        assert!(status.success(), "{status}");
    }
}

fn case(number: usize) {
    let plain = json!({"command": ["echo", "hello"]});
    let long = json!({"podTemplate": {"affinity": affinity(&"x".repeat(1000), 240)}});
    let short = json!({"podTemplate": {"affinity": affinity("x", 60_000)}});
    let content = 32 << 10;
    match number {
        0 => measure::<DeploymentAction>("10,000 finished, as they are", 10_000, |name| {
            finished(name, &plain, 20)
        }),
        1 => measure::<Cached>("10,000 finished, cached", 10_000, |name| finished(name, &plain, 20)),
        2 => measure::<DeploymentAction>("200 of the largest, finished, as they are", 200, |name| {
            finished(name, &long, content)
        }),
        3 => measure::<Cached>("200 of the largest, finished, cached", 200, |name| {
            finished(name, &long, content)
        }),
        4 => measure::<DeploymentAction>("200 of the largest, under way, as they are", 200, |name| {
            running(name, &long)
        }),
        5 => measure::<Cached>("200 of the largest, under way, cached", 200, |name| running(name, &long)),
        6 => measure::<DeploymentAction>("200 of as many short texts, under way, as they are", 200, |name| {
            running(name, &short)
        }),
        _ => measure::<Cached>("200 of as many short texts, under way, cached", 200, |name| {
            running(name, &short)
        }),
    }
}

/// Reads `count` of them into a cache, as from a watch.
fn measure<K>(what: &str, count: usize, action: impl Fn(&str) -> Value)
where
    K: kube::Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    let bytes = action("action-0").to_string().len();
    let before = settled();
    let (store, mut writer): (_, Writer<K>) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    let begun = Instant::now();
    let mut making = 0.0;
    for number in 0..count {
        let made = Instant::now();
        let text = action(&format!("action-{number}")).to_string();
        making += made.elapsed().as_secs_f64();
        let guard: DeserializeGuard<K> = serde_json::from_str(&text).expect("an action");
        writer.apply_watcher_event(&Event::InitApply(guard.0.expect("an action")));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let seconds = begun.elapsed().as_secs_f64() - making;
    let took = (settled() - before).max(0.0);
    println!(
        "| {what} | {:.1} | {:.1} | {:.1} | {seconds:.1} |",
        bytes as f64 / 1024.0,
        took / count as f64,
        took / 1024.0
    );
    assert_eq!(store.len(), count);
}

/// Resident memory in KiB, once the allocator has given back what is free.
fn settled() -> f64 {
    std::thread::sleep(std::time::Duration::from_secs(1));
    // Freed pages go back by decay, which only what is allocated and freed drives.
    let mut last = f64::MAX;
    for _ in 0..30 {
        drop(vec![0_u8; 64 << 10]);
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = resident();
        if now >= last {
            break;
        }
        last = now;
    }
    resident()
}

fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn affinity(value: &str, count: usize) -> Value {
    let expression = |values: usize| json!({"key": "a", "operator": "In", "values": vec![value; values]});
    let expressions: Vec<_> = (0..count.div_ceil(64)).map(|_| expression(64.min(count))).collect();
    let terms: Vec<_> = expressions.chunks(64).map(|chunk| json!({"matchExpressions": chunk})).collect();
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
}

fn action(name: &str, spec: &Value) -> Value {
    let mut whole = json!({
        "image": "registry.example.com/team/tools:2026.11",
        "podRetentionSeconds": 86_400,
        "variables": [{"name": "HOST", "value": "orders.example.com"}],
    });
    for (field, value) in spec.as_object().expect("fields") {
        whole[field] = value.clone();
    }
    if whole["command"].is_null() {
        whole["script"] = json!({"inline": "echo hello\n"});
    }
    let uid =
        format!("5f3c9a1b-1234-4321-8765-{:012}", name.len() + name.bytes().map(usize::from).sum::<usize>());
    let fields = json!({"f:spec": {"f:image": {}, "f:script": {"f:inline": {}}, "f:variables": {}}});
    let manager = |name: &str| json!({"manager": name, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields});
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentAction",
        "metadata": {
            "name": name, "namespace": "bench-scale", "uid": uid, "generation": 1, "resourceVersion": "123456",
            "creationTimestamp": "2026-11-26T10:00:00Z", "managedFields": [manager("kubectl"), manager("longshore")],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": whole.to_string()},
        },
        "spec": whole,
    })
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
        "lastTransitionTime": "2026-11-26T10:00:05Z",
    })
}

/// The status of its tenth run; outputs and log have `content` bytes each.
fn status(action: &Value, content: usize) -> Value {
    let spec: DeploymentActionSpec = serde_json::from_value(action["spec"].clone()).expect("a spec");
    let hash = spec_hash(&spec).expect("a hash");
    let image = format!("registry.example.com/team/tools@sha256:{}", "1".repeat(64));
    let past = |number: u32| {
        json!({
            "number": number, "id": format!("5f3c9a1b-{number}"), "attempts": 1, "outcome": "Succeeded",
            "reason": "Succeeded", "trigger": "RunToken", "image": image, "exitCode": 0,
            "startedAt": "2026-11-26T10:00:02Z", "finishedAt": "2026-11-26T10:00:05Z",
        })
    };
    let attempt = json!({
        "attempt": 1, "reason": "Succeeded", "podName": "action-5f3c9a1b-10-1", "image": image,
        "podUID": "6f3c9a1b-1234-4321-8765-123456789abc", "nodeName": "node-1", "exitCode": 0,
        "startedAt": "2026-11-26T10:00:02Z", "finishedAt": "2026-11-26T10:00:05Z",
    });
    let words = "the script ended with exit code 0 after 3 s";
    let outputs: serde_json::Map<String, Value> =
        (0..4).map(|number| (format!("output{number}"), json!("o".repeat(content)))).collect();
    json!({
        "observedGeneration": 1, "phase": "Succeeded",
        "image": {"requested": "registry.example.com/team/tools:2026.11", "resolved": image, "running": image},
        "run": {
            "number": 10, "id": "5f3c9a1b-10", "generation": 1, "attempt": 1, "trigger": "RunToken",
            "specHash": hash, "bundleSha256": "2".repeat(64),
            "deadlines": {"pendingSeconds": 600, "runSeconds": 3600, "graceSeconds": 30},
            "podName": "action-5f3c9a1b-10-1", "podUID": "6f3c9a1b-1234-4321-8765-123456789abc",
            "launcher": {"process": "longshore-7d9c5d4b9-abcde/2026-11-26T09:00:00.123456789Z"},
            "nodeName": "node-1", "requestedAt": "2026-11-26T10:00:01Z", "startedAt": "2026-11-26T10:00:02Z",
            "finishedAt": "2026-11-26T10:00:05Z", "durationSeconds": 3, "exitCode": 0, "attempts": [attempt],
        },
        "outputs": outputs,
        "log": {"state": "Complete", "lines": 40, "bytes": 2000, "sha256": "3".repeat(64),
            "tail": "l".repeat((40 * content).min(16 << 10))},
        "history": (1..=10).rev().map(past).collect::<Vec<_>>(),
        "conditions": [
            condition("Ready", "True", "Succeeded", words),
            condition("Succeeded", "True", "Succeeded", words),
            condition("Finished", "True", "Succeeded", ""),
        ],
    })
}

fn finished(name: &str, spec: &Value, content: usize) -> Value {
    let mut action = action(name, spec);
    action["status"] = status(&action, content);
    action
}

fn running(name: &str, spec: &Value) -> Value {
    let mut action = finished(name, spec, 1);
    let status = &mut action["status"];
    for field in ["finishedAt", "durationSeconds", "exitCode", "attempts"] {
        status["run"][field] = Value::Null;
    }
    status["phase"] = json!("Running");
    let words = "the script is running";
    status["conditions"] = json!([
        condition("Ready", "False", "Running", words),
        condition("Succeeded", "Unknown", "Running", words),
        condition("Reconciling", "True", "Running", words),
    ]);
    status["run"] = strip(status["run"].take());
    status["history"] = json!([]);
    action
}

fn strip(mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}
