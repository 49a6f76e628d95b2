//! Scripts that the kubelet mounts.

use std::fs;

use longshore::{
    record::outcome::Problem,
    runner::{CANNOT_START, INPUT_UNUSABLE},
};

use super::sandbox::Sandbox;

#[test]
fn it_is_run_as_an_inline_one_is() {
    let text = b"#!/bin/sh -e\necho \"$0\" \"$@\"\nexit 3\n";
    let sandbox = Sandbox::script_file(text, Some(text)).args(&["a b"]);
    let told = sandbox.run();
    told.assert_exited(3);
    assert_eq!(told.out(), format!("{} a b\n", sandbox.at("longshore/script/script").display()));
    assert_eq!(fs::read(sandbox.at("longshore/script/script")).unwrap(), text);
}

#[test]
fn its_interpreter_is_found_by_the_same_rules() {
    let text = b"exit 5";
    Sandbox::script_file(text, Some(text)).run().assert_exited(5);
    // As `python3 -u` would be.
    let told = Sandbox::script_file(text, Some(text)).interpreter(&["cat", "-E"]).run();
    told.assert_exited(0);
    assert_eq!(told.out(), "exit 5");
    let text = b"#!/usr/bin/env none\n";
    let told = Sandbox::script_file(text, Some(text)).run();
    assert!(told.assert_refused(Problem::InterpreterNotFound, CANNOT_START).contains("`none` on its PATH"));
}

#[test]
fn it_may_be_no_text() {
    let text = b"#!/bin/sh\nprintf '\xff\xfe\x80'\n";
    let told = Sandbox::script_file(text, Some(text)).run();
    told.assert_exited(0);
    assert_eq!(told.stdout, b"\xff\xfe\x80");
    let text = b"\0\xff\n";
    let told = Sandbox::script_file(text, Some(text)).interpreter(&["cat"]).run();
    told.assert_exited(0);
    assert_eq!(told.stdout, text);
}

#[test]
fn another_one_than_the_frozen_one_is_not_run() {
    let sandbox = Sandbox::script_file(b"echo old", Some(b"echo new"));
    let told = sandbox.run();
    let message = told.assert_refused(Problem::ScriptChanged, INPUT_UNUSABLE);
    for says in ["key \"run.sh\" of ConfigMap \"deploy\"", "was changed", "SHA-256", "spec.runToken"] {
        assert!(message.contains(says), "{message}");
    }
    assert!(!sandbox.at("longshore/script/script").exists());
}

#[test]
fn one_that_is_gone_or_too_long_is_named() {
    let gone = Sandbox::script_file(b"", None).run();
    assert!(gone.assert_refused(Problem::ScriptChanged, INPUT_UNUSABLE).contains("is not any more"));
    let long = vec![b'#'; 1_200_000];
    let long = Sandbox::script_file(&long, Some(&long)).run();
    assert!(long.assert_refused(Problem::ScriptChanged, INPUT_UNUSABLE).contains("more than 1114112 bytes"));
}
