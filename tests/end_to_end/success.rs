//! Runs that end well, and their status.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use longshore::{
    api::{ConditionType, status::Trigger},
    record::sha256_hex,
};
use serde_json::json;

use crate::support::{
    action::Action,
    namespace::{examples_image, in_namespace, setting, until, within},
    registry::{Image, PROGRAM_SAYS, Registry},
};

#[tokio::test]
async fn outputs_log_and_run_are_in_the_status() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\n\
            echo one\n\
            echo two >&2\n\
            echo url=https://example.com/a=b >> \"$LONGSHORE_OUTPUT\"\n\
            printf 'report<<END\\nfirst\\n  second\\nEND\\n' >> \"$LONGSHORE_OUTPUT\"\n";
        let done = namespace.run(Action::script(script).outputs(&["url", "report", "unwritten"])).await;
        done.assert_succeeded();
        assert_eq!(done.output("url"), "https://example.com/a=b");
        assert_eq!(done.output("report"), "first\n  second");
        assert_eq!(done.status().outputs.len(), 2);
        assert_eq!((done.log().lines, done.log().bytes), (2, 8));
        let mut lines: Vec<&str> = done.tail().lines().collect();
        // Which of the two pipes is read first is nobody's promise.
        lines.sort_unstable();
        assert_eq!(lines, ["one", "two"]);
        let run = done.run();
        assert_eq!((run.number, run.attempt, run.generation), (1, 1, 1));
        assert_eq!(run.trigger, Trigger::Created);
        assert!(run.started_at.is_some() && run.finished_at.is_some() && run.duration_seconds.is_some());
        assert!(done.condition(ConditionType::Succeeded).message.contains("exit code 0"));
    })
    .await;
}

#[tokio::test]
async fn a_log_s_lines_bytes_and_hash_are_the_script_s() {
    in_namespace(async |namespace| {
        let done = namespace
            .run(Action::script(
                "i=1; while [ $i -le 3000 ]; do echo \"line $i of a log that is longer than its tail\"; i=$((i + 1)); done",
            ))
            .await;
        let line = |number: u32| format!("line {number} of a log that is longer than its tail\n");
        let log = (1..=3000).map(line).collect::<Vec<_>>().concat();
        done.assert_succeeded();
        assert_eq!((done.log().lines, done.log().bytes), (3000, log.len() as u64));
        assert_eq!(done.log().sha256.as_deref(), Some(sha256_hex(log.as_bytes()).as_str()));
        assert!(log.ends_with(done.tail()) && done.tail().starts_with("line "), "{}", done.tail());
        assert!((16_000..=16_384).contains(&done.tail().len()), "{}", done.tail().len());
    })
    .await;
}

#[tokio::test]
async fn the_image_is_pinned_to_the_registry_s_digest() {
    in_namespace(async |namespace| {
        let action = namespace.apply("pinned", Action::script("echo hello; sleep 1")).await;
        let done = action.finished().await;
        done.assert_succeeded();
        let digest = Registry::new().digest("examples", "0.1.0").await;
        let pinned = format!("{}/examples@{digest}", setting("LONGSHORE_REGISTRY"));
        assert_eq!(done.image().requested, examples_image());
        assert_eq!(done.image().resolved, pinned);
        assert_eq!(done.image().running.as_deref(), Some(pinned.as_str()));
        let pod = action.pod().await;
        assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some(pinned.as_str()));
    })
    .await;
}

#[tokio::test]
async fn an_image_named_by_its_digest_runs() {
    in_namespace(async |namespace| {
        let digest = Registry::new().digest("examples", "0.1.0").await;
        let image = format!("{}/examples@{digest}", setting("LONGSHORE_REGISTRY"));
        let done = namespace.run(Action::script("echo hello").image(&image)).await;
        done.assert_succeeded();
        assert_eq!(done.image().resolved, image);
    })
    .await;
}

#[tokio::test]
async fn the_verdict_does_not_wait_for_the_pod() {
    in_namespace(async |namespace| {
        let mut earlier = 0;
        for number in 0..3 {
            let action = namespace.apply(&format!("quick-{number}"), Action::script("echo hello")).await;
            action.until("finished", crate::support::action::Done::is_finished).await.assert_succeeded();
            let phase = action.pod().await.status.and_then(|status| status.phase);
            earlier += u32::from(phase.as_deref() == Some("Running"));
        }
        assert!(earlier > 0, "each pod had ended before its action was finished");
    })
    .await;
}

#[tokio::test]
async fn python_runs_by_list_and_by_first_line() {
    in_namespace(async |namespace| {
        let list =
            namespace.apply("list", Action::python("import sys\nprint(sys.version_info.major + 40)")).await;
        let line = namespace
            .apply("line", Action::script("#!/usr/bin/env -S python3 -u\nimport os\nprint(os.getpid() > 1)"))
            .await;
        list.finished().await.assert_succeeded().assert_tail_has(&["43"]);
        line.finished().await.assert_succeeded().assert_tail_has(&["True"]);
    })
    .await;
}

#[tokio::test]
async fn a_command_runs_with_its_arguments_unexpanded() {
    in_namespace(async |namespace| {
        let command =
            Action::command(&["printf", "<%s>\\n", "$HOME"]).with("args", json!(["$(HOME)", "a b", "*"]));
        let done = namespace.run(command).await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "<$HOME>\n<$(HOME)>\n<a b>\n<*>\n");
    })
    .await;
}

#[tokio::test]
async fn an_image_without_libc_and_shell_runs_its_program() {
    in_namespace(async |namespace| {
        let image = Image::static_program().push("tests/static-program", "amd64").await;
        let done = namespace.run(Action::command(&["/program"]).image(&image)).await;
        done.assert_succeeded().assert_tail_has(&[PROGRAM_SAYS]);
    })
    .await;
}

#[tokio::test]
async fn a_script_runs_as_the_image_s_user_unless_that_is_root() {
    in_namespace(async |namespace| {
        for (user, expected) in
            [("1000", 1000), ("1000:3000", 1000), ("", 65532), ("0", 65532), ("nobody", 65532)]
        {
            let name =
                format!("user-{}", if user.is_empty() { "none".into() } else { user.replace(':', "-") });
            let image = Image::static_program().user(user).push(&format!("tests/{name}"), "amd64").await;
            let action = namespace.apply(&name, Action::command(&["/program"]).image(&image)).await;
            let done = action.finished().await;
            done.assert_succeeded();
            assert_eq!(done.image().run_as_user, Some(expected), "{user:?}");
            let security = action.pod().await.spec.unwrap().security_context.unwrap();
            assert_eq!(security.run_as_user, Some(expected), "{user:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_pod_is_restricted_and_has_what_the_action_says() {
    in_namespace(async |namespace| {
        let script = "id -u; id -g; touch /etc/x 2>&1; grep -i -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status";
        let action = namespace
            .apply(
                "placed",
                Action::script(script)
                    .with("resources", json!({"requests": {"cpu": "50m"}, "limits": {"cpu": 1, "memory": "128Mi"}}))
                    .with("terminationGracePeriodSeconds", 7)
                    .with(
                        "podTemplate",
                        json!({
                            "metadata": {"labels": {"team": "orders"}, "annotations": {"example.com/note": "hello"}},
                            "nodeSelector": {"kubernetes.io/os": "linux"},
                            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                                "weight": 1,
                                "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                            }]}},
                        }),
                    ),
            )
            .await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["65532\n0\n", "Read-only file system", "CapEff:"]);
        assert!(done.tail().contains("NoNewPrivs:    1") && done.tail().contains("Seccomp:    2"), "{}", done.tail());
        let pod = action.pod().await;
        assert_eq!(pod.metadata.labels.as_ref().unwrap()["team"], "orders");
        assert_eq!(pod.metadata.labels.as_ref().unwrap()["longshore.dev/action"], "placed");
        assert_eq!(pod.metadata.annotations.as_ref().unwrap()["example.com/note"], "hello");
        let spec = pod.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert!(spec.tolerations.unwrap().iter().any(|toleration| toleration.key.as_deref() == Some("dedicated")));
        assert!(spec.affinity.unwrap().node_affinity.is_some());
        assert_eq!(spec.node_selector.unwrap()["kubernetes.io/os"], "linux");
        let resources = spec.containers[0].resources.clone().unwrap();
        assert_eq!(resources.limits.as_ref().unwrap()["memory"].0, "128Mi");
        assert_eq!(resources.limits.unwrap()["cpu"].0, "1");
        assert_eq!(resources.requests.unwrap()["cpu"].0, "50m");
    })
    .await;
}

#[tokio::test]
async fn a_namespace_made_in_the_same_moment_is_no_hindrance() {
    // As `kubectl apply` of one file does: the default service account is not there yet.
    in_namespace(async |namespace| {
        let other = namespace.sibling().await;
        let outcome = other.apply("early", Action::script("echo hello")).await;
        let done = until("finished", async || {
            let done = crate::support::action::Done::of(outcome.get().await);
            (done.is_finished() && done.is_seen()).then_some(done)
        })
        .await;
        other.remove().await;
        done.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn children_left_behind_are_ended_with_the_script() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\n\
            sleep 1000 &\n\
            setsid sleep 1000 &\n\
            nohup sleep 1000 >/dev/null 2>&1 &\n\
            setsid bash -c 'trap \"\" TERM HUP; while :; do sleep 1; done' &\n\
            echo parent is done\n";
        let action = namespace.apply("parent", Action::script(script)).await;
        action.finished().await.assert_succeeded().assert_tail_has(&["parent is done"]);
        within(Duration::from_secs(20), "the pod has ended", async || {
            let pod: Pod = action.pod().await;
            (pod.status?.phase? == "Succeeded").then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_script_has_a_trace_parent_that_an_action_may_replace() {
    in_namespace(async |namespace| {
        let script = "printenv TRACEPARENT";
        let done = namespace.apply("given", Action::script(script)).await.finished().await;
        done.assert_succeeded();
        let parent = done.tail().trim_end().to_owned();
        assert!(parent.len() == 55 && parent.starts_with("00-") && parent.ends_with("-01"), "{parent}");
        let own = Action::script(script).with("variables", json!([{"name": "TRACEPARENT", "value": "mine"}]));
        let own = namespace.apply("own", own).await;
        assert_eq!(own.finished().await.tail(), "mine\n");
    })
    .await;
}

#[tokio::test]
async fn events_tell_of_a_run_s_start_and_end() {
    in_namespace(async |namespace| {
        let action = namespace.apply("told", Action::script("sleep 1; exit 3")).await;
        action.finished().await;
        let events = until("both events are there", async || {
            let all = namespace.api::<Event>().list(&ListParams::default()).await.unwrap().items;
            let of: Vec<Event> = all
                .into_iter()
                .filter(|event| event.involved_object.kind.as_deref() == Some("DeploymentAction"))
                .collect();
            (of.len() >= 2).then_some(of)
        })
        .await;
        let told =
            |reason: &str| events.iter().find(|event| event.reason.as_deref() == Some(reason)).unwrap();
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(told("Started").message.as_ref().unwrap().contains("@sha256:"));
        let end = told("ScriptFailed");
        assert_eq!(end.type_.as_deref(), Some("Warning"));
        assert!(end.message.as_ref().unwrap().starts_with("Run 1: the script ended with exit code 3"));
    })
    .await;
}

#[tokio::test]
async fn the_operator_s_log_names_action_and_run() {
    in_namespace(async |namespace| {
        let done = namespace.apply("logged", Action::script("exit 3")).await.finished().await;
        let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), "longshore-system");
        let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
        // Whichever replica leads. It logs the end once the status is stored.
        let end = until("the operator's log has the run's end", async || {
            let mut lines = Vec::new();
            for pod in pods.list(&labels).await.expect("listing pods") {
                let log = pods.logs(&pod.name_any(), &LogParams::default()).await.unwrap_or_default();
                lines.extend(log.lines().filter(|line| line.contains(&namespace.name)).map(str::to_owned));
            }
            let mut ends = lines.into_iter().filter(|line| line.contains("run finished"));
            let end = ends.next()?;
            assert_eq!(ends.next(), None, "beside {end}");
            Some(end)
        })
        .await;
        let run = format!("run=\"{}\"", done.run().id);
        assert_eq!(end.matches("run=").count(), 1, "{end}");
        for words in [run.as_str(), "action=logged ", "reason=ScriptFailed", "exit_code=3"] {
            assert!(end.contains(words), "{words} is not in {end}");
        }
    })
    .await;
}
