//! The pod of an attempt: pure.

mod packages;
mod resolver;
mod security;
mod volumes;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::core::v1::{
        Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec, ResourceRequirements, VolumeMount,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{traces, validate::Checked};
use crate::{
    api::{
        ANNOTATION_BUNDLE, CONTAINER, FINALIZER_COLLECT, LABEL_ACTION, LABEL_ACTION_UID, LABEL_ATTEMPT,
        LABEL_LOCK, LABEL_MANAGED_BY, LABEL_RUN, MANAGED_BY,
        action::{SecurityProfile, to_quantities},
        packages::PackageStatus,
        status::Deadlines,
    },
    record::{bundle::WorkingDir, place},
};

pub use packages::{FETCHER, FetchDefaults, folder as package_folder, package_argument};
pub use resolver::{resolver_name, resolver_pod};
pub use security::{may_run_as, replaced_user, run_as_user};
pub(super) use security::{of_own_container, of_own_pod};

/// For the runner to drain and report after the script's grace period, in seconds.
pub const RUNNER_GRACE_SECONDS: i64 = 15;
/// The longest part of a pod's name that is the action's name: the whole is a host name, which has
/// at most 63 characters.
const NAME_CHARACTERS: usize = 30;

/// How the runner gets into the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Its image is mounted: Kubernetes 1.35 and containerd 2.1.
    ImageVolume,
    /// A container that runs first copies it.
    InitContainer,
}

/// What is the same for all pods.
#[derive(Debug, Clone)]
pub struct PodDefaults {
    /// The runner's image.
    pub runner_image: String,
    /// `IfNotPresent`, or what a flag says.
    pub runner_pull_policy: String,
    /// How the runner gets into the pod.
    pub delivery: Delivery,
    /// The architecture that the runner's image is built for, as `kubernetes.io/arch` names it.
    pub architecture: String,
    /// Size limit of each of the script's folders.
    pub scratch_limit: String,
    /// What the container that fetches packages is told.
    pub fetch: Arc<FetchDefaults>,
}

/// All that is frozen of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The run's number.
    pub run: u32,
    /// The attempt's number.
    pub attempt: u32,
    /// The bundle, serialized.
    pub bundle: String,
    /// Its SHA-256.
    pub bundle_sha256: String,
    /// The image, pinned.
    pub image: String,
    /// The numeric user to run as; `None` where the image decides.
    pub user: Option<i64>,
    /// The deadlines, as the run has them frozen.
    pub deadlines: Deadlines,
    /// The packages, pinned.
    pub packages: Vec<PackageStatus>,
    /// The lock that the run has.
    pub lock: Option<String>,
    /// The process that asks for the pod: the status names it as the one that may.
    pub launcher: String,
}

/// The pod's name: a function of UID, run and attempt, so that no two creations of one attempt can
/// both succeed.
#[must_use]
pub fn pod_name(action: &str, uid: &str, run: u32, attempt: u32) -> String {
    format!("{}-{}-{run}-{attempt}", short_name(action), uid_part(uid))
}

fn short_name(action: &str) -> String {
    let short: String = action.chars().take(NAME_CHARACTERS).collect();
    short.trim_end_matches(['-', '.']).to_owned()
}

/// The run's id: it holds a part of the UID, so that it names no run of an earlier action with the
/// same name.
#[must_use]
pub fn run_id(uid: &str, run: u32) -> String {
    format!("{}-{run}", uid_part(uid))
}

fn uid_part(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

pub(super) fn labels(action: &str, uid: &str, run: u32, attempt: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned()),
        (LABEL_ACTION.to_owned(), action.to_owned()),
        (LABEL_ACTION_UID.to_owned(), uid.to_owned()),
        (LABEL_RUN.to_owned(), run.to_string()),
        (LABEL_ATTEMPT.to_owned(), attempt.to_string()),
    ])
}

/// How long the container of such an attempt has from SIGTERM to SIGKILL, in seconds.
#[must_use]
pub const fn grace_seconds(deadlines: Deadlines) -> i64 {
    deadlines.grace_seconds.saturating_add(RUNNER_GRACE_SECONDS)
}

/// How long its pod may take in all, in seconds, from when its node takes it.
#[must_use]
pub const fn active_deadline_seconds(deadlines: Deadlines) -> i64 {
    deadlines.pending_seconds.saturating_add(deadlines.run_seconds).saturating_add(grace_seconds(deadlines))
}

/// The pod that executes `attempt`, under Pod Security "restricted" unless its profile says otherwise.
#[must_use]
pub fn action_pod(action: &Checked, attempt: &Attempt, defaults: &PodDefaults) -> Pod {
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
            // A backstop for a node that is cut off; the runner keeps the run's deadline itself.
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

/// Linux, and the architecture that the runner is built for.
fn node_selector(own: &BTreeMap<String, String>, defaults: &PodDefaults) -> BTreeMap<String, String> {
    let mut selector = own.clone();
    selector.insert("kubernetes.io/os".into(), "linux".into());
    selector.insert("kubernetes.io/arch".into(), defaults.architecture.clone());
    selector
}

fn action_container(action: &Checked, attempt: &Attempt, volume_mounts: Vec<VolumeMount>) -> Container {
    let template = action.spec.pod_template.clone().unwrap_or_default();
    Container {
        name: CONTAINER.into(),
        image: Some(attempt.image.clone()),
        // The image is named by its digest: what is there under that name is that image.
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec![format!("{}/{}", place::RUNNER_DIR, place::RUNNER_FILE)]),
        args: Some(vec!["run".into()]),
        // The image's, where the script is to start there: only the container runtime knows which that is.
        working_dir: (action.working_dir() != Some(WorkingDir::Image)).then(|| place::WORK_VOLUME_DIR.into()),
        env: Some(vec![
            // Not in the bundle: it is no input, and the script's variables come later.
            EnvVar {
                name: place::ENV_TRACEPARENT.into(),
                value: Some(traces::traceparent(&action.uid, attempt.run, attempt.attempt)),
                ..Default::default()
            },
            EnvVar {
                name: place::ENV_BUNDLE_SHA256.into(),
                value: Some(attempt.bundle_sha256.clone()),
                ..Default::default()
            },
            // Where the bundle cannot be read, the runner still says whose record it writes.
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

/// The containers that run before the script's.
fn all_init_containers(
    action: &Checked,
    attempt: &Attempt,
    defaults: &PodDefaults,
) -> Option<Vec<Container>> {
    let mut all = init_containers(action, defaults).unwrap_or_default();
    all.extend(packages::fetcher(action, attempt, defaults));
    (!all.is_empty()).then_some(all)
}

/// The container that brings the runner, where no volume does.
fn init_containers(action: &Checked, defaults: &PodDefaults) -> Option<Vec<Container>> {
    (defaults.delivery == Delivery::InitContainer).then(|| {
        vec![Container {
            name: "install-runner".into(),
            image: Some(defaults.runner_image.clone()),
            image_pull_policy: Some(defaults.runner_pull_policy.clone()),
            command: Some(vec![format!("/{}", place::RUNNER_FILE)]),
            args: Some(vec!["install".into(), place::RUNNER_DIR.into()]),
            // The same as the script's: a pod counts the larger of the two, and a quota asks for both.
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

pub(super) fn resources(action: &Checked) -> Option<ResourceRequirements> {
    action.spec.resources.as_ref().map(|resources| ResourceRequirements {
        limits: to_quantities(&resources.limits),
        requests: to_quantities(&resources.requests),
        claims: None,
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::SecurityContext;

    use super::*;
    use crate::{
        api::action::{KeyRef, PodTemplate, ValueFrom, Variable, VariableForm},
        operator::{
            tests::{action, attempt, pod, pod_defaults},
            validate::validate,
        },
    };

    #[test]
    fn a_name_is_a_host_name_and_tells_the_attempt() {
        let uid = "5f3c9a1b-1234-4321-8765-123456789abc";
        assert_eq!(pod_name("deploy-orders", uid, 3, 1), "deploy-orders-5f3c9a1b-3-1");
        let long = pod_name(&"a".repeat(63), uid, u32::MAX, u32::MAX);
        assert!(long.len() <= 63, "{long}");
        assert_eq!(
            pod_name(&format!("{}-b", "a".repeat(29)), uid, 1, 1),
            format!("{}-5f3c9a1b-1-1", "a".repeat(29))
        );
    }

    #[test]
    fn actions_whose_names_begin_alike_have_pods_of_their_own() {
        let (one, other) = ("5f3c9a1b-1234-4321-8765-123456789abc", "5f3c9a1c-1234-4321-8765-123456789abc");
        for shared in 1..=62 {
            let begins = "a".repeat(shared);
            let (first, second) = (format!("{begins}b"), format!("{begins}c"));
            assert_ne!(pod_name(&first, one, 1, 1), pod_name(&second, other, 1, 1), "{shared}");
            assert_ne!(resolver_name(&first, one, 1), resolver_name(&second, other, 1), "{shared}");
        }
        // Nor has an action that is made again under its name the pods of the one before.
        assert_ne!(pod_name("deploy", one, 1, 1), pod_name("deploy", other, 1, 1));
    }

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
        // The runner enters it, and says in words why it cannot.
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
