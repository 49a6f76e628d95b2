//! Logs that a node rotates while they are written.

use kube::ResourceExt;
use longshore::{
    api::{ANNOTATION_LOG_CREDIT, ANNOTATION_LOG_STATE, Reason, status::LogState},
    record::sha256_hex,
};
use serde_json::json;

use crate::support::{
    action::Action,
    long_log::{assert_whole, writer},
    namespace::in_namespace,
};

#[tokio::test]
async fn a_log_longer_than_its_node_keeps_is_whole() {
    in_namespace(async |namespace| {
        // 36 MB in twelve seconds, and the node looks every ten.
        let action = namespace.apply("long", writer(30_000, 12)).await;
        let done = action.finished().await;
        assert_whole(done.assert_succeeded(), 360_000);
        let pod = action.pod().await;
        let told = [ANNOTATION_LOG_CREDIT, ANNOTATION_LOG_STATE];
        assert!(told.iter().all(|name| pod.annotations().contains_key(*name)), "{:?}", pod.annotations());
    })
    .await;
}

#[tokio::test]
async fn a_log_that_comes_all_at_once_is_whole() {
    in_namespace(async |namespace| {
        let action = namespace.apply("burst", writer(400_000, 1)).await;
        assert_whole(action.finished().await.assert_succeeded(), 400_000);
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_text_and_a_line_without_end_are_whole_where_their_node_rotates() {
    in_namespace(async |namespace| {
        let bytes: Vec<u8> = (0..=255).collect();
        let binary = Action::script(
            "#!/usr/bin/env python3\nimport sys\nfor i in range(160): sys.stdout.buffer.write(bytes(range(256)) * 1000)",
        );
        let line = Action::script("head -c 104857600 /dev/zero | tr '\\0' x");
        let binary = namespace.apply("binary", binary).await;
        let line = namespace.apply("line", line).await;
        for (action, lines, truth) in
            [(binary, 160_001, bytes.repeat(160_000)), (line, 1, b"x".repeat(104_857_600))]
        {
            let done = action.finished().await;
            let log = done.assert_succeeded().assert_log_complete().log();
            assert_eq!((log.lines, log.bytes), (lines, truth.len() as u64), "{}", action.name);
            assert_eq!(log.sha256.as_deref(), Some(sha256_hex(&truth).as_str()), "{}", action.name);
        }
    })
    .await;
}

#[tokio::test]
async fn a_short_log_costs_no_word_to_its_runner() {
    in_namespace(async |namespace| {
        let action = namespace.apply("short", Action::script("echo hello")).await;
        action.finished().await.assert_succeeded().assert_log_complete();
        let pod = action.pod().await;
        assert!(!pod.annotations().contains_key(ANNOTATION_LOG_CREDIT), "{:?}", pod.annotations());
    })
    .await;
}

#[tokio::test]
async fn a_script_is_not_evicted_for_its_log() {
    in_namespace(async |namespace| {
        // 60 MB as fast as it can, and then it stays until its node has looked again.
        let script = "yes \"$(printf '%099d' 1)\" | head -n 600000; sleep 12";
        let limits = json!({"limits": {"ephemeral-storage": "40Mi"}});
        let action = namespace.apply("limited", Action::script(script).with("resources", limits)).await;
        // Its spool is too small for all of it.
        let done = action.finished().await;
        assert_eq!(done.reason(), Some(Reason::Succeeded), "{}", done.message());
        assert_eq!(done.log().state, LogState::Incomplete);
        assert!(done.tail().ends_with("1\n") && !done.log().missing.is_empty(), "{}", done.log().lines);
    })
    .await;
}
