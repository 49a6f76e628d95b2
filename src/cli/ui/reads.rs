//! The pages that only read.

use std::collections::BTreeSet;

use axum::{
    Extension,
    extract::{Path, State},
    response::Response,
};
use http::Uri;
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::Api;

use super::{
    ask::Ask,
    filter::Filter,
    given::Given,
    names,
    pages::{self, layout::Place},
    request::{Form, parameter},
    state::{App, Failure, Shared, answer},
    watched::Scope,
};
use crate::cli::{
    connect::Session,
    describe::found::Found,
    error::CliError,
    locks::leases_of_locks,
    output::Format,
    run::wanted::made,
    templates::{find, listed},
    view::{locks::locks as of_locks, template::Template},
};

type Answer = Result<Response, Failure>;

fn number(uri: &Uri, name: &str) -> Option<u32> {
    parameter(uri, name)?.parse().ok()
}

pub(super) async fn list(State(app): State<Shared>, uri: Uri) -> Answer {
    app.ready().await;
    let filter = Filter::of(uri.query().unwrap_or_default());
    // The state first: what changes meanwhile is told afterwards.
    let revision = app.watched.revision();
    let all = app.watched.all();
    let namespaces: BTreeSet<String> = all.iter().filter_map(|of| of.metadata.namespace.clone()).collect();
    let namespaces: Vec<String> = namespaces.into_iter().collect();
    let problem = app.watched.problem();
    let around = pages::list::Around {
        filter: &filter,
        scope: app.watched.scope(),
        revision,
        namespaces: &namespaces,
        problem: problem.as_deref(),
        server: &app.session.server,
    };
    let main = pages::list::main(&filter.page_of(all), &around, Timestamp::now());
    Ok(answer("Actions", Place::Actions, &main))
}

pub(super) async fn action(
    State(app): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    uri: Uri,
) -> Answer {
    let session = app.session_of(&namespace, "action", &name)?;
    let revision = app.watched.revision();
    let found = Found::read(&session, &name).await?;
    let done = parameter(&uri, "done").and_then(|verb| Ask::parse(&verb)).map(Ask::done);
    let shown = pages::action::Shown {
        run: number(&uri, "run"),
        attempt: number(&uri, "attempt"),
        write: app.write,
        done,
        revision,
    };
    Ok(answer(&name, Place::Actions, &pages::action::main(&found, shown, Timestamp::now())))
}

pub(super) async fn compare(
    State(app): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    uri: Uri,
) -> Answer {
    let session = app.session_of(&namespace, "action", &name)?;
    let action = session.action(&name).await?;
    let history = action.status.map(|status| status.history).unwrap_or_default();
    let past = |parameter: &str| {
        let number = number(&uri, parameter);
        history.iter().find(|past| Some(past.number) == number).ok_or_else(|| {
            let runs: Vec<String> = history.iter().map(|past| past.number.to_string()).collect();
            let have = if runs.is_empty() { "none".to_owned() } else { runs.join(", ") };
            CliError::NotFound(format!(
                "the history of {name} has no such run: choose two of its runs\nit has: {have}"
            ))
        })
    };
    let main = pages::compare::main(&namespace, &name, past("one")?, past("other")?);
    Ok(answer(&format!("{name}: two runs"), Place::Actions, &main))
}

pub(super) async fn locks(State(app): State<Shared>) -> Answer {
    app.ready().await;
    let client = app.session.client.clone();
    let leases: Api<Lease> = match app.watched.scope() {
        Scope::Cluster => Api::all(client),
        Scope::Namespace(namespace, _) => Api::namespaced(client, namespace),
    };
    let revision = app.watched.revision();
    let leases = leases_of_locks(&leases).await;
    let actions = app.watched.all();
    let locks = of_locks(actions.iter().map(AsRef::as_ref), &leases);
    let main = pages::locks::main(&locks, app.watched.scope(), revision, Timestamp::now());
    Ok(answer("Locks", Place::Locks, &main))
}

pub(super) async fn templates(State(app): State<Shared>) -> Answer {
    let (templates, unread) = match listed(&app.session, true).await {
        // Somebody with rights in one namespace sees that one's.
        Err(CliError::Forbidden(_)) => listed(&app.session, false).await?,
        all => all?,
    };
    let unread = unread.map(|denied| denied.to_string());
    let main = pages::templates::main(&templates, unread.as_deref(), Timestamp::now());
    Ok(answer("Templates", Place::Templates, &main))
}

/// A template, and the session of the namespace that its form begins with.
pub(super) async fn template(
    app: &App,
    namespace: Option<&str>,
    name: &str,
) -> Result<(Session, Template), CliError> {
    let session = app.session_of(namespace.unwrap_or(&app.session.namespace), "template", name)?;
    let template = find(&session, name, namespace.is_none()).await?;
    Ok((session, template))
}

pub(super) async fn template_of_namespace(
    State(app): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer {
    form(&app, Some(&namespace), &name).await
}

pub(super) async fn template_of_cluster(State(app): State<Shared>, Path(name): Path<String>) -> Answer {
    form(&app, None, &name).await
}

async fn form(app: &App, namespace: Option<&str>, name: &str) -> Answer {
    let (session, template) = template(app, namespace, name).await?;
    let given = Given::nothing(&session.namespace);
    Ok(filled(app, &template, &given, None, None))
}

/// The form with what was filled in, and what came of it.
pub(super) fn filled(
    app: &App,
    template: &Template,
    given: &Given,
    wrong: Option<&str>,
    yaml: Option<&str>,
) -> Response {
    let shown = pages::form::Shown { given, wrong, yaml, write: app.write, csrf: app.guard.csrf() };
    answer(&template.name, Place::Templates, &pages::form::main(template, shown))
}

pub(super) async fn preview_of_namespace(
    State(app): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    Extension(Form(fields)): Extension<Form>,
) -> Answer {
    preview(&app, Some(&namespace), &name, &fields).await
}

pub(super) async fn preview_of_cluster(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Extension(Form(fields)): Extension<Form>,
) -> Answer {
    preview(&app, None, &name, &fields).await
}

async fn preview(app: &App, namespace: Option<&str>, name: &str, fields: &[(String, String)]) -> Answer {
    let (_, template) = template(app, namespace, name).await?;
    let given = Given::of(fields);
    Ok(match filled_in(app, &template, &given) {
        Ok((_, action)) => {
            let yaml = Format::Yaml.text(&action)?;
            filled(app, &template, &given, None, Some(&yaml))
        }
        Err(error) => filled(app, &template, &given, Some(&error.to_string()), None),
    })
}

/// The action that was filled in, and the session of its namespace.
pub(super) fn filled_in(
    app: &App,
    template: &Template,
    given: &Given,
) -> Result<(Session, serde_json::Value), CliError> {
    names::check("namespace", &given.namespace)?;
    if !given.name.is_empty() {
        names::check("action", &given.name)?;
    }
    let session = Session { namespace: given.namespace.clone(), ..app.session.clone() };
    let values = given.values(template.namespace.is_none());
    let action = made(&session, &template.name, Some(template.clone()), &values, "")?;
    Ok((session, action))
}
