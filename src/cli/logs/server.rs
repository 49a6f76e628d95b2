//! Reads a log from the log server: also one whose pod is gone, and without rights on pods.

use std::{borrow::Cow, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{AsyncBufReadExt, TryStreamExt};
use http::Request;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    paper::Paper,
    place::Place,
    request::{Read, Wish},
};
use crate::{
    api::{LOG_GROUP, LOG_VERSION},
    cli::{connect::Session, error::CliError},
    reading::Piece,
    record::frame::{Ending, Frame, Kind},
};

/// How soon a stream that broke is opened again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often in a row that may fail.
const TRIES: u32 = 30;
/// How much is gathered before it is printed, in bytes.
const CHUNK: usize = 64 * 1024;

/// A line of the answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Missing { missing: Range },
    Note { note: String },
    Frame(Box<FrameLine>),
}

#[derive(Debug, Deserialize)]
struct Range {
    first: u64,
    last: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FrameLine {
    frame: u64,
    time: Option<Timestamp>,
    millis: u64,
    stream: String,
    text: Option<String>,
    base64: Option<String>,
    #[serde(default)]
    continued: bool,
    #[serde(default)]
    no_newline: bool,
}

impl FrameLine {
    fn frame(self) -> Frame<'static> {
        let bytes = match (self.text, self.base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        Frame {
            sequence: self.frame,
            kind: match self.stream.as_str() {
                "stdout" => Kind::Stdout,
                "stderr" => Kind::Stderr,
                _ => Kind::Both,
            },
            millis: self.millis,
            ending: match (self.continued, self.no_newline) {
                (true, _) => Ending::Continued,
                (false, true) => Ending::NoNewline,
                (false, false) => Ending::Line,
            },
            text: Cow::Owned(bytes),
        }
    }
}

/// Puts the lines of one or more answers together.
#[derive(Debug)]
struct Answer {
    /// The last frame that was printed, or known to be missing.
    last: u64,
    /// Whether the next text begins a line.
    fresh: bool,
}

impl Answer {
    /// Prints a line of the answer.
    fn take(&mut self, line: &str, paper: &mut Paper) -> Result<(), CliError> {
        let line = serde_json::from_str(line).map_err(|error| {
            CliError::Failed(format!(
                "the log server's answer cannot be read: {error}\nkubectl longshore version says whether plugin and operator fit"
            ))
        })?;
        match line {
            Line::Missing { missing: Range { first, last } } if last > self.last => {
                self.last = last;
                self.fresh = true;
                paper.write(&Piece::Missing(first, last));
            }
            Line::Note { note } => paper.note(&note),
            Line::Frame(frame) if frame.frame > self.last => {
                let since_start =
                    SignedDuration::from_millis(i64::try_from(frame.millis).unwrap_or(i64::MAX));
                if paper.start().is_none() {
                    paper.started(frame.time.and_then(|time| time.checked_sub(since_start).ok()));
                }
                let frame = frame.frame();
                self.last = frame.sequence;
                let begins = std::mem::replace(&mut self.fresh, frame.ending != Ending::Continued);
                paper.write(&Piece::Text { frame, begins });
            }
            // It came before the connection broke.
            Line::Missing { .. } | Line::Frame(_) => {}
        }
        Ok(())
    }
}

/// Prints the log of an attempt.
pub(super) async fn read(
    session: &Session,
    place: &Place,
    wish: Wish,
    paper: &mut Paper,
) -> Result<Read, CliError> {
    let path = path(&session.namespace, place, wish);
    let mut answer = Answer { last: 0, fresh: true };
    let mut failed = 0;
    loop {
        let before = answer.last;
        match stream(&session.client, &path, &mut answer, paper).await {
            Ok(()) => {
                paper.flush().await?;
                return Ok(Read::Done);
            }
            Err(Broken::Refused(why)) if !paper.printed() => return Ok(Read::NotHere(why)),
            Err(Broken::Refused(why)) => {
                paper.note(&format!("the log ends here: {why}"));
                paper.flush().await?;
                return Ok(Read::Done);
            }
            Err(Broken::Failed(error)) => return Err(error),
            Err(Broken::Cut(error)) => {
                failed = if answer.last > before { 0 } else { failed + 1 };
                if failed > TRIES {
                    return Err(error);
                }
                sleep(AGAIN).await;
            }
        }
    }
}

/// Why an answer ended early.
enum Broken {
    /// The log server does not have the log, or does not give it.
    Refused(String),
    /// The connection broke.
    Cut(CliError),
    /// Something else, which trying again does not mend.
    Failed(CliError),
}

async fn stream(client: &Client, path: &str, answer: &mut Answer, paper: &mut Paper) -> Result<(), Broken> {
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(|error| Broken::Failed(CliError::Failed(format!("{path} is no path: {error}"))))?;
    let stream = match client.request_stream(request).await {
        Ok(stream) => stream,
        Err(kube::Error::Api(status)) => return Err(refused(&status)),
        Err(error) => return Err(Broken::Cut(error.into())),
    };
    let mut lines = stream.lines();
    loop {
        let next = lines.try_next();
        let mut next = std::pin::pin!(next);
        let line = loop {
            let now = futures::poll!(next.as_mut());
            match now {
                std::task::Poll::Ready(line) => break line,
                // Nothing is there at once, so what there is can be printed.
                std::task::Poll::Pending if paper.waiting() > 0 => {
                    paper.flush().await.map_err(Broken::Failed)?;
                }
                std::task::Poll::Pending => break next.await,
            }
        };
        match line {
            Ok(Some(line)) => answer.take(&line, paper).map_err(Broken::Failed)?,
            Ok(None) => return Ok(()),
            Err(error) => {
                paper.flush().await.map_err(Broken::Failed)?;
                return Err(Broken::Cut(CliError::Failed(format!(
                    "the log server's answer broke off: {error}"
                ))));
            }
        }
        if paper.waiting() > CHUNK {
            paper.flush().await.map_err(Broken::Failed)?;
        }
    }
}

fn refused(status: &kube::core::Status) -> Broken {
    match status.code {
        403 => Broken::Refused(format!(
            "and you have no right to get deploymentactions/log in {LOG_GROUP}, with which the log server would give it"
        )),
        404 if status.message.contains("could not find the requested resource") => {
            Broken::Refused("this cluster has no log server (logApi.enabled in the chart)".to_owned())
        }
        404 | 410 => Broken::Refused(status.message.clone()),
        503 => Broken::Refused(format!("the log server does not answer: {}", status.message)),
        429 | 500 | 502 | 504 => Broken::Cut(CliError::of_status(status)),
        _ => Broken::Failed(CliError::of_status(status)),
    }
}

fn path(namespace: &str, place: &Place, wish: Wish) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("run", &place.run.to_string());
    query.append_pair("attempt", &place.attempt.to_string());
    query.append_pair("format", "jsonl");
    query.append_pair("timestamps", "true");
    if wish.follow {
        query.append_pair("follow", "true");
    }
    if let Some(lines) = wish.selection.tail_lines {
        query.append_pair("tailLines", &lines.to_string());
    }
    if let Some(since) = wish.selection.since {
        query.append_pair("sinceTime", &since.to_string());
    }
    format!(
        "/apis/{LOG_GROUP}/{LOG_VERSION}/namespaces/{namespace}/deploymentactions/{}/log?{}",
        place.name,
        query.finish()
    )
}
