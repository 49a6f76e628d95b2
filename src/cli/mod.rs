//! The kubectl plugin: `kubectl longshore`.
//!
//! It reads with the rights of the person who calls it.

mod logs;

use clap::{Parser, Subcommand};

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

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// There is no configuration for the API server.
    #[error("no configuration for the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The configuration that the flags name cannot be used.
    #[error("no configuration for the API server: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused the request.
    #[error("{0}")]
    Kube(#[from] kube::Error),
    /// The log ended early, or cannot be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// There is nothing to show.
    #[error("{0}")]
    Nothing(String),
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
