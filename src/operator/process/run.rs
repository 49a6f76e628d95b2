//! The process: its watches, the controller, the lease, and its end.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future};
use kube::{Client, Config};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::{error, info, warn};

use super::{
    archive,
    health::{self, Health},
    lead::{Tellers, lead},
};
use crate::{
    operator::{
        leadership::Leadership,
        options::{Options, archive::ArchiveOptionsError},
        pod::attempt::FetchDefaults,
        telemetry::{
            metrics::Metrics,
            traces::{Traces, TracesError},
        },
    },
    registry::{Registry, RegistryConfig},
};

/// How long looks that have begun may take once the process must end.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// The time limit for all requests to a registry about one image.
const REGISTRY_LIMIT: Duration = Duration::from_secs(20);

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The API server is not configured.
    #[error("no configuration for the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The client cannot be made.
    #[error("no client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// The registry client cannot be made.
    #[error("no client for registries: {0}")]
    Registry(#[from] crate::registry::SetupError),
    /// A file cannot be read.
    #[error("--registry-ca-file {path}: {source}")]
    CaFile {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The archive cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveOptionsError),
    /// The address cannot be listened on.
    #[error("--listen {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another instance leads now. This one must restart.
    #[error("this instance no longer leads")]
    NotLeading,
}

/// Runs until `stop`, which is [`stopped`].
///
/// # Errors
/// If it cannot start, or must restart.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let mut config = Config::infer().await?;
    // The code that makes a call retries it, with a pause of its own.
    config.default_retry = false;
    run_with(Client::try_from(config)?, options, stop).await
}

/// Runs until `stop`, with a client that retries nothing by itself. Several can run in one process and share
/// nothing. Everything that one has started belongs to its runtime. Dropping the runtime leaves what a crash
/// leaves.
///
/// # Errors
/// If it cannot start, or must restart.
pub async fn run_with(
    client: Client,
    options: Options,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let ca_bundle_pem = match &options.registry_ca_file {
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|source| RunError::CaFile { path: path.display().to_string(), source })?,
        ),
        None => None,
    };
    let fetch = Arc::new(FetchDefaults::new(
        &options.plain_http_registries,
        ca_bundle_pem.as_deref(),
        options.package_limit,
        options.package_max_entries,
    ));
    let registry = Registry::new(RegistryConfig {
        plain_http: options.plain_http_registries.clone(),
        timeout: REGISTRY_LIMIT,
        ca_bundle_pem,
    })?;
    let traces = Traces::new(options.otlp_endpoint.as_deref())?;
    let metrics = Metrics::default();
    let health = Health::default();
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|source| RunError::Listen { address: options.listen, source })?;
    tokio::spawn({
        let (health, metrics) = (health.clone(), metrics.clone());
        async move {
            if let Err(error) = health::serve(listener, health, metrics).await {
                error!(%error, "the endpoints are no longer served");
            }
        }
    });

    let mut stop = std::pin::pin!(stop);
    let archive = tokio::select! {
        archive = archive::connect(&options) => archive?,
        () = &mut stop => return Ok(()),
    };

    // An instance that waits for the lease is as ready as it can be.
    health.set_ready(true);
    let mut leadership = Leadership::new(client.clone(), &options.namespace, &options.identity);
    info!(identity = options.identity, "started, waiting for the lease");
    tokio::select! {
        () = leadership.acquire() => {}
        () = &mut stop => return Ok(()),
    }
    metrics.leader.set(1);
    health.set_ready(false);
    let (shutdown, end) = tokio::sync::oneshot::channel();
    let work = lead(
        (client, leadership.term()),
        (registry, fetch),
        archive,
        options,
        Tellers { metrics: metrics.clone(), traces },
        health,
        end,
    );
    let mut work = std::pin::pin!(work);
    let result = tokio::select! {
        () = &mut work => Ok(()),
        () = leadership.keep() => Err(RunError::NotLeading),
        () = &mut stop => {
            info!("stopping: looks that have begun may end");
            let _ = shutdown.send(());
            if tokio::time::timeout(SHUTDOWN, &mut work).await.is_err() {
                warn!("not all looks ended within {} s", SHUTDOWN.as_secs());
            }
            Ok(())
        }
    };
    metrics.leader.set(0);
    leadership.release().await;
    if result.is_err() && stop.now_or_never().is_some() {
        // It was asked to end meanwhile, so it must not restart.
        return Ok(());
    }
    result
}

/// Waits for SIGTERM or SIGINT, which are caught from this call on. It must be made within a runtime, before
/// anything that takes time: a signal that a container's first process does not catch yet is lost, and the
/// container is only killed at the end of its grace period.
pub fn stopped() -> impl Future<Output = ()> {
    let caught = [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| match signal(kind) {
        Ok(caught) => Some(caught),
        Err(error) => {
            warn!(?kind, %error, "a signal is not handled");
            None
        }
    });
    let [terminate, interrupt] = caught.map(received);
    async {
        tokio::select! {
            () = terminate => {}
            () = interrupt => {}
        }
    }
}

/// Waits for the signal, or for ever if it is not caught.
async fn received(caught: Option<Signal>) {
    match caught {
        Some(mut signal) => drop(signal.recv().await),
        None => future::pending().await,
    }
}
