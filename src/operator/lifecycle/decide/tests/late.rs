//! After an attempt has ended: a creation that was on its way may still arrive.

use super::*;
use crate::api::status::Launcher;

/// A run whose script ended well. `unanswered` says whether a creation has no answer.
fn over(unanswered: bool) -> World {
    let mut world = World::running();
    world.creation.unanswered = unanswered;
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
    world
}

fn show_ended(world: &mut World, change: impl FnOnce(&mut PodView)) {
    world.show_pod(|pod| {
        pod.started = true;
        pod.created_at = Some(Time(at(1)));
        pod.container = terminated("Completed", None);
        change(pod);
    });
}

#[test]
fn a_pod_that_somebody_deletes_keeps_its_name_while_another_creation_may_arrive() {
    let mut world = over(true);
    for deleting in [false, true] {
        show_ended(&mut world, |pod| pod.deleting = deleting);
        // Without our finalizer the pod could be gone the next moment, and its name free.
        assert_eq!(world.step(4), Step::Wait(Some(SignedDuration::from_secs(117))), "{deleting}");
        assert!(matches!(world.step(121), Step::Release { .. }), "{deleting}");
    }
    let mut world = over(false);
    show_ended(&mut world, |pod| pod.deleting = true);
    assert!(matches!(world.step(4), Step::Release { .. }), "nothing else was sent");
}

#[test]
fn a_pod_that_never_started_keeps_its_name_too() {
    let mut world = World::launching();
    world.creation.unanswered = true;
    let gone = |pod: &mut PodView| {
        (pod.deleting, pod.gone) = (true, true);
        pod.created_at = Some(Time(at(1)));
    };
    world.show_pod(gone);
    world.ends(4, Reason::PodDeleted);
    assert_eq!(world.step(4), Step::Wait(Some(SignedDuration::from_secs(117))));
    assert!(matches!(world.step(121), Step::Release { .. }));
}

#[test]
fn the_pod_of_an_action_that_is_being_deleted_keeps_its_name_as_long() {
    let mut world = World::running();
    world.action.metadata.deletion_timestamp = Some(Time(at(3)));
    world.creation.unanswered = true;
    show_ended(&mut world, |pod| pod.deleting = true);
    assert_eq!(world.step(4), Step::Wait(Some(SignedDuration::from_secs(117))));
    assert!(matches!(world.step(121), Step::Release { .. }));
    world.creation.unanswered = false;
    assert!(matches!(world.step(4), Step::Release { .. }));
}

#[test]
fn a_pod_that_came_long_after_its_run_was_taken_up_is_kept_from_when_it_came() {
    let mut action = action();
    action.spec.pod_retention_seconds = 0;
    let mut world = World::running_of(action);
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 410));
    world.ends(410, Reason::Succeeded);
    show_ended(&mut world, |pod| (pod.finalizer, pod.created_at) = (false, Some(Time(at(400)))));
    assert_eq!(world.step(411), Step::Wait(Some(SignedDuration::from_secs(109))));
    assert!(matches!(world.step(520), Step::Delete { .. }));
}

#[test]
fn a_pod_that_another_process_may_have_asked_for_keeps_its_name_from_when_that_was_over() {
    let another = || Some(Launcher::first("another"));
    let taken = |seconds| Some(Launcher::taking_over(PROCESS, Time(at(seconds))));
    for (launcher, free) in [
        // Another process may have sent a creation until the run's end.
        (another(), 100 + 120),
        (None, 100 + 120),
        // Another process may have sent a creation until this one took over.
        (taken(50), 50 + 120),
        (taken(-500), 1 + 120),
    ] {
        let mut world = World::running();
        run_mut(&mut world).launcher = launcher.clone();
        world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 100));
        world.creation.unanswered = true;
        world.ends(100, Reason::Succeeded);
        show_ended(&mut world, |pod| pod.deleting = true);
        let wait = SignedDuration::from_secs(free - 101);
        assert_eq!(world.step(101), Step::Wait(Some(wait)), "{launcher:?}");
        assert!(matches!(world.step(101 + 120), Step::Release { .. }), "{launcher:?}");
    }
    let mut world = World::running();
    run_mut(&mut world).launcher = another();
    world.action.metadata.deletion_timestamp = Some(Time(at(60)));
    world.creation.unanswered = true;
    show_ended(&mut world, |pod| pod.deleting = true);
    assert_eq!(
        world.step(61),
        Step::Wait(Some(SignedDuration::from_secs(119))),
        "nothing is sent since then"
    );
    assert!(matches!(world.step(180), Step::Release { .. }));
}
