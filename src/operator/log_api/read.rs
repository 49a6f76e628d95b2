//! Answers with a log, which is read as fast as the caller takes it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use futures::stream;
use kube::Client;
use tokio::sync::mpsc;

use super::{reader::Reader, refusal::Refusal, request::LogRequest, source::find, turns::Turn};
use crate::{archive::Archive, reading::Format};

/// How many chunks wait for a slow caller.
const WAITING: usize = 4;

/// Answers a request that is allowed.
pub(super) async fn answer(
    client: Client,
    archive: Option<Archive>,
    mut request: LogRequest,
    turn: Turn,
) -> Result<Response<Body>, Refusal> {
    let opened = find(&client, archive.as_ref(), &mut request).await?;
    let (chunks, mut taken) = mpsc::channel(WAITING);
    let broken = Arc::new(AtomicBool::new(false));
    let shape = request.shape;
    let reader = Reader::new(client, archive, request, &opened, chunks, Arc::clone(&broken));
    tokio::spawn(async move {
        // The place is taken until the last byte is on its way.
        let _turn = turn;
        reader.run(opened.source).await;
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
