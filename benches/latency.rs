//! An echo as a bare pod and as a `DeploymentAction`, in turn, on the cluster that KUBECONFIG names:
//! from creation to the moment when a watching client sees the end.
//!
//! A bare pod ends with phase Succeeded, an action with condition Finished. Both run the same image,
//! which is on the node before the first measurement.

use std::{error::Error, time::Duration};

use futures::{StreamExt, TryStreamExt, future};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams, WatchEvent, WatchParams},
    core::NamespaceResourceScope,
};
use longshore::api::{ConditionType, DeploymentAction};
use serde_json::json;
use tokio::time::{Instant, timeout};

const SERIAL: usize = 40;
const AT_ONCE: usize = 30;
const LIMIT: Duration = Duration::from_mins(3);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "a TLS provider is installed")?;
    let registry =
        std::env::var("LONGSHORE_REGISTRY").map_err(|_| "LONGSHORE_REGISTRY is not set: use make bench")?;
    let image = format!("{registry}/examples:0.1.0");
    let client = Client::try_default().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = format!("bench-{}", std::process::id());
    let namespace = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }))?;
    namespaces.create(&PostParams::default(), &namespace).await?;
    let measured = measure(&client, &name, &image).await;
    namespaces.delete(&name, &DeleteParams::default()).await?;
    measured
}

async fn measure(client: &Client, namespace: &str, image: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), namespace);
    // The first of each pulls images and warms caches; it does not count.
    one(&pods, &pod("warm-pod", image)?, pod_ended).await?;
    one(&actions, &action("warm-action", image)?, action_ended).await?;

    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for turn in 0..SERIAL {
        bare.push(one(&pods, &pod(&format!("pod-{turn}"), image)?, pod_ended).await?);
        ours.push(one(&actions, &action(&format!("action-{turn}"), image)?, action_ended).await?);
    }
    println!(
        "one at a time, in turn, n = {SERIAL} each: seconds from creation to the end that a watching client sees\n"
    );
    println!("| | p50 | p90 | max |\n|---|---|---|---|");
    row("bare pod, Succeeded", &mut bare);
    row("DeploymentAction, Finished", &mut ours);
    println!("\nratio of the medians, action to pod: {:.2}\n", quantile(&ours, 50) / quantile(&bare, 50));

    let pods_rate = many(&pods, pod_ended, |n| pod(&format!("many-pod-{n}"), image)).await?;
    let actions_rate = many(&actions, action_ended, |n| action(&format!("many-action-{n}"), image)).await?;
    println!("{AT_ONCE} at once: bare pods {pods_rate:.2}/s, actions {actions_rate:.2}/s");
    Ok(())
}

fn row(name: &str, seconds: &mut [f64]) {
    seconds.sort_by(f64::total_cmp);
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} |",
        quantile(seconds, 50),
        quantile(seconds, 90),
        quantile(seconds, 100)
    );
}

/// Of sorted values.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    sorted[((sorted.len() - 1) * percent).div_ceil(100)]
}

fn pod(name: &str, image: &str) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "echo",
                "image": image,
                "command": ["echo", "hello"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))?)
}

fn action(name: &str, image: &str) -> Result<DeploymentAction> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentAction",
        "metadata": {"name": name},
        "spec": {"image": image, "command": ["echo", "hello"]},
    }))?)
}

fn pod_ended(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase == "Succeeded")
}

fn action_ended(action: &DeploymentAction) -> bool {
    action.status.as_ref().is_some_and(|status| status.conditions().is_true(ConditionType::Finished))
}

async fn one<K>(api: &Api<K>, object: &K, ended: fn(&K) -> bool) -> Result<f64>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let begun = Instant::now();
    let created = api.create(&PostParams::default(), object).await?;
    let name = created.name_any();
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = api.watch(&only, &created.resource_version().unwrap_or_default()).await?.boxed();
    while let Some(event) = timeout(LIMIT, events.try_next()).await?? {
        if let WatchEvent::Modified(object) | WatchEvent::Added(object) = event
            && ended(&object)
        {
            return Ok(begun.elapsed().as_secs_f64());
        }
    }
    Err(format!("the watch of {name} ended before its object did").into())
}

/// How many end in a second where all are created at once.
async fn many<K>(api: &Api<K>, ended: fn(&K) -> bool, object: impl Fn(usize) -> Result<K>) -> Result<f64>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let objects = (0..AT_ONCE).map(object).collect::<Result<Vec<K>>>()?;
    let begun = Instant::now();
    future::try_join_all(objects.iter().map(|object| one(api, object, ended))).await?;
    #[allow(clippy::cast_precision_loss, reason = "thirty fits")]
    Ok(AT_ONCE as f64 / begun.elapsed().as_secs_f64())
}
