//! Scripts that write numbered lines, and what their logs must be.

use std::fmt::Write;

use longshore::record::sha256_hex;

/// Numbered lines of one length, and a last one with the times of the first and the last of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) lines: u64,
    /// The length of a line with its newline, in bytes.
    pub(crate) width: usize,
    /// Bytes a second; as fast as it can if this is 0.
    pub(crate) rate: u64,
    /// When it begins, in seconds since 1970; at once if this is past.
    pub(crate) begins: f64,
}

impl Writer {
    /// A writer of this many bytes.
    pub(crate) fn of_bytes(bytes: u64, width: usize, rate: u64) -> Self {
        Self { lines: bytes / width as u64, width, rate, begins: 0.0 }
    }

    /// In Python. It writes 64 KiB at a time, or a tenth of a second's lines if these are fewer.
    pub(crate) fn script(&self) -> String {
        let Self { lines, width, rate, begins } = self;
        let digits = width - 1;
        format!(
            r"#!/usr/bin/env python3
import os, time
lines, width, rate, done = {lines}, {width}, {rate}, 0
step = max(1, min(65536, rate // 10 if rate else 65536) // width)
time.sleep(max(0, {begins} - time.time()))
begun = time.time()
while done < lines:
    first, done = done + 1, min(done + step, lines)
    text = b''.join([b'%0{digits}d\n' % line for line in range(first, done + 1)])
    while text:
        text = text[os.write(1, text):]
    if rate:
        time.sleep(max(0, begun + done * width / rate - time.time()))
print('%.3f %.3f' % (begun, time.time()))
"
        )
    }

    /// How many lines it writes, the last one too.
    pub(crate) fn all_lines(&self) -> u64 {
        self.lines + 1
    }

    /// The hash of its log, if this is the last line.
    pub(crate) fn sha256(&self, last: &str) -> String {
        let digits = self.width - 1;
        let mut text = String::new();
        for line in 1..=self.lines {
            // A String takes everything.
            let _ = writeln!(text, "{line:0digits$}");
        }
        sha256_hex(format!("{text}{last}\n").as_bytes())
    }
}

/// The times of the last line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrote {
    pub(crate) begun: f64,
    pub(crate) ended: f64,
}

impl Wrote {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (begun, ended) = line.split_once(' ')?;
        Some(Self { begun: begun.parse().ok()?, ended: ended.parse().ok()? })
    }

    pub(crate) fn seconds(self) -> f64 {
        self.ended - self.begun
    }
}
