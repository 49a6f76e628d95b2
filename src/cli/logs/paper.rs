//! What is printed of a log, and where to.

use std::io::Write;

use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc::Sender;

use super::{request::Wish, safe::Safe};
use crate::{
    cli::{error::CliError, terminal::tell},
    reading::{Piece, Writer},
    record::frame::{Ending, Frame, Kind},
};

/// Where a log goes.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Sink {
    /// Standard output. What is to be said beside it goes to standard error.
    Stdout,
    /// Somebody who reads it as fast as they can. What is to be said is in the log.
    Reader(Sender<Bytes>),
}

/// Writes pieces of a log.
#[derive(Debug)]
pub(super) struct Paper {
    sink: Sink,
    writer: Writer,
    safe: Option<Safe>,
    out: Vec<u8>,
    printed: bool,
}

impl Paper {
    pub(super) fn new(wish: Wish, sink: Sink) -> Self {
        let mut writer = Writer::new(wish.shape, wish.selection);
        writer.begin_at(wish.from);
        Self { sink, writer, safe: wish.safe.then(Safe::default), out: Vec::new(), printed: false }
    }

    /// Notes when the script's container started.
    pub(super) const fn started(&mut self, at: Option<Timestamp>) {
        self.writer.started(at);
    }

    /// When the script's container started, as far as it is known.
    pub(super) const fn start(&self) -> Option<Timestamp> {
        self.writer.start()
    }

    /// Leaves out what is in front of this frame.
    pub(super) const fn begin_at(&mut self, frame: u64) {
        self.writer.begin_at(frame);
    }

    /// Whether anything was printed.
    pub(super) const fn printed(&self) -> bool {
        self.printed
    }

    pub(super) fn write(&mut self, piece: &Piece<'_>) {
        self.writer.write(piece, &mut self.out);
    }

    /// Says why the log ends here.
    pub(super) fn note(&mut self, words: &str) {
        self.writer.note(words, &mut self.out);
    }

    /// Says something about the log that is no part of it.
    pub(super) fn tell(&mut self, words: &str) {
        match &self.sink {
            Sink::Stdout => tell(words),
            Sink::Reader(reader) => {
                let mut note = Vec::new();
                self.writer.note(words, &mut note);
                // Somebody who is behind has enough to read.
                drop(reader.try_send(note.into()));
            }
        }
    }

    /// Writes the last lines of a log whose frames are gone.
    pub(super) fn tail(&mut self, tail: &str) {
        for (sequence, text) in (1..).zip(tail.lines()) {
            let text = text.as_bytes().into();
            let frame = Frame { sequence, kind: Kind::Both, millis: 0, ending: Ending::Line, text };
            self.write(&Piece::Text { frame, begins: true });
        }
    }

    /// Prints what was written. Somebody who follows a log sees each line at once.
    pub(super) async fn flush(&mut self) -> Result<(), CliError> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.printed = true;
        if let Sink::Reader(reader) = &self.sink {
            let written = Bytes::from(std::mem::take(&mut self.out));
            return reader.send(written).await.map_err(|_| CliError::Closed);
        }
        let mut stdout = std::io::stdout().lock();
        match &mut self.safe {
            Some(safe) => {
                let mut shown = Vec::with_capacity(self.out.len());
                safe.pass(&self.out, &mut shown);
                stdout.write_all(&shown)?;
            }
            None => stdout.write_all(&self.out)?,
        }
        stdout.flush()?;
        self.out.clear();
        Ok(())
    }

    /// How many bytes wait to be printed.
    pub(super) const fn waiting(&self) -> usize {
        self.out.len()
    }
}
