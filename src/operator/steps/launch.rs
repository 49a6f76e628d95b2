//! The steps that create pods: an attempt's, and the tombstone of one that was given up.

use k8s_openapi::api::core::v1::{LimitRange, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};

use crate::{
    api::{DeploymentAction, Reason, condition::ConditionType},
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        leadership::Term,
        lifecycle::{facts::Refusal, requests::Requests},
        pod::{
            attempt::{Attempt, PodDefaults},
            build, resolver,
            tombstone::{Owner, tombstone},
        },
        spec::validate::Checked,
    },
    record::quoted,
};

/// The most `LimitRange`s of a namespace that are read.
const MOST_LIMIT_RANGES: u32 = 20;

/// The result of a creation.
#[derive(Debug)]
pub enum Launched {
    /// The pod as the API server returned it.
    Created(Box<Pod>),
    /// Something has that name already.
    NameTaken,
    /// The live action no longer asks for this attempt. The cache will say why.
    NotWanted,
    /// This instance no longer leads. Nothing was sent.
    NotLeading,
    /// The API server certainly did not create it.
    Refused(Refusal),
    /// It is not known whether the API server created it.
    Unanswered(String),
}

/// Creates the pod of `attempt`. The action is read just before, and must still want this attempt from this
/// very process. Then this instance must still lead, which bounds how late the request is sent.
pub async fn launch(
    client: &Client,
    term: &Term,
    action: &Checked,
    attempt: &Attempt,
    defaults: &PodDefaults,
) -> Launched {
    let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), &action.namespace);
    match call(actions.get(&action.name)).await {
        Ok(live) if wants(&live, action, attempt) => {}
        Ok(_) => return Launched::NotWanted,
        Err(error) if error.code() == Some(404) => return Launched::NotWanted,
        // Nothing was sent.
        Err(error) => {
            return Launched::Refused(Refusal {
                reason: Reason::Launching,
                may_pass: true,
                message: format!("the action could not be read before its pod was created: {error}"),
            });
        }
    }
    let pod = build::action_pod(action, attempt, defaults);
    if term.holds() { create(client, &pod).await } else { Launched::NotLeading }
}

/// Creates the pod that resolves the image of this run.
pub async fn create_resolver(
    client: &Client,
    action: &Checked,
    run: u32,
    defaults: &PodDefaults,
) -> Launched {
    create(client, &resolver::resolver_pod(action, run, defaults)).await
}

/// Creates a tombstone.
pub async fn entomb(client: &Client, of: &Owner, run: u32, attempt: u32) -> Launched {
    create(client, &tombstone(of, run, attempt)).await
}

/// Whether the action as it is now, `live`, asks for this very attempt. Otherwise no pod is created.
#[must_use]
pub fn wants(live: &DeploymentAction, action: &Checked, attempt: &Attempt) -> bool {
    let status = live.status.as_ref();
    live.metadata.uid.as_deref() == Some(&action.uid)
        && live.metadata.deletion_timestamp.is_none()
        && status.is_some_and(|status| !status.conditions().is_true(ConditionType::Finished))
        && status.and_then(|status| status.run.as_ref()).is_some_and(|run| {
            (run.number, run.attempt) == (attempt.run, attempt.attempt)
                && run.bundle_sha256.as_deref() == Some(&attempt.bundle_sha256)
                && run.is_launched_by(&attempt.launcher)
                && run.held_lock().map(|lock| &lock.name) == attempt.lock.as_ref()
                && !run.is_launched_no_more()
                && run.cancel_requested_at.is_none()
                && run.superseded_at.is_none()
                && !Requests::of(live).cancels(run)
        })
}

async fn create(client: &Client, pod: &Pod) -> Launched {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match call(pods.create(&parameters, pod)).await {
        Ok(pod) => Launched::Created(Box::new(pod)),
        Err(error) => match refusal(&error) {
            Some(refusal) if is_of_limit_range(&refusal.message) => {
                let from = limit_ranges(client, namespace, &refusal.message).await;
                Launched::Refused(Refusal {
                    message: format!("{} ({from}: correct spec.resources)", refusal.message),
                    ..refusal
                })
            }
            Some(refusal) => Launched::Refused(refusal),
            None if is_name_taken(&error) => Launched::NameTaken,
            None => Launched::Unanswered(error.to_string()),
        },
    }
}

/// Names the `LimitRange`s of the namespace that ask for what the API server said, because the server names
/// none.
async fn limit_ranges(client: &Client, namespace: &str, said: &str) -> String {
    let ranges: Api<LimitRange> = Api::namespaced(client.clone(), namespace);
    let ranges = call(ranges.list(&ListParams::default().limit(MOST_LIMIT_RANGES))).await;
    // Without an answer, the message says that it is a `LimitRange`, but not which one.
    let ranges = ranges.map(|list| list.items).unwrap_or_default();
    let asks = |range: &&LimitRange| {
        range.spec.iter().flat_map(|spec| &spec.limits).any(|item| {
            let constraints = [
                ("maximum", " usage", &item.max),
                ("minimum", " usage", &item.min),
                ("", " max limit to request ratio", &item.max_limit_request_ratio),
            ];
            constraints.iter().any(|(which, what, amounts)| {
                amounts.iter().flatten().any(|(resource, amount)| {
                    let words = format!("{which} {resource}{what} per {} is {}", item.type_, amount.0);
                    said.contains(words.trim_start())
                })
            })
        })
    };
    let names: Vec<String> =
        ranges.iter().filter(asks).map(|range| format!("LimitRange {}", quoted(&range.name_any()))).collect();
    if names.is_empty() {
        format!("a LimitRange of namespace {namespace} asks for that; `kubectl get limitranges` shows them")
    } else {
        format!("{} of namespace {namespace} asks for that", names.join(", "))
    }
}

fn is_name_taken(error: &CallError) -> bool {
    matches!(error, CallError::Kube(kube::Error::Api(status)) if status.reason == "AlreadyExists")
}

/// Whether this is a refusal of the authorizer, which comes before admission.
fn is_no_right_of_ours(code: u16, message: &str) -> bool {
    code == 403 && message.contains("cannot create resource \"pods\"")
}

/// Whether a `LimitRange` refused the pod: plugin/pkg/admission/limitranger/admission.go.
fn is_of_limit_range(message: &str) -> bool {
    ["usage per", "max limit to request ratio per"]
        .iter()
        .flat_map(|what| ["Container", "Pod"].map(|of| format!("{what} {of} is ")))
        .any(|words| message.contains(&words))
}

/// Returns a definite refusal alone. A server that fails (5xx, 429) may have failed after the write. A proxy
/// that gave up waiting (408) knows nothing about the write either.
fn refusal(error: &CallError) -> Option<Refusal> {
    let CallError::Kube(kube::Error::Api(status)) = error else { return None };
    let message = status.message.clone();
    match status.code {
        // Admission comes before the write. A webhook that must answer and does not is a refusal.
        // apiserver/pkg/admission/plugin/webhook
        500 if message.contains("failed calling webhook") => {
            Some(Refusal { reason: Reason::PodRefused, may_pass: true, message })
        }
        429 | 500.. => None,
        409 if status.reason == "AlreadyExists" => None,
        // Quota: plugin/pkg/admission/resourcequota/controller.go; service accounts:
        // plugin/pkg/admission/serviceaccount/admission.go
        403 if message.contains("exceeded quota") || message.contains("status unknown for quota") => {
            Some(Refusal { reason: Reason::QuotaExceeded, may_pass: true, message })
        }
        403 if message.contains("error looking up service account")
            || message.contains("no API token found") =>
        {
            Some(Refusal { reason: Reason::ServiceAccountMissing, may_pass: true, message })
        }
        // plugin/pkg/admission/namespace/lifecycle/admission.go
        403 if message.contains("because it is being terminated") => {
            Some(Refusal { reason: Reason::NamespaceTerminating, may_pass: false, message })
        }
        // The pod itself was not judged. 409: somebody else changed the quota at the same moment. 401 and
        // 403: the server did not know us, or gave us no right:
        // apiserver/pkg/endpoints/handlers/responsewriters/errors.go
        code if matches!(code, 401 | 409) || is_no_right_of_ours(code, &message) => {
            Some(Refusal { reason: Reason::Launching, may_pass: true, message })
        }
        // A quota counts something that the pod does not set and that a LimitRange could add.
        403 if message.contains("failed quota") && message.contains("must specify") => {
            let message = format!("{message} (in spec.resources, or by a LimitRange's defaults)");
            Some(Refusal { reason: Reason::PodRefused, may_pass: false, message })
        }
        400 | 403 | 404 | 413 | 422 => Some(Refusal { reason: Reason::PodRefused, may_pass: false, message }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn error(code: u16, reason: &str, message: &str) -> CallError {
        CallError::Kube(kube::Error::Api(Box::new(Status::failure(message, reason).with_code(code))))
    }

    #[test]
    fn a_refusal_is_what_certainly_created_nothing() {
        let quota = refusal(&error(403, "Forbidden", "pods \"a\" is forbidden: exceeded quota: q")).unwrap();
        assert_eq!((quota.reason, quota.may_pass), (Reason::QuotaExceeded, true));
        let account = refusal(&error(403, "Forbidden", "error looking up service account shop/x")).unwrap();
        assert_eq!((account.reason, account.may_pass), (Reason::ServiceAccountMissing, true));
        let policy = refusal(&error(403, "Forbidden", "violates PodSecurity")).unwrap();
        assert_eq!((policy.reason, policy.may_pass), (Reason::PodRefused, false));
        let webhook = "Internal error occurred: failed calling webhook \"a.example.com\": no endpoints";
        let webhook = refusal(&error(500, "InternalError", webhook)).unwrap();
        assert_eq!((webhook.reason, webhook.may_pass), (Reason::PodRefused, true));
        let ending = "pods is forbidden: unable to create new content in namespace shop because it is being terminated";
        let ending = refusal(&error(403, "Forbidden", ending)).unwrap();
        assert_eq!((ending.reason, ending.may_pass), (Reason::NamespaceTerminating, false));
        let unknown = refusal(&error(401, "Unauthorized", "Unauthorized")).unwrap();
        assert_eq!((unknown.reason, unknown.may_pass), (Reason::Launching, true), "it knows us again soon");
        let right = "pods is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"pods\" in API group \"\" in the namespace \"shop\"";
        assert!(refusal(&error(403, "Forbidden", right)).unwrap().may_pass);
        for code in [400, 404, 413, 422] {
            assert!(!refusal(&error(code, "", "")).unwrap().may_pass, "{code}");
        }
        for (code, reason) in [
            (500, "InternalError"),
            (504, "Timeout"),
            (429, "TooManyRequests"),
            (409, "AlreadyExists"),
            (408, "RequestTimeout"),
            (499, "ClientClosedRequest"),
        ] {
            assert!(refusal(&error(code, reason, "")).is_none(), "{code}");
        }
        assert!(refusal(&CallError::TimedOut).is_none());
    }

    #[tokio::test]
    async fn a_limit_range_that_refuses_a_pod_is_named() {
        for (words, named) in [
            (
                "maximum memory usage per Container is 64Mi, but limit is 128Mi",
                "LimitRange \"small\" of namespace shop",
            ),
            ("[minimum cpu usage per Pod is 100m. No request is specified, x]", "LimitRange \"pods\" of"),
            (
                "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
                "\"small\"",
            ),
            ("maximum memory usage per Container is 1Gi, but limit is 2Gi", "`kubectl get limitranges`"),
        ] {
            let (client, _) = server(move |request| {
                if request.method == "POST" {
                    return failure(403, "Forbidden", &format!("pods \"a\" is forbidden: {words}"));
                }
                let range = |name: &str, limit: Value| json!({"metadata": {"name": name}, "spec": {"limits": [limit]}});
                (
                    200,
                    json!({"metadata": {}, "items": [
                        range("small", json!({
                            "type": "Container", "max": {"memory": "64Mi"}, "maxLimitRequestRatio": {"cpu": "2"},
                        })),
                        range("pods", json!({"type": "Pod", "min": {"cpu": "100m"}})),
                    ]}),
                )
            });
            let mut pod = Pod::default();
            pod.metadata.namespace = Some("shop".into());
            let Launched::Refused(refusal) = create(&client, &pod).await else { panic!("{words}") };
            assert_eq!((refusal.reason, refusal.may_pass), (Reason::PodRefused, false));
            for word in [words, named, "spec.resources"] {
                assert!(refusal.message.contains(word), "{}", refusal.message);
            }
        }
    }
}
