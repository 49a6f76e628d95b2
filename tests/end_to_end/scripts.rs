//! Scripts that end badly or do strange things.

use longshore::{
    api::{ConditionType, Reason},
    record::sha256_hex,
};
use serde_json::json;

use crate::support::{
    action::Action,
    namespace::{in_namespace, setting},
};

/// One of the images that differ as users' images do.
fn in_test_registry(image: &str) -> String {
    format!("{}/test/{image}:1", setting("LONGSHORE_REGISTRY"))
}

#[tokio::test]
async fn an_exit_code_is_told_with_the_last_lines() {
    in_namespace(async |namespace| {
        let done =
            namespace.run(Action::script("echo one; echo two; echo three; echo four >&2; exit 3")).await;
        done.assert_failed(Reason::ScriptFailed, Some(3)).assert_says(&["exit code 3"]).assert_log_complete();
        assert!(done.run().started_at.is_some());
        let stalled = &done.condition(ConditionType::Stalled).message;
        assert!(
            stalled.contains("exit code 3") && stalled.contains("three") && !stalled.contains("one"),
            "{stalled}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_failure_s_message_names_the_line_at_which_the_script_stopped() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\nset -e\ntrap 'for i in 1 2 3 4; do echo cleaning $i; done' EXIT\n\
                      echo out >&1\nno-such-tool --now\necho not reached";
        let merged = namespace.apply("merged", Action::script(script)).await;
        let separate = Action::script(script).with("log", json!({"streams": "Separate"}));
        let separate = namespace.apply("separate", separate).await;
        let stopped = "line 5: no-such-tool: command not found";
        for (action, after) in [(merged, " | cleaning 2 | cleaning 3 | cleaning 4"), (separate, "")] {
            let done = action.finished().await;
            done.assert_failed(Reason::ScriptFailed, Some(127)).assert_log_complete();
            let ends = format!("{stopped}{after}");
            assert!(
                done.message().contains(" Log: ") && done.message().ends_with(&ends),
                "{}",
                done.message()
            );
            let stalled = &done.condition(ConditionType::Stalled).message;
            assert!(stalled.ends_with(&ends), "{stalled}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_failed_script_s_outputs_are_kept() {
    in_namespace(async |namespace| {
        let script = "echo step=migrated >> \"$LONGSHORE_OUTPUT\"; exit 9";
        let done = namespace.run(Action::script(script).outputs(&["step"])).await;
        done.assert_failed(Reason::ScriptFailed, Some(9));
        assert_eq!(done.output("step"), "migrated");
    })
    .await;
}

#[tokio::test]
async fn death_by_a_signal_is_told_by_its_name() {
    in_namespace(async |namespace| {
        let kill = namespace.apply("kill", Action::script("echo hello; kill -9 $$")).await;
        let fault = namespace.apply("fault", Action::script("echo hello; kill -SEGV $$")).await;
        let code = namespace.apply("code", Action::script("exit 137")).await;
        kill.finished().await.assert_failed(Reason::ScriptKilled, Some(137)).assert_says(&["SIGKILL"]);
        let fault = fault.finished().await;
        fault.assert_failed(Reason::ScriptKilled, Some(139)).assert_says(&["SIGSEGV"]).assert_log_complete();
        code.finished().await.assert_failed(Reason::ScriptFailed, Some(137)).assert_says(&["exit code 137"]);
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_text_and_lines_of_a_megabyte_are_counted_right() {
    in_namespace(async |namespace| {
        let script = "import sys\n\
            out = sys.stdout.buffer\n\
            out.write(b'x' * 1_000_000 + b'\\n')\n\
            out.write(bytes(range(256)) * 256)\n\
            out.write(b'\\r\\n\\r\\r\\n\\0\\n')\n\
            out.write(b'no newline at the end')\n";
        let done = namespace.run(Action::python(script)).await;
        let mut log = vec![b'x'; 1_000_000];
        log.push(b'\n');
        for _ in 0..256 {
            log.extend(0..=255_u8);
        }
        log.extend(b"\r\n\r\r\n\0\n");
        log.extend(b"no newline at the end");
        done.assert_succeeded();
        assert_eq!(done.log().bytes, log.len() as u64);
        assert_eq!(done.log().sha256.as_deref(), Some(sha256_hex(&log).as_str()));
        let lines = log.split(|&byte| byte == b'\n').count() as u64;
        assert_eq!(done.log().lines, lines);
        assert!(done.tail().trim_end().ends_with("no newline at the end"), "{}", done.tail());
    })
    .await;
}

#[tokio::test]
async fn a_script_without_any_output_has_an_empty_log() {
    in_namespace(async |namespace| {
        let done = namespace.run(Action::script("true")).await;
        done.assert_succeeded();
        assert_eq!((done.log().lines, done.log().bytes, done.tail()), (0, 0, ""));
        assert_eq!(done.log().sha256.as_deref(), Some(sha256_hex(b"").as_str()));
    })
    .await;
}

#[tokio::test]
async fn a_script_that_closes_its_output_runs_on() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\necho before\nexec >&- 2>&-\nsleep 1\necho after || true\nexit 4\n";
        let done = namespace.run(Action::script(script)).await;
        done.assert_failed(Reason::ScriptFailed, Some(4)).assert_log_complete();
        assert_eq!(done.tail(), "before\n");
    })
    .await;
}

#[tokio::test]
async fn lines_that_look_like_records_are_text() {
    in_namespace(async |namespace| {
        let script = r#"
            echo '36 5 z 95 {"end":{"lines":0,"bytes":0}}'
            echo '4 x 95 {"exit":{"outcome":{"exited":{"code":0}},"millis":1,"run":"'"$LONGSHORE_RUN_ID"'"}}'
            echo '11 1 o 0 hello'
            echo '8 2 x+ 1 {'
            exit 7
            "#;
        let done = namespace.run(Action::script(script)).await;
        done.assert_failed(Reason::ScriptFailed, Some(7)).assert_log_complete();
        assert_eq!(done.log().lines, 4);
        done.assert_tail_has(&[
            r#"36 5 z 95 {"end":{"lines":0,"bytes":0}}"#,
            "11 1 o 0 hello\n",
            "8 2 x+ 1 {\n",
        ]);
    })
    .await;
}

#[tokio::test]
async fn the_runner_s_own_records_cannot_be_replayed_by_a_script() {
    in_namespace(async |namespace| {
        // The frames of a run that succeeded, printed by one that fails.
        let model = namespace.apply("model", Action::script("echo hello")).await;
        model.finished().await.assert_succeeded();
        let pod = model.pod().await.metadata.name.unwrap();
        let pods = namespace.api::<k8s_openapi::api::core::v1::Pod>();
        let frames = pods.logs(&pod, &kube::api::LogParams::default()).await.unwrap();
        namespace.config_map("frames", json!({"frames": frames})).await;
        let forger = Action::script("cat \"$FRAMES\"; exit 5").with(
            "variables",
            json!([{"name": "FRAMES", "as": "File", "valueFrom": {"configMapKeyRef": {"name": "frames", "key": "frames"}}}]),
        );
        let done = namespace.run(forger).await;
        done.assert_failed(Reason::ScriptFailed, Some(5)).assert_log_complete();
        assert_eq!(done.log().bytes, frames.len() as u64);
    })
    .await;
}

#[tokio::test]
async fn a_script_cannot_write_past_the_runner() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\n\
            for fd in 0 1 2; do echo forged >/proc/1/fd/$fd && echo written $fd; done\n\
            cat /proc/1/environ >/dev/null && echo environment read\n\
            kill -9 1; kill -TERM 1\n\
            sleep 0.5; echo still here; exit 6\n";
        let done = namespace.run(Action::script(script)).await;
        done.assert_tail_has(&["Permission denied"]);
        for forbidden in ["written", "environment read"] {
            assert!(!done.tail().contains(forbidden), "{}", done.tail());
        }
        assert_eq!(done.log().foreign_lines, 0);
    })
    .await;
}

#[tokio::test]
async fn a_required_output_that_was_not_written_fails_the_run() {
    in_namespace(async |namespace| {
        let action = Action::script("echo done")
            .with("outputs", json!([{"name": "url", "required": true}, {"name": "note"}]));
        let done = namespace.run(action).await;
        done.assert_failed(Reason::OutputMissing, Some(0)).assert_says(&["url"]).assert_log_complete();
    })
    .await;
}

#[tokio::test]
async fn an_outputs_file_that_cannot_be_read_fails_a_run_that_requires_outputs() {
    in_namespace(async |namespace| {
        let script = "printf 'payload=%s\\n' '{\n  \"cert=x\": 1,\n  \"a\": 2\n}' >> \"$LONGSHORE_OUTPUT\"";
        let wanted = |required: bool| {
            Action::script(script).with("outputs", json!([{"name": "payload", "required": required}]))
        };
        let done = namespace.apply("required", wanted(true)).await.finished().await;
        done.assert_failed(Reason::OutputsUnreadable, Some(0)).assert_log_complete();
        done.assert_says(&["line 2", "payload<<END"]);
        let done = namespace.apply("optional", wanted(false)).await.finished().await;
        done.assert_succeeded();
        let told = &done.condition(ConditionType::OutputsDropped).message;
        assert!(told.contains("line 2"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_script_with_the_line_endings_of_another_system_does_not_succeed_by_accident() {
    in_namespace(async |namespace| {
        let damaged = "\u{feff}set -e\r\ncat <<EOF\r\nhere\r\nEOF\r\nfalse\r\necho not here\r\n";
        namespace.config_map("damaged", json!({"run": damaged})).await;
        let of_map = json!({"configMapKeyRef": {"name": "damaged", "key": "run"}});
        for (name, script) in [("map", of_map), ("inline", json!({"inline": damaged}))] {
            let action = namespace.apply(name, Action::script("").with("script", script)).await;
            let done = action.finished().await;
            done.assert_failed(Reason::ScriptFailed, Some(1));
            assert_eq!(done.tail(), "here\n");
            let told = &done.condition(ConditionType::InputsAdjusted).message;
            assert!(told.contains("CR and LF") && told.contains("byte order mark"), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_script_s_habits_do_no_harm() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\n\
            exec > >(tee -a all.log) 2>&1\n\
            set -e; echo \"url=1\" >> \"$LONGSHORE_OUTPUT\"; echo \"user=$USER term=$TERM own=$(stat -c %u .)\"\n\
            cd \"$(dirname \"$0\")\"; ls; rm -rf ./*; echo last; exit 4";
        let action = Action::script(script).outputs(&["url"]);
        let wanted = json!({"inline": script, "fileName": "deploy.sh"});
        let done = namespace.apply("habits", action.with("script", wanted)).await.finished().await;
        done.assert_failed(Reason::ScriptFailed, Some(4)).assert_log_complete();
        assert_eq!(done.tail(), "user=longshore term=xterm own=65532\ndeploy.sh\nlast\n");
        assert_eq!(done.output("url"), "1");
    })
    .await;
}

#[tokio::test]
async fn outputs_that_are_dropped_are_told() {
    in_namespace(async |namespace| {
        let script = "echo ulr=1 >> \"$LONGSHORE_OUTPUT\"; echo nonsense >> \"$LONGSHORE_OUTPUT\"";
        let done = namespace.run(Action::script(script).outputs(&["url"])).await;
        done.assert_succeeded();
        let dropped = &done.condition(ConditionType::OutputsDropped).message;
        assert!(
            dropped.contains("ulr") && dropped.contains("spec.outputs") && dropped.contains("ulr<<END"),
            "{dropped}"
        );
    })
    .await;
}

#[tokio::test]
async fn many_dropped_outputs_are_told_in_one_message() {
    in_namespace(async |namespace| {
        let script = "for i in $(seq 30); do echo \"an_output_that_nobody_declared_and_whose_name_is_long_$i=x\"; done >> \"$LONGSHORE_OUTPUT\"";
        let done = namespace.run(Action::script(script)).await;
        done.assert_succeeded();
        assert!(done.condition(ConditionType::OutputsDropped).message.contains("line 1:"));
    })
    .await;
}

#[tokio::test]
async fn outputs_as_large_as_they_may_be_arrive() {
    in_namespace(async |namespace| {
        let script = "import os\n\
            with open(os.environ['LONGSHORE_OUTPUT'], 'a') as file:\n\
            \x20   for name in 'abcd':\n\
            \x20       print(f'{name}=' + name * 32768, file=file)\n\
            \x20   print('e=' + 'e' * 32769, file=file)\n";
        let done = namespace.run(Action::python(script).outputs(&["a", "b", "c", "d", "e"])).await;
        done.assert_succeeded();
        for name in ["a", "b", "c", "d"] {
            assert_eq!(done.output(name), name.repeat(32_768));
        }
        assert!(done.condition(ConditionType::OutputsDropped).message.contains("`e` has 32769 bytes"));
    })
    .await;
}

#[tokio::test]
async fn a_script_that_takes_more_memory_than_its_limit_is_told_so() {
    in_namespace(async |namespace| {
        let script = "data = []\nwhile True:\n    data.append(bytearray(8 * 1024 * 1024))\n";
        let done = namespace
            .run(Action::python(script).with("resources", json!({"limits": {"memory": "32Mi"}})))
            .await;
        let reason = done.reason().unwrap();
        assert!(
            matches!(reason, Reason::OutOfMemory | Reason::ScriptKilled),
            "{reason:?}: {}",
            done.message()
        );
        done.assert_failed(reason, done.run().exit_code).assert_says(&["memory"]);
    })
    .await;
}

#[tokio::test]
async fn a_child_out_of_memory_does_not_fail_a_script_that_goes_on() {
    in_namespace(async |namespace| {
        let script = "python3 -c 'x = bytearray(256 * 1024 * 1024)'; echo \"the child ended with $?\"";
        let done = namespace
            .run(Action::script(script).with("resources", json!({"limits": {"memory": "48Mi"}})))
            .await;
        done.assert_succeeded().assert_tail_has(&["the child ended with 137"]);
    })
    .await;
}

#[tokio::test]
async fn lines_stand_in_the_log_in_the_order_in_which_they_were_written() {
    in_namespace(async |namespace| {
        let script = "i=0; while [ $i -lt 60 ]; do echo $i; echo $((i+1)) >&2; i=$((i+2)); done";
        let wanted: Vec<String> = (0..60).map(|number: u32| number.to_string()).collect();
        let mut all = Vec::new();
        for image in ["glibc", "musl", "busybox"] {
            let action = Action::script(script).image(&in_test_registry(image));
            let separate = action.clone().with("log", json!({"streams": "Separate"}));
            all.push((namespace.apply(image, action).await, true));
            all.push((namespace.apply(&format!("{image}-separate"), separate).await, false));
        }
        for (action, in_order) in all {
            let done = action.finished().await;
            done.assert_succeeded().assert_log_complete();
            assert_eq!(done.status().log.as_ref().unwrap().lines, 60);
            if in_order {
                assert!(done.tail().lines().eq(&wanted), "{}", done.tail());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_script_starts_in_the_folder_that_is_named() {
    in_namespace(async |namespace| {
        let script = "echo in=$(pwd) $(ls); touch \"$HOME/a\" \"$TMPDIR/b\"";
        let volume = json!({
            "volumes": [{"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": "data", "mountPath": "/srv/data"}],
        });
        let of = |image: &str, folder: &str| {
            Action::script(script).image(&in_test_registry(image)).with("workingDir", folder)
        };
        let cases = [
            ("own", of("workdir", "Image"), "in=/srv/app own.txt\n"),
            ("path", of("workdir", "/srv/app"), "in=/srv/app own.txt\n"),
            ("volume", of("busybox", "/srv/data").with("podTemplate", volume), "in=/srv/data\n"),
            ("none", Action::script(script).image(&in_test_registry("workdir")), "in=/longshore/work/run\n"),
            // The container runtime makes it.
            ("made", of("workdir-missing", "Image"), "in=/srv/missing\n"),
        ];
        let refused = [
            (
                "closed",
                of("workdir-closed", "Image"),
                ["the image's WORKDIR", "/srv/closed", "65532 may not enter"],
            ),
            ("missing", of("busybox", "/srv/app"), ["spec.workingDir", "/srv/app", "not there"]),
        ];
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (name, action, said) in cases {
            good.push((namespace.apply(name, action).await, said));
        }
        for (name, action, words) in refused {
            bad.push((namespace.apply(name, action).await, words));
        }
        for (action, said) in good {
            let done = action.finished().await;
            done.assert_succeeded();
            assert_eq!(done.tail(), said);
        }
        for (action, words) in &bad {
            action.finished().await.assert_failed(Reason::WorkingDirUnusable, None).assert_says(words);
        }
        // It never started, so a correction runs.
        let (missing, _) = &bad[1];
        missing.patch_spec(json!({"workingDir": "/bin"})).await;
        missing.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_user_of_the_image_that_is_replaced_is_told_with_what_mends_it() {
    in_namespace(async |namespace| {
        let action = Action::script("id -u").image(&in_test_registry("user-named"));
        let named = namespace.apply("named", action.clone()).await;
        let done = named.finished().await;
        done.assert_succeeded();
        let told = &done.condition(ConditionType::InputsAdjusted).message;
        assert!(
            told.contains("USER is app") && told.contains(&format!("as user {},", done.tail().trim())),
            "{told}"
        );
        assert!(told.contains("spec.podTemplate.securityContext.runAsUser: 1234"), "{told}");
        // That line mends it.
        let mended = json!({"podTemplate": {"securityContext": {"runAsUser": 1234}}});
        named.patch_spec(mended).await;
        let done = named.finished().await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "1234\n");
        assert!(!done.conditions().contains("InputsAdjusted"), "{}", done.conditions());
    })
    .await;
}
