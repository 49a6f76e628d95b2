//! The runner as a process: PID 1 of a PID namespace, as in a container.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use tokio::sync::oneshot;

use super::log::Log;

/// All that run, by a number of their own.
pub(super) type Processes = Arc<Mutex<HashMap<u64, Arc<Process>>>>;

/// A runner that was started.
#[derive(Debug)]
pub(super) struct Process {
    /// `unshare`, whose only child is the runner; `None` once its end was taken, and its number may
    /// be somebody else's.
    child: Mutex<Option<Child>>,
    pid: u32,
    /// Whether it was sent SIGKILL. `unshare` tells of that by an exit code of its own.
    killed: AtomicBool,
}

/// Starts the runner on `root`. Its output goes into `log`, its end comes with the receiver.
pub(super) fn start(
    runner: &Path,
    root: &Path,
    environment: &[(String, String)],
    log: Arc<Log>,
    processes: &Processes,
) -> io::Result<(Arc<Process>, oneshot::Receiver<ExitStatus>)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut child = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(runner)
        .arg("run")
        .arg("--root")
        .arg(root)
        .env_clear()
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("a pipe");
    let process =
        Arc::new(Process { pid: child.id(), child: Mutex::new(Some(child)), killed: AtomicBool::new(false) });
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    processes.lock().unwrap().insert(number, Arc::clone(&process));
    let (ended, end) = oneshot::channel();
    let (waited, processes) = (Arc::clone(&process), Arc::clone(processes));
    tokio::task::spawn_blocking(move || {
        read(stdout, &log);
        let status = waited.wait();
        log.end();
        processes.lock().unwrap().remove(&number);
        let _ = ended.send(status);
    });
    Ok((process, end))
}

fn read(stdout: ChildStdout, log: &Log) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        match stdout.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => log.push(line),
        }
    }
}

impl Process {
    fn wait(&self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.pid).expect("a pid"));
        // Without taking it: as long as it is a zombie, nobody else has its number.
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::Error::EINTR) {}
        let mut child = self.child.lock().unwrap();
        let status = child.as_mut().expect("it is waited for once").wait().expect("its end");
        *child = None;
        if self.killed.load(Ordering::Relaxed) && status.code() == Some(1) {
            return ExitStatus::from_raw(Signal::SIGKILL as i32);
        }
        status
    }

    /// Sends a signal to the container's PID 1; SIGKILL ends all that is in its namespace.
    pub(super) fn signal(&self, signal: Signal) {
        let child = self.child.lock().unwrap();
        if child.is_none() {
            return;
        }
        self.killed.fetch_or(signal == Signal::SIGKILL, Ordering::Relaxed);
        let pid = self.pid;
        // It may have been started this moment: unshare itself would ignore what is not for it.
        for _ in 0..200 {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            match children.map(|text| text.trim().parse()) {
                Ok(Ok(runner)) => {
                    let _ = kill(Pid::from_raw(runner), signal);
                    return;
                }
                Ok(Err(_)) => std::thread::sleep(Duration::from_millis(5)),
                // It has ended.
                Err(_) => return,
            }
        }
    }
}

/// Ends all that still run, and waits for them.
pub(super) async fn end_all(processes: &Processes) {
    let left = || processes.lock().unwrap().values().cloned().collect::<Vec<_>>();
    while !left().is_empty() {
        for process in left() {
            process.signal(Signal::SIGKILL);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
