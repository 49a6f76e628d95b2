//! Freezes what a run executes, unless something holds that back.

use crate::{
    api::{
        Reason,
        action::SecurityProfile,
        packages::PackageStatus,
        status::{ImageStatus, RunStatus},
    },
    operator::{
        lifecycle::facts::Facts,
        spec::{
            policy::Standing,
            validate::{Checked, Frozen},
        },
    },
    record::sha256_hex,
};

/// Why the run may not start now, although its spec is valid.
pub(super) fn held_back(facts: &Facts<'_>, checked: &Checked) -> Option<(Reason, String)> {
    if let Some(pod) = facts.previous.first() {
        let message = format!(
            "pod {} (UID {}) is of an earlier action of this name, and its script may still run",
            pod.name, pod.uid
        );
        return Some((Reason::PreviousPodRunning, message));
    }
    if let Standing::Unread(why) = &facts.standing {
        return Some((Reason::PolicyUnread, why.clone()));
    }
    if let Some(why) = &facts.policy_missing
        && let Some(named) = checked.named()
    {
        return Some((Reason::PolicyMissing, format!("the action names {named}, and {why}")));
    }
    if checked.profile() == SecurityProfile::UserNamespaceRoot && facts.user_namespaces == Some(false) {
        let message = "spec.podTemplate.securityProfile is UserNamespaceRoot, and no Linux node reports that it supports user namespaces";
        return Some((Reason::UserNamespacesUnsupported, message.to_owned()));
    }
    None
}

/// The bundle of a run, and its SHA-256.
pub(super) fn freeze(
    checked: &Checked,
    run: &RunStatus,
    image: &ImageStatus,
    packages: &[PackageStatus],
) -> Result<(String, String), String> {
    let frozen = Frozen {
        run_id: &run.id,
        number: run.number,
        attempt: run.attempt,
        image: &image.resolved,
        replaced_user: image.replaced_user.as_deref(),
        packages,
        script_sha256: run.script_sha256.as_deref(),
    };
    let bundle = checked.bundle(&frozen).to_json().map_err(|error| error.to_string())?;
    let sha256 = sha256_hex(bundle.as_bytes());
    Ok((bundle, sha256))
}
