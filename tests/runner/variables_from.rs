//! Whole Secrets and `ConfigMap`s as variables.

use std::fs;

use longshore::{
    record::{outcome::Problem, place},
    runner::INPUT_UNUSABLE,
};

use super::sandbox::Sandbox;

#[test]
fn the_later_folder_wins_and_a_variable_over_all() {
    // No shell: dash drops variables whose names it could not set.
    let told = Sandbox::command(&["env"])
        .value("T_C", "variable", false)
        .source("one", "", false, &[("T_A", b"one"), ("T_B", b"one"), ("T_C", b"one")])
        .source("two", "T_", false, &[("B", b"two"), ("C", b"two"), ("D.e-f", b"two")])
        .run();
    told.assert_exited(0);
    let out = told.out();
    let found: Vec<&str> = out.lines().filter(|line| line.starts_with("T_")).collect();
    assert_eq!(found, ["T_A=one", "T_B=two", "T_C=variable", "T_D.e-f=two"]);
}

#[test]
fn it_wins_over_what_every_script_has_and_not_over_longshore() {
    let told = Sandbox::script("echo $TMPDIR $LONGSHORE_RUN ${LONGSHORE_MINE-unset}; env | grep -c '\\.\\.'")
        .source("s", "", false, &[("TMPDIR", b"/mine"), ("LONGSHORE_RUN", b"9")])
        .source("t", "LONGSHORE_", false, &[("MINE", b"x")])
        .run();
    assert_eq!(told.out(), "/mine 3 unset\n0\n");
}

#[test]
fn a_name_that_cannot_be_a_variable_s_is_left_out() {
    let told = Sandbox::script("env | grep -c secret-value; echo ${T_OK-unset}")
        .source("s", "a=", true, &[("b", b"secret-value")])
        .source("t", "", false, &[("T_OK", b"ok"), ("tls.crt", b"x"), ("2nd", b"y")])
        .source("u", "LONGSHORE_", false, &[("MINE", b"x")])
        .run();
    assert_eq!(told.out(), "0\nok\n");
    let adjusted = told.start.unwrap().adjusted.join("\n");
    for words in ["no variables were set for \"a=b\":", "no variables were set for \"LONGSHORE_MINE\":"] {
        assert!(adjusted.contains(words), "{adjusted}");
    }
    assert!(adjusted.contains("cannot read the variables \"2nd\", \"tls.crt\":"), "{adjusted}");
}

#[test]
fn every_value_of_a_secret_is_masked() {
    let told = Sandbox::script(
        "cd ../../sources; echo \"$T_A\" $T_B $T_C $T_PIN; cat s/LONGSHORE_X; echo; cat u/T_C; echo\n\
         printf %s \"$T_A\" | base64",
    )
    .source("s", "", true, &[("T_A", b"first-secret"), ("LONGSHORE_X", b"second-secret"), ("T_PIN", b"1234")])
    .source("c", "", false, &[("T_B", b"no-secret")])
    .source("u", "", true, &[("T_C", b"third-secret")])
    .value("T_C", "plain", false)
    .run();
    told.assert_exited(0);
    assert_eq!(told.out(), "*** no-secret plain 1234\n***\n***\n***\n");
    assert_eq!(told.start.map(|start| start.unmasked), Some(vec!["T_PIN".to_owned()]));
}

#[test]
fn a_folder_that_is_empty_or_missing_has_no_variables() {
    let sandbox = Sandbox::script("exit 7").source("empty", "", true, &[]).source("gone", "", true, &[]);
    fs::remove_dir_all(sandbox.at(place::SOURCES_DIR).join("gone")).unwrap();
    sandbox.run().assert_exited(7);
}

#[test]
fn a_value_that_is_no_text_names_key_and_object() {
    let told = Sandbox::script("").source("keys", "T_", true, &[("store", b"a\0b")]).run();
    let message = told.assert_refused(Problem::Input, INPUT_UNUSABLE);
    for says in ["\"store\"", "Secret \"keys\"", "T_store", "as: File"] {
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn too_many_and_too_long_ones_are_refused() {
    let names: Vec<String> = (0..10_001).map(|number| format!("K{number}")).collect();
    let keys: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
    let told = Sandbox::script("").source("many", "", false, &keys).run();
    assert!(told.assert_refused(Problem::Input, INPUT_UNUSABLE).contains("more than 10000 keys"));
    let long = vec![b'x'; 5 << 20];
    let told = Sandbox::script("")
        .source("a", "", false, &[("A", &long)])
        .source("b", "", false, &[("B", &long)])
        .run();
    let message = told.assert_refused(Problem::Input, INPUT_UNUSABLE);
    assert!(message.contains("ConfigMap \"b\"") && message.contains("more than 8388608 bytes"), "{message}");
}

#[test]
fn a_value_that_ends_in_what_nobody_sees_is_named_and_not_shown() {
    let told = Sandbox::script("exit 1")
        .secret("PASSWORD", Some(b"hunter2-hunter2\n"))
        .secret("WINDOWS", Some(b"hunter3-hunter3\r\n"))
        .secret("FINE", Some(b"hunter4-hunter4"))
        .secret("KEY", Some(b"-----BEGIN KEY-----\nabcdef\n-----END KEY-----\n"))
        .input("FILE", Some(b"hunter5-hunter5\n"), false, true)
        .source("folder", "T_", true, &[("TOKEN", b"hunter6-hunter6\n"), ("EMPTY", b"\n")])
        .value("MARKED", "\u{feff}plain", false)
        .value("BLANK", "plain ", false)
        .run();
    let suspects = told.start.unwrap().suspects;
    assert_eq!(
        suspects,
        [
            "\"T_TOKEN\" (Secret \"folder\") ends in a newline",
            "\"PASSWORD\" (key \"PASSWORD\" of Secret \"s\") ends in a newline",
            "\"WINDOWS\" (key \"WINDOWS\" of Secret \"s\") ends in a newline",
            "\"MARKED\" begins with a byte order mark",
            "\"BLANK\" ends in a blank",
        ]
    );
}
