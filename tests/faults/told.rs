//! How attempts ended: the status against the records that the scripts wrote themselves.

use longshore::api::{DeploymentActionStatus, Reason, reason::Class, status::RunStatus};

/// An attempt: the run's id and the attempt's number.
pub(crate) type Attempt = (String, u32);

/// What is known of one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) starts: usize,
    pub(crate) ends: Vec<i32>,
}

/// A status' words about the end of an attempt.
pub(crate) struct Told<'a> {
    pub(crate) attempt: Attempt,
    pub(crate) reason: Option<Reason>,
    pub(crate) code: Option<i32>,
    pub(crate) words: &'a str,
}

/// The status' words about each ended attempt.
pub(crate) fn told<'a>(status: &'a DeploymentActionStatus, run: &'a RunStatus) -> Vec<Told<'a>> {
    let mut all: Vec<Told<'a>> = run
        .attempts
        .iter()
        .map(|ended| Told {
            attempt: (run.id.clone(), ended.attempt),
            reason: Reason::parse(&ended.reason),
            code: ended.exit_code,
            words: &ended.reason,
        })
        .collect();
    // A run that ends between two attempts ends for a reason of its own.
    let between = [Reason::FrozenInputsChanged, Reason::Superseded].map(Reason::as_str);
    let past = status.history.iter();
    let past = past.filter(|past| past.attempts > 0 && !between.contains(&past.reason.as_str()));
    let past = past.map(|past| Told {
        attempt: (past.id.clone(), past.attempts),
        reason: Reason::parse(&past.reason),
        code: past.exit_code,
        words: &past.reason,
    });
    all.extend(past);
    all
}

/// How what the status says of an attempt differs from what happened.
pub(crate) fn disagrees(told: &Told<'_>, truth: Option<&Truth>) -> Option<String> {
    let nothing = Truth::default();
    let truth = truth.unwrap_or(&nothing);
    let say = |what: &str| {
        let (id, attempt) = &told.attempt;
        Some(format!(
            "attempt {attempt} of run {id} is told as {} ({:?}), and {what}: {truth:?}",
            told.words, told.code
        ))
    };
    let Some(reason) = told.reason else { return say("that is no reason") };
    let killed = told.code.is_some_and(|code| code >= 128) && truth.ends.is_empty();
    match (reason, told.code) {
        (Reason::Unknown | Reason::NodeLost, _) => None,
        _ if reason.class() == Class::Progress && reason != Reason::Superseded => say("that is no end"),
        (Reason::Succeeded, _) if truth.ends != [0] => say("the script did not end well"),
        // A signal may end it before it has counted its start.
        (_, Some(code)) if truth.starts == 0 && code < 128 => say("the script never started"),
        // No runner is killed here before its script.
        (Reason::OutOfMemory, _) if truth.starts == 0 => say("the script never started"),
        (_, Some(code)) if !killed && truth.ends != [code] => say("it ended otherwise"),
        (_, None) if truth.starts > 0 && truth.ends == [0] => say("the script ended well"),
        (_, None) if truth.starts > 0 && never_started(reason) => say("the script has started"),
        _ => None,
    }
}

/// Reasons that, without an exit code, say that nothing was started.
fn never_started(reason: Reason) -> bool {
    !matches!(reason, Reason::Unknown | Reason::NodeLost | Reason::OutOfMemory | Reason::Evicted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_says_what_did_not_happen_is_told() {
        let ended = |code: i32| Truth { starts: 1, ends: vec![code] };
        let killed = Truth { starts: 1, ends: Vec::new() };
        let (succeeded, failed) = (Reason::Succeeded, Reason::ScriptFailed);
        for (reason, code, truth, right) in [
            (succeeded, Some(0), Some(ended(0)), true),
            (succeeded, Some(0), Some(ended(3)), false),
            (succeeded, Some(0), None, false),
            (failed, Some(3), Some(ended(3)), true),
            (failed, Some(3), Some(ended(0)), false),
            (Reason::Cancelled, Some(137), Some(killed.clone()), true),
            (Reason::PodDeleted, Some(143), None, true),
            (failed, Some(3), None, false),
            (Reason::Cancelled, None, None, true),
            (Reason::Cancelled, None, Some(ended(143)), false),
            (Reason::PendingDeadlineExceeded, None, None, true),
            (Reason::PendingDeadlineExceeded, None, Some(killed), false),
            (Reason::Superseded, None, None, true),
            (Reason::Superseded, None, Some(ended(0)), false),
            (Reason::Unknown, None, Some(ended(0)), true),
            (Reason::Running, None, Some(ended(0)), false),
        ] {
            let told =
                Told { attempt: ("a-1".to_owned(), 1), reason: Some(reason), code, words: reason.as_str() };
            let wrong = disagrees(&told, truth.as_ref());
            assert_eq!(wrong.is_none(), right, "{reason} {code:?} {truth:?}: {wrong:?}");
        }
    }
}
