//! These hold whatever a script, a node, a person or a neighbour does. No attempt starts twice, nothing runs
//! side by side that must not, and a status says what happened, or that nobody knows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kube::api::ListParams;
use longshore::api::{DeploymentAction, Reason};

use super::witness::{Life, Witness, truth};
use crate::{
    faults::told::{disagrees, told},
    support::namespace::Namespace,
};

/// What must not run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alone {
    /// Two scripts of an action's name.
    Action,
    /// Any two of the namespace: all its actions name one lock.
    Namespace,
}

/// Fails with all that is wrong in the namespace.
pub(crate) async fn assert_true(namespace: &Namespace, alone: Alone) {
    let begun = Instant::now();
    loop {
        let actions = namespace.api::<DeploymentAction>().list(&ListParams::default()).await;
        let actions = actions.expect("listing the actions").items;
        let wrong = judge(&Witness::get().lives(&namespace.name), &actions, alone);
        // A status can be faster than a connection's end.
        if wrong.is_empty() || begun.elapsed() > Duration::from_secs(2) {
            assert!(wrong.is_empty(), "{wrong:#?}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What is wrong.
fn judge(lives: &[Life], actions: &[DeploymentAction], alone: Alone) -> Vec<String> {
    let mut wrong = Vec::new();
    let truth = truth(lives);
    for ((run, attempt), truth) in &truth {
        if truth.starts > 1 {
            wrong.push(format!("attempt {attempt} of run {run} started {} times", truth.starts));
        }
    }
    wrong.extend(beside_each_other(lives, alone));
    for action in actions {
        let Some(status) = &action.status else { continue };
        let Some(run) = &status.run else { continue };
        for told in told(status, run) {
            wrong.extend(disagrees(&told, truth.get(&told.attempt)));
            // Nobody may say that something unknown has ended.
            let known = !matches!(told.reason, Some(Reason::Unknown | Reason::NodeLost));
            let lives_on = |life: &&Life| life.attempt == told.attempt && life.ended.is_none();
            if known && lives.iter().any(|life| lives_on(&life)) {
                let ((run, attempt), words) = (&told.attempt, told.words);
                wrong.push(format!("attempt {attempt} of run {run} is told as {words}, and lives on"));
            }
        }
    }
    wrong
}

/// Each life that began before one that must not be beside it was over.
fn beside_each_other(lives: &[Life], alone: Alone) -> Vec<String> {
    let mut groups = BTreeMap::<&str, Vec<&Life>>::new();
    for life in lives {
        let group = if alone == Alone::Namespace { "" } else { &life.action };
        groups.entry(group).or_default().push(life);
    }
    let mut wrong = Vec::new();
    for group in groups.values() {
        for (at, later) in group.iter().enumerate() {
            let still = |earlier: &&&Life| earlier.ended.is_none_or(|ended: Instant| ended > later.began);
            for earlier in group[..at].iter().filter(still) {
                let words = |life: &Life| {
                    format!("attempt {} of run {} of {}", life.attempt.1, life.attempt.0, life.action)
                };
                wrong.push(format!("{} started while {} was running", words(later), words(earlier)));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use longshore::api::{
        DeploymentActionSpec, DeploymentActionStatus, history::AttemptStatus, status::RunStatus,
    };

    use super::*;

    /// From one second to another, or on and on.
    fn life(action: &str, attempt: u32, from: u64, to: Option<u64>, code: Option<i32>) -> Life {
        static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let at = |seconds: u64| *EPOCH.get_or_init(Instant::now) + Duration::from_secs(seconds);
        Life {
            namespace: "n".into(),
            action: action.into(),
            attempt: (format!("{action}-1"), attempt),
            began: at(from),
            ended: to.map(at),
            code,
            said: Vec::new(),
        }
    }

    fn action(name: &str, reason: &str, exit_code: Option<i32>) -> DeploymentAction {
        let attempt = AttemptStatus { attempt: 1, reason: reason.into(), exit_code, ..Default::default() };
        let run = RunStatus {
            id: format!("{name}-1"),
            number: 1,
            attempt: 1,
            attempts: vec![attempt],
            ..Default::default()
        };
        let mut action = DeploymentAction::new(name, DeploymentActionSpec::default());
        action.status = Some(DeploymentActionStatus { run: Some(run), ..Default::default() });
        action
    }

    #[test]
    fn what_ran_twice_or_beside_another_is_told() {
        let after = [life("a", 1, 0, Some(2), None), life("a", 2, 3, Some(4), None)];
        assert!(judge(&after, &[], Alone::Namespace).is_empty());
        let twice = [life("a", 1, 0, Some(2), None), life("a", 1, 3, Some(4), None)];
        assert_eq!(judge(&twice, &[], Alone::Action), ["attempt 1 of run a-1 started 2 times"]);
        let beside = [life("a", 1, 0, Some(4), None), life("b", 1, 3, Some(5), None)];
        assert!(judge(&beside, &[], Alone::Action).is_empty());
        assert_eq!(judge(&beside, &[], Alone::Namespace).len(), 1);
        let lives_on = [life("a", 1, 0, None, None), life("a", 2, 30, Some(31), None)];
        assert_eq!(judge(&lives_on, &[], Alone::Action).len(), 1);
    }

    #[test]
    fn a_status_that_says_what_did_not_happen_is_told() {
        let killed = [life("a", 1, 0, Some(2), None)];
        for (reason, code, right) in [
            ("Unknown", None, true),
            ("DeadlineExceeded", Some(137), true),
            ("Succeeded", Some(0), false),
            ("InterpreterNotFound", None, false),
            ("ScriptFailed", Some(3), false),
        ] {
            let wrong = judge(&killed, &[action("a", reason, code)], Alone::Action);
            assert_eq!(wrong.is_empty(), right, "{reason}: {wrong:?}");
        }
        let lives_on = [life("a", 1, 0, None, None)];
        assert!(judge(&lives_on, &[action("a", "Unknown", None)], Alone::Action).is_empty());
        assert_eq!(judge(&lives_on, &[action("a", "DeadlineExceeded", Some(137))], Alone::Action).len(), 1);
    }
}
