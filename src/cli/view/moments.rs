//! What happened to a run, in order of time: its own milestones, and the events of its pods.

use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use serde::Serialize;

use super::summary::{at, trigger_words};
use crate::api::status::RunStatus;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What it happened to: `run`, or the pod's name.
    pub on: String,
    /// What happened, in one word.
    pub what: String,
    /// The details.
    pub message: String,
    /// How often it happened, the last time at this time.
    pub count: i32,
    /// Whether it is a warning.
    pub warning: bool,
}

/// The milestones of a run and the events of its pods, in order of time.
#[must_use]
pub fn moments(run: &RunStatus, events: &[Event]) -> Vec<Moment> {
    let mut moments = milestones(run);
    moments.extend(events.iter().filter_map(of_event));
    // Most times have whole seconds. Within a second the usual order counts.
    moments.sort_by_key(|moment| (moment.at.as_second(), place(&moment.what)));
    moments
}

/// The place of what happens to a run in their usual order.
fn place(what: &str) -> usize {
    const USUAL: [&str; 7] = ["Begun", "Locked", "Retried", "Scheduled", "Pulling", "Pulled", "Created"];
    const LAST: [&str; 3] = ["Started", "AttemptEnded", "Ended"];
    let of = |all: &[&str]| all.iter().position(|one| *one == what);
    of(&USUAL).or_else(|| of(&LAST).map(|at| USUAL.len() + 1 + at)).unwrap_or(USUAL.len())
}

fn milestones(run: &RunStatus) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut add = |time: Option<Timestamp>, what: &str, message: String| {
        if let Some(at) = time {
            let (on, what) = ("run".to_owned(), what.to_owned());
            moments.push(Moment { at, on, what, message, count: 1, warning: false });
        }
    };
    add(
        at(run.requested_at.as_ref()),
        "Begun",
        format!("run {}: {}", run.number, trigger_words(run.trigger)),
    );
    let lock = run.lock.as_ref();
    add(
        lock.and_then(|lock| at(lock.acquired_at.as_ref())),
        "Locked",
        lock.map(|lock| format!("has the lock {}", lock.name)).unwrap_or_default(),
    );
    for attempt in &run.attempts {
        add(
            at(attempt.finished_at.as_ref()),
            "AttemptEnded",
            format!("attempt {}: {}", attempt.attempt, attempt.reason),
        );
    }
    add(at(run.attempt_requested_at.as_ref()), "Retried", format!("attempt {}", run.attempt));
    add(at(run.started_at.as_ref()), "Started", "the script's container started".to_owned());
    add(at(run.cancel_requested_at.as_ref()), "CancelSeen", "somebody asked to cancel the run".to_owned());
    add(
        at(run.superseded_at.as_ref()),
        "Superseded",
        "the spec changed before the script started".to_owned(),
    );
    let code = run.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    add(at(run.finished_at.as_ref()), "Ended", format!("the result is known{code}"));
    moments
}

fn of_event(event: &Event) -> Option<Moment> {
    let series = event.series.as_ref();
    let micro = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime| time.0;
    let time = series
        .and_then(|series| series.last_observed_time.as_ref().map(micro))
        .or_else(|| at(event.last_timestamp.as_ref()))
        .or_else(|| event.event_time.as_ref().map(micro))
        .or_else(|| at(event.first_timestamp.as_ref()))
        .or_else(|| at(event.metadata.creation_timestamp.as_ref()))?;
    Some(Moment {
        at: time,
        on: event.involved_object.name.clone().unwrap_or_default(),
        what: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        count: series.and_then(|series| series.count).or(event.count).unwrap_or(1),
        warning: event.type_.as_deref() == Some("Warning"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn milestones_and_events_are_one_row_of_times() {
        let run: RunStatus =
            serde_json::from_value(json!({"number": 2, "id": "a-2", "generation": 1, "attempt": 1,
            "trigger": "Rerun", "specHash": "v2:0", "requestedAt": "2026-01-01T00:00:00Z",
            "startedAt": "2026-01-01T00:00:05Z", "finishedAt": "2026-01-01T00:00:09Z", "exitCode": 3}))
            .unwrap();
        let event = |reason: &str, times: serde_json::Value| -> Event {
            let mut event = json!({"metadata": {}, "involvedObject": {"name": "p"}, "reason": reason,
                "message": "m", "type": if reason == "BackOff" { "Warning" } else { "Normal" }});
            event.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
            serde_json::from_value(event).unwrap()
        };
        let events = [
            event("BackOff", json!({"lastTimestamp": "2026-01-01T00:00:04Z", "count": 3})),
            event("Pulled", json!({"lastTimestamp": "2026-01-01T00:00:01Z"})),
            event("Scheduled", json!({"eventTime": "2026-01-01T00:00:01.500000Z"})),
            event("Timeless", json!({})),
        ];
        let told: Vec<String> = moments(&run, &events)
            .iter()
            .map(|moment| {
                format!(
                    "{} {} {}{}",
                    moment.on,
                    moment.what,
                    moment.count,
                    if moment.warning { "!" } else { "" }
                )
            })
            .collect();
        assert_eq!(
            told,
            ["run Begun 1", "p Scheduled 1", "p Pulled 1", "p BackOff 3!", "run Started 1", "run Ended 1"]
        );
    }
}
