//! The kubelet's log endpoint, for the API server alone.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use futures::stream;
use k8s_openapi::jiff::Timestamp;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Node,
    cluster::{ADDRESS, Cluster},
    log::{Line, Log},
    status::CONTAINER,
};

/// Listens in the cluster's network, and says on which port.
pub(super) async fn start(cluster: &Cluster, node: Arc<Node>) -> u16 {
    let listener = TcpListener::bind((ADDRESS, 0)).await.expect("a port of the node's address");
    let address = listener.local_addr().expect("an address");
    let listener = Tls { connections: accept(listener, acceptor(cluster)), address };
    let routes = Router::new().route("/containerLogs/{namespace}/{pod}/{container}", get(logs));
    tokio::spawn(async move { axum::serve(listener, routes.with_state(node)).await });
    address.port()
}

/// The cluster's kubelet's certificate: it is of this address.
fn acceptor(cluster: &Cluster) -> TlsAcceptor {
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        let read = CertificateDer::pem_file_iter(cluster.certificate(name)).expect("a certificate");
        read.map(|one| one.expect("a certificate")).collect()
    };
    let key = PrivateKeyDer::from_pem_file(cluster.certificate("kubelet-server.key")).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.crt"));
    let clients = WebPkiClientVerifier::builder(roots.into()).build().expect("an authority");
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates("kubelet-server.crt"), key)
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}

/// Connections whose handshake is done: one that dawdles does not hold up the others.
fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
) -> mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)> {
    let (done, connections) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, address)) = listener.accept().await {
            let (acceptor, done) = (acceptor.clone(), done.clone());
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = done.send((stream, address)).await;
                }
            });
        }
    });
    connections
}

struct Tls {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

/// The parameters of a log request: those of `PodLogOptions` that make sense for one.
#[derive(Debug, Default)]
struct Wanted {
    follow: bool,
    timestamps: bool,
    tail_lines: Option<usize>,
    limit_bytes: Option<usize>,
    since: Option<Timestamp>,
}

impl Wanted {
    /// `now` is by the node's clock.
    fn read(query: &str, now: Timestamp) -> Self {
        let mut wanted = Self::default();
        let Ok(url) = reqwest::Url::parse(&format!("http://node/?{query}")) else { return wanted };
        for (name, value) in url.query_pairs() {
            match &*name {
                "follow" => wanted.follow = value == "true",
                "timestamps" => wanted.timestamps = value == "true",
                "tailLines" => wanted.tail_lines = value.parse().ok(),
                "limitBytes" => wanted.limit_bytes = value.parse().ok(),
                "sinceTime" => wanted.since = value.parse().ok(),
                "sinceSeconds" => {
                    let seconds: i64 = value.parse().unwrap_or_default();
                    wanted.since = Timestamp::from_second(now.as_second() - seconds).ok();
                }
                _ => {}
            }
        }
        wanted
    }

    fn line(&self, Line { at, text }: &Line) -> Bytes {
        if !self.timestamps {
            return text.clone();
        }
        let mut line = format!("{at} ").into_bytes();
        line.extend_from_slice(text);
        line.into()
    }
}

async fn logs(
    State(node): State<Arc<Node>>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    node.online().await;
    let found = {
        let pods = node.pods.lock().unwrap();
        let is_it = |pod: &k8s_openapi::api::core::v1::Pod| {
            pod.metadata.namespace.as_ref() == Some(&namespace) && pod.metadata.name.as_ref() == Some(&name)
        };
        pods.values().find(|entry| is_it(&entry.seen.borrow())).map(|entry| entry.log.lock().unwrap().clone())
    };
    let Some(log) = found.filter(|_| container == CONTAINER) else {
        return (StatusCode::NOT_FOUND, format!("pod \"{name}\" does not exist")).into_response();
    };
    let Some(log) = log else {
        let words =
            format!("container \"{container}\" in pod \"{name}\" is waiting to start: ContainerCreating");
        return (StatusCode::BAD_REQUEST, words).into_response();
    };
    let wanted = Wanted::read(&query.unwrap_or_default(), node.clock.now());
    let changes = log.changes();
    let (lines, _) = log.from(0);
    let since = wanted.since.map_or(0, |since| lines.partition_point(|line| line.at < since));
    let tail = wanted.tail_lines.map_or(0, |tail| lines.len().saturating_sub(tail));
    let left = wanted.limit_bytes.unwrap_or(usize::MAX);
    let reading = Reading { node, log, changes, next: since.max(tail), left, wanted };
    Body::from_stream(stream::unfold(reading, read)).into_response()
}

struct Reading {
    node: Arc<Node>,
    log: Arc<Log>,
    changes: tokio::sync::watch::Receiver<()>,
    next: usize,
    left: usize,
    wanted: Wanted,
}

/// All that has come since, as one piece.
async fn read(mut reading: Reading) -> Option<(io::Result<Bytes>, Reading)> {
    loop {
        reading.node.online().await;
        reading.changes.mark_unchanged();
        let (lines, more) = reading.log.from(reading.next);
        reading.next += lines.len();
        let mut piece: Vec<u8> = lines.iter().flat_map(|line| reading.wanted.line(line)).collect();
        piece.truncate(reading.left);
        reading.left -= piece.len();
        if !piece.is_empty() {
            return Some((Ok(piece.into()), reading));
        }
        if !more || !reading.wanted.follow || reading.left == 0 {
            return None;
        }
        reading.changes.changed().await.ok()?;
    }
}
