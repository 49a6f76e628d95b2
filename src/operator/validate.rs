//! Parse once: what comes out of here is known to be executable, as far as the spec alone tells.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::hash;
use crate::{
    api::{
        DeploymentAction, DeploymentActionSpec,
        action::{KeyRef, VariableForm},
    },
    record::{
        self,
        bundle::{Bundle, Limits, MAX_BYTES, Output, Program, RunIdentity, Source, Variable},
    },
    registry::ImageReference,
};

/// A digest's length, for the size of a bundle whose image is not resolved yet.
const DIGEST_BYTES: usize = 80;

/// An action whose spec was checked. Later steps take this and no raw spec.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The action's namespace.
    pub namespace: String,
    /// The action's name.
    pub name: String,
    /// The action's UID.
    pub uid: String,
    /// The spec's generation.
    pub generation: i64,
    /// The spec.
    pub spec: DeploymentActionSpec,
    /// The parsed image.
    pub image: ImageReference,
    /// Hash of what is executed.
    pub hash: String,
    /// What marks the pod as this action's.
    pub owner: OwnerReference,
}

/// Why a spec cannot be executed: a sentence that names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// Checks what the schema could not.
///
/// # Errors
/// The first thing that is wrong, with what to write instead.
pub fn validate(action: &DeploymentAction, architecture: &str) -> Result<Checked, Invalid> {
    let spec = action.spec.clone();
    let image =
        ImageReference::parse(&spec.image).map_err(|error| Invalid(format!("spec.image: {error}")))?;
    if spec.script.is_some() == spec.command.is_some() {
        return Err(Invalid("spec: give exactly one of script and command".into()));
    }
    if let Some(template) = &spec.pod_template
        && let Some(other) = template.node_selector.get("kubernetes.io/arch")
        && other != architecture
    {
        return Err(Invalid(format!(
            "spec.podTemplate.nodeSelector asks for architecture {other}, and the runner's image is built for {architecture}: leave kubernetes.io/arch out"
        )));
    }
    let hash = hash::spec_hash(&spec).map_err(|error| Invalid(error.to_string()))?;
    let owner = action
        .controller_owner_ref(&())
        // Who deletes the action in the foreground waits for its pod.
        .map(|owner| OwnerReference { block_owner_deletion: Some(true), ..owner })
        .ok_or_else(|| Invalid("the action has no name or UID".into()))?;
    let checked = Checked {
        namespace: action.namespace().unwrap_or_default(),
        name: action.name_any(),
        uid: action.uid().unwrap_or_default(),
        generation: action.meta().generation.unwrap_or_default(),
        spec,
        image,
        hash,
        owner,
    };
    checked.check_size()?;
    Ok(checked)
}

impl Checked {
    /// What the runner is told to do in this attempt with this image.
    #[must_use]
    pub fn bundle(&self, run_id: &str, number: u32, attempt: u32, image: &str) -> Bundle {
        let spec = &self.spec;
        Bundle {
            version: record::VERSION,
            run: RunIdentity {
                namespace: self.namespace.clone(),
                action: self.name.clone(),
                action_uid: self.uid.clone(),
                id: run_id.to_owned(),
                number,
                attempt,
            },
            image: image.to_owned(),
            program: match (&spec.script, &spec.command) {
                (Some(script), _) => {
                    Program::Script { text: script.inline.clone(), interpreter: script.interpreter.clone() }
                }
                (None, command) => Program::Command { argv: command.clone().unwrap_or_default() },
            },
            args: spec.args.clone(),
            variables: spec
                .variables
                .iter()
                .enumerate()
                .map(|(index, variable)| self.variable(index, variable))
                .collect(),
            outputs: spec.outputs.iter().map(|output| Output { name: output.name.clone() }).collect(),
            limits: Limits {
                run_deadline_seconds: spec.run_deadline_seconds.unsigned_abs(),
                grace_seconds: spec.termination_grace_period_seconds.unsigned_abs(),
            },
        }
    }

    #[allow(clippy::unused_self, reason = "reads as a part of the bundle")]
    fn variable(&self, index: usize, variable: &crate::api::action::Variable) -> Variable {
        let file = |kind: &str, key: &KeyRef, secret| Source::File {
            path: input_path(index, &variable.name),
            secret,
            optional: key.optional.unwrap_or_default(),
            origin: format!("key {:?} of {kind} {:?}", key.key, key.name),
        };
        let from = variable.value_from.as_ref();
        Variable {
            name: variable.name.clone(),
            source: match (
                from.and_then(|from| from.secret_key_ref.as_ref()),
                from.and_then(|from| from.config_map_key_ref.as_ref()),
            ) {
                (Some(key), _) => file("Secret", key, true),
                (None, Some(key)) => file("ConfigMap", key, false),
                (None, None) => Source::Value { value: variable.value.clone().unwrap_or_default() },
            },
            as_file: variable.form == Some(VariableForm::File),
        }
    }

    /// The bundle travels with the pod and must leave room for what webhooks add.
    fn check_size(&self) -> Result<(), Invalid> {
        let image = self.image.pinned(&"0".repeat(DIGEST_BYTES));
        let bundle = self.bundle("00000000-4294967295", u32::MAX, u32::MAX, &image);
        let size = bundle.to_json().map_err(|error| Invalid(error.to_string()))?.len();
        let annotations: usize = self
            .spec
            .pod_template
            .iter()
            .filter_map(|template| template.metadata.as_ref())
            .flat_map(|metadata| &metadata.annotations)
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if size + annotations > MAX_BYTES {
            return Err(Invalid(format!(
                "spec: script, args, variables and the pod's annotations take {} bytes together, and at most {MAX_BYTES} travel with a pod: put long values into a ConfigMap (valueFrom.configMapKeyRef) or the script into the image",
                size + annotations
            )));
        }
        Ok(())
    }
}

/// Where the kubelet mounts a variable's value, below the folder of inputs.
#[must_use]
pub fn input_path(index: usize, name: &str) -> String {
    format!("{index}-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::action::Script, operator::tests::action};

    #[test]
    fn a_plain_action_is_executable() {
        let checked = validate(&action(), "amd64").unwrap();
        assert_eq!(checked.image.to_string(), "registry.example.com/tools:1");
    }

    #[test]
    fn what_the_schema_takes_for_an_image_can_be_parsed() {
        assert_eq!(crate::api::rules::image_pattern(), crate::registry::reference::PATTERN);
    }

    #[test]
    fn what_does_not_fit_a_pod_is_refused_with_its_size() {
        let mut action = action();
        action.spec.script = Some(Script { inline: "\n".repeat(120_000), interpreter: vec![] });
        let error = validate(&action, "amd64").unwrap_err().to_string();
        assert!(error.contains("240") && error.contains("196608"), "{error}");
    }

    #[test]
    fn another_architecture_is_refused() {
        let mut action = action();
        action.spec.pod_template = Some(crate::api::action::PodTemplate {
            node_selector: [("kubernetes.io/arch".to_owned(), "arm64".to_owned())].into(),
            ..Default::default()
        });
        assert!(validate(&action, "amd64").unwrap_err().to_string().contains("kubernetes.io/arch"));
        assert!(validate(&action, "arm64").is_ok());
    }
}
