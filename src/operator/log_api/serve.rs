//! The process: its certificates, its place behind the API server, and its connections.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
    routing::get,
};
use clap::Parser;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, Config};
use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::{
    access,
    certificates::{self, CertificateError, Pair},
    discovery,
    front_proxy::{self, Caller, FrontProxy, ProxyError},
    read,
    refusal::Refusal,
    registration::Registration,
    request::Asked,
    turns::Turns,
};
use crate::{
    archive::Archive,
    operator::{
        call::{CallError, call},
        options::{
            LogFormat,
            archive::{ArchiveOptions, ArchiveOptionsError},
        },
    },
};

/// How often certificates, the front proxy and the `APIService` are looked at.
const UPKEEP: Duration = Duration::from_secs(15);
/// The same, until everything is there.
const BEGINNING: Duration = Duration::from_secs(2);
/// How long a connection may take to become one.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the API server has to hear of a new certificate before it sees it.
const HEARD: Duration = Duration::from_secs(5);
/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(90);
/// The same for connections without a certificate, which have one request.
const HEAD_OF_STRANGER: Duration = Duration::from_secs(10);
/// How many connections there may be. The API server opens one for each request under way.
const CONNECTIONS: usize = 512;
/// How many of them may be without a certificate.
const STRANGERS: usize = 16;
/// The largest head of a request, in bytes. A user may be in thousands of groups.
const HEAD_BYTES: usize = 256 * 1024;
/// The same for connections without a certificate.
const HEAD_BYTES_OF_STRANGER: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS: usize = 4096;
/// How long answers under way may go on once the process must end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Flags of `longshore serve-logs`.
#[derive(Debug, Clone, Parser)]
pub struct ServeLogsOptions {
    /// Address of the API, by TLS.
    #[arg(long, env = "LONGSHORE_LOG_API_LISTEN", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,

    /// Address of /livez and /readyz.
    #[arg(long, env = "LONGSHORE_LISTEN", default_value = "0.0.0.0:8080")]
    pub health_listen: SocketAddr,

    /// Namespace of this server.
    #[arg(long, env = "LONGSHORE_NAMESPACE", default_value = "longshore-system")]
    pub namespace: String,

    /// The Service in front of this server.
    #[arg(long)]
    pub service: String,

    /// The Secret for this server's certificate. It must exist; its content is made here.
    #[arg(long)]
    pub secret: String,

    /// How many logs may be read at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub max_requests: u16,

    /// How many logs one user may read at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub max_requests_of_user: u16,

    /// The archive in which the operator stores logs.
    #[command(flatten)]
    pub archive: ArchiveOptions,

    /// Format of the server's own log.
    #[arg(long, env = "LONGSHORE_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Filter of the log, in the form of tracing-subscriber's `EnvFilter`.
    #[arg(long, env = "LONGSHORE_LOG", default_value = "info,kube_runtime=warn")]
    pub log: String,
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The API server is not configured.
    #[error("no configuration for the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("no client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// The archive cannot be as the flags say.
    #[error(transparent)]
    Archive(#[from] ArchiveOptionsError),
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Why something is not as it should be. It is tried again.
#[derive(Debug, thiserror::Error)]
enum UpkeepError {
    #[error("the ConfigMap extension-apiserver-authentication cannot be read: {0}")]
    Map(CallError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the certificate cannot be served: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the APIService: {0}")]
    Registration(CallError),
}

/// What connections are served with.
#[derive(Clone)]
struct Live {
    tls: Arc<ServerConfig>,
    proxy: Arc<FrontProxy>,
}

/// What all requests share.
pub(super) struct Server {
    client: Client,
    archive: Option<Archive>,
    turns: Turns,
    live: Mutex<Option<Live>>,
    connections: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(client: Client, archive: Option<Archive>, options: &ServeLogsOptions) -> Self {
        Self {
            client,
            archive,
            turns: Turns::new(options.max_requests.into(), options.max_requests_of_user.into()),
            live: Mutex::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
        }
    }

    fn live(&self) -> Option<Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, tls: ServerConfig, proxy: Arc<FrontProxy>) {
        let live = Live { tls: Arc::new(tls), proxy };
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(live);
    }

    /// Takes connections until the process ends.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::clone(&self).connection(stream, place));
                }
                Err(error) => {
                    // For example too many open files. It passes.
                    warn!(%error, "no connection is taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, _place: OwnedSemaphorePermit) {
        let Some(Live { tls, .. }) = self.live() else { return };
        let stream = match timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                debug!(%error, "a connection did not come about");
                return;
            }
            Err(_) => return,
        };
        let certificates: Arc<[CertificateDer<'static>]> =
            stream.get_ref().1.peer_certificates().unwrap_or_default().into();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new());
        let stranger = if certificates.is_empty() {
            let Ok(place) = Arc::clone(&self.strangers).try_acquire_owned() else { return };
            http.keep_alive(false).header_read_timeout(HEAD_OF_STRANGER).max_buf_size(HEAD_BYTES_OF_STRANGER);
            Some(place)
        } else {
            http.header_read_timeout(HEAD).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
            None
        };
        let service = service_fn(|request| {
            let (server, certificates) = (Arc::clone(&self), Arc::clone(&certificates));
            async move { Ok::<_, std::convert::Infallible>(server.answer(&request, &certificates).await) }
        });
        if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
            debug!(%error, "a connection broke");
        }
        drop(stranger);
    }

    async fn answer(
        &self,
        request: &Request<Incoming>,
        certificates: &[CertificateDer<'_>],
    ) -> Response<Body> {
        self.try_answer(request, certificates).await.unwrap_or_else(|refusal| refusal.response())
    }

    async fn try_answer(
        &self,
        request: &Request<Incoming>,
        certificates: &[CertificateDer<'_>],
    ) -> Result<Response<Body>, Refusal> {
        let starting = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the log server is starting");
        let Live { proxy, .. } = self.live().ok_or_else(starting)?;
        let caller: Caller = proxy.caller(certificates, request.headers())?;
        let uri = request.uri();
        let asked = Asked::read(request.method(), uri.path(), uri.query().unwrap_or_default())?;
        if let Some(document) = discovery::document(&asked) {
            return Ok(super::json(&document));
        }
        let Asked::Log(log) = asked else {
            return Err(Refusal::not_found("the server could not find the requested resource"));
        };
        let turn = self.turns.take(&caller.user)?;
        access::check(&self.client, &caller, &log).await?;
        debug!(caller.user, log.namespace, log.name, "a log is read");
        read::answer(self.client.clone(), self.archive.clone(), log, turn).await
    }
}

/// Keeps the server's certificate, its knowledge of the API server, and its `APIService`.
struct Upkeep {
    options: ServeLogsOptions,
    server: Arc<Server>,
    registration: Registration,
    map: Option<ConfigMap>,
    proxy: Option<Arc<FrontProxy>>,
    pair: Option<Pair>,
}

impl Upkeep {
    async fn run(mut self) {
        loop {
            let done = self.once().await;
            if let Err(error) = &done {
                warn!("{error}");
            }
            let ready = self.server.live().is_some();
            tokio::time::sleep(if ready { UPKEEP } else { BEGINNING }).await;
        }
    }

    async fn once(&mut self) -> Result<(), UpkeepError> {
        let client = &self.server.client;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), front_proxy::NAMESPACE);
        let map = call(maps.get(front_proxy::NAME)).await.map_err(UpkeepError::Map)?;
        let changed = self.map.as_ref().is_none_or(|known| known.data != map.data);
        if changed {
            self.proxy = Some(Arc::new(FrontProxy::read(&map)?));
            self.map = Some(map);
        }
        let ServeLogsOptions { namespace, service, secret, .. } = &self.options;
        let hosts = [format!("{service}.{namespace}.svc")];
        let pair = certificates::keep(client, namespace, secret, &hosts).await?;
        let Some(proxy) = &self.proxy else { return Ok(()) };
        if self.pair.as_ref() != Some(&pair) || changed {
            if self.server.live().is_some() && self.pair.is_some() && self.pair.as_ref() != Some(&pair) {
                // The API server must trust the new certificate before it sees it.
                self.registration.keep(&pair.bundle).await.map_err(UpkeepError::Registration)?;
                tokio::time::sleep(HEARD).await;
            }
            self.server.set(pair.serve(proxy.verifier())?, Arc::clone(proxy));
            info!("the certificate is in use");
        }
        let pair = self.pair.insert(pair);
        self.registration.keep(&pair.bundle).await.map_err(UpkeepError::Registration)
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start.
pub async fn serve_logs(options: ServeLogsOptions, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let mut config = Config::infer().await?;
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let archive = options.archive.connect()?;
    let server = Arc::new(Server::new(client.clone(), archive, &options));
    let listen = async |address| {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|source| ServeError::Listen { address, source })
    };
    let health = listen(options.health_listen).await?;
    let listener = listen(options.listen).await?;
    tokio::spawn(serve_health(health, Arc::clone(&server)));
    let registration = Registration::new(client, &options.namespace, &options.service);
    let upkeep =
        Upkeep { options, server: Arc::clone(&server), registration, map: None, proxy: None, pair: None };
    let upkeep = tokio::spawn(upkeep.run());
    let accept = tokio::spawn(Arc::clone(&server).accept(listener));
    info!("started");
    stop.await;
    upkeep.abort();
    accept.abort();
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    // Answers under way may end. A log that is followed does not.
    let _ = timeout(SHUTDOWN, server.connections.acquire_many(all)).await;
    Ok(())
}

async fn serve_health(listener: TcpListener, server: Arc<Server>) {
    let ready = move || async move {
        if server.live().is_some() {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "there is no certificate yet; the log says why\n")
        }
    };
    let router = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready));
    if let Err(error) = axum::serve(listener, router).await {
        warn!(%error, "/livez and /readyz are no longer served");
    }
}

#[cfg(test)]
mod tests;
