//! A registry for the tests: gives the prepared answers, and remembers the requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::manifest::{IMAGE_CONFIG_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::registry::digest;

#[derive(Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// The token that a request needs, and the server that gives it.
    pub(super) token: Option<(&'static str, String)>,
    /// The user and password that a request needs.
    pub(super) basic: Option<&'static str>,
    pub(super) hangs: bool,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, json!({"errors": [{"code": code, "message": message}]}).to_string())
    }
}

#[derive(Default)]
struct Inside {
    replies: HashMap<String, Reply>,
    seen: Vec<Seen>,
}

/// A request.
pub(super) struct Seen {
    /// With the query.
    pub(super) path: String,
    /// The header, or an empty text.
    pub(super) authorization: String,
    pub(super) body: String,
}

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) host: String,
    inside: Arc<Mutex<Inside>>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { host: listener.local_addr().unwrap().to_string(), inside: Arc::default() };
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    pub(super) fn on(&self, path: &str, reply: Reply) {
        self.inside.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// The requests since the last call: path and query.
    pub(super) fn seen(&self) -> Vec<String> {
        self.requests().into_iter().map(|seen| seen.path).collect()
    }

    /// As [`Self::seen`], with what the requests carried.
    pub(super) fn requests(&self) -> Vec<Seen> {
        std::mem::take(&mut self.inside.lock().unwrap().seen)
    }

    /// Shows a path only to requests with a token from the realm, or with user and password.
    pub(super) fn lock(&self, path: &str, lock: impl FnOnce(&mut Reply)) {
        lock(self.inside.lock().unwrap().replies.get_mut(path).unwrap());
    }

    /// Serves a manifest by its digest, and returns the digest.
    pub(super) fn manifest(&self, manifest: &Value) -> String {
        self.put("manifests", manifest.to_string().into_bytes())
    }

    pub(super) fn put(&self, kind: &str, body: Vec<u8>) -> String {
        let digest = digest::sha256(&body);
        self.on(&format!("/v2/team/tools/{kind}/{digest}"), Reply::new(200, body));
        digest
    }

    /// Lets the tag name what was served under the digest.
    pub(super) fn tag(&self, tag: &str, digest: &str) {
        let path = |name: &str| format!("/v2/team/tools/manifests/{name}");
        let reply = self.inside.lock().unwrap().replies[&path(digest)].clone();
        self.on(&path(tag), reply.header("docker-content-digest", digest));
    }

    /// Serves config and manifest of an image, and returns their digests.
    pub(super) fn image(&self, config: &Value) -> (String, String) {
        let config = self.put("blobs", config.to_string().into_bytes());
        let manifest = self.manifest(&json!({
            "schemaVersion": 2, "mediaType": OCI_IMAGE_MEDIA_TYPE, "layers": [],
            "config": {"mediaType": IMAGE_CONFIG_MEDIA_TYPE, "digest": config, "size": 1},
        }));
        (manifest, config)
    }

    /// Serves an index of platforms (`linux/amd64`) and digests.
    pub(super) fn index(&self, entries: &[(&str, &str)]) -> String {
        let entry = |(platform, digest): &(&str, &str)| {
            let (os, architecture) = platform.split_once('/').unwrap();
            json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": digest, "size": 1,
                   "platform": {"os": os, "architecture": architecture}})
        };
        let manifests: Vec<_> = entries.iter().map(entry).collect();
        self.manifest(&json!({
            "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": manifests
        }))
    }
}

async fn answer(State(fake): State<Fake>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let sent = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let sent = sent.unwrap_or_default().to_owned();
    let reply = {
        let mut inside = fake.inside.lock().unwrap();
        inside.seen.push(Seen {
            path: parts.uri.to_string(),
            authorization: sent.clone(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        inside.replies.get(parts.uri.path()).cloned()
    };
    let mut reply = reply.unwrap_or_else(|| Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"));
    if reply.hangs {
        tokio::time::sleep(Duration::from_hours(1)).await;
    }
    if let Some((token, realm)) = &reply.token
        && sent != format!("Bearer {token}")
    {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"the registry\"");
        reply = Reply::error(401, "UNAUTHORIZED", "authentication required")
            .header("www-authenticate", challenge);
    }
    if reply.basic.is_some_and(|basic| sent != format!("Basic {}", STANDARD.encode(basic))) {
        reply = Reply::error(401, "UNAUTHORIZED", "wrong user or password")
            .header("www-authenticate", "Basic realm=\"the registry\"");
    }
    let mut response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

/// Listens, and answers every first request with these bytes. Returns the host.
pub(super) async fn raw(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    host
}

/// Like [`raw`], behind TLS with a certificate for the name from an authority of its own. Returns the host
/// and the authority, PEM.
pub(super) async fn raw_tls(name: &str, answer: &'static [u8]) -> (String, Vec<u8>) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem().into_bytes();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (format!("localhost:{port}"), pem)
}
