//! An action's page.

use k8s_openapi::jiff::Timestamp;
use maud::{Markup, html};

use super::{
    log,
    parts::{action_path, advice, ago, class, fact, problem, table, template_path},
    timeline::timeline,
};
use crate::{
    api::{ConditionType, DeploymentActionStatus, status::RunStatus, template::TemplateKind},
    cli::{
        describe::found::Found,
        history,
        terminal::{line, lines},
        view::{
            duration::{age, exact},
            locks::lock_words,
            moments::moments,
            parts::parts,
            summary::{Summary, Tone, at, has_ended, requester_words, trigger_words},
        },
    },
};

/// What a page of an action shows beside the action.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli::ui) struct Shown<'a> {
    /// The run and the attempt whose log is shown. The default is the latest one.
    pub(in crate::cli::ui) run: Option<u32>,
    pub(in crate::cli::ui) attempt: Option<u32>,
    /// Whether there are buttons that write.
    pub(in crate::cli::ui) write: bool,
    /// What was just asked for.
    pub(in crate::cli::ui) done: Option<&'a str>,
    /// The state of the actions that is shown.
    pub(in crate::cli::ui) revision: u64,
}

/// The main part of the page.
pub(in crate::cli::ui) fn main(found: &Found, shown: Shown<'_>, now: Timestamp) -> Markup {
    let summary = Summary::of(&found.action);
    let path = action_path(&summary.namespace, &summary.name);
    let run = found.action.status.as_ref().and_then(|status| status.run.as_ref());
    html! {
        h1 { (line(&summary.name)) " " span.quiet { "in " (line(&summary.namespace)) } }
        @if let Some(done) = shown.done { p.done role="status" { (done) } }
        div #now data-live={ (path) "/events?since=" (shown.revision) } data-log-key=[log_key(run)] {
            (state(found, &summary, now))
            @if shown.write { (buttons(found, &path)) }
            @if let Some(run) = run {
                section aria-labelledby="timeline-title" {
                    h2 #timeline-title { "Time line of run " (run.number) }
                    (timeline(&parts(run, found.pod.as_ref()), now))
                }
            }
        }
        @if let Some(number) = shown.run.or(run.map(|run| run.number)) {
            (log::section(&log::Shown { path: path.clone(), run: number, attempt: shown.attempt }))
        }
        div #more data-refresh {
            @if let Some(status) = &found.action.status { (more(found, status, &path, now)) }
            @for note in &found.unread { (problem(note)) }
        }
    }
}

/// Another key is another log.
fn log_key(run: Option<&RunStatus>) -> Option<String> {
    let run = run?;
    let pod = line(run.pod_uid.as_deref().unwrap_or_default());
    Some(format!("{}/{}/{pod}/{}", run.number, run.attempt, has_ended(run)))
}

fn state(found: &Found, summary: &Summary, now: Timestamp) -> Markup {
    let action = &found.action;
    let phase = if summary.phase_word().is_empty() { "Unknown" } else { summary.phase_word() };
    html! {
        dl.facts {
            dt { "State" }
            dd {
                b class=(class(Tone::of(summary.phase))) { (phase) }
                @if !summary.reason.is_empty() && summary.reason != phase { " (" (line(&summary.reason)) ")" }
                @if summary.active.is_some() { ", " (ago(summary.active, now)) " ago" }
            }
            (fact("Message", &summary.message))
            (advice(&summary.reason))
            @match &action.status {
                None => {
                    dt { "What to do" }
                    dd.busy { "The operator has not seen the action yet. " code { "kubectl longshore check" } " says why." }
                }
                Some(status) => {
                    (what(found, status))
                    @if let Some(run) = &status.run { (run_facts(found, run, now)) }
                }
            }
        }
    }
}

/// What runs or ran.
fn what(found: &Found, status: &DeploymentActionStatus) -> Markup {
    let spec = &found.action.spec;
    let namespace = found.action.metadata.namespace.as_deref();
    let template = match (&status.template, &spec.template_ref) {
        (Some(of), _) => Some((of.kind, of.name.as_str(), format!(", generation {}", of.generation))),
        (None, Some(of)) => Some((of.kind(), of.name.as_str(), String::new())),
        (None, None) => None,
    };
    let packages: Vec<String> = status
        .packages
        .iter()
        .map(|package| format!("{} {} ({})", package.name, package.requested, package.resolved))
        .collect();
    html! {
        @if let Some((kind, name, rest)) = template {
            @let of = Some(namespace.unwrap_or_default()).filter(|_| kind == TemplateKind::DeploymentActionTemplate);
            dt { "Template" }
            dd { a href=(template_path(of, name)) { (line(name)) } " (" (kind.as_str()) (rest) ")" }
        }
        @match &status.image {
            Some(image) => {
                (fact("Image", &image.requested))
                (fact("Digest", &image.resolved))
                @if let Some(running) = image.running.as_ref().filter(|running| **running != image.resolved) {
                    (fact("Node ran", running))
                }
            }
            None => (fact("Image", spec.image.as_deref().unwrap_or_default())),
        }
        (fact("Packages", &packages.join("\n")))
    }
}

fn run_facts(found: &Found, run: &RunStatus, now: Timestamp) -> Markup {
    let most = found.action.spec.retry.as_ref().map_or(1, |retry| retry.limit.saturating_add(1));
    let next = at(run.next_attempt_at.as_ref()).filter(|time| *time > now);
    let next =
        next.map(|time| format!(", the next in {}", exact(time.duration_since(now)))).unwrap_or_default();
    let node = run.node_name.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let begun = at(run.requested_at.as_ref()).map(|time| format!("begun {} ago ", age(time, now)));
    html! {
        (fact("Run", &format!("{}, {}because {}", run.number, begun.unwrap_or_default(), trigger_words(run.trigger))))
        (fact("Asked by", &requester_words(run.requested_by.as_ref())))
        (fact("Cancelled by", &requester_words(run.cancel_requested_by.as_ref())))
        @if most > 1 || run.attempt > 1 { (fact("Attempt", &format!("{} of {most}{next}", run.attempt))) }
        (fact("Exit code", &run.exit_code.map(|code| code.to_string()).unwrap_or_default()))
        @if let Some(lock) = &run.lock {
            dt { "Lock" }
            dd { (line(&lock_words(lock, run, now))) " – " a href="/locks" { "queue" } }
        }
        (fact("Pod", &run.pod_name.as_ref().map(|pod| format!("{pod}{node}")).unwrap_or_default()))
    }
}

/// What one may ask for now.
fn buttons(found: &Found, path: &str) -> Markup {
    let run = found.action.status.as_ref().and_then(|status| status.run.as_ref());
    let going = run.is_some_and(|run| !has_ended(run));
    let suspended = found.action.spec.suspend == Some(true);
    html! {
        nav.buttons aria-label="Ask for something" {
            a.button href={ (path) "/rerun" } { "Rerun" }
            @if going { a.button href={ (path) "/cancel" } { "Cancel" } }
            @if suspended { a.button href={ (path) "/resume" } { "Resume" } }
            @else { a.button href={ (path) "/suspend" } { "Suspend" } }
        }
    }
}

fn more(found: &Found, status: &DeploymentActionStatus, path: &str, now: Timestamp) -> Markup {
    html! {
        (outputs(status))
        @if let Some(run) = status.run.as_ref().filter(|run| run.attempts.len() > 1 || run.attempt > 1) {
            section {
                h2 { "Attempts of run " (run.number) }
                @let link = |_, column, cell: &str| (column == 0)
                    .then(|| format!("{path}?run={}&attempt={cell}#log-title", run.number));
                (table("Attempts", &history::attempts(run), link))
            }
        }
        (runs(found, status, path, now))
        @if let Some(run) = &status.run { (events(found, run, now)) }
        (conditions(status, now))
    }
}

fn outputs(status: &DeploymentActionStatus) -> Markup {
    let secret = status.outputs_secret_ref.as_ref();
    html! {
        @if !status.outputs.is_empty() || secret.is_some() {
            section {
                h2 { "Outputs" }
                dl.facts {
                    @for (name, value) in &status.outputs {
                        dt { (line(name)) }
                        dd { (lines(value)) }
                    }
                    @if let Some(secret) = secret {
                        @for key in &secret.keys {
                            dt { (line(key)) }
                            dd.quiet { "in the Secret " (line(&secret.name)) }
                        }
                    }
                }
            }
        }
    }
}

fn runs(found: &Found, status: &DeploymentActionStatus, path: &str, now: Timestamp) -> Markup {
    let runs = history::runs(&found.action, now);
    let numbers: Vec<u32> = status.history.iter().map(|past| past.number).collect();
    html! {
        @if !runs.is_empty() {
            section {
                h2 { "Runs" }
                (table("Runs, the latest first", &runs, |_, column, cell| {
                    (column == 0).then(|| format!("{path}?run={cell}#log-title"))
                }))
                @if numbers.len() > 1 {
                    form.filters action={ (path) "/compare" } method="get" {
                        @for (name, title, chosen) in [("one", "Compare run", 1), ("other", "with run", 0)] {
                            label { (title)
                                select name=(name) {
                                    @for (at, number) in numbers.iter().enumerate() {
                                        option value=(number) selected[at == chosen] { (number) }
                                    }
                                }
                            }
                        }
                        button type="submit" { "Compare" }
                    }
                }
            }
        }
    }
}

fn events(found: &Found, run: &RunStatus, now: Timestamp) -> Markup {
    let moments = moments(run, &found.events);
    html! {
        @if !moments.is_empty() {
            section {
                h2 { "Events" }
                div.wide tabindex="0" role="region" aria-label="Events" {
                    table {
                        caption.hidden { "Milestones of the run and events of its pods, in order of time" }
                        thead { tr { @for title in ["Ago", "On", "What", "Message"] { th scope="col" { (title) } } } }
                        tbody {
                            @for moment in &moments {
                                tr {
                                    td { (ago(Some(moment.at), now)) }
                                    td { (line(&moment.on)) }
                                    td class=[moment.warning.then_some("busy")] {
                                        (line(&moment.what))
                                        @if moment.count > 1 { " (×" (moment.count) ")" }
                                    }
                                    td { (lines(&moment.message)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn conditions(status: &DeploymentActionStatus, now: Timestamp) -> Markup {
    html! {
        @if !status.conditions.is_empty() {
            section {
                h2 { "Conditions" }
                div.wide tabindex="0" role="region" aria-label="Conditions" {
                    table {
                        caption.hidden { "Conditions" }
                        thead {
                            tr { @for title in ["Type", "Status", "Reason", "Since", "Message"] { th scope="col" { (title) } } }
                        }
                        tbody {
                            @for of in &status.conditions {
                                tr {
                                    th scope="row" { (line(&of.type_)) }
                                    td { (line(&of.status)) }
                                    td { (line(&of.reason)) }
                                    td { (ago(Some(of.last_transition_time.0), now)) }
                                    td { (lines(&of.message)) }
                                }
                            }
                        }
                    }
                }
                @if status.conditions().is_true(ConditionType::TemplateOutdated) {
                    p.quiet { "A new spec.runToken runs the template as it is now." }
                }
            }
        }
    }
}
