//! The volumes of an attempt's pod, and where its container mounts them.

use k8s_openapi::{
    api::core::v1::{
        ConfigMapProjection, ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource,
        EmptyDirVolumeSource, ImageVolumeSource, KeyToPath, ObjectFieldSelector, ProjectedVolumeSource,
        SecretProjection, SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    attempt::{Attempt, Delivery, PodDefaults},
    log_limits, packages,
};
use crate::{
    api::{
        ANNOTATION_BUNDLE, ANNOTATION_LOG_CREDIT, ANNOTATION_LOG_LIMITS, ANNOTATION_STOP_REASON,
        action::{self, PodTemplate, SecurityProfile, VariableForm, VariablesFrom},
    },
    operator::spec::validate::{Checked, input_path},
    record::place,
};

/// Owner and group may read. The group is fsGroup.
const MODE: i32 = 0o440;
pub(super) const RUNNER: &str = "longshore-runner";

/// A volume, and where the script's container mounts it.
struct Mounted {
    volume: Volume,
    path: String,
    read_only: bool,
}

/// All volumes of the pod, and where the script's container mounts them.
pub(super) fn volumes(
    action: &Checked,
    attempt: &Attempt,
    defaults: &PodDefaults,
) -> (Vec<Volume>, Vec<VolumeMount>) {
    let own = vec![
        Some(Mounted {
            volume: runner(defaults),
            path: place::RUNNER_DIR.into(),
            // Also if it was copied: a script that replaced it would be started in the runner's place.
            read_only: true,
        }),
        Some(Mounted { volume: bundle(), path: place::BUNDLE_DIR.into(), read_only: true }),
        Some(Mounted { volume: log(), path: place::LOG_DIR.into(), read_only: true }),
        inputs(action).map(|volume| Mounted { volume, path: place::INPUTS_DIR.into(), read_only: true }),
        script(action).map(|volume| Mounted {
            volume,
            path: place::SCRIPT_SOURCE_DIR.into(),
            read_only: true,
        }),
    ];
    let sources = action.spec.variables_from.iter().enumerate().map(|(index, from)| Mounted {
        volume: source(index, from),
        path: format!("{}/{index}", place::SOURCES_DIR),
        read_only: true,
    });
    let script_limit = "16Mi".to_owned();
    let state = log_limits::state_bytes(action, defaults).to_string();
    // On disk, because the claim must outlive the container.
    let folders = [
        Some(("longshore-state", place::STATE_DIR, &state)),
        action.spec.script.is_some().then_some(("longshore-script", place::SCRIPT_DIR, &script_limit)),
        Some(("longshore-work", place::WORK_VOLUME_DIR, &defaults.scratch_limit)),
        Some(("longshore-home", place::HOME_VOLUME_DIR, &defaults.scratch_limit)),
        Some(("longshore-tmp", place::TMP_DIR, &defaults.scratch_limit)),
    ];
    let folders = folders.into_iter().flatten().map(|(name, path, limit)| Mounted {
        volume: folder(name, limit),
        path: path.into(),
        read_only: false,
    });
    let files = files(action).map(|volume| (volume, place::FILES_DIR));
    let names = names(action, attempt).map(|volume| (volume, place::NAMES_DIR));
    let more = files.into_iter().chain(names).map(|(volume, path)| Mounted {
        volume,
        path: path.into(),
        read_only: false,
    });
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    let packages = attempt.packages.iter().enumerate().map(|(index, package)| Mounted {
        volume: packages::volume(index, package, defaults),
        path: packages::package_folder(&package.name),
        read_only: true,
    });
    let all = own.into_iter().flatten().chain(sources).chain(packages).chain(folders).chain(more);
    for Mounted { volume, path, read_only } in all {
        mounts.push(VolumeMount {
            name: volume.name.clone(),
            mount_path: path,
            read_only: read_only.then_some(true),
            ..Default::default()
        });
        volumes.push(volume);
    }
    volumes.extend(packages::pull_secrets(action, attempt, defaults));
    let nothing = PodTemplate::default();
    let template = action.spec.pod_template.as_ref().unwrap_or(&nothing);
    volumes.extend(template.volumes.iter().cloned().map(users));
    mounts.extend(template.volume_mounts.iter().cloned());
    (volumes, mounts)
}

/// A volume that the action itself names.
fn users(volume: action::Volume) -> Volume {
    let action::Volume {
        name,
        empty_dir,
        config_map,
        secret,
        projected,
        downward_api,
        persistent_volume_claim,
        ephemeral,
        csi,
    } = volume;
    Volume {
        name,
        empty_dir,
        config_map,
        secret,
        projected,
        downward_api,
        persistent_volume_claim,
        ephemeral,
        csi,
        ..Default::default()
    }
}

fn folder(name: &str, limit: &str) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(limit.into())),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Values that the script gets as files. The runner copies them, because the kubelet's files belong to root
/// and the group may read them: as root, ssh refuses such a key. The volume is in memory, so no secret gets
/// onto a disk.
fn files(action: &Checked) -> Option<Volume> {
    // The most that a spec can name: 128 values of 1 MiB. The rest is for one that is being replaced.
    const LIMIT: &str = "160Mi";
    let wanted = action.spec.variables.iter().any(|variable| variable.form == Some(VariableForm::File));
    wanted.then(|| Volume {
        name: "longshore-files".into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".into()),
            size_limit: Some(Quantity(LIMIT.into())),
            ..Default::default()
        }),
        ..Default::default()
    })
}

/// The folder in which the runner answers who the script's user is.
///
/// The pod has none if a program can get more rights than the script has. A script could answer in the
/// runner's place, and a set-user-id program would believe it. It has none either if a volume of the action
/// is in the way.
fn names(action: &Checked, attempt: &Attempt) -> Option<Volume> {
    let template = action.spec.pod_template.as_ref();
    let container = template.and_then(|template| template.container_security_context.as_ref());
    let confined = action.profile() == SecurityProfile::Restricted
        && attempt.user.is_some_and(|user| user != 0)
        && container.is_none_or(|own| own.allow_privilege_escalation != Some(true));
    let mut mounts = template.into_iter().flat_map(|template| &template.volume_mounts);
    let in_the_way = mounts.any(|mount| {
        ["/var", "/var/run", place::NAMES_DIR, "/run", "/run/nscd"]
            .contains(&mount.mount_path.trim_end_matches('/'))
    });
    (confined && !in_the_way).then(|| folder("longshore-names", "1Mi"))
}

/// The volume that holds the runner, for both ways of delivery.
pub(super) fn runner(defaults: &PodDefaults) -> Volume {
    match defaults.delivery {
        Delivery::ImageVolume => Volume {
            name: RUNNER.into(),
            image: Some(ImageVolumeSource {
                reference: Some(defaults.runner_image.clone()),
                pull_policy: Some(defaults.runner_pull_policy.clone()),
            }),
            ..Default::default()
        },
        Delivery::InitContainer => folder(RUNNER, "64Mi"),
    }
}

fn bundle() -> Volume {
    Volume {
        name: "longshore-bundle".into(),
        downward_api: Some(DownwardAPIVolumeSource {
            default_mode: Some(MODE),
            default_user: None,
            items: Some(vec![
                annotation(place::BUNDLE_FILE, ANNOTATION_BUNDLE),
                // The annotation does not exist yet. The kubelet shows it moments after it is set.
                annotation(place::STOP_REASON_FILE, ANNOTATION_STOP_REASON),
            ]),
        }),
        ..Default::default()
    }
}

/// What operator and runner say about the log while it is written. A volume of its own: the kubelet writes all
/// files of a volume anew when one changes, and the bundle is long.
fn log() -> Volume {
    Volume {
        name: "longshore-log".into(),
        downward_api: Some(DownwardAPIVolumeSource {
            default_mode: Some(MODE),
            default_user: None,
            items: Some(vec![
                annotation(place::LOG_LIMITS_FILE, ANNOTATION_LOG_LIMITS),
                // This annotation does not exist yet either.
                annotation(place::LOG_CREDIT_FILE, ANNOTATION_LOG_CREDIT),
            ]),
        }),
        ..Default::default()
    }
}

fn annotation(path: &str, name: &str) -> DownwardAPIVolumeFile {
    DownwardAPIVolumeFile {
        path: path.into(),
        field_ref: Some(ObjectFieldSelector {
            api_version: None,
            field_path: format!("metadata.annotations['{name}']"),
        }),
        ..Default::default()
    }
}

/// A script from a `ConfigMap`. The runner compares it with the frozen hash.
fn script(action: &Checked) -> Option<Volume> {
    let from = action.script_ref()?;
    Some(Volume {
        name: "longshore-script-source".into(),
        config_map: Some(ConfigMapVolumeSource {
            name: from.name.clone(),
            default_mode: Some(MODE),
            items: Some(vec![KeyToPath {
                key: from.key.clone(),
                path: place::SCRIPT_FILE.into(),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    })
}

/// A whole Secret or `ConfigMap` in a folder of its own: two may have the same key.
fn source(index: usize, from: &VariablesFrom) -> Volume {
    Volume {
        name: format!("longshore-source-{index}"),
        secret: from.secret_ref.as_ref().map(|secret| SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            optional: secret.optional,
            default_mode: Some(MODE),
            ..Default::default()
        }),
        config_map: from.config_map_ref.as_ref().map(|map| ConfigMapVolumeSource {
            name: map.name.clone(),
            optional: map.optional,
            default_mode: Some(MODE),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The values of Secrets and `ConfigMap`s, one file for each variable. The kubelet mounts them: the operator
/// never sees them, and the pod's spec does not hold them.
fn inputs(action: &Checked) -> Option<Volume> {
    let sources: Vec<VolumeProjection> = action
        .spec
        .variables
        .iter()
        .enumerate()
        .filter_map(|(index, variable)| {
            let from = variable.value_from.as_ref()?;
            let item = |key: &str| {
                Some(vec![KeyToPath {
                    key: key.into(),
                    path: input_path(index, &variable.name),
                    ..Default::default()
                }])
            };
            Some(VolumeProjection {
                secret: from.secret_key_ref.as_ref().map(|key| SecretProjection {
                    name: key.name.clone(),
                    items: item(&key.key),
                    optional: key.optional,
                }),
                config_map: from.config_map_key_ref.as_ref().map(|key| ConfigMapProjection {
                    name: key.name.clone(),
                    items: item(&key.key),
                    optional: key.optional,
                }),
                ..Default::default()
            })
        })
        .collect();
    (!sources.is_empty()).then(|| Volume {
        name: "longshore-inputs".into(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(MODE),
            sources: Some(sources),
            ..Default::default()
        }),
        ..Default::default()
    })
}
