//! The kubectl plugin: `kubectl longshore`.
//!
//! It reads and writes with the rights of the person who calls it.
//!
//! | files | what they do |
//! |---|---|
//! | [`connect`], [`lookup`], [`error`], [`right`] | the connection, finding objects, and what to say if something is wrong |
//! | [`terminal`] | what the output goes to |
//! | one for each command | the command |

pub mod connect;
pub mod error;
mod logs;
pub mod lookup;
pub mod right;
pub mod terminal;

use clap::{Parser, Subcommand};

use self::connect::{Connection, Session};
pub use self::error::CliError;

/// Who writes, as the API server records it. Flux removes fields of managers whose names begin with `kubectl`.
pub const FIELD_MANAGER: &str = "longshore-cli";

/// Looks at deployment actions, and acts on them.
#[derive(Debug, Parser)]
#[command(name = "kubectl longshore", bin_name = "kubectl longshore", version, about)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
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
    let session = arguments.connection.session().await?;
    let server = session.server.clone();
    with_server(arguments.command, session).await.map_err(|error| error.at(&server))
}

async fn with_server(command: Command, session: Session) -> Result<(), CliError> {
    match command {
        Command::Logs(logs) => logs.run(&session).await,
    }
}
