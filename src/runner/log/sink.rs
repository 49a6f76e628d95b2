//! Writes lines to standard output, which may be slow, stuck, or gone.
//!
//! Only the next lines wait here. Those behind them wait in the spool.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::runner::ready;

/// Written bytes are removed from the buffer once there are this many.
const WRITTEN_BYTES: usize = 64 * 1024;
/// A ready pipe takes this much without blocking: `PIPE_BUF`. Nonblocking mode would work too, but it belongs
/// to the open file, which others may share (a terminal).
const PIECE: usize = 4096;

/// Lines on their way out, in bounded memory.
#[derive(Debug)]
pub(super) struct Sink {
    out: Option<File>,
    /// The most bytes of one write. A regular file never blocks and needs no small pieces.
    piece: usize,
    waiting: Vec<u8>,
    /// How many bytes at the beginning of `waiting` are already written.
    sent: usize,
    /// How many bytes were written in all.
    written: u64,
}

impl Sink {
    /// Makes a sink into `out`. Without one, it drops everything.
    pub(super) fn new(out: Option<OwnedFd>) -> Self {
        let out = out.map(File::from);
        let is_file = out.as_ref().and_then(|out| out.metadata().ok()).is_some_and(|out| out.is_file());
        Self { out, piece: if is_file { usize::MAX } else { PIECE }, waiting: vec![], sent: 0, written: 0 }
    }

    /// Makes a sink into the runner's standard output.
    pub(super) fn stdout() -> Self {
        Self::new(io::stdout().as_fd().try_clone_to_owned().ok())
    }

    /// The bytes that wait, to append to.
    pub(super) const fn end(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// The file to wait for before [`Sink::pump`] can write more.
    pub(super) fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        if self.is_empty() { None } else { self.out.as_ref().map(AsFd::as_fd) }
    }

    /// How many bytes are not written yet.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting.len() - self.sent
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Whether everything could be written so far.
    pub(super) const fn is_open(&self) -> bool {
        self.out.is_some()
    }

    /// How many bytes were written so far.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Gives up on a reader that takes nothing. Drops what waits.
    pub(super) fn close(&mut self) {
        self.out = None;
        self.pump();
    }

    /// Writes as much as possible without waiting.
    pub(super) fn pump(&mut self) {
        while !self.is_empty() {
            let Some(out) = &mut self.out else { break };
            if !ready::can_write(out.as_fd()) {
                break;
            }
            let end = self.waiting.len().min(self.sent.saturating_add(self.piece));
            match out.write(&self.waiting[self.sent..end]) {
                Ok(written) => {
                    self.sent += written;
                    self.written += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody reads any more. The script goes on, and the exit record and the termination message
                // still count.
                Err(_) => self.out = None,
            }
        }
        if self.out.is_none() || self.is_empty() {
            self.waiting.clear();
            self.sent = 0;
        } else if self.sent >= WRITTEN_BYTES {
            self.waiting.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_that_does_not_read_never_blocks_the_writer() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::new(Some(writer.into()));
        let text: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        sink.end().extend_from_slice(&text);
        sink.pump();
        assert!(!sink.is_empty() && sink.is_open());
        let mut read = vec![0; text.len()];
        let mut at = 0;
        while at < read.len() {
            at += reader.read(&mut read[at..]).unwrap();
            sink.pump();
        }
        assert!(sink.is_empty() && read == text);
    }

    #[test]
    fn a_reader_that_is_gone_takes_everything() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut sink = Sink::new(Some(writer.into()));
        sink.end().extend_from_slice(b"lost");
        sink.pump();
        assert!(sink.is_empty() && !sink.is_open());
    }
}
