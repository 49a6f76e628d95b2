//! What runs inside a user's container: the container's command and, as a rule, its PID 1.
//!
//! ```text
//! signals -> undumpable -> claim -> bundle -> environment, files, interpreter
//!         -> script, supervised: pipes -> mask -> lines -> report -> sink -> standard output
//!         -> end what is left -> outputs -> exit record on disk -> exit record, rest of the log,
//!            end record as frames -> termination message -> the script's exit code
//! ```
//!
//! It is one thread around `select(2)`: a process that must outlive whatever the script does has no
//! use for a second one, but for what may be held up by the script ([`note`], [`inputs::files`], [`user::nscd`]). It knows nothing of Kubernetes; all that it is told is in
//! [`crate::record`], and all that it says as well.

mod children;
mod claim;
mod command_line;
mod inputs;
mod left;
mod log;
mod masking;
mod memory;
mod note;
mod outputs;
mod places;
mod program;
mod reach;
mod ready;
mod refusal;
mod run;
mod signals;
mod stop;
mod supervise;
mod user;

pub use crate::record::exit_code::{
    BUNDLE_UNUSABLE, CANNOT_START, INPUT_UNUSABLE, RUNNER_FAILED, STOPPED_BEFORE_START, UNKNOWN, USAGE,
};
pub use command_line::main;
