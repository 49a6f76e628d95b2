//! `make bench`: the same echo as a bare pod, a Job and a `DeploymentAction` on the cluster that
//! KUBECONFIG names, and the runner alone. Writes `performance.md` and `performance.svg` into the
//! directory that `LONGSHORE_BENCH_DIR` names.
//!
//! [`in_turn`] and [`at_once`] measure times and rates; [`audit`] the cost for the API server; [`operator`]
//! the operator's memory, CPU time and time per step; [`runner`] the runner.

mod at_once;
mod audit;
mod in_turn;
mod kinds;
mod operator;
mod place;
mod plot;
mod report;
mod runner;
mod samples;

use std::{error::Error, fs, path::PathBuf};

use audit::AuditLog;
use kinds::Kind;
use kube::Client;
use operator::Operator;
use place::Place;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// So many of each kind at once.
const AT_ONCE: [usize; 2] = [30, 100];

/// All that was measured.
pub(crate) struct Measured {
    /// The cluster's version.
    pub(crate) kubernetes: String,
    pub(crate) runner: runner::Measured,
    pub(crate) in_turn: in_turn::Measured,
    pub(crate) at_once: Vec<at_once::Measured>,
    pub(crate) operator: operator::Measured,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "a TLS provider is installed")?;
    let directory = PathBuf::from(variable("LONGSHORE_BENCH_DIR")?);
    let registry = variable("LONGSHORE_REGISTRY")?;
    let image = format!("{registry}/examples:0.1.0");
    let turns = match std::env::var("LONGSHORE_BENCH_TURNS") {
        Ok(turns) => turns.parse()?,
        Err(_) => in_turn::TURNS,
    };
    fs::create_dir_all(&directory)?;
    let runner = runner::measure(variable("LONGSHORE_RUNNER")?.as_ref())?;
    let client = Client::try_default().await?;
    let audit =
        std::env::var_os("LONGSHORE_AUDIT_LOG").map(|path| AuditLog::open(path.into())).transpose()?;

    let mut places = Vec::new();
    let measured = async {
        for kind in Kind::ALL {
            places.push(Place::new(&client, kind, &image).await?);
        }
        on_cluster(&client, &places, audit, turns, runner).await
    }
    .await;
    for place in &places {
        place.remove().await?;
    }
    let measured = measured?;
    let text = report::markdown(&measured);
    println!("{text}");
    fs::write(directory.join("performance.md"), &text)?;
    fs::write(directory.join("performance.svg"), plot::svg(&measured)?)?;
    eprintln!("written to {}: performance.md, performance.svg", directory.display());
    Ok(())
}

async fn on_cluster(
    client: &Client,
    places: &[Place],
    mut audit: Option<AuditLog>,
    turns: usize,
    runner: runner::Measured,
) -> Result<Measured> {
    let version = client.apiserver_version().await?;
    // The first of each pulls images and warms caches; it does not count.
    for place in places {
        place.run(&["warm".to_owned()]).await?;
        place.settle().await?;
    }
    let mut operator = Operator::find(client).await?;
    let in_turn = in_turn::measure(places, turns, audit.as_mut(), &mut operator).await?;
    let mut at_once = Vec::new();
    for count in AT_ONCE {
        at_once.push(at_once::measure(places, count, audit.as_mut(), &mut operator).await?);
    }
    Ok(Measured {
        kubernetes: version.git_version,
        runner,
        in_turn,
        at_once,
        operator: operator.finish().await?,
    })
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: use make bench").into())
}
