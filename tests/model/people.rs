//! Faults, and requests of people.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore::api::{
    ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentActionStatus,
    status::{Launcher, RunStatus},
};

use crate::{
    cluster::State,
    pods::{Millis, Pod, at},
};

/// Further than the pending deadline is away.
const SET_BACK: Millis = 20_000;

/// Further than every deadline.
const NODE_SKEW: Millis = 7_200_000;

/// A process beside the operator.
pub(crate) const BELIEVER: &str = "believer";

/// What may go wrong, and what people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Crash,
    LostAnswer,
    Refusal,
    BadExit,
    Kill,
    StartError,
    LostLog,
    /// The operator's clock is set back.
    ClockBack,
    ChangeSpec,
    Cancel,
    Rerun,
    Suspend,
    DeletePod,
    ForceDeletePod,
    DeleteAction,
    DeleteInForeground,
    EmptyStatus,
    /// The first node dies, and somebody says so by a taint.
    NodeOff,
    /// The first node says nothing from now on, or speaks again. Its processes run on.
    NodeSilent,
    /// Clocks of nodes are hours behind.
    NodeClockBehind,
    /// Clocks of nodes are hours ahead.
    NodeClockAhead,
    /// A script stops its runner, and heeds no signal for long.
    Deaf,
    /// Another process of the operator believes that it leads, and takes over what has no pod yet.
    Believer,
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[
        Self::Crash,
        Self::LostAnswer,
        Self::Refusal,
        Self::BadExit,
        Self::Kill,
        Self::StartError,
        Self::LostLog,
        Self::ClockBack,
        Self::ChangeSpec,
        Self::Cancel,
        Self::Rerun,
        Self::Suspend,
        Self::DeletePod,
        Self::ForceDeletePod,
        Self::DeleteAction,
        Self::DeleteInForeground,
        Self::EmptyStatus,
        Self::NodeOff,
        Self::NodeSilent,
        Self::NodeClockBehind,
        Self::NodeClockAhead,
        Self::Deaf,
        Self::Believer,
    ];
}

pub(crate) fn can_ask(state: &State, kind: Kind) -> bool {
    let Some(action) = &state.action else { return false };
    let live = |pod: &Pod| !pod.tombstone && pod.deleted.is_none();
    match kind {
        Kind::Cancel => action.run().is_some_and(|run| run.finished_at.is_none()),
        Kind::DeletePod => state.pods.values().any(live),
        Kind::ForceDeletePod => state.pods.values().any(|pod| !pod.tombstone && !pod.forced),
        Kind::EmptyStatus => action.action.status.is_some(),
        Kind::ClockBack => state.skew == 0,
        Kind::NodeOff => !state.off && state.pods.values().any(|pod| !pod.tombstone),
        Kind::NodeSilent => !state.off && state.pods.values().any(Pod::is_on_first),
        Kind::NodeClockBehind | Kind::NodeClockAhead => state.node_skew == 0,
        Kind::Deaf => state.running().any(|(_, process)| !process.deaf),
        Kind::DeleteAction | Kind::DeleteInForeground => !action.is_deleted(),
        // Its knowledge of pods may be of any age.
        Kind::Believer => {
            let open = |run: &RunStatus| {
                run.bundle_sha256.is_some() && run.pod_uid.is_none() && !run.is_launched_no_more()
            };
            !action.is_deleted() && action.run().is_some_and(open)
        }
        _ => true,
    }
}

pub(crate) fn ask(state: &mut State, kind: Kind) {
    let now = state.now;
    let Some(action) = state.action.clone() else { return };
    let budget = state.budget;
    let annotate = |name: &str, value: String| {
        action.changed(|action| {
            action.metadata.annotations.get_or_insert_default().insert(name.to_owned(), value);
        })
    };
    match kind {
        Kind::ChangeSpec => {
            state.action = Some(action.changed(|action| action.spec.args.push("x".into())));
        }
        Kind::Cancel => {
            let id = action.run().map(|run| run.id.clone()).unwrap_or_default();
            state.action = Some(annotate(ANNOTATION_CANCEL, id));
        }
        Kind::Rerun => state.action = Some(annotate(ANNOTATION_RERUN, format!("token-{budget}"))),
        Kind::Suspend => {
            state.action = Some(action.changed(|action| {
                action.spec.suspend = (action.spec.suspend != Some(true)).then_some(true);
            }));
        }
        Kind::DeletePod | Kind::ForceDeletePod => {
            let forced = kind == Kind::ForceDeletePod;
            let mut pods = state.pods.values_mut().rev();
            if let Some(pod) = pods.find(|pod| !pod.tombstone && (forced || pod.deleted.is_none())) {
                pod.delete(now, forced);
            }
        }
        Kind::ClockBack => {
            state.skew = -SET_BACK;
            state.memory.learns();
        }
        Kind::NodeOff => state.off = true,
        Kind::NodeSilent => state.silent ^= 1,
        Kind::NodeClockBehind => state.node_skew = -NODE_SKEW,
        Kind::NodeClockAhead => state.node_skew = NODE_SKEW,
        Kind::Deaf => {
            let running = state.processes.values_mut().filter(|process| process.end.is_none());
            running.for_each(|process| process.deaf = true);
        }
        Kind::Believer => {
            let Some(run) = action.run() else { return };
            let launcher = Some(Launcher::taking_over(BELIEVER, Time(at(now))));
            state.believer = Some((run.number, run.attempt));
            let run = Some(RunStatus { launcher, ..run.clone() });
            let status = action.action.status.clone().unwrap_or_default();
            state.action = Some(action.written(Some(DeploymentActionStatus { run, ..status })));
        }
        Kind::DeleteAction => state.remove_action(),
        Kind::DeleteInForeground => {
            state.action =
                Some(action.changed(|action| action.metadata.deletion_timestamp = Some(Time(at(now)))));
        }
        Kind::EmptyStatus => {
            state.action = Some(action.written(None));
            state.told.verdicts = BTreeMap::new();
        }
        _ => {}
    }
}
