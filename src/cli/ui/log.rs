//! The log of an action, as the page shows it and as a file.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{Path, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{
    Uri,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use serde_json::json;
use tokio::{
    sync::mpsc::{Receiver, channel},
    task::JoinHandle,
};

use super::{
    request::parameter,
    state::{Failure, Shared},
};
use crate::{
    api::DeploymentAction,
    cli::{
        connect::Session,
        error::CliError,
        logs::{Wanted, give},
        view::summary::has_ended,
    },
    reading::Format,
};

/// How many parts of a log wait for a browser that is slow. Each has about 64 KiB at most.
const WAITING: usize = 16;

/// A task that ends with the one who waits for it.
struct Reading(JoinHandle<Result<(), CliError>>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A log that is being read.
struct Log {
    parts: Receiver<Bytes>,
    reading: Reading,
}

impl Log {
    fn read(session: Session, action: DeploymentAction, wanted: Wanted, follow: bool) -> Self {
        let (reader, parts) = channel(WAITING);
        let task = async move { give(&session, &action, wanted, follow, reader).await };
        Self { parts, reading: Reading(tokio::spawn(task)) }
    }

    /// The next part, or how it ended.
    async fn next(&mut self) -> Result<Bytes, Option<String>> {
        if let Some(part) = self.parts.recv().await {
            return Ok(part);
        }
        match (&mut self.reading.0).await {
            Ok(Ok(())) => Err(None),
            Ok(Err(error)) => Err(Some(error.to_string())),
            Err(_) => Err(Some("the log could not be read to its end: load the page again".to_owned())),
        }
    }
}

fn wanted(uri: &Uri, format: Format) -> Wanted {
    let number = |name: &str| parameter(uri, name).and_then(|value| value.parse().ok());
    let from = parameter(uri, "from").and_then(|from| from.parse().ok()).unwrap_or(0);
    Wanted { run: number("run"), attempt: number("attempt"), format, from }
}

/// Whether the run whose log is wanted is under way.
fn is_going(action: &DeploymentAction, wanted: Wanted) -> bool {
    let run = action.status.as_ref().and_then(|status| status.run.as_ref());
    run.is_some_and(|run| {
        let latest = wanted.run.is_none_or(|number| number == run.number);
        latest && !has_ended(run) && wanted.attempt.is_none_or(|attempt| attempt == run.attempt)
    })
}

/// Why there is no log yet.
fn waits(action: &DeploymentAction, going: bool) -> Option<String> {
    let status = action.status.as_ref()?;
    let run = status.run.as_ref()?;
    let phase = status.phase.map_or("Pending", Into::into);
    (going && run.pod_name.is_none()).then(|| format!("run {} has no pod yet: {phase}", run.number))
}

/// The lines of a log, as server-sent events. Each has lines of JSON.
pub(super) async fn lines(
    State(app): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let session = app.session_of(&namespace, "action", &name)?;
    let action = session.action(&name).await?;
    let wanted = wanted(&uri, Format::JsonLines);
    let going = is_going(&action, wanted);
    if let Some(words) = waits(&action, going) {
        return Ok(sse(stream::iter([Ok(end(Some(&words), false))])));
    }
    let log = Log::read(session, action, wanted, going);
    Ok(sse(stream::unfold(Some(log), async |log| {
        let mut log = log?;
        Some(match log.next().await {
            Ok(part) => {
                let text = String::from_utf8_lossy(&part);
                (Ok(Event::default().event("lines").data(text.trim_end_matches('\n'))), Some(log))
            }
            Err(problem) => (Ok(end(problem.as_deref(), true)), None),
        })
    })))
}

/// Nothing more comes. `whole` is whether there was a log to read.
fn end(words: Option<&str>, whole: bool) -> Event {
    Event::default().event("end").data(json!({"words": words, "whole": whole}).to_string())
}

fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// The log as a file: the bytes that the script wrote.
pub(super) async fn text(
    State(app): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let session = app.session_of(&namespace, "action", &name)?;
    let action = session.action(&name).await?;
    let wanted = wanted(&uri, Format::Text);
    let run = wanted.run.map(|run| format!("-{run}")).unwrap_or_default();
    let mut log = Log::read(session, action, wanted, false);
    // What cannot be read at all is a page that says why, not a file.
    let first = match log.next().await {
        Ok(first) => Some(first),
        Err(None) => None,
        Err(Some(problem)) => return Err(CliError::Failed(problem).into()),
    };
    let rest = stream::unfold(Some(log), async |log| {
        let mut log = log?;
        match log.next().await {
            Ok(part) => Some((Ok(part), Some(log))),
            Err(None) => None,
            Err(Some(problem)) => Some((Err(std::io::Error::other(problem)), None)),
        }
    });
    let parts = stream::iter(first.map(Ok)).chain(rest);
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{namespace}-{name}{run}.log\"")),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action(finished: bool, pod: Option<&str>) -> DeploymentAction {
        let finished = finished.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": "deploy"}, "spec": {}, "status": {"phase": "Queued", "run": {"number": 3,
                "id": "x-3", "generation": 1, "attempt": 2, "trigger": "Created", "specHash": "", "podName": pod,
                "finishedAt": finished}}}))
        .unwrap()
    }

    #[test]
    fn only_the_attempt_that_is_under_way_is_followed() {
        let of = |query: &str| wanted(&format!("/x?{query}").parse().unwrap(), Format::Text);
        let going = action(false, Some("p"));
        for query in ["", "run=3", "run=3&attempt=2", "from=7"] {
            assert!(is_going(&going, of(query)), "{query}");
            assert!(!is_going(&action(true, Some("p")), of(query)), "{query}");
        }
        for query in ["run=2", "run=3&attempt=1"] {
            assert!(!is_going(&going, of(query)), "{query}");
        }
        assert_eq!(of("from=7").from, 7);
    }

    #[test]
    fn a_run_without_a_pod_says_what_it_waits_for() {
        assert_eq!(waits(&action(false, None), true).as_deref(), Some("run 3 has no pod yet: Queued"));
        assert_eq!(waits(&action(false, Some("p")), true), None);
        assert_eq!(waits(&action(true, None), false), None, "it never had one");
    }
}
