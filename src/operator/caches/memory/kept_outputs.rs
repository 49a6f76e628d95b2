//! The Secret with the sensitive outputs of an action's latest run, as far as this process knows it.

use k8s_openapi::jiff::Timestamp;

use super::pauses::backoff;
use crate::{
    api::status::OutputsSecret,
    operator::lifecycle::facts::{SecretFact, SecretRefusal},
};

/// The tries to create it.
#[derive(Debug, Default)]
pub(in crate::operator) struct KeptOutputs {
    fact: SecretFact,
    failures: u32,
}

impl KeptOutputs {
    pub(in crate::operator) fn fact(&self) -> SecretFact {
        self.fact.clone()
    }

    /// Notes the result of a try for the outputs of this pod.
    pub(in crate::operator) fn tried(
        &mut self,
        now: Timestamp,
        pod_uid: &str,
        result: Result<OutputsSecret, SecretRefusal>,
    ) {
        if self.fact.pod_uid != pod_uid {
            *self = Self::default();
            pod_uid.clone_into(&mut self.fact.pod_uid);
        }
        match result {
            Ok(secret) => self.fact.created = Some(secret),
            Err(refusal) => {
                self.fact.refusal = Some(refusal);
                self.fact.not_before = now.saturating_add(backoff(self.failures)).ok();
                self.failures = self.failures.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_later_each_time_and_another_pod_begins_anew() {
        let mut outputs = KeptOutputs::default();
        let refusal = || SecretRefusal { may_pass: true, message: "quota".into() };
        let now = Timestamp::UNIX_EPOCH;
        outputs.tried(now, "pod-1", Err(refusal()));
        let first = outputs.fact().not_before.unwrap();
        (0..5).for_each(|_| outputs.tried(now, "pod-1", Err(refusal())));
        assert!(outputs.fact().not_before.unwrap() > first);
        let secret = OutputsSecret { name: "s".into(), ..OutputsSecret::default() };
        outputs.tried(now, "pod-1", Ok(secret.clone()));
        assert_eq!(outputs.fact().created, Some(secret));
        outputs.tried(now, "pod-2", Err(refusal()));
        let fact = outputs.fact();
        assert_eq!((fact.pod_uid.as_str(), fact.created), ("pod-2", None));
    }
}
