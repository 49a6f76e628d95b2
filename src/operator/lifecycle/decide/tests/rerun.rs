//! The annotation that asks for another run.

use super::*;
use crate::api::ANNOTATION_RERUN;

fn ask(world: &mut World, token: Option<&str>) {
    let annotations = world.action.metadata.annotations.get_or_insert_default();
    annotations.remove(ANNOTATION_RERUN);
    annotations.extend(token.map(|token| (ANNOTATION_RERUN.to_owned(), token.to_owned())));
}

fn handled(world: &World) -> Option<&str> {
    world.action.status.as_ref().unwrap().last_handled_rerun.as_deref()
}

fn pending(world: &World) -> Option<&str> {
    let pending = world.action.status.as_ref().unwrap().pending_rerun.as_ref();
    pending.map(|pending| pending.token.as_str())
}

fn under(policy: RunPolicy) -> World {
    let mut world = done();
    world.action.spec.run_policy = policy;
    world
}

#[test]
fn a_new_token_starts_a_run_under_every_policy_and_is_handled_in_the_write_that_begins_it() {
    for policy in [RunPolicy::OnChange, RunPolicy::Once, RunPolicy::Manual] {
        let mut world = under(policy);
        ask(&mut world, Some("a"));
        assert_eq!(world.step(4), Step::Resolve { repeats: None }, "{policy:?}: what runs is resolved anew");
        assert_eq!(handled(&world), None);
        world.resolution = Some(resolved());
        world.write(4);
        assert_eq!(
            (world.run_number(), handled(&world), world.finished()),
            (2, Some("a"), false),
            "{policy:?}"
        );
        let run = world.action.status.as_ref().unwrap().run.clone().unwrap();
        assert_eq!((run.trigger, run.attempts.len()), (Trigger::Rerun, 0));
    }
}

#[test]
fn manual_and_never_run_is_run_by_a_token_that_came_later() {
    let mut manual = action();
    manual.spec.run_policy = RunPolicy::Manual;
    let mut world = World::new(manual);
    ask(&mut world, Some("first"));
    world.write(0);
    assert_eq!((world.reason(), handled(&world)), (Reason::NotRequested, Some("first")));
    assert_eq!(world.step(1), Step::Wait(None), "it was there when the action was first seen");
    ask(&mut world, Some("second"));
    assert_eq!(world.step(2), Step::Resolve { repeats: None });
}

#[test]
fn a_token_that_is_there_at_first_sight_is_answered_by_the_first_run() {
    let mut world = World::new(action());
    ask(&mut world, Some("a"));
    world.resolution = Some(resolved());
    world.write(0);
    assert_eq!((world.run_number(), handled(&world)), (1, Some("a")));
    assert_eq!(world.action.status.as_ref().unwrap().run.as_ref().unwrap().trigger, Trigger::Created);
}

#[test]
fn asked_for_many_times_in_mid_run_one_more_run_is_done() {
    let mut world = World::running();
    for token in ["a", "b", "c"] {
        ask(&mut world, Some(token));
        world.write(3);
        assert_eq!((world.phase().as_str(), pending(&world)), ("Running", Some(token)));
        assert!(matches!(world.step(3), Step::Wait(Some(_))), "the run under way is not disturbed");
    }
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(4, Reason::Succeeded);
    assert_eq!(handled(&world), None, "who waits for the token must not take this end for its own");
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world.resolution = Some(resolved());
    world.write(5);
    assert_eq!((world.run_number(), handled(&world), pending(&world)), (2, Some("c"), None));
}

#[test]
fn a_request_that_was_seen_in_mid_run_counts_although_its_annotation_is_removed() {
    let mut world = World::running();
    ask(&mut world, Some("a"));
    world.write(3);
    ask(&mut world, None);
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(4, Reason::Succeeded);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    assert!(matches!(world.step(5), Step::Resolve { .. }));
    world.resolution = Some(resolved());
    world.write(5);
    assert_eq!((world.run_number(), handled(&world), pending(&world)), (2, Some("a"), None));
    assert_eq!(run(&world).trigger, Trigger::Rerun);
}

#[test]
fn a_request_that_suspend_holds_back_counts_although_its_annotation_is_removed() {
    let mut world = done();
    world.change(|spec| spec.suspend = Some(true));
    ask(&mut world, Some("a"));
    world.write(4);
    assert_eq!((world.phase().as_str(), pending(&world)), ("Suspended", Some("a")));
    ask(&mut world, None);
    assert!(matches!(world.step(5), Step::Wait(_)), "{:?}", world.step(5));
    world.change(|spec| spec.suspend = None);
    world.resolution = Some(resolved());
    world.write(6);
    assert_eq!((world.run_number(), handled(&world), pending(&world)), (2, Some("a"), None));
}

#[test]
fn a_change_and_a_token_in_mid_run_are_one_run() {
    let mut world = World::running();
    ask(&mut world, Some("a"));
    world.change(|spec| spec.args = vec!["x".into()]);
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(4, Reason::Succeeded);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world.resolution = Some(Resolution::Refused { reason: Reason::ImageNotFound, message: "no".into() });
    world.ends(5, Reason::ImageNotFound);
    assert_eq!((world.run_number(), handled(&world)), (2, Some("a")));
    assert_eq!(world.step(6), Step::Wait(None));
}

#[test]
fn its_removal_and_the_same_token_again_mean_nothing() {
    let mut world = done();
    world.action.status.as_mut().unwrap().last_handled_rerun = Some("a".into());
    for token in [Some("a"), None, Some("a")] {
        ask(&mut world, token);
        assert_eq!(world.step(4), Step::Wait(None), "{token:?}");
    }
}

#[test]
fn a_malformed_token_is_told_and_nothing_else() {
    let long = "x".repeat(254);
    for token in ["", "a\nb", long.as_str()] {
        let mut world = done();
        ask(&mut world, Some(token));
        world.write(4);
        let status = world.action.status.clone().unwrap();
        assert!(status.conditions().is_true(ConditionType::RequestIgnored), "{token:?}");
        assert_eq!((world.reason(), world.finished(), world.run_number()), (Reason::Succeeded, true, 1));
        assert_eq!(world.step(5), Step::Wait(None), "{token:?}");
        ask(&mut world, None);
        world.write(6);
        assert!(!world.action.status.as_ref().unwrap().conditions().is_true(ConditionType::RequestIgnored));
        assert_eq!(world.step(7), Step::Wait(None));
    }
}
