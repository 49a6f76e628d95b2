//! `kubectl longshore run`: applies one action, and stands for its run until the end.
//!
//! | file | what is in it |
//! |---|---|
//! | [`wanted`] | the action: from a file, or from a template and values |
//! | [`mod@apply`] | writes it, and says what the write was |
//! | [`ours`] | which run the write has asked for |
//! | [`interrupt`] | what Ctrl-C does |

pub(super) mod apply;
mod interrupt;
mod ours;
pub(super) mod wanted;

use std::{cell::Cell, path::PathBuf, pin::pin};

use clap::{ArgGroup, Args};
use kube::ResourceExt;

use self::{
    apply::{Applied, Write, apply},
    interrupt::Interrupted,
    ours::{Asked, Ours},
    wanted::Values,
};
use super::{
    act::place,
    connect::{Session, Timeout},
    diff,
    error::CliError,
    logs,
    progress::empty_line,
    terminal::{lines, print, tell},
    view::verdict::{Settled, Verdict},
    wait_for::{found, within},
};
use crate::{
    api::DeploymentAction,
    operator::lifecycle::decide::{Foreseen, foresee},
};

/// Applies one action, or makes one from a template. With --wait or --logs it ends with the run, and exits with the
/// script's exit code.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true), group = ArgGroup::new("to-the-end"))]
pub(super) struct Run {
    /// The file with the action. `-` is standard input.
    #[arg(short, long, value_name = "FILE", group = "source")]
    filename: Option<PathBuf>,
    /// Make an action from this template.
    #[arg(long, value_name = "NAME", group = "source")]
    template: Option<String>,
    #[command(flatten)]
    values: Values,
    /// Wait until the run has ended.
    #[arg(long, group = "to-the-end")]
    wait: bool,
    /// Print the run's log, and wait until the run has ended.
    #[arg(long, group = "to-the-end")]
    logs: bool,
    /// The longest time to wait: seconds, or a time such as 30s or 2m. Then the run goes on without this command.
    #[arg(long, value_name = "TIME", requires = "to-the-end")]
    timeout: Option<Timeout>,
    /// Take over fields that another tool has applied with another value.
    #[arg(long)]
    force_conflicts: bool,
}

impl Run {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let (session, wanted) = match (&self.filename, &self.template) {
            (Some(file), _) => wanted::of_file(session, file).await?,
            (None, template) => {
                let template = template.as_deref().unwrap_or_default();
                wanted::of_template(session, template, &self.values).await?
            }
        };
        let applied = apply(&session, &wanted, self.force_conflicts).await?;
        let said = said(&applied, &place(&session));
        if self.logs {
            // Standard output is the script's.
            tell(&said);
        } else {
            print(&format!("{said}\n"))?;
        }
        if !self.wait && !self.logs {
            return Ok(());
        }
        if applied.write == Write::Unchanged {
            return at_rest(&applied.action, &place(&session));
        }
        Box::pin(self.to_the_end(&session, applied.action)).await
    }

    /// Stands for the run that the write has asked for, until its end or Ctrl-C.
    async fn to_the_end(&self, session: &Session, action: DeploymentAction) -> Result<(), CliError> {
        let name = action.name_any();
        let ours = Cell::new(None);
        let late = || {
            let place = place(session);
            format!(
                "{name} has not finished in time, and goes on\nkubectl longshore wait {name}{place} waits on; kubectl longshore cancel {name}{place} ends it"
            )
        };
        let mut end = pin!(within(self.timeout, late, self.end(session, action, &ours)));
        tokio::select! {
            end = &mut end => return end,
            () = interrupt::ctrl_c() => empty_line(),
        }
        match interrupt::handle(session, &name, ours.get()).await {
            Interrupted::Cancelled => {
                // A second Ctrl-C does not wait for the script's end.
                tokio::select! {
                    _ = &mut end => {}
                    () = interrupt::ctrl_c() => empty_line(),
                }
            }
            Interrupted::LeftAlone => {}
        }
        Err(CliError::Ended(super::error::INTERRUPTED))
    }

    async fn end(
        &self,
        session: &Session,
        action: DeploymentAction,
        ours: &Cell<Option<u32>>,
    ) -> Result<(), CliError> {
        let (name, place) = (action.name_any(), place(session));
        let asked = Asked::of(&action);
        let (run, action) = match found(session, action, |action| Ok(asked.look(action))).await? {
            (Ours::Run(run), action) => (run, action),
            (Ours::NoRun, action) => return at_rest(&action, &place),
        };
        ours.set(Some(run));
        let action = if self.logs { print_log(session, action, run).await? } else { action };
        let verdict = found(session, action, |action| Ok(Verdict::of(action, run))).await?;
        conclude(&verdict, &name, &place)
    }
}

/// Prints the log of each attempt of the run. Returns the action as it was seen last.
async fn print_log(
    session: &Session,
    mut action: DeploymentAction,
    run: u32,
) -> Result<DeploymentAction, CliError> {
    let name = action.name_any();
    let mut printed = 0;
    loop {
        let look = |action: &DeploymentAction| Ok(ours::to_print(action, run, printed));
        let (attempt, seen) = found(session, action, look).await?;
        let Some(attempt) = attempt else { return Ok(seen) };
        printed = attempt;
        match logs::follow(session, &name, run).await {
            Ok(()) => {}
            Err(CliError::Closed) => return Err(CliError::Closed),
            // How the run ends is still worth to know.
            Err(error) => tell(&format!("the log is not shown: {}", lines(&error.to_string()))),
        }
        action = seen;
    }
}

/// What was written, and what follows from it.
fn said(applied: &Applied, place: &str) -> String {
    let name = applied.action.name_any();
    let foreseen = foresee(&applied.action);
    let (_, why) = diff::words(foreseen);
    let written = match applied.write {
        Write::Created => "created",
        Write::Changed => "changed",
        Write::Unchanged => "unchanged",
    };
    let next = match foreseen {
        Foreseen::Rests | Foreseen::NotRequested => {
            format!("\nkubectl longshore rerun {name}{place} runs it again")
        }
        Foreseen::HeldBack(_) => format!("\nkubectl longshore resume {name}{place} lets it run"),
        _ if applied.write == Write::Unchanged => {
            format!("\nkubectl longshore wait {name}{place} waits for its end")
        }
        _ => String::new(),
    };
    match (applied.write, foreseen) {
        (Write::Unchanged, Foreseen::Rests | Foreseen::NotRequested) => {
            format!("{name}: unchanged, so nothing runs{next}")
        }
        _ => format!("{name}: {written}; {why}{next}"),
    }
}

/// The end of a command whose write has asked for no run: that of the latest run.
fn at_rest(action: &DeploymentAction, place: &str) -> Result<(), CliError> {
    let name = action.name_any();
    let number = match Settled::of(action) {
        Settled::Ended(run) => run,
        Settled::NeverRan => {
            return Err(CliError::Failed(format!(
                "{name} has had no run, and none is asked for\nkubectl longshore rerun {name}{place} asks for one"
            )));
        }
        Settled::No => {
            return Err(CliError::Failed(format!(
                "this command has started no run, and what was asked for earlier has not ended\nkubectl longshore wait {name}{place} waits for its end"
            )));
        }
    };
    match Verdict::of(action, number) {
        Some(verdict) if !verdict.succeeded() => Err(CliError::Failed(format!(
            "this command has started no run, and {}\nkubectl longshore describe {name}{place} says why",
            lines(&verdict.words(&name))
        ))),
        _ => Ok(()),
    }
}

/// Says how the run ended, and ends the program in the same way.
fn conclude(verdict: &Verdict, name: &str, place: &str) -> Result<(), CliError> {
    let words = verdict.words(name);
    if verdict.succeeded() {
        tell(&words);
        return Ok(());
    }
    tell(&format!("{}\nkubectl longshore describe {name}{place} says why, and what to do", lines(&words)));
    Err(CliError::Ended(verdict.code()))
}

#[cfg(test)]
mod tests;
