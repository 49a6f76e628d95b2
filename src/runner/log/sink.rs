//! Writes lines to standard output, which may be slow, stuck, or gone.
//!
//! Between frames and standard output, lines wait only here.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::runner::ready;

/// With this much waiting, the runner reads nothing more from the script's pipes. The script then waits.
const HIGH_WATER: usize = 256 * 1024;
/// A ready pipe takes this much without blocking: `PIPE_BUF`. Nonblocking mode would work too, but it belongs
/// to the open file, which others may share (a terminal).
const PIECE: usize = 4096;

/// Lines on their way out, in bounded memory.
#[derive(Debug)]
pub(in crate::runner) struct Sink {
    out: Option<File>,
    /// The most bytes of one write. A regular file never blocks and needs no small pieces.
    piece: usize,
    waiting: Vec<u8>,
    /// How many bytes at the beginning of `waiting` are already written.
    sent: usize,
}

impl Sink {
    /// Makes a sink into `out`. Without one, it drops everything.
    pub(super) fn new(out: Option<OwnedFd>) -> Self {
        let out = out.map(File::from);
        let is_file = out.as_ref().and_then(|out| out.metadata().ok()).is_some_and(|out| out.is_file());
        Self { out, piece: if is_file { usize::MAX } else { PIECE }, waiting: vec![], sent: 0 }
    }

    /// Makes a sink into the runner's standard output.
    pub(in crate::runner) fn stdout() -> Self {
        Self::new(io::stdout().as_fd().try_clone_to_owned().ok())
    }

    /// The bytes that wait, to append to.
    pub(super) const fn end(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Whether the script's output should be read.
    pub(in crate::runner) const fn has_room(&self) -> bool {
        self.waiting() < HIGH_WATER
    }

    /// The file to wait for before [`Sink::pump`] can write more.
    pub(in crate::runner) fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        if self.is_empty() { None } else { self.out.as_ref().map(AsFd::as_fd) }
    }

    /// How many bytes are not written yet.
    pub(in crate::runner) const fn waiting(&self) -> usize {
        self.waiting.len() - self.sent
    }

    const fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Whether everything could be written so far.
    pub(in crate::runner) const fn is_open(&self) -> bool {
        self.out.is_some()
    }

    /// Writes as much as possible without waiting.
    pub(in crate::runner) fn pump(&mut self) {
        while !self.is_empty() {
            let Some(out) = &mut self.out else { break };
            if !ready::can_write(out.as_fd()) {
                break;
            }
            let end = self.waiting.len().min(self.sent.saturating_add(self.piece));
            match out.write(&self.waiting[self.sent..end]) {
                Ok(written) => self.sent += written,
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
        } else if self.sent >= HIGH_WATER {
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
        assert!(!sink.is_empty() && !sink.has_room() && sink.is_open());
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
        assert!(sink.is_empty() && sink.has_room() && !sink.is_open());
    }
}
