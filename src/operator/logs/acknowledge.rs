//! Tells runners how much of their logs is read, by an annotation of their pods.
//!
//! A pod has one request under way, and a newer word replaces one that waits. All pods together send at most
//! [`AT_ONCE`] requests in [`TURN`], and namespaces take turns. What the API server refuses is sent again
//! after a pause. So a log may come late, and its reading never waits here.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{sync::watch, time::Instant};
use tracing::{debug, warn};

use super::dialogue::Word;
use crate::{
    api::{ANNOTATION_LOG_CREDIT, ANNOTATION_LOG_STATE},
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        fair::{Limits, Turns},
        telemetry::metrics::Metrics,
    },
    record::credit::Credit,
};

/// How many requests may be under way, of all pods.
const AT_ONCE: usize = 10;
/// How long a request counts as under way, at least. So there are at most 50 a second.
const TURN: Duration = Duration::from_millis(200);
/// The shortest time between two requests for one pod.
const EVERY: Duration = Duration::from_millis(250);
/// How long the API server may take. A runner waits meanwhile.
const ANSWER: Duration = Duration::from_secs(10);
/// The first and the longest pause after an error.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long the last word is sent again once nobody reads the log any more.
const LAST_WORD: Duration = Duration::from_secs(30);

/// The turns of all pods. One namespace never has all of them.
#[must_use]
pub(super) fn turns() -> Turns {
    Turns::new(Limits { all: AT_ONCE, of_owner: AT_ONCE - 2, at_place: AT_ONCE })
}

/// The pod that is written to.
#[derive(Debug, Clone)]
pub(super) struct Addressee {
    pub(super) api: Api<Pod>,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// Where words to one runner are left. The latest one is sent even after this is dropped.
#[derive(Debug)]
pub(super) struct Acknowledger {
    words: watch::Sender<Option<Word>>,
    told: watch::Receiver<Option<Credit>>,
}

impl Acknowledger {
    pub(super) fn new(to: Addressee, turns: Turns, metrics: Metrics) -> Self {
        let (words, latest) = watch::channel(None);
        let (sent, told) = watch::channel(None);
        tokio::spawn(send_all(to, turns, metrics, latest, sent));
        Self { words, told }
    }

    /// Leaves the latest word.
    pub(super) fn tell(&self, word: Word) {
        self.words.send_replace(Some(word));
    }

    /// The latest word that the API server has.
    pub(super) fn told(&self) -> Option<Credit> {
        *self.told.borrow()
    }
}

async fn send_all(
    to: Addressee,
    turns: Turns,
    metrics: Metrics,
    mut words: watch::Receiver<Option<Word>>,
    sent: watch::Sender<Option<Credit>>,
) {
    let mut pause = PAUSE.0;
    let mut last_word = None;
    while words.changed().await.is_ok() {
        loop {
            let turn = turns.take(&to.namespace, Vec::new()).await;
            // A newer word may have come while this one waited for its turn.
            let Some(word) = words.borrow_and_update().clone() else { break };
            let begun = Instant::now();
            let result = send(&to, &word).await;
            metrics.log_acknowledged(result.is_ok());
            tokio::time::sleep_until(begun + TURN).await;
            drop(turn);
            let Err(error) = result else {
                sent.send_replace(Some(word.credit));
                pause = PAUSE.0;
                tokio::time::sleep_until(begun + EVERY).await;
                break;
            };
            if matches!(error.code(), Some(404 | 409)) {
                debug!(pod = to.name, "the pod is gone: its log needs no acknowledgement");
                return;
            }
            if words.has_changed().is_err()
                && last_word.get_or_insert_with(Instant::now).elapsed() > LAST_WORD
            {
                return;
            }
            if pause == PAUSE.1 {
                warn!(pod = to.name, %error, "a runner cannot be told how much of its log is read");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// Writes the annotations of this very pod.
async fn send(to: &Addressee, word: &Word) -> Result<(), CallError> {
    let credit = word.credit.to_text();
    let both = json!({ANNOTATION_LOG_CREDIT: credit, ANNOTATION_LOG_STATE: word.state});
    let result = patch(to, both).await;
    // The pod's annotations may leave no room. The runner is told all the same.
    if result.as_ref().is_err_and(CallError::is_about_content) {
        return patch(to, json!({ANNOTATION_LOG_CREDIT: credit, ANNOTATION_LOG_STATE: null})).await;
    }
    result
}

async fn patch(to: &Addressee, annotations: serde_json::Value) -> Result<(), CallError> {
    // The UID is a precondition.
    let patch = json!({"metadata": {"uid": to.uid, "annotations": annotations}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(patch);
    let answer = call(to.api.patch_metadata(&to.name, &parameters, &patch));
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(CallError::TimedOut),
    }
}
