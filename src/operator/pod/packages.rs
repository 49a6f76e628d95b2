//! How packages get into the pod. Nodes mount images if they can. An init container fetches everything else,
//! each package into a folder of its own.

use k8s_openapi::{
    api::core::v1::{
        Container, EmptyDirVolumeSource, EnvVar, ImageVolumeSource, KeyToPath, ProjectedVolumeSource,
        SecretProjection, Volume, VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    attempt::{Attempt, Delivery, FetchDefaults, PodDefaults, resources},
    security,
};
use crate::{
    api::packages::{PackageKind, PackageStatus},
    operator::spec::validate::Checked,
    record::place,
    registry::PullSecretForm,
};

pub(crate) const FETCHER: &str = "longshore-fetch";
const PULL_SECRETS: &str = "longshore-pull-secrets";
/// Owner and group may read. The group is fsGroup.
const MODE: i32 = 0o440;
/// Space beside the files, in bytes: the fetcher counts files in blocks, and counts folders.
const SLACK_BYTES: u64 = 16 << 20;

#[must_use]
pub(crate) fn package_folder(package: &str) -> String {
    format!("{}/{package}", place::PACKAGES_DIR)
}

/// Whether an init container fetches the package.
fn is_fetched(package: &PackageStatus, delivery: Delivery) -> bool {
    package.kind != PackageKind::Image || delivery != Delivery::ImageVolume
}

pub(super) fn volume(index: usize, package: &PackageStatus, defaults: &PodDefaults) -> Volume {
    let name = format!("longshore-package-{index}");
    if is_fetched(package, defaults.delivery) {
        let limit = defaults.fetch.limit_bytes.saturating_add(SLACK_BYTES);
        let size_limit = Some(Quantity(limit.to_string()));
        let folder = EmptyDirVolumeSource { size_limit, ..Default::default() };
        return Volume { name, empty_dir: Some(folder), ..Default::default() };
    }
    let image = ImageVolumeSource {
        reference: Some(package.resolved.clone()),
        // It is named by its digest, so an image that the node has under this name is the right one.
        pull_policy: Some("IfNotPresent".into()),
    };
    Volume { name, image: Some(image), ..Default::default() }
}

/// The pull Secrets that the action names. Only the container that fetches mounts them.
pub(super) fn pull_secrets(action: &Checked, attempt: &Attempt, defaults: &PodDefaults) -> Option<Volume> {
    let names = &action.spec.image_pull_secrets;
    let fetches = attempt.packages.iter().any(|package| is_fetched(package, defaults.delivery));
    let item = |index: usize, form: PullSecretForm| KeyToPath {
        key: form.data_key().into(),
        path: format!("{index}/{}", form.data_key()),
        ..Default::default()
    };
    let sources = names.iter().enumerate().map(|(index, secret)| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.name.clone(),
            items: Some(vec![
                item(index, PullSecretForm::DockerConfigJson),
                item(index, PullSecretForm::DockerCfg),
            ]),
            // As the kubelet does: a missing pull Secret alone fails no pod.
            optional: Some(true),
        }),
        ..Default::default()
    });
    (fetches && !names.is_empty()).then(|| Volume {
        name: PULL_SECRETS.into(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(MODE),
            sources: Some(sources.collect()),
            ..Default::default()
        }),
        ..Default::default()
    })
}

/// The container that fetches what nodes do not mount.
pub(super) fn fetcher(action: &Checked, attempt: &Attempt, defaults: &PodDefaults) -> Option<Container> {
    let fetched: Vec<(usize, &PackageStatus)> = attempt
        .packages
        .iter()
        .enumerate()
        .filter(|(_, package)| is_fetched(package, defaults.delivery))
        .collect();
    if fetched.is_empty() {
        return None;
    }
    let mut mounts: Vec<VolumeMount> = fetched
        .iter()
        .map(|(index, package)| VolumeMount {
            name: format!("longshore-package-{index}"),
            mount_path: package_folder(&package.name),
            ..Default::default()
        })
        .collect();
    if pull_secrets(action, attempt, defaults).is_some() {
        mounts.push(VolumeMount {
            name: PULL_SECRETS.into(),
            mount_path: place::PULL_SECRETS_DIR.into(),
            read_only: Some(true),
            ..Default::default()
        });
    }
    Some(Container {
        name: FETCHER.into(),
        image: Some(defaults.runner_image.clone()),
        image_pull_policy: Some(defaults.runner_pull_policy.clone()),
        command: Some(vec![format!("/{}", place::FETCH_FILE)]),
        args: Some(arguments(action, &fetched, defaults)),
        env: Some(certificates(&defaults.fetch)),
        // The same as the script's. A pod counts the larger of the two, and a quota asks both for resources.
        resources: resources(action),
        security_context: Some(security::of_own_container()),
        termination_message_path: Some(place::TERMINATION_LOG.into()),
        termination_message_policy: Some("File".into()),
        volume_mounts: Some(mounts),
        ..Default::default()
    })
}

/// Each argument is one word, so none can be taken for another's value.
fn arguments(action: &Checked, fetched: &[(usize, &PackageStatus)], defaults: &PodDefaults) -> Vec<String> {
    let fetch = &defaults.fetch;
    // The rest of the time is for the container's start, and for saying why it failed before the operator
    // ends the pod.
    let patience = (action.deadlines.pending_seconds / 2).max(1);
    let mut arguments = vec![
        format!("--architecture={}", defaults.architecture),
        format!("--limit-bytes={}", fetch.limit_bytes),
        format!("--max-entries={}", fetch.max_entries),
        format!("--give-up-after-seconds={patience}"),
    ];
    arguments.extend(fetch.plain_http.iter().map(|registry| format!("--plain-http-registry={registry}")));
    arguments.extend(fetched.iter().map(|(_, package)| package_argument(package)));
    arguments
}

/// The argument that makes the container fetch this package.
#[must_use]
pub(crate) fn package_argument(package: &PackageStatus) -> String {
    format!("--package={}={}", package.name, package.resolved)
}

fn certificates(fetch: &FetchDefaults) -> Vec<EnvVar> {
    let variable = |(index, part): (usize, &String)| EnvVar {
        name: format!("{}{index}", place::ENV_FETCH_CA),
        // The kubelet would expand `$(...)`.
        value: Some(part.replace("$(", "$$(")),
        ..Default::default()
    };
    fetch.ca.iter().enumerate().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::action::SecretName,
        operator::{
            pod::{build::action_pod, mutation::mutation},
            spec::validate::validate,
            testing::objects::{action, attempt, package, pod_defaults},
        },
    };

    fn pod(kinds: &[PackageKind], delivery: Delivery) -> k8s_openapi::api::core::v1::PodSpec {
        let mut action = action();
        action.spec.image_pull_secrets = vec![SecretName { name: "pull".into() }];
        let packages = kinds.iter().enumerate().map(|(n, kind)| package(&format!("p{n}"), *kind)).collect();
        let attempt = Attempt { packages, ..attempt() };
        let pod = action_pod(&validate(&action, "amd64").unwrap(), &attempt, &pod_defaults(delivery));
        assert_eq!(mutation(&pod, &attempt.image, &attempt.packages), None);
        pod.spec.unwrap()
    }

    #[test]
    fn an_image_is_mounted_and_an_artifact_fetched() {
        let spec = pod(&[PackageKind::Image, PackageKind::Artifact], Delivery::ImageVolume);
        let volumes = spec.volumes.unwrap();
        let of = |name: &str| volumes.iter().find(|volume| volume.name == name).unwrap();
        assert_eq!(
            of("longshore-package-0").image.as_ref().unwrap().reference.as_deref(),
            Some(package("p0", PackageKind::Image).resolved.as_str())
        );
        assert!(of("longshore-package-1").empty_dir.as_ref().unwrap().size_limit.is_some());
        let init = spec.init_containers.unwrap();
        let [fetcher] = &init[..] else { panic!("{init:?}") };
        let arguments = fetcher.args.as_ref().unwrap().join(" ");
        assert!(arguments.contains("--package=p1=") && !arguments.contains("p0"), "{arguments}");
        let mounts = spec.containers[0].volume_mounts.as_ref().unwrap();
        for name in ["p0", "p1"] {
            let mount = mounts.iter().find(|mount| mount.mount_path == package_folder(name)).unwrap();
            assert_eq!(mount.read_only, Some(true));
        }
    }

    #[test]
    fn where_nodes_mount_no_images_all_are_fetched() {
        let spec = pod(&[PackageKind::Image, PackageKind::Unread], Delivery::InitContainer);
        assert!(spec.volumes.unwrap().iter().all(|volume| volume.image.is_none()));
        let names: Vec<String> =
            spec.init_containers.unwrap().into_iter().map(|container| container.name).collect();
        assert_eq!(names, ["install-runner", FETCHER]);
    }

    #[test]
    fn pull_secrets_are_for_whoever_fetches_alone() {
        let spec = pod(&[PackageKind::Artifact], Delivery::ImageVolume);
        let has = |container: &Container| {
            container.volume_mounts.iter().flatten().any(|mount| mount.name == PULL_SECRETS)
        };
        assert!(has(&spec.init_containers.unwrap()[0]));
        assert!(!has(&spec.containers[0]));
        let spec = pod(&[PackageKind::Image], Delivery::ImageVolume);
        assert!(spec.volumes.unwrap().iter().all(|volume| volume.name != PULL_SECRETS));
    }

    #[test]
    fn certificates_travel_in_parts_that_linux_takes() {
        let line = format!("{}$(A)\n", "x".repeat(60));
        let fetch = FetchDefaults::new(&[], Some(line.repeat(3000).as_bytes()), 1, 1);
        let variables = certificates(&fetch);
        assert!(variables.len() > 2);
        let joined: String = variables.iter().filter_map(|variable| variable.value.clone()).collect();
        assert_eq!(joined.replace("$$(", "$("), line.repeat(3000));
        assert!(variables.iter().all(|variable| variable.value.as_ref().unwrap().len() < 128 << 10));
    }
}
