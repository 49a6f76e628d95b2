//! Security settings of the script's container: from the profile, or from the action instead.

use k8s_openapi::api::core::v1::{
    Capabilities, PodSecurityContext, SeccompProfile, SecurityContext, WindowsSecurityContextOptions,
};

use crate::{
    api::action::{DeploymentActionSpec, PodTemplate, SecurityProfile},
    registry::{DEFAULT_USER, ImageUser, pod_user},
};

/// Group of every file in the pod's volumes. It is not root's, and no image uses it.
const FS_GROUP: i64 = 65_532;

/// The numeric user that the script runs as. The action decides; otherwise the profile, by the image's user.
/// `None` if the image decides.
#[must_use]
pub(crate) fn run_as_user(spec: &DeploymentActionSpec, image: &ImageUser) -> Option<i64> {
    own_user(spec).or_else(|| match profile(spec) {
        SecurityProfile::Restricted => Some(pod_user(image)),
        SecurityProfile::UserNamespaceRoot => Some(0),
        SecurityProfile::Baseline => None,
    })
}

/// The user that the image names, if [`run_as_user`] replaces it although the action asks for no user. Root
/// does not count: replacing root is what the profile is for.
#[must_use]
pub(crate) fn replaced_user(spec: &DeploymentActionSpec, image: &ImageUser) -> Option<String> {
    match image {
        ImageUser::Named(name) if profile(spec) == SecurityProfile::Restricted => {
            own_user(spec).is_none().then(|| name.clone())
        }
        _ => None,
    }
}

/// Whether [`run_as_user`] can return `user` for this spec and any image.
#[must_use]
pub(crate) fn may_run_as(spec: &DeploymentActionSpec, user: Option<i64>) -> bool {
    let own = own_user(spec);
    match profile(spec) {
        _ if own.is_some() => user == own,
        SecurityProfile::Restricted => user.is_some_and(|user| user > 0),
        SecurityProfile::UserNamespaceRoot => user == Some(0),
        SecurityProfile::Baseline => user.is_none(),
    }
}

fn own_user(spec: &DeploymentActionSpec) -> Option<i64> {
    let template = spec.pod_template.as_ref()?;
    let container = template.container_security_context.as_ref().and_then(|own| own.run_as_user);
    container.or_else(|| template.security_context.as_ref()?.run_as_user)
}

fn profile(spec: &DeploymentActionSpec) -> SecurityProfile {
    spec.pod_template.as_ref().and_then(|template| template.security_profile).unwrap_or_default()
}

/// The pod's security settings; `user` comes from [`run_as_user`].
#[must_use]
pub(super) fn of_pod(template: &PodTemplate, user: Option<i64>) -> PodSecurityContext {
    let profile = template.security_profile.unwrap_or_default();
    let own = template.security_context.clone().unwrap_or_default();
    // Every field is named here, so that a new one cannot be forgotten.
    let PodSecurityContext {
        app_armor_profile,
        fs_group,
        fs_group_change_policy,
        run_as_group,
        run_as_non_root,
        run_as_user,
        se_linux_change_policy,
        se_linux_options,
        seccomp_profile,
        supplemental_groups,
        supplemental_groups_policy,
        sysctls,
        windows_options: None::<WindowsSecurityContextOptions> | Some(_),
    } = own;
    let restricted = profile == SecurityProfile::Restricted;
    PodSecurityContext {
        app_armor_profile,
        fs_group: fs_group.or(Some(FS_GROUP)),
        fs_group_change_policy: fs_group_change_policy.or_else(|| Some("OnRootMismatch".into())),
        // OpenShift's convention: files that any user may use belong to root's group.
        run_as_group: run_as_group.or_else(|| user.map(|_| 0)),
        run_as_non_root: run_as_non_root.or_else(|| (restricted && user != Some(0)).then_some(true)),
        run_as_user: run_as_user.or(user),
        se_linux_change_policy,
        se_linux_options,
        seccomp_profile: seccomp_profile.or_else(|| Some(runtime_default())),
        supplemental_groups,
        supplemental_groups_policy,
        sysctls,
        windows_options: None,
    }
}

#[must_use]
pub(super) fn of_container(template: &PodTemplate) -> SecurityContext {
    let base = match template.security_profile.unwrap_or_default() {
        SecurityProfile::Restricted => restricted(),
        // Pod Security "restricted" allows root in a user namespace, and asks for everything else as before.
        // A script that is root wants to write where only root may.
        SecurityProfile::UserNamespaceRoot => {
            SecurityContext { read_only_root_filesystem: None, ..restricted() }
        }
        SecurityProfile::Baseline => SecurityContext::default(),
    };
    let Some(own) = template.container_security_context.clone() else { return base };
    let SecurityContext {
        allow_privilege_escalation,
        app_armor_profile,
        capabilities,
        privileged,
        proc_mount,
        read_only_root_filesystem,
        run_as_group,
        run_as_non_root,
        run_as_user,
        se_linux_options,
        seccomp_profile,
        windows_options: _,
    } = own;
    SecurityContext {
        allow_privilege_escalation: allow_privilege_escalation.or(base.allow_privilege_escalation),
        app_armor_profile,
        // An action that adds one capability has not asked for the runtime's whole set.
        capabilities: match (capabilities, base.capabilities) {
            (Some(own), Some(base)) => {
                Some(Capabilities { add: own.add.or(base.add), drop: own.drop.or(base.drop) })
            }
            (own, base) => own.or(base),
        },
        privileged,
        proc_mount,
        read_only_root_filesystem: read_only_root_filesystem.or(base.read_only_root_filesystem),
        run_as_group,
        run_as_non_root,
        run_as_user,
        se_linux_options,
        seccomp_profile,
        windows_options: None,
    }
}

/// The security settings of our own containers, under every profile.
#[must_use]
pub(crate) fn of_own_container() -> SecurityContext {
    SecurityContext { run_as_non_root: Some(true), run_as_user: Some(DEFAULT_USER), ..restricted() }
}

/// The security settings of our own pods, which run no script.
#[must_use]
pub(crate) fn of_own_pod() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(DEFAULT_USER),
        run_as_group: Some(0),
        fs_group: Some(FS_GROUP),
        seccomp_profile: Some(runtime_default()),
        ..Default::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }
}

/// The settings that Pod Security "restricted" asks of a container, and a root filesystem that nobody can
/// write.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::operator::pod::security::*;

    fn template(profile: SecurityProfile) -> PodTemplate {
        PodTemplate { security_profile: Some(profile), ..Default::default() }
    }

    fn user(template: &PodTemplate, image: &ImageUser) -> Option<i64> {
        let spec = DeploymentActionSpec { pod_template: Some(template.clone()), ..Default::default() };
        run_as_user(&spec, image)
    }

    #[test]
    fn the_profile_decides_on_the_image_s_user() {
        for (profile, image, expected) in [
            (SecurityProfile::Restricted, ImageUser::Numeric(1234), Some(1234)),
            (SecurityProfile::Restricted, ImageUser::Root, Some(DEFAULT_USER)),
            (SecurityProfile::Restricted, ImageUser::Named("app".into()), Some(DEFAULT_USER)),
            (SecurityProfile::UserNamespaceRoot, ImageUser::Numeric(1234), Some(0)),
            (SecurityProfile::Baseline, ImageUser::Root, None),
            (SecurityProfile::Baseline, ImageUser::Named("app".into()), None),
        ] {
            assert_eq!(user(&template(profile), &image), expected, "{profile:?} {image:?}");
            let spec = DeploymentActionSpec { pod_template: Some(template(profile)), ..Default::default() };
            assert!(may_run_as(&spec, expected), "{profile:?} {expected:?}");
        }
    }

    #[test]
    fn a_user_by_name_is_replaced_where_nobody_asks_for_another() {
        let named = ImageUser::Named("app".into());
        let replaced = |template: PodTemplate, image: &ImageUser| {
            replaced_user(&DeploymentActionSpec { pod_template: Some(template), ..Default::default() }, image)
        };
        assert_eq!(replaced(template(SecurityProfile::Restricted), &named).as_deref(), Some("app"));
        for image in [ImageUser::Root, ImageUser::Unset, ImageUser::Numeric(7), ImageUser::Unreadable] {
            assert_eq!(replaced(template(SecurityProfile::Restricted), &image), None, "{image:?}");
        }
        for profile in [SecurityProfile::UserNamespaceRoot, SecurityProfile::Baseline] {
            assert_eq!(replaced(template(profile), &named), None, "{profile:?}");
        }
        let security_context = PodSecurityContext { run_as_user: Some(7), ..Default::default() };
        let own = PodTemplate { security_context: Some(security_context), ..Default::default() };
        assert_eq!(replaced(own, &named), None);
    }

    #[test]
    fn a_record_may_not_say_more_than_its_action() {
        let spec =
            |profile| DeploymentActionSpec { pod_template: Some(template(profile)), ..Default::default() };
        for (profile, users) in [
            (SecurityProfile::Restricted, [None, Some(0), Some(-1)]),
            (SecurityProfile::UserNamespaceRoot, [None, Some(1), Some(-1)]),
            (SecurityProfile::Baseline, [Some(0), Some(1), Some(-1)]),
        ] {
            for user in users {
                assert!(!may_run_as(&spec(profile), user), "{profile:?} {user:?}");
            }
        }
        assert!(!may_run_as(&DeploymentActionSpec::default(), Some(0)));
    }

    #[test]
    fn what_the_action_says_takes_the_profile_s_place() {
        let own = PodTemplate {
            security_context: Some(PodSecurityContext {
                run_as_user: Some(7),
                fs_group: Some(8),
                ..Default::default()
            }),
            container_security_context: Some(SecurityContext {
                read_only_root_filesystem: Some(false),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(user(&own, &ImageUser::Root), Some(7));
        let pod = of_pod(&own, Some(7));
        assert_eq!((pod.run_as_user, pod.fs_group, pod.run_as_non_root), (Some(7), Some(8), Some(true)));
        let container = of_container(&own);
        assert_eq!(container.read_only_root_filesystem, Some(false));
        assert_eq!(container.capabilities, restricted().capabilities);
    }

    #[test]
    fn who_adds_a_capability_gets_no_other() {
        let asking = |profile| PodTemplate {
            container_security_context: Some(SecurityContext {
                capabilities: Some(Capabilities { add: Some(vec!["CHOWN".into()]), drop: None }),
                ..Default::default()
            }),
            ..template(profile)
        };
        for profile in [SecurityProfile::Restricted, SecurityProfile::UserNamespaceRoot] {
            let capabilities = of_container(&asking(profile)).capabilities.unwrap();
            assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]), "{profile:?}");
            assert_eq!(capabilities.add, Some(vec!["CHOWN".to_owned()]), "{profile:?}");
        }
        assert_eq!(of_container(&asking(SecurityProfile::Baseline)).capabilities.unwrap().drop, None);
    }

    #[test]
    fn root_is_never_asked_for_and_forbidden_at_once() {
        let pod = of_pod(&template(SecurityProfile::UserNamespaceRoot), Some(0));
        assert_eq!((pod.run_as_user, pod.run_as_non_root), (Some(0), None));
        let pod = of_pod(&template(SecurityProfile::Baseline), None);
        assert_eq!((pod.run_as_user, pod.run_as_group, pod.run_as_non_root), (None, None, None));
    }
}
