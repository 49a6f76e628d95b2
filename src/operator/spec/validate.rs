//! Parses once. As far as the spec alone can tell, a checked action can be executed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::invalid::Invalid;
use super::{hash, size};
use crate::{
    api::{
        self, DeploymentAction, DeploymentActionSpec,
        action::{
            IMAGE_S_FOLDER, KeyRef, Log, LogStreams, Resources, ScriptRef, SecurityProfile, VariableForm,
            VariablesFrom,
        },
        packages::PackageStatus,
        status::{Deadlines, TemplateStatus},
    },
    record::{
        self,
        bundle::{
            Bundle, Folder, Limits, MAX_BYTES, Output, Package, Program, RunIdentity, Sensitive, Source,
            Streams, Variable, WorkingDir,
        },
        quoted,
    },
    registry::{ImageReference, MAX_NAME},
};

/// The length of a digest, for the size of a bundle whose image is not resolved yet.
const DIGEST_BYTES: usize = 80;
/// The length of a public key as a text, for the same purpose.
const PUBLIC_KEY_BYTES: usize = 44;

/// An action whose spec was checked. Later steps take this, and no raw spec.
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
    /// The spec that is executed. If it names a template, the two are combined.
    pub spec: DeploymentActionSpec,
    /// The template, if there is one.
    pub template: Option<TemplateStatus>,
    /// The image as the spec writes it.
    pub requested: String,
    /// The parsed image.
    pub image: ImageReference,
    /// The deadlines, with defaults filled in.
    pub deadlines: Deadlines,
    /// The packages, in the spec's order.
    pub packages: Vec<CheckedPackage>,
    /// Hash of what is executed.
    pub hash: String,
    /// Marks the pod as this action's.
    pub owner: OwnerReference,
}

/// A package whose reference was parsed.
#[derive(Debug, Clone)]
pub struct CheckedPackage {
    /// Its name.
    pub name: String,
    /// The reference as the spec writes it.
    pub requested: String,
    /// The parsed reference.
    pub reference: ImageReference,
}

/// Checks an action without a template for what the schema cannot check.
///
/// # Errors
/// The first mistake, with what to write instead.
pub fn validate(action: &DeploymentAction, architecture: &str) -> Result<Checked, Invalid> {
    validate_as(action, action.spec.clone(), None, architecture)
}

/// Checks `spec`, which is `action` combined with `template`.
///
/// # Errors
/// The first mistake, with what to write instead.
pub fn validate_as(
    action: &DeploymentAction,
    spec: DeploymentActionSpec,
    template: Option<TemplateStatus>,
    architecture: &str,
) -> Result<Checked, Invalid> {
    size::check(&spec)?;
    let requested = spec.image.clone().ok_or_else(|| Invalid("spec.image: it is missing".into()))?;
    let image = ImageReference::parse(&requested).map_err(|error| Invalid(format!("spec.image: {error}")))?;
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
    let packages = spec.packages.iter().map(package).collect::<Result<_, _>>()?;
    // The hash is of what the user wrote: changing the template starts nothing.
    let hash = hash::spec_hash(&action.spec).map_err(|error| Invalid(error.to_string()))?;
    let owner = owner(action).ok_or_else(|| Invalid("the action has no name or UID".into()))?;
    let checked = Checked {
        namespace: action.namespace().unwrap_or_default(),
        name: action.name_any(),
        uid: action.uid().unwrap_or_default(),
        generation: action.meta().generation.unwrap_or_default(),
        deadlines: spec.deadlines(),
        spec,
        template,
        requested,
        image,
        packages,
        hash,
        owner,
    };
    checked.check_size()?;
    Ok(checked)
}

/// The reference that marks a pod as this action's.
#[must_use]
pub fn owner(action: &DeploymentAction) -> Option<OwnerReference> {
    action
        .controller_owner_ref(&())
        // A foreground deletion of the action waits for its pod.
        .map(|owner| OwnerReference { block_owner_deletion: Some(true), ..owner })
}

impl Checked {
    /// The bundle: what the runner does in this attempt with this image.
    #[must_use]
    pub fn bundle(&self, frozen: &Frozen<'_>) -> Bundle {
        let Frozen { run_id, number, attempt, image, replaced_user, packages, script_sha256, public_key } =
            *frozen;
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
            packages: packages
                .iter()
                .map(|package| Package { name: package.name.clone(), reference: package.resolved.clone() })
                .collect(),
            program: self.program(script_sha256.unwrap_or_default()),
            args: spec.args.clone(),
            variables_from: spec.variables_from.iter().enumerate().map(folder).collect(),
            variables: spec
                .variables
                .iter()
                .enumerate()
                .map(|(index, variable)| self.variable(index, variable))
                .collect(),
            outputs: spec
                .outputs
                .iter()
                .filter(|output| !output.is_sensitive())
                .map(|output| Output { name: output.name.clone() })
                .collect(),
            sensitive: self.has_sensitive_outputs().then(|| Sensitive {
                names: self.sensitive_outputs().map(Into::into).collect(),
                public_key: public_key.unwrap_or_default().to_owned(),
            }),
            limits: Limits {
                run_deadline_seconds: self.deadlines.run_seconds.unsigned_abs(),
                grace_seconds: self.deadlines.grace_seconds.unsigned_abs(),
            },
            working_dir: self.working_dir(),
            image_user: replaced_user.map(Into::into),
            streams: match spec.log.as_ref().map(Log::streams).unwrap_or_default() {
                LogStreams::Merged => Streams::Merged,
                LogStreams::Separate => Streams::Separate,
            },
        }
    }

    /// The folder in which the script starts. `None` if it is the script's own.
    #[must_use]
    pub fn working_dir(&self) -> Option<WorkingDir> {
        self.spec.working_dir.as_deref().map(|path| match path {
            IMAGE_S_FOLDER => WorkingDir::Image,
            path => WorkingDir::Path(path.to_owned()),
        })
    }

    fn program(&self, sha256: &str) -> Program {
        let Some(script) = &self.spec.script else {
            return Program::Command { argv: self.spec.command.clone().unwrap_or_default() };
        };
        let (interpreter, file_name) = (script.interpreter.clone(), script.file_name.clone());
        match &script.config_map_key_ref {
            Some(from) => Program::ScriptFile {
                sha256: sha256.to_owned(),
                origin: format!("key {} of ConfigMap {}", quoted(&from.key), quoted(&from.name)),
                interpreter,
                file_name,
            },
            None => {
                Program::Script { text: script.inline.clone().unwrap_or_default(), interpreter, file_name }
            }
        }
    }

    /// Outputs that the run must report.
    #[must_use]
    pub fn required_outputs(&self) -> Vec<String> {
        let required = self.spec.outputs.iter().filter(|output| output.required == Some(true));
        required.map(|output| output.name.clone()).collect()
    }

    /// The outputs whose values are secret.
    pub fn sensitive_outputs(&self) -> impl Iterator<Item = &str> {
        self.spec.outputs.iter().filter(|output| output.is_sensitive()).map(|output| output.name.as_str())
    }

    /// Whether there are such outputs.
    #[must_use]
    pub fn has_sensitive_outputs(&self) -> bool {
        self.sensitive_outputs().next().is_some()
    }

    /// The `ConfigMap` that the script comes from, if it does.
    #[must_use]
    pub fn script_ref(&self) -> Option<&ScriptRef> {
        self.spec.script.as_ref()?.config_map_key_ref.as_ref()
    }

    /// The security profile of the script's container.
    #[must_use]
    pub fn profile(&self) -> SecurityProfile {
        self.spec.pod_template.as_ref().and_then(|template| template.security_profile).unwrap_or_default()
    }

    /// Names everything of others that the spec names, and that it claims more for its pod than place and
    /// size. `None` if it does neither: then its author gains nothing by it.
    #[must_use]
    pub fn named(&self) -> Option<String> {
        let spec = &self.spec;
        let mut named = Vec::new();
        named.extend(self.template.iter().map(|of| format!("{} {}", of.kind.as_str(), of.name)));
        if let Some(account) = &spec.service_account_name {
            named.push(format!("service account {account}"));
        }
        let keys = spec.variables.iter().filter_map(|variable| variable.value_from.as_ref());
        for from in keys {
            named.extend(from.secret_key_ref.iter().map(|key| format!("Secret {}", key.name)));
            named.extend(from.config_map_key_ref.iter().map(|key| format!("ConfigMap {}", key.name)));
        }
        for from in &spec.variables_from {
            named.extend(from.secret_ref.iter().map(|object| format!("Secret {}", object.name)));
            named.extend(from.config_map_ref.iter().map(|object| format!("ConfigMap {}", object.name)));
        }
        named.extend(spec.image_pull_secrets.iter().map(|secret| format!("pull Secret {}", secret.name)));
        named.extend(self.script_ref().map(|from| format!("ConfigMap {}", from.name)));
        if let Some(template) = &spec.pod_template
            && template.claims_more()
        {
            named.push("podTemplate beyond placement".to_owned());
        }
        if spec.resources.as_ref().is_some_and(Resources::claims_more) {
            named.push("resources beyond cpu, memory and ephemeral-storage".to_owned());
        }
        named.dedup();
        (!named.is_empty()).then(|| named.join(", "))
    }

    #[allow(clippy::unused_self, reason = "reads as a part of the bundle")]
    fn variable(&self, index: usize, variable: &crate::api::action::Variable) -> Variable {
        let file = |kind: &str, key: &KeyRef, secret| Source::File {
            path: input_path(index, &variable.name),
            secret,
            optional: key.optional.unwrap_or_default(),
            origin: format!("key {} of {kind} {}", quoted(&key.key), quoted(&key.name)),
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
            mode: variable.mode.and_then(|mode| u32::try_from(mode).ok()),
            path: variable.path.clone(),
        }
    }

    /// The bundle travels with the pod, and must leave room for what webhooks add.
    fn check_size(&self) -> Result<(), Invalid> {
        let image = self.image.pinned(&"0".repeat(DIGEST_BYTES));
        let pinned = |package: &CheckedPackage| PackageStatus {
            name: package.name.clone(),
            resolved: package.reference.pinned(&"0".repeat(DIGEST_BYTES)),
            ..PackageStatus::default()
        };
        let packages: Vec<PackageStatus> = self.packages.iter().map(pinned).collect();
        let bundle = self.bundle(&Frozen {
            run_id: "00000000-4294967295",
            number: u32::MAX,
            attempt: u32::MAX,
            image: &image,
            replaced_user: Some(&"0".repeat(MAX_NAME)),
            packages: &packages,
            script_sha256: Some(&"0".repeat(64)),
            public_key: Some(&"0".repeat(PUBLIC_KEY_BYTES)),
        });
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
                "spec: script, args, variables and the pod's annotations take {} bytes together, and at most {MAX_BYTES} travel with a pod: put long values into a ConfigMap (valueFrom.configMapKeyRef), and a long script too (script.configMapKeyRef)",
                size + annotations
            )));
        }
        Ok(())
    }
}

/// The frozen parts of an attempt beside the spec.
#[derive(Debug, Clone, Copy)]
pub struct Frozen<'a> {
    /// The run's id.
    pub run_id: &'a str,
    /// The run's number.
    pub number: u32,
    /// The attempt's number.
    pub attempt: u32,
    /// The image, pinned.
    pub image: &'a str,
    /// The user that the image names, if another user replaces it.
    pub replaced_user: Option<&'a str>,
    /// The packages, pinned.
    pub packages: &'a [PackageStatus],
    /// SHA-256 of the script, if it comes from a `ConfigMap`.
    pub script_sha256: Option<&'a str>,
    /// The key to which sensitive outputs are sealed, if the spec has such outputs.
    pub public_key: Option<&'a str>,
}

fn package(package: &api::packages::Package) -> Result<CheckedPackage, Invalid> {
    let name = package.name.clone();
    let requested = package.reference.clone().ok_or_else(|| {
        Invalid(format!("spec.packages, {name}: without a template, a package needs a reference"))
    })?;
    let reference = ImageReference::parse(&requested)
        .map_err(|error| Invalid(format!("spec.packages, {name}, reference: {error}")))?;
    Ok(CheckedPackage { name, requested, reference })
}

fn folder((index, from): (usize, &VariablesFrom)) -> Folder {
    let secret = from.secret_ref.is_some();
    let name = from.secret_ref.as_ref().or(from.config_map_ref.as_ref()).map_or("", |object| &object.name);
    Folder {
        path: index.to_string(),
        prefix: from.prefix.clone().unwrap_or_default(),
        secret,
        origin: format!("{} {}", if secret { "Secret" } else { "ConfigMap" }, quoted(name)),
    }
}

/// The path of a variable's value below the folder of inputs. The kubelet mounts it there.
#[must_use]
pub fn input_path(index: usize, name: &str) -> String {
    format!("{index}-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::action::Script, operator::testing::objects::action};

    #[test]
    fn a_plain_action_is_executable() {
        let checked = validate(&action(), "amd64").unwrap();
        assert_eq!(checked.image.to_string(), "registry.example.com/tools:1");
    }

    #[test]
    fn the_runner_is_told_where_a_script_starts_and_how_its_output_comes() {
        let frozen = Frozen {
            run_id: "r-1",
            number: 1,
            attempt: 1,
            image: "r/i@sha256:00",
            replaced_user: Some("app"),
            packages: &[],
            script_sha256: None,
            public_key: Some("key"),
        };
        let mut action = action();
        let plain = validate(&action, "amd64").unwrap().bundle(&Frozen { replaced_user: None, ..frozen });
        assert_eq!((plain.working_dir, plain.image_user, plain.streams), (None, None, Streams::Merged));
        action.spec.log = Some(Log { streams: Some(LogStreams::Separate) });
        for (folder, wanted) in [("Image", WorkingDir::Image), ("/Image", WorkingDir::Path("/Image".into()))]
        {
            action.spec.working_dir = Some(folder.into());
            let bundle = validate(&action, "amd64").unwrap().bundle(&frozen);
            assert_eq!(bundle.working_dir, Some(wanted));
            assert_eq!((bundle.image_user.as_deref(), bundle.streams), (Some("app"), Streams::Separate));
        }
    }

    #[test]
    fn the_runner_is_told_sensitive_outputs_apart_from_others() {
        let frozen = Frozen {
            run_id: "r-1",
            number: 1,
            attempt: 1,
            image: "r/i@sha256:00",
            replaced_user: None,
            packages: &[],
            script_sha256: None,
            public_key: Some("key"),
        };
        let mut action = action();
        action.spec.outputs = [("url", None), ("token", Some(true)), ("plain", Some(false))]
            .map(|(name, sensitive)| crate::api::action::Output {
                name: name.into(),
                required: None,
                sensitive,
            })
            .into();
        let bundle = validate(&action, "amd64").unwrap().bundle(&frozen);
        // A runner that knows no sensitive outputs must not take one for an ordinary output.
        assert_eq!(bundle.outputs.iter().map(|output| &output.name).collect::<Vec<_>>(), ["url", "plain"]);
        let sensitive = Sensitive { names: vec!["token".into()], public_key: "key".into() };
        assert_eq!(bundle.sensitive, Some(sensitive));
        action.spec.outputs.remove(1);
        assert_eq!(validate(&action, "amd64").unwrap().bundle(&frozen).sensitive, None);
    }

    #[test]
    fn what_the_schema_takes_for_an_image_can_be_parsed() {
        assert_eq!(crate::api::rules::image_pattern(), crate::registry::reference::PATTERN);
    }

    #[test]
    fn what_does_not_fit_a_pod_is_refused_with_its_size() {
        let mut action = action();
        action.spec.script = Some(Script { inline: Some("\n".repeat(120_000)), ..Default::default() });
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
