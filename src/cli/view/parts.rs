//! How long each part of a run took.
//!
//! Kubernetes gives most times in whole seconds, so a part can be off by one.

use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use serde::Serialize;

use super::summary::at;
use crate::api::{CONTAINER, status::RunStatus};

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its name.
    pub name: PartName,
    /// When it began.
    pub begin: Timestamp,
    /// When it ended. `None` while it is under way.
    pub end: Option<Timestamp>,
    /// How long it took by the runner's own clock, if the runner measured it.
    #[serde(skip)]
    pub measured: Option<SignedDuration>,
}

/// A part's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PartName {
    /// Waiting for the lock.
    Queue,
    /// Reading the image's and the packages' digests, and recording the run.
    Resolve,
    /// Finding a node.
    Schedule,
    /// Pulling images, mounting volumes, fetching packages.
    Pull,
    /// From the run's begin until the script starts, if the pod that tells the parts apart is gone.
    Start,
    /// The script.
    Run,
}

impl PartName {
    /// The name, and what it is.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Queue => ("queue", "waited for the lock"),
            Self::Resolve => ("resolve", "read digests and recorded the run"),
            Self::Schedule => ("schedule", "found a node"),
            Self::Pull => ("pull", "pulled, mounted and fetched"),
            Self::Start => ("start", "resolved, scheduled and pulled"),
            Self::Run => ("run", "the script"),
        }
    }
}

impl Part {
    /// How long it took, or has taken by `now`.
    #[must_use]
    pub fn took(&self, now: Timestamp) -> SignedDuration {
        let until = self.end.unwrap_or(now);
        self.measured.unwrap_or_else(|| until.duration_since(self.begin)).max(SignedDuration::ZERO)
    }
}

/// The parts of the present attempt of a run, in order. `pod` is its pod, if it is still there.
#[must_use]
pub fn parts(run: &RunStatus, pod: Option<&Pod>) -> Vec<Part> {
    let finished = at(run.finished_at.as_ref());
    let requested = at(run.requested_at.as_ref());
    let mut parts = Vec::new();
    let mut add = |name, begin: Option<Timestamp>, end: Option<Timestamp>, measured| {
        if let Some(begin) = begin {
            parts.push(Part { name, begin, end: end.or(finished), measured });
        }
    };
    let lock = run.lock.as_ref();
    let acquired = lock.and_then(|lock| at(lock.acquired_at.as_ref()));
    if lock.is_some() && run.attempt <= 1 {
        add(PartName::Queue, requested, acquired, None);
        if acquired.is_none() {
            return parts;
        }
    }
    let taken_up = at(run.taken_up());
    let started = at(run.started_at.as_ref()).or_else(|| pod.and_then(container_started));
    match pod.map(|pod| (at(pod.metadata.creation_timestamp.as_ref()), scheduled(pod))) {
        Some((created @ Some(_), scheduled)) => {
            add(PartName::Resolve, taken_up, created, None);
            add(PartName::Schedule, created, scheduled, None);
            if scheduled.is_some() {
                add(PartName::Pull, scheduled, started, None);
            }
        }
        _ if run.pod_name.is_none() => add(PartName::Resolve, taken_up, None, None),
        _ => add(PartName::Start, taken_up, started, None),
    }
    let measured = run.duration_seconds.map(SignedDuration::from_secs);
    add(PartName::Run, started, finished, measured);
    parts
}

fn scheduled(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "True")?;
    at(scheduled.last_transition_time.as_ref())
}

fn container_started(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let state = statuses.iter().find(|one| one.name == CONTAINER)?.state.as_ref()?;
    let running = state.running.as_ref().and_then(|state| at(state.started_at.as_ref()));
    running.or_else(|| state.terminated.as_ref().and_then(|state| at(state.started_at.as_ref())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(run: &serde_json::Value, pod: Option<&serde_json::Value>) -> Vec<String> {
        let mut whole = json!({"number": 1, "id": "a-1", "generation": 1, "attempt": 1, "trigger": "Created",
            "specHash": "v2:0"});
        whole.as_object_mut().unwrap().extend(run.as_object().unwrap().clone());
        let run: RunStatus = serde_json::from_value(whole).unwrap();
        let pod: Option<Pod> = pod.map(|pod| serde_json::from_value(pod.clone()).unwrap());
        let now: Timestamp = "2026-01-01T00:01:40Z".parse().unwrap();
        parts(&run, pod.as_ref())
            .iter()
            .map(|part| {
                let going = if part.end.is_none() { " so far" } else { "" };
                format!("{} {}{going}", part.name.words().0, super::super::duration::exact(part.took(now)))
            })
            .collect()
    }

    fn at(second: u32) -> String {
        format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60)
    }

    #[test]
    fn the_parts_follow_from_the_status_and_the_pod() {
        let lock = json!({"name": "l", "ticket": "1", "acquiredAt": at(10)});
        let pod = json!({"metadata": {"creationTimestamp": at(12)}, "status": {
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(13)}]}});
        let ended = json!({"requestedAt": at(0), "lock": lock, "podName": "p", "startedAt": at(20),
            "finishedAt": at(32), "durationSeconds": 11});
        assert_eq!(
            told(&ended, Some(&pod)),
            ["queue 10s", "resolve 2s", "schedule 1s", "pull 7s", "run 11s"]
        );
        assert_eq!(told(&ended, None), ["queue 10s", "start 10s", "run 11s"]);
        let pulls = json!({"requestedAt": at(11), "podName": "p"});
        assert_eq!(told(&pulls, Some(&pod)), ["resolve 1s", "schedule 1s", "pull 87s so far"]);
    }

    #[test]
    fn a_run_that_waits_or_never_started_has_no_further_parts() {
        let lock = json!({"name": "l", "ticket": "1"});
        assert_eq!(told(&json!({"requestedAt": at(40), "lock": lock}), None), ["queue 60s so far"]);
        assert_eq!(told(&json!({"requestedAt": at(40), "finishedAt": at(43)}), None), ["resolve 3s"]);
        let unscheduled = json!({"metadata": {"creationTimestamp": at(41)}});
        let run = json!({"requestedAt": at(40), "podName": "p"});
        assert_eq!(told(&run, Some(&unscheduled)), ["resolve 1s", "schedule 59s so far"]);
    }
}
