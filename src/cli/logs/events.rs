//! What Kubernetes says about the pod while its log is read.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};

use crate::{
    cli::{
        connect::Session,
        terminal::{FAINT, Terminal, line, tell},
    },
    lasting_watch::lasting_watch,
};

/// Tells the pod's events on standard error as they come. It ends only if they may not be read.
pub(super) async fn tell_all(session: &Session, pod: &str) {
    let events: Api<Event> = Api::namespaced(session.client.clone(), &session.namespace);
    let about = format!("involvedObject.kind=Pod,involvedObject.name={pod}");
    let stream = lasting_watch(events, watcher::Config::default().fields(&about));
    let mut stream = std::pin::pin!(stream.applied_objects().take_while(|event| {
        let forbidden = matches!(event, Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 403);
        futures::future::ready(!forbidden)
    }));
    let terminal = Terminal::stderr();
    loop {
        match stream.try_next().await {
            Ok(Some(event)) => tell(&terminal.paint(FAINT, &words(&event))),
            Ok(None) => return,
            // It is tried again.
            Err(_) => {}
        }
    }
}

fn words(event: &Event) -> String {
    let time = event.last_timestamp.as_ref().map(|time| time.0);
    let time = time
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let time = time.map(|time: Timestamp| format!("{} ", time.strftime("%H:%M:%S"))).unwrap_or_default();
    let reason = event.reason.as_deref().unwrap_or("Event");
    let message = event.message.as_deref().unwrap_or_default();
    line(&format!("[{time}{reason}: {}]", message.trim())).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_that_acts_on_nothing() {
        let event = serde_json::from_value(json!({
            "metadata": {"name": "x"},
            "involvedObject": {},
            "reason": "Pulling",
            "message": "Pulling image \"a\u{1b}[2J\"\nmore",
            "lastTimestamp": "2026-01-31T10:42:07Z",
        }))
        .unwrap();
        assert_eq!(words(&event), r#"[10:42:07 Pulling: Pulling image "a\u{1b}[2J"\nmore]"#);
    }
}
