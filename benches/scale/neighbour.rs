//! A lone action beside a namespace that floods: how soon the operator looks at it first.
//!
//! The lone ones are suspended. The operator's first write answers one, and no pod is needed. So only the
//! operator and the API server are measured.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use longshore::api::DeploymentAction;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::{load::Load, node::Cluster, quantile};

/// So many lone actions are measured, one after the other.
const LONE: u32 = 100;
/// Until as many of the crowd as there may be have been looked at.
const FLOODED: Duration = Duration::from_secs(10);

/// Alone, and beside `crowd` actions of another namespace whose registry accepts and says nothing.
pub(crate) async fn measure(client: &Client, load: &Load, namespace: &str, crowd: u32) -> Value {
    println!(
        "\na lone action's first look, in seconds from its creation, alone and beside {crowd} neighbours\n"
    );
    println!("| neighbours | p50 | p99 | max |");
    println!("|---|---|---|---|");
    let alone = row("none", &lone(load, "alone").await);

    let listener = TcpListener::bind((Cluster::address(), 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let silent = tokio::spawn(hold(listener));
    let name = format!("{namespace}-crowd");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = json!({"metadata": {"name": name, "labels": {"longshore.dev/bench-scale": "true"}}});
    let object = serde_json::from_value(object).expect("a namespace");
    namespaces.create(&PostParams::default(), &object).await.expect("creating the namespace");
    let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), &name);
    for at in 0..crowd {
        let object = json!({
            "apiVersion": "longshore.dev/v1alpha1",
            "kind": "DeploymentAction",
            "metadata": {"name": format!("crowd-{at}")},
            "spec": {"image": format!("{address}/silent:1"), "command": ["true"]},
        });
        let object = serde_json::from_value(object).expect("an action");
        actions.create(&PostParams::default(), &object).await.expect("creating an action");
    }
    sleep(FLOODED).await;
    let beside = row("a registry that says nothing", &lone(load, "beside").await);
    namespaces.delete(&name, &DeleteParams::default()).await.expect("deleting the namespace");
    silent.abort();
    json!({"neighbours": crowd, "alone": alone, "besideSilentRegistry": beside})
}

/// Accepts, and keeps what it accepted.
async fn hold(listener: TcpListener) {
    let mut held: Vec<TcpStream> = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        held.push(stream);
    }
}

fn row(neighbours: &str, seconds: &[f64]) -> Value {
    let [p50, p99, max] = [50, 99, 100].map(|percent| quantile(seconds, percent));
    println!("| {neighbours} | {p50:.3} | {p99:.3} | {max:.3} |");
    json!({"p50": p50, "p99": p99, "max": max})
}

/// Seconds from each one's creation to the first status, as a client that asks all the time sees it.
async fn lone(load: &Load, prefix: &str) -> Vec<f64> {
    let mut seconds = Vec::new();
    for at in 0..LONE {
        let name = format!("{prefix}-{at}");
        let begun = Instant::now();
        load.create_suspended(&name).await;
        while !load.has_status(&name).await {
            sleep(Duration::from_millis(5)).await;
        }
        seconds.push(begun.elapsed().as_secs_f64());
        load.delete(&name).await;
    }
    seconds
}
