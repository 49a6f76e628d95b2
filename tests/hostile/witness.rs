//! The truth about scripts. A script holds a connection to the tests from its first step on, and its children
//! inherit it. The kernel closes the connection when the last process of the script is gone. So no script can
//! hide that it lives, and none can seem to live on.
//!
//! The listener is in the cluster's network, where pods of the real node and scripts of a fake one reach it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    faults::told::{Attempt, Truth},
    node::Cluster,
};

/// A script that was started: from its first step until its last process was gone.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) namespace: String,
    pub(crate) action: String,
    pub(crate) attempt: Attempt,
    pub(crate) began: Instant,
    /// `None` while a process of it lives.
    pub(crate) ended: Option<Instant>,
    /// The exit code that it said it would end with.
    pub(crate) code: Option<i32>,
    /// Its other words.
    pub(crate) said: Vec<String>,
}

impl Life {
    /// How long it lasted, or has lasted so far.
    pub(crate) fn length(&self) -> Duration {
        self.ended.unwrap_or_else(Instant::now).saturating_duration_since(self.began)
    }
}

type Lives = Arc<Mutex<Vec<Life>>>;

/// Who is told.
pub(crate) struct Witness {
    port: u16,
    lives: Lives,
}

impl Witness {
    /// The one of this process.
    pub(crate) fn get() -> &'static Self {
        static ONE: OnceLock<Witness> = OnceLock::new();
        ONE.get_or_init(Self::start)
    }

    fn start() -> Self {
        let cluster = Cluster::running();
        let lives = Lives::default();
        let (told, port) = std::sync::mpsc::channel();
        let seen = Arc::clone(&lives);
        // A thread of its own, since it enters the cluster's network.
        std::thread::spawn(move || {
            cluster.runtime().block_on(async {
                let listener = TcpListener::bind((Cluster::address(), 0)).await.expect("a port");
                told.send(listener.local_addr().expect("an address").port()).expect("the test waits for it");
                loop {
                    if let Ok((connection, _)) = listener.accept().await {
                        tokio::spawn(hear(connection, Arc::clone(&seen)));
                    }
                }
            });
        });
        Self { port: port.recv().expect("the witness listens"), lives }
    }

    /// A bash script that reports itself and runs `body`. `body` can use `leave CODE`, which reports the code
    /// and exits, and `tell WORDS`. Everything lies below `$ROOT`, which is empty in a container and a folder
    /// on a fake node.
    pub(crate) fn script(&self, body: &str) -> String {
        let (address, port) = (Cluster::address(), self.port);
        format!(
            "#!/bin/bash\n\
             exec 9<>/dev/tcp/{address}/{port} || exit 99\n\
             tell() {{ printf '%s\\n' \"$*\" >&9; }}\n\
             leave() {{ tell end \"$1\"; exit \"$1\"; }}\n\
             tell start \"$LONGSHORE_NAMESPACE\" \"$LONGSHORE_ACTION\" \"$LONGSHORE_RUN_ID\" \"$LONGSHORE_ATTEMPT\"\n\
             read -r _ <&9 || exit 98\n\
             ROOT=${{LONGSHORE_OUTPUT%/longshore/state/output}}\n\
             {body}\n"
        )
    }

    /// All of a namespace, in the order in which they began.
    pub(crate) fn lives(&self, namespace: &str) -> Vec<Life> {
        let all = self.lives.lock().unwrap();
        all.iter().filter(|life| life.namespace == namespace).cloned().collect()
    }

    /// Those of one action.
    pub(crate) fn of(&self, namespace: &str, action: &str) -> Vec<Life> {
        let mut all = self.lives(namespace);
        all.retain(|life| life.action == action);
        all
    }
}

/// As the fault suite has it: how often each attempt started, and how it ended where it said so.
pub(crate) fn truth(lives: &[Life]) -> BTreeMap<Attempt, Truth> {
    let mut all = BTreeMap::<Attempt, Truth>::new();
    for life in lives {
        let truth = all.entry(life.attempt.clone()).or_default();
        truth.starts += 1;
        truth.ends.extend(life.code);
    }
    all
}

async fn hear(connection: TcpStream, lives: Lives) {
    let mut reader = BufReader::new(connection);
    let mut at = None;
    loop {
        let mut line = String::new();
        // A connection that is reset has ended, too.
        if reader.read_line(&mut line).await.unwrap_or(0) == 0 {
            break;
        }
        let started = note(&line, &mut at, &lives);
        // It goes on once it is counted.
        if started && reader.get_mut().write_all(b"go\n").await.is_err() {
            break;
        }
    }
    if let Some(at) = at {
        lives.lock().unwrap()[at].ended = Some(Instant::now());
    }
}

/// Puts down what a script says, whose life is the one `at`. Says whether it has started by it.
fn note(line: &str, at: &mut Option<usize>, lives: &Lives) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut all = lives.lock().unwrap();
    match (&words[..], *at) {
        (["start", namespace, action, run, attempt], None) => {
            *at = Some(all.len());
            all.push(Life {
                namespace: (*namespace).to_owned(),
                action: (*action).to_owned(),
                attempt: ((*run).to_owned(), attempt.parse().unwrap_or(0)),
                began: Instant::now(),
                ended: None,
                code: None,
                said: Vec::new(),
            });
            return true;
        }
        (["end", code], Some(at)) => all[at].code = code.parse().ok(),
        (_, Some(at)) => all[at].said.push(line.trim_end().to_owned()),
        _ => eprintln!("the witness understands nothing of {line:?}"),
    }
    false
}
