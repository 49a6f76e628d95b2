//! The layer in the operator's HTTP client: what the schedule says goes wrong here, between the operator
//! and an API server that is as it should be.
//!
//! A sent request is carried out even if the operator dies meanwhile, as on a real network. So a runtime of
//! the tests sends it.

use std::{
    collections::HashMap,
    future::pending,
    io,
    sync::{Arc, Mutex},
    task::{self, Poll},
    time::Duration,
};

use axum::body::{Body as Answer, Bytes};
use futures::{StreamExt, future::BoxFuture, stream};
use http::{HeaderMap, Request, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::watch, time::sleep};
use tower::{BoxError, Service};

use super::{
    call::{Call, classify},
    defeat::Defeat,
    etcd,
    plan::Plan,
    schedule::{Slot, What},
    stream::pumped,
    usurp,
};

/// How long an operator that is to die with its answer may go on where it asks for nothing more.
const LAST_BREATH: Duration = Duration::from_millis(50);

/// The life of one instance of the operator.
#[derive(Debug, Clone)]
pub(crate) struct Life(watch::Sender<Death>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    None,
    /// With the next request.
    Near,
    Dead,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Death::None))
    }

    pub(crate) fn end(&self) {
        self.0.send_replace(Death::Dead);
    }

    /// Waits for its end.
    pub(crate) async fn over(&self) {
        // The sender is ours.
        let _ = self.0.subscribe().wait_for(|death| *death == Death::Dead).await;
    }

    fn is(&self, death: Death) -> bool {
        *self.0.borrow() == death
    }
}

/// An answer as it can be given again.
#[derive(Clone)]
struct Kept {
    code: StatusCode,
    head: HeaderMap,
    body: Bytes,
}

/// Knowledge of all instances of a slot.
#[derive(Default)]
pub(crate) struct Memory {
    first: Mutex<HashMap<Call, Kept>>,
    pub(crate) defeat: Option<Defeat>,
}

impl Memory {
    pub(crate) fn defeated(defeat: Option<Defeat>) -> Self {
        Self { first: Mutex::default(), defeat }
    }
}

/// The way of one instance to the API server.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) slot: Slot,
    pub(crate) plan: Arc<Plan>,
    pub(crate) memory: Arc<Memory>,
    /// Sends what is sent.
    pub(crate) backend: Client,
    pub(crate) on: Handle,
    pub(crate) life: Life,
}

type Result<T> = std::result::Result<T, BoxError>;

impl Service<Request<Body>> for Wire {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move { wire.pass(request).await })
    }
}

impl Wire {
    async fn pass(self, request: Request<Body>) -> Result<Response<Answer>> {
        if self.life.is(Death::Near) {
            self.die::<()>().await;
        }
        if self.life.is(Death::Dead) {
            return pending().await;
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let created: Value = match head.method {
            http::Method::POST => serde_json::from_slice(&body).unwrap_or_default(),
            _ => Value::Null,
        };
        let created = created["metadata"]["name"].as_str().unwrap_or_default();
        let query = head.uri.query().unwrap_or_default();
        let (call, name) = classify(&head.method, head.uri.path(), query, created);
        let what = self.plan.meet(self.slot, call, &name);
        if call == Call::Lease && self.slot == Slot::B {
            return Ok(believed(&head, body));
        }
        // As things are believed to be at this moment, and not after what holds it up.
        let believed = self.memory.defeat.as_ref().and_then(|defeat| defeat.instead(call, &head));
        if let Some(answer) = believed {
            if let Some(what) = what {
                self.hold_up(what).await;
            }
            return Ok(answer);
        }
        match what {
            None => self.sent(call, head, body).await,
            Some(what) => self.disturbed(what, call, head, body).await,
        }
    }

    async fn disturbed(&self, what: What, call: Call, head: Parts, body: Bytes) -> Result<Response<Answer>> {
        match what {
            What::CrashBefore => self.die().await,
            What::CrashLost => {
                let _ = self.sent(call, head, body).await;
                self.die().await
            }
            What::CrashAfter => {
                let answer = self.sent(call, head, body).await;
                self.life.0.send_replace(Death::Near);
                let (wire, last) = (self.clone(), self.life.clone());
                self.on.spawn(async move {
                    sleep(LAST_BREATH).await;
                    if last.is(Death::Near) {
                        wire.kill();
                    }
                });
                answer
            }
            What::CrashLate(millis) => {
                self.later(millis, call, head, body);
                self.die().await
            }
            What::Late(millis) => {
                self.later(millis, call, head, body);
                Err(broken())
            }
            What::Refuse(code) => Ok(refused(code)),
            What::Forget(code) => {
                let answer = self.sent(call, head, body).await?;
                // A refused request is not forgotten.
                Ok(if answer.status().is_success() { refused(code) } else { answer })
            }
            What::BreakBefore => Err(broken()),
            What::BreakAfter => {
                let _ = self.sent(call, head, body).await;
                Err(broken())
            }
            What::Cut => Ok(cut(self.sent(call, head, body).await?)),
            What::Paused | What::DelayBefore(_) => {
                self.hold_up(what).await;
                self.sent(call, head, body).await
            }
            What::DelayAfter(millis) => {
                let answer = self.sent(call, head, body).await;
                sleep(Duration::from_millis(millis.into())).await;
                answer
            }
            What::Old => {
                let kept = self.memory.first.lock().unwrap().get(&call).cloned();
                match kept {
                    Some(kept) => Ok(kept.answer()),
                    None => self.sent(call, head, body).await,
                }
            }
            What::Usurp => {
                usurp::create(&self.backend, &head, &body).await;
                self.sent(call, head, body).await
            }
            What::Compact => {
                etcd::compact(&self.backend).await;
                self.sent(call, head, body).await
            }
            // Of watches' events.
            What::Hold(_)
            | What::Drop
            | What::Repeat
            | What::Swap
            | What::End
            | What::BreakEvent
            | What::Gone => self.sent(call, head, body).await,
        }
    }

    /// Waits for as long as a request is held up before it is sent.
    async fn hold_up(&self, what: What) {
        if what == What::Paused {
            self.plan.until_played().await;
        } else {
            sleep(Duration::from_millis(what.millis().into())).await;
        }
    }

    /// Ends the operator. Nothing that it waits for comes any more.
    async fn die<T>(&self) -> T {
        self.kill();
        pending().await
    }

    fn kill(&self) {
        self.life.end();
        self.plan.crashed();
    }

    fn later(&self, millis: u32, call: Call, head: Parts, body: Bytes) {
        let wire = self.clone();
        self.on.spawn(async move {
            sleep(Duration::from_millis(millis.into())).await;
            // Nobody waits for it.
            let _ = wire.sent(call, head, body).await;
        });
    }

    async fn sent(&self, call: Call, head: Parts, body: Bytes) -> Result<Response<Answer>> {
        let defeat = self.memory.defeat.as_ref();
        let (head, body) = match defeat {
            Some(defeat) => match defeat.request(&self.backend, call, head, body).await {
                Ok(request) => request,
                Err(answer) => return Ok(answer),
            },
            None => (head, body),
        };
        let backend = self.backend.clone();
        let (asked_head, asked_body) = (head.clone(), body.clone());
        let sending = async move { backend.send(Request::from_parts(head, Body::from(body))).await };
        let answer = self.on.spawn(sending).await??;
        if answer.status() == StatusCode::GONE {
            self.plan.gone_for_real();
        }
        let event = match call {
            Call::WatchActions => Some(Call::ActionEvent),
            Call::WatchPods => Some(Call::PodEvent),
            _ => None,
        };
        if let Some(event) = event.filter(|_| answer.status().is_success()) {
            return Ok(pumped(self, event, answer));
        }
        if call == Call::ReadLog || event.is_some() || (call == Call::Other && is_watch(&asked_head)) {
            return Ok(answer.map(Answer::new));
        }
        let (head, body) = answer.into_parts();
        let mut body = body.collect().await?.to_bytes();
        if let Some(defeat) = defeat {
            body = defeat.answer(call, head.status, &asked_body, body);
        }
        if matches!(call, Call::ListActions | Call::ListPods) && head.status.is_success() {
            let kept = Kept { code: head.status, head: head.headers.clone(), body: body.clone() };
            self.memory.first.lock().unwrap().entry(call).or_insert(kept);
        }
        Ok(Response::from_parts(without_length(head), Answer::from(body)))
    }
}

fn is_watch(head: &Parts) -> bool {
    head.uri.query().is_some_and(|query| query.contains("watch=true"))
}

/// A body that is not the server's own may have another length.
fn without_length(mut head: http::response::Parts) -> http::response::Parts {
    head.headers.remove(header::CONTENT_LENGTH);
    head
}

impl Kept {
    fn answer(self) -> Response<Answer> {
        let mut answer = Response::new(Answer::from(self.body));
        *answer.status_mut() = self.code;
        *answer.headers_mut() = self.head;
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        answer
    }
}

/// As the lease that nobody else has ever held.
fn believed(head: &Parts, body: Bytes) -> Response<Answer> {
    if head.method == http::Method::GET { refused(404) } else { Response::new(Answer::from(body)) }
}

/// A refusal in the API server's words.
pub(crate) fn refused(code: u16) -> Response<Answer> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": format!("made up by the tests: {reason}"),
    });
    let mut answer = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    if code == 429 {
        answer = answer.header(header::RETRY_AFTER, "1");
    }
    answer.body(Answer::from(status.to_string())).unwrap()
}

pub(crate) fn broken() -> BoxError {
    Box::new(io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the connection was reset (made up by the tests)",
    ))
}

/// The same answer, whose first piece ends half-way and is followed by nothing.
fn cut(answer: Response<Answer>) -> Response<Answer> {
    let (head, body) = answer.into_parts();
    let pieces = body.into_data_stream().take(1).map(|piece| match piece {
        Ok(piece) => Ok(piece.slice(..piece.len() / 2)),
        Err(error) => Err(BoxError::from(error)),
    });
    let pieces = pieces.chain(stream::once(async { Err(broken()) }));
    Response::from_parts(without_length(head), Answer::from_stream(pieces))
}
