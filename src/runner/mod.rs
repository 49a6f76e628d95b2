//! The program that runs inside a user's container: the container's command and, usually, its PID 1.
//!
//! | place | what lives there |
//! |---|---|
//! | `command_line.rs`, `run.rs` | the arguments, and the order of steps in one start of the container |
//! | `inputs/` | what the script is given: bundle, variables, files, folders |
//! | `program/` | what is executed: script, interpreter, the start itself |
//! | `process/` | the script's processes: watched, stopped, killed |
//! | `log/` | from the script's pipes to the runner's standard output |
//! | `masking/` | secret values, and what replaces them in the log |
//! | `user/` | the user that the script runs as |
//! | `claim.rs`, `outputs.rs` | what outlives the process; what the script puts out |
//! | `places.rs`, `reach.rs` | paths, and opening files that others can change |
//! | `ready.rs`, `refusal.rs` | waiting for descriptors, and why nothing was started |
//!
//! One start of the container:
//!
//! ```text
//! signals -> undumpable -> claim -> bundle -> environment, files, interpreter
//!         -> script, supervised: pipes -> mask -> lines -> report -> spool -> standard output
//!         -> end what is left -> outputs -> exit record on disk -> exit record, rest of the log,
//!            end record as frames -> termination message -> the script's exit code
//! ```
//!
//! The runner watches the script in one thread around `select(2)`, since it must outlive whatever the script
//! does. Four jobs have a thread of their own. The script can hold up three of them: `process/stop_note.rs`,
//! `inputs/files.rs` and `user/nscd.rs`. A disk or a reader can hold up the fourth, `log/outlet.rs`.
//!
//! The runner knows nothing of Kubernetes. [`crate::record`] defines what it reads and what it writes.

mod claim;
mod command_line;
mod inputs;
mod log;
mod masking;
mod outputs;
mod places;
mod process;
mod program;
mod reach;
mod ready;
mod refusal;
mod run;
mod user;

pub use crate::record::exit_code::{
    BUNDLE_UNUSABLE, CANNOT_START, INPUT_UNUSABLE, RUNNER_FAILED, STOPPED_BEFORE_START, UNKNOWN,
};
pub use command_line::main;
pub use masking::desk::Masking;
