//! Faults of a watch's events.

use std::{future::pending, io, time::Duration};

use axum::body::{Body as Answer, Bytes};
use futures::{Stream, StreamExt, stream};
use http::Response;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{
    call::Call,
    etcd,
    schedule::{GONE_AFTER, What},
    wire::{Wire, broken},
};

type Piece = Result<Bytes, io::Error>;

/// The watch that `answer` is, as the schedule lets it through.
pub(crate) fn pumped(wire: &Wire, event: Call, answer: Response<Body>) -> Response<Answer> {
    let (head, body) = answer.into_parts();
    let (to, from) = mpsc::channel(64);
    let pump = Pump { wire: wire.clone(), event, to, swapped: None, ends: None };
    let lines = lines(body.into_data_stream().map(|piece| piece.map_err(io::Error::other)));
    wire.on.spawn(pump.run(lines));
    let pieces = stream::unfold(from, |mut from| async move { from.recv().await.map(|piece| (piece, from)) });
    Response::from_parts(head, Answer::from_stream(pieces))
}

/// Whole lines, with their newlines.
fn lines(pieces: impl Stream<Item = Piece> + Send + 'static) -> impl Stream<Item = Piece> + Send + 'static {
    let state = (Box::pin(pieces), Vec::<u8>::new());
    stream::unfold(state, |(mut pieces, mut kept)| async move {
        loop {
            if let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
                let rest = kept.split_off(end + 1);
                let line = std::mem::replace(&mut kept, rest);
                return Some((Ok(Bytes::from(line)), (pieces, kept)));
            }
            match pieces.next().await {
                Some(Ok(piece)) => kept.extend_from_slice(&piece),
                Some(Err(error)) => return Some((Err(error), (pieces, kept))),
                None => return None,
            }
        }
    })
}

struct Pump {
    wire: Wire,
    event: Call,
    to: mpsc::Sender<Piece>,
    /// An event that comes after the next one.
    swapped: Option<Bytes>,
    /// When the stream ends with 410.
    ends: Option<Instant>,
}

impl Pump {
    async fn run(mut self, lines: impl Stream<Item = Piece> + Send) {
        let mut lines = Box::pin(lines);
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = self.to.closed() => return,
                () = at(self.ends) => {
                    if let Some(swapped) = self.swapped.take() {
                        self.send(swapped).await;
                    }
                    self.send(gone()).await;
                    return;
                }
            };
            match line {
                Some(Ok(line)) => {
                    if self.pass(line).await.is_none() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    let _ = self.to.send(Err(error)).await;
                    return;
                }
                None => return,
            }
        }
    }

    /// `None` where nothing more comes.
    async fn pass(&mut self, line: Bytes) -> Option<()> {
        if kind(&line) == Some("ERROR") && contains(&line, b"\"code\":410") {
            self.wire.plan.gone_for_real();
        }
        let counts = matches!(kind(&line), Some("ADDED" | "MODIFIED" | "DELETED"));
        let name = if counts { name(&line) } else { String::new() };
        let what = if counts { self.wire.plan.meet(self.wire.slot, self.event, &name) } else { None };
        let defeat = self.wire.memory.defeat.as_ref();
        let line = defeat.map_or(line.clone(), |defeat| defeat.event(self.event, line));
        let ends = Instant::now() + Duration::from_millis(GONE_AFTER.into());
        match what {
            Some(What::Hold(millis)) => {
                sleep(Duration::from_millis(millis.into())).await;
                self.send(line).await;
            }
            Some(What::Drop) => self.ends = Some(ends),
            Some(What::Repeat) => {
                self.send(line.clone()).await;
                self.send(line).await;
            }
            Some(What::Swap) => {
                self.swapped = Some(line);
                self.ends = Some(ends);
                return Some(());
            }
            Some(What::End) => return None,
            Some(What::BreakEvent) => {
                self.send(line.slice(..line.len() / 2)).await;
                let _ = self.to.send(Err(io::Error::other(broken()))).await;
                return None;
            }
            Some(What::Gone) => {
                self.send(gone()).await;
                return None;
            }
            Some(What::Compact) => {
                etcd::compact(&self.wire.backend).await;
                return None;
            }
            _ => self.send(line).await,
        }
        if let Some(swapped) = self.swapped.take() {
            self.send(swapped).await;
        }
        Some(())
    }

    async fn send(&self, line: Bytes) {
        // Nobody reads any more: the next look at the channel says so.
        let _ = self.to.send(Ok(line)).await;
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

fn gone() -> Bytes {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": 410, "reason": "Expired", "message": "too old resource version (made up by the tests)",
    });
    Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status})))
}

/// The API server writes the type first.
fn kind(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(b"{\"type\":\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

fn name(line: &[u8]) -> String {
    let event: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn contains(line: &[u8], words: &[u8]) -> bool {
    line.windows(words.len()).any(|window| window == words)
}

#[tokio::test]
async fn lines_are_whole_however_they_are_cut() {
    let pieces = ["{\"a\":1", "}\n{\"b\":2}\n", "{\"c\""].map(|piece| Ok(Bytes::from(piece)));
    let lines: Vec<_> = lines(stream::iter(pieces)).map(|line| line.unwrap()).collect().await;
    assert_eq!(lines, ["{\"a\":1}\n", "{\"b\":2}\n"]);
    assert_eq!(kind(b"{\"type\":\"ADDED\",\"object\":{}}"), Some("ADDED"));
}
