//! Sends each run as an OpenTelemetry trace by OTLP when it has ended, if an endpoint is given.
//!
//! All ids follow from the action's UID and the run's number. So the script knows its parent (`TRACEPARENT`,
//! W3C Trace Context) before anything is sent, and an operator that takes over in mid-run sends the same
//! trace. Stages that a process has not seen itself are left out, such as those before a restart.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::stages::{Stage, Timing};
use crate::{
    api::{DeploymentAction, Reason, condition::ConditionType, reason::Class},
    operator::pod::trace_context::{of_attempt, span_id, trace_id},
    record::quoted,
};

/// How long one batch may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How many runs may wait to be sent. Further ones are dropped.
const MOST_WAITING: usize = 512;
/// How many runs one request carries.
const BATCH: usize = 64;
/// The name of the span of the whole run.
const RUN: &str = "run";

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "the OTLP endpoint {} cannot be used: {why}; write a URL such as http://collector.monitoring:4318",
    quoted(.endpoint)
)]
pub struct TracesError {
    endpoint: String,
    why: String,
}

/// Accepts traces for sending. Without an endpoint they are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Traces(Option<mpsc::Sender<Vec<SpanData>>>);

impl Traces {
    /// Starts to send the traces that are passed to [`Self::tell`] to `endpoint`, the base URL of an OTLP
    /// receiver by HTTP.
    ///
    /// # Errors
    /// If the endpoint is not a URL, or no client can be made.
    pub(crate) fn new(endpoint: Option<&str>) -> Result<Self, TracesError> {
        let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else { return Ok(Self(None)) };
        let failed = |why: String| TracesError { endpoint: endpoint.to_owned(), why };
        let client = reqwest::Client::builder()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(LIMIT)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(
            &Resource::builder().with_service_name("longshore").with_attributes([version]).build(),
        );
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        tokio::spawn(send(exporter, receiver));
        Ok(Self(Some(sender)))
    }

    /// Sends the trace of a run that has ended. `parts` are the stages that this process has seen.
    pub(crate) fn tell(&self, action: &DeploymentAction, parts: &[Timing], now: Timestamp) {
        let Some(sender) = &self.0 else { return };
        let Some(spans) = spans(action, parts, now) else { return };
        if sender.try_send(spans).is_err() {
            debug!("too many traces wait to be sent: one was dropped");
        }
    }
}

async fn send(exporter: SpanExporter, mut receiver: mpsc::Receiver<Vec<SpanData>>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut waiting, BATCH).await > 0 {
        if let Err(error) = exporter.export(waiting.drain(..).flatten().collect()).await {
            warn!(%error, "traces were not sent");
        }
    }
}

fn time(of: Timestamp) -> SystemTime {
    of.into()
}

/// The trace of the latest run, which has ended. The status has whole seconds, so the span of the run is
/// stretched over its known stages.
fn spans(action: &DeploymentAction, parts: &[Timing], now: Timestamp) -> Option<Vec<SpanData>> {
    let uid = action.uid()?;
    let status = action.status.as_ref()?;
    let run = status.run.as_ref()?;
    let ready = status.conditions().get(ConditionType::Ready)?;
    let begin = parts.iter().map(|part| part.begin).min().or(run.requested_at.as_ref().map(|time| time.0))?;
    let end = parts.iter().map(|part| part.end).max().map_or(now, |last| last.max(now));
    let failed = Reason::parse(&ready.reason).is_none_or(|reason| reason.class() == Class::Failure);
    let outcome = if failed { Status::error(ready.message.clone()) } else { Status::Ok };
    let trace = trace_id(&uid, run.number);
    let root = span_id(&uid, run.number, RUN);
    let scope = InstrumentationScope::builder("longshore").with_version(env!("CARGO_PKG_VERSION")).build();
    let span = |name: &'static str, id: &str, parent: SpanId, begin: Timestamp, end: Timestamp| SpanData {
        span_context: SpanContext::new(
            trace,
            span_id(&uid, run.number, id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: time(begin),
        end_time: time(end),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    };
    let image = status.image.as_ref().map(|image| image.resolved.clone());
    let mut attributes = vec![
        KeyValue::new("k8s.namespace.name", action.namespace().unwrap_or_default()),
        KeyValue::new("longshore.action.name", action.name_any()),
        KeyValue::new("longshore.action.uid", uid.clone()),
        KeyValue::new("longshore.run.id", run.id.clone()),
        KeyValue::new("longshore.run.number", i64::from(run.number)),
        KeyValue::new("longshore.run.trigger", run.trigger.to_string()),
        KeyValue::new("longshore.run.reason", ready.reason.clone()),
    ];
    let more = [
        ("k8s.pod.name", run.pod_name.clone()),
        ("k8s.pod.uid", run.pod_uid.clone()),
        ("container.image.name", image),
    ];
    attributes.extend(more.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?))));
    attributes.extend(run.exit_code.map(|code| KeyValue::new("process.exit.code", i64::from(code))));
    let whole =
        SpanData { attributes, status: outcome.clone(), ..span(RUN, RUN, SpanId::INVALID, begin, end) };
    let parts = parts.iter().map(|part| {
        let last = part.stage == Stage::Script && part.attempt == run.attempt;
        let status = if last { outcome.clone() } else { Status::Unset };
        let id = of_attempt(part.stage.as_str(), part.attempt);
        let attributes = vec![KeyValue::new("longshore.run.attempt", i64::from(part.attempt))];
        SpanData { status, attributes, ..span(part.stage.as_str(), &id, root, part.begin, part.end) }
    });
    Some(std::iter::once(whole).chain(parts).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, body::Bytes, routing::post};

    use super::*;
    use crate::{
        api::status::RunStatus,
        operator::{
            lifecycle::{requests::Requests, status, verdict::Verdict, whole_seconds},
            pod::trace_context::traceparent,
            testing::objects::{UID, action},
        },
    };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + millis).unwrap()
    }

    fn ended(reason: Reason) -> DeploymentAction {
        let mut action = action();
        let run = RunStatus {
            number: 3,
            id: "5f3c9a1b-3".into(),
            requested_at: Some(whole_seconds::seconds(at(0))),
            ..RunStatus::default()
        };
        let verdict = Verdict::of(reason, "the script ended");
        action.status = Some(status::terminal(&Requests::of(&action), at(900), &verdict, run, None, None));
        action
    }

    fn parts() -> [Timing; 2] {
        let part = |stage, begin, end| Timing { stage, attempt: 1, begin: at(begin), end: at(end) };
        [part(Stage::Resolve, 10, 50), part(Stage::Script, 700, 800)]
    }

    #[test]
    fn the_script_s_parent_is_its_span_in_the_trace_that_is_sent() {
        let parent = traceparent(UID, 3, 1);
        let spans = spans(&ended(Reason::Succeeded), &parts(), at(850)).unwrap();
        let script = spans.iter().find(|span| span.name == "script").unwrap();
        let context = &script.span_context;
        assert_eq!(parent, format!("00-{}-{}-01", context.trace_id(), context.span_id()));
        assert_eq!(parent.len(), 55);
        assert_ne!(parent, traceparent(UID, 4, 1));
        assert_eq!(parent, traceparent(UID, 3, 1));
    }

    #[test]
    fn each_attempt_s_script_has_a_span_of_its_own() {
        let mut parts = parts().to_vec();
        parts.push(Timing { attempt: 2, ..parts[1] });
        let mut action = ended(Reason::ScriptFailed);
        action.status.as_mut().unwrap().run.as_mut().unwrap().attempt = 2;
        let spans = spans(&action, &parts, at(900)).unwrap();
        let ids: Vec<_> = spans
            .iter()
            .filter(|span| span.name == "script")
            .map(|span| format!("00-{}-{}-01", span.span_context.trace_id(), span.span_context.span_id()))
            .collect();
        assert_eq!(ids, [traceparent(UID, 3, 1), traceparent(UID, 3, 2)]);
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn the_run_spans_its_parts_and_has_the_outcome() {
        let spans = spans(&ended(Reason::ScriptFailed), &parts(), at(850)).unwrap();
        let run = &spans[0];
        assert_eq!((run.name.as_ref(), run.parent_span_id), ("run", SpanId::INVALID));
        assert_eq!((run.start_time, run.end_time), (time(at(10)), time(at(850))));
        assert!(matches!(&run.status, Status::Error { .. }));
        assert!(spans[1..].iter().all(|span| span.parent_span_id == run.span_context.span_id()));
        let ids: std::collections::HashSet<_> =
            spans.iter().map(|span| span.span_context.span_id()).collect();
        assert_eq!(ids.len(), spans.len());
    }

    #[test]
    fn after_a_restart_the_run_is_told_without_its_parts() {
        let spans = spans(&ended(Reason::Succeeded), &[], at(850)).unwrap();
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].start_time, time(whole_seconds::seconds(at(0)).0));
    }

    #[tokio::test]
    async fn a_receiver_gets_them_by_http() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let got: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let kept = Arc::clone(&got);
        let receive = move |body: Bytes| async move { kept.lock().unwrap().push(body) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(receive));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Traces::new(Some(&endpoint)).unwrap().tell(&ended(Reason::Succeeded), &parts(), at(850));
        let trace = trace_id(UID, 3).to_bytes();
        let arrived = || {
            let got = got.lock().unwrap();
            got.iter().any(|body| body.windows(16).any(|window| window == trace))
        };
        tokio::time::timeout(Duration::from_secs(10), async {
            while !arrived() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_told() {
        let error = Traces::new(Some("collector 4318")).unwrap_err();
        assert!(error.to_string().contains("http://collector.monitoring:4318"), "{error}");
    }
}
