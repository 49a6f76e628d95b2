//! The whole server by TLS, with a front proxy of the test's own and an API server that answers as the test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::{Value, json, to_value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{
    operator::{
        log_api::testing::{Authority, map},
        testing::{
            objects::UID,
            server::{Answer, Seen, failure, server},
        },
    },
    record::frame::Frame,
};

const ACTION: &str = "/apis/longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy";
const POD: &str = "/api/v1/namespaces/shop/pods/deploy-5f3c9a1b-1-1";
const LOG: &str = "/apis/log.longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy/log";
const FRAMES: [&str; 4] = ["1 s 0 {}", "2 o 1 one", "3 e 2 two", "4 o 3 three"];

const STARTED: &str = "2026-01-31T10:42:00Z";

fn log(lines: &[&str]) -> String {
    String::from_utf8(Frame::with_lengths((lines.join("\n") + "\n").as_bytes())).unwrap()
}

fn action(change: impl FnOnce(&mut Value)) -> Value {
    let mut action = to_value(crate::operator::testing::objects::action()).unwrap();
    action["status"] = json!({"phase": "Running", "run": {
        "number": 1, "id": "5f3c9a1b-1", "generation": 1, "attempt": 1, "trigger": "Created", "specHash": "0",
        "podUID": "pod-1",
    }});
    change(&mut action);
    action
}

fn pod(uid: &str, state: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "deploy-5f3c9a1b-1-1", "namespace": "shop", "uid": "pod-1",
            "labels": {"longshore.dev/action-uid": uid, "longshore.dev/run": "1", "longshore.dev/attempt": "1"},
            "ownerReferences": [{
                "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "name": "deploy", "uid": uid,
                "controller": true,
            }],
        },
        "status": {"containerStatuses": [{
            "name": "action", "image": "a", "imageID": "a", "ready": false, "restartCount": 0, "state": state,
        }]},
    })
}

/// An API server on which `anna` may read logs.
fn usual(request: &Seen) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews") => {
            let allowed = request.body["spec"]["user"] == "anna";
            let mut review = request.body.clone();
            review["status"] = json!({"allowed": allowed});
            (201, review).into()
        }
        ("GET", ACTION) => (200, action(|_| {})).into(),
        ("GET", POD) => (200, pod(UID, &json!({"running": {"startedAt": STARTED}}))).into(),
        ("GET", path) if path == format!("{POD}/log") => {
            let mut lines = FRAMES.to_vec();
            if request.query.contains("follow=true") {
                lines.push("5 z 4 {}");
            }
            (200, Value::String(log(&lines))).into()
        }
        other => failure(404, "NotFound", &format!("{other:?}")).into(),
    }
}

struct Served {
    address: SocketAddr,
    authority: Authority,
    bundle: String,
    server: Arc<Server>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Served {
    async fn with(answer: impl Fn(&Seen) -> Answer + Send + Sync + Clone + 'static) -> Self {
        Self::and(None, answer).await
    }

    /// The same, with an archive.
    async fn and(
        archive: Option<Archive>,
        answer: impl Fn(&Seen) -> Answer + Send + Sync + Clone + 'static,
    ) -> Self {
        let (client, seen) = server(answer);
        let options = ServeLogsOptions::parse_from([
            "serve-logs",
            "--service=logs",
            "--secret=logs",
            "--max-requests=3",
            "--max-requests-of-user=2",
        ]);
        let own = Arc::new(Server::new(client, archive, &options));
        let authority = Authority::new("front-proxy");
        let proxy = FrontProxy::read(&map(&authority, r#"["front-proxy-client"]"#)).unwrap();
        // The Secret has no content yet.
        let (secrets, _) = crate::operator::testing::server::server(|request: &Seen| {
            let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "logs"}});
            (200, if request.method == "PUT" { request.body.clone() } else { empty })
        });
        let hosts = ["logs.system.svc".to_owned()];
        let pair = certificates::keep(&secrets, "system", "logs", &hosts).await.unwrap();
        own.set(pair.serve(proxy.verifier()).unwrap(), Arc::new(proxy));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Arc::clone(&own).accept(listener));
        Self { address, authority, bundle: pair.bundle, server: own, seen }
    }

    async fn connected(&self, client: Option<(&Authority, &str)>) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.bundle.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some((authority, name)) => {
                let (certificate, key) = authority.client(name);
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = "logs.system.svc".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A request as the API server passes it on.
    async fn asked(&self, user: &str, path: &str) -> (u16, String, String) {
        let stream = self.connected(Some((&self.authority, "front-proxy-client"))).await.unwrap();
        exchange(stream, &format!("GET {path} HTTP/1.1\r\nX-Remote-User: {user}\r\n")).await
    }

    async fn refused(&self, path: &str) -> (u16, String) {
        let (code, _, body) = self.asked("anna", path).await;
        let status: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&status["kind"], &status["code"]), (&"Status".into(), &code.into()), "{body}");
        (code, status["message"].as_str().unwrap().to_owned())
    }
}

async fn exchange(mut stream: TlsStream<TcpStream>, head: &str) -> (u16, String, String) {
    let request = format!("{head}Host: logs\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    parted(&String::from_utf8(answer).unwrap())
}

/// The code, the head, and the body without the marks of its chunks.
fn parted(answer: &str) -> (u16, String, String) {
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    let head = head.to_ascii_lowercase();
    if !head.contains("transfer-encoding: chunked") {
        return (code, head, rest.to_owned());
    }
    let mut body = String::new();
    while let Some((length, behind)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return (code, head, body);
        }
        body.push_str(&behind[..length]);
        rest = &behind[length + 2..];
    }
    (code, head, body + "<cut>")
}

#[tokio::test]
async fn a_log_is_read_by_right_on_the_action() {
    let served = Served::with(usual).await;
    let (code, head, body) = served.asked("anna", LOG).await;
    assert_eq!((code, body.as_str()), (200, "one\ntwo\nthree\n"), "{head}");
    assert!(head.contains("content-type: text/plain") && head.contains("nosniff"), "{head}");
    let seen = served.seen.lock().unwrap();
    let review = &seen[0].body["spec"];
    assert_eq!(review["user"], "anna");
    assert_eq!(
        review["resourceAttributes"],
        json!({
            "namespace": "shop", "verb": "get", "group": "log.longshore.dev", "resource": "deploymentactions",
            "subresource": "log", "name": "deploy",
        })
    );
    let log = seen.iter().find(|seen| seen.path.ends_with("/log")).unwrap();
    assert!(log.query.contains("container=action") && !log.query.contains("follow=true"), "{}", log.query);
}

#[tokio::test]
async fn without_the_right_nothing_is_read() {
    let served = Served::with(usual).await;
    let (code, _, body) = served.asked("bert", LOG).await;
    assert_eq!(code, 403);
    for words in ["bert", "deploymentactions/log", "shop"] {
        assert!(body.contains(words), "{body}");
    }
    let seen = served.seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "only the question whether he may: {seen:?}");
}

#[tokio::test]
async fn only_the_front_proxy_may_say_who_asks() {
    let served = Served::with(usual).await;
    let ask = format!("GET {LOG} HTTP/1.1\r\nX-Remote-User: anna\r\nAuthorization: Bearer token\r\n");
    let stranger = served.connected(None).await.unwrap();
    let (code, _, body) = exchange(stranger, &ask).await;
    assert!(code == 401 && body.contains("\"reason\":\"Unauthorized\""), "{body}");
    let other_name = served.connected(Some((&served.authority, "kubelet"))).await.unwrap();
    assert_eq!(exchange(other_name, &ask).await.0, 401);
    // The certificate of another authority is refused before any request.
    let forger = Authority::new("front-proxy");
    if let Ok(mut stream) = served.connected(Some((&forger, "front-proxy-client"))).await {
        let _ = stream.write_all(format!("{ask}Host: logs\r\n\r\n").as_bytes()).await;
        let mut answer = Vec::new();
        assert!(stream.read_to_end(&mut answer).await.is_err() && answer.is_empty());
    }
    assert!(served.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_front_proxy_whose_authority_was_replaced_is_a_stranger() {
    let served = Served::with(usual).await;
    let mut stream = served.connected(Some((&served.authority, "front-proxy-client"))).await.unwrap();
    let ask = format!("GET {LOG} HTTP/1.1\r\nX-Remote-User: anna\r\nHost: logs\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut part = [0; 4096];
    let read = stream.read(&mut part).await.unwrap();
    assert!(part[..read].starts_with(b"HTTP/1.1 200"));
    let live = served.server.live().unwrap();
    let proxy = FrontProxy::read(&map(&Authority::new("new"), "[]")).unwrap();
    *served.server.live.lock().unwrap() = Some(Live { proxy: Arc::new(proxy), ..live });
    // The same connection, which was made before.
    let ask = format!("GET {LOG} HTTP/1.1\r\nX-Remote-User: anna\r\n");
    let mut rest = Vec::new();
    stream.write_all(format!("{ask}Host: logs\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let _ = stream.read_to_end(&mut rest).await;
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.contains("HTTP/1.1 401"), "{rest}");
}

#[tokio::test]
async fn discovery_needs_no_right_on_actions() {
    let served = Served::with(usual).await;
    for (path, words) in [
        ("/apis", "APIGroupList"),
        ("/apis/log.longshore.dev", "preferredVersion"),
        ("/apis/log.longshore.dev/v1alpha1", "deploymentactions/log"),
        ("/openapi/v2", "swagger"),
        ("/openapi/v3", "paths"),
    ] {
        let (code, _, body) = served.asked("system:kube-aggregator", path).await;
        assert!(code == 200 && body.contains(words), "{path}: {body}");
        let stranger = served.connected(None).await.unwrap();
        assert_eq!(exchange(stranger, &format!("GET {path} HTTP/1.1\r\n")).await.0, 401);
    }
}

#[tokio::test]
async fn bad_requests_get_a_sentence() {
    let served = Served::with(usual).await;
    for (path, code, words) in [
        (LOG.replace("deploy/log", "../log"), 400, "not the name"),
        (LOG.replace("deploy/log", "%2e%2e/log"), 400, "not the name"),
        (LOG.replace("/shop/", "/%2e/"), 400, "not the name of a namespace"),
        (format!("{LOG}?format=xml"), 400, "text or jsonl"),
        (format!("{LOG}?run=2"), 404, "its latest run is 1"),
        (format!("{LOG}?attempt=7"), 404, "its latest attempt is 1"),
        (LOG.replace("deploy/log", "another/log"), 404, "there is no DeploymentAction"),
        ("/metrics".to_owned(), 404, "could not find"),
    ] {
        let (answered, message) = served.refused(&path).await;
        assert!(answered == code && message.contains(words), "{path}: {answered} {message}");
    }
}

/// Everything as usual, but one answer.
fn but(path: &'static str, answer: (u16, Value)) -> impl Fn(&Seen) -> Answer + Send + Sync + Clone {
    move |request| if request.path == path { answer.clone().into() } else { usual(request) }
}

#[tokio::test]
async fn a_log_that_is_gone_is_named_as_gone() {
    let gone = Served::with(but(POD, failure(404, "NotFound", "none"))).await;
    let (code, words) = gone.refused(LOG).await;
    assert!(code == 410 && words.contains("podRetentionSeconds"), "{words}");
    // An action that was made again under the name has a pod of the same name, but not this one.
    let other = but(POD, (200, pod("predecessor", &json!({"running": {"startedAt": STARTED}}))));
    assert_eq!(Served::with(other).await.refused(LOG).await.0, 410);
    let waiting = action(|action| action["status"] = json!({"phase": "Pending"}));
    let (code, words) = Served::with(but(ACTION, (200, waiting))).await.refused(LOG).await;
    assert!(code == 404 && words.contains("has not run yet"), "{words}");
    let foreign = Served::with(but(ACTION, failure(403, "Forbidden", "no"))).await;
    assert!(foreign.refused(LOG).await.1.contains("does not serve the namespace"));
}

#[tokio::test]
async fn what_the_node_does_not_give_is_said() {
    const POD_LOG: &str = "/api/v1/namespaces/shop/pods/deploy-5f3c9a1b-1-1/log";
    for (kubelet, code, words) in [
        (failure(400, "BadRequest", "container is waiting to start"), 404, "has not started"),
        (failure(404, "NotFound", "no such file"), 410, "no longer has it"),
        (failure(500, "InternalError", "dial tcp: no route to host"), 503, "no route to host"),
    ] {
        let (answered, message) = Served::with(but(POD_LOG, kubelet)).await.refused(LOG).await;
        assert!(answered == code && message.contains(words), "{answered} {message}");
    }
}

#[tokio::test]
async fn the_last_lines_are_found_by_a_first_reading() {
    let served = Served::with(usual).await;
    let (_, _, body) = served.asked("anna", &format!("{LOG}?tailLines=2")).await;
    assert_eq!(body, "two\nthree\n");
    let (_, _, body) = served.asked("anna", &format!("{LOG}?tailLines=1&format=jsonl")).await;
    let line: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&line["frame"], &line["text"]), (&4.into(), &"three".into()));
}

#[tokio::test]
async fn a_log_is_followed_over_broken_streams_to_its_end() {
    let readings = Arc::new(AtomicUsize::new(0));
    let served = Served::with(move |request: &Seen| {
        if !request.path.ends_with("pods/deploy-5f3c9a1b-1-1/log") {
            return usual(request);
        }
        // The second reading has what the first had, and the rest.
        match readings.fetch_add(1, Ordering::Relaxed) {
            0 => (200, Value::String(log(&FRAMES[..2]))).into(),
            _ => usual(request),
        }
    })
    .await;
    let (code, _, body) = served.asked("anna", &format!("{LOG}?follow=true")).await;
    assert_eq!((code, body.as_str()), (200, "one\ntwo\nthree\n"));
}

#[tokio::test]
async fn a_follower_of_a_run_that_has_not_started_waits_for_it() {
    let looks = Arc::new(AtomicUsize::new(0));
    let served = Served::with(move |request: &Seen| {
        if request.path == ACTION && looks.fetch_add(1, Ordering::Relaxed) == 0 {
            return (200, action(|action| action["status"] = json!({"phase": "Pending"}))).into();
        }
        usual(request)
    })
    .await;
    let (code, _, body) = served.asked("anna", &format!("{LOG}?follow=true")).await;
    assert_eq!((code, body.as_str()), (200, "one\ntwo\nthree\n"));
}

#[tokio::test]
async fn a_follower_of_a_pod_that_goes_away_learns_it() {
    let looks = Arc::new(AtomicUsize::new(0));
    let served = Served::with(move |request: &Seen| match request.path.as_str() {
        POD if looks.fetch_add(1, Ordering::Relaxed) > 0 => failure(404, "NotFound", "none").into(),
        path if path.starts_with(POD) && path.ends_with("/log") => (200, Value::String(log(&FRAMES))).into(),
        _ => usual(request),
    })
    .await;
    let (_, _, body) = served.asked("anna", &format!("{LOG}?follow=true")).await;
    assert!(body.starts_with("one\ntwo\nthree\n[longshore: ") && body.contains("is gone"), "{body}");
}

#[tokio::test]
async fn a_line_is_passed_on_at_once_and_requests_are_bounded() {
    let served = Served::with(|request: &Seen| {
        if request.path.ends_with("pods/deploy-5f3c9a1b-1-1/log") {
            return Answer::hanging(&log(&FRAMES));
        }
        usual(request)
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = served.connected(Some((&served.authority, "front-proxy-client"))).await.unwrap();
        let ask = format!("GET {LOG}?follow=true HTTP/1.1\r\nX-Remote-User: anna\r\nHost: logs\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut begun = String::new();
        while !begun.contains("three") {
            let mut part = [0; 4096];
            let read = timeout(Duration::from_secs(2), stream.read(&mut part)).await.expect("within 2 s");
            begun.push_str(std::str::from_utf8(&part[..read.unwrap()]).unwrap());
        }
        open.push(stream);
    }
    let (code, head, body) = served.asked("anna", LOG).await;
    assert!(code == 429 && head.contains("retry-after: 5"), "{head} {body}");
    // Discovery goes on, and other users have room.
    assert_eq!(served.asked("anna", "/apis").await.0, 200);
    assert_eq!(served.asked("bert", LOG).await.0, 403);
    // A caller that goes away leaves its place, although the script says nothing.
    drop(open);
    for _ in 0..50 {
        if served.server.turns.take("anna").is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("its place is taken for ever");
}

#[tokio::test]
async fn strangers_hold_few_connections_and_the_api_server_has_the_others() {
    let served = Served::with(usual).await;
    let mut strangers = Vec::new();
    for _ in 0..(STRANGERS + 4) {
        strangers.push(served.connected(None).await);
    }
    assert_eq!(served.asked("anna", LOG).await.0, 200);
}

#[tokio::test]
async fn a_user_in_thousands_of_groups_is_no_stranger() {
    let served = Served::with(usual).await;
    let groups = (0..2000).map(|at| format!("X-Remote-Group: group-{at}\r\n")).collect::<Vec<_>>().concat();
    let stream = served.connected(Some((&served.authority, "front-proxy-client"))).await.unwrap();
    let head = format!("GET {LOG} HTTP/1.1\r\nX-Remote-User: anna\r\n{groups}");
    assert_eq!(exchange(stream, &head).await.0, 200);
    let seen = served.seen.lock().unwrap();
    assert_eq!(seen[0].body["spec"]["groups"].as_array().unwrap().len(), 2000);
}

fn memory() -> Archive {
    Archive::on(Arc::new(object_store::memory::InMemory::new()), object_store::path::Path::default())
}

/// The frames as the operator stored them, of an action with this UID. With `ended`, it stored all.
async fn keep(archive: &Archive, uid: &str, frames: &[&str], ended: bool) {
    use crate::archive::run_record::{ActionRecord, PodRecord, RunNumber, RunRecord};
    let key = crate::archive::LogKey::new("shop", uid, 1, 1, "pod-1").unwrap();
    let mut writer = archive.open(key).await.unwrap();
    writer.started(STARTED.parse().unwrap());
    for line in frames {
        let line = Frame::with_lengths(line.as_bytes());
        let frame = Frame::decode(&line).unwrap();
        if frame.sequence < writer.next() {
            continue;
        }
        writer.skip_to(frame.sequence).await.unwrap();
        writer.append(&frame).await.unwrap();
    }
    writer.flush().await.unwrap();
    if ended {
        let record = RunRecord::new(ActionRecord::default(), RunNumber::default(), PodRecord::default());
        writer.finish(&record).await.unwrap();
    }
}

fn without_pod(request: &Seen) -> Answer {
    if request.path == POD { failure(404, "NotFound", "none").into() } else { usual(request) }
}

#[tokio::test]
async fn a_log_whose_pod_is_gone_is_read_from_the_archive() {
    let archive = memory();
    keep(&archive, UID, &FRAMES, true).await;
    let stored = Served::and(Some(archive.clone()), without_pod).await;
    let live = Served::with(usual).await;
    for query in [
        "",
        "?run=1&attempt=1",
        "?tailLines=2",
        "?tailLines=0",
        "?tailLines=1&format=jsonl&follow=true",
        "?timestamps=true&sinceTime=2026-01-31T10:42:00.002Z",
    ] {
        let (code, _, body) = stored.asked("anna", &format!("{LOG}{query}")).await;
        assert_eq!(code, 200, "{query}: {body}");
        let of_pod = live.asked("anna", &format!("{LOG}{}", query.replace("&follow=true", ""))).await;
        assert_eq!(body, of_pod.2, "{query}");
    }
    assert_eq!(stored.asked("anna", &format!("{LOG}?tailLines=2")).await.2, "two\nthree\n");
    // The right is asked for as always.
    assert_eq!(stored.asked("bert", LOG).await.0, 403);
    // The archive still knows the runs of a status that was lost.
    let lost = Served::and(Some(archive.clone()), |request: &Seen| match request.path.as_str() {
        ACTION => (200, action(|action| action["status"] = json!({"phase": "Idle"}))).into(),
        _ => without_pod(request),
    })
    .await;
    assert_eq!(lost.asked("anna", &format!("{LOG}?run=1")).await.2, "one\ntwo\nthree\n");
    assert_eq!(lost.refused(&format!("{LOG}?run=2")).await.0, 404);
}

#[tokio::test]
async fn a_stored_log_is_never_that_of_a_predecessor_or_of_a_deleted_action() {
    let archive = memory();
    keep(&archive, "predecessor", &FRAMES, true).await;
    let served = Served::and(Some(archive.clone()), without_pod).await;
    let (code, words) = served.refused(LOG).await;
    assert!(code == 410 && words.contains("in no archive"), "{words}");
    let deleted = Served::and(Some(archive), but(ACTION, failure(404, "NotFound", "none"))).await;
    let (code, words) = deleted.refused(LOG).await;
    assert!(code == 404 && words.contains("deleted"), "{words}");
}

#[tokio::test]
async fn a_log_that_was_not_stored_to_its_end_says_so() {
    let archive = memory();
    keep(&archive, UID, &FRAMES[..3], false).await;
    let served = Served::and(Some(archive), without_pod).await;
    let (code, _, body) = served.asked("anna", LOG).await;
    assert!(code == 200 && body.starts_with("one\ntwo\n[longshore: the log ends here"), "{body}");
}

/// A folder in which nothing can be read, since a file is in the way.
fn broken(folder: &std::path::Path) -> Archive {
    std::fs::create_dir_all(folder.join("v1/logs")).unwrap();
    std::fs::write(folder.join("v1/logs/shop"), "a file").unwrap();
    let url = format!("file://{}", folder.display());
    Archive::connect(&crate::archive::Settings { url, ..Default::default() }).unwrap()
}

#[tokio::test]
async fn an_archive_that_is_down_is_named_and_logs_in_pods_are_read() {
    let folder = std::env::temp_dir().join(format!("longshore-no-archive-{}", std::process::id()));
    let archive = broken(&folder);
    let (code, words) = Served::and(Some(archive.clone()), without_pod).await.refused(LOG).await;
    assert!(code == 503 && words.contains("archive"), "{code} {words}");
    let ended = |request: &Seen| match request.path.as_str() {
        POD => (200, pod(UID, &json!({"terminated": {"exitCode": 0, "startedAt": STARTED}}))).into(),
        _ => usual(request),
    };
    for answer in [Served::and(Some(archive.clone()), ended).await, Served::and(Some(archive), usual).await] {
        let (code, _, body) = answer.asked("anna", LOG).await;
        assert_eq!((code, body.as_str()), (200, "one\ntwo\nthree\n"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_a_node_does_not_give_comes_from_the_archive() {
    const POD_LOG: &str = "/api/v1/namespaces/shop/pods/deploy-5f3c9a1b-1-1/log";
    let archive = memory();
    keep(&archive, UID, &FRAMES[..3], false).await;
    for kubelet in [
        failure(404, "NotFound", "no such file"),
        failure(500, "InternalError", "dial tcp: no route to host"),
    ] {
        let served = Served::and(Some(archive.clone()), but(POD_LOG, kubelet)).await;
        let (code, _, body) = served.asked("anna", LOG).await;
        assert!(code == 200 && body.starts_with("one\ntwo\n[longshore: the log ends here"), "{body}");
    }
    // A script that has not started has no log there either.
    let waits = but(POD_LOG, failure(400, "BadRequest", "container is waiting to start"));
    assert_eq!(Served::and(Some(archive), waits).await.refused(LOG).await.0, 404);
}

#[tokio::test]
async fn what_a_node_has_rotated_away_comes_from_the_archive() {
    let rotated = |request: &Seen| match request.path.as_str() {
        path if path.ends_with("pods/deploy-5f3c9a1b-1-1/log") => {
            (200, Value::String(log(&["6 o 9 six", "7 o 9 seven"]))).into()
        }
        _ => usual(request),
    };
    let none = Served::with(rotated).await;
    let named = "[longshore: frames 1 to 5 of the log are missing here]\nsix\nseven\n";
    assert_eq!(none.asked("anna", LOG).await.2, named);
    // A minute late, and without a frame that never came. The last line is open.
    let archive = memory();
    keep(&archive, UID, &["1 s 0 {}", "2 o 1 two", "4 o+ 3 four "], false).await;
    let some = Served::and(Some(archive.clone()), rotated).await;
    let missing =
        |frame: u64| format!("[longshore: frames {frame} to {frame} of the log are missing here]\n");
    let filled = format!("two\n{}four \n{}six\nseven\n", missing(3), missing(5));
    assert_eq!(some.asked("anna", LOG).await.2, filled);
    // With all of it, a line that goes on has one time.
    keep(&archive, UID, &["1 s 0 {}", "2 o 1 two", "4 o+ 3 four ", "5 o+ 4 five "], false).await;
    let stamped =
        some.asked("anna", &format!("{LOG}?timestamps=true&sinceTime=2026-01-31T10:42:00.003Z")).await.2;
    assert_eq!(stamped, "2026-01-31T10:42:00.003Z four five six\n2026-01-31T10:42:00.009Z seven\n");
    // The last lines are those that the node has. Nothing is put in front of them.
    assert_eq!(some.asked("anna", &format!("{LOG}?tailLines=1")).await.2, "seven\n");
    // Once all is stored and the script has ended, the archive is read alone.
    keep(&archive, UID, &["6 o 9 six", "7 o 9 seven"], true).await;
    let ended = Served::and(Some(archive), move |request: &Seen| match request.path.as_str() {
        POD => (200, pod(UID, &json!({"terminated": {"exitCode": 0, "startedAt": STARTED}}))).into(),
        _ => rotated(request),
    })
    .await;
    let whole = format!("two\n{}four five six\nseven\n", missing(3));
    assert_eq!(ended.asked("anna", LOG).await.2, whole);
    assert!(!ended.seen.lock().unwrap().iter().any(|seen| seen.path.ends_with("/log")));
}

#[tokio::test]
async fn a_follower_whose_pod_goes_away_gets_the_rest_from_the_archive() {
    let archive = memory();
    keep(&archive, UID, &[&FRAMES[..], &["5 o 4 four", "6 z 4 {}"]].concat(), true).await;
    let looks = Arc::new(AtomicUsize::new(0));
    let served = Served::and(Some(archive), move |request: &Seen| match request.path.as_str() {
        POD if looks.fetch_add(1, Ordering::Relaxed) > 0 => failure(404, "NotFound", "none").into(),
        path if path.starts_with(POD) && path.ends_with("/log") => (200, Value::String(log(&FRAMES))).into(),
        _ => usual(request),
    })
    .await;
    let (_, _, body) = served.asked("anna", &format!("{LOG}?follow=true")).await;
    assert_eq!(body, "one\ntwo\nthree\nfour\n");
}
