//! The annotation that cancels a run. Each test's name is the sequence of events.

use super::*;
use crate::api::{ANNOTATION_CANCEL, history::RunOutcome};

const RUN_1: &str = "5f3c9a1b-1";

fn cancel(world: &mut World, id: &str) {
    let annotations = world.action.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_CANCEL.into(), id.into());
}

fn take_off(world: &mut World) {
    world.action.metadata.annotations = None;
}

fn message(world: &World) -> String {
    let status = world.action.status.as_ref().unwrap();
    status.conditions().get(ConditionType::Ready).unwrap().message.clone()
}

/// The status says that the run is being cancelled, before anything else is done.
fn announced(world: &mut World, seconds: i64) {
    world.write(seconds);
    assert_eq!((world.reason(), world.finished()), (Reason::Stopping, false));
    assert!(world.action.status.as_ref().unwrap().run.as_ref().unwrap().cancel_requested_at.is_some());
}

fn stopped(outcome: Outcome) -> Exit {
    Exit { stop: Some(Stop { cause: StopCause::Terminated, killed: false }), ..exit(outcome) }
}

#[test]
fn cancelled_while_its_image_is_being_resolved() {
    let mut world = World::new(action());
    world.resolution =
        Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message: "timeout".into() });
    world.write(0);
    cancel(&mut world, RUN_1);
    world.ends(1, Reason::Cancelled);
    assert!(message(&world).contains(ANNOTATION_CANCEL), "{}", message(&world));
    assert_eq!(world.action.status.as_ref().unwrap().history[0].outcome, RunOutcome::Cancelled);
    world.resolution = None;
    assert_eq!(world.step(2), Step::Wait(None), "it does not begin again");
}

#[test]
fn cancelled_before_its_pod_was_sent_off() {
    let mut world = World::launching();
    cancel(&mut world, RUN_1);
    announced(&mut world, 1);
    world.ends(1, Reason::Cancelled);
}

#[test]
fn cancelled_while_a_creation_may_be_on_its_way() {
    let mut world = World::launching();
    world.creation.unanswered = true;
    cancel(&mut world, RUN_1);
    announced(&mut world, 1);
    assert_eq!(world.step(1), Step::Entomb { run: 1, attempt: 1 });
    // Removing the annotation changes nothing.
    take_off(&mut world);
    assert_eq!(world.step(1), Step::Entomb { run: 1, attempt: 1 });
    world.show_pod(|pod| pod.tombstone = true);
    world.ends(2, Reason::Cancelled);
}

#[test]
fn cancelled_while_a_creation_may_be_on_its_way_and_it_had_arrived() {
    let mut world = World::launching();
    world.creation.unanswered = true;
    cancel(&mut world, RUN_1);
    announced(&mut world, 1);
    // The tombstone's name was taken, so the operator looks at the pod.
    world.show_pod(|_| {});
    assert!(matches!(world.step(2), Step::Follow { .. }));
}

#[test]
fn cancelled_where_the_tombstone_is_refused_nothing_is_known() {
    let mut world = World::launching();
    world.creation =
        Creation { unanswered: true, tombstone_refused: Some("quota".into()), ..Creation::default() };
    cancel(&mut world, RUN_1);
    announced(&mut world, 1);
    world.ends(1, Reason::Unknown);
}

#[test]
fn cancelled_while_its_pod_waits_the_pod_is_followed_then_deleted_and_the_verdict_waits_until_it_is_gone() {
    let mut world = World::with_pod(|_| {});
    world.cause = Some(Cause { reason: Reason::SecretMissing, message: "secret \"db\" not found".into() });
    world.write(3);
    cancel(&mut world, RUN_1);
    announced(&mut world, 4);
    assert!(matches!(world.step(4), Step::Follow { .. }), "it may start before it is gone");
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    assert_eq!(world.step(4), Step::Delete { name: pod_view().name, uid: "pod-1".into() });
    take_off(&mut world);
    world.show_pod(|pod| pod.deleting = true);
    assert!(matches!(world.step(5), Step::Wait(Some(_))), "until it is gone nothing is certain");
    let gone = |pod: &mut PodView| {
        pod.deleting = true;
        pod.deleting_since = Some(Time(at(34)));
        pod.gone = true;
    };
    world.show_pod(gone);
    assert!(matches!(world.step(6), Step::Wait(Some(_))), "its log may still show a claim");
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.ends(6, Reason::Cancelled);
    assert!(message(&world).contains("before its script started"), "{}", message(&world));
}

#[test]
fn cancelled_while_its_pod_waits_and_the_script_started_all_the_same() {
    let mut world = World::with_pod(|_| {});
    cancel(&mut world, RUN_1);
    announced(&mut world, 1);
    world.show_pod(|pod| {
        (pod.deleting, pod.started) = (true, true);
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.log = Some(log_with(stopped(Outcome::Signaled { signal: 15 }), LogState::Complete, 3));
    world.ends(3, Reason::Cancelled);
    assert!(message(&world).contains("asked to stop"), "{}", message(&world));
    assert_eq!(world.action.status.as_ref().unwrap().run.as_ref().unwrap().exit_code, Some(143));
}

#[test]
fn cancelled_while_running_it_is_put_on_record_then_told_to_the_script_and_two_seconds_later_stopped() {
    let mut world = World::running();
    cancel(&mut world, RUN_1);
    announced(&mut world, 10);
    let Step::Stop { uid, reason, .. } = world.step(10) else { panic!("{:?}", world.step(10)) };
    assert_eq!(uid, "pod-1");
    assert!(reason.starts_with("Cancelled: run 5f3c9a1b-1 was cancelled"), "{reason}");
    let told = |deadline: Option<i64>| {
        move |pod: &mut PodView| {
            pod.started = true;
            pod.container = ContainerView::Running { since: Some(Time(at(2))) };
            pod.stop_requested_at = Some(at(11));
            pod.active_deadline_seconds = deadline;
        }
    };
    world.show_pod(told(Some(4230)));
    assert_eq!(world.step(12), Step::Wait(Some(SignedDuration::from_secs(1))));
    // An operator that restarts at this moment continues from what the pod says.
    assert!(matches!(world.step(13), Step::Expire { .. }));
    world.show_pod(told(Some(1)));
    assert!(matches!(world.step(14), Step::Wait(Some(_))), "it has been asked");
    world.log = Some(log_with(stopped(Outcome::Exited { code: 0 }), LogState::Complete, 15));
    world.ends(15, Reason::Cancelled);
    assert!(message(&world).contains("asked to stop") && message(&world).contains("exit code 0"));
}

#[test]
fn a_stop_that_somebody_dates_ahead_is_not_waited_for() {
    let mut world = World::running();
    cancel(&mut world, RUN_1);
    announced(&mut world, 10);
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
        pod.stop_requested_at = Some(at(90_000));
    });
    assert_eq!(world.step(12), Step::Wait(Some(SignedDuration::from_secs(2))));
}

#[test]
fn the_script_had_just_ended_when_the_cancel_came() {
    for (code, reason) in [(0, Reason::Succeeded), (3, Reason::ScriptFailed)] {
        let mut world = World::running();
        cancel(&mut world, RUN_1);
        announced(&mut world, 10);
        // The script was not yet asked to stop.
        world.log = Some(log_with(exit(Outcome::Exited { code }), LogState::Complete, 10));
        world.ends(11, reason);
    }
}

#[test]
fn cancelled_at_its_own_deadline_or_while_it_was_evicted_the_record_says_which() {
    let mut world = World::running();
    cancel(&mut world, RUN_1);
    announced(&mut world, 10);
    let at_deadline = Stop { cause: StopCause::RunDeadline, killed: false };
    let own = Exit { stop: Some(at_deadline), ..exit(Outcome::Exited { code: 0 }) };
    world.log = Some(log_with(own, LogState::Complete, 10));
    world.ends(11, Reason::DeadlineExceeded);

    let mut world = World::running();
    cancel(&mut world, RUN_1);
    announced(&mut world, 10);
    world.show_pod(|pod| {
        pod.started = true;
        pod.reason = Some("Evicted".into());
    });
    world.log = Some(log_with(stopped(Outcome::Exited { code: 0 }), LogState::Complete, 10));
    world.ends(11, Reason::Evicted);
}

#[test]
fn without_a_record_a_cancelled_script_s_end_is_unknown() {
    let mut world = World::running();
    cancel(&mut world, RUN_1);
    announced(&mut world, 10);
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Error", None);
    });
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.ends(40, Reason::Unknown);
}

#[test]
fn the_cancel_of_an_older_run_does_nothing_to_the_one_that_runs() {
    let mut world = done();
    cancel(&mut world, RUN_1);
    assert_eq!(world.step(4), Step::Wait(None), "it came too late, which is no mistake");
    world.change(|spec| spec.args = vec!["x".into()]);
    world.resolution = Some(resolved());
    world.write(5);
    world.resolution = None;
    assert!(matches!(world.step(5), Step::Launch(_)));
    let status = world.action.status.as_ref().unwrap();
    assert!(!status.conditions().is_true(ConditionType::RequestIgnored));
}

#[test]
fn what_names_no_run_is_told_and_cancels_nothing() {
    for id in
        ["", "now", "true", "5f3c9a1b", "5f3c9a1b-", "00000000-1", "5f3c9a1b-01", "5f3c9a1b-0", "5f3c9a1b-7"]
    {
        let mut world = World::running();
        cancel(&mut world, id);
        world.write(3);
        let status = world.action.status.clone().unwrap();
        let told = status.conditions().get(ConditionType::RequestIgnored).unwrap().message.clone();
        assert!(told.contains("now 5f3c9a1b-1"), "{id:?}: {told}");
        assert_eq!((world.reason(), world.phase().as_str()), (Reason::Running, "Running"), "{id:?}");
        assert!(matches!(world.step(4), Step::Wait(Some(_))), "{id:?}");
    }
}
