//! Logs that rotate while their reader is cut off.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use longshore::{
    api::{ANNOTATION_LOG_CREDIT, LABEL_ACTION},
    record::credit::Credit,
};
use tokio::time::sleep;

use crate::{
    Result, Scene,
    log::{self, Log},
    metrics,
    process::Operator,
    settings::{setting, variable},
    table::{Table, Wanted},
    writer::Writer,
};

const MB: u64 = 1_000_000;
/// How long the log is out of reach at a time, in seconds.
const AWAY: f64 = 12.5;
const TIMES: usize = 3;

pub(crate) async fn measure(scene: &Scene, table: &mut Table) -> Result<()> {
    for (rate, cuts) in [(20, true), (50, false)] {
        for width in [1000, 100] {
            one(scene, table, width, rate, cuts).await?;
        }
    }
    Ok(())
}

async fn one(scene: &Scene, table: &mut Table, width: usize, rate: u64, cuts: bool) -> Result<()> {
    let mib: u64 = setting("MIB", 100)?;
    let size = variable("LOG_SIZE")?;
    let writer = Writer::of_bytes(mib * 1024 * 1024, width, rate * MB);
    let name = format!("long-{width}-{rate}");
    let operator = Operator::find(scene.cluster.sandbox()).ok_or("no operator runs in the cluster")?;
    let (asked, cpu) = (asked(scene).await?, operator.cpu_seconds());
    scene.create(&name, &writer.script()).await?;
    scene.started(&name).await?;
    let mut cut = 0;
    let ended = scene.log(&name);
    let log = if cuts {
        let (log, times) = tokio::join!(ended, cut_off(scene, &name));
        cut = times?;
        log?
    } else {
        ended.await?
    };
    let asked = self::asked(scene).await? - asked;
    let cpu = operator.cpu_seconds() - cpu;
    let what = format!(
        "{mib} MiB at {rate} MB/s, lines of {width} bytes, rotated at {size}, {}",
        if cuts { format!("cut off {cut} times for {AWAY} s") } else { "never cut off".to_owned() }
    );
    let is_reached = log.is_whole(&writer) && (!cuts || (cut == TIMES && asked > 0));
    let measured =
        format!("{}; sent again {asked} times; {}", told(&log, &writer), speed(&log, &writer, cpu));
    let wanted = if cuts { "complete, sent again at least once" } else { "complete" };
    table.row(&what, &measured, wanted, Wanted::Reached(is_reached))
}

fn told(log: &Log, writer: &Writer) -> String {
    if log.is_whole(writer) {
        "complete, lines and hash agree".to_owned()
    } else {
        format!(
            "{:?}: {} of {} lines, {:?}",
            log.status.state,
            log.status.lines,
            writer.all_lines(),
            log.status.missing
        )
    }
}

fn speed(log: &Log, writer: &Writer, cpu: f64) -> String {
    let wrote = log.seconds();
    #[expect(clippy::cast_precision_loss, reason = "lengths of logs fit")]
    let (lines, bytes) = (writer.lines as f64, log.status.bytes as f64);
    format!(
        "written in {wrote:.1} s ({:.0} MB/s), read {:.1} s later; the operator took {cpu:.1} s of CPU, {:.0} lines a second of one core",
        bytes / wrote / 1e6,
        log.rest(),
        lines / cpu
    )
}

/// Cuts the API server off the node's logs, each time once the operator has read more. Returns how often.
async fn cut_off(scene: &Scene, name: &str) -> Result<usize> {
    let mut acked = 0;
    for time in 0..TIMES {
        loop {
            if log::read(&scene.actions().get(name).await?).is_some() {
                return Ok(time);
            }
            if self::acked(scene, name).await? > acked {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        // A process of its own: the rule goes even if this program is ended.
        let rule = "INPUT -p tcp --dport 10250 -j REJECT --reject-with tcp-reset";
        let script = format!("iptables -w -I {rule}; sleep {AWAY}; iptables -w -D {rule}");
        let sandbox = scene.cluster.sandbox().to_string();
        let mut cutting = Command::new("setsid")
            .args(["nsenter", "--net", "--target", &sandbox, "sh", "-c", &script])
            .stdin(Stdio::null())
            .spawn()?;
        while cutting.try_wait()?.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
        acked = self::acked(scene, name).await?;
    }
    Ok(TIMES)
}

/// The last frame that the operator has acknowledged.
async fn acked(scene: &Scene, name: &str) -> Result<u64> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let of_action = ListParams::default().labels(&format!("{LABEL_ACTION}={name}"));
    let found = pods.list_metadata(&of_action).await?;
    let text = found.items.first().and_then(|pod| pod.annotations().get(ANNOTATION_LOG_CREDIT));
    Ok(text.and_then(|text| Credit::from_text(text.as_bytes())).unwrap_or_default().acked)
}

/// How often the operator that leads has asked a runner to send again.
async fn asked(scene: &Scene) -> Result<u64> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), "longshore-system");
    let labels =
        ListParams::default().labels("app.kubernetes.io/name=longshore").fields("status.phase=Running");
    for pod in pods.list_metadata(&labels).await? {
        let Ok(text) = metrics::of_pod(&scene.client, &pod.name_any()).await else { continue };
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        if value("longshore_leader ") == Some(1) {
            return Ok(value(r#"longshore_log_gaps_total{result="asked"} "#).unwrap_or_default());
        }
    }
    Err("no operator leads".into())
}
