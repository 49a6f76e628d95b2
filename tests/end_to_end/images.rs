//! Images that cannot be resolved, pulled, or do not have what the action needs.

use longshore::api::Reason;
use serde_json::json;

use crate::support::{
    action::Action,
    namespace::{in_namespace, setting},
    registry::{Image, Registry},
};

fn in_registry(path: &str) -> String {
    format!("{}/{path}", setting("LONGSHORE_REGISTRY"))
}

#[tokio::test]
async fn a_tag_that_does_not_exist_is_told_at_once() {
    in_namespace(async |namespace| {
        let image = in_registry("examples:no-such-tag");
        let done = namespace.run(Action::script("echo hello").image(&image)).await;
        done.assert_failed(Reason::ImageNotFound, None).assert_says(&["no-such-tag", "examples"]);
        assert!(namespace.pods().await.is_empty() && done.status().image.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_told_at_once() {
    in_namespace(async |namespace| {
        let image = in_registry("no/such/repository:1");
        let done = namespace.run(Action::script("echo hello").image(&image)).await;
        done.assert_failed(Reason::ImageNotFound, None).assert_says(&["no/such/repository"]);
    })
    .await;
}

#[tokio::test]
async fn a_digest_that_does_not_exist_ends_with_a_reason_of_the_image() {
    in_namespace(async |namespace| {
        let image = in_registry(&format!("examples@sha256:{}", "0".repeat(64)));
        let done = namespace
            .run(Action::script("echo hello").image(&image).with("pendingDeadlineSeconds", 30))
            .await;
        let reason = done.reason().unwrap();
        assert!(matches!(reason, Reason::ImageNotFound | Reason::ImagePullFailed), "{reason:?}");
        done.assert_failed(reason, None).assert_says(&["sha256:0000"]);
    })
    .await;
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_tried_until_the_deadline() {
    in_namespace(async |namespace| {
        let action = namespace
            .apply(
                "unanswered",
                Action::script("echo hello")
                    .image("10.77.0.9:5000/examples:1")
                    .with("pendingDeadlineSeconds", 30),
            )
            .await;
        let done = action.finished().await;
        done.assert_failed(Reason::RegistryUnavailable, None).assert_says(&["10.77.0.9:5000"]);
        let run = done.run();
        let took = run.finished_at.as_ref().unwrap().0.as_second()
            - run.requested_at.as_ref().unwrap().0.as_second();
        assert!((29..=60).contains(&took), "{took} s");
    })
    .await;
}

#[tokio::test]
async fn a_registry_whose_name_is_unknown_is_told() {
    in_namespace(async |namespace| {
        let image = "registry.no-such-domain.invalid/tools:1";
        let done =
            namespace.run(Action::script("echo hello").image(image).with("pendingDeadlineSeconds", 30)).await;
        done.assert_failed(Reason::RegistryUnavailable, None)
            .assert_says(&["registry.no-such-domain.invalid"]);
    })
    .await;
}

#[tokio::test]
async fn an_image_for_another_platform_is_told() {
    in_namespace(async |namespace| {
        let image = Image::empty().push("tests/other-platform", "s390x").await;
        let done = namespace.run(Action::command(&["/program"]).image(&image)).await;
        done.assert_failed(Reason::ImagePlatformMissing, None).assert_says(&["s390x", "amd64"]);
        assert!(namespace.pods().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_artifact_that_is_no_image_is_told() {
    in_namespace(async |namespace| {
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []});
        Registry::new()
            .put_manifest("tests/nothing", "1", "application/vnd.oci.image.index.v1+json", manifest.to_string())
            .await;
        let done = namespace.run(Action::command(&["/program"]).image(&in_registry("tests/nothing:1"))).await;
        let reason = done.reason().unwrap();
        assert!(matches!(reason, Reason::ImageInvalid | Reason::ImagePlatformMissing), "{reason:?}");
        done.assert_failed(reason, None);
    })
    .await;
}

#[tokio::test]
async fn an_interpreter_that_the_image_lacks_is_named() {
    in_namespace(async |namespace| {
        let by_line = namespace.apply("by-line", Action::script("#!/usr/bin/env ruby\nputs 1\n")).await;
        let by_path = namespace.apply("by-path", Action::script("#!/opt/node/bin/node -x\n1\n")).await;
        let by_list = namespace
            .apply(
                "by-list",
                Action::script("1").with("script", json!({"inline": "1", "interpreter": ["pwsh", "-File"]})),
            )
            .await;
        for (action, words) in [
            (by_line, ["ruby", "#!/usr/bin/env ruby"]),
            (by_path, ["/opt/node/bin/node", "#!"]),
            (by_list, ["pwsh", "spec.script.interpreter"]),
        ] {
            let done = action.finished().await;
            done.assert_failed(Reason::InterpreterNotFound, None).assert_says(&words);
        }
    })
    .await;
}

#[tokio::test]
async fn an_image_without_a_shell_says_so() {
    in_namespace(async |namespace| {
        let image = Image::static_program().push("tests/without-shell", "amd64").await;
        let done = namespace.run(Action::script("echo hello").image(&image)).await;
        done.assert_failed(Reason::InterpreterNotFound, None).assert_says(&["/bin/sh", "spec.command"]);
    })
    .await;
}

#[tokio::test]
async fn an_image_without_any_file_says_so() {
    in_namespace(async |namespace| {
        let image = Image::empty().push("tests/empty", "amd64").await;
        let done = namespace.run(Action::script("echo hello").image(&image)).await;
        done.assert_failed(Reason::InterpreterNotFound, None);
    })
    .await;
}

#[tokio::test]
async fn a_command_that_the_image_lacks_is_named() {
    in_namespace(async |namespace| {
        let name = namespace.apply("name", Action::command(&["terraform", "apply"])).await;
        let path = namespace.apply("path", Action::command(&["/opt/migrate"])).await;
        let file = namespace.apply("file", Action::command(&["/etc/hostname"])).await;
        name.finished()
            .await
            .assert_failed(Reason::CommandNotFound, None)
            .assert_says(&["terraform", "spec.command"]);
        path.finished().await.assert_failed(Reason::CommandNotFound, None).assert_says(&["/opt/migrate"]);
        file.finished().await.assert_failed(Reason::NotExecutable, None).assert_says(&["/etc/hostname"]);
    })
    .await;
}
