//! The kubectl plugin: `kubectl longshore`.
//!
//! It reads and writes with the rights of the person who calls it.
//!
//! | files | what they do |
//! |---|---|
//! | [`connect`], [`lookup`], [`error`], [`right`] | the connection, finding objects, and what to say if something is wrong |
//! | [`terminal`], [`table`], [`output`], [`jsonpath`] | what is printed, in which form |
//! | [`view`] | what objects say, apart from how it is printed |
//! | one for each command | the command |

mod act;
pub mod connect;
mod describe;
pub mod error;
mod history;
mod jsonpath;
mod list;
mod locks;
mod logs;
pub mod lookup;
mod output;
mod outputs;
mod pages;
pub mod right;
mod table;
pub mod terminal;
pub mod view;

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
    /// List actions, the latest activity first.
    List(list::List),
    /// Say what runs or ran, how it ended and what to do.
    Describe(describe::Describe),
    /// Print the log of an action's latest run.
    Logs(logs::Logs),
    /// List the runs of an action.
    History(history::History),
    /// Print the outputs of an action, or of all actions.
    Outputs(outputs::Outputs),
    /// Show who holds the locks, and who waits.
    Locks(locks::Locks),
    /// Ask for another run of an action.
    Rerun(act::Rerun),
    /// Cancel the run that is under way.
    Cancel(act::Cancel),
    /// Hold back new runs of an action.
    Suspend(act::Suspend),
    /// Let the runs of an action begin again.
    Resume(act::Resume),
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
        Command::List(list) => list.run(&session).await,
        Command::Describe(describe) => describe.run(&session).await,
        Command::Logs(logs) => logs.run(&session).await,
        Command::History(history) => history.run(&session).await,
        Command::Outputs(outputs) => outputs.run(&session).await,
        Command::Locks(locks) => locks.run(&session).await,
        Command::Rerun(rerun) => rerun.run(&session).await,
        Command::Cancel(cancel) => cancel.run(&session).await,
        Command::Suspend(suspend) => suspend.run(&session).await,
        Command::Resume(resume) => resume.run(&session).await,
    }
}
