//! `kubectl longshore history`: the runs of an action.

use clap::Args;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    connect::Session,
    error::CliError,
    output::Format,
    table::{Cell, Table},
    terminal::{Terminal, print, tell},
    view::{
        duration::{age, short},
        summary::{Tone, at, requester_words},
    },
};
use crate::api::{
    DeploymentAction,
    history::PastRun,
    status::{AttemptStatus, RunStatus, StoredState},
};

/// Lists the runs of an action, the latest first. The status keeps the last ten that have ended.
#[derive(Debug, Args)]
pub(super) struct History {
    /// The action's name.
    pub(super) name: String,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

#[derive(Serialize)]
struct Runs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a RunStatus>,
    history: &'a [PastRun],
}

impl History {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let action = session.action(&self.name).await?;
        if let Some(form) = self.output {
            let status = action.status.clone().unwrap_or_default();
            let run = status.run.as_ref().filter(|run| is_open(run, &status.history));
            return print(&form.text(&Runs { run, history: &status.history })?);
        }
        let table = runs(&action, Timestamp::now());
        if table.is_empty() {
            tell(&format!("{} has had no run", self.name));
            return Ok(());
        }
        print(&table.text(&Terminal::stdout(), "", true))
    }
}

/// Whether a run is not in the history yet.
fn is_open(run: &RunStatus, history: &[PastRun]) -> bool {
    !history.iter().any(|past| past.number == run.number)
}

/// The runs of an action, the latest first.
pub(super) fn runs(action: &DeploymentAction, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "RUN", "OUTCOME", "REASON", "BECAUSE", "BY", "ATTEMPTS", "EXIT", "TOOK", "ENDED", "LOG", "DIGEST",
    ]);
    let Some(status) = &action.status else { return table };
    if let Some(run) = status.run.as_ref().filter(|run| is_open(run, &status.history)) {
        let image = status.image.as_ref().map(|image| image.resolved.as_str());
        table.add(vec![
            Cell::number(Some(run.number)),
            Cell::toned("(under way)", Tone::Busy),
            Cell::of(""),
            Cell::of(run.trigger.to_string()),
            Cell::of(requester_words(run.requested_by.as_ref())),
            Cell::number(Some(run.attempt)),
            Cell::number(run.exit_code),
            Cell::of(at(run.started_at.as_ref()).map(|time| age(time, now)).unwrap_or_default()),
            Cell::of(""),
            Cell::of(""),
            Cell::of(digest(image)),
        ]);
    }
    for past in &status.history {
        let (started, finished) = (at(past.started_at.as_ref()), at(past.finished_at.as_ref()));
        table.add(vec![
            Cell::number(Some(past.number)),
            Cell::toned(format!("{:?}", past.outcome), Tone::of_outcome(past.outcome)),
            Cell::of(&past.reason),
            Cell::of(past.trigger.to_string()),
            Cell::of(requester_words(past.requested_by.as_ref())),
            Cell::number(Some(past.attempts)),
            Cell::number(past.exit_code),
            Cell::of(took(started, finished)),
            Cell::of(finished.map(|time| age(time, now)).unwrap_or_default()),
            Cell::of(stored(past)),
            Cell::of(digest(past.image.as_deref())),
        ]);
    }
    table
}

/// The attempts of a run that have ended.
pub(super) fn attempts(run: &RunStatus) -> Table {
    let mut table = Table::new(&["ATTEMPT", "REASON", "EXIT", "TOOK", "POD", "NODE"]);
    for AttemptStatus {
        attempt,
        reason,
        pod_name,
        node_name,
        started_at,
        finished_at,
        exit_code,
        pod_uid: _,
        image: _,
    } in &run.attempts
    {
        table.add(vec![
            Cell::number(Some(*attempt)),
            Cell::of(reason),
            Cell::number(*exit_code),
            Cell::of(took(at(started_at.as_ref()), at(finished_at.as_ref()))),
            Cell::of(pod_name.as_deref().unwrap_or_default()),
            Cell::of(node_name.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn took(started: Option<Timestamp>, finished: Option<Timestamp>) -> String {
    match (started, finished) {
        (Some(started), Some(finished)) => short(finished.duration_since(started).max(SignedDuration::ZERO)),
        _ => String::new(),
    }
}

fn stored(past: &PastRun) -> &'static str {
    match past.stored.as_ref().map(|stored| stored.state) {
        Some(StoredState::Complete) => "stored",
        Some(StoredState::Incomplete) => "stored in part",
        Some(StoredState::Failed) => "not stored",
        None => "",
    }
}

/// The beginning of an image's digest, which is enough to see whether two are the same.
fn digest(image: Option<&str>) -> String {
    let digest = image.and_then(|image| image.rsplit_once("@sha256:")).map(|(_, digest)| digest);
    digest.map(|digest| digest.chars().take(12).collect()).unwrap_or_default()
}
