//! What all requests share.

use std::{sync::Arc, time::Duration};

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use maud::Markup;

use super::{
    guard::Guard,
    names,
    pages::{failure, layout},
    watched::Watched,
};
use crate::cli::{connect::Session, error::CliError};

/// How long a page waits for the first list of actions.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// What all requests share.
pub(super) struct App {
    pub(super) session: Session,
    pub(super) watched: Watched,
    pub(super) guard: Guard,
    /// Whether the page may write.
    pub(super) write: bool,
}

pub(super) type Shared = Arc<App>;

impl App {
    /// A session of this namespace, for an object of this name.
    pub(super) fn session_of(&self, namespace: &str, kind: &str, name: &str) -> Result<Session, CliError> {
        names::check("namespace", namespace)?;
        names::check(kind, name)?;
        Ok(Session { namespace: namespace.to_owned(), ..self.session.clone() })
    }

    /// Waits for the first list of actions, but not for long.
    pub(super) async fn ready(&self) {
        drop(tokio::time::timeout(FIRST_LIST, self.watched.is_read()).await);
    }
}

/// A page.
pub(super) fn answer(title: &str, place: layout::Place, main: &Markup) -> Response {
    Html(layout::page(title, place, main).into_string()).into_response()
}

/// The error of a page.
#[derive(Debug)]
pub(super) struct Failure(CliError);

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self(error)
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (code, title) = match &self.0 {
            CliError::NotFound(_) => (StatusCode::NOT_FOUND, "Not found"),
            CliError::Forbidden(_) | CliError::Unauthorized(_) => {
                (StatusCode::FORBIDDEN, "A right is missing")
            }
            CliError::Refused(_) | CliError::Usage(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Refused"),
            CliError::NotInstalled(_) => (StatusCode::NOT_FOUND, "Longshore is not installed"),
            CliError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "No answer"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "It did not work"),
        };
        let main = failure::main(title, &self.0.to_string());
        (code, answer(title, layout::Place::Other, &main)).into_response()
    }
}
