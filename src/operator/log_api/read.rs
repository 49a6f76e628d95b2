//! Reads a log from the kubelet or from the archive, and passes it on as fast as the caller takes it.
//!
//! A pod has the log as long as it exists, and its node may have rotated a part away. The archive has what the
//! operator stored, a minute late while the script runs. So the log of a run that has ended is read from the
//! archive if all of it is there, and from the pod otherwise. Frames that the node no longer has are taken from
//! the archive. Without an archive, they are named.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, StatusCode, header},
};
use futures::{AsyncBufRead, AsyncBufReadExt, TryStreamExt, stream};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, Client, api::LogParams};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

use super::{
    lines::{Frames, Piece, Since, Tail, Writer},
    locate::{Found, Located, locate},
    refusal::Refusal,
    request::{Format, LogRequest},
    stored::{self, Part, Stored},
    turns::Turn,
};
use crate::{
    api::CONTAINER,
    archive::{Archive, ArchiveError, Begin, LogKey, Query, Reason},
    operator::{
        call::{CALL_LIMIT, CallError},
        pod::view::{ContainerView, PodView},
    },
    record::frame::{Ending, MAX_LINE_BYTES},
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
/// How long the archive may take to say whether it has a log.
const ARCHIVE: Duration = Duration::from_secs(20);
/// The same for a log that a pod has too.
const ARCHIVE_FIRST: Duration = Duration::from_secs(3);
/// The pause before a log that is followed is asked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// A longer line is cut here, its time included. Our runner never writes one.
const LONGEST_LINE: usize = 2 * MAX_LINE_BYTES;

/// The last words of a log whose end is nowhere.
const UNFINISHED: &str = "the log ends here: nothing more of it is stored";

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

/// A log, found and open.
enum Source {
    /// It is to come.
    NotYet,
    Pod(Stream, Box<PodView>),
    Archive(Box<Stored>),
}

/// Answers a request that is allowed.
pub(super) async fn answer(
    client: Client,
    archive: Option<Archive>,
    mut request: LogRequest,
    turn: Turn,
) -> Result<Response<Body>, Refusal> {
    let Located { action_uid, found } = locate(&client, &request, None).await?;
    let mut writer = Writer::new(request.shape, request.selection);
    let source = match found {
        Found::NotYet(words) if !request.follow => return Err(Refusal::not_found(words)),
        Found::NotYet(_) => Source::NotYet,
        Found::Gone(sought, refusal) => {
            let Some(archive) = &archive else { return Err(refusal) };
            let found =
                timeout(ARCHIVE, Stored::find(archive, &request.namespace, &action_uid, &sought)).await;
            let found = found.map_err(|_| unreadable(&slow()))?.map_err(|error| unreadable(&error))?;
            Source::Archive(Box::new(found.ok_or(refusal)?))
        }
        Found::Pod(view) => {
            settle(&mut request, &view);
            let place = archive.as_ref().zip(key(&request, &action_uid, &view));
            // The node may have rotated a part away.
            let whole = match &place {
                Some((archive, key)) if has_ended(&view) => in_archive(archive, key, ARCHIVE_FIRST).await,
                _ => Ok(None),
            };
            match whole {
                Ok(Some(whole)) if whole.has_ended() => Source::Archive(Box::new(whole)),
                _ => match beginning(&client, &request, &view).await {
                    // It started a moment ago. Without its start, lines have no times.
                    Ok(_) if request.follow && matches!(view.container, ContainerView::Waiting) => {
                        Source::NotYet
                    }
                    Ok((stream, from)) => {
                        writer.begin_at(from);
                        Source::Pod(stream, view)
                    }
                    Err(error) if error.code() == Some(400) && request.follow => Source::NotYet,
                    Err(error) if error.code() == Some(400) => return Err(refusal(&view, &error, None)),
                    Err(error) => {
                        let part = match &place {
                            Some((archive, key)) => in_archive(archive, key, ARCHIVE).await,
                            None => Ok(None),
                        };
                        match part {
                            Ok(Some(part)) => Source::Archive(Box::new(part)),
                            Ok(None) => return Err(refusal(&view, &error, None)),
                            Err(why) => return Err(refusal(&view, &error, Some(why))),
                        }
                    }
                },
            }
        }
    };
    let (chunks, mut taken) = mpsc::channel(WAITING);
    let broken = Arc::new(AtomicBool::new(false));
    let shape = request.shape;
    let reader = Reader {
        client,
        archive,
        key: None,
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
        reader.run(source).await;
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
fn key(request: &LogRequest, action_uid: &str, view: &PodView) -> Option<LogKey> {
    let (run, attempt) = view.attempt?;
    LogKey::new(&request.namespace, action_uid, run, attempt, &view.uid).ok()
}

/// From here on this attempt is meant, even if another one follows.
fn settle(request: &mut LogRequest, view: &PodView) {
    if let Some((run, attempt)) = view.attempt {
        (request.run, request.attempt) = (Some(run), Some(attempt));
    }
}

fn refusal(view: &PodView, error: &CallError, archive: Option<ArchiveError>) -> Refusal {
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

/// Parts of a log on their way to the caller. Those behind a gap that the archive may fill wait for it.
struct Pieces {
    fills: bool,
    waiting: Vec<Piece<'static>>,
    /// Whether the end record was among them.
    end: bool,
}

impl Pieces {
    const fn new(fills: bool) -> Self {
        Self { fills, waiting: Vec::new(), end: false }
    }

    fn take(&mut self, piece: Piece<'_>, writer: &mut Writer, out: &mut Vec<u8>) {
        self.end |= piece == Piece::End;
        let waits = !self.waiting.is_empty() || (self.fills && matches!(piece, Piece::Missing(..)));
        if waits {
            self.waiting.push(piece.into_owned());
        } else {
            writer.write(&piece, out);
        }
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
    archive: Option<Archive>,
    /// The log's name in the archive, once its pod is known.
    key: Option<LogKey>,
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
    async fn run(mut self, source: Source) {
        let chunks = self.chunks.clone();
        let read = async {
            match source {
                Source::NotYet => self.read_all(None).await,
                Source::Pod(stream, view) => self.read_all(Some((stream, view))).await,
                Source::Archive(stored) => self.read_stored(&stored).await,
            }
        };
        let whole = tokio::select! {
            // A caller that has gone away is noticed even if the script is silent.
            () = chunks.closed() => return,
            whole = read => whole,
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
                self.key = key(&self.request, &self.action_uid, &view);
                match self.read(stream).await {
                    Reading::End => return true,
                    // One full reading after the container had ended, or the only one.
                    Reading::Stream if ended || !self.request.follow => {
                        let mut pieces = Pieces::new(self.fills());
                        let (writer, out) = (&mut self.writer, &mut self.out);
                        self.frames.finish(has_ended(&view), |piece| pieces.take(piece, writer, out));
                        return self.send().await && self.settle_pieces(pieces).await;
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
                Ok(Located { found: Found::Gone(_, refusal), .. }) => return self.read_rest(&refusal).await,
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
                    return self.read_rest(&refusal(&view, &error, None)).await;
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
            let patience = self.patience();
            let mut pieces = Pieces::new(self.fills());
            let (frames, writer, out) = (&mut self.frames, &mut self.writer, &mut self.out);
            let some = splitter.read(&mut stream, |line| {
                frames.take(line, |piece| pieces.take(piece, writer, out));
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
                self.frames.give_up(|piece| pieces.take(piece, writer, out));
            }
            let ends = pieces.end;
            if !self.send().await || !self.settle_pieces(pieces).await {
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

    /// Whether gaps are to be filled from the archive. With `tailLines`, a gap in front of the lines that the node
    /// has could hide more lines than were asked for.
    fn fills(&self) -> bool {
        self.archive.is_some() && self.key.is_some() && self.request.selection.tail_lines.is_none()
    }

    /// Writes what waits for a gap to be filled. `false` if the caller does not take it.
    async fn settle_pieces(&mut self, pieces: Pieces) -> bool {
        // Whether a line is open behind what came from the archive.
        let mut open = None;
        for piece in pieces.waiting {
            match piece {
                Piece::Missing(first, last) => match self.fill(first, last).await {
                    Some(filled) => open = filled.or(open),
                    None => return false,
                },
                Piece::Text { frame, begins } => {
                    let begins = open.take().map_or(begins, |open: bool| !open);
                    self.writer.write(&Piece::Text { frame, begins }, &mut self.out);
                }
                Piece::End => {}
            }
            if self.out.len() >= CHUNK && !self.send().await {
                return false;
            }
        }
        self.send().await
    }

    /// Writes frames that the node no longer has, as far as the archive has them, and names the others. Returns
    /// whether a line is open behind them, if that is known. `None` if the caller does not take it.
    async fn fill(&mut self, first: u64, last: u64) -> Option<Option<bool>> {
        let mut open = None;
        let mut next = first;
        if let (Some(archive), Some(key)) = (self.archive.clone(), self.key.clone()) {
            let from = match (self.request.selection.since, self.writer.start()) {
                (Some(since), Some(started)) => Begin::Millis(stored::millis(started, since)),
                _ => Begin::Frame(first),
            };
            let mut entries = pin!(archive.read(&key, Query { from, ..Query::default() }));
            loop {
                let piece = match entries.try_next().await {
                    Ok(Some(entry)) => stored::piece(entry),
                    // Behind the last text there can be records.
                    Ok(None) => {
                        let end = archive.summary(&key).await.map_or(next, |summary| summary.next);
                        next = next.max(end);
                        break;
                    }
                    Err(error) => {
                        debug!(%error, %key, "a gap is not filled");
                        break;
                    }
                };
                let piece = match piece {
                    Piece::Text { ref frame, .. } if frame.sequence < next => continue,
                    Piece::Missing(_, to) if to < next => continue,
                    Piece::Text { ref frame, .. } if frame.sequence <= last => {
                        next = frame.sequence.saturating_add(1);
                        open = Some(frame.ending == Ending::Continued);
                        piece
                    }
                    Piece::Missing(from, to) if from <= last => {
                        let missing = Piece::Missing(from.max(next), to.min(last));
                        next = to.saturating_add(1);
                        missing
                    }
                    _ => {
                        next = last.saturating_add(1);
                        break;
                    }
                };
                self.writer.write(&piece, &mut self.out);
                if self.out.len() >= CHUNK && !self.send().await {
                    return None;
                }
            }
        }
        if next <= last {
            self.writer.write(&Piece::Missing(next, last), &mut self.out);
        }
        Some(open)
    }

    /// Writes a log that is in the archive. `false` if the caller has not got all of it.
    async fn read_stored(&mut self, stored: &Stored) -> bool {
        let Some(archive) = self.archive.clone() else { return false };
        self.writer.started(stored.started());
        let selection = self.request.selection;
        let whole = match stored.part(selection) {
            Some(part) => self.read_part(&archive, &stored.key, part).await,
            None => true,
        };
        if whole && !stored.has_ended() {
            self.writer.note(UNFINISHED, &mut self.out);
        }
        whole && self.send().await
    }

    async fn read_part(&mut self, archive: &Archive, key: &LogKey, mut part: Part) -> bool {
        let mut entries = pin!(archive.read(key, part.query));
        loop {
            match entries.try_next().await {
                Ok(Some(entry)) => {
                    let piece = stored::piece(entry);
                    if part.has(&piece) {
                        self.writer.write(&piece, &mut self.out);
                    }
                }
                Ok(None) => return self.send().await,
                Err(error) => {
                    warn!(%error, %key, "a stored log");
                    return false;
                }
            }
            if self.out.len() >= CHUNK && !self.send().await {
                return false;
            }
        }
    }

    /// The log's pod went away while the log was read. The rest is in the archive, or is gone.
    async fn read_rest(&mut self, refusal: &Refusal) -> bool {
        if let (Some(archive), Some(key)) = (self.archive.clone(), self.key.clone()) {
            match Stored::with_key(&archive, key).await {
                Ok(Some(stored)) => {
                    let query = Query { from: Begin::Frame(self.frames.next()), ..Query::default() };
                    let part = Part { query, first_is_text: false };
                    let whole = self.read_part(&archive, &stored.key, part).await;
                    if whole && !stored.has_ended() {
                        self.writer.note(UNFINISHED, &mut self.out);
                    }
                    return whole && self.send().await;
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(%error, "the rest of a log");
                    return false;
                }
            }
        }
        self.writer.note(&refusal.message, &mut self.out);
        self.send().await
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
