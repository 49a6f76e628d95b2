//! A node that is lost, and a node with the taint that says that it is out of service.

use super::*;
use crate::api::action::{Retry, RetryCause};

/// Its node fell silent, and its pod is being deleted.
fn silent(world: &mut World) {
    world.node = Some(NodeState::Silent);
    world.show_pod(|pod| {
        (pod.started, pod.deleting, pod.deleting_since) = (true, true, Some(Time(at(300))));
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
}

/// Somebody set the taint that says that the node is off.
fn off(world: &mut World) {
    world.node = Some(NodeState::OutOfService);
    if let PodFact::Present(pod) = &mut world.pod {
        pod.off = pod.deleting;
    }
}

fn message(world: &World) -> String {
    let status = world.action.status.as_ref().unwrap();
    status.conditions().get(ConditionType::Ready).unwrap().message.clone()
}

const HALF_A_MINUTE: Step = Step::Wait(Some(SignedDuration::from_secs(30)));

#[test]
fn a_run_on_a_node_that_is_out_of_service_ends_at_once_and_the_next_one_begins() {
    let mut world = World::running();
    silent(&mut world);
    assert_eq!(world.step(310), HALF_A_MINUTE, "somebody may say that it is off");
    off(&mut world);
    world.change(|spec| spec.args = vec!["x".into()]);
    world.ends(340, Reason::NodeLost);
    assert!(message(&world).contains("node node-1 has the taint node.kubernetes.io/out-of-service"));
    assert!(!message(&world).contains("no other run begins"), "{}", message(&world));
    assert_eq!((run(&world).node_name.as_deref(), run(&world).attempts.len()), (Some("node-1"), 1));
    assert_eq!(run(&world).attempts[0].node_name.as_deref(), Some("node-1"));
    world.action.status.as_mut().unwrap().log = None;
    assert!(matches!(world.step(341), Step::Release { .. }));
    (world.pod, world.log) = (PodFact::Absent, None);
    assert_eq!(world.step(342), Step::Resolve { repeats: None });
}

#[test]
fn one_that_is_called_off_after_the_verdict_ends_the_wait_for_its_clocks() {
    let mut world = World::running();
    silent(&mut world);
    // The pod should be gone at 300 s, and has a margin of 120 s.
    world.ends(450, Reason::NodeLost);
    assert!(message(&world).contains("no other run begins before"), "{}", message(&world));
    world.change(|spec| spec.args = vec!["x".into()]);
    (world.pod, world.log) = (PodFact::Absent, None);
    world.action.status.as_mut().unwrap().log = None;
    assert_eq!(world.step(460), HALF_A_MINUTE);
    world.node = Some(NodeState::Ready);
    assert_eq!(world.step(460), HALF_A_MINUTE, "it is back, and the process may have lived on");
    off(&mut world);
    assert_eq!(world.step(470), Step::Resolve { repeats: None });
}

#[test]
fn a_pod_that_tolerates_the_taint_is_not_given_up_for_it() {
    let mut world = World::running();
    world.node = Some(NodeState::OutOfService);
    assert!(matches!(world.step(310), Step::Wait(Some(_))), "{:?}", world.step(310));
    world.ends(3600 + 30 + 62, Reason::NodeLost);
    assert!(message(&world).contains("every deadline has passed"), "{}", message(&world));
}

#[test]
fn another_attempt_begins_after_its_pause_alone() {
    let mut action = action();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::Interrupted], ..Retry::default() });
    let waiting = || {
        let mut world = World::running_of(action.clone());
        silent(&mut world);
        world
    };
    let mut world = waiting();
    off(&mut world);
    world.write(340);
    let due = run(&world).next_attempt_at.as_ref().unwrap().0.as_second() - T0;
    assert!((350..=353).contains(&due), "{due}");

    // The run was lost by its clocks, and the node gets the taint later.
    let mut world = waiting();
    world.write(450);
    assert_eq!(world.phase(), "Retrying");
    (world.pod, world.log) = (PodFact::Absent, None);
    world.action.status.as_mut().unwrap().log = None;
    assert_eq!(world.step(500), HALF_A_MINUTE);
    off(&mut world);
    world.write(500);
    assert_eq!((run(&world).attempt, run(&world).node_name.as_deref()), (2, None));
}

#[test]
fn its_lock_is_given_back_at_once_and_later_too() {
    let lost = |first_off: bool| {
        let mut world = World::running();
        let run = run_mut(&mut world);
        run.lock = Some(crate::api::status::LockStatus {
            name: "prod".into(),
            acquired_at: Some(Time(at(0))),
            ..Default::default()
        });
        world.lock.marked = Some(("deploy-5f3c9a1b-1-1".into(), Some("pod-1".into())));
        silent(&mut world);
        if first_off {
            off(&mut world);
        }
        world.write(450);
        assert_eq!(world.reason(), Reason::NodeLost);
        (world.pod, world.log) = (PodFact::Absent, None);
        world.action.status.as_mut().unwrap().log = None;
        world
    };
    let released = |step: Step| matches!(step, Step::ReleaseLock { .. });
    assert!(released(lost(true).step(451)));
    let mut world = lost(false);
    assert_eq!(world.step(460), HALF_A_MINUTE);
    off(&mut world);
    assert!(released(world.step(490)));
}

/// The script runs on a node that reports, whatever the clocks say.
fn seen_running(world: &mut World, since: i64) {
    world.node = Some(NodeState::Ready);
    world.show_pod(|pod| {
        (pod.started, pod.reports) = (true, true);
        pod.container = ContainerView::Running { since: Some(Time(at(since))) };
    });
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
}

#[test]
fn a_clock_of_the_node_that_is_hours_behind_ends_nothing() {
    let mut world = World::launching();
    seen_running(&mut world, -7200);
    world.write(3);
    assert_eq!(world.phase(), "Running");
    assert_eq!(run(&world).started_at, Some(Time(at(0))), "not before it was taken up");
    assert!(matches!(world.step(4), Step::Wait(Some(_))), "{:?}", world.step(4));
    // A clock that is ahead does not keep a run for hours either, if its node is lost.
    let mut world = World::launching();
    seen_running(&mut world, 7200);
    world.write(3);
    assert_eq!(run(&world).started_at, Some(Time(at(3))));
    silent(&mut world);
    world.ends(3600 + 30 + 60 + 4, Reason::NodeLost);
}

#[test]
fn a_script_that_is_seen_running_past_every_deadline_is_ended_and_waited_for() {
    let mut world = World::running();
    seen_running(&mut world, 2);
    let over = 2 + 3600 + 30 + 60;
    assert!(matches!(world.step(over - 1), Step::Wait(Some(_))));
    world.write(over);
    assert!(message(&world).contains("runs on although every deadline has passed"), "{}", message(&world));
    assert!(matches!(world.step(over), Step::Expire { .. }), "{:?}", world.step(over));
    let show = |world: &mut World, change: fn(&mut PodView)| {
        seen_running(world, 2);
        if let PodFact::Present(pod) = &mut world.pod {
            change(pod);
        }
    };
    show(&mut world, |pod| pod.active_deadline_seconds = Some(1));
    assert!(matches!(world.step(over + 1), Step::Wait(Some(_))));
    assert!(matches!(world.step(over + 200), Step::Delete { .. }), "{:?}", world.step(over + 200));
    show(&mut world, |pod| (pod.deleting, pod.deleting_since) = (true, Some(Time(at(4000)))));
    for later in [over + 300, 100_000, 10_000_000] {
        assert!(matches!(world.step(later), Step::Wait(Some(_))), "{later}: {:?}", world.step(later));
    }
    // Once its node falls silent, the clocks count.
    world.node = Some(NodeState::Silent);
    if let PodFact::Present(pod) = &mut world.pod {
        pod.reports = false;
    }
    world.ends(100_000, Reason::NodeLost);
}

#[test]
fn a_node_whose_clock_is_hours_behind_has_its_log_waited_for_all_the_same() {
    let mut world = World::running();
    let ended = |seen: i64| {
        move |pod: &mut PodView| {
            (pod.started, pod.end_seen) = (true, Some(at(seen)));
            pod.container = ContainerView::Terminated(Box::new(Terminated {
                started_at: Some(Time(at(-7200))),
                finished_at: Some(Time(at(-7190))),
                reason: "Completed".into(),
                ..Terminated::default()
            }));
        }
    };
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    world.show_pod(ended(10));
    assert!(matches!(world.step(11), Step::Wait(Some(_))), "{:?}", world.step(11));
    world.ends(10 + 120, Reason::Unknown);
}

/// Its end is unknown. Then its node comes back, and the script with it.
fn lost_and_back(world: &mut World) {
    silent(world);
    world.write(3800);
    assert_eq!(world.reason(), Reason::NodeLost);
    world.action.status.as_mut().unwrap().log = None;
    seen_running(world, 2);
}

#[test]
fn nothing_begins_beside_a_script_that_is_seen_running_whatever_was_said_of_its_run() {
    let mut world = World::running();
    lost_and_back(&mut world);
    world.change(|spec| spec.args = vec!["x".into()]);
    for later in [3900, 10_000, 10_000_000] {
        assert_eq!(world.step(later), HALF_A_MINUTE, "{later}");
    }
    world.show_pod(|pod| {
        (pod.started, pod.finalizer) = (true, false);
        pod.container = terminated("Error", None);
    });
    assert_eq!(world.step(3900), Step::Resolve { repeats: None });

    // The next attempt waits.
    let mut action = action();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::Interrupted], ..Retry::default() });
    let mut world = World::running_of(action);
    silent(&mut world);
    world.write(3800);
    assert_eq!(world.phase(), "Retrying");
    world.action.status.as_mut().unwrap().log = None;
    seen_running(&mut world, 2);
    for later in [10_000, 10_000_000] {
        assert!(matches!(world.step(later), Step::Wait(Some(_))), "{later}: {:?}", world.step(later));
    }

    // The lock waits.
    let mut world = World::running();
    run_mut(&mut world).lock = Some(crate::api::status::LockStatus {
        name: "prod".into(),
        acquired_at: Some(Time(at(0))),
        ..Default::default()
    });
    world.lock.marked = Some(("deploy-5f3c9a1b-1-1".into(), Some("pod-1".into())));
    lost_and_back(&mut world);
    for later in [10_000, 10_000_000] {
        assert!(matches!(world.step(later), Step::Wait(_)), "{later}: {:?}", world.step(later));
    }
}

#[test]
fn a_pod_that_the_garbage_collector_ended_for_a_node_that_is_gone_was_not_proven_never_to_have_started() {
    let mut action = action();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::NeverStarted], ..Retry::default() });
    let mut world = World::launching_of(action);
    world.node = Some(NodeState::Absent);
    world.show_pod(|pod| (pod.deleting, pod.deleting_since) = (true, Some(Time(at(50)))));
    assert!(matches!(world.step(60), Step::Wait(Some(_))), "{:?}", world.step(60));
    world.ends(50 + 120, Reason::NodeLost);
    assert!(message(&world).contains("there is no node node-1 any more"), "{}", message(&world));
    assert_eq!(run(&world).attempts.len(), 1, "no second attempt of what may run");
}
