//! Reads a log to its end, and passes it on as fast as the caller takes it.
//!
//! Frames that the node no longer has are taken from the archive. Without one, they are named.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use futures::TryStreamExt;
use kube::Client;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

use super::{
    locate::{Found, Located, locate},
    refusal::Refusal,
    request::LogRequest,
    source::{Opened, SILENCE, Source, has_ended, key, open, refusal, settle, started},
    splitter::{Splitter, Stream},
    stored::{self, Part, Stored},
};
use crate::{
    archive::{Archive, Begin, LogKey, Query},
    operator::pod::view::{ContainerView, PodView},
    reading::{Frames, Piece, Writer},
    record::frame::Ending,
};

/// How many bytes are passed on at once.
const CHUNK: usize = 32 * 1024;
/// A caller that takes nothing for this long is let go.
const STALLED: Duration = Duration::from_mins(1);
/// How long a follower waits for frames that may come again, while none comes.
const GAP: Duration = Duration::from_secs(10);
/// The pause before a log that is followed is asked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// The last words of a log whose end is nowhere.
const UNFINISHED: &str = "the log ends here: nothing more of it is stored";

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

pub(super) struct Reader {
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
    /// Reads for this request, and passes on what it reads by `chunks`. `broken` is set before they end, if the caller
    /// has not got all of it.
    pub(super) fn new(
        client: Client,
        archive: Option<Archive>,
        request: LogRequest,
        opened: &Opened,
        chunks: mpsc::Sender<Bytes>,
        broken: Arc<AtomicBool>,
    ) -> Self {
        let mut writer = Writer::new(request.shape, request.selection);
        writer.begin_at(opened.from);
        Self {
            client,
            archive,
            key: None,
            frames: Frames::default(),
            gap: (0, Instant::now()),
            writer,
            request,
            action_uid: opened.action_uid.clone(),
            chunks,
            broken,
            out: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, source: Source) {
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
