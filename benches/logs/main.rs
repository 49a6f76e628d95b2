//! `make bench-logs` measures logs that are longer than a node keeps. It needs the cluster of `make cluster-up`,
//! with Longshore in it. `tests/bench_logs.sh` starts this once for each rotation size.
//!
//! `PARTS` of `long,script,stopped,crowd,echo`; `MIB` of each long log; `ACTIONS` at once and for how many
//! `WRITE_SECONDS`; `TURNS` of an echo. `LOG_SIZE` says at which size the node rotates. The rows of the table are
//! appended to the file that `RESULT` names.

mod crowd;
mod log;
mod long;
mod pace;
mod settings;
mod stopped;
mod table;
mod writer;

#[allow(dead_code, reason = "make bench shows all of it")]
#[path = "../performance/audit.rs"]
mod audit;
#[allow(dead_code, reason = "make bench has its own number of turns")]
#[path = "../performance/in_turn.rs"]
mod in_turn;
#[allow(dead_code, reason = "make bench shows all of it")]
#[path = "../performance/kinds.rs"]
mod kinds;
#[allow(dead_code, clippy::expect_used, reason = "the tests use all of it, and nobody there takes an error")]
#[path = "../../tests/support/metrics.rs"]
mod metrics;
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../../tests/node/mod.rs"]
mod node;
#[allow(dead_code, reason = "make bench shows all of it")]
#[path = "../performance/operator.rs"]
mod operator;
#[path = "../performance/place.rs"]
mod place;
#[allow(dead_code, reason = "make bench-scale restarts it")]
#[path = "../scale/operator.rs"]
mod process;
#[allow(dead_code, reason = "make bench shows all of it")]
#[path = "../performance/samples.rs"]
mod samples;

use std::error::Error;

use audit::AuditLog;
use kinds::Kind;
use kube::Client;
use node::Cluster;
use operator::Operator;
use place::Place;
use settings::{setting, variable};
use table::{Table, Wanted};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where everything happens.
pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) image: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "a TLS provider is installed")?;
    let image = format!("{}/examples:0.1.0", variable("LONGSHORE_REGISTRY")?);
    let client = Client::try_default().await?;
    let mut table = Table::open(variable("RESULT")?.as_ref())?;
    let mut places = Vec::new();
    let measured = async {
        for kind in Kind::ALL {
            places.push(Place::new(&client, kind, &image).await?);
            // The first of each pulls images, and does not count.
            places.last().ok_or("no place")?.run(&["warm".to_owned()]).await?;
        }
        let namespace = places.last().ok_or("no place")?.namespace.clone();
        let scene = Scene { client, cluster: Cluster::running(), namespace, image };
        measure(&scene, &places, &mut table).await
    }
    .await;
    for place in &places {
        place.remove().await?;
    }
    measured
}

async fn measure(scene: &Scene, places: &[Place], table: &mut Table) -> Result<()> {
    let parts = variable("PARTS")?;
    for part in parts.split(',') {
        match part {
            "long" => long::measure(scene, table).await?,
            "script" => pace::measure(scene, table).await?,
            "stopped" => stopped::measure(scene, table).await?,
            "crowd" => crowd::measure(scene, table).await?,
            "echo" => echo(scene, places, table).await?,
            other => return Err(format!("PARTS has {other:?}, which is none").into()),
        }
    }
    Ok(())
}

/// As `make bench` has it, with fewer turns and without its other parts.
async fn echo(scene: &Scene, places: &[Place], table: &mut Table) -> Result<()> {
    let mut audit = AuditLog::open(variable("LONGSHORE_AUDIT_LOG")?.into())?;
    for place in places {
        place.clear().await?;
        place.settle().await?;
    }
    let mut operator = Operator::find(&scene.client).await?;
    let turns = setting("TURNS", 10)?;
    let measured = in_turn::measure(places, turns, Some(&mut audit), &mut operator).await?;
    let median = |kind| samples::Values::took(&measured.samples[&kind]).median();
    let what = format!("an echo, {} in turn", measured.turns);
    let (action, pod) = (median(Kind::Action), median(Kind::Pod));
    let text = format!("p50 {action:.2} s, a bare pod's {pod:.2} s");
    table.row(&what, &text, "", Wanted::Nothing)?;
    let requests = measured.requests.ok_or("the audit log was not read")?;
    let writes = requests
        .each(Kind::Action, |request| request.user == "operator" && !request.is_read && !request.is_event);
    table.row(&what, &format!("{writes:.2} writes of the operator"), "5", Wanted::Reached(writes <= 5.0))
}
