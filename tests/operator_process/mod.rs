//! The operator as a process, without a cluster.

use std::{
    io::Read,
    net::TcpListener,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: none, user: {}}]
";

/// As the first process of a container it would not be ended by a signal that it does not catch.
#[test]
fn an_operator_that_is_stopped_while_it_starts_ends_well_and_at_once() {
    let kubeconfig = std::env::temp_dir().join(format!("operator-process-{}", std::process::id()));
    std::fs::write(&kubeconfig, KUBECONFIG).unwrap();
    // A store that answers nothing: the start waits for it.
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut operator = Command::new(env!("CARGO_BIN_EXE_longshore"))
        .args(["run", "--runner-image=r/runner:1", "--listen=127.0.0.1:0", "--archive-url=s3://logs/here"])
        .env("KUBECONFIG", &kubeconfig)
        .env("AWS_ENDPOINT", format!("http://{}", store.local_addr().unwrap()))
        .envs([("AWS_ALLOW_HTTP", "true"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")])
        .env("AWS_REGION", "here")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut asked, _) = store.accept().unwrap();
    let _ = asked.read(&mut [0; 16]).unwrap();
    kill(Pid::from_raw(i32::try_from(operator.id()).unwrap()), Signal::SIGTERM).unwrap();
    let since = Instant::now();
    let ended = loop {
        if let Some(ended) = operator.try_wait().unwrap() {
            break ended;
        }
        if since.elapsed() > Duration::from_secs(8) {
            operator.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    std::fs::remove_file(kubeconfig).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended}");
}
