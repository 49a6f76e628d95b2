//! Length and hash of a log. The runner, which writes the log, and the operator, which checks that it is
//! complete, compute them in the same way.

use sha2::{
    Digest, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use super::{frame::Ending, hex};

/// No log is longer. A longer one that somebody claims could overflow the counts.
const MOST: u64 = 1 << 50;

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

    /// The inner state of the hash, from which [`Transcript::resumed`] goes on. It shows at most the last 63
    /// bytes of the log.
    #[must_use]
    pub fn hash_state(&self) -> Vec<u8> {
        self.hash.serialize().to_vec()
    }

    /// Goes on with a log of so many lines and bytes. `None` if this cannot be the state of such a log.
    #[must_use]
    pub fn resumed(lines: u64, bytes: u64, hash_state: &[u8]) -> Option<Self> {
        // The hash's own layout: eight words, then the number of whole blocks. Another number than that of
        // the bytes could overflow when it is used.
        let blocks = u64::from_le_bytes(hash_state.get(32..40)?.try_into().ok()?);
        let state = SerializedState::<Sha256>::try_from(hash_state).ok()?;
        let plausible = bytes <= MOST && lines <= MOST && blocks == bytes / 64;
        let hash = plausible.then(|| Sha256::deserialize(&state))?.ok()?;
        Some(Self { lines, bytes, hash })
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

    #[test]
    fn a_transcript_goes_on_from_its_state() {
        for length in [0, 1, 55, 63, 64, 65, 200] {
            let mut whole = Transcript::default();
            whole.push(&vec![b'a'; length], Ending::Line);
            let state = whole.hash_state();
            let mut resumed = Transcript::resumed(whole.lines(), whole.bytes(), &state).unwrap();
            for transcript in [&mut whole, &mut resumed] {
                transcript.push(b"more", Ending::Line);
            }
            assert_eq!(resumed.sha256(), whole.sha256());
            assert_eq!((resumed.lines(), resumed.bytes()), (2, whole.bytes()));
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let mut transcript = Transcript::default();
        transcript.push(&[b'a'; 100], Ending::Line);
        let state = transcript.hash_state();
        assert!(Transcript::resumed(1, 101, &state).is_some());
        assert!(Transcript::resumed(1, 300, &state).is_none());
        assert!(Transcript::resumed(u64::MAX, 101, &state).is_none());
        assert!(Transcript::resumed(1, 101, &state[1..]).is_none());
        assert!(Transcript::resumed(1, 101, b"").is_none());
        for at in 0..state.len() {
            let mut forged = state.clone();
            forged[at] = 0xff;
            if let Some(mut forged) = Transcript::resumed(1, 101, &forged) {
                forged.push(&[b'b'; 200], Ending::Line);
                assert_eq!(forged.sha256().len(), 64);
            }
        }
    }
}
