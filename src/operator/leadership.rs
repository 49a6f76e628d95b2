//! Leader election by a Lease, which is taken and renewed as client-go does it.
//!
//! Correctness does not depend on the lease. A status is fenced by the compare-and-swap of its write. A pod
//! is fenced by its name, and because the status names the one process that may create it
//! ([`crate::api::status::Launcher`]). The lease saves work: two leaders would disturb each other, but do no
//! harm. It also bounds how late a pod is requested: only while the [`Term`] holds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::call::{CallError, FIELD_MANAGER, call};

/// The lease's name.
pub(super) const NAME: &str = "longshore";
/// A leader that has not renewed for this long no longer leads.
const DURATION: Duration = Duration::from_secs(15);
/// How often a leader renews, and others look at the lease.
const RETRY: Duration = Duration::from_secs(3);
/// A leader that could not renew for this long gives up, before others take over.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// The time until which an instance leads, by its own clock.
#[derive(Debug, Clone, Default)]
pub struct Term(Arc<Mutex<Option<Instant>>>);

impl Term {
    /// A term that begins now.
    #[cfg(test)]
    pub(super) fn begun() -> Self {
        let term = Self::default();
        term.renewed(Instant::now());
        term
    }

    /// Whether no other instance can have taken over. A process that was stopped, or starved, learns it here
    /// before the API server says it.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.left().is_zero()
    }

    /// Notes that the lease was written. `asked` is when the write was sent: others can see it from then on,
    /// and the answer may have taken a while.
    fn renewed(&self, asked: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn left(&self) -> Duration {
        let renewed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.map_or(Duration::ZERO, |renewed| RENEW_DEADLINE.saturating_sub(renewed.elapsed()))
    }
}

/// The lease, as one instance sees it.
pub(super) struct Leadership {
    api: Api<Lease>,
    identity: String,
    /// The other holder as last seen, and since when by our own clock. Clocks differ.
    seen: Option<(String, Option<MicroTime>, Instant)>,
    term: Term,
}

impl Leadership {
    #[must_use]
    pub(super) fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            seen: None,
            term: Term::default(),
        }
    }

    /// The time for which this instance leads.
    #[must_use]
    pub(super) fn term(&self) -> Term {
        self.term.clone()
    }

    /// Waits until this instance leads.
    pub(super) async fn acquire(&mut self) {
        loop {
            match self.try_take().await {
                Ok(true) => {
                    info!(identity = self.identity, "leading");
                    return;
                }
                Ok(false) => {}
                Err(error) => warn!(%error, "the lease cannot be taken"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews the lease until that fails for too long. Returns when this instance no longer leads.
    pub(super) async fn keep(&mut self) {
        while self.term.holds() {
            tokio::time::sleep(RETRY).await;
            match tokio::time::timeout(self.term.left(), self.try_take()).await {
                Ok(Ok(false)) => {
                    warn!("another instance leads");
                    return;
                }
                Ok(Err(error)) => warn!(%error, "the lease cannot be renewed"),
                Ok(Ok(true)) | Err(_) => {}
            }
        }
        warn!("the lease was not renewed for {} s", RENEW_DEADLINE.as_secs());
    }

    /// Lets another instance take over at once. From now on no part of this instance creates a pod.
    pub(super) async fn release(&self) {
        self.term.end();
        let Ok(mut lease) = call(self.api.get(NAME)).await else { return };
        if let Some(spec) = &mut lease.spec
            && spec.holder_identity.as_deref() == Some(&self.identity)
        {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            if let Err(error) = self.replace(&lease).await {
                debug!(%error, "the lease was not released");
            }
        }
    }

    /// Takes or renews the lease, if it is ours or has no holder. `false` if another instance holds it.
    async fn try_take(&mut self) -> Result<bool, CallError> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = call(self.api.get_opt(NAME)).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.spec(&now, 0, now.clone())),
            };
            let asked = Instant::now();
            return self.won(asked, call(self.api.create(&parameters(), &lease)).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let ours = holder.as_deref() == Some(&self.identity);
        if let Some(holder) = holder.filter(|_| !ours) {
            let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let duration = duration.map_or(DURATION, Duration::from_secs);
            if !self.has_expired(holder, spec.renew_time.clone(), duration) {
                return Ok(false);
            }
        }
        let changes = spec.lease_transitions.unwrap_or_default() + i32::from(!ours);
        let since = spec.acquire_time.filter(|_| ours).unwrap_or_else(|| now.clone());
        lease.spec = Some(self.spec(&now, changes, since));
        lease.metadata.managed_fields = None;
        let asked = Instant::now();
        self.won(asked, self.replace(&lease).await)
    }

    /// Whether the holder that we see has not changed for its lease's duration.
    fn has_expired(&mut self, holder: String, renewed: Option<MicroTime>, duration: Duration) -> bool {
        match &self.seen {
            Some((name, time, since)) if *name == holder && *time == renewed => since.elapsed() >= duration,
            _ => {
                self.seen = Some((holder, renewed, Instant::now()));
                false
            }
        }
    }

    fn spec(&self, now: &MicroTime, changes: i32, since: MicroTime) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(since),
            renew_time: Some(now.clone()),
            lease_transitions: Some(changes),
            ..LeaseSpec::default()
        }
    }

    /// A conflict is not an error: another instance was faster.
    fn won(&self, asked: Instant, result: Result<Lease, CallError>) -> Result<bool, CallError> {
        match result {
            Ok(_) => {
                self.term.renewed(asked);
                Ok(true)
            }
            Err(error) if error.code() == Some(409) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, CallError> {
        call(self.api.replace(&lease.name_any(), &parameters(), lease)).await
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn lease(holder: &str) -> serde_json::Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": NAME, "namespace": "system", "resourceVersion": "1"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
        })
    }

    #[tokio::test]
    async fn a_term_holds_from_when_the_lease_was_asked_for_and_ends_before_others_take_over() {
        let (client, _) = server(|_| (200, lease("a")));
        let mut leadership = Leadership::new(client, "system", "a");
        let term = leadership.term();
        assert!(!term.holds(), "nobody has asked yet");
        leadership.acquire().await;
        assert!(term.holds() && term.left() <= RENEW_DEADLINE);
        // The answer took long, or the process was stopped.
        term.renewed(Instant::now().checked_sub(RENEW_DEADLINE).unwrap());
        assert!(!term.holds() && term.left().is_zero());
        assert!(RENEW_DEADLINE < DURATION);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_holds_begins_no_term() {
        let (client, _) = server(|_| (200, lease("b")));
        let mut leadership = Leadership::new(client, "system", "a");
        assert!(tokio::time::timeout(Duration::from_millis(300), leadership.acquire()).await.is_err());
        assert!(!leadership.term().holds());
        let (client, _) = server(|request| match request.method.as_str() {
            "GET" => (200, lease("")),
            _ => failure(409, "Conflict", ""),
        });
        let mut leadership = Leadership::new(client, "system", "a");
        assert!(tokio::time::timeout(Duration::from_millis(300), leadership.acquire()).await.is_err());
        assert!(!leadership.term().holds(), "another was faster");
    }

    #[tokio::test]
    async fn a_term_is_over_before_the_lease_is_given_back() {
        let term: Arc<Mutex<Option<Term>>> = Arc::default();
        let held = Arc::new(Mutex::new(Vec::new()));
        let (client, _) = server({
            let (term, held) = (Arc::clone(&term), Arc::clone(&held));
            move |_| {
                let holds = term.lock().unwrap().as_ref().is_some_and(Term::holds);
                held.lock().unwrap().push(holds);
                (200, lease("a"))
            }
        });
        let mut leadership = Leadership::new(client, "system", "a");
        *term.lock().unwrap() = Some(leadership.term());
        leadership.acquire().await;
        assert!(leadership.term().holds());
        held.lock().unwrap().clear();
        leadership.release().await;
        // Read, and written.
        assert_eq!(*held.lock().unwrap(), [false, false]);
    }
}
