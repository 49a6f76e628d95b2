//! The kubectl plugin on a real cluster, as people call it: the built program, its output and its exit code.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::support::namespace::{Namespace, setting, until};

mod acting;
mod documented;
mod files;
mod logs;
mod reading;
mod rights;
mod run;
mod ui;

/// What the plugin said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// The output of a command that must succeed.
    fn out(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The words of a command that must fail with this exit code.
    fn err(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }
}

/// The built program.
fn program() -> Command {
    setting("KUBECONFIG");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-longshore"));
    command.env_remove("NO_COLOR");
    command
}

/// Runs the plugin in a namespace.
fn longshore(namespace: &Namespace, words: &[&str]) -> Said {
    longshore_with(namespace, words, "")
}

/// The same, with this on its standard input.
fn longshore_with(namespace: &Namespace, words: &[&str], input: &str) -> Said {
    let mut command = program();
    command.args(["--namespace", &namespace.name]).args(words);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that reads no input may have ended.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("the plugin ends");
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Runs a command until its output has these words.
async fn until_out(namespace: &Namespace, words: &[&str], wanted: &str) -> String {
    until(&format!("{} says {wanted:?}", words.join(" ")), async || {
        let said = longshore(namespace, words);
        (said.code == 0 && said.out.contains(wanted)).then_some(said.out)
    })
    .await
}
