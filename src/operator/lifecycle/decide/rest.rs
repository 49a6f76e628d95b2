//! The parts of an action that show that nothing is to be done. A cache keeps no more of actions whose run
//! has ended.

use kube::api::ObjectMeta;

use super::start::{Start, needs_spec, start};
use crate::{
    api::{
        ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentAction, DeploymentActionSpec, DeploymentActionStatus,
        action::{RunPolicy, Script},
        condition::ConditionType,
        status::{LogState, LogStatus, RunStatus, StoredLogStatus, TemplateStatus},
    },
    operator::lifecycle::{requests::Requests, status::is_held_back},
};

/// If annotations and messages are longer, a copy of them is not worth it, and the action is kept whole.
const MOST_TEXT_BYTES: usize = 2048;

/// The part of an action at rest that a cache keeps. The latest run of such an action has ended and is
/// settled, and no other run is asked for. `None` for any other action.
///
/// [`super::decide`] answers with the same [`super::Step::Wait`] for both. If it answers with any other step
/// for one, it does so for the other. Only the whole action shows which step that is.
///
/// The stand-in has no resource version, so the API server would refuse to write it.
#[must_use]
pub fn stand_in(action: &DeploymentAction) -> Option<DeploymentAction> {
    let before = action.status.as_ref()?;
    let run = before.run.as_ref()?;
    if !rests(action, before, run) {
        return None;
    }
    let annotations: Vec<_> =
        action.metadata.annotations.iter().flatten().filter(|(name, _)| asks(name)).collect();
    let kept: Vec<_> = before.conditions.iter().filter(|condition| kept(&condition.type_)).collect();
    let texts =
        annotations.iter().map(|(_, text)| text.len()).chain(kept.iter().map(|one| one.message.len()));
    if texts.sum::<usize>() > MOST_TEXT_BYTES {
        return None;
    }
    // Every field is named here, so that a new one cannot be forgotten.
    let DeploymentActionSpec {
        template_ref,
        run_policy,
        suspend,
        ttl_seconds_after_finished,
        pod_retention_seconds,
        run_token,
        parameters: _,
        packages: _,
        image: _,
        image_pull_secrets: _,
        script,
        command: _,
        args: _,
        variables: _,
        variables_from: _,
        outputs: _,
        service_account_name: _,
        run_deadline_seconds: _,
        pending_deadline_seconds: _,
        termination_grace_period_seconds: _,
        resources: _,
        pod_template: _,
        working_dir: _,
        log: _,
        retry: _,
        lock: _,
    } = &action.spec;
    let DeploymentActionStatus {
        observed_generation,
        phase,
        template,
        last_handled_rerun,
        // An action that has one does not rest.
        pending_rerun: _,
        log,
        conditions: _,
        run: _,
        image: _,
        packages: _,
        outputs: _,
        outputs_secret_ref: _,
        history: _,
    } = before;
    Some(DeploymentAction {
        metadata: ObjectMeta {
            name: action.metadata.name.clone(),
            namespace: action.metadata.namespace.clone(),
            uid: action.metadata.uid.clone(),
            generation: action.metadata.generation,
            generate_name: action
                .metadata
                .generate_name
                .clone()
                .filter(|_| ttl_seconds_after_finished.is_some()),
            annotations: (!annotations.is_empty())
                .then(|| annotations.into_iter().map(|(name, text)| (name.clone(), text.clone())).collect()),
            ..ObjectMeta::default()
        },
        spec: DeploymentActionSpec {
            template_ref: template_ref.clone(),
            // The spec as it is starts nothing, and a changed spec is a new state of the action. So the hash
            // is not compared any more.
            run_policy: if *run_policy == RunPolicy::OnChange { RunPolicy::Manual } else { *run_policy },
            suspend: *suspend,
            script: read_from(script.as_ref(), run),
            ttl_seconds_after_finished: *ttl_seconds_after_finished,
            pod_retention_seconds: *pod_retention_seconds,
            run_token: run_token.clone(),
            ..DeploymentActionSpec::default()
        },
        status: Some(DeploymentActionStatus {
            observed_generation: *observed_generation,
            phase: *phase,
            template: template
                .as_ref()
                .map(|template| TemplateStatus { sha256: String::new(), ..template.clone() }),
            last_handled_rerun: last_handled_rerun.clone(),
            log: log.as_ref().map(|log| LogStatus {
                state: log.state,
                // Whether something is there says that nothing is left to do.
                stored: log.stored.as_ref().map(|_| StoredLogStatus::default()),
                ..LogStatus::default()
            }),
            conditions: kept.into_iter().cloned().collect(),
            run: Some(of_run(run)),
            ..DeploymentActionStatus::default()
        }),
    })
}

/// The `ConfigMap` that the run's script came from, if it did. It may hold another script now.
fn read_from(script: Option<&Script>, run: &RunStatus) -> Option<Script> {
    let from = script.and_then(|script| script.config_map_key_ref.clone());
    let from = from.filter(|_| run.script_sha256.is_some())?;
    Some(Script { config_map_key_ref: Some(from), ..Script::default() })
}

/// The parts of a run that are still used once it has ended.
fn of_run(run: &RunStatus) -> RunStatus {
    RunStatus {
        repeats: None,
        settings_hash: None,
        required_outputs: Vec::new(),
        requested_by: None,
        cancel_requested_by: None,
        duration_seconds: None,
        attempts: Vec::new(),
        // A later record of the script's end is compared with this.
        exit_code: run.exit_code.or_else(|| run.attempts.last()?.exit_code),
        ..run.clone()
    }
}

/// Whether nothing is left to do, apart from removing pods and the action itself in time.
fn rests(action: &DeploymentAction, status: &DeploymentActionStatus, run: &RunStatus) -> bool {
    let generation = action.metadata.generation;
    let told = |seen: Option<i64>| seen.is_some() && seen == generation;
    action.metadata.deletion_timestamp.is_none()
        && run.finished_at.is_some()
        && run.held_lock().is_none()
        && status.conditions().is_true(ConditionType::Finished)
        && !is_held_back(status)
        && !status.conditions().is_true(ConditionType::OutputsPending)
        && told(status.observed_generation)
        && status.conditions.iter().all(|condition| told(condition.observed_generation))
        && status.log.as_ref().is_none_or(|log| log.state != LogState::Collecting)
        && !needs_spec(action)
        && start(&Requests::of(action), status) == Start::No
}

fn asks(annotation: &str) -> bool {
    [ANNOTATION_CANCEL, ANNOTATION_RERUN].contains(&annotation)
}

/// Whether this condition of an action at rest is still used.
fn kept(condition: &str) -> bool {
    [
        ConditionType::Finished,
        ConditionType::VerdictDisputed,
        ConditionType::RequestIgnored,
        ConditionType::TemplateOutdated,
        ConditionType::SourceOutdated,
    ]
    .map(ConditionType::as_str)
    .contains(&condition)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;
    use crate::{
        api::{
            Reason,
            condition::MAX_MESSAGE_BYTES,
            status::{LockStatus, Trigger},
        },
        operator::{
            lifecycle::{facts::LogFact, status::suspended, verdict::Verdict},
            testing::objects,
        },
    };

    fn finished() -> DeploymentAction {
        let verdict = Verdict::of(Reason::ScriptFailed, "x".repeat(MAX_MESSAGE_BYTES));
        let log = LogFact { state: LogState::Complete, tail: "t".repeat(10_000), ..LogFact::default() };
        objects::finished(&verdict, Some(&log))
    }

    #[test]
    fn what_stands_in_for_an_action_is_small_and_names_no_state_of_it() {
        let mut action = finished();
        action.spec.script = Some(Script { inline: Some("x".repeat(100_000)), ..Script::default() });
        action.spec.run_policy = RunPolicy::Manual;
        let stand_in = stand_in(&action).unwrap();
        assert_eq!(stand_in.metadata.resource_version, None);
        assert!(serde_json::to_vec(&stand_in).unwrap().len() < 1000);
    }

    #[test]
    fn an_action_of_which_something_is_asked_is_kept_whole() {
        let time = || Some(Time(Timestamp::UNIX_EPOCH));
        let annotation = |name: &str, text: &str| Some([(name.to_owned(), text.to_owned())].into());
        assert!(stand_in(&finished()).is_some());
        let changes: [&dyn Fn(&mut DeploymentAction); 12] = [
            &|action| action.metadata.deletion_timestamp = time(),
            &|action| action.metadata.annotations = annotation(ANNOTATION_RERUN, "again"),
            &|action| action.metadata.annotations = annotation(ANNOTATION_CANCEL, &"x".repeat(3000)),
            &|action| action.spec.run_token = Some("another".into()),
            &|action| {
                action.spec.image = Some("registry.example.com/tools:2".into());
                action.metadata.generation = Some(2);
            },
            &|action| action.metadata.generation = Some(2),
            &|action| action.status = None,
            &|action| action.status.as_mut().unwrap().run.as_mut().unwrap().finished_at = None,
            &|action| action.status.as_mut().unwrap().run.as_mut().unwrap().spec_hash = "v0:1".into(),
            &|action| action.status.as_mut().unwrap().log.as_mut().unwrap().state = LogState::Collecting,
            &|action| {
                let lock = LockStatus { acquired_at: time(), ..LockStatus::default() };
                action.status.as_mut().unwrap().run.as_mut().unwrap().lock = Some(lock);
            },
            &|action| {
                action.status =
                    Some(suspended(&Requests::of(action), Timestamp::UNIX_EPOCH, Trigger::RunToken));
            },
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut action = finished();
            change(&mut action);
            assert_eq!(stand_in(&action), None, "change {at}");
        }
    }
}
