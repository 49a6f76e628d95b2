//! How a run ended, and whether anything of an action is still to come.

use crate::{
    api::{
        ConditionType, DeploymentAction, Reason,
        history::{PastRun, RunOutcome},
        status::RunStatus,
    },
    cli::error::{FAILED, TIMED_OUT},
    operator::lifecycle::requests::Requests,
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The run's number.
    pub run: u32,
    /// How it ended, in one word.
    pub outcome: RunOutcome,
    /// The reason, if the operator still has it.
    pub reason: String,
    /// The script's exit code.
    pub exit: Option<i32>,
}

impl Verdict {
    /// How this run of an action ended. `None` while it is under way.
    #[must_use]
    pub fn of(action: &DeploymentAction, run: u32) -> Option<Self> {
        let status = action.status.as_ref()?;
        if let Some(past) = status.history.iter().find(|past| past.number == run) {
            return Some(Self::of_past(past));
        }
        let latest = status.run.as_ref()?;
        // It has left the history, or somebody has emptied that.
        (latest.number > run).then(|| Self {
            run,
            outcome: RunOutcome::Unknown,
            reason: String::new(),
            exit: None,
        })
    }

    fn of_past(past: &PastRun) -> Self {
        Self { run: past.number, outcome: past.outcome, reason: past.reason.clone(), exit: past.exit_code }
    }

    /// Whether the run did its work.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.outcome == RunOutcome::Succeeded
    }

    /// The exit code of a program that stands for the run: 0, that of the script, 124 if a deadline passed, or 1.
    #[must_use]
    pub fn code(&self) -> u8 {
        if self.succeeded() {
            return 0;
        }
        match Reason::parse(&self.reason) {
            Some(
                Reason::DeadlineExceeded | Reason::PendingDeadlineExceeded | Reason::QueueDeadlineExceeded,
            ) => TIMED_OUT,
            // The script of a failed run may have ended with 0, for example without a required output.
            _ => {
                self.exit.and_then(|exit| u8::try_from(exit).ok()).filter(|exit| *exit > 0).unwrap_or(FAILED)
            }
        }
    }

    /// How the run ended, in one line.
    #[must_use]
    pub fn words(&self, name: &str) -> String {
        let ended = match self.outcome {
            RunOutcome::Succeeded => return format!("run {} of {name} succeeded", self.run),
            RunOutcome::Failed => "failed",
            RunOutcome::Cancelled => "was cancelled",
            RunOutcome::Superseded => "yielded to a newer spec",
            RunOutcome::Unknown => "ended, and nobody knows how",
        };
        let exit = self.exit.map(|exit| format!("exit code {exit}"));
        let known = Some(self.reason.clone()).filter(|reason| !reason.is_empty());
        let why: Vec<String> = known.into_iter().chain(exit).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        format!("run {} of {name} {ended}{why}", self.run)
    }
}

/// Whether anything of an action, as it is now, is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// A run is under way or follows, or the operator has not seen the action as it is.
    No,
    /// No run was ever asked for.
    NeverRan,
    /// The latest run has ended, and none follows.
    Ended(u32),
}

impl Settled {
    /// Whether anything of this action is still to come.
    #[must_use]
    pub fn of(action: &DeploymentAction) -> Self {
        let Some(status) = &action.status else { return Self::No };
        let seen = status.observed_generation.is_some_and(|seen| Some(seen) == action.metadata.generation);
        if !seen || Requests::of(action).wants_rerun(status) {
            return Self::No;
        }
        let ready = status.conditions().get(ConditionType::Ready);
        match &status.run {
            Some(RunStatus { number, .. }) if status.conditions().is_true(ConditionType::Finished) => {
                Self::Ended(*number)
            }
            None if ready.is_some_and(|ready| ready.reason == Reason::NotRequested.as_str()) => {
                Self::NeverRan
            }
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{ANNOTATION_RERUN, Phase},
        operator::testing::objects::{action, ended},
    };

    fn verdict(reason: Reason, exit: Option<i32>) -> Verdict {
        Verdict { run: 3, outcome: RunOutcome::of(reason), reason: reason.to_string(), exit }
    }

    #[test]
    fn each_verdict_has_its_exit_code() {
        for (reason, exit, code) in [
            (Reason::Succeeded, Some(0), 0),
            (Reason::ScriptFailed, Some(7), 7),
            (Reason::ScriptKilled, Some(137), 137),
            (Reason::OutputMissing, Some(0), 1),
            (Reason::DeadlineExceeded, Some(143), 124),
            (Reason::PendingDeadlineExceeded, None, 124),
            (Reason::QueueDeadlineExceeded, None, 124),
            (Reason::ImageNotFound, None, 1),
            (Reason::Cancelled, None, 1),
            (Reason::Superseded, None, 1),
            (Reason::NodeLost, None, 1),
            (Reason::ScriptFailed, Some(300), 1),
        ] {
            assert_eq!(verdict(reason, exit).code(), code, "{reason} {exit:?}");
        }
    }

    #[test]
    fn a_run_that_is_under_way_has_no_verdict_and_one_that_is_forgotten_is_unknown() {
        let mut action = ended(Reason::ScriptFailed);
        assert_eq!(Verdict::of(&action, 1).map(|of| of.outcome), Some(RunOutcome::Failed));
        assert_eq!(Verdict::of(&action, 2), None);
        let status = action.status.as_mut().unwrap();
        status.history.clear();
        assert_eq!(Verdict::of(&action, 1), None);
        action.status.as_mut().unwrap().run.as_mut().unwrap().number = 12;
        assert_eq!(Verdict::of(&action, 1).map(|of| of.outcome), Some(RunOutcome::Unknown));
    }

    #[test]
    fn how_a_run_ended_is_one_line() {
        let words = |reason, exit| verdict(reason, exit).words("deploy");
        assert_eq!(words(Reason::Succeeded, Some(0)), "run 3 of deploy succeeded");
        assert_eq!(
            words(Reason::ScriptFailed, Some(7)),
            "run 3 of deploy failed (ScriptFailed, exit code 7)"
        );
        assert_eq!(words(Reason::Cancelled, None), "run 3 of deploy was cancelled (Cancelled)");
    }

    #[test]
    fn an_action_is_settled_once_nothing_of_it_is_to_come() {
        assert_eq!(Settled::of(&action()), Settled::No);
        let done = ended(Reason::ScriptFailed);
        assert_eq!(Settled::of(&done), Settled::Ended(1));
        let mut changed = done.clone();
        changed.metadata.generation = Some(2);
        assert_eq!(Settled::of(&changed), Settled::No, "the operator has not seen the change");
        let mut again = done.clone();
        again.metadata.annotations = Some([(ANNOTATION_RERUN.to_owned(), "x".to_owned())].into());
        assert_eq!(Settled::of(&again), Settled::No, "a rerun follows");
        again.status.as_mut().unwrap().last_handled_rerun = Some("x".to_owned());
        assert_eq!(Settled::of(&again), Settled::Ended(1));
        let mut held = done;
        let status = held.status.as_mut().unwrap();
        status.conditions.clear();
        status.phase = Some(Phase::Suspended);
        assert_eq!(Settled::of(&held), Settled::No, "a run is held back");
    }
}
