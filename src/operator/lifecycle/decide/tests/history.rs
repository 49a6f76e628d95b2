//! The record of attempts and runs.

use super::*;
use crate::api::history::RunOutcome;

#[test]
fn a_run_is_kept_in_the_write_that_ends_it() {
    let world = succeeded();
    let status = world.action.status.as_ref().unwrap();
    let [past] = &status.history[..] else { panic!("{:?}", status.history) };
    assert_eq!((past.number, past.id.as_str(), past.attempts), (1, "5f3c9a1b-1", 1));
    assert_eq!((past.outcome, past.reason.as_str()), (RunOutcome::Succeeded, "Succeeded"));
    assert_eq!((past.exit_code, past.trigger), (Some(0), Trigger::Created));
    assert_eq!(past.image, Some(format!("registry.example.com/tools@sha256:{}", "1".repeat(64))));
    assert_eq!((past.started_at.clone(), past.finished_at.clone()), (Some(Time(at(2))), Some(Time(at(3)))));
    let [attempt] = &status.run.as_ref().unwrap().attempts[..] else { panic!() };
    assert_eq!((attempt.attempt, attempt.reason.as_str(), attempt.exit_code), (1, "Succeeded", Some(0)));
    assert_eq!(attempt.pod_uid.as_deref(), Some("pod-1"));
}

#[test]
fn a_new_run_keeps_what_was_before_it_and_begins_without_attempts() {
    let mut world = done();
    world.change(|spec| spec.args = vec!["x".into()]);
    world.resolution = Some(Resolution::Refused { reason: Reason::ImageNotFound, message: "no".into() });
    world.ends(4, Reason::ImageNotFound);
    let status = world.action.status.as_ref().unwrap();
    let kept: Vec<_> =
        status.history.iter().map(|run| (run.number, run.attempts, run.reason.as_str())).collect();
    assert_eq!(kept, [(2, 0, "ImageNotFound"), (1, 1, "Succeeded")], "one that had no pod had no attempt");
    assert!(status.run.as_ref().unwrap().attempts.is_empty());
}

#[test]
fn what_comes_after_the_end_is_no_other_run() {
    let mut world = World::running();
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Collecting, 2));
    world.ends(3, Reason::ScriptFailed);
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 2));
    world.write(4);
    assert_eq!(world.action.status.as_ref().unwrap().history.len(), 1);
}
