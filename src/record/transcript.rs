//! Length and hash of a log. The runner, which writes the log, and the operator, which checks that it is
//! complete, compute them in the same way.

use sha2::{Digest, Sha256};

use super::{frame::Ending, hex};

/// The log so far: the texts of its frames in order, decoded and masked. A newline follows each text that
/// ended its line with one.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    lines: u64,
    bytes: u64,
    hash: Sha256,
}

impl Transcript {
    /// Adds one frame of standard output or standard error.
    pub fn push(&mut self, text: &[u8], ending: Ending) {
        self.hash.update(text);
        self.bytes += text.len() as u64;
        match ending {
            Ending::Line => {
                self.hash.update(b"\n");
                self.bytes += 1;
                self.lines += 1;
            }
            Ending::NoNewline => self.lines += 1,
            Ending::Continued => {}
        }
    }

    /// Lines so far. A line without a newline counts.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes so far, newlines included.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 so far, in hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sha256_hex;

    #[test]
    fn the_hash_is_of_the_log_as_people_read_it() {
        let mut transcript = Transcript::default();
        transcript.push(b"one ", Ending::Continued);
        transcript.push(b"line", Ending::Line);
        transcript.push(b"end", Ending::NoNewline);
        assert_eq!(transcript.sha256(), sha256_hex(b"one line\nend"));
        assert_eq!((transcript.lines(), transcript.bytes()), (2, 12));
    }
}
