//! The operator as it is shipped, a process of its own, killed and started again.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

use super::{operator::arguments, scene::Place, schedule::Slot};
use crate::support::random::Random;

/// How often it is killed; the last one lives on.
const LIVES: usize = 5;
/// How long each lives at least, and by how much longer at most, in milliseconds.
const LIFE: (u64, usize) = (150, 1500);
const LOOK: Duration = Duration::from_millis(10);

/// An operator that is killed at moments that are drawn.
pub(crate) struct Killed {
    stop: Arc<AtomicBool>,
    kills: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Killed {
    /// `case` says when it is killed.
    pub(crate) fn start(place: &Place, case: u64) -> Self {
        let (stop, kills) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopping, killed, place) = (Arc::clone(&stop), Arc::clone(&kills), place.clone());
        let thread = std::thread::spawn(move || {
            let mut random = Random::of(1, case);
            for life in 0..LIVES {
                let most = u64::try_from(random.below(LIFE.1)).expect("a small number");
                let end = Instant::now() + Duration::from_millis(LIFE.0 + most);
                let last = life + 1 == LIVES;
                let mut process = spawn(&place);
                while !stopping.load(Ordering::Relaxed) && (last || Instant::now() < end) {
                    sleep(LOOK);
                }
                // SIGKILL.
                process.kill().expect("killing it");
                process.wait().expect("its end");
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                killed.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, kills, thread: Some(thread) }
    }

    /// How often it was killed so far.
    pub(crate) fn kills(&self) -> usize {
        self.kills.load(Ordering::Relaxed)
    }

    /// Whether it lives on by now.
    pub(crate) fn is_calm(&self) -> bool {
        self.kills() + 1 >= LIVES
    }

    pub(crate) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            tokio::task::spawn_blocking(|| thread.join()).await.expect("waiting").expect("its thread");
        }
    }
}

fn spawn(place: &Place) -> Child {
    Command::new(env!("CARGO_BIN_EXE_longshore"))
        .arg("run")
        .args(arguments(&place.namespace, Slot::A))
        .env("KUBECONFIG", &place.kubeconfig)
        .env("LONGSHORE_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("starting an operator")
}
