//! The hash of what is executed, by which a change is told from none.
//!
//! It is over a fixed list of fields, with unset and default values left out, and carries a
//! version: a new default in the resource's definition shows in stored objects at once, with the
//! generation unchanged, and a hash over the whole spec would then run everybody's deployments
//! again on an upgrade.

use serde::Serialize;

use crate::{
    api::action::{DeploymentActionSpec, Script, ValueFrom, VariableForm},
    record::sha256_hex,
};

/// The version of the list of fields below.
pub const VERSION: &str = "v1:";

/// What is executed, and nothing of where, how long, or what is kept of it. The order of fields and
/// their names are the hash's: they change with [`VERSION`] only.
#[derive(Serialize)]
struct Executed<'a> {
    image: &'a str,
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
}

#[derive(Serialize)]
struct ExecutedScript<'a> {
    inline: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    interpreter: &'a [String],
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
}

/// The hash of what `spec` executes, with its version in front.
///
/// # Errors
/// Never for these types; the signature is serde's.
pub fn spec_hash(spec: &DeploymentActionSpec) -> Result<String, serde_json::Error> {
    // Every field is named, so that a new one cannot be forgotten here.
    let DeploymentActionSpec {
        image,
        script,
        command,
        args,
        variables,
        service_account_name,
        outputs: _,
        run_deadline_seconds: _,
        pending_deadline_seconds: _,
        termination_grace_period_seconds: _,
        pod_retention_seconds: _,
        resources: _,
        pod_template: _,
        run_policy: _,
        run_token: _,
    } = spec;
    let executed = Executed {
        image,
        script: script.as_ref().map(|Script { inline, interpreter }| ExecutedScript { inline, interpreter }),
        command: command.as_deref(),
        args,
        variables: variables
            .iter()
            .map(|variable| ExecutedVariable {
                name: &variable.name,
                value: variable.value.as_deref().unwrap_or_default(),
                from: variable.value_from.as_ref(),
                file: variable.form == Some(VariableForm::File),
            })
            .collect(),
        service_account: service_account_name.as_deref(),
    };
    Ok(format!("{VERSION}{}", sha256_hex(&serde_json::to_vec(&executed)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::action::{Output, RunPolicy, Variable};

    fn spec() -> DeploymentActionSpec {
        DeploymentActionSpec {
            image: "r/tools:1".into(),
            script: Some(Script { inline: "echo hi".into(), interpreter: vec![] }),
            ..Default::default()
        }
    }

    #[test]
    fn the_hash_is_that_of_version_1() {
        // A change here runs every stored action again: it needs a new version.
        assert_eq!(
            spec_hash(&spec()).unwrap(),
            format!("v1:{}", sha256_hex(br#"{"image":"r/tools:1","script":{"inline":"echo hi"}}"#))
        );
    }

    #[test]
    fn what_is_not_executed_does_not_count() {
        let same = DeploymentActionSpec {
            run_deadline_seconds: 5,
            pod_retention_seconds: 7,
            run_policy: RunPolicy::Manual,
            run_token: Some("x".into()),
            outputs: vec![Output { name: "url".into(), required: Some(true) }],
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
    }

    #[test]
    fn what_is_executed_counts() {
        for changed in [
            DeploymentActionSpec { image: "r/tools:2".into(), ..spec() },
            DeploymentActionSpec { args: vec!["a".into()], ..spec() },
            DeploymentActionSpec { service_account_name: Some("a".into()), ..spec() },
            DeploymentActionSpec { script: None, command: Some(vec!["echo hi".into()]), ..spec() },
        ] {
            assert_ne!(spec_hash(&changed).unwrap(), spec_hash(&spec()).unwrap());
        }
    }
}
