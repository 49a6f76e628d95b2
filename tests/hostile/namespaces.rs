//! A namespace that is deleted while something of it is under way: nothing of ours keeps it.

use std::time::Duration;

use longshore::api::ANNOTATION_RERUN;

use crate::{
    attack::{judged, locked, started, told},
    namespace::within,
    oracle::Alone,
};

/// In it nothing can be created any more, so no run that is asked for gets its lock; the pod of the run before
/// is let go all the same, and Kubernetes deletes the action only after its pods.
#[tokio::test]
async fn a_namespace_goes_away_although_another_run_waits_for_its_lock() {
    judged(Alone::Action, async |namespace| {
        let other = namespace.sibling().await;
        let first = other.apply("first", locked(told("echo begun; sleep 600"))).await;
        started(&first, 1).await;
        first.under_way().await;
        first.annotate(ANNOTATION_RERUN, "again").await;
        other.remove().await;
        within(Duration::from_mins(2), "the namespace is gone", async || {
            other.namespaces().get_opt(&other.name).await.expect("reading it").is_none().then_some(())
        })
        .await;
    })
    .await;
}
