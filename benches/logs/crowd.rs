//! Many scripts that write at the same time.

use std::{fs, time::Duration};

use futures::future;
use tokio::time::sleep;

use crate::{
    Result, Scene,
    log::{Log, now},
    process::Operator,
    settings::{setting, variable},
    table::{Table, Wanted},
    writer::Writer,
};

/// How many are created in a second, and how long the last ones may need to start.
const A_SECOND: usize = 2;
const START: f64 = 40.0;
/// The lines of each in a second.
const LINES: u64 = 100;
const WIDTH: usize = 100;
/// The most memory of the operator, in MB.
const MOST: f64 = 120.0;

pub(crate) async fn measure(scene: &Scene, table: &mut Table) -> Result<()> {
    let (actions, seconds): (usize, u64) = (setting("ACTIONS", 200)?, setting("WRITE_SECONDS", 60)?);
    let size = variable("LOG_SIZE")?;
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let (starts, lasts) = ((actions / A_SECOND) as f64 + START, seconds as f64);
    let begins = now() + starts;
    let writer = Writer { lines: LINES * seconds, width: WIDTH, rate: LINES * WIDTH as u64, begins };
    let script = writer.script();
    let operator = Operator::find(scene.cluster.sandbox()).ok_or("no operator runs in the cluster")?;
    // The kernel counts the peak anew from here.
    fs::write(format!("/proc/{}/clear_refs", operator.pid), "5")?;
    let names: Vec<String> = (0..actions).map(|number| format!("crowd-{number}")).collect();
    for names in names.chunks(A_SECOND) {
        future::try_join_all(names.iter().map(|name| scene.create(name, &script))).await?;
        sleep(Duration::from_secs(1)).await;
    }
    // Some time before and after is left out, in which not all of them write.
    until(begins + 2.0).await;
    let (from, cpu) = (now(), operator.cpu_seconds());
    until(begins + lasts - 2.0).await;
    let (took, cpu) = (now() - from, operator.cpu_seconds() - cpu);
    let logs = future::try_join_all(names.iter().map(|name| scene.log(name))).await?;
    let whole = logs.iter().filter(|log| log.is_whole(&writer)).count();
    let is_late = |log: &&Log| log.wrote().is_none_or(|wrote| wrote.begun > begins + 1.0);
    let late = logs.iter().filter(is_late).count();
    let what = format!(
        "{actions} actions at once, each {LINES} lines of {WIDTH} bytes a second for {seconds} s, rotated at {size}"
    );
    let measured = format!("{whole} complete, {late} began late");
    table.row(&what, &measured, "all complete", Wanted::Reached(whole == actions && late == 0))?;
    let peak = operator.peak_mib() * 1024.0 * 1024.0 / 1e6;
    let same = Operator::find(scene.cluster.sandbox()) == Some(operator);
    let text = if same {
        format!("operator, peak {peak:.0} MB")
    } else {
        "the operator was started again".to_owned()
    };
    table.row(&what, &text, &format!("at most {MOST} MB"), Wanted::Reached(same && peak <= MOST))?;
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let rate = (actions as u64 * LINES) as f64;
    let text = format!(
        "operator, {:.2} of a core for {rate:.0} lines a second: {:.0} lines a second of one core",
        cpu / took,
        rate * took / cpu
    );
    table.row(&what, &text, "", Wanted::Nothing)
}

async fn until(time: f64) {
    sleep(Duration::from_secs_f64((time - now()).max(0.0))).await;
}
