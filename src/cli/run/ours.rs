//! Which run a write has asked for.

use crate::{
    api::{DeploymentAction, status::RunStatus},
    cli::view::verdict::{Settled, Verdict},
};

/// What a write has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// The generation that the write returned.
    generation: i64,
    /// The latest run before the write. The status that the write returned names it.
    before: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    /// This run.
    Run(u32),
    /// The operator has seen the write, and has started no run for it.
    NoRun,
}

impl Asked {
    pub(super) fn of(written: &DeploymentAction) -> Self {
        Self {
            generation: written.metadata.generation.unwrap_or_default(),
            before: latest(written).map_or(0, |run| run.number),
        }
    }

    /// What came of it, with the action that says so. `None` if that is not known yet.
    pub(super) fn look(&self, action: &DeploymentAction) -> Option<(Ours, DeploymentAction)> {
        let ours = match latest(action) {
            Some(run) if run.number > self.before && run.generation >= self.generation => {
                Ours::Run(run.number)
            }
            _ if action.metadata.generation < Some(self.generation) => return None,
            _ if Settled::of(action) == Settled::No => return None,
            _ => Ours::NoRun,
        };
        Some((ours, action.clone()))
    }
}

/// The attempt of the run whose log comes next, with the action that says so. The attempt is `None` if the run has
/// ended and no log is left. `None` as long as the next attempt has no pod.
pub(super) fn to_print(
    action: &DeploymentAction,
    run: u32,
    printed: u32,
) -> Option<(Option<u32>, DeploymentAction)> {
    let ended = Verdict::of(action, run).is_some();
    let attempt = match latest(action).filter(|latest| latest.number == run) {
        // An attempt without a pod has no log.
        Some(latest) => latest.pod_uid.is_some().then_some(latest.attempt),
        None => past_attempts(action, run),
    };
    match attempt.filter(|attempt| *attempt > printed) {
        Some(attempt) => Some((Some(attempt), action.clone())),
        None if ended => Some((None, action.clone())),
        None => None,
    }
}

fn past_attempts(action: &DeploymentAction, run: u32) -> Option<u32> {
    let past = action.status.as_ref()?.history.iter().find(|past| past.number == run)?;
    Some(past.attempts).filter(|attempts| *attempts > 0)
}

fn latest(action: &DeploymentAction) -> Option<&RunStatus> {
    action.status.as_ref()?.run.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Reason,
        operator::testing::objects::{action, ended},
    };

    fn look(asked: Asked, action: &DeploymentAction) -> Option<Ours> {
        asked.look(action).map(|(ours, _)| ours)
    }

    /// An action whose spec has this generation, with this run, of that generation, under way.
    fn under_way(generation: i64, run: u32, of: i64) -> DeploymentAction {
        let mut action = ended(Reason::Succeeded);
        action.metadata.generation = Some(generation);
        let status = action.status.as_mut().unwrap();
        status.conditions.clear();
        status.history.clear();
        status.observed_generation = Some(of);
        let latest = status.run.as_mut().unwrap();
        (latest.number, latest.generation, latest.finished_at) = (run, of, None);
        action
    }

    #[test]
    fn the_run_of_a_new_action_is_its_first() {
        let asked = Asked::of(&action());
        assert_eq!(look(asked, &action()), None);
        assert_eq!(look(asked, &under_way(1, 1, 1)), Some(Ours::Run(1)));
        assert_eq!(look(asked, &ended(Reason::ScriptFailed)), Some(Ours::Run(1)), "it has ended already");
    }

    #[test]
    fn the_run_of_a_change_is_the_first_that_executes_it() {
        let asked = Asked::of(&under_way(2, 3, 1));
        assert_eq!(look(asked, &under_way(2, 3, 1)), None, "the run before it goes on");
        assert_eq!(look(asked, &under_way(2, 4, 1)), None, "a rerun of the old spec is not it");
        assert_eq!(look(asked, &under_way(2, 4, 2)), Some(Ours::Run(4)));
        assert_eq!(look(asked, &under_way(5, 4, 3)), Some(Ours::Run(4)), "others change it further");
    }

    #[test]
    fn a_change_that_the_operator_has_seen_may_start_no_run() {
        let mut written = ended(Reason::Succeeded);
        written.metadata.generation = Some(2);
        let asked = Asked::of(&written);
        assert_eq!(look(asked, &written), None);
        let mut seen = written.clone();
        seen.status.as_mut().unwrap().observed_generation = Some(2);
        assert_eq!(look(asked, &seen), Some(Ours::NoRun));
        assert_eq!(look(asked, &ended(Reason::Succeeded)), None, "this is older than the write");
    }

    #[test]
    fn the_log_of_each_attempt_is_printed_once() {
        let mut action = under_way(1, 1, 1);
        let printed = |action: &DeploymentAction, printed: u32| {
            to_print(action, 1, printed).map(|(attempt, _)| attempt)
        };
        assert_eq!(printed(&action, 0), None, "there is no pod yet");
        let run = action.status.as_mut().unwrap().run.as_mut().unwrap();
        run.pod_uid = Some("pod-1".into());
        assert_eq!(printed(&action, 0), Some(Some(1)));
        assert_eq!(printed(&action, 1), None, "another attempt may follow");
        action.status.as_mut().unwrap().run.as_mut().unwrap().attempt = 2;
        assert_eq!(printed(&action, 1), Some(Some(2)));
        let mut done = ended(Reason::ImageNotFound);
        assert_eq!(printed(&done, 0), Some(None), "it never had a pod");
        done.status.as_mut().unwrap().run.as_mut().unwrap().pod_uid = Some("pod-1".into());
        assert_eq!(printed(&done, 0), Some(Some(1)));
        assert_eq!(printed(&done, 1), Some(None));
    }
}
