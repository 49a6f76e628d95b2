//! The action that `run` applies. All mistakes are found before anything is written, as far as that is possible.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::{
        DeploymentAction, Reason,
        action::{KeyRef, ValueFrom},
        packages::Package,
        parameters::{ParameterValue, Scalar},
        template::{TemplateKind, TemplateRef},
    },
    cli::{
        act::place,
        connect::Session,
        documents::{Document, read},
        error::CliError,
        templates::find,
        terminal::{lines, tell},
        trial::{blocked, misfit},
        view::template::Template,
    },
    operator::spec::expand::{self, Lookup},
};

/// A UID for checks that need one. The API server gives the real one.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// What an action of a template gives.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "With --template")]
pub(in crate::cli) struct Values {
    /// Take the cluster's template, also if the namespace has one of this name.
    #[arg(long, requires = "template")]
    pub(in crate::cli) cluster_template: bool,
    /// A parameter's value. Repeat it for each parameter.
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", requires = "template")]
    pub(in crate::cli) parameters: Vec<String>,
    /// The key of a Secret that holds the value of a parameter of type Secret.
    #[arg(long = "secret-parameter", value_name = "NAME=SECRET/KEY", requires = "template")]
    pub(in crate::cli) secret_parameters: Vec<String>,
    /// A package's version. Repeat it for each package.
    #[arg(long = "package", value_name = "NAME=VERSION", requires = "template")]
    pub(in crate::cli) packages: Vec<String>,
    /// The action's name. Default: a new name that begins with the template's.
    #[arg(long, requires = "template")]
    pub(in crate::cli) name: Option<String>,
}

/// The action of a file, and the session of its namespace.
pub(in crate::cli) async fn of_file(session: &Session, file: &Path) -> Result<(Session, Value), CliError> {
    let document = only_action(read(&[PathBuf::from(file)])?, &file.display().to_string())?;
    let session = Session { namespace: document.namespace(session).to_owned(), ..session.clone() };
    let mut object = document.object;
    object["metadata"]["namespace"] = session.namespace.clone().into();
    // What cannot be read here is for the API server to refuse.
    if let Ok(action) = serde_json::from_value::<DeploymentAction>(object.clone())
        && action.spec.template_ref.is_some()
    {
        match blocked(&session, &checkable(action)).await {
            Ok(Some(mistakes)) => return Err(refusal(&document.place, &mistakes, "")),
            Ok(None) => {}
            Err(CliError::Forbidden(denied)) => tell(&format!("not compared with its template: {denied}")),
            Err(error) => return Err(error),
        }
    }
    Ok((session, object))
}

/// The only object of a file, if it is an action.
fn only_action(mut documents: Vec<Document>, file: &str) -> Result<Document, CliError> {
    let is_action = |of: &Document| {
        let group = of.object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
        of.kind() == "DeploymentAction" && group.is_some_and(|(group, _)| group == crate::api::GROUP)
    };
    let (actions, others): (Vec<&Document>, Vec<&Document>) = documents.iter().partition(|of| is_action(of));
    let advice = if actions.is_empty() {
        "write an action: kubectl longshore templates describe NAME --example prints one"
    } else if !others.is_empty() {
        "apply the other objects before, with kubectl apply -f, and name a file with the action alone"
    } else {
        "name a file for each action, or apply them with kubectl apply -f"
    };
    if documents.len() > 1 || actions.is_empty() {
        let found: Vec<String> =
            documents.iter().map(|of| format!("  {} {} ({})", of.kind(), of.name(), of.place)).collect();
        return Err(CliError::Usage(format!(
            "run takes one DeploymentAction, and {file} has:\n{}\n{advice}",
            lines(&found.join("\n"))
        )));
    }
    Ok(documents.remove(0))
}

/// An action of a template with these values, and the session of its namespace.
pub(in crate::cli) async fn of_template(
    session: &Session,
    name: &str,
    values: &Values,
) -> Result<(Session, Value), CliError> {
    let template = match find(session, name, values.cluster_template).await {
        Ok(template) => Some(template),
        // Who may not read it may still be allowed to use it.
        Err(CliError::Forbidden(denied)) => {
            tell(&format!("the values are not compared with the template: {denied}"));
            None
        }
        Err(error) => return Err(error),
    };
    let flag = if values.cluster_template { " --cluster-template" } else { "" };
    let advice = format!(
        "\nkubectl longshore templates describe {name}{flag}{} says what it asks for; give values with -p NAME=VALUE, \
         --secret-parameter NAME=SECRET/KEY and --package NAME=VERSION",
        place(session)
    );
    let object = made(session, name, template, values, &advice)?;
    Ok((session.clone(), object))
}

/// An action of a template with these values. `advice` says what to do about mistakes.
pub(in crate::cli) fn made(
    session: &Session,
    name: &str,
    template: Option<Template>,
    values: &Values,
    advice: &str,
) -> Result<Value, CliError> {
    let kind = match (&template, values.cluster_template) {
        (Some(template), _) => template.kind,
        (None, true) => TemplateKind::ClusterDeploymentActionTemplate,
        (None, false) => TemplateKind::DeploymentActionTemplate,
    };
    let (action, unreadable) = fill_in(kind, name, values);
    mistakes(&action, template, &unreadable, advice)?;
    let mut metadata = match &values.name {
        Some(name) => json!({"name": name}),
        None => json!({"generateName": format!("{name}-")}),
    };
    metadata["namespace"] = session.namespace.clone().into();
    let mut spec = json!({"templateRef": action.spec.template_ref});
    let lists = [
        ("parameters", json!(action.spec.parameters), action.spec.parameters.is_empty()),
        ("packages", json!(action.spec.packages), action.spec.packages.is_empty()),
    ];
    for (field, list, _) in lists.into_iter().filter(|(_, _, empty)| !empty) {
        spec[field] = list;
    }
    Ok(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
        "metadata": metadata, "spec": spec}))
}

/// The action, and what of the flags cannot be read.
fn fill_in(kind: TemplateKind, template: &str, values: &Values) -> (DeploymentAction, Vec<String>) {
    let mut wrong = Vec::new();
    let mut action = DeploymentAction::default();
    // The default kind is left out, as people do.
    let kind = Some(kind).filter(|kind| *kind != TemplateKind::default());
    action.spec.template_ref = Some(TemplateRef { kind, name: template.to_owned() });
    for given in &values.parameters {
        match given.split_once('=') {
            Some((name, value)) if !name.is_empty() => action.spec.parameters.push(ParameterValue {
                name: name.to_owned(),
                value: Some(Scalar::Text(value.to_owned())),
                value_from: None,
            }),
            _ => wrong.push(format!("-p {given}: write NAME=VALUE")),
        }
    }
    for given in &values.secret_parameters {
        match given.split_once('=').and_then(|(name, from)| Some((name, from.split_once('/')?))) {
            Some((name, (secret, key))) if ![name, secret, key].contains(&"") => {
                let key = KeyRef { name: secret.to_owned(), key: key.to_owned(), optional: None };
                action.spec.parameters.push(ParameterValue {
                    name: name.to_owned(),
                    value: None,
                    value_from: Some(ValueFrom { secret_key_ref: Some(key), config_map_key_ref: None }),
                });
            }
            _ => wrong.push(format!("--secret-parameter {given}: write NAME=SECRET/KEY")),
        }
    }
    for given in &values.packages {
        match given.split_once('=') {
            Some((name, version)) if !name.is_empty() && !version.is_empty() => {
                let version = Some(version.to_owned());
                action.spec.packages.push(Package { name: name.to_owned(), reference: None, version });
            }
            _ => wrong.push(format!("--package {given}: write NAME=VERSION")),
        }
    }
    wrong.extend(twice("parameter", action.spec.parameters.iter().map(|of| of.name.as_str())));
    wrong.extend(twice("package", action.spec.packages.iter().map(|of| of.name.as_str())));
    (action, wrong)
}

/// Names that are given more than once.
fn twice<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let mut again: Vec<&str> = names
        .windows(2)
        .filter(|pair| pair.first() == pair.last())
        .filter_map(|pair| pair.first().copied())
        .collect();
    again.dedup();
    again.into_iter().map(|name| format!("{what} {name} is given more than once: give it once")).collect()
}

/// Fails with all mistakes in one message.
fn mistakes(
    action: &DeploymentAction,
    template: Option<Template>,
    unreadable: &[String],
    advice: &str,
) -> Result<(), CliError> {
    let name = action.spec.template_ref.as_ref().map(|of| of.name.clone()).unwrap_or_default();
    let misfit = template.and_then(|of| {
        let found = Lookup::Found(expand::Template {
            kind: of.kind,
            name: of.name,
            uid: of.uid,
            generation: of.generation,
            spec: of.spec,
        });
        misfit(&checkable(action.clone()), Some(&found))
    });
    let place = format!("template {name}");
    match misfit {
        Some((reason, message)) => {
            let all = unreadable.iter().cloned().chain([message]).collect::<Vec<_>>().join("; ");
            Err(refusal(&place, &(reason, all), advice))
        }
        None if unreadable.is_empty() => Ok(()),
        None => Err(CliError::Usage(format!(
            "nothing was applied:\n  {}{advice}",
            lines(&unreadable.join("\n  "))
        ))),
    }
}

/// The action with what the operator's check needs and only the API server gives.
fn checkable(mut action: DeploymentAction) -> DeploymentAction {
    action.metadata.uid.get_or_insert_with(|| NO_UID.to_owned());
    action.metadata.name.get_or_insert_with(|| "new".to_owned());
    action
}

fn refusal(place: &str, (reason, message): &(Reason, String), advice: &str) -> CliError {
    let each: Vec<String> = message.split("; ").map(|fault| format!("  {}", lines(fault))).collect();
    CliError::Refused(format!("nothing was applied ({place}, {reason}):\n{}{advice}", each.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::DeploymentActionTemplate,
        cli::error::{REFUSED, USAGE},
        operator::testing::server::{Seen, failure, server},
    };

    fn template() -> Value {
        json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentActionTemplate",
            "metadata": {"name": "release", "namespace": "shop", "uid": "t-1", "generation": 1},
            "spec": {"image": "registry.example.com/tools:1", "script": {"inline": "true"},
                "parameters": [
                    {"name": "SERVICE", "required": true, "pattern": "^[a-z-]+$"},
                    {"name": "STAGE", "required": true, "enum": ["test", "production"]},
                    {"name": "REPLICAS", "type": "Integer", "default": 2, "maximum": 9},
                    {"name": "TOKEN", "type": "Secret"}],
                "packages": [{"name": "orders", "repository": "registry.example.com/orders", "versions": ">=1.4 <2"}]}})
    }

    fn values(parameters: &[&str], secrets: &[&str], packages: &[&str]) -> Values {
        let all = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Values {
            parameters: all(parameters),
            secret_parameters: all(secrets),
            packages: all(packages),
            ..Values::default()
        }
    }

    async fn made(values: &Values, answer: (u16, Value)) -> (Result<Value, CliError>, Vec<Seen>) {
        let (client, seen) = server(move |_| answer.clone());
        let session = Session { client, namespace: "shop".into(), server: String::new() };
        let made = of_template(&session, "release", values).await.map(|(_, object)| object);
        let seen = seen.lock().unwrap().clone();
        (made, seen)
    }

    #[tokio::test]
    async fn every_mistake_is_in_one_message_and_nothing_is_written() {
        let given =
            values(&["STAGE=prod", "REPLICAS=10", "SERVCE=a", "TOKEN=s3cret", "x"], &[], &["orders=2.0.0"]);
        let (made, seen) = made(&given, (200, template())).await;
        let error = made.unwrap_err();
        assert_eq!(error.code(), REFUSED);
        insta::assert_snapshot!(error);
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(seen.iter().all(|request| request.method == "GET"), "{seen:?}");
    }

    #[tokio::test]
    async fn missing_parameters_are_all_named() {
        let error = made(&values(&[], &[], &[]), (200, template())).await.0.unwrap_err().to_string();
        for words in
            ["parameter SERVICE is required", "parameter STAGE is required", "package orders has no version"]
        {
            assert!(error.contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn values_make_an_action() {
        let given =
            values(&["SERVICE=web", "STAGE=test", "REPLICAS=3"], &["TOKEN=deploy/token"], &["orders=1.5.0"]);
        let object = made(&given, (200, template())).await.0.unwrap();
        assert_eq!(
            object,
            json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
                "metadata": {"generateName": "release-", "namespace": "shop"},
                "spec": {"templateRef": {"name": "release"},
                    "parameters": [
                        {"name": "SERVICE", "value": "web"},
                        {"name": "STAGE", "value": "test"},
                        {"name": "REPLICAS", "value": "3"},
                        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "deploy", "key": "token"}}}],
                    "packages": [{"name": "orders", "version": "1.5.0"}]}})
        );
        let named = Values { name: Some("web".into()), ..given };
        let object = made(&named, (200, template())).await.0.unwrap();
        assert_eq!(object["metadata"], json!({"name": "web", "namespace": "shop"}));
    }

    #[tokio::test]
    async fn who_may_not_read_the_template_may_use_it() {
        let denied = failure(
            403,
            "Forbidden",
            r#"x is forbidden: User "a" cannot get resource "deploymentactiontemplates" in API group "longshore.dev" in the namespace "shop""#,
        );
        let object = made(&values(&["ANY=thing"], &[], &[]), denied.clone()).await.0.unwrap();
        assert_eq!(object["spec"]["templateRef"], json!({"name": "release"}));
        // What no template allows is told all the same.
        let given = values(&["A=1", "A=2", "B"], &["C=secret"], &["p"]);
        let error = made(&given, denied).await.0.unwrap_err();
        assert_eq!(error.code(), USAGE);
        for words in [
            "-p B: write",
            "--secret-parameter C=secret: write",
            "--package p: write",
            "A is given more than once",
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_template_can_be_read() {
        // The tests above would pass with a template that nothing can read.
        let read: DeploymentActionTemplate = serde_json::from_value(template()).unwrap();
        assert_eq!(read.spec.0.parameters.len(), 4);
    }

    fn document(api: &str, kind: &str) -> Document {
        let object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}});
        Document { place: "f.yaml".into(), object }
    }

    #[test]
    fn a_file_has_one_action_and_nothing_else() {
        let action = || document("longshore.dev/v1alpha1", "DeploymentAction");
        assert!(only_action(vec![action()], "f.yaml").is_ok());
        for (documents, advice) in [
            (vec![document("v1", "ConfigMap")], "write an action"),
            (vec![document("example.com/v1", "DeploymentAction")], "write an action"),
            (vec![document("v1", "ConfigMap"), action()], "apply the other objects before"),
            (vec![action(), action()], "name a file for each action"),
        ] {
            let error = only_action(documents, "f.yaml").unwrap_err();
            assert_eq!(error.code(), USAGE);
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
