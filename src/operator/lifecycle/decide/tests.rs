//! Tables of what is decided: a state and a fact give the next step.

mod archive;
mod bad_input;
mod beginning;
mod cancel;
mod expiry;
mod history;
mod late;
mod launcher;
mod lifecycle;
mod lock;
mod node;
mod packages;
mod requester;
mod rerun;
mod restored;
mod retry;
mod sensitive;
mod source;
mod superseded;
mod templated;
mod unknown_end;

use std::collections::BTreeMap;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use super::*;
use crate::{
    api::{
        DeploymentAction, Reason,
        action::{Amount, Output, Resources, RunPolicy},
        condition::ConditionType,
        history::RunOutcome,
        status::{LogState, RunStatus, Trigger},
    },
    operator::{
        lifecycle::{
            cause::Cause,
            facts::{
                Archiving, Creation, LogFact, NodeState, PodFact, Refusal, Resolution, Resolver, SecretFact,
                Source,
            },
            lock_facts::{LockFact, Place},
            requests::Requests,
        },
        pod::view::{ContainerView, PodView, Terminated},
        spec::{
            expand::{Blocked, Lookup, check},
            hash,
            invalid::Invalid,
            policy::Standing,
            validate::Checked,
        },
        testing::objects::{PROCESS, UID, action, pod_view},
    },
    record::{
        exit_code,
        outcome::{Exit, Identity, OutOfMemory, Outcome, Problem, Start, Stop, StopCause, Termination},
        proof::proof,
    },
    registry::ImageUser,
    seal::Masters,
};

const T0: i64 = 1_000_000;
/// How long a script may run by the kubelet's clock. The pod's own deadline is ten minutes to start, an hour,
/// 30 s of grace and 15 s for the runner. Then the container has its grace period again, and the node a
/// margin of a minute.
const BY_KUBELET: i64 = 600 + 3600 + 2 * (30 + 15) + 60;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(T0 + seconds).unwrap()
}

/// An action and what a cache keeps of it get the same wait, or neither gets a wait.
fn assert_stands_in(step: &Step, other: &Step) {
    let waits = |step: &Step| matches!(step, Step::Wait(_));
    assert!(step == other || !(waits(step) || waits(other)), "{step:?}, by what the cache has {other:?}");
}

/// An action, its spec, and everything else that is known.
struct World {
    action: DeploymentAction,
    spec: Result<Checked, Blocked>,
    template: Option<Lookup>,
    source: Source,
    resolution: Option<Resolution>,
    resolver: Option<Resolver>,
    policy_missing: Option<String>,
    standing: Standing,
    user_namespaces: Option<bool>,
    pod: PodFact,
    older: Vec<PodView>,
    all_pods: bool,
    previous: Vec<PodView>,
    creation: Creation,
    not_before: Option<Timestamp>,
    log: Option<LogFact>,
    cause: Option<Cause>,
    node: Option<NodeState>,
    progress_due: bool,
    lock: LockFact,
    keys: Option<Masters>,
    secret: SecretFact,
    archive: Option<Archiving>,
}

impl World {
    fn new(action: DeploymentAction) -> Self {
        Self::templated(action, None)
    }

    fn templated(action: DeploymentAction, template: Option<Lookup>) -> Self {
        let spec = check(&action, template.as_ref(), "amd64");
        Self {
            action,
            spec,
            template,
            source: Source::None,
            resolution: None,
            resolver: None,
            policy_missing: None,
            standing: Standing::Allowed,
            user_namespaces: Some(true),
            pod: PodFact::NotSeen,
            older: vec![],
            all_pods: false,
            previous: vec![],
            creation: Creation::default(),
            not_before: None,
            log: None,
            cause: None,
            node: None,
            progress_due: false,
            lock: LockFact { place: Place { known: true, ..Place::default() }, ..LockFact::default() },
            keys: Some(Masters::default()),
            secret: SecretFact::default(),
            archive: None,
        }
    }

    /// A run that was recorded at `T0` and has no pod yet.
    fn launching() -> Self {
        Self::launching_of(action())
    }

    fn launching_of(action: DeploymentAction) -> Self {
        let mut world = Self::new(action);
        world.resolution = Some(resolved());
        world.write(0);
        assert_eq!(world.phase(), "Launching");
        world.resolution = None;
        world
    }

    /// A run whose pod exists.
    fn with_pod(change: impl FnOnce(&mut PodView)) -> Self {
        let mut world = Self::launching();
        world.show_pod(change);
        world
    }

    fn show_pod(&mut self, change: impl FnOnce(&mut PodView)) {
        let run = run(self);
        let mut pod = PodView { bundle_sha256: run.bundle_sha256.clone(), ..pod_view() };
        change(&mut pod);
        self.pod = PodFact::Present(Box::new(pod));
    }

    /// A run whose script runs.
    fn running() -> Self {
        Self::running_of(action())
    }

    fn running_of(action: DeploymentAction) -> Self {
        let mut world = Self::launching_of(action);
        world.show_pod(|pod| {
            pod.started = true;
            pod.container = ContainerView::Running { since: Some(Time(at(2))) };
        });
        world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
        world.progress_due = true;
        world.write(2);
        assert_eq!(world.phase(), "Running");
        world
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            process: PROCESS,
            action: &self.action,
            requests: Requests::of(&self.action).recorded(true),
            spec: &self.spec,
            template: self.template.as_ref(),
            source: self.source.clone(),
            resolution: self.resolution.clone(),
            resolver: self.resolver.clone(),
            policy_missing: self.policy_missing.clone(),
            standing: self.standing.clone(),
            user_namespaces: self.user_namespaces,
            pod: self.pod.clone(),
            older: self.older.clone(),
            all_pods: self.all_pods,
            previous: self.previous.clone(),
            creation: self.creation.clone(),
            not_before: self.not_before,
            log: self.log.clone(),
            cause: self.cause.clone(),
            node: self.node,
            progress_due: self.progress_due,
            lock: self.lock.clone(),
            keys: self.keys.as_ref(),
            secret: self.secret.clone(),
            archive: self.archive.clone(),
        }
    }

    fn step(&self, seconds: i64) -> Step {
        let step = decide(&self.facts(), at(seconds));
        if let Some(action) = stand_in(&self.action) {
            // Every test also looks at what a cache keeps of an action at rest.
            let spec = Err(Blocked::Unread(String::new()));
            let requests = Requests::of(&action);
            let facts = Facts { action: &action, requests, spec: &spec, ..self.facts() };
            assert_stands_in(&step, &decide(&facts, at(seconds)));
        }
        step
    }

    /// Expects a write, and carries it out.
    fn write(&mut self, seconds: i64) {
        match self.step(seconds) {
            Step::WriteStatus(status) => self.action.status = Some(*status),
            other => panic!("expected a write, not {other:?}"),
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut crate::api::DeploymentActionSpec)) {
        change(&mut self.action.spec);
        self.action.metadata.generation = self.action.metadata.generation.map(|generation| generation + 1);
        self.look();
    }

    /// Reads the action and its template again.
    fn look(&mut self) {
        self.spec = check(&self.action, self.template.as_ref(), "amd64");
    }

    fn phase(&self) -> String {
        self.action.status.as_ref().unwrap().phase.unwrap().to_string()
    }

    fn reason(&self) -> Reason {
        let status = self.action.status.as_ref().unwrap();
        Reason::parse(&status.conditions().get(ConditionType::Ready).unwrap().reason).unwrap()
    }

    fn message(&self) -> String {
        let status = self.action.status.as_ref().unwrap();
        status.conditions().get(ConditionType::Ready).unwrap().message.clone()
    }

    fn finished(&self) -> bool {
        self.action.status.as_ref().unwrap().conditions().is_true(ConditionType::Finished)
    }

    fn run_number(&self) -> u32 {
        run(self).number
    }

    /// Expects the run to end for this reason.
    fn ends(&mut self, seconds: i64, reason: Reason) {
        self.write(seconds);
        assert!(self.finished(), "{:?}", self.action.status);
        assert_eq!(self.reason(), reason);
    }

    /// Expects the run to yield to another one.
    fn gives_way(&mut self, seconds: i64) {
        self.write(seconds);
        assert!(run(self).finished_at.is_some(), "{:?}", self.action.status);
        assert_eq!((self.reason(), self.finished()), (Reason::Superseded, false), "another one follows");
        let status = self.action.status.as_ref().unwrap();
        assert!(status.conditions().is_true(ConditionType::Reconciling));
        assert_eq!(status.history[0].outcome, RunOutcome::Superseded);
    }
}

fn run(world: &World) -> &RunStatus {
    world.action.status.as_ref().unwrap().run.as_ref().unwrap()
}

fn run_mut(world: &mut World) -> &mut RunStatus {
    world.action.status.as_mut().unwrap().run.as_mut().unwrap()
}

fn resolved() -> Resolution {
    Resolution::Resolved {
        pinned: format!("registry.example.com/tools@sha256:{}", "1".repeat(64)),
        platform_digest: None,
        config_digest: None,
        user: ImageUser::Root,
        packages: Vec::new(),
        script_sha256: None,
    }
}

fn exit(outcome: Outcome) -> Exit {
    Exit {
        version: 1,
        of: Identity { pod_uid: "pod-1".into(), run_id: "5f3c9a1b-1".into() },
        outcome,
        stop: None,
        millis: 1500,
        outputs: BTreeMap::new(),
        sealed: None,
        outputs_dropped: vec![],
        outputs_unread: None,
        unmasked: vec![],
        out_of_memory: None,
        replayed: false,
    }
}

fn log_with(exit: Exit, state: LogState, seconds: i64) -> LogFact {
    LogFact { pod_uid: "pod-1".into(), exit: Some((exit, at(seconds))), state, ..LogFact::default() }
}

/// A log in which the runner has announced the proof of its message.
fn begun(state: LogState) -> LogFact {
    let start = Start {
        version: 1,
        of: exit(Outcome::Exited { code: 0 }).of,
        unmasked: vec![],
        adjusted: vec![],
        suspects: vec![],
        proof: Some(proof("nonce")),
        records_proof: None,
    };
    LogFact { pod_uid: "pod-1".into(), start: Some(start), state, ..LogFact::default() }
}

fn message(exit: Exit) -> Termination {
    Termination { exit, nonce: Some("nonce".into()), outputs_sha256: None, end: None }
}

fn terminated(reason: &str, record: Option<Exit>) -> ContainerView {
    let plain = if matches!(reason, "OOMKilled" | "ContainerStatusUnknown") { 137 } else { 1 };
    ContainerView::Terminated(Box::new(Terminated {
        started_at: Some(Time(at(2))),
        finished_at: Some(Time(at(5))),
        exit_code: record.as_ref().map_or(plain, |exit| i32::from(exit_code::of(&exit.outcome))),
        reason: reason.into(),
        record: record.map(message),
        message: None,
    }))
}

// The beginning of a run.

#[test]
fn a_new_action_is_resolved_then_recorded_then_launched() {
    let mut world = World::new(action());
    assert_eq!(world.step(0), Step::Resolve { repeats: None });
    world.resolution = Some(resolved());
    world.write(0);
    let run = world.action.status.clone().unwrap().run.unwrap();
    assert_eq!(
        (run.number, run.attempt, run.id.as_str(), run.trigger),
        (1, 1, "5f3c9a1b-1", Trigger::Created)
    );
    let Step::Launch(attempt) = world.step(0) else { panic!() };
    assert_eq!(Some(attempt.bundle_sha256), run.bundle_sha256);
}

#[test]
fn an_image_that_does_not_exist_ends_the_run_and_is_not_asked_for_again() {
    let mut world = World::new(action());
    world.resolution = Some(Resolution::Refused { reason: Reason::ImageNotFound, message: "no".into() });
    world.ends(0, Reason::ImageNotFound);
    world.resolution = None;
    assert_eq!(world.step(1), Step::Wait(None));
}

#[test]
fn a_registry_that_does_not_answer_is_asked_until_the_pending_deadline() {
    let mut world = World::new(action());
    world.resolution =
        Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message: "timeout".into() });
    world.not_before = Some(at(5));
    world.write(0);
    assert_eq!((world.phase().as_str(), world.reason()), ("Pending", Reason::RegistryUnavailable));
    assert_eq!(world.step(1), Step::Wait(Some(SignedDuration::from_secs(4))));
    world.resolution = None;
    assert_eq!(world.step(5), Step::Resolve { repeats: None });
    world.resolution =
        Some(Resolution::Failed { reason: Reason::RegistryUnavailable, message: "timeout".into() });
    world.ends(600, Reason::RegistryUnavailable);
}

#[test]
fn a_spec_that_cannot_be_executed_ends_the_run_until_it_changes() {
    let mut world = World::new(action());
    world.spec = Err(Invalid("spec: no".into()).into());
    world.ends(0, Reason::InvalidSpec);
    assert_eq!(world.step(1), Step::Wait(None));
    world.change(|spec| spec.args = vec!["x".into()]);
    assert_eq!(world.step(2), Step::Resolve { repeats: None });
}

// When a run starts.

fn succeeded() -> World {
    let mut world = World::running();
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
    world
}

#[test]
fn a_change_of_what_is_executed_starts_a_run_once_the_pod_is_released() {
    let mut world = succeeded();
    world.change(|spec| spec.args = vec!["x".into()]);
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", None);
    });
    assert!(matches!(world.step(4), Step::Release { .. }));
    world.show_pod(|pod| {
        pod.finalizer = false;
        pod.container = terminated("Completed", None);
    });
    assert_eq!(world.step(4), Step::Resolve { repeats: None });
    world.resolution = Some(resolved());
    world.write(4);
    assert_eq!(world.run_number(), 2);
    let run = world.action.status.unwrap().run.unwrap();
    assert_eq!((run.trigger, run.generation), (Trigger::SpecChanged, 2));
}

fn done() -> World {
    let mut world = succeeded();
    world.pod = PodFact::NotSeen;
    world.log = None;
    world
}

#[test]
fn a_change_of_anything_else_is_seen_and_starts_nothing() {
    let mut world = done();
    world.change(|spec| spec.run_deadline_seconds = Some(7));
    world.write(4);
    let status = world.action.status.clone().unwrap();
    assert_eq!((status.observed_generation, world.run_number(), world.finished()), (Some(2), 1, true));
    assert_eq!(world.step(5), Step::Wait(None));
}

#[test]
fn applying_the_same_again_does_nothing() {
    let world = done();
    assert_eq!(world.step(100), Step::Wait(None));
}

#[test]
fn a_new_run_token_starts_a_run_and_its_removal_none() {
    let mut world = done();
    world.change(|spec| spec.run_token = Some("a".into()));
    assert_eq!(world.step(4), Step::Resolve { repeats: None });
    world.resolution = Some(resolved());
    world.write(4);
    assert_eq!(world.action.status.as_ref().unwrap().run.as_ref().unwrap().trigger, Trigger::RunToken);

    let mut world = done();
    run_mut(&mut world).run_token = Some("a".into());
    world.change(|spec| spec.run_token = None);
    world.write(5);
    assert_eq!(world.step(5), Step::Wait(None));
}

#[test]
fn manual_waits_to_be_asked_and_once_runs_once() {
    let mut manual = action();
    manual.spec.run_policy = RunPolicy::Manual;
    let mut world = World::new(manual);
    world.write(0);
    assert_eq!((world.phase().as_str(), world.reason()), ("Idle", Reason::NotRequested));
    assert_eq!(world.step(1), Step::Wait(None));
    world.change(|spec| spec.run_token = Some("now".into()));
    assert_eq!(world.step(2), Step::Resolve { repeats: None });

    let mut world = done();
    world.change(|spec| {
        spec.run_policy = RunPolicy::Once;
        spec.args = vec!["x".into()];
        spec.run_token = Some("y".into());
    });
    world.write(5);
    assert_eq!((world.run_number(), world.step(5)), (1, Step::Wait(None)));
}

#[test]
fn after_a_run_that_failed_a_change_that_bears_on_a_run_starts_one() {
    let more = |world: &mut World| {
        world.change(|spec| {
            let memory = [("memory".to_owned(), Amount::Text("1Gi".into()))];
            spec.resources = Some(Resources { limits: memory.into(), ..Resources::default() });
        });
    };
    let ended = |outcome: Outcome| {
        let mut world = World::running();
        world.log = Some(log_with(exit(outcome), LogState::Complete, 3));
        world.write(3);
        run_mut(&mut world).settings_hash = Some(hash::settings_hash(&world.action.spec).unwrap());
        world
    };
    let starts =
        |world: &World| start::may_start(&Requests::of(&world.action), world.action.status.as_ref().unwrap());
    let mut world = ended(Outcome::Exited { code: 3 });
    assert!(!starts(&world));
    // A change that affects no run starts none.
    world.change(|spec| spec.pod_retention_seconds = 5);
    assert!(!starts(&world));
    more(&mut world);
    assert!(starts(&world));
    // An older operator kept no such hash.
    run_mut(&mut world).settings_hash = None;
    assert!(!starts(&world));

    let mut world = ended(Outcome::Exited { code: 0 });
    more(&mut world);
    assert!(!starts(&world), "it has succeeded");
    let mut world = ended(Outcome::Unknown { message: "?".into() });
    more(&mut world);
    assert!(!starts(&world), "nobody knows how it ended");
    let mut world = ended(Outcome::Exited { code: 3 });
    world.change(|spec| spec.suspend = Some(true));
    more(&mut world);
    // The run is held back. The status about that must not hide that the run before failed.
    world.write(9);
    assert_eq!(world.step(9), Step::Wait(None));
    world.change(|spec| spec.suspend = None);
    assert!(starts(&world));
    let mut world = ended(Outcome::Exited { code: 3 });
    let history = &mut world.action.status.as_mut().unwrap().history;
    for past in history.iter_mut() {
        past.outcome = RunOutcome::Cancelled;
    }
    more(&mut world);
    assert!(!starts(&world), "somebody cancelled it");
    let mut world = ended(Outcome::Exited { code: 3 });
    world.change(|spec| spec.run_policy = RunPolicy::Manual);
    more(&mut world);
    assert!(!starts(&world), "it is started by hand");
}

#[test]
fn a_hash_of_another_version_is_taken_anew_without_a_run() {
    let mut world = done();
    run_mut(&mut world).spec_hash = "v0:abc".into();
    world.change(|spec| spec.args = vec!["x".into()]);
    world.write(5);
    assert_eq!(world.run_number(), 1);
    assert!(world.action.status.as_ref().unwrap().run.as_ref().unwrap().spec_hash.starts_with("v2:"));
    assert_eq!(world.step(6), Step::Wait(None));
}

#[test]
fn a_change_in_mid_run_waits_for_its_end() {
    let mut world = World::running();
    world.change(|spec| spec.args = vec!["x".into()]);
    assert!(matches!(world.step(3), Step::Wait(Some(_))));
    assert_eq!(world.action.status.as_ref().unwrap().observed_generation, Some(1));
}

// Launching: the name decides, and a 404 proves nothing.

#[test]
fn after_a_restart_the_same_attempt_is_created_under_the_same_name() {
    let mut world = World::launching();
    world.creation.unanswered = true;
    let Step::Launch(attempt) = world.step(1) else { panic!() };
    assert_eq!((attempt.run, attempt.attempt), (1, 1));
}

#[test]
fn a_pod_that_was_seen_is_never_created_again() {
    let mut world = World::running();
    world.pod = PodFact::NotSeen;
    assert_eq!(world.step(3), Step::Look);
    world.pod = PodFact::Absent;
    assert_eq!(world.step(3), Step::Wait(Some(SignedDuration::from_secs(1))));
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.ends(3, Reason::Unknown);
}

#[test]
fn a_quota_is_waited_for_and_then_named() {
    let mut world = World::launching();
    let refusal = |may_pass, reason| Some(Refusal { reason, may_pass, message: "exceeded quota".into() });
    world.creation.refusal = refusal(true, Reason::QuotaExceeded);
    world.not_before = Some(at(3));
    world.write(1);
    assert_eq!((world.reason(), world.finished()), (Reason::QuotaExceeded, false));
    assert_eq!(world.step(1), Step::Wait(Some(SignedDuration::from_secs(2))));
    assert!(matches!(world.step(3), Step::Launch(_)));
    world.ends(600, Reason::QuotaExceeded);

    let mut world = World::launching();
    world.creation.refusal = refusal(false, Reason::PodRefused);
    world.ends(1, Reason::PodRefused);
}

#[test]
fn what_was_in_the_way_until_the_deadline_ends_the_run_by_the_deadline() {
    let mut world = World::launching();
    // The operator could not read the action before it created the pod.
    let message = "the action could not be read".into();
    world.creation.refusal = Some(Refusal { reason: Reason::Launching, may_pass: true, message });
    world.write(1);
    assert_eq!((world.reason(), world.finished()), (Reason::Launching, false));
    world.ends(600, Reason::PendingDeadlineExceeded);
}

#[test]
fn an_attempt_whose_creation_went_unanswered_is_given_up_by_a_tombstone_only() {
    let mut world = World::launching();
    world.creation.unanswered = true;
    assert_eq!(world.step(601), Step::Entomb { run: 1, attempt: 1 });
    world.show_pod(|pod| pod.tombstone = true);
    world.ends(601, Reason::PendingDeadlineExceeded);
    assert_eq!(world.step(700_000), Step::Wait(None), "a tombstone lives as long as the action");
}

#[test]
fn where_the_tombstone_is_refused_nothing_is_known() {
    let mut world = World::launching();
    world.creation =
        Creation { unanswered: true, tombstone_refused: Some("quota".into()), ..Creation::default() };
    world.ends(601, Reason::Unknown);
}

#[test]
fn a_spec_that_changed_before_its_pod_was_created_is_not_executed_as_recorded() {
    let mut world = World::launching();
    world.creation.unanswered = true;
    world.change(|spec| spec.args = vec!["x".into()]);
    world.write(1);
    assert_eq!(world.step(1), Step::Entomb { run: 1, attempt: 1 });
    world.show_pod(|pod| pod.tombstone = true);
    world.gives_way(1);
    assert_eq!(world.step(2), Step::Resolve { repeats: None }, "the changed spec starts a run of its own");
}

#[test]
fn a_container_that_the_kubelet_lost_sight_of_is_waited_for_no_longer_than_others() {
    // The pod was evicted as it started: its end has no time, and nobody can read its log.
    let mut world = World::running();
    world.log = Some(LogFact { pod_uid: "pod-1".into(), ..LogFact::default() });
    world.show_pod(|pod| {
        pod.reason = Some("Evicted".into());
        pod.not_ready_since = Some(Time(at(50)));
        pod.container = terminated("ContainerStatusUnknown", None);
        if let ContainerView::Terminated(end) = &mut pod.container {
            end.finished_at = None;
        }
    });
    assert!(matches!(world.step(60), Step::Wait(_)));
    world.ends(71, Reason::Unknown);
}

#[test]
fn what_a_pod_waited_for_is_told_at_the_pending_deadline() {
    let mut world = World::with_pod(|pod| pod.before = Some("init container vault is still running".into()));
    assert!(matches!(world.step(20), Step::Wait(_)), "no write for what mostly passes");
    world.write(600);
    assert!(matches!(world.step(600), Step::Delete { .. }));
    world.show_pod(|pod| {
        (pod.deleting, pod.gone, pod.finalizer) = (true, true, true);
    });
    world.ends(601, Reason::PendingDeadlineExceeded);
    let message = world.action.status.as_ref().unwrap().conditions().get(ConditionType::Ready).unwrap();
    assert!(message.message.contains("and init container vault is still running"), "{}", message.message);
}

#[test]
fn what_the_runtime_says_of_a_runner_that_it_could_not_execute_is_a_failed_start() {
    let mut world = World::with_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Error", None);
    });
    let words = "exec /longshore/bin/longshore-runner: argument list too long";
    world.log = Some(LogFact {
        pod_uid: "pod-1".into(),
        state: LogState::Incomplete,
        foreign: 1,
        first_foreign: Some(words.into()),
        ..LogFact::default()
    });
    world.ends(100, Reason::StartFailed);
    assert!(world.action.status.as_ref().unwrap().log.is_none());
}

#[test]
fn an_image_or_user_that_only_the_status_names_is_not_run() {
    let forge = |change: &dyn Fn(&mut crate::api::status::ImageStatus)| {
        let mut world = World::launching();
        change(world.action.status.as_mut().unwrap().image.as_mut().unwrap());
        // Somebody who may write the status can also write a hash of the bundle that fits.
        let (run, image) = {
            let status = world.action.status.as_ref().unwrap();
            (status.run.clone().unwrap(), status.image.clone().unwrap())
        };
        let (_, sha256) =
            frozen::freeze(&world.facts(), world.spec.as_ref().unwrap(), &run, &image, &[]).unwrap();
        run_mut(&mut world).bundle_sha256 = Some(sha256);
        world
    };
    assert!(matches!(forge(&|_| {}).step(1), Step::Launch(_)));
    let digest = format!("sha256:{}", "b".repeat(64));
    for other in [format!("registry.example.com/evil@{digest}"), "registry.example.com/tools:1".to_owned()] {
        forge(&|image| image.resolved.clone_from(&other)).ends(1, Reason::FrozenInputsChanged);
    }
    for user in [None, Some(0)] {
        forge(&|image| image.run_as_user = user).ends(1, Reason::FrozenInputsChanged);
    }
}

#[test]
fn a_stranger_with_the_pod_s_name_is_named() {
    let mut world = World::with_pod(|pod| pod.owner_uid = Some("another".into()));
    world.ends(1, Reason::PodNameTaken);
    let mut world = World::with_pod(|pod| pod.bundle_sha256 = Some("another".into()));
    world.ends(1, Reason::PodNameTaken);
}

#[test]
fn a_second_pod_of_an_attempt_is_deleted_and_the_outcome_unknown() {
    let mut world = World::running();
    world.show_pod(|pod| pod.uid = "pod-2".into());
    assert_eq!(world.step(3), Step::Delete { name: pod_view().name, uid: "pod-2".into() });
    world.show_pod(|pod| {
        pod.uid = "pod-2".into();
        pod.deleting = true;
    });
    world.ends(3, Reason::Unknown);
}

#[test]
fn a_late_pod_of_a_run_that_has_ended_is_deleted() {
    let mut world = done();
    world.show_pod(|pod| pod.uid = "pod-2".into());
    assert_eq!(world.step(10), Step::Delete { name: pod_view().name, uid: "pod-2".into() });
}

#[test]
fn a_mutated_pod_is_deleted_before_it_counts() {
    let mut world = World::with_pod(|pod| pod.mutation = Some("its image is evil".into()));
    assert!(matches!(world.step(1), Step::Delete { .. }));
    world.show_pod(|pod| {
        pod.mutation = Some("its image is evil".into());
        pod.deleting = true;
        pod.gone = true;
    });
    world.ends(2, Reason::PodMutated);
}

// The pod is pending.

#[test]
fn a_cause_is_told_and_kept_over_the_pod_s_deletion() {
    let mut world = World::with_pod(|_| {});
    assert!(matches!(world.step(1), Step::Wait(Some(_))), "nothing to tell yet");
    world.cause = Some(Cause { reason: Reason::SecretMissing, message: "secret \"db\" not found".into() });
    world.write(3);
    assert_eq!((world.reason(), world.finished()), (Reason::SecretMissing, false));
    assert!(matches!(world.step(3), Step::Wait(Some(_))));
    assert!(matches!(world.step(600), Step::Delete { .. }), "a deadline patch would let the script start");
    world.cause = None;
    world.show_pod(|pod| pod.deleting = true);
    assert!(matches!(world.step(601), Step::Wait(Some(_))), "until it is gone nothing is certain");
    world.show_pod(|pod| {
        pod.deleting = true;
        pod.gone = true;
    });
    world.ends(602, Reason::SecretMissing);
}

#[test]
fn a_pod_deleted_before_its_start_was_never_started() {
    let mut world = World::with_pod(|pod| {
        pod.deleting = true;
        pod.gone = true;
    });
    world.ends(5, Reason::PodDeleted);
}

#[test]
fn a_pod_that_ended_before_our_container_is_not_waited_for() {
    let mut world = World::with_pod(|pod| pod.stillborn = Some("NodeAffinity".into()));
    world.cause = Some(Cause { reason: Reason::StartFailed, message: "NodeAffinity".into() });
    assert!(matches!(world.step(3), Step::Follow { .. }));
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.write(3);
    assert_eq!((world.reason(), world.finished()), (Reason::StartFailed, false));
    assert!(matches!(world.step(3), Step::Delete { .. }));
    world.cause = None;
    world.show_pod(|pod| {
        pod.deleting = true;
        pod.gone = true;
    });
    world.ends(4, Reason::StartFailed);
}

#[test]
fn what_the_kubelet_says_of_a_container_that_nobody_saw_tells_nothing() {
    let lost = |pod: &mut PodView| {
        pod.deleting = true;
        pod.gone = true;
        pod.container = terminated("ContainerStatusUnknown", None);
    };
    let mut world = World::with_pod(lost);
    assert!(matches!(world.step(5), Step::Follow { .. }), "its log would begin with the claim");
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.ends(5, Reason::PodDeleted);
    assert!(world.action.status.as_ref().unwrap().log.is_none());

    let mut seen = World::with_pod(|pod| {
        lost(pod);
        pod.started = true;
    });
    seen.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    seen.ends(50, Reason::Unknown);
}

#[test]
fn a_script_that_started_while_its_pod_was_deleted_has_its_own_end() {
    let mut world = World::with_pod(|pod| {
        pod.deleting = true;
        pod.gone = true;
        pod.started = true;
        pod.container = terminated("Error", None);
    });
    assert!(matches!(world.step(700), Step::Follow { .. }));
    let stopped = Exit {
        stop: Some(Stop { cause: StopCause::Terminated, killed: false }),
        ..exit(Outcome::Signaled { signal: 15 })
    };
    world.log = Some(log_with(stopped, LogState::Complete, 700));
    world.ends(700, Reason::PodDeleted);
}

// The script runs, and a verdict follows.

#[test]
fn progress_is_written_when_it_is_due() {
    let mut world = World::running();
    world.progress_due = false;
    world.log = Some(LogFact { pod_uid: "pod-1".into(), lines: 7, ..LogFact::default() });
    assert!(matches!(world.step(3), Step::Wait(_)));
    world.progress_due = true;
    world.write(8);
    assert_eq!(world.action.status.as_ref().unwrap().log.as_ref().unwrap().lines, 7);
    assert!(matches!(world.step(8), Step::Wait(_)));
}

#[test]
fn what_a_script_wrote_before_it_fell_silent_is_told_when_that_is_due() {
    let mut world = World::running();
    world.progress_due = false;
    world.log = Some(LogFact { pod_uid: "pod-1".into(), lines: 7, ..LogFact::default() });
    let Step::Wait(Some(wait)) = world.step(3) else { panic!("{:?}", world.step(3)) };
    assert!(wait <= SignedDuration::from_secs(5), "nothing else brings a look: {wait}");
}

#[test]
fn the_exit_record_decides_before_the_pod_says_anything() {
    let mut world = World::running();
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Collecting, 3));
    assert_eq!(
        world.step(3),
        Step::Wait(Some(SignedDuration::from_millis(200))),
        "the end record mostly follows"
    );
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Collecting, 2));
    world.ends(3, Reason::ScriptFailed);
    let run = world.action.status.as_ref().unwrap().run.as_ref().unwrap();
    assert_eq!((run.exit_code, run.duration_seconds), (Some(3), Some(2)));
}

#[test]
fn a_terminal_state_is_final_and_a_contradiction_is_told() {
    let mut world = World::running();
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", Some(exit(Outcome::Exited { code: 3 })));
    });
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
    world.log = Some(begun(LogState::Complete));
    world.write(4);
    assert_eq!(world.reason(), Reason::Succeeded);
    assert!(world.action.status.as_ref().unwrap().conditions().is_true(ConditionType::VerdictDisputed));
    assert!(matches!(world.step(5), Step::Release { .. }));
}

#[test]
fn without_the_end_of_the_log_a_proven_termination_message_decides() {
    let mut world = World::running();
    world.log = Some(begun(LogState::Collecting));
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Error", Some(exit(Outcome::Exited { code: 0 })));
    });
    assert!(matches!(world.step(6), Step::Wait(Some(_))), "a moment is given to the log");
    world.ends(8, Reason::Succeeded);
}

#[test]
fn without_any_log_nobody_knows_who_wrote_the_termination_message() {
    let mut world = World::running();
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", Some(exit(Outcome::Exited { code: 0 })));
    });
    assert!(matches!(world.step(100), Step::Wait(Some(_))), "its start is waited for longer");
    let mut slow = World { log: Some(begun(LogState::Collecting)), ..world };
    slow.ends(100, Reason::Succeeded);

    let mut world = World::running();
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", Some(exit(Outcome::Exited { code: 0 })));
    });
    world.log = Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
    world.ends(100, Reason::Unknown);
    assert!(told(&world).contains("its termination message does not count"), "{}", told(&world));
}

fn told(world: &World) -> String {
    let conditions = world.action.status.as_ref().unwrap().conditions();
    conditions.get(ConditionType::Ready).unwrap().message.clone()
}

#[test]
fn a_forged_termination_message_is_no_success_and_nothing_that_never_started() {
    let not_started = Outcome::NotStarted { problem: Problem::Stopped, message: "forged".into() };
    let mut forged = vec![
        // The script killed the runner.
        (137, message(exit(Outcome::Exited { code: 0 }))),
        (152, message(exit(Outcome::Exited { code: 0 }))),
        (i32::from(exit_code::STOPPED_BEFORE_START), message(exit(not_started.clone()))),
        (137, message(exit(not_started))),
        (0, Termination { nonce: Some("guess".into()), ..message(exit(Outcome::Exited { code: 0 })) }),
        (0, Termination { nonce: None, ..message(exit(Outcome::Exited { code: 0 })) }),
    ];
    let mut other = message(exit(Outcome::Exited { code: 0 }));
    other.exit.of.pod_uid = "pod-2".into();
    forged.push((0, other));
    for (code, record) in forged {
        let mut action = action();
        action.spec.retry = Some(crate::api::action::Retry {
            limit: 2,
            causes: vec![crate::api::action::RetryCause::NeverStarted],
            ..Default::default()
        });
        let mut world = World::running_of(action);
        world.log = Some(begun(LogState::Incomplete));
        world.show_pod(|pod| {
            pod.started = true;
            let ContainerView::Terminated(end) = terminated("Error", None) else { panic!() };
            pod.container = ContainerView::Terminated(Box::new(Terminated {
                exit_code: code,
                record: Some(record.clone()),
                ..*end
            }));
        });
        world.ends(200, Reason::Unknown);
        assert_eq!(run(&world).attempt, 1, "{record:?}");
    }
}

#[test]
fn a_container_that_could_not_be_started_again_had_been_started() {
    for (started, begun_log) in [(true, false), (false, true)] {
        let mut world = World::running();
        let state = LogState::Incomplete;
        let silent = LogFact { pod_uid: "pod-1".into(), state, ..LogFact::default() };
        world.log = Some(if begun_log { begun(state) } else { silent });
        world.show_pod(|pod| {
            pod.started = started;
            pod.container = terminated("StartError", None);
        });
        world.ends(7, Reason::Unknown);
    }
}

#[test]
fn outputs_that_were_lost_are_told_and_the_verdict_stands() {
    let mut world = World::running();
    let record =
        Termination { outputs_sha256: Some("00".into()), ..message(exit(Outcome::Exited { code: 0 })) };
    world.show_pod(|pod| {
        pod.started = true;
        let ContainerView::Terminated(end) = terminated("Completed", None) else { panic!() };
        pod.container =
            ContainerView::Terminated(Box::new(Terminated { record: Some(record), exit_code: 0, ..*end }));
    });
    assert!(matches!(world.step(6), Step::Wait(Some(_))), "the log may still bring them");
    world.log = Some(begun(LogState::Incomplete));
    world.ends(7, Reason::Succeeded);
    assert!(world.action.status.as_ref().unwrap().conditions().is_true(ConditionType::OutputsLost));
}

#[test]
fn without_any_record_the_outcome_is_unknown_whatever_the_exit_code() {
    for (reason, verdict) in [
        ("Completed", Reason::Unknown),
        ("ContainerStatusUnknown", Reason::Unknown),
        ("OOMKilled", Reason::OutOfMemory),
        ("StartError", Reason::StartFailed),
    ] {
        let mut world = World::running();
        world.show_pod(|pod| {
            pod.started = reason != "StartError";
            pod.container = terminated(reason, None);
        });
        world.log =
            Some(LogFact { pod_uid: "pod-1".into(), state: LogState::Incomplete, ..LogFact::default() });
        world.ends(7, verdict);
    }
}

#[test]
fn a_script_that_an_eviction_left_no_time_to_report_was_evicted() {
    for (lines, verdict) in [(1, Reason::Evicted), (0, Reason::Unknown)] {
        let mut world = World::running();
        world.show_pod(|pod| {
            pod.started = true;
            pod.container = terminated("Error", None);
            pod.reason = Some("Evicted".into());
        });
        let state = LogState::Incomplete;
        world.log = Some(LogFact { pod_uid: "pod-1".into(), state, lines, ..LogFact::default() });
        world.ends(7, verdict);
    }
}

#[test]
fn a_required_output_that_is_missing_fails_the_run() {
    let outputs = vec![Output { name: "url".into(), required: Some(true), ..Output::default() }];
    let mut action = action();
    action.spec.outputs.clone_from(&outputs);
    let mut world = World::running_of(action);
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::OutputMissing);

    // The message names what was dropped, and what to do.
    let mut action = self::action();
    action.spec.outputs.clone_from(&outputs);
    let mut world = World::running_of(action.clone());
    let dropped = vec!["line 1: `url` has 40000 bytes, and an output may have 32768".to_owned()];
    let ended = Exit { outputs_dropped: dropped, ..exit(Outcome::Exited { code: 0 }) };
    world.log = Some(log_with(ended, LogState::Complete, 3));
    world.ends(3, Reason::OutputMissing);
    let message = world.message();
    assert!(message.contains("`url` has 40000 bytes") && !message.contains("Write name=value"), "{message}");

    // If an output is required, nothing from a file that cannot be read counts.
    let unread = "line 2: `x` is no output";
    let ended = || Exit {
        outputs: BTreeMap::from([("url".to_owned(), "{".to_owned())]),
        outputs_unread: Some(unread.into()),
        ..exit(Outcome::Exited { code: 0 })
    };
    let mut world = World::running_of(action);
    world.log = Some(log_with(ended(), LogState::Complete, 3));
    world.ends(3, Reason::OutputsUnreadable);
    assert!(world.message().contains(unread), "{}", world.message());
    let mut world = World::running();
    world.log = Some(log_with(ended(), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);

    // An output that the spec asks for since then is not required of the run under way.
    let mut world = World::running();
    world.change(|spec| spec.outputs = outputs);
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
}

#[test]
fn deadlines_that_change_do_not_bind_the_run_under_way() {
    // The script started at 2 s. It has 3600 s, 30 s of grace and a margin of 60 s.
    let mut world = World::running();
    world.change(|spec| spec.run_deadline_seconds = Some(1));
    world.progress_due = false;
    assert_eq!(world.step(1000), Step::Wait(Some(SignedDuration::from_secs(2 + 3690 - 1000))));
    // A spec that cannot be executed any more does not bind it either.
    world.spec = Err(Invalid("spec: no".into()).into());
    world.ends(2 + 3690, Reason::Unknown);

    // If an older operator froze the run without recording deadlines, the spec's count.
    let mut world = World::running();
    run_mut(&mut world).deadlines = None;
    world.change(|spec| spec.run_deadline_seconds = Some(1));
    world.ends(2 + 91, Reason::Unknown);
}

#[test]
fn why_a_script_was_stopped_is_told() {
    let stop = |cause| Some(Stop { cause, killed: false });
    let case = |stop: Option<Stop>, outcome: Outcome, pod: &dyn Fn(&mut PodView)| {
        let mut world = World::running();
        world.show_pod(|view| {
            view.started = true;
            pod(view);
        });
        world.log = Some(log_with(Exit { stop, ..exit(outcome) }, LogState::Complete, 3));
        // By this time every explanation would have come.
        world.write(40);
        world.reason()
    };
    let exited = Outcome::Exited { code: 0 };
    let killed = Outcome::Signaled { signal: 9 };
    let asked = stop(StopCause::Terminated);
    assert_eq!(case(stop(StopCause::RunDeadline), exited.clone(), &|_| {}), Reason::DeadlineExceeded);
    assert_eq!(case(asked, exited.clone(), &|pod| pod.deleting = true), Reason::PodDeleted);
    assert_eq!(case(asked, exited.clone(), &|pod| pod.reason = Some("Evicted".into())), Reason::Evicted);
    assert_eq!(
        case(asked, exited, &|pod| pod.reason = Some("DeadlineExceeded".into())),
        Reason::DeadlineExceeded
    );
    assert_eq!(case(None, killed.clone(), &|_| {}), Reason::ScriptKilled);
    assert_eq!(case(None, killed, &|pod| pod.container = terminated("OOMKilled", None)), Reason::OutOfMemory);
    let missing = Outcome::NotStarted { problem: Problem::InterpreterNotFound, message: "no bash".into() };
    assert_eq!(case(None, missing, &|_| {}), Reason::InterpreterNotFound);
}

#[test]
fn what_the_kernel_killed_for_memory_is_told_with_the_limit() {
    let case = |outcome: Outcome, limit_bytes| {
        let mut world = World::running();
        let out_of_memory = Some(OutOfMemory { kills: 1, limit_bytes });
        let ended = Exit { out_of_memory, ..exit(outcome) };
        world.log = Some(log_with(ended, LogState::Complete, 3));
        world.write(5);
        (world.reason(), world.message())
    };
    let limit = Some(48 << 20);
    let (reason, words) = case(Outcome::Exited { code: 1 }, limit);
    assert_eq!(reason, Reason::ScriptFailed);
    assert!(words.contains("killed a process") && words.contains("(its limit is 48Mi)"), "{words}");
    let (reason, words) = case(Outcome::Exited { code: 0 }, limit);
    assert_eq!(reason, Reason::Succeeded);
    assert!(words.contains("killed a process") && words.contains("48Mi"), "{words}");
    // The node has not said anything yet.
    assert_eq!(case(Outcome::Signaled { signal: 9 }, None).0, Reason::OutOfMemory);
    assert_eq!(case(Outcome::Exited { code: 137 }, None).0, Reason::ScriptFailed);
    assert!(case(Outcome::Signaled { signal: 6 }, Some(1000)).1.contains("(its limit is 1000)"));
}

#[test]
fn a_script_whose_node_is_silent_past_every_deadline_is_lost() {
    let mut world = World::running();
    assert!(matches!(world.step(3600), Step::Wait(Some(_))));
    world.ends(3600 + 30 + 62, Reason::Unknown);
}

// After the run's end.

#[test]
fn a_pod_is_released_once_verdict_and_log_are_stored_and_deleted_in_its_time() {
    let mut world = World::running();
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Collecting, 2));
    world.ends(3, Reason::Succeeded);
    world.show_pod(|pod| {
        pod.started = true;
        pod.container = terminated("Completed", None);
    });
    assert!(matches!(world.step(4), Step::Wait(Some(_))), "the log is still being read");
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Complete, 2));
    world.write(4);
    assert!(matches!(world.step(4), Step::Release { .. }));
    world.show_pod(|pod| {
        pod.finalizer = false;
        pod.container = terminated("Completed", None);
    });
    assert!(matches!(world.step(5), Step::Wait(Some(_))));
    assert!(matches!(world.step(86_404), Step::Delete { .. }));
}

#[test]
fn pods_of_earlier_runs_are_released_and_deleted_in_their_time_too() {
    let mut world = done();
    let mut old = pod_view();
    old.name = "older".into();
    old.container = terminated("Completed", None);
    world.older = vec![old.clone()];
    // Another creation of this pod may have been sent until the latest attempt was announced.
    assert_eq!(world.step(10), Step::Wait(Some(SignedDuration::from_secs(110))));
    assert!(matches!(world.step(120), Step::Release { .. }));
    world.older[0].settled = true;
    assert!(matches!(world.step(10), Step::Release { .. }));
    old.finalizer = false;
    world.older = vec![old];
    assert!(matches!(world.step(10), Step::Wait(Some(_))));
    assert_eq!(world.step(86_405), Step::Delete { name: "older".into(), uid: "pod-1".into() });
}

#[test]
fn what_the_log_brings_after_the_verdict_reaches_the_conditions() {
    let mut world = World::running();
    world.log = Some(log_with(exit(Outcome::Exited { code: 3 }), LogState::Collecting, 2));
    world.ends(3, Reason::ScriptFailed);
    let mut log = log_with(exit(Outcome::Exited { code: 3 }), LogState::Complete, 2);
    log.tail = "the last line\n".into();
    log.start = Some(Start { unmasked: vec!["PIN".into()], ..begun(LogState::Complete).start.unwrap() });
    world.log = Some(log);
    world.write(4);
    let status = world.action.status.clone().unwrap();
    let stalled = status.conditions().get(ConditionType::Stalled).unwrap();
    assert!(stalled.message.ends_with("; log: the last line"), "{}", stalled.message);
    for kind in [ConditionType::Ready, ConditionType::Succeeded] {
        let message = &status.conditions().get(kind).unwrap().message;
        assert!(message.ends_with("of the log. Log: the last line"), "{message}");
    }
    assert!(status.conditions().is_true(ConditionType::ValuesUnmasked));
}

#[test]
fn a_failure_s_message_ends_with_the_lines_that_explain_it() {
    let log = |outcome: Outcome| LogFact {
        tail: "line 1\nline 2\nout\n".into(),
        errors: "x.sh: line 7: y: not found\n".into(),
        lines: 4,
        ..log_with(exit(outcome), LogState::Complete, 3)
    };
    let mut world = World::running();
    world.log = Some(log(Outcome::Exited { code: 3 }));
    world.ends(3, Reason::ScriptFailed);
    assert!(world.message().ends_with("Read the last lines of the log. Log: x.sh: line 7: y: not found"));
    let mut world = World::running();
    world.log = Some(log(Outcome::Exited { code: 0 }));
    world.ends(3, Reason::Succeeded);
    assert!(!world.message().contains("not found"), "{}", world.message());
}

#[test]
fn a_value_that_the_script_wanted_to_be_masked_and_that_is_not_is_told() {
    let mut world = World::running();
    let ended = Exit { unmasked: vec!["2 lines of x".into()], ..exit(Outcome::Exited { code: 0 }) };
    world.log = Some(log_with(ended, LogState::Complete, 3));
    world.ends(3, Reason::Succeeded);
    let status = world.action.status.clone().unwrap();
    let told = status.conditions().get(ConditionType::ValuesUnmasked).unwrap();
    assert_eq!(told.message, "not masked in the log: 2 lines of x");
}

#[test]
fn a_log_that_cannot_be_read_to_its_end_is_incomplete_and_holds_nothing_up() {
    let mut world = World::running();
    world.log = Some(log_with(exit(Outcome::Exited { code: 0 }), LogState::Collecting, 2));
    world.ends(3, Reason::Succeeded);
    world.write(64);
    let log = world.action.status.as_ref().unwrap().log.clone().unwrap();
    assert_eq!((log.state, log.missing.len(), world.reason()), (LogState::Incomplete, 1, Reason::Succeeded));
}

#[test]
fn a_log_that_is_still_being_read_is_not_given_up() {
    let mut world = World::running();
    let log = log_with(exit(Outcome::Exited { code: 0 }), LogState::Collecting, 2);
    world.log = Some(log.clone());
    world.ends(3, Reason::Succeeded);
    world.log = Some(LogFact { read_at: Some(at(60)), ..log.clone() });
    assert!(matches!(world.step(119), Step::Wait(_)));
    // A time that is not yet does not count.
    world.log = Some(LogFact { read_at: Some(at(1_000_000)), ..log.clone() });
    assert!(matches!(world.step(64), Step::WriteStatus(_)));
    world.log = Some(LogFact { read_at: Some(at(60)), ..log });
    world.write(121);
    assert_eq!(world.action.status.unwrap().log.unwrap().state, LogState::Incomplete);
}

#[test]
fn an_action_that_is_being_deleted_creates_nothing_and_lets_its_pod_go() {
    let mut world = World::launching();
    world.action.metadata.deletion_timestamp = Some(Time(at(1)));
    assert_eq!(world.step(1), Step::Wait(None));
    world.show_pod(|_| {});
    assert!(matches!(world.step(1), Step::Delete { .. }));
    world.show_pod(|pod| pod.deleting = true);
    assert!(matches!(world.step(1), Step::Release { .. }));
    world.show_pod(|pod| pod.owner_uid = Some(format!("{UID}-another")));
    assert_eq!(world.step(1), Step::Wait(None));
}

#[test]
fn the_pod_of_an_orphaning_deletion_stays_and_is_let_go() {
    let mut world = World::running();
    world.action.metadata.deletion_timestamp = Some(Time(at(1)));
    world.action.metadata.finalizers = Some(vec!["orphan".into()]);
    assert!(matches!(world.step(1), Step::Release { .. }));
    world.show_pod(|pod| pod.finalizer = false);
    assert_eq!(world.step(1), Step::Wait(None));
}
