//! Finds the pod that has the log, or the log in the archive.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt};

use super::{refusal::Refusal, request::LogRequest, stored::Sought};
use crate::{
    api::{DeploymentAction, LABEL_ACTION_UID, Phase},
    operator::{
        call::{CallError, call},
        pod::{names::pod_name, view::PodView},
    },
};

/// An attempt of a run, and what the action says of it.
#[derive(Debug, PartialEq, Eq)]
struct Attempt {
    run: u32,
    number: u32,
    /// Whether the action no longer says how many attempts the run had.
    guessed: bool,
    /// The pod's UID, if the status has it.
    pod_uid: Option<String>,
    /// Whether its pod may still be created.
    to_come: bool,
}

/// Where a log is, or will be.
#[derive(Debug)]
pub(super) enum Found {
    /// In this pod.
    Pod(Box<PodView>),
    /// In no pod. The archive may have it. If it does not, this is the answer.
    Gone(Sought, Refusal),
    /// The script has not started. The sentence says so.
    NotYet(String),
}

/// The log of one action: of the one with this UID, and of no other with its name.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) action_uid: String,
    pub(super) found: Found,
}

/// Finds the log. With `uid`, the action must still be that one.
pub(super) async fn locate(
    client: &Client,
    request: &LogRequest,
    uid: Option<&str>,
) -> Result<Located, Refusal> {
    let LogRequest { namespace, name, .. } = request;
    let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), namespace);
    let action = call(actions.get_opt(name)).await.map_err(|error| unreadable(namespace, &error))?;
    let none = || {
        Refusal::not_found(format!(
            "there is no DeploymentAction {name:?} in {namespace:?}. Logs are read by a right on the action, so \
             the log of a deleted one cannot be read here, even if it is stored"
        ))
    };
    let action = action.ok_or_else(none)?;
    let action_uid = action.uid().ok_or_else(none)?;
    if uid.is_some_and(|uid| uid != action_uid) {
        return Err(none());
    }
    let has_run = action.status.as_ref().is_some_and(|status| status.run.is_some());
    let attempt = match (choose(&action, request), request.run) {
        (Ok(Ok(attempt)), _) => attempt,
        (Ok(Err(words)), _) => return Ok(Located { action_uid, found: Found::NotYet(words) }),
        // A status can be lost. The archive still knows the run.
        (Err(refusal), Some(run)) if !has_run => {
            let sought = Sought { run, attempt: request.attempt, pod_uid: None };
            return Ok(Located { action_uid, found: Found::Gone(sought, refusal) });
        }
        (Err(refusal), _) => return Err(refusal),
    };
    let pod = pod_name(name, &action_uid, attempt.run, attempt.number);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = call(pods.get_opt(&pod)).await.map_err(|error| unreadable(namespace, &error))?;
    let found = judge(name, &action_uid, &attempt, pod.as_ref());
    Ok(Located { action_uid, found })
}

fn unreadable(namespace: &str, error: &CallError) -> Refusal {
    if error.code() == Some(403) {
        return Refusal::not_found(format!(
            "this installation of Longshore does not serve the namespace {namespace:?}"
        ));
    }
    Refusal::unavailable("the API server does not show the action or its pod", error)
}

/// The attempt that is asked for, or a sentence that it is still to come.
fn choose(action: &DeploymentAction, request: &LogRequest) -> Result<Result<Attempt, String>, Refusal> {
    let name = &request.name;
    let status = action.status.as_ref();
    let Some(latest) = status.and_then(|status| status.run.as_ref()) else {
        if let Some(run) = request.run {
            return Err(Refusal::not_found(format!("{name} has no run {run}: it has not run yet")));
        }
        let waits = matches!(
            status.and_then(|status| status.phase),
            None | Some(Phase::Pending | Phase::Queued | Phase::Launching)
        );
        let words = format!("{name} has not run yet, so it has no log");
        return if waits { Ok(Err(words)) } else { Err(Refusal::not_found(words)) };
    };
    let run = request.run.unwrap_or(latest.number);
    if run > latest.number {
        return Err(Refusal::not_found(format!(
            "{name} has no run {run}: its latest run is {}",
            latest.number
        )));
    }
    if run < latest.number {
        let past = status.and_then(|status| status.history.iter().find(|past| past.number == run));
        if let (Some(attempt), Some(past)) = (request.attempt, past)
            && attempt > past.attempts
        {
            return Err(Refusal::not_found(format!(
                "run {run} of {name} has no attempt {attempt}: it had {}",
                past.attempts
            )));
        }
        let known = request.attempt.or(past.map(|past| past.attempts));
        let (attempt, guessed) = (known.unwrap_or(1), known.is_none());
        if attempt == 0 {
            return Err(Refusal::not_found(format!("run {run} of {name} ended before it had a pod")));
        }
        return Ok(Ok(Attempt { run, number: attempt, guessed, pod_uid: None, to_come: false }));
    }
    let attempt = request.attempt.unwrap_or(latest.attempt);
    if attempt > latest.attempt {
        return Err(Refusal::not_found(format!(
            "run {run} of {name} has no attempt {attempt}: its latest attempt is {}",
            latest.attempt
        )));
    }
    if attempt == 0 {
        let words = format!("run {run} of {name} has no pod yet");
        return if latest.finished_at.is_none() { Ok(Err(words)) } else { Err(Refusal::not_found(words)) };
    }
    let present = attempt == latest.attempt;
    let ended = latest.attempts.iter().find(|ended| ended.attempt == attempt);
    let pod_uid = match ended {
        Some(ended) => ended.pod_uid.clone(),
        None if present => latest.pod_uid.clone(),
        None => None,
    };
    let to_come = present && ended.is_none() && pod_uid.is_none() && latest.finished_at.is_none();
    Ok(Ok(Attempt { run, number: attempt, guessed: false, pod_uid, to_come }))
}

/// Whether this pod is the attempt's. Its name alone proves nothing: others can create pods too.
fn judge(name: &str, action_uid: &str, attempt: &Attempt, pod: Option<&Pod>) -> Found {
    let Attempt { run, number, guessed, pod_uid, to_come } = attempt;
    let of_action = |pod: &&Pod| pod.labels().get(LABEL_ACTION_UID).is_some_and(|uid| uid == action_uid);
    let view = pod.filter(of_action).map(PodView::of).filter(|view| {
        view.owner_uid.as_deref() == Some(action_uid)
            && view.attempt == Some((*run, *number))
            && !view.tombstone
            && pod_uid.as_ref().is_none_or(|uid| *uid == view.uid)
    });
    match view {
        Some(view) => Found::Pod(Box::new(view)),
        None if *to_come => Found::NotYet(format!("run {run}, attempt {number} of {name} has no pod yet")),
        None => Found::Gone(
            Sought { run: *run, attempt: (!guessed).then_some(*number), pod_uid: pod_uid.clone() },
            Refusal::gone(format!(
                "the log of run {run}, attempt {number} of {name} is gone: it was kept in a pod that no longer \
                 exists, and it is in no archive. spec.podRetentionSeconds says how long a pod is kept. An archive \
                 keeps logs for longer. status.log.tail has the end of the latest run's log"
            )),
        ),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use serde_json::{Value, from_value, json};

    use super::*;
    use crate::{
        api::{
            DeploymentActionStatus,
            status::{AttemptStatus, RunStatus, history::PastRun},
        },
        operator::{log_api::request::Asked, testing::objects::UID},
    };

    fn request(query: &str) -> LogRequest {
        let path = "/apis/log.longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy/log";
        let Asked::Log(request) = Asked::read(&Method::GET, path, query).unwrap() else { panic!() };
        request
    }

    fn action(change: impl FnOnce(&mut DeploymentActionStatus)) -> DeploymentAction {
        let mut action = crate::operator::testing::objects::action();
        let run = RunStatus {
            number: 3,
            attempt: 2,
            pod_uid: Some("pod-3-2".into()),
            attempts: vec![AttemptStatus {
                attempt: 1,
                pod_uid: Some("pod-3-1".into()),
                ..AttemptStatus::default()
            }],
            ..RunStatus::default()
        };
        let past = PastRun { number: 2, attempts: 4, ..PastRun::default() };
        let never = PastRun { number: 1, attempts: 0, ..PastRun::default() };
        let mut status = DeploymentActionStatus {
            run: Some(run),
            history: vec![past, never],
            ..DeploymentActionStatus::default()
        };
        change(&mut status);
        action.status = Some(status);
        action
    }

    fn chosen(action: &DeploymentAction, query: &str) -> (u32, u32, Option<String>, bool) {
        let Attempt { run, number: attempt, pod_uid, to_come, .. } =
            choose(action, &request(query)).unwrap().unwrap();
        (run, attempt, pod_uid, to_come)
    }

    #[test]
    fn the_latest_attempt_of_the_latest_run_is_the_default() {
        let action = action(|_| {});
        assert_eq!(chosen(&action, ""), (3, 2, Some("pod-3-2".into()), false));
        assert_eq!(chosen(&action, "attempt=1"), (3, 1, Some("pod-3-1".into()), false));
        assert_eq!(chosen(&action, "run=2"), (2, 4, None, false));
        assert_eq!(chosen(&action, "run=2&attempt=1"), (2, 1, None, false));
    }

    #[test]
    fn a_run_or_an_attempt_that_never_was_is_not_found() {
        let action = action(|_| {});
        for (query, words) in [
            ("run=4", "its latest run is 3"),
            ("attempt=3", "its latest attempt is 2"),
            ("run=2&attempt=5", "it had 4"),
            ("run=1", "before it had a pod"),
        ] {
            let refusal = choose(&action, &request(query)).unwrap_err();
            assert!(refusal.code == 404 && refusal.message.contains(words), "{query}: {}", refusal.message);
        }
    }

    #[test]
    fn a_run_that_is_asked_for_has_a_log_to_come() {
        let mut new = action(|status| *status = DeploymentActionStatus::default());
        assert!(choose(&new, &request("")).unwrap().is_err());
        assert_eq!(choose(&new, &request("run=1")).unwrap_err().code, StatusCode::NOT_FOUND);
        new.status = None;
        assert!(choose(&new, &request("")).unwrap().is_err());
        for phase in [Phase::Idle, Phase::Suspended] {
            let idle = action(|status| {
                *status = DeploymentActionStatus { phase: Some(phase), ..DeploymentActionStatus::default() };
            });
            assert_eq!(choose(&idle, &request("")).unwrap_err().code, StatusCode::NOT_FOUND);
        }
        let launching = |change: fn(&mut RunStatus)| {
            action(|status| {
                let run = status.run.as_mut().unwrap();
                run.pod_uid = None;
                change(run);
            })
        };
        assert_eq!(chosen(&launching(|_| {}), ""), (3, 2, None, true));
        let ended = launching(|run| run.finished_at = Some(Time(Timestamp::UNIX_EPOCH)));
        assert_eq!(chosen(&ended, ""), (3, 2, None, false));
        assert!(choose(&launching(|run| run.attempt = 0), &request("")).unwrap().is_err());
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({"metadata": {
            "name": "deploy-5f3c9a1b-3-2", "namespace": "shop", "uid": "pod-3-2",
            "labels": {
                "longshore.dev/action": "deploy", "longshore.dev/action-uid": UID, "longshore.dev/run": "3",
                "longshore.dev/attempt": "2",
            },
            "ownerReferences": [{
                "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "name": "deploy", "uid": UID,
                "controller": true,
            }],
        }});
        change(&mut pod);
        from_value(pod).unwrap()
    }

    fn attempt(pod_uid: Option<&str>, to_come: bool) -> Attempt {
        Attempt { run: 3, number: 2, guessed: false, pod_uid: pod_uid.map(str::to_owned), to_come }
    }

    #[test]
    fn only_the_attempt_s_own_pod_has_its_log() {
        let of = |pod: Option<&Pod>| judge("deploy", UID, &attempt(Some("pod-3-2"), false), pod);
        assert!(matches!(of(Some(&pod(|_| {}))), Found::Pod(view) if view.uid == "pod-3-2"));
        let others: [fn(&mut Value); 6] = [
            |pod| pod["metadata"]["uid"] = "another".into(),
            |pod| pod["metadata"]["labels"]["longshore.dev/action-uid"] = "predecessor".into(),
            |pod| pod["metadata"]["ownerReferences"][0]["uid"] = "predecessor".into(),
            |pod| pod["metadata"]["labels"]["longshore.dev/run"] = "2".into(),
            |pod| pod["metadata"]["labels"]["longshore.dev/tombstone"] = "true".into(),
            |pod| pod["metadata"]["labels"] = json!({}),
        ];
        for change in others {
            assert!(matches!(of(Some(&pod(change))), Found::Gone(..)));
        }
        // In the archive it is that of the same pod.
        let Found::Gone(sought, refusal) = of(None) else { panic!() };
        assert_eq!(sought, Sought { run: 3, attempt: Some(2), pod_uid: Some("pod-3-2".into()) });
        assert_eq!(refusal.code, StatusCode::GONE);
        assert!(refusal.message.contains("podRetentionSeconds"), "{}", refusal.message);
    }

    #[test]
    fn a_pod_that_may_still_come_is_waited_for() {
        assert!(matches!(judge("deploy", UID, &attempt(None, true), None), Found::NotYet(_)));
        assert!(matches!(judge("deploy", UID, &attempt(None, false), None), Found::Gone(..)));
    }

    #[test]
    fn of_a_run_that_the_status_has_forgotten_the_last_stored_attempt_is_sought() {
        let forgotten = action(|status| status.history.clear());
        let sought = |query: &str| {
            let attempt = choose(&forgotten, &request(query)).unwrap().unwrap();
            let Found::Gone(sought, _) = judge("deploy", UID, &attempt, None) else { panic!() };
            (sought.run, sought.attempt)
        };
        assert_eq!(sought("run=2"), (2, None));
        assert_eq!(sought("run=2&attempt=3"), (2, Some(3)));
    }
}
