//! Sensitive outputs: their key, and the Secret that they end in.

use super::*;
use crate::{
    api::status::OutputsSecret,
    operator::lifecycle::facts::SecretRefusal,
    record::{bundle::Bundle, outcome::Sealed},
    seal::{self, MASTER_BYTES, Master},
};

fn keys(ids: &[&str]) -> Masters {
    let key = |id: &&str| {
        let byte = id.bytes().fold(0, u8::wrapping_add);
        ((*id).to_owned(), Master::from_bytes(&[byte; MASTER_BYTES]).unwrap())
    };
    Masters::new(ids.iter().map(key).collect())
}

/// An action with an output that is sensitive and required.
fn sensitive() -> DeploymentAction {
    let mut action = action();
    action.spec.outputs = vec![Output { name: "token".into(), required: Some(true), sensitive: Some(true) }];
    action
}

fn with_keys(ids: &[&str]) -> World {
    let mut world = World::new(sensitive());
    world.keys = Some(keys(ids));
    world.resolution = Some(resolved());
    world
}

/// Its script has ended well, and has written the output.
fn ended() -> World {
    let mut world = with_keys(&["1"]);
    world.write(0);
    world.resolution = None;
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    world.log = Some(log_with(exit_with_box(), LogState::Complete, 3));
    world
}

fn exit_with_box() -> Exit {
    let sealed = Sealed { names: vec!["token".into()], unmasked: vec![], text: "box".into() };
    Exit { sealed: Some(sealed), ..exit(Outcome::Exited { code: 0 }) }
}

fn keeps(step: &Step) -> bool {
    matches!(step, Step::KeepOutputs { pod_uid } if pod_uid == "pod-1")
}

fn created(world: &mut World) -> OutputsSecret {
    let secret =
        OutputsSecret { name: "deploy-outputs-1-ab".into(), uid: "u".into(), keys: vec!["token".into()] };
    world.secret =
        SecretFact { pod_uid: "pod-1".into(), created: Some(secret.clone()), ..SecretFact::default() };
    secret
}

fn refuse(world: &mut World, may_pass: bool, not_before: i64) {
    world.secret = SecretFact {
        pod_uid: "pod-1".into(),
        created: None,
        refusal: Some(SecretRefusal { may_pass, message: "exceeded quota".into() }),
        not_before: Some(at(not_before)),
    };
}

fn has(world: &World, kind: ConditionType) -> bool {
    world.action.status.as_ref().unwrap().conditions().is_true(kind)
}

fn named(world: &World) -> Option<&OutputsSecret> {
    world.action.status.as_ref().unwrap().outputs_secret_ref.as_ref()
}

/// The bundle of the pod that is created next.
fn bundle(world: &World, seconds: i64) -> Bundle {
    let Step::Launch(attempt) = world.step(seconds) else { panic!("{:?}", world.step(seconds)) };
    Bundle::from_json(&attempt.bundle, &attempt.bundle_sha256).unwrap()
}

#[test]
fn the_newest_key_is_frozen_with_the_run_and_stays_with_it() {
    let mut world = with_keys(&["1", "2"]);
    world.write(0);
    world.resolution = None;
    assert_eq!(run(&world).outputs_key.as_deref(), Some("2"));
    let before = bundle(&world, 1);
    let of = seal::Attempt { action_uid: UID, run_id: "5f3c9a1b-1", number: 1 };
    let public = world.keys.as_ref().unwrap().get("2").unwrap().public_key(&of).to_string();
    assert_eq!(before.sensitive.as_ref().unwrap().public_key, public);
    assert_eq!(before.sensitive.as_ref().unwrap().names, ["token"]);
    // Somebody adds a key: the run's stays as it is.
    world.keys = Some(keys(&["1", "2", "3"]));
    assert_eq!(bundle(&world, 1), before);
}

#[test]
fn an_action_without_sensitive_outputs_needs_no_key() {
    let mut world = World::new(action());
    world.keys = None;
    world.resolution = Some(resolved());
    world.write(0);
    world.resolution = None;
    assert_eq!((world.phase().as_str(), run(&world).outputs_key.clone()), ("Launching", None));
    assert_eq!(bundle(&world, 1).sensitive, None);
}

#[test]
fn a_run_waits_for_a_key_until_its_deadline() {
    for (missing, words) in [(None, "cannot read or create"), (Some(keys(&[])), "holds no key of 32 bytes")] {
        let mut world = with_keys(&[]);
        world.keys.clone_from(&missing);
        world.write(0);
        assert_eq!((world.phase().as_str(), world.reason()), ("Pending", Reason::OutputsKeyMissing));
        assert!(world.message().contains(words) && world.message().contains("token"), "{}", world.message());
        assert!(matches!(world.step(1), Step::Wait(Some(_))));
        let mut late = with_keys(&["1"]);
        late.action = world.action.clone();
        late.write(5);
        assert_eq!(late.phase(), "Launching");
        world.ends(601, Reason::OutputsKeyMissing);
    }
}

#[test]
fn a_run_on_record_waits_for_its_key_and_is_not_taken_for_changed() {
    let mut world = with_keys(&["1"]);
    world.write(0);
    world.resolution = None;
    // Right after a start of the operator.
    world.keys = None;
    world.write(1);
    assert_eq!(world.reason(), Reason::OutputsKeyMissing);
    assert!(matches!(world.step(2), Step::Wait(Some(_))));
    world.keys = Some(keys(&["1", "2"]));
    assert!(matches!(world.step(3), Step::Launch(_) | Step::Look), "{:?}", world.step(3));
    world.keys = Some(keys(&["2"]));
    world.write(4);
    assert!(world.message().contains("key 1 was removed"), "{}", world.message());
    world.ends(601, Reason::OutputsKeyMissing);
}

#[test]
fn one_write_tells_the_end_and_the_secret() {
    let mut world = ended();
    assert!(keeps(&world.step(3)), "{:?}", world.step(3));
    let secret = created(&mut world);
    world.ends(3, Reason::Succeeded);
    assert_eq!(named(&world), Some(&secret));
    let status = world.action.status.as_ref().unwrap();
    assert!(status.outputs.is_empty() && !has(&world, ConditionType::OutputsPending));
}

#[test]
fn a_required_output_in_a_box_is_there_and_one_that_was_not_written_is_missing() {
    let mut world = ended();
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::OutputMissing);
    assert_eq!(named(&world), None);
    let mut world = ended();
    created(&mut world);
    world.ends(3, Reason::Succeeded);
}

#[test]
fn a_secret_that_is_refused_changes_no_verdict_and_is_tried_again() {
    let mut world = ended();
    refuse(&mut world, true, 4);
    assert!(matches!(world.step(3), Step::Wait(Some(_))), "for the pause");
    assert!(keeps(&world.step(5)), "{:?}", world.step(5));
    refuse(&mut world, true, 9);
    world.ends(8, Reason::Succeeded);
    assert!(has(&world, ConditionType::OutputsPending) && named(&world).is_none());
    let pending = told(&world);
    assert!(pending.contains("token") && pending.contains("exceeded quota"), "{pending}");
    // The pod is kept, whatever comes.
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", None);
    });
    assert!(matches!(world.step(8), Step::Wait(Some(_))));
    assert!(keeps(&world.step(10)));
    let secret = created(&mut world);
    world.write(10);
    assert!(!has(&world, ConditionType::OutputsPending) && world.finished());
    assert_eq!(named(&world), Some(&secret));
    assert!(matches!(world.step(11), Step::Release { .. }), "{:?}", world.step(11));
}

fn told(world: &World) -> String {
    let conditions = world.action.status.as_ref().unwrap().conditions();
    conditions.get(ConditionType::OutputsPending).unwrap().message.clone()
}

#[test]
fn a_secret_that_can_never_be_created_is_told_at_once() {
    let mut world = ended();
    refuse(&mut world, false, 4);
    world.ends(3, Reason::Succeeded);
    assert!(has(&world, ConditionType::OutputsLost) && !has(&world, ConditionType::OutputsPending));
}

#[test]
fn what_was_lost_before_stays_told_and_each_condition_is_there_once() {
    let mut world = ended();
    refuse(&mut world, true, 9);
    world.ends(8, Reason::Succeeded);
    let status = world.action.status.as_ref().unwrap();
    let kind = ConditionType::OutputsLost;
    world.action.status =
        Some(crate::operator::lifecycle::status::with_condition(status, at(8), kind, "the log"));
    world.write(3700);
    let status = world.action.status.as_ref().unwrap();
    let lost: Vec<_> = status.conditions.iter().filter(|one| one.type_ == "OutputsLost").collect();
    assert_eq!(lost.len(), 1);
    assert!(lost[0].message.starts_with("the log; the sensitive outputs token"), "{}", lost[0].message);
}

#[test]
fn tries_end_sooner_if_another_run_waits() {
    for (another, until) in [(false, 3600), (true, 60)] {
        let mut world = ended();
        refuse(&mut world, true, 9);
        world.ends(8, Reason::Succeeded);
        if another {
            world.change(|spec| spec.run_token = Some("next".into()));
        }
        assert!(keeps(&world.step(8 + until - 1)));
        world.write(8 + until);
        assert!(has(&world, ConditionType::OutputsLost) && !has(&world, ConditionType::OutputsPending));
    }
}

#[test]
fn another_process_reads_the_box_from_the_pod_again() {
    let mut world = ended();
    refuse(&mut world, true, 9);
    world.ends(8, Reason::Succeeded);
    world.secret = SecretFact::default();
    let log = world.log.take();
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", None);
    });
    assert!(matches!(world.step(10), Step::Follow { .. }), "{:?}", world.step(10));
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    assert!(matches!(world.step(10), Step::Wait(Some(_))));
    world.log = log;
    assert!(keeps(&world.step(10)));
    // Its log is gone.
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.write(10);
    assert!(has(&world, ConditionType::OutputsLost));
}

#[test]
fn an_attempt_that_is_followed_by_another_has_no_secret_and_the_next_has_a_key_of_its_own() {
    let mut action = sensitive();
    action.spec.retry =
        serde_json::from_value(serde_json::json!({"limit": 1, "causes": ["ScriptFailed"]})).unwrap();
    let mut world = World::new(action);
    world.keys = Some(keys(&["1"]));
    world.resolution = Some(resolved());
    world.write(0);
    world.resolution = None;
    let first = bundle(&world, 1).sensitive.unwrap().public_key;
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = ContainerView::Running { since: Some(Time(at(2))) };
    });
    let failed = Exit { outcome: Outcome::Exited { code: 3 }, ..exit_with_box() };
    world.log = Some(log_with(failed, LogState::Complete, 3));
    world.write(3);
    assert_eq!(world.phase(), "Retrying");
    world.keys = None;
    assert!(matches!(world.step(100), Step::Wait(Some(_)) | Step::Release { .. }), "{:?}", world.step(100));
    world.keys = Some(keys(&["1", "2"]));
    world.pod = PodFact::Absent;
    world.log = None;
    world.write(100);
    assert_eq!((run(&world).attempt, run(&world).outputs_key.as_deref()), (2, Some("1")));
    let second = bundle(&world, 101).sensitive.unwrap().public_key;
    assert_ne!(first, second);
}

#[test]
fn the_next_run_names_no_secret_of_the_one_before() {
    let mut world = ended();
    created(&mut world);
    world.ends(3, Reason::Succeeded);
    world.show_pod(|pod| {
        pod.started = true;
        pod.finalizer = false;
        pod.container = terminated("Completed", None);
    });
    world.change(|spec| spec.run_token = Some("next".into()));
    world.resolution = Some(resolved());
    world.write(200);
    assert_eq!((world.run_number(), named(&world)), (2, None));
}

#[test]
fn a_value_that_is_too_short_to_be_masked_is_named() {
    let mut world = ended();
    let mut ended = exit_with_box();
    ended.sealed.as_mut().unwrap().unmasked = vec!["token".into()];
    world.log = Some(log_with(ended, LogState::Complete, 3));
    created(&mut world);
    world.ends(3, Reason::Succeeded);
    assert!(has(&world, ConditionType::ValuesUnmasked));
}
