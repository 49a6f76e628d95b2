//! The pod that finds out what a tag means if the operator cannot. The node pulls the image with the
//! credentials that it has, and reports the digest. Nothing of the image runs.

use k8s_openapi::{
    api::core::v1::{Container, LocalObjectReference, Pod, PodSpec, VolumeMount},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    attempt::{Delivery, PodDefaults, resources},
    names::resolver_name,
    runner::{init_containers, node_selector},
    security, volumes,
};
use crate::{
    api::{CONTAINER, LABEL_ACTION, LABEL_ACTION_UID, LABEL_MANAGED_BY, LABEL_RESOLVER, MANAGED_BY},
    operator::spec::validate::Checked,
    record::place,
};

/// Extra time for a slow pull, in seconds. The pending deadline ends the wait earlier.
const BACKSTOP_SECONDS: i64 = 60;

/// The pod that resolves a run's image. It has the action's service account, because it may need that
/// account's pull Secrets. It gets no token of the account.
#[must_use]
pub(crate) fn resolver_pod(action: &Checked, run: u32, defaults: &PodDefaults) -> Pod {
    let spec = &action.spec;
    let template = spec.pod_template.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(resolver_name(&action.name, &action.uid, run)),
            namespace: Some(action.namespace.clone()),
            labels: Some(
                [
                    (LABEL_MANAGED_BY, MANAGED_BY.to_owned()),
                    (LABEL_ACTION, action.name.clone()),
                    (LABEL_ACTION_UID, action.uid.clone()),
                    (LABEL_RESOLVER, run.to_string()),
                ]
                .map(|(key, value)| (key.to_owned(), value))
                .into(),
            ),
            owner_references: Some(vec![action.owner.clone()]),
            ..Default::default()
        },
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            service_account_name: spec.service_account_name.clone(),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(0),
            active_deadline_seconds: Some(action.deadlines.pending_seconds + BACKSTOP_SECONDS),
            image_pull_secrets: pull_secrets(action),
            node_selector: Some(node_selector(&template.node_selector, defaults)),
            tolerations: (!template.tolerations.is_empty()).then_some(template.tolerations),
            affinity: template.affinity,
            priority_class_name: template.priority_class_name,
            security_context: Some(security::of_own_pod()),
            init_containers: init_containers(action, defaults),
            containers: vec![Container {
                name: CONTAINER.into(),
                // The name as the action gives it: the question is what the tag means on the node.
                image: Some(action.requested.clone()),
                image_pull_policy: Some("Always".into()),
                command: Some(vec![format!("{}/{}", place::RUNNER_DIR, place::RUNNER_FILE)]),
                args: Some(vec!["--version".into()]),
                resources: resources(action),
                security_context: Some(security::of_own_container()),
                volume_mounts: Some(vec![VolumeMount {
                    name: volumes::RUNNER.into(),
                    mount_path: place::RUNNER_DIR.into(),
                    read_only: (defaults.delivery == Delivery::ImageVolume).then_some(true),
                    ..Default::default()
                }]),
                ..Default::default()
            }],
            volumes: Some(vec![volumes::runner(defaults)]),
            ..Default::default()
        }),
        status: None,
    }
}

/// The action's pull Secrets, as a pod's spec names them.
pub(crate) fn pull_secrets(action: &Checked) -> Option<Vec<LocalObjectReference>> {
    let names = &action.spec.image_pull_secrets;
    (!names.is_empty())
        .then(|| names.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect())
}

#[cfg(test)]
mod tests {
    use crate::operator::{
        pod::resolver::*,
        spec::validate::validate,
        testing::objects::{action, pod_defaults},
    };

    #[test]
    fn a_resolver_runs_nothing_of_the_image_and_has_no_token() {
        let mut action = action();
        action.spec.service_account_name = Some("deployer".into());
        let checked = validate(&action, "amd64").unwrap();
        let pod = resolver_pod(&checked, 3, &pod_defaults(Delivery::ImageVolume));
        let spec = pod.spec.unwrap();
        assert_eq!(spec.service_account_name.as_deref(), Some("deployer"));
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.containers[0].image, action.spec.image);
        assert_eq!(spec.containers[0].args.as_deref(), Some(&["--version".to_owned()][..]));
    }

    #[test]
    fn a_resolver_s_name_is_a_host_name() {
        assert!(resolver_name(&"a".repeat(63), "5f3c9a1b-1234", u32::MAX).len() <= 63);
    }
}
