//! The description as text.

use anstyle::Style;
use k8s_openapi::jiff::Timestamp;

use super::found::Found;
use crate::{
    api::{
        ConditionType, DeploymentAction, DeploymentActionStatus, Reason,
        status::{LogState, RunStatus},
    },
    cli::{
        history,
        table::{Cell, Table, style},
        terminal::{BUSY, FAINT, TITLE, Terminal, line, lines},
        view::{
            duration::{age, exact},
            locks::lock_words,
            moments::moments,
            parts::parts,
            summary::{Summary, Tone, at, requester_words, trigger_words},
        },
    },
};

/// The widest title, with what is behind it.
const TITLES: usize = 13;

/// The description of an action, with the last `tail` lines of its log.
pub(super) fn of(found: &Found, tail: usize, now: Timestamp, terminal: &Terminal) -> String {
    let mut writer = Writer { text: String::new(), terminal };
    let action = &found.action;
    let summary = Summary::of(action);
    writer.field("Name", &summary.name);
    writer.field("Namespace", &summary.namespace);
    writer.state(&summary, now);
    let Some(status) = &action.status else {
        writer.field(
            "What to do",
            "the operator has not seen the action yet: kubectl longshore check says why",
        );
        return writer.text;
    };
    writer.advice(&summary);
    writer.what(action, status);
    if let Some(run) = &status.run {
        writer.run(action, run, now);
        writer.parts(found, run, now);
    }
    writer.outputs(status);
    writer.notes(status);
    if let Some(run) = status.run.as_ref().filter(|run| run.attempts.len() > 1 || run.attempt > 1) {
        writer.section("Attempts", &history::attempts(run).text(terminal, "  ", true));
    }
    let earlier = history::runs(action, now);
    if !earlier.is_empty() {
        writer.section("Runs", &earlier.text(terminal, "  ", true));
    }
    if let Some(run) = &status.run {
        writer.events(found, run, now);
    }
    writer.unread(found);
    writer.log(status, tail);
    writer.text
}

struct Writer<'a> {
    text: String,
    terminal: &'a Terminal,
}

impl Writer<'_> {
    /// A title and a text of the cluster.
    fn field(&mut self, title: &str, value: &str) {
        self.painted(title, value, Style::new());
    }

    fn painted(&mut self, title: &str, value: &str, style: Style) {
        if value.is_empty() {
            return;
        }
        let title = format!("{title}:");
        let padded = format!("{title:<TITLES$}");
        // What a person wrote in several lines stays below each other.
        let below = format!("\n{}", " ".repeat(TITLES));
        let value: Vec<String> = lines(value).lines().map(|line| self.terminal.paint(style, line)).collect();
        self.text.push_str(&format!("{}{}\n", self.terminal.paint(TITLE, &padded), value.join(&below)));
    }

    fn section(&mut self, title: &str, body: &str) {
        if !body.is_empty() {
            self.text.push_str(&format!("{}\n{body}", self.terminal.paint(TITLE, &format!("{title}:"))));
        }
    }

    fn state(&mut self, summary: &Summary, now: Timestamp) {
        let phase = if summary.phase_word().is_empty() { "Unknown" } else { summary.phase_word() };
        let since = summary.active.map(|time| format!(", {} ago", age(time, now))).unwrap_or_default();
        let reason =
            if summary.reason.is_empty() { String::new() } else { format!(" ({})", line(&summary.reason)) };
        self.painted("State", &format!("{phase}{reason}{since}"), style(Tone::of(summary.phase)));
        self.field("Message", &summary.message);
    }

    fn advice(&mut self, summary: &Summary) {
        let told = Reason::parse(&summary.reason).filter(|reason| *reason != Reason::Succeeded);
        if let Some(reason) = told {
            self.field("Meaning", reason.when());
            self.painted("What to do", reason.advice(), BUSY);
        }
    }

    /// What runs or ran.
    fn what(&mut self, action: &DeploymentAction, status: &DeploymentActionStatus) {
        if let Some(template) = &status.template {
            let told = format!("{} {}, generation {}", template.kind, template.name, template.generation);
            self.field("Template", &told);
        } else if let Some(template) = &action.spec.template_ref {
            self.field("Template", &format!("{} {}", template.kind(), template.name));
        }
        match &status.image {
            Some(image) => {
                self.field("Image", &image.requested);
                self.field("Digest", &image.resolved);
                let other = image.running.as_ref().filter(|running| **running != image.resolved);
                self.field("Node ran", other.map_or("", String::as_str));
            }
            None => self.field("Image", action.spec.image.as_deref().unwrap_or_default()),
        }
        let packages: Vec<String> = status
            .packages
            .iter()
            .map(|package| format!("{} {} ({})", package.name, package.requested, package.resolved))
            .collect();
        self.field("Packages", &packages.join("\n"));
    }

    fn run(&mut self, action: &DeploymentAction, run: &RunStatus, now: Timestamp) {
        let begun = at(run.requested_at.as_ref()).map(|time| format!(" {} ago", age(time, now)));
        let told = format!(
            "{} ({}), begun{} because {}",
            run.number,
            run.id,
            begun.unwrap_or_default(),
            trigger_words(run.trigger)
        );
        self.field("Run", &told);
        self.field("Asked by", &requester_words(run.requested_by.as_ref()));
        self.field("Cancelled by", &requester_words(run.cancel_requested_by.as_ref()));
        let most = action.spec.retry.as_ref().map_or(1, |retry| retry.limit.saturating_add(1));
        if most > 1 || run.attempt > 1 {
            let next = at(run.next_attempt_at.as_ref()).filter(|time| *time > now);
            let next = next.map(|time| format!(", the next in {}", exact(time.duration_since(now))));
            self.field("Attempt", &format!("{} of {most}{}", run.attempt, next.unwrap_or_default()));
        }
        if let Some(code) = run.exit_code {
            self.field("Exit code", &code.to_string());
        }
        if let Some(lock) = &run.lock {
            self.field("Lock", &lock_words(lock, run, now));
        }
        if let Some(pod) = &run.pod_name {
            let node = run.node_name.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
            self.field("Pod", &format!("{pod}{node}"));
        }
    }

    fn parts(&mut self, found: &Found, run: &RunStatus, now: Timestamp) {
        let mut table = Table::new(&["PART", "TOOK", "WHAT"]);
        for part in parts(run, found.pod.as_ref()) {
            let (name, what) = part.name.words();
            let took = exact(part.took(now));
            table.add(match part.end {
                Some(_) => vec![Cell::of(name), Cell::of(took), Cell::of(what)],
                None => vec![Cell::of(name), Cell::styled(format!("{took} so far"), BUSY), Cell::of(what)],
            });
        }
        if !table.is_empty() {
            self.section("Parts", &table.text(self.terminal, "  ", false));
        }
    }

    fn outputs(&mut self, status: &DeploymentActionStatus) {
        let mut table = Table::new(&["NAME", "VALUE"]);
        for (name, value) in &status.outputs {
            table.add(vec![Cell::of(name), Cell::of(value)]);
        }
        if let Some(secret) = &status.outputs_secret_ref {
            for key in &secret.keys {
                let place = format!("(in the Secret {})", secret.name);
                table.add(vec![Cell::of(key), Cell::styled(place, FAINT)]);
            }
        }
        if !table.is_empty() {
            self.section("Outputs", &table.text(self.terminal, "  ", false));
        }
    }

    /// The conditions that say something beside the outcome.
    fn notes(&mut self, status: &DeploymentActionStatus) {
        let mut notes = String::new();
        for kind in ConditionType::own() {
            if let Some(condition) = status.conditions().get(kind).filter(|one| one.status == "True") {
                let kind = self.terminal.paint(BUSY, kind.as_str());
                notes.push_str(&format!("  {kind}: {}\n", line(&condition.message)));
            }
        }
        self.section("Notes", &notes);
    }

    fn events(&mut self, found: &Found, run: &RunStatus, now: Timestamp) {
        let mut table = Table::new(&["AGO", "ON", "WHAT", "MESSAGE"]);
        for moment in moments(run, &found.events) {
            let tone = if moment.warning { BUSY } else { Style::new() };
            let times =
                if moment.count > 1 { format!("{} (x{})", moment.what, moment.count) } else { moment.what };
            table.add(vec![
                Cell::of(age(moment.at, now)),
                Cell::of(moment.on),
                Cell::styled(times, tone),
                Cell::of(moment.message),
            ]);
        }
        if !table.is_empty() {
            self.section("Events", &table.text(self.terminal, "  ", true));
        }
    }

    fn unread(&mut self, found: &Found) {
        let told: Vec<String> = found
            .unread
            .iter()
            .flat_map(|note| note.lines().map(|text| format!("  {}\n", line(text))))
            .collect();
        self.section("Not shown", &told.concat());
    }

    fn log(&mut self, status: &DeploymentActionStatus, tail: usize) {
        let Some(log) = status.log.as_ref().filter(|log| log.lines > 0) else { return };
        let all: Vec<&str> = log.tail.lines().collect();
        let last = &all[all.len().saturating_sub(tail)..];
        let state = match log.state {
            LogState::Collecting => "being read",
            LogState::Complete => "complete",
            LogState::Incomplete => "incomplete",
        };
        let body: Vec<String> = last.iter().map(|text| format!("  {}\n", lines(text))).collect();
        self.section(
            &format!("Log (the last {} of {} lines, {state})", last.len(), log.lines),
            &body.concat(),
        );
        let missing: Vec<String> = log.missing.iter().map(|range| format!("  {}\n", line(range))).collect();
        self.section("Missing in the log", &missing.concat());
    }
}
