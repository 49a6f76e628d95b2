//! `kubectl longshore templates`: the templates that actions here may use, and what they ask for.

mod example;

use std::fmt::Debug;

use clap::{Args, Subcommand};
use k8s_openapi::{NamespaceResourceScope, jiff::Timestamp};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;

use self::example::example;
use super::{
    connect::Session,
    error::CliError,
    lookup::nearest,
    output::Format,
    pages::all,
    right::Denied,
    table::{Cell, Table},
    terminal::{TITLE, Terminal, line, lines, print, tell},
    view::{
        duration::age,
        template::{Template, allowed},
    },
};
use crate::api::{
    ClusterDeploymentActionTemplate, DeploymentActionTemplate,
    action::Script,
    parameters::ParameterType,
    template::{TemplateKind, TemplateSpec},
};

/// Lists templates: those of the namespace and those of the cluster. `describe` says what one asks for.
#[derive(Debug, Args)]
pub(super) struct Templates {
    #[command(subcommand)]
    which: Option<Which>,
    /// List the templates of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Say what a template runs, and which parameters and packages an action of it gives.
    Describe {
        /// The template's name. If the namespace and the cluster have one of this name, it is the namespace's.
        name: String,
        /// Take the cluster's template.
        #[arg(long)]
        cluster_template: bool,
        /// Print an action to fill in instead.
        #[arg(long)]
        example: bool,
    },
}

impl Templates {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let Some(Which::Describe { name, cluster_template, example: wants_example }) = &self.which else {
            return self.list(session).await;
        };
        let template = find(session, name, *cluster_template).await?;
        if *wants_example {
            print(&example(&template, &session.namespace))
        } else if let Some(form) = self.output {
            print(&form.text(&template)?)
        } else {
            print(&described(&template, &session.namespace, &Terminal::stdout()))
        }
    }

    async fn list(&self, session: &Session) -> Result<(), CliError> {
        let (templates, denied) = listed(session, self.all_namespaces).await?;
        if let Some(denied) = denied {
            tell(&format!("the cluster's templates are not shown: {denied}"));
        }
        if let Some(form) = self.output {
            return print(&form.text(&templates)?);
        }
        if templates.is_empty() {
            tell("no templates");
            return Ok(());
        }
        print(&table(&templates, self.all_namespaces, Timestamp::now()).text(&Terminal::stdout(), "", true))
    }
}

/// The templates of the namespace or of all, and those of the cluster: or the right that is missing for the latter.
pub(super) async fn listed(
    session: &Session,
    all_namespaces: bool,
) -> Result<(Vec<Template>, Option<Box<Denied>>), CliError> {
    let client = session.client.clone();
    let own: Api<DeploymentActionTemplate> = if all_namespaces {
        Api::all(client.clone())
    } else {
        Api::namespaced(client.clone(), &session.namespace)
    };
    let everyones: Api<ClusterDeploymentActionTemplate> = Api::all(client);
    let (own, everyones) = futures::join!(read(&own), read(&everyones));
    let mut templates = own?;
    match everyones {
        Ok(everyones) => {
            templates.extend(everyones);
            Ok((templates, None))
        }
        // A role of the namespace alone lets nobody read these.
        Err(CliError::Forbidden(denied)) => Ok((templates, Some(denied))),
        Err(other) => Err(other),
    }
}

async fn read<K>(api: &Api<K>) -> Result<Vec<Template>, CliError>
where
    K: Clone + DeserializeOwned + Debug + Into<Template>,
{
    let found = all(api, ListParams::default(), |_| true).await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// The template of this name: the namespace's, or else the cluster's.
pub(super) async fn find(session: &Session, name: &str, cluster: bool) -> Result<Template, CliError> {
    let own: Api<DeploymentActionTemplate> = Api::namespaced(session.client.clone(), &session.namespace);
    let everyones: Api<ClusterDeploymentActionTemplate> = Api::all(session.client.clone());
    if !cluster && let Some(template) = own.get_opt(name).await? {
        return Ok(template.into());
    }
    match everyones.get_opt(name).await {
        Ok(Some(template)) => return Ok(template.into()),
        Err(error) if cluster => return Err(error.into()),
        // Somebody who may not read the cluster's templates is told about those of the namespace.
        Ok(None) | Err(_) => {}
    }
    if cluster {
        let names = everyones.list_metadata(&ListParams::default()).await.map(|list| list.items);
        let names = names.unwrap_or_default().iter().map(ResourceExt::name_any).collect();
        let near = nearest(name, names).join(", ");
        let near = if near.is_empty() { String::new() } else { format!("\nnames like it: {near}") };
        return Err(CliError::NotFound(format!("the cluster has no template {name}{near}")));
    }
    Err(missing(session, name, &own).await)
}

async fn missing<K>(session: &Session, name: &str, own: &Api<K>) -> CliError
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    session.missing("template", name, own, &Api::all(session.client.clone())).await
}

fn table(templates: &[Template], namespaces: bool, now: Timestamp) -> Table {
    let mut header = vec!["NAME", "OF", "PARAMETERS", "PACKAGES", "IMAGE", "GENERATION", "AGE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&header);
    for of in templates {
        let place = match of.kind {
            TemplateKind::DeploymentActionTemplate => "namespace",
            TemplateKind::ClusterDeploymentActionTemplate => "cluster",
        };
        let mut row = vec![
            Cell::of(&of.name),
            Cell::of(place),
            Cell::number(Some(of.spec.parameters.len())),
            Cell::number(Some(of.spec.packages.len())),
            Cell::of(&of.spec.image),
            Cell::number(Some(of.generation)),
            Cell::of(of.created.map(|time| age(time, now)).unwrap_or_default()),
        ];
        if namespaces {
            row.insert(0, Cell::of(of.namespace.as_deref().unwrap_or_default()));
        }
        table.add(row);
    }
    table
}

fn described(of: &Template, namespace: &str, terminal: &Terminal) -> String {
    let mut text = String::new();
    let mut field = |title: &str, value: &str| {
        if !value.is_empty() {
            let title = format!("{title}:");
            text.push_str(&format!("{}{}\n", terminal.paint(TITLE, &format!("{title:<13}")), line(value)));
        }
    };
    field("Name", &of.name);
    field("Kind", of.kind.as_str());
    field("Namespace", of.namespace.as_deref().unwrap_or_default());
    field("Generation", &of.generation.to_string());
    field("Image", &of.spec.image);
    field("Runs", &runs(&of.spec));
    field("Acts as", of.spec.service_account_name.as_deref().unwrap_or_default());
    let outputs: Vec<&str> = of.spec.outputs.iter().map(|output| output.name.as_str()).collect();
    field("Outputs", &outputs.join(", "));
    let mut section = |title: &str, table: &Table| {
        if !table.is_empty() {
            text.push_str(&format!("{}\n{}", terminal.paint(TITLE, title), table.text(terminal, "  ", true)));
        }
    };
    section("Parameters:", &parameters(&of.spec));
    section("Packages:", &packages(&of.spec));
    if let Some(script) = of.spec.script.as_ref().and_then(|script| script.inline.as_ref()) {
        text.push_str(&format!("{}\n", terminal.paint(TITLE, "Script:")));
        for script_line in lines(script).lines() {
            text.push_str(&format!("  {script_line}\n"));
        }
    }
    let cluster = if of.namespace.is_none() { " --cluster-template" } else { "" };
    text.push_str(&format!(
        "an action to fill in: kubectl longshore templates describe {}{cluster} -n {namespace} --example\n",
        line(&of.name)
    ));
    text
}

/// What a template runs, in words.
pub(super) fn runs(spec: &TemplateSpec) -> String {
    match (&spec.command, &spec.script) {
        (Some(command), _) => [command.clone(), spec.args.clone()].concat().join(" "),
        (None, Some(Script { config_map_key_ref: Some(from), .. })) => {
            format!("the script of the ConfigMap {}, key {}", from.name, from.key)
        }
        _ => "a script".to_owned(),
    }
}

fn parameters(spec: &TemplateSpec) -> Table {
    let mut table = Table::new(&["NAME", "TYPE", "REQUIRED", "DEFAULT", "ALLOWED", "DESCRIPTION"]);
    for of in &spec.parameters {
        let kind: ParameterType = of.kind.unwrap_or_default();
        table.add(vec![
            Cell::of(&of.name),
            Cell::of(format!("{kind:?}")),
            Cell::of(if of.required == Some(true) { "yes" } else { "no" }),
            Cell::number(of.default.as_ref()),
            Cell::of(allowed(of)),
            Cell::of(of.description.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn packages(spec: &TemplateSpec) -> Table {
    let mut table = Table::new(&["NAME", "VERSIONS", "REPOSITORY"]);
    for of in &spec.packages {
        table.add(vec![
            Cell::of(&of.name),
            Cell::of(of.versions.as_deref().unwrap_or("any")),
            Cell::of(&of.repository),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
