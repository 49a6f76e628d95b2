//! What the page writes, if it was started so. Each write is that of the plugin's command of the same name.

use axum::{
    Extension,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    ask::Ask,
    given::Given,
    pages::{confirm, layout::Place, parts::action_path},
    reads::{filled, filled_in, template},
    request::{Form, field},
    state::{App, Failure, Shared, answer},
};
use crate::cli::{act, error::CliError, run::apply::apply as write, view::summary::has_ended};

type Answer = Result<Response, Failure>;

fn parse(verb: &str) -> Result<Ask, CliError> {
    Ask::parse(verb).ok_or_else(|| CliError::NotFound("there is no page of this address".to_owned()))
}

/// Asks whether it is meant.
pub(super) async fn question(
    State(app): State<Shared>,
    Path((namespace, name, verb)): Path<(String, String, String)>,
) -> Answer {
    let ask = parse(&verb)?;
    let session = app.session_of(&namespace, "action", &name)?;
    let action = session.action(&name).await?;
    let run = action.status.as_ref().and_then(|status| status.run.as_ref()).filter(|run| !has_ended(run));
    let run = run.map(|run| run.number).filter(|_| ask == Ask::Cancel);
    if ask == Ask::Cancel && run.is_none() {
        let words = format!("no run of {name} is under way, so nothing can be cancelled");
        return Err(CliError::Refused(words).into());
    }
    let token = Timestamp::now().to_string();
    let csrf = app.guard.csrf();
    let question = confirm::Question { ask, namespace: &namespace, name: &name, run, token: &token, csrf };
    let title = format!("{} {name}?", ask.words().0);
    Ok(answer(&title, Place::Actions, &confirm::main(question)))
}

/// Does it.
pub(super) async fn ask(
    State(app): State<Shared>,
    Path((namespace, name, verb)): Path<(String, String, String)>,
    form: Extension<Form>,
) -> Answer {
    let ask = parse(&verb)?;
    let session = app.session_of(&namespace, "action", &name)?;
    match ask {
        Ask::Rerun => {
            let token = Some(field(&form, "token")).filter(|token| !token.is_empty());
            Box::pin(act::rerun(&session, &name, token)).await?
        }
        Ask::Cancel => {
            // Only the run that the person saw: another one may have begun meanwhile.
            let run = field(&form, "run").parse().map_err(|_| {
                CliError::Usage("the form does not say which run to cancel: load the page again".to_owned())
            })?;
            act::cancel(&session, &name, Some(run)).await?
        }
        Ask::Suspend => act::suspend(&session, &name).await?,
        Ask::Resume => act::resume(&session, &name).await?,
    };
    let path = format!("{}?done={}", action_path(&namespace, &name), ask.verb());
    Ok(Redirect::to(&path).into_response())
}

pub(super) async fn apply_of_namespace(
    State(app): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    Extension(Form(fields)): Extension<Form>,
) -> Answer {
    apply(&app, Some(&namespace), &name, &fields).await
}

pub(super) async fn apply_of_cluster(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Extension(Form(fields)): Extension<Form>,
) -> Answer {
    apply(&app, None, &name, &fields).await
}

async fn apply(app: &App, namespace: Option<&str>, name: &str, fields: &[(String, String)]) -> Answer {
    let (_, template) = template(app, namespace, name).await?;
    let given = Given::of(fields);
    let applied = match filled_in(app, &template, &given) {
        Ok((session, action)) => write(&session, &action, false).await,
        Err(error) => Err(error),
    };
    Ok(match applied {
        Ok(applied) => {
            Redirect::to(&action_path(&given.namespace, &applied.action.name_any())).into_response()
        }
        Err(error) => filled(app, &template, &given, Some(&error.to_string()), None),
    })
}
