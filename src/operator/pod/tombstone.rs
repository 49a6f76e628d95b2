//! The tombstone of an attempt that was given up. Pure.

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSchedulingGate, PodSpec, ResourceRequirements},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::ResourceExt;

use super::{
    attempt::resources,
    names::{labels, pod_name},
    security::{of_own_container, of_own_pod},
};
use crate::{
    api::{DeploymentAction, LABEL_TOMBSTONE},
    operator::spec::validate::{Checked, owner},
};

/// The action that the tombstone belongs to. Its spec may be one that cannot be executed any more.
#[derive(Debug, Clone)]
pub struct Owner {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Marks the pod as this action's.
    pub reference: OwnerReference,
    /// The resources of the script's container, if the spec can be read: a quota may ask for them.
    pub resources: Option<ResourceRequirements>,
}

impl Owner {
    /// `checked` is the action's spec, if it is valid. `None` if the action has no name or UID.
    #[must_use]
    pub fn of(action: &DeploymentAction, checked: Option<&Checked>) -> Option<Self> {
        Some(Self {
            namespace: action.namespace().unwrap_or_default(),
            name: action.name_any(),
            uid: action.uid()?,
            reference: owner(action)?,
            resources: checked.and_then(resources),
        })
    }
}

/// A pod under the attempt's name in which nothing can run. While it has the name, no late creation of the
/// attempt can succeed. It lives as long as the action.
#[must_use]
pub(crate) fn tombstone(of: &Owner, run: u32, attempt: u32) -> Pod {
    let mut labels = labels(&of.name, &of.uid, run, attempt);
    labels.insert(LABEL_TOMBSTONE.to_owned(), "true".to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(pod_name(&of.name, &of.uid, run, attempt)),
            namespace: Some(of.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![of.reference.clone()]),
            ..Default::default()
        },
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            automount_service_account_token: Some(false),
            // Nobody removes this gate, so the scheduler never places the pod.
            scheduling_gates: Some(vec![PodSchedulingGate { name: "longshore.dev/tombstone".into() }]),
            security_context: Some(of_own_pod()),
            containers: vec![Container {
                name: "nothing".into(),
                image: Some("longshore.invalid/nothing:0".into()),
                resources: of.resources.clone(),
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
        pod::attempt::Delivery,
        testing::objects::{action, pod},
    };

    #[test]
    fn a_tombstone_has_the_attempt_s_name_and_can_run_nothing() {
        let tombstone = tombstone(&Owner::of(&action(), None).unwrap(), 1, 1);
        assert_eq!(tombstone.metadata.name, pod(Delivery::ImageVolume).metadata.name);
        assert!(!tombstone.spec.unwrap().scheduling_gates.unwrap().is_empty());
    }
}
