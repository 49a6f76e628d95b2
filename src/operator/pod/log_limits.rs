//! What a pod's runner may use for the log. Pure.

use super::attempt::PodDefaults;
use crate::{
    api::action::Amount,
    operator::spec::{quantity::nanos, validate::Checked},
    record::credit::{Limits, OUTSTANDING_BYTES, SPOOL_BYTES},
};

/// Claim, exit record and outputs, in bytes. A script can write there too.
const STATE_BYTES: u64 = 256 << 20;
/// The parts of the container's ephemeral storage that its log may take. The kubelet counts the node's files of
/// the log there, and a script must not be evicted for what it prints. It looks every ten seconds, and keeps
/// five files by default: at a hundredth a second, these are half of the storage at most. A file of the
/// spool has no name and counts only where the kubelet counts by quota.
const SPOOL_PART: u64 = 4;
const OUTSTANDING_PART: u64 = 8;
const SECOND_PART: u64 = 100;

/// The limits of this action's pods. A limit that a `LimitRange` adds is not known yet.
pub(super) fn limits(action: &Checked, defaults: &PodDefaults) -> Limits {
    let storage = action
        .spec
        .resources
        .as_ref()
        .and_then(|resources| resources.limits.get("ephemeral-storage"))
        .and_then(|amount| match amount {
            Amount::Whole(number) => u64::try_from(*number).ok(),
            Amount::Text(text) => u64::try_from(nanos(text)? / 1_000_000_000).ok(),
        });
    let part = |of: u64, most: u64| storage.map_or(most, |bytes| (bytes / of).min(most));
    Limits {
        rotation_bytes: part(OUTSTANDING_PART, defaults.log_rotation_bytes),
        spool_bytes: part(SPOOL_PART, SPOOL_BYTES),
        outstanding_bytes: part(OUTSTANDING_PART, OUTSTANDING_BYTES),
        acknowledged_per_second: storage.map(|bytes| bytes / SECOND_PART),
    }
}

/// The size limit of the runner's folder, in bytes: what it stores there, and the spool.
pub(super) fn state_bytes(action: &Checked, defaults: &PodDefaults) -> u64 {
    STATE_BYTES + limits(action, defaults).spool_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{
        pod::attempt::Delivery,
        spec::validate::validate,
        testing::objects::{action, pod_defaults},
    };

    #[test]
    fn a_log_takes_only_a_part_of_the_storage() {
        let mi = 1 << 20;
        for (limit, [rotation, spool, outstanding], pace) in [
            (None, [10 * mi, 256 * mi, 32 * mi], None),
            (Some("10Gi"), [10 * mi, 256 * mi, 32 * mi], Some(107_374_182)),
            (Some("1Gi"), [10 * mi, 256 * mi, 32 * mi], Some(10_737_418)),
            (Some("100Mi"), [10 * mi, 25 * mi, 13_107_200], Some(mi)),
            (Some("40Mi"), [5 * mi, 10 * mi, 5 * mi], Some(419_430)),
            (Some("4k"), [500, 1000, 500], Some(40)),
            (Some("0"), [0, 0, 0], Some(0)),
        ] {
            let mut action = action();
            action.spec.resources = limit.map(|limit| crate::api::action::Resources {
                limits: [("ephemeral-storage".to_owned(), Amount::Text(limit.to_owned()))].into(),
                ..Default::default()
            });
            let checked = validate(&action, "amd64").unwrap();
            let defaults = pod_defaults(Delivery::ImageVolume);
            let expected = Limits {
                rotation_bytes: rotation,
                spool_bytes: spool,
                outstanding_bytes: outstanding,
                acknowledged_per_second: pace,
            };
            assert_eq!(limits(&checked, &defaults), expected, "{limit:?}");
            assert_eq!(state_bytes(&checked, &defaults), 256 * mi + spool, "{limit:?}");
        }
    }
}
