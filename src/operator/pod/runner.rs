//! The container that brings the runner, if nodes mount no images.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::{
    attempt::{Delivery, PodDefaults, resources},
    security, volumes,
};
use crate::{operator::spec::validate::Checked, record::place};

/// Adds Linux and the runner's architecture to what the action selects.
pub(super) fn node_selector(
    own: &BTreeMap<String, String>,
    defaults: &PodDefaults,
) -> BTreeMap<String, String> {
    let mut selector = own.clone();
    selector.insert("kubernetes.io/os".into(), "linux".into());
    selector.insert("kubernetes.io/arch".into(), defaults.architecture.clone());
    selector
}

/// The container that brings the runner, if no image volume does.
pub(super) fn init_containers(action: &Checked, defaults: &PodDefaults) -> Option<Vec<Container>> {
    (defaults.delivery == Delivery::InitContainer).then(|| {
        vec![Container {
            name: "install-runner".into(),
            image: Some(defaults.runner_image.clone()),
            image_pull_policy: Some(defaults.runner_pull_policy.clone()),
            command: Some(vec![format!("/{}", place::RUNNER_FILE)]),
            args: Some(vec!["install".into(), place::RUNNER_DIR.into()]),
            // The same as the script's. A pod counts the larger of the two, and a quota asks both for
            // resources.
            resources: resources(action),
            security_context: Some(security::of_own_container()),
            volume_mounts: Some(vec![VolumeMount {
                name: volumes::RUNNER.into(),
                mount_path: place::RUNNER_DIR.into(),
                ..Default::default()
            }]),
            ..Default::default()
        }]
    })
}
