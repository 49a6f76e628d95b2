//! Things that people and clocks do although they make no sense. Nothing runs twice because of them, and
//! nothing hangs.

use super::*;
use crate::api::{
    ANNOTATION_CANCEL, ANNOTATION_RERUN, Phase,
    action::{Retry, RetryCause},
};

fn annotate(world: &mut World, name: &str, value: &str) {
    let annotations = world.action.metadata.annotations.get_or_insert_default();
    annotations.insert(name.to_owned(), value.to_owned());
}

fn retrying() -> World {
    let mut action = action();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::ScriptFailed], ..Retry::default() });
    let mut world = World::running_of(action);
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.write(4);
    assert_eq!(world.phase(), "Retrying");
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world
}

#[test]
fn a_cancel_of_run_2_ends_neither_run_3_nor_what_follows() {
    let mut world = World::running();
    (run_mut(&mut world).number, run_mut(&mut world).id) = (3, "5f3c9a1b-3".into());
    world.show_pod(|pod| {
        pod.attempt = Some((3, 1));
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.progress_due = false;
    annotate(&mut world, ANNOTATION_CANCEL, "5f3c9a1b-2");
    assert!(matches!(world.step(4), Step::Wait(Some(_))), "{:?}", world.step(4));
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 5));
    world.ends(5, Reason::Succeeded);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    annotate(&mut world, ANNOTATION_RERUN, "again");
    world.resolution = Some(resolved());
    world.write(6);
    assert_eq!((world.run_number(), world.phase().as_str()), (4, "Launching"));
    let status = world.action.status.as_ref().unwrap();
    assert!(
        !status.conditions().is_true(ConditionType::RequestIgnored),
        "it came too late, which is no mistake"
    );
}

#[test]
fn cancelled_and_asked_to_run_again_in_one_moment_the_one_ends_and_the_other_begins() {
    let mut world = World::running();
    annotate(&mut world, ANNOTATION_CANCEL, "5f3c9a1b-1");
    annotate(&mut world, ANNOTATION_RERUN, "again");
    world.write(3);
    assert_eq!(world.reason(), Reason::Stopping);
    let stop = Some(Stop { cause: StopCause::Terminated, killed: false });
    let stopped = Exit { stop, ..exit(Outcome::Signaled { signal: 15 }) };
    world.log = Some(log_with(stopped, LogState::Complete, 6));
    world.ends(6, Reason::Cancelled);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world.resolution = Some(resolved());
    world.write(7);
    assert_eq!((world.run_number(), world.phase().as_str()), (2, "Launching"));
    world.resolution = None;
    assert!(matches!(world.step(7), Step::Launch(_)), "the cancel was of the run before");
}

#[test]
fn a_spec_that_never_rests_is_taken_as_it_is_when_the_run_is_frozen() {
    let mut world = World::new(action());
    let message = "timeout".to_owned();
    world.resolution = Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message });
    for second in 0..20 {
        world.change(|spec| spec.args = vec![second.to_string()]);
        world.write(second);
        assert_eq!((world.run_number(), world.phase().as_str()), (1, "Pending"));
    }
    world.resolution = Some(resolved());
    world.write(20);
    assert_eq!((run_mut(&mut world).generation, world.run_number()), (21, 1));
    world.resolution = None;
    let Step::Launch(attempt) = world.step(20) else { panic!("{:?}", world.step(20)) };
    assert!(attempt.bundle.contains("\"19\""), "{}", attempt.bundle);
    // The script may have started although the kubelet has not said so yet. So the pod keeps its time,
    // whatever changes.
    world.show_pod(|_| {});
    for second in 20..40 {
        world.change(|spec| spec.args = vec![second.to_string()]);
        assert!(matches!(world.step(second), Step::Wait(Some(_))), "{:?}", world.step(second));
    }
    assert_eq!(world.run_number(), 1);
    // It does not wait for ever either.
    world.write(20 + 60);
    assert_eq!(world.reason(), Reason::Stopping);
}

#[test]
fn a_clock_set_back_an_hour_begins_nothing_again_and_ends_nothing_early() {
    let past = 5 - 3600;
    let Step::Launch(attempt) = World::launching().step(past) else { panic!() };
    assert_eq!((attempt.run, attempt.attempt), (1, 1), "the same name");
    let waits =
        |world: &World| assert!(matches!(world.step(past), Step::Wait(Some(_))), "{:?}", world.step(past));
    waits(&World::with_pod(|_| {}));
    let mut running = World::running();
    running.progress_due = false;
    waits(&running);
    waits(&retrying());
    assert_eq!(done().step(past), Step::Wait(None));
    // A script that ends meanwhile has ended.
    running.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, past));
    running.ends(past, Reason::Succeeded);
    // Setting the clock right again causes nothing either.
    (running.pod, running.log) = (PodFact::NotSeen, None);
    assert_eq!(running.step(6), Step::Wait(None));
    // A run that waited for its pod is bound by its own beginning, and by no later time.
    let mut world = World::with_pod(|_| {});
    world.write(600);
    assert!(matches!(world.step(600), Step::Delete { .. }));
}

#[test]
fn an_end_that_somebody_takes_out_of_the_status_is_told_again_and_nothing_runs() {
    for number in [1, 0] {
        let mut world = done();
        let status = world.action.status.as_mut().unwrap();
        status.conditions.clear();
        status.phase = Some(Phase::Running);
        run_mut(&mut world).finished_at = None;
        (run_mut(&mut world).pod_uid, run_mut(&mut world).started_at) = (None, None);
        run_mut(&mut world).number = number;
        if number == 1 {
            world.write(5);
            assert_eq!((world.reason(), world.finished()), (Reason::Succeeded, true));
            assert_eq!(world.step(6), Step::Wait(None));
        }
        // Another run does not get a number that was used either.
        annotate(&mut world, ANNOTATION_RERUN, "again");
        world.resolution = Some(resolved());
        world.write(7);
        assert_eq!(world.run_number(), 2, "{number}");
    }
}

#[test]
fn an_attempt_that_has_ended_is_not_begun_again_whatever_is_taken_out() {
    let mut world = retrying();
    run_mut(&mut world).next_attempt_at = None;
    (run_mut(&mut world).pod_uid, run_mut(&mut world).started_at) = (None, None);
    world.ends(5, Reason::Unknown);
    assert_eq!(run_mut(&mut world).attempt, 1);

    let mut world = World::running();
    run_mut(&mut world).pod_uid = None;
    world.pod = PodFact::NotSeen;
    assert_eq!(world.step(5), Step::Look);
    (world.pod, world.log) = (PodFact::Absent, None);
    world.ends(5, Reason::Unknown);
}
