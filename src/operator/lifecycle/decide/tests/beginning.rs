//! Before a run is frozen: a node that is asked for the image, and what holds a run back.

use super::*;
use crate::{
    api::action::{PodTemplate, SecurityProfile},
    operator::lifecycle::facts::Resolver,
};

const IMAGE: &str = "registry.example.com/tools:1";

fn denied() -> Resolution {
    Resolution::NeedsPod {
        reason: Reason::ImageDenied,
        message: "denied".into(),
        packages: Vec::new(),
        script_sha256: None,
    }
}

/// A run on record whose image only a node can resolve.
fn needs_pod() -> World {
    let mut world = World::new(action());
    world.resolution = Some(denied());
    world.write(0);
    assert_eq!(world.reason(), Reason::Resolving);
    world
}

fn resolver(change: impl FnOnce(&mut PodView)) -> Resolver {
    let mut pod = PodView { uid: "resolver-1".into(), attempt: None, ..pod_view() };
    change(&mut pod);
    Resolver { pod, image: IMAGE.into() }
}

#[test]
fn a_node_is_asked_where_the_operator_is_refused() {
    let mut world = needs_pod();
    assert_eq!(world.step(1), Step::CreateResolver { run: 1 });
    world.resolver = Some(resolver(|_| {}));
    assert!(matches!(world.step(3), Step::Wait(Some(_))));
    let digest = format!("sha256:{}", "2".repeat(64));
    world.resolver =
        Some(resolver(|pod| pod.image_id = Some(format!("registry.example.com/tools@{digest}"))));
    world.write(4);
    let image = world.action.status.as_ref().unwrap().image.clone().unwrap();
    assert_eq!((world.phase().as_str(), image.run_as_user), ("Launching", Some(65_532)));
    assert_eq!(image.resolved, format!("registry.example.com/tools@{digest}"));
    // The run's own pod comes first, because somebody waits for it.
    world.resolution = None;
    assert!(matches!(world.step(5), Step::Launch(_)));
    world.show_pod(|_| {});
    assert!(matches!(world.step(6), Step::DeleteResolver { uid, .. } if uid == "resolver-1"));
}

#[test]
fn what_a_node_says_is_told_until_the_deadline() {
    let mut world = needs_pod();
    world.resolver = Some(resolver(|pod| pod.waiting = Some(("ErrImagePull".into(), "401".into()))));
    world.write(2);
    assert_eq!(world.reason(), Reason::ImageDenied);
    world.write(600);
    assert_eq!((world.finished(), world.reason()), (true, Reason::ImageDenied));
    assert!(matches!(world.step(601), Step::DeleteResolver { .. }));
}

#[test]
fn an_image_that_no_registry_knows_is_not_waited_for() {
    let mut world = needs_pod();
    let words = "rpc error: code = NotFound desc = failed to pull and unpack image";
    world.resolver = Some(resolver(|pod| pod.waiting = Some(("ErrImagePull".into(), words.into()))));
    world.write(2);
    assert_eq!((world.finished(), world.reason()), (true, Reason::ImageNotFound));
}

#[test]
fn a_resolver_of_another_image_is_removed() {
    let mut world = needs_pod();
    world.resolver = Some(Resolver { image: "registry.example.com/tools:0".into(), ..resolver(|_| {}) });
    assert!(matches!(world.step(1), Step::DeleteResolver { .. }));
    world.resolver = Some(resolver(|pod| pod.owner_uid = Some("another".into())));
    world.write(1);
    assert_eq!(world.reason(), Reason::PodNameTaken);
}

#[test]
fn without_the_policy_nothing_that_names_anything_starts() {
    let mut action = action();
    action.spec.service_account_name = Some("deployer".into());
    let mut world = World::new(action);
    world.policy_missing = Some("ValidatingAdmissionPolicy longshore-use is missing".into());
    world.resolution = Some(resolved());
    world.write(0);
    assert_eq!((world.phase().as_str(), world.reason()), ("Pending", Reason::PolicyMissing));
    for before in [None, Some(at(-100)), Some(at(1))] {
        world.not_before = before;
        assert_eq!(world.step(1), Step::Wait(Some(SignedDuration::from_secs(5))), "a pause that is over");
    }
    world.not_before = None;
    // The policy comes back before the deadline.
    world.policy_missing = None;
    world.write(5);
    assert_eq!(world.phase(), "Launching");
    // The policy is removed again before there is a pod.
    world.policy_missing = Some("gone".into());
    world.resolution = None;
    world.write(6);
    assert_eq!(world.reason(), Reason::PolicyMissing);
    assert!(matches!(world.step(7), Step::Wait(Some(_))));
    world.write(600);
    assert_eq!((world.finished(), world.reason()), (true, Reason::PolicyMissing));
}

#[test]
fn what_names_nothing_needs_no_policy() {
    let mut world = World::new(action());
    world.policy_missing = Some("gone".into());
    world.resolution = Some(resolved());
    world.write(0);
    assert_eq!(world.phase(), "Launching");
}

#[test]
fn what_a_policy_refuses_ends_before_anything_is_resolved() {
    let mut world = World::new(action());
    world.standing = Standing::Refused("spec.image is evil:1".into());
    world.write(0);
    assert_eq!((world.finished(), world.reason()), (true, Reason::PolicyViolated));
    // A policy that allows the action later starts nothing by itself.
    world.standing = Standing::Allowed;
    assert_eq!(world.step(1), Step::Wait(None));
    let spec = &mut world.action.spec;
    spec.run_token = Some("again".into());
    world.action.metadata.generation = Some(2);
    world.spec = check(&world.action, None, "amd64");
    assert_eq!(world.step(2), Step::Resolve { repeats: None });
}

#[test]
fn what_a_policy_refuses_after_the_record_gets_no_pod() {
    let mut world = World::launching();
    world.standing = Standing::Refused("spec.image is evil:1".into());
    world.write(1);
    assert_eq!((world.finished(), world.reason()), (true, Reason::PolicyViolated));
    // If a creation may be on its way, a tombstone takes its name first.
    let mut world = World::launching();
    world.standing = Standing::Refused("spec.image is evil:1".into());
    world.creation.unanswered = true;
    assert!(matches!(world.step(1), Step::Entomb { .. }));
}

#[test]
fn a_pod_that_stands_is_followed_whatever_the_policies_say_by_then() {
    for standing in [Standing::Refused("no".into()), Standing::Unread("no".into())] {
        let mut world = World::running();
        world.standing = standing;
        assert!(matches!(world.step(3), Step::Wait(_)));
        assert_eq!(world.phase(), "Running");
    }
}

#[test]
fn nothing_starts_while_the_policies_are_not_read() {
    let mut world = World::new(action());
    world.standing = Standing::Unread("not read".into());
    world.resolution = Some(resolved());
    world.write(0);
    assert_eq!((world.phase().as_str(), world.reason()), ("Pending", Reason::PolicyUnread));
    world.standing = Standing::Allowed;
    world.write(5);
    assert_eq!(world.phase(), "Launching");
    world.standing = Standing::Unread("not read".into());
    world.resolution = None;
    world.write(6);
    assert!(matches!(world.step(7), Step::Wait(Some(_))));
    world.write(600);
    assert_eq!((world.finished(), world.reason()), (true, Reason::PolicyUnread));
}

#[test]
fn root_in_a_user_namespace_waits_for_a_node_that_has_them() {
    let mut action = action();
    action.spec.pod_template = Some(PodTemplate {
        security_profile: Some(SecurityProfile::UserNamespaceRoot),
        ..PodTemplate::default()
    });
    let mut world = World::new(action);
    world.user_namespaces = Some(false);
    world.resolution = Some(resolved());
    world.write(0);
    assert_eq!(world.reason(), Reason::UserNamespacesUnsupported);
    world.user_namespaces = Some(true);
    world.write(1);
    assert_eq!(world.phase(), "Launching");
    assert_eq!(world.action.status.as_ref().unwrap().image.as_ref().unwrap().run_as_user, Some(0));
}

#[test]
fn the_runner_is_told_of_a_user_whom_another_replaces() {
    let mut world = World::new(action());
    let Resolution::Resolved { pinned, packages, .. } = resolved() else { panic!() };
    world.resolution = Some(Resolution::Resolved {
        pinned,
        platform_digest: None,
        config_digest: None,
        user: ImageUser::Named("app".into()),
        packages,
        script_sha256: None,
    });
    world.write(0);
    let image = world.action.status.as_ref().unwrap().image.clone().unwrap();
    assert_eq!((image.run_as_user, image.replaced_user.as_deref()), (Some(65_532), Some("app")));
    // Each attempt follows what is on record.
    world.resolution = None;
    let Step::Launch(attempt) = world.step(1) else { panic!("{:?}", world.step(1)) };
    assert!(attempt.bundle.contains(r#""imageUser":"app""#), "{}", attempt.bundle);
}

#[test]
fn what_outlives_the_script_is_ended_after_the_verdict() {
    let mut world = World::running();
    let ended = |pod: &mut PodView| {
        pod.started = true;
        pod.others_running = vec!["proxy".into()];
        pod.active_deadline_seconds = Some(4000);
        pod.container = ContainerView::Terminated(Box::new(Terminated {
            started_at: None,
            finished_at: Some(Time(at(3))),
            exit_code: 0,
            reason: "Completed".into(),
            record: None,
            message: None,
        }));
    };
    world.show_pod(ended);
    let exit = exit(Outcome::Exited { code: 0 });
    world.log = Some(LogFact {
        pod_uid: "pod-1".into(),
        exit: Some((exit, at(3))),
        state: LogState::Complete,
        ..LogFact::default()
    });
    world.write(4);
    assert!(world.finished());
    // The other container may end by itself, and nothing waits for it.
    assert!(matches!(world.step(5), Step::Release { .. }));
    world.show_pod(|pod| {
        ended(pod);
        pod.finalizer = false;
    });
    let Step::Wait(Some(wait)) = world.step(5) else { panic!("{:?}", world.step(5)) };
    assert!(wait <= SignedDuration::from_secs(10), "{wait}");
    let told = ConditionType::SidecarsEnded;
    assert!(!world.action.status.as_ref().unwrap().conditions().is_true(told));
    world.write(15);
    let status = world.action.status.as_ref().unwrap();
    let message = &status.conditions().get(told).unwrap().message;
    assert!(message.contains("proxy") && message.contains("DeadlineExceeded"), "{message}");
    assert!(matches!(world.step(15), Step::Expire { uid, .. } if uid == "pod-1"));
    world.show_pod(|pod| {
        ended(pod);
        pod.finalizer = false;
        pod.active_deadline_seconds = Some(1);
    });
    assert!(!matches!(world.step(16), Step::Expire { .. }));
}

#[test]
fn what_outlives_the_script_is_ended_at_once_where_another_run_follows() {
    let mut world = World::running();
    world.log = Some(LogFact {
        pod_uid: "pod-1".into(),
        exit: Some((exit(Outcome::Exited { code: 0 }), at(3))),
        state: LogState::Complete,
        ..LogFact::default()
    });
    world.write(4);
    world.show_pod(|pod| {
        pod.started = true;
        pod.others_running = vec!["proxy".into()];
        pod.container = ContainerView::Terminated(Box::default());
    });
    world.action.spec.run_token = Some("again".into());
    // Once the next run begins, nobody looks at this pod any more.
    assert!(matches!(world.step(5), Step::Expire { .. }), "{:?}", world.step(5));
}

#[test]
fn what_ends_by_itself_after_the_script_is_not_ended() {
    let mut world = World::running();
    world.log = Some(LogFact {
        pod_uid: "pod-1".into(),
        exit: Some((exit(Outcome::Exited { code: 0 }), at(3))),
        state: LogState::Complete,
        ..LogFact::default()
    });
    world.write(4);
    world.show_pod(|pod| {
        pod.started = true;
        pod.active_deadline_seconds = Some(4000);
        pod.container = ContainerView::Terminated(Box::default());
    });
    assert!(matches!(world.step(20), Step::Release { .. }));
    let status = world.action.status.as_ref().unwrap();
    assert!(!status.conditions().is_true(ConditionType::SidecarsEnded));
}

#[test]
fn a_record_decides_even_where_its_pod_has_vanished() {
    let mut world = World::running();
    world.pod = PodFact::Absent;
    world.log = Some(LogFact {
        pod_uid: "pod-1".into(),
        exit: Some((exit(Outcome::Exited { code: 0 }), at(3))),
        state: LogState::Complete,
        ..LogFact::default()
    });
    world.write(4);
    assert_eq!((world.finished(), world.reason()), (true, Reason::Succeeded));
}

#[test]
fn a_pod_that_vanished_before_the_status_had_its_uid_is_not_made_again() {
    let mut world = World::launching();
    world.creation.pod_uid = Some("pod-1".into());
    assert_eq!(world.step(1), Step::Look);
    world.pod = PodFact::Absent;
    world.ends(1, Reason::Unknown);
    assert_eq!(run(&world).pod_uid.as_deref(), Some("pod-1"));
}

#[test]
fn the_log_of_a_pod_that_vanished_before_the_status_had_its_uid_decides() {
    let mut world = World::launching();
    world.creation.pod_uid = Some("pod-1".into());
    world.pod = PodFact::Absent;
    world.log = Some(LogFact {
        pod_uid: "pod-1".into(),
        exit: Some((exit(Outcome::Exited { code: 0 }), at(3))),
        state: LogState::Complete,
        ..LogFact::default()
    });
    world.ends(4, Reason::Succeeded);
}

#[test]
fn a_second_pod_of_an_attempt_whose_first_one_vanished_is_removed() {
    let mut world = World::with_pod(|pod| pod.uid = "pod-2".into());
    world.creation.pod_uid = Some("pod-1".into());
    assert!(matches!(world.step(1), Step::Delete { uid, .. } if uid == "pod-2"));
    world.show_pod(|pod| (pod.uid, pod.deleting) = ("pod-2".into(), true));
    world.ends(2, Reason::Unknown);
}

#[test]
fn an_answer_that_takes_a_moment_is_not_told_of_and_one_that_never_comes_ends_the_run() {
    let mut world = World::new(action());
    let under_way = |quiet: i64| Resolution::UnderWay {
        quiet_until: at(quiet),
        reason: Reason::Resolving,
        message: "others are asked first".into(),
        at_the_end: Reason::RegistryUnavailable,
    };
    world.resolution = Some(under_way(2));
    assert_eq!(world.step(0), Step::Wait(Some(SignedDuration::from_secs(2))));
    world.write(2);
    assert_eq!((world.phase().as_str(), world.reason()), ("Pending", Reason::Resolving));
    // The pause after a failure is long over. That is no reason to look all the time.
    world.not_before = Some(at(1));
    assert_eq!(world.step(3), Step::Wait(Some(SignedDuration::from_secs(5))));
    let deadline = 2 + world.action.spec.deadlines().pending_seconds;
    assert_eq!(world.step(deadline - 1), Step::Wait(Some(SignedDuration::from_secs(1))));
    world.ends(deadline, Reason::RegistryUnavailable);
}
