//! The program that fetches packages before an action's script runs.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::fetch::main()
}
