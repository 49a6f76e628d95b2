//! Runs of actions that have a template.

use super::*;
use crate::{
    api::{
        action::{Retry, RetryCause, Script},
        template::{TemplateKind, TemplateRef, TemplateSpec},
    },
    operator::spec::expand::Template,
};

fn template(generation: i64, script: &str) -> Template {
    Template {
        kind: TemplateKind::DeploymentActionTemplate,
        name: "deploy".into(),
        uid: "t-1".into(),
        generation,
        spec: TemplateSpec {
            image: "registry.example.com/tools:1".into(),
            script: Some(Script { inline: Some(script.into()), ..Script::default() }),
            pending_deadline_seconds: Some(60),
            ..TemplateSpec::default()
        },
    }
}

fn templated() -> DeploymentAction {
    let mut action = action();
    action.spec.image = None;
    action.spec.script = None;
    action.spec.template_ref = Some(TemplateRef { kind: None, name: "deploy".into() });
    action
}

fn world(lookup: Lookup) -> World {
    let mut world = World::templated(templated(), Some(lookup));
    world.resolution = Some(resolved());
    world
}

fn launching() -> World {
    let mut world = world(Lookup::Found(template(1, "echo hi")));
    world.write(0);
    world.resolution = None;
    world
}

fn finished() -> World {
    let mut world = launching();
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.ends(3, Reason::Succeeded);
    world.pod = PodFact::NotSeen;
    world.log = None;
    world
}

fn told(world: &World) -> Option<String> {
    let status = world.action.status.as_ref().unwrap();
    status.conditions().get(ConditionType::TemplateOutdated).map(|told| told.message.clone())
}

#[test]
fn the_template_is_frozen_with_the_run() {
    let world = launching();
    let frozen = world.action.status.as_ref().unwrap().template.clone().unwrap();
    assert_eq!((frozen.name.as_str(), frozen.uid.as_str(), frozen.generation), ("deploy", "t-1", 1));
    assert!(matches!(world.step(1), Step::Launch(_)));
    assert!(finished().action.status.unwrap().template.is_some());
}

#[test]
fn a_template_that_is_not_there_is_waited_for_until_the_pending_deadline() {
    let mut missing = world(Lookup::Missing);
    missing.write(0);
    assert_eq!((missing.phase().as_str(), missing.reason()), ("Pending", Reason::TemplateNotFound));
    assert!(matches!(missing.step(1), Step::Wait(_)));
    // The template appears, and its own deadlines count from now on.
    missing.template = Some(Lookup::Found(template(1, "echo hi")));
    missing.look();
    missing.write(30);
    assert_eq!(missing.phase(), "Launching");
    let run = missing.action.status.unwrap().run.unwrap();
    assert_eq!((run.number, run.deadlines.unwrap().pending_seconds), (1, 60));

    let mut never = world(Lookup::Missing);
    never.write(0);
    never.ends(600, Reason::TemplateNotFound);
    // If the template appears later, it starts nothing.
    never.template = Some(Lookup::Found(template(1, "echo hi")));
    never.look();
    assert_eq!(never.step(601), Step::Wait(None));
}

#[test]
fn wrong_parameters_end_the_run_until_they_change() {
    let mut wrong = templated();
    wrong.spec.parameters =
        vec![crate::api::parameters::ParameterValue { name: "X".into(), ..Default::default() }];
    let mut world = World::templated(wrong, Some(Lookup::Found(template(1, "echo hi"))));
    world.ends(0, Reason::ParametersInvalid);
    assert_eq!(world.step(1), Step::Wait(None));
    world.change(|spec| spec.parameters.clear());
    assert_eq!(world.step(2), Step::Resolve { repeats: None });
}

#[test]
fn a_later_change_of_the_template_starts_nothing_and_is_told_until_a_run_is_made_of_it() {
    let mut world = finished();
    world.template = Some(Lookup::Found(template(2, "echo ho")));
    world.look();
    world.write(4);
    let message = told(&world).unwrap();
    assert!(message.contains("at generation 2") && message.contains("made of generation 1"), "{message}");
    assert!(world.finished());
    assert_eq!((world.run_number(), world.step(5)), (1, Step::Wait(None)));
    // A template that is not read yet, or is gone, is no news.
    world.template = Some(Lookup::Unread);
    assert_eq!(world.step(5), Step::Wait(None));

    world.template = Some(Lookup::Found(template(2, "echo ho")));
    world.change(|spec| spec.run_token = Some("again".into()));
    world.resolution = Some(resolved());
    world.write(6);
    let status = world.action.status.clone().unwrap();
    assert_eq!((world.run_number(), status.template.unwrap().generation, told(&world)), (2, 2, None));
}

#[test]
fn a_template_that_is_back_as_it_was_is_told_no_more() {
    let mut world = finished();
    world.template = Some(Lookup::Found(Template { uid: "t-2".into(), ..template(1, "echo hi") }));
    world.look();
    world.write(4);
    assert!(told(&world).unwrap().contains("another template"));
    world.template = Some(Lookup::Missing);
    world.write(5);
    assert_eq!(told(&world), None);
}

#[test]
fn a_template_that_changes_between_record_and_pod_ends_the_run() {
    for lookup in [Lookup::Found(template(2, "echo ho")), Lookup::Missing] {
        let mut world = launching();
        world.template = Some(lookup);
        world.look();
        world.ends(1, Reason::FrozenInputsChanged);
    }
    // A change of what is not in the bundle counts too.
    let mut world = launching();
    let mut other = template(2, "echo hi");
    other.spec.service_account_name = Some("other".into());
    world.template = Some(Lookup::Found(other));
    world.look();
    world.ends(1, Reason::FrozenInputsChanged);
    // The same content, applied again, does not count.
    let mut world = launching();
    world.template = Some(Lookup::Found(template(2, "echo hi")));
    world.look();
    assert!(matches!(world.step(1), Step::Launch(_)));
}

#[test]
fn a_cache_that_is_not_filled_ends_nothing() {
    let mut world = launching();
    world.template = Some(Lookup::Unread);
    world.look();
    assert!(matches!(world.step(1), Step::Wait(_)));
    assert_eq!(world.action.status.as_ref().unwrap().template.as_ref().unwrap().generation, 1);
}

#[test]
fn a_run_under_way_does_not_need_its_template() {
    let mut world = launching();
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.template = Some(Lookup::Missing);
    world.look();
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
}

#[test]
fn while_the_use_policy_is_missing_no_template_is_run() {
    let mut world = world(Lookup::Found(template(1, "echo hi")));
    world.policy_missing = Some("it is missing".into());
    world.write(0);
    assert_eq!(world.reason(), Reason::PolicyMissing);
}

/// A run whose first attempt failed and which waits for its second one.
fn between_attempts() -> World {
    let mut action = templated();
    action.spec.retry = Some(Retry { limit: 2, causes: vec![RetryCause::ScriptFailed], ..Retry::default() });
    let mut world = World::templated(action, Some(Lookup::Found(template(1, "echo hi"))));
    world.resolution = Some(resolved());
    world.write(0);
    world.resolution = None;
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 3));
    world.write(4);
    assert_eq!(world.reason(), Reason::RetryPending);
    (world.pod, world.log) = (PodFact::NotSeen, None);
    world
}

#[test]
fn another_attempt_is_of_the_template_as_it_was_frozen() {
    let mut world = between_attempts();
    world.write(1000);
    let status = world.action.status.clone().unwrap();
    assert_eq!((status.run.unwrap().attempt, status.template.unwrap().generation), (2, 1));
    assert!(matches!(world.step(1000), Step::Launch(_)));
}

#[test]
fn a_template_that_changes_between_two_attempts_ends_the_run() {
    for lookup in [Lookup::Found(template(2, "echo ho")), Lookup::Missing] {
        let mut world = between_attempts();
        world.template = Some(lookup);
        world.look();
        world.ends(1000, Reason::FrozenInputsChanged);
    }
}

#[test]
fn an_operator_that_starts_between_two_attempts_waits_for_its_cache() {
    let mut world = between_attempts();
    world.template = Some(Lookup::Unread);
    world.look();
    assert!(matches!(world.step(1000), Step::Wait(Some(_))));
    world.template = Some(Lookup::Found(template(1, "echo hi")));
    world.look();
    world.write(1001);
    assert!(matches!(world.step(1001), Step::Launch(_)));
}
