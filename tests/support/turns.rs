//! Turns in the cluster. A test that changes it for all others waits until they have ended, and they wait for
//! it.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static CLUSTER: RwLock<()> = RwLock::const_new(());

/// Held by a test that others do not disturb.
pub(crate) async fn among_others() -> RwLockReadGuard<'static, ()> {
    CLUSTER.read().await
}

/// Held by a test that changes the cluster for all, or measures.
pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    CLUSTER.write().await
}
