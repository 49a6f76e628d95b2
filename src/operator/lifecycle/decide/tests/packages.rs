//! Packages. A recorded package counts only if the spec can have led to it. A package that was not fetched
//! ends the run for a reason of its own.

use super::*;
use crate::{
    api::{
        ANNOTATION_RERUN,
        action::Variable,
        packages::{Package, PackageKind, PackageStatus},
    },
    operator::testing::objects::package,
};

/// A run that was recorded with these packages. Somebody else may have made them up.
fn recorded(packages: &[PackageStatus]) -> World {
    let mut action = action();
    action.spec.packages = vec![Package {
        name: "orders".into(),
        reference: Some("registry.example.com/orders:1".into()),
        version: None,
    }];
    let mut world = World::new(action);
    let Resolution::Resolved { pinned, platform_digest, config_digest, user, script_sha256, .. } = resolved()
    else {
        panic!("it is resolved")
    };
    let packages = packages.to_vec();
    world.resolution =
        Some(Resolution::Resolved { pinned, platform_digest, config_digest, user, packages, script_sha256 });
    world.write(0);
    world.resolution = None;
    world
}

#[test]
fn packages_are_recorded_and_launched_as_they_were_resolved() {
    let orders = package("orders", PackageKind::Artifact);
    let mut world = recorded(std::slice::from_ref(&orders));
    let Step::Launch(attempt) = world.step(1) else { panic!("no launch") };
    assert_eq!(attempt.packages, std::slice::from_ref(&orders));
    assert!(attempt.bundle.contains(&orders.resolved), "the bundle's hash covers it");
    // The run keeps its packages, whatever happens.
    world.show_pod(|pod| pod.unschedulable = Some("0/1 nodes".into()));
    world.cause = Some(Cause { reason: Reason::Unschedulable, message: "0/1 nodes".into() });
    world.write(2);
    assert_eq!(world.action.status.as_ref().unwrap().packages, [orders]);
}

/// The next step when the annotation asks for another run after this one has ended.
fn asked_again(mut world: World) -> Step {
    let annotations = world.action.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_RERUN.to_owned(), "again".to_owned());
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world.step(9)
}

fn ended() -> World {
    let mut world = recorded(&[package("orders", PackageKind::Artifact)]);
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
    world
}

#[test]
fn a_rerun_of_the_same_deploys_the_same_packages() {
    assert_eq!(asked_again(ended()), Step::Resolve { repeats: Some(1) });
}

#[test]
fn a_rerun_that_follows_one_without_packages_deploys_those_that_it_was_to_repeat() {
    let mut world = ended();
    let run = run_mut(&mut world);
    (run.number, run.repeats, run.bundle_sha256) = (2, Some(1), None);
    assert_eq!(asked_again(world), Step::Resolve { repeats: Some(1) });
}

#[test]
fn what_has_changed_or_is_started_by_a_token_resolves_anew() {
    let mut changed = ended();
    changed.action.spec.variables = vec![Variable { name: "A".into(), ..Variable::default() }];
    changed.action.metadata.generation = Some(2);
    assert_eq!(asked_again(changed), Step::Resolve { repeats: None });
    let mut token = ended();
    token.action.spec.run_token = Some("2".into());
    token.action.metadata.generation = Some(2);
    assert_eq!(asked_again(token), Step::Resolve { repeats: None });
    let mut forgotten = ended();
    forgotten.action.status.as_mut().unwrap().history.clear();
    assert_eq!(asked_again(forgotten), Step::Resolve { repeats: None });
}

#[test]
fn the_history_has_the_digests_of_what_a_run_deployed() {
    let orders = package("orders", PackageKind::Artifact);
    let mut world = recorded(std::slice::from_ref(&orders));
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
    let [past] = &world.action.status.as_ref().unwrap().history[..] else { panic!("one run") };
    let kept: Vec<_> = past.packages.iter().map(|of| (of.name.as_str(), of.resolved.as_str())).collect();
    assert_eq!(kept, [("orders", orders.resolved.as_str())]);
}

#[test]
fn a_package_that_only_the_status_names_is_not_fetched() {
    let orders = package("orders", PackageKind::Image);
    let other = |change: &dyn Fn(&mut PackageStatus)| {
        let mut package = orders.clone();
        change(&mut package);
        package
    };
    for forged in [
        vec![],
        vec![orders.clone(), package("evil", PackageKind::Image)],
        vec![other(&|package| package.name = "evil".into())],
        vec![other(&|package| package.resolved = package.resolved.replace("/orders@", "/evil@"))],
        vec![other(&|package| package.resolved = "registry.example.com/orders:1".into())],
    ] {
        recorded(&forged).ends(1, Reason::FrozenInputsChanged);
    }
}

#[test]
fn a_package_that_was_not_fetched_ends_the_run_without_a_start() {
    for reason in [Reason::PackageUnsafe, Reason::PackageFetchFailed, Reason::PackageDigestMismatch] {
        let mut world = recorded(&[package("orders", PackageKind::Artifact)]);
        world.show_pod(|pod| pod.stillborn = Some("init container longshore-fetch ended".into()));
        world.cause = Some(Cause { reason, message: "package orders".into() });
        world.log =
            Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
        world.write(3);
        assert_eq!((world.reason(), world.finished()), (reason, false));
        assert!(matches!(world.step(3), Step::Delete { .. }));
        world.cause = None;
        world.show_pod(|pod| {
            pod.deleting = true;
            pod.gone = true;
        });
        world.ends(4, reason);
        assert!(world.action.status.as_ref().unwrap().run.as_ref().unwrap().started_at.is_none());
    }
}
