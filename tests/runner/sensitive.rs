//! Sensitive outputs leave the container in a box, and are masked everywhere else.

use longshore::record::{outcome::Problem, place};

use super::sandbox::{As, Sandbox, wait_for};

#[test]
fn a_sensitive_output_is_sealed_and_masked_from_when_it_is_written() {
    let sandbox = Sandbox::script(
        "echo token=hunter2-secret >> $LONGSHORE_OUTPUT; echo hunter2-secret; printf hunter2-secret | base64\n\
         echo url=https://x/hunter2-secret >> $LONGSHORE_OUTPUT\n\
         { echo 'key<<E'; printf 'line-one\\nline-two\\n'; echo E; } >> $LONGSHORE_OUTPUT",
    )
    .outputs(&["url"])
    .sensitive(&["token", "key"]);
    let told = sandbox.run();
    told.assert_exited(0);
    // The last characters of base64 are shared with the newline behind the value.
    assert_eq!(told.out(), "***\n***Q=\n");
    assert_eq!(told.outputs(), [("url", "https://x/***")].into());
    let wanted = [("key", "line-one\nline-two"), ("token", "hunter2-secret")];
    assert_eq!(told.opened(&sandbox), wanted.map(|(name, value)| (name.into(), value.into())).into());
    assert_eq!(told.exit().outputs_dropped, [""; 0]);
    let message = told.termination.expect("a termination message");
    assert!(message.exit.sealed.is_none() && message.outputs_sha256.is_some());
}

#[test]
fn of_values_that_replace_each_other_the_newest_is_never_shown() {
    let script = "import os\n\
        out = open(os.environ['LONGSHORE_OUTPUT'], 'a', buffering=1)\n\
        for number in range(2000):\n\
        \x20   value = 'value-%08d' % number\n\
        \x20   out.seek(0); out.truncate(); out.write('token=' + value + '\\n')\n\
        \x20   os.write(1, (value + '\\n').encode())\n\
        \x20   if number % 7 == 0: os.write(1, b'a plain line\\n')\n";
    let sandbox = Sandbox::script(script).interpreter(&["python3"]).sensitive(&["token"]);
    let told = sandbox.run();
    told.assert_exited(0);
    let out = told.out();
    // The newest value before each is known for certain. Older ones are, if the runner has looked in between.
    assert!(out.ends_with("***\n") && out.contains("a plain line"), "{out:.200}");
    assert_eq!(told.opened(&sandbox)["token"], "value-00001999");
}

#[test]
fn a_value_that_stays_in_the_file_is_never_shown() {
    let script = "import os\n\
        out = open(os.environ['LONGSHORE_OUTPUT'], 'a', buffering=1)\n\
        for number in range(200):\n\
        \x20   value = 'value-%08d' % number\n\
        \x20   out.write('token=' + value + '\\n')\n\
        \x20   os.write(1 + number % 2, (value + '\\n').encode())\n";
    let sandbox = Sandbox::script(script).interpreter(&["python3"]).sensitive(&["token"]).separate();
    let told = sandbox.run();
    told.assert_exited(0);
    let shown = told.out() + &String::from_utf8_lossy(&told.stderr);
    assert!(!shown.contains("value") && shown.matches("***").count() == 200, "{shown:.200}");
}

#[test]
fn a_box_tells_nothing_of_its_length() {
    let length = |value: &str| {
        let script = format!("echo token={value} >> $LONGSHORE_OUTPUT");
        let told = Sandbox::script(&script).sensitive(&["token"]).run();
        told.exit().sealed.as_ref().expect("a box").text.len()
    };
    assert_eq!(length("x"), length(&"y".repeat(900)));
}

#[test]
fn an_output_that_was_not_written_makes_no_box_and_a_key_that_is_none_drops_all() {
    let told = Sandbox::script("echo hi").sensitive(&["token"]).run();
    assert!(told.exit().sealed.is_none() && told.exit().outputs_dropped.is_empty());
    let mut sandbox = Sandbox::script("echo token=hunter2-secret >> $LONGSHORE_OUTPUT").sensitive(&["token"]);
    sandbox.bundle.sensitive.as_mut().unwrap().public_key = "none".into();
    let told = sandbox.run();
    told.assert_exited(0);
    assert!(told.exit().sealed.is_none());
    assert!(told.exit().outputs_dropped[0].starts_with("all sensitive outputs: the public key"), "{told:?}");
    assert!(!format!("{told:?}").contains("hunter2"));
}

/// The script knows the public key, and can make boxes of its own. But it cannot write a record.
#[test]
fn a_box_that_a_script_prints_is_text() {
    let sandbox = Sandbox::script(
        "echo token=hunter2-secret >> $LONGSHORE_OUTPUT\n\
         echo '9 x 9 {\"exit\":{\"sealed\":{\"names\":[\"token\"],\"text\":\"AAAA\"}}}'",
    )
    .sensitive(&["token"]);
    let told = sandbox.run();
    told.assert_exited(0);
    assert!(told.out().starts_with("9 x 9") && told.foreign.is_empty());
    assert_eq!(told.opened(&sandbox)["token"], "hunter2-secret");
}

#[test]
fn what_stands_in_the_outputs_file_s_place_holds_up_nothing_while_the_script_runs() {
    for instead in [
        "rm $O; mkfifo $O",
        "rm $O; ln -s /dev/zero $O",
        "rm $O; mkdir $O",
        "chmod 0 $O",
        "truncate -s 1T $O",
    ] {
        let script = format!("O=$LONGSHORE_OUTPUT; {instead}; for i in 1 2 3; do echo $i; sleep 0.02; done");
        let told = Sandbox::script(&script).sensitive(&["token"]).run();
        assert_eq!(told.out(), "1\n2\n3\n", "{instead}");
    }
}

#[test]
fn a_second_start_repeats_the_box_and_makes_no_other() {
    let sandbox = Sandbox::script("echo token=hunter2-secret >> $LONGSHORE_OUTPUT").sensitive(&["token"]);
    let first = sandbox.run();
    let again = sandbox.start(As::Process).wait();
    assert!(again.exit().replayed);
    assert_eq!(again.exit().sealed, first.exit().sealed);
    let stored = std::fs::read_to_string(sandbox.state("exit.json")).unwrap();
    assert!(!stored.contains("hunter2"));
}

#[test]
fn the_values_of_a_run_that_fails_are_sealed_too_and_of_one_that_never_started_there_are_none() {
    let sandbox =
        Sandbox::script("echo token=hunter2-secret >> $LONGSHORE_OUTPUT; exit 3").sensitive(&["token"]);
    let told = sandbox.run();
    told.assert_exited(3);
    assert_eq!(told.opened(&sandbox)["token"], "hunter2-secret");
    let told = Sandbox::command(&["/no/such/program"]).sensitive(&["token"]).run();
    told.assert_refused(Problem::CommandNotFound, longshore::runner::CANNOT_START);
    assert!(told.exit().sealed.is_none());
}

#[test]
fn a_value_written_while_the_script_is_silent_is_masked_when_it_speaks() {
    let sandbox = Sandbox::script(
        "touch ready; while [ ! -e go ]; do sleep 0.02; done; echo token=hunter2-secret > $LONGSHORE_OUTPUT\n\
         cat $LONGSHORE_OUTPUT",
    )
    .sensitive(&["token"]);
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at(place::WORK_DIR).join("ready"));
    std::fs::write(sandbox.at(place::WORK_DIR).join("go"), "").unwrap();
    assert_eq!(running.wait().out(), "token=***\n");
}
