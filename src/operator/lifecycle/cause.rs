//! Finds out why a pod does not start: from its status, and from its events for what no status shows.

use k8s_openapi::api::core::v1::Event;

use crate::{api::Reason, operator::pod::view::PodView, record::fetch::Problem};

/// The known reason why a pod does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// One of the closed list.
    pub reason: Reason,
    /// The node's or the scheduler's own words.
    pub message: String,
}

impl Cause {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The cause, if there is one. `events` are the pod's, in any order.
#[must_use]
pub fn cause(pod: &PodView, events: &[Event]) -> Option<Cause> {
    if let Some(failure) = pod.fetch_failure.as_ref().filter(|_| pod.stillborn.is_some()) {
        return Some(Cause::new(fetch_reason(failure.problem), failure.message.clone()));
    }
    if let Some(why) = &pod.stillborn {
        let message = format!("pod {} ended before the script started: {why}", pod.name);
        return Some(Cause::new(Reason::StartFailed, message));
    }
    if let Some((waiting, message)) = &pod.waiting {
        return Some(match waiting.as_str() {
            // containerd says this of an index that only has other variants of the platform.
            _ if message.contains("no match for platform in manifest") => {
                Cause::new(Reason::ImagePlatformMissing, message)
            }
            // Kubernetes: pkg/kubelet/images/types.go
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => Cause::new(Reason::ImagePullFailed, message),
            // The kubelet's error itself, if it has no reason for it: for example about an unusable pull
            // Secret.
            other if other.contains(' ') => Cause::new(
                Reason::ImagePullFailed,
                format!("{message} (if this is about JSON, the content of a pull Secret is invalid)"),
            ),
            _ => Cause::new(Reason::ContainerConfigError, format!("{waiting}: {message}")),
        });
    }
    if let Some(message) = &pod.unschedulable {
        return Some(Cause::new(Reason::Unschedulable, message));
    }
    newest(events).into_iter().find_map(|event| {
        let message = event.message.as_deref()?;
        match event.reason.as_deref()? {
            "FailedMount" => mount_cause(message),
            "FailedCreatePodSandBox" => Some(Cause::new(Reason::ContainerConfigError, message)),
            _ => None,
        }
    })
}

/// Whether [`cause`] or [`explain`] uses a warning with this reason.
#[must_use]
pub fn is_asked_for(reason: &str) -> bool {
    matches!(
        reason,
        "FailedMount" | "FailedCreatePodSandBox" | "Evicted" | "FailedPostStartHook" | "Preempting"
    )
}

/// The run's reason if a package was not fetched.
const fn fetch_reason(problem: Problem) -> Reason {
    match problem {
        Problem::NotFound => Reason::PackageNotFound,
        Problem::Denied => Reason::PackageDenied,
        Problem::Invalid => Reason::PackageInvalid,
        Problem::TooLarge => Reason::PackageTooLarge,
        Problem::Unsafe => Reason::PackageUnsafe,
        Problem::DigestMismatch => Reason::PackageDigestMismatch,
        Problem::Unavailable | Problem::Internal => Reason::PackageFetchFailed,
    }
}

/// Whether a cause with this reason has ended the pod, so that waiting changes nothing.
#[must_use]
pub const fn ends_the_pod(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::StartFailed
            | Reason::PackageNotFound
            | Reason::PackageDenied
            | Reason::PackageInvalid
            | Reason::PackageTooLarge
            | Reason::PackageUnsafe
            | Reason::PackageDigestMismatch
            | Reason::PackageFetchFailed
    )
}

fn newest(events: &[Event]) -> Vec<&Event> {
    let mut newest: Vec<&Event> = events.iter().collect();
    newest.sort_by_key(|event| std::cmp::Reverse(event.last_timestamp.as_ref().map(|time| time.0)));
    newest
}

/// Adds what the pod's events say about why the kubelet stopped its container. If a script ends well after it
/// was asked to stop, the pod's status shows nothing, even after an eviction.
pub fn explain(pod: &mut PodView, events: &[Event]) {
    let uid = pod.uid.clone();
    let of_pod = |event: &&Event| event.involved_object.uid.as_deref() == Some(&uid);
    for event in newest(events).into_iter().filter(of_pod) {
        let message = || event.message.clone().unwrap_or_default();
        match event.reason.as_deref() {
            // Kubernetes: pkg/kubelet/eviction/eviction_manager.go
            Some("Evicted") if pod.reason.is_none() => {
                (pod.reason, pod.message) = (Some("Evicted".into()), event.message.clone());
            }
            // Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go; without a cause it only says
            // "Stopping container action".
            Some("FailedPostStartHook" | "Preempting") if pod.stopped_by.is_none() => {
                pod.stopped_by = Some(message());
            }
            Some("Killing") if pod.stopped_by.is_none() && message().contains("probe") => {
                pod.stopped_by = Some(message());
            }
            _ => {}
        }
    }
}

/// The kubelet reports missing Secrets and `ConfigMap`s of a projected volume only in an event.
fn mount_cause(message: &str) -> Option<Cause> {
    // Kubernetes: pkg/volume/projected/projected.go and pkg/volume/secret/secret.go
    const SECRET: [&str; 2] = ["secret \"", "non-existent secret key"];
    const CONFIG_MAP: [&str; 2] = ["configmap \"", "non-existent config key"];
    let has = |words: [&str; 2]| words.iter().any(|word| message.contains(word));
    let reason = if has(SECRET) {
        Reason::SecretMissing
    } else if has(CONFIG_MAP) {
        Reason::ConfigMapMissing
    } else if message.contains("Unable to attach or mount volumes") || message.contains("object \"") {
        // The kubelet's caches are not filled yet. It says this of every volume of a new pod.
        return None;
    } else {
        Reason::ContainerConfigError
    };
    Some(Cause::new(reason, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{operator::testing::objects::pod_view, record::fetch::Failure};

    fn event(reason: &str, message: &str) -> Event {
        Event { reason: Some(reason.into()), message: Some(message.into()), ..Default::default() }
    }

    #[test]
    fn why_a_package_was_not_fetched_comes_before_that_its_container_failed() {
        let mut pod = pod_view();
        pod.stillborn = Some("init container longshore-fetch ended with exit code 1".into());
        pod.fetch_failure =
            Some(Failure { problem: Problem::Unsafe, message: "package orders: leads out".into() });
        let found = cause(&pod, &[]).unwrap();
        assert_eq!(found, Cause::new(Reason::PackageUnsafe, "package orders: leads out"));
        assert!(ends_the_pod(found.reason));
    }

    #[test]
    fn a_missing_secret_or_key_is_read_from_the_event() {
        for (message, reason) in [
            (
                "MountVolume.SetUp failed for volume \"inputs\" : secret \"db\" not found",
                Reason::SecretMissing,
            ),
            (
                "MountVolume.SetUp failed for volume \"inputs\" : references non-existent secret key: pw",
                Reason::SecretMissing,
            ),
            (
                "MountVolume.SetUp failed for volume \"inputs\" : configmap \"c\" not found",
                Reason::ConfigMapMissing,
            ),
            (
                "MountVolume.SetUp failed for volume \"inputs\" : references non-existent config key: k",
                Reason::ConfigMapMissing,
            ),
        ] {
            assert_eq!(cause(&pod_view(), &[event("FailedMount", message)]).unwrap().reason, reason);
        }
    }

    #[test]
    fn what_a_node_cannot_set_up_is_told_by_its_name() {
        let mut pod = pod_view();
        pod.waiting = Some(("CreateContainerConfigError".into(), "missing value for A".into()));
        let words = "CreateContainerConfigError: missing value for A";
        assert_eq!(cause(&pod, &[]), Some(Cause::new(Reason::ContainerConfigError, words)));
    }

    #[test]
    fn a_node_s_own_words_come_before_events() {
        let mut pod = pod_view();
        pod.waiting = Some(("ImagePullBackOff".into(), "no such host".into()));
        let found = cause(&pod, &[event("FailedMount", "secret \"db\" not found")]).unwrap();
        assert_eq!(found, Cause::new(Reason::ImagePullFailed, "no such host"));
    }

    #[test]
    fn an_eviction_that_only_an_event_tells_of_is_one() {
        let of_pod = |reason: &str, message: &str| {
            let mut event = event(reason, message);
            event.involved_object.uid = Some(pod_view().uid);
            event
        };
        let explained = |events: &[Event]| {
            let mut pod = pod_view();
            explain(&mut pod, events);
            (pod.reason, pod.message, pod.stopped_by)
        };
        let evicted = of_pod("Evicted", "Pod ephemeral local storage usage exceeds the limit");
        let (reason, message, _) = explained(&[of_pod("Killing", "Stopping container action"), evicted]);
        assert_eq!(reason.as_deref(), Some("Evicted"));
        assert!(message.unwrap().contains("ephemeral"));
        let probe = "Container action failed liveness probe, will be restarted";
        assert_eq!(explained(&[of_pod("Killing", probe)]).2.as_deref(), Some(probe));
        assert_eq!(explained(&[of_pod("Killing", "Stopping container action")]), (None, None, None));
        // An event of another pod, such as the one before.
        assert_eq!(explained(&[event("Evicted", "x")]), (None, None, None));
    }

    #[test]
    fn an_error_that_the_kubelet_has_no_word_for_is_told_once() {
        let mut pod = pod_view();
        let words = "json: cannot unmarshal number into Go struct field";
        pod.waiting = Some((words.into(), words.into()));
        let found = cause(&pod, &[]).unwrap();
        assert_eq!((found.reason, found.message.matches(words).count()), (Reason::ImagePullFailed, 1));
    }
}
