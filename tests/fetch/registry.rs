//! A registry in this process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::Response,
};
use longshore::record::sha256_hex;
use serde_json::{Value, json};

/// A fault instead of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// It answers.
    Ok,
    Status(u16),
    /// It says how long the content is, and ends before that.
    BreakOff,
}

#[derive(Default)]
struct Content {
    /// By the last part of their address.
    known: HashMap<String, Vec<u8>>,
    next: VecDeque<Answer>,
    asked: Vec<String>,
    /// The header that it wants.
    authorization: Option<String>,
}

/// The registry, on a port of the loopback.
pub(crate) struct Fake {
    pub(crate) host: String,
    /// Whether the program is told to speak plain HTTP to it.
    pub(crate) named: bool,
    content: Arc<Mutex<Content>>,
    _runtime: tokio::runtime::Runtime,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let content = Arc::new(Mutex::new(Content::default()));
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&content));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { host, named: true, content, _runtime: runtime }
    }

    fn put(&self, digest: &str, content: Vec<u8>) {
        self.content.lock().unwrap().known.insert(digest.to_owned(), content);
    }

    pub(crate) fn manifest(&mut self, manifest: &Value) -> String {
        let text = manifest.to_string().into_bytes();
        let digest = format!("sha256:{}", sha256_hex(&text));
        self.put(&digest, text);
        digest
    }

    /// An artifact with these layers: media type, content, annotations.
    pub(crate) fn artifact(&mut self, config: &str, layers: &[(&str, Vec<u8>, Option<Value>)]) -> String {
        let described = layers.iter().map(|(media_type, content, annotations)| {
            let mut layer = descriptor(media_type, content);
            self.put(layer["digest"].as_str().unwrap(), content.clone());
            if let Some(annotations) = annotations {
                layer["annotations"] = annotations.clone();
            }
            layer
        });
        let layers: Vec<Value> = described.collect();
        self.manifest(&json!({"schemaVersion": 2, "config": descriptor(config, b"{}"), "layers": layers}))
    }

    pub(crate) fn tamper(&mut self, digest: &str, content: Vec<u8>) {
        self.put(digest, content);
    }

    pub(crate) fn tamper_manifest(&mut self, digest: &str, content: Vec<u8>) {
        self.put(digest, content);
    }

    pub(crate) fn next(&mut self, answers: impl IntoIterator<Item = Answer>) {
        self.content.lock().unwrap().next = answers.into_iter().collect();
    }

    pub(crate) fn wants(&mut self, user: &str, password: &str) {
        use base64::Engine as _;
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.content.lock().unwrap().authorization = Some(format!("Basic {both}"));
    }

    pub(crate) fn forget_to_name(&mut self) {
        self.named = false;
    }

    /// The paths that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.content.lock().unwrap().asked.clone()
    }
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": format!("sha256:{}", sha256_hex(content)),
        "size": content.len(),
    })
}

async fn answer(State(content): State<Arc<Mutex<Content>>>, request: Request) -> Response {
    let mut content = content.lock().unwrap();
    let path = request.uri().path().to_owned();
    content.asked.push(path.clone());
    let status = |code: u16| Response::builder().status(code);
    let next = content.next.pop_front().unwrap_or(Answer::Ok);
    if let Answer::Status(code) = next {
        return status(code).body(Body::empty()).unwrap();
    }
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if content.authorization.is_some() && content.authorization.as_deref() != shown {
        let challenge = status(401).header(header::WWW_AUTHENTICATE, "Basic realm=\"test\"");
        return challenge.body(Body::empty()).unwrap();
    }
    let Some(found) = path.rsplit('/').next().and_then(|name| content.known.get(name)).cloned() else {
        return status(StatusCode::NOT_FOUND.as_u16()).body(Body::empty()).unwrap();
    };
    let media_type = if path.contains("/manifests/") {
        "application/vnd.oci.image.manifest.v1+json"
    } else {
        "text/plain"
    };
    let answer = status(200).header(header::CONTENT_TYPE, media_type);
    if matches!(next, Answer::BreakOff) {
        let half = found[..found.len() / 2].to_vec();
        let broken = futures::stream::iter([Ok(half), Err(std::io::Error::other("gone"))]);
        return answer.header(header::CONTENT_LENGTH, found.len()).body(Body::from_stream(broken)).unwrap();
    }
    answer.body(Body::from(found)).unwrap()
}
