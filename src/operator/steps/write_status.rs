//! The step that writes a status. It fails if the action was changed since it was read.

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt, api::PostParams};
use tracing::warn;

use crate::{
    api::{DeploymentAction, DeploymentActionStatus},
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        lifecycle::smaller_status::Without,
    },
};

/// Writes `status` onto `action`, and returns the action as it is then. If the API server refuses the status
/// for its content, a smaller one is written, down to the verdict alone.
///
/// # Errors
/// The API server's. 409 if the action was changed since it was read.
pub(crate) async fn write_status(
    client: &Client,
    action: &DeploymentAction,
    status: &DeploymentActionStatus,
) -> Result<DeploymentAction, CallError> {
    if action.metadata.resource_version.is_none() {
        // A stand-in must never take the place of an action.
        return Err(CallError::Partial);
    }
    let mut steps = Without::STEPS.into_iter();
    let mut wanted = status.clone();
    loop {
        // Boxed: a status takes some kilobytes, and so does an action.
        let error = match Box::pin(replace(client, action, wanted.clone())).await {
            Err(error) if error.is_about_content() => error,
            result => return result,
        };
        let smaller = steps.by_ref().find_map(|without| {
            let smaller = without.of(status, &error.to_string(), Timestamp::now());
            // If it has nothing that this step leaves out, the next step may help.
            (smaller != wanted).then_some((without, smaller))
        });
        let Some((without, smaller)) = smaller else { return Err(error) };
        warn!(%error, "the status was refused: written without {}", without.words());
        wanted = smaller;
    }
}

async fn replace(
    client: &Client,
    action: &DeploymentAction,
    status: DeploymentActionStatus,
) -> Result<DeploymentAction, CallError> {
    let actions: Api<DeploymentAction> =
        Api::namespaced(client.clone(), action.metadata.namespace.as_deref().unwrap_or_default());
    let mut wanted = action.clone();
    wanted.status = Some(status);
    // The cache has pruned it, and a request must not set it.
    wanted.metadata.managed_fields = None;
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    call(actions.replace_status(&action.name_any(), &parameters, &wanted)).await
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        api::{Phase, Reason, history::PastRun, status::RunStatus},
        operator::{
            lifecycle::{facts::LogFact, requests::Requests, status::terminal, verdict::Verdict},
            testing::{
                objects::action,
                server::{failure, server},
            },
        },
    };

    fn verdict() -> DeploymentActionStatus {
        let mut action = action();
        let before = action.status.get_or_insert_default();
        before.history = (1..5).map(|number| PastRun { number, ..PastRun::default() }).collect();
        let mut verdict = Verdict::of(Reason::ScriptFailed, "x".repeat(1000));
        verdict.outputs = [("url".to_owned(), "u".repeat(1000))].into();
        let log = LogFact { tail: "t".repeat(1000), ..LogFact::default() };
        let run = RunStatus { number: 5, ..RunStatus::default() };
        terminal(&Requests::of(&action), Timestamp::UNIX_EPOCH, &verdict, run, None, Some(&log))
    }

    /// Writes [`verdict`] to a server that gives these answers one after the other, and then stores what it
    /// gets. Returns the result, and the statuses that the server got.
    async fn written(answers: &[(u16, Value)]) -> (Result<DeploymentAction, CallError>, Vec<Value>) {
        let left = std::sync::Arc::new(std::sync::Mutex::new(answers.to_vec()));
        let (client, seen) = server(move |request| {
            let mut left = left.lock().unwrap();
            if left.is_empty() { (200, request.body.clone()) } else { left.remove(0) }
        });
        let result = write_status(&client, &action(), &verdict()).await;
        let sent = seen.lock().unwrap().iter().map(|seen| seen.body["status"].clone()).collect();
        (result, sent)
    }

    /// The messages of an API server of 1.37. The last three answer objects of 1.8, 2.2 and 3.3 MB.
    fn refusals() -> Vec<(u16, Value)> {
        vec![
            failure(422, "Invalid", "status.outputs: Too long"),
            failure(400, "BadRequest", "admission webhook \"a.example.com\" denied the request"),
            failure(500, "", "etcdserver: request is too large"),
            failure(
                500,
                "",
                "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2246569 vs. 2097152)",
            ),
            failure(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
        ]
    }

    #[tokio::test]
    async fn a_status_that_is_never_stored_becomes_smaller_until_one_is() {
        for refusal in refusals() {
            for refused in 0..=3 {
                let (result, sent) = Box::pin(written(&vec![refusal.clone(); refused])).await;
                let stored = result.unwrap().status.unwrap();
                assert_eq!(sent.len(), refused + 1, "{refusal:?}");
                let has = |status: &Value| {
                    let tail = status["log"]["tail"].as_str().unwrap_or_default();
                    (
                        !status["outputs"].is_null(),
                        !tail.is_empty(),
                        status["history"].as_array().map(Vec::len),
                    )
                };
                let wanted = match refused {
                    0 => (true, true, Some(5)),
                    1 => (false, false, Some(5)),
                    _ => (false, false, Some(1)),
                };
                assert_eq!(has(&sent[refused]), wanted, "{refusal:?}");
                // Each of them contains the verdict.
                assert_eq!(stored.phase, Some(Phase::Failed));
                let kind = crate::api::ConditionType::OutputsLost;
                assert_eq!(stored.conditions().is_true(kind), refused == 1 || refused == 2);
                let lengths = sent.iter().map(|status| status.to_string().len());
                assert!(lengths.is_sorted_by(|larger, smaller| larger > smaller), "{refusal:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_may_pass_costs_nothing_of_the_status() {
        for answer in [
            failure(500, "InternalError", "etcdserver: request timed out"),
            failure(500, "InternalError", "etcdserver: leader changed"),
            failure(500, "InternalError", "rpc error: code = Unavailable desc = context deadline exceeded"),
            failure(
                429,
                "TooManyRequests",
                "rpc error: code = ResourceExhausted desc = etcdserver: too many requests",
            ),
            failure(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
            failure(504, "Timeout", "Timeout: request did not complete within requested timeout"),
            failure(401, "Unauthorized", "Unauthorized"),
            failure(403, "Forbidden", "deploymentactions is forbidden"),
            failure(409, "Conflict", "the object has been modified"),
            failure(404, "NotFound", "not found"),
        ] {
            let (result, sent) = Box::pin(written(std::slice::from_ref(&answer))).await;
            assert_eq!(result.unwrap_err().code(), Some(answer.0));
            assert_eq!(sent.len(), 1, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn where_not_even_the_verdict_is_stored_the_error_is_told() {
        for refusal in refusals() {
            let (result, sent) = Box::pin(written(&vec![refusal.clone(); 4])).await;
            assert!(result.unwrap_err().is_about_content());
            assert_eq!(sent.len(), 4);
        }
    }
}
