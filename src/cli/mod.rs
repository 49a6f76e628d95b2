//! The kubectl plugin: `kubectl longshore`.
//!
//! It reads with the rights of the person who calls it.

mod error;
mod logs;

use clap::{Parser, Subcommand};

pub use self::error::CliError;

/// Looks at deployment actions.
#[derive(Debug, Parser)]
#[command(name = "kubectl longshore", bin_name = "kubectl longshore", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the log of an action's latest run.
    Logs(logs::Logs),
}

/// Runs the command.
///
/// # Errors
/// The command failed.
pub async fn run(arguments: Arguments) -> Result<(), CliError> {
    match arguments.command {
        Command::Logs(logs) => logs.run().await,
    }
}
