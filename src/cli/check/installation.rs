//! Whether Longshore is installed and works.

use std::fmt::Debug;

use http::Request;
use k8s_openapi::{
    api::{
        admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
        apps::v1::Deployment,
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use semver::Version;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::finding::{Finding, Verdict};
use crate::{
    api::{
        DeploymentAction, GROUP, LOG_GROUP, LOG_VERSION,
        policy::{self, BINDING, POLICY, fault},
    },
    cli::{
        connect::Session,
        error::CliError,
        right::Right,
        view::{duration::short, summary::at},
    },
};

/// How long an operator may leave an action alone.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// How many actions are looked at if the operator itself may not be seen.
const MOST_ACTIONS: u32 = 100;
/// The version of the plugin.
pub(in crate::cli) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn findings(session: &Session) -> Result<Vec<Finding>, CliError> {
    let kinds = kinds(session).await?;
    if kinds.verdict != Verdict::Ok {
        return Ok(vec![kinds]);
    }
    let (operator, policies, logs) =
        futures::join!(operator(session), policies(session), log_server(session));
    let mut findings = vec![kinds];
    findings.extend(operator?);
    findings.push(policies?);
    findings.push(logs?);
    Ok(findings)
}

/// An answer to a path that everyone who is logged in may read.
async fn discovered(session: &Session, path: &str) -> Result<Option<Value>, CliError> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| CliError::Failed(error.to_string()))?;
    match session.client.request::<Value>(request).await {
        Ok(answer) => Ok(Some(answer)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn kinds(session: &Session) -> Result<Finding, CliError> {
    const NEEDED: [&str; 4] = [
        "deploymentactions",
        "deploymentactiontemplates",
        "clusterdeploymentactiontemplates",
        "actionpolicies",
    ];
    let install = "helm upgrade --install longshore charts/longshore --namespace longshore-system --create-namespace --wait\nneeds the rights of the cluster's administrators: docs/guides/operations.md";
    let Some(served) = discovered(session, &format!("/apis/{GROUP}/v1alpha1")).await? else {
        return Ok(
            Finding::new("kinds", Verdict::Bad, "Longshore is not installed in this cluster").next(install)
        );
    };
    let has = |name: &str| {
        served["resources"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name))
    };
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !has(name)).collect();
    Ok(if missing.is_empty() {
        Finding::new("kinds", Verdict::Ok, format!("{GROUP}/v1alpha1"))
    } else {
        Finding::new("kinds", Verdict::Bad, format!("missing: {}", missing.join(", "))).next(install)
    })
}

/// The operator's Deployments, if they may be read.
pub(in crate::cli) async fn deployments(session: &Session) -> Result<Option<Vec<Deployment>>, CliError> {
    let all: Api<Deployment> = Api::all(session.client.clone());
    let ours = ListParams::default().labels("app.kubernetes.io/name=longshore");
    match all.list(&ours).await.map_err(CliError::from) {
        Ok(list) => Ok(Some(list.items)),
        Err(CliError::Forbidden(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The version that a Deployment's label tells.
pub(in crate::cli) fn version(of: &Deployment) -> Option<&str> {
    of.labels().get("app.kubernetes.io/version").map(String::as_str)
}

async fn operator(session: &Session) -> Result<Vec<Finding>, CliError> {
    match deployments(session).await?.as_deref() {
        None => Ok(vec![by_its_work(session).await?]),
        Some([]) => Ok(vec![
            Finding::new(
                "operator",
                Verdict::Bad,
                "no Deployment has the label app.kubernetes.io/name=longshore",
            )
            .next(
                "helm list -A shows whether Longshore is installed; helm upgrade installs its operator again",
            ),
        ]),
        Some([one]) => Ok(vec![ready(one), fits(one)]),
        Some(several) => {
            let names: Vec<String> = several.iter().map(place).collect();
            Ok(vec![
                Finding::new("operator", Verdict::Note, format!("there are several: {}", names.join(", ")))
                    .next("two operators work on the same actions: uninstall one of them"),
            ])
        }
    }
}

fn place(of: &Deployment) -> String {
    format!("{}/{}", of.namespace().unwrap_or_default(), of.name_any())
}

fn ready(of: &Deployment) -> Finding {
    let wanted = of.spec.replicas.unwrap_or(1);
    let ready = of.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let told = format!("{}, {ready} of {wanted} pods ready", place(of));
    if ready > 0 {
        return Finding::new("operator", Verdict::Ok, told);
    }
    Finding::new("operator", Verdict::Bad, told).next(format!(
        "kubectl describe pods -n {} -l app.kubernetes.io/name=longshore says why",
        of.namespace().unwrap_or_default()
    ))
}

fn fits(of: &Deployment) -> Finding {
    let told = version(of).unwrap_or_default();
    let (Ok(theirs), Ok(ours)) = (Version::parse(told), Version::parse(VERSION)) else {
        return Finding::new(
            "versions",
            Verdict::Unknown,
            format!("the operator's Deployment tells {told:?}"),
        );
    };
    if (theirs.major, theirs.minor) == (ours.major, ours.minor) {
        return Finding::new("versions", Verdict::Ok, format!("plugin {ours}, operator {theirs}"));
    }
    let older = if theirs < ours { "the operator is older" } else { "the plugin is older" };
    Finding::new("versions", Verdict::Note, format!("plugin {ours}, operator {theirs}"))
        .next(format!("{older}, so one may not know what the other tells: use the same version"))
}

/// Whether the operator works, judged by the actions here.
async fn by_its_work(session: &Session) -> Result<Finding, CliError> {
    let page = ListParams::default().limit(MOST_ACTIONS);
    let actions = match session.actions().list(&page).await.map_err(CliError::from) {
        Ok(list) => list.items,
        Err(CliError::Forbidden(_)) => Vec::new(),
        Err(other) => return Err(other),
    };
    Ok(judged(&actions, &session.namespace, Timestamp::now()))
}

pub(super) fn judged(actions: &[DeploymentAction], namespace: &str, now: Timestamp) -> Finding {
    let hidden = "you may not list Deployments of the cluster";
    let unseen = actions.iter().filter(|action| {
        let seen = action.status.as_ref().and_then(|status| status.observed_generation);
        seen < action.metadata.generation
    });
    // Nothing tells when a spec was changed, but each write of it is among the managers.
    let waits = |action: &DeploymentAction| {
        let managers = action.metadata.managed_fields.iter().flatten();
        let written =
            managers.filter(|entry| entry.subresource.is_none()).filter_map(|entry| at(entry.time.as_ref()));
        let written = written.max().or_else(|| at(action.metadata.creation_timestamp.as_ref()))?;
        Some((now.duration_since(written), action.name_any()))
    };
    match unseen.filter_map(waits).max() {
        Some((waited, name)) if waited > SEEN_WITHIN => Finding::new(
            "operator",
            Verdict::Bad,
            format!("it has not looked at {name} for {}; {hidden}", short(waited)),
        )
        .next("ask the people who run Longshore: the operator is down, or does not serve this namespace (watchNamespaces of the chart)"),
        _ if actions.is_empty() => {
            Finding::new("operator", Verdict::Unknown, format!("{hidden}, and {namespace} has no actions to judge by"))
        }
        _ => Finding::new("operator", Verdict::Ok, format!("it has seen all actions of {namespace}; {hidden}")),
    }
}

/// Whether the policies stand without which no action that names anything runs.
async fn policies(session: &Session) -> Result<Finding, CliError> {
    let mut faults = Vec::new();
    for (name, expected) in policy::use_policies() {
        let binding = policy::binding(name);
        let (of, with) = futures::join!(
            compared::<ValidatingAdmissionPolicy>(session, (name, POLICY), &expected),
            compared::<ValidatingAdmissionPolicyBinding>(session, (name, BINDING), &binding),
        );
        match (of, with) {
            (Ok(of), Ok(with)) => faults.extend([of, with].into_iter().flatten()),
            (Err(CliError::Forbidden(_)), _) | (_, Err(CliError::Forbidden(_))) => {
                let right =
                    Right::new("get", "admissionregistration.k8s.io", "validatingadmissionpolicies", None);
                let told = format!("you may not {right}; the operator checks it before each run");
                return Ok(Finding::new("policies", Verdict::Unknown, told));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }
    }
    Ok(if faults.is_empty() {
        Finding::new("policies", Verdict::Ok, "those on what actions may name stand as installed")
    } else {
        Finding::new("policies", Verdict::Bad, faults.join("; ")).next(
            "actions that name anything do not start (PolicyMissing)\nhelm upgrade restores the policies; if the versions differ, use the same",
        )
    })
}

async fn compared<K>(
    session: &Session,
    of: (&str, &str),
    expected: &Value,
) -> Result<Option<String>, CliError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::all(session.client.clone());
    let live = api.get_opt(of.0).await?;
    Ok(fault(of, expected, live.as_ref()))
}

async fn log_server(session: &Session) -> Result<Finding, CliError> {
    match discovered(session, &format!("/apis/{LOG_GROUP}/{LOG_VERSION}")).await {
        Ok(Some(_)) => Ok(Finding::new("log server", Verdict::Ok, "serves logs by the right on the action")),
        Ok(None) => Ok(Finding::new(
            "log server",
            Verdict::Note,
            "not installed: to read logs you need the right on pods/log",
        )),
        Err(error @ (CliError::Unreachable { .. } | CliError::Unauthorized(_))) => Err(error),
        Err(error) => Ok(Finding::new("log server", Verdict::Note, format!("does not answer: {error}"))
            .next("logs are read from pods meanwhile; kubectl get apiservice v1alpha1.log.longshore.dev says why")),
    }
}
