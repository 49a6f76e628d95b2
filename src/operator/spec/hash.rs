//! The hash of what is executed. It shows whether a change of the spec changes that.
//!
//! The hash covers a fixed list of fields, leaves out unset and default values, and carries a version. A new
//! default in the resource's definition shows in stored objects at once, with the same generation. With a
//! hash over the whole spec, such an upgrade would run everybody's deployments again. A hash of an older
//! version is compared with one that is computed in the same old way.

mod same;

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{HostAlias, PodSecurityContext, SecurityContext, VolumeMount};
use serde::Serialize;

use crate::{
    api::{
        action::{
            DeploymentActionSpec, LogStreams, PodTemplate, RunPolicy, Script, ScriptRef, SecurityProfile,
            ValueFrom, Variable, VariableForm, VariablesFrom, Volume,
        },
        packages::Package,
    },
    record::sha256_hex,
};

/// The version of the list of fields below, and of what counts as the same.
const VERSION: &str = "v2:";
/// The older version, in which writing out a default counted as a change.
const LITERAL: &str = "v1:";

/// A pod template that asks for nothing.
static NOTHING: LazyLock<PodTemplate> = LazyLock::new(PodTemplate::default);

/// Everything that is executed. It leaves out where and how long that runs, and what is kept of it. The hash
/// depends on the order of fields and on their names: change them only together with [`VERSION`].
#[derive(Serialize)]
struct Executed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<ExecutedScript<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a [String]>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    args: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variables: Vec<ExecutedVariable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account: Option<&'a str>,
    #[serde(skip_serializing_if = "<[VariablesFrom]>::is_empty")]
    variables_from: &'a [VariablesFrom],
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<SecurityProfile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_security: Option<&'a PodSecurityContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_security: Option<&'a SecurityContext>,
    #[serde(skip_serializing_if = "<[HostAlias]>::is_empty")]
    host_aliases: &'a [HostAlias],
    #[serde(skip_serializing_if = "<[Volume]>::is_empty")]
    volumes: &'a [Volume],
    #[serde(skip_serializing_if = "<[VolumeMount]>::is_empty")]
    volume_mounts: &'a [VolumeMount],
    /// The template's name, and not its spec: changing a template starts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<ExecutedTemplate<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<ExecutedParameter<'a>>,
    #[serde(skip_serializing_if = "<[Package]>::is_empty")]
    packages: &'a [Package],
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<&'a str>,
}

#[derive(Serialize)]
struct ExecutedTemplate<'a> {
    kind: &'static str,
    name: &'a str,
}

#[derive(Serialize)]
struct ExecutedParameter<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a ValueFrom>,
}

#[derive(Serialize)]
struct ExecutedScript<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    inline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_map: Option<&'a ScriptRef>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    interpreter: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<&'a str>,
}

#[derive(Serialize)]
struct ExecutedVariable<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a ValueFrom>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    file: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

/// The hash of what `spec` executes, with its version in front.
///
/// # Errors
/// Never for these types; the signature is serde's.
pub fn spec_hash(spec: &DeploymentActionSpec) -> Result<String, serde_json::Error> {
    meant(executed(spec))
}

/// The hash of what `value` means, however it is written.
fn meant(value: impl Serialize) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    same::plain(&mut value);
    Ok(format!("{VERSION}{}", sha256_hex(&serde_json::to_vec(&value)?)))
}

/// Whether [`is_of`] knows the hash's version.
#[must_use]
pub fn is_known(hash: &str) -> bool {
    is_current(hash) || hash.starts_with(LITERAL)
}

/// Whether the hash has the present version, so that it can be compared with a new one.
#[must_use]
pub fn is_current(hash: &str) -> bool {
    hash.starts_with(VERSION)
}

/// Whether `spec` executes what the hash stands for, by the hash's version. `None` if the version is not
/// known.
#[must_use]
pub fn is_of(hash: &str, spec: &DeploymentActionSpec) -> Option<bool> {
    let now = if is_current(hash) {
        spec_hash(spec)
    } else if hash.starts_with(LITERAL) {
        serde_json::to_vec(&executed(spec)).map(|text| format!("{LITERAL}{}", sha256_hex(&text)))
    } else {
        return None;
    };
    now.ok().map(|now| now == hash)
}

/// The hash of everything that affects a run, executed or not: deadlines, resources, placement, outputs,
/// retries, the lock. After a run that failed, changing one of these is meant to repair the failure.
///
/// # Errors
/// As for [`spec_hash`].
pub fn settings_hash(spec: &DeploymentActionSpec) -> Result<String, serde_json::Error> {
    let mut bearing = DeploymentActionSpec {
        run_policy: RunPolicy::default(),
        run_token: None,
        suspend: None,
        ttl_seconds_after_finished: None,
        pod_retention_seconds: 0,
        // Writing out the default is no change.
        log: spec.log.clone().filter(|log| log.streams() != LogStreams::default()),
        ..spec.clone()
    };
    for variable in &mut bearing.variables {
        variable.mode = variable.mode.filter(|mode| *mode != Variable::MODE);
    }
    meant(bearing)
}

fn executed(spec: &DeploymentActionSpec) -> Executed<'_> {
    // Every field is named here, so that a new one cannot be forgotten.
    let DeploymentActionSpec {
        template_ref,
        parameters,
        image,
        script,
        command,
        args,
        variables,
        variables_from,
        service_account_name,
        pod_template,
        packages,
        working_dir,
        log: _,
        image_pull_secrets: _,
        outputs: _,
        run_deadline_seconds: _,
        pending_deadline_seconds: _,
        termination_grace_period_seconds: _,
        pod_retention_seconds: _,
        resources: _,
        run_policy: _,
        run_token: _,
        retry: _,
        suspend: _,
        lock: _,
        ttl_seconds_after_finished: _,
    } = spec;
    let PodTemplate {
        security_profile,
        security_context,
        container_security_context,
        host_aliases,
        volumes,
        volume_mounts,
        metadata: _,
        node_selector: _,
        tolerations: _,
        affinity: _,
        priority_class_name: _,
        runtime_class_name: _,
    } = pod_template.as_ref().unwrap_or(&NOTHING);
    Executed {
        image: image.as_deref(),
        script: script.as_ref().map(|Script { inline, config_map_key_ref, interpreter, file_name }| {
            ExecutedScript {
                inline: inline.as_deref(),
                config_map: config_map_key_ref.as_ref(),
                interpreter,
                file_name: file_name.as_deref(),
            }
        }),
        command: command.as_deref(),
        args,
        variables: variables
            .iter()
            .map(|variable| ExecutedVariable {
                name: &variable.name,
                value: variable.value.as_deref().unwrap_or_default(),
                from: variable.value_from.as_ref(),
                file: variable.form == Some(VariableForm::File),
                mode: variable.mode.filter(|mode| *mode != Variable::MODE),
                path: variable.path.as_deref(),
            })
            .collect(),
        service_account: service_account_name.as_deref(),
        variables_from,
        // Writing out the default is no change.
        profile: security_profile.filter(|profile| *profile != SecurityProfile::Restricted),
        pod_security: security_context.as_ref(),
        container_security: container_security_context.as_ref(),
        host_aliases,
        volumes,
        volume_mounts,
        template: template_ref
            .as_ref()
            .map(|template| ExecutedTemplate { kind: template.kind().as_str(), name: &template.name }),
        parameters: parameters
            .iter()
            .map(|parameter| ExecutedParameter {
                name: &parameter.name,
                // A number and its text are the same value.
                value: parameter.value.as_ref().map(ToString::to_string),
                from: parameter.value_from.as_ref(),
            })
            .collect(),
        packages,
        working_dir: working_dir.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::action::{Amount, Log, Output, Resources};

    fn spec() -> DeploymentActionSpec {
        DeploymentActionSpec {
            image: Some("r/tools:1".into()),
            script: Some(Script { inline: Some("echo hi".into()), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn the_hash_is_that_of_version_2() {
        // A change of this hash would run every stored action again, so it needs a new version.
        let text = br#"{"image":"r/tools:1","script":{"inline":"echo hi"}}"#;
        assert_eq!(spec_hash(&spec()).unwrap(), format!("v2:{}", sha256_hex(text)));
    }

    #[test]
    fn a_hash_of_version_1_is_compared_as_it_was_taken() {
        let old = format!("v1:{}", sha256_hex(br#"{"image":"r/tools:1","script":{"inline":"echo hi"}}"#));
        assert_eq!(is_of(&old, &spec()), Some(true));
        let changed = DeploymentActionSpec { args: vec!["a".into()], ..spec() };
        assert_eq!(is_of(&old, &changed), Some(false));
        assert_eq!(is_of("v0:1", &spec()), None);
        assert_eq!(is_of(&spec_hash(&spec()).unwrap(), &spec()), Some(true));
    }

    #[test]
    fn what_only_bears_on_a_run_is_told_apart_from_what_does_not() {
        let settings = |spec: &DeploymentActionSpec| settings_hash(spec).unwrap();
        let cpu = |text: &str| DeploymentActionSpec {
            resources: Some(Resources {
                limits: std::iter::once(("memory".to_owned(), Amount::Text(text.into()))).collect(),
                ..Resources::default()
            }),
            ..spec()
        };
        assert_eq!(settings(&cpu("1Gi")), settings(&cpu("1024Mi")));
        assert_ne!(settings(&cpu("1Gi")), settings(&cpu("2Gi")));
        assert_ne!(
            settings(&spec()),
            settings(&DeploymentActionSpec { run_deadline_seconds: Some(5), ..spec() })
        );
        let log = |streams| DeploymentActionSpec { log: Some(Log { streams }), ..spec() };
        for default in [None, Some(LogStreams::Merged)] {
            assert_eq!(settings(&spec()), settings(&log(default)), "{default:?}");
        }
        assert_ne!(settings(&spec()), settings(&log(Some(LogStreams::Separate))));
        let same = DeploymentActionSpec {
            suspend: Some(true),
            run_token: Some("x".into()),
            run_policy: RunPolicy::Manual,
            pod_retention_seconds: 9,
            ttl_seconds_after_finished: Some(9),
            ..spec()
        };
        assert_eq!(settings(&spec()), settings(&same));
    }

    #[test]
    fn deadlines_that_an_older_definition_defaulted_do_not_count() {
        // Stored actions have these values, because the schema once filled them in.
        let stored = DeploymentActionSpec {
            run_deadline_seconds: Some(3600),
            pending_deadline_seconds: Some(600),
            termination_grace_period_seconds: Some(30),
            ..spec()
        };
        assert_eq!(spec_hash(&stored).unwrap(), spec_hash(&spec()).unwrap());
        assert_eq!(stored.deadlines(), spec().deadlines());
    }

    #[test]
    fn what_is_not_executed_does_not_count() {
        let same = DeploymentActionSpec {
            run_deadline_seconds: Some(5),
            pod_retention_seconds: 7,
            run_policy: RunPolicy::Manual,
            run_token: Some("x".into()),
            outputs: vec![Output { name: "url".into(), required: Some(true), ..Output::default() }],
            log: Some(Log { streams: Some(LogStreams::Separate) }),
            ..spec()
        };
        assert_eq!(spec_hash(&same).unwrap(), spec_hash(&spec()).unwrap());
    }

    #[test]
    fn a_default_written_out_is_no_change() {
        let variable = |value: Option<&str>, form| DeploymentActionSpec {
            variables: vec![Variable {
                name: "A".into(),
                value: value.map(Into::into),
                form,
                ..Default::default()
            }],
            ..spec()
        };
        assert_eq!(
            spec_hash(&variable(None, None)).unwrap(),
            spec_hash(&variable(Some(""), Some(VariableForm::Env))).unwrap()
        );
        assert_ne!(
            spec_hash(&variable(None, None)).unwrap(),
            spec_hash(&variable(None, Some(VariableForm::File))).unwrap()
        );
        let file = |mode, path: Option<&str>| {
            let mut spec = variable(None, Some(VariableForm::File));
            spec.variables[0].mode = mode;
            spec.variables[0].path = path.map(Into::into);
            spec
        };
        let hashes = |spec: &DeploymentActionSpec| (spec_hash(spec).unwrap(), settings_hash(spec).unwrap());
        assert_eq!(hashes(&file(None, None)), hashes(&file(Some(0o600), None)));
        assert_ne!(hashes(&file(None, None)), hashes(&file(Some(0o400), None)));
        assert_ne!(hashes(&file(None, None)), hashes(&file(None, Some("~/.netrc"))));
    }

    #[test]
    fn the_default_profile_written_out_is_no_change() {
        let with = |profile| DeploymentActionSpec {
            pod_template: Some(PodTemplate { security_profile: Some(profile), ..Default::default() }),
            ..spec()
        };
        assert_eq!(spec_hash(&with(SecurityProfile::Restricted)).unwrap(), spec_hash(&spec()).unwrap());
        assert_ne!(spec_hash(&with(SecurityProfile::Baseline)).unwrap(), spec_hash(&spec()).unwrap());
    }

    #[test]
    fn what_is_executed_counts() {
        for changed in [
            DeploymentActionSpec { variables_from: vec![VariablesFrom::default()], ..spec() },
            DeploymentActionSpec {
                pod_template: Some(PodTemplate { volumes: vec![Volume::default()], ..Default::default() }),
                ..spec()
            },
            DeploymentActionSpec { image: Some("r/tools:2".into()), ..spec() },
            DeploymentActionSpec { args: vec!["a".into()], ..spec() },
            DeploymentActionSpec { packages: vec![Package::default()], ..spec() },
            DeploymentActionSpec { service_account_name: Some("a".into()), ..spec() },
            DeploymentActionSpec { working_dir: Some("Image".into()), ..spec() },
            DeploymentActionSpec { script: None, command: Some(vec!["echo hi".into()]), ..spec() },
        ] {
            assert_ne!(spec_hash(&changed).unwrap(), spec_hash(&spec()).unwrap());
        }
    }
}
