//! After a run whose end nobody knows, nothing follows while its script may still run.

use super::*;

#[test]
fn a_run_whose_end_nobody_knows_is_followed_by_another_only_when_no_clock_lets_its_script_run() {
    let mut world = World::running();
    world.change(|spec| spec.args = vec!["x".into()]);
    (world.pod, world.log) = (PodFact::Absent, None);
    world.ends(10, Reason::Unknown);
    let status = world.action.status.clone().unwrap();
    let told = status.conditions().get(ConditionType::Ready).unwrap().message.clone();
    assert!(told.contains("no other run begins before"), "{told}");
    assert_eq!(world.step(11), Step::Wait(Some(SignedDuration::from_secs(2 + BY_KUBELET - 11))));
    assert_eq!(world.step(2 + BY_KUBELET), Step::Resolve { repeats: None });
}

#[test]
fn where_not_even_its_start_is_known_the_kubelet_s_own_clock_counts_from_the_pending_deadline() {
    let mut world = World::launching();
    world.creation =
        Creation { unanswered: true, tombstone_refused: Some("quota".into()), ..Creation::default() };
    world.change(|spec| spec.args = vec!["x".into()]);
    world.write(1);
    world.ends(1, Reason::Unknown);
    let until = 600 + BY_KUBELET;
    assert_eq!(world.step(2), Step::Wait(Some(SignedDuration::from_secs(until - 2))));
    assert_eq!(world.step(until), Step::Resolve { repeats: None });
}

#[test]
fn one_whose_container_has_ended_is_followed_at_once() {
    let mut world = World::running();
    world.change(|spec| spec.args = vec!["x".into()]);
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    let ended = |finalizer: bool| {
        move |pod: &mut PodView| {
            (pod.started, pod.finalizer) = (true, finalizer);
            pod.container = terminated("Error", None);
        }
    };
    world.show_pod(ended(true));
    world.ends(40, Reason::Unknown);
    assert!(matches!(world.step(41), Step::Release { .. }));
    world.show_pod(ended(false));
    assert_eq!(world.step(41), Step::Resolve { repeats: None });
}
