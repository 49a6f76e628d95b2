//! An API server that answers as a test says, for answers that a real one cannot be made to give.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// An answer of the server.
pub(crate) struct Answer {
    code: u16,
    body: axum::body::Body,
}

impl Answer {
    /// A log that the server begins to send, and a connection that is never heard of again.
    pub(crate) fn hanging(text: &str) -> Self {
        let begins = stream::iter([Ok::<_, Infallible>(text.to_owned())]);
        Self { code: 200, body: axum::body::Body::from_stream(begins.chain(stream::pending())) }
    }
}

impl From<(u16, Value)> for Answer {
    fn from((code, object): (u16, Value)) -> Self {
        // A text is sent as it is, such as a log.
        let body = match object {
            Value::String(text) => text.into_bytes(),
            object => serde_json::to_vec(&object).unwrap(),
        };
        Self { code, body: body.into() }
    }
}

/// A client of a server that answers with `answer`, and the requests that the server saw.
pub(crate) fn server<A: Into<Answer>>(
    answer: impl Fn(&Seen) -> A + Send + Sync + Clone + 'static,
) -> (Client, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answer, log) = (answer.clone(), Arc::clone(&log));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let request = Seen {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            };
            let Answer { code, body } = answer(&request).into();
            log.lock().unwrap().push(request);
            let response = Response::builder().status(code).body(body).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    (Client::new(service, "default"), seen)
}

/// An error as the API server words it.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    (code, status)
}

mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::to_value;

    use super::*;
    use crate::{
        api::{
            Reason,
            status::{Launcher, RunStatus},
        },
        operator::{
            leadership::Term,
            lifecycle::{
                requests::Requests,
                status::{progress, terminal},
                verdict::Verdict,
            },
            pod::attempt::Delivery,
            spec::validate::validate,
            steps::{
                launch::{Launched, launch},
                release, stop,
                write_status::write_status,
            },
            testing::objects::{PROCESS, action, attempt, pod_defaults},
        },
    };

    fn recorded() -> RunStatus {
        let launcher = Some(Launcher::first(PROCESS));
        RunStatus {
            number: 1,
            attempt: 1,
            bundle_sha256: Some("00".into()),
            launcher,
            ..RunStatus::default()
        }
    }

    /// Launches on a server that has the action `live` and answers a creation with `created`.
    async fn launched(live: Value, created: (u16, Value)) -> (Launched, Vec<String>) {
        launched_by(&Term::begun(), live, created).await
    }

    async fn launched_by(term: &Term, live: Value, created: (u16, Value)) -> (Launched, Vec<String>) {
        let (client, seen) = server(move |request| match request.method.as_str() {
            "GET" => (200, live.clone()),
            _ => created.clone(),
        });
        let checked = validate(&action(), "amd64").unwrap();
        let defaults = pod_defaults(Delivery::ImageVolume);
        let launched = launch(&client, term, &checked, &attempt(), &defaults).await;
        let calls =
            seen.lock().unwrap().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
        (launched, calls)
    }

    fn live(change: impl FnOnce(&mut Value)) -> Value {
        let mut live = action();
        live.status = Some(progress(
            &Requests::of(&live),
            Timestamp::UNIX_EPOCH,
            Reason::Launching,
            "",
            recorded(),
            None,
            None,
        ));
        let mut live = to_value(live).unwrap();
        change(&mut live);
        live
    }

    #[tokio::test]
    async fn who_leads_no_more_once_the_action_was_read_asks_for_no_pod() {
        let pod = json!({"metadata": {"name": "deploy-5f3c9a1b-1-1"}});
        let (launched, calls) = launched_by(&Term::default(), live(|_| {}), (201, pod)).await;
        assert!(matches!(launched, Launched::NotLeading), "{launched:?}");
        assert_eq!(calls, ["GET /apis/longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy"]);
    }

    #[tokio::test]
    async fn a_live_read_comes_before_each_creation() {
        let pod = json!({"metadata": {"name": "deploy-5f3c9a1b-1-1"}});
        let (launched, calls) = launched(live(|_| {}), (201, pod)).await;
        assert!(matches!(launched, Launched::Created(_)), "{launched:?}");
        assert_eq!(
            calls,
            [
                "GET /apis/longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy",
                "POST /api/v1/namespaces/shop/pods"
            ]
        );
    }

    #[tokio::test]
    async fn an_action_that_no_longer_asks_for_it_gets_no_pod() {
        let finished = terminal(
            &Requests::of(&action()),
            Timestamp::UNIX_EPOCH,
            &Verdict::of(Reason::Unknown, ""),
            recorded(),
            None,
            None,
        );
        let changes: [&dyn Fn(&mut Value); 6] = [
            &|live| live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            &|live| live["metadata"]["uid"] = json!("another"),
            &|live| live["status"]["run"]["number"] = json!(2),
            &|live| live["status"]["run"]["bundleSha256"] = json!("11"),
            &|live| live["status"]["run"]["launcher"]["process"] = json!("another"),
            &|live| live["status"] = to_value(&finished).unwrap(),
        ];
        for change in changes {
            let (launched, calls) = launched(live(change), (201, json!({}))).await;
            assert!(matches!(launched, Launched::NotWanted), "{launched:?}");
            assert_eq!(calls.len(), 1);
        }
    }

    #[tokio::test]
    async fn what_is_said_of_a_creation_tells_whether_it_happened() {
        let said = |code, reason: &'static str| async move {
            launched(live(|_| {}), failure(code, reason, "words")).await.0
        };
        assert!(matches!(said(409, "AlreadyExists").await, Launched::NameTaken));
        assert!(matches!(said(403, "Forbidden").await, Launched::Refused(_)));
        assert!(matches!(said(422, "Invalid").await, Launched::Refused(_)));
        assert!(matches!(said(500, "InternalError").await, Launched::Unanswered(_)));
        assert!(matches!(said(504, "Timeout").await, Launched::Unanswered(_)));
    }

    #[tokio::test]
    async fn a_status_is_replaced_only_as_it_was_read() {
        let (client, seen) = server(|_| failure(409, "Conflict", "changed"));
        let error = write_status(
            &client,
            &action(),
            &progress(
                &Requests::of(&action()),
                Timestamp::UNIX_EPOCH,
                Reason::Launching,
                "",
                recorded(),
                None,
                None,
            ),
        )
        .await
        .unwrap_err();
        assert_eq!(error.code(), Some(409));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "no second try without a new read");
        assert_eq!(
            (seen[0].method.as_str(), &seen[0].body["metadata"]["resourceVersion"]),
            ("PUT", &json!("10"))
        );
        assert!(seen[0].path.ends_with("/deploymentactions/deploy/status"));
    }

    #[tokio::test]
    async fn a_pod_is_deleted_and_released_by_its_uid() {
        let (client, seen) = server(|request| match request.method.as_str() {
            "GET" => failure(404, "NotFound", "none"),
            _ => failure(409, "Conflict", "another UID"),
        });
        stop::delete(&client, "shop", "pod", "uid-1").await.unwrap();
        release::release(&client, "shop", "pod", "uid-1").await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0].body["preconditions"]["uid"], "uid-1");
        assert_eq!(seen[1].body["metadata"]["uid"], "uid-1");
        assert_eq!(
            seen[1].body["metadata"]["$deleteFromPrimitiveList/finalizers"],
            json!(["longshore.dev/collect"])
        );
    }
}
