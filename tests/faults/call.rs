//! What an operator asks of the API server, told by method and path.

use std::fmt;

use http::Method;
use longshore::api::LEASE_PREFIX;

/// A kind of request, or of what a watch brings. A fault is set at the n-th call of a kind. The operator
/// alone decides the order within a kind; the order among kinds is chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Call {
    GetAction,
    ListActions,
    WatchActions,
    /// An event of a watch of actions.
    ActionEvent,
    WriteStatus,
    CreatePod,
    GetPod,
    ListPods,
    WatchPods,
    /// An event of a watch of pods.
    PodEvent,
    PatchPod,
    DeletePod,
    ReadLog,
    ReadEvents,
    WriteEvent,
    /// The operators' own.
    Lease,
    /// A lock's Lease.
    ReadLock,
    WriteLock,
    /// Nodes, templates, policies.
    Other,
}

impl Call {
    pub(crate) const ALL: [Self; 19] = [
        Self::GetAction,
        Self::ListActions,
        Self::WatchActions,
        Self::ActionEvent,
        Self::WriteStatus,
        Self::CreatePod,
        Self::GetPod,
        Self::ListPods,
        Self::WatchPods,
        Self::PodEvent,
        Self::PatchPod,
        Self::DeletePod,
        Self::ReadLog,
        Self::ReadEvents,
        Self::WriteEvent,
        Self::Lease,
        Self::ReadLock,
        Self::WriteLock,
        Self::Other,
    ];

    /// Whether it changes something that concerns an action.
    pub(crate) fn is_write(self) -> bool {
        matches!(
            self,
            Self::WriteStatus
                | Self::CreatePod
                | Self::PatchPod
                | Self::DeletePod
                | Self::WriteEvent
                | Self::WriteLock
        )
    }

    /// Whether an operator at rest may make it: to keep the lease and to renew watches.
    pub(crate) fn is_renewal(self) -> bool {
        matches!(
            self,
            Self::Lease
                | Self::Other
                | Self::ListActions
                | Self::WatchActions
                | Self::ListPods
                | Self::WatchPods
        )
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GetAction => "get-action",
            Self::ListActions => "list-actions",
            Self::WatchActions => "watch-actions",
            Self::ActionEvent => "action-event",
            Self::WriteStatus => "write-status",
            Self::CreatePod => "create-pod",
            Self::GetPod => "get-pod",
            Self::ListPods => "list-pods",
            Self::WatchPods => "watch-pods",
            Self::PodEvent => "pod-event",
            Self::PatchPod => "patch-pod",
            Self::DeletePod => "delete-pod",
            Self::ReadLog => "read-log",
            Self::ReadEvents => "read-events",
            Self::WriteEvent => "write-event",
            Self::Lease => "lease",
            Self::ReadLock => "read-lock",
            Self::WriteLock => "write-lock",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// The kind of a request, and the name of the object that it is about. A new object's is in the body,
/// `created`.
pub(crate) fn classify(method: &Method, path: &str, query: &str, created: &str) -> (Call, String) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let after = |resource: &str| {
        let at = parts.iter().position(|part| *part == resource)?;
        let part = |at: usize| parts.get(at).copied().unwrap_or_default();
        let name = if method == Method::POST { created } else { part(at + 1) };
        Some((name, part(at + 2)))
    };
    let watches = query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1");
    let found = if let Some((name, sub)) = after("deploymentactions") {
        let call = match (method, name, sub) {
            (&Method::GET, "", _) if watches => Call::WatchActions,
            (&Method::GET, "", _) => Call::ListActions,
            (&Method::GET, ..) => Call::GetAction,
            (&Method::PUT, _, "status") => Call::WriteStatus,
            _ => Call::Other,
        };
        Some((call, name))
    } else if let Some((name, sub)) = after("pods") {
        let call = match (method, name, sub) {
            (&Method::GET, "", _) if watches => Call::WatchPods,
            (&Method::GET, "", _) => Call::ListPods,
            (&Method::GET, _, "log") => Call::ReadLog,
            (&Method::GET, ..) => Call::GetPod,
            (&Method::POST, ..) => Call::CreatePod,
            (&Method::PATCH, ..) => Call::PatchPod,
            (&Method::DELETE, ..) => Call::DeletePod,
            _ => Call::Other,
        };
        Some((call, name))
    } else if let Some((name, _)) = after("leases") {
        let call = match name.strip_prefix(LEASE_PREFIX) {
            None => Call::Lease,
            Some(_) if method == Method::GET => Call::ReadLock,
            Some(_) => Call::WriteLock,
        };
        Some((call, name))
    } else if let Some((name, _)) = after("events") {
        let call = match *method {
            Method::GET if watches => Call::Other,
            Method::GET => Call::ReadEvents,
            _ => Call::WriteEvent,
        };
        Some((call, name))
    } else {
        None
    };
    found.map_or((Call::Other, String::new()), |(call, name)| (call, name.to_owned()))
}

#[test]
fn requests_are_told_by_method_and_path() {
    let actions = "/apis/longshore.dev/v1alpha1/namespaces/n/deploymentactions";
    let pods = "/api/v1/namespaces/n/pods";
    let leases = "/apis/coordination.k8s.io/v1/namespaces/n/leases";
    for (method, path, query, call, name) in [
        (Method::GET, actions.to_owned(), "watch=true&resourceVersion=1", Call::WatchActions, ""),
        (Method::GET, actions.to_owned(), "limit=500", Call::ListActions, ""),
        (Method::GET, format!("{actions}/a"), "", Call::GetAction, "a"),
        (Method::PUT, format!("{actions}/a/status"), "fieldManager=x", Call::WriteStatus, "a"),
        (Method::POST, pods.to_owned(), "", Call::CreatePod, "new"),
        (Method::GET, format!("{pods}/p/log"), "follow=true", Call::ReadLog, "p"),
        (Method::DELETE, format!("{pods}/p"), "", Call::DeletePod, "p"),
        (Method::POST, "/apis/events.k8s.io/v1/namespaces/n/events".into(), "", Call::WriteEvent, "new"),
        (Method::GET, "/api/v1/namespaces/n/events".into(), "", Call::ReadEvents, ""),
        (Method::GET, "/api/v1/namespaces/n/events".into(), "watch=true", Call::Other, ""),
        (Method::PUT, format!("{leases}/longshore"), "", Call::Lease, "longshore"),
        (Method::GET, format!("{leases}/longshore-lock-db"), "", Call::ReadLock, "longshore-lock-db"),
        (Method::DELETE, format!("{leases}/longshore-lock-db"), "", Call::WriteLock, "longshore-lock-db"),
        (Method::GET, "/api/v1/nodes".into(), "", Call::Other, ""),
    ] {
        assert_eq!(classify(&method, &path, query, "new"), (call, name.to_owned()), "{method} {path}");
    }
    let of_lock = classify(&Method::POST, leases, "", "longshore-lock-db");
    assert_eq!(of_lock, (Call::WriteLock, "longshore-lock-db".into()));
    assert_eq!(classify(&Method::POST, leases, "", "longshore").0, Call::Lease);
}
