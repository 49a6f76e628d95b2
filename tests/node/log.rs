//! A container's log, in memory: what the kubelet keeps in files.

use std::sync::Mutex;

use axum::body::Bytes;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;

use super::clock::Clock;

/// A line with its newline, where it has one, and when it came.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) text: Bytes,
}

#[derive(Debug, Default)]
struct Text {
    lines: Vec<Line>,
    ended: bool,
}

/// The log of one start of a container.
#[derive(Debug)]
pub(super) struct Log {
    clock: Clock,
    text: Mutex<Text>,
    changed: watch::Sender<()>,
}

impl Log {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, text: Mutex::default(), changed: watch::Sender::default() }
    }

    pub(super) fn push(&self, text: Vec<u8>) {
        let line = Line { at: self.clock.now(), text: text.into() };
        self.text.lock().unwrap().lines.push(line);
        self.changed.send_replace(());
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.text.lock().unwrap().ended = true;
        self.changed.send_replace(());
    }

    /// The lines from `first` on, and whether there can be more.
    pub(super) fn from(&self, first: usize) -> (Vec<Line>, bool) {
        let text = self.text.lock().unwrap();
        (text.lines.get(first..).unwrap_or_default().to_vec(), !text.ended)
    }

    /// Tells of each change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}
