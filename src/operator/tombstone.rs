//! The tombstone of an attempt that was given up: pure.

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSchedulingGate, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    pod::{labels, of_own_container, of_own_pod, pod_name, resources},
    validate::Checked,
};
use crate::api::LABEL_TOMBSTONE;

/// A pod under the attempt's name in which nothing can run: while it stands, no late creation of
/// the attempt can succeed. It lives as long as the action.
#[must_use]
pub fn tombstone(action: &Checked, run: u32, attempt: u32) -> Pod {
    let mut labels = labels(action, run, attempt);
    labels.insert(LABEL_TOMBSTONE.to_owned(), "true".to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(pod_name(&action.name, &action.uid, run, attempt)),
            namespace: Some(action.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![action.owner.clone()]),
            ..Default::default()
        },
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            automount_service_account_token: Some(false),
            // Never removed: the scheduler passes the pod over.
            scheduling_gates: Some(vec![PodSchedulingGate { name: "longshore.dev/tombstone".into() }]),
            security_context: Some(of_own_pod()),
            containers: vec![Container {
                name: "nothing".into(),
                image: Some("longshore.invalid/nothing:0".into()),
                resources: resources(action),
                security_context: Some(of_own_container()),
                ..Default::default()
            }],
            ..Default::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{
        pod::Delivery,
        tests::{action, pod},
        validate::validate,
    };

    #[test]
    fn a_tombstone_has_the_attempt_s_name_and_can_run_nothing() {
        let checked = validate(&action(), "amd64").unwrap();
        let tombstone = tombstone(&checked, 1, 1);
        assert_eq!(tombstone.metadata.name, pod(Delivery::ImageVolume).metadata.name);
        assert!(!tombstone.spec.unwrap().scheduling_gates.unwrap().is_empty());
    }
}
