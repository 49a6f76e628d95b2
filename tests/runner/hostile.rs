//! A script may do anything to the files in its reach and to the runner, which has its user. Nothing of that
//! delays a deadline, and nothing makes the runner report what did not happen.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use longshore::record::{
    frame::{Kind, kind_of},
    outcome::{Outcome, Stop, StopCause},
    place,
    proof::proof,
};
use nix::{sys::signal::Signal, sys::stat::Mode, unistd::mkfifo};

use super::sandbox::{As, Sandbox, Told, wait_for};

/// As PID 1 and without root's rights, as in a container.
fn run(script: &str, limits: (u64, u64)) -> (Told, Duration) {
    let begun = Instant::now();
    let told = Sandbox::script(script).limits(limits.0, limits.1).run_as(As::UnprivilegedPid1);
    (told, begun.elapsed())
}

/// Attacks end sooner than this if the runner bounds them, also on a busy machine. None ends by itself.
const NO_HANG: Duration = Duration::from_mins(1);

/// A script that does nothing but refuse to end.
const STAY: &str = "trap '' TERM; while :; do sleep 0.1; done";

// Files.

#[test]
fn whatever_stands_where_it_is_told_why_a_script_is_stopped_in_time() {
    for attack in [
        "mkfifo stop-reason.new",
        "ln -s /proc/self/fd/1 stop-reason.new",
        "ln -s fifo stop-reason.new; mkfifo fifo",
        "mkdir stop-reason.new",
        "mkfifo stop-reason",
        "mkdir -p stop-reason/full",
        "ln -s /proc/1/fd/1 stop-reason",
        "chmod 500 .",
    ] {
        let folder = "cd ${LONGSHORE_STOP_REASON_FILE%/*}; rm -f stop-reason.new";
        let (told, took) = run(&format!("{folder}; {attack}; {STAY}"), (1, 1));
        told.assert_signaled(9);
        assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::RunDeadline, killed: true }), "{attack}");
        assert!(told.foreign.is_empty() && told.out().is_empty(), "{attack}: {told:?}");
        assert!(took < NO_HANG, "{attack}: {took:?}");
    }
}

#[test]
fn an_exit_record_that_is_no_file_or_endless_is_none() {
    let put: [fn(&Sandbox); 5] = [
        |sandbox| mkfifo(&sandbox.state("exit.json"), Mode::S_IRWXU).unwrap(),
        |sandbox| fs::create_dir(sandbox.state("exit.json")).unwrap(),
        |sandbox| symlink("/dev/zero", sandbox.state("exit.json")).unwrap(),
        |sandbox| {
            fs::write(sandbox.state("forged"), "{}").unwrap();
            symlink(sandbox.state("forged"), sandbox.state("exit.json")).unwrap();
        },
        |sandbox| fs::File::create(sandbox.state("exit.json")).unwrap().set_len(1 << 40).unwrap(),
    ];
    for put in put {
        let sandbox = Sandbox::script("echo started");
        put(&sandbox);
        let begun = Instant::now();
        let told = sandbox.run();
        assert!(matches!(told.exit().outcome, Outcome::Unknown { .. }), "{told:?}");
        assert!(told.out().is_empty() && begun.elapsed() < NO_HANG);
    }
}

#[test]
fn what_stands_where_the_exit_record_goes_is_put_aside() {
    for attack in [
        "mkdir -p exit.json/full exit.json.new/full",
        "mkfifo exit.json exit.json.new",
        "ln -s /proc/1/fd/1 exit.json",
    ] {
        let sandbox = Sandbox::script(&format!("cd ${{LONGSHORE_OUTPUT%/*}}; {attack}; exit 3"));
        sandbox.run().assert_exited(3);
        let again = sandbox.run();
        assert!(again.exit().replayed, "{attack}: {again:?}");
        assert_eq!(again.exit().outcome, Outcome::Exited { code: 3 }, "{attack}");
    }
}

#[test]
fn whatever_stands_where_a_script_names_secrets_holds_nothing_up_and_is_told() {
    for (attack, says) in [
        ("rm $M; mkfifo $M", "could not be read"),
        ("rm $M; mkdir $M", "could not be read"),
        ("ln -sf /dev/zero $M", "could not be read"),
        ("ln -sf /proc/1/fd/1 $M", "could not be read"),
        ("truncate -s 1T $M", "written at once"),
        ("yes known-value | head -c 5000000 > $M", "written at once"),
    ] {
        let script = format!(
            "M=$LONGSHORE_MASK; echo known-value >> $M; echo known-value; sleep 0.2; {attack}; echo known-value; {STAY}"
        );
        let (told, took) = run(&script, (2, 1));
        told.assert_signaled(9);
        assert_eq!(told.out(), "***\n***\n", "{attack}");
        let unmasked = &told.exit().unmasked;
        assert!(unmasked.len() == 1 && unmasked[0].contains(says), "{attack}: {unmasked:?}");
        assert!(told.foreign.is_empty() && took < NO_HANG, "{attack}: {took:?}");
    }
}

#[test]
fn a_script_that_names_secrets_without_end_ends_at_its_deadline() {
    let flood = "i=0; while :; do i=$((i+1)); echo secret-$i-end >> $LONGSHORE_MASK; echo $i; done & \
                 yes | head -c 100000000 >> $LONGSHORE_MASK & yes other-noise";
    let (told, took) = run(&format!("trap '' TERM; {flood}"), (3, 1));
    told.assert_signaled(9);
    assert!(!told.exit().unmasked.is_empty() && took < NO_HANG, "{took:?}");
}

#[test]
fn what_a_script_wrote_into_the_termination_message_is_replaced() {
    let at = |sandbox: &Sandbox| sandbox.at(place::TERMINATION_LOG).display().to_string();
    for rights in ["", "prlimit --pid 1 --nofile=0:0"] {
        let mut sandbox = Sandbox::script("");
        let file = at(&sandbox);
        sandbox = sandbox.text(&format!("{rights}\nyes forged | head -c 1000000 > {file}; exit 3"));
        let told = sandbox.run_as(As::UnprivilegedPid1);
        told.assert_exited(3);
    }
}

// Pipes, children, signals.

#[test]
fn a_script_that_empties_its_own_pipe_holds_up_no_deadline() {
    let drain = "for i in 1 2 3 4; do cat /proc/self/fd/1 > /dev/null & done; while :; do echo x; done";
    let (told, took) = run(&format!("trap '' TERM; {drain}"), (2, 1));
    assert_eq!(told.exit().outcome, Outcome::Signaled { signal: 9 });
    assert!(took < NO_HANG, "{took:?}");
}

#[test]
fn the_script_s_pipes_wait_as_every_program_expects() {
    // O_NONBLOCK is 04000, on a descriptor that it was given and on one that it opened itself.
    let (told, _) = run(
        "exec 3< /proc/self/fd/1; for fd in 1 2 3; do sed -n 's/flags:\\t//p' /proc/self/fdinfo/$fd; done",
        (60, 1),
    );
    told.assert_exited(0);
    let flags: Vec<u32> = told.out().lines().map(|line| u32::from_str_radix(line, 8).unwrap()).collect();
    assert_eq!(flags.iter().map(|flags| flags & 0o4000).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn more_dead_than_are_buried_at_a_time_are_buried_without_another_signal() {
    let sandbox = Sandbox::script(
        "touch ready; while [ ! -e go ]; do sleep 0.05; done; for i in $(seq 1000); do (: &); done; touch done\n\
         while [ ! -e on ]; do sleep 0.05; done; sleep 1; cat /proc/[0-9]*/stat | grep -c ' Z '; exit 0",
    );
    let running = sandbox.start(As::Pid1);
    let at = |name: &str| sandbox.at(place::WORK_DIR).join(name);
    wait_for(&at("ready"));
    running.signal(Signal::SIGSTOP);
    fs::write(at("go"), "").unwrap();
    wait_for(&at("done"));
    // All of them are one signal.
    running.signal(Signal::SIGCONT);
    fs::write(at("on"), "").unwrap();
    let told = running.wait();
    told.assert_exited(0);
    assert_eq!(told.out(), "0\n");
}

#[test]
fn children_that_die_without_end_hold_up_no_deadline() {
    let (told, took) = run(
        "trap '' TERM; for i in 1 2 3 4; do while :; do (: &); done & done; while :; do sleep 0.1; done",
        (1, 1),
    );
    told.assert_signaled(9);
    assert!(took < NO_HANG, "{took:?}");
}

#[test]
fn signals_without_end_stop_the_script_and_hold_up_nothing() {
    let flood = "for i in 1 2 3 4; do while :; do kill -40 1; kill -TERM 1; done & done";
    let (told, took) = run(&format!("trap '' TERM; {flood}; while :; do sleep 0.1; done"), (60, 2));
    told.assert_signaled(9);
    assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::Terminated, killed: true }));
    assert!(took < NO_HANG, "{took:?}");
}

#[test]
fn signals_that_would_end_or_stop_others_do_nothing_to_the_runner() {
    let (told, _) =
        run("for s in STOP KILL SEGV ABRT ALRM TRAP XCPU XFSZ PIPE; do kill -$s 1; done; echo on", (60, 1));
    told.assert_exited(0);
    assert_eq!((told.out().as_str(), told.exit().stop), ("on\n", None));
}

#[test]
fn a_script_that_stops_itself_ends_at_its_deadline() {
    let (told, took) = run("kill -STOP $$", (1, 1));
    told.assert_signaled(9);
    assert!(took < NO_HANG, "{took:?}");
}

// The runner's process.

#[test]
fn limits_that_a_script_sets_to_the_runner_take_away_words_and_no_truth() {
    for limit in ["nofile", "fsize", "nproc", "sigpending", "memlock", "core", "msgqueue", "locks", "nice"] {
        let script =
            format!("prlimit --pid 1 --{limit}=0:0\necho a=1 >> $LONGSHORE_OUTPUT\necho said; exit 7");
        let told = Sandbox::script(&script).outputs(&["a"]).run_as(As::UnprivilegedPid1);
        assert_eq!(
            (&told.exit().outcome, told.code),
            (&Outcome::Exited { code: 7 }, Some(7)),
            "{limit}: {told:?}"
        );
        assert_eq!((told.out().as_str(), told.stderr.as_slice()), ("said\n", &b""[..]), "{limit}");
        assert!(told.end.is_some() && told.foreign.is_empty(), "{limit}");
        let written = limit != "fsize";
        assert_eq!(told.termination.is_some(), written, "{limit}");
        let outputs = usize::from(limit != "nofile");
        assert_eq!(told.outputs().len(), outputs, "{limit}");
        // Nothing is lost without a word.
        assert_eq!(told.exit().outputs_dropped.len(), 1 - outputs, "{limit}");
    }
}

#[test]
fn a_limit_that_kills_the_runner_ends_all_without_a_record() {
    for limit in ["--cpu=1:1", "--as=1:1", "--data=0:0 --stack=0:0"] {
        let sandbox = Sandbox::script("");
        let forged = sandbox.at(place::TERMINATION_LOG).display().to_string();
        let sandbox = sandbox.text(&format!(
            "echo '{{}}' > {forged}; touch here; prlimit --pid 1 {limit}; i=0\n\
             while [ $i -lt 200 ]; do head -c 10000000 /dev/zero; i=$((i+1)); done; touch survived; exit 7"
        ));
        let mut running = sandbox.start(As::UnprivilegedPid1);
        let mut report = vec![];
        std::io::Read::read_to_end(&mut running.child.stdout.take().unwrap(), &mut report).unwrap();
        let status = running.child.wait().unwrap();
        let survived = sandbox.at(place::WORK_DIR).join("survived").exists();
        let report = String::from_utf8_lossy(&report);
        let told = report.lines().any(|line| kind_of(line.as_bytes()) == Some(Kind::Exit));
        assert!(sandbox.at(place::WORK_DIR).join("here").exists());
        // Whole and true, or nothing.
        assert_eq!(told, survived, "{limit}: {status:?}");
        assert_eq!(status.code() == Some(7), survived, "{limit}: {status:?}");
        assert!(!survived || limit != "--cpu=1:1", "{status:?}");
    }
}

#[test]
fn the_runner_s_memory_descriptors_and_settings_are_out_of_reach() {
    let (told, _) = run(
        "for f in mem environ maps auxv syscall stack io wchan fd/1 fdinfo/1 task/1/mem cwd/x root/x exe; do\n\
         head -c 1 /proc/1/$f > out 2>/dev/null; [ -s out ] && echo read $f; done\n\
         for f in mem oom_score_adj oom_adj coredump_filter clear_refs comm autogroup timerslack_ns \
         attr/current fd/1 fd/2 task/1/comm; do\n\
         (echo 1 > /proc/1/$f) 2>/dev/null && echo wrote $f; done; exit 0",
        (60, 1),
    );
    told.assert_exited(0);
    // The kernel shows every process's place of waiting as 0.
    assert_eq!(told.out().replace("read wchan\n", ""), "");
    assert!(told.foreign.is_empty());
}

#[test]
fn no_system_call_reaches_into_the_runner() {
    let [ptrace, readv, writev, kcmp] =
        if cfg!(target_arch = "x86_64") { [101, 310, 311, 312] } else { [117, 270, 271, 272] };
    let perl = format!(
        "my $b = 'x' x 8; my $v = pack('PQ', $b, 8); my $p = syscall(434, 1, 0);\n\
         for ([{ptrace}, 16, 1, 0, 0], [{ptrace}, 0x4206, 1, 0, 0], [{readv}, 1, $v, 1, $v, 1, 0],\n\
         [{writev}, 1, $v, 1, $v, 1, 0], [438, $p, 1, 0], [{kcmp}, $$, 1, 0, 1, 1]) {{\n\
         my @c = @$_; my $r = syscall(shift @c, @c); print $r == -1 ? $!+0 : 'done', \"\\n\" }}"
    );
    let told = Sandbox::script(&perl).interpreter(&["/usr/bin/perl"]).run_as(As::UnprivilegedPid1);
    told.assert_exited(0);
    // EPERM, six times.
    assert_eq!(told.out(), "1\n".repeat(6), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn a_runner_that_is_scheduled_last_still_keeps_the_deadline() {
    // Beside one busy script such a runner gets a three hundredth of the core's time, and less beside other
    // work. So the test asks that it ends, and not when.
    let (told, _) = run(
        "renice -n 19 -p 1; chrt --idle --pid 0 1; taskset -p 1 1; taskset -p 1 $$\n\
         trap '' TERM; while :; do :; done",
        (1, 1),
    );
    told.assert_signaled(9);
}

// The proof.

#[test]
fn a_termination_message_has_what_the_start_record_announced_and_no_script_could_read() {
    let sandbox = Sandbox::script("cat $LONGSHORE_OUTPUT ${LONGSHORE_OUTPUT%/*}/* 2>/dev/null; env; exit 3");
    let told = sandbox.run_as(As::UnprivilegedPid1);
    told.assert_exited(3);
    let announced = told.start.as_ref().unwrap().proof.clone().unwrap();
    let nonce = told.termination.as_ref().unwrap().nonce.clone().unwrap();
    assert_eq!(proof(&nonce), announced);
    assert!(!told.out().contains(&nonce) && !told.out().contains(&announced));
    // Each run has its own, and a second start hands on that of the first.
    let other = Sandbox::script("exit 3").run_as(As::UnprivilegedPid1);
    assert_ne!(other.start.unwrap().proof, Some(announced));
    let again = sandbox.run_as(As::UnprivilegedPid1).termination.unwrap();
    assert!(again.exit.replayed && again.nonce == Some(nonce));
}

#[test]
fn where_processes_of_the_script_may_be_left_no_nonce_is_written() {
    let sandbox = Sandbox::script("exit 3");
    let told = sandbox.run();
    told.assert_exited(3);
    assert!(told.start.as_ref().unwrap().proof.is_some());
    assert_eq!(told.termination.unwrap().nonce, None);
    assert!(!fs::read_to_string(sandbox.state("exit.json")).unwrap().contains("nonce"));
}

#[test]
fn what_a_script_put_down_for_a_second_start_is_repeated_without_a_proof() {
    let sandbox = Sandbox::script("touch here; sleep 100");
    let mut running = sandbox.start(As::Process);
    wait_for(&sandbox.at(place::WORK_DIR).join("here"));
    running.signal(Signal::SIGKILL);
    running.child.wait().unwrap();
    let other = Sandbox::script("exit 0");
    other.run().assert_exited(0);
    fs::copy(other.state("exit.json"), sandbox.state("exit.json")).unwrap();
    let again = sandbox.run().termination.unwrap();
    assert_eq!(
        (again.exit.outcome, again.exit.replayed, again.nonce),
        (Outcome::Exited { code: 0 }, true, None)
    );
}
