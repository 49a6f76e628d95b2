//! A node that is lost, and one of which somebody says by a taint that it is out of service.

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

/// Somebody said that it is off.
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
    // 300 s, 30 of grace, and a margin.
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

    // It was lost by its clocks, and is called off later.
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
