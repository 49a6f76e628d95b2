//! The program that runs an action's script inside the action's container.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::runner::main(std::env::args_os().skip(1)).into()
}
