//! Writes Kubernetes events about a run: one for each attempt's start of the script, and one for the end of
//! the run. `kubectl describe` and `kubectl events` show them.
//!
//! Nothing waits for events and nothing depends on them. If they cannot be written, the status still says
//! everything.

use futures::StreamExt;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, ResourceExt, api::PostParams};
use tokio::sync::mpsc;
use tracing::debug;

use crate::{
    api::{DeploymentAction, DeploymentActionStatus, Reason, condition::ConditionType, reason::Class},
    operator::call::{FIELD_MANAGER, call},
    record::outcome::truncate,
};

/// The longest note of an event, in bytes (`events/v1` validation).
const MAX_NOTE_BYTES: usize = 1024;
/// How many events may wait to be written. Further ones are dropped.
const MOST_WAITING: usize = 1024;
/// How many events are written at the same time.
const AT_ONCE: usize = 4;

/// Accepts events for writing. Clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct Events(mpsc::Sender<(String, Event)>);

impl Events {
    /// Starts to write the events that are passed to [`Self::tell`]. `instance` is this process's name.
    #[must_use]
    pub(crate) fn new(client: Client, instance: &str) -> Self {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let instance = instance.to_owned();
        tokio::spawn(write(client, instance, receiver));
        Self(sender)
    }

    /// Writes an event for what is new in the action's status since `before`.
    pub(crate) fn tell(
        &self,
        before: Option<&DeploymentActionStatus>,
        action: &DeploymentAction,
        now: Timestamp,
    ) {
        let Some(event) = news(before, action, now) else { return };
        let namespace = action.namespace().unwrap_or_default();
        if self.0.try_send((namespace, event)).is_err() {
            debug!("too many events wait to be written: one was dropped");
        }
    }
}

async fn write(client: Client, instance: String, mut receiver: mpsc::Receiver<(String, Event)>) {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
        .for_each_concurrent(AT_ONCE, |(namespace, event)| {
            let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
            let event = Event { reporting_instance: Some(instance.clone()), ..event };
            async move {
                if let Err(error) = call(events.create(&PostParams::default(), &event)).await {
                    debug!(%error, "an event was not written");
                }
            }
        })
        .await;
}

/// The event for this change of the status, if there is one.
fn news(before: Option<&DeploymentActionStatus>, action: &DeploymentAction, now: Timestamp) -> Option<Event> {
    let status = action.status.as_ref()?;
    let run = status.run.as_ref()?;
    let same = before.filter(|before| before.run.as_ref().is_some_and(|of| of.number == run.number));
    // Conditions are less reliable here: they go away while the next run is held back, and come back.
    let finished = |of: &DeploymentActionStatus| of.run.as_ref().is_some_and(|run| run.finished_at.is_some());
    let number = run.number;
    if finished(status) {
        if same.is_some_and(finished) {
            return None;
        }
        let ready = status.conditions().get(ConditionType::Ready)?;
        let failed = Reason::parse(&ready.reason).is_none_or(|reason| reason.class() == Class::Failure);
        let note = format!("Run {number}: {}", ready.message);
        return Some(event(
            action,
            now,
            if failed { "Warning" } else { "Normal" },
            &ready.reason,
            "Finish",
            note,
        ));
    }
    let started = |of: &DeploymentActionStatus| of.run.as_ref().is_some_and(|run| run.started_at.is_some());
    if !started(status) || same.is_some_and(started) {
        return None;
    }
    let image = status.image.as_ref().map_or("", |image| image.resolved.as_str());
    let pod = run.pod_name.as_deref().unwrap_or_default();
    let note = format!("Run {number} ({}) started in pod {pod} with image {image}", run.trigger);
    Some(event(action, now, "Normal", "Started", "Start", note))
}

fn event(
    action: &DeploymentAction,
    now: Timestamp,
    kind: &str,
    reason: &str,
    verb: &str,
    mut note: String,
) -> Event {
    truncate(&mut note, MAX_NOTE_BYTES);
    let name = action.name_any();
    Event {
        metadata: ObjectMeta {
            // Named as client-go's recorder names them: by object and time.
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: action.namespace(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(kind.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some(verb.to_owned()),
        note: Some(note),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        regarding: Some(ObjectReference { resource_version: None, ..action.object_ref(&()) }),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{
        api::status::{ImageStatus, RunStatus},
        operator::{
            lifecycle::{requests::Requests, status, verdict::Verdict},
            testing::objects::action,
        },
    };

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn at(started: bool) -> DeploymentAction {
        let mut action = action();
        let run = RunStatus {
            number: 2,
            pod_name: Some("deploy-1".into()),
            bundle_sha256: Some("x".into()),
            started_at: started.then(|| Time(now())),
            ..RunStatus::default()
        };
        let image = ImageStatus { resolved: "r/tools@sha256:1".into(), ..ImageStatus::default() };
        action.status = Some(status::progress(
            &Requests::of(&action),
            now(),
            Reason::Running,
            "",
            run,
            Some(image),
            None,
        ));
        action
    }

    fn ended(reason: Reason) -> DeploymentAction {
        let mut action = at(true);
        let run = action.status.as_ref().unwrap().run.clone().unwrap();
        let verdict = Verdict::of(reason, "the script ended");
        action.status = Some(status::terminal(&Requests::of(&action), now(), &verdict, run, None, None));
        action
    }

    #[test]
    fn a_run_is_told_of_when_its_script_starts_and_when_it_ends() {
        let (launching, running, done) = (at(false), at(true), ended(Reason::ScriptFailed));
        assert!(news(None, &launching, now()).is_none());
        let started = news(launching.status.as_ref(), &running, now()).unwrap();
        assert_eq!((started.type_.as_deref(), started.reason.as_deref()), (Some("Normal"), Some("Started")));
        assert!(started.note.unwrap().contains("pod deploy-1 with image r/tools@sha256:1"));
        assert!(news(running.status.as_ref(), &running, now()).is_none());
        let ended = news(running.status.as_ref(), &done, now()).unwrap();
        assert_eq!(
            (ended.type_.as_deref(), ended.reason.as_deref()),
            (Some("Warning"), Some("ScriptFailed"))
        );
        assert!(ended.note.unwrap().starts_with("Run 2: the script ended"));
        assert!(news(done.status.as_ref(), &done, now()).is_none());
    }

    #[test]
    fn a_run_that_ends_before_it_was_seen_running_is_told_of_once() {
        let done = ended(Reason::Succeeded);
        let event = news(at(false).status.as_ref(), &done, now()).unwrap();
        assert_eq!((event.type_.as_deref(), event.reason.as_deref()), (Some("Normal"), Some("Succeeded")));
    }

    #[test]
    fn an_end_with_a_long_message_fits_an_event() {
        let mut action = at(true);
        let run = action.status.as_ref().unwrap().run.clone().unwrap();
        let verdict = Verdict::of(Reason::PodRefused, "ä".repeat(2000));
        action.status = Some(status::terminal(&Requests::of(&action), now(), &verdict, run, None, None));
        let note = news(None, &action, now()).unwrap().note.unwrap();
        assert!(note.len() <= MAX_NOTE_BYTES);
    }
}
