//! An action in the list: its line, and its last runs as marks. This is pure.

use crate::{
    api::{DeploymentAction, history::RunOutcome},
    cli::view::summary::{Summary, Tone, has_ended},
};

/// An action in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) summary: Summary,
    /// The image as people wrote it, without its registry.
    pub(super) image: String,
    pub(super) template: String,
    pub(super) lock: String,
    /// The last runs, the latest at the end.
    pub(super) marks: Vec<Mark>,
}

/// A run as a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) tone: Tone,
    /// What the run is, in words.
    pub(super) words: String,
}

impl Mark {
    /// The sign, so that nobody has to tell colours apart.
    pub(super) const fn sign(&self) -> &'static str {
        match self.tone {
            Tone::Good => "✓",
            Tone::Bad => "✗",
            Tone::Busy => "…",
            Tone::Quiet => "–",
        }
    }
}

impl Row {
    pub(super) fn of(action: &DeploymentAction) -> Self {
        let status = action.status.as_ref();
        let requested = status.and_then(|status| status.image.as_ref()).map(|image| &image.requested);
        let image = requested.or(action.spec.image.as_ref()).cloned().unwrap_or_default();
        let template = action.spec.template_ref.as_ref();
        Self {
            summary: Summary::of(action),
            image: image.rsplit('/').next().unwrap_or_default().to_owned(),
            template: template.map(|template| template.name.clone()).unwrap_or_default(),
            lock: action.spec.lock.as_ref().map(|lock| lock.name.clone()).unwrap_or_default(),
            marks: marks(action),
        }
    }

    /// What tells the row from all others.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.summary.namespace, self.summary.name)
    }
}

fn marks(action: &DeploymentAction) -> Vec<Mark> {
    let Some(status) = &action.status else { return Vec::new() };
    let mut marks: Vec<Mark> = status
        .history
        .iter()
        .rev()
        .map(|past| {
            let why = if past.outcome == RunOutcome::Succeeded {
                String::new()
            } else {
                format!(" ({})", past.reason)
            };
            let words = format!("run {}: {:?}{why}", past.number, past.outcome);
            Mark { tone: Tone::of_outcome(past.outcome), words }
        })
        .collect();
    if let Some(run) = status.run.as_ref().filter(|run| !has_ended(run)) {
        marks.push(Mark { tone: Tone::Busy, words: format!("run {}: under way", run.number) });
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{Reason, history::PastRun, status::RunStatus},
        operator::testing::objects::ended,
    };

    #[test]
    fn the_last_runs_are_marks_with_the_latest_at_the_end() {
        let mut action = ended(Reason::ScriptFailed);
        action.spec.image = Some("registry.example.com/a/tools:1".into());
        let status = action.status.as_mut().unwrap();
        status.history.push(PastRun {
            number: 0,
            outcome: RunOutcome::Succeeded,
            reason: "Succeeded".into(),
            ..PastRun::default()
        });
        status.run = Some(RunStatus { number: 2, ..RunStatus::default() });
        let row = Row::of(&action);
        let told: Vec<_> = row.marks.iter().map(|mark| (mark.sign(), mark.words.as_str())).collect();
        assert_eq!(
            told,
            [("✓", "run 0: Succeeded"), ("✗", "run 1: Failed (ScriptFailed)"), ("…", "run 2: under way")]
        );
        assert_eq!((row.image.as_str(), row.key().as_str()), ("tools:1", "shop/deploy"));
    }
}
