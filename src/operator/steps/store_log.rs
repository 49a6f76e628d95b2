//! The step that hands over the record of an attempt. The archivist stores it beside the log, in its own time.

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use crate::{
    api::{
        DeploymentAction, LABEL_ACTION, LABEL_ACTION_UID, LABEL_ATTEMPT, LABEL_RUN,
        history::{AttemptStatus, PastRun},
        status::{LogState, LogStatus},
    },
    archive::{
        KeyError, LogKey,
        run_record::{
            ActionRecord, Executed, LogRecord, PodRecord, RunNumber, RunRecord, TemplateRecord, Times,
            Verdict,
        },
    },
    operator::{lifecycle::facts::LogFact, logs::archivist::Archivist, pod::names::run_id},
    record::sha256_hex,
};

/// The attempt whose log is stored, and its pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) run: u32,
    pub(crate) attempt: u32,
    pub(crate) pod: &'a str,
    pub(crate) pod_uid: &'a str,
}

/// The name of its log in the archive.
///
/// # Errors
/// If one of the names cannot be a part of it. No API server gives such names.
pub(crate) fn key(action: &DeploymentAction, of: &Of<'_>) -> Result<LogKey, KeyError> {
    let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
    let uid = action.metadata.uid.as_deref().unwrap_or_default();
    LogKey::new(namespace, uid, of.run, of.attempt, of.pod_uid)
}

/// Hands the record of an attempt that has ended over. `log` is its log, if this process has read it.
///
/// # Errors
/// As [`key`].
pub(crate) fn store_log(
    archivist: &Archivist,
    action: &DeploymentAction,
    of: &Of<'_>,
    log: Option<&LogFact>,
) -> Result<(), KeyError> {
    archivist.finish(&key(action, of)?, &ObjectRef::from_obj(action), record(action, of, log));
    Ok(())
}

/// The same for a pod whose action is gone. Nothing is known any more but its labels.
///
/// # Errors
/// As [`key`], or if its labels say less.
pub(crate) fn store_log_of_gone(archivist: &Archivist, pod: &Pod) -> Result<(), KeyError> {
    let label = |name: &str| pod.labels().get(name).cloned().unwrap_or_default();
    let number = |name: &str| label(name).parse().unwrap_or_default();
    let (run, attempt) = (number(LABEL_RUN), number(LABEL_ATTEMPT));
    let of_action = ActionRecord {
        namespace: pod.namespace().unwrap_or_default(),
        name: label(LABEL_ACTION),
        uid: label(LABEL_ACTION_UID),
        generation: 0,
    };
    let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
    let key = LogKey::new(&of_action.namespace, &of_action.uid, run, attempt, &uid)?;
    let action = ObjectRef::new(&of_action.name).within(&of_action.namespace);
    let id = run_id(&of_action.uid, run);
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut record = RunRecord::new(
        of_action,
        RunNumber { number: run, id, attempt, trigger: String::new() },
        PodRecord { name, uid, node },
    );
    record.verdict = verdict(None, None);
    archivist.finish(&key, &action, record);
    Ok(())
}

/// The record, from spec and status: names and hashes, and no value.
fn record(action: &DeploymentAction, of: &Of<'_>, log: Option<&LogFact>) -> RunRecord {
    let status = action.status.as_ref();
    let run = status.and_then(|status| status.run.as_ref()).filter(|run| run.number == of.run);
    let past = status.and_then(|status| status.history.iter().find(|past| past.number == of.run));
    let of_action = ActionRecord {
        namespace: action.namespace().unwrap_or_default(),
        name: action.name_any(),
        uid: action.uid().unwrap_or_default(),
        generation: run.map_or(0, |run| run.generation),
    };
    let id = run.map(|run| &run.id).or_else(|| past.map(|past| &past.id)).cloned().unwrap_or_default();
    let trigger = run.map(|run| run.trigger).or_else(|| past.map(|past| past.trigger));
    let number = RunNumber {
        number: of.run,
        id,
        attempt: of.attempt,
        trigger: trigger.map(|trigger| trigger.to_string()).unwrap_or_default(),
    };
    let attempt = run.and_then(|run| run.attempts.iter().find(|ended| ended.attempt == of.attempt));
    let pod = PodRecord {
        name: of.pod.to_owned(),
        uid: of.pod_uid.to_owned(),
        node: attempt.and_then(|ended| ended.node_name.clone()),
    };
    let mut record = RunRecord::new(of_action, number, pod);
    record.executed = executed(action, of, past);
    let last = past.filter(|past| past.attempts == of.attempt);
    record.verdict = verdict(attempt, last);
    record.times = Times {
        requested_at: run
            .and_then(|run| match of.attempt {
                1 => run.requested_at.as_ref(),
                // The status has it for the present attempt alone.
                _ => run.attempt_requested_at.as_ref().filter(|_| run.attempt == of.attempt),
            })
            .map(|time| time.0),
        started_at: attempt.and_then(|ended| ended.started_at.as_ref()).map(|time| time.0),
        finished_at: attempt
            .and_then(|ended| ended.finished_at.as_ref())
            .or_else(|| last.and_then(|past| past.finished_at.as_ref()))
            .map(|time| time.0),
    };
    let latest = run.is_some_and(|run| run.attempt == of.attempt);
    if let Some(status) = status.filter(|_| latest) {
        record.outputs =
            status.outputs.iter().map(|(name, value)| (name.clone(), sha256_hex(value.as_bytes()))).collect();
        let sealed = log.and_then(|log| log.exit.as_ref()).and_then(|(exit, _)| exit.sealed.as_ref());
        let sealed = sealed.map(|sealed| &sealed.names);
        let kept = status.outputs_secret_ref.as_ref().map(|secret| &secret.keys);
        for name in sealed.or(kept).into_iter().flatten() {
            record.outputs.insert(name.clone(), String::new());
        }
    }
    let told = status.and_then(|status| status.log.as_ref()).filter(|_| latest);
    record.log = match (told, log) {
        (Some(told), _) => of_status(told),
        (None, Some(log)) => LogRecord {
            complete: log.state == LogState::Complete,
            lines: log.lines,
            bytes: log.bytes,
            sha256: (log.state == LogState::Complete).then(|| log.sha256.clone()),
            missing: log.missing.clone(),
        },
        (None, None) => LogRecord::default(),
    };
    record
}

fn of_status(log: &LogStatus) -> LogRecord {
    LogRecord {
        complete: log.state == LogState::Complete,
        lines: log.lines,
        bytes: log.bytes,
        sha256: log.sha256.clone(),
        missing: log.missing.clone(),
    }
}

fn verdict(attempt: Option<&AttemptStatus>, past: Option<&PastRun>) -> Verdict {
    match (attempt, past) {
        (Some(ended), _) => Verdict { reason: ended.reason.clone(), exit_code: ended.exit_code },
        (None, Some(past)) => Verdict { reason: past.reason.clone(), exit_code: past.exit_code },
        // The action was deleted while it ran.
        (None, None) => Verdict { reason: "ActionDeleted".into(), exit_code: None },
    }
}

fn executed(action: &DeploymentAction, of: &Of<'_>, past: Option<&PastRun>) -> Executed {
    let status = action.status.as_ref();
    let run = status.and_then(|status| status.run.as_ref()).filter(|run| run.number == of.run);
    let Some((status, run)) = status.zip(run) else {
        // The history is all that is left of an earlier run.
        return past.map_or_else(Executed::default, |past| Executed {
            image: past.image.clone().unwrap_or_default(),
            packages: past
                .packages
                .iter()
                .map(|package| (package.name.clone(), package.resolved.clone()))
                .collect(),
            ..Executed::default()
        });
    };
    // The spec may have changed since the run was frozen.
    let spec = Some(&action.spec).filter(|_| action.metadata.generation == Some(run.generation));
    let inline = spec.and_then(|spec| spec.script.as_ref()?.inline.as_deref());
    let ended = run.attempts.iter().find(|ended| ended.attempt == of.attempt);
    let present = run.attempt == of.attempt;
    Executed {
        spec_hash: run.spec_hash.clone(),
        image: status.image.as_ref().map(|image| image.resolved.clone()).unwrap_or_default(),
        image_on_node: ended.and_then(|ended| ended.image.clone()),
        packages: status
            .packages
            .iter()
            .map(|package| (package.name.clone(), package.resolved.clone()))
            .collect(),
        script_sha256: run.script_sha256.clone().or_else(|| inline.map(|text| sha256_hex(text.as_bytes()))),
        bundle_sha256: run.bundle_sha256.clone().filter(|_| present),
        template: status.template.as_ref().map(|template| TemplateRecord {
            kind: template.kind.as_str().to_owned(),
            name: template.name.clone(),
            uid: template.uid.clone(),
            generation: template.generation,
            sha256: template.sha256.clone(),
        }),
        variables: spec
            .map(|spec| spec.variables.iter().map(|variable| variable.name.clone()).collect())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::{
            Reason,
            status::{OutputsSecret, TemplateStatus},
        },
        operator::{
            lifecycle::verdict::Verdict,
            testing::objects::{self, UID},
        },
    };

    const OF: Of<'static> = Of { run: 1, attempt: 1, pod: "deploy-5f3c9a1b-1-1", pod_uid: "pod-1" };

    /// An action whose only run has ended, with all that could tell something.
    fn ended() -> DeploymentAction {
        let mut verdict = Verdict::of(Reason::ScriptFailed, "it failed");
        verdict.exit_code = Some(3);
        verdict.outputs = [("url".to_owned(), "the-output".to_owned())].into();
        let log = LogFact { state: LogState::Complete, lines: 7, bytes: 70, ..LogFact::default() };
        let mut action = objects::finished(&verdict, Some(&log));
        action.spec = serde_json::from_value(json!({
            "image": "registry.example.com/tools:1",
            "script": {"inline": "echo the-script"},
            "variables": [{"name": "PLAIN", "value": "the-value"}],
        }))
        .unwrap();
        let status = action.status.as_mut().unwrap();
        status.outputs_secret_ref =
            Some(OutputsSecret { keys: vec!["token".into()], ..OutputsSecret::default() });
        status.template =
            Some(TemplateStatus { name: "t".into(), generation: 4, ..TemplateStatus::default() });
        let run = status.run.as_mut().unwrap();
        run.bundle_sha256 = Some("b".repeat(64));
        run.attempts = vec![AttemptStatus {
            attempt: 1,
            reason: "ScriptFailed".into(),
            exit_code: Some(3),
            node_name: Some("node-1".into()),
            ..AttemptStatus::default()
        }];
        action
    }

    #[test]
    fn a_record_has_names_and_hashes_and_no_value() {
        let record = record(&ended(), &OF, None);
        let text = serde_json::to_string(&record).unwrap();
        for value in ["the-value", "the-script", "the-output", "it failed"] {
            assert!(!text.contains(value), "{value} is in {text}");
        }
        assert_eq!(record.executed.variables, ["PLAIN"]);
        assert_eq!(record.executed.script_sha256, Some(sha256_hex(b"echo the-script")));
        assert_eq!(record.executed.template.unwrap().generation, 4);
        assert_eq!(record.outputs["url"], sha256_hex(b"the-output"));
        assert_eq!(record.outputs["token"], "");
        assert_eq!((record.verdict.reason.as_str(), record.verdict.exit_code), ("ScriptFailed", Some(3)));
        assert_eq!((record.log.complete, record.log.lines), (true, 7));
        assert_eq!((record.action.uid.as_str(), record.pod.node.as_deref()), (UID, Some("node-1")));
    }

    #[test]
    fn of_a_spec_that_has_changed_since_nothing_is_said() {
        let mut action = ended();
        action.metadata.generation = Some(2);
        let record = record(&action, &OF, None);
        assert_eq!((record.executed.script_sha256, record.executed.variables.len()), (None, 0));
    }

    #[test]
    fn of_an_earlier_run_the_history_is_left() {
        let mut action = ended();
        let status = action.status.as_mut().unwrap();
        status.run.as_mut().unwrap().number = 2;
        status.history[0].attempts = 1;
        let log = LogFact { lines: 5, state: LogState::Complete, ..LogFact::default() };
        let record = record(&action, &OF, Some(&log));
        assert_eq!((record.run.number, record.verdict.reason.as_str()), (1, "ScriptFailed"));
        assert_eq!((record.log.lines, record.outputs.len()), (5, 0));
    }

    #[test]
    fn of_an_action_that_was_deleted_while_it_ran_the_record_says_so() {
        let mut action = ended();
        let status = action.status.as_mut().unwrap();
        status.run.as_mut().unwrap().attempts.clear();
        status.history.clear();
        assert_eq!(record(&action, &OF, None).verdict.reason, "ActionDeleted");
    }

    #[test]
    fn a_key_names_run_attempt_and_both_uids() {
        let key = key(&ended(), &OF).unwrap();
        assert_eq!(key.to_string(), format!("v1/logs/shop/{UID}/0000000001-01/pod-1"));
    }
}
