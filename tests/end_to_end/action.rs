//! Actions that only these tests write, and ways to wait that only they need.

use std::time::Duration;

use longshore::api::ANNOTATION_RERUN;
use serde_json::json;

use crate::support::{
    action::{Action, Done, Handle},
    namespace::within,
};

impl Action {
    pub(crate) fn python(inline: &str) -> Self {
        Self::script("").with("script", json!({"inline": inline, "interpreter": ["python3", "-u"]}))
    }
}

impl Handle<'_> {
    /// Asks for another run, and waits for its end as a person would.
    pub(crate) async fn rerun(&self, token: &str) -> Done {
        self.annotate(ANNOTATION_RERUN, token).await;
        let handled = |seen: &Done| seen.status().last_handled_rerun.as_deref() == Some(token);
        self.until("the token is handled", handled).await;
        self.finished().await
    }

    /// Waits for the end of the run of the latest spec, and of its log, for this long.
    pub(crate) async fn finished_within(&self, bound: Duration) -> Done {
        let over = async || Some(Done::of(self.get().await)).filter(Done::is_over);
        within(bound, "the action is finished", over).await
    }
}
