//! Whether a caller may read a log.

use axum::http::StatusCode;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

use super::{front_proxy::Caller, refusal::Refusal, request::LogRequest};
use crate::{api::LOG_GROUP, operator::call::call};

/// Asks the API server's authorizer whether the caller may `get` `deploymentactions/log` of this API's group. Each
/// request asks anew, so a right that is taken away counts at once. The API server asks the same before it passes a
/// request on, so no other right would be enough.
pub(super) async fn check(client: &Client, caller: &Caller, request: &LogRequest) -> Result<(), Refusal> {
    let attributes = ResourceAttributes {
        namespace: Some(request.namespace.clone()),
        verb: Some("get".to_owned()),
        group: Some(LOG_GROUP.to_owned()),
        resource: Some("deploymentactions".to_owned()),
        subresource: Some("log".to_owned()),
        name: Some(request.name.clone()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec { resource_attributes: Some(attributes), ..caller.subject() },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = call(api.create(&PostParams::default(), &review))
        .await
        .map_err(|error| Refusal::unavailable("the API server does not say who may read logs", &error))?;
    let status = answer.status.unwrap_or_default();
    if status.allowed && !status.denied.unwrap_or_default() {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        format!(
            "deploymentactions.{LOG_GROUP} {:?} is forbidden: user {:?} cannot get resource \
             \"deploymentactions/log\" in API group {LOG_GROUP:?} in the namespace {:?}",
            request.name, caller.user, request.namespace
        ),
    ))
}
