//! Actions whose script is in a `ConfigMap` that changes after their run.

use super::*;
use crate::api::action::{Script, ScriptRef};

/// An action whose run, with this script, ended at second 3.
fn finished(sha256: &str) -> World {
    let mut action = action();
    let from = ScriptRef { name: "scripts".into(), key: "run.sh".into() };
    action.spec.script = Some(Script { config_map_key_ref: Some(from), ..Script::default() });
    let mut world = World::running_of(action);
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.action.status.as_mut().unwrap().run.as_mut().unwrap().script_sha256 = Some(sha256.into());
    world.ends(3, Reason::Succeeded);
    world.pod = PodFact::NotSeen;
    world.log = None;
    world
}

fn found(sha256: &str, asked: i64) -> Source {
    let (name, key) = ("scripts".into(), "run.sh".into());
    Source::Found { name, key, sha256: sha256.into(), asked: at(asked) }
}

fn told(world: &World) -> Option<&str> {
    let status = world.action.status.as_ref().unwrap();
    Some(status.conditions().get(ConditionType::SourceOutdated)?.message.as_str())
}

#[test]
fn a_script_that_changed_after_its_run_is_told_of_and_starts_nothing() {
    let mut world = finished("11");
    world.source = found("11", 10);
    assert!(matches!(world.step(10), Step::Wait(_)), "it is the same");
    world.source = found("22", 70);
    world.write(70);
    let message = told(&world).unwrap();
    let says = ["\"run.sh\"", "\"scripts\"", "spec.runToken", "longshore.dev/rerun"];
    assert!(says.iter().all(|word| message.contains(word)), "{message}");
    assert_eq!((world.finished(), world.reason()), (true, Reason::Succeeded));
    assert!(matches!(world.step(71), Step::Wait(_)));
    // An operator that has just started takes nothing back.
    world.source = Source::Unread;
    assert!(matches!(world.step(80), Step::Wait(_)));
    world.source = found("11", 90);
    world.write(90);
    assert_eq!(told(&world), None, "it was changed back");
    assert!(matches!(world.step(91), Step::Wait(_)));
}

#[test]
fn a_source_that_is_gone_is_for_the_next_run_to_tell_of() {
    let mut world = finished("11");
    world.source = found("22", 70);
    world.write(70);
    world.source = Source::None;
    world.write(130);
    assert_eq!(told(&world), None);
}

#[test]
fn what_was_read_before_the_run_had_its_script_says_nothing() {
    let mut world = finished("11");
    for asked in [0, 3] {
        world.source = found("00", asked);
        assert!(matches!(world.step(10), Step::Wait(_)), "asked at {asked}");
    }
    world.source = found("00", 4);
    assert!(matches!(world.step(10), Step::WriteStatus(_)));
}

#[test]
fn the_next_run_begins_without_it() {
    let mut world = finished("11");
    world.source = found("22", 70);
    world.write(70);
    world.action.spec.run_token = Some("again".into());
    world.resolution = Some(resolved());
    world.write(71);
    assert_eq!((world.phase().as_str(), told(&world)), ("Launching", None));
}
