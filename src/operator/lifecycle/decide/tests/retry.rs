//! Another attempt. Each test's name is the sequence of events.

use k8s_openapi::api::core::v1::{HostAlias, SecurityContext};

use super::*;
use crate::{
    api::{
        ANNOTATION_CANCEL,
        action::{PodTemplate, Retry, RetryCause, Volume},
        history::RunOutcome,
    },
    operator::lifecycle::decide::retry::pause,
};

fn with(retry: Retry) -> DeploymentAction {
    let mut action = action();
    action.spec.retry = Some(retry);
    action
}

fn allowing(causes: &[RetryCause]) -> DeploymentAction {
    with(Retry { limit: 2, causes: causes.to_vec(), ..Retry::default() })
}

/// Seconds from `T0` until the next attempt.
fn due(world: &World) -> i64 {
    run(world).next_attempt_at.as_ref().unwrap().0.as_second() - T0
}

fn waits(world: &mut World, seconds: i64) {
    world.write(seconds);
    assert_eq!(
        (world.reason(), world.finished(), world.phase().as_str()),
        (Reason::RetryPending, false, "Retrying")
    );
}

/// The script ends with this code, and the run waits for its next attempt.
fn fails(action: DeploymentAction, code: u8) -> World {
    let mut world = World::running_of(action);
    world.log = Some(log_with(exit(Outcome::Exited { code }), LogState::Complete, 3));
    waits(&mut world, 4);
    world.pod = PodFact::NotSeen;
    world.log = None;
    world
}

/// A pod that waits was deleted, and is gone without a trace of its container.
fn never_starts(action: DeploymentAction) -> World {
    let mut world = World::launching_of(action);
    world.show_pod(|pod| (pod.deleting, pod.gone) = (true, true));
    world
}

#[test]
fn an_attempt_that_failed_is_put_on_record_waited_after_and_followed_by_one_with_another_name() {
    let mut world = World::running_of(allowing(&[RetryCause::ScriptFailed]));
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    waits(&mut world, 4);
    let first = run(&world).clone();
    assert_eq!((first.attempt, first.attempts.len(), first.attempts[0].exit_code), (1, 1, Some(3)));
    assert!(world.action.status.as_ref().unwrap().history.is_empty(), "the run has not ended");
    let log = world.action.status.as_ref().unwrap().log.clone().unwrap();
    assert_eq!(log.state, LogState::Complete);
    // Its pod is released like the pod of a run that has ended.
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Error", None);
    });
    assert!(matches!(world.step(5), Step::Release { .. }));
    world.show_pod(|pod| {
        pod.started = true;
        pod.finalizer = false;
        pod.container = terminated("Error", None);
    });
    let then = due(&world);
    assert!((14..=17).contains(&then), "{then}");
    assert_eq!(world.step(6), Step::Wait(Some(SignedDuration::from_secs(then - 6))));
    world.write(then);
    let second = run(&world).clone();
    assert_eq!((second.attempt, second.pod_name.as_deref()), (2, Some("deploy-5f3c9a1b-1-2")));
    assert_ne!(second.bundle_sha256, first.bundle_sha256);
    assert_eq!((second.started_at, second.pod_uid, second.next_attempt_at), (None, None, None));
    assert_eq!((second.id, world.reason()), (first.id, Reason::Launching));
    world.pod = PodFact::NotSeen;
    let Step::Launch(attempt) = world.step(then) else { panic!("{:?}", world.step(then)) };
    assert_eq!((attempt.run, attempt.attempt), (1, 2));
    assert_eq!(attempt.image, world.action.status.as_ref().unwrap().image.as_ref().unwrap().resolved);
}

#[test]
fn after_the_last_attempt_the_run_ends_and_the_history_has_it_once() {
    let mut action = allowing(&[RetryCause::ScriptFailed]);
    action.spec.retry.as_mut().unwrap().limit = 1;
    let mut world = fails(action, 3);
    let then = due(&world);
    world.write(then);
    world.show_pod(|pod| {
        (pod.attempt, pod.uid, pod.started) = (Some((1, 2)), "pod-2".into(), true);
        pod.container = ContainerView::Running { since: Some(Time(at(then + 2))) };
    });
    let mut log = log_with(exit(Outcome::Exited { code: 4 }), LogState::Complete, then + 3);
    log.pod_uid = "pod-2".into();
    world.log = Some(log);
    world.ends(then + 4, Reason::ScriptFailed);
    let status = world.action.status.clone().unwrap();
    let codes: Vec<_> = run(&world).attempts.iter().map(|of| (of.attempt, of.exit_code)).collect();
    assert_eq!(codes, [(1, Some(3)), (2, Some(4))]);
    let [past] = &status.history[..] else { panic!("{:?}", status.history) };
    assert_eq!((past.attempts, past.outcome, past.exit_code), (2, RunOutcome::Failed, Some(4)));
    assert_eq!(past.started_at, Some(Time(at(2))), "when the first attempt started");
    let message = &status.conditions().get(ConditionType::Ready).unwrap().message;
    assert!(message.contains("(attempt 2)"), "{message}");
}

#[test]
fn what_never_started_is_begun_again_by_itself_and_what_may_have_run_is_not() {
    let retry = || with(Retry { limit: 2, ..Retry::default() });
    let mut world = never_starts(retry());
    waits(&mut world, 5);
    assert_eq!(run(&world).attempts[0].reason, "PodDeleted");

    let mut world = World::running_of(retry());
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.ends(4, Reason::ScriptFailed);

    // The kubelet says ContainerStatusUnknown of pods that ran and of pods that did not.
    let mut world = World::running_of(retry());
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("ContainerStatusUnknown", None);
    });
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.ends(50, Reason::Unknown);

    let mut world = World::new(action());
    assert!(world.action.spec.retry.is_none());
    world = never_starts(world.action);
    world.ends(5, Reason::PodDeleted);
}

#[test]
fn a_creation_that_went_unanswered_is_followed_by_an_attempt_only_once_a_tombstone_stands() {
    let mut world = World::launching_of(with(Retry { limit: 1, ..Retry::default() }));
    world.creation.unanswered = true;
    assert_eq!(world.step(601), Step::Entomb { run: 1, attempt: 1 });
    world.show_pod(|pod| pod.tombstone = true);
    waits(&mut world, 601);
    let then = due(&world);
    world.write(then);
    (world.pod, world.creation) = (PodFact::NotSeen, Creation::default());
    let Step::Launch(attempt) = world.step(then) else { panic!() };
    assert_eq!(attempt.attempt, 2, "the pending deadline counts from this attempt");

    let mut world = World::launching_of(with(Retry { limit: 1, ..Retry::default() }));
    world.creation =
        Creation { unanswered: true, tombstone_refused: Some("quota".into()), ..Creation::default() };
    world.ends(601, Reason::Unknown);
}

#[test]
fn what_cannot_work_is_not_tried_again() {
    let all = [RetryCause::NeverStarted, RetryCause::ScriptFailed, RetryCause::Interrupted];
    let mut world = World::launching_of(allowing(&all));
    world.creation.refusal =
        Some(Refusal { reason: Reason::PodRefused, may_pass: false, message: "no".into() });
    world.ends(1, Reason::PodRefused);

    let mut world = World::running_of(allowing(&all));
    let missing = Outcome::NotStarted { problem: Problem::InterpreterNotFound, message: "no bash".into() };
    world.log = Some(log_with(exit(missing), LogState::Complete, 3));
    world.ends(4, Reason::InterpreterNotFound);
}

#[test]
fn exit_codes_narrow_what_is_tried_again() {
    let only = || {
        with(Retry {
            limit: 1,
            causes: vec![RetryCause::ScriptFailed],
            exit_codes: vec![75],
            ..Retry::default()
        })
    };
    fails(only(), 75);
    let mut world = World::running_of(only());
    world.log = Some(log_with(exit(Outcome::Exited { code: 1 }), LogState::Complete, 3));
    world.ends(4, Reason::ScriptFailed);
}

#[test]
fn a_script_at_its_deadline_is_tried_again_where_that_is_allowed() {
    let stopped = || Exit {
        stop: Some(Stop { cause: StopCause::RunDeadline, killed: false }),
        ..exit(Outcome::Exited { code: 0 })
    };
    let mut world = World::running_of(allowing(&[RetryCause::DeadlineExceeded]));
    world.log = Some(log_with(stopped(), LogState::Complete, 3));
    waits(&mut world, 4);
    let mut world = World::running_of(allowing(&[RetryCause::ScriptFailed]));
    world.log = Some(log_with(stopped(), LogState::Complete, 3));
    world.ends(4, Reason::DeadlineExceeded);
}

#[test]
fn a_pod_that_vanished_is_followed_by_an_attempt_only_when_no_clock_lets_its_script_run() {
    let mut world = World::running_of(allowing(&[RetryCause::Interrupted]));
    world.pod = PodFact::Absent;
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    waits(&mut world, 4);
    assert_eq!(due(&world), 2 + BY_KUBELET, "from its start at 2");
    assert!(matches!(world.step(3000), Step::Look | Step::Wait(Some(_))));

    let mut world = World::running_of(allowing(&[RetryCause::ScriptFailed]));
    world.pod = PodFact::Absent;
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.ends(4, Reason::Unknown);
}

#[test]
fn an_eviction_whose_script_left_a_record_is_followed_at_once() {
    let mut world = World::running_of(allowing(&[RetryCause::Interrupted]));
    world.show_pod(|pod| {
        pod.started = true;
        pod.reason = Some("Evicted".into());
    });
    let stopped = Exit {
        stop: Some(Stop { cause: StopCause::Terminated, killed: false }),
        ..exit(Outcome::Signaled { signal: 15 })
    };
    world.log = Some(log_with(stopped, LogState::Complete, 3));
    waits(&mut world, 4);
    assert!(due(&world) <= 17, "{}", due(&world));
}

#[test]
fn the_spec_changes_while_the_next_attempt_is_waited_for() {
    let mut world = fails(allowing(&[RetryCause::ScriptFailed]), 3);
    world.change(|spec| spec.args = vec!["x".into()]);
    world.gives_way(6);
    let kept = run(&world).clone();
    assert_eq!((kept.attempts.len(), kept.attempts[0].reason.as_str()), (1, "ScriptFailed"));
    assert_eq!(world.step(7), Step::Resolve { repeats: None }, "the change is a run of its own");

    // Some of what a pod has is not in the bundle. Another attempt does not take up a change of it, and an
    // announced pod does not either.
    let template = |change: fn(&mut PodTemplate)| {
        move |spec: &mut crate::api::DeploymentActionSpec| change(spec.pod_template.get_or_insert_default())
    };
    let aliases = |template: &mut PodTemplate| {
        template.host_aliases = vec![HostAlias { ip: "10.0.0.1".into(), hostnames: None }];
    };
    let security = |template: &mut PodTemplate| {
        template.container_security_context = Some(SecurityContext::default());
    };
    let volumes = |template: &mut PodTemplate| {
        template.volumes = vec![Volume { name: "cache".into(), ..Volume::default() }];
    };
    let account =
        |spec: &mut crate::api::DeploymentActionSpec| spec.service_account_name = Some("admin".into());
    let changes: [&dyn Fn(&mut crate::api::DeploymentActionSpec); 4] =
        [&account, &template(aliases), &template(security), &template(volumes)];
    for (at, change) in changes.into_iter().enumerate() {
        let mut world = fails(allowing(&[RetryCause::ScriptFailed]), 3);
        world.change(change);
        world.spec = Ok(World::launching().spec.unwrap());
        world.gives_way(6);
        let mut world = World::launching();
        let before = world.spec.clone();
        world.change(change);
        world.spec = before;
        world.write(1);
        world.gives_way(1);
        assert_eq!(run(&world).attempts.len(), 1, "change {at}");
    }

    // A change of what is not executed changes nothing.
    let mut world = fails(allowing(&[RetryCause::ScriptFailed]), 3);
    world.change(|spec| spec.pod_retention_seconds = 5);
    assert!(matches!(world.step(6), Step::Wait(Some(_))));
}

#[test]
fn cancelled_while_the_next_attempt_is_waited_for() {
    let mut world = fails(allowing(&[RetryCause::ScriptFailed]), 3);
    let annotations = world.action.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_CANCEL.into(), "5f3c9a1b-1".into());
    world.ends(6, Reason::Cancelled);
    assert_eq!(run(&world).attempts[0].reason, "ScriptFailed", "the attempt's own end stays");
    assert_eq!(run(&world).next_attempt_at, None);
    assert_eq!(world.step(100), Step::Wait(None));
}

#[test]
fn cancelled_while_its_script_runs_no_attempt_follows() {
    let all = [RetryCause::ScriptFailed, RetryCause::Interrupted, RetryCause::DeadlineExceeded];
    let mut world = World::running_of(allowing(&all));
    let annotations = world.action.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_CANCEL.into(), "5f3c9a1b-1".into());
    world.write(3);
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.ends(4, Reason::ScriptFailed);
}

#[test]
fn deleted_while_the_next_attempt_is_waited_for() {
    let mut world = fails(allowing(&[RetryCause::ScriptFailed]), 3);
    world.action.metadata.deletion_timestamp = Some(Time(at(5)));
    let then = due(&world);
    assert_eq!(world.step(then), Step::Wait(None));
    // The pod of an earlier attempt is released too.
    world.older = vec![PodView { deleting: true, settled: true, ..pod_view() }];
    assert!(matches!(world.step(then), Step::Release { .. }));
    // Another creation of this pod may have been sent until the present attempt was announced.
    world.older[0].settled = false;
    assert_eq!(world.step(then), Step::Wait(Some(SignedDuration::from_secs(120 - then))));
    assert!(matches!(world.step(120), Step::Release { .. }));
}

#[test]
fn pauses_double_are_bounded_and_do_not_depend_on_the_process() {
    let retry = Retry { limit: 10, ..Retry::default() };
    for (attempt, seconds) in
        [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (10, 300), (u32::MAX, 300)]
    {
        let pause = pause(&retry, UID, 1, attempt).as_millis();
        assert!((seconds * 1000..=seconds * 1250).contains(&pause), "{attempt}: {pause}");
    }
    assert_eq!(pause(&retry, UID, 1, 1), pause(&retry, UID, 1, 1));
    assert_ne!(pause(&retry, UID, 1, 1), pause(&retry, UID, 2, 1));
    let long = Retry { backoff_seconds: Some(86_400), ..retry };
    assert!(pause(&long, UID, 1, 9).as_secs() <= 108_000);
}
