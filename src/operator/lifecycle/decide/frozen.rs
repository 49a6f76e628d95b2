//! Freezes what a run executes, unless something holds that back.

use crate::{
    api::{
        OUTPUTS_KEYS, Reason,
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
    seal::{self, MASTER_BYTES, Masters},
};

/// Why the run may not start now, although its spec is valid.
pub(super) fn held_back(facts: &Facts<'_>, checked: &Checked, run: &RunStatus) -> Option<(Reason, String)> {
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
    keyless(facts, checked, run)
}

/// Why the run's sensitive outputs cannot be sealed now, if it has any.
pub(super) fn keyless(facts: &Facts<'_>, checked: &Checked, run: &RunStatus) -> Option<(Reason, String)> {
    public_key(facts, checked, run).err().map(|why| (Reason::OutputsKeyMissing, why))
}

/// The id of the key that the run's keys for sensitive outputs follow from: the one on record, or else the newest.
pub(super) fn key_id(facts: &Facts<'_>, checked: &Checked, run: &RunStatus) -> Option<String> {
    let newest = || facts.keys.and_then(Masters::newest).map(Into::into);
    checked.has_sensitive_outputs().then(|| run.outputs_key.clone().or_else(newest))?
}

/// The key to which the attempt's sensitive outputs are sealed. `None` if it has none.
fn public_key(facts: &Facts<'_>, checked: &Checked, run: &RunStatus) -> Result<Option<String>, String> {
    if !checked.has_sensitive_outputs() {
        return Ok(None);
    }
    let of = format!(
        "the action has sensitive outputs ({})",
        checked.sensitive_outputs().collect::<Vec<_>>().join(", ")
    );
    let Some(keys) = facts.keys else {
        return Err(format!(
            "{of}, and the operator cannot read or create Secret {OUTPUTS_KEYS}, which holds its keys for them"
        ));
    };
    let Some(id) = key_id(facts, checked, run) else {
        return Err(format!(
            "{of}, and Secret {OUTPUTS_KEYS} holds no key of {MASTER_BYTES} bytes: add one, or delete the Secret"
        ));
    };
    let Some(master) = keys.get(&id) else {
        return Err(format!(
            "{of}, and their key {id} was removed from Secret {OUTPUTS_KEYS}: put it back until the run has ended"
        ));
    };
    let attempt = seal::Attempt { action_uid: &checked.uid, run_id: &run.id, number: run.attempt };
    Ok(Some(master.public_key(&attempt).to_string()))
}

/// The bundle of a run, and its SHA-256.
pub(super) fn freeze(
    facts: &Facts<'_>,
    checked: &Checked,
    run: &RunStatus,
    image: &ImageStatus,
    packages: &[PackageStatus],
) -> Result<(String, String), String> {
    let public_key = public_key(facts, checked, run)?;
    let frozen = Frozen {
        run_id: &run.id,
        number: run.number,
        attempt: run.attempt,
        image: &image.resolved,
        replaced_user: image.replaced_user.as_deref(),
        packages,
        script_sha256: run.script_sha256.as_deref(),
        public_key: public_key.as_deref(),
    };
    let bundle = checked.bundle(&frozen).to_json().map_err(|error| error.to_string())?;
    let sha256 = sha256_hex(bundle.as_bytes());
    Ok((bundle, sha256))
}
