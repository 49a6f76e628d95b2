//! A whole run without an operator: what is read of its log afterwards, and what is named.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    Result, Scene,
    log::now,
    process::Operator,
    settings::{setting, variable},
    table::{Table, Wanted},
    writer::Writer,
};

/// How long the script waits for the operator to go, in seconds.
const BEFORE: f64 = 20.0;
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn measure(scene: &Scene, table: &mut Table) -> Result<()> {
    let mib: u64 = setting("MIB", 100)?;
    let size = variable("LOG_SIZE")?;
    let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), "longshore-system");
    let scale = async |replicas: i32| -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments.patch_scale("longshore", &PatchParams::default(), &patch).await?;
        Ok(())
    };
    let replicas = deployments.get_scale("longshore").await?.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let begins = now() + BEFORE;
    let writer = Writer { begins, ..Writer::of_bytes(mib * 1024 * 1024, 100, 20_000_000) };
    scene.create("stopped", &writer.script()).await?;
    scene.started("stopped").await?;
    scale(0).await?;
    let away = alone(scene, begins).await;
    scale(replicas).await?;
    away?;
    let log = scene.log("stopped").await?;
    let named = frames(&log.status.missing, &writer);
    let what = format!(
        "{mib} MiB at 20 MB/s, lines of 100 bytes, rotated at {size}, without an operator from before the first line until after the pod's end"
    );
    // The exit record may be among the frames that are named.
    let all = writer.all_lines();
    let is_all = (all..=all + 1).contains(&(log.status.lines + named));
    let measured = format!("{} of {all} lines read, {named} frames named", log.status.lines);
    table.row(&what, &measured, "all lines are read or named", Wanted::Reached(is_all))
}

/// Waits until the operator is gone, and then until the script's pod has ended.
async fn alone(scene: &Scene, begins: f64) -> Result<()> {
    while Operator::find(scene.cluster.sandbox()).is_some() {
        if now() > begins {
            return Err("the operator was still there when the script began".into());
        }
        sleep(LOOK_EVERY).await;
    }
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let of_action = ListParams::default().labels(&format!("{}=stopped", longshore::api::LABEL_ACTION));
    loop {
        let found = pods.list(&of_action).await?;
        let phase = found.items.first().and_then(|pod| pod.status.as_ref()?.phase.clone());
        if phase.is_none_or(|phase| phase == "Succeeded" || phase == "Failed") {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// How many lines these sentences name. The first frame is the start record, and each line is a frame.
fn frames(missing: &[String], writer: &Writer) -> u64 {
    let mut named = BTreeSet::new();
    for text in missing {
        let mut words = text.split(' ').skip(1).step_by(2).map_while(|word| word.parse::<u64>().ok());
        if let (Some(first), Some(last)) = (words.next(), words.next()) {
            named.extend(first.max(2)..=last.min(writer.all_lines() + 1));
        }
    }
    named.len() as u64
}
