//! What would follow from an action as it is written, for people who ask before they apply it.
//!
//! The answers are those of the decision itself: both use the same functions. What only the cluster can tell, such as
//! a lock that is held or an image that does not exist, is not looked at.

use super::{
    start::{Start, bears_otherwise, is_over, start},
    superseded::asks_for_another,
};
use crate::{
    api::{DeploymentAction, status::Trigger},
    operator::lifecycle::requests::Requests,
};

/// What follows from an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreseen {
    /// A run begins.
    Runs(Trigger),
    /// A run is asked for, and `spec.suspend` holds it back.
    HeldBack(Trigger),
    /// The run that is under way goes on, and another one follows it.
    RunsNext(Trigger),
    /// The run that is under way yields if its script has not started. If it has, the run goes on. Another one follows
    /// it in both cases.
    Yields(Trigger),
    /// The run that is under way goes on. If it fails, another one follows it, because something that affects a run
    /// was changed.
    RunsIfFailed,
    /// The run that is under way goes on, and none follows it.
    GoesOn,
    /// No run was ever asked for, and `spec.runPolicy` is `Manual`.
    NotRequested,
    /// No run begins.
    Rests,
}

/// What follows from an action with the status that it has.
#[must_use]
pub fn foresee(action: &DeploymentAction) -> Foreseen {
    let status = action.status.clone().unwrap_or_default();
    let next = start(&Requests::of(action), &status);
    match status.run.as_ref().filter(|run| !is_over(&status, run)) {
        Some(run) if run.started_at.is_none() && asks_for_another(action, run) => {
            Foreseen::Yields(match next {
                Start::Run(trigger) => trigger,
                _ => Trigger::SpecChanged,
            })
        }
        Some(run) => match next {
            Start::Run(trigger) => Foreseen::RunsNext(trigger),
            _ if bears_otherwise(action, run, run.settings_hash.as_ref()) => Foreseen::RunsIfFailed,
            _ => Foreseen::GoesOn,
        },
        None => match next {
            Start::Run(trigger) if action.spec.suspend == Some(true) => Foreseen::HeldBack(trigger),
            Start::Run(trigger) => Foreseen::Runs(trigger),
            Start::Never => Foreseen::NotRequested,
            Start::Rebase(_) | Start::No => Foreseen::Rests,
        },
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;
    use crate::{
        api::{ANNOTATION_RERUN, Reason, action::RunPolicy},
        operator::{
            spec::hash::settings_hash,
            testing::objects::{self, action},
        },
    };

    fn changed(mut action: DeploymentAction, change: impl FnOnce(&mut DeploymentAction)) -> Foreseen {
        action.metadata.generation = Some(2);
        change(&mut action);
        foresee(&action)
    }

    fn ended(reason: Reason) -> DeploymentAction {
        let mut action = objects::ended(reason);
        action.status.as_mut().unwrap().run.as_mut().unwrap().settings_hash =
            settings_hash(&action.spec).ok();
        action
    }

    fn under_way(started: bool) -> DeploymentAction {
        let mut action = ended(Reason::Succeeded);
        let status = action.status.as_mut().unwrap();
        status.history.clear();
        status.conditions.clear();
        let run = status.run.as_mut().unwrap();
        run.finished_at = None;
        run.started_at = started.then_some(Time(Timestamp::UNIX_EPOCH));
        action
    }

    fn args(action: &mut DeploymentAction) {
        action.spec.args = vec!["another".into()];
    }

    fn deadline(action: &mut DeploymentAction) {
        action.spec.run_deadline_seconds = Some(5);
    }

    #[test]
    fn a_change_is_foreseen_as_it_is_decided() {
        let (succeeded, failed) = (ended(Reason::Succeeded), ended(Reason::ScriptFailed));
        let runs = Foreseen::Runs(Trigger::SpecChanged);
        assert_eq!(foresee(&action()), Foreseen::Runs(Trigger::Created));
        assert_eq!(
            changed(action(), |action| action.spec.run_policy = RunPolicy::Manual),
            Foreseen::NotRequested
        );
        assert_eq!(changed(succeeded.clone(), |_| {}), Foreseen::Rests);
        assert_eq!(changed(succeeded.clone(), args), runs);
        assert_eq!(changed(succeeded.clone(), deadline), Foreseen::Rests);
        assert_eq!(changed(failed, deadline), runs);
        let token = |action: &mut DeploymentAction| action.spec.run_token = Some("new".into());
        assert_eq!(changed(succeeded.clone(), token), Foreseen::Runs(Trigger::RunToken));
        let suspended = |action: &mut DeploymentAction| {
            args(action);
            action.spec.suspend = Some(true);
        };
        assert_eq!(changed(succeeded.clone(), suspended), Foreseen::HeldBack(Trigger::SpecChanged));
        let rerun = |action: &mut DeploymentAction| {
            action.metadata.annotations = Some([(ANNOTATION_RERUN.to_owned(), "x".to_owned())].into());
        };
        assert_eq!(changed(succeeded, rerun), Foreseen::Runs(Trigger::Rerun));
    }

    #[test]
    fn a_change_while_a_run_is_under_way_ends_it_only_before_its_script() {
        assert_eq!(changed(under_way(false), args), Foreseen::Yields(Trigger::SpecChanged));
        assert_eq!(changed(under_way(true), args), Foreseen::RunsNext(Trigger::SpecChanged));
        assert_eq!(changed(under_way(true), deadline), Foreseen::RunsIfFailed);
        assert_eq!(changed(under_way(true), |_| {}), Foreseen::GoesOn);
    }
}
