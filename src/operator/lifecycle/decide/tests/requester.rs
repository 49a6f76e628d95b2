//! Who asked for a run, and who cancels it.

use super::*;
use crate::api::{
    ANNOTATION_CANCEL, ANNOTATION_CANCEL_BY, ANNOTATION_ON_BEHALF_OF, ANNOTATION_RERUN, ANNOTATION_RERUN_BY,
    ANNOTATION_SPEC_BY,
    status::{MAX_NAME_CHARACTERS, Requester},
};

fn annotate(action: &mut DeploymentAction, annotations: &[(&str, &str)]) {
    let all = action.metadata.annotations.get_or_insert_default();
    all.extend(annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
}

fn user(name: &str) -> Requester {
    Requester { user: Some(name.into()), claimed_on_behalf_of: None }
}

#[test]
fn a_run_names_who_wrote_the_spec_or_asked_for_the_rerun_and_the_history_too() {
    let mut action = action();
    annotate(&mut action, &[(ANNOTATION_SPEC_BY, "alice")]);
    let mut world = World::running_of(action);
    assert_eq!(run(&world).requested_by, Some(user("alice")));
    annotate(&mut world.action, &[(ANNOTATION_RERUN, "a"), (ANNOTATION_RERUN_BY, "bob")]);
    world.write(3);
    // Somebody removes both. Who asked is known already.
    world.action.metadata.annotations.as_mut().unwrap().retain(|name, _| name == ANNOTATION_SPEC_BY);
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(4, Reason::Succeeded);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world.resolution = Some(resolved());
    world.write(5);
    assert_eq!((run(&world).number, run(&world).requested_by.clone()), (2, Some(user("bob"))));
    assert_eq!(world.action.status.as_ref().unwrap().history[0].requested_by, Some(user("alice")));
}

#[test]
fn a_run_that_follows_a_changed_spec_names_who_changed_it() {
    let mut action = action();
    annotate(&mut action, &[(ANNOTATION_SPEC_BY, "alice")]);
    let mut world = World::new(action);
    world.resolution = Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message: "no".into() });
    world.write(0);
    assert_eq!(run(&world).requested_by, Some(user("alice")));
    world.change(|spec| spec.args = vec!["x".into()]);
    annotate(&mut world.action, &[(ANNOTATION_SPEC_BY, "bob")]);
    world.resolution = Some(resolved());
    world.write(1);
    assert_eq!((run(&world).number, run(&world).requested_by.clone()), (1, Some(user("bob"))));
}

#[test]
fn a_cancelled_run_names_who_cancelled_it() {
    let cancel = |world: &mut World, by: &str| {
        let id = run(world).id.clone();
        annotate(&mut world.action, &[(ANNOTATION_CANCEL, &id), (ANNOTATION_CANCEL_BY, by)]);
    };
    // Its script runs.
    let mut world = World::running();
    cancel(&mut world, "carol");
    world.write(3);
    assert_eq!(run(&world).cancel_requested_by, Some(user("carol")));
    cancel(&mut world, "mallory");
    let stop = Some(Stop { cause: StopCause::Terminated, killed: false });
    let stopped = Exit { stop, ..exit(Outcome::Exited { code: 143 }) };
    world.log = Some(log_with(stopped, LogState::Complete, 4));
    world.ends(5, Reason::Cancelled);
    let past = &world.action.status.as_ref().unwrap().history[0];
    assert_eq!((&past.cancel_requested_by, &past.requested_by), (&Some(user("carol")), &None));
    // Nothing of it has begun.
    let mut world = World::new(action());
    world.resolution = Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message: "no".into() });
    world.write(0);
    cancel(&mut world, "carol");
    world.ends(1, Reason::Cancelled);
    assert_eq!(world.action.status.as_ref().unwrap().history[0].cancel_requested_by, Some(user("carol")));
}

#[test]
fn a_user_that_no_policy_records_is_not_known_and_a_claim_is_marked() {
    let mut action = action();
    let long = "x".repeat(300);
    annotate(&mut action, &[(ANNOTATION_SPEC_BY, "admin"), (ANNOTATION_ON_BEHALF_OF, &long)]);
    let status = DeploymentActionStatus::default();
    let claimed = Some("x".repeat(MAX_NAME_CHARACTERS));
    let of =
        |recorded| Requests::of(&action).recorded(recorded).requester(&status, Trigger::Created).unwrap();
    assert_eq!(of(false), Requester { user: None, claimed_on_behalf_of: claimed.clone() });
    assert_eq!(of(true), Requester { user: Some("admin".into()), claimed_on_behalf_of: claimed });
    annotate(&mut action, &[(ANNOTATION_ON_BEHALF_OF, "\u{1b}[2J\n")]);
    let of = Requests::of(&action).requester(&status, Trigger::Created).unwrap();
    assert_eq!(of.claimed_on_behalf_of.as_deref(), Some("[2J"));
}
