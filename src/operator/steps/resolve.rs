//! The step that finds out what a run executes: the hash of a script in a `ConfigMap`, the packages, and the
//! digest that the image's tag names now.
//!
//! A registry is asked anonymously, then with the chart's credentials, then with those that the namespace
//! lets the operator read. After a refusal the next are tried. If all are refused, a node is asked.

mod asking;
pub(in crate::operator) mod jobs;
mod packages;

use k8s_openapi::{api::core::v1::ConfigMap, jiff::SignedDuration};
use kube::{Api, Client};

pub(crate) use self::asking::Sources;
use self::asking::{Problem, TRIES, later, reason};
use super::pull_secrets::{self, Found};
use crate::{
    api::{Reason, history::PastRun},
    operator::{
        call::call,
        lifecycle::facts::Resolution,
        spec::{script_source::script_sha256, validate::Checked},
    },
    record::quoted,
    registry::{Asker, ResolveError, ResolvedImage},
};

/// Resolves script, packages and image of `action`. `failures` counts the failures of this run so far. A
/// package that the run `again` deployed keeps its digest. Also returns how long the registry asked to be
/// left alone.
pub(crate) async fn resolve(
    sources: &Sources<'_>,
    action: &Checked,
    again: Option<&PastRun>,
    failures: u32,
) -> (Resolution, Option<SignedDuration>) {
    let script_sha256 = match script(sources.client, action).await {
        Ok(sha256) => sha256,
        Err(message) => return (Resolution::Failed { reason: Reason::ConfigMapMissing, message }, None),
    };
    let packages = match packages::packages(sources, action, again, failures).await {
        Ok(packages) => packages,
        Err(problem) => return problem.resolution(Vec::new(), script_sha256),
    };
    match image(sources, action, failures).await {
        Ok(image) => {
            let resolved = Resolution::Resolved {
                pinned: action.image.pinned(&image.digest),
                platform_digest: image.platform_digest,
                config_digest: image.config_digest,
                user: image.user,
                packages,
                script_sha256,
            };
            (resolved, None)
        }
        Err(problem) => problem.resolution(packages, script_sha256),
    }
}

/// SHA-256 of the script that its `ConfigMap` has now.
async fn script(client: &Client, action: &Checked) -> Result<Option<String>, String> {
    let Some(from) = action.script_ref() else { return Ok(None) };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &action.namespace);
    let map = match call(maps.get_opt(&from.name)).await {
        Ok(Some(map)) => map,
        Ok(None) => {
            return Err(format!("spec.script.configMapKeyRef: there is no ConfigMap {}", quoted(&from.name)));
        }
        Err(error) => {
            return Err(format!("spec.script.configMapKeyRef: ConfigMap {}: {error}", quoted(&from.name)));
        }
    };
    script_sha256(&map, &from.key).map(Some).ok_or_else(|| {
        format!(
            "spec.script.configMapKeyRef: ConfigMap {} has no key {}",
            quoted(&from.name),
            quoted(&from.key)
        )
    })
}

async fn image(sources: &Sources<'_>, action: &Checked, failures: u32) -> Result<ResolvedImage, Problem> {
    let mut asked = Asked { sources, action, failures, refused: Vec::new(), unread: None };
    if let Some(answer) = asked.ask(&Asker::anonymous()).await {
        return answer;
    }
    let mut notes = Vec::new();
    let operators = pull_secrets::of_operator(sources.credentials_file).await;
    if let Some(answer) = asked.ask_all(operators, &mut notes).await {
        return answer;
    }
    let granted = pull_secrets::of_namespace(sources.client, action, &action.image).await;
    if let Some(answer) = asked.ask_all(granted, &mut notes).await {
        return answer;
    }
    asked.refused_by_all(&notes)
}

/// The registry's answers so far.
struct Asked<'a> {
    sources: &'a Sources<'a>,
    action: &'a Checked,
    failures: u32,
    refused: Vec<ResolveError>,
    /// The image with a given digest, if nothing else about it could be read.
    unread: Option<ResolvedImage>,
}

impl Asked<'_> {
    async fn ask_all(
        &mut self,
        found: Found,
        notes: &mut Vec<String>,
    ) -> Option<Result<ResolvedImage, Problem>> {
        notes.extend(found.notes);
        for asker in found.keyring.askers(&self.action.image) {
            if let Some(answer) = self.ask(asker).await {
                return Some(answer);
            }
        }
        None
    }

    /// `None` if other credentials may get a better answer.
    async fn ask(&mut self, asker: &Asker) -> Option<Result<ResolvedImage, Problem>> {
        let Sources { registry, platform, .. } = self.sources;
        match registry.resolve(&self.action.image, platform, asker).await {
            Ok(image) => match image.unread.clone() {
                Some(error) if error.may_help_to_ask_as_another() => {
                    self.unread = Some(image);
                    None
                }
                Some(error) if error.is_transient() && self.failures < TRIES => Some(Err(later(&error))),
                _ => Some(Ok(image)),
            },
            Err(error) if error.may_help_to_ask_as_another() => {
                self.refused.push(error);
                None
            }
            Err(error) if error.is_transient() && self.failures >= TRIES => {
                Some(Err(Problem::AskNode(reason(&error), error.to_string())))
            }
            Err(error) if error.is_transient() => Some(Err(later(&error))),
            Err(error) => Some(Err(Problem::Never(reason(&error), error.to_string()))),
        }
    }

    fn refused_by_all(mut self, notes: &[String]) -> Result<ResolvedImage, Problem> {
        if let Some(image) = self.unread.take() {
            // The digest is known. The node may be able to pull it.
            return Ok(image);
        }
        let denied = |error: &&ResolveError| matches!(error, ResolveError::Denied { .. });
        let limited = |error: &&ResolveError| matches!(error, ResolveError::RateLimited { .. });
        let absent = |error: &&ResolveError| matches!(error, ResolveError::NotFound { .. });
        // "Not found" for the last credentials counts most: they were let in, and the others were refused.
        let last = self
            .refused
            .last()
            .filter(absent)
            .or_else(|| self.refused.iter().rfind(denied))
            .or_else(|| self.refused.iter().rfind(limited));
        let Some(error) = last.or_else(|| self.refused.last()) else {
            return Err(Problem::Never(Reason::ImageDenied, "nobody was asked".to_owned()));
        };
        let message = [&[error.to_string()][..], notes].concat().join("; ");
        Err(match error {
            ResolveError::Denied { .. } => Problem::AskNode(reason(error), message),
            error if error.is_transient() => later(error),
            error => Problem::Never(reason(error), message),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        operator::{
            spec::validate::validate,
            testing::{objects::action, server::server},
        },
        registry::{Platform, Registry, RegistryConfig},
    };

    #[tokio::test]
    async fn a_near_registry_ends_the_run_and_nobody_is_asked() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (client, seen) = server(|_| (500, json!({})));
        let registry = Registry::new(RegistryConfig::default()).unwrap();
        let platform = Platform::linux("amd64");
        let sources = Sources {
            client: &client,
            registry: &registry,
            credentials_file: None,
            platform: &platform,
            package_limit_bytes: 1,
        };
        let mut action = action();
        for image in ["127.1:8080/x:1".to_owned(), format!("localhost:8080/x@sha256:{}", "0".repeat(64))] {
            action.spec.image = Some(image);
            let checked = validate(&action, "amd64").unwrap();
            for failures in [0, TRIES] {
                let (resolution, pause) = resolve(&sources, &checked, None, failures).await;
                let Resolution::Refused { reason, message } = resolution else { panic!("{resolution:?}") };
                assert_eq!((reason, pause), (Reason::RegistryUnavailable, None));
                assert!(message.contains("the operator opens no connections"), "{message}");
            }
        }
        assert!(seen.lock().unwrap().is_empty());
    }
}
