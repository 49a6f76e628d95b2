//! Finds what others in the cluster changed in our pod, if it matters for what runs. Pure.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{mutated_packages, same_content::is_same_content};
use crate::{
    api::{CONTAINER, packages::PackageStatus},
    record::place,
};

/// The difference between the pod that we asked for and the pod that the API server returned. Only what
/// matters for what runs counts: containers that others add do not.
#[must_use]
pub(crate) fn mutation(pod: &Pod, image: &str, packages: &[PackageStatus]) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let wanted = vec![format!("{}/{}", place::RUNNER_DIR, place::RUNNER_FILE)];
    let Some(container) = spec.containers.iter().find(|container| container.name == CONTAINER) else {
        return Some(format!("the container {CONTAINER} is missing"));
    };
    if !container.image.as_deref().is_some_and(|found| is_same_content(found, image)) {
        return Some(format!(
            "its image is {} and not {image}",
            container.image.as_deref().unwrap_or("none")
        ));
    }
    if container.command.as_ref() != Some(&wanted) {
        return Some(format!(
            "its command is {} and not {}",
            json!(container.command.clone().unwrap_or_default()),
            json!(wanted)
        ));
    }
    if container.args.as_deref() != Some(&["run".to_owned()]) {
        return Some(format!(
            "its arguments are {} and not [\"run\"]",
            json!(container.args.clone().unwrap_or_default())
        ));
    }
    let bundle = container.env.iter().flatten().find(|variable| variable.name == place::ENV_BUNDLE_SHA256);
    if bundle.is_none_or(|variable| variable.value.is_none()) {
        return Some(format!("its environment lacks {}", place::ENV_BUNDLE_SHA256));
    }
    if spec.restart_policy.as_deref() != Some("Never") {
        return Some(format!(
            "its restart policy is {} and not Never",
            spec.restart_policy.as_deref().unwrap_or("none")
        ));
    }
    if container.restart_policy.as_deref().is_some_and(|policy| policy != "Never")
        || container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())
    {
        return Some("its container has restart rules".to_owned());
    }
    mutated_packages::mutation(spec, container, packages)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, PodSpec};

    use super::*;
    use crate::operator::{
        pod::attempt::Delivery,
        testing::objects::{attempt, pod},
    };

    #[test]
    fn a_change_that_matters_is_told() {
        let image = attempt().image;
        let fine = pod(Delivery::ImageVolume);
        assert_eq!(mutation(&fine, &image, &[]), None);
        let change = |change: &dyn Fn(&mut PodSpec)| {
            let mut pod = fine.clone();
            change(pod.spec.as_mut().unwrap());
            mutation(&pod, &image, &[])
        };
        assert!(change(&|spec| spec.containers[0].image = Some("evil".into())).is_some());
        assert!(change(&|spec| spec.containers[0].command = None).is_some());
        assert!(change(&|spec| spec.containers[0].args = Some(vec!["install".into()])).is_some());
        assert!(change(&|spec| spec.containers[0].env = None).is_some());
        assert!(change(&|spec| spec.restart_policy = Some("OnFailure".into())).is_some());
        assert!(change(&|spec| spec.containers[0].restart_policy = Some("Always".into())).is_some());
        assert!(
            change(&|spec| spec.containers.push(Container { name: "sidecar".into(), ..Default::default() }))
                .is_none()
        );
    }
}
