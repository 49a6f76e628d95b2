//! A spec that changes while a run waits. Each test's name is the sequence of events.

use super::*;
use crate::api::{
    ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentActionSpec,
    action::{Retry, RetryCause},
};

/// The status says that the run yields, before anything else is done.
fn announced(world: &mut World, seconds: i64) {
    world.write(seconds);
    assert_eq!((world.reason(), world.finished()), (Reason::Stopping, false));
    assert!(run(world).superseded_at.is_some());
}

fn correct(world: &mut World) {
    world.change(|spec| spec.args = vec!["x".into()]);
}

/// A run whose pod waits for a missing Secret, and whose spec is then corrected.
fn corrected() -> World {
    let mut world = World::with_pod(|_| {});
    world.cause = Some(Cause { reason: Reason::SecretMissing, message: "secret \"db\" not found".into() });
    world.write(3);
    correct(&mut world);
    world
}

fn gone(pod: &mut PodView) {
    (pod.deleting, pod.gone) = (true, true);
    pod.deleting_since = Some(Time(at(34)));
}

/// The pod is deleted, and nothing of its container was ever seen.
fn removed(world: &mut World) {
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    assert_eq!(world.step(4), Step::Delete { name: pod_view().name, uid: "pod-1".into() });
    world.show_pod(gone);
    assert!(matches!(world.step(6), Step::Wait(Some(_))), "its log may still show a claim");
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
}

/// The next run begins with the spec as it is then.
fn the_next_begins(world: &mut World, seconds: i64) {
    let number = world.run_number();
    world.show_pod(|pod| {
        gone(pod);
        pod.finalizer = false;
    });
    assert_eq!(world.step(seconds), Step::Resolve { repeats: None });
    world.resolution = Some(resolved());
    world.write(seconds);
    assert_eq!((world.run_number(), world.phase().as_str()), (number + 1, "Launching"));
    assert_eq!(Some(run(world).generation), world.action.metadata.generation);
    assert_eq!(run(world).superseded_at, None);
}

#[test]
fn corrected_while_its_pod_waits_the_pod_is_followed_then_deleted_and_the_next_run_begins_when_it_is_gone() {
    let mut world = corrected();
    announced(&mut world, 4);
    assert!(matches!(world.step(4), Step::Follow { .. }), "it may start before it is gone");
    removed(&mut world);
    world.gives_way(6);
    assert!(world.message().contains("before its script started"), "{}", world.message());
    the_next_begins(&mut world, 7);
    assert_eq!(run(&world).trigger, Trigger::SpecChanged);
}

#[test]
fn taken_back_meanwhile_the_run_yields_all_the_same_and_another_one_begins() {
    let mut world = corrected();
    announced(&mut world, 4);
    world.change(|spec| spec.args = vec![]);
    removed(&mut world);
    world.gives_way(6);
    the_next_begins(&mut world, 7);
}

#[test]
fn what_no_run_depends_on_disturbs_none() {
    let changes: [fn(&mut DeploymentActionSpec); 4] = [
        |spec| spec.suspend = Some(true),
        |spec| spec.ttl_seconds_after_finished = Some(1),
        |spec| spec.pod_retention_seconds = 7,
        |spec| spec.run_policy = RunPolicy::Manual,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut world = World::with_pod(|pod| pod.node = None);
        world.change(change);
        assert!(matches!(world.step(4), Step::Wait(Some(_))), "change {at}: {:?}", world.step(4));
    }
}

#[test]
fn whatever_bears_on_a_run_may_be_the_correction() {
    let changes: [fn(&mut DeploymentActionSpec); 6] = [
        |spec| {
            let limits = [("memory".to_owned(), Amount::Text("1Gi".into()))].into();
            spec.resources = Some(Resources { limits, ..Resources::default() });
        },
        |spec| spec.pending_deadline_seconds = Some(30),
        |spec| spec.service_account_name = Some("deployer".into()),
        |spec| spec.outputs = vec![Output { name: "url".into(), ..Output::default() }],
        |spec| spec.run_token = Some("2".into()),
        |spec| spec.image = Some("registry.example.com/tools:2".into()),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut world = World::with_pod(|pod| pod.node = None);
        world.change(change);
        announced(&mut world, 4);
        // The same holds for a run without a pod.
        let mut world = World::launching();
        world.creation.unanswered = true;
        world.change(change);
        announced(&mut world, 4);
        assert_eq!(world.step(4), Step::Entomb { run: 1, attempt: 1 }, "change {at}");
    }
}

#[test]
fn a_script_that_started_before_its_pod_was_deleted_goes_on() {
    let mut world = corrected();
    announced(&mut world, 4);
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(5))) };
    });
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    world.write(5);
    assert_eq!((world.reason(), run(&world).superseded_at.as_ref()), (Reason::Running, None));
    assert!(matches!(world.step(6), Step::Wait(Some(_))), "{:?}", world.step(6));
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 9));
    world.ends(9, Reason::Succeeded);
    the_next_begins(&mut world, 10);
}

#[test]
fn a_script_that_started_while_its_pod_was_being_deleted_is_told_as_stopped() {
    let mut world = corrected();
    announced(&mut world, 4);
    world.show_pod(|pod| {
        (pod.deleting, pod.started) = (true, true);
        pod.container = ContainerView::Running { since: Some(Time(at(5))) };
    });
    let stop = Some(Stop { cause: StopCause::Terminated, killed: false });
    let stopped = Exit { stop, ..exit(Outcome::Signaled { signal: 15 }) };
    world.log = Some(log_with(stopped, LogState::Complete, 6));
    world.ends(6, Reason::PodDeleted);
    assert!(world.message().contains("the spec had changed"), "{}", world.message());
    the_next_begins(&mut world, 7);
}

#[test]
fn a_script_whose_end_nobody_knows_is_waited_for_although_the_spec_changed() {
    let mut world = corrected();
    announced(&mut world, 4);
    world.log = Some(begun(LogState::Incomplete));
    world.show_pod(gone);
    world.ends(6, Reason::Unknown);
    world.show_pod(|pod| {
        gone(pod);
        pod.finalizer = false;
    });
    assert!(matches!(world.step(7), Step::Wait(Some(_))), "{:?}", world.step(7));
}

#[test]
fn corrected_before_its_pod_was_sent_off() {
    let mut world = World::launching();
    correct(&mut world);
    announced(&mut world, 1);
    world.gives_way(1);
    world.pod = PodFact::NotSeen;
    assert_eq!(world.step(2), Step::Resolve { repeats: None });
}

#[test]
fn corrected_while_a_creation_may_be_on_its_way_and_it_had_arrived() {
    let mut world = World::launching();
    world.creation.unanswered = true;
    correct(&mut world);
    announced(&mut world, 1);
    assert_eq!(world.step(1), Step::Entomb { run: 1, attempt: 1 });
    // The tombstone's name was taken, so the operator looks at the pod.
    world.show_pod(|_| {});
    assert!(matches!(world.step(2), Step::Follow { .. }));
}

#[test]
fn corrected_and_cancelled_it_is_cancelled() {
    let mut world = corrected();
    announced(&mut world, 4);
    let annotations = world.action.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_CANCEL.into(), "5f3c9a1b-1".into());
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    world.write(5);
    assert!(run(&world).cancel_requested_at.is_some());
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.show_pod(gone);
    world.ends(6, Reason::Cancelled);
}

#[test]
fn under_every_policy_another_run_follows_and_suspended_it_is_held_back() {
    for policy in [RunPolicy::Once, RunPolicy::Manual] {
        let mut once = action();
        (once.spec.run_policy, once.spec.run_token) = (policy, Some("1".into()));
        let mut world = World::launching_of(once);
        correct(&mut world);
        announced(&mut world, 1);
        world.gives_way(1);
        assert_eq!(world.step(2), Step::Resolve { repeats: None }, "{policy:?}: it never ran");
    }
    let mut world = World::launching();
    world.change(|spec| (spec.args, spec.suspend) = (vec!["x".into()], Some(true)));
    announced(&mut world, 1);
    world.gives_way(1);
    world.write(2);
    assert_eq!(world.reason(), Reason::Suspended);
    world.change(|spec| spec.suspend = None);
    assert_eq!(world.step(3), Step::Resolve { repeats: None });
}

#[test]
fn another_attempt_yields_to_what_was_changed_since_it_was_taken_up_and_to_nothing_older() {
    let retry = Retry { limit: 2, causes: vec![RetryCause::ScriptFailed], ..Retry::default() };
    let mut retried = action();
    retried.spec.retry = Some(retry);
    let mut world = World::running_of(retried);
    // The next attempt's pod is created with this change.
    world.change(|spec| spec.pending_deadline_seconds = Some(500));
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.write(4);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world.write(30);
    assert_eq!((run(&world).attempt, world.reason()), (2, Reason::Launching));
    assert!(matches!(world.step(30), Step::Launch(_)), "{:?}", world.step(30));
    world.change(|spec| spec.pending_deadline_seconds = Some(400));
    announced(&mut world, 31);
    world.gives_way(31);
}

#[test]
fn a_run_that_ends_between_two_attempts_is_followed_when_nothing_of_the_one_before_can_run() {
    for by_cancel in [true, false] {
        let mut retried = action();
        let causes = vec![RetryCause::Interrupted];
        retried.spec.retry = Some(Retry { limit: 1, causes, ..Retry::default() });
        let mut world = World::running_of(retried);
        (world.pod, world.log) = (PodFact::Absent, None);
        world.write(10);
        assert_eq!(world.reason(), Reason::RetryPending);
        if by_cancel {
            let annotations = world.action.metadata.annotations.get_or_insert_default();
            annotations.insert(ANNOTATION_CANCEL.into(), "5f3c9a1b-1".into());
            world.ends(11, Reason::Cancelled);
            let annotations = world.action.metadata.annotations.get_or_insert_default();
            annotations.insert(ANNOTATION_RERUN.into(), "again".into());
            world.write(12);
        } else {
            correct(&mut world);
            world.gives_way(11);
        }
        let wait = Step::Wait(Some(SignedDuration::from_secs(2 + BY_KUBELET - 12)));
        assert_eq!(world.step(12), wait, "cancelled: {by_cancel}");
        assert_eq!(world.step(2 + BY_KUBELET), Step::Resolve { repeats: None });
    }
}
