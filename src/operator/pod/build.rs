//! Builds an attempt's pod. Pure.

use k8s_openapi::{
    api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec, VolumeMount},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    attempt::{Attempt, PodDefaults, active_deadline_seconds, grace_seconds, resources},
    log_limits,
    names::{labels, pod_name, run_id},
    packages, resolver,
    runner::{init_containers, node_selector},
    security, trace_context, volumes,
};
use crate::{
    api::{
        ANNOTATION_BUNDLE, ANNOTATION_LOG_LIMITS, CONTAINER, FINALIZER_COLLECT, LABEL_LOCK,
        action::SecurityProfile,
    },
    operator::spec::validate::Checked,
    record::{bundle::WorkingDir, place},
};

/// The pod that executes `attempt`, under Pod Security "restricted" unless its profile says otherwise.
#[must_use]
pub(crate) fn action_pod(action: &Checked, attempt: &Attempt, defaults: &PodDefaults) -> Pod {
    let spec = &action.spec;
    let template = spec.pod_template.clone().unwrap_or_default();
    let security_context = security::of_pod(&template, attempt.user);
    let root_namespace = template.security_profile == Some(SecurityProfile::UserNamespaceRoot);
    let (volumes, volume_mounts) = volumes::volumes(action, attempt, defaults);
    let container = action_container(action, attempt, volume_mounts);
    let metadata = template.metadata.unwrap_or_default();
    let mut pod_labels = metadata.labels;
    pod_labels.extend(labels(&action.name, &action.uid, attempt.run, attempt.attempt));
    pod_labels.extend(attempt.lock.iter().map(|lock| (LABEL_LOCK.to_owned(), lock.clone())));
    let mut annotations = metadata.annotations;
    annotations.insert(ANNOTATION_BUNDLE.to_owned(), attempt.bundle.clone());
    // Not in the bundle, which is frozen: another operator may have other settings.
    annotations.insert(ANNOTATION_LOG_LIMITS.to_owned(), log_limits::limits(action, defaults).to_text());

    Pod {
        metadata: ObjectMeta {
            name: Some(pod_name(&action.name, &action.uid, attempt.run, attempt.attempt)),
            namespace: Some(action.namespace.clone()),
            labels: Some(pod_labels),
            annotations: Some(annotations),
            owner_references: Some(vec![action.owner.clone()]),
            finalizers: Some(vec![FINALIZER_COLLECT.to_owned()]),
            ..Default::default()
        },
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            service_account_name: spec.service_account_name.clone(),
            automount_service_account_token: Some(spec.service_account_name.is_some()),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(grace_seconds(attempt.deadlines)),
            // A backstop for a node that is cut off. The runner keeps the run's deadline itself.
            active_deadline_seconds: Some(active_deadline_seconds(attempt.deadlines)),
            image_pull_secrets: resolver::pull_secrets(action),
            node_selector: Some(node_selector(&template.node_selector, defaults)),
            tolerations: (!template.tolerations.is_empty()).then_some(template.tolerations),
            affinity: template.affinity,
            priority_class_name: template.priority_class_name,
            runtime_class_name: template.runtime_class_name,
            host_aliases: (!template.host_aliases.is_empty()).then_some(template.host_aliases),
            host_users: root_namespace.then_some(false),
            security_context: Some(security_context),
            init_containers: all_init_containers(action, attempt, defaults),
            containers: vec![container],
            volumes: Some(volumes),
            ..Default::default()
        }),
        status: None,
    }
}

fn action_container(action: &Checked, attempt: &Attempt, volume_mounts: Vec<VolumeMount>) -> Container {
    let template = action.spec.pod_template.clone().unwrap_or_default();
    Container {
        name: CONTAINER.into(),
        image: Some(attempt.image.clone()),
        // The image is named by its digest, so an image that the node has under this name is the right one.
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec![format!("{}/{}", place::RUNNER_DIR, place::RUNNER_FILE)]),
        args: Some(vec!["run".into()]),
        // If the script starts in the image's own folder, only the container runtime knows which that is.
        working_dir: (action.working_dir() != Some(WorkingDir::Image)).then(|| place::WORK_VOLUME_DIR.into()),
        env: Some(vec![
            // Not in the bundle: it is no input. The script's own variables come later.
            EnvVar {
                name: place::ENV_TRACEPARENT.into(),
                value: Some(trace_context::traceparent(&action.uid, attempt.run, attempt.attempt)),
                ..Default::default()
            },
            EnvVar {
                name: place::ENV_BUNDLE_SHA256.into(),
                value: Some(attempt.bundle_sha256.clone()),
                ..Default::default()
            },
            // If the bundle cannot be read, the runner still says whose record it writes.
            EnvVar {
                name: place::ENV_RUN_ID.into(),
                value: Some(run_id(&action.uid, attempt.run)),
                ..Default::default()
            },
            EnvVar {
                name: place::ENV_POD_UID.into(),
                value_from: Some(EnvVarSource {
                    field_ref: Some(ObjectFieldSelector {
                        api_version: None,
                        field_path: "metadata.uid".into(),
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ]),
        resources: resources(action),
        security_context: Some(security::of_container(&template)),
        termination_message_path: Some(place::TERMINATION_LOG.into()),
        termination_message_policy: Some("File".into()),
        volume_mounts: Some(volume_mounts),
        ..Default::default()
    }
}

fn all_init_containers(
    action: &Checked,
    attempt: &Attempt,
    defaults: &PodDefaults,
) -> Option<Vec<Container>> {
    let mut all = init_containers(action, defaults).unwrap_or_default();
    all.extend(packages::fetcher(action, attempt, defaults));
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::SecurityContext;

    use super::*;
    use crate::{
        api::action::{KeyRef, PodTemplate, ValueFrom, Variable, VariableForm},
        operator::{
            pod::attempt::Delivery,
            spec::validate::validate,
            testing::objects::{action, attempt, pod, pod_defaults},
        },
    };

    #[test]
    fn the_runner_comes_by_image_volume_or_init_container() {
        let by_volume = pod(Delivery::ImageVolume).spec.unwrap();
        assert!(by_volume.init_containers.is_none());
        assert!(by_volume.volumes.unwrap().iter().any(|volume| volume.image.is_some()));
        let by_init = pod(Delivery::InitContainer).spec.unwrap();
        assert_eq!(by_init.init_containers.unwrap().len(), 1);
        assert!(by_init.volumes.unwrap().iter().all(|volume| volume.image.is_none()));
    }

    #[test]
    fn the_script_cannot_replace_the_runner_however_it_came() {
        for delivery in [Delivery::ImageVolume, Delivery::InitContainer] {
            let container = pod(delivery).spec.unwrap().containers.remove(0);
            let mounts = container.volume_mounts.unwrap();
            let runner = mounts.iter().find(|mount| mount.mount_path == place::RUNNER_DIR).unwrap();
            assert_eq!(runner.read_only, Some(true));
        }
    }

    #[test]
    fn the_runner_sees_its_log_s_limits_and_the_operator_s_answer() {
        let pod = pod(Delivery::ImageVolume);
        let limits = pod.metadata.annotations.unwrap().remove(ANNOTATION_LOG_LIMITS).unwrap();
        assert_eq!(
            limits,
            r#"{"rotationBytes":10485760,"spoolBytes":268435456,"outstandingBytes":33554432}"#
        );
        let spec = pod.spec.unwrap();
        let mounts = spec.containers[0].volume_mounts.as_ref().unwrap();
        let mount = mounts.iter().find(|mount| mount.mount_path == place::LOG_DIR).unwrap();
        assert_eq!(mount.read_only, Some(true));
        let volumes = spec.volumes.unwrap();
        let volume = volumes.iter().find(|volume| volume.name == mount.name).unwrap();
        let items = volume.downward_api.as_ref().unwrap().items.as_ref().unwrap();
        let shown =
            items.iter().map(|item| (item.path.as_str(), &item.field_ref.as_ref().unwrap().field_path));
        assert_eq!(
            shown.map(|(file, field)| format!("{file} {field}")).collect::<Vec<_>>(),
            [
                "limits metadata.annotations['longshore.dev/log-limits']",
                "credit metadata.annotations['longshore.dev/log-credit']",
            ]
        );
    }

    #[test]
    fn a_token_is_mounted_only_for_a_named_service_account() {
        assert_eq!(pod(Delivery::ImageVolume).spec.unwrap().automount_service_account_token, Some(false));
        let mut action = action();
        action.spec.service_account_name = Some("deployer".into());
        let pod = action_pod(
            &validate(&action, "amd64").unwrap(),
            &attempt(),
            &pod_defaults(Delivery::ImageVolume),
        );
        assert_eq!(pod.spec.unwrap().automount_service_account_token, Some(true));
    }

    #[test]
    fn files_lie_in_memory_and_only_where_there_are_any() {
        let mut action = action();
        let volume = |action: &crate::api::DeploymentAction| {
            let checked = validate(action, "amd64").unwrap();
            let spec = action_pod(&checked, &attempt(), &pod_defaults(Delivery::ImageVolume)).spec.unwrap();
            spec.volumes.unwrap().into_iter().find(|volume| volume.name == "longshore-files")
        };
        action.spec.variables = vec![Variable { name: "A".into(), ..Default::default() }];
        assert_eq!(volume(&action), None);
        action.spec.variables[0].form = Some(VariableForm::File);
        let medium = volume(&action).unwrap().empty_dir.unwrap().medium;
        assert_eq!(medium.as_deref(), Some("Memory"));
    }

    #[test]
    fn users_are_answered_for_only_where_nobody_can_gain_by_a_wrong_answer() {
        let mut action = action();
        let mut answered = |template: PodTemplate, user: Option<i64>| {
            action.spec.pod_template = Some(template);
            let (checked, attempt) = (validate(&action, "amd64").unwrap(), Attempt { user, ..attempt() });
            let spec = action_pod(&checked, &attempt, &pod_defaults(Delivery::ImageVolume)).spec.unwrap();
            let mounts = spec.containers[0].volume_mounts.clone().unwrap();
            mounts.iter().any(|mount| mount.name == "longshore-names" && mount.mount_path == place::NAMES_DIR)
        };
        let of = |profile| PodTemplate { security_profile: Some(profile), ..Default::default() };
        assert!(answered(PodTemplate::default(), Some(65532)));
        assert!(!answered(of(SecurityProfile::Baseline), None));
        assert!(!answered(of(SecurityProfile::UserNamespaceRoot), Some(0)));
        let gains = SecurityContext { allow_privilege_escalation: Some(true), ..Default::default() };
        let gains = PodTemplate { container_security_context: Some(gains), ..Default::default() };
        assert!(!answered(gains, Some(65532)));
        for (path, expected) in [("/run/", false), ("/var/run/nscd", false), ("/data", true)] {
            let mount = VolumeMount { name: "v".into(), mount_path: path.into(), ..Default::default() };
            let template = PodTemplate { volume_mounts: vec![mount], ..Default::default() };
            assert_eq!(answered(template, Some(65532)), expected, "{path}");
        }
    }

    #[test]
    fn the_container_starts_in_the_image_s_folder_where_that_is_wanted() {
        let folder = |wanted: Option<&str>| {
            let mut action = action();
            action.spec.working_dir = wanted.map(Into::into);
            let checked = validate(&action, "amd64").unwrap();
            let pod = action_pod(&checked, &attempt(), &pod_defaults(Delivery::ImageVolume));
            pod.spec.unwrap().containers.remove(0).working_dir
        };
        assert_eq!(folder(Some("Image")), None);
        // The runner enters the folder itself, and can say why it cannot.
        assert_eq!(folder(Some("/app")).as_deref(), Some(place::WORK_VOLUME_DIR));
        assert_eq!(folder(None).as_deref(), Some(place::WORK_VOLUME_DIR));
    }

    #[test]
    fn a_secret_is_mounted_and_never_copied() {
        let mut action = action();
        action.spec.variables = vec![Variable {
            name: "PASSWORD".into(),
            value_from: Some(ValueFrom {
                secret_key_ref: Some(KeyRef { name: "db".into(), key: "password".into(), optional: None }),
                config_map_key_ref: None,
            }),
            ..Default::default()
        }];
        let pod = action_pod(
            &validate(&action, "amd64").unwrap(),
            &attempt(),
            &pod_defaults(Delivery::ImageVolume),
        );
        let volumes = pod.spec.unwrap().volumes.unwrap();
        let inputs = volumes.iter().find(|volume| volume.name == "longshore-inputs").unwrap();
        let secret = inputs.projected.as_ref().unwrap().sources.as_ref().unwrap()[0].secret.clone().unwrap();
        assert_eq!((secret.name.as_str(), secret.items.unwrap()[0].path.as_str()), ("db", "0-PASSWORD"));
    }
}
