//! Objects that tests start from.

use std::sync::Arc;

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::api::ObjectMeta;

use crate::{
    api::{
        DeploymentAction, DeploymentActionSpec, Reason,
        action::Script,
        packages::{PackageKind, PackageStatus},
        status::{Deadlines, RunStatus},
    },
    operator::{
        lifecycle::{facts::LogFact, requests::Requests, status::terminal, verdict::Verdict},
        pod::{
            attempt::{Attempt, Delivery, FetchDefaults, PodDefaults},
            build::action_pod,
            view::{ContainerView, PodView},
        },
        spec::{hash::spec_hash, validate::validate},
    },
};

pub(crate) const UID: &str = "5f3c9a1b-1234-4321-8765-123456789abc";

pub(crate) fn action() -> DeploymentAction {
    DeploymentAction {
        metadata: ObjectMeta {
            name: Some("deploy".into()),
            namespace: Some("shop".into()),
            uid: Some(UID.into()),
            generation: Some(1),
            resource_version: Some("10".into()),
            ..Default::default()
        },
        spec: DeploymentActionSpec {
            image: Some("registry.example.com/tools:1".into()),
            script: Some(Script { inline: Some("echo hi".into()), ..Default::default() }),
            pod_retention_seconds: 86_400,
            ..Default::default()
        },
        status: None,
    }
}

/// The same, after its only run has ended so.
pub(crate) fn finished(verdict: &Verdict, log: Option<&LogFact>) -> DeploymentAction {
    let mut action = action();
    let run = RunStatus {
        number: 1,
        generation: 1,
        attempt: 1,
        spec_hash: spec_hash(&action.spec).unwrap(),
        ..RunStatus::default()
    };
    action.status = Some(terminal(&Requests::of(&action), Timestamp::UNIX_EPOCH, verdict, run, None, log));
    action
}

/// The same, for a reason alone.
pub(crate) fn ended(reason: Reason) -> DeploymentAction {
    finished(&Verdict::of(reason, String::new()), None)
}

pub(crate) fn pod_view() -> PodView {
    PodView {
        name: "deploy-5f3c9a1b-1-1".into(),
        uid: "pod-1".into(),
        created_at: None,
        owner_uid: Some(UID.into()),
        attempt: Some((1, 1)),
        bundle_sha256: None,
        tombstone: false,
        lock: None,
        finalizer: true,
        deleting: false,
        deleting_since: None,
        gone: false,
        container: ContainerView::Waiting,
        started: false,
        image: None,
        image_id: None,
        reason: None,
        message: None,
        unschedulable: None,
        waiting: None,
        stillborn: None,
        fetch_failure: None,
        disruption: None,
        stopped_by: None,
        not_ready_since: None,
        before: None,
        node: Some("node-1".into()),
        off: false,
        reports: false,
        end_seen: None,
        node_seconds: None,
        settled: false,
        mutation: None,
        others_running: vec![],
        active_deadline_seconds: None,
        stop_requested_at: None,
    }
}

pub(crate) fn pod_defaults(delivery: Delivery) -> PodDefaults {
    PodDefaults {
        runner_image: "r/runner:1".into(),
        runner_pull_policy: "IfNotPresent".into(),
        delivery,
        architecture: "amd64".into(),
        scratch_limit: "2Gi".into(),
        log_rotation_bytes: 10 << 20,
        fetch: Arc::new(FetchDefaults::new(&[], None, 512 << 20, 65_536)),
    }
}

/// This process, for tests that need none in particular.
pub(crate) const PROCESS: &str = "longshore-1/2026-01-01T00:00:00Z";

pub(crate) fn attempt() -> Attempt {
    Attempt {
        run: 1,
        attempt: 1,
        bundle: "{}".into(),
        bundle_sha256: "00".into(),
        image: "r/tools@sha256:11".into(),
        user: Some(65_532),
        deadlines: Deadlines { pending_seconds: 600, run_seconds: 3600, grace_seconds: 30 },
        packages: Vec::new(),
        lock: None,
        launcher: PROCESS.into(),
    }
}

/// A package as the status of a run has it.
pub(crate) fn package(name: &str, kind: PackageKind) -> PackageStatus {
    PackageStatus {
        name: name.into(),
        requested: format!("registry.example.com/{name}:1"),
        resolved: format!("registry.example.com/{name}@sha256:{}", "1".repeat(64)),
        kind,
        media_type: None,
    }
}

/// The pod of [`attempt`].
pub(crate) fn pod(delivery: Delivery) -> Pod {
    action_pod(&validate(&action(), "amd64").unwrap(), &attempt(), &pod_defaults(delivery))
}
