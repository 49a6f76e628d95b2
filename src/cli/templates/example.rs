//! An action of a template, to be filled in.

use crate::{
    api::parameters::{Parameter, ParameterType},
    cli::{
        terminal::line,
        view::template::{Template, allowed},
    },
};

/// What a person has to replace.
pub(super) const FILL_IN: &str = "FILL-IN";

/// The action as YAML. What has to be chosen is `FILL-IN`; what may be left out is a comment.
pub(super) fn example(of: &Template, namespace: &str) -> String {
    let mut text = format!(
        "apiVersion: longshore.dev/v1alpha1\nkind: DeploymentAction\nmetadata:\n  name: {FILL_IN}\n  namespace: {}\nspec:\n  templateRef:\n    kind: {}\n    name: {}\n",
        quoted(of.namespace.as_deref().unwrap_or(namespace)),
        of.kind,
        quoted(&of.name)
    );
    if !of.spec.parameters.is_empty() {
        let required = of.spec.parameters.iter().any(is_required);
        text.push_str(if required { "  parameters:\n" } else { "  # parameters:\n" });
        for parameter in &of.spec.parameters {
            text.push_str(&parameter_text(parameter));
        }
    }
    if !of.spec.packages.is_empty() {
        text.push_str("  packages:\n");
        for package in &of.spec.packages {
            let versions = package.versions.as_ref().map(|range| format!("allowed: {}, ", line(range)));
            text.push_str(&format!(
                "    # {}from {}\n    - name: {}\n      version: {FILL_IN}\n",
                versions.unwrap_or_default(),
                line(&package.repository),
                quoted(&package.name)
            ));
        }
    }
    text.push_str(
        "  # A new text starts another run, such as the name of a release.\n  # runToken: release-1\n",
    );
    text
}

fn is_required(parameter: &Parameter) -> bool {
    parameter.required == Some(true)
}

fn parameter_text(parameter: &Parameter) -> String {
    let kind = parameter.kind.unwrap_or_default();
    let mut about = vec![format!("{kind:?}")];
    about.push(if is_required(parameter) { "required".to_owned() } else { "may be left out".to_owned() });
    about.extend(parameter.default.as_ref().map(|default| format!("default {default}")));
    about.extend(Some(allowed(parameter)).filter(|rules| !rules.is_empty()));
    let description = parameter.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    let mut text = format!("    # {}{}\n", line(&about.join(", ")), line(&description));
    let body = match kind {
        ParameterType::Secret => format!(
            "- name: {}\n  valueFrom:\n    secretKeyRef:\n      name: {FILL_IN}\n      key: {FILL_IN}\n",
            quoted(&parameter.name)
        ),
        _ => format!("- name: {}\n  value: {}\n", quoted(&parameter.name), value(parameter, kind)),
    };
    let before = if is_required(parameter) { "    " } else { "    # " };
    for body_line in body.lines() {
        text.push_str(&format!("{before}{body_line}\n"));
    }
    text
}

/// A value that the template allows, if it says one.
fn value(parameter: &Parameter, kind: ParameterType) -> String {
    let named = parameter.default.as_ref().or_else(|| parameter.allowed.first()).map(ToString::to_string);
    let text = named.unwrap_or_else(|| match kind {
        ParameterType::Integer => parameter.minimum.or(parameter.maximum).unwrap_or_default().to_string(),
        ParameterType::Boolean => "false".to_owned(),
        ParameterType::String | ParameterType::Secret => FILL_IN.to_owned(),
    });
    if kind == ParameterType::Integer { text } else { quoted(&text) }
}

/// A text as YAML reads it back. JSON's quotes are YAML's, too.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    let begins = text.chars().next().is_some_and(|first| first.is_ascii_alphabetic());
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if begins && text.chars().all(plain) && !word.contains(&text.to_lowercase().as_str()) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
