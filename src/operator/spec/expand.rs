//! Combines an action with its template. The result is the template's spec, with the action's parameters as
//! variables and its packages by reference. Pure. One message names every mistake.

#[cfg(test)]
mod tests;

use super::{
    invalid::Invalid,
    pattern::{Budget, Pattern},
    size,
    validate::{Checked, validate_as},
    versions::{self, Range},
};
use crate::{
    api::{
        DeploymentAction, DeploymentActionSpec, Reason,
        action::{ValueFrom, Variable},
        packages::{DeclaredPackage, Package},
        parameters::{MAX_PATTERNS, Parameter, ParameterType, ParameterValue, Scalar},
        status::TemplateStatus,
        template::{TemplateKind, TemplateSpec},
    },
    record::{quoted, sha256_hex},
    registry::ImageReference,
};

/// How much of a value a message shows, in characters.
const TOLD: usize = 64;

/// A template as the cache has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Its kind.
    pub kind: TemplateKind,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Its spec.
    pub spec: TemplateSpec,
}

impl Template {
    /// Whether it is still the template that was frozen with a run.
    #[must_use]
    pub fn is(&self, frozen: &TemplateStatus) -> bool {
        (&self.uid, self.generation) == (&frozen.uid, frozen.generation)
    }
}

/// The cache's answer about the template that an action names.
#[allow(clippy::large_enum_variant, reason = "each look makes one, and none is kept")]
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// It exists.
    Found(Template),
    /// It does not exist.
    Missing,
    /// The cache is not filled yet. This proves nothing.
    Unread,
}

/// Why an action cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// It cannot, unless something is changed.
    Never {
        /// The reason.
        reason: Reason,
        /// The mistake, and what to write instead.
        message: String,
    },
    /// Its template does not exist. It may be applied a moment later.
    NoTemplate(String),
    /// It is not known yet whether its template exists.
    Unread(String),
}

impl From<Invalid> for Blocked {
    fn from(invalid: Invalid) -> Self {
        Self::Never { reason: Reason::InvalidSpec, message: invalid.to_string() }
    }
}

impl Blocked {
    /// The reason and its message.
    #[must_use]
    pub fn words(&self) -> (Reason, &str) {
        match self {
            Self::Never { reason, message } => (*reason, message),
            Self::NoTemplate(message) | Self::Unread(message) => (Reason::TemplateNotFound, message),
        }
    }

    /// Whether it may pass by itself.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        !matches!(self, Self::Never { .. })
    }
}

/// Checks an action for what the schema cannot check. `template` is the one that its `templateRef` names.
///
/// # Errors
/// Why it cannot be executed.
pub fn check(
    action: &DeploymentAction,
    template: Option<&Lookup>,
    architecture: &str,
) -> Result<Checked, Blocked> {
    let Some(reference) = &action.spec.template_ref else {
        return Ok(validate_as(action, action.spec.clone(), None, architecture)?);
    };
    size::check(&action.spec)?;
    let name = format!("{} {}", reference.kind().as_str(), quoted(&reference.name));
    let template = match template {
        Some(Lookup::Found(template)) => template,
        Some(Lookup::Missing) => {
            let place = match (reference.kind(), &action.metadata.namespace) {
                (TemplateKind::DeploymentActionTemplate, Some(namespace)) => {
                    format!(" in namespace {namespace}")
                }
                _ => String::new(),
            };
            return Err(Blocked::NoTemplate(format!("spec.templateRef: there is no {name}{place}")));
        }
        Some(Lookup::Unread) | None => {
            return Err(Blocked::Unread(format!("spec.templateRef: {name} has not been read yet")));
        }
    };
    let never = |reason, message| Blocked::Never { reason, message };
    let spec = expand(&action.spec, &template.spec).map_err(|fault| match fault {
        Fault::Template(faults) => never(Reason::TemplateInvalid, format!("{name}: {}", faults.join("; "))),
        Fault::Parameters(faults) => never(Reason::ParametersInvalid, faults.join("; ")),
        Fault::Packages(faults) => never(Reason::PackageNotAllowed, faults.join("; ")),
    })?;
    let content = serde_json::to_vec(&template.spec).map_err(|error| Invalid(error.to_string()))?;
    let frozen = TemplateStatus {
        kind: template.kind,
        name: template.name.clone(),
        uid: template.uid.clone(),
        generation: template.generation,
        sha256: sha256_hex(&content),
    };
    validate_as(action, spec, Some(frozen), architecture)
        .map_err(|invalid| never(Reason::TemplateInvalid, format!("{name}: {invalid}")))
}

/// Mistakes, by who has to mend them.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// In the template.
    Template(Vec<String>),
    /// In the action's parameters, and perhaps in its packages.
    Parameters(Vec<String>),
    /// In the action's packages alone.
    Packages(Vec<String>),
}

/// The spec that `action` executes with `template`.
fn expand(action: &DeploymentActionSpec, template: &TemplateSpec) -> Result<DeploymentActionSpec, Fault> {
    let mut budget = Budget::default();
    let declared = declared(template, &mut budget).map_err(Fault::Template)?;
    let (parameters, wrong) = fill(&declared, &action.parameters, &mut budget);
    let (packages, refused) = choose(&template.packages, &action.packages);
    match (wrong.is_empty(), refused.is_empty()) {
        (true, true) => {}
        (true, false) => return Err(Fault::Packages(refused)),
        (false, _) => return Err(Fault::Parameters([wrong, refused].concat())),
    }
    // Every field is named here, so that a new one cannot be forgotten.
    let TemplateSpec {
        image,
        image_pull_secrets,
        script,
        command,
        args,
        variables,
        variables_from,
        parameters: _,
        packages: _,
        outputs,
        service_account_name,
        run_deadline_seconds,
        pending_deadline_seconds,
        termination_grace_period_seconds,
        resources,
        pod_template,
        working_dir,
        log,
    } = template.clone();
    Ok(DeploymentActionSpec {
        template_ref: None,
        parameters: Vec::new(),
        packages,
        image: Some(image),
        image_pull_secrets,
        script,
        command,
        args,
        variables: [variables, parameters].concat(),
        variables_from,
        outputs,
        service_account_name,
        run_deadline_seconds,
        pending_deadline_seconds,
        termination_grace_period_seconds,
        resources,
        pod_template,
        working_dir,
        log,
        pod_retention_seconds: action.pod_retention_seconds,
        run_policy: action.run_policy,
        run_token: action.run_token.clone(),
        retry: action.retry.clone(),
        suspend: action.suspend,
        lock: action.lock.clone(),
        ttl_seconds_after_finished: action.ttl_seconds_after_finished,
    })
}

/// A declared parameter whose own parts fit together.
struct Declared<'a> {
    parameter: &'a Parameter,
    pattern: Option<Pattern>,
    /// Its default, as the script gets it.
    default: Option<String>,
}

/// The template's parameters, or everything that is wrong in the template whatever an action says.
fn declared<'a>(template: &'a TemplateSpec, budget: &mut Budget) -> Result<Vec<Declared<'a>>, Vec<String>> {
    let mut faults = Vec::new();
    let patterns = template.parameters.iter().filter_map(|parameter| parameter.pattern.as_ref());
    let long: usize = patterns.map(|pattern| pattern.chars().count()).sum();
    if long > MAX_PATTERNS {
        // The operator reads none of them.
        return Err(vec![format!(
            "the patterns of its parameters have {long} characters together, and may have at most {MAX_PATTERNS}: \
             make them shorter, or let the script check"
        )]);
    }
    let mut declared = Vec::with_capacity(template.parameters.len());
    for parameter in &template.parameters {
        let name = &parameter.name;
        let mut fault = |what: String| faults.push(format!("parameter {name}: {what}"));
        if template.variables.iter().any(|variable| variable.name == *name) {
            fault("the template's variables have one of that name: rename one of them".into());
        }
        let pattern = match parameter.pattern.as_deref().map(|text| Pattern::read(text, budget)).transpose() {
            Ok(pattern) => pattern,
            Err(what) => {
                fault(format!("its pattern {what}"));
                continue;
            }
        };
        for value in &parameter.allowed {
            if let Err(what) = is_of(parameter, pattern.as_ref(), value, budget) {
                fault(format!("a value of its enum {what}"));
            }
        }
        let mut one = Declared { parameter, pattern, default: None };
        match parameter.default.as_ref().map(|default| fits(&one, default, budget)).transpose() {
            Ok(default) => one.default = default,
            Err(what) => fault(format!("its default {what}")),
        }
        declared.push(one);
    }
    for package in &template.packages {
        if let Some(Err(error)) = package.versions.as_deref().map(Range::parse) {
            faults.push(format!("package {}: versions {error}", package.name));
        }
    }
    if faults.is_empty() { Ok(declared) } else { Err(faults) }
}

fn kind(parameter: &Parameter) -> ParameterType {
    parameter.kind.unwrap_or_default()
}

/// The value as the script gets it. The error follows the parameter's name in a message.
fn fits(declared: &Declared<'_>, value: &Scalar, budget: &mut Budget) -> Result<String, String> {
    let parameter = declared.parameter;
    let text = is_of(parameter, declared.pattern.as_ref(), value, budget)?;
    let same = |allowed: &Scalar| match kind(parameter) {
        ParameterType::Integer => allowed.whole() == value.whole(),
        _ => allowed.to_string() == text,
    };
    if !parameter.allowed.is_empty() && !parameter.allowed.iter().any(same) {
        let allowed: Vec<_> = parameter.allowed.iter().map(ToString::to_string).collect();
        return Err(format!("is {}, and must be one of {}", told(&value.to_string()), allowed.join(", ")));
    }
    Ok(text)
}

/// The same, without a look at `enum`.
fn is_of(
    parameter: &Parameter,
    pattern: Option<&Pattern>,
    value: &Scalar,
    budget: &mut Budget,
) -> Result<String, String> {
    let text = value.to_string();
    let told = told(&text);
    Ok(match kind(parameter) {
        // The message does not show the value: its author did not mean it to be read.
        ParameterType::Secret => {
            return Err("is written out, and its type is Secret: name a key in valueFrom.secretKeyRef".into());
        }
        ParameterType::Boolean if !matches!(text.as_str(), "true" | "false") => {
            return Err(format!("is {told}, and must be \"true\" or \"false\""));
        }
        ParameterType::Boolean => text,
        ParameterType::Integer => {
            let number = value.whole().ok_or_else(|| format!("is {told}, which is no whole number"))?;
            if let Some(least) = parameter.minimum.filter(|least| number < *least) {
                return Err(format!("is {number}, and must be at least {least}"));
            }
            if let Some(most) = parameter.maximum.filter(|most| number > *most) {
                return Err(format!("is {number}, and must be at most {most}"));
            }
            number.to_string()
        }
        ParameterType::String => {
            let length = text.chars().count();
            if let Some(most) = parameter.max_length.and_then(|most| usize::try_from(most).ok())
                && length > most
            {
                return Err(format!("has {length} characters, and must have at most {most}"));
            }
            if let Some(pattern) = pattern
                && !pattern.is_in(&text, budget)?
            {
                let pattern = parameter.pattern.as_deref().unwrap_or_default();
                return Err(format!("is {told}, and must match {pattern}"));
            }
            text
        }
    })
}

fn told(text: &str) -> String {
    let short: String = text.chars().take(TOLD).collect();
    if short.len() < text.len() { format!("{}...", quoted(&short)) } else { quoted(&short) }
}

/// Names that are given and not declared, each with the name that was perhaps meant.
fn undeclared<'a>(what: &str, declared: &[&str], given: impl Iterator<Item = &'a str>) -> Vec<String> {
    given.filter(|name| !declared.contains(name)).map(|name| unknown(what, name, declared)).collect()
}

/// The parameters as variables, and everything that is wrong with them.
fn fill(
    declared: &[Declared<'_>],
    given: &[ParameterValue],
    budget: &mut Budget,
) -> (Vec<Variable>, Vec<String>) {
    let names: Vec<&str> = declared.iter().map(|declared| declared.parameter.name.as_str()).collect();
    let mut wrong = undeclared("parameter", &names, given.iter().map(|parameter| parameter.name.as_str()));
    let variables = declared.iter().map(|declared| {
        let name = &declared.parameter.name;
        let value = given.iter().find(|given| given.name == *name);
        variable(declared, value, budget).unwrap_or_else(|what| {
            wrong.push(format!("parameter {name} {what}"));
            Variable::default()
        })
    });
    (variables.collect(), wrong)
}

fn variable(
    declared: &Declared<'_>,
    given: Option<&ParameterValue>,
    budget: &mut Budget,
) -> Result<Variable, String> {
    let parameter = declared.parameter;
    let plain = |value| Variable { name: parameter.name.clone(), value, ..Variable::default() };
    let required = parameter.required == Some(true);
    if let Some(from) = given.and_then(|given| given.value_from.as_ref()) {
        let value_from = Some(referred(parameter, from, required)?.clone());
        return Ok(Variable { name: parameter.name.clone(), value_from, ..Variable::default() });
    }
    if let Some(value) = given.and_then(|given| given.value.as_ref()) {
        return fits(declared, value, budget).map(|text| plain(Some(text)));
    }
    match &declared.default {
        Some(default) => Ok(plain(Some(default.clone()))),
        None if required => Err("is required, and no value is given: give one in spec.parameters".into()),
        None => Ok(plain(None)),
    }
}

/// The operator does not read such a value, so the template must have no rule for it.
fn referred<'a>(parameter: &Parameter, from: &'a ValueFrom, required: bool) -> Result<&'a ValueFrom, String> {
    let secret = kind(parameter) == ParameterType::Secret;
    let optional = [&from.secret_key_ref, &from.config_map_key_ref]
        .into_iter()
        .flatten()
        .any(|key| key.optional == Some(true));
    if required && optional {
        return Err("is required, and optional: true in valueFrom could leave it out: remove that".into());
    }
    match (secret, &from.secret_key_ref) {
        (true, Some(_)) => return Ok(from),
        (true, None) => {
            return Err(
                "has the type Secret: name a key in valueFrom.secretKeyRef, and no ConfigMap's".into()
            );
        }
        (false, Some(_)) => {
            return Err("comes from a Secret, which only parameters of type Secret may: give a value".into());
        }
        (false, None) => {}
    }
    let checked = kind(parameter) != ParameterType::String
        || !parameter.allowed.is_empty()
        || parameter.pattern.is_some()
        || parameter.max_length.is_some();
    if checked {
        return Err("must be checked against its type, enum, pattern and maxLength, and the operator does not read ConfigMaps for that: give a value".into());
    }
    Ok(from)
}

/// The packages by reference, and everything that is wrong with them.
fn choose(declared: &[DeclaredPackage], given: &[Package]) -> (Vec<Package>, Vec<String>) {
    let names: Vec<&str> = declared.iter().map(|declared| declared.name.as_str()).collect();
    let mut wrong = undeclared("package", &names, given.iter().map(|package| package.name.as_str()));
    let packages = declared.iter().map(|declared| {
        let version =
            given.iter().find(|given| given.name == declared.name).and_then(|given| given.version.as_deref());
        let reference = match version {
            None => Err("has no version: give one in spec.packages".to_owned()),
            Some(version) => reference(declared, version),
        };
        let reference =
            reference.map_err(|what| wrong.push(format!("package {} {what}", declared.name))).ok();
        Package { name: declared.name.clone(), reference, version: None }
    });
    (packages.collect(), wrong)
}

/// The package with this version, if the template allows it.
fn reference(declared: &DeclaredPackage, version: &str) -> Result<String, String> {
    let digest = version.contains(':');
    if let Some(versions) = &declared.versions {
        let range = Range::parse(versions)?;
        let tag = (!digest).then(|| versions::version(version)).flatten().ok_or_else(|| {
            format!(
                "has the version {}, which is no semantic version, and the template allows {versions}",
                told(version)
            )
        })?;
        if !range.contains(&tag) {
            return Err(format!("has the version {version}, and the template allows {versions}"));
        }
    }
    let reference = format!("{}{}{version}", declared.repository, if digest { '@' } else { ':' });
    match ImageReference::parse(&reference) {
        Ok(_) => Ok(reference),
        Err(error) => {
            Err(format!("has the version {}, which is neither tag nor digest: {error}", told(version)))
        }
    }
}

/// Says that the name is unknown, and which name was perhaps meant.
fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance);
    let hint = match near {
        Some((_, near)) => format!("did you mean {near}?"),
        None if known.is_empty() => format!("the template has no {what}s"),
        None => format!("the template has {}", known.join(", ")),
    };
    format!("{what} {name} is unknown: {hint}")
}
