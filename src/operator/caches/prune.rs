//! Removes from cached objects what the operator does not read. The caches hold each action, and each pod of
//! ours, for as long as it exists.

use std::mem::take;

use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{Resource, ResourceExt};

use crate::{
    api::{ANNOTATION_BUNDLE, ANNOTATION_LOG_STATE, CONTAINER, DeploymentAction},
    record::place,
};

/// `kubectl apply` keeps a second copy of the object here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Removes from an action what the operator does not read. A write of the status leaves the metadata alone.
///
/// The time of the last write of the status stays. It tells an action whose status was emptied from a new one
/// ([`crate::operator::lifecycle::decide`]).
pub(crate) fn action(action: &mut DeploymentAction) {
    let writers = take(action.managed_fields_mut()).into_iter();
    let of_status = writers.filter(|writer| writer.subresource.as_deref() == Some("status"));
    let last = of_status.max_by_key(|writer| writer.time.clone());
    let last = last.map(|writer| ManagedFieldsEntry {
        subresource: writer.subresource,
        time: writer.time,
        ..ManagedFieldsEntry::default()
    });
    action.metadata.managed_fields = last.map(|last| vec![last]);
    if let Some(annotations) = &mut action.meta_mut().annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Does the same for a pod, which may stay for days after it has ended. Its script is for the runner alone, and
/// the state of its log for an operator that begins to read it.
/// Each volume takes some kilobytes, whatever it holds, and only those of packages are looked at
/// ([`crate::operator::pod::mutation`]).
pub(crate) fn pod(pod: &mut Pod) {
    pod.managed_fields_mut().clear();
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.remove(ANNOTATION_BUNDLE);
        annotations.remove(ANNOTATION_LOG_STATE);
    }
    if let Some(status) = &mut pod.status {
        (status.host_ip, status.host_ips, status.pod_ip, status.pod_ips) = (None, None, None, None);
        let containers = status.container_statuses.iter_mut().chain(&mut status.init_container_statuses);
        for container in containers.flatten() {
            (container.resources, container.allocated_resources, container.volume_mounts) =
                (None, None, None);
            (container.user, container.allocated_resources_status) = (None, None);
        }
    }
    let Some(spec) = &mut pod.spec else { return };
    spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(container);
    let mounted: Vec<String> = (spec.containers.iter())
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .filter(|mount| is_package(&mount.mount_path))
        .map(|mount| mount.name.clone())
        .collect();
    let volumes = take(&mut spec.volumes).into_iter().flatten();
    let kept: Vec<_> = volumes.filter(|volume| mounted.contains(&volume.name)).collect();
    spec.volumes = Some(kept).filter(|kept| !kept.is_empty());
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let mounts = take(&mut container.volume_mounts).into_iter().flatten();
        let kept: Vec<_> = mounts.filter(|mount| mounted.contains(&mount.name)).collect();
        container.volume_mounts = Some(kept).filter(|kept| !kept.is_empty());
    }
    (spec.affinity, spec.tolerations, spec.topology_spread_constraints) = (None, None, None);
}

fn container(container: &mut Container) {
    let bundle = |name: &str| container.name == CONTAINER && name == place::ENV_BUNDLE_SHA256;
    let environment = take(&mut container.env).into_iter().flatten();
    let kept: Vec<_> = environment.filter(|variable| bundle(&variable.name)).collect();
    container.env = Some(kept).filter(|kept| !kept.is_empty());
    container.env_from = None;
    (container.resources, container.security_context) = (None, None);
    (container.lifecycle, container.liveness_probe, container.readiness_probe, container.startup_probe) =
        (None, None, None, None);
}

fn is_package(path: &str) -> bool {
    path.strip_prefix(place::PACKAGES_DIR).is_some_and(|below| below.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::{EnvVar, Volume},
        apimachinery::pkg::apis::meta::v1::{FieldsV1, Time},
        jiff::Timestamp,
    };

    use super::*;
    use crate::{
        api::{ANNOTATION_LOG_LIMITS, ANNOTATION_RERUN, packages::PackageKind},
        operator::{
            pod::{
                attempt::{Attempt, Delivery},
                build::action_pod,
                mutation::mutation,
                view::PodView,
            },
            spec::validate::validate,
            testing::objects::{self, attempt, package, pod_defaults},
        },
    };

    #[test]
    fn the_cache_holds_no_second_copy_of_what_was_applied() {
        let mut pruned = objects::action();
        let annotations = [(LAST_APPLIED, "{}"), (ANNOTATION_RERUN, "1")];
        pruned.metadata.annotations =
            Some(annotations.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        action(&mut pruned);
        let left: Vec<_> = pruned.annotations().keys().collect();
        assert_eq!(left, [ANNOTATION_RERUN]);
    }

    #[test]
    fn of_who_wrote_an_action_only_when_its_status_was_written_last_is_kept() {
        let entry = |subresource: Option<&str>, second| ManagedFieldsEntry {
            manager: Some("longshore".into()),
            subresource: subresource.map(str::to_owned),
            time: Some(Time(Timestamp::from_second(second).unwrap())),
            fields_v1: Some(FieldsV1(serde_json::json!({"f:status": {}}))),
            ..ManagedFieldsEntry::default()
        };
        let status = Some("status");
        let mut pruned = objects::action();
        pruned.metadata.managed_fields = Some(vec![entry(status, 2), entry(status, 3), entry(None, 4)]);
        action(&mut pruned);
        let last = ManagedFieldsEntry { manager: None, fields_v1: None, ..entry(status, 3) };
        assert_eq!(pruned.metadata.managed_fields, Some(vec![last]));
        pruned.metadata.managed_fields = Some(vec![entry(None, 4)]);
        action(&mut pruned);
        assert_eq!(pruned.metadata.managed_fields, None);
    }

    #[test]
    fn a_pod_looks_the_same_without_what_the_cache_does_not_hold() {
        let packages = vec![package("a", PackageKind::Image), package("b", PackageKind::Artifact)];
        let attempt = Attempt { packages: packages.clone(), ..attempt() };
        let checked = validate(&objects::action(), "amd64").unwrap();
        for delivery in [Delivery::ImageVolume, Delivery::InitContainer] {
            let whole = action_pod(&checked, &attempt, &pod_defaults(delivery));
            let changes: [&dyn Fn(&mut Pod); 6] = [
                &|_| {},
                &|pod| pod.spec.as_mut().unwrap().containers[0].env = None,
                &|pod| pod.spec.as_mut().unwrap().containers[0].image = Some("another".into()),
                &|pod| pod.spec.as_mut().unwrap().containers[0].command = None,
                &|pod| {
                    let volumes = pod.spec.as_mut().unwrap().volumes.iter_mut().flatten();
                    let of_package = |volume: &&mut Volume| volume.name.starts_with("longshore-package");
                    volumes.filter(of_package).for_each(|volume| {
                        (volume.image, volume.empty_dir, volume.host_path) =
                            (None, None, Some(k8s_openapi::api::core::v1::HostPathVolumeSource::default()));
                    });
                },
                &|pod| pod.spec.as_mut().unwrap().volumes = None,
            ];
            for (at, change) in changes.into_iter().enumerate() {
                let mut altered = whole.clone();
                change(&mut altered);
                let seen = |pod: &Pod| (PodView::of(pod), mutation(pod, &attempt.image, &packages));
                let before = seen(&altered);
                pod(&mut altered);
                let after = seen(&altered);
                assert_eq!(after, before, "{delivery:?}, change {at}");
                assert_eq!(after.1.is_some(), at > 0, "{delivery:?}, change {at}");
            }
        }
    }

    #[test]
    fn the_cache_of_pods_holds_neither_script_nor_volumes_nor_variables() {
        let checked = validate(&objects::action(), "amd64").unwrap();
        let mut pruned = action_pod(&checked, &attempt(), &pod_defaults(Delivery::ImageVolume));
        pruned.annotations_mut().insert(ANNOTATION_LOG_STATE.into(), "{}".into());
        pod(&mut pruned);
        assert_eq!(pruned.annotations().keys().collect::<Vec<_>>(), [ANNOTATION_LOG_LIMITS]);
        let spec = pruned.spec.unwrap();
        assert_eq!(spec.volumes, None);
        let names = |variable: EnvVar| variable.name;
        assert!(spec.containers.iter().all(|container| container.volume_mounts.is_none()));
        let left: Vec<_> =
            spec.containers.into_iter().filter_map(|one| one.env).flatten().map(names).collect();
        assert_eq!(left, [place::ENV_BUNDLE_SHA256]);
    }
}
