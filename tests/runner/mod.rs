//! The runner as a process: what scripts may do to it, and what it reports of them.
//!
//! Some of it needs a PID namespace; `unshare` gives one, with root or with user namespaces.

mod files;
mod hostile;
mod left_behind;
mod masking;
mod masking_fuzz;
mod mounted_script;
mod sandbox;
mod sensitive;
mod stop_signals;
mod variables_from;
mod whole_log;

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use longshore::{
    record::{
        bundle::{Package, Program, WorkingDir},
        frame::{Ending, Kind},
        outcome::{OutOfMemory, Outcome, Problem, Stop, StopCause},
        place,
    },
    runner::{BUNDLE_UNUSABLE, CANNOT_START, INPUT_UNUSABLE, RUNNER_FAILED, STOPPED_BEFORE_START, UNKNOWN},
};
use nix::sys::signal::Signal;
use sandbox::{As, Sandbox, wait_for};

// How it ends.

#[test]
fn a_script_s_output_and_exit_code_are_reported() {
    let script =
        || Sandbox::script("#!/bin/sh\necho out \"$@\"\necho err >&2\nexit 3\n").args(&["a b", "$(c)"]);
    for (told, out, err) in [
        (script().run(), "out a b $(c)\nerr\n", &b""[..]),
        (script().separate().run(), "out a b $(c)\n", &b"err\n"[..]),
    ] {
        told.assert_exited(3);
        assert_eq!((told.out().as_str(), told.stderr.as_slice()), (out, err));
        assert!(told.foreign.is_empty());
    }
}

#[test]
fn a_command_is_run_without_a_shell() {
    let sandbox = Sandbox::command(&["echo", "$HOME"]).args(&["*"]);
    let told = sandbox.run();
    // Its pod has no volume there.
    assert!(!sandbox.at(place::SCRIPT_DIR).exists());
    told.assert_exited(0);
    assert_eq!(told.out(), "$HOME *\n");
}

#[test]
fn death_by_a_signal_is_told_from_an_exit_code() {
    Sandbox::script("kill -9 $$").run().assert_signaled(9);
    Sandbox::script("exit 137").run().assert_exited(137);
    // A real-time signal, which has no name.
    Sandbox::script("kill -40 $$").run().assert_signaled(40);
}

#[test]
fn a_reserved_exit_code_of_the_script_is_the_script_s() {
    Sandbox::script("exit 243").run().assert_exited(243);
}

#[test]
fn children_left_behind_with_the_pipe_open_do_not_hold_the_run() {
    for how in [As::Process, As::Pid1] {
        let begun = Instant::now();
        let told = Sandbox::script("sleep 1000 & echo done").run_as(how);
        told.assert_exited(0);
        assert_eq!(told.out(), "done\n");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn as_pid_1_children_in_other_sessions_die_with_the_script() {
    let begun = Instant::now();
    let told =
        Sandbox::script("setsid sh -c 'trap \"\" TERM HUP; sleep 1000; sleep 1000' & sleep 0.2; echo done")
            .run_as(As::Pid1);
    told.assert_exited(0);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn elsewhere_only_the_script_s_group_dies_and_the_runner_still_ends() {
    let sandbox =
        Sandbox::script("setsid sh -c 'echo $$ > stranger; exec sleep 1000' & sleep 0.3; echo done");
    let told = sandbox.run();
    told.assert_exited(0);
    let pid: i32 =
        fs::read_to_string(sandbox.at("longshore/work/run/stranger")).unwrap().trim().parse().unwrap();
    // It is still there: outside a PID namespace of its own the runner must not reach that far.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn as_pid_1_zombies_are_reaped() {
    let told = Sandbox::script(
        "for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 1' &); (sh -c 'kill -41 $$' &); done; sleep 0.5\n\
         cat /proc/[0-9]*/stat | grep -c ' Z '",
    )
    .run_as(As::Pid1);
    assert_eq!(told.out(), "0\n");
}

// What it prints.

#[test]
fn binary_output_comes_back_byte_by_byte() {
    let told = Sandbox::script("printf '\\000\\377\\001\\n\\000a\\r\\nb\\\\\\r\\n\\303'").run();
    told.assert_exited(0);
    assert_eq!(told.stdout, b"\0\xff\x01\n\0a\r\nb\\\r\n\xc3");
}

#[test]
fn a_last_line_without_a_newline_says_so() {
    let told = Sandbox::script("printf 'one\\ntwo'").run();
    assert_eq!(told.stdout, b"one\ntwo");
    assert!(told.kinds.contains(&(Kind::Both, Ending::NoNewline)));
    assert_eq!(told.end.as_ref().map(|end| end.lines), Some(2));
}

#[test]
fn a_line_of_a_megabyte_comes_in_parts() {
    let told = Sandbox::script("head -c 1048576 /dev/zero | tr '\\0' x; echo").run();
    told.assert_exited(0);
    assert_eq!(told.stdout, [b"x".repeat(1 << 20), b"\n".to_vec()].concat());
    assert!(told.kinds.iter().filter(|frame| frame.1 == Ending::Continued).count() > 60);
}

#[test]
fn a_line_of_a_hundred_megabytes_is_one_line() {
    let told = Sandbox::script("head -c 100000000 /dev/zero | tr '\\0' x").limits(600, 20).run();
    told.assert_exited(0);
    assert!(told.stdout.len() == 100_000_000 && told.stdout.iter().all(|&byte| byte == b'x'));
    assert_eq!(told.end.as_ref().map(|end| (end.lines, end.bytes)), Some((1, 100_000_000)));
}

#[test]
fn progress_bars_and_colours_come_back_byte_by_byte() {
    let told =
        Sandbox::script("printf '1%%\\r2%%\\r\\033[32m100%%\\033[0m\\033]0;title\\007\\r\\n\\r'").run();
    told.assert_exited(0);
    assert_eq!(told.stdout, b"1%\r2%\r\x1b[32m100%\x1b[0m\x1b]0;title\x07\r\n\r");
}

#[test]
fn a_hundred_megabytes_come_back_whole() {
    let told = Sandbox::script(&format!("yes {} | head -c 100000000", "y".repeat(99))).limits(600, 20).run();
    told.assert_exited(0);
    assert_eq!(told.stdout.len(), 100_000_000);
    assert_eq!(told.end.as_ref().map(|end| end.lines), Some(1_000_000));
}

#[test]
fn lines_come_in_the_order_in_which_they_were_written() {
    let shell = "i=0; while [ $i -lt 4000 ]; do echo $i; echo $((i+1)) >&2; i=$((i+2)); done";
    let python =
        "import os\nfor i in range(0, 4000, 2): os.write(1, b'%d\\n' % i), os.write(2, b'%d\\n' % (i+1))";
    let wanted: Vec<String> = (0..4000).map(|number: u32| number.to_string()).collect();
    for (interpreter, text) in
        [(&["/bin/sh"][..], shell), (&["/bin/bash", "-e"], shell), (&["/usr/bin/python3"], python)]
    {
        let told = Sandbox::script(text).interpreter(interpreter).run_as(As::UnprivilegedPid1);
        told.assert_exited(0);
        assert!(told.out().lines().eq(&wanted), "{interpreter:?}");
    }
    // Each by a pipe of its own keeps its own order.
    let told = Sandbox::script(shell).separate().run();
    let odd = |text: &str| {
        text.lines().filter_map(|line| line.parse().ok()).map(|number: u32| number % 2).sum::<u32>()
    };
    let err = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!((odd(&told.out()), odd(&err)), (0, 2000));
    assert!(told.out().lines().is_sorted_by_key(|line| line.parse::<u32>().unwrap()));
}

#[test]
fn one_stream_that_does_not_wait_leaves_the_other_as_it_is() {
    let flags = "import fcntl, os; fcntl.fcntl(2, fcntl.F_SETFL, os.O_NONBLOCK); \
                 print(fcntl.fcntl(1, fcntl.F_GETFL) & os.O_NONBLOCK)";
    for how in [As::Process, As::UnprivilegedPid1] {
        let told = Sandbox::script(flags).interpreter(&["/usr/bin/python3"]).run_as(how);
        assert_eq!(told.out(), "0\n");
    }
}

#[test]
fn both_streams_can_be_opened_by_name() {
    let script =
        "echo 1 > /dev/stdout; echo 2 > /dev/stderr; echo 3 | tee /dev/fd/2; echo 4 >> /proc/self/fd/1";
    for how in [As::Process, As::UnprivilegedPid1] {
        let told = Sandbox::script(script).run_as(how);
        told.assert_exited(0);
        assert_eq!(told.out(), "1\n2\n3\n3\n4\n");
    }
}

#[test]
fn a_script_may_close_its_output_and_go_on() {
    let sandbox = Sandbox::script("exec >&- 2>&-; sleep 0.3; touch done; exit 4");
    sandbox.run().assert_exited(4);
    assert!(sandbox.at("longshore/work/run/done").exists());
}

#[test]
fn lines_that_look_like_frames_stay_text() {
    let lines = [
        r#"28 9 x 1 {"exit":{"version":1}}"#,
        "6 1 z 0 ",
        r#"83 9 c 1 {"beat":{"made":9,"generation":0,"acked":0,"dropped":[{"first":1,"last":9}]}}"#,
        "24 9 p 0 7 2 o 1 b7 3 o 1 c",
        r#"{"acked":9,"generation":9,"from":1}"#,
    ];
    let told = Sandbox::script(&format!("cat <<'END'\n{}\nEND\n", lines.join("\n"))).run();
    told.assert_exited(0);
    assert_eq!(told.out(), lines.join("\n") + "\n");
}

#[test]
fn a_broken_pipe_ends_the_script_s_own_pipelines() {
    let told = Sandbox::script("yes | head -n 1; echo after").run();
    told.assert_exited(0);
    assert_eq!(told.out(), "y\nafter\n");
}

#[test]
fn a_report_that_nobody_reads_does_not_stop_the_run() {
    let sandbox =
        Sandbox::script("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; touch done; exit 5");
    let mut running = sandbox.start(As::Process);
    drop(running.child.stdout.take());
    assert_eq!(running.child.wait().unwrap().code(), Some(5));
    assert!(sandbox.at("longshore/work/run/done").exists());
    assert!(fs::read_to_string(sandbox.state("exit.json")).unwrap().contains(r#""code":5"#));
}

#[test]
fn a_reader_that_is_stuck_does_not_hold_the_deadline() {
    let sandbox = Sandbox::script("yes").limits(1, 1);
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.state("exit.json"));
    running.wait().assert_signaled(15);
}

#[test]
fn the_runner_s_own_output_is_out_of_the_script_s_reach() {
    let told = Sandbox::script("echo '9 99 x 1 {}' > /proc/1/fd/1; echo $?; cat /proc/1/environ; echo $?")
        .run_as(As::UnprivilegedPid1);
    told.assert_exited(0);
    assert!(told.foreign.is_empty());
    assert!(!told.out().contains("0\n"), "{}", told.out());
}

// When it is stopped.

#[test]
fn past_its_deadline_a_script_is_asked_and_told_why() {
    let told = Sandbox::script("trap 'cat $LONGSHORE_STOP_REASON_FILE; exit 7' TERM; [ -e $LONGSHORE_STOP_REASON_FILE ] || echo none; sleep 100 & wait")
        .limits(1, 20)
        .run();
    told.assert_exited(7);
    assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::RunDeadline, killed: false }));
    assert_eq!(
        told.out(),
        "none\nRunDeadline: the script ran for more than 1 seconds (spec.runDeadlineSeconds)\n"
    );
    assert!(told.exit().millis >= 1000);
}

#[test]
fn a_script_that_does_not_listen_is_killed_after_the_grace() {
    let told = Sandbox::script("trap '' TERM; while :; do sleep 0.1; done").limits(1, 1).run();
    told.assert_signaled(9);
    assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::RunDeadline, killed: true }));
}

#[test]
fn sigterm_is_passed_on_once() {
    let sandbox = Sandbox::script(
        "trap 'echo term; cat $LONGSHORE_STOP_REASON_FILE' TERM; touch ready; for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done",
    )
    // The shell tells of the child that ended.
    .separate();
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at("longshore/work/run/ready"));
    running.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    running.signal(Signal::SIGINT);
    let told = running.wait();
    told.assert_exited(0);
    assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::Terminated, killed: false }));
    assert!(told.out().starts_with("term\nTerminated: "), "{}", told.out());
    assert_eq!(told.out().matches("term\n").count(), 1);
}

#[test]
fn a_script_that_somebody_stops_is_told_by_whom() {
    let sandbox = Sandbox::script(
        "trap 'cat $LONGSHORE_STOP_REASON_FILE; exit 0' TERM; touch ready; while :; do sleep 0.05; done",
    )
    .separate();
    // As the kubelet shows a pod's annotation: there, empty, and then not empty.
    let told_there = sandbox.at("longshore/bundle/stop-reason");
    std::fs::write(&told_there, "").unwrap();
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at("longshore/work/run/ready"));
    std::fs::write(&told_there, "Cancelled: run 5f3c9a1b-3 was cancelled").unwrap();
    running.signal(Signal::SIGTERM);
    let told = running.wait();
    told.assert_exited(0);
    assert_eq!(told.out(), "Cancelled: run 5f3c9a1b-3 was cancelled\n");
    assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::Terminated, killed: false }));
}

#[test]
fn sigterm_reaches_a_pid_1() {
    let sandbox = Sandbox::script("touch ready; sleep 100");
    let running = sandbox.start(As::Pid1);
    wait_for(&sandbox.at("longshore/work/run/ready"));
    running.signal(Signal::SIGTERM);
    let told = running.wait();
    told.assert_signaled(15);
    assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::Terminated, killed: false }));
}

#[test]
fn sigterm_before_the_script_s_start_starts_nothing() {
    let told = Sandbox::script("echo started").run_as(As::Asked);
    told.assert_refused(Problem::Stopped, STOPPED_BEFORE_START);
}

// At most once.

#[test]
fn a_second_start_says_the_same_and_runs_nothing() {
    let sandbox = Sandbox::script("echo x >> count; echo a=1 >> $LONGSHORE_OUTPUT; exit 3").outputs(&["a"]);
    let first = sandbox.run();
    first.assert_exited(3);
    assert!(!first.exit().replayed);
    for _ in 0..2 {
        let again = sandbox.run();
        assert_eq!(again.code, Some(3));
        assert!(again.exit().replayed && again.end.is_none() && again.start.is_none());
        assert_eq!((&again.exit().outcome, again.outputs()), (&first.exit().outcome, first.outputs()));
        assert!(again.termination.is_some_and(|message| message.exit.replayed && message.end.is_none()));
    }
    assert_eq!(fs::read_to_string(sandbox.at("longshore/work/run/count")).unwrap(), "x\n");
}

#[test]
fn a_start_after_a_killed_runner_is_unknown_and_runs_nothing() {
    let sandbox = Sandbox::script("echo x >> count; sleep 2");
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at("longshore/work/run/count"));
    running.signal(Signal::SIGKILL);
    let mut running = running;
    running.child.wait().unwrap();
    let told = sandbox.run();
    assert!(
        matches!(&told.exit().outcome, Outcome::Unknown { message } if message.contains("no exit record"))
    );
    assert_eq!((told.code, told.end.is_none()), (Some(i32::from(UNKNOWN)), true));
    assert_eq!(fs::read_to_string(sandbox.at("longshore/work/run/count")).unwrap(), "x\n");
}

#[test]
fn the_log_has_the_start_record_before_the_script_starts() {
    for _ in 0..20 {
        let sandbox = Sandbox::script("kill -KILL $PPID");
        let mut running = sandbox.start(As::Process);
        let mut report = String::new();
        running.child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        running.child.wait().unwrap();
        assert!(report.contains(" 1 s 0 {\"start\":"), "{report}");
    }
}

#[test]
fn an_exit_record_that_is_damaged_or_of_another_run_counts_for_nothing() {
    let sandbox = Sandbox::script("exit 0");
    sandbox.run().assert_exited(0);
    let stored = fs::read_to_string(sandbox.state("exit.json")).unwrap();
    for record in [&stored[..20], &stored.replace(sandbox::RUN_ID, "other")] {
        fs::remove_file(sandbox.state("exit.json")).unwrap();
        fs::write(sandbox.state("exit.json"), record).unwrap();
        assert!(matches!(sandbox.run().exit().outcome, Outcome::Unknown { .. }));
    }
}

#[test]
fn where_nothing_can_be_claimed_nothing_runs() {
    let sandbox = Sandbox::script("echo started");
    fs::remove_dir(sandbox.at(place::STATE_DIR)).unwrap();
    sandbox.run().assert_refused(Problem::Internal, RUNNER_FAILED);
}

#[test]
fn without_a_thread_for_the_log_nothing_runs_and_the_log_says_so() {
    let told = Sandbox::script("echo started").run_as(As::Alone);
    assert!(told.assert_refused(Problem::Internal, RUNNER_FAILED).contains("thread"));
}

#[test]
fn a_changed_bundle_is_refused() {
    let mut sandbox = Sandbox::script("echo started");
    sandbox.sha256 = Some("0".repeat(64));
    let told = sandbox.run();
    assert!(told.assert_refused(Problem::Bundle, BUNDLE_UNUSABLE).contains("changed"));
}

// What it finds.

#[test]
fn the_folder_of_packages_is_told_where_there_are_any() {
    // Without any it is not set, as the whole environment below shows.
    let mut sandbox = Sandbox::script("echo $LONGSHORE_PACKAGES");
    sandbox.bundle.packages = vec![Package { name: "orders".into(), reference: "r/o@sha256:00".into() }];
    let told = sandbox.run();
    told.assert_exited(0);
    assert_eq!(told.out(), format!("{}\n", sandbox.at(place::PACKAGES_DIR).display()));
}

#[test]
fn the_environment_is_the_image_s_and_ours_and_the_action_s() {
    let mut sandbox = Sandbox::script("/usr/bin/env -0 | sort -z | tr '\\0' '\\n'")
        .value("HOST", "one", false)
        .value("HOST", "$(two)", false)
        .value("TMPDIR", "/elsewhere", false)
        .value("LONGSHORE_RUN", "99", false)
        .secret("LATIN", Some(b"caf\xe9"))
        .input("ABSENT", None, true, false)
        .interpreter(&["dash"]);
    sandbox.image.push(("FROM_IMAGE".into(), "kept".into()));
    sandbox.image.push(("LANG".into(), "C.UTF-8".into()));
    sandbox.image.push(("LC_ALL".into(), "C".into()));
    sandbox.image.push(("PWD".into(), "/gone".into()));
    sandbox.image.push(("TZ".into(), "Europe/Berlin".into()));
    sandbox.image.push(("HOME".into(), "/root".into()));
    sandbox.image.push(("LONGSHORE_STRAY".into(), "gone".into()));
    sandbox.image.push(("USER".into(), "of the image".into()));
    sandbox.image.push(("TERM".into(), "vt220".into()));
    let told = sandbox.run();
    told.assert_exited(0);
    let at = |path: &str| sandbox.at(path).display().to_string();
    let wanted = [
        "FROM_IMAGE=kept".to_owned(),
        format!("HOME={}", at("longshore/home/run")),
        "HOST=$(two)".to_owned(),
        "LANG=C.UTF-8".to_owned(),
        "LATIN=caf\u{fffd}".to_owned(),
        "LC_ALL=C".to_owned(),
        "LOGNAME=longshore".to_owned(),
        "LONGSHORE_ACTION=deploy".to_owned(),
        "LONGSHORE_ATTEMPT=2".to_owned(),
        "LONGSHORE_IDEMPOTENCY_KEY=5f3c9a1b-0000-3".to_owned(),
        format!("LONGSHORE_MASK={}", at("longshore/state/mask")),
        "LONGSHORE_NAMESPACE=shop".to_owned(),
        format!("LONGSHORE_OUTPUT={}", at("longshore/state/output")),
        "LONGSHORE_RUN=3".to_owned(),
        "LONGSHORE_RUN_ID=5f3c9a1b-3".to_owned(),
        format!("LONGSHORE_STOP_REASON_FILE={}", at("longshore/state/stop-reason")),
        "PATH=/usr/bin:/bin".to_owned(),
        format!("PWD={}", at("longshore/work/run")),
        "TERM=vt220".to_owned(),
        "TMPDIR=/elsewhere".to_owned(),
        "TZ=Europe/Berlin".to_owned(),
        "USER=of the image".to_owned(),
    ];
    let out = told.out();
    // Shells add these.
    let found: Vec<&str> =
        out.lines().filter(|line| !line.starts_with("OLDPWD=") && !line.starts_with("_=")).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_script_finds_a_terminal_a_user_and_a_folder_of_its_own() {
    let sandbox = Sandbox::script(
        "set -e; tput setaf 1 > /dev/null; tput cols > /dev/null; echo $TERM $USER $LOGNAME\n\
         for folder in . ~; do [ \"$(stat -c %u $folder)\" = \"$(id -u)\" ]; done; umask; ls -A .; ls -A ~; exit 3",
    );
    fs::create_dir_all(sandbox.at("etc")).unwrap();
    fs::write(sandbox.at("etc/passwd"), "deployer:x:65532:0::/:\nroot:x:0:0::/:\n").unwrap();
    let told = sandbox.run_as(As::UnprivilegedPid1);
    told.assert_exited(3);
    let name = if nix::unistd::geteuid().is_root() { "deployer" } else { "longshore" };
    assert_eq!(told.out(), format!("xterm {name} {name}\n0022\n"));
}

#[test]
fn programs_are_found_where_the_image_names_no_path() {
    let mut sandbox = Sandbox::command(&["sh", "-c", "echo found"]);
    sandbox.image.clear();
    assert_eq!(sandbox.run().out(), "found\n");
}

#[test]
fn a_script_has_the_container_s_limits() {
    let limits = "ulimit -n; ulimit -Hn; ulimit -s; ulimit -c; ulimit -f";
    let plain = Command::new("bash").args(["-c", limits]).output().unwrap();
    let told = Sandbox::script(limits).interpreter(&["bash"]).run();
    assert_eq!(told.out(), String::from_utf8_lossy(&plain.stdout));
}

#[test]
fn a_script_starts_where_it_is_asked_to() {
    let script = "pwd; echo $PWD; ls; [ -w \"$HOME\" ] && [ -w \"$TMPDIR\" ]";
    for wanted in [WorkingDir::Path("/srv/app".into()), WorkingDir::Image] {
        for how in [As::Process, As::UnprivilegedPid1] {
            let mut sandbox = Sandbox::script(script);
            let app = sandbox.at("srv/app");
            fs::create_dir_all(&app).unwrap();
            fs::write(app.join("own.txt"), "").unwrap();
            if wanted == WorkingDir::Image {
                sandbox.workdir.clone_from(&app);
            }
            sandbox.bundle.working_dir = Some(wanted.clone());
            let told = sandbox.run_as(how);
            told.assert_exited(0);
            assert_eq!(told.out(), format!("{0}\n{0}\nown.txt\n", app.display()), "{wanted:?}");
        }
    }
}

#[test]
fn a_relative_program_is_looked_for_where_the_script_starts() {
    let mut sandbox = Sandbox::command(&["./run"]);
    fs::create_dir_all(sandbox.at("app")).unwrap();
    std::os::unix::fs::symlink("/bin/echo", sandbox.at("app/run")).unwrap();
    sandbox.bundle.working_dir = Some(WorkingDir::Path("/app".into()));
    sandbox.args(&["ran"]).run().assert_exited(0);
}

#[test]
fn a_working_folder_that_cannot_be_used_is_named() {
    let refused = |name: &str, mode: Option<u32>| {
        let mut sandbox = Sandbox::script("echo never");
        fs::write(sandbox.at("file"), "").unwrap();
        let closed = sandbox.at("closed");
        fs::create_dir_all(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode.unwrap_or(0o755))).unwrap();
        sandbox.bundle.working_dir = Some(WorkingDir::Path(name.into()));
        let told = sandbox.run_as(As::UnprivilegedPid1);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        told.assert_refused(Problem::WorkingDir, CANNOT_START).to_owned()
    };
    for (name, words) in [
        ("/no/such", &["spec.workingDir", "/no/such", "not there", "volumeMounts"][..]),
        ("/file", &["spec.workingDir", "/file", "no folder"]),
    ] {
        let message = refused(name, None);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    if nix::unistd::geteuid().is_root() {
        // Neither enough to enter it, nor to see what lies in it.
        for mode in [0o000, 0o600, 0o300] {
            let message = refused("/closed", Some(mode));
            assert!(message.contains("user 65532 may not enter and read"), "{message}");
            assert!(message.contains("spec.podTemplate.securityContext.runAsUser"), "{message}");
        }
    }
}

#[test]
fn a_user_of_the_image_that_is_replaced_is_told() {
    let run = |named: Option<&str>| {
        let mut sandbox = Sandbox::script("id -u");
        fs::create_dir_all(sandbox.at("etc")).unwrap();
        fs::write(sandbox.at("etc/passwd"), "root:x:0:0::/:\napp:x:4711:0::/:\n").unwrap();
        sandbox.bundle.image_user = named.map(Into::into);
        let told = sandbox.run_as(As::UnprivilegedPid1);
        told.assert_exited(0);
        told
    };
    assert!(run(None).start.unwrap().adjusted.is_empty());
    let told = run(Some("app"));
    let adjusted = told.start.as_ref().unwrap().adjusted.concat();
    let runs = format!("runs as user {},", told.out().trim());
    for word in ["USER is app", &runs, "spec.podTemplate.securityContext.runAsUser: 4711 to run as app"] {
        assert!(adjusted.contains(word), "{adjusted}");
    }
}

#[test]
fn standard_input_is_empty_and_the_working_directory_ours() {
    let sandbox = Sandbox::script("cat; readlink /proc/self/fd/0; pwd; ls -A; ls /proc/self/fd | wc -l");
    let told = sandbox.run();
    // What the tests themselves were started with is inherited by everybody.
    let plain = Command::new("sh").args(["-c", "ls /proc/self/fd | wc -l"]).output().unwrap();
    let open = String::from_utf8(plain.stdout).unwrap();
    assert_eq!(told.out(), format!("/dev/null\n{}\n{open}", sandbox.at("longshore/work/run").display()));
}

#[test]
fn the_script_s_signals_are_as_every_program_expects_them() {
    let told = Sandbox::command(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]).run();
    let masks: Vec<u64> = told
        .out()
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_ascii_whitespace().last()?, 16).ok())
        .collect();
    // 32 and 33 are the C library's own.
    assert_eq!(masks.iter().map(|mask| mask & !(3 << 31)).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn an_input_that_cannot_be_used_names_variable_and_source() {
    let missing = Sandbox::script("").secret("DB", None).run();
    let message = missing.assert_refused(Problem::Input, INPUT_UNUSABLE);
    assert!(
        message.contains("DB") && message.contains("of Secret \"s\"") && message.contains("optional: true")
    );
    let binary = Sandbox::script("").secret("DB", Some(b"a\0b")).run();
    let message = binary.assert_refused(Problem::Input, INPUT_UNUSABLE);
    assert!(message.contains("environment variable DB") && message.contains("as: File"));
    let long = Sandbox::script("").value("LONG", &"x".repeat(140_000), false).run();
    let message = long.assert_refused(Problem::TooLong, CANNOT_START);
    assert!(message.contains("LONG with 140000 bytes"), "{message}");
}

// What it must not show.

#[test]
fn a_secret_is_masked_however_it_is_written() {
    let script = || {
        Sandbox::script(
        "printf %s \"$TOKEN\" | cut -c1-4 | tr -d '\\n'; sleep 0.3; printf '5678\\n'; echo \"a${TOKEN}b\" >&2; echo $PIN; \
         echo \"out=$TOKEN\" >> $LONGSHORE_OUTPUT; echo $TOKEN >> $LONGSHORE_OUTPUT; printf 123",
    )
    .secret("TOKEN", Some(b"12345678\n"))
    .secret("PIN", Some(b"1234\n"))
    .outputs(&["out"])
    };
    let merged = script().run();
    merged.assert_exited(0);
    assert_eq!(merged.out(), "***\na***\nb\n1234\n123");
    let told = script().separate().run();
    told.assert_exited(0);
    assert_eq!((told.out().as_str(), told.stderr.as_slice()), ("***\n1234\n123", &b"a***\nb\n"[..]));
    assert_eq!(told.outputs(), [("out", "***")].into());
    assert_eq!(
        told.exit().outputs_dropped,
        [
            "line 3: `***` is no output; before it `out` was read as `***`; a value of several lines is written \
             out<<END, its lines, END"
        ]
    );
    assert_eq!(told.start.as_ref().map(|start| start.unmasked.clone()), Some(vec!["PIN".to_owned()]));
}

#[test]
fn a_message_of_the_runner_is_masked_too() {
    let told = Sandbox::command(&["/opt/my-token/run"]).secret("T", Some(b"my-token")).run();
    assert!(told.assert_refused(Problem::CommandNotFound, CANNOT_START).contains("/opt/***/run"));
}

// What it leaves.

#[test]
fn outputs_are_read_in_both_forms_and_the_bad_ones_named() {
    let told = Sandbox::script(
        "printf 'url=https://x\\r\\nnotes<<EOF\\none\\ntwo=2\\nEOF\\nstray=1\\nnonsense\\nurl=https://y\\nopen<<EOF\\n' >> $LONGSHORE_OUTPUT; exit 1",
    )
    .outputs(&["url", "notes", "open"])
    .run();
    told.assert_exited(1);
    assert_eq!(told.outputs(), [("notes", "one\ntwo=2"), ("url", "https://y")].into());
    assert_eq!(told.exit().outputs_dropped.len(), 4);
    assert!(told.exit().outputs_unread.as_ref().unwrap().starts_with("line 7: `nonsense`"));
    assert!(told.termination.is_some_and(|message| message.outputs_sha256.is_some()));
}

#[test]
fn outputs_longer_than_a_line_come_in_parts() {
    let told = Sandbox::script(
        "printf a= >> $LONGSHORE_OUTPUT; head -c 30000 /dev/zero | tr '\\0' x >> $LONGSHORE_OUTPUT",
    )
    .outputs(&["a"])
    .run();
    told.assert_exited(0);
    assert_eq!(told.outputs()["a"].len(), 30_000);
}

#[test]
fn what_stands_in_the_outputs_file_s_place_is_not_followed() {
    for instead in ["rm $O", "rm $O; ln -s /etc/passwd $O", "rm $O; mkfifo $O", "rm $O; mkdir $O"] {
        let told = Sandbox::script(&format!("O=$LONGSHORE_OUTPUT; {instead}")).outputs(&["a"]).run();
        told.assert_exited(0);
        assert_eq!(told.exit().outputs_dropped.len(), 1, "{instead}");
        assert!(told.exit().outputs_dropped[0].starts_with("all outputs: "));
    }
}

#[test]
fn a_script_that_an_editor_damaged_is_mended_and_it_is_told() {
    for (text, says) in [
        ("#!/bin/bash\r\nset -e\r\ncat <<EOF\r\nhere\r\nEOF\r\nfalse\r\necho on\r\n", "CR and LF"),
        ("set -e\r\ncat <<EOF\r\nhere\r\nEOF\r\nfalse\r\necho on\r\n", "CR and LF"),
        ("\u{feff}set -e\ncat <<EOF\nhere\nEOF\nfalse\necho on\n", "byte order mark"),
        ("\u{feff}#!/bin/bash\r\nset -e\r\ncat <<EOF\r\nhere\r\nEOF\r\nfalse\r\necho on", "byte order mark"),
    ] {
        for sandbox in [
            Sandbox::script(text),
            Sandbox::script(text).interpreter(&["/bin/sh"]),
            Sandbox::script_file(text.as_bytes(), Some(text.as_bytes())),
        ] {
            let told = sandbox.run();
            told.assert_exited(1);
            assert_eq!(told.out(), "here\n", "{text:?}");
            let adjusted = told.start.unwrap().adjusted;
            assert!(adjusted.len() == 1 && adjusted[0].contains(says), "{adjusted:?}");
        }
    }
    let told = Sandbox::script("echo 'a\rb'\n").run();
    assert_eq!((told.out().as_str(), told.start.unwrap().adjusted), ("a\rb\n", vec![]));
    let told = Sandbox::script_file(b"\xff\xfee\0", Some(b"\xff\xfee\0")).run();
    let message = told.assert_refused(Problem::NotExecutable, CANNOT_START);
    assert!(message.contains("UTF-16"), "{message}");
}

#[test]
fn a_script_s_folder_holds_nothing_but_the_script() {
    let mut sandbox = Sandbox::script(
        "echo a=1 >> $LONGSHORE_OUTPUT; cd \"$(dirname \"$0\")\"; ls; rm -rf ./* .[!.]*; cd ..; exit 4",
    )
    .outputs(&["a"]);
    if let Program::Script { file_name, .. } = &mut sandbox.bundle.program {
        *file_name = Some("deploy.sh".into());
    }
    let told = sandbox.run();
    told.assert_exited(4);
    assert_eq!(told.out(), "deploy.sh\n");
    assert_eq!(told.exit().outputs["a"], "1");
    let again = sandbox.run();
    assert!(again.exit().replayed);
}

#[test]
fn a_child_that_the_kernel_killed_for_memory_is_counted() {
    let sandbox = Sandbox::script("");
    let cgroup = sandbox.at("/sys/fs/cgroup");
    fs::create_dir_all(&cgroup).unwrap();
    fs::write(cgroup.join("memory.events"), "oom_kill 1\n").unwrap();
    fs::write(cgroup.join("memory.max"), "1048576\n").unwrap();
    let events = cgroup.join("memory.events");
    let sandbox = sandbox.text(&format!("echo 'oom_kill 3' > {}; exit 1", events.display()));
    let told = sandbox.run();
    told.assert_exited(1);
    assert_eq!(told.exit().out_of_memory, Some(OutOfMemory { kills: 2, limit_bytes: Some(1 << 20) }));
    assert_eq!(Sandbox::script("exit 1").run().exit().out_of_memory, None);
}

// What cannot be started.

#[test]
fn a_missing_interpreter_is_named() {
    for (sandbox, says) in [
        (Sandbox::script("#!/opt/none/bash\n"), "/opt/none/bash"),
        (Sandbox::script("#!/usr/bin/env none\n"), "`none` on its PATH (/usr/bin:/bin)"),
        (Sandbox::script("x").interpreter(&["none", "-u"]), "spec.script.interpreter"),
    ] {
        let told = sandbox.run();
        let message = told.assert_refused(Problem::InterpreterNotFound, CANNOT_START);
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_command_that_cannot_be_executed_says_why() {
    let elf = |machine: u8| {
        let mut head = fs::read("/bin/true").unwrap();
        head[18] = machine;
        head
    };
    let loader = {
        let program = fs::read("/bin/true").unwrap();
        let at = program.windows(9).position(|window| window == b"/ld-linux").unwrap();
        let mut program = program.clone();
        program[at + 1] = b'X';
        program
    };
    for (name, content, says) in [
        ("arm", elf(183), "is a program for arm64"),
        ("loader", loader, "its loader"),
        ("text", b"echo hello\n".to_vec(), "neither a program nor a script"),
        ("empty", vec![], "neither a program nor a script"),
        ("script", b"#!/opt/none\n".to_vec(), "`#!/opt/none`"),
    ] {
        let folder = Sandbox::script("");
        let file = folder.at(name);
        fs::File::create(&file).unwrap().write_all(&content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let told = Sandbox::command(&[file.to_str().unwrap()]).run();
        let message = told.assert_refused(Problem::NotExecutable, CANNOT_START);
        assert!(message.contains(says), "{message}");
    }
    let told = Sandbox::command(&["/etc/passwd"]).run();
    assert!(told.assert_refused(Problem::NotExecutable, CANNOT_START).contains("chmod +x"));
    let told = Sandbox::command(&["none"]).run();
    assert!(told.assert_refused(Problem::CommandNotFound, CANNOT_START).contains("spec.command"));
}

// Its other orders.

#[test]
fn it_installs_itself() {
    let sandbox = Sandbox::script("");
    for _ in 0..2 {
        let install =
            Command::new(env!("CARGO_BIN_EXE_longshore-runner")).arg("install").arg(&sandbox.root).status();
        assert!(install.unwrap().success());
    }
    let installed = sandbox.at(place::RUNNER_FILE);
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o555);
    let version = Command::new(installed).arg("--version").stdout(Stdio::piped()).output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("longshore-runner "));
}
