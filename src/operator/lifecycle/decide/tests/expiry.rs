//! `ttlSecondsAfterFinished`: when an action goes by itself.

use super::*;
use crate::api::{ANNOTATION_RERUN, status::LockStatus};

/// An action of a CI job that ended at 3 s and is at rest.
fn at_rest() -> World {
    let mut world = done();
    world.action.metadata.generate_name = Some("deploy-".into());
    world.action.spec.ttl_seconds_after_finished = Some(60);
    world
}

#[test]
fn it_goes_that_long_after_its_run_has_ended() {
    let world = at_rest();
    assert_eq!(world.step(4), Step::Wait(Some(SignedDuration::from_secs(59))));
    assert_eq!(world.step(63), Step::DeleteAction);
    assert_eq!(done().step(9999), Step::Wait(None), "without it, never");
}

#[test]
fn one_with_a_fixed_name_never_goes() {
    for name in [None, Some(String::new())] {
        let mut world = at_rest();
        world.action.metadata.generate_name = name;
        assert_eq!(world.step(9999), Step::Wait(None));
    }
}

#[test]
fn one_of_which_another_run_is_wanted_stays() {
    let mut world = at_rest();
    world.action.metadata.annotations = Some([(ANNOTATION_RERUN.to_owned(), "a".to_owned())].into());
    assert_eq!(world.step(9999), Step::Resolve { repeats: None });
    world.action.spec.suspend = Some(true);
    world.write(9999);
    assert!(matches!(world.step(10_000), Step::Wait(_)), "suspended");
    let mut world = at_rest();
    world.change(|spec| spec.args = vec!["x".into()]);
    assert_eq!(world.step(9999), Step::Resolve { repeats: None });
}

#[test]
fn one_that_runs_or_never_ran_stays() {
    let mut world = World::running();
    world.action.metadata.generate_name = Some("deploy-".into());
    world.action.spec.ttl_seconds_after_finished = Some(0);
    assert!(matches!(world.step(100), Step::Wait(_)), "{:?}", world.step(100));
    let mut manual = action();
    manual.metadata.generate_name = Some("deploy-".into());
    manual.spec.ttl_seconds_after_finished = Some(0);
    manual.spec.run_policy = RunPolicy::Manual;
    let mut world = World::new(manual);
    world.write(0);
    assert_eq!(world.step(100), Step::Wait(None));
}

#[test]
fn what_is_not_settled_is_waited_for() {
    let mut world = at_rest();
    world.show_pod(|pod| {
        pod.started = true;
        pod.finalizer = true;
    });
    assert!(matches!(world.step(9999), Step::Wait(_)), "its node tells of no end: {:?}", world.step(9999));
    let mut world = at_rest();
    world.older = vec![PodView { attempt: Some((0, 1)), ..pod_view() }];
    assert!(matches!(world.step(9999), Step::Wait(_)), "{:?}", world.step(9999));
    let mut world = at_rest();
    let lock = LockStatus {
        acquired_at: Some(Time(at(0))),
        held_until: Some(Time(at(20_000))),
        ..LockStatus::default()
    };
    run_mut(&mut world).lock = Some(lock);
    assert!(matches!(world.step(9999), Step::Wait(_)), "{:?}", world.step(9999));
}

#[test]
fn a_pod_that_goes_sooner_goes_first() {
    let mut world = at_rest();
    world.action.spec.ttl_seconds_after_finished = Some(1000);
    world.action.spec.pod_retention_seconds = 0;
    world.show_pod(|pod| {
        pod.finalizer = false;
        pod.started = true;
        pod.container = terminated("Completed", None);
    });
    assert!(matches!(world.step(200), Step::Delete { .. }));
}
