//! Reads a log from its pod.

use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::{ContainerState, Pod},
    jiff::Timestamp,
};
use kube::{Api, api::LogParams};
use tokio::time::{Instant, sleep, timeout};

use super::{
    paper::Paper,
    request::{Read, Wish},
};
use crate::{
    api::CONTAINER,
    cli::{connect::Session, error::CliError},
    reading::{Frames, Piece, Since, Tail},
};

/// How long nothing may come before gaps are looked at.
const QUIET: Duration = Duration::from_millis(500);
/// How long missing frames may take to come again.
const GAP: Duration = Duration::from_secs(10);
/// How long more may take to come, to be printed together.
const TOGETHER: Duration = Duration::from_millis(1);
/// How soon a stream that broke is opened again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));
/// How much is gathered before it is printed, in bytes, if it does not come slowly.
const CHUNK: usize = 64 * 1024;

/// How a stream of the log ended.
enum Stream {
    /// The runner said that nothing follows.
    End,
    /// It ended, and the log goes on, or its container has ended without a word.
    Cut,
    /// Frames are missing before the first one.
    Rotated,
}

/// Prints the log of a pod. With `gaps`, a log whose beginning is missing is printed all the same.
pub(super) async fn read(
    session: &Session,
    pod: &str,
    wish: Wish,
    paper: &mut Paper,
    gaps: bool,
) -> Result<Read, CliError> {
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
    let mut reader = Reader { pods, pod, wish, frames: Frames::default(), gaps, gap_since: None };
    reader.begin(paper).await;
    let mut pause = AGAIN.0;
    let mut told = false;
    loop {
        let state = reader.state().await;
        if let Some(started) = state.started {
            paper.started(Some(started));
        }
        match reader.stream(paper).await {
            Ok(Stream::End) => return finish(paper).await,
            Ok(Stream::Rotated) => return Ok(Read::Rotated),
            Ok(Stream::Cut) if wish.follow && !state.ended => {}
            Ok(Stream::Cut) => {
                // Nothing more comes: of a container that has ended, or since nobody asked for more.
                reader.frames.finish(state.ended, |piece| paper.write(&piece));
                return finish(paper).await;
            }
            Err(error) => match refusal(&error) {
                _ if paper.printed() && !gone(&error) => {}
                Some(why) => return given_up(paper, why).await,
                None if wish.follow => {
                    if !std::mem::replace(&mut told, true) {
                        paper.tell(&format!("waiting for the container of pod {pod} to start"));
                    }
                }
                None => return Err(error.into()),
            },
        }
        sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}

async fn finish(paper: &mut Paper) -> Result<Read, CliError> {
    paper.flush().await?;
    Ok(Read::Done)
}

/// The pod went. What was printed stays, and the reader is told.
async fn given_up(paper: &mut Paper, why: String) -> Result<Read, CliError> {
    if !paper.printed() {
        return Ok(Read::NotHere(why));
    }
    paper.note(&format!("the log ends here: {why}"));
    finish(paper).await
}

fn gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Why this source cannot have the log, if that is certain.
fn refusal(error: &kube::Error) -> Option<String> {
    let kube::Error::Api(status) = error else { return None };
    match status.code {
        404 => Some("the pod is gone".to_owned()),
        403 => Some("you have no right on pods/log".to_owned()),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct State {
    started: Option<Timestamp>,
    ended: bool,
}

struct Reader<'a> {
    pods: Api<Pod>,
    pod: &'a str,
    wish: Wish,
    frames: Frames,
    gaps: bool,
    /// Since when frames are missing.
    gap_since: Option<Instant>,
}

fn parameters(follow: bool) -> LogParams {
    LogParams { container: Some(CONTAINER.to_owned()), follow, ..LogParams::default() }
}

impl Reader<'_> {
    /// When the container started, and whether it has ended, as far as the caller may see it.
    async fn state(&self) -> State {
        let Ok(Some(pod)) = self.pods.get_opt(self.pod).await else { return State::default() };
        let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        let state =
            statuses.into_iter().find(|status| status.name == CONTAINER).and_then(|status| status.state);
        let Some(ContainerState { running, terminated, .. }) = state else { return State::default() };
        let ended = terminated.is_some();
        let started = running
            .and_then(|running| running.started_at)
            .or_else(|| terminated.and_then(|terminated| terminated.started_at));
        State { started: started.map(|time| time.0), ended }
    }

    /// Finds out where the last lines begin.
    async fn begin(&self, paper: &mut Paper) {
        let started = self.state().await.started;
        paper.started(started);
        let Some(lines) = self.wish.selection.tail_lines else { return };
        let mut tail = Tail::new(lines, Since::new(self.wish.selection.since, started));
        let mut frames = Frames::default();
        if let Ok(stream) = self.pods.log_stream(self.pod, &parameters(false)).await {
            let mut stream = stream.lines();
            while let Ok(Some(line)) = stream.try_next().await {
                frames.take(line.as_bytes(), |piece| tail.take(&piece));
            }
        }
        frames.finish(true, |piece| tail.take(&piece));
        paper.begin_at(tail.first(frames.next()));
    }

    async fn stream(&mut self, paper: &mut Paper) -> Result<Stream, kube::Error> {
        let stream = self.pods.log_stream(self.pod, &parameters(self.wish.follow)).await?;
        let mut stream = std::pin::pin!(stream);
        let mut line = Vec::new();
        loop {
            let read = self.next(stream.as_mut(), &mut line, paper).await;
            let mut ended = false;
            let mut rotated = false;
            let gaps = self.gaps || paper.printed() || self.wish.selection.tail_lines.is_some();
            let mut give = |piece: Piece<'_>| {
                rotated |= !gaps && matches!(piece, Piece::Missing(1, _));
                ended |= piece == Piece::End;
                if !rotated {
                    paper.write(&piece);
                }
            };
            match read {
                Some(Ok(0)) => {
                    if !line.is_empty() {
                        self.frames.take(&line, &mut give);
                    }
                    if print(paper).await.is_err() {
                        return Ok(Stream::End);
                    }
                    return Ok(if rotated { Stream::Rotated } else { Stream::Cut });
                }
                Some(Ok(_)) => {
                    let text = line.strip_suffix(b"\n").unwrap_or(&line);
                    self.frames.take(text, &mut give);
                    line.clear();
                }
                Some(Err(_)) => {
                    if print(paper).await.is_err() {
                        return Ok(Stream::End);
                    }
                    return Ok(Stream::Cut);
                }
                None => self.frames.give_up(&mut give),
            }
            self.gap_since = self.frames.waits().then(|| self.gap_since.unwrap_or_else(Instant::now));
            if rotated {
                return Ok(Stream::Rotated);
            }
            if ended {
                return Ok(Stream::End);
            }
            if paper.waiting() > CHUNK && print(paper).await.is_err() {
                return Ok(Stream::End);
            }
        }
    }

    /// Reads the next line. What came before is printed if that takes a while. `None` if missing frames have had
    /// enough time to come.
    async fn next<R: AsyncBufRead + Unpin>(
        &self,
        stream: R,
        line: &mut Vec<u8>,
        paper: &mut Paper,
    ) -> Option<std::io::Result<usize>> {
        let mut stream = stream;
        let mut next = std::pin::pin!(stream.read_until(b'\n', line));
        loop {
            let waits = paper.waiting() > 0;
            match timeout(if waits { TOGETHER } else { QUIET }, next.as_mut()).await {
                Ok(read) => return Some(read),
                // Somebody who reads no more is noticed at the next line.
                Err(_) if waits => drop(print(paper).await),
                Err(_) if self.gap_is_old() => return None,
                Err(_) => {}
            }
        }
    }

    fn gap_is_old(&self) -> bool {
        self.gap_since.is_some_and(|since| since.elapsed() >= GAP)
    }
}

/// Nobody reads any more if it fails, which the last flush tells the caller.
async fn print(paper: &mut Paper) -> Result<(), CliError> {
    paper.flush().await
}
