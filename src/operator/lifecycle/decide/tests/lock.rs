//! Locks. Each test's name is the sequence of events.

use super::*;
use crate::{
    api::{
        ANNOTATION_CANCEL,
        action::{Lock, Retry, RetryCause, WhenHeld},
        status::LockStatus,
    },
    operator::lifecycle::lock_facts::{Held, Holder, HolderStands, LockSeen},
};

fn lock(name: &str) -> Lock {
    Lock { name: name.into(), ..Lock::default() }
}

pub(super) fn locked() -> DeploymentAction {
    let mut action = action();
    action.spec.lock = Some(lock("prod"));
    action
}

fn other() -> Holder {
    Holder { action: "other".into(), run: "uid-2-7".into(), since: Some(at(-60)) }
}

fn record(world: &World) -> &LockStatus {
    run(world).lock.as_ref().unwrap()
}

fn message(world: &World) -> String {
    let status = world.action.status.as_ref().unwrap();
    status.conditions().get(ConditionType::Ready).unwrap().message.clone()
}

#[allow(clippy::unnecessary_wraps, reason = "as the fact has it")]
pub(super) fn free() -> Option<LockSeen> {
    Some(LockSeen::Free { pods: vec![] })
}

/// A run that waits, because another run has the lock.
pub(super) fn queued() -> World {
    let mut world = World::new(locked());
    world.lock.place.holder = Some(other());
    world.write(0);
    assert_eq!((world.phase().as_str(), world.reason()), ("Queued", Reason::Queued));
    world
}

/// A run whose status says that it just got the lock.
fn acquired_of(action: DeploymentAction, seconds: i64) -> World {
    let mut world = World::new(action);
    world.write(0);
    world.lock.seen = Some(LockSeen::Ours { since: at(seconds) });
    world.write(seconds);
    world.lock.seen = None;
    assert_eq!((world.phase().as_str(), world.reason()), ("Pending", Reason::Resolving));
    world
}

fn acquired() -> World {
    acquired_of(locked(), 0)
}

pub(super) fn launching_of(action: DeploymentAction) -> World {
    let mut world = acquired_of(action, 0);
    world.resolution = Some(resolved());
    world.write(0);
    world.resolution = None;
    assert_eq!(world.phase(), "Launching");
    world
}

fn running_of(action: DeploymentAction) -> World {
    let mut world = launching_of(action);
    world.lock.marked = Some(("deploy-5f3c9a1b-1-1".into(), Some("pod-1".into())));
    world.show_pod(|pod| {
        pod.started = true;
        pod.lock = Some("prod".into());
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    world.progress_due = true;
    world.write(2);
    assert_eq!(world.phase(), "Running");
    world
}

fn running() -> World {
    running_of(locked())
}

fn released() -> Step {
    Step::ReleaseLock { lock: "prod".into(), run: "5f3c9a1b-1".into() }
}

fn waits(step: &Step) -> bool {
    matches!(step, Step::Wait(_))
}

/// Its script ended well, and the node has not said so yet.
pub(super) fn ended() -> World {
    let mut world = running();
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
    world
}

#[allow(clippy::unnecessary_wraps, reason = "as the fact has it")]
pub(super) fn held(change: impl FnOnce(&mut Held)) -> Option<LockSeen> {
    let mut held = Held {
        by: other(),
        stands: HolderStands::Gone,
        pod: Some("other-1-1".into()),
        recorded: None,
        pods: vec![],
        until: Some(at(1000)),
    };
    change(&mut held);
    Some(LockSeen::Held(Box::new(held)))
}

// The run has the lock.

#[test]
fn the_run_is_on_record_before_its_lock_is_taken_and_its_image_is_resolved_after() {
    let mut world = World::new(locked());
    world.write(0);
    assert_eq!((world.phase().as_str(), run(&world).queue_position), ("Queued", Some(1)));
    assert_eq!((record(&world).ticket.as_str(), &record(&world).acquired_at), ("10", &None));
    let (lock, run_id) = ("prod".to_owned(), "5f3c9a1b-1".to_owned());
    assert_eq!(world.step(0), Step::LookAtLock { lock: lock.clone(), run: run_id.clone() });
    world.lock.seen = free();
    assert_eq!(world.step(0), Step::TakeLock { lock, run: run_id });
    world.lock.seen = Some(LockSeen::Ours { since: at(1) });
    world.write(1);
    assert_eq!((world.phase().as_str(), run(&world).queue_position), ("Pending", None));
    assert_eq!(record(&world).acquired_at, Some(Time(at(1))));
    assert_eq!(world.step(1), Step::Resolve { repeats: None });
}

#[test]
fn an_action_without_a_lock_asks_nobody() {
    let mut world = World::new(action());
    world.lock = LockFact::default();
    assert_eq!(world.step(0), Step::Resolve { repeats: None });
}

#[test]
fn the_pod_is_put_down_on_the_lease_before_it_is_created_and_its_uid_after() {
    let mut world = launching_of(locked());
    let pod = "deploy-5f3c9a1b-1-1".to_owned();
    let Step::MarkLock { pod: name, uid: None, seconds, .. } = world.step(1) else { panic!() };
    assert_eq!((&name, seconds), (&pod, 60 + 600 + BY_KUBELET));
    world.lock.marked = Some((pod.clone(), None));
    let Step::Launch(attempt) = world.step(1) else { panic!() };
    assert_eq!(attempt.lock.as_deref(), Some("prod"));
    world.show_pod(|_| {});
    assert!(matches!(world.step(2), Step::MarkLock { uid: Some(uid), .. } if uid == "pod-1"));
    world.lock.marked = Some((pod, Some("pod-1".into())));
    assert!(waits(&world.step(2)));
}

#[test]
fn the_lease_names_another_one_before_the_pod_is_created() {
    let mut world = launching_of(locked());
    world.lock.lost = true;
    world.ends(1, Reason::LockLost);
    // An earlier process may have sent a creation.
    let mut world = launching_of(locked());
    world.lock.lost = true;
    world.creation.unanswered = true;
    assert!(matches!(world.step(1), Step::Entomb { .. }));
}

#[test]
fn the_pending_deadline_counts_from_the_lock() {
    let mut world = acquired_of(locked(), 3000);
    world.resolution =
        Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message: "timeout".into() });
    world.write(3599);
    assert_eq!(world.phase(), "Pending");
    world.ends(3600, Reason::RegistryUnavailable);
    assert_eq!(record(&world).held_until, Some(Time(at(3600))), "nothing was started");
    assert_eq!(world.step(3600), released());
}

// The run waits for the lock.

#[test]
fn while_another_run_has_it_nothing_is_asked_of_the_api_server() {
    let mut world = queued();
    assert!(message(&world).contains("other (run uid-2-7"), "{}", message(&world));
    assert_eq!(world.step(1), Step::Wait(Some(SignedDuration::from_secs(30))));
    world.lock.place.holder = None;
    world.lock.place.ahead = 3;
    assert!(waits(&world.step(1)), "others are before it");
    world.lock.place.ahead = 0;
    assert!(matches!(world.step(1), Step::LookAtLock { .. }));
}

#[test]
fn its_place_is_told_now_and_then_and_when_it_is_the_next() {
    let mut world = World::new(locked());
    world.lock.place.ahead = 99;
    world.write(0);
    assert_eq!(run(&world).queue_position, Some(100));
    world.lock.place.ahead = 98;
    assert!(waits(&world.step(1)), "a queue of a hundred would write ten thousand times");
    world.lock.position_due = true;
    world.write(30);
    assert_eq!(run(&world).queue_position, Some(99));
    assert!(waits(&world.step(31)), "nothing new");
    world.lock.position_due = false;
    world.lock.place = Place { known: true, ahead: 0, holder: Some(other()) };
    world.write(32);
    assert_eq!(run(&world).queue_position, Some(1));
    world.change(|spec| spec.args = vec!["x".into()]);
    world.write(33);
    assert_eq!((run(&world).generation, run(&world).number), (2, 1), "it follows the spec");
}

#[test]
fn before_all_actions_are_known_nobody_takes_anything() {
    let mut world = World::new(locked());
    world.lock.place.known = false;
    assert_eq!(world.step(0), Step::Wait(Some(SignedDuration::from_millis(200))));
}

#[test]
fn past_the_queue_deadline_the_run_ends() {
    let mut world = queued();
    world.ends(3600, Reason::QueueDeadlineExceeded);
    assert!(message(&world).contains("other (run uid-2-7"), "{}", message(&world));
    assert_eq!((run(&world).queue_position, &record(&world).held_until), (None, &None));
    assert_eq!(world.step(3601), Step::Wait(None), "nothing is given back that it never had");
    let mut shorter = locked();
    shorter.spec.lock.as_mut().unwrap().queue_deadline_seconds = Some(10);
    let mut world = World::new(shorter);
    world.lock.place.ahead = 1;
    world.write(0);
    assert_eq!(world.step(5), Step::Wait(Some(SignedDuration::from_secs(5))));
    world.ends(10, Reason::QueueDeadlineExceeded);
}

#[test]
fn who_does_not_want_to_wait_fails_at_once() {
    let mut action = locked();
    action.spec.lock.as_mut().unwrap().when_held = Some(WhenHeld::Fail);
    let mut world = World::new(action.clone());
    world.lock.place.holder = Some(other());
    assert!(matches!(world.step(0), Step::LookAtLock { .. }), "the record may be behind the Lease");
    world.lock.seen = held(|held| held.stands = HolderStands::UnderWay);
    world.ends(0, Reason::LockHeld);
    let mut world = World::new(action.clone());
    world.lock.place.ahead = 1;
    world.ends(0, Reason::LockHeld);
    let mut world = World::new(action.clone());
    world.write(0);
    world.lock.seen = held(|_| {});
    world.ends(0, Reason::LockHeld);
    let mut world = World::new(action);
    world.write(0);
    world.lock.seen = free();
    assert!(matches!(world.step(0), Step::TakeLock { .. }));
}

#[test]
fn who_does_not_want_to_wait_does_not_fail_because_of_a_release_that_is_not_on_record_yet() {
    let mut action = locked();
    action.spec.lock.as_mut().unwrap().when_held = Some(WhenHeld::Fail);
    let mut world = World::new(action);
    world.lock.place.holder = Some(other());
    world.lock.seen = free();
    world.write(0);
    assert!(!world.finished() && message(&world).contains("has released it by its Lease"));
    assert_eq!(world.step(0), Step::Wait(Some(SignedDuration::from_secs(1))), "nothing is taken before that");
    world.lock.place.holder = None;
    assert!(matches!(world.step(1), Step::TakeLock { .. }));
    world.lock.place.holder = Some(other());
    world.ends(600, Reason::QueueDeadlineExceeded);
}

#[test]
fn who_waits_for_a_lock_leaves_its_lease_alone_until_its_turn() {
    let world = queued();
    assert!(waits(&world.step(1)));
}

#[test]
fn a_lease_that_cannot_be_read_is_waited_for_and_told_of() {
    let mut world = World::new(locked());
    world.write(0);
    world.lock.seen = Some(LockSeen::Unreadable("forbidden".into()));
    world.lock.position_due = true;
    world.write(1);
    assert!(message(&world).contains("forbidden"));
    assert!(waits(&world.step(2)));
    world.ends(3600, Reason::QueueDeadlineExceeded);
    let mut action = locked();
    action.spec.lock.as_mut().unwrap().when_held = Some(WhenHeld::Fail);
    let mut world = World::new(action);
    world.write(0);
    world.lock.seen = Some(LockSeen::Unreadable("forbidden".into()));
    assert!(!world.finished() && waits(&world.step(1)), "whether it is held is not known");
    world.ends(600, Reason::QueueDeadlineExceeded);
}

#[test]
fn in_a_namespace_that_goes_no_lock_is_waited_for() {
    let mut world = World::new(locked());
    world.write(0);
    let words =
        "leases is forbidden: unable to create new content in namespace shop because it is being terminated";
    world.lock.seen = Some(LockSeen::Unreadable(words.into()));
    world.ends(1, Reason::NamespaceTerminating);
}

#[test]
fn a_lease_of_somebody_else_ends_the_run() {
    let mut world = World::new(locked());
    world.write(0);
    world.lock.seen = Some(LockSeen::Stranger("longshore-lock-prod".into()));
    world.ends(0, Reason::LockNameTaken);
    assert!(message(&world).contains("longshore-lock-prod"));
}

#[test]
fn cancelled_while_it_waits() {
    let mut world = queued();
    world.action.metadata.annotations =
        Some([(ANNOTATION_CANCEL.to_owned(), "5f3c9a1b-1".to_owned())].into());
    world.ends(1, Reason::Cancelled);
}

#[test]
fn deleted_while_it_waits() {
    let mut world = queued();
    world.action.metadata.deletion_timestamp = Some(Time(at(1)));
    assert_eq!(world.step(2), Step::Wait(None));
}

#[test]
fn suspended_while_it_waits_it_lets_others_pass_and_keeps_its_ticket() {
    let mut world = queued();
    world.change(|spec| spec.suspend = Some(true));
    world.write(100);
    assert_eq!((world.phase().as_str(), world.reason()), ("Suspended", Reason::Suspended));
    assert_eq!((run(&world).queue_position, record(&world).ticket.as_str()), (None, "10"));
    assert_eq!(world.step(9999), Step::Wait(None), "no deadline counts");
    world.action.metadata.resource_version = Some("500".into());
    world.change(|spec| spec.suspend = None);
    world.write(10_000);
    assert_eq!((world.phase().as_str(), record(&world).ticket.as_str()), ("Queued", "10"));
    assert_eq!(run(&world).requested_at, Some(Time(at(10_000))), "its deadline counts anew");
}

#[test]
fn suspended_once_it_has_it_the_run_goes_on() {
    let mut world = acquired();
    world.change(|spec| spec.suspend = Some(true));
    assert_eq!(world.step(1), Step::Resolve { repeats: None });
}

#[test]
fn another_lock_is_named_while_it_waits_and_it_waits_there_at_the_end() {
    let mut world = queued();
    world.action.metadata.resource_version = Some("500".into());
    world.change(|spec| spec.lock = Some(lock("test")));
    world.lock.place = Place { known: true, ahead: 4, holder: None };
    world.write(5);
    assert_eq!((record(&world).name.as_str(), record(&world).ticket.as_str()), ("test", "500"));
    assert_eq!(run(&world).queue_position, Some(5));
    world.change(|spec| spec.lock = None);
    assert_eq!(world.step(6), Step::Resolve { repeats: None });
}

#[test]
fn another_lock_is_named_before_anything_started_and_the_first_is_given_back() {
    let mut world = acquired();
    world.change(|spec| spec.lock = Some(lock("test")));
    assert_eq!(world.step(1), released());
    world.lock.given_back = true;
    world.lock.place.ahead = 1;
    world.write(1);
    assert_eq!((record(&world).name.as_str(), &record(&world).acquired_at), ("test", &None));
    // A run whose inputs are frozen yields, and the next one takes the other lock.
    let mut world = launching_of(locked());
    world.change(|spec| spec.lock = Some(lock("test")));
    world.write(1);
    world.gives_way(1);
    assert_eq!(world.step(2), released());
    world.lock.given_back = true;
    world.write(2);
    assert_eq!(record(&world).name, "prod");
    world.lock.given_back = false;
    world.lock.place.ahead = 1;
    world.write(2);
    assert_eq!((world.run_number(), record(&world).name.as_str()), (2, "test"));
}

#[test]
fn what_cannot_be_executed_does_not_wait_to_say_so() {
    let mut world = World::new(locked());
    world.lock.place.holder = Some(other());
    world.spec = Err(Invalid("spec: no".into()).into());
    world.ends(0, Reason::InvalidSpec);
    let mut world = World::new(locked());
    world.lock.place.holder = Some(other());
    world.standing = Standing::Refused("no".into());
    world.ends(0, Reason::PolicyViolated);
    let mut world = World::new(locked());
    world.lock.place.holder = Some(other());
    world.spec = Err(Blocked::NoTemplate("none".into()));
    world.write(0);
    assert_eq!(world.phase(), "Queued", "its template may be there by then");
}

// The lock is passed on.

#[test]
fn the_verdict_comes_before_the_container_s_end_is_seen_and_the_lock_waits_for_that() {
    let mut world = ended();
    let bound = 2 + BY_KUBELET;
    assert_eq!(record(&world).held_until, Some(Time(at(bound))));
    assert!(waits(&world.step(4)), "{:?}", world.step(4));
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", None);
    });
    assert_eq!(world.step(4), released(), "before the pod is let go");
    world.lock.given_back = true;
    world.write(5);
    assert_eq!(record(&world).released_at, Some(Time(at(5))));
    world.lock.given_back = false;
    assert!(matches!(world.step(5), Step::Release { .. }));
}

#[test]
fn a_pod_that_is_deleted_after_the_verdict_is_held_until_its_container_has_ended() {
    let mut world = ended();
    let show = |world: &mut World, container: ContainerView| {
        world.show_pod(|pod| {
            pod.started = true;
            (pod.deleting, pod.container) = (true, container);
        });
    };
    show(&mut world, ContainerView::Running { since: Some(Time(at(2))) });
    assert!(waits(&world.step(4)), "{:?}", world.step(4));
    // The kubelet lost sight of the container, and a phase proves nothing.
    show(&mut world, terminated("ContainerStatusUnknown", None));
    assert!(waits(&world.step(4)));
    world.show_pod(|pod| (pod.started, pod.deleting, pod.gone) = (true, true, true));
    assert!(waits(&world.step(4)));
    show(&mut world, terminated("Error", None));
    assert_eq!(world.step(4), released());
}

#[test]
fn a_pod_that_vanished_holds_its_lock_until_no_clock_lets_it_run() {
    let mut world = running();
    (world.pod, world.log) = (PodFact::Absent, None);
    world.ends(10, Reason::Unknown);
    let bound = 2 + BY_KUBELET;
    assert_eq!(record(&world).held_until, Some(Time(at(bound))));
    assert_eq!(world.step(100), Step::Wait(Some(SignedDuration::from_secs(bound - 100))));
    assert_eq!(world.step(bound), released());
}

#[test]
fn what_was_certainly_never_started_passes_its_lock_on_at_once() {
    let mut world = launching_of(locked());
    world.creation.refusal =
        Some(Refusal { reason: Reason::PodRefused, may_pass: false, message: "no".into() });
    world.ends(1, Reason::PodRefused);
    assert_eq!(world.step(1), released());
    // A tombstone is proof. A tombstone that was refused is not.
    let mut world = launching_of(locked());
    world.show_pod(|pod| pod.tombstone = true);
    world.ends(601, Reason::PendingDeadlineExceeded);
    assert_eq!(world.step(601), released());
    let mut world = launching_of(locked());
    world.creation.unanswered = true;
    world.creation.tombstone_refused = Some("quota".into());
    world.ends(601, Reason::Unknown);
    assert!(waits(&world.step(602)), "{:?}", world.step(602));
    assert_eq!(world.step(600 + BY_KUBELET), released());
}

#[test]
fn a_run_that_is_cancelled_with_its_tombstone_standing_passes_its_lock_on() {
    let mut world = launching_of(locked());
    world.action.metadata.annotations =
        Some([(ANNOTATION_CANCEL.to_owned(), "5f3c9a1b-1".to_owned())].into());
    world.creation.unanswered = true;
    world.write(1);
    assert!(matches!(world.step(1), Step::Entomb { .. }));
    world.show_pod(|pod| pod.tombstone = true);
    world.ends(2, Reason::Cancelled);
    assert_eq!(world.step(2), released());
}

#[test]
fn the_lock_is_kept_over_all_attempts() {
    let mut action = locked();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::ScriptFailed], ..Retry::default() });
    let mut world = running_of(action);
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.write(4);
    assert_eq!(world.phase(), "Retrying");
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Error", None);
    });
    assert!(matches!(world.step(5), Step::Release { .. }), "the pod is not waited with: {:?}", world.step(5));
    (world.pod, world.log) = (PodFact::NotSeen, None);
    assert!(waits(&world.step(5)));
    world.write(600);
    assert_eq!(run(&world).attempt, 2);
    let step = world.step(600);
    assert!(
        matches!(&step, Step::MarkLock { pod, uid: None, .. } if pod == "deploy-5f3c9a1b-1-2"),
        "{step:?}"
    );
}

#[test]
fn cancelled_between_two_attempts_the_lock_goes_when_the_first_certainly_runs_no_more() {
    let mut action = locked();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::Interrupted], ..Retry::default() });
    let mut world = running_of(action);
    (world.pod, world.log) = (PodFact::Absent, None);
    world.write(10);
    assert_eq!(world.phase(), "Retrying");
    world.action.metadata.annotations =
        Some([(ANNOTATION_CANCEL.to_owned(), "5f3c9a1b-1".to_owned())].into());
    world.ends(20, Reason::Cancelled);
    assert!(waits(&world.step(21)));
    assert_eq!(world.step(2 + BY_KUBELET), released());
}

#[test]
fn a_run_of_the_same_action_waits_for_the_lock_of_the_one_before_and_says_so() {
    let mut world = ended();
    world.pod = PodFact::Absent;
    world.change(|spec| spec.run_token = Some("again".into()));
    assert_eq!(world.step(4), Step::Wait(Some(SignedDuration::from_secs(4))), "mostly it is a moment");
    world.write(9);
    assert_eq!((world.phase().as_str(), world.reason(), run(&world).number), ("Queued", Reason::Queued, 1));
    assert!(!world.finished() && message(&world).contains("run 1"), "{}", message(&world));
    assert!(waits(&world.step(10)));
    let bound = 2 + BY_KUBELET;
    assert_eq!(world.step(bound), released());
    world.lock.given_back = true;
    world.write(bound);
    world.lock.given_back = false;
    world.write(bound);
    assert_eq!((world.phase().as_str(), run(&world).number), ("Queued", 2));
}

#[test]
fn a_run_that_is_not_asked_for_any_more_while_it_waits_for_the_one_before() {
    let mut world = ended();
    world.pod = PodFact::Absent;
    world.change(|spec| spec.run_token = Some("again".into()));
    world.write(9);
    world.change(|spec| spec.run_token = None);
    world.write(10);
    assert_eq!((world.phase().as_str(), world.finished()), ("Succeeded", true));
}

#[test]
fn the_action_is_deleted_while_its_script_runs() {
    let mut world = running();
    world.action.metadata.deletion_timestamp = Some(Time(at(3)));
    assert!(matches!(world.step(4), Step::Delete { .. }));
    let show = |world: &mut World, container: ContainerView| {
        world.show_pod(|pod| {
            pod.started = true;
            (pod.deleting, pod.container) = (true, container);
        });
    };
    show(&mut world, ContainerView::Running { since: Some(Time(at(2))) });
    assert_eq!(world.step(5), Step::Wait(None), "its end must be seen");
    show(&mut world, terminated("Error", None));
    assert_eq!(world.step(6), released());
    world.lock.given_back = true;
    assert!(matches!(world.step(6), Step::Release { .. }));
}

#[test]
fn the_action_is_deleted_and_its_pod_is_to_stay() {
    let mut world = running();
    world.action.metadata.deletion_timestamp = Some(Time(at(3)));
    world.action.metadata.finalizers = Some(vec!["orphan".into()]);
    assert!(matches!(world.step(4), Step::Release { .. }), "whoever is the next sees that it runs");
}

#[test]
fn the_action_is_deleted_before_its_pod_was_asked_for() {
    let mut world = acquired();
    world.action.metadata.deletion_timestamp = Some(Time(at(1)));
    assert_eq!(world.step(2), released());
    world.lock.given_back = true;
    assert_eq!(world.step(2), Step::Wait(None));
    let mut world = launching_of(locked());
    world.action.metadata.deletion_timestamp = Some(Time(at(1)));
    assert_eq!(world.step(2), Step::Wait(None), "a creation may be on its way");
}

#[test]
fn the_status_was_lost_and_the_pod_tells_of_the_lock() {
    let mut world = World::new(locked());
    world.all_pods = true;
    world.older = vec![PodView { lock: Some("prod".into()), started: true, ..pod_view() }];
    world.write(5);
    assert_eq!((record(&world).name.as_str(), &record(&world).acquired_at), ("prod", &Some(Time(at(5)))));
}

// The holder's action is gone.

fn taken(world: &World, seconds: i64) -> bool {
    matches!(world.step(seconds), Step::TakeLock { .. })
}

fn next() -> World {
    let mut world = World::new(locked());
    world.write(0);
    world
}

fn pod_in(container: ContainerView) -> PodView {
    PodView { name: "other-1-1".into(), started: true, container, ..pod_view() }
}

#[test]
fn a_holder_that_is_gone_without_a_pod_put_down_has_sent_none() {
    let mut world = next();
    world.lock.seen = held(|held| held.pod = None);
    assert!(taken(&world, 1));
    world.lock.seen = held(|held| (held.pod, held.stands) = (None, HolderStands::UnderWay));
    assert!(!taken(&world, 1), "it is about to");
    world.lock.seen = held(|held| (held.pod, held.stands) = (None, HolderStands::Waiting));
    assert!(taken(&world, 1), "its operator took it a minute ago and died");
    world.lock.seen = held(|held| {
        (held.pod, held.stands) = (None, HolderStands::Waiting);
        held.by.since = Some(at(0));
    });
    assert!(!taken(&world, 9) && taken(&world, 10));
}

#[test]
fn a_holder_that_is_gone_passes_it_on_by_the_end_of_its_container_alone() {
    let mut world = next();
    let unknown = terminated("ContainerStatusUnknown", None);
    let runs = ContainerView::Running { since: None };
    for (container, passes) in [
        (runs.clone(), false),
        (unknown, false),
        (ContainerView::Waiting, false),
        (terminated("Error", None), true),
    ] {
        world.lock.seen = held(|held| held.recorded = Some(pod_in(container.clone())));
        assert_eq!(taken(&world, 1), passes, "{container:?}");
        // What the recorded pod shows outranks every clock.
        assert_eq!(taken(&world, 2000), passes, "{container:?}");
    }
    world.lock.seen = held(|held| held.recorded = Some(PodView { tombstone: true, ..pod_view() }));
    assert!(taken(&world, 1));
    world.lock.seen = held(|held| {
        held.recorded = Some(pod_in(terminated("Error", None)));
        held.pods = vec![pod_in(runs)];
    });
    assert!(!taken(&world, 1), "another pod of the lock runs");
}

#[test]
fn a_holder_that_is_gone_with_its_pod_passes_it_on_when_no_clock_lets_that_run() {
    let mut world = next();
    world.lock.seen = held(|_| {});
    assert!(!taken(&world, 999) && taken(&world, 1000));
    world.lock.position_due = true;
    world.write(5);
    assert!(message(&world).contains(&at(1000).to_string()), "{}", message(&world));
    world.lock.seen = held(|held| held.until = None);
    assert!(!taken(&world, 3000), "somebody took the time off");
}

#[test]
fn a_lease_that_was_deleted_by_hand_while_a_pod_runs_frees_nothing() {
    let mut world = next();
    world.lock.seen = Some(LockSeen::Free { pods: vec![pod_in(ContainerView::Running { since: None })] });
    assert!(!taken(&world, 1));
    world.lock.seen = Some(LockSeen::Free { pods: vec![pod_in(terminated("Completed", None))] });
    assert!(taken(&world, 1));
    world.lock.seen = free();
    world.lock.place.holder = Some(other());
    assert!(!taken(&world, 1), "an action says that it has it");
}
