//! Reports a written status in log lines, events, metrics and traces.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tracing::{Span, info};

use super::pass::{Pass, lock};
use crate::{
    api::{
        DeploymentActionStatus, Reason,
        condition::ConditionType,
        status::{LogState, RunStatus},
    },
    operator::telemetry::stages::{Stage, Timing},
    record::outcome::Exit,
};

impl Pass<'_> {
    /// Reports what is new in the status since `before`.
    pub(super) fn tell(&self, before: Option<&DeploymentActionStatus>) {
        let Some(status) = &self.action.status else { return };
        let Some(run) = &status.run else { return };
        // The text format of the log writes a recorded field beside its older values.
        if before.and_then(|before| before.run.as_ref()).is_none_or(|of| of.id != run.id) {
            Span::current().record("run", run.id.as_str());
        }
        let context = self.context;
        let now = Timestamp::now();
        context.events.tell(before, &self.action, now);
        let before = before.filter(|before| before.run.as_ref().is_some_and(|of| of.number == run.number));
        let log = run.pod_uid.as_ref().and_then(|uid| context.collector.fact(uid));
        let exit = log.as_ref().and_then(|log| log.exit.as_ref());
        let last = before.and_then(|of| of.run.as_ref());
        let newly = |is: fn(&RunStatus) -> bool| is(run) && !last.is_some_and(is);
        let waits = |run: &RunStatus| run.next_attempt_at.is_some();
        if newly(|run| run.held_lock().is_some())
            && let Some(begin) = &run.requested_at
        {
            let part = Timing { stage: Stage::Queue, attempt: run.attempt, begin: begin.0, end: now };
            context.metrics.stage(part);
            lock(self.memory).stages.record(part);
        }
        if newly(|run| run.bundle_sha256.is_some()) {
            self.passed(Stage::Resolve, true);
        } else if last.is_some_and(|last| last.number == run.number && last.attempt < run.attempt) {
            lock(self.memory).stages.begin(now);
        }
        if newly(waits) {
            self.attempt_ended(run, exit, now);
        }
        if newly(|run| run.started_at.is_some()) {
            self.passed(Stage::Start, true);
        }
        if newly(|run| run.finished_at.is_some()) {
            let reason = status.conditions().get(ConditionType::Ready).map(|ready| ready.reason.as_str());
            let reason = reason.and_then(Reason::parse).unwrap_or(Reason::Unknown);
            info!(%reason, exit_code = run.exit_code, "run finished");
            context.metrics.finished(reason);
            if !last.is_some_and(waits) {
                self.attempt_ended(run, exit, now);
            }
            let parts = lock(self.memory).stages.take();
            context.traces.tell(&self.action, &parts, now);
        }
        let read = |of: &DeploymentActionStatus| {
            of.log.as_ref().is_some_and(|log| log.state != LogState::Collecting)
        };
        if read(status)
            && !before.is_some_and(read)
            && let Some(log) = &status.log
        {
            context.metrics.log_read(log.state, log.bytes);
            if let Some((_, seen)) = exit {
                context.metrics.stage(Timing {
                    stage: Stage::Collect,
                    attempt: run.attempt,
                    begin: *seen,
                    end: now,
                });
            }
        }
    }

    /// Reports the end of an attempt's script, by its exit record.
    fn attempt_ended(&self, run: &RunStatus, exit: Option<&(Exit, Timestamp)>, now: Timestamp) {
        let mut memory = lock(self.memory);
        let followed = memory.stages.end(None);
        let Some((exit, seen)) = exit else { return };
        let part = |stage, begin, end| Timing { stage, attempt: run.attempt, begin, end };
        // This is not a span of its own, because the script's span lies within it.
        if let Some(begin) = followed.filter(|_| run.started_at.is_some()) {
            self.context.metrics.stage(part(Stage::Follow, begin, *seen));
        }
        let ran = SignedDuration::from_millis(i64::try_from(exit.millis).unwrap_or_default());
        let begin = seen.saturating_sub(ran).unwrap_or(*seen);
        for part in [part(Stage::Script, begin, *seen), part(Stage::Finish, *seen, now)] {
            self.context.metrics.stage(part);
            memory.stages.record(part);
        }
    }

    /// Reports the end of a stage whose beginning this process has seen.
    pub(super) fn passed(&self, stage: Stage, goes_on: bool) {
        let now = Timestamp::now();
        let mut memory = lock(self.memory);
        let since = memory.stages.end(goes_on.then_some(now));
        if let Some(begin) = since {
            let run = self.action.status.as_ref().and_then(|status| status.run.as_ref());
            let attempt = run.map_or(1, |run| run.attempt);
            let part = Timing { stage, attempt, begin, end: now };
            memory.stages.record(part);
            self.context.metrics.stage(part);
        }
    }
}
