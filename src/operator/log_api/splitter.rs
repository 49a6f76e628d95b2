//! From a stream of bytes to lines, with bounded memory.

use std::pin::Pin;

use futures::{AsyncBufRead, AsyncBufReadExt};

use crate::record::frame::MAX_LINE_BYTES;

/// A container's log, as it comes.
pub(super) type Stream = Pin<Box<dyn AsyncBufRead + Send>>;

/// How many bytes are decoded at once.
const CHUNK: usize = 32 * 1024;
/// A longer line is cut here. Our runner never writes one.
const LONGEST_LINE: usize = 2 * MAX_LINE_BYTES;

/// Splits a stream into lines.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The line that has begun.
    line: Vec<u8>,
}

impl Splitter {
    /// Takes what there is, up to [`CHUNK`] bytes. `false` at the end of the stream. A line without its end is
    /// left out: it was cut.
    pub(super) async fn read(
        &mut self,
        stream: &mut Stream,
        mut take: impl FnMut(&[u8]),
    ) -> std::io::Result<bool> {
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
