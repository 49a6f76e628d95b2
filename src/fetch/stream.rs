//! A blob as a reader, for a thread that unpacks it.

use std::io::{self, Read};

use tokio::sync::mpsc;

use super::fault::{Aside, Fault};
use crate::registry::Blob;

/// The most parts that wait to be read.
const AHEAD: usize = 4;

/// A part of a blob, or why none comes.
type Part = Result<Vec<u8>, Fault>;

/// Reads the parts as they arrive.
pub(super) struct Stream {
    parts: mpsc::Receiver<Part>,
    part: io::Cursor<Vec<u8>>,
    aside: Aside,
}

/// Reads the blob in a task of its own, which ends when the reader is dropped.
pub(super) fn stream(mut blob: Blob, aside: Aside) -> Stream {
    let (sender, parts) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        loop {
            let part = match blob.next().await {
                Ok(Some(part)) => Ok(part),
                Ok(None) => return,
                Err(error) => Err(Fault::from(error)),
            };
            let last = part.is_err();
            if sender.send(part).await.is_err() || last {
                return;
            }
        }
    });
    Stream { parts, part: io::Cursor::default(), aside }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.parts.blocking_recv() {
                Some(Ok(part)) => self.part = io::Cursor::new(part),
                Some(Err(fault)) => return Err(self.aside.leave(fault)),
                None => return Ok(0),
            }
        }
    }
}
