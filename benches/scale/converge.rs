//! How soon all is well again after one restart of the operator, with many scripts running.
//!
//! The scripts wait for a pipe to close. The operator's process is killed and the pipe is closed: all
//! of them end while nobody looks, and the new process finds them so.

use std::{os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use longshore::api::{DeploymentAction, Phase};
use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{load::Load, node::Cluster, operator::Operator, quantile, restart::new_process};

/// For all scripts to run.
const LIMIT: Duration = Duration::from_mins(5);

/// With `active` scripts running.
pub(crate) async fn measure(cluster: &Cluster, load: &mut Load, active: u32, rate: u32) -> Value {
    println!("\none restart with {active} scripts running ...");
    let pipe = std::env::temp_dir().join(format!("longshore-bench-{}", std::process::id()));
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    let before = std::mem::replace(&mut load.command, vec!["cat".into(), pipe.display().to_string()]);
    let batch = load.create(active, rate).await;
    load.command = before;
    running(load, active).await;
    // Whatever its creation still had to do.
    sleep(Duration::from_secs(5)).await;

    let old = Operator::find(cluster.sandbox()).expect("an operator");
    let killed = Instant::now();
    kill(Pid::from_raw(i32::try_from(old.pid).expect("a pid")), Signal::SIGKILL).expect("killing");
    let process = tokio::spawn(new_process(cluster.sandbox(), old));
    close(&pipe);
    let names: Vec<String> = batch.names().map(str::to_owned).collect();
    batch.ended().await;
    let process = process.await.expect("the new process");
    let _ = std::fs::remove_file(&pipe);

    let ends = names.iter().map(|name| load.end_of(name).expect("it has ended"));
    let since: Vec<f64> = ends.map(|end| end.saturating_duration_since(process).as_secs_f64()).collect();
    let [p50, max] = [50, 100].map(|percent| quantile(&since, percent));
    let down = process.duration_since(killed).as_secs_f64();
    println!("| running | new process after the kill | then, until half have their verdict | all |");
    println!("|---|---|---|---|");
    println!("| {active} | {down:.2} | {p50:.2} | {max:.2} |");
    json!({"active": active, "process": down, "half": p50, "all": max})
}

/// Waits until all of them run, as their status tells.
async fn running(load: &Load, wanted: u32) {
    let limit = Instant::now() + LIMIT;
    loop {
        let phase = |action: &DeploymentAction| action.status.as_ref().and_then(|of| of.phase);
        let running = load.all().await.iter().filter(|one| phase(one) == Some(Phase::Running)).count();
        if running >= wanted as usize {
            return;
        }
        assert!(Instant::now() < limit, "{running} of {wanted} run");
        sleep(Duration::from_secs(2)).await;
    }
}

/// Opened for writing and closed again, it ends for all that read it.
fn close(pipe: &Path) {
    // Without blocking: where nobody reads it, that is an error to be seen.
    let writer = std::fs::OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(pipe);
    drop(writer.expect("scripts that read the pipe"));
}
