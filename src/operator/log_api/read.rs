//! Reads a log from the kubelet and passes it on, as fast as the caller takes it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use futures::{AsyncBufRead, AsyncBufReadExt, stream};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, Client, api::LogParams};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    lines::{Frames, Piece, Since, Tail, Writer},
    locate::{Found, Located, locate},
    refusal::Refusal,
    request::{Format, LogRequest},
    turns::Turn,
};
use crate::{
    api::CONTAINER,
    operator::{
        call::{CALL_LIMIT, CallError},
        pod::view::{ContainerView, PodView},
    },
    record::frame::MAX_LINE_BYTES,
};

/// How many bytes are passed on at once, and are decoded at once.
const CHUNK: usize = 32 * 1024;
/// How many chunks wait for a slow caller.
const WAITING: usize = 4;
/// A caller that takes nothing for this long is let go.
const STALLED: Duration = Duration::from_mins(1);
/// A stream without a byte for this long counts as broken.
const SILENCE: Duration = Duration::from_mins(5);
/// How long a follower waits for frames that may come again, while none comes.
const GAP: Duration = Duration::from_secs(10);
/// The pause before a log that is followed is asked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// A longer line is cut here, its time included. Our runner never writes one.
const LONGEST_LINE: usize = 2 * MAX_LINE_BYTES;

type Stream = Pin<Box<dyn AsyncBufRead + Send>>;

/// How one reading of a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// At the end record.
    End,
    /// At the end of the stream, closed by the kubelet.
    Stream,
    /// Before the end of the stream.
    Broken,
    /// The caller is gone, or takes nothing.
    Left,
}

/// Answers a request that is allowed.
pub(super) async fn answer(
    client: Client,
    mut request: LogRequest,
    turn: Turn,
) -> Result<Response<Body>, Refusal> {
    let Located { action_uid, found } = locate(&client, &request, None).await?;
    let mut first = None;
    let mut writer = Writer::new(request.shape, request.selection);
    match found {
        Found::NotYet(words) if !request.follow => return Err(Refusal::not_found(words)),
        Found::NotYet(_) => {}
        Found::Pod(view) => {
            settle(&mut request, &view);
            match beginning(&client, &request, &view).await {
                Ok((stream, from)) => {
                    writer.begin_at(from);
                    first = Some((stream, view));
                }
                Err(error) if request.follow && error.code() == Some(400) => {}
                Err(error) => return Err(refusal(&view, &error)),
            }
        }
    }
    let (chunks, mut taken) = mpsc::channel(WAITING);
    let broken = Arc::new(AtomicBool::new(false));
    let shape = request.shape;
    let reader = Reader {
        client,
        frames: Frames::default(),
        gap: (0, Instant::now()),
        writer,
        request,
        action_uid,
        chunks,
        broken: Arc::clone(&broken),
        out: Vec::new(),
    };
    tokio::spawn(async move {
        // The place is taken until the last byte is on its way.
        let _turn = turn;
        reader.run(first).await;
    });
    let mut over = false;
    let body = stream::poll_fn(move |context| {
        taken.poll_recv(context).map(|chunk| match chunk {
            Some(chunk) => Some(Ok::<Bytes, std::io::Error>(chunk)),
            // The caller must not take a part of a log for the whole.
            None if broken.load(Ordering::Acquire) && !std::mem::replace(&mut over, true) => {
                Some(Err(std::io::Error::other("the log could not be read to its end")))
            }
            None => None,
        })
    });
    let kind = match shape.format {
        Format::Text => "text/plain; charset=utf-8",
        Format::JsonLines => "application/jsonl",
    };
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // A browser must not take what a script wrote for a page.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// From here on this attempt is meant, even if another one follows.
fn settle(request: &mut LogRequest, view: &PodView) {
    if let Some((run, attempt)) = view.attempt {
        (request.run, request.attempt) = (Some(run), Some(attempt));
    }
}

fn refusal(view: &PodView, error: &CallError) -> Refusal {
    match error.code() {
        Some(400) => Refusal::not_found(format!(
            "the script in pod {} has not started, so it has no log yet",
            view.name
        )),
        Some(404) => {
            Refusal::gone(format!("the log of pod {} is gone: its node no longer has it", view.name))
        }
        _ => Refusal::unavailable(&format!("the log of pod {} cannot be read", view.name), error),
    }
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
fn started(view: &PodView) -> Option<Timestamp> {
    view.started_at().map(|time| time.0)
}

/// Whether the container writes nothing any more.
fn has_ended(view: &PodView) -> bool {
    view.terminated().is_some() || view.stillborn.is_some() || view.gone
}

async fn open(client: &Client, namespace: &str, pod: &str, follow: bool) -> Result<Stream, CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = LogParams { container: Some(CONTAINER.to_owned()), follow, ..LogParams::default() };
    // A log that is followed has no first byte until there is one, but its answer begins at once.
    match timeout(CALL_LIMIT, pods.log_stream(pod, &parameters)).await {
        Ok(stream) => Ok(Box::pin(stream?)),
        Err(_) => Err(CallError::TimedOut),
    }
}

/// Splits a stream into lines.
#[derive(Debug, Default)]
struct Splitter {
    /// The line that has begun.
    line: Vec<u8>,
}

impl Splitter {
    /// Takes what there is, up to [`CHUNK`] bytes. `false` at the end of the stream. A line without its end is
    /// left out: it was cut.
    async fn read(&mut self, stream: &mut Stream, mut take: impl FnMut(&[u8])) -> std::io::Result<bool> {
        let available = stream.fill_buf().await?;
        if available.is_empty() {
            return Ok(false);
        }
        let part = &available[..available.len().min(CHUNK)];
        let mut rest = part;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
            if self.line.is_empty() {
                take(&rest[..at]);
            } else {
                self.keep(&rest[..at]);
                take(&self.line);
                self.line.clear();
            }
            rest = &rest[at + 1..];
        }
        self.keep(rest);
        let used = part.len();
        stream.consume_unpin(used);
        Ok(true)
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }
}

struct Reader {
    client: Client,
    request: LogRequest,
    action_uid: String,
    frames: Frames,
    /// The first frame of the gap that is open, and since when it is.
    gap: (u64, Instant),
    writer: Writer,
    chunks: mpsc::Sender<Bytes>,
    /// Set before the sender is dropped, if the caller has not got all of it.
    broken: Arc<AtomicBool>,
    /// What was decoded and is not passed on yet.
    out: Vec<u8>,
}

impl Reader {
    async fn run(mut self, first: Option<(Stream, Box<PodView>)>) {
        let chunks = self.chunks.clone();
        let whole = tokio::select! {
            // A caller that has gone away is noticed even if the script is silent.
            () = chunks.closed() => return,
            whole = self.read_all(first) => whole,
        };
        if !whole {
            self.broken.store(true, Ordering::Release);
        }
    }

    /// Reads to the end. `false` if the caller has not got all of it.
    async fn read_all(&mut self, mut opened: Option<(Stream, Box<PodView>)>) -> bool {
        let mut ended = false;
        loop {
            if let Some((stream, view)) = opened.take() {
                self.writer.started(started(&view));
                match self.read(stream).await {
                    Reading::End => return true,
                    // One full reading after the container had ended, or the only one.
                    Reading::Stream if ended || !self.request.follow => {
                        let (writer, out) = (&mut self.writer, &mut self.out);
                        self.frames.finish(has_ended(&view), |piece| writer.write(&piece, out));
                        return self.send().await;
                    }
                    Reading::Broken if !self.request.follow => return false,
                    Reading::Stream | Reading::Broken => {}
                    Reading::Left => return false,
                }
            }
            let view = match locate(&self.client, &self.request, Some(&self.action_uid)).await {
                Ok(Located { found: Found::Pod(view), .. }) => view,
                Ok(Located { found: Found::NotYet(_), .. }) => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(refusal) if refusal.code.is_server_error() => {
                    debug!(%refusal, "a log that is followed");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(refusal) => {
                    self.writer.note(&refusal.message, &mut self.out);
                    return self.send().await;
                }
            };
            settle(&mut self.request, &view);
            if !ended {
                ended = has_ended(&view);
                // What a container that runs says is asked for again a little later.
                if !ended {
                    tokio::time::sleep(AGAIN).await;
                }
            }
            match open(&self.client, &self.request.namespace, &view.name, !ended).await {
                // Without the container's start, lines have no times. It is known in a moment.
                Ok(_) if matches!(view.container, ContainerView::Waiting) && !ended => {}
                Ok(stream) => opened = Some((stream, view)),
                Err(error) if ended && matches!(error.code(), Some(400 | 404)) => {
                    self.writer.note(&refusal(&view, &error).message, &mut self.out);
                    return self.send().await;
                }
                Err(error) => {
                    debug!(%error, pod = view.name, "a log that is followed");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn read(&mut self, mut stream: Stream) -> Reading {
        let mut splitter = Splitter::default();
        let mut heard = Instant::now();
        loop {
            let mut ends = false;
            let patience = self.patience();
            let (frames, writer, out) = (&mut self.frames, &mut self.writer, &mut self.out);
            let some = splitter.read(&mut stream, |line| {
                frames.take(line, |piece| {
                    ends |= piece == Piece::End;
                    writer.write(&piece, out);
                });
            });
            let more = match timeout(patience.unwrap_or(SILENCE), some).await {
                Ok(Ok(more)) => {
                    heard = Instant::now();
                    more
                }
                Ok(Err(error)) => {
                    debug!(%error, "a log stream broke");
                    return Reading::Broken;
                }
                Err(_) if patience.is_some() && heard.elapsed() < SILENCE => true,
                Err(_) => return Reading::Broken,
            };
            if self.patience() == Some(Duration::ZERO) {
                let (writer, out) = (&mut self.writer, &mut self.out);
                self.frames.give_up(|piece| {
                    ends |= piece == Piece::End;
                    writer.write(&piece, out);
                });
            }
            if !self.send().await {
                return Reading::Left;
            }
            if ends {
                return Reading::End;
            }
            if !more {
                return Reading::Stream;
            }
        }
    }

    /// How much longer a follower waits for frames that may come again. `None` without such frames.
    fn patience(&mut self) -> Option<Duration> {
        if !self.request.follow || !self.frames.waits() {
            return None;
        }
        if self.gap.0 != self.frames.next() {
            self.gap = (self.frames.next(), Instant::now());
        }
        Some(GAP.saturating_sub(self.gap.1.elapsed()))
    }

    /// Passes on what was decoded. `false` if the caller does not take it.
    async fn send(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let chunk = Bytes::from(std::mem::take(&mut self.out));
        matches!(timeout(STALLED, self.chunks.send(chunk)).await, Ok(Ok(())))
    }
}
