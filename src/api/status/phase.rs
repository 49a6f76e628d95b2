//! `status.phase`: the state of an action in one word, for people and field selectors.

use serde::{Deserialize, Deserializer, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The state of an action in one word. The conditions say more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum Phase {
    /// A run is asked for, and its inputs are not frozen yet.
    Pending,
    /// The run is on record, and its script has not started.
    Launching,
    /// The script has started.
    Running,
    /// An attempt failed, and the run waits for the next one.
    Retrying,
    /// The run waits for its lock.
    Queued,
    /// The latest run succeeded.
    Succeeded,
    /// The latest run failed.
    Failed,
    /// A run is asked for, and `spec.suspend` holds it back.
    Suspended,
    /// No run is asked for.
    Idle,
}

/// Reads a phase. One that another version of the operator wrote, or somebody by hand, reads as none: the action
/// must stay readable.
///
/// # Errors
/// If it is no text.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Phase>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::DeploymentActionStatus;

    #[test]
    fn a_phase_is_written_and_read_by_its_name() {
        for phase in Phase::VARIANTS {
            let status = DeploymentActionStatus { phase: Some(*phase), ..DeploymentActionStatus::default() };
            let written = serde_json::to_value(&status).unwrap();
            assert_eq!(written, json!({"phase": phase.to_string()}));
            assert_eq!(serde_json::from_value::<DeploymentActionStatus>(written).unwrap(), status);
        }
    }

    #[test]
    fn a_status_with_a_phase_of_another_version_is_readable() {
        for phase in [json!("Paused"), json!(""), json!(null)] {
            let status: DeploymentActionStatus =
                serde_json::from_value(json!({"phase": phase, "observedGeneration": 2})).unwrap();
            assert_eq!((status.phase, status.observed_generation), (None, Some(2)));
        }
    }
}
