//! The kubectl plugin: `kubectl longshore`.
//!
//! It reads and writes with the rights of the person who calls it.
//!
//! | files | what they do |
//! |---|---|
//! | [`connect`], [`lookup`], [`error`], [`right`] | the connection, finding objects, and what to say if something is wrong |
//! | [`terminal`], [`table`], [`output`], [`jsonpath`] | what is printed, in which form |
//! | [`view`] | what objects say, apart from how it is printed |
//! | [`ui`] | the page |
//! | one for each command | the command |

mod act;
mod check;
mod completion;
pub mod connect;
mod describe;
mod diff;
mod documents;
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
mod progress;
pub mod right;
mod run;
mod table;
mod templates;
pub mod terminal;
mod trial;
mod ui;
mod validate;
mod version;
pub mod view;
mod wait;
mod wait_for;

use clap::{CommandFactory, Parser, Subcommand};

use self::connect::{Connection, Session};
pub use self::error::CliError;

/// Looks at deployment actions, and acts on them.
#[derive(Debug, Parser)]
#[command(name = "kubectl longshore", bin_name = "kubectl longshore", version)]
#[command(about = "Looks at deployment actions, and acts on them")]
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
    /// Apply one action, or make one from a template, and see its run to the end.
    Run(run::Run),
    /// Wait until the latest run of an action has ended.
    Wait(wait::Wait),
    /// List the runs of an action.
    History(history::History),
    /// Print the outputs of an action, or of all actions.
    Outputs(outputs::Outputs),
    /// Show who holds the locks, and who waits.
    Locks(locks::Locks),
    /// List templates, and say what one asks for.
    Templates(templates::Templates),
    /// Check objects as the API server and the operator would.
    Validate(validate::Validate),
    /// Say what would run if files were applied, and why.
    Diff(diff::Diff),
    /// Serve a page on this machine: actions, logs, locks and templates.
    Ui(ui::Ui),
    /// Ask for another run of an action.
    Rerun(act::Rerun),
    /// Cancel the run that is under way.
    Cancel(act::Cancel),
    /// Hold back new runs of an action.
    Suspend(act::Suspend),
    /// Let the runs of an action begin again.
    Resume(act::Resume),
    /// Check whether Longshore works here, and what you may do.
    Check(check::Check),
    /// Print the versions of plugin, operator and API server.
    Version(version::VersionOf),
    /// Print a script that completes the plugin in a shell.
    Completion(completion::Completion),
    /// Answer kubectl's completion.
    #[command(name = "__complete", hide = true)]
    Complete(completion::Complete),
}

/// Runs the command.
///
/// # Errors
/// The command failed.
pub async fn run(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { connection, command } = arguments;
    match command {
        Command::Completion(completion) => completion.run(&Arguments::command()),
        Command::Complete(complete) => complete.run(&Arguments::command()).await,
        Command::Version(version) => version.run(&connection).await,
        command => {
            let session = connection.session().await?;
            Box::pin(in_session(command, &session)).await.map_err(|error| error.at(&session.server))
        }
    }
}

async fn in_session(command: Command, session: &Session) -> Result<(), CliError> {
    match command {
        Command::List(list) => list.run(session).await,
        Command::Describe(describe) => describe.run(session).await,
        Command::Logs(logs) => Box::pin(logs.run(session)).await,
        Command::Run(run) => Box::pin(run.run(session)).await,
        Command::Wait(wait) => wait.run(session).await,
        Command::History(history) => history.run(session).await,
        Command::Outputs(outputs) => outputs.run(session).await,
        Command::Locks(locks) => locks.run(session).await,
        Command::Templates(templates) => templates.run(session).await,
        Command::Validate(validate) => validate.run(session).await,
        Command::Diff(diff) => diff.run(session).await,
        Command::Ui(ui) => Box::pin(ui.run(session)).await,
        Command::Rerun(rerun) => rerun.run(session).await,
        Command::Cancel(cancel) => cancel.run(session).await,
        Command::Suspend(suspend) => suspend.run(session).await,
        Command::Resume(resume) => resume.run(session).await,
        Command::Check(check) => check.run(session).await,
        // These need no session, or make their own.
        Command::Version(_) | Command::Completion(_) | Command::Complete(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_each_command_are_told_apart() {
        for line in [
            "list -A -o wide -w --phase Failed -l a=b --no-headers",
            "describe deploy --tail 3 -n shop",
            "logs deploy -f --run 3 --attempt all --tail 5 --since 5m --timestamps -o jsonl --exit-code",
            "run -f a.yaml --wait --timeout 5m --force-conflicts",
            "run --template release --cluster-template -p A=1 -p B=2 --package orders=1.4.2 --name x --logs",
            "run --template release --secret-parameter TOKEN=deploy/token",
            "wait deploy --for=succeeded --timeout 30",
            "history deploy -o json",
            "outputs deploy url --context c",
            "locks prod -A",
            "templates -A",
            "templates describe release --cluster-template --example --cluster c",
            "validate -f a.yaml -f -",
            "diff -f a.yaml,b.yaml --exit-code",
            "ui --port 8080 --write --no-open --context c",
            "rerun deploy --rerun-token x --request-timeout 3s",
            "cancel deploy --run 3",
            "suspend deploy --as alice --as-group a",
            "resume deploy --server https://x --token t",
            "check -f a.yaml -o yaml",
            "version --client",
            "completion bash",
            "__complete describe -n shop -- de",
        ] {
            let words = std::iter::once("kubectl-longshore").chain(line.split(' '));
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn no_command_has_a_flag_of_the_connection() {
        use clap::Command;

        fn below(command: &Command, globals: &[String]) {
            for inner in command.get_subcommands() {
                for flag in inner.get_arguments() {
                    assert!(!globals.contains(&flag.get_id().to_string()), "{} {flag}", inner.get_name());
                }
                below(inner, globals);
            }
        }
        let root = Arguments::command();
        let globals: Vec<String> = root
            .get_arguments()
            .filter(|flag| flag.is_global_set())
            .map(|flag| flag.get_id().to_string())
            .collect();
        assert!(globals.len() >= 11, "{globals:?}");
        below(&root, &globals);
    }
}
