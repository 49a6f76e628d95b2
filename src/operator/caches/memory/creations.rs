//! The creations of an attempt's pod, as far as this process knows them.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Notify;

use crate::{
    api::DeploymentAction,
    operator::lifecycle::facts::{Creation, Refusal},
};

/// How many settled attempts are remembered for an action. Being settled matters for two minutes, and hardly
/// more attempts begin in that time.
const MOST_SETTLED: usize = 16;

/// The creations of the latest attempt's pod, and the attempts whose creations have settled.
#[derive(Debug, Default)]
pub(in crate::operator) struct Creations {
    /// The run and attempt that `latest` is about.
    attempt: Option<(u32, u32)>,
    latest: Creation,
    /// The latest settled attempts: no creation is sent for them any more, and all that were sent were ours
    /// and were answered.
    settled: VecDeque<(u32, u32)>,
    is_gone: bool,
    gone: Arc<Notify>,
}

impl Creations {
    /// As [`super::Memory::turn_to`]. Whether the attempt is another one.
    pub(super) fn turn_to(&mut self, attempt: (u32, u32), announced: bool) -> bool {
        let other = self.attempt.replace(attempt) != Some(attempt);
        if other {
            self.latest = Creation { unanswered: !announced, ..Creation::default() };
        }
        other
    }

    /// The creations of the latest attempt's pod.
    pub(in crate::operator) const fn latest(&self) -> &Creation {
        &self.latest
    }

    /// Notes that the pod was created.
    pub(in crate::operator) fn created(&mut self) {
        self.latest.refusal = None;
    }

    /// Notes that the pod of the latest attempt was seen. The first one counts.
    pub(in crate::operator) fn seen(&mut self, pod_uid: &str) {
        self.latest.pod_uid.get_or_insert_with(|| pod_uid.to_owned());
    }

    /// Notes that the API server refused to create the pod.
    pub(in crate::operator) fn refused(&mut self, refusal: Refusal) {
        self.latest.refusal = Some(refusal);
    }

    /// Notes a creation without an answer: it may have arrived.
    pub(in crate::operator) fn unanswered(&mut self, error: String) {
        self.latest.unanswered = true;
        self.latest.error = Some(error);
    }

    /// Notes that the tombstone was refused. Returns how often that has happened if it is to be tried again.
    pub(in crate::operator) fn tombstone_refused(&mut self, refusal: &Refusal) -> Option<u32> {
        self.latest.refuse_tombstone(refusal).then_some(self.latest.tombstone_tries)
    }

    /// Notes what the action's status says about who may create the pod of its latest attempt.
    ///
    /// The attempt is settled if three things are true: no process creates the pod any more, only this
    /// process ever could, and all its creations were answered. A process that no longer leads cannot undo
    /// that.
    pub(in crate::operator) fn settle(&mut self, action: &DeploymentAction, process: &str) {
        let Some(run) = action.status.as_ref().and_then(|status| status.run.as_ref()) else {
            // Somebody emptied the status, and what it said is not known.
            self.latest.unanswered |= self.attempt.is_some();
            return;
        };
        let attempt = (run.number, run.attempt);
        // The same number can come again if somebody has put back an older status.
        self.settled.retain(|settled| *settled != attempt);
        if self.attempt != Some(attempt) {
            return;
        }
        self.latest.unanswered |= !run.is_launched_only_by(process);
        let deleted = self.is_gone || action.metadata.deletion_timestamp.is_some();
        let over = deleted || run.is_launched_no_more();
        if over && !self.latest.unanswered {
            self.settled.push_back(attempt);
        }
        if self.settled.len() > MOST_SETTLED {
            self.settled.pop_front();
        }
    }

    /// Whether no creation of this attempt can arrive any more: all were this process's own and were
    /// answered, and none will be sent.
    pub(in crate::operator) fn has_all(&self, attempt: (u32, u32)) -> bool {
        let under_way = self.attempt == Some(attempt) && self.latest.unanswered;
        self.settled.contains(&attempt) && !under_way
    }

    /// As [`super::Memories::gone`].
    pub(super) fn gone(&mut self, action: &DeploymentAction, process: &str) {
        self.is_gone = true;
        self.settle(action, process);
        self.gone.notify_waiters();
    }

    /// As [`super::Memories::goes`].
    pub(super) fn goes(&self) -> Arc<Notify> {
        Arc::clone(&self.gone)
    }

    /// Notes that these attempts are settled.
    #[cfg(test)]
    pub(in crate::operator) fn settled(&mut self, attempts: impl IntoIterator<Item = (u32, u32)>) {
        self.settled = attempts.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;
    use crate::{
        api::status::{Launcher, RunStatus},
        operator::{
            caches::memory::Memories,
            testing::objects::{PROCESS, action},
        },
    };

    #[test]
    fn a_creation_of_a_process_before_us_counts_as_unanswered() {
        let mut creations = Creations::default();
        creations.turn_to((1, 1), false);
        assert!(creations.latest().unanswered);
        creations.turn_to((2, 1), true);
        assert!(!creations.latest().unanswered);
    }

    /// An action whose status names this attempt, launched by `launcher`.
    fn launched(attempt: (u32, u32), launcher: Option<Launcher>, over: bool) -> DeploymentAction {
        let mut action = action();
        let finished_at = over.then_some(Time(Timestamp::UNIX_EPOCH));
        let (number, attempt) = attempt;
        let run = RunStatus { number, attempt, launcher, finished_at, ..RunStatus::default() };
        action.status.get_or_insert_default().run = Some(run);
        action
    }

    #[test]
    fn an_attempt_is_settled_once_it_is_over_and_all_its_creations_were_ours_and_answered() {
        let ours = || Some(Launcher::first(PROCESS));
        let taken = Launcher::taking_over(PROCESS, Time(Timestamp::UNIX_EPOCH));
        for (launcher, announced, over, unanswered, settled) in [
            (ours(), true, true, false, true),
            (ours(), true, false, false, false),
            (ours(), true, true, true, false),
            // The process lost its memory, or somebody put back an older status.
            (ours(), false, true, false, false),
            (Some(taken), true, true, false, false),
            (Some(Launcher::first("another")), true, true, false, false),
            (None, true, true, false, false),
        ] {
            let mut creations = Creations::default();
            creations.turn_to((1, 1), announced);
            creations.latest.unanswered |= unanswered;
            creations.settle(&launched((1, 1), launcher.clone(), over), PROCESS);
            let is = creations.settled.contains(&(1, 1));
            assert_eq!(is, settled, "{launcher:?} {announced} {over} {unanswered}");
        }
    }

    #[test]
    fn an_attempt_whose_status_was_emptied_meanwhile_is_never_settled() {
        let mut creations = Creations::default();
        creations.turn_to((1, 1), true);
        creations.settle(&action(), PROCESS);
        // The action counts as new, and its first attempt is announced again.
        creations.turn_to((1, 1), true);
        creations.settle(&launched((1, 1), Some(Launcher::first(PROCESS)), true), PROCESS);
        assert!(creations.settled.is_empty());
    }

    #[test]
    fn what_is_settled_is_remembered_when_later_attempts_begin_and_not_for_ever() {
        let memories = Memories::default();
        let uid = action().metadata.uid.unwrap();
        let settle = |attempt, over| {
            let memory = memories.of(&uid);
            let mut memory = memory.lock().unwrap();
            memory.turn_to(attempt, true);
            memory.creations.settle(&launched(attempt, Some(Launcher::first(PROCESS)), over), PROCESS);
        };
        settle((1, 1), true);
        // Its end was never seen.
        settle((1, 2), false);
        settle((2, 1), true);
        settle((3, 1), false);
        for (attempt, all) in [((1, 1), true), ((1, 2), false), ((2, 1), true), ((3, 1), false)] {
            assert_eq!(memories.has_all_creations(&uid, attempt), all, "{attempt:?}");
        }
        assert!(!memories.has_all_creations("b", (1, 1)), "another action");
        // Somebody put back an older status, in which the attempt is not over.
        settle((2, 1), false);
        assert!(!memories.has_all_creations(&uid, (2, 1)));
        for run in 10..100 {
            settle((run, 1), true);
        }
        assert!(memories.of(&uid).lock().unwrap().creations.settled.len() <= MOST_SETTLED);
    }

    #[tokio::test]
    async fn an_action_that_is_gone_settles_its_latest_attempt_as_its_last_status_has_it() {
        for (launcher, settled) in [(PROCESS, true), ("another", false)] {
            let memories = Memories::default();
            let uid = action().metadata.uid.unwrap();
            memories.of(&uid).lock().unwrap().turn_to((1, 1), true);
            let told = memories.goes(&uid);
            let told = told.notified();
            memories.gone(&launched((1, 1), Some(Launcher::first(launcher)), false), PROCESS);
            told.await;
            // A look that began earlier has the action as it was then.
            memories
                .of(&uid)
                .lock()
                .unwrap()
                .creations
                .settle(&launched((1, 1), Some(Launcher::first(PROCESS)), false), PROCESS);
            assert_eq!(memories.has_all_creations(&uid, (1, 1)), settled, "{launcher}");
        }
    }
}
