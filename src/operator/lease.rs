//! Who leads: a Lease, taken and renewed as client-go's leader election does it.
//!
//! The lease saves work, and fences nothing: what fences a status is the compare-and-swap of its
//! write, and what fences a pod is its name.

use std::time::Duration;

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

use super::{CallError, FIELD_MANAGER, call};

/// The lease's name.
pub const NAME: &str = "longshore";
/// A leader that has not renewed for so long leads no more.
const DURATION: Duration = Duration::from_secs(15);
/// How often a leader renews, and others look.
const RETRY: Duration = Duration::from_secs(3);
/// A leader that could not renew for so long gives up before others take over.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// The lease, seen by one instance.
pub struct Leadership {
    api: Api<Lease>,
    identity: String,
    /// What was last seen of another holder, and since when by our clock: clocks differ.
    seen: Option<(String, Option<MicroTime>, Instant)>,
}

impl Leadership {
    /// For the instance `identity`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), identity: identity.to_owned(), seen: None }
    }

    /// Waits until this instance leads.
    pub async fn acquire(&mut self) {
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

    /// Renews until that fails for too long: returns when this instance leads no more.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEW_DEADLINE {
            tokio::time::sleep(RETRY).await;
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.try_take()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => {
                    warn!("another instance leads");
                    return;
                }
                Ok(Err(error)) => warn!(%error, "the lease cannot be renewed"),
                Err(_) => {}
            }
        }
        warn!("the lease was not renewed for {} s", RENEW_DEADLINE.as_secs());
    }

    /// Lets another instance take over at once.
    pub async fn release(&self) {
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

    /// Takes the lease or renews it, where it is ours or nobody's. False where another holds it.
    async fn try_take(&mut self) -> Result<bool, CallError> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = call(self.api.get_opt(NAME)).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.spec(&now, 0, now.clone())),
            };
            return won(call(self.api.create(&parameters(), &lease)).await);
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
        won(self.replace(&lease).await)
    }

    /// Whether what we see of another holder has not changed for its lease's duration.
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

    async fn replace(&self, lease: &Lease) -> Result<Lease, CallError> {
        call(self.api.replace(&lease.name_any(), &parameters(), lease)).await
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// A conflict is no error: another was faster.
fn won(result: Result<Lease, CallError>) -> Result<bool, CallError> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(409) => Ok(false),
        Err(error) => Err(error),
    }
}
