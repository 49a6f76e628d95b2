//! Ctrl-C during `run`. It ends the command. Whether it ends the run, too, a person decides.

use std::io::IsTerminal;

use crate::cli::{
    act::{cancel, place},
    connect::Session,
    terminal::{lines, tell},
};

/// What Ctrl-C has done to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// It is being cancelled.
    Cancelled,
    /// Nothing.
    LeftAlone,
}

/// Waits for Ctrl-C. Where that cannot be waited for, the system's own handling ends the program.
pub(super) async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Asks whether to cancel the run, if there is somebody to ask. Says what becomes of it.
pub(super) async fn handle(session: &Session, name: &str, run: Option<u32>) -> Interrupted {
    let place = place(session);
    let Some(run) = run else {
        tell(&format!(
            "{name} is applied, and its run has not begun: it will, without this command\nkubectl longshore suspend {name}{place} holds it back"
        ));
        return Interrupted::LeftAlone;
    };
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if asks && wants_to_cancel(name, run).await {
        match cancel(session, name, Some(run)).await {
            Ok(said) => {
                tell(&format!("{said}\nwaiting for its end; Ctrl-C leaves at once"));
                return Interrupted::Cancelled;
            }
            // For example because the run has ended meanwhile.
            Err(error) => {
                tell(&lines(&error.to_string()));
                return Interrupted::LeftAlone;
            }
        }
    }
    tell(&left_alone(name, run, &place));
    Interrupted::LeftAlone
}

fn left_alone(name: &str, run: u32, place: &str) -> String {
    format!(
        "run {run} of {name} goes on\nkubectl longshore cancel {name}{place} --run {run} ends it; kubectl longshore logs {name}{place} -f follows it"
    )
}

/// Asks on the terminal. Anything but yes is no, such as another Ctrl-C.
async fn wants_to_cancel(name: &str, run: u32) -> bool {
    tell(&format!("cancel run {run} of {name}? [y/N]"));
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A thread of the runtime would keep the program from ending while nobody answers.
    std::thread::spawn(move || {
        let mut line = String::new();
        drop(std::io::stdin().read_line(&mut line));
        drop(answer.send(line));
    });
    tokio::select! {
        line = answered => line.is_ok_and(|line| is_yes(&line)),
        () = ctrl_c() => false,
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y\n", "Yes\n", " YES "] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yep\n", "no"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
