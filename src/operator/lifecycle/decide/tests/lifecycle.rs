//! The table of `docs/reference/lifecycle.md`: each row is brought about, and the decision must be what the
//! row says.

use super::*;
use crate::{
    api::{
        ANNOTATION_CANCEL, ANNOTATION_RERUN,
        action::{Retry, RetryCause},
    },
    operator::lifecycle::lock_facts::LockSeen,
};

const PAGE: &str = include_str!("../../../../../docs/reference/lifecycle.md");

/// A state, a fact, and the time of the decision.
struct Row {
    state: &'static str,
    fact: &'static str,
    world: World,
    at: i64,
}

fn row(state: &'static str, fact: &'static str, world: World, at: i64) -> Row {
    Row { state, fact, world, at }
}

fn changed(mut world: World, change: impl FnOnce(&mut World)) -> World {
    change(&mut world);
    world
}

fn cancelled(mut world: World, write: bool) -> World {
    world.action.metadata.annotations =
        Some([(ANNOTATION_CANCEL.to_owned(), "5f3c9a1b-1".to_owned())].into());
    if write {
        world.write(3);
    }
    world
}

/// Its spec was changed before its script started. `write` puts that on record.
fn corrected(mut world: World, write: bool) -> World {
    world.change(|spec| spec.args = vec!["x".into()]);
    if write {
        world.write(3);
    }
    world
}

/// No node has taken its pod.
fn unbound() -> World {
    World::with_pod(|pod| pod.node = None)
}

fn yielded() -> World {
    let mut world = corrected(World::launching(), true);
    world.gives_way(4);
    world
}

fn waiting() -> World {
    let mut action = action();
    action.spec.retry = Some(Retry { limit: 1, causes: vec![RetryCause::ScriptFailed], ..Retry::default() });
    let mut world = World::running_of(action);
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.write(4);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world
}

/// A run that another process of the operator announced.
fn announced(pod: PodFact) -> World {
    changed(World::launching(), |world| {
        run_mut(world).launcher = None;
        world.pod = pod;
    })
}

fn suspended() -> World {
    let mut action = action();
    action.spec.suspend = Some(true);
    changed(World::new(action), |world| world.write(0))
}

fn resolving() -> World {
    let mut world = World::new(action());
    world.resolution =
        Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message: "timeout".into() });
    world.write(0);
    world.resolution = None;
    world
}

/// A run that is next for its lock, with the result of a look at the lock.
fn next(seen: Option<LockSeen>) -> World {
    changed(lock::queued(), |world| {
        world.lock.place.holder = None;
        world.lock.seen = seen;
    })
}

fn ended(world: &mut World) {
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    let launching = World::launching;
    let pending = || World::with_pod(|_| {});
    let running = World::running;
    let gone = |pod: &mut PodView| (pod.deleting, pod.gone) = (true, true);
    let past = || changed(waiting(), |world| world.action.metadata.deletion_timestamp = Some(Time(at(5))));
    vec![
        row("not seen", "nothing", World::new(action()), 0),
        row(
            "not seen",
            "the image is resolved",
            changed(World::new(action()), |world| world.resolution = Some(resolved())),
            0,
        ),
        row(
            "not seen",
            "the status was lost, and a pod of its UID is there",
            changed(World::new(action()), |world| world.older = vec![pod_view()]),
            0,
        ),
        row(
            "not seen",
            "the same, and all of its pods were looked for",
            changed(World::new(action()), |world| {
                (world.older, world.all_pods) = (vec![pod_view()], true);
            }),
            0,
        ),
        row("Pending", "the registry may be asked again", resolving(), 5),
        row(
            "Pending",
            "the registry has not answered yet",
            changed(resolving(), |world| {
                world.resolution = Some(Resolution::UnderWay {
                    quiet_until: at(6),
                    reason: Reason::RegistryUnavailable,
                    message: "timeout".into(),
                    at_the_end: Reason::RegistryUnavailable,
                });
            }),
            5,
        ),
        row("Pending", "cancelled", cancelled(resolving(), false), 5),
        row(
            "Pending",
            "a pod of an earlier action of this name may still run",
            changed(resolving(), |world| {
                world.previous = vec![PodView { owner_uid: Some("before".into()), ..pod_view() }];
                world.write(4);
            }),
            5,
        ),
        row("Suspended", "suspend stands", suspended(), 5),
        row(
            "Suspended",
            "suspend is false",
            changed(suspended(), |world| world.change(|spec| spec.suspend = None)),
            5,
        ),
        row("Queued", "another run has its lock, or has asked for it before", lock::queued(), 5),
        row("Queued", "no action says that it has the lock, and it is the next", next(None), 5),
        row("Queued", "the API server shows that the lock is free", next(lock::free()), 5),
        row(
            "Queued",
            "the holder's action is gone, and its pod is not seen to have ended",
            next(lock::held(|_| {})),
            5,
        ),
        row(
            "Queued",
            "the holder's action is gone, and every clock that could let its pod run has passed",
            next(lock::held(|_| {})),
            1001,
        ),
        row("Queued", "it has taken the lock", next(Some(LockSeen::Ours { since: at(5) })), 5),
        row("Queued", "cancelled", cancelled(lock::queued(), false), 5),
        row(
            "Queued",
            "suspended",
            changed(lock::queued(), |world| world.change(|spec| spec.suspend = Some(true))),
            5,
        ),
        row("Queued", "the queue deadline is over", lock::queued(), 3600),
        row(
            "Launching",
            "it has a lock, and its pod is not put down on the Lease yet",
            lock::launching_of(lock::locked()),
            1,
        ),
        row("Launching", "no pod is seen", launching(), 1),
        row("Launching", "no pod is seen, and another process announced it", announced(PodFact::NotSeen), 1),
        row(
            "Launching",
            "the API server has no pod, and another process announced it",
            announced(PodFact::Absent),
            1,
        ),
        row(
            "Launching",
            "the pod was refused for good",
            changed(launching(), |world| {
                world.creation.refusal =
                    Some(Refusal { reason: Reason::PodRefused, may_pass: false, message: "no".into() });
            }),
            1,
        ),
        row(
            "Launching",
            "the pending deadline is over, and a creation went unanswered",
            changed(launching(), |world| world.creation.unanswered = true),
            601,
        ),
        row(
            "Launching",
            "its tombstone stands",
            changed(launching(), |world| world.show_pod(|pod| pod.tombstone = true)),
            601,
        ),
        row("Launching", "the spec changed, which is not on record yet", corrected(launching(), false), 1),
        row(
            "Launching",
            "the spec changed, which is on record, and a creation went unanswered",
            changed(corrected(launching(), true), |world| world.creation.unanswered = true),
            4,
        ),
        row(
            "Launching",
            "the spec changed, which is on record, and nothing was created",
            corrected(launching(), true),
            4,
        ),
        row("Launching", "cancelled, which is not on record yet", cancelled(launching(), false), 1),
        row("Launching", "the pod waits", pending(), 1),
        row(
            "Launching",
            "the pod waits past the pending deadline, and that is on record",
            changed(pending(), |world| world.write(600)),
            601,
        ),
        row(
            "Launching",
            "the pod waits; cancelled, its log followed",
            changed(cancelled(pending(), true), |world| {
                world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
            }),
            4,
        ),
        row(
            "Launching",
            "the pod waits; the spec changed, its log followed",
            changed(corrected(unbound(), true), |world| {
                world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
            }),
            4,
        ),
        row("Pending", "its latest run has yielded to a changed spec", yielded(), 5),
        row(
            "Launching",
            "the pod was deleted and is gone without a trace of its container",
            changed(pending(), |world| world.show_pod(gone)),
            5,
        ),
        row(
            "Launching",
            "the pod was changed on its way",
            changed(pending(), |world| world.show_pod(|pod| pod.mutation = Some("x".into()))),
            1,
        ),
        row("Running", "nothing new", running(), 3),
        row("Running", "the exit record is read", changed(running(), ended), 4),
        row("Running", "cancelled, which is on record", cancelled(running(), true), 4),
        row(
            "Running",
            "cancelled, and two seconds have passed since the script was told",
            changed(cancelled(running(), true), |world| {
                world.show_pod(|pod| {
                    pod.started = true;
                    pod.stop_requested_at = Some(at(4));
                });
            }),
            6,
        ),
        row("Running", "the cache shows no pod", changed(running(), |world| world.pod = PodFact::NotSeen), 3),
        row(
            "Running",
            "a second pod has its name",
            changed(running(), |world| world.show_pod(|pod| pod.uid = "pod-2".into())),
            3,
        ),
        row("Running", "every deadline and a margin are over", running(), 9999),
        row(
            "Running",
            "the same, and its node reports that the script runs",
            changed(running(), |world| {
                world.progress_due = false;
                world.show_pod(|pod| {
                    (pod.started, pod.reports) = (true, true);
                    pod.container = ContainerView::Running { since: Some(Time(at(2))) };
                });
            }),
            9999,
        ),
        row(
            "Running",
            "the spec changed, or another run is asked for",
            changed(running(), |world| {
                world.change(|spec| spec.args = vec!["x".into()]);
            }),
            3,
        ),
        row("Retrying", "the next attempt is not due", waiting(), 5),
        row("Retrying", "the next attempt is due", waiting(), 600),
        row("Retrying", "cancelled", cancelled(waiting(), false), 5),
        row(
            "Retrying",
            "the spec changed",
            changed(waiting(), |world| world.change(|spec| spec.args = vec!["x".into()])),
            5,
        ),
        row(
            "Succeeded",
            "the pod has ended and is held",
            changed(succeeded(), |world| {
                world.show_pod(|pod| {
                    pod.started = true;
                    pod.container = terminated("Completed", None);
                });
            }),
            5,
        ),
        row(
            "Succeeded",
            "it has its lock yet, and its container is not seen to have ended",
            lock::ended(),
            5,
        ),
        row(
            "Succeeded",
            "it has its lock yet, and its container has ended",
            changed(lock::ended(), |world| {
                world.show_pod(|pod| {
                    pod.started = true;
                    pod.container = terminated("Completed", None);
                });
            }),
            5,
        ),
        row(
            "Succeeded",
            "ttlSecondsAfterFinished are over",
            changed(done(), |world| {
                world.action.metadata.generate_name = Some("deploy-".into());
                world.action.spec.ttl_seconds_after_finished = Some(1);
            }),
            5,
        ),
        row("Succeeded", "the spec is applied again", done(), 5),
        row(
            "Succeeded",
            "the spec changed",
            changed(done(), |world| world.change(|spec| spec.args = vec!["x".into()])),
            5,
        ),
        row(
            "Succeeded",
            "another run is asked for",
            changed(done(), |world| {
                world.action.metadata.annotations =
                    Some([(ANNOTATION_RERUN.to_owned(), "a".to_owned())].into());
            }),
            5,
        ),
        row(
            "Succeeded",
            "another run is asked for while suspended",
            changed(done(), |world| {
                world.action.spec.suspend = Some(true);
                world.action.metadata.annotations =
                    Some([(ANNOTATION_RERUN.to_owned(), "a".to_owned())].into());
            }),
            5,
        ),
        row(
            "Launching",
            "the action is deleted, no pod is seen",
            changed(launching(), |world| world.action.metadata.deletion_timestamp = Some(Time(at(1)))),
            2,
        ),
        row(
            "Running",
            "the action is deleted",
            changed(running(), |world| world.action.metadata.deletion_timestamp = Some(Time(at(3)))),
            4,
        ),
        row("Retrying", "the action is deleted", past(), 600),
    ]
}

/// The decision in a word or two. For a status, its phase and reason.
fn decided(row: &Row) -> String {
    match row.world.step(row.at) {
        Step::WriteStatus(status) => {
            let reason =
                status.conditions().get(ConditionType::Ready).map_or("", |ready| ready.reason.as_str());
            format!("status: {}, {reason}", status.phase.map_or("", <&str>::from))
        }
        step => step.name().to_owned(),
    }
}

#[test]
fn the_page_says_what_is_decided() {
    let mut table = String::from("| phase | fact | next |\n|---|---|---|\n");
    for row in rows() {
        let phase = row.world.action.status.as_ref().and_then(|status| status.phase);
        assert_eq!(phase.map_or("not seen", <&str>::from), row.state, "{}", row.fact);
        table += &format!("| {} | {} | {} |\n", row.state, row.fact, decided(&row));
    }
    assert!(PAGE.contains(&table), "docs/reference/lifecycle.md must hold this table:\n\n{table}");
}
