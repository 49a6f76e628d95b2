//! The runner's other way into the pod, for clusters without image volumes. It changes how the
//! operator is installed, so it runs alone, and puts it back as it was.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use longshore::api::Reason;
use serde_json::json;

use crate::support::{
    action::{Action, from_secret},
    matrix,
    namespace::{in_namespace, tool},
    registry,
    turns::alone,
};

/// Sets how the runner gets into pods, and waits until the operator that does so is there.
fn deliver_by(delivery: &str) {
    let output = tool("helm")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "upgrade",
            "longshore",
            "charts/longshore",
            "--namespace",
            "longshore-system",
            "--reuse-values",
        ])
        .args(["--set", &format!("runner.delivery={delivery}"), "--wait", "--timeout", "2m"])
        .output()
        .expect("helm is in PATH: `make test` and `make -s cluster-env` put it there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn actions_run_with_a_runner_that_an_init_container_copies() {
    let _alone = alone().await;
    deliver_by("init-container");
    let outcome = AssertUnwindSafe(in_namespace(async |namespace| {
        namespace.secret("token", json!({"token": "not-for-the-log"})).await;
        let hello = namespace
            .apply("hello", Action::script("echo hello; echo a=1 >> \"$LONGSHORE_OUTPUT\"").outputs(&["a"]))
            .await;
        let failing = namespace.apply("failing", Action::script("echo failing; exit 3")).await;
        let masking = namespace
            .apply(
                "masking",
                Action::script("echo \"the token is $TOKEN\"")
                    .with("variables", json!([from_secret("TOKEN", "token", "token")]))
                    .with("resources", json!({"limits": {"cpu": "500m", "memory": "64Mi"}})),
            )
            .await;
        let done = hello.finished().await;
        done.assert_succeeded().assert_tail_has(&["hello\n"]);
        assert_eq!(done.output("a"), "1");
        failing.finished().await.assert_failed(Reason::ScriptFailed, Some(3)).assert_tail_has(&["failing\n"]);
        masking.finished().await.assert_succeeded().assert_tail_has(&["the token is ***\n"]);

        for action in [&hello, &masking] {
            let spec = action.pod().await.spec.unwrap();
            let names: Vec<_> = spec.init_containers.iter().flatten().map(|one| one.name.as_str()).collect();
            assert_eq!(names, ["install-runner"]);
            assert!(spec.volumes.unwrap().iter().all(|volume| volume.image.is_none()));
        }
        // An image as a package is fetched where no node mounts it.
        let repository = format!("packages/{}", namespace.name);
        let reference = registry::Image::static_program().push(&repository, "amd64").await;
        let package = Action::script("\"$LONGSHORE_PACKAGES/program/program\"")
            .with("packages", json!([{"name": "program", "reference": reference}]));
        let package = namespace.apply("package", package).await;
        package.finished().await.assert_succeeded().assert_tail_has(&[registry::PROGRAM_SAYS]);
        let spec = package.pod().await.spec.unwrap();
        let names: Vec<_> = spec.init_containers.iter().flatten().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["install-runner", "longshore-fetch"]);
        assert!(spec.volumes.unwrap().iter().all(|volume| volume.image.is_none()));

        // Pulling the runner's image is a part of a start that may fail.
        let lost = namespace
            .apply(
                "lost",
                Action::script("echo hello")
                    .with("variables", json!([from_secret("TOKEN", "absent", "token")]))
                    .with("pendingDeadlineSeconds", 6),
            )
            .await;
        lost.finished().await.assert_failed(Reason::SecretMissing, None).assert_says(&["absent"]);
    }))
    .catch_unwind()
    .await;
    let outcome = match outcome {
        Ok(()) => AssertUnwindSafe(Box::pin(every_image())).catch_unwind().await,
        failed => failed,
    };
    deliver_by("auto");
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// The same matrix as with image volumes.
async fn every_image() {
    futures::join!(
        in_namespace(async |namespace| matrix::row(namespace, "Restricted").await),
        in_namespace(async |namespace| matrix::row(namespace, "UserNamespaceRoot").await),
        in_namespace(async |namespace| matrix::row(namespace, "Baseline").await),
    );
}
