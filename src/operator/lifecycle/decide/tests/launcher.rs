//! The process that may create the pod of an attempt.

use super::*;
use crate::api::{
    action::{Retry, RetryCause},
    status::Launcher,
};

/// A run that `launcher` announced, and whose pod nobody has seen.
fn launched_by(launcher: Option<Launcher>) -> World {
    let mut world = World::launching();
    run_mut(&mut world).launcher = launcher;
    world
}

fn another() -> Launcher {
    Launcher::first("longshore-2/2026-01-01T00:00:00Z")
}

#[test]
fn an_attempt_is_launched_by_who_announced_it() {
    let world = World::launching();
    assert!(run(&world).is_launched_only_by(PROCESS));
    let Step::Launch(attempt) = world.step(1) else { panic!() };
    assert_eq!(attempt.launcher, PROCESS);
}

#[test]
fn the_next_attempt_too() {
    let mut action = action();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::ScriptFailed], ..Retry::default() });
    let mut world = World::running_of(action);
    run_mut(&mut world).launcher = Some(another());
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.write(4);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world.write(600);
    assert_eq!((run(&world).attempt, run(&world).is_launched_only_by(PROCESS)), (2, true));
}

#[test]
fn what_another_process_announced_is_looked_for_and_taken_over_before_it_is_launched() {
    // The status of an older operator names no process.
    for launcher in [Some(another()), None] {
        let mut world = launched_by(launcher);
        let before = world.action.status.clone().unwrap();
        assert_eq!(world.step(1), Step::Look);
        world.pod = PodFact::Absent;
        world.write(1);
        let run = run(&world).clone();
        assert!(run.is_launched_by(PROCESS) && !run.is_launched_only_by(PROCESS));
        assert!(matches!(world.step(1), Step::Launch(_)));
        let mut after = world.action.status.clone().unwrap();
        after.run.as_mut().unwrap().launcher = before.run.as_ref().unwrap().launcher.clone();
        assert_eq!(after, before, "nothing else has changed");
    }
}

#[test]
fn a_pod_that_is_there_is_not_taken_over() {
    let mut world = launched_by(Some(another()));
    world.show_pod(|_| {});
    assert!(matches!(world.step(1), Step::Wait(Some(_))));
}

#[test]
fn two_that_believe_to_lead_do_not_take_an_attempt_from_each_other_as_fast_as_they_can() {
    let mut world = launched_by(Some(Launcher::taking_over(&another().process, Time(at(1)))));
    world.pod = PodFact::Absent;
    assert_eq!(world.step(1), Step::Wait(Some(SignedDuration::from_secs(2))));
    assert!(matches!(world.step(3), Step::WriteStatus(_)));
    // The other clock is ahead of this one. The wait still ends.
    assert_eq!(world.step(-5), Step::Wait(Some(SignedDuration::from_secs(2))));
}

#[test]
fn what_another_process_may_have_asked_for_is_given_up_by_a_tombstone_and_not_taken_over() {
    let mut world = launched_by(Some(another()));
    // This is what the process remembers.
    world.creation.unanswered = true;
    assert!(matches!(world.step(601), Step::Entomb { .. }));
}
