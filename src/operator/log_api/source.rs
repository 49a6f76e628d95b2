//! Opens a log where it is: at the kubelet or in the archive.
//!
//! A pod has the log as long as it exists, and its node may have rotated a part away. The archive has what the
//! operator stored, a minute late while the script runs. So the log of a run that has ended is read from the
//! archive if all of it is there, and from the pod otherwise.

use std::time::Duration;

use axum::http::StatusCode;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, Client, api::LogParams};
use tokio::time::timeout;
use tracing::debug;

use super::{
    locate::{Found, Located, locate},
    refusal::Refusal,
    request::LogRequest,
    splitter::{Splitter, Stream},
    stored::Stored,
};
use crate::{
    api::CONTAINER,
    archive::{Archive, ArchiveError, LogKey, Reason},
    operator::{
        call::{CALL_LIMIT, CallError},
        pod::view::{ContainerView, PodView},
    },
    reading::{Frames, Since, Tail},
};

/// A stream without a byte for this long counts as broken.
pub(super) const SILENCE: Duration = Duration::from_mins(5);
/// How long the archive may take to say whether it has a log.
const ARCHIVE: Duration = Duration::from_secs(20);
/// The same for a log that a pod has too.
const ARCHIVE_FIRST: Duration = Duration::from_secs(3);

/// A log, found and open.
pub(super) enum Source {
    /// It is to come.
    NotYet,
    Pod(Stream, Box<PodView>),
    Archive(Box<Stored>),
}

/// A log that is found and open.
pub(super) struct Opened {
    pub(super) action_uid: String,
    pub(super) source: Source,
    /// The first frame that is wanted.
    pub(super) from: u64,
}

/// Finds a log and opens it. From then on, the request means the attempt that was found.
pub(super) async fn find(
    client: &Client,
    archive: Option<&Archive>,
    request: &mut LogRequest,
) -> Result<Opened, Refusal> {
    let Located { action_uid, found } = locate(client, request, None).await?;
    let (source, from) = match found {
        Found::NotYet(words) if !request.follow => return Err(Refusal::not_found(words)),
        Found::NotYet(_) => (Source::NotYet, 0),
        Found::Gone(sought, refusal) => {
            let Some(archive) = archive else { return Err(refusal) };
            let found = Stored::find(archive, &request.namespace, &action_uid, &sought);
            let found = timeout(ARCHIVE, found).await.unwrap_or_else(|_| Err(slow()));
            let stored = found.map_err(|error| unreadable(&error))?.ok_or(refusal)?;
            (Source::Archive(Box::new(stored)), 0)
        }
        Found::Pod(view) => {
            settle(request, &view);
            let place = archive.zip(key(request, &action_uid, &view));
            of_pod(client, place, request, view).await?
        }
    };
    Ok(Opened { action_uid, source, from })
}

/// Opens the log of a pod. Returns the first frame that is wanted, too.
async fn of_pod(
    client: &Client,
    place: Option<(&Archive, LogKey)>,
    request: &LogRequest,
    view: Box<PodView>,
) -> Result<(Source, u64), Refusal> {
    if has_ended(&view)
        && let Some((archive, key)) = &place
        // The node may have rotated a part away. Without an answer, the pod is asked.
        && let Ok(Some(whole)) = in_archive(archive, key, ARCHIVE_FIRST).await
        && whole.has_ended()
    {
        return Ok((Source::Archive(Box::new(whole)), 0));
    }
    let error = match beginning(client, request, &view).await {
        // It started a moment ago. Without its start, lines have no times.
        Ok(_) if request.follow && matches!(view.container, ContainerView::Waiting) => {
            return Ok((Source::NotYet, 0));
        }
        Ok((stream, from)) => return Ok((Source::Pod(stream, view), from)),
        Err(error) if error.code() == Some(400) && request.follow => return Ok((Source::NotYet, 0)),
        Err(error) => error,
    };
    // A script that has not started has no log in the archive either.
    let Some((archive, key)) = place.filter(|_| error.code() != Some(400)) else {
        return Err(refusal(&view, &error, None));
    };
    match in_archive(archive, &key, ARCHIVE).await {
        Ok(Some(part)) => Ok((Source::Archive(Box::new(part)), 0)),
        Ok(None) => Err(refusal(&view, &error, None)),
        Err(why) => Err(refusal(&view, &error, Some(why))),
    }
}

/// The log as far as the archive has it.
async fn in_archive(
    archive: &Archive,
    key: &LogKey,
    limit: Duration,
) -> Result<Option<Stored>, ArchiveError> {
    let stored = timeout(limit, Stored::with_key(archive, key.clone())).await.unwrap_or_else(|_| Err(slow()));
    if let Err(error) = &stored {
        debug!(%error, %key, "the archive does not say whether it has a log");
    }
    stored
}

/// The log's name in the archive.
pub(super) fn key(request: &LogRequest, action_uid: &str, view: &PodView) -> Option<LogKey> {
    let (run, attempt) = view.attempt?;
    LogKey::new(&request.namespace, action_uid, run, attempt, &view.uid).ok()
}

/// From here on this attempt is meant, even if another one follows.
pub(super) fn settle(request: &mut LogRequest, view: &PodView) {
    if let Some((run, attempt)) = view.attempt {
        (request.run, request.attempt) = (Some(run), Some(attempt));
    }
}

pub(super) fn refusal(view: &PodView, error: &CallError, archive: Option<ArchiveError>) -> Refusal {
    match (error.code(), archive) {
        (Some(400), _) => Refusal::not_found(format!(
            "the script in pod {} has not started, so it has no log yet",
            view.name
        )),
        // The archive may have it, and does not say so.
        (Some(404), Some(error)) => unreadable(&error),
        (Some(404), None) => {
            Refusal::gone(format!("the log of pod {} is gone: its node no longer has it", view.name))
        }
        _ => Refusal::unavailable(&format!("the log of pod {} cannot be read", view.name), error),
    }
}

fn slow() -> ArchiveError {
    let detail = "it takes too long".to_owned();
    ArchiveError::Unavailable { reason: Reason::Unreachable, detail }
}

fn unreadable(error: &ArchiveError) -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("the log is in no pod any more, and its archive cannot be read: {error}"),
    )
}

/// The stream, and the first frame that is wanted of it. To find the last lines, the log is read twice: a line of
/// the script may be many of the container, and only numbers are kept.
async fn beginning(
    client: &Client,
    request: &LogRequest,
    view: &PodView,
) -> Result<(Stream, u64), CallError> {
    let mut from = 0;
    if let Some(lines) = request.selection.tail_lines {
        let since = Since::new(request.selection.since, started(view));
        let (mut frames, mut tail) = (Frames::default(), Tail::new(lines, since));
        let mut stream = open(client, &request.namespace, &view.name, false).await?;
        let mut splitter = Splitter::default();
        loop {
            match timeout(
                SILENCE,
                splitter.read(&mut stream, |line| {
                    frames.take(line, |piece| tail.take(&piece));
                }),
            )
            .await
            {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => break,
                Ok(Err(_)) | Err(_) => return Err(CallError::TimedOut),
            }
        }
        if !request.follow {
            frames.finish(has_ended(view), |piece| tail.take(&piece));
        }
        from = tail.first(frames.next());
    }
    Ok((open(client, &request.namespace, &view.name, request.follow).await?, from))
}

/// When the script's container started. All times of a log count from there.
pub(super) fn started(view: &PodView) -> Option<Timestamp> {
    view.started_at().map(|time| time.0)
}

/// Whether the container writes nothing any more.
pub(super) fn has_ended(view: &PodView) -> bool {
    view.terminated().is_some() || view.stillborn.is_some() || view.gone
}

pub(super) async fn open(
    client: &Client,
    namespace: &str,
    pod: &str,
    follow: bool,
) -> Result<Stream, CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = LogParams { container: Some(CONTAINER.to_owned()), follow, ..LogParams::default() };
    // A log that is followed has no first byte until there is one, but its answer begins at once.
    match timeout(CALL_LIMIT, pods.log_stream(pod, &parameters)).await {
        Ok(stream) => Ok(Box::pin(stream?)),
        Err(_) => Err(CallError::TimedOut),
    }
}
