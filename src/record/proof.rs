//! How the operator knows that the runner, and not the script, wrote a message.
//!
//! A script can write to the termination message and to the stored exit record. So the runner draws a nonce
//! at its first start, before the script's. The start record has the nonce's SHA-256. It is in the log, to
//! which the script cannot write, before the script starts. Once the script has ended and every other process
//! of the PID namespace was killed, no process is left that could use the nonce. Only then the runner writes
//! it into the stored exit record and the termination message. Until then only the runner's memory has it,
//! which a script of the same user cannot read: the runner is undumpable (`PR_SET_DUMPABLE`). So ptrace,
//! `process_vm_readv` and `/proc/1/mem` are refused (`tests/runner/hostile.rs` tries them).
//!
//! If the pod shares its PID namespace, processes of the script can outlive the runner and could read the
//! nonce. The runner then writes no nonce. Its start record still has a proof, so no message is ever
//! believed.
//!
//! The exit and end records in the log have a nonce of their own. A node may cut a line in two
//! ([`super::frame`]), and the second part could be a text of the script that looks like a record. This nonce is
//! in the log alone, which no process of the script can read. So it is written even if some of them are left.

use super::{hex, sha256_hex};

/// The number of random bytes of a nonce.
pub const NONCE_BYTES: usize = 32;

/// Makes a nonce from random bytes.
#[must_use]
pub fn nonce(random: &[u8; NONCE_BYTES]) -> String {
    hex(random)
}

/// Makes the proof for the start record from a nonce.
#[must_use]
pub fn proof(nonce: &str) -> String {
    sha256_hex(nonce.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_its_nonce_and_shows_nothing_of_it() {
        let nonce = nonce(&[7; NONCE_BYTES]);
        assert_eq!((nonce.len(), proof(&nonce).len()), (64, 64));
        assert!(proof(&nonce) != nonce && proof(&nonce) != proof("other"));
    }
}
