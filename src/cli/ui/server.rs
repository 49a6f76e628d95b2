//! The routes, and what each request has to pass.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    Method, StatusCode,
    header::{CONTENT_TYPE, LOCATION, SET_COOKIE},
};

use super::{
    assets,
    guard::{CSRF, Entry, protect},
    live, log, reads,
    request::Form,
    state::{Failure, Shared},
    writes,
};
use crate::cli::error::CliError;

/// The longest form, in bytes.
const LONGEST_FORM: usize = 1024 * 1024;

/// All routes. Whatever is asked for has to pass the guard first.
pub(super) fn router(app: Shared) -> Router {
    let writing = Router::new()
        .route("/actions/{namespace}/{name}/{verb}", get(writes::question).post(writes::ask))
        .route("/templates/of/{namespace}/{name}/apply", post(writes::apply_of_namespace))
        .route("/templates/cluster/{name}/apply", post(writes::apply_of_cluster))
        .route_layer(from_fn_with_state(Arc::clone(&app), may_write));
    Router::new()
        .route("/", get(reads::list))
        .route("/events", get(live::list))
        .route("/actions/{namespace}/{name}", get(reads::action))
        .route("/actions/{namespace}/{name}/events", get(live::action))
        .route("/actions/{namespace}/{name}/log", get(log::lines))
        .route("/actions/{namespace}/{name}/log.txt", get(log::text))
        .route("/actions/{namespace}/{name}/compare", get(reads::compare))
        .route("/locks", get(reads::locks))
        .route("/templates", get(reads::templates))
        .route("/templates/of/{namespace}/{name}", get(reads::template_of_namespace))
        .route("/templates/of/{namespace}/{name}/preview", post(reads::preview_of_namespace))
        .route("/templates/cluster/{name}", get(reads::template_of_cluster))
        .route("/templates/cluster/{name}/preview", post(reads::preview_of_cluster))
        .route("/assets/{name}", get(assets::asset))
        .merge(writing)
        .fallback(nothing)
        .layer(from_fn_with_state(Arc::clone(&app), guarded))
        .with_state(app)
}

async fn nothing() -> Response {
    Failure::from(CliError::NotFound("there is no page of this address".to_owned())).into_response()
}

async fn guarded(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = match app.guard.judge(request.method(), request.uri(), request.headers()) {
        Entry::Pass => with_form(&app, request, next).await,
        Entry::Enter(cookie) => {
            (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())]).into_response()
        }
        Entry::Inside => (StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response(),
        Entry::Refuse(code, why) => plain(code, why),
    };
    protect(response.headers_mut());
    response
}

/// Reads a form, and refuses one that did not come from here.
async fn with_form(app: &Shared, request: Request, next: Next) -> Response {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return next.run(request).await;
    }
    let (mut head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_FORM).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the form is longer than 1 MiB");
    };
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let csrf = form.iter().find(|(name, _)| name == CSRF).map(|(_, value)| value.as_str());
    if !app.guard.is_ours(csrf) {
        return plain(StatusCode::FORBIDDEN, "the form did not come from this page: load the page again");
    }
    head.extensions.insert(Form(Arc::new(form)));
    next.run(Request::from_parts(head, Body::empty())).await
}

async fn may_write(State(app): State<Shared>, request: Request, next: Next) -> Response {
    if app.write {
        return next.run(request).await;
    }
    let words = "the page is read-only\nend it with Ctrl-C, and start kubectl longshore ui --write";
    let mut response = Failure::from(CliError::Refused(words.to_owned())).into_response();
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

fn plain(code: StatusCode, words: &'static str) -> Response {
    (code, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{words}\n")).into_response()
}
