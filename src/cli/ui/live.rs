//! Tells open pages what has changed, by server-sent events.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use axum::{
    extract::{Path, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use http::Uri;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::sleep,
};

use super::{
    filter::Filter,
    pages::list,
    request::parameter,
    row::Row,
    state::{App, Shared},
    watched::Change,
};

/// How long changes are gathered before they are told together.
const TOGETHER: Duration = Duration::from_millis(150);
/// With more changes at a time, the page reads all again.
const MANY: usize = 100;

/// The event that has the page read all again.
fn all() -> Event {
    Event::default().event("all").data("")
}

/// What changed in a while: actions, or possibly all.
#[derive(Debug, Default)]
struct Gathered {
    actions: BTreeSet<(String, String)>,
    all: bool,
}

impl Gathered {
    fn add(&mut self, change: Change) {
        match change {
            Change::Action(namespace, name) => drop(self.actions.insert((namespace, name))),
            Change::All => self.all = true,
        }
    }
}

/// Waits for changes, and gathers those that come together. `None` if none come any more.
async fn gather(changes: &mut Receiver<Change>) -> Option<Gathered> {
    let mut gathered = Gathered::default();
    match changes.recv().await {
        Ok(change) => gathered.add(change),
        Err(RecvError::Lagged(_)) => gathered.all = true,
        Err(RecvError::Closed) => return None,
    }
    sleep(TOGETHER).await;
    loop {
        match changes.try_recv() {
            Ok(change) => gathered.add(change),
            Err(TryRecvError::Lagged(_)) => gathered.all = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(gathered),
        }
    }
}

/// The events of a page. If anything has changed since it was made, the first one says so.
fn events(
    app: Shared,
    uri: &Uri,
    tell: impl Fn(&App, Gathered) -> Option<Event> + Send + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let changes = app.watched.changes();
    let since = parameter(uri, "since").and_then(|since| since.parse().ok());
    let missed = (since != Some(app.watched.revision())).then(|| Ok(all()));
    let following = stream::unfold((app, changes, tell), async |(app, mut changes, tell)| {
        loop {
            let gathered = gather(&mut changes).await?;
            if let Some(event) = tell(&app, gathered) {
                return Some((Ok(event), (app, changes, tell)));
            }
        }
    });
    stream::iter(missed).chain(following)
}

fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// The rows of a list that change.
pub(super) async fn list(State(app): State<Shared>, uri: Uri) -> Response {
    let filter = Filter::of(uri.query().unwrap_or_default());
    sse(events(app, &uri, move |app, gathered| {
        if gathered.all || gathered.actions.len() > MANY {
            return Some(all());
        }
        Some(Event::default().event("rows").data(rows(app, &filter, &gathered.actions).to_string()))
    }))
}

/// The rows of these actions as JSON, which has no line break that would end the event.
fn rows(app: &App, filter: &Filter, actions: &BTreeSet<(String, String)>) -> Value {
    let now = Timestamp::now();
    let rows: Vec<Value> = actions
        .iter()
        .map(|(namespace, name)| {
            let action = app.watched.get(namespace, name).filter(|action| filter.fits(action));
            let row = action.map(|action| list::row(&Row::of(&action), now).into_string());
            json!({"key": format!("{namespace}/{name}"), "row": row})
        })
        .collect();
    let count = app.watched.all().iter().filter(|action| filter.fits(action)).count();
    json!({"count": count, "rows": rows})
}

/// That an action has changed.
pub(super) async fn action(
    State(app): State<Shared>,
    Path(of): Path<(String, String)>,
    uri: Uri,
) -> Response {
    sse(events(app, &uri, move |_, gathered| (gathered.all || gathered.actions.contains(&of)).then(all)))
}
