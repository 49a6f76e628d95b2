//! What is printed of a log.

use std::io::Write;

use k8s_openapi::jiff::Timestamp;

use super::{request::Wish, safe::Safe};
use crate::{
    cli::error::CliError,
    reading::{Piece, Writer},
};

/// Writes pieces of a log to standard output.
#[derive(Debug)]
pub(super) struct Paper {
    writer: Writer,
    safe: Option<Safe>,
    out: Vec<u8>,
    printed: bool,
}

impl Paper {
    pub(super) fn new(wish: Wish) -> Self {
        Self {
            writer: Writer::new(wish.shape, wish.selection),
            safe: wish.safe.then(Safe::default),
            out: Vec::new(),
            printed: false,
        }
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

    /// Prints what was written. Somebody who follows a log sees each line at once.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.printed = true;
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
