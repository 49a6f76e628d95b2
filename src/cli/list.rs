//! `kubectl longshore list`: the actions, the latest activity first.

use std::{cmp::Reverse, collections::HashMap, fmt::Debug};

use clap::Args;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    core::ApiResource,
    runtime::watcher,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    connect::Session,
    error::CliError,
    output::{Format, Output, list, shown},
    pages::each,
    table::{Cell, Table, row_text},
    terminal::{Terminal, print, tell},
    view::{
        duration::age,
        summary::{Summary, Tone},
    },
};
use crate::{
    api::{DeploymentAction, GROUP, Phase},
    lasting_watch::lasting_watch,
};

/// Lists actions, the latest activity first.
#[derive(Debug, Args)]
pub(super) struct List {
    /// List the actions of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Print wide, json, yaml, name or jsonpath=TEMPLATE. Default: a table.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Output>,
    /// Go on, and print each change.
    #[arg(short, long)]
    watch: bool,
    /// List only actions in these phases, such as Running,Failed.
    #[arg(long, value_name = "PHASE", value_delimiter = ',', value_parser = phase)]
    phase: Vec<Phase>,
    /// List only actions with these labels, such as app=orders.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Print no titles.
    #[arg(long)]
    no_headers: bool,
}

fn phase(text: &str) -> Result<Phase, String> {
    let known = <Phase as strum::VariantArray>::VARIANTS;
    known.iter().copied().find(|phase| phase.to_string().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        format!("there is no phase {text}: write one of {}", names.join(", "))
    })
}

impl List {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let kind = ApiResource::erase::<DeploymentAction>(&());
        let client = session.client.clone();
        let api: Api<DynamicObject> = if self.all_namespaces {
            Api::all_with(client, &kind)
        } else {
            Api::namespaced_with(client, &session.namespace, &kind)
        };
        if self.watch {
            return self.follow(api).await;
        }
        match &self.output {
            None | Some(Output::Wide | Output::Name) => self.lines(session, &api).await,
            Some(form) => {
                let mut objects = Vec::new();
                let take = |object: DynamicObject| objects.extend(serde_json::to_value(&object).map(shown));
                self.pages(&api, dynamic_phase, take).await?;
                print(&whole(form, &list(&objects))?)
            }
        }
    }

    /// Prints a line for each action.
    async fn lines(&self, session: &Session, api: &Api<DynamicObject>) -> Result<(), CliError> {
        let typed: Api<DeploymentAction> =
            if self.all_namespaces { Api::all(session.client.clone()) } else { session.actions() };
        // Of each page only the lines are kept, so that many actions need little memory.
        let mut rows = Vec::new();
        match self.pages(&typed, typed_phase, |action| rows.push(Summary::of(&action))).await {
            // Another version wrote an action that this one cannot read. The others are read all the same.
            Err(CliError::Kube(error)) if matches!(*error, kube::Error::SerdeError(_)) => {
                rows.clear();
                self.pages(api, dynamic_phase, |object| rows.push(summary(object))).await?;
            }
            read => read?,
        }
        sort(&mut rows);
        if self.output == Some(Output::Name) {
            return print(&rows.iter().map(name).collect::<String>());
        }
        if rows.is_empty() {
            let place = if self.all_namespaces { "the cluster" } else { &session.namespace };
            let such = if self.phase.is_empty() && self.selector.is_none() { "" } else { " such" };
            tell(&format!("no{such} actions in {place}"));
            return Ok(());
        }
        print(&self.table(&rows, Timestamp::now()).text(&Terminal::stdout(), "", !self.no_headers))
    }

    /// Reads all actions that are asked for, page by page.
    async fn pages<K>(
        &self,
        api: &Api<K>,
        phase: impl Fn(&K) -> &str,
        mut take: impl FnMut(K),
    ) -> Result<(), CliError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let mut parameters = ListParams::default();
        parameters.label_selector.clone_from(&self.selector);
        // A field selector names one phase at most.
        if let [phase] = self.phase.as_slice() {
            parameters = parameters.fields(&format!("status.phase={phase}"));
        }
        each(api, parameters, |object| {
            if self.wants(phase(&object)) {
                take(object);
            }
        })
        .await
    }

    fn wants(&self, phase: &str) -> bool {
        self.phase.is_empty() || self.phase.iter().any(|wanted| <&str>::from(wanted) == phase)
    }

    fn table(&self, rows: &[Summary], now: Timestamp) -> Table {
        let mut table = Table::new(&columns(self.all_namespaces, self.output == Some(Output::Wide)));
        for row in rows {
            table.add(self.row(row, now));
        }
        table
    }

    fn row(&self, of: &Summary, now: Timestamp) -> Vec<Cell> {
        let mut row = Vec::new();
        if self.all_namespaces {
            row.push(Cell::of(&of.namespace));
        }
        let ago = |time: Option<Timestamp>| Cell::of(time.map(|time| age(time, now)).unwrap_or_default());
        row.extend([
            Cell::of(&of.name),
            Cell::toned(of.phase_word(), Tone::of(of.phase)),
            Cell::of(&of.reason),
            Cell::number(of.run),
            ago(of.started),
            ago(of.created),
        ]);
        if self.output == Some(Output::Wide) {
            row.extend([
                Cell::number(of.exit),
                Cell::number(of.seconds),
                Cell::of(&of.image),
                Cell::of(&of.pod),
                Cell::of(&of.node),
                Cell::of(&of.message),
            ]);
        }
        row
    }

    /// Prints what is there, and then each change.
    async fn follow(&self, api: Api<DynamicObject>) -> Result<(), CliError> {
        let config = watcher::Config { label_selector: self.selector.clone(), ..watcher::Config::default() };
        let mut events = lasting_watch(api, config);
        let mut printer = Printer { list: self, seen: HashMap::new(), widths: None };
        let mut initial = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => initial.clear(),
                Ok(watcher::Event::InitApply(object)) => initial.push(object),
                Ok(watcher::Event::InitDone) => printer.first(std::mem::take(&mut initial))?,
                Ok(watcher::Event::Apply(object)) => printer.change(&object, false)?,
                Ok(watcher::Event::Delete(object)) => printer.change(&object, true)?,
                Err(error) => lost(error)?,
            }
        }
        Ok(())
    }
}

/// An error of the watch that passes, or that ends the command.
fn lost(error: watcher::Error) -> Result<(), CliError> {
    let told = error.to_string();
    let cause = match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => CliError::from(cause),
        watcher::Error::WatchError(status) if status.code == 410 => return Ok(()),
        watcher::Error::WatchError(status) => CliError::of_status(&status),
        watcher::Error::NoResourceVersion => CliError::Failed(told),
    };
    match cause {
        CliError::Forbidden(_)
        | CliError::Unauthorized(_)
        | CliError::NotInstalled(_)
        | CliError::Refused(_) => Err(cause),
        other => {
            tell(&format!("kubectl longshore: {other}\ntrying again"));
            Ok(())
        }
    }
}

/// Prints changes below a table whose columns are already there.
struct Printer<'a> {
    list: &'a List,
    /// The version of each action that was printed last.
    seen: HashMap<String, Option<String>>,
    widths: Option<Vec<usize>>,
}

impl Printer<'_> {
    /// Prints the actions of a new list. After a gap these are those that changed meanwhile.
    fn first(&mut self, objects: Vec<DynamicObject>) -> Result<(), CliError> {
        let wanted = objects.into_iter().filter(|object| self.list.wants(dynamic_phase(object)));
        let mut new: Vec<DynamicObject> = wanted.filter(|object| self.is_new(object)).collect();
        if self.widths.is_some() || self.prints_objects() {
            return new.iter().try_for_each(|object| self.print(object, false));
        }
        let mut rows: Vec<Summary> = new.drain(..).map(summary).collect();
        sort(&mut rows);
        let table = self.list.table(&rows, Timestamp::now());
        self.widths = Some(table.widths());
        print(&table.text(&Terminal::stdout(), "", !self.list.no_headers))
    }

    fn change(&mut self, object: &DynamicObject, deleted: bool) -> Result<(), CliError> {
        if !self.list.wants(dynamic_phase(object)) || !(self.is_new(object) || deleted) {
            return Ok(());
        }
        self.print(object, deleted)
    }

    fn is_new(&mut self, object: &DynamicObject) -> bool {
        let version = object.resource_version();
        let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        self.seen.insert(key, version.clone()) != Some(version)
    }

    const fn prints_objects(&self) -> bool {
        matches!(self.list.output, Some(Output::Json | Output::Yaml | Output::Name | Output::JsonPath(_)))
    }

    fn print(&self, object: &DynamicObject, deleted: bool) -> Result<(), CliError> {
        match &self.list.output {
            None | Some(Output::Wide) => {
                let summary = summary(object.clone());
                let mut row = self.list.row(&summary, Timestamp::now());
                if deleted && let Some(phase) = row.get_mut(usize::from(self.list.all_namespaces) + 1) {
                    *phase = Cell::toned("(deleted)", Tone::Quiet);
                }
                print(&row_text(&row, self.widths.as_deref().unwrap_or_default(), &Terminal::stdout()))
            }
            Some(Output::Name) => print(&name(&summary(object.clone()))),
            Some(form) => {
                let value = serde_json::to_value(object).map(shown).unwrap_or_default();
                let before = if *form == Output::Yaml { "---\n" } else { "" };
                print(&format!("{before}{}", whole(form, &value)?))
            }
        }
    }
}

fn typed_phase(action: &DeploymentAction) -> &str {
    action.status.as_ref().and_then(|status| status.phase).map_or("", Into::into)
}

fn dynamic_phase(object: &DynamicObject) -> &str {
    object.data.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default()
}

/// An action in one line. Of one that another version wrote in a way that this one cannot read, only the metadata.
fn summary(object: DynamicObject) -> Summary {
    let metadata = object.metadata.clone();
    match object.try_parse::<DeploymentAction>() {
        Ok(action) => Summary::of(&action),
        Err(error) => Summary {
            message: format!("this plugin cannot read the action ({error}): update the plugin"),
            reason: "(not readable)".to_owned(),
            ..Summary::of(&DeploymentAction { metadata, ..DeploymentAction::default() })
        },
    }
}

fn sort(rows: &mut [Summary]) {
    rows.sort_by(|one, other| {
        let key = |row: &Summary| (Reverse(row.active), row.namespace.clone(), row.name.clone());
        key(one).cmp(&key(other))
    });
}

fn name(of: &Summary) -> String {
    format!("deploymentaction.{GROUP}/{}\n", of.name)
}

/// An object, or a list of them, in a form that is no table.
pub(super) fn whole(form: &Output, value: &Value) -> Result<String, CliError> {
    match form {
        Output::Yaml => Format::Yaml.text(value),
        Output::JsonPath(template) => Ok(template.text(value)),
        Output::Json | Output::Wide | Output::Name => Format::Json.text(value),
    }
}

/// The columns: those that the kind's definition has for kubectl.
fn columns(namespaces: bool, wide: bool) -> Vec<&'static str> {
    let mut columns = Vec::new();
    if namespaces {
        columns.push("NAMESPACE");
    }
    columns.extend(["NAME", "PHASE", "REASON", "RUN", "STARTED", "AGE"]);
    if wide {
        columns.extend(["EXIT", "SECONDS", "IMAGE", "POD", "NODE", "MESSAGE"]);
    }
    columns
}

#[cfg(test)]
mod tests;
