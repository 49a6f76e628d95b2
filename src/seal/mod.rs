//! Seals the sensitive outputs of a script in its container. Only the operator can open them.
//!
//! The box is the one of RFC 9180 (HPKE): X25519, HKDF-SHA256, ChaCha20-Poly1305. Each attempt has a key pair of
//! its own, which follows from a master key of the operator, the action's UID, the run's id and the attempt's
//! number. Only the public half leaves the operator. A box that somebody copies from one action's log into that of
//! another one does not open there, because the keys differ.
//!
//! The length of a box does not tell the length of the values ([`contents`]).

mod attempt;
mod boxes;
mod contents;
mod keys;

pub use self::{
    attempt::Attempt,
    boxes::{SealError, open, seal},
    contents::{MAX_BOX_BYTES, Values},
    keys::{MASTER_BYTES, Master, Masters, PublicKey},
};
