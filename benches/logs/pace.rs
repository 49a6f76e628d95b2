//! The time that a script needs for its output, beside the same program in a bare pod.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokio::time::{Duration, sleep};

use crate::{
    Result, Scene,
    samples::Values,
    settings::{setting, variable},
    table::{Table, Wanted},
    writer::{Writer, Wrote},
};

/// How often each of both is run, in turn.
const ROUNDS: usize = 3;

pub(crate) async fn measure(scene: &Scene, table: &mut Table) -> Result<()> {
    let mib: u64 = setting("MIB", 100)?;
    let size = variable("LOG_SIZE")?;
    for (width, bound) in [(1000, 10.0), (100, 30.0)] {
        let writer = Writer::of_bytes(mib * 1024 * 1024, width, 0);
        let (mut bare, mut own, mut rests, mut whole) = (vec![], vec![], vec![], true);
        for round in 0..ROUNDS {
            bare.push(in_bare_pod(scene, &format!("bare-{width}-{round}"), &writer).await?.seconds());
            let name = format!("pace-{width}-{round}");
            scene.create(&name, &writer.script()).await?;
            let log = scene.log(&name).await?;
            own.push(log.seconds());
            rests.push(log.rest());
            whole &= log.is_whole(&writer);
        }
        let (bare, own, rest) =
            (Values::new(bare).median(), Values::new(own).median(), Values::new(rests).max());
        let what = format!(
            "a script that writes {mib} MiB as fast as it can, lines of {width} bytes, rotated at {size}, {ROUNDS} times"
        );
        let ratio = own / bare;
        let measured = format!("{ratio:.2} of a bare pod's time (p50 {own:.2} s and {bare:.2} s)");
        table.row(&what, &measured, "at most 1.15", Wanted::Reached(ratio <= 1.15))?;
        let read = if whole { "complete" } else { "**not complete**" };
        let measured = format!("from its last line to the end of its log {rest:.1} s at most; {read}");
        table.row(
            &what,
            &measured,
            &format!("at most {bound} s"),
            Wanted::Reached(whole && rest <= bound),
        )?;
    }
    Ok(())
}

async fn in_bare_pod(scene: &Scene, name: &str, writer: &Writer) -> Result<Wrote> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    // The node may have rotated the last line away.
    let script = format!(
        "{}open('/dev/termination-log', 'w').write('%.3f %.3f' % (begun, time.time()))\n",
        writer.script()
    );
    let pod = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "writer",
                "image": scene.image,
                "command": ["python3", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    loop {
        let status = pods.get(name).await?.status.unwrap_or_default();
        match status.phase.as_deref() {
            Some("Succeeded") => {
                let containers = status.container_statuses.unwrap_or_default();
                let ended = containers.into_iter().find_map(|container| container.state?.terminated);
                let text = ended.and_then(|ended| ended.message).unwrap_or_default();
                // A part that follows waits until all pods of actions are gone.
                pods.delete(name, &DeleteParams::default()).await?;
                return Wrote::parse(&text).ok_or_else(|| format!("no times of pod {name}: {text:?}").into());
            }
            Some("Failed") => return Err(format!("pod {name} failed").into()),
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
}
