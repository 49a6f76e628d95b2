//! Before a run that is not the first: a lost status, an earlier action of the same name, and a run that is
//! held back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::*;
use crate::api::ANNOTATION_RERUN;

/// An action whose status was emptied while it had these pods.
fn emptied(pods: Vec<PodView>) -> World {
    let mut world = World::new(action());
    world.older = pods;
    if world.older.iter().any(|pod| pod.owner_uid == world.action.metadata.uid) {
        assert_eq!(world.step(0), Step::LookForPods, "the cache may be behind the latest pod");
    }
    world.all_pods = true;
    world
}

/// An action that was created at `T0`. Somebody wrote its status this many seconds later.
fn written(after: i64) -> DeploymentAction {
    let mut action = action();
    action.metadata.creation_timestamp = Some(Time(at(0)));
    action.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
        subresource: Some("status".into()),
        time: Some(Time(at(after))),
        ..ManagedFieldsEntry::default()
    }]);
    action
}

#[test]
fn an_emptied_status_without_any_pod_is_a_run_that_nobody_knows_of() {
    let mut world = World::new(written(5));
    assert_eq!(world.step(100), Step::LookForPods);
    world.all_pods = true;
    world.ends(100, Reason::Unknown);
    assert_eq!(run(&world).number, 101, "no run before can have had it");
    let status = world.action.status.clone().unwrap();
    let told = status.conditions().get(ConditionType::Ready).unwrap().message.clone();
    assert!(told.contains("no other run begins before"), "{told}");
    assert_eq!(world.step(101), Step::Wait(None), "nothing runs by itself");
    // The next run waits until a creation that was on its way cannot be running any more.
    world.change(|spec| spec.args = vec!["x".into()]);
    assert!(matches!(world.step(200), Step::Look | Step::Wait(Some(_))), "{:?}", world.step(200));
    world.pod = PodFact::Absent;
    assert!(matches!(world.step(200), Step::Wait(Some(_))), "{:?}", world.step(200));
    assert_eq!(world.step(100 + 600 + BY_KUBELET), Step::Resolve { repeats: None });
}

#[test]
fn what_was_copied_from_another_action_is_no_emptied_status() {
    let copy = World::new(written(-5));
    assert_eq!(copy.step(0), Step::Resolve { repeats: None });
}

#[test]
fn an_action_that_was_told_why_it_has_no_run_is_no_emptied_one() {
    let manual = || {
        let mut manual = written(5);
        manual.spec.run_policy = RunPolicy::Manual;
        manual
    };
    let mut world = World::new(manual());
    world.all_pods = true;
    world.ends(7, Reason::Unknown);
    let mut told = manual();
    told.status = Some(crate::operator::lifecycle::status::not_requested(&Requests::of(&told), at(6)));
    assert_eq!(World::new(told).step(7), Step::Wait(None));
}

fn of(attempt: (u32, u32)) -> PodView {
    PodView {
        attempt: Some(attempt),
        name: format!("deploy-5f3c9a1b-{}-{}", attempt.0, attempt.1),
        uid: format!("pod-{}-{}", attempt.0, attempt.1),
        bundle_sha256: Some("b".repeat(64)),
        image: Some("registry.example.com/tools@sha256:1".into()),
        ..pod_view()
    }
}

#[test]
fn a_status_emptied_in_mid_run_is_rebuilt_from_the_latest_pod_and_the_run_goes_on() {
    let mut latest = of((3, 2));
    latest.started = true;
    latest.container = ContainerView::Running { since: Some(Time(at(-50))) };
    let mut world = emptied(vec![of((2, 1)), latest.clone(), of((3, 1))]);
    world.action.metadata.annotations = Some([(ANNOTATION_RERUN.to_owned(), "a".to_owned())].into());
    world.write(0);
    let status = world.action.status.clone().unwrap();
    assert_eq!((run(&world).number, run(&world).attempt, run(&world).id.as_str()), (3, 2, "5f3c9a1b-3"));
    assert_eq!((run(&world).pod_uid.as_deref(), world.phase().as_str()), (Some("pod-3-2"), "Running"));
    assert_eq!(status.last_handled_rerun.as_deref(), Some("a"), "it was there when the action was seen");
    world.pod = PodFact::Present(Box::new(latest.clone()));
    assert!(matches!(world.step(1), Step::Follow { .. }));
    let mut log = log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 2);
    log.pod_uid = latest.uid;
    world.log = Some(log);
    world.ends(3, Reason::Succeeded);
    (world.pod, world.log, world.older) = (PodFact::NotSeen, None, vec![]);
    assert_eq!(world.step(4), Step::Wait(None), "nothing runs again");
}

#[test]
fn a_status_emptied_of_which_only_a_tombstone_is_left_is_a_run_that_nobody_knows_of() {
    let mut world = emptied(vec![PodView { tombstone: true, bundle_sha256: None, ..of((1, 1)) }]);
    world.ends(0, Reason::Unknown);
    assert_eq!(world.step(1), Step::Wait(None), "nothing runs again");
    assert_eq!(run(&world).number, 1);
}

#[test]
fn an_action_whose_status_nobody_wrote_and_that_has_no_pod_is_new() {
    assert_eq!(emptied(vec![]).step(0), Step::Resolve { repeats: None });
    let foreign = PodView { owner_uid: Some("another".into()), ..of((1, 1)) };
    assert_eq!(emptied(vec![foreign]).step(0), Step::Resolve { repeats: None });
}

#[test]
fn deleted_and_applied_again_the_pod_of_before_is_waited_for() {
    let mut world = World::new(action());
    world.previous = vec![PodView { owner_uid: Some("before".into()), ..of((1, 1)) }];
    world.resolution = Some(resolved());
    world.write(0);
    assert_eq!((world.reason(), world.finished()), (Reason::PreviousPodRunning, false));
    assert!(matches!(world.step(1), Step::Wait(Some(_))));
    world.previous.clear();
    world.write(5);
    assert_eq!(world.phase(), "Launching");
    // The pod of the earlier action is seen only now.
    world.resolution = None;
    world.previous = vec![PodView { owner_uid: Some("before".into()), ..of((1, 1)) }];
    world.write(6);
    assert_eq!(world.reason(), Reason::PreviousPodRunning);
    assert!(matches!(world.step(7), Step::Wait(Some(_))));
    world.ends(600, Reason::PreviousPodRunning);
}

#[test]
fn suspended_before_its_first_run_it_waits_and_runs_once_it_is_not() {
    let mut new = action();
    new.spec.suspend = Some(true);
    let mut world = World::new(new);
    world.write(0);
    assert_eq!((world.phase().as_str(), world.reason()), ("Suspended", Reason::Suspended));
    let status = world.action.status.clone().unwrap();
    assert_eq!(status.conditions.len(), 1, "{:?}", status.conditions);
    assert_eq!(world.step(1), Step::Wait(None));
    world.change(|spec| spec.suspend = Some(false));
    assert_eq!(world.step(2), Step::Resolve { repeats: None });
}

#[test]
fn suspended_and_asked_to_run_again_the_token_waits_and_nothing_of_the_last_run_is_begun_again() {
    let mut world = done();
    world.change(|spec| spec.suspend = Some(true));
    world.write(4);
    assert_eq!((world.reason(), world.finished()), (Reason::Succeeded, true), "nothing is held back");
    world.action.metadata.annotations = Some([(ANNOTATION_RERUN.to_owned(), "a".to_owned())].into());
    world.write(5);
    assert_eq!((world.reason(), world.finished()), (Reason::Suspended, false));
    let status = world.action.status.clone().unwrap();
    assert_eq!((status.last_handled_rerun, status.history.len()), (None, 1));
    assert_eq!(world.step(6), Step::Wait(None), "the run that has ended is over");
    world.change(|spec| spec.suspend = None);
    world.resolution = Some(resolved());
    world.write(7);
    assert_eq!((world.run_number(), run(&world).trigger), (2, Trigger::Rerun));
    assert_eq!(world.action.status.as_ref().unwrap().last_handled_rerun.as_deref(), Some("a"));
}

#[test]
fn suspended_in_mid_run_the_run_goes_on() {
    let mut world = World::running();
    world.change(|spec| spec.suspend = Some(true));
    assert!(matches!(world.step(3), Step::Wait(Some(_))));
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(4, Reason::Succeeded);
}

#[test]
fn taken_back_while_suspended_the_last_outcome_is_told_again() {
    let mut world = done();
    let before = world.action.spec.args.clone();
    world.change(|spec| (spec.suspend, spec.args) = (Some(true), vec!["x".into()]));
    world.write(4);
    assert_eq!(world.reason(), Reason::Suspended);
    world.change(|spec| spec.args = before);
    world.write(5);
    assert_eq!((world.reason(), world.finished(), world.run_number()), (Reason::Succeeded, true, 1));
    assert_eq!(world.step(6), Step::Wait(None));
}
