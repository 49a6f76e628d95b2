//! The process: watches, the controller, the lease, and how it all ends.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tracing::{error, info, warn};

use super::{
    health::{self, Health},
    lead::{Tellers, lead},
};
use crate::{
    operator::{
        leadership::Leadership,
        options::Options,
        pod::attempt::FetchDefaults,
        telemetry::{
            metrics::Metrics,
            traces::{Traces, TracesError},
        },
    },
    registry::{Registry, RegistryConfig},
};

/// How long looks that have begun may take once the process is to end.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// For all that one image needs of its registry.
const REGISTRY_LIMIT: Duration = Duration::from_secs(20);

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to the API server.
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
    /// The address cannot be listened on.
    #[error("--listen {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another instance leads now: this one starts anew.
    #[error("this instance leads no more")]
    NotLeading,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Where it cannot start, or must start anew.
pub async fn run(options: Options) -> Result<(), RunError> {
    let mut config = Config::infer().await?;
    // Every call is retried by who made it, with a pause of its own.
    config.default_retry = false;
    run_with(Client::try_from(config)?, options, stopped()).await
}

/// The same with a client of the caller's, which retries nothing by itself, until `stop`. Several can
/// run in one process: they share nothing. All that one has begun belongs to its runtime, and dropping
/// that leaves what a crash leaves.
///
/// # Errors
/// Where it cannot start, or must start anew.
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

    // An instance that waits for the lease is as ready as can be.
    health.set_ready(true);
    let mut leadership = Leadership::new(client.clone(), &options.namespace, &options.identity);
    let mut stop = std::pin::pin!(stop);
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
            info!("stopping: what has begun is brought to its end");
            let _ = shutdown.send(());
            if tokio::time::timeout(SHUTDOWN, &mut work).await.is_err() {
                warn!("not all looks came to their end in {} s", SHUTDOWN.as_secs());
            }
            Ok(())
        }
    };
    metrics.leader.set(0);
    leadership.release().await;
    if result.is_err() && stop.now_or_never().is_some() {
        // It was asked to end meanwhile: it does not start anew.
        return Ok(());
    }
    result
}

async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            warn!(%error, "SIGTERM is not handled");
            let _ = interrupt.await;
        }
    }
}
