//! The log in the archive: nothing waits for it but the pod.

use super::*;
use crate::{
    api::status::{StoredLogStatus, StoredState},
    operator::lifecycle::facts::Storing,
};

fn set(world: &mut World, storing: Storing) {
    world.archive = Some(Archiving([("pod-1".to_owned(), storing)].into()));
}

fn finishing(problem: Option<&str>) -> Storing {
    Storing::Finishing { key: "v1/logs/k".into(), problem: problem.map(str::to_owned) }
}

fn ended(state: StoredState, message: Option<&str>) -> Storing {
    Storing::Ended(StoredLogStatus {
        state,
        key: "v1/logs/k".into(),
        until: Some(Time(at(1000))),
        message: message.map(str::to_owned),
    })
}

/// A run with an archive that has just ended. Its container, too.
fn over(code: u8) -> World {
    let mut world = World::running();
    world.archive = Some(Archiving::default());
    let end = exit(Outcome::Exited { code });
    world.log = Some(log_with(end.clone(), LogState::Complete, 3));
    world.write(3);
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", Some(end));
    });
    world
}

fn is_handed_over(step: &Step, attempt: (u32, u32)) -> bool {
    matches!(step, Step::StoreLog { uid, run, attempt: number, has_log: true, .. }
        if uid == "pod-1" && (*run, *number) == attempt)
}

fn stored(world: &World) -> Option<StoredState> {
    let status = world.action.status.as_ref().unwrap();
    let of_log = status.log.as_ref().unwrap().stored.as_ref();
    assert_eq!(of_log, status.history[0].stored.as_ref());
    of_log.map(|stored| stored.state)
}

fn is_told(world: &World) -> bool {
    world.action.status.as_ref().unwrap().conditions().is_true(ConditionType::LogNotStored)
}

#[test]
fn without_an_archive_a_pod_is_released_at_once_and_the_status_says_nothing() {
    let mut world = over(0);
    world.archive = None;
    assert!(matches!(world.step(4), Step::Release { .. }), "{:?}", world.step(4));
    assert_eq!(stored(&world), None);
}

#[test]
fn the_verdict_waits_for_nothing_and_the_pod_for_the_archive() {
    let mut world = over(0);
    assert_eq!((world.reason(), stored(&world)), (Reason::Succeeded, None));
    for open in [None, Some(Storing::Open)] {
        if let Some(open) = open {
            set(&mut world, open);
        }
        assert!(is_handed_over(&world.step(4), (1, 1)), "{:?}", world.step(4));
    }
    set(&mut world, finishing(None));
    assert!(matches!(world.step(5), Step::Wait(_)), "{:?}", world.step(5));
    assert!(matches!(world.step(590), Step::Wait(_)), "the archivist gives up, not this");
    set(&mut world, ended(StoredState::Complete, None));
    world.write(600);
    assert_eq!((world.reason(), stored(&world)), (Reason::Succeeded, Some(StoredState::Complete)));
    assert!(!is_told(&world));
    assert!(matches!(world.step(601), Step::Release { .. }), "{:?}", world.step(601));
}

#[test]
fn a_log_that_the_archive_did_not_take_changes_no_verdict_and_is_told() {
    for state in [StoredState::Failed, StoredState::Incomplete] {
        let mut world = over(7);
        let before = world.message();
        set(&mut world, ended(state, Some("the archive is full")));
        world.write(600);
        assert_eq!((world.reason(), world.message()), (Reason::ScriptFailed, before));
        assert_eq!(stored(&world), Some(state));
        let status = world.action.status.as_ref().unwrap();
        let told = status.conditions().get(ConditionType::LogNotStored).unwrap();
        assert_eq!(told.message, "the archive is full");
        assert!(matches!(world.step(601), Step::Release { .. }));
    }
}

#[test]
fn a_pod_that_somebody_deletes_waits_a_minute_for_the_archive() {
    let mut world = over(0);
    set(&mut world, finishing(Some("the archive cannot be reached")));
    if let PodFact::Present(pod) = &mut world.pod {
        (pod.deleting, pod.deleting_since) = (true, Some(Time(at(100))));
    }
    let Step::Wait(Some(wait)) = world.step(110) else { panic!("{:?}", world.step(110)) };
    assert_eq!(wait, SignedDuration::from_secs(50));
    world.write(160);
    assert_eq!((world.reason(), stored(&world)), (Reason::Succeeded, Some(StoredState::Failed)));
    assert!(is_told(&world));
    assert!(matches!(world.step(160), Step::Release { .. }), "{:?}", world.step(160));
}

/// The same, after another run without a pod. The pod of the first one is there, with our finalizer.
fn with_older() -> World {
    let mut world = over(0);
    let PodFact::Present(mut older) = std::mem::replace(&mut world.pod, PodFact::NotSeen) else { panic!() };
    older.settled = true;
    world.older = vec![*older];
    world.log = None;
    let run = run_mut(&mut world);
    (run.number, run.pod_uid) = (2, None);
    world
}

#[test]
fn another_run_does_not_wait_for_the_archive_and_the_pod_stays_for_it() {
    let mut world = over(0);
    set(&mut world, finishing(Some("down")));
    world.change(|spec| spec.run_token = Some("next".into()));
    assert_eq!(world.step(5), Step::Resolve { repeats: None });
    // Once the next run has ended, its pod is an earlier one.
    let mut world = with_older();
    set(&mut world, finishing(Some("down")));
    assert!(matches!(world.step(200), Step::Wait(_)), "{:?}", world.step(200));
    set(&mut world, ended(StoredState::Complete, None));
    world.write(200);
    let status = world.action.status.as_ref().unwrap();
    assert_eq!(status.history[0].stored.as_ref().unwrap().state, StoredState::Complete);
    assert_eq!(status.log.as_ref().unwrap().stored, None, "this is the log of another run");
    assert!(matches!(world.step(201), Step::Release { .. }), "{:?}", world.step(201));
}

#[test]
fn what_was_read_of_a_pod_that_vanished_is_stored() {
    let mut world = over(0);
    world.pod = PodFact::Absent;
    assert!(matches!(world.step(4), Step::Wait(_)), "this process has read nothing: {:?}", world.step(4));
    set(&mut world, Storing::Open);
    assert!(matches!(world.step(4), Step::StoreLog { has_log: false, .. }), "{:?}", world.step(4));
    set(&mut world, finishing(None));
    assert!(matches!(world.step(5), Step::Wait(_)), "{:?}", world.step(5));
    set(&mut world, ended(StoredState::Complete, None));
    world.write(6);
    assert_eq!(stored(&world), Some(StoredState::Complete));
}

#[test]
fn another_process_hands_the_record_of_an_earlier_pod_over_again() {
    let world = with_older();
    assert!(is_handed_over(&world.step(200), (1, 1)), "{:?}", world.step(200));
}

#[test]
fn another_attempt_does_not_wait_for_the_archive() {
    let mut action = action();
    action.spec.retry = Some(crate::api::action::Retry {
        limit: 1,
        causes: vec![crate::api::action::RetryCause::ScriptFailed],
        backoff_seconds: Some(1),
        ..crate::api::action::Retry::default()
    });
    let mut world = World::running_of(action);
    world.archive = Some(Archiving::default());
    let end = exit(Outcome::Exited { code: 1 });
    world.log = Some(log_with(end.clone(), LogState::Complete, 3));
    world.write(3);
    assert_eq!(world.phase(), "Retrying");
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Error", Some(end));
    });
    assert!(is_handed_over(&world.step(3), (1, 1)), "{:?}", world.step(3));
    set(&mut world, finishing(None));
    assert!(matches!(world.step(3), Step::Wait(_)), "its pause, and no release: {:?}", world.step(3));
    world.write(100);
    assert_eq!((world.phase().as_str(), run(&world).attempt), ("Launching", 2));
}

#[test]
fn the_pod_of_an_action_that_is_deleted_waits_a_minute_for_the_archive() {
    let deleted = || {
        let mut world = over(0);
        world.action.metadata.deletion_timestamp = Some(Time(at(100)));
        if let PodFact::Present(pod) = &mut world.pod {
            (pod.deleting, pod.deleting_since) = (true, Some(Time(at(100))));
        }
        world
    };
    let mut world = deleted();
    assert!(is_handed_over(&world.step(101), (1, 1)), "{:?}", world.step(101));
    set(&mut world, finishing(None));
    assert!(matches!(world.step(102), Step::Wait(Some(_))), "{:?}", world.step(102));
    assert!(matches!(world.step(160), Step::Release { .. }), "{:?}", world.step(160));
    set(&mut world, ended(StoredState::Complete, None));
    assert!(matches!(world.step(103), Step::Release { .. }), "{:?}", world.step(103));
    // The rest of the log is on its way.
    let mut world = deleted();
    set(&mut world, Storing::Open);
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    assert!(matches!(world.step(102), Step::Wait(Some(_))), "{:?}", world.step(102));
}
