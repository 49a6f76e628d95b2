//! Keeps secret values out of the log, the outputs and the messages.
//!
//! [`secrets`] gathers the values. `credentials`, `fields` and `addresses` find the secret parts of a value.
//! `encodings` and `shell` spell them as tools do. [`patterns`] holds the resulting texts, and [`mask`]
//! replaces them in a stream or a text. [`changing_files`] adds values that arrive while the script runs.
//! `additions` reads those that the script names itself. [`desk`] is the masker without a script.

mod additions;
mod addresses;
pub(super) mod changing_files;
mod credentials;
pub(super) mod desk;
mod encodings;
mod fields;
pub(super) mod mask;
pub(super) mod patterns;
pub(super) mod secrets;
mod shell;
pub(super) mod written_outputs;
