//! By what the operator knows that a word which the script could have written is the runner's.
//!
//! The termination message and the stored exit record lie where a script can write. So the runner draws
//! a nonce at its first start, before the script's. The start record has the nonce's SHA-256: it is in
//! the log, to which the script cannot write, before the script starts. The nonce itself is written for
//! the first time when nobody is left who could use it: into the stored exit record and the termination
//! message, once the script has ended and every other process of the PID namespace was killed. Until
//! then it is in the runner's memory alone, which a script of the same user cannot read: the runner is
//! undumpable (`PR_SET_DUMPABLE`), so that ptrace, `process_vm_readv` and `/proc/1/mem` are refused
//! (`tests/runner/hostile.rs` tries them).
//!
//! Where the PID namespace is not the runner's own (somebody had the pod share one), processes of the
//! script can outlive it and could read the nonce. The runner writes none there: its start record still
//! has a proof, and no message is ever believed.

use super::{hex, sha256_hex};

/// How many bytes a nonce is drawn from.
pub const NONCE_BYTES: usize = 32;

/// The nonce of these random bytes, as it travels.
#[must_use]
pub fn nonce(random: &[u8; NONCE_BYTES]) -> String {
    hex(random)
}

/// What the start record says of a nonce.
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
