//! `kubectl longshore diff`: what would run again if files were applied, and why.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{
    connect::Session,
    documents::{Document, read},
    error::{CliError, WOULD_RUN},
    output::Format,
    terminal::{BAD, BUSY, FAINT, Terminal, line, print},
    trial::{Tried, blocked, try_out},
    view::summary::trigger_words,
};
use crate::{
    api::{DeploymentAction, DeploymentActionSpec, Reason},
    operator::{
        lifecycle::decide::{Foreseen, foresee},
        spec::hash::{settings_hash, spec_hash},
    },
};

/// The most characters of a value that are shown.
const SHOWN: usize = 60;

/// Says what would run if these files were applied, and why. Nothing is stored, and nothing runs.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The files or folders with the objects. `-` is standard input.
    #[arg(short, long, value_name = "FILE", required = true, value_delimiter = ',')]
    filename: Vec<PathBuf>,
    /// Exit with 8 if a run would begin.
    #[arg(long)]
    exit_code: bool,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

/// What would follow from an action.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outlook {
    name: String,
    place: String,
    runs: bool,
    why: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
    /// Why such a run would fail at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<String>,
}

/// A field of the spec that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    field: String,
    from: String,
    to: String,
    counts: Counts,
}

/// What a change does to runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Counts {
    /// It changes what is executed.
    Executed,
    /// It affects a run. It starts one if the latest run failed.
    Affects,
    /// It affects no run.
    Nothing,
}

impl Diff {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let mut outlooks = Vec::new();
        for document in read(&self.filename)? {
            // A template starts no run, and other kinds are not Longshore's.
            if document.kind() == "DeploymentAction"
                && let Some(path) = document.path(session)
            {
                outlooks.push(look(session, &document, &path).await?);
            }
        }
        print(&match self.output {
            Some(form) => form.text(&outlooks)?,
            None if outlooks.is_empty() => "no actions in these files: nothing would run\n".to_owned(),
            None => outlooks.iter().map(|outlook| text(outlook, &Terminal::stdout())).collect(),
        })?;
        if self.exit_code && outlooks.iter().any(|outlook| outlook.runs) {
            return Err(CliError::Ended(WOULD_RUN));
        }
        Ok(())
    }
}

async fn look(session: &Session, document: &Document, path: &str) -> Result<Outlook, CliError> {
    let Tried { live, after } = try_out(session, document, path).await.map_err(|error| match error {
        CliError::Refused(why) => CliError::Refused(format!(
            "{}: {why}\nkubectl longshore validate -f shows all mistakes",
            document.place
        )),
        other => other,
    })?;
    let read = |value: Value| -> Result<DeploymentAction, CliError> {
        serde_json::from_value(value)
            .map_err(|error| CliError::Failed(format!("{}: {error}: update this plugin", document.place)))
    };
    let live = live.map(read).transpose()?;
    let after = read(after)?;
    let blocked = match blocked(session, &after).await {
        Err(CliError::Forbidden(_)) => None,
        other => other?,
    };
    Ok(outlook(document, live.as_ref(), &after, blocked))
}

fn outlook(
    document: &Document,
    live: Option<&DeploymentAction>,
    after: &DeploymentAction,
    blocked: Option<(Reason, String)>,
) -> Outlook {
    let (runs, why) = words(foresee(after));
    let changes = live.map(|live| changes(&live.spec, &after.spec)).unwrap_or_default();
    let blocked = blocked.filter(|_| runs).map(|(reason, message)| format!("{reason}: {message}"));
    Outlook { name: document.name().to_owned(), place: document.place.clone(), runs, why, changes, blocked }
}

/// Whether a run begins, and why.
pub(super) fn words(foreseen: Foreseen) -> (bool, String) {
    match foreseen {
        Foreseen::Runs(trigger) => (true, format!("a run begins, because {}", trigger_words(trigger))),
        Foreseen::HeldBack(trigger) => {
            (false, format!("spec.suspend holds back a run, because {}", trigger_words(trigger)))
        }
        Foreseen::RunsNext(trigger) => (
            true,
            format!(
                "the run that is under way goes on, and another one follows, because {}",
                trigger_words(trigger)
            ),
        ),
        Foreseen::Yields(trigger) => (
            true,
            format!(
                "the run that is under way yields unless its script starts first, and another one follows, because {}",
                trigger_words(trigger)
            ),
        ),
        Foreseen::RunsIfFailed => {
            (false, "the run that is under way goes on; if it fails, another one follows".to_owned())
        }
        Foreseen::GoesOn => (false, "the run that is under way goes on, and no other one follows".to_owned()),
        Foreseen::NotRequested => {
            (false, "no run begins: spec.runPolicy is Manual, and no run was asked for".to_owned())
        }
        Foreseen::Rests => (false, "no run begins".to_owned()),
    }
}

/// The fields of the spec that differ. Whether one counts is what the operator's own hashes say of it alone.
fn changes(before: &DeploymentActionSpec, after: &DeploymentActionSpec) -> Vec<Change> {
    let object = |spec: &DeploymentActionSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (object(before), object(after));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let mut changes = Vec::new();
    for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        let mut alone = old.clone();
        match new.get(name) {
            Some(value) => alone.insert(name.clone(), value.clone()),
            None => alone.remove(name),
        };
        let alone: DeploymentActionSpec = serde_json::from_value(alone.into()).unwrap_or_default();
        let counts = if spec_hash(before).ok() != spec_hash(&alone).ok() {
            Counts::Executed
        } else if settings_hash(before).ok() != settings_hash(&alone).ok() {
            Counts::Affects
        } else {
            Counts::Nothing
        };
        let field = format!("spec.{name}");
        let (from, to) = shown(old.get(name), new.get(name));
        changes.push(Change { field, from, to, counts });
    }
    changes
}

/// The two values, from where they begin to differ.
fn shown(old: Option<&Value>, new: Option<&Value>) -> (String, String) {
    let text = |value: Option<&Value>| match value {
        None => "(none)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let (old, new) = (text(old), text(new));
    let same = old.chars().zip(new.chars()).take_while(|(one, other)| one == other).count();
    let from =
        if old.chars().count().max(new.chars().count()) <= SHOWN { 0 } else { same.saturating_sub(10) };
    let cut = |text: &str| {
        let kept: String = text.chars().skip(from).take(SHOWN).collect();
        let before = if from > 0 { "…" } else { "" };
        let after = if text.chars().count() > from + SHOWN { "…" } else { "" };
        format!("{before}{kept}{after}")
    };
    (cut(&old), cut(&new))
}

fn text(of: &Outlook, terminal: &Terminal) -> String {
    let why = if of.runs { terminal.paint(BUSY, &of.why) } else { of.why.clone() };
    let mut text = format!("{} ({}): {why}\n", line(&of.name), line(&of.place));
    for change in &of.changes {
        let note = match change.counts {
            Counts::Executed => terminal.paint(BUSY, "changes what is executed"),
            Counts::Affects => terminal.paint(FAINT, "affects a run; starts one only after a failure"),
            Counts::Nothing => terminal.paint(FAINT, "starts no run"),
        };
        text.push_str(&format!(
            "  {}: {} -> {} ({note})\n",
            line(&change.field),
            line(&change.from),
            line(&change.to)
        ));
    }
    if let Some(blocked) = &of.blocked {
        text.push_str(&format!("  {} {}\n", terminal.paint(BAD, "it would fail at once:"), line(blocked)));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operator::testing::objects::{action, ended};

    fn told(live: Option<&DeploymentAction>, after: &DeploymentAction) -> String {
        let object = json!({"kind": "DeploymentAction", "metadata": {"name": "deploy"}});
        let document = Document { place: "f.yaml".into(), object };
        text(&outlook(&document, live, after, None), &Terminal::default())
    }

    fn changed(live: &DeploymentAction, change: impl FnOnce(&mut DeploymentActionSpec)) -> DeploymentAction {
        let mut after = live.clone();
        after.metadata.generation = Some(2);
        change(&mut after.spec);
        after
    }

    #[test]
    fn each_change_says_whether_it_counts() {
        let live = ended(Reason::Succeeded);
        let after = changed(&live, |spec| {
            spec.args = vec!["--dry-run".into()];
            spec.run_deadline_seconds = Some(10);
            spec.pod_retention_seconds = 60;
        });
        insta::assert_snapshot!(told(Some(&live), &after), @r#"
        deploy (f.yaml): a run begins, because the spec changed
          spec.args: (none) -> ["--dry-run"] (changes what is executed)
          spec.podRetentionSeconds: 86400 -> 60 (starts no run)
          spec.runDeadlineSeconds: (none) -> 10 (affects a run; starts one only after a failure)
        "#);
        let after = changed(&live, |spec| spec.run_deadline_seconds = Some(10));
        assert!(told(Some(&live), &after).starts_with("deploy (f.yaml): no run begins\n"));
        let failed = ended(Reason::ScriptFailed);
        assert!(told(Some(&failed), &failed).starts_with("deploy (f.yaml): no run begins\n"));
    }

    #[test]
    fn a_new_action_runs_and_what_stops_it_at_once_is_told() {
        assert_eq!(told(None, &action()), "deploy (f.yaml): a run begins, because the action is new\n");
        let blocked = Some((Reason::ParametersInvalid, "A is missing".to_owned()));
        let document = Document { place: "f.yaml".into(), object: json!({"metadata": {"name": "deploy"}}) };
        let text = text(&outlook(&document, None, &action(), blocked), &Terminal::default());
        assert!(text.ends_with("  it would fail at once: ParametersInvalid: A is missing\n"), "{text}");
    }

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let (long, other) =
            (format!("{}x{}", "a".repeat(100), "b".repeat(100)), format!("{}y", "a".repeat(100)));
        let (from, to) = shown(Some(&json!(long)), Some(&json!(other)));
        assert_eq!(from, format!("…{}x{}…", "a".repeat(10), "b".repeat(49)));
        assert_eq!(to, format!("…{}y", "a".repeat(10)));
    }
}
