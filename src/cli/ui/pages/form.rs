//! A template, with a form for an action of it.

use maud::{Markup, html};

use super::parts::{csrf, fact, problem, template_path};
use crate::{
    api::parameters::{Parameter, ParameterType},
    cli::{
        templates::runs,
        terminal::{line, lines},
        ui::given::Given,
        view::template::{Template, allowed},
    },
};

/// What a form shows beside its template.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli::ui) struct Shown<'a> {
    /// What was filled in.
    pub(in crate::cli::ui) given: &'a Given,
    /// What is wrong with it.
    pub(in crate::cli::ui) wrong: Option<&'a str>,
    /// The action that it makes.
    pub(in crate::cli::ui) yaml: Option<&'a str>,
    pub(in crate::cli::ui) write: bool,
    pub(in crate::cli::ui) csrf: &'a str,
}

/// The main part of the page.
pub(in crate::cli::ui) fn main(of: &Template, shown: Shown<'_>) -> Markup {
    let path = template_path(of.namespace.as_deref(), &of.name);
    html! {
        h1 { (line(&of.name)) " " span.quiet { (of.kind.as_str()) } }
        dl.facts {
            (fact("Namespace", of.namespace.as_deref().unwrap_or_default()))
            (fact("Generation", &of.generation.to_string()))
            (fact("Image", &of.spec.image))
            (fact("Runs", &runs(&of.spec)))
            (fact("Acts as", of.spec.service_account_name.as_deref().unwrap_or_default()))
        }
        @if let Some(script) = of.spec.script.as_ref().and_then(|script| script.inline.as_ref()) {
            details { summary { "Script" } pre.yaml tabindex="0" { (lines(script)) } }
        }
        @if let Some(wrong) = shown.wrong { (problem(wrong)) }
        @if let Some(yaml) = shown.yaml { (preview(&path, yaml, shown)) }
        h2 #form-title { "An action of it" }
        form.values action={ (path) "/preview" } method="post" aria-labelledby="form-title" {
            (csrf(shown.csrf))
            (inputs(of, shown.given))
            button.primary type="submit" { "Show the action" }
        }
    }
}

fn preview(path: &str, yaml: &str, shown: Shown<'_>) -> Markup {
    html! {
        section aria-labelledby="preview-title" {
            h2 #preview-title { "The action" }
            pre.yaml tabindex="0" { (lines(yaml)) }
            @if shown.write {
                form action={ (path) "/apply" } method="post" {
                    (csrf(shown.csrf))
                    @for (name, value) in shown.given.pairs() { input type="hidden" name=(name) value=(value); }
                    button.primary type="submit" { "Apply" }
                }
            } @else {
                p { "The page is read-only. Apply the text with kubectl, or start " code { "kubectl longshore ui --write" } "." }
            }
        }
    }
}

fn inputs(of: &Template, given: &Given) -> Markup {
    html! {
        div.field {
            label for="namespace" { "Namespace" }
            input #namespace type="text" name="namespace" value=(given.namespace) required readonly[of.namespace.is_some()]
                autocomplete="off";
        }
        div.field {
            label for="name" { "Name" }
            input #name type="text" name="name" value=(given.name) autocomplete="off" aria-describedby="name-hint";
            p.quiet #name-hint { "If it is empty, the action gets a new name that begins with the template's." }
        }
        @for parameter in &of.spec.parameters { (input(parameter, given)) }
        @for package in &of.spec.packages {
            @let id = format!("package-{}", package.name);
            div.field {
                label for=(id) { "Version of " (line(&package.name)) }
                input id=(id) type="text" name={ "k." (package.name) } value=(given.value("k.", &package.name))
                    required autocomplete="off" aria-describedby={ (id) "-hint" };
                p.quiet id={ (id) "-hint" } {
                    "allowed: " (line(package.versions.as_deref().unwrap_or("any"))) ", from " (line(&package.repository))
                }
            }
        }
    }
}

fn input(of: &Parameter, given: &Given) -> Markup {
    let kind = of.kind.unwrap_or_default();
    let required = of.required == Some(true);
    let id = format!("parameter-{}", of.name);
    let hint = format!("{id}-hint");
    html! {
        div.field {
            @if kind == ParameterType::Secret {
                fieldset aria-describedby=(hint) {
                    legend { (line(&of.name)) @if required { " (required)" } }
                    label { "Secret" input type="text" name={ "s." (of.name) } value=(given.value("s.", &of.name))
                        required[required] autocomplete="off"; }
                    label { "Key" input type="text" name={ "y." (of.name) } value=(given.value("y.", &of.name))
                        required[required] autocomplete="off"; }
                }
            } @else {
                label for=(id) { (line(&of.name)) @if required { " (required)" } }
                (plain(of, kind, &id, &hint, given.value("p.", &of.name)))
            }
            p.quiet id=(hint) { (hint_words(of, kind)) }
        }
    }
}

fn plain(of: &Parameter, kind: ParameterType, id: &str, hint: &str, value: &str) -> Markup {
    let name = format!("p.{}", of.name);
    let required = of.required == Some(true);
    let choices: Vec<String> = match kind {
        ParameterType::Boolean => vec!["true".to_owned(), "false".to_owned()],
        _ => of.allowed.iter().map(ToString::to_string).collect(),
    };
    let default = of.default.as_ref().map(|default| line(&format!("the default: {default}")).into_owned());
    html! {
        @if !choices.is_empty() {
            select id=(id) name=(name) required[required] aria-describedby=(hint) {
                option value="" { (line(default.as_deref().unwrap_or("choose"))) }
                @for choice in &choices { option value=(choice) selected[choice == value] { (line(choice)) } }
            }
        } @else if kind == ParameterType::Integer {
            input id=(id) type="number" step="1" name=(name) value=(value) required[required] aria-describedby=(hint)
                min=[of.minimum] max=[of.maximum] placeholder=[default];
        } @else {
            // The pattern is RE2's, and may match anywhere. A browser's would be another one.
            input id=(id) type="text" name=(name) value=(value) required[required] aria-describedby=(hint)
                maxlength=[of.max_length] placeholder=[default] autocomplete="off";
        }
    }
}

fn hint_words(of: &Parameter, kind: ParameterType) -> String {
    let rules = allowed(of);
    let parts =
        [Some(format!("{kind:?}")), Some(rules).filter(|rules| !rules.is_empty()), of.description.clone()];
    line(&parts.into_iter().flatten().collect::<Vec<_>>().join(" – ")).into_owned()
}
